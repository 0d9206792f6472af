/* pyroscope.write sends what Alloy's sends, to all endpoints, as often as its rules say, and tells
 * the truth about what became of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdlib.h>
#include <unistd.h>

#include "../../lib/certs.h"
#include "answer.h"
#include "base/rng.h"
#include "push.msg.h"

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    world_init(w, NULL);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    world_stop(w);
    mem_free(w);
    return 0;
}

static void a_push_arrives_as_alloy_sends_it(void **state)
{
    struct world *w = *state;
    const struct alloy_pair external = {STR_INIT("cluster"), STR_INIT("c")},
                            header = {STR_INIT("X-Own"), STR_INIT("own")};
    const struct str secret = STR_INIT("s1");
    const struct alloy_pair_strs more = {STR_INIT("X-More"), {1, &secret}};
    struct push_v1_push_request request;
    struct arena *a = NULL;
    w->settings.external_labels = (struct alloy_map){1, &external};
    w->endpoints[0].headers = (struct alloy_map){1, &header};
    w->endpoints[0].http_headers = (struct alloy_map_strs){1, &more};
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "profile")->stored, 1);
    const struct peer_request *r = &w->peers[0].requests[0];
    assert_string_equal(peer_line(r), "POST /base/push.v1.PusherService/Push HTTP/1.1");
    assert_string_equal(peer_header(r, "Content-Type"), "application/proto");
    assert_string_equal(peer_header(r, "Connect-Protocol-Version"), "1");
    assert_in_range(strtol(peer_header(r, "Connect-Timeout-Ms"), NULL, 10), 4000, 5000);
    assert_string_equal(peer_header(r, "Accept-Encoding"), "gzip");
    assert_string_equal(peer_header(r, "X-Scope-OrgID"), "team");
    assert_string_equal(peer_header(r, "X-Own"), "own");
    assert_string_equal(peer_header(r, "X-More"), "s1");
    assert_string_equal(peer_header(r, "X-Alloy-Id"), "the-instance");
    assert_string_equal(peer_header(r, "User-Agent"), "emberring-test");
    assert_null(peer_header(r, "Expect"));
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(
        msg_decode(&push_v1_push_request_msg, &request, buf_view(&r->body), a, NULL, NULL), 0);
    assert_int_equal(request.series[0].labels_count, 3);
    assert_true(str_eq(request.series[0].labels[1].name, STR("cluster")));
    assert_true(str_eq(request.series[0].samples[0].id, STR("the-id")));
    assert_true(str_eq(request.series[0].samples[0].raw_profile, STR("profile")));
    arena_free(&a);
    assert_int_equal(world_counter(w, w->write_metrics.sent_bytes, 0), 7);
    assert_int_equal(world_counter(w, w->write_metrics.sent_profiles, 0), 1);
}

static void an_ingest_arrives_as_alloy_sends_it(void **state)
{
    struct world *w = *state;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_INGEST, "body")->stored, 1);
    const struct peer_request *r = &w->peers[0].requests[0];
    assert_string_equal(peer_line(r),
                        "POST /base/ingest?from=1&name=svc%7Bservice_name%3Dsvc%7D HTTP/1.1");
    assert_string_equal(peer_header(r, "Content-Type"), "multipart/form-data; boundary=x");
    assert_null(peer_header(r, "Connect-Protocol-Version"));
    assert_true(str_eq(buf_view(&r->body), STR("body")));
}

static void what_the_settings_say_wins_over_what_the_client_sent(void **state)
{
    struct world *w = *state;
    const struct alloy_pair header = {STR_INIT("x-scope-orgid"), STR_INIT("fixed")};
    w->endpoints[0].headers = (struct alloy_map){1, &header};
    world_start(w);
    world_ask(w, FLOW_INGEST, "body");
    assert_string_equal(peer_header(&w->peers[0].requests[0], "X-Scope-OrgID"), "fixed");
}

static void alloy_forwards_no_header(void **state)
{
    struct world *w = *state;
    w->settings.forward_headers = false;
    world_start(w);
    world_ask(w, FLOW_INGEST, "body");
    assert_null(peer_header(&w->peers[0].requests[0], "X-Scope-OrgID"));
}

/* Answer of a receiver, what the client hears, attempts. Refused and hanging ones have tests of
 * their own. */
