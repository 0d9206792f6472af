/* distributor/push.c - from a request to a write. */
#include "push.h"

#include "write.h"

#include "base/mem.h"
#include "net/http_server.h"
#include "net/pool.h"
#include "profile/form.h"
#include "profile/ingest.h"
#include "profile/labels.h"
#include "push.msg.h"
#include "rpc/server.h"
#include "wire/compress.h"

enum { MESSAGE_MAX = 2048, ARENA_FIRST = 64 << 10, ARENA_KEPT = 4 << 20 };

const struct metric_row push_metric_rows[] = {
    METRIC_COUNTER_VEC_ROW(push_metrics, discarded_samples, 0, "discarded_samples_total",
                           "reason,tenant", "Samples that were not stored."),
    METRIC_COUNTER_VEC_ROW(push_metrics, discarded_bytes, 0, "discarded_bytes_total",
                           "reason,tenant",
                           "Bytes of profiles that were not stored, unpacked."),
    METRIC_COUNTER_VEC_ROW(push_metrics, received_bytes, 0,
                           "distributor_received_decompressed_bytes_total", "tenant,stage",
                           "Bytes of profiles that came, unpacked."),
    METRIC_COUNTER_VEC_ROW(push_metrics, received_profiles, 0,
                           "distributor_profiles_received_total", "tenant",
                           "Profiles that came."),
    METRIC_GAUGE_ROW(push_metrics, replication_factor, 0, "distributor_replication_factor",
                     "Ingesters that keep each profile."),
    {.kind = METRIC_END},
};

/* A profile that came as gzip. */
struct unpacked {
    struct unpacked *next;
    struct buf bytes;
};

/* One request on its way; freed when it is answered. Arena, form and unpacked bytes are there only
 * while a pool thread fills it: the next request then finds their memory in the caches. */
struct push {
    struct pusher *owner;
    struct http_req *req;
    struct str tenant;
    push_fill_fn fill;
    push_reply_fn reply;
    void *arg;
    struct pool_job job;
    struct arena *arena;
    struct form_writer *form;
    struct unpacked *unpacked;
    struct ingest_stream *streams; /* of all profiles; heap */
    size_t stream_count, stream_cap;
    size_t profiles;     /* that were offered */
    uint64_t bytes;      /* unpacked so far */
    struct write *write; /* ready to be sent; NULL: nothing is to be stored */
    int code;            /* first refusal or failure; 0: none */
    struct buf message;
};

static void push_free(struct push *p)
{
    write_free(&p->write);
    buf_reset(&p->message);
    mem_free(p);
}

struct arena *push_arena(struct push *push)
{
    return push->arena;
}

struct buf *push_buffer(struct push *push)
{
    struct unpacked *u = arena_zalloc(push->arena, sizeof *u);
    if (u == NULL)
        return NULL;
    u->next = push->unpacked;
    push->unpacked = u;
    return &u->bytes;
}

/* --- filling, on the pool ----------------------------------------------------------------- */

static void refuse(struct push *push, size_t index, int code, const char *text)
{
    if (push->code == 0)
        push->code = code;
    push->message.limit = MESSAGE_MAX;
    if (push->message.size > 0)
        buf_c(&push->message, "; ");
    buf_printf(&push->message, "push series with index %zu failed: %s", index, text);
}

static void discard(struct push *push, enum discard reason, uint64_t samples, uint64_t bytes)
{
    struct push_metrics *m = push->owner->metrics;
    struct str text = str_c(discard_text(reason));
    counter_add(COUNTER_AT(m->discarded_samples, text, push->tenant),
                samples > 0 ? samples : 1);
    counter_add(COUNTER_AT(m->discarded_bytes, text, push->tenant), bytes);
}

static int keep_streams(struct push *push, const struct ingest_result *r)
{
    size_t need = push->stream_count + r->stream_count;
    if (need > push->stream_cap) {
        struct ingest_stream *p = mem_realloc_array(push->streams, need * 2, sizeof *p);
        if (p == NULL)
            return ERR_NOMEM;
        push->streams = p;
        push->stream_cap = need * 2;
    }
    for (size_t i = 0; i < r->stream_count; i++)
        push->streams[push->stream_count++] = r->streams[i];
    return 0;
}

