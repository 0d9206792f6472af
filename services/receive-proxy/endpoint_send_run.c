/* receive-proxy/endpoint_send_run.c - attempts over HTTP, one after the other. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "creds_run.h"
#include "endpoint_parts.h"
#include "endpoint_run.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "wire/base64.h"

enum {
    ANSWER_MAX = 1 << 20,
    OWN_HEADERS = 8, /* that we may add to those of settings and request */
    TEXT_MAX = 400,
    SHOWN_BODY = 200,
    HOPS_MAX = 8, /* addresses that one attempt tries */
};

struct send {
    struct endpoint *e;
    const struct flow_thread *t;
    const struct outgoing *out;
    struct retry_policy policy;
    struct retry retry;
    struct rng rng;
    struct arena *arena; /* of an attempt */
    struct loop_timer *timer;
    struct flow_wait waiting;
    struct oauth_wait token;
    struct way_use way;
    struct addr addr;
    bool has_addr, renewed; /* renewed: a token that was refused */
    unsigned hops;
    mono_ms attempt_end;
    int64_t began_ns, attempt_began_ns;
    char text[TEXT_MAX];
    endpoint_done_fn done;
    void *arg;
};

/* --- one attempt ----------------------------------------------------------------------- */

static void begin_attempt(struct send *s);
static void on_answer(void *arg, const struct http_result *r);

static double seconds_since(int64_t ns)
{
    return (double)(clock_mono_ns() - ns) / 1e9;
}

/* Since when it fails. */
static void note_state(struct endpoint *e, bool worked)
{
    if (worked && !endpoint_is_doubtful(e))
        return; /* as always: no lock */
    pthread_mutex_lock(&e->lock);
    if (worked)
        e->status.since = 0;
    else if (e->status.since == 0)
        e->status.since = clock_wall_ms();
    pthread_mutex_unlock(&e->lock);
}

/* What an attempt brought that was no success. */
static void note_error(struct send *s)
{
    struct endpoint *e = s->e;
    pthread_mutex_lock(&e->lock);
    e->status.error_at = clock_wall_ms();
    (void)snprintf(e->status.error, sizeof e->status.error, "%s", s->text);
    pthread_mutex_unlock(&e->lock);
}

static void note_attempt(struct send *s, bool worked)
{
    struct endpoint *e = s->e;
    histogram_observe(e->attempt_latency[s->out->kind], seconds_since(s->attempt_began_ns));
    note_state(e, worked);
    if (!worked) {
        unsigned n = atomic_fetch_add_explicit(&e->failures, 1, memory_order_relaxed) + 1;
        if (n == ENDPOINT_FAILING_AFTER)
            log_line(e->world->log, LOG_WARN, "endpoint is failing", LOG_C("endpoint", e->url),
                     LOG_C("err", s->text));
        return;
    }
    unsigned n = atomic_exchange_explicit(&e->failures, 0, memory_order_relaxed);
    if (n >= ENDPOINT_FAILING_AFTER)
        log_line(e->world->log, LOG_INFO, "endpoint answers again", LOG_C("endpoint", e->url),
                 LOG_U("failures", n));
}

static void end_send(struct send *s, const struct endpoint_result *r)
{
    struct endpoint *e = s->e;
    histogram_observe(e->latency[s->out->kind], seconds_since(s->began_ns));
    if (r->stored) {
        counter_add(e->sent_bytes, s->out->bytes);
        counter_add(e->sent_profiles, s->out->profiles);
    }
    s->done(s->arg, r);
    flow_wait_end(&s->waiting);
    way_end(&s->way);
    loop_timer_free(&s->timer);
    arena_free(&s->arena);
    mem_free(s);
    endpoint_release(e);
}

static void fail_send(struct send *s, enum retry_end end, const struct retry_fault *f)
{
    struct endpoint_result r = {.end = end,
                                .fault = *f,
                                .attempts = s->retry.attempts,
                                .message = str_c(s->text)};
    end_send(s, &r);
}

static void on_hurry(void *arg)
{
    struct send *s = arg;
    struct retry_fault f = {.code = RPC_UNAVAILABLE, .retry_after_s = -1};
    fail_send(s, RETRY_LATE, &f);
}

static void on_time(void *arg)
{
    struct send *s = arg;
    flow_wait_end(&s->waiting);
    counter_inc(s->e->retries);
    begin_attempt(s);
}

