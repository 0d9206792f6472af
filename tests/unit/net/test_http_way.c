/* A way changes how a server is reached: certificates, names, addresses, redirects, proxies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../lib/certs.h"
#include "../../lib/peer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

static char dir[] = "/tmp/emberring-way-XXXXXX";
static char ca_path[64], cert_path[64], key_path[64];
static struct cert ca, server_cert, client_cert, other_ca, other_cert;

struct world {
    struct loop *loop;
    struct http_client *client;
    struct tcp_tls tls;
    struct peer plain, secure;
    int count, code;
    unsigned status;
    char message[256];
};

static void server_tls(struct world *w, bool client_auth)
{
    struct tls_config config = {.ca_path = ca_path,
                                .cert_path = cert_path,
                                .key_path = key_path,
                                .server_name = "",
                                .cipher_suites = "",
                                .min_version = "",
                                .client_auth = client_auth};
    assert_int_equal(tls_init(&w->tls.tls, &config, NULL, NULL), 0);
}

static int begin(void **state, bool client_auth)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct http_client_config none = {0};
    assert_int_equal(loop_init(&w->loop, "test", NULL), 0);
    assert_int_equal(http_client_init(&w->client, w->loop, &none, NULL), 0);
    server_tls(w, client_auth);
    peer_init(&w->plain, w->loop, NULL);
    peer_init(&w->secure, w->loop, &w->tls);
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return begin(state, false);
}

static int set_up_mutual(void **state)
{
    return begin(state, true);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    http_client_free(&w->client);
    peer_reset(&w->plain);
    peer_reset(&w->secure);
    tls_free(&w->tls.tls);
    loop_free(&w->loop);
    mem_free(w);
    return 0;
}

static void done(void *arg, const struct http_result *r)
{
    struct world *w = arg;
    w->count++;
    w->code = r->code;
    w->status = r->status;
    (void)snprintf(w->message, sizeof w->message, "%s", r->message);
}

/* POST "body" and wait for the end. */
static void post(struct world *w, const char *url, const struct http_way *way)
{
    struct http_field type = {STR_INIT("Content-Type"), STR_INIT("application/proto")};
    struct http_ask ask = {.method = HTTP_POST,
                           .url = url,
                           .headers = &type,
                           .header_count = 1,
                           .body = STR("body"),
                           .deadline = clock_mono_ms() + 10000,
                           .way = way,
                           .done = done,
                           .arg = w};
    int before = w->count;
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), 0);
    while (w->count == before)
        loop_turn(w->loop, 20);
}

static const char *url_of(const char *scheme, const struct peer *p, const char *path)
{
    static char url[200];
    (void)snprintf(url, sizeof url, "%s%s%s", scheme, peer_address(p), path);
    return url;
}

static void roots_given_as_text_are_the_only_ones(void **state)
{
    struct world *w = *state;
    struct http_way way = {.ca_pem = str_c(ca.cert)};
    post(w, url_of("https://", &w->secure, "/a"), &way);
    assert_int_equal(w->code, 0);
    assert_int_equal(w->status, 200);
    assert_true(str_eq(buf_view(&w->secure.requests[0].body), STR("body")));
    way.ca_pem = str_c(other_ca.cert);
    post(w, url_of("https://", &w->secure, "/b"), &way);
    assert_int_not_equal(w->code, 0);
    assert_int_equal(w->secure.count, 1);
    way.ca_pem = STR(""); /* the system's do not know it */
    post(w, url_of("https://", &w->secure, "/c"), &way);
    assert_int_not_equal(w->code, 0);
    way.insecure_skip_verify = true;
    post(w, url_of("https://", &w->secure, "/d"), &way);
    assert_int_equal(w->code, 0);
    assert_int_equal(w->secure.count, 2);
}

