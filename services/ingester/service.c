/* ingester/service.c - handlers of the internal service. */
#include "service.h"

#include "answer.h"
#include "standing.h"

#include "base/mem.h"
#include "ingester.msg.h"
#include "net/pool.h"
#include "ring/dots.h"
#include "rpc/server.h"
#include "store/query.h"
#include "store/store.h"

#include <stdatomic.h>

/* Repeats are never cut short, so what fits no reply fails it, and with it every query of the
 * tenant: they get more room than the vector, as much as its readers take. */
enum { REPEATS_BYTES_MAX = 4 << 20 };

enum { KEYS_MAX = 20000, APPEND_BODY_MAX = 64 << 20, QUERY_BODY_MAX = 32 << 20 };

/* A request on its way through the pool; in the call's arena. */
struct job {
    struct pool_job pool;
    struct service *service;
    struct rpc_call *call;
    _Atomic(bool) stop; /* the caller is gone */
};

static void on_cancel(void *arg)
{
    struct job *job = arg;
    atomic_store(&job->stop, true);
}

/* Have `run` called on the pool with a job for this call, or answer why not: unavailable, since
 * another replica may well have room. */
static void hand_to_pool(struct service *s, struct rpc_call *call, void (*run)(void *arg))
{
    struct job *job = arena_zalloc(call->arena, sizeof *job);
    if (job == NULL) {
        rpc_fail(call, RPC_UNAVAILABLE, "no memory for the request");
        return;
    }
    job->service = s;
    job->call = call;
    job->pool.run = run;
    job->pool.arg = job;
    http_req_on_cancel(call->http, on_cancel, job);
    if (pool_submit(s->pool, &job->pool) != 0) {
        http_req_on_cancel(call->http, NULL, NULL);
        rpc_fail(call, RPC_UNAVAILABLE, "too many requests wait: try again");
    }
}

static void fail(struct rpc_call *call, const struct err *err)
{
    if (err->code == ERR_MOVED || err->code == ERR_CORRUPT)
        rpc_fail(call, RPC_FAILED_PRECONDITION, "moved: %s", err->msg);
    else
        rpc_fail_err(call, err);
}

/* --- Append ------------------------------------------------------------------------------- */

/* On the commit thread: say so, and under which roster. */
static void on_appended(void *arg, int rc, const struct store_appended *info)
{
    struct job *job = arg;
    struct rpc_call *call = job->call;
    const struct ingester_v1_append_request *r = call->request;
    if (rc != 0) {
        rpc_fail(call, rc == ERR_LIMIT ? RPC_RESOURCE_EXHAUSTED : RPC_UNAVAILABLE,
                 "not stored: %s", err_text(rc));
        return;
    }
    counter_add(job->service->profiles, info->rows);
    counter_add(job->service->samples, info->samples);
    counter_add(job->service->repeats, info->repeats);
    struct standing_look look;
    if (standing_look(job->service->standing, r->roster_hash, call->arena, &look) != 0) {
        rpc_fail(call, RPC_UNAVAILABLE, "no memory for the answer");
        return;
    }
    struct ingester_v1_append_response answer = {
        .disk = str_of(info->disk, STORE_DISK_SIZE),
        .domain = standing_domain(job->service->standing),
        .roster_hash = look.roster_hash,
        .roster = look.roster,
    };
    rpc_reply(call, &answer);
}

static void run_append(void *arg)
{
    struct job *job = arg;
    struct rpc_call *call = job->call;
    const struct ingester_v1_append_request *r = call->request;
    struct vector *complete = NULL;
    struct err err = {0};
    int rc = 0;
    if (r->complete.len > 0)
        rc = vector_decode(&complete, NULL, r->complete, NULL, &err);
    if (rc == 0)
        rc = store_append(job->service->store, r->tenant, r->form, complete, on_appended, job,
                          &err);
    vector_free(&complete); /* `job` may be gone here when rc is 0 */
    if (rc == ERR_NOSPC || rc == ERR_IO || rc == ERR_CLOSED)
        rpc_fail(call, RPC_UNAVAILABLE, "%s", err.msg[0] != '\0' ? err.msg : err_text(rc));
    else if (rc == ERR_PARSE || rc == ERR_VERSION)
        rpc_fail(call, RPC_INVALID_ARGUMENT, "%s", err.msg);
    else if (rc != 0)
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "%s",
                 err.msg[0] != '\0' ? err.msg : err_text(rc));
}

