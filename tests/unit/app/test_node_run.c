/* A node without a role serves its pages, is ready when its role is, takes little memory, and stops
 * when it is told to: not before what it accepted is answered. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/node_run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../net/raw_http.h"
#include "net/http_server.h"

struct world {
    struct node *node;
    struct node_hooks hooks;
    pthread_t thread;
    uint16_t port;
    _Atomic(bool) is_ready, started, left, stopped;
    _Atomic(int) status;
    _Atomic(struct http_req *) held;
    bool fail_start;
    const char *mode; /* of the admin server */
    bool observer;    /* and without -memberlist.join */
    uint16_t admin;   /* its port */
};

static int on_start(void *arg, struct err *err)
{
    struct world *w = arg;
    atomic_store(&w->started, true);
    return w->fail_start ? err_set(err, ERR_IO, "no disk") : 0;
}

static int on_ready(void *arg, struct err *err)
{
    struct world *w = arg;
    return atomic_load(&w->is_ready) ? 0 : err_set(err, ERR_UNAVAILABLE, "the disk is slow");
}

static void on_leave(void *arg)
{
    atomic_store(&((struct world *)arg)->left, true);
}

static void on_stop(void *arg)
{
    struct world *w = arg;
    atomic_store(&w->stopped, true);
}

static void hold(void *arg, struct http_req *req)
{
    atomic_store(&((struct world *)arg)->held, req);
}

static void *run(void *arg)
{
    struct world *w = arg;
    atomic_store(&w->status, node_run(w->node, &w->hooks));
    return NULL;
}

static void init(struct world *w)
{
    char mode[64];
    char *argv[] = {"test", "-server.http-listen-address=127.0.0.1", "-server.http-listen-port=0",
                    "-memberlist.bind-addr=127.0.0.1", "-memberlist.bind-port=0",
                    "-memberlist.leave-timeout=200ms", "-log.level=error",
                    "-server.workers=1", "-admin-server.http-listen-port=0", mode, NULL};
    snprintf(mode, sizeof mode, "-admin-server.mode=%s", w->mode == NULL ? "disabled" : w->mode);
    struct http_route route = {.path = "/hold", .methods = HTTP_GET, .handler = hold, .arg = w};
    struct node_role role = {.name = "tester", .observer = w->observer};
    node_init(&w->node, &role, 10, argv);
    assert_non_null(w->node);
    assert_int_equal(http_server_route(w->node->http, &route, NULL), 0);
    w->port = http_server_addr(w->node->http).port;
    w->admin = w->node->admin == NULL ? 0 : http_server_addr(w->node->admin).port;
    atomic_store(&w->status, -1);
    w->hooks = (struct node_hooks){.arg = w, .start = on_start, .ready = on_ready,
                                   .leave = on_leave, .stop = on_stop};
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
}

static void end(struct world *w)
{
    pthread_join(w->thread, NULL);
    node_free(&w->node);
    assert_null(w->node);
}

#define UNTIL(cond)                                                                           \
    do {                                                                                      \
        mono_ms limit = clock_mono_ms() + RAW_WAIT_MS;                                        \
        while (!(cond) && clock_mono_ms() < limit)                                            \
            poll(NULL, 0, 5);                                                                 \
        assert_true(cond);                                                                    \
    } while (0)

static unsigned get(struct world *w, const char *path, struct raw *r)
{
    char text[256];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return raw_once(w->port, text, r);
}

static bool has(const struct raw *r, const char *text)
{
    return str_contains(buf_view(&r->body), str_c(text));
}

/* Asks anew each time; `r` was closed before. */
static bool metrics_have(struct world *w, struct raw *r, const char *text)
{
    raw_close(r);
    return get(w, "/metrics", r) == 200 && has(r, text);
}

