/* querier/api.c - methods of the query service. */
#include "api.h"

#include "ask.h"
#include "fanout.h"
#include "merge.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "net/pool.h"
#include "profile/series.h"
#include "querier.msg.h"
#include "rpc/server.h"

enum what { WHAT_FLAMEGRAPH, WHAT_TREE, WHAT_PROFILE, WHAT_SERIES, WHAT_NAMES };

/* One query from its request to its reply; in the call's arena, parts apart. */
struct query_job {
    struct pool_job pool;
    struct api *api;
    struct rpc_call *call;
    enum what what;
    uint64_t max_nodes;
    struct merge_profile_ask profile;
    struct merge_series_ask series;
    struct merge_names_ask names;
    struct fanout *fanout; /* under way, or NULL */
    struct buf query; /* the request as the ingesters get it */
    struct fanout_parts parts;
};

static void job_reset(struct query_job *job)
{
    buf_reset(&job->query);
    fanout_parts_reset(&job->parts);
}

/* --- merging, on the pool ----------------------------------------------------------------- */

static int merge(struct query_job *job, struct mem_account *account, struct buf *out,
                 struct err *err)
{
    const struct str *parts = job->parts.items;
    size_t count = job->parts.count;
    bool json = job->call->codec == RPC_JSON;
    switch (job->what) {
    case WHAT_FLAMEGRAPH:
        return merge_flamegraph(parts, count, job->max_nodes, json, account, out, err);
    case WHAT_TREE:
        return merge_tree_bytes(parts, count, job->max_nodes, json, account, out, err);
    case WHAT_PROFILE:
        return merge_profile(parts, count, &job->profile, account, out, err);
    case WHAT_SERIES:
        return merge_series(parts, count, &job->series, account, out, err);
    case WHAT_NAMES:
        return merge_names(parts, count, &job->names, out, err);
    }
    return err_set(err, ERR_INTERNAL, "no such query");
}

static void run_merge(void *arg)
{
    struct query_job *job = arg;
    struct rpc_call *call = job->call;
    struct mem_account account;
    struct buf out = {0};
    struct err err = {0};
    mem_account_init(&account, job->api->memory, "query", job->api->limits->query_memory);
    int rc = merge(job, &account, &out, &err);
    job_reset(job); /* `job` goes with the reply */
    if (rc == 0)
        rpc_reply_bytes(call, &out);
    else
        rpc_fail_err(call, &err);
    buf_reset(&out);
}

/* --- the fan-out's end, on the loop ------------------------------------------------------- */

static void on_fanout(void *arg, const struct fanout_result *r)
{
    struct query_job *job = arg;
    struct rpc_call *call = job->call;
    job->fanout = NULL;
    if (r->verdict != NULL && r->completeness.len > 0)
        rpc_header(call, "X-Pyroscope-Completeness", r->completeness);
    if (r->rc != 0) {
        struct err err = {0};
        (void)err_set(&err, r->rc, "%s", r->message);
        job_reset(job);
        rpc_fail_err(call, &err);
        return;
    }
    if (!r->verdict->complete && ask_wants_complete(job->api->settings, call->http)) {
        job_reset(job);
        rpc_fail(call, RPC_UNAVAILABLE, "the answer would not be complete: %.*s",
                 STR_ARG(r->completeness));
        return;
    }
    job->pool = (struct pool_job){.run = run_merge, .arg = job};
    if (fanout_keep(r, call->arena, &job->parts) != 0 ||
        pool_submit(job->api->pool, &job->pool) != 0) {
        job_reset(job);
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many queries wait: try again");
    }
}

/* --- starting ----------------------------------------------------------------------------- */

static struct query_job *job_new(struct api *api, struct rpc_call *call, enum what what)
{
    struct query_job *job = arena_zalloc(call->arena, sizeof *job);
    if (job == NULL) {
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the query");
        return NULL;
    }
    job->api = api;
    job->call = call;
    job->what = what;
    return job;
}

/* The server has answered by itself: the ingesters need not go on. */
static void on_gone(void *arg)
{
    struct query_job *job = arg;
    if (job->fanout != NULL)
        fanout_cancel(job->fanout);
}

