/* ingester/answer.c - one view's share of a query. */
#include "answer.h"

#include "base/mem.h"
#include "ingester.msg.h"
#include "profile/labels.h"
#include "profile/pprof_out.h"
#include "profile/selector.h"
#include "profile/series.h"
#include "profile/tree.h"
#include "querier.msg.h"
#include "store/query.h"
#include "store/store.h"

enum { NS_PER_MS = 1000000 };

/* A decoded request with the ask that it means. */
struct asked {
    struct arena *arena;
    struct query_ask ask;
    struct selectors selectors;
};

static int64_t ms_to_ns(int64_t ms)
{
    int64_t ns;
    if (__builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns))
        return ms < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static int asked_init(struct asked *q, struct mem_account *account, struct err *err)
{
    *q = (struct asked){0};
    q->ask.account = account;
    int rc = arena_init(&q->arena, 0, NULL);
    return rc == 0 ? 0 : err_set(err, rc, "memory for a query");
}

static void asked_reset(struct asked *q)
{
    selectors_reset(&q->selectors);
    arena_free(&q->arena);
}

static int decode(struct asked *q, const struct msg_type *type, struct str bytes, void *out,
                  struct err *err)
{
    return msg_decode(type, out, bytes, q->arena, NULL, err);
}

/* Selectors of a request into the ask. */
static int select_series(struct asked *q, const struct str *texts, size_t count,
                         struct err *err)
{
    int rc = selectors_parse(&q->selectors, texts, count, err);
    if (rc == 0)
        q->ask.selectors = &q->selectors;
    return rc;
}

static void range(struct asked *q, int64_t start_ms, int64_t end_ms)
{
    q->ask.start_ns = ms_to_ns(start_ms);
    q->ask.end_ns = ms_to_ns(end_ms);
}

static int call_site(struct asked *q, const struct types_v1_stack_trace_selector *s,
                     struct err *err)
{
    if (s == NULL || s->call_site_count == 0)
        return 0;
    struct str *names = arena_calloc(q->arena, s->call_site_count, sizeof *names);
    if (names == NULL)
        return err_set(err, ERR_NOMEM, "memory for a call site");
    for (size_t i = 0; i < s->call_site_count; i++)
        names[i] = s->call_site[i].name;
    q->ask.call_site = names;
    q->ask.call_site_count = s->call_site_count;
    return 0;
}

/* --- SelectMergeStacktraces --------------------------------------------------------------- */

static int run_tree(struct query *plan, struct mem_account *account, const _Atomic(bool) *stop,
                    struct buf *out, struct err *err)
{
    struct tree *tree = NULL;
    int rc = tree_init(&tree, account);
    if (rc == 0)
        rc = query_tree(plan, tree, stop);
    if (rc == 0)
        rc = tree_encode(tree, 0, out);
    tree_free(&tree);
    return rc == 0 ? 0 : err_set(err, rc, "building the tree: %s", err_text(rc));
}

static int ask_stacktraces(struct asked *q, struct str query, struct err *err)
{
    struct querier_v1_select_merge_stacktraces_request r;
    int rc = decode(q, &querier_v1_select_merge_stacktraces_request_msg, query, &r, err);
    if (rc != 0)
        return rc;
    q->ask.profile_type = r.profile_type_id;
    range(q, r.start, r.end);
    rc = call_site(q, r.stack_trace_selector, err);
    return rc != 0 ? rc : select_series(q, &r.label_selector, 1, err);
}

/* --- SelectMergeProfile ------------------------------------------------------------------- */

static int run_pprof(struct query *plan, struct str type, struct mem_account *account,
                     const _Atomic(bool) *stop, struct buf *out, struct err *err)
{
    struct pprof_out *p = NULL;
    struct profile_type t = {0};
    int rc = profile_type_parse(type, &t, err);
    if (rc != 0)
        return rc;
    rc = pprof_out_init(&p, account);
    if (rc == 0)
        rc = query_pprof(plan, p, stop);
    struct pprof_head head = {.type = t.sample_type, .unit = t.sample_unit};
    if (rc == 0)
        rc = pprof_out_emit(p, &head, out);
    pprof_out_free(&p);
    return rc == 0 ? 0 : err_set(err, rc, "building the profile: %s", err_text(rc));
}

