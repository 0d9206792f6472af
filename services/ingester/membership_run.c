/* ingester/membership_run.c - sockets and disk around the member machine. No decisions live
 * here. */
#include "membership_run.h"

#include "standing.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "ingester.msg.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/pool.h"
#include "rpc/client.h"
#include "rpc/server.h"

#define INTRODUCE_PATH "/emberring.ingester.v1.IngesterService/Introduce"

enum { INTRODUCE_MS = 2000, INTRODUCE_BODY_MAX = 4 << 20 };

/* A request that waits for the machine's ANSWER; in the call's arena. */
struct asked {
    struct list link;
    struct loop_work work;
    struct membership *owner;
    struct rpc_call *call;
    uint64_t token;
};

/* An introduction of ours under way. */
struct sent {
    struct list link;
    struct membership *owner;
    struct rpc_out *call;
    uint64_t token;
    struct buf body;
};

struct membership {
    struct member *machine;
    struct membership_config c;
    struct loop_timer *timer;
    struct list asked, sent;
    uint64_t next_token;
    struct pool_job job; /* the one sync that may be under way */
    struct buf job_bytes;
    int job_result;
    bool syncing, running;
};

static void pump(struct membership *m);

static void on_timer(void *arg)
{
    pump(arg);
}

int membership_init(struct membership **out, const struct membership_config *config,
                    const struct roster *stored, struct err *err)
{
    struct membership *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return err_set(err, ERR_NOMEM, "membership");
    m->c = *config;
    list_init(&m->asked);
    list_init(&m->sent);
    int rc = member_init(&m->machine, &config->member, stored, loop_now(config->loop), err);
    if (rc == 0) {
        rc = loop_timer_init(&m->timer, config->loop, on_timer, m);
        if (rc != 0)
            (void)err_set(err, rc, "membership: no timer");
    }
    if (rc != 0) {
        member_free(&m->machine);
        mem_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

/* --- our introductions -------------------------------------------------------------------- */

static void sent_free(struct sent *s)
{
    list_remove(&s->link);
    buf_reset(&s->body);
    mem_free(s);
}

static void on_reply(void *arg, const struct rpc_result *result)
{
    struct sent *s = arg;
    struct membership *m = s->owner;
    struct arena *a = NULL;
    struct roster *roster = NULL;
    struct ingester_v1_introduce_response r;
    bool good =
        result->code == RPC_OK && arena_init(&a, 0, NULL) == 0 &&
        msg_decode(&ingester_v1_introduce_response_msg, &r, result->body, a, NULL, NULL) == 0 &&
        (r.roster == NULL || roster_from_msg(&roster, r.roster, NULL) == 0);
    mono_ms now = loop_now(m->c.loop);
    if (good) {
        struct member_reply reply = {disk_of(r.disk), r.ok, r.fresh, r.your_starts, roster};
        good = member_replied(m->machine, s->token, &reply, now) == 0;
        if (!r.ok)
            log_line(&m->c.log, LOG_DEBUG, "an ingester does not know this disk yet",
                     LOG_S("why", r.why));
    }
    if (!good)
        member_failed(m->machine, s->token, now);
    roster_free(&roster);
    arena_free(&a);
    sent_free(s);
    pump(m);
}

/* The record of our disk among those of a roster message. */
static struct ingester_v1_disk *self_of(const struct membership *m,
                                        struct ingester_v1_roster *r)
{
    const struct disk *self = member_self(m->machine);
    for (size_t i = 0; self != NULL && i < r->disks_count; i++)
        if (disk_eq(disk_of(r->disks[i].id), self->id))
            return &r->disks[i];
    return NULL;
}

static int put_introduction(const struct membership *m, struct buf *out)
{
    struct arena *a = NULL;
    struct ingester_v1_roster roster = {0};
    int rc = arena_init(&a, 0, NULL);
    if (rc == 0)
        rc = roster_to_msg(member_roster(m->machine), a, &roster);
    if (rc == 0) {
        struct ingester_v1_introduce_request r = {self_of(m, &roster), &roster};
        msg_encode(&ingester_v1_introduce_request_msg, &r, out);
        rc = out->error;
    }
    arena_free(&a);
    return rc;
}

static void send_introduction(struct membership *m, const struct member_action *action)
{
    struct sent *s = mem_zalloc(sizeof *s);
    int rc = s == NULL ? ERR_NOMEM : 0;
    if (rc == 0) {
        s->owner = m;
        s->token = action->token;
        list_push_back(&m->sent, &s->link);
        rc = put_introduction(m, &s->body);
    }
    if (rc == 0) {
        struct rpc_ask ask = {.host_port = action->addr,
                              .path = INTRODUCE_PATH,
                              .body = buf_view(&s->body),
                              .deadline = loop_now(m->c.loop) + INTRODUCE_MS,
                              .response_max = INTRODUCE_BODY_MAX,
                              .done = on_reply,
                              .arg = s};
        rc = rpc_start(m->c.client, &ask, &s->call, NULL);
    }
    if (rc == 0)
        return;
    if (s != NULL)
        sent_free(s);
    member_failed(m->machine, action->token, loop_now(m->c.loop));
}

/* --- others' introductions ---------------------------------------------------------------- */

static void answer(struct membership *m, const struct member_action *action)
{
    struct asked *found = NULL;
    LIST_EACH(it, &m->asked)
    {
        struct asked *a = LIST_ITEM(it, struct asked, link);
        if (a->token == action->token)
            found = a;
    }
    if (found == NULL)
        return; /* its client was answered by the server's deadline meanwhile */
    list_remove(&found->link);
    struct ingester_v1_roster roster = {0};
    const struct disk *self = member_self(m->machine);
    int rc = self == NULL
                 ? ERR_UNAVAILABLE
                 : roster_to_msg(member_roster(m->machine), found->call->arena, &roster);
    if (rc != 0) {
        rpc_fail(found->call, RPC_UNAVAILABLE, "not able to answer yet");
        return;
    }
    struct ingester_v1_introduce_response r = {
        .disk = disk_str(&self->id),
        .ok = action->ok,
        .fresh = action->fresh,
        .why = str_c(action->why),
        .your_starts = action->your_starts,
        .roster = &roster,
    };
    rpc_reply(found->call, &r);
}

/* On the loop: an introduction came in. */
static void take_introduction(void *arg)
{
    struct asked *asked = arg;
    struct membership *m = asked->owner;
    const struct ingester_v1_introduce_request *r = asked->call->request;
    struct disk self;
    struct roster *roster = NULL;
    struct err err = {0};
    asked->token = ++m->next_token;
    list_push_back(&m->asked, &asked->link);
    int rc = r->self == NULL ? err_set(&err, ERR_PARSE, "no record of the sender") : 0;
    if (rc == 0)
        rc = disk_from_msg(&self, r->self, &err);
    if (rc == 0 && r->roster != NULL)
        rc = roster_from_msg(&roster, r->roster, &err);
    if (rc == 0) {
        rc = member_asked(m->machine, &self, roster, asked->token, loop_now(m->c.loop));
        if (rc != 0)
            (void)err_set(&err, rc, "introduction: %s", err_text(rc));
    }
    roster_free(&roster);
    if (rc != 0) {
        list_remove(&asked->link);
        rpc_fail_err(asked->call, &err);
    }
    pump(m);
}

static void on_introduce(void *arg, struct rpc_call *call)
{
    struct membership *m = arg;
    struct asked *asked = arena_zalloc(call->arena, sizeof *asked);
    if (asked == NULL) {
        rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the request");
        return;
    }
    list_init(&asked->link);
    asked->owner = m;
    asked->call = call;
    loop_post(m->c.loop, &asked->work, take_introduction, asked);
}

int membership_register(struct membership *m, struct rpc_server *rpc, struct err *err)
{
    static struct rpc_method method = {INTRODUCE_PATH,
                                       &ingester_v1_introduce_request_msg,
                                       &ingester_v1_introduce_response_msg,
                                       on_introduce,
                                       NULL,
                                       RPC_NO_TENANT | RPC_INTERNAL_ONLY,
                                       INTRODUCE_BODY_MAX,
                                       0,
                                       NULL};
    method.arg = m;
    return rpc_server_add(rpc, &method, 1, err);
}

/* --- the roster on the disk --------------------------------------------------------------- */

static void run_sync(void *arg)
{
    struct membership *m = arg;
    m->job_result = m->c.events.sync(m->c.events.arg, buf_view(&m->job_bytes));
}

static void publish(struct membership *m)
{
    if (standing_set(m->c.standing, m->c.member.disk, member_roster(m->machine)) != 0)
        log_line(&m->c.log, LOG_ERROR, "no memory to publish the roster");
}

static void on_synced(void *arg)
{
    struct membership *m = arg;
    m->syncing = false;
    member_synced(m->machine, m->job_result == 0, loop_now(m->c.loop));
    if (m->job_result == 0)
        publish(m);
    else
        log_line(&m->c.log, LOG_ERROR, "the roster cannot be written",
                 LOG_C("err", err_text(m->job_result)));
    pump(m);
}

static void start_sync(struct membership *m, const struct roster *roster)
{
    ASSERT(!m->syncing); /* the machine asks for one at a time */
    buf_clear(&m->job_bytes);
    roster_encode(roster, &m->job_bytes);
    m->job = (struct pool_job){.run = run_sync, .done = on_synced, .arg = m, .home = m->c.loop};
    m->syncing = m->job_bytes.error == 0 && pool_submit(m->c.pool, &m->job) == 0;
    if (!m->syncing)
        member_synced(m->machine, false, loop_now(m->c.loop));
}

/* --- the machine -------------------------------------------------------------------------- */

static void act(struct membership *m, const struct member_action *action)
{
    switch (action->verb) {
    case MEMBER_SEND:
        send_introduction(m, action);
        return;
    case MEMBER_SYNC:
        start_sync(m, action->roster);
        return;
    case MEMBER_ANSWER:
        answer(m, action);
        return;
    case MEMBER_ACTIVE:
        log_line(&m->c.log, LOG_INFO, "disk is established: takes writes");
        m->c.events.on_active(m->c.events.arg);
        return;
    case MEMBER_RENAME:
        m->c.events.on_rename(m->c.events.arg, action->why);
        return;
    case MEMBER_QUIT:
        m->c.events.on_quit(m->c.events.arg, action->why);
        return;
    case MEMBER_NONE:
        return;
    }
}

static void pump(struct membership *m)
{
    if (!m->running)
        return;
    struct member_action action;
    mono_ms due = MONO_NEVER, now = loop_now(m->c.loop);
    while (m->running && member_next(m->machine, now, &action, &due) != MEMBER_NONE)
        act(m, &action);
    if (due != MONO_NEVER)
        loop_timer_start(m->timer, due > now ? (uint64_t)(due - now) : 0, 0);
    else
        loop_timer_stop(m->timer);
}

void membership_ring(struct membership *m, const struct member_peer *peers, uint32_t count,
                     bool joined)
{
    if (member_ring(m->machine, peers, count, joined, loop_now(m->c.loop)) != 0)
        log_line(&m->c.log, LOG_ERROR, "no memory for the ring view");
    pump(m);
}

int membership_ready(const struct membership *m, struct err *err)
{
    return member_ready(m->machine, err);
}

void membership_start(struct membership *m)
{
    m->running = true;
    publish(m);
    pump(m);
}

void membership_free(struct membership **out)
{
    struct membership *m = *out;
    if (m == NULL)
        return;
    m->running = false;
    while (m->syncing)
        loop_turn(m->c.loop, 10);
    loop_turn(m->c.loop, 0); /* introductions that were on their way here */
    LIST_EACH_SAFE(it, &m->asked)
    {
        struct asked *a = LIST_ITEM(it, struct asked, link);
        list_remove(&a->link);
        rpc_fail(a->call, RPC_UNAVAILABLE, "shutting down");
    }
    LIST_EACH_SAFE(it, &m->sent)
    {
        struct sent *s = LIST_ITEM(it, struct sent, link);
        rpc_cancel(s->call);
        sent_free(s);
    }
    loop_timer_free(&m->timer);
    member_free(&m->machine);
    buf_reset(&m->job_bytes);
    mem_free(m);
    *out = NULL;
}