static void another_root_is_another_connection(void **state)
{
    struct world *w = *state;
    static char both[2 * CERT_PEM_MAX];
    (void)snprintf(both, sizeof both, "%s%s", ca.cert, other_ca.cert);
    struct http_way way = {.ca_pem = str_c(ca.cert)};
    for (int i = 0; i < 3; i++)
        post(w, url_of("https://", &w->secure, "/a"), &way);
    assert_int_equal(w->secure.conns_begun, 1);
    way.ca_pem = str_c(both);
    post(w, url_of("https://", &w->secure, "/a"), &way);
    assert_int_equal(w->code, 0);
    assert_int_equal(w->secure.conns_begun, 2);
}

static void a_certificate_of_ours_is_shown(void **state)
{
    struct world *w = *state;
    struct http_way way = {.ca_pem = str_c(ca.cert)};
    post(w, url_of("https://", &w->secure, "/a"), &way);
    assert_int_not_equal(w->code, 0);
    way.cert_pem = str_c(client_cert.cert);
    way.key_pem = str_c(client_cert.key);
    post(w, url_of("https://", &w->secure, "/b"), &way);
    assert_int_equal(w->code, 0);
    assert_int_equal(w->status, 200);
    way.cert_pem = str_c(other_cert.cert);
    way.key_pem = str_c(other_cert.key);
    post(w, url_of("https://", &w->secure, "/c"), &way);
    assert_int_not_equal(w->code, 0); /* not over the connection of the good one */
    assert_int_equal(w->secure.count, 1);
}

static void a_server_name_stands_for_the_urls_host_in_tls_alone(void **state)
{
    struct world *w = *state;
    char url[200], host[100];
    struct http_way way = {.ca_pem = str_c(ca.cert), .server_name = "wrong.test"};
    (void)snprintf(host, sizeof host, "localhost:%u", w->secure.addr.port);
    (void)snprintf(url, sizeof url, "https://%s/a", host);
    post(w, url, &way);
    assert_int_not_equal(w->code, 0);
    way.server_name = "receiver.test"; /* the certificate's, which no resolver knows */
    post(w, url, &way);
    assert_int_equal(w->code, 0);
    assert_string_equal(peer_header(&w->secure.requests[0], "Host"), host);
    way.server_name = NULL;
    post(w, url, &way); /* localhost is not in it */
    assert_int_not_equal(w->code, 0);
}

static void a_connection_goes_where_it_is_told_to(void **state)
{
    struct world *w = *state;
    struct addr to = w->plain.addr;
    struct http_way way = {.connect_to = &to};
    post(w, "http://no-such-host.invalid:99/x", &way);
    assert_int_equal(w->status, 200);
    assert_string_equal(peer_header(&w->plain.requests[0], "Host"), "no-such-host.invalid:99");
    assert_string_equal(peer_line(&w->plain.requests[0]), "POST /x HTTP/1.1");
    to = w->secure.addr;
    way.ca_pem = str_c(ca.cert);
    post(w, "https://receiver.test/y", &way);
    assert_int_equal(w->status, 200);
    assert_string_equal(peer_header(&w->secure.requests[0], "Host"), "receiver.test");
}

static void redirects_are_followed_when_they_may_be(void **state)
{
    struct world *w = *state;
    const struct peer_step steps[] = {{.status = 307, .headers = "Location: /there\r\n"}};
    struct http_way way = {.redirects_max = 0};
    w->plain.script = steps;
    w->plain.script_count = 1;
    post(w, url_of("http://", &w->plain, "/here"), &way);
    assert_int_equal(w->status, 307);
    way.redirects_max = 3;
    w->plain.script = steps;
    w->plain.script_count = 1;
    post(w, url_of("http://", &w->plain, "/here"), &way);
    assert_int_equal(w->status, 200);
    assert_string_equal(peer_line(&w->plain.requests[2]), "POST /there HTTP/1.1");
    assert_true(str_eq(buf_view(&w->plain.requests[2].body), STR("body")));
    w->plain.usual = steps[0];
    post(w, url_of("http://", &w->plain, "/here"), &way);
    assert_int_equal(w->code, ERR_IO); /* round and round */
    assert_int_equal(w->plain.count, 3 + 4);
}