/* Ask the ingesters for `method` with the request (clamped). */
static void start(struct query_job *job, const char *method, const struct msg_type *type,
                  const void *request, int64_t from_ms, int64_t until_ms)
{
    struct rpc_call *call = job->call;
    struct err err = {0};
    msg_encode(type, request, &job->query);
    mono_ms deadline = call->http->began + job->api->settings->query_timeout_ms;
    if (call->deadline < deadline)
        deadline = call->deadline;
    struct fanout_ask ask = {.loop = call->http->loop,
                             .client = job->api->clients[call->http->thread],
                             .tenant = call->tenant,
                             .method = method,
                             .query = buf_view(&job->query),
                             .names = job->what == WHAT_NAMES,
                             .start_ms = from_ms,
                             .end_ms = until_ms,
                             .deadline = deadline - ASK_MARGIN_MS,
                             .done = on_fanout,
                             .arg = job};
    int rc = job->query.error != 0
                 ? err_set(&err, job->query.error, "no memory for the query")
                 : fanout_start(&job->fanout, job->api->env, &ask, &err);
    if (rc == 0) {
        http_req_on_cancel(call->http, on_gone, job);
    } else {
        job_reset(job);
        rpc_fail_err(call, &err);
    }
}

/* The answer for a range that lies beyond what may be looked at. */
static void answer_empty(struct query_job *job)
{
    rpc_header(job->call, "X-Pyroscope-Completeness", STR("complete"));
    run_merge(job);
}

/* SelectMergeProfile, which SelectMergeStacktraces answers too, `wrapped`. */
static void profile(struct query_job *job, struct querier_v1_select_merge_profile_request *r,
                    bool wrapped)
{
    const struct api *api = job->api;
    struct err err = {0};
    bool empty = false;
    uint64_t nodes = 0;
    int rc = ask_range(api->limits, api->now(), &r->start, &r->end, &empty, &err);
    if (rc == 0 && r->has_max_nodes)
        rc = ask_nodes(api->limits, true, r->max_nodes, &nodes, &err);
    if (rc == 0)
        rc = ask_selection(r->profile_type_id, r->label_selector, &err);
    if (rc == 0 && (r->profile_id_selector_count > 0 || r->trace_id_selector_count > 0))
        rc = err_set(&err, ERR_UNIMPLEMENTED,
                     "selecting profiles or traces by id is not served");
    if (rc == 0 && r->stack_trace_selector != NULL && r->stack_trace_selector->go_pgo != NULL)
        rc = err_set(&err, ERR_UNIMPLEMENTED, "go_pgo is not served");
    if (rc != 0) {
        rpc_fail_err(job->call, &err);
        return;
    }
    job->what = WHAT_PROFILE;
    job->profile = (struct merge_profile_ask){.profile_type = r->profile_type_id,
                                              .start_ms = r->start,
                                              .end_ms = r->end,
                                              .max_stacks = nodes,
                                              .json = job->call->codec == RPC_JSON,
                                              .wrapped = wrapped};
    if (empty)
        answer_empty(job);
    else
        start(job, "SelectMergeProfile", &querier_v1_select_merge_profile_request_msg, r,
              r->start, r->end);
}

static void on_profile(void *arg, struct rpc_call *call)
{
    struct querier_v1_select_merge_profile_request r =
        *(const struct querier_v1_select_merge_profile_request *)call->request;
    struct query_job *job = job_new(arg, call, WHAT_PROFILE);
    if (job != NULL)
        profile(job, &r, false);
}

/* What a request for stack traces may ask that is not served. */
static int unserved(const struct querier_v1_select_merge_stacktraces_request *r,
                    struct err *err)
{
    if (r->format == PROFILE_FORMAT_DOT)
        return err_set(err, ERR_UNIMPLEMENTED, "the DOT format is not served");
    if (r->async != NULL && r->async->type == ASYNC_QUERY_TYPE_FORCE)
        return err_set(err, ERR_UNIMPLEMENTED, "asynchronous queries are not served");
    if (r->profile_id_selector_count > 0 || r->trace_id_selector_count > 0 ||
        r->span_selector_count > 0)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "selecting profiles, spans or traces by id is not served");
    return 0;
}