static int ask_profile(struct asked *q, struct str query, struct err *err)
{
    struct querier_v1_select_merge_profile_request r;
    int rc = decode(q, &querier_v1_select_merge_profile_request_msg, query, &r, err);
    if (rc != 0)
        return rc;
    q->ask.profile_type = r.profile_type_id;
    range(q, r.start, r.end);
    rc = call_site(q, r.stack_trace_selector, err);
    return rc != 0 ? rc : select_series(q, &r.label_selector, 1, err);
}

/* --- SelectSeries ------------------------------------------------------------------------- */

struct points {
    struct series_set *set;
    const struct str *group_by;
    size_t group_by_count;
    uint32_t *groups; /* of the query's series: group + 1, 0: not looked up yet */
    uint32_t cap;
};

static int group_of(struct points *p, uint32_t series, struct labels labels, uint32_t *group)
{
    if (series >= p->cap) {
        uint32_t cap = (series + 1) * 2;
        uint32_t *grown = mem_realloc_array(p->groups, cap, sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        memset(grown + p->cap, 0, (cap - p->cap) * sizeof *grown);
        p->groups = grown;
        p->cap = cap;
    }
    if (p->groups[series] == 0) {
        int rc = series_group(p->set, labels, p->group_by, p->group_by_count, group);
        if (rc != 0)
            return rc;
        p->groups[series] = *group + 1;
    }
    *group = p->groups[series] - 1;
    return 0;
}

static int on_point(void *arg, uint32_t series, struct labels labels, int64_t time_ns,
                    uint64_t total)
{
    struct points *p = arg;
    uint32_t group = 0;
    int rc = group_of(p, series, labels, &group);
    return rc != 0 ? rc : series_add(p->set, group, time_ns / NS_PER_MS, total);
}

static int run_series(struct query *plan, const struct querier_v1_select_series_request *r,
                      const struct series_grid *grid, struct mem_account *account,
                      struct buf *out, struct err *err)
{
    struct points p = {.group_by = r->group_by, .group_by_count = r->group_by_count};
    int rc = series_init(&p.set, grid, account);
    if (rc == 0)
        rc = query_points(plan, on_point, &p);
    if (rc == 0)
        rc = series_encode(p.set, out);
    series_free(&p.set);
    mem_free(p.groups);
    return rc == 0 ? 0 : err_set(err, rc, "adding up the series: %s", err_text(rc));
}

static int ask_series(struct asked *q, struct str query,
                      struct querier_v1_select_series_request *r, struct series_grid *grid,
                      struct err *err)
{
    int rc = decode(q, &querier_v1_select_series_request_msg, query, r, err);
    if (rc == 0)
        rc = series_grid_init(grid, r->start, r->end, r->step, err);
    if (rc != 0)
        return rc;
    q->ask.profile_type = r->profile_type_id;
    range(q, series_grid_from(grid), r->end);
    rc = call_site(q, r->stack_trace_selector, err);
    return rc != 0 ? rc : select_series(q, &r->label_selector, 1, err);
}

/* --- Count -------------------------------------------------------------------------------- */

enum method { STACKTRACES, PROFILE, SERIES, UNKNOWN };

static enum method method_of(struct str name)
{
    if (str_eq(name, STR("SelectMergeStacktraces")))
        return STACKTRACES;
    if (str_eq(name, STR("SelectMergeProfile")))
        return PROFILE;
    return str_eq(name, STR("SelectSeries")) ? SERIES : UNKNOWN;
}

/* The ask of a counted method; series and grid are only set for SelectSeries. */
static int ask_of(struct asked *q, enum method m, struct str query,
                  struct querier_v1_select_series_request *series, struct series_grid *grid,
                  struct err *err)
{
    switch (m) {
    case STACKTRACES:
        return ask_stacktraces(q, query, err);
    case PROFILE:
        return ask_profile(q, query, err);
    case SERIES:
        return ask_series(q, query, series, grid, err);
    case UNKNOWN:
        break;
    }
    return err_set(err, ERR_UNIMPLEMENTED, "method cannot be counted");
}

int answer_count(const struct view *v, struct str method, struct str query,
                 const struct vector *include, struct mem_account *account,
                 const _Atomic(bool) *stop, struct buf *out, struct answer_size *size,
                 struct err *err)
{
    struct asked q;
    struct querier_v1_select_series_request series = {0};
    struct series_grid grid = {0};
    enum method m = method_of(method);
    int rc = asked_init(&q, account, err);
    if (rc != 0)
        return rc;
    rc = ask_of(&q, m, query, &series, &grid, err);
    struct query *plan = NULL;
    q.ask.include = include;
    if (rc == 0)
        rc = query_plan(&plan, v, &q.ask, err);
    if (rc == 0) {
        struct query_cost cost = query_cost(plan);
        *size = (struct answer_size){cost.profiles, cost.samples};
        if (m == STACKTRACES)
            rc = run_tree(plan, account, stop, out, err);
        else if (m == PROFILE)
            rc = run_pprof(plan, q.ask.profile_type, account, stop, out, err);
        else
            rc = run_series(plan, &series, &grid, account, out, err);
    }
    if (rc == 0 && out->error != 0)
        rc = err_set(err, out->error, "answer: %s", err_text(out->error));
    query_free(&plan);
    asked_reset(&q);
    return rc;
}

/* --- Names -------------------------------------------------------------------------------- */

static int names_types(const struct view *v, struct asked *q, struct str query, struct buf *out,
                       struct err *err)
{
    struct querier_v1_profile_types_request r;
    int rc = decode(q, &querier_v1_profile_types_request_msg, query, &r, err);
    if (rc != 0)
        return rc;
    range(q, r.start, r.end);
    struct str *ids = NULL;
    size_t count = 0;
    rc = query_profile_types(v, &q->ask, q->arena, &ids, &count);
    struct types_v1_profile_type *types = NULL;
    if (rc == 0 && (types = arena_calloc(q->arena, count + 1, sizeof *types)) == NULL)
        rc = ERR_NOMEM;
    if (rc != 0)
        return err_set(err, rc, "profile types: %s", err_text(rc));
    for (size_t i = 0; i < count; i++) {
        struct profile_type t = {0};
        rc = profile_type_parse(ids[i], &t, err);
        if (rc != 0)
            return rc;
        types[i] = (struct types_v1_profile_type){ids[i],        t.name,        t.sample_type,
                                                  t.sample_unit, t.period_type, t.period_unit};
    }
    msg_encode(&querier_v1_profile_types_response_msg,
               &(struct querier_v1_profile_types_response){count, types}, out);
    return 0;
}

static int names_labels(const struct view *v, struct asked *q, struct str query,
                        struct buf *out, struct err *err)
{
    struct types_v1_label_names_request r;
    int rc = decode(q, &types_v1_label_names_request_msg, query, &r, err);
    if (rc == 0)
        rc = select_series(q, r.matchers, r.matchers_count, err);
    if (rc != 0)
        return rc;
    range(q, r.start, r.end);
    struct types_v1_label_names_response answer = {0};
    rc = query_label_names(v, &q->ask, q->arena, &answer.names, &answer.names_count);
    if (rc != 0)
        return err_set(err, rc, "label names: %s", err_text(rc));
    msg_encode(&types_v1_label_names_response_msg, &answer, out);
    return 0;
}

static int names_values(const struct view *v, struct asked *q, struct str query,
                        struct buf *out, struct err *err)
{
    struct types_v1_label_values_request r;
    int rc = decode(q, &types_v1_label_values_request_msg, query, &r, err);
    if (rc == 0)
        rc = select_series(q, r.matchers, r.matchers_count, err);
    if (rc != 0)
        return rc;
    range(q, r.start, r.end);
    struct types_v1_label_values_response answer = {0};
    rc = query_label_values(v, &q->ask, r.name, q->arena, &answer.names, &answer.names_count);
    if (rc != 0)
        return err_set(err, rc, "label values: %s", err_text(rc));
    msg_encode(&types_v1_label_values_response_msg, &answer, out);
    return 0;
}

static int names_series(const struct view *v, struct asked *q, struct str query,
                        struct buf *out, struct err *err)
{
    struct querier_v1_series_request r;
    int rc = decode(q, &querier_v1_series_request_msg, query, &r, err);
    if (rc == 0)
        rc = select_series(q, r.matchers, r.matchers_count, err);
    if (rc != 0)
        return rc;
    range(q, r.start, r.end);
    struct labels *sets = NULL;
    size_t count = 0;
    rc = query_series(v, &q->ask, r.label_names, r.label_names_count, q->arena, &sets, &count);
    struct types_v1_labels *labels = NULL;
    if (rc == 0 && (labels = arena_calloc(q->arena, count + 1, sizeof *labels)) == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        labels[i].labels = arena_calloc(q->arena, sets[i].count + 1, sizeof *labels[i].labels);
        if (labels[i].labels == NULL)
            rc = ERR_NOMEM;
        for (size_t k = 0; rc == 0 && k < sets[i].count; k++)
            labels[i].labels[k] =
                (struct types_v1_label_pair){sets[i].items[k].name, sets[i].items[k].value};
        labels[i].labels_count = sets[i].count;
    }
    if (rc != 0)
        return err_set(err, rc, "series: %s", err_text(rc));
    msg_encode(&querier_v1_series_response_msg,
               &(struct querier_v1_series_response){count, labels}, out);
    return 0;
}

static void names_stats(const struct view *v, struct buf *out)
{
    struct types_v1_get_profile_stats_response answer = {0};
    query_stats(v, &answer.data_ingested, &answer.oldest_profile_time,
                &answer.newest_profile_time);
    msg_encode(&types_v1_get_profile_stats_response_msg, &answer, out);
}

int answer_names(const struct view *v, struct str method, struct str query, struct buf *out,
                 struct err *err)
{
    struct asked q;
    int rc = asked_init(&q, NULL, err);
    if (rc != 0)
        return rc;
    if (str_eq(method, STR("ProfileTypes")))
        rc = names_types(v, &q, query, out, err);
    else if (str_eq(method, STR("LabelNames")))
        rc = names_labels(v, &q, query, out, err);
    else if (str_eq(method, STR("LabelValues")))
        rc = names_values(v, &q, query, out, err);
    else if (str_eq(method, STR("Series")))
        rc = names_series(v, &q, query, out, err);
    else if (str_eq(method, STR("GetProfileStats")))
        names_stats(v, out);
    else
        rc = err_set(err, ERR_UNIMPLEMENTED, "method has no names");
    if (rc == 0 && out->error != 0)
        rc = err_set(err, out->error, "answer: %s", err_text(out->error));
    asked_reset(&q);
    return rc;
}

/* --- Keys --------------------------------------------------------------------------------- */

struct keys {
    struct buf *out;
    size_t count, max;
};

static int on_key(void *arg, const struct store_key *key)
{
    struct keys *k = arg;
    if (++k->count > k->max)
        return ERR_LIMIT;
    struct str set[DOTS_SET_MAX]; /* the store keeps no larger ones */
    size_t n = key->lane.set_count < DOTS_SET_MAX ? key->lane.set_count : DOTS_SET_MAX;
    for (size_t i = 0; i < n; i++)
        set[i] = key->lane.set[i];
    struct ingester_v1_key m = {.writer = str_of(key->lane.writer, WRITER_SIZE),
                                .set_count = n,
                                .set = set,
                                .seq = key->seq,
                                .series = key->series,
                                .time_ns = key->time_ns,
                                .nonce = key->nonce};
    struct ingester_v1_keys_response one = {1, &m};
    msg_encode(&ingester_v1_keys_response_msg, &one, k->out); /* repeated: messages just join */
    return 0;
}

int answer_keys(const struct view *v, struct str method, struct str query,
                const struct vector *of, const void *keys_request, size_t max, struct buf *out,
                struct err *err)
{
    const struct ingester_v1_keys_request *r = keys_request;
    struct asked q;
    struct querier_v1_select_series_request series = {0};
    struct series_grid grid = {0};
    struct keys k = {.out = out, .max = max};
    int rc = asked_init(&q, NULL, err);
    if (rc != 0)
        return rc;
    if (of != NULL) {
        rc = ask_of(&q, method_of(method), query, &series, &grid, err);
        if (rc == 0)
            rc = store_keys(v, &q.ask, of, on_key, &k);
    }
    if (rc == 0 && r->find_count > 0) {
        struct store_key *find = arena_calloc(q.arena, r->find_count, sizeof *find);
        if (find == NULL)
            rc = ERR_NOMEM;
        for (size_t i = 0; rc == 0 && i < r->find_count; i++)
            find[i] = (struct store_key){.series = r->find[i].series,
                                         .time_ns = r->find[i].time_ns,
                                         .nonce = r->find[i].nonce};
        if (rc == 0)
            rc = store_find_keys(v, find, r->find_count, on_key, &k);
    }
    asked_reset(&q);
    if (rc == 0 && out->error != 0)
        rc = out->error;
    return rc == 0 ? 0 : err_set(err, rc, "keys: %s", err_text(rc));
}
