/* distributor/write.c - replica sets, dots, and the sends. */
#include "write.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingester.msg.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "profile/form.h"
#include "profile/ingest.h"
#include "ring/ackset.h"
#include "ring/desc.h"
#include "ring/dots.h"
#include "ring/ring_uv.h"
#include "ring/token.h"
#include "rpc/client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define APPEND_PATH "/emberring.ingester.v1.IngesterService/Append"

enum {
    SEQ_RENEW = 0x7fffffff,
    RESPONSE_MAX = 4 << 20,
    SETS_MAX = 4096,
    CALL_BYTES = 16 << 10, /* what a call takes beside its body */
    FACTOR_LOG_MS = 60000,
};

const struct metric_row write_metric_rows[] = {
    METRIC_COUNTER_VEC_ROW(write_metrics, appends, 0, "distributor_ingester_appends_total",
                           "result", "Writes sent to single ingesters, by how they ended."),
    METRIC_GAUGE_ROW(write_metrics, inflight, 0, "distributor_ingester_appends_inflight",
                     "Writes to single ingesters that have not ended."),
    METRIC_COUNTER_ROW(
        write_metrics, shed, 0, "distributor_ingester_appends_shed_total",
        "Writes that were not sent, since too many bytes wait for the ingester."),
    {.kind = METRIC_END},
};

struct writer {
    struct writer_config c;
    pthread_mutex_t lock;
    uint8_t name[WRITER_SIZE];
    struct map *next;           /* set key -> last number given */
    struct map *flights;        /* address -> struct flight, of those that are called now */
    struct log_rate factor_rate;
    _Atomic uint64_t last_hash; /* of the roster, as ingesters last said */
};

int writer_init(struct writer **out, const struct writer_config *config)
{
    struct writer *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->c = *config;
    if (map_init(&w->next) != 0 || map_init(&w->flights) != 0) {
        map_free(&w->next);
        mem_free(w);
        return ERR_NOMEM;
    }
    clock_entropy(w->name, sizeof w->name);
    ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    *out = w;
    return 0;
}

void writer_free(struct writer **w)
{
    if (*w == NULL)
        return;
    map_free(&(*w)->next);
    map_free(&(*w)->flights); /* no call is under way: it is empty */
    (void)pthread_mutex_destroy(&(*w)->lock);
    mem_free(*w);
    *w = NULL;
}

/* `count` numbers of the lane (writer, set): *first is the lowest, `name` the writer's name
 * they belong to. A lane's numbers never repeat under one name. */
static int take_numbers(struct writer *w, struct str set, uint32_t count, uint32_t *first,
                        uint8_t name[WRITER_SIZE])
{
    (void)pthread_mutex_lock(&w->lock);
    uintptr_t last = (uintptr_t)map_get(w->next, set);
    if (last + count > SEQ_RENEW || map_count(w->next) >= SETS_MAX) {
        clock_entropy(w->name, sizeof w->name); /* a new life: all lanes start anew */
        map_clear(w->next);
        last = 0;
    }
    int rc = map_put(w->next, set, (void *)(last + count), NULL);
    memcpy(name, w->name, WRITER_SIZE);
    (void)pthread_mutex_unlock(&w->lock);
    *first = (uint32_t)last + 1;
    return rc;
}

/* What waits for one ingester, in all writes. */
struct flight {
    uint32_t calls;
    uint64_t bytes;
};

/* Count a call to `addr`. ERR_UNAVAILABLE: too much waits for it already; ERR_NOMEM. A single
 * call of any size is let through. */