void push_note(struct push *push, size_t index, int rc, const struct ingest_result *r,
               const struct err *err)
{
    push->profiles++;
    struct push_metrics *m = push->owner->metrics;
    counter_inc(COUNTER_AT(m->received_profiles, push->tenant));
    counter_add(COUNTER_AT(m->received_bytes, push->tenant, STR("received")), r->bytes);
    if (rc == 0)
        rc = keep_streams(push, r);
    if (rc == 0)
        return;
    enum discard reason = r->reason == DISCARD_NONE ? DISCARD_UNKNOWN : r->reason;
    discard(push, reason, r->samples, r->bytes);
    refuse(push, index,
           rc == ERR_NOMEM           ? ERR_LIMIT
           : rc == ERR_UNIMPLEMENTED ? rc
                                     : ERR_INVAL,
           err->msg[0] != '\0' ? err->msg : err_text(rc));
}

struct ingest push_ingest(struct push *push)
{
    return (struct ingest){.arena = push->arena,
                           .form = push->form,
                           .limits = &push->owner->limits,
                           .now_ns = push->owner->now_ns()};
}

/* Unpack when it is gzip; the bytes live as long as the push, since the form borrows from them. */
static int unpack(struct push *push, struct str *raw, enum discard *reason, struct err *err)
{
    uint64_t max = push->owner->limits.profile_size_bytes;
    uint64_t left = push->owner->body_max - push->bytes;
    if (max == 0 || max > left)
        max = left;
    *reason = DISCARD_MALFORMED_PROFILE;
    if (raw->len == 0)
        return err_set(err, ERR_PARSE, "profile is empty");
    if (gzip_detect(*raw)) {
        struct buf *bytes = push_buffer(push);
        if (bytes == NULL)
            return err_set(err, ERR_NOMEM, "no memory for the profile");
        int rc = gzip_unpack(*raw, (size_t)max, bytes, err);
        if (rc == ERR_LIMIT) {
            *reason = max == left ? DISCARD_BODY_SIZE_LIMIT : DISCARD_PROFILE_SIZE_LIMIT;
            return err_set(err, ERR_LIMIT,
                           "profile exceeds the size limit of %llu bytes unpacked",
                           (unsigned long long)max);
        }
        if (rc != 0)
            return rc;
        *raw = buf_view(bytes);
    }
    push->bytes += raw->len;
    return 0;
}

/* Take one profile, gzip'd or not. */
static void take_profile(struct push *push, size_t index, struct str raw,
                         const struct label *labels, size_t count)
{
    struct err err = {0};
    struct ingest_result r = {.bytes = raw.len};
    struct ingest in = push_ingest(push);
    int rc = unpack(push, &raw, &r.reason, &err);
    if (rc == 0) {
        r.reason = DISCARD_NONE;
        rc = ingest_profile(&in, raw, labels, count, &r, &err);
    }
    push_note(push, index, rc, &r, &err);
}

/* What only filling needed. */
static void drop_scratch(struct push *push)
{
    for (struct unpacked *u = push->unpacked; u != NULL; u = u->next)
        buf_reset(&u->bytes);
    push->unpacked = NULL;
    push->form = NULL;
    mem_free(push->streams);
    push->streams = NULL;
    arenas_give(&push->owner->arenas, &push->arena);
}

static void run_fill(void *arg)
{
    struct push *push = arg;
    struct err err = {0};
    int rc = arenas_take(&push->owner->arenas, &push->arena);
    if (rc == 0)
        rc = form_begin(&push->form, push->arena);
    if (rc == 0) {
        push->fill(push->arg, push);
        if (push->stream_count > 0)
            rc = write_init(&push->write, push->owner->writer, push->tenant, push->form,
                            push->streams, push->stream_count, &err);
    }
    drop_scratch(push);
    if (rc != 0) {
        push->code = rc;
        buf_clear(&push->message);
        buf_c(&push->message, err.msg);
    }
}

/* --- the end, on the loop ----------------------------------------------------------------- */

