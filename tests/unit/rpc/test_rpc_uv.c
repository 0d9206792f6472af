/* Any client of Connect is answered as connect-go would answer it, and our own client understands
 * our own server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/client.h"
#include "rpc/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../net/raw_http.h"
#include "base/mem.h"
#include "connect.msg.h"
#include "wire/compress.h"

enum { LIMIT = 300 * 1000 };

struct world {
    struct loop *loop;
    struct pool *pool;
    struct http_server *http;
    struct rpc_server *rpc;
    struct http_client *client;
    uint16_t port;
    struct rpc_call *held;
    atomic_int holds, cancels;
    /* of the client */
    pthread_mutex_t lock;
    atomic_int done;
    enum rpc_code code;
    unsigned status;
    struct buf body;
    char message[256], tenant[64];
    struct rpc_out *out;
};

/* Answers what it was asked; the message "fail CODE" makes it fail, "ten" is said ten thousand
 * times. */
static void echo(void *arg, struct rpc_call *call)
{
    const struct connect_v1_error *in = call->request;
    struct connect_v1_error out = *in;
    enum rpc_code code;
    (void)arg;
    rpc_header(call, "X-Tenant", call->tenant);
    if (str_starts_with(in->message, STR("fail ")) &&
        rpc_code_parse(str_skip(in->message, 5), &code) == 0) {
        rpc_fail(call, code, "as you %s", "wish");
        return;
    }
    if (str_eq(in->message, STR("ten"))) {
        char *text = arena_alloc(call->arena, 10000);
        memset(text, 't', 10000);
        out.message = str_of(text, 10000);
    }
    rpc_reply(call, &out);
}

static void on_cancel(void *arg)
{
    atomic_fetch_add(&((struct world *)arg)->cancels, 1);
}

static void hold(void *arg, struct rpc_call *call)
{
    struct world *w = arg;
    http_req_on_cancel(call->http, on_cancel, w);
    w->held = call;
    atomic_fetch_add(&w->holds, 1);
}

static void raw(void *arg, struct rpc_call *call)
{
    struct buf b = {0};
    (void)arg;
    assert_null(call->request);
    buf_str(&b, call->bytes);
    rpc_reply_bytes(call, &b);
}

static void plain(void *arg, struct http_req *req)
{
    struct world *w = arg;
    struct str tenant;
    if (!rpc_http_tenant(w->rpc, req, &tenant))
        return;
    rpc_http_fail(req, 422, "%.*s may not", STR_ARG(tenant));
}

static struct rpc_method methods[] = {
    {.path = "/test.v1.Test/Echo", .request = &connect_v1_error_msg,
     .response = &connect_v1_error_msg, .handler = echo, .body_max = LIMIT},
    {.path = "/test.v1.Test/Own", .request = &connect_v1_error_msg,
     .response = &connect_v1_error_msg, .handler = echo, .flags = RPC_INTERNAL_ONLY},
    {.path = "/test.v1.Test/Hold", .request = &connect_v1_error_msg,
     .response = &connect_v1_error_msg, .handler = hold},
    {.path = "/test.v1.Test/Raw", .handler = raw, .flags = RPC_RAW | RPC_NO_TENANT},
};

static int start(void **state, bool multi)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_client_config none = {0};
    pthread_mutex_init(&w->lock, NULL);
    assert_int_equal(loop_init(&w->loop, "http", NULL), 0);
    assert_int_equal(pool_init(&w->pool, 2, 100, NULL), 0);
    assert_int_equal(http_server_init(&w->http, &w->loop, 1, &config, NULL), 0);
    assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
    struct rpc_server_config rpc = {.multitenancy = multi, .pool = w->pool, .pool_bytes = 2000};
    assert_int_equal(rpc_server_init(&w->rpc, w->http, &rpc), 0);
    methods[2].arg = w;
    assert_int_equal(rpc_server_add(w->rpc, methods, 4, NULL), 0);
    struct http_route route = {.path = "/plain", .methods = HTTP_GET, .handler = plain, .arg = w};
    assert_int_equal(http_server_route(w->http, &route, NULL), 0);
    assert_int_equal(http_server_start(w->http, NULL), 0);
    assert_int_equal(loop_start(w->loop, NULL), 0);
    w->port = http_server_addr(w->http).port;
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return start(state, false);
}

static int set_up_multi(void **state)
{
    return start(state, true);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    http_client_free(&w->client);
    http_server_stop(w->http, 500);
    pool_free(&w->pool);
    http_server_free(&w->http);
    rpc_server_free(&w->rpc);
    loop_free(&w->loop);
    buf_reset(&w->body);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
    return 0;
}