static void the_matrix_of_one_receiver_is_passed_through(void **state)
{
    static const struct {
        struct peer_step step;
        enum flow_kind kind;
        bool ok;
        unsigned status;
        size_t attempts;
    } rows[] = {
        {{.status = 200}, FLOW_INGEST, true, 200, 1},
        {{.status = 202}, FLOW_INGEST, true, 200, 1},
        {{.status = 400}, FLOW_INGEST, false, 400, 1},
        {{.status = 408}, FLOW_INGEST, false, 408, 3},
        {{.status = 422}, FLOW_INGEST, false, 422, 1},
        {{.status = 429}, FLOW_INGEST, false, 429, 3},
        {{.status = 500}, FLOW_INGEST, false, 500, 3},
        {{.status = 503}, FLOW_INGEST, false, 503, 3},
        {{.cut = true}, FLOW_INGEST, false, 503, 3},
        {{.half = true}, FLOW_INGEST, false, 503, 3},
        {{.status = 200}, FLOW_PUSH, true, 200, 1},
        {{.status = 202}, FLOW_PUSH, false, 500, 3},
        {{.status = 400}, FLOW_PUSH, false, 400, 1},
        {{.status = 408}, FLOW_PUSH, false, 408, 3},
        {{.status = 422}, FLOW_PUSH, false, 422, 1},
        {{.status = 429}, FLOW_PUSH, false, 429, 3},
        {{.status = 500}, FLOW_PUSH, false, 500, 3},
        {{.status = 503}, FLOW_PUSH, false, 503, 3},
        {{.cut = true}, FLOW_PUSH, false, 503, 3},
        {{.status = 400, .body = "{\"code\":\"invalid_argument\",\"message\":\"no\"}"},
         FLOW_PUSH, false, 400, 1},
        {{.status = 503, .body = "{\"code\":\"resource_exhausted\",\"message\":\"no\"}"},
         FLOW_PUSH, false, 503, 3},
        {{.status = 200, .headers = "Content-Type: text/html\r\n", .body = "hello"},
         FLOW_PUSH, false, 500, 3},
    };
    struct world *w = *state;
    w->endpoints[0].max_backoff_retries = 3;
    w->endpoints[0].min_backoff_ms = w->endpoints[0].max_backoff_ms = 1;
    world_start(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct flow_answer a;
        w->peers[0].usual = rows[i].step;
        peer_forget(&w->peers[0]);
        size_t doubled = rows[i].step.cut ? 2 : 1; /* libcurl's own second try */
        flow_answer(world_ask(w, rows[i].kind, "p"), rows[i].kind, true, &a);
        assert_int_equal(a.ok, rows[i].ok);
        assert_int_equal(a.status, rows[i].status);
        assert_in_range(w->peers[0].count, rows[i].attempts, rows[i].attempts * doubled);
    }
}

static void attempts_end_with_the_first_success_and_carry_the_same_bytes(void **state)
{
    struct world *w = *state;
    const struct peer_step steps[] = {{.status = 503}, {.status = 500}, {.status = 429}};
    world_start(w);
    w->peers[0].script = steps;
    w->peers[0].script_count = 3;
    assert_int_equal(world_ask(w, FLOW_PUSH, "profile")->stored, 1);
    assert_int_equal(w->peers[0].count, 4);
    for (size_t i = 1; i < 4; i++)
        assert_true(str_eq(buf_view(&w->peers[0].requests[i].body),
                           buf_view(&w->peers[0].requests[0].body)));
    assert_int_equal(world_counter(w, w->write_metrics.retries, 0), 3);
    assert_int_equal(world_counter(w, w->write_metrics.dropped_profiles, 0), 0);
}