static int flight_add(struct writer *w, const char *addr, uint64_t bytes)
{
    int rc = 0;
    (void)pthread_mutex_lock(&w->lock);
    struct flight *f = map_get(w->flights, str_c(addr));
    if (f == NULL) {
        f = mem_zalloc(sizeof *f);
        rc = f == NULL ? ERR_NOMEM : map_put(w->flights, str_c(addr), f, NULL);
        if (rc != 0)
            mem_free(f);
    } else if (f->bytes + bytes > w->c.inflight_bytes) {
        rc = ERR_UNAVAILABLE;
    }
    if (rc == 0) {
        f->calls++;
        f->bytes += bytes;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

static void flight_end(struct writer *w, const char *addr, uint64_t bytes)
{
    (void)pthread_mutex_lock(&w->lock);
    struct flight *f = map_get(w->flights, str_c(addr));
    ASSERT(f != NULL && f->calls > 0);
    f->bytes -= bytes;
    if (--f->calls == 0) {
        (void)map_remove(w->flights, str_c(addr));
        mem_free(f);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* --- making a write ----------------------------------------------------------------------- */

/* One replica that a shard is sent to. */
struct target {
    struct shard *shard;
    struct rpc_out *call;
    char *addr, *id;
};

/* The profiles of one replica set. */
struct shard {
    struct write *owner;
    struct ackset *acks;
    struct target *targets;
    uint32_t target_count;
    struct buf body; /* an AppendRequest */
    char *set;       /* its ids, each with a NUL behind it: the lane's key */
    size_t set_len;
    uint32_t *profiles; /* of the form, while it is made */
    uint32_t profile_count;
    bool decided;
};

struct write {
    struct writer *writer;
    struct shard *shards;
    size_t shard_count, undecided;
    uint32_t calls; /* under way */
    struct loop *loop;
    write_done_fn done;
    void *arg;
};

static void shard_reset(struct shard *s)
{
    for (uint32_t i = 0; i < s->target_count; i++) {
        mem_free(s->targets[i].addr);
        mem_free(s->targets[i].id);
    }
    mem_free(s->targets);
    mem_free(s->set);
    mem_free(s->profiles);
    buf_reset(&s->body);
    ackset_free(&s->acks);
}

void write_free(struct write **out)
{
    struct write *w = *out;
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->shard_count; i++)
        shard_reset(&w->shards[i]);
    mem_free(w->shards);
    mem_free(w);
    *out = NULL;
}

/* The ids of a look-up as one text, each with a NUL behind it. */
static int set_key(const struct ring_set *set, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < set->count; i++) {
        buf_str(out, set->items[i]->id);
        buf_u8(out, 0);
    }
    return out->error;
}

static int add_target(struct shard *s, const struct ring_instance *in)
{
    struct target *t = &s->targets[s->target_count];
    *t = (struct target){.shard = s, .addr = str_dup_c(in->addr), .id = str_dup_c(in->id)};
    s->target_count++;
    return t->addr == NULL || t->id == NULL ? ERR_NOMEM : 0;
}

/* Who takes the writes of a set now: healthy members of ours. */
static int choose_targets(const struct writer *w, const struct ring *ring, struct ring_set *set,
                          struct shard *s, struct err *err)
{
    int rc = ring_set_filter(ring, RING_WRITE, 0, w->c.now(), set, err);
    if (rc != 0)
        return rc;
    s->targets = mem_calloc(set->count, sizeof *s->targets);
    struct str *domains = mem_calloc(set->count, sizeof *domains);
    if (s->targets == NULL || domains == NULL)
        rc = ERR_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < set->count; i++)
        if (ring_instance_version(set->items[i], RING_VERSION_EXACT) != 0) /* else: foreign */
            rc = add_target(s, set->items[i]);
    for (uint32_t i = 0; rc == 0 && i < s->target_count; i++)
        domains[i] =
            str_c(s->targets[i].id); /* what fails as one: without zones the instance */
    if (rc == 0)
        rc = ackset_init(&s->acks, w->c.replication_factor, domains, s->target_count);
    mem_free(domains);
    if (rc == 0 && ackset_state(s->acks) == ACKSET_FAILED)
        return err_set(err, ERR_UNAVAILABLE,
                       "at least %u live replicas required, could only find %u",
                       quorum_of(w->c.replication_factor), s->target_count);
    return rc == 0 ? 0 : err_set(err, rc, "choosing replicas: %s", err_text(rc));
}

/* The shard of the set in `key`, made when new. */
static int shard_of(struct write *wr, const struct ring *ring, struct ring_set *set,
                    const struct buf *key, size_t streams, struct shard **out, struct err *err)
{
    for (size_t i = 0; i < wr->shard_count; i++) {
        *out = &wr->shards[i];
        if (str_eq(str_of((*out)->set, (*out)->set_len), buf_view(key)))
            return 0;
    }
    struct shard *s = &wr->shards[wr->shard_count];
    *s = (struct shard){.owner = wr, .set_len = key->size};
    s->set = mem_dup(key->data, key->size);
    s->profiles = mem_calloc(streams, sizeof *s->profiles);
    wr->shard_count++;
    if (s->set == NULL || s->profiles == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the write");
    *out = s;
    return choose_targets(wr->writer, ring, set, s, err);
}

/* Every stream into the shard of its set. */
static int place(struct write *wr, const struct ring *ring, struct str tenant,
                 const struct ingest_stream *streams, size_t count, struct err *err)
{
    struct ring_set set = {0};
    struct buf key = {0};
    struct shard *s = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i == 0 || !str_eq(streams[i].service, streams[i - 1].service)) {
            uint32_t token = ring_token_of(tenant, streams[i].service);
            ring_set_reset(&set);
            rc = ring_set_living(ring, token, RING_WRITE, 0, wr->writer->c.now(), &set, err);
            if (rc == 0 && set_key(&set, &key) != 0)
                rc = err_set(err, ERR_NOMEM, "no memory for the write");
            if (rc == 0)
                rc = shard_of(wr, ring, &set, &key, count, &s, err);
        }
        if (rc == 0)
            s->profiles[s->profile_count++] = streams[i].profile;
    }
    ring_set_reset(&set);
    buf_reset(&key);
    return rc;
}