#define UNTIL(cond)                                                                           \
    do {                                                                                      \
        mono_ms limit = clock_mono_ms() + RAW_WAIT_MS;                                        \
        while (!(cond) && clock_mono_ms() < limit)                                            \
            poll(NULL, 0, 2);                                                                 \
        assert_true(cond);                                                                    \
    } while (0)

/* POST body with extra header lines; the answer is in r. */
static unsigned post(struct world *w, struct raw *r, const char *path, const char *lines,
                     struct str body)
{
    char head[512];
    if (r->fd <= 0)
        raw_open(r, w->port);
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n",
             path, body.len, lines);
    raw_say(r, head);
    raw_send(r, body.data, body.len);
    return raw_answer(r);
}

#define ECHO "/test.v1.Test/Echo"
#define JSON "Content-Type: application/json\r\n"
#define PROTO "Content-Type: application/proto\r\n"

static bool body_has(const struct raw *r, const char *text)
{
    return str_contains(buf_view(&r->body), str_c(text));
}

static void json_and_protobuf_are_answered_in_kind(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    assert_int_equal(post(w, &r, ECHO, JSON, STR("{\"code\":\"a\",\"message\":\"b\",\"x\":1}")),
                     200);
    assert_true(str_eq(raw_header(&r, "Content-Type"), STR("application/json")));
    assert_true(str_eq(raw_header(&r, "Accept-Encoding"), STR("gzip")));
    assert_true(str_eq(raw_header(&r, "X-Tenant"), STR("anonymous")));
    assert_true(str_eq(buf_view(&r.body), STR("{\"code\":\"a\",\"message\":\"b\"}")));
    assert_int_equal(post(w, &r, ECHO, PROTO "Connect-Protocol-Version: 1\r\n",
                          STR("\n\1a\x12\1b")), 200);
    assert_true(str_eq(raw_header(&r, "Content-Type"), STR("application/proto")));
    assert_true(str_eq(buf_view(&r.body), STR("\n\1a\x12\1b")));
    assert_int_equal(post(w, &r, ECHO, PROTO, STR("")), 200); /* all defaults */
    assert_int_equal(r.body.size, 0);
    assert_int_equal(post(w, &r, ECHO, "content-type: Application/Json;charset=utf-8\r\n",
                          STR("{}")), 200);
    assert_true(str_eq(buf_view(&r.body), STR("{}")));
    raw_close(&r);
}