static void one_endpoint_that_refuses_does_not_fail_the_other(void **state)
{
    struct world *w = *state;
    struct flow_answer a;
    w->settings.endpoints.count = 2;
    world_start(w);
    w->peers[1].usual = (struct peer_step){.status = 400, .body = "bad"};
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "profile");
    assert_int_equal(r->stored, 1);
    assert_int_equal(r->failed, 1);
    assert_int_equal(w->peers[0].count, 1);
    assert_int_equal(w->peers[1].count, 1);
    /* The client is not made to send again: that is a refusal, and Alloy's `internal`. */
    flow_answer(r, FLOW_PUSH, true, &a);
    assert_int_equal(a.code, RPC_INVALID_ARGUMENT);
    flow_answer(r, FLOW_PUSH, false, &a);
    assert_int_equal(a.code, RPC_INTERNAL);
    assert_true(world_logged(w, "msg=\"failed to push to endpoint\""));
    assert_true(world_logged(w, "err=\"invalid_argument: HTTP status 400: bad\""));
    assert_int_equal(world_counter(w, w->write_metrics.dropped_bytes, 1), 7);
    assert_int_equal(world_counter(w, w->write_metrics.dropped_profiles, 1), 1);
    assert_int_equal(world_counter(w, w->write_metrics.sent_profiles, 0), 1);
}

static void a_receiver_that_hangs_is_given_up_with_the_clients_deadline(void **state)
{
    struct world *w = *state;
    w->peers[0].usual.hang = true;
    world_start(w);
    mono_ms began = clock_mono_ms();
    world_send(w, FLOW_PUSH, "profile", began + 1500);
    WORLD_UNTIL(w, w->count == 1);
    assert_int_equal(w->results[0].failed, 1);
    assert_int_equal(w->results[0].code, RPC_DEADLINE_EXCEEDED);
    assert_true(clock_mono_ms() - began < 5000);
    assert_true(w->peers[0].count >= 2); /* there was time for another one */
    assert_true(world_logged(w, "err=\"deadline_exceeded: "));
    assert_non_null(strstr(w->results[0].message, "failed to push to endpoint http://127.0.0.1"));
}

static void nobody_listens_is_tried_again_and_then_unavailable(void **state)
{
    struct world *w = *state;
    w->endpoints[0].max_backoff_retries = 3;
    peer_down(&w->peers[0]);
    world_start(w);
    const struct flow_result *r = world_ask(w, FLOW_INGEST, "p");
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->code, RPC_UNAVAILABLE);
    assert_int_equal(r->status, 0);
    assert_int_equal(world_counter(w, w->write_metrics.retries, 0), 2);
    peer_up(&w->peers[0]);
}

static void retry_after_is_honoured_and_told(void **state)
{
    struct world *w = *state;
    const struct peer_step busy = {.status = 503, .headers = "Retry-After: 1\r\n"};
    w->endpoints[0].max_backoff_retries = 2;
    w->peers[0].usual = busy;
    world_start(w);
    mono_ms began = clock_mono_ms();
    const struct flow_result *r = world_ask(w, FLOW_INGEST, "p");
    assert_true(clock_mono_ms() - began >= 950);
    assert_int_equal(w->peers[0].count, 2);
    assert_int_equal(r->retry_after_s, 1);
}