static void pages_are_served_and_ready_waits_for_the_role(void **state)
{
    struct world w = {0};
    struct raw r;
    (void)state;
    init(&w);
    UNTIL(atomic_load(&w.started));
    assert_int_equal(get(&w, "/ready", &r), 503);
    assert_true(has(&r, "the disk is slow"));
    raw_close(&r);
    atomic_store(&w.is_ready, true);
    assert_int_equal(get(&w, "/ready", &r), 200);
    assert_true(has(&r, "ready"));
    raw_close(&r);
    assert_int_equal(get(&w, "/", &r), 302);
    assert_true(str_eq(raw_header(&r, "Location"), STR("/admin")));
    raw_close(&r);
    assert_int_equal(get(&w, "/admin", &r), 200);
    assert_true(has(&r, "tester") && has(&r, "/api/v1/status/config"));
    raw_close(&r);
    assert_int_equal(get(&w, "/api/v1/status/config", &r), 200);
    assert_true(has(&r, "http_listen_port"));
    raw_close(&r);
    assert_int_equal(get(&w, "/api/v1/status/buildinfo", &r), 200);
    assert_true(has(&r, "\"version\":"));
    raw_close(&r);
    UNTIL(metrics_have(&w, &r, "pyroscope_request_duration_seconds_count{method=\"GET\","
                               "route=\"ready\",status_code=\"503\",ws=\"false\"} 1\n"));
    assert_true(has(&r, "pyroscope_inflight_requests "));
    assert_true(has(&r, "pyroscope_build_info{"));
    raw_close(&r);
    node_quit(w.node, 0);
    end(&w);
    assert_int_equal(atomic_load(&w.status), 0);
    assert_true(atomic_load(&w.left) && atomic_load(&w.stopped));
}

static void a_stop_waits_for_what_was_accepted(void **state)
{
    struct world w = {0};
    struct raw r;
    (void)state;
    init(&w);
    UNTIL(atomic_load(&w.started));
    raw_open(&r, w.port);
    raw_say(&r, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    UNTIL(atomic_load(&w.held) != NULL);
    node_quit(w.node, 0);
    UNTIL(atomic_load(&w.left));
    poll(NULL, 0, 100);
    assert_false(atomic_load(&w.stopped));
    http_reply_text(atomic_load(&w.held), 200, "whole");
    assert_int_equal(raw_answer(&r), 200);
    raw_close(&r);
    end(&w);
    assert_true(atomic_load(&w.stopped));
    assert_int_equal(atomic_load(&w.status), 0);
}

static void a_role_that_cannot_start_ends_the_process_with_1(void **state)
{
    struct world w = {.fail_start = true};
    (void)state;
    init(&w);
    end(&w);
    assert_int_equal(atomic_load(&w.status), 1);
}

static unsigned status_of(uint16_t port, const char *path)
{
    char text[256];
    struct raw r;
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    unsigned status = raw_once(port, text, &r);
    raw_close(&r);
    return status;
}

static const char *const pages[] = {"/ready", "/metrics", "/ring", "/distributor/ring",
                                    "/memberlist", "/admin",
                                    "/api/v1/status/config"};

static void an_additional_admin_server_has_the_pages_too(void **state)
{
    struct world w = {.mode = "additional", .is_ready = true};
    (void)state;
    init(&w);
    UNTIL(atomic_load(&w.started));
    assert_int_not_equal(w.admin, 0);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_int_equal(status_of(w.port, pages[i]), 200);
        assert_int_equal(status_of(w.admin, pages[i]), 200);
    }
    assert_int_equal(status_of(w.admin, "/"), 302);
    assert_int_equal(status_of(w.admin, "/hold"), 404);
    node_quit(w.node, 0);
    end(&w);
    assert_int_equal(atomic_load(&w.status), 0);
}

static void an_admin_server_on_the_port_of_the_main_server_is_refused(void **state)
{
    struct node *n = NULL;
    (void)state;
    char *argv[] = {"test", "-server.http-listen-address=127.0.0.1",
                    "-server.http-listen-port=24123", "-admin-server.http-listen-port=24123",
                    "-admin-server.mode=additional", "-memberlist.bind-addr=127.0.0.1",
                    "-memberlist.bind-port=0", "-log.level=error", NULL};
    struct node_role role = {.name = "tester"};
    char said[2048] = "";
    int out[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(out), 0);
    dup2(out[1], STDERR_FILENO);
    int status = node_init(&n, &role, 8, argv);
    dup2(old, STDERR_FILENO);
    close(old);
    close(out[1]);
    ssize_t got = read(out[0], said, sizeof said - 1);
    close(out[0]);
    assert_int_equal(status, 1);
    assert_null(n);
    assert_true(got > 0);
    assert_non_null(strstr(said, "are both 24123"));
}

