/* From a pushed profile to streams in an append form. Nothing is written before all that a
 * client can get wrong has been checked, so that a refused profile leaves no trace. */
#include "profile/ingest.h"

#include "base/mem.h"
#include "profile/ingest_priv.h"
#include "profile/ingest_repair.h"
#include "profile/language.h"
#include "wire/hash.h"

/* Sample types that travel as one stream. */
struct family {
    uint32_t types[FORM_MEMBERS_MAX], count;
    struct str stem;
};

struct families {
    struct family *items;
    uint32_t count;
};

/* What types share: the part before the first _, or a name from the table. */
static struct str stem_of(struct str type)
{
    static const struct {
        struct str type, stem;
    } table[] = {
        {STR_INIT("samples"), STR_INIT("samples cpu")},
        {STR_INIT("cpu"), STR_INIT("samples cpu")},
        {STR_INIT("contentions"), STR_INIT("contentions delay")},
        {STR_INIT("delay"), STR_INIT("contentions delay")},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_eq(table[i].type, type))
            return table[i].stem;
    size_t at = str_find(type, '_');
    return at == SIZE_MAX ? (struct str){0} : str_head(type, at);
}

static bool is_type_seen(const struct pprof *p, uint32_t t)
{
    for (uint32_t i = 0; i < t; i++)
        if (str_eq(p->strings[p->types[i].type], p->strings[p->types[t].type]) &&
            str_eq(p->strings[p->types[i].unit], p->strings[p->types[t].unit]))
            return true;
    return false;
}

/* Of sample types that are the same the first counts: they would be one series. */
static int make_families(const struct pprof *p, struct arena *a, struct families *out)
{
    out->count = 0;
    out->items = arena_alloc(a, sizeof *out->items * p->type_count);
    if (out->items == NULL)
        return ERR_NOMEM;
    for (uint32_t t = 0; t < p->type_count; t++) {
        struct str stem = stem_of(p->strings[p->types[t].type]);
        struct family *f = NULL;
        if (is_type_seen(p, t))
            continue;
        for (uint32_t i = 0; i < out->count && f == NULL && stem.len > 0; i++)
            if (str_eq(out->items[i].stem, stem) && out->items[i].count < FORM_MEMBERS_MAX)
                f = &out->items[i];
        if (f == NULL) {
            f = &out->items[out->count++];
            *f = (struct family){.stem = stem};
        }
        f->types[f->count++] = t;
    }
    return 0;
}

/* --- labels of the request ---------------------------------------------------------------- */

/* Sorted, without empty values, with a service name, without what a session adds. */
static int prepare_labels(const struct ingest *in, const struct label *from, size_t count,
                          struct labels *out, struct err *err)
{
    struct label *labels = arena_alloc(in->arena, sizeof *labels * (count + 1));
    bool has_service = false;
    size_t n = 0;
    if (labels == NULL)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    for (size_t i = 0; i < count; i++) {
        bool is_service = str_eq(from[i].name, LABEL_SERVICE);
        has_service = has_service || is_service;
        if (from[i].value.len == 0 && !is_service)
            continue;
        if (str_eq(from[i].name, STR("__session_id__")) && in->limits->session_ids == 0)
            continue;
        labels[n++] = from[i];
    }
    if (!has_service)
        labels[n++] = (struct label){LABEL_SERVICE, STR("unknown_service")};
    labels_sort(labels, n);
    *out = (struct labels){labels, n};
    return 0;
}

/* --- writing ------------------------------------------------------------------------------ */

struct writing {
    struct ingest *in;
    const struct pprof *p;
    const struct split *split;
    const struct families *families;
    const uint32_t *nodes;
    uint64_t hash; /* of the uncompressed profile */
    struct ingest_stream *streams;
    size_t count;
};

static uint32_t nonce_of(uint64_t hash, uint64_t stream)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(hash >> (8 * i));
    return (uint32_t)hash_xxh3(str_of(bytes, sizeof bytes), stream);
}

static int begin_stream(struct writing *w, const struct sample_group *g, const struct family *f,
                        uint64_t number)
{
    const struct pprof *p = w->p;
    struct form_member *members = arena_zalloc(w->in->arena, sizeof *members * f->count);
    if (members == NULL)
        return ERR_NOMEM;
    for (uint32_t m = 0; m < f->count; m++) {
        members[m].type = p->strings[p->types[f->types[m]].type];
        members[m].unit = p->strings[p->types[f->types[m]].unit];
        if (p->has_period_type) {
            members[m].period_type = p->strings[p->period_type.type];
            members[m].period_unit = p->strings[p->period_type.unit];
        }
        members[m].name = g->name;
    }
    struct form_profile head = {
        .pairs = g->labels,
        .pair_count = g->label_count,
        .members = members,
        .member_count = f->count,
        .time_ns = p->time_ns,
        .nonce = nonce_of(w->hash, number),
        .duration_ns = p->duration_ns > 0 ? (uint64_t)p->duration_ns : 0,
        .period = p->period > 0 ? (uint64_t)p->period : 0,
        .seq = 1,
    };
    return form_begin_profile(w->in->form, &head);
}

/* The samples of one group into the open profile. */
static int add_samples(struct writing *w, const struct sample_group *g, const struct family *f,
                       uint32_t *added)
{
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t sample = w->split->order[g->first + i];
        const int64_t *row = w->p->values + (size_t)sample * w->p->type_count;
        uint64_t values[FORM_MEMBERS_MAX], any = 0;
        for (uint32_t m = 0; m < f->count; m++) {
            values[m] = (uint64_t)row[f->types[m]];
            any |= values[m];
        }
        if (any == 0)
            continue;
        const struct sample_span *at =
            w->split->spans == NULL ? NULL : &w->split->spans[sample];
        struct form_span span = {0};
        if (at != NULL && at->is_set)
            span = (struct form_span){at->span_id, at->trace_id};
        int rc = form_add_at(w->in->form, w->nodes[sample], values,
                             span.trace_id == NULL ? NULL : &span);
        if (rc != 0)
            return rc;
        (*added)++;
    }
    return 0;
}