/* Wait for the next attempt, or end. */
static void after_fault(struct send *s, const struct retry_fault *f)
{
    mono_ms now = clock_mono_ms(), at = now;
    note_error(s);
    enum retry_end end = retry_failed(&s->retry, f, now, &s->rng, &at);
    log_line(s->e->world->log, LOG_DEBUG, "attempt failed", LOG_C("endpoint", s->e->url),
             LOG_U("attempt", s->retry.attempts), LOG_C("err", s->text));
    way_end(&s->way);
    if (end == RETRY_AGAIN && s->timer == NULL &&
        loop_timer_init(&s->timer, s->t->loop, on_time, s) != 0)
        end = RETRY_LATE;
    if (end == RETRY_AGAIN && !flow_wait_begin(s->t, &s->waiting))
        end = RETRY_LATE;
    if (end != RETRY_AGAIN) {
        fail_send(s, end, f);
        return;
    }
    loop_timer_start(s->timer, (uint64_t)(at - now), 0);
}

static void say(struct send *s, enum rpc_code code, struct str text)
{
    snprintf(s->text, sizeof s->text, "%s: %.*s", rpc_code_name(code), STR_ARG(text));
}

/* Something of ours failed before anything was sent. */
static void fail_here(struct send *s, enum rpc_code code, const char *text)
{
    struct retry_fault f = {.code = code, .retry_after_s = -1};
    say(s, code, str_c(text));
    after_fault(s, &f);
}

static bool pick_address(struct send *s)
{
    struct endpoint *e = s->e;
    if (e->balance == NULL)
        return true;
    pthread_mutex_lock(&e->lock);
    s->has_addr = balance_pick(e->balance, clock_mono_ms(), &s->addr);
    pthread_mutex_unlock(&e->lock);
    return s->has_addr;
}

/* What became of the address. True: another one may be tried at once. */
static bool judge_address(struct send *s, bool reached)
{
    struct endpoint *e = s->e;
    bool another = false;
    if (!s->has_addr)
        return false;
    mono_ms now = clock_mono_ms();
    pthread_mutex_lock(&e->lock);
    if (reached)
        balance_worked(e->balance, &s->addr);
    else
        balance_failed(e->balance, &s->addr, now);
    another = !reached && balance_ready(e->balance, now) > 0;
    pthread_mutex_unlock(&e->lock);
    return another && ++s->hops < HOPS_MAX && now < s->attempt_end;
}

struct header_set {
    struct http_field *fields;
    size_t count;
};

/* What stands there already wins, so the order of adding is the order of precedence; a name may
 * come several times from one source. */
static void add_header(struct header_set *h, size_t source, struct str name, struct str value)
{
    for (size_t i = 0; i < source; i++)
        if (str_eq_nocase(h->fields[i].name, name))
            return;
    h->fields[h->count++] = (struct http_field){name, value};
}

static int add_authorization(struct send *s, struct header_set *h, struct str token,
                             struct err *err)
{
    struct endpoint *e = s->e;
    struct str secret;
    struct buf pair = {0}, value = {0};
    if (e->auth == AUTH_NONE)
        return 0;
    if (e->auth == AUTH_OAUTH2) {
        add_header(h, h->count, STR("Authorization"), token);
        return 0;
    }
    int rc = secret_get(e->secret, s->arena, &secret, err);
    if (rc != 0)
        return rc;
    if (e->auth == AUTH_BASIC) {
        buf_printf(&pair, "%.*s:%.*s", STR_ARG(e->auth_name), STR_ARG(secret));
        buf_c(&value, "Basic ");
        base64_put(&value, buf_view(&pair), true);
    } else {
        buf_printf(&value, "%.*s %.*s", STR_ARG(e->auth_name), STR_ARG(secret));
    }
    struct str text = pair.error != 0 || value.error != 0
                          ? (struct str){0}
                          : str_dup(s->arena, buf_view(&value));
    buf_reset(&pair);
    buf_reset(&value);
    if (text.data == NULL)
        return err_set(err, ERR_NOMEM, "no memory");
    add_header(h, h->count, STR("Authorization"), text);
    return 0;
}