static void a_redirect_that_drops_the_body_has_stored_nothing(void **state)
{
    struct world *w = *state;
    static const unsigned turning[] = {301, 302, 303}, keeping[] = {307, 308};
    char location[200];
    w->endpoints[0].max_backoff_retries = 1;
    w->endpoints[0].bearer_token = STR("secret");
    (void)snprintf(location, sizeof location, "Location: http://%s/login\r\n",
                   peer_address(&w->peers[1]));
    world_start(w);
    for (size_t i = 0; i < 3; i++) {
        w->peers[0].usual = (struct peer_step){.status = turning[i], .headers = location};
        const struct flow_result *r = world_ask(w, FLOW_INGEST, "profile");
        assert_int_equal(r->stored, 0);
        assert_int_equal(r->failed, 1);
        assert_non_null(strstr(r->message, "redirect"));
    }
    peer_forget(&w->peers[1]);
    for (size_t i = 0; i < 2; i++) {
        w->peers[0].usual = (struct peer_step){.status = keeping[i], .headers = location};
        assert_int_equal(world_ask(w, FLOW_INGEST, "profile")->stored, 1);
        const struct peer_request *there = &w->peers[1].requests[i];
        assert_string_equal(peer_line(there), "POST /login HTTP/1.1");
        assert_int_equal(there->body.size, strlen("profile"));
        assert_null(peer_header(there, "Authorization"));
    }
}

static void a_password_in_the_url_is_sent_and_not_shown(void **state)
{
    struct world *w = *state;
    char url[200];
    struct buf text = {0};
    (void)snprintf(url, sizeof url, "http://us%%65r:p%%40ss@%s", peer_address(&w->peers[0]));
    w->endpoints[0].url = str_c(url);
    w->endpoints[0].max_backoff_retries = 1;
    w->peers[0].usual.status = 500;
    world_start(w);
    const struct flow_result *r = world_ask(w, FLOW_INGEST, "p");
    assert_string_equal(peer_header(&w->peers[0].requests[0], "Authorization"),
                        "Basic dXNlcjpwQHNz"); /* user:p@ss */
    assert_non_null(strstr(r->message, "us%65r:xxxxx@127.0.0.1"));
    metrics_expose(w->metrics, &text);
    assert_true(str_contains(buf_view(&text), STR(":xxxxx@")));
    assert_false(str_contains(buf_view(&text), STR("p%40ss")));
    assert_false(world_logged(w, "p%40ss"));
    assert_true(world_logged(w, ":xxxxx@"));
    buf_reset(&text);
}

static void bad_labels_are_refused_before_anything_is_sent(void **state)
{
    struct world *w = *state;
    static const struct label bad[] = {{STR_INIT("a-b"), STR_INIT("x")}};
    struct flow_item item = {
        .kind = FLOW_PUSH, .labels = bad, .label_count = 1, .deadline = MONO_NEVER};
    world_start(w);
    w->receiver->ops->append(w->receiver, &w->thread, &item, world_done, w);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->results[0].failed, 1);
    assert_int_equal(w->results[0].code, RPC_INVALID_ARGUMENT);
    assert_non_null(strstr(w->results[0].message, "invalid labels in profile"));
    assert_int_equal(w->peers[0].count, 0);
}

static void what_a_push_takes_is_charged_until_it_is_answered(void **state)
{
    struct world *w = *state;
    static char large[20000];
    struct mem_account memory;
    memset(large, 'x', sizeof large - 1);
    mem_account_init(&memory, NULL, "items", 16000);
    w->memory = &memory;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "small")->stored, 1);
    assert_true(memory.peak > 0);
    assert_int_equal(memory.used, 0);
    const struct flow_result *r = world_ask(w, FLOW_PUSH, large);
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->code, RPC_UNAVAILABLE);
    assert_int_equal(memory.used, 0);
    memory.limit = 40000;
    assert_int_equal(world_ask(w, FLOW_PUSH, large)->stored, 1);
    assert_true(memory.peak > sizeof large);
    assert_int_equal(memory.used, 0);
}

static void without_endpoints_everything_is_taken(void **state)
{
    struct world *w = *state;
    w->settings.endpoints.count = 0;
    world_start(w);
    world_send(w, FLOW_PUSH, "p", MONO_NEVER);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->results[0].failed + w->results[0].stored, 0);
}