static void on_append(void *arg, struct rpc_call *call)
{
    struct service *s = arg;
    const struct ingester_v1_append_request *r = call->request;
    struct standing_look look;
    if (standing_look(s->standing, r->roster_hash, call->arena, &look) != 0)
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the request");
    else if (!look.established)
        rpc_fail(call, RPC_FAILED_PRECONDITION,
                 "not_established: this disk may not take writes yet");
    else if (r->replication_factor != look.replication_factor)
        rpc_fail(call, RPC_FAILED_PRECONDITION,
                 "wrong_replication_factor: the cluster was founded with %u, not %u",
                 look.replication_factor, r->replication_factor);
    else if (r->tenant.len == 0)
        rpc_fail(call, RPC_INVALID_ARGUMENT, "no tenant");
    else
        hand_to_pool(s, call, run_append);
}

/* --- Vector ------------------------------------------------------------------------------- */

/* Sub-messages of type Alias, as a repeated bytes field wants them. */
static int split_aliases(const struct aliases *from, size_t bytes_max, struct arena *a,
                         struct str **out, size_t *count)
{
    struct buf bytes = {.limit = bytes_max};
    aliases_encode(from, 12, &bytes);
    int rc = bytes.error;
    struct ingester_v1_vector_response m = {0};
    struct str kept = str_of(NULL, 0);
    if (rc == 0 && bytes.size > 0) {
        kept = str_dup(a, buf_view(&bytes));
        rc = kept.data == NULL
                 ? ERR_NOMEM
                 : msg_decode(&ingester_v1_vector_response_msg, &m, kept, a, NULL, NULL);
    }
    *out = m.aliases;
    *count = m.aliases_count;
    buf_reset(&bytes);
    return rc;
}

/* The held vector and the aliases of one view into the answer. */
static int fill_held(struct service *s, const struct view *v,
                     const struct ingester_v1_vector_request *r, struct arena *a,
                     struct ingester_v1_vector_response *answer)
{
    struct vector *held = NULL;
    struct aliases *repeats = NULL;
    struct buf bytes = {0};
    int rc = store_held(v, r->start_ms, r->end_ms, &held, &repeats);
    bool cut = false;
    if (rc == 0)
        rc = vector_cut(held, repeats, (size_t)s->vector_limit, &cut);
    if (rc == 0) {
        vector_encode(held, cut, &bytes);
        rc = bytes.error;
    }
    if (rc == 0) {
        answer->held = str_dup(a, buf_view(&bytes));
        rc = answer->held.data == NULL ? ERR_NOMEM : 0;
    }
    if (rc == 0 && repeats != NULL)
        rc = split_aliases(repeats,
                           s->vector_limit > REPEATS_BYTES_MAX ? (size_t)s->vector_limit
                                                               : REPEATS_BYTES_MAX,
                           a, &answer->aliases, &answer->aliases_count);
    buf_reset(&bytes);
    vector_free(&held);
    aliases_free(&repeats);
    return rc;
}

static void run_vector(void *arg)
{
    struct job *job = arg;
    struct service *s = job->service;
    struct rpc_call *call = job->call;
    const struct ingester_v1_vector_request *r = call->request;
    struct standing_look look;
    struct view *view = NULL;
    struct ingester_v1_vector_response answer = {0};
    int rc = standing_look(s->standing, r->roster_hash, call->arena, &look); /* roster first */
    if (rc == 0)
        rc = store_view(s->store, r->tenant, &view);
    if (rc == 0)
        rc = fill_held(s, view, r, call->arena, &answer);
    if (rc != 0) {
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "what is held: %s", err_text(rc));
    } else {
        answer.disk = str_dup(call->arena, str_of(view_disk(view), STORE_DISK_SIZE));
        answer.instance = standing_instance(s->standing);
        answer.domain = standing_domain(s->standing);
        answer.established = look.established;
        answer.roster_hash = look.roster_hash;
        answer.roster = look.roster;
        rpc_reply(call, &answer);
    }
    view_free(&view);
}

static void on_vector(void *arg, struct rpc_call *call)
{
    const struct ingester_v1_vector_request *r = call->request;
    if (r->kind != VECTOR_KIND_QUERY)
        rpc_fail(call, RPC_UNIMPLEMENTED, "vectors of kind %d are not served yet",
                 (int)r->kind);
    else
        hand_to_pool(arg, call, run_vector);
}

/* --- Count, Names, Keys ------------------------------------------------------------------- */

/* A view under the name that the caller planned with, or ERR_MOVED. */
static int view_of(struct service *s, struct str tenant, struct str disk, struct view **out,
                   struct err *err)
{
    int rc = store_view(s->store, tenant, out);
    if (rc != 0)
        return err_set(err, rc, "no memory for a view");
    if (str_eq(disk, str_of(view_disk(*out), STORE_DISK_SIZE)))
        return 0;
    view_free(out);
    return err_set(err, ERR_MOVED, "the disk has another name");
}

