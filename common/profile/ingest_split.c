/* Which samples stay, and the division by string labels. A group is found by hash of its
 * labels; most profiles have one group and never come to the table. */
#include "profile/ingest_priv.h"

#include "base/mem.h"

enum { NO_GROUP = 0 }; /* group numbers are index + 1 while samples are sorted into them */

/* What a label key means. */
enum key_kind { KEY_LABEL, KEY_SPAN, KEY_TRACE, KEY_SKIP };

struct splitter {
    const struct pprof *p;
    struct arena *arena;
    struct split *out;
    uint8_t *sound; /* per location: no dangling reference */
    bool all_sound; /* of frames too */
    uint32_t *group_of; /* per sample */
    uint32_t *slots;    /* hash: group number */
    uint32_t mask, slot_count, pair_count;
    struct pprof_label_row *scratch; /* labels of one sample */
    uint32_t empty_group, group_cap;
    uint64_t totals[INGEST_TYPES_MAX];
};

static bool is_sound(const struct pprof *p, const struct pprof_loc_row *l)
{
    if (l->has_mapping && l->mapping == PPROF_NONE)
        return false;
    for (uint32_t i = 0; i < l->line_count; i++)
        if (p->lines[l->first_line + i].function == PPROF_NONE)
            return false;
    return l->line_count > 0 || l->address != 0;
}

/* True when the sample stays; its values are then part of the totals. */
static bool keeps(struct splitter *s, uint32_t sample)
{
    const struct pprof *p = s->p;
    const int64_t *values = p->values + (size_t)sample * p->type_count;
    const struct pprof_sample_row *row = &p->samples[sample];
    int64_t any = 0;
    for (uint32_t t = 0; t < p->type_count; t++) {
        if (values[t] < 0)
            return false;
        any |= values[t];
    }
    if (any == 0 || row->frame_count == 0)
        return false;
    const uint32_t *frames = p->frames + row->first_frame;
    if (s->all_sound)
        return true;
    for (uint32_t k = 0; k < row->frame_count; k++)
        if (frames[k] == PPROF_NONE || s->sound[frames[k]] == 0)
            return false;
    return true;
}

static enum key_kind kind_of(struct str key)
{
    if (key.len == 7 && memcmp(key.data, "span_id", 7) == 0)
        return KEY_SPAN;
    if (key.len == 8 && memcmp(key.data, "trace_id", 8) == 0)
        return KEY_TRACE;
    if (key.len == 10 && memcmp(key.data, "profile_id", 10) == 0)
        return KEY_SPAN;
    return key.len == 0 ? KEY_SKIP : KEY_LABEL;
}

static bool unhex(struct str text, uint8_t *out, size_t size)
{
    if (text.len != size * 2)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (unsigned)((c | 0x20) - 'a') + 10;
        else
            return false;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    return true;
}

/* Note a span or trace id; malformed ones count as absent. */
static int note_span(struct splitter *s, uint32_t sample, enum key_kind kind, struct str text)
{
    uint8_t bytes[16];
    size_t size = kind == KEY_SPAN ? 8 : 16;
    if (!unhex(text, bytes, size))
        return 0;
    if (s->out->spans == NULL) {
        s->out->spans = arena_calloc(s->arena, s->p->sample_count, sizeof *s->out->spans);
        if (s->out->spans == NULL)
            return ERR_NOMEM;
    }
    struct sample_span *span = &s->out->spans[sample];
    span->is_set = true;
    if (kind == KEY_TRACE) {
        memcpy(span->trace_id, bytes, 16);
        return 0;
    }
    span->span_id = 0;
    for (unsigned i = 0; i < 8; i++)
        span->span_id |= (uint64_t)bytes[i] << (8 * i);
    return 0;
}

/* The labels of a sample that count, sorted by key, a later value replacing an earlier one. */
static int collect(struct splitter *s, uint32_t sample, uint32_t *count)
{
    const struct pprof_sample_row *row = &s->p->samples[sample];
    uint32_t n = 0;
    for (uint32_t i = 0; i < row->label_count; i++) {
        struct pprof_label_row l = s->p->labels[row->first_label + i];
        if (s->p->strings[l.text].len == 0)
            continue;
        enum key_kind kind = kind_of(s->p->strings[l.key]);
        if (kind == KEY_SPAN || kind == KEY_TRACE) {
            int rc = note_span(s, sample, kind, s->p->strings[l.text]);
            if (rc != 0)
                return rc;
        }
        if (kind != KEY_LABEL)
            continue;
        uint32_t at = n;
        while (at > 0 && s->scratch[at - 1].key > l.key)
            at--;
        if (at > 0 && s->scratch[at - 1].key == l.key) {
            s->scratch[at - 1] = l;
            continue;
        }
        memmove(&s->scratch[at + 1], &s->scratch[at], sizeof l * (n - at));
        s->scratch[at] = l;
        n++;
    }
    *count = n;
    return 0;
}