/* Dots for the profiles of a shard: one lane, rising numbers. */
static int number(struct shard *s, struct form_writer *form)
{
    uint8_t name[WRITER_SIZE];
    struct str ids[DOTS_SET_MAX];
    uint32_t count = 0, first = 0, lane = 0;
    struct str rest = str_of(s->set, s->set_len);
    while (rest.len > 0 && count < DOTS_SET_MAX) {
        ids[count] = str_head(rest, str_find(rest, '\0'));
        rest = str_skip(rest, ids[count].len + 1);
        count++;
    }
    int rc = take_numbers(s->owner->writer, str_of(s->set, s->set_len), s->profile_count,
                          &first, name);
    if (rc == 0)
        rc = form_add_lane(form, name, ids, count, &lane);
    for (uint32_t i = 0; rc == 0 && i < s->profile_count; i++)
        rc = form_set_dot(form, s->profiles[i], lane, first + i);
    return rc;
}

static int put_body(struct shard *s, struct str tenant, struct str form)
{
    struct ingester_v1_append_request r = {
        .tenant = tenant,
        .form = form,
        .kind = APPEND_KIND_WRITE,
        .replication_factor = s->owner->writer->c.replication_factor,
        .roster_hash = atomic_load(&s->owner->writer->last_hash),
    };
    msg_encode(&ingester_v1_append_request_msg, &r, &s->body);
    return s->body.error;
}

/* The form, whole for one set, divided for several, into the bodies. */
static int put_bodies(struct write *wr, struct str tenant, struct form_writer *form,
                      struct err *err)
{
    struct buf whole = {0};
    struct arena *a = NULL;
    struct form f;
    int rc = form_finish(form, &whole);
    if (rc == 0)
        rc = whole.error;
    if (rc == 0 && wr->shard_count == 1) {
        rc = put_body(&wr->shards[0], tenant, buf_view(&whole));
    } else if (rc == 0) {
        rc = arena_init(&a, 0, NULL);
        if (rc == 0)
            rc = form_open(&f, buf_view(&whole), NULL, a, err);
        for (size_t i = 0; rc == 0 && i < wr->shard_count; i++) {
            struct shard *s = &wr->shards[i];
            struct buf part = {0};
            rc = form_subset(&f, s->profiles, s->profile_count, a, &part);
            if (rc == 0)
                rc = part.error != 0 ? part.error : put_body(s, tenant, buf_view(&part));
            buf_reset(&part);
        }
        arena_free(&a);
    }
    buf_reset(&whole);
    return rc == 0 ? 0 : err_set(err, rc, "writing the form: %s", err_text(rc));
}

int write_init(struct write **out, struct writer *w, struct str tenant,
               struct form_writer *form, const struct ingest_stream *streams, size_t count,
               struct err *err)
{
    struct ring *ring = ring_watch_hold(w->c.ring);
    if (ring == NULL)
        return err_set(err, ERR_UNAVAILABLE, "empty ring");
    struct write *wr = mem_zalloc(sizeof *wr);
    int rc = ERR_NOMEM;
    if (wr != NULL) {
        wr->writer = w;
        wr->shards = mem_calloc(count, sizeof *wr->shards);
        rc = wr->shards == NULL ? ERR_NOMEM : place(wr, ring, tenant, streams, count, err);
    }
    ring_drop(&ring);
    for (size_t i = 0; rc == 0 && i < wr->shard_count; i++)
        rc = number(&wr->shards[i], form);
    if (rc == 0)
        rc = put_bodies(wr, tenant, form, err);
    if (rc != 0) {
        write_free(&wr);
        if (err != NULL && err->msg[0] == '\0')
            (void)err_set(err, rc, "preparing the write: %s", err_text(rc));
        return rc;
    }
    *out = wr;
    return 0;
}

/* --- sending ------------------------------------------------------------------------------ */

static void finish(struct write *w, int code, const char *message)
{
    write_done_fn done = w->done;
    w->done = NULL;
    if (done != NULL)
        done(w->arg, code, message);
}

static void end_call(struct write *w)
{
    gauge_add(w->writer->c.metrics->inflight, -1);
    if (--w->calls == 0)
        write_free(&w);
}