static void what_cannot_be_read_has_connects_status_and_says_what(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    static const struct {
        const char *lines, *body;
        unsigned status;
        const char *code, *says;
    } cases[] = {
        {JSON, "", 400, "invalid_argument", ""},
        {JSON, "{", 400, "invalid_argument", ""},
        {JSON, "{\"code\":5}", 400, "invalid_argument", "code"},
        {PROTO, "\n\5a", 400, "invalid_argument", ""},
        {PROTO, "\n\1\xff", 400, "invalid_argument", ""},
        {PROTO "Content-Encoding: gzip\r\n", "no gzip", 400, "invalid_argument", ""},
        {PROTO "Content-Encoding: br\r\n", "", 501, "unimplemented", "gzip"},
        {PROTO "Content-Encoding: lz4\r\n", "", 501, "unimplemented", "gzip"},
        {PROTO "Connect-Protocol-Version: 2\r\n", "", 400, "invalid_argument", "Version must"},
        {PROTO "Connect-Timeout-Ms: 12345678901\r\n", "", 400, "invalid_argument", "Timeout"},
        {PROTO "Connect-Timeout-Ms: abc\r\n", "", 400, "invalid_argument", "Timeout"},
        {PROTO "Connect-Timeout-Ms: 0\r\n", "", 504, "deadline_exceeded", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned status = post(w, &r, ECHO, cases[i].lines, str_c(cases[i].body));
        if (status != cases[i].status || !body_has(&r, cases[i].code) ||
            !body_has(&r, cases[i].says) || !body_has(&r, "\"message\":"))
            fail_msg("case %zu: %u %.*s", i, status, STR_ARG(buf_view(&r.body)));
        assert_true(str_eq(raw_header(&r, "Content-Type"), STR("application/json")));
    }
    /* No bytes at all are no broken gzip. */
    assert_int_equal(post(w, &r, ECHO, PROTO "Content-Encoding: gzip\r\n", STR("")), 200);
    raw_close(&r);
}

static void wrong_methods_and_types_are_told_what_is_right(void **state)
{
    struct world *w = *state;
    struct raw r;
    raw_open(&r, w->port);
    static const char *const wrong[] = {"GET", "PUT", "DELETE", "PATCH"};
    for (size_t i = 0; i < 4; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s " ECHO " HTTP/1.1\r\nHost: x\r\n\r\n", wrong[i]);
        raw_say(&r, text);
        assert_int_equal(raw_answer(&r), 405);
        assert_true(str_eq(raw_header(&r, "Allow"), STR("POST")));
        assert_int_equal(r.body.size, 0);
    }
    assert_int_equal(post(w, &r, ECHO, "Content-Type: text/plain\r\n", STR("x")), 415);
    assert_true(str_contains(raw_header(&r, "Accept-Post"), STR("application/proto")));
    assert_true(str_contains(raw_header(&r, "Accept-Post"), STR("application/json")));
    assert_int_equal(post(w, &r, ECHO, "", STR("x")), 415);
    assert_int_equal(post(w, &r, "/test.v1.Test/Raw", JSON, STR("{}")), 415);
    assert_int_equal(post(w, &r, "/test.v1.Test/Raw", PROTO, STR("any\xff")), 200);
    assert_true(str_eq(buf_view(&r.body), STR("any\xff")));
    assert_int_equal(post(w, &r, "/test.v1.Test/None", PROTO, STR("")), 404);
    raw_close(&r);
}

static void errors_of_a_handler_carry_their_code(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    assert_int_equal(post(w, &r, ECHO, JSON, STR("{\"message\":\"fail not_found\"}")), 404);
    assert_true(str_eq(buf_view(&r.body),
                       STR("{\"code\":\"not_found\",\"message\":\"as you wish\"}")));
    assert_true(str_eq(raw_header(&r, "X-Tenant"), STR("anonymous")));
    /* An error is JSON whatever the request was. */
    assert_int_equal(post(w, &r, ECHO, PROTO, STR("\x12\x0d" "fail internal")), 500);
    assert_true(body_has(&r, "\"internal\""));
    raw_close(&r);
}

static void gzip_is_unpacked_and_offered(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    struct buf packed = {0}, out = {0};
    assert_int_equal(gzip_pack(STR("{\"message\":\"ten\"}"), GZIP_FAST, &packed), 0);
    struct str body = buf_view(&packed);
    /* The request's coding is the answer's when none is named. */
    assert_int_equal(post(w, &r, ECHO, JSON "Content-Encoding: gzip\r\n", body), 200);
    assert_true(str_eq(raw_header(&r, "Content-Encoding"), STR("gzip")));
    assert_int_equal(gzip_unpack(buf_view(&r.body), 20000, &out, NULL), 0);
    assert_int_equal(out.size, 10000 + strlen("{\"message\":\"\"}"));
    assert_int_equal(post(w, &r, ECHO, JSON "Content-Encoding: gzip\r\n"
                          "Accept-Encoding: identity\r\n", body), 200);
    assert_null(raw_header(&r, "Content-Encoding").data);
    assert_int_equal(post(w, &r, ECHO, JSON "Accept-Encoding: br, gzip\r\n",
                          STR("{\"message\":\"ten\"}")), 200);
    assert_true(str_eq(raw_header(&r, "Content-Encoding"), STR("gzip")));
    /* Small answers are not worth it. */
    assert_int_equal(post(w, &r, ECHO, JSON "Accept-Encoding: gzip\r\n", STR("{}")), 200);
    assert_null(raw_header(&r, "Content-Encoding").data);
    buf_reset(&packed);
    buf_reset(&out);
    raw_close(&r);
}

static void limits_count_before_and_after_unpacking(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    struct buf body = {0}, packed = {0};
    /* As large as may be, through the pool: field 2, LIMIT - 4 bytes. */
    buf_u8(&body, 0x12);
    buf_varint(&body, LIMIT - 4);
    uint8_t *at = buf_reserve(&body, LIMIT);
    memset(at, 'x', LIMIT);
    body.size += LIMIT - 4;
    assert_int_equal(body.size, LIMIT);
    assert_int_equal(post(w, &r, ECHO, PROTO, buf_view(&body)), 200);
    assert_int_equal(r.body.size, LIMIT);
    assert_int_equal(gzip_pack(buf_view(&body), GZIP_FAST, &packed), 0);
    assert_int_equal(post(w, &r, ECHO, PROTO "Content-Encoding: gzip\r\nAccept-Encoding: \r\n",
                          buf_view(&packed)), 200);
    assert_int_equal(r.body.size, LIMIT);
    /* One more, packed: found out while unpacking. */
    body.size++;
    buf_clear(&packed);
    assert_int_equal(gzip_pack(buf_view(&body), GZIP_FAST, &packed), 0);
    assert_int_equal(post(w, &r, ECHO, PROTO "Content-Encoding: gzip\r\n", buf_view(&packed)),
                     429);
    assert_true(body_has(&r, "resource_exhausted"));
    /* One more as it is. */
    assert_int_equal(post(w, &r, ECHO, PROTO, buf_view(&body)), 429);
    assert_true(body_has(&r, "resource_exhausted"));
    raw_close(&r);
    buf_reset(&body);
    buf_reset(&packed);
    UNTIL(http_server_stats(w->http).memory_used == 0);
}

static void a_callers_deadline_is_kept(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    mono_ms began = clock_mono_ms();
    assert_int_equal(post(w, &r, "/test.v1.Test/Hold", PROTO "Connect-Timeout-Ms: 120\r\n",
                          STR("")), 504);
    assert_in_range(clock_mono_ms() - began, 110, 3000);
    assert_true(body_has(&r, "deadline_exceeded"));
    UNTIL(atomic_load(&w->cancels) == 1);
    rpc_fail(w->held, RPC_INTERNAL, "too late");
    assert_int_equal(post(w, &r, ECHO, JSON, STR("{}")), 200);
    raw_close(&r);
}

static void tenants_are_demanded_where_they_are_switched_on(void **state)
{
    struct world *w = *state;
    struct raw r = {0};
    assert_int_equal(post(w, &r, ECHO, JSON, STR("{}")), 401);
    assert_true(body_has(&r, "unauthenticated"));
    assert_int_equal(post(w, &r, ECHO, JSON "X-Scope-OrgID: a/b\r\n", STR("{}")), 400);
    assert_int_equal(post(w, &r, ECHO, JSON "X-Scope-OrgID: team-a\r\n", STR("{}")), 200);
    assert_true(str_eq(raw_header(&r, "X-Tenant"), STR("team-a")));
    assert_int_equal(post(w, &r, "/test.v1.Test/Raw", PROTO, STR("x")), 200);
    raw_say(&r, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(raw_answer(&r), 401);
    assert_true(body_has(&r, "{\"code\":\"unauthenticated\""));
    raw_say(&r, "GET /plain HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: team-a\r\n\r\n");
    assert_int_equal(raw_answer(&r), 422);
    assert_true(str_eq(buf_view(&r.body),
                       STR("{\"code\":\"unknown\",\"message\":\"team-a may not\"}")));
    raw_close(&r);
}

/* --- our client ---------------------------------------------------------------------------- */

static void on_result(void *arg, const struct rpc_result *r)
{
    struct world *w = arg;
    pthread_mutex_lock(&w->lock);
    w->code = r->code;
    w->status = r->status;
    buf_clear(&w->body);
    buf_str(&w->body, r->body);
    snprintf(w->message, sizeof w->message, "%s", r->message);
    snprintf(w->tenant, sizeof w->tenant, "%.*s",
             STR_ARG(http_field_get(r->headers, r->header_count, "X-Tenant")));
    atomic_fetch_add(&w->done, 1);
    pthread_mutex_unlock(&w->lock);
}

struct starting {
    struct world *w;
    struct rpc_ask ask;
    int rc;
};

static void do_start(void *arg)
{
    struct starting *s = arg;
    s->rc = rpc_start(s->w->client, &s->ask, &s->w->out, NULL);
}

static enum rpc_code ask(struct world *w, struct rpc_ask a)
{
    char host[32];
    int before = atomic_load(&w->done);
    snprintf(host, sizeof host, "127.0.0.1:%u", w->port);
    if (a.host_port.len == 0)
        a.host_port = str_c(host);
    if (a.deadline == 0)
        a.deadline = clock_mono_ms() + RAW_WAIT_MS;
    a.done = on_result;
    a.arg = w;
    struct starting s = {.w = w, .ask = a};
    loop_call(w->loop, do_start, &s);
    assert_int_equal(s.rc, 0);
    UNTIL(atomic_load(&w->done) == before + 1);
    return w->code;
}

static void the_client_gets_answers_and_codes(void **state)
{
    struct world *w = *state;
    struct str ten = STR("\x12\3ten");
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .body = STR("\n\1a"),
                                             .tenant = STR("team-b")}), RPC_OK);
    assert_true(str_eq(buf_view(&w->body), STR("\n\1a")));
    assert_string_equal(w->tenant, "team-b");
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .body = ten, .tenant = STR("t")}),
                     RPC_OK);
    assert_int_equal(w->body.size, 10003); /* came packed */
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .body = ten, .tenant = STR("t"),
                                             .response_max = 9000}), RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .body = STR("\x12\x0c" "fail aborted"),
                                             .tenant = STR("t")}), RPC_ABORTED);
    assert_string_equal(w->message, "as you wish");
    assert_int_equal(w->status, 409);
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO}), RPC_UNAUTHENTICATED);
    assert_int_equal(ask(w, (struct rpc_ask){.path = "/none"}), RPC_UNIMPLEMENTED);
    assert_non_null(strstr(w->message, "404"));
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .host_port = STR("127.0.0.1:1")}),
                     RPC_UNAVAILABLE);
    assert_int_equal(w->status, 0);
}