static void who_we_are_is_told_in_every_way(void **state)
{
    struct world *w = *state;
    char path[] = "/tmp/emberring-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, " one\n", 5), 5);
    w->settings.endpoints.count = 3;
    w->endpoints[0].basic_auth =
        (struct set_basic_auth){true, STR("user"), STR("pass"), {NULL, 0}};
    w->endpoints[1].bearer_token_file = str_c(path);
    w->endpoints[2].authorization =
        (struct set_authorization){true, STR("Token"), STR("t0"), {NULL, 0}};
    world_start(w);
    world_ask(w, FLOW_PUSH, "p");
    assert_string_equal(peer_header(&w->peers[0].requests[0], "Authorization"),
                        "Basic dXNlcjpwYXNz");
    assert_string_equal(peer_header(&w->peers[1].requests[0], "Authorization"), "Bearer one");
    assert_string_equal(peer_header(&w->peers[2].requests[0], "Authorization"), "Token t0");
    /* The file has changed: the next request knows. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "second", 6, 0), 6);
    world_ask(w, FLOW_PUSH, "p");
    assert_string_equal(peer_header(&w->peers[1].requests[1], "Authorization"), "Bearer second");
    close(fd);
    unlink(path);
}

/* A receiver that wants certificates of `ca`. */
static void make_secure(struct world *w, struct tcp_tls *tls, const char *dir, struct cert *ca,
                        struct rng *rng)
{
    static char paths[3][200]; /* the settings of TLS borrow them */
    struct cert cert;
    cert_make(&cert, ca, &(struct cert_spec){.subject = "CN=r", .ip = "127.0.0.1"}, rng);
    const char *const texts[3] = {ca->cert, cert.cert, cert.key};
    for (int i = 0; i < 3; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%d", dir, i);
        cert_write(paths[i], texts[i]);
    }
    struct tls_config config = {.ca_path = paths[0],
                                .cert_path = paths[1],
                                .key_path = paths[2],
                                .server_name = "",
                                .cipher_suites = "",
                                .min_version = "",
                                .client_auth = true};
    assert_int_equal(tls_init(&tls->tls, &config, NULL, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(unlink(paths[i]), 0);
    peer_reset(&w->peers[0]);
    peer_init(&w->peers[0], w->loop, tls);
    (void)snprintf(w->urls[0], sizeof w->urls[0], "https://%s", peer_address(&w->peers[0]));
    w->endpoints[0].url = str_c(w->urls[0]);
}

static void a_renewed_certificate_is_used_without_a_new_configuration(void **state)
{
    struct world *w = *state;
    struct tcp_tls tls = {0};
    struct cert ca, other, good, bad;
    struct rng rng;
    char dir[] = "/tmp/emberring-mtls-XXXXXX", cert[100], key[100];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert, sizeof cert, "%s/cert", dir);
    (void)snprintf(key, sizeof key, "%s/key", dir);
    rng_seed(&rng, 5);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make_ca(&other, "CN=other", &rng);
    cert_make(&good, &ca, &(struct cert_spec){.subject = "CN=g", .dns = "g"}, &rng);
    cert_make(&bad, &other, &(struct cert_spec){.subject = "CN=b", .dns = "b"}, &rng);
    make_secure(w, &tls, dir, &ca, &rng);
    cert_write(cert, bad.cert);
    cert_write(key, bad.key);
    w->endpoints[0].max_backoff_retries = 1;
    w->endpoints[0].tls.ca_pem = str_c(ca.cert);
    w->endpoints[0].tls.cert_file = str_c(cert);
    w->endpoints[0].tls.key_file = str_c(key);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->failed, 1);
    cert_write(cert, good.cert);
    cert_write(key, good.key);
    mono_ms limit = clock_mono_ms() + 20000; /* the files are looked at each second */
    while (w->peers[0].count == 0 && clock_mono_ms() < limit)
        world_ask(w, FLOW_PUSH, "p");
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_int_equal(w->peers[0].count, 2);
    unlink(cert);
    unlink(key);
    rmdir(dir);
    receiver_release(w->receiver);
    w->receiver = NULL;
    http_client_free(&w->client);
    struct http_client_config none = {0};
    assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
    peer_reset(&w->peers[0]);
    peer_init(&w->peers[0], w->loop, NULL);
    tls_free(&tls.tls);
}

static void a_redirect_does_not_lead_out_of_tls(void **state)
{
    struct world *w = *state;
    struct tcp_tls tls = {0};
    struct cert ca, own;
    struct rng rng;
    char dir[] = "/tmp/emberring-mtls-XXXXXX", location[200];
    assert_non_null(mkdtemp(dir));
    rng_seed(&rng, 6);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make(&own, &ca, &(struct cert_spec){.subject = "CN=g", .dns = "g"}, &rng);
    make_secure(w, &tls, dir, &ca, &rng);
    rmdir(dir);
    w->endpoints[0].max_backoff_retries = 1;
    w->endpoints[0].tls.ca_pem = str_c(ca.cert);
    w->endpoints[0].tls.cert_pem = str_c(own.cert);
    w->endpoints[0].tls.key_pem = str_c(own.key);
    (void)snprintf(location, sizeof location, "Location: http://%s/\r\n",
                   peer_address(&w->peers[1]));
    w->peers[0].usual = (struct peer_step){.status = 307, .headers = location};
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->failed, 1);
    assert_int_equal(w->peers[0].count, 1);
    assert_int_equal(w->peers[1].count, 0);
    receiver_release(w->receiver);
    w->receiver = NULL;
    http_client_free(&w->client);
    struct http_client_config none = {0};
    assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
    peer_reset(&w->peers[0]);
    peer_init(&w->peers[0], w->loop, NULL);
    tls_free(&tls.tls);
}