static void on_stacktraces(void *arg, struct rpc_call *call)
{
    struct api *api = arg;
    struct querier_v1_select_merge_stacktraces_request r =
        *(const struct querier_v1_select_merge_stacktraces_request *)call->request;
    struct query_job *job = job_new(
        api, call, r.format == PROFILE_FORMAT_TREE ? WHAT_TREE : WHAT_FLAMEGRAPH);
    struct err err = {0};
    bool empty = false;
    if (job == NULL)
        return;
    int rc = unserved(&r, &err);
    if (rc == 0 && r.format == PROFILE_FORMAT_PPROF) {
        struct querier_v1_select_merge_profile_request p = {
            .profile_type_id = r.profile_type_id,
            .label_selector = r.label_selector,
            .start = r.start,
            .end = r.end,
            .has_max_nodes = r.has_max_nodes,
            .max_nodes = r.max_nodes,
            .stack_trace_selector = r.stack_trace_selector,
        };
        profile(job, &p, true);
        return;
    }
    if (rc == 0)
        rc = ask_range(api->limits, api->now(), &r.start, &r.end, &empty, &err);
    if (rc == 0)
        rc = ask_nodes(api->limits, r.has_max_nodes, r.max_nodes, &job->max_nodes, &err);
    if (rc == 0)
        rc = ask_selection(r.profile_type_id, r.label_selector, &err);
    if (rc != 0)
        rpc_fail_err(call, &err);
    else if (empty)
        answer_empty(job);
    else
        start(job, "SelectMergeStacktraces", &querier_v1_select_merge_stacktraces_request_msg,
              &r, r.start, r.end);
}

static void on_series(void *arg, struct rpc_call *call)
{
    struct api *api = arg;
    struct querier_v1_select_series_request r =
        *(const struct querier_v1_select_series_request *)call->request;
    struct query_job *job = job_new(api, call, WHAT_SERIES);
    struct err err = {0};
    bool empty = false;
    if (job == NULL)
        return;
    int rc = ask_range(api->limits, api->now(), &r.start, &r.end, &empty, &err);
    if (rc == 0)
        rc = ask_selection(r.profile_type_id, r.label_selector, &err);
    if (rc == 0)
        rc = series_grid_init(&job->series.grid, r.start, r.end, r.step, &err);
    if (rc == 0 && r.has_limit && r.limit < 0)
        rc = err_set(&err, ERR_INVAL, "limit must not be negative");
    if (rc == 0 &&
        (r.exemplar_type == EXEMPLAR_TYPE_INDIVIDUAL || r.exemplar_type == EXEMPLAR_TYPE_SPAN))
        rc = err_set(&err, ERR_UNIMPLEMENTED, "exemplars are not served");
    if (rc != 0) {
        rpc_fail_err(call, &err);
        return;
    }
    job->series.limit = r.has_limit ? (uint64_t)r.limit : 0;
    job->series.json = call->codec == RPC_JSON;
    if (r.has_aggregation && r.aggregation == TIME_SERIES_AGGREGATION_TYPE_AVERAGE)
        job->series.how = SERIES_AVERAGE;
    if (empty)
        answer_empty(job);
    else
        start(job, "SelectSeries", &querier_v1_select_series_request_msg, &r,
              series_grid_from(&job->series.grid), r.end);
}

/* --- metadata ----------------------------------------------------------------------------- */

/* The client asked for names beyond the legacy alphabet. */
static bool takes_utf8(const struct rpc_call *call)
{
    return str_contains(http_req_header(call->http, "Accept"),
                        STR("allow-utf8-labelnames=true"));
}

/* Common end of the metadata handlers: `start_at`, `end_at` are fields of the request copy. */
static void names(struct api *api, struct rpc_call *call, const char *method, bool all_labels,
                  const struct msg_type *type, void *request, int64_t *start_at,
                  int64_t *end_at)
{
    struct query_job *job = job_new(api, call, WHAT_NAMES);
    struct err err = {0};
    bool empty = false;
    if (job == NULL)
        return;
    job->names = (struct merge_names_ask){.method = method,
                                          .json = call->codec == RPC_JSON,
                                          .utf8 = takes_utf8(call),
                                          .all_labels = all_labels};
    if (ask_names_range(api->limits, api->now(), start_at, end_at, &empty, &err) != 0)
        rpc_fail_err(call, &err);
    else if (empty)
        answer_empty(job);
    else
        start(job, method, type, request, *start_at, *end_at);
}

