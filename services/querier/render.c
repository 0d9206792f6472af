/* querier/render.c - /pyroscope/render: flame graph, timeline and groups in one JSON answer.
 *
 * Two or three fan-outs, one after the other: the tree, the timeline, the groups. */
#include "api.h"

#include "ask.h"
#include "fanout.h"
#include "merge.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "net/pool.h"
#include "profile/attime.h"
#include "profile/respond.h"
#include "profile/selector.h"
#include "profile/timeline.h"
#include "profile/tree.h"
#include "querier.msg.h"
#include "rpc/server.h"

#include <stdio.h>

enum stage { STAGE_TREE, STAGE_TIMELINE, STAGE_GROUPS, STAGE_COUNT };

/* One render from its request to its reply; in the request's arena, buffers apart. */
struct job {
    struct pool_job pool;
    struct api *api;
    struct http_req *req;
    struct str tenant, type, selector, group_by;
    int64_t from_ms, until_ms;
    uint64_t max_nodes;
    bool average;
    bool newest; /* something was in the step that ends the grid */
    struct series_grid grid;
    enum stage stage;
    struct fanout_parts parts[STAGE_COUNT];
    struct buf query;
    struct fanout *fanout; /* under way, or NULL */
    char completeness[512]; /* the worst of the fan-outs */
    bool complete;
};

static void next_stage(struct job *job);

static void job_reset(struct job *job)
{
    buf_reset(&job->query);
    for (int i = 0; i < STAGE_COUNT; i++)
        fanout_parts_reset(&job->parts[i]);
}

static void fail(struct job *job, int code, const char *message)
{
    struct http_req *req = job->req;
    char text[256];
    (void)snprintf(text, sizeof text, "%s", message);
    job_reset(job);
    rpc_http_fail(req, rpc_code_plain_status(rpc_code_of_err(code)), "%s", text);
}

/* --- the answer, on the pool -------------------------------------------------------------- */

static int fill_timeline(struct job *job, struct series_set *set, struct arena *a,
                         struct timeline *out)
{
    struct series_row *rows = NULL;
    size_t count = 0;
    int rc =
        series_finish(set, job->average ? SERIES_AVERAGE : SERIES_SUM, 0, a, &rows, &count);
    /* Without group_by there is one row, or nothing. */
    struct series_row row = {0};
    if (rc == 0 && count == 1)
        row = rows[0];
    job->newest = row.count > 0 && row.points[row.count - 1].time_ms == job->grid.end_ms;
    return rc != 0 ? rc : timeline_fill(&job->grid, row.points, row.count, job->newest, a, out);
}

static int fill_groups(const struct job *job, struct series_set *set, struct arena *a,
                       struct render *out)
{
    struct series_row *rows = NULL;
    size_t count = 0;
    int rc =
        series_finish(set, job->average ? SERIES_AVERAGE : SERIES_SUM, 0, a, &rows, &count);
    struct render_group *groups = rc == 0 ? arena_calloc(a, count + 1, sizeof *groups) : NULL;
    if (rc == 0 && groups == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct str value = labels_get(rows[i].labels, job->group_by);
        groups[i].value = value.len == 0 ? STR("*") : value;
        rc = timeline_fill(&job->grid, rows[i].points, rows[i].count, job->newest, a,
                           &groups[i].timeline);
    }
    out->groups = groups;
    out->group_count = count;
    return rc;
}

static int respond(struct job *job, struct mem_account *account, struct buf *out,
                   struct err *err)
{
    struct tree *tree = NULL;
    struct series_set *total = NULL, *groups = NULL;
    struct arena *a = NULL;
    struct flamegraph graph;
    struct render r = {.flamegraph = &graph};
    const struct fanout_parts *p = job->parts;
    int rc = arena_init(&a, 0, account);
    if (rc == 0)
        rc = merge_trees(p[STAGE_TREE].items, p[STAGE_TREE].count, account, &tree, err);
    if (rc == 0)
        rc = tree_flamegraph(tree, job->max_nodes, a, &graph);
    if (rc == 0)
        rc = merge_series_sets(p[STAGE_TIMELINE].items, p[STAGE_TIMELINE].count, &job->grid,
                               account, &total, err);
    if (rc == 0)
        rc = fill_timeline(job, total, a, &r.timeline);
    if (rc == 0 && job->group_by.len > 0) {
        rc = merge_series_sets(p[STAGE_GROUPS].items, p[STAGE_GROUPS].count, &job->grid,
                               account, &groups, err);
        if (rc == 0)
            rc = fill_groups(job, groups, a, &r);
    }
    if (rc == 0)
        rc = profile_type_parse(job->type, &r.type, err);
    if (rc == 0) {
        respond_render(&r, out);
        rc = out->error;
    }
    series_free(&groups);
    series_free(&total);
    arena_free(&a);
    tree_free(&tree);
    if (rc != 0 && err->msg[0] == '\0')
        (void)err_set(err, rc, "putting the answer together: %s", err_text(rc));
    return rc;
}