static void a_file_that_is_gone_is_named(void **state)
{
    struct world *w = *state;
    w->endpoints[0].bearer_token_file = STR("/no/such/file");
    w->endpoints[0].max_backoff_retries = 1;
    world_start(w);
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "p");
    assert_int_equal(r->failed, 1);
    assert_non_null(strstr(r->message, "/no/such/file"));
    assert_int_equal(w->peers[0].count, 0);
}

static void addresses_take_turns_and_one_that_refuses_is_passed_over(void **state)
{
    struct world *w = *state;
    w->endpoints[0].url = STR("http://dns+receivers.test:4040/x");
    for (size_t i = 0; i < 3; i++)
        w->finder.addrs[i] = w->peers[i].addr;
    w->finder.count = 3;
    peer_down(&w->peers[1]);
    world_start(w);
    assert_string_equal(w->finder.entry, "dns+receivers.test:4040");
    for (int i = 0; i < 8; i++)
        assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_in_range(w->peers[0].count, 3, 5);
    assert_in_range(w->peers[2].count, 3, 5);
    assert_string_equal(peer_header(&w->peers[0].requests[0], "Host"), "receivers.test:4040");
    /* It is back, and after its time it is asked again. */
    peer_up(&w->peers[1]);
    WORLD_UNTIL(w, world_ask(w, FLOW_PUSH, "p")->stored == 1 && w->peers[1].count > 0);
    /* All but one go. */
    w->finder.fn(w->finder.arg, &w->peers[2].addr, 1);
    size_t before = w->peers[2].count;
    for (int i = 0; i < 4; i++)
        world_ask(w, FLOW_PUSH, "p");
    assert_int_equal(w->peers[2].count, before + 4);
}

static void members_of_the_ring_are_called_by_their_addresses(void **state)
{
    struct world *w = *state;
    w->endpoints[0].url = STR("http://ring");
    w->endpoints[0].max_backoff_retries = 1;
    world_start(w);
    assert_string_equal(w->finder.entry, "ring");
    assert_non_null(strstr(world_ask(w, FLOW_PUSH, "p")->message,
                           "no healthy distributor in the ring"));
    w->finder.fn(w->finder.arg, &w->peers[0].addr, 1);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_string_equal(peer_header(&w->peers[0].requests[0], "Host"),
                        peer_address(&w->peers[0]));
}