static void answer(struct push *push, int code, const char *message)
{
    char text[MESSAGE_MAX + 1];
    size_t n = strlen(message) < MESSAGE_MAX ? strlen(message) : MESSAGE_MAX;
    memcpy(text, message, n);
    text[n] = '\0';
    push_reply_fn reply = push->reply;
    void *arg = push->arg;
    push_free(push);
    reply(arg, code == 0 ? RPC_OK : rpc_code_of_err(code), text);
}

/* What was refused decides the answer of a push whose rest is kept. */
static void answer_refusals(struct push *push)
{
    buf_u8(&push->message, '\0');
    if (push->message.error != 0 && push->message.size > 0)
        push->message.data[push->message.size - 1] = '\0';
    answer(push, push->code, push->message.size > 0 ? (const char *)push->message.data : "");
}

static void on_written(void *arg, int code, const char *message)
{
    struct push *push = arg;
    if (code != 0)
        answer(push, code == ERR_INVAL || code == ERR_LIMIT ? code : ERR_UNAVAILABLE, message);
    else
        answer_refusals(push);
}

static void on_filled(void *arg)
{
    struct push *push = arg;
    if (push->write == NULL) {
        if (push->code == 0 && push->profiles == 0) {
            push->code = ERR_INVAL;
            buf_c(&push->message, "no profiles received");
        }
        answer_refusals(push);
        return;
    }
    write_send(&push->write, push->req->loop, push->owner->clients[push->req->thread],
               on_written, push);
}

int push_start(struct pusher *p, struct http_req *req, struct str tenant, push_fill_fn fill,
               push_reply_fn reply, void *arg, struct err *err)
{
    struct push *push = mem_zalloc(sizeof *push);
    if (push == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the push");
    *push = (struct push){
        .owner = p, .req = req, .tenant = tenant, .fill = fill, .reply = reply, .arg = arg};
    push->job =
        (struct pool_job){.run = run_fill, .done = on_filled, .arg = push, .home = req->loop};
    int rc = pool_submit(p->pool, &push->job);
    if (rc != 0) {
        push_free(push);
        return err_set(err, rc, "too many pushes wait: try again");
    }
    return 0;
}

/* --- Push --------------------------------------------------------------------------------- */

static void fill_push(void *arg, struct push *push)
{
    struct rpc_call *call = arg;
    const struct push_v1_push_request *r = call->request;
    for (size_t i = 0; i < r->series_count; i++) {
        const struct push_v1_raw_profile_series *s = &r->series[i];
        struct label *labels = arena_calloc(push->arena, s->labels_count + 1, sizeof *labels);
        if (labels == NULL) {
            refuse(push, i, ERR_LIMIT, "no memory for labels");
            return;
        }
        for (size_t k = 0; k < s->labels_count; k++)
            labels[k] = (struct label){s->labels[k].name, s->labels[k].value};
        for (size_t k = 0; k < s->samples_count; k++)
            take_profile(push, i, s->samples[k].raw_profile, labels, s->labels_count);
    }
}

static void reply_push(void *arg, enum rpc_code code, const char *message)
{
    struct rpc_call *call = arg;
    if (code == RPC_OK)
        rpc_reply(call, &(struct push_v1_push_response){0});
    else
        rpc_fail(call, code, "%s", message);
}

static void on_push(void *arg, struct rpc_call *call)
{
    struct err err = {0};
    if (push_start(arg, call->http, call->tenant, fill_push, reply_push, call, &err) != 0)
        rpc_fail(call, RPC_UNAVAILABLE, "%s", err.msg); /* to be sent again */
}

int push_register(struct pusher *p, struct rpc_server *rpc, struct err *err)
{
    static struct msg_limits limits; /* a profile in JSON is base64: as large as any */
    static struct rpc_method method = {"/push.v1.PusherService/Push",
                                       &push_v1_push_request_msg,
                                       &push_v1_push_response_msg,
                                       on_push,
                                       NULL,
                                       0,
                                       0,
                                       0,
                                       &limits};
    limits.json_bytes_max = (size_t)p->body_max;
    method.arg = p;
    method.body_max = (size_t)p->body_max;
    arenas_init(&p->arenas, ARENA_FIRST, ARENA_KEPT, NULL);
    method.deadline_ms = p->deadline_ms;
    return rpc_server_add(rpc, &method, 1, err);
}

void pusher_reset(struct pusher *p)
{
    arenas_reset(&p->arenas);
}