static void run_respond(void *arg)
{
    struct job *job = arg;
    struct http_req *req = job->req;
    struct mem_account account;
    struct buf out = {0};
    struct err err = {0};
    mem_account_init(&account, job->api->memory, "render", job->api->limits->query_memory);
    if (respond(job, &account, &out, &err) != 0) {
        fail(job, err.code, err.msg);
        buf_reset(&out);
        return;
    }
    struct http_field header = {STR("X-Pyroscope-Completeness"), str_c(job->completeness)};
    struct http_answer answer = {.status = 200,
                                 .type = "application/json",
                                 .headers = &header,
                                 .header_count = 1,
                                 .body = buf_view(&out)};
    job_reset(job); /* `job` goes with the reply */
    http_reply(req, &answer);
    buf_reset(&out);
}

/* --- fan-outs, on the loop ---------------------------------------------------------------- */

static void on_fanout(void *arg, const struct fanout_result *r)
{
    struct job *job = arg;
    job->fanout = NULL;
    if (r->rc != 0) {
        fail(job, r->rc, r->message);
        return;
    }
    if (job->complete) {
        job->complete = r->verdict->complete;
        (void)snprintf(job->completeness, sizeof job->completeness, "%.*s",
                       STR_ARG(r->completeness));
    }
    if (!job->complete && ask_wants_complete(job->api->settings, job->req)) {
        char text[sizeof job->completeness + 40];
        (void)snprintf(text, sizeof text, "the answer would not be complete: %s",
                       job->completeness);
        fail(job, ERR_UNAVAILABLE, text);
        return;
    }
    if (fanout_keep(r, job->req->arena, &job->parts[job->stage]) != 0) {
        fail(job, ERR_NOMEM, "no memory for the answer");
        return;
    }
    job->stage++;
    next_stage(job);
}

static void put_query(struct job *job)
{
    buf_clear(&job->query);
    if (job->stage == STAGE_TREE) {
        struct querier_v1_select_merge_stacktraces_request r = {.profile_type_id = job->type,
                                                                .label_selector = job->selector,
                                                                .start = job->from_ms,
                                                                .end = job->until_ms};
        msg_encode(&querier_v1_select_merge_stacktraces_request_msg, &r, &job->query);
        return;
    }
    struct querier_v1_select_series_request r = {
        .profile_type_id = job->type,
        .label_selector = job->selector,
        .start = job->grid.start_ms,
        .end = job->grid.end_ms,
        .step = (double)job->grid.step_ms / 1000,
        .group_by_count = job->stage == STAGE_GROUPS ? 1 : 0,
        .group_by = &job->group_by,
    };
    msg_encode(&querier_v1_select_series_request_msg, &r, &job->query);
}

/* The server has answered by itself: the ingesters need not go on. */
static void on_gone(void *arg)
{
    struct job *job = arg;
    if (job->fanout != NULL)
        fanout_cancel(job->fanout);
}

