/* querier/fanout.c - calls around a read plan. */
#include "fanout.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingester.msg.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "rpc/client.h"

#include <pthread.h>
#include <stdio.h>

#define PATH(name) "/emberring.ingester.v1.IngesterService/" name

enum { LAZY_AFTER = 3, RESPONSE_MAX = 256 << 20 };

static const double round_bounds[] = {1, 2, 3, 4};
static const double byte_bounds[] = {256, 1024, 4096, 16384, 65536, 262144};

const struct metric_row fanout_metric_rows[] = {
    METRIC_COUNTER_VEC_ROW(fanout_metrics, completeness, 0, "querier_completeness_total",
                           "result,reason",
                           "Answers by whether they are certain to be complete."),
    METRIC_HISTOGRAM_ROW(fanout_metrics, rounds, 0, "querier_exact_rounds",
                         "Rounds that a query needed.", round_bounds, 4),
    METRIC_HISTOGRAM_ROW(fanout_metrics, vector_bytes, 0, "querier_exact_vector_bytes",
                         "Bytes in which one ingester said what it holds.", byte_bounds, 6),
    METRIC_COUNTER_VEC_ROW(fanout_metrics, abandoned, 0, "querier_exact_parts_abandoned_total",
                           "cause",
                           "Parts of answers that were counted and not used, or failed."),
    {.kind = METRIC_END},
};

struct fanout_env {
    struct fanout_config c;
    pthread_mutex_t lock;
    struct roster *cached;
    struct map *misses; /* instance -> number of calls missed in a row */
};

int fanout_env_init(struct fanout_env **out, const struct fanout_config *config)
{
    struct fanout_env *env = mem_zalloc(sizeof *env);
    if (env == NULL)
        return ERR_NOMEM;
    env->c = *config;
    if (roster_init(&env->cached) != 0 || map_init(&env->misses) != 0) {
        roster_free(&env->cached);
        mem_free(env);
        return ERR_NOMEM;
    }
    ASSERT(pthread_mutex_init(&env->lock, NULL) == 0);
    *out = env;
    return 0;
}

void fanout_env_free(struct fanout_env **env)
{
    if (*env == NULL)
        return;
    roster_free(&(*env)->cached);
    map_free(&(*env)->misses);
    (void)pthread_mutex_destroy(&(*env)->lock);
    mem_free(*env);
    *env = NULL;
}

/* Count a missed call of an instance, or forget its misses. */
static void note(struct fanout_env *env, struct str instance, bool missed)
{
    (void)pthread_mutex_lock(&env->lock);
    uintptr_t n = (uintptr_t)map_get(env->misses, instance);
    if (!missed)
        (void)map_remove(env->misses, instance);
    else if (n < LAZY_AFTER)
        (void)map_put(env->misses, instance, (void *)(n + 1),
                      NULL); /* without memory: waited for */
    (void)pthread_mutex_unlock(&env->lock);
}

/* --- a fan-out ---------------------------------------------------------------------------- */

struct part {
    struct list link;
    struct buf bytes;
};

struct call {
    struct list link;
    struct fanout *owner;
    struct rpc_out *rpc;
    enum read_verb verb;
    uint32_t id;
    struct buf body;
    char instance[128]; /* cut: for counting misses only */
};

struct fanout {
    struct fanout_env *env;
    struct fanout_ask ask;
    struct arena *arena;
    struct readplan *plan;
    struct loop_timer *timer;
    struct list calls, parts;
    size_t part_count;
    uint64_t hash; /* of the cached roster that the plan was given */
    char message[256];
};

static void pump(struct fanout *f);

static void call_free(struct call *c)
{
    list_remove(&c->link);
    buf_reset(&c->body);
    mem_free(c);
}

static void drop_calls(struct fanout *f)
{
    LIST_EACH_SAFE(it, &f->calls)
    {
        struct call *c = LIST_ITEM(it, struct call, link);
        rpc_cancel(c->rpc);
        if (c->verb == READ_ASK)
            note(f->env, str_c(c->instance), true);
        call_free(c);
    }
}

static void drop_parts(struct fanout *f)
{
    LIST_EACH_SAFE(it, &f->parts)
    {
        struct part *p = LIST_ITEM(it, struct part, link);
        list_remove(&p->link);
        buf_reset(&p->bytes);
        mem_free(p);
    }
    f->part_count = 0;
}