static void lz4_is_spoken_between_our_own(void **state)
{
    struct world *w = *state;
    struct buf packed = {0};
    assert_int_equal(rpc_pack(RPC_LZ4, STR("\x12\3ten"), &packed), 0);
    assert_int_equal(ask(w, (struct rpc_ask){.path = "/test.v1.Test/Own", .tenant = STR("t"),
                                             .body = buf_view(&packed), .coding = RPC_LZ4}),
                     RPC_OK);
    assert_int_equal(w->body.size, 10003);
    assert_int_equal(ask(w, (struct rpc_ask){.path = ECHO, .tenant = STR("t"),
                                             .body = buf_view(&packed), .coding = RPC_LZ4}),
                     RPC_UNIMPLEMENTED);
    buf_reset(&packed);
}

static void do_cancel(void *arg)
{
    rpc_cancel(((struct world *)arg)->out);
}

static void the_client_times_out_and_cancels(void **state)
{
    struct world *w = *state;
    mono_ms began = clock_mono_ms();
    assert_int_equal(ask(w, (struct rpc_ask){.path = "/test.v1.Test/Hold", .tenant = STR("t"),
                                             .deadline = began + 150}), RPC_DEADLINE_EXCEEDED);
    assert_in_range(clock_mono_ms() - began, 140, 3000);
    rpc_fail(w->held, RPC_INTERNAL, "late");
    struct starting s = {.w = w, .ask = {.path = "/test.v1.Test/Hold", .tenant = STR("t"),
                                         .deadline = clock_mono_ms() + RAW_WAIT_MS,
                                         .done = on_result, .arg = w}};
    char host[32];
    snprintf(host, sizeof host, "127.0.0.1:%u", w->port);
    s.ask.host_port = str_c(host);
    int done = atomic_load(&w->done);
    loop_call(w->loop, do_start, &s);
    assert_int_equal(s.rc, 0);
    UNTIL(atomic_load(&w->holds) == 2);
    loop_call(w->loop, do_cancel, w);
    rpc_fail(w->held, RPC_INTERNAL, "nobody");
    assert_int_equal(atomic_load(&w->done), done);
    s.ask.deadline = began;
    loop_call(w->loop, do_start, &s);
    assert_int_equal(s.rc, ERR_TIMEOUT);
    s.ask.deadline = MONO_NEVER;
    s.ask.host_port = STR("a/b:1");
    loop_call(w->loop, do_start, &s);
    assert_int_equal(s.rc, ERR_INVAL);
}