static void wrong_settings_are_an_error(void **state)
{
    struct world *w = *state;
    struct receiver *r = NULL;
    struct err err = {0};
    w->endpoints[0].url = STR("ftp://x");
    assert_int_equal(write_init(&r, &w->settings, STR("i"), STR("/"), &w->write, &err), ERR_INVAL);
    w->endpoints[0].url = STR("http://dns+unknown:1");
    assert_int_equal(write_init(&r, &w->settings, STR("i"), STR("/"), &w->write, &err), ERR_INVAL);
    w->write.finder = NULL;
    assert_int_equal(write_init(&r, &w->settings, STR("i"), STR("/"), &w->write, &err), ERR_INVAL);
    w->endpoints[0].url = STR("http://x");
    w->endpoints[0].tls.ca_file = STR("/no/such/file");
    assert_int_equal(write_init(&r, &w->settings, STR("i"), STR("/"), &w->write, &err), ERR_INVAL);
    assert_non_null(strstr(err.msg, "/no/such/file"));
    assert_null(r);
}

static void requests_that_wait_end_when_we_are_in_a_hurry(void **state)
{
    struct world *w = *state;
    w->endpoints[0].min_backoff_ms = w->endpoints[0].max_backoff_ms = 60000;
    w->peers[0].usual.status = 503;
    world_start(w);
    world_send(w, FLOW_PUSH, "p", MONO_NEVER);
    WORLD_UNTIL(w, w->peers[0].count == 1);
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 5);
    assert_int_equal(w->count, 0);
    flow_thread_hurry(&w->thread);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->results[0].failed, 1);
}

static void running_out_of_memory_fails_the_item_and_leaks_nothing(void **state)
{
    struct world *w = *state;
    w->endpoints[0].max_backoff_retries = 1;
    for (uint64_t n = 1;; n++) {
        struct receiver *r = NULL;
        mem_fail_at(n);
        int rc = write_init(&r, &w->settings, STR("pyroscope.write.x"), STR("/"), &w->write, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        receiver_release(r);
        assert_true(rc == 0 || rc == ERR_NOMEM || rc == ERR_INVAL);
        if (over)
            break;
    }
    world_start(w);
    for (uint64_t n = 1; n < 60; n++) {
        mem_fail_at(n);
        world_send(w, FLOW_PUSH, "p", MONO_NEVER);
        mem_fail_at(0);
        WORLD_UNTIL(w, w->count == n);
        assert_int_equal(w->results[n - 1].stored + w->results[n - 1].failed, 1);
    }
    assert_int_equal(w->results[58].stored, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_push_arrives_as_alloy_sends_it),
        TEST(an_ingest_arrives_as_alloy_sends_it),
        TEST(what_the_settings_say_wins_over_what_the_client_sent),
        TEST(alloy_forwards_no_header),
        TEST(the_matrix_of_one_receiver_is_passed_through),
        TEST(attempts_end_with_the_first_success_and_carry_the_same_bytes),
        TEST(one_endpoint_that_refuses_does_not_fail_the_other),
        TEST(a_receiver_that_hangs_is_given_up_with_the_clients_deadline),
        TEST(nobody_listens_is_tried_again_and_then_unavailable),
        TEST(retry_after_is_honoured_and_told),
        TEST(a_redirect_that_drops_the_body_has_stored_nothing),
        TEST(a_password_in_the_url_is_sent_and_not_shown),
        TEST(bad_labels_are_refused_before_anything_is_sent),
        TEST(what_a_push_takes_is_charged_until_it_is_answered),
        TEST(without_endpoints_everything_is_taken),
        TEST(who_we_are_is_told_in_every_way),
        TEST(a_renewed_certificate_is_used_without_a_new_configuration),
        TEST(a_redirect_does_not_lead_out_of_tls),
        TEST(a_file_that_is_gone_is_named),
        TEST(addresses_take_turns_and_one_that_refuses_is_passed_over),
        TEST(members_of_the_ring_are_called_by_their_addresses),
        TEST(wrong_settings_are_an_error),
        TEST(requests_that_wait_end_when_we_are_in_a_hurry),
        TEST(running_out_of_memory_fails_the_item_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