static void fanout_free(struct fanout *f)
{
    drop_calls(f);
    drop_parts(f);
    loop_timer_free(&f->timer);
    readplan_free(&f->plan);
    arena_free(&f->arena);
    mem_free(f);
}

/* Kept before the plan hears of it: an answer that it takes for given must not get lost. */
static int keep_part(struct fanout *f, struct str bytes)
{
    struct part *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    list_init(&p->link);
    buf_str(&p->bytes, bytes);
    if (p->bytes.error != 0) {
        buf_reset(&p->bytes);
        mem_free(p);
        return ERR_NOMEM;
    }
    list_push_back(&f->parts, &p->link);
    f->part_count++;
    return 0;
}

static void drop_last_part(struct fanout *f)
{
    struct part *p = LIST_ITEM(f->parts.prev, struct part, link);
    list_remove(&p->link);
    buf_reset(&p->bytes);
    mem_free(p);
    f->part_count--;
}

/* --- answers ------------------------------------------------------------------------------ */

static int take_aliases(const struct ingester_v1_vector_response *r, struct aliases **out)
{
    if (r->aliases_count == 0)
        return 0;
    int rc = aliases_init(out);
    for (size_t i = 0; rc == 0 && i < r->aliases_count; i++)
        rc = aliases_decode(*out, r->aliases[i], NULL, NULL);
    return rc;
}

static int take_vector(struct fanout *f, struct call *c, struct str body, struct arena *a)
{
    struct ingester_v1_vector_response r;
    struct vector *held = NULL;
    struct aliases *repeats = NULL;
    struct roster *roster = NULL;
    bool truncated = false;
    int rc = msg_decode(&ingester_v1_vector_response_msg, &r, body, a, NULL, NULL);
    if (rc == 0)
        rc = vector_decode(&held, &truncated, r.held, NULL, NULL);
    if (rc == 0)
        rc = take_aliases(&r, &repeats);
    if (rc == 0 && r.roster != NULL)
        rc = roster_from_msg(&roster, r.roster, NULL);
    if (rc == 0) {
        struct read_reply reply = {disk_of(r.disk), r.instance, r.domain, r.established,
                                   truncated,       held,       repeats,  roster};
        histogram_observe(f->env->c.metrics->vector_bytes, (double)r.held.len);
        rc = readplan_replied(f->plan, c->id, &reply, loop_now(f->ask.loop));
    } else {
        rc = readplan_failed(f->plan, c->id, rc, loop_now(f->ask.loop));
    }
    vector_free(&held);
    aliases_free(&repeats);
    roster_free(&roster);
    return rc;
}

static int take_names(struct fanout *f, struct call *c, struct str body, struct arena *a)
{
    struct ingester_v1_names_response r;
    struct roster *roster = NULL;
    int rc = msg_decode(&ingester_v1_names_response_msg, &r, body, a, NULL, NULL);
    if (rc == 0 && r.roster != NULL)
        rc = roster_from_msg(&roster, r.roster, NULL);
    if (rc == 0) {
        struct read_reply reply = {.disk = disk_of(r.disk),
                                   .instance = r.instance,
                                   .domain = r.domain,
                                   .established = r.established,
                                   .roster = roster};
        rc = keep_part(f, r.result);
        if (rc == 0 &&
            (rc = readplan_replied(f->plan, c->id, &reply, loop_now(f->ask.loop))) != 0)
            drop_last_part(f);
    } else {
        rc = readplan_failed(f->plan, c->id, rc, loop_now(f->ask.loop));
    }
    roster_free(&roster);
    return rc;
}