static int make_headers(struct send *s, struct str token, struct header_set *h, struct err *err)
{
    struct endpoint *e = s->e;
    const struct outgoing *o = s->out;
    char timeout[24];
    h->fields = arena_calloc(s->arena, o->header_count + e->header_count + OWN_HEADERS,
                             sizeof *h->fields);
    if (h->fields == NULL)
        return err_set(err, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < o->header_count; i++)
        if (str_eq_nocase(o->headers[i].name, STR("Content-Type")))
            h->fields[h->count++] = o->headers[i];
    if (o->kind == FLOW_PUSH) {
        mono_ms left = s->attempt_end - clock_mono_ms();
        snprintf(timeout, sizeof timeout, "%lld", (long long)(left < 1 ? 1 : left));
        struct str text = str_dup(s->arena, str_c(timeout));
        if (text.data == NULL)
            return err_set(err, ERR_NOMEM, "no memory");
        add_header(h, 0, STR("Connect-Protocol-Version"), STR("1"));
        add_header(h, 0, STR("Connect-Timeout-Ms"), text);
        add_header(h, 0, STR("Accept-Encoding"), STR("gzip"));
    }
    size_t source = h->count;
    for (size_t i = 0; i < e->header_count; i++)
        add_header(h, source, e->headers[i].name, e->headers[i].value);
    int rc = add_authorization(s, h, token, err);
    source = h->count;
    for (size_t i = 0; i < o->header_count; i++)
        if (!str_eq_nocase(o->headers[i].name, STR("Content-Type")))
            add_header(h, source, o->headers[i].name, o->headers[i].value);
    if (e->world->instance_id != NULL && e->world->instance_id[0] != '\0')
        add_header(h, h->count, STR("X-Alloy-Id"), str_c(e->world->instance_id));
    if (e->world->user_agent != NULL)
        add_header(h, h->count, STR("User-Agent"), str_c(e->world->user_agent));
    return rc;
}

static const char *make_url(struct send *s)
{
    struct endpoint *e = s->e;
    char address[ADDR_TEXT_MAX];
    struct buf b = {0};
    struct str host = e->by_address ? str_c(addr_text(&s->addr, address)) : e->host;
    buf_str(&b, e->scheme);
    buf_str(&b, host);
    buf_str(&b, e->prefix);
    buf_str(&b, s->out->target);
    struct str url = b.error != 0 ? (struct str){0} : str_dup(s->arena, buf_view(&b));
    buf_reset(&b);
    return url.data;
}

/* Send to one address. */
static void start_call(struct send *s, struct str token)
{
    struct header_set h = {0};
    struct err err = {0};
    if (!pick_address(s)) {
        fail_here(s, RPC_UNAVAILABLE,
                  s->e->by_address ? "no healthy distributor in the ring" : "no address is known");
        return;
    }
    int rc = make_headers(s, token, &h, &err);
    const char *url = rc == 0 ? make_url(s) : NULL;
    if (url == NULL) {
        fail_here(s, RPC_UNAVAILABLE, rc == 0 ? "no memory" : err.msg);
        return;
    }
    way_begin(s->e->way, clock_mono_ms(), &s->way);
    s->way.http.connect_to = s->has_addr && !s->e->by_address ? &s->addr : NULL;
    struct http_ask ask = {.method = HTTP_POST,
                           .url = url,
                           .headers = h.fields,
                           .header_count = h.count,
                           .body = s->out->body,
                           .deadline = s->attempt_end,
                           .response_max = ANSWER_MAX,
                           .way = &s->way.http,
                           .done = on_answer,
                           .arg = s};
    rc = http_call_start(s->t->client, &ask, NULL, &err);
    if (rc == 0)
        return;
    struct retry_fault f = {.code = RPC_UNKNOWN, .retry_after_s = -1};
    f.timed_out = rc == ERR_TIMEOUT;
    f.code = rc == ERR_TIMEOUT ? RPC_DEADLINE_EXCEEDED
             : rc == ERR_CLOSED ? RPC_CANCELED
             : rc == ERR_NOMEM  ? RPC_UNAVAILABLE
                                : RPC_UNKNOWN;
    say(s, f.code, str_c(err.msg));
    after_fault(s, &f);
}

static void on_token(void *arg, struct str header, const char *error)
{
    struct send *s = arg;
    struct str token = error == NULL ? str_dup(s->arena, header) : (struct str){0};
    if (error != NULL || token.data == NULL)
        fail_here(s, RPC_UNAVAILABLE, error != NULL ? error : "no memory");
    else
        start_call(s, token);
}

static void try_address(struct send *s)
{
    arena_reset(s->arena);
    s->has_addr = false;
    if (s->e->auth != AUTH_OAUTH2) {
        start_call(s, STR(""));
        return;
    }
    s->token = (struct oauth_wait){.done = on_token, .arg = s};
    oauth_get(s->e->oauth, s->t, &s->token);
}

static void begin_attempt(struct send *s)
{
    s->attempt_end = retry_begin(&s->retry, clock_mono_ms());
    s->attempt_began_ns = clock_mono_ns();
    s->hops = 0;
    try_address(s);
}

/* --- what came back -------------------------------------------------------------------- */

static bool is_stored(const struct send *s, const struct http_result *r)
{
    if (r->code != 0)
        return false;
    if (s->out->kind == FLOW_INGEST)
        return r->status == 200 || (s->e->better_codes && r->status >= 200 && r->status <= 299);
    struct str type = http_field_get(r->headers, r->header_count, "Content-Type");
    return r->status == 200 && (str_starts_with(type, STR("application/proto")) ||
                                (s->e->better_codes && type.len == 0 && r->body.len == 0));
}