static void an_exclusive_admin_server_has_the_pages_alone(void **state)
{
    struct world w = {.mode = "exclusive", .is_ready = true};
    (void)state;
    init(&w);
    UNTIL(atomic_load(&w.started));
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_int_equal(status_of(w.port, pages[i]), 404);
        assert_int_equal(status_of(w.admin, pages[i]), 200);
    }
    assert_int_equal(status_of(w.port, "/"), 404);
    assert_int_equal(status_of(w.port, "/api/v1/status/buildinfo"), 200);
    assert_int_equal(status_of(w.admin, "/api/v1/status/buildinfo"), 200);
    node_quit(w.node, 0);
    end(&w);
    assert_int_equal(atomic_load(&w.status), 0);
}

static void a_role_without_gossip_has_pages_without_rings(void **state)
{
    struct world w = {.observer = true, .is_ready = true};
    struct raw r;
    (void)state;
    init(&w);
    UNTIL(atomic_load(&w.started));
    assert_int_equal(get(&w, "/admin", &r), 200);
    assert_true(has(&r, "answered by <b>127.0.0.1:"));
    assert_true(has(&r, "/api/v1/status/config"));
    assert_false(has(&r, "ring\">") || has(&r, "memberlist"));
    struct str style = buf_view(&r.body);
    while (style.len > 0 && !str_starts_with(style, STR("static/")))
        style = str_skip(style, 1);
    char path[128];
    snprintf(path, sizeof path, "/%.*s", STR_ARG(str_head(style, str_find(style, '"'))));
    raw_close(&r);
    assert_int_equal(status_of(w.port, path), 200);
    assert_int_equal(status_of(w.port, "/ready"), 200);
    assert_int_equal(status_of(w.port, "/metrics"), 200);
    assert_int_equal(status_of(w.port, "/ring"), 404);
    assert_int_equal(status_of(w.port, "/memberlist"), 404);
    node_quit(w.node, 0);
    end(&w);
    assert_int_equal(atomic_load(&w.status), 0);
}

static void what_cannot_be_configured_does_not_run(void **state)
{
    struct node *n = NULL;
    (void)state;
    char *wrong[] = {"test", "-server.http-listen-prot=1", NULL};
    assert_int_equal(node_init(&n, &(struct node_role){.name = "tester"}, 2, wrong), 1);
    assert_null(n);
    char *threads[] = {"test", "-server.http-threads=0", NULL};
    assert_int_equal(node_init(&n, &(struct node_role){.name = "tester"}, 2, threads), 1);
    assert_null(n);
    char *mode[] = {"test", "-admin-server.mode=bogus", NULL};
    assert_int_equal(node_init(&n, &(struct node_role){.name = "tester"}, 2, mode), 1);
    assert_null(n);
    char *version[] = {"test", "-version", NULL};
    assert_int_equal(node_init(&n, &(struct node_role){.name = "tester"}, 2, version), 0);
    assert_null(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_served_and_ready_waits_for_the_role),
        cmocka_unit_test(a_stop_waits_for_what_was_accepted),
        cmocka_unit_test(an_additional_admin_server_has_the_pages_too),
        cmocka_unit_test(an_admin_server_on_the_port_of_the_main_server_is_refused),
        cmocka_unit_test(an_exclusive_admin_server_has_the_pages_alone),
        cmocka_unit_test(a_role_that_cannot_start_ends_the_process_with_1),
        cmocka_unit_test(a_role_without_gossip_has_pages_without_rings),
        cmocka_unit_test(what_cannot_be_configured_does_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