static int take_keys(struct fanout *f, struct call *c, struct str body, struct arena *a)
{
    struct ingester_v1_keys_response r;
    int rc = msg_decode(&ingester_v1_keys_response_msg, &r, body, a, NULL, NULL);
    struct read_key *keys = NULL;
    if (rc == 0 && (keys = arena_calloc(a, r.keys_count + 1, sizeof *keys)) == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < r.keys_count; i++) {
        const struct ingester_v1_key *k = &r.keys[i];
        if (k->writer.len != WRITER_SIZE || k->set_count == 0 || k->set_count > UINT32_MAX)
            rc = ERR_PARSE;
        keys[i] = (struct read_key){
            .lane = {(const uint8_t *)k->writer.data, k->set, (uint32_t)k->set_count},
            .seq = k->seq,
            .series = k->series,
            .time_ns = k->time_ns,
            .nonce = k->nonce,
        };
    }
    mono_ms now = loop_now(f->ask.loop);
    if (rc != 0)
        return readplan_failed(f->plan, c->id, rc, now);
    return readplan_keys(f->plan, c->id, keys, (uint32_t)r.keys_count, now);
}

static int take_count(struct fanout *f, struct call *c, struct str body, struct arena *a)
{
    struct ingester_v1_count_response r;
    int rc = msg_decode(&ingester_v1_count_response_msg, &r, body, a, NULL, NULL);
    if (rc != 0)
        return readplan_failed(f->plan, c->id, rc, loop_now(f->ask.loop));
    rc = keep_part(f, r.result);
    if (rc == 0 && (rc = readplan_counted(f->plan, c->id, loop_now(f->ask.loop))) != 0)
        drop_last_part(f);
    if (rc == ERR_STALE)
        counter_inc(COUNTER_AT(f->env->c.metrics->abandoned, STR("slow")));
    return rc;
}

static void take_failure(struct fanout *f, struct call *c, const struct rpc_result *result)
{
    bool moved = result->code == RPC_FAILED_PRECONDITION;
    int code = moved ? ERR_MOVED : rpc_err_of_code(result->code);
    if (c->verb == READ_COUNT)
        counter_inc(
            COUNTER_AT(f->env->c.metrics->abandoned, moved ? STR("moved") : STR("failed")));
    if (result->message[0] != '\0')
        (void)snprintf(f->message, sizeof f->message, "%s: %s", c->instance, result->message);
    (void)readplan_failed(f->plan, c->id, code, loop_now(f->ask.loop));
}

static void on_result(void *arg, const struct rpc_result *result)
{
    struct call *c = arg;
    struct fanout *f = c->owner;
    struct arena *a = NULL;
    int rc = 0;
    if (c->verb == READ_ASK)
        note(f->env, str_c(c->instance), result->code != RPC_OK);
    if (result->code != RPC_OK)
        take_failure(f, c, result);
    else if ((rc = arena_init(&a, 0, NULL)) != 0)
        (void)readplan_failed(f->plan, c->id, rc, loop_now(f->ask.loop));
    else if (c->verb == READ_ASK)
        rc = f->ask.names ? take_names(f, c, result->body, a)
                          : take_vector(f, c, result->body, a);
    else if (c->verb == READ_KEYS)
        rc = take_keys(f, c, result->body, a);
    else
        rc = take_count(f, c, result->body, a);
    if (rc == ERR_NOMEM)
        (void)readplan_failed(f->plan, c->id, rc, loop_now(f->ask.loop));
    arena_free(&a);
    call_free(c);
    pump(f);
}

/* --- calls -------------------------------------------------------------------------------- */

static void put_ask(const struct fanout *f, struct buf *out)
{
    if (f->ask.names) {
        struct ingester_v1_names_request r = {f->ask.tenant, str_c(f->ask.method), f->ask.query,
                                              f->hash};
        msg_encode(&ingester_v1_names_request_msg, &r, out);
        return;
    }
    struct ingester_v1_vector_request r = {.tenant = f->ask.tenant,
                                           .start_ms = f->ask.start_ms,
                                           .end_ms = f->ask.end_ms,
                                           .kind = VECTOR_KIND_QUERY,
                                           .roster_hash = f->hash};
    msg_encode(&ingester_v1_vector_request_msg, &r, out);
}

static void put_count(const struct fanout *f, const struct read_action *a, struct buf *out)
{
    struct buf include = {0};
    vector_encode(a->include, false, &include);
    struct ingester_v1_count_request r = {.disk = disk_str(&a->disk),
                                          .tenant = f->ask.tenant,
                                          .query = f->ask.query,
                                          .include = buf_view(&include),
                                          .round = a->round,
                                          .part = a->part,
                                          .method = str_c(f->ask.method)};
    msg_encode(&ingester_v1_count_request_msg, &r, out);
    if (include.error != 0)
        out->error = include.error;
    buf_reset(&include);
}

