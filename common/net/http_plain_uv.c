/* net/http_plain_uv.c - calls to http:// over connections of our own.
 *
 * A call is its rendered head, the caller's body, and a reader of the answer. In the steady state
 * it costs a look whether the connection is quiet, one write of head and body, and one read: no
 * timer, no descriptor is touched, as deadlines share a timer and connections are always read.
 * Failures are queued and told by the timer: nothing is called back from inside a call. */
#include "net/http_plain_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { BODY_MAX_USUAL = 64 << 20 };

static void plain_unref(struct http_plain *p)
{
    if (--p->refs > 0)
        return;
    loop_timer_free(&p->timer);
    mem_free(p);
}

void http_plain_watch(struct http_plain *p, mono_ms at)
{
    if (at >= p->due)
        return;
    mono_ms now = loop_now(p->loop);
    p->due = at;
    loop_timer_start(p->timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

/* --- the end of a call --------------------------------------------------------------------- */

static void call_free(struct plain_call *call)
{
    buf_reset(&call->head);
    http_response_reset(&call->response);
    mem_free(call);
}

/* Keep the struct for another call. */
static void recycle(struct plain_call *call)
{
    struct http_plain *p = call->plain;
    if (p->closing || p->spare_count >= HTTP_CALLS_SPARE_MAX) {
        call_free(call);
        return;
    }
    if (call->head.cap + call->response.head.cap + call->response.body.cap > HTTP_SPARE_BYTES_MAX) {
        buf_reset(&call->head);
        http_response_reset(&call->response);
    }
    list_push_front(&p->spare, &call->link);
    p->spare_count++;
}

/* Let go of place and slot. */
static void leave(struct plain_call *call)
{
    struct http_host *h = call->host;
    struct http_conn *conn = call->conn;
    enum place place = call->place;
    list_remove(&call->queue);
    call->host = NULL;
    call->conn = NULL;
    if (conn != NULL)
        http_conn_drop(conn);
    else if (place == CALL_NAMING)
        http_host_give(h);
    if (h != NULL)
        http_host_serve(h);
}

/* It is no longer under way. */
static void unlist(struct plain_call *call)
{
    list_remove(&call->link);
    call->plain->inflight--;
}

/* Say how it ended, which may free the client. */
static void tell(struct plain_call *call, const struct http_result *r)
{
    struct http_plain *p = call->plain;
    p->refs++;
    call->done(call->arg, r);
    recycle(call);
    plain_unref(p);
}

void http_call_fail(struct plain_call *call, int code, const char *why)
{
    struct http_plain *p = call->plain;
    if (call->place == CALL_FAILING)
        return;
    (void)snprintf(call->text, sizeof call->text, "%.*s: %s", STR_ARG(str_head(call->shown, 150)),
                   why);
    call->code = code;
    leave(call);
    call->place = CALL_FAILING;
    list_push_back(&p->failing, &call->queue);
    http_plain_watch(p, loop_now(p->loop) + 1); /* libuv runs on what is due at once, on and on */
}

static const char *late_text(const struct plain_call *call)
{
    switch (call->place) {
    case CALL_WAITING: return "deadline exceeded while waiting for a connection";
    case CALL_NAMING: return "deadline exceeded while looking up the name";
    case CALL_CONNECTING: return "deadline exceeded while connecting";
    case CALL_BUSY:
    case CALL_FAILING:
    case CALL_ELSEWHERE: break;
    }
    return http_response_has_begun(&call->response)
               ? "deadline exceeded in the middle of the answer"
               : "deadline exceeded while waiting for the answer";
}

static void fail_late(struct http_plain *p, mono_ms now, bool waiting_only)
{
    LIST_EACH(at, &p->calls) {
        struct plain_call *call = LIST_ITEM(at, struct plain_call, link);
        if (call->deadline <= now && (!waiting_only || call->place == CALL_WAITING))
            http_call_fail(call, ERR_TIMEOUT, late_text(call));
    }
}

/* What has failed until now; what fails meanwhile has its turn later, so that the loop goes on even
 * if somebody asks again and again. */
static void tell_failing(struct http_plain *p)
{
    struct list *first;
    size_t count = 0;
    LIST_EACH(at, &p->failing)
        count++;
    for (; count > 0 && !p->closing && (first = list_first(&p->failing)) != NULL; count--) {
        struct plain_call *call = LIST_ITEM(first, struct plain_call, queue);
        const struct http_result r = {
            .code = call->code, .retry_after_s = -1, .message = call->text};
        list_remove(first);
        unlist(call);
        tell(call, &r);
    }
}

/* Deadlines, what has failed, and connections that nobody uses. */
static void on_timer(void *arg)
{
    struct http_plain *p = arg;
    mono_ms now = loop_now(p->loop);
    p->refs++;
    p->due = MONO_NEVER;
    fail_late(p, now, true); /* first: they must not take the slots of the others */
    fail_late(p, now, false);
    tell_failing(p);
    if (!p->closing) {
        http_conns_expire(p, now);
        LIST_EACH(at, &p->calls)
            http_plain_watch(p, LIST_ITEM(at, struct plain_call, link)->deadline);
    }
    plain_unref(p);
}

/* --- connecting ---------------------------------------------------------------------------- */

static const struct tcp_events conn_events;

static int conn_open(struct plain_call *call, const struct addr *to, mono_ms ms)
{
    struct http_conn *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    *c = (struct http_conn){.plain = call->plain, .host = call->host, .call = call};
    int rc = tcp_connect(&c->tcp, call->plain->loop, to, (uint32_t)ms, &conn_events, c);
    if (rc != 0) {
        mem_free(c);
        return rc;
    }
    list_init(&c->host_link);
    list_init(&c->idle_link);
    list_init(&c->link);
    list_push_back(&call->plain->conns, &c->link);
    call->conn = c;
    return 0;
}

/* No address is left that could be tried. */
static void not_connected(struct plain_call *call, int code)
{
    struct http_host *h = call->host;
    char to[ADDR_TEXT_MAX] = "", why[200];
    bool named = h->name_len > 0 || (call->way != NULL && call->way->connect_to != NULL);
    if (call->next_addr > 0 && call->next_addr <= h->addr_count)
        (void)addr_text(&h->addrs[call->next_addr - 1], to);
    if (h->name_len > 0)
        h->good_until = 0; /* ask again for its addresses */
    if (code != ERR_TIMEOUT && code != ERR_NOMEM)
        (void)snprintf(why, sizeof why, "%s%s%s", named ? to : "", named ? ": " : "",
                       code == ERR_REFUSED ? "connection refused" : "cannot be reached");
    else
        (void)snprintf(why, sizeof why, "%s%s%s", named ? to : "", named ? ": " : "",
                       code == ERR_NOMEM ? "no memory" : "not connected in time");
    http_host_give(h);
    call->place = CALL_WAITING; /* without a slot */
    http_call_fail(call, code == ERR_TIMEOUT || code == ERR_NOMEM ? code : ERR_REFUSED, why);
}

void http_call_connect(struct plain_call *call)
{
    struct http_host *h = call->host;
    mono_ms now = loop_now(call->plain->loop);
    int rc = call->code;
    call->place = CALL_CONNECTING;
    if (call->next_addr == 0)
        call->connect_due = now + call->plain->config.connect_ms;
    mono_ms left = call->connect_due - now;
    while (call->next_addr < h->addr_count && left > 0) {
        unsigned untried = h->addr_count - call->next_addr;
        rc = conn_open(call, &h->addrs[call->next_addr++],
                       left / untried > 0 ? left / untried : 1);
        if (rc == 0)
            return;
    }
    not_connected(call, rc != 0 ? rc : ERR_TIMEOUT);
}

/* Get a connection into the slot that it has. */
static void open_slot(struct plain_call *call)
{
    call->next_addr = 0;
    call->code = 0;
    call->conn = NULL;
    if (loop_now(call->plain->loop) < call->host->good_until) {
        http_call_connect(call);
        return;
    }
    call->place = CALL_NAMING;
    int rc = http_host_resolve(call->host, call);
    if (rc != 0)
        http_call_fail(call, rc == ERR_NOMEM ? rc : ERR_IO, "the name cannot be looked up");
}

/* --- sending ------------------------------------------------------------------------------- */

/* The call ends with its connection, so that its bytes stay until then. */
static void on_sent(void *arg, int code)
{
    (void)arg;
    (void)code;
}

static void send_call(struct plain_call *call, struct http_conn *c)
{
    const struct str parts[2] = {str_of(call->head.data, call->head_len), call->body};
    call->place = CALL_BUSY;
    call->conn = c;
    c->call = call;
    http_response_begin(&call->response, call->method == HTTP_HEAD, call->response_max);
    size_t n = tcp_write_now(c->tcp, parts, call->body.len > 0 ? 2 : 1);
    int rc = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct str rest = str_skip(parts[i], n);
        n -= n < parts[i].len ? n : parts[i].len;
        if (rest.len > 0 && rc == 0)
            rc = tcp_write(c->tcp, rest, on_sent, NULL);
    }
    if (rc != 0)
        http_call_fail(call, rc, rc == ERR_NOMEM ? "no memory" : "closed while sending");
}

void http_call_place(struct plain_call *call)
{
    struct http_conn *c = http_conn_take(call->host);
    if (c != NULL) {
        send_call(call, c);
        return;
    }
    http_host_take(call->host);
    open_slot(call);
}

/* --- the answer ---------------------------------------------------------------------------- */

static void report(struct plain_call *call)
{
    struct http_field fields[HTTP_RESPONSE_FIELDS_MAX];
    struct http_result r = {.status = call->response.status, .headers = fields, .message = ""};
    r.header_count = http_response_fields(&call->response, fields);
    r.body = buf_view(&call->response.body);
    struct str after = http_field_get(fields, r.header_count, "Retry-After");
    r.retry_after_s = after.data == NULL ? -1 : http_retry_after(after, clock_wall_ms());
    unlist(call);
    tell(call, &r);
}

static void on_redirected(void *arg, const struct http_result *r)
{
    tell(arg, r);
}

/* Where it is redirected to, if that is to be followed; data NULL: it is not. */
static struct str location_of(const struct plain_call *call)
{
    struct http_field fields[HTTP_RESPONSE_FIELDS_MAX];
    unsigned s = call->response.status;
    if (call->way == NULL || call->way->redirects_max == 0 ||
        (s != 301 && s != 302 && s != 303 && s != 307 && s != 308))
        return (struct str){NULL, 0};
    size_t count = http_response_fields(&call->response, fields);
    return http_field_get(fields, count, "Location");
}

static void follow(struct plain_call *call, struct str location)
{
    struct err err = {0};
    struct http_field *fields = mem_calloc(call->own_count, sizeof *fields);
    struct http_ask next = {.method = call->method,
                            .url = (const char *)call->head.data + call->head_len,
                            .headers = fields,
                            .header_count = fields == NULL ? 0 : http_call_own_fields(call, fields),
                            .body = call->body,
                            .deadline = call->deadline,
                            .response_max = call->response_max,
                            .way = call->way,
                            .done = on_redirected,
                            .arg = call};
    int rc = fields == NULL ? err_set(&err, ERR_NOMEM, "no memory")
                            : http_client_redirect(call->plain->client, &next, &call->own_way,
                                                   call->response.status, location,
                                                   &call->elsewhere, &err);
    mem_free(fields);
    unlist(call);
    call->place = CALL_ELSEWHERE;
    if (rc == 0)
        return;
    const struct http_result r = {.code = rc == ERR_INVAL ? ERR_IO : rc,
                                  .retry_after_s = -1,
                                  .message = err.msg};
    tell(call, &r);
}

/* The answer is there; `clean`: and nothing but the answer. */
static void finish(struct plain_call *call, bool clean)
{
    struct http_conn *c = call->conn;
    struct http_host *h = call->host;
    call->conn = NULL;
    call->host = NULL;
    c->call = NULL;
    if (clean && call->response.keep && !c->at_end && tcp_unsent(c->tcp) == 0)
        http_conn_keep(c);
    else
        http_conn_drop(c);
    http_host_serve(h);
    struct str location = location_of(call);
    if (location.data != NULL)
        follow(call, location);
    else
        report(call);
}

/* The connection is of no use any more. One that was kept may have been closed by the server
 * before our request came: then nobody saw it, and it is sent on a new one, once. */
static void broken(struct plain_call *call, int code)
{
    struct http_conn *c = call->conn;
    if (!c->kept || call->again || http_response_has_begun(&call->response)) {
        http_response_cut(&call->response);
        const struct http_response *r = &call->response;
        bool cut = code == 0 || code == ERR_CLOSED;
        http_call_fail(call, r->code, cut ? r->error : "the connection has failed");
        return;
    }
    struct http_host *h = call->host;
    call->again = true;
    http_host_take(h); /* the new one's, before that of the old one is free */
    http_conn_drop(c);
    open_slot(call);
}

static void on_connected(struct tcp_conn *tcp, void *arg)
{
    struct http_conn *c = arg;
    (void)tcp;
    if (c->plain != NULL)
        send_call(c->call, c);
}

static void on_read(struct tcp_conn *tcp, struct str bytes, void *arg)
{
    struct http_conn *c = arg;
    struct plain_call *call = c->call;
    (void)tcp;
    if (c->plain == NULL)
        return;
    if (call == NULL) { /* nobody has asked */
        struct http_host *h = c->host;
        http_conn_drop(c);
        http_host_serve(h);
        return;
    }
    struct http_response *r = &call->response;
    size_t taken = http_response_feed(r, bytes);
    if (r->state == HTTP_RESPONSE_DONE)
        finish(call, taken == bytes.len);
    else if (r->state == HTTP_RESPONSE_BAD)
        http_call_fail(call, r->code, r->error);
}

static void on_eof(struct tcp_conn *tcp, void *arg)
{
    struct http_conn *c = arg;
    struct plain_call *call = c->call;
    (void)tcp;
    if (c->plain == NULL)
        return;
    c->at_end = true;
    if (call == NULL) {
        struct http_host *h = c->host;
        http_conn_drop(c);
        http_host_serve(h);
        return;
    }
    struct http_response *r = &call->response;
    if (http_response_has_begun(r))
        http_response_end(r);
    if (r->state == HTTP_RESPONSE_DONE)
        finish(call, true);
    else
        broken(call, ERR_CLOSED);
}

static void on_end(struct tcp_conn *tcp, int code, void *arg)
{
    struct http_conn *c = arg;
    struct plain_call *call = c->call;
    (void)tcp;
    if (c->plain == NULL) {
        mem_free(c);
        return;
    }
    struct http_host *h = c->host;
    if (call == NULL) {
        http_conn_drop(c);
        http_host_serve(h);
    } else if (call->place == CALL_CONNECTING) {
        call->code = code;
        call->conn = NULL;
        http_host_take(h); /* for the next one */
        http_conn_drop(c);
        http_call_connect(call);
    } else {
        broken(call, code);
    }
    mem_free(c);
}

static const struct tcp_events conn_events = {
    .on_connected = on_connected, .on_read = on_read, .on_eof = on_eof, .on_end = on_end};

/* --- starting ------------------------------------------------------------------------------ */

bool http_plain_takes(const struct http_ask *ask, struct http_url *url)
{
    bool direct = ask->way == NULL || ask->way->proxy == NULL || ask->way->proxy[0] == '\0';
    return direct && http_url_split(str_c(ask->url), url);
}

static struct plain_call *call_new(struct http_plain *p)
{
    struct list *spare = list_first(&p->spare);
    struct plain_call *call;
    if (spare != NULL) {
        list_remove(spare);
        p->spare_count--;
        call = LIST_ITEM(spare, struct plain_call, link);
    } else if ((call = mem_zalloc(sizeof *call)) == NULL) {
        return NULL;
    }
    list_init(&call->link);
    list_init(&call->queue);
    call->plain = p;
    call->host = NULL;
    call->conn = NULL;
    call->elsewhere = NULL;
    call->again = false;
    return call;
}

int http_plain_start(struct http_plain *p, const struct http_ask *ask, const struct http_url *url,
                     struct http_call **out, struct err *err)
{
    enum { METHODS = HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_PUT | HTTP_DELETE };
    if ((ask->method & METHODS) == 0)
        return err_set(err, ERR_INVAL, "%s: not a method that is sent", ask->url);
    struct plain_call *call = call_new(p);
    if (call == NULL)
        return err_set(err, ERR_NOMEM, "%s", ask->url);
    bool bodiless = ask->method == HTTP_GET || ask->method == HTTP_HEAD;
    call->method = ask->method;
    call->body = bodiless ? STR("") : ask->body;
    call->deadline = ask->deadline;
    call->response_max = ask->response_max == 0 ? BODY_MAX_USUAL : ask->response_max;
    call->way = ask->way;
    call->done = ask->done;
    call->arg = ask->arg;
    int rc = http_call_render(call, ask, url);
    if (rc == 0)
        rc = http_host_get(&call->host, p, url, ask->way != NULL ? ask->way->connect_to : NULL);
    if (rc != 0) {
        recycle(call);
        return err_set(err, rc, "%s: %s", ask->url,
                       rc == ERR_INVAL ? "a header cannot be sent" : "no memory");
    }
    list_push_back(&p->calls, &call->link);
    p->inflight++;
    http_plain_watch(p, call->deadline);
    call->place = CALL_WAITING;
    list_push_back(&call->host->waiting, &call->queue);
    http_host_serve(call->host);
    *out = &call->call;
    return 0;
}

void http_plain_cancel(struct http_call *base)
{
    struct plain_call *call = LIST_ITEM(base, struct plain_call, call);
    ASSERT(loop_is_mine(call->plain->loop));
    if (call->place == CALL_ELSEWHERE) {
        http_curl_cancel(call->elsewhere);
    } else {
        leave(call);
        unlist(call);
    }
    recycle(call);
}

unsigned http_plain_inflight(const struct http_plain *p)
{
    return p->inflight;
}

/* --- life ---------------------------------------------------------------------------------- */

int http_plain_init(struct http_plain **out, struct http_client *c, struct loop *l,
                    const struct http_client_config *config, struct err *err)
{
    struct http_plain *p = mem_zalloc(sizeof *p);
    if (p == NULL || loop_timer_init(&p->timer, l, on_timer, p) != 0) {
        mem_free(p);
        return err_set(err, ERR_NOMEM, "HTTP client");
    }
    p->client = c;
    p->loop = l;
    p->config = *config;
    p->due = MONO_NEVER;
    p->refs = 1;
    struct list *lists[] = {&p->calls, &p->failing, &p->spare, &p->conns, &p->idle, &p->unused};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    for (size_t i = 0; i < HTTP_BUCKETS; i++)
        list_init(&p->hosts[i]);
    *out = p;
    return 0;
}

void http_plain_free(struct http_plain **pp)
{
    const struct http_result canceled = {
        .code = ERR_CANCELED, .retry_after_s = -1, .message = "canceled"};
    struct http_plain *p = *pp;
    struct list *at;
    p->closing = true;
    while ((at = list_first(&p->calls)) != NULL) {
        struct plain_call *call = LIST_ITEM(at, struct plain_call, link);
        leave(call);
        unlist(call);
        tell(call, &canceled);
    }
    while ((at = list_first(&p->conns)) != NULL)
        http_conn_drop(LIST_ITEM(at, struct http_conn, link));
    while ((at = list_first(&p->spare)) != NULL) {
        list_remove(at);
        call_free(LIST_ITEM(at, struct plain_call, link));
    }
    http_hosts_free(p);
    loop_timer_stop(p->timer);
    *pp = NULL;
    plain_unref(p);
}