static void run_count(void *arg)
{
    struct job *job = arg;
    struct rpc_call *call = job->call;
    const struct ingester_v1_count_request *r = call->request;
    struct service *s = job->service;
    struct mem_account account;
    mem_account_init(&account, s->queries, "query", s->query_memory);
    struct vector *include = NULL;
    struct view *view = NULL;
    struct buf result = {0};
    struct answer_size size = {0};
    struct err err = {0};
    int rc = vector_decode(&include, NULL, r->include, NULL, &err);
    if (rc == 0)
        rc = view_of(s, r->tenant, r->disk, &view, &err);
    if (rc == 0)
        rc = answer_count(view, r->method, r->query, include, &account, &job->stop, &result,
                          &size, &err);
    if (rc == 0) {
        struct ingester_v1_count_response answer = {size.profiles, size.samples,
                                                    buf_view(&result), r->round, r->part};
        rpc_reply(call, &answer);
    } else {
        fail(call, &err);
    }
    buf_reset(&result);
    view_free(&view);
    vector_free(&include);
}

static void on_count(void *arg, struct rpc_call *call)
{
    hand_to_pool(arg, call, run_count);
}

static void run_names(void *arg)
{
    struct job *job = arg;
    struct rpc_call *call = job->call;
    const struct ingester_v1_names_request *r = call->request;
    struct service *s = job->service;
    struct view *view = NULL;
    struct buf result = {0};
    struct err err = {0};
    struct standing_look look;
    int rc = standing_look(s->standing, r->roster_hash, call->arena, &look);
    if (rc == 0)
        rc = store_view(s->store, r->tenant, &view);
    if (rc != 0)
        (void)err_set(&err, rc, "no memory for a view");
    else
        rc = answer_names(view, r->method, r->query, &result, &err);
    if (rc == 0) {
        struct ingester_v1_names_response answer = {
            .disk = str_of(view_disk(view), STORE_DISK_SIZE),
            .instance = standing_instance(s->standing),
            .domain = standing_domain(s->standing),
            .established = look.established,
            .result = buf_view(&result),
            .roster_hash = look.roster_hash,
            .roster = look.roster,
        };
        rpc_reply(call, &answer);
    } else {
        fail(call, &err);
    }
    buf_reset(&result);
    view_free(&view);
}

static void on_names(void *arg, struct rpc_call *call)
{
    hand_to_pool(arg, call, run_names);
}

static void run_keys(void *arg)
{
    struct job *job = arg;
    struct rpc_call *call = job->call;
    const struct ingester_v1_keys_request *r = call->request;
    struct vector *of = NULL;
    struct view *view = NULL;
    struct buf result = {0};
    struct err err = {0};
    int rc = r->of.len == 0 ? 0 : vector_decode(&of, NULL, r->of, NULL, &err);
    if (rc == 0)
        rc = view_of(job->service, r->tenant, r->disk, &view, &err);
    if (rc == 0)
        rc = answer_keys(view, r->method, r->query, of, r, KEYS_MAX, &result, &err);
    if (rc == 0)
        rpc_reply_bytes(call, &result);
    else
        fail(call, &err);
    buf_reset(&result);
    view_free(&view);
    vector_free(&of);
}

static void on_keys(void *arg, struct rpc_call *call)
{
    if (call->codec == RPC_JSON)
        rpc_fail(call, RPC_INVALID_ARGUMENT, "keys are served as protobuf only");
    else
        hand_to_pool(arg, call, run_keys);
}

/* --- table -------------------------------------------------------------------------------- */

#define PATH(name) "/emberring.ingester.v1.IngesterService/" name
#define INTERNAL   (RPC_NO_TENANT | RPC_INTERNAL_ONLY)

int service_register(struct service *s, struct rpc_server *rpc, struct err *err)
{
    static struct rpc_method methods[] = {
        {PATH("Append"), &ingester_v1_append_request_msg, &ingester_v1_append_response_msg,
         on_append, NULL, INTERNAL, APPEND_BODY_MAX, 0, NULL},
        {PATH("Vector"), &ingester_v1_vector_request_msg, &ingester_v1_vector_response_msg,
         on_vector, NULL, INTERNAL, QUERY_BODY_MAX, 0, NULL},
        {PATH("Count"), &ingester_v1_count_request_msg, &ingester_v1_count_response_msg,
         on_count, NULL, INTERNAL, QUERY_BODY_MAX, 0, NULL},
        {PATH("Names"), &ingester_v1_names_request_msg, &ingester_v1_names_response_msg,
         on_names, NULL, INTERNAL, QUERY_BODY_MAX, 0, NULL},
        {PATH("Keys"), &ingester_v1_keys_request_msg, &ingester_v1_keys_response_msg, on_keys,
         NULL, INTERNAL, QUERY_BODY_MAX, 0, NULL},
    };
    enum { COUNT = sizeof methods / sizeof *methods };
    for (unsigned i = 0; i < COUNT; i++)
        methods[i].arg = s;
    return rpc_server_add(rpc, methods, COUNT, err);
}