static int new_group(struct splitter *s, uint32_t count, uint32_t *group)
{
    struct split *out = s->out;
    if (out->group_count == s->group_cap) {
        uint32_t cap = s->group_cap == 0 ? 4 : s->group_cap * 2;
        struct sample_group *more = arena_alloc(s->arena, sizeof *more * cap);
        if (more == NULL)
            return ERR_NOMEM;
        if (out->group_count > 0)
            memcpy(more, out->groups, sizeof *more * out->group_count);
        out->groups = more;
        s->group_cap = cap;
    }
    out->groups[out->group_count] = (struct sample_group){
        .first_pair = s->pair_count, .pair_count = count, .same_as = out->group_count};
    if (count > 0)
        memcpy(out->pairs + s->pair_count, s->scratch, sizeof *s->scratch * count);
    s->pair_count += count;
    *group = ++out->group_count;
    return 0;
}

static bool has_labels(const struct splitter *s, const struct sample_group *g, uint32_t count)
{
    return g->pair_count == count &&
           memcmp(s->out->pairs + g->first_pair, s->scratch, sizeof *s->scratch * count) == 0;
}

/* The tables that only profiles with sample labels need. */
static int make_table(struct splitter *s)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->p->sample_count; i++)
        if (s->p->samples[i].label_count > most)
            most = s->p->samples[i].label_count;
    s->slot_count = 16;
    while (s->slot_count < s->p->sample_count * 2)
        s->slot_count *= 2;
    s->mask = s->slot_count - 1;
    s->slots = arena_calloc(s->arena, s->slot_count, sizeof *s->slots);
    s->scratch = arena_alloc(s->arena, sizeof *s->scratch * ((size_t)most + 1));
    s->out->pairs = arena_alloc(s->arena, sizeof *s->scratch * ((size_t)s->p->label_count + 1));
    return s->slots == NULL || s->scratch == NULL || s->out->pairs == NULL ? ERR_NOMEM : 0;
}

static int find_group(struct splitter *s, uint32_t count, uint32_t *group)
{
    if (count == 0) {
        if (s->empty_group != NO_GROUP) {
            *group = s->empty_group;
            return 0;
        }
        int rc = new_group(s, 0, group);
        s->empty_group = *group;
        return rc;
    }
    uint64_t hash = str_hash(str_of(s->scratch, sizeof *s->scratch * count));
    uint32_t at = (uint32_t)hash & s->mask;
    for (; s->slots[at] != NO_GROUP; at = (at + 1) & s->mask) {
        if (has_labels(s, &s->out->groups[s->slots[at] - 1], count)) {
            *group = s->slots[at];
            return 0;
        }
    }
    int rc = new_group(s, count, group);
    s->slots[at] = *group;
    return rc;
}

/* Sample numbers in the order of their groups. */
static int sort_samples(struct splitter *s)
{
    struct split *out = s->out;
    uint32_t at = 0;
    out->order = arena_alloc(s->arena, sizeof *out->order * ((size_t)out->kept + 1));
    if (out->order == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->p->sample_count; i++)
        if (s->group_of[i] != NO_GROUP)
            out->groups[s->group_of[i] - 1].count++;
    for (uint32_t g = 0; g < out->group_count; g++) {
        out->groups[g].first = at;
        at += out->groups[g].count;
        out->groups[g].count = 0;
    }
    for (uint32_t i = 0; i < s->p->sample_count; i++) {
        if (s->group_of[i] == NO_GROUP)
            continue;
        struct sample_group *g = &out->groups[s->group_of[i] - 1];
        out->order[g->first + g->count++] = i;
    }
    return 0;
}

static int add_totals(struct splitter *s, uint32_t sample, struct err *err)
{
    const int64_t *values = s->p->values + (size_t)sample * s->p->type_count;
    for (uint32_t t = 0; t < s->p->type_count; t++) {
        s->totals[t] += (uint64_t)values[t];
        if (s->totals[t] > INT64_MAX)
            return err_set(err, ERR_INVAL, "values of sample type %u add up beyond 2^63 - 1",
                           t);
    }
    return 0;
}

int ingest_split(const struct pprof *p, struct arena *a, struct split *out, struct err *err)
{
    *out = (struct split){0};
    struct splitter *s = arena_zalloc(a, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    *s = (struct splitter){.p = p, .arena = a, .out = out};
    s->sound = arena_alloc(a, (size_t)p->location_count + 1);
    s->group_of = arena_calloc(a, (size_t)p->sample_count + 1, sizeof *s->group_of);
    if (s->sound == NULL || s->group_of == NULL || (p->label_count > 0 && make_table(s) != 0))
        return err_set(err, ERR_NOMEM, "no memory to divide a profile");
    s->all_sound = !p->missing_frames;
    for (uint32_t i = 0; i < p->location_count; i++) {
        s->sound[i] = is_sound(p, &p->locations[i]) ? 1 : 0;
        s->all_sound = s->all_sound && s->sound[i] != 0;
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        if (!keeps(s, i))
            continue;
        uint32_t labels = 0;
        int rc = add_totals(s, i, err);
        if (rc == 0 && p->samples[i].label_count > 0)
            rc = collect(s, i, &labels);
        rc = rc != 0 ? rc : find_group(s, labels, &s->group_of[i]);
        if (rc != 0)
            return rc == ERR_NOMEM ? err_set(err, rc, "no memory to divide a profile") : rc;
        out->kept++;
    }
    if (sort_samples(s) != 0)
        return err_set(err, ERR_NOMEM, "no memory to divide a profile");
    return 0;
}
