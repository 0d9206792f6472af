/* Matching without building label sets: a label is looked up in the stream's pairs, or in its
 * sample type. */
#include "store/match.h"

#include "profile/selector.h"

int match_begin(struct match_walk *w, const struct view *v, const struct query_ask *ask,
                struct err *err)
{
    *w = (struct match_walk){.v = v, .ask = ask};
    if (ask->profile_type.len == 0)
        return 0;
    w->typed = true;
    return profile_type_parse(ask->profile_type, &w->type, err);
}

int match_end(struct match_walk *w, int rc)
{
    buf_reset(&w->text);
    return rc != 0 ? rc : w->rc;
}

static struct str type_text(struct match_walk *w, const struct form_member *m)
{
    if (!w->text_made) {
        const struct profile_type t = {m->name, m->type, m->unit, m->period_type, m->period_unit};
        buf_clear(&w->text);
        profile_type_print(&t, &w->text);
        w->text_made = true;
        w->rc = w->text.error != 0 ? w->text.error : w->rc;
    }
    return buf_view(&w->text);
}

static struct str pair_value(const struct head_stream *s, struct str name)
{
    uint32_t low = 0, high = s->pair_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int c = str_cmp(s->pairs[mid].name, name);
        if (c == 0)
            return s->pairs[mid].value;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return STR("");
}

struct str match_label(struct match_walk *w, const struct match *at, struct str name)
{
    const struct form_member *m = &at->stream->members[at->member];
    if (!str_starts_with(name, STR("__")))
        return pair_value(at->stream, name);
    if (str_eq(name, LABEL_NAME))
        return m->name;
    if (str_eq(name, LABEL_TYPE))
        return m->type;
    if (str_eq(name, LABEL_UNIT))
        return m->unit;
    if (str_eq(name, LABEL_PERIOD_TYPE))
        return m->period_type;
    if (str_eq(name, LABEL_PERIOD_UNIT))
        return m->period_unit;
    if (str_eq(name, LABEL_PROFILE_TYPE))
        return type_text(w, m);
    return pair_value(at->stream, str_eq(name, LABEL_PRIVATE_SERVICE) ? LABEL_SERVICE : name);
}

static struct str look_up(const void *arg, struct str name)
{
    struct match_walk *w = (struct match_walk *)(uintptr_t)arg;
    return match_label(w, &w->at, name);
}

static bool has_type(const struct match_walk *w, const struct form_member *m)
{
    return str_eq(m->type, w->type.sample_type) && str_eq(m->name, w->type.name) &&
           str_eq(m->unit, w->type.sample_unit) && str_eq(m->period_type, w->type.period_type) &&
           str_eq(m->period_unit, w->type.period_unit);
}

struct head_walk match_entries(const struct match *m, const struct query_ask *ask)
{
    return head_walk(m->stream, m->vg->pos, ask->start_ns, ask->end_ns);
}

/* Move to the next stream; false at the end of the view. */
static bool next_stream(struct match_walk *w)
{
    for (; w->gen < w->v->count; w->gen++, w->partition = 0, w->stream = 0) {
        const struct view_gen *vg = &w->v->gens[w->gen];
        if (vg->tenant == NULL)
            continue;
        uint32_t partitions = segs_count(&vg->tenant->partitions);
        for (; w->partition < partitions; w->partition++, w->stream = 0) {
            const struct head_partition *p = tenant_partition(vg->tenant, w->partition);
            if (w->stream >= segs_count(&p->streams))
                continue;
            w->at = (struct match){vg, p, partition_stream(p, w->stream++), 0};
            w->member = 0;
            return true;
        }
    }
    return false;
}

static bool matches(struct match_walk *w)
{
    w->text_made = false;
    if (w->typed && !has_type(w, &w->at.stream->members[w->at.member]))
        return false;
    if (w->ask->selectors != NULL && !selectors_match(w->ask->selectors, look_up, w))
        return false;
    if (!w->in_range) {
        struct head_walk e = match_entries(&w->at, w->ask);
        if (head_next(&e) == NULL) {
            w->member = w->at.stream->member_count; /* nor will its other members */
            return false;
        }
        w->in_range = true;
    }
    return true;
}

bool match_next(struct match_walk *w, struct match *out)
{
    for (;;) {
        while (w->at.stream == NULL || w->member >= w->at.stream->member_count) {
            if (!next_stream(w))
                return false;
            w->in_range = false;
        }
        w->at.member = w->member++;
        if (w->rc != 0)
            return false;
        if (matches(w)) {
            *out = w->at;
            return true;
        }
    }
}