/* An ack or a failure may have decided the shard, and with it the write. */
static void judge(struct shard *s, const char *message)
{
    struct write *w = s->owner;
    enum ackset_state state = ackset_state(s->acks);
    if (s->decided || state == ACKSET_OPEN)
        return;
    s->decided = true;
    if (state == ACKSET_FAILED)
        finish(w, ackset_error(s->acks), message);
    else if (--w->undecided == 0)
        finish(w, 0, "");
}

static uint64_t call_bytes(const struct shard *s)
{
    return s->body.size + CALL_BYTES;
}

/* Every push is refused while the factor is not the cluster's: only the operator can mend it. */
static void look_for_factor(struct writer *w, const struct target *t,
                            const struct rpc_result *result)
{
    uint64_t left_out = 0;
    if (w->c.log == NULL || result->code != RPC_FAILED_PRECONDITION ||
        !str_starts_with(str_c(result->message), STR("wrong_replication_factor")))
        return;
    (void)pthread_mutex_lock(&w->lock);
    bool pass = log_rate_pass(&w->factor_rate, clock_mono_ms(), FACTOR_LOG_MS, &left_out);
    (void)pthread_mutex_unlock(&w->lock);
    if (pass)
        log_line(w->c.log, LOG_WARN,
                 "pushes are refused: -distributor.replication-factor is not the cluster's",
                 LOG_U("replication_factor", w->c.replication_factor), LOG_C("ingester", t->id),
                 LOG_C("err", result->message), LOG_U("left_out", left_out));
}

static void on_append(void *arg, const struct rpc_result *result)
{
    struct target *t = arg;
    struct shard *s = t->shard;
    struct write *w = s->owner;
    uint32_t index = (uint32_t)(t - s->targets);
    struct arena *a = NULL;
    struct ingester_v1_append_response r;
    char message[320] = "";
    flight_end(w->writer, t->addr, call_bytes(s));
    if (result->code != RPC_OK) {
        look_for_factor(w->writer, t, result);
        (void)snprintf(message, sizeof message, "%s: %s", t->id, result->message);
        (void)ackset_fail(s->acks, index, rpc_err_of_code(result->code));
    } else if (arena_init(&a, 1024, NULL) != 0 ||
               msg_decode(&ingester_v1_append_response_msg, &r, result->body, a, NULL, NULL) !=
                   0) {
        (void)snprintf(message, sizeof message, "%s: broken answer", t->id);
        (void)ackset_fail(s->acks, index, ERR_PARSE);
    } else {
        atomic_store(&w->writer->last_hash, r.roster_hash);
        (void)ackset_ack(s->acks, index, disk_of(r.disk), r.domain, r.roster_hash);
    }
    arena_free(&a);
    counter_inc(COUNTER_AT(w->writer->c.metrics->appends, str_c(rpc_code_name(result->code))));
    judge(s, message);
    end_call(w); /* frees w with the last one */
}

static int send_to(struct target *t, struct http_client *client, mono_ms deadline)
{
    struct shard *s = t->shard;
    struct writer *w = s->owner->writer;
    int rc = flight_add(w, t->addr, call_bytes(s));
    if (rc == ERR_UNAVAILABLE)
        counter_inc(w->c.metrics->shed);
    if (rc != 0)
        return rc;
    struct rpc_ask ask = {.host_port = str_c(t->addr),
                          .path = APPEND_PATH,
                          .body = buf_view(&s->body),
                          .deadline = deadline,
                          .response_max = RESPONSE_MAX,
                          .done = on_append,
                          .arg = t};
    rc = rpc_start(client, &ask, &t->call, NULL);
    if (rc != 0)
        flight_end(w, t->addr, call_bytes(s));
    return rc;
}

static void send_shard(struct shard *s, struct http_client *client)
{
    struct write *w = s->owner;
    mono_ms deadline = loop_now(w->loop) + w->writer->c.timeout_ms;
    for (uint32_t i = 0; i < s->target_count; i++) {
        int rc = send_to(&s->targets[i], client, deadline);
        if (rc != 0) {
            (void)ackset_fail(s->acks, i, rc);
            continue;
        }
        w->calls++;
        gauge_add(w->writer->c.metrics->inflight, 1);
    }
}

void write_send(struct write **write, struct loop *loop, struct http_client *client,
                write_done_fn done, void *arg)
{
    struct write *w = *write;
    *write = NULL;
    w->loop = loop;
    w->done = done;
    w->arg = arg;
    w->undecided = w->shard_count;
    w->calls = 1; /* until all are started */
    gauge_add(w->writer->c.metrics->inflight, 1);
    for (size_t i = 0; i < w->shard_count; i++)
        send_shard(&w->shards[i], client);
    for (size_t i = 0; i < w->shard_count; i++)
        judge(&w->shards[i], "too few replicas could be called: too many writes wait for them");
    end_call(w);
}