/* The call ended without an answer. */
static void read_failure(struct send *s, const struct http_result *r, struct retry_fault *f)
{
    f->timed_out = r->code == ERR_TIMEOUT;
    f->code = f->timed_out                ? RPC_DEADLINE_EXCEEDED
              : r->code == ERR_CANCELED ? RPC_CANCELED
              : r->code == ERR_LIMIT    ? RPC_INTERNAL
                                        : RPC_UNAVAILABLE;
    say(s, f->code, str_c(r->message));
}

static void read_answer(struct send *s, const struct http_result *r, struct retry_fault *f)
{
    char message[SHOWN_BODY + 1];
    struct str body = str_head(str_trim(r->body), SHOWN_BODY);
    f->status = r->status;
    if (s->out->kind == FLOW_INGEST) {
        f->code = retry_code_of_status(r->status, true);
        snprintf(s->text, sizeof s->text, "pyroscope write error: status=%u msg=%.*s", r->status,
                 STR_ARG(body));
        return;
    }
    if (r->status != 200 && rpc_error_parse(r->body, &f->code, message, sizeof message) == 0) {
        say(s, f->code, str_c(message));
        return;
    }
    f->code = retry_code_of_status(r->status, s->e->better_codes);
    if (f->code == RPC_OK)
        f->code = RPC_UNKNOWN; /* 200 that is no answer of Connect */
    snprintf(s->text, sizeof s->text, "%s: HTTP status %u: %.*s", rpc_code_name(f->code),
             r->status, STR_ARG(body));
}

/* What says that the endpoint itself is in trouble. A 500 may be about this request alone, which
 * must not keep the others away. */
static bool is_trouble(const struct retry_fault *f)
{
    return f->status == 0 || (f->status >= 502 && f->status <= 504);
}

static void on_answer(void *arg, const struct http_result *r)
{
    struct send *s = arg;
    struct retry_fault f = {.retry_after_s = r->retry_after_s};
    if (is_stored(s, r)) {
        judge_address(s, true);
        note_attempt(s, true);
        struct endpoint_result good = {
            .stored = true, .attempts = s->retry.attempts, .message = STR("")};
        end_send(s, &good);
        return;
    }
    if (r->code != 0)
        read_failure(s, r, &f);
    else
        read_answer(s, r, &f);
    bool another = judge_address(s, r->code == 0);
    if (another && !f.timed_out && f.code != RPC_CANCELED) {
        way_end(&s->way);
        try_address(s);
        return;
    }
    if (f.status == 401 && s->e->auth == AUTH_OAUTH2) {
        oauth_forget(s->e->oauth, s->t);
        if (!s->renewed) { /* it was revoked early: a new one is worth one more try */
            s->renewed = true;
            way_end(&s->way);
            try_address(s);
            return;
        }
    }
    note_attempt(s, !is_trouble(&f));
    after_fault(s, &f);
}

/* --- starting -------------------------------------------------------------------------- */

static struct send *send_new(struct endpoint *e, const struct flow_thread *t)
{
    struct send *s = mem_zalloc(sizeof *s);
    if (s == NULL || arena_init(&s->arena, 2048, NULL) != 0) {
        mem_free(s);
        return NULL;
    }
    s->e = endpoint_retain(e);
    s->t = t;
    list_init(&s->waiting.link);
    s->waiting.hurry = on_hurry;
    s->waiting.arg = s;
    s->policy = e->policy;
    rng_seed(&s->rng, e->world->seed ^ e->key ^
                          atomic_fetch_add_explicit(&e->sends, 1, memory_order_relaxed) *
                              0x9e3779b97f4a7c15u);
    return s;
}

void endpoint_send(struct endpoint *e, const struct flow_thread *t, const struct outgoing *out,
                   mono_ms deadline, uint32_t attempts_max, endpoint_done_fn done, void *arg)
{
    struct send *s = send_new(e, t);
    if (s == NULL) {
        struct endpoint_result r = {.end = RETRY_LATE,
                                    .fault = {.code = RPC_UNAVAILABLE, .retry_after_s = -1},
                                    .message = STR("unavailable: no memory")};
        done(arg, &r);
        return;
    }
    if (attempts_max != 0)
        s->policy.attempts_max = attempts_max;
    s->out = out;
    s->done = done;
    s->arg = arg;
    s->began_ns = clock_mono_ns();
    retry_init(&s->retry, &s->policy, out->kind, deadline);
    begin_attempt(s);
}