static void a_proxy_is_asked_unless_the_host_is_excepted(void **state)
{
    struct world *w = *state;
    char proxy[100];
    (void)snprintf(proxy, sizeof proxy, "http://%s", peer_address(&w->plain));
    struct http_way way = {.proxy = proxy};
    post(w, "http://far.invalid/x", &way);
    assert_int_equal(w->status, 200);
    assert_string_equal(peer_line(&w->plain.requests[0]), "POST http://far.invalid/x HTTP/1.1");
    way.no_proxy = "other.test,far.invalid";
    post(w, "http://far.invalid/x", &way);
    assert_int_not_equal(w->code, 0);
    assert_int_equal(w->plain.count, 1);
    /* Its own headers are for its CONNECT alone. */
    struct http_field token = {STR_INIT("Proxy-Token"), STR_INIT("t")};
    const struct peer_step no = {.status = 407};
    way.proxy_headers = &token;
    way.proxy_header_count = 1;
    way.no_proxy = NULL;
    w->plain.usual = no;
    post(w, "https://far.invalid/x", &way);
    assert_int_not_equal(w->code, 0);
    assert_string_equal(peer_line(&w->plain.requests[1]), "CONNECT far.invalid:443 HTTP/1.1");
    assert_string_equal(peer_header(&w->plain.requests[1], "Proxy-Token"), "t");
    token.name = STR("Proxy Token");
    struct http_ask ask = {
        .method = HTTP_GET, .url = "https://far.invalid/x", .deadline = MONO_NEVER, .way = &way,
        .done = done};
    assert_int_equal(http_call_start(w->client, &ask, NULL, NULL), ERR_INVAL);
}

static void running_out_of_memory_is_an_error(void **state)
{
    struct world *w = *state;
    struct http_field token = {STR_INIT("Proxy-Token"), STR_INIT("t")};
    struct addr to = w->plain.addr;
    struct http_way way = {.ca_pem = str_c(ca.cert),
                           .server_name = "receiver.test",
                           .proxy = "http://proxy.invalid",
                           .proxy_headers = &token,
                           .proxy_header_count = 1,
                           .connect_to = &to};
    struct http_ask ask = {.method = HTTP_POST,
                           .url = "https://host.invalid/x",
                           .deadline = clock_mono_ms() + 10000,
                           .way = &way,
                           .done = done,
                           .arg = w};
    for (uint64_t n = 1;; n++) {
        struct http_call *call = NULL;
        mem_fail_at(n);
        int rc = http_call_start(w->client, &ask, &call, NULL);
        bool over = mem_fail_pending();
        mem_fail_at(0);
        if (rc == 0)
            http_call_cancel(call);
        else
            assert_int_equal(rc, ERR_NOMEM);
        if (over)
            break;
    }
    assert_int_equal(http_client_inflight(w->client), 0);
}

static int make_certs(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 11);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    cert_make_ca(&ca, "CN=ca", &rng);
    cert_make_ca(&other_ca, "CN=other", &rng);
    cert_make(&server_cert, &ca,
              &(struct cert_spec){.subject = "CN=r", .dns = "receiver.test", .ip = "127.0.0.1"},
              &rng);
    cert_make(&client_cert, &ca, &(struct cert_spec){.subject = "CN=c", .dns = "client.test"},
              &rng);
    cert_make(&other_cert, &other_ca, &(struct cert_spec){.subject = "CN=o", .dns = "o.test"},
              &rng);
    cert_write(ca_path, ca.cert);
    cert_write(cert_path, server_cert.cert);
    cert_write(key_path, server_cert.key);
    return 0;
}

static int remove_certs(void **state)
{
    (void)state;
    (void)unlink(ca_path);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(roots_given_as_text_are_the_only_ones),
        TEST(another_root_is_another_connection),
        cmocka_unit_test_setup_teardown(a_certificate_of_ours_is_shown, set_up_mutual, tear_down),
        TEST(a_server_name_stands_for_the_urls_host_in_tls_alone),
        TEST(a_connection_goes_where_it_is_told_to),
        TEST(redirects_are_followed_when_they_may_be),
        TEST(a_proxy_is_asked_unless_the_host_is_excepted),
        TEST(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