static void next_stage(struct job *job)
{
    struct err err = {0};
    if (job->stage == STAGE_GROUPS && job->group_by.len == 0)
        job->stage++;
    if (job->stage == STAGE_COUNT) {
        job->pool = (struct pool_job){.run = run_respond, .arg = job};
        if (pool_submit(job->api->pool, &job->pool) != 0)
            fail(job, ERR_LIMIT, "too many queries wait: try again");
        return;
    }
    put_query(job);
    bool tree = job->stage == STAGE_TREE;
    struct fanout_ask ask = {
        .loop = job->req->loop,
        .client = job->api->clients[job->req->thread],
        .tenant = job->tenant,
        .method = tree ? "SelectMergeStacktraces" : "SelectSeries",
        .query = buf_view(&job->query),
        .start_ms = tree ? job->from_ms : series_grid_from(&job->grid),
        .end_ms = tree ? job->until_ms : job->grid.end_ms,
        .deadline = job->req->deadline - ASK_MARGIN_MS,
        .done = on_fanout,
        .arg = job,
    };
    int rc = job->query.error != 0
                 ? err_set(&err, job->query.error, "no memory for the query")
                 : fanout_start(&job->fanout, job->api->env, &ask, &err);
    if (rc == 0)
        http_req_on_cancel(job->req, on_gone, job);
    else
        fail(job, rc, err.msg);
}

/* --- the request -------------------------------------------------------------------------- */

/* The profile type stands where a metric name does: take it out of the selector. */
static int parse_query(struct job *job, struct str text, struct err *err)
{
    struct selector *s = NULL;
    struct str type;
    struct buf rest = {0};
    int rc = selector_parse(&s, text, err);
    if (rc == 0 && !selector_take_equal(s, LABEL_NAME, &type))
        rc = err_set(err, ERR_INVAL, "query must name a profile type in front of the braces");
    if (rc == 0) {
        struct profile_type t;
        rc = profile_type_parse(type, &t, err);
    }
    if (rc == 0) {
        selector_print(s, &rest);
        job->type = str_dup(job->req->arena, type);
        job->selector = str_dup(job->req->arena, buf_view(&rest));
        if (job->type.data == NULL || job->selector.data == NULL || rest.error != 0)
            rc = err_set(err, ERR_NOMEM, "no memory for the query");
    }
    buf_reset(&rest);
    selector_free(&s);
    return rc;
}

static int parse(struct job *job, struct err *err)
{
    const struct http_req *req = job->req;
    wall_ms now = job->api->now();
    struct str nodes = http_req_param(req, "maxNodes");
    uint64_t asked = 0;
    bool empty = false;
    if (nodes.data == NULL)
        nodes = http_req_param(req, "max-nodes");
    if (str_u64(nodes, &asked) != 0 || asked > INT64_MAX)
        asked = 0; /* junk is ignored, as at the peer */
    job->from_ms = attime_parse_ms(http_req_param(req, "from"), now);
    job->until_ms = attime_parse_ms(http_req_param(req, "until"), now);
    struct str group = http_req_param(req, "groupBy");
    job->group_by = group;
    job->average = str_eq(http_req_param(req, "aggregation"), STR("avg"));
    if (http_req_param(req, "format").len > 0 &&
        !str_eq(http_req_param(req, "format"), STR("json")))
        return err_set(err, ERR_UNIMPLEMENTED, "only JSON is served");
    int rc = parse_query(job, http_req_param(req, "query"), err);
    if (rc == 0)
        rc = ask_range(job->api->limits, now, &job->from_ms, &job->until_ms, &empty, err);
    if (rc == 0)
        rc = ask_nodes(job->api->limits, asked != 0, (int64_t)asked, &job->max_nodes, err);
    job->grid = timeline_grid(job->from_ms, job->until_ms);
    return rc;
}

static void on_render(void *arg, struct http_req *req)
{
    struct api *api = arg;
    struct str tenant;
    struct err err = {0};
    if (!rpc_http_tenant(api->rpc, req, &tenant))
        return;
    struct job *job = arena_zalloc(req->arena, sizeof *job);
    if (job == NULL) {
        rpc_http_fail(req, 503, "no memory for the query");
        return;
    }
    job->api = api;
    job->req = req;
    job->tenant = tenant;
    job->complete = true;
    if (parse(job, &err) != 0)
        fail(job, err.code == ERR_PARSE || err.code == ERR_LIMIT ? ERR_INVAL : err.code,
             err.msg);
    else
        next_stage(job);
}

int render_register(struct api *api, struct http_server *http, struct err *err)
{
    struct http_route route = {.path = "/pyroscope/render",
                               .methods = HTTP_GET,
                               .deadline_ms = api->settings->query_timeout_ms,
                               .handler = on_render,
                               .arg = api};
    return http_server_route(http, &route, err);
}