static int write_stream(struct writing *w, uint32_t group, const struct family *f,
                        uint64_t number)
{
    const struct split *s = w->split;
    uint32_t added = 0;
    int rc = begin_stream(w, &s->groups[group], f, number);
    if (rc != 0)
        return rc;
    rc = add_samples(w, &s->groups[group], f, &added);
    for (uint32_t i = s->groups[group].next; rc == 0 && i != 0; i = s->groups[i].next)
        rc = add_samples(w, &s->groups[i], f, &added);
    if (rc != 0 || added == 0) {
        form_drop_profile(w->in->form);
        return rc;
    }
    struct ingest_stream *out = &w->streams[w->count++];
    out->profile = form_profile_count(w->in->form);
    out->service = s->groups[group].service;
    return form_end_profile(w->in->form, &out->samples);
}

static int write_streams(struct writing *w, struct ingest_result *out, struct err *err)
{
    const struct split *s = w->split;
    uint64_t distinct = 0, number = 0;
    for (uint32_t g = 0; g < s->group_count; g++)
        distinct += s->groups[g].same_as == g;
    if (distinct * w->families->count > FORM_PROFILES_MAX - form_profile_count(w->in->form)) {
        out->reason = DISCARD_SERIES_LIMIT;
        return err_set(err, ERR_LIMIT, "the push makes more than %d series", FORM_PROFILES_MAX);
    }
    w->streams = arena_alloc(w->in->arena, sizeof *w->streams * distinct * w->families->count);
    if (w->streams == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the streams of a profile");
    int rc = ingest_stacks(w->p, w->in, s, &w->nodes);
    for (uint32_t g = 0; g < s->group_count && rc == 0; g++) {
        if (s->groups[g].same_as != g)
            continue;
        for (uint32_t f = 0; f < w->families->count && rc == 0; f++)
            rc = write_stream(w, g, &w->families->items[f], number++);
    }
    out->streams = w->streams;
    out->stream_count = w->count;
    return rc == 0 ? 0 : err_set(err, rc, "a profile does not fit the append form");
}

/* All checks of a decoded profile, in Pyroscope's order. */
static int check(const struct ingest *in, struct pprof *p, size_t label_count,
                 enum discard *reason, struct err *err)
{
    int rc = profile_validate(p, in->limits, in->now_ns, reason, err);
    if (rc != 0)
        return rc;
    if (p->type_count > INGEST_TYPES_MAX) {
        *reason = DISCARD_MALFORMED_PROFILE;
        return err_set(err, ERR_INVAL, "the profile has %u sample types, the limit is %d",
                       p->type_count, INGEST_TYPES_MAX);
    }
    /* Before any work that grows with the number of labels. */
    if (in->limits->label_names > 0 && label_count > in->limits->label_names) {
        *reason = DISCARD_MAX_LABEL_NAMES;
        return err_set(err, ERR_INVAL, "the series has %zu labels, the limit is %u",
                       label_count, in->limits->label_names);
    }
    return 0;
}

int ingest_decoded(struct ingest *in, struct pprof *p, const struct label *labels, size_t count,
                   struct ingest_result *out, struct err *err)
{
    struct families families;
    struct labels series = {0};
    struct split split;
    *out = (struct ingest_result){
        .samples = p->sample_count, .bytes = p->raw.len, .language = "unknown"};
    int rc = prepare_labels(in, labels, count, &series, err);
    rc = rc != 0 ? rc : check(in, p, series.count, &out->reason, err);
    if (rc != 0)
        return rc;
    out->language = language_guess(p, series.items, series.count);
    bool is_go = str_eq(str_c(out->language), STR("go"));
    if (is_go && go_cut_shapes(p, in->arena) != 0)
        return err_set(err, ERR_NOMEM, "no memory for a name");
    rc = ingest_split(p, in->arena, &split, err);
    if (rc != 0 && rc != ERR_NOMEM)
        out->reason = DISCARD_MALFORMED_PROFILE;
    if (rc != 0 || split.kept == 0)
        return rc;
    if (is_go && ingest_repair(p, split.order, split.kept, in->arena) != 0)
        return err_set(err, ERR_NOMEM, "no memory to repair stacks");
    rc = ingest_group_labels(p, in, series.items, series.count, &split, &out->reason, err);
    if (rc != 0)
        return rc;
    if (make_families(p, in->arena, &families) != 0)
        return err_set(err, ERR_NOMEM, "no memory for the sample types");
    struct writing w = {
        .in = in, .p = p, .split = &split, .families = &families, .hash = hash_xxh3(p->raw, 0)};
    return write_streams(&w, out, err);
}

int ingest_profile(struct ingest *in, struct str raw, const struct label *labels, size_t count,
                   struct ingest_result *out, struct err *err)
{
    struct pprof p;
    int rc = pprof_decode(&p, raw, 0, in->arena, err);
    if (rc == 0)
        return ingest_decoded(in, &p, labels, count, out, err);
    *out = (struct ingest_result){.bytes = raw.len, .language = "unknown"};
    if (rc != ERR_NOMEM)
        out->reason = DISCARD_MALFORMED_PROFILE;
    return rc;
}