static void put_keys(const struct fanout *f, const struct read_action *a, struct buf *out)
{
    struct buf of = {0};
    struct ingester_v1_key *find = mem_calloc(a->find_count, sizeof *find);
    if (find == NULL) {
        out->error = ERR_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < a->find_count; i++)
        find[i] = (struct ingester_v1_key){.series = a->find[i].series,
                                           .time_ns = a->find[i].time_ns,
                                           .nonce = a->find[i].nonce};
    if (a->of != NULL)
        vector_encode(a->of, false, &of);
    struct ingester_v1_keys_request r = {.disk = disk_str(&a->disk),
                                         .tenant = f->ask.tenant,
                                         .query = f->ask.query,
                                         .of = buf_view(&of),
                                         .find_count = a->find_count,
                                         .find = find,
                                         .method = str_c(f->ask.method)};
    msg_encode(&ingester_v1_keys_request_msg, &r, out);
    if (of.error != 0)
        out->error = of.error;
    buf_reset(&of);
    mem_free(find);
}

static void start_call(struct fanout *f, const struct read_action *a)
{
    struct call *c = mem_zalloc(sizeof *c);
    int rc = c == NULL ? ERR_NOMEM : 0;
    const char *path = a->verb == READ_COUNT  ? PATH("Count")
                       : a->verb == READ_KEYS ? PATH("Keys")
                       : f->ask.names         ? PATH("Names")
                                              : PATH("Vector");
    if (rc == 0) {
        *c = (struct call){.owner = f, .verb = a->verb, .id = a->call};
        (void)snprintf(c->instance, sizeof c->instance, "%.*s", STR_ARG(a->instance));
        list_push_back(&f->calls, &c->link);
        if (a->verb == READ_COUNT)
            put_count(f, a, &c->body);
        else if (a->verb == READ_KEYS)
            put_keys(f, a, &c->body);
        else
            put_ask(f, &c->body);
        rc = c->body.error;
    }
    if (rc == 0) {
        struct rpc_ask ask = {.host_port = a->addr,
                              .path = path,
                              .body = buf_view(&c->body),
                              .deadline = f->ask.deadline,
                              .response_max = RESPONSE_MAX,
                              .done = on_result,
                              .arg = c};
        rc = rpc_start(f->ask.client, &ask, &c->rpc, NULL);
    }
    if (rc == 0)
        return;
    if (c != NULL)
        call_free(c);
    (void)readplan_failed(f->plan, a->call, rc, loop_now(f->ask.loop));
}

/* --- the plan ----------------------------------------------------------------------------- */

static void remember_roster(struct fanout *f)
{
    const struct roster *all = readplan_roster(f->plan);
    if (all == NULL || roster_hash(all) == f->hash)
        return;
    (void)pthread_mutex_lock(&f->env->lock);
    (void)roster_merge(f->env->cached, all, NULL); /* without memory: learnt again next time */
    (void)pthread_mutex_unlock(&f->env->lock);
}

static void count_verdict(struct fanout *f, const struct read_verdict *v)
{
    static const struct {
        enum read_reason bit;
        struct str name;
    } reasons[] = {
        {READ_SILENT, STR_INIT("silent")},
        {READ_NOT_COUNTED, STR_INIT("not-counted")},
        {READ_TRUNCATED, STR_INIT("truncated")},
        {READ_REPEATS, STR_INIT("repeats")},
        {READ_BUCKET, STR_INIT("bucket")},
        {READ_NO_ESTABLISHED, STR_INIT("no-established")},
    };
    struct counter_vec *counters = f->env->c.metrics->completeness;
    histogram_observe(f->env->c.metrics->rounds, (double)v->rounds);
    if (v->rc != 0)
        counter_inc(COUNTER_AT(counters, STR("failed"), STR("")));
    else if (v->complete)
        counter_inc(COUNTER_AT(counters, STR("complete"), STR("")));
    for (size_t i = 0; v->rc == 0 && i < sizeof reasons / sizeof *reasons; i++)
        if ((v->reasons & (unsigned)reasons[i].bit) != 0)
            counter_inc(COUNTER_AT(counters, STR("uncertain"), reasons[i].name));
}