static void on_profile_types(void *arg, struct rpc_call *call)
{
    struct querier_v1_profile_types_request r =
        *(const struct querier_v1_profile_types_request *)call->request;
    names(arg, call, "ProfileTypes", false, &querier_v1_profile_types_request_msg, &r, &r.start,
          &r.end);
}

/* False when the matchers were refused, and the call answered. */
static bool good_matchers(struct rpc_call *call, const struct str *matchers, size_t count)
{
    struct err err = {0};
    if (ask_matchers(matchers, count, &err) == 0)
        return true;
    rpc_fail_err(call, &err);
    return false;
}

static void on_label_names(void *arg, struct rpc_call *call)
{
    struct types_v1_label_names_request r =
        *(const struct types_v1_label_names_request *)call->request;
    if (good_matchers(call, r.matchers, r.matchers_count))
        names(arg, call, "LabelNames", false, &types_v1_label_names_request_msg, &r, &r.start,
              &r.end);
}

static void on_label_values(void *arg, struct rpc_call *call)
{
    struct types_v1_label_values_request r =
        *(const struct types_v1_label_values_request *)call->request;
    if (r.name.len == 0)
        rpc_fail(call, RPC_INVALID_ARGUMENT, "name is required");
    else if (good_matchers(call, r.matchers, r.matchers_count))
        names(arg, call, "LabelValues", false, &types_v1_label_values_request_msg, &r, &r.start,
              &r.end);
}

static void on_series_names(void *arg, struct rpc_call *call)
{
    struct querier_v1_series_request r =
        *(const struct querier_v1_series_request *)call->request;
    if (good_matchers(call, r.matchers, r.matchers_count))
        names(arg, call, "Series", r.label_names_count == 0, &querier_v1_series_request_msg, &r,
              &r.start, &r.end);
}

static void on_stats(void *arg, struct rpc_call *call)
{
    struct types_v1_get_profile_stats_request r = {0};
    int64_t start_ms = 0, end_ms = 0;
    names(arg, call, "GetProfileStats", false, &types_v1_get_profile_stats_request_msg, &r,
          &start_ms, &end_ms);
}

static void on_unserved(void *arg, struct rpc_call *call)
{
    (void)arg;
    rpc_fail(call, RPC_UNIMPLEMENTED, "%s is not served by this version", call->method->path);
}

/* --- table -------------------------------------------------------------------------------- */

#define PATH(name) "/querier.v1.QuerierService/" name
#define METHOD(name, req, resp, fn)                                                            \
    {                                                                                          \
        PATH(name), &req##_msg, &resp##_msg, fn, NULL, 0, 0, 0, NULL                           \
    }

int api_register(struct api *api, struct rpc_server *rpc, struct err *err)
{
    static struct rpc_method methods[] = {
        METHOD("ProfileTypes", querier_v1_profile_types_request,
               querier_v1_profile_types_response, on_profile_types),
        METHOD("LabelNames", types_v1_label_names_request, types_v1_label_names_response,
               on_label_names),
        METHOD("LabelValues", types_v1_label_values_request, types_v1_label_values_response,
               on_label_values),
        METHOD("Series", querier_v1_series_request, querier_v1_series_response,
               on_series_names),
        METHOD("SelectMergeStacktraces", querier_v1_select_merge_stacktraces_request,
               querier_v1_select_merge_stacktraces_response, on_stacktraces),
        METHOD("SelectMergeProfile", querier_v1_select_merge_profile_request, google_v1_profile,
               on_profile),
        METHOD("SelectSeries", querier_v1_select_series_request,
               querier_v1_select_series_response, on_series),
        METHOD("GetProfileStats", types_v1_get_profile_stats_request,
               types_v1_get_profile_stats_response, on_stats),
        METHOD("SelectMergeSpanProfile", querier_v1_select_merge_span_profile_request,
               querier_v1_select_merge_span_profile_response, on_unserved),
        METHOD("SelectHeatmap", querier_v1_select_heatmap_request,
               querier_v1_select_heatmap_response, on_unserved),
        METHOD("Diff", querier_v1_diff_request, querier_v1_diff_response, on_unserved),
    };
    enum { COUNT = sizeof methods / sizeof *methods };
    for (unsigned i = 0; i < COUNT; i++) {
        methods[i].arg = api;
        methods[i].deadline_ms = api->settings->query_timeout_ms;
    }
    return rpc_server_add(rpc, methods, COUNT, err);
}