static void out_of_memory_while_making_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct rpc_server_config none = {0};
    for (uint64_t n = 1;; n++) {
        struct http_server *http = NULL;
        struct rpc_server *rpc = NULL;
        struct loop *loop = NULL;
        assert_int_equal(loop_init(&loop, "x", NULL), 0);
        assert_int_equal(http_server_init(&http, &loop, 1, &config, NULL), 0);
        mem_fail_at(n);
        int rc = rpc_server_init(&rpc, http, &none);
        if (rc == 0)
            rc = rpc_server_add(rpc, methods, 3, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        http_server_free(&http);
        rpc_server_free(&rpc);
        loop_free(&loop);
        if (over) {
            assert_int_equal(rc, 0);
            assert_true(n > 4);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    (void)w;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define M(f) cmocka_unit_test_setup_teardown(f, set_up_multi, tear_down)
    const struct CMUnitTest tests[] = {
        T(json_and_protobuf_are_answered_in_kind),
        T(what_cannot_be_read_has_connects_status_and_says_what),
        T(wrong_methods_and_types_are_told_what_is_right),
        T(errors_of_a_handler_carry_their_code),
        T(gzip_is_unpacked_and_offered),
        T(limits_count_before_and_after_unpacking),
        T(a_callers_deadline_is_kept),
        M(tenants_are_demanded_where_they_are_switched_on),
        M(the_client_gets_answers_and_codes),
        M(lz4_is_spoken_between_our_own),
        M(the_client_times_out_and_cancels),
        T(out_of_memory_while_making_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