static void finish(struct fanout *f)
{
    const struct read_verdict *v = readplan_verdict(f->plan);
    struct buf text = {0};
    struct fanout_part *parts = arena_calloc(f->arena, f->part_count + 1, sizeof *parts);
    struct fanout_result result = {.verdict = v, .rc = v->rc};
    remember_roster(f);
    count_verdict(f, v);
    drop_calls(f);
    if (parts == NULL) {
        result.rc = ERR_NOMEM;
    } else {
        LIST_EACH(it, &f->parts)
        parts[result.part_count++].bytes = buf_view(&LIST_ITEM(it, struct part, link)->bytes);
        result.parts = parts;
    }
    read_verdict_text(v, &text);
    result.completeness = buf_view(&text);
    result.message = f->message[0] != '\0' ? f->message : err_text(result.rc);
    f->ask.done(f->ask.arg, &result);
    buf_reset(&text);
    fanout_free(f);
}

static void pump(struct fanout *f)
{
    struct read_action action;
    mono_ms due = MONO_NEVER, now = loop_now(f->ask.loop);
    for (;;) {
        switch (readplan_next(f->plan, now, &action, &due)) {
        case READ_WAIT:
            if (due != MONO_NEVER)
                loop_timer_start(f->timer, due > now ? (uint64_t)(due - now) : 0, 0);
            return;
        case READ_ASK:
        case READ_KEYS:
        case READ_COUNT:
            start_call(f, &action);
            break;
        case READ_RESTART:
            drop_calls(f);
            drop_parts(f);
            break;
        case READ_FINISH:
            finish(f);
            return;
        }
    }
}

static void on_timer(void *arg)
{
    pump(arg);
}

/* The ring's instances with what we know of their diligence. */
static int list_peers(struct fanout *f, struct read_peer **peers, uint32_t *count)
{
    int rc = f->env->c.peers(f->env->c.peers_arg, f->arena, peers, count);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&f->env->lock);
    for (uint32_t i = 0; i < *count; i++)
        (*peers)[i].lazy =
            (uintptr_t)map_get(f->env->misses, (*peers)[i].instance) >= LAZY_AFTER;
    (void)pthread_mutex_unlock(&f->env->lock);
    return 0;
}

int fanout_start(struct fanout **out, struct fanout_env *env, const struct fanout_ask *ask,
                 struct err *err)
{
    struct fanout *f = mem_zalloc(sizeof *f);
    if (f == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a query");
    f->env = env;
    f->ask = *ask;
    list_init(&f->calls);
    list_init(&f->parts);
    struct read_peer *peers = NULL;
    struct roster *cached = NULL;
    uint32_t count = 0;
    int rc = arena_init(&f->arena, 0, NULL);
    if (rc == 0)
        rc = list_peers(f, &peers, &count);
    if (rc == 0) {
        (void)pthread_mutex_lock(&env->lock);
        rc = roster_copy(&cached, env->cached);
        (void)pthread_mutex_unlock(&env->lock);
    }
    if (rc == 0)
        rc = loop_timer_init(&f->timer, ask->loop, on_timer, f);
    if (rc == 0) {
        struct read_config config = {.replication_factor = env->c.replication_factor,
                                     .names = ask->names,
                                     .deadline = ask->deadline,
                                     .vector_timeout_ms = env->c.vector_timeout_ms,
                                     .count_hedge_ms = env->c.count_hedge_ms};
        f->hash = roster_hash(cached);
        rc = readplan_init(&f->plan, &config, peers, count, cached, loop_now(ask->loop));
    }
    roster_free(&cached);
    if (rc != 0) {
        fanout_free(f);
        return err_set(err, rc, "planning the query: %s", err_text(rc));
    }
    loop_timer_start(f->timer, 0, 0); /* begin on the next turn: done is never called in here */
    *out = f;
    return 0;
}

void fanout_cancel(struct fanout *f)
{
    struct fanout_result result = {.rc = ERR_CANCELED,
                                   .message = "nobody waits for the answer"};
    drop_calls(f);
    f->ask.done(f->ask.arg, &result);
    fanout_free(f);
}
