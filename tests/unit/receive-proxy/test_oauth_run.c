/* A token is fetched once, kept while it is good, and fetched anew when it is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

static int set_up(void **state)
{
    static char url[120];
    static const struct str scopes[] = {STR_INIT("a b"), STR_INIT("c")};
    static const struct alloy_pair param = {STR_INIT("aud"), STR_INIT("x&y")};
    struct world *w = mem_zalloc(sizeof *w);
    world_init(w, NULL);
    (void)snprintf(url, sizeof url, "http://%s/token", peer_address(&w->peers[2]));
    w->endpoints[0].oauth2 = (struct set_oauth2){.given = true,
                                                 .client_id = STR("id:1"),
                                                 .client_secret = STR("s/2"),
                                                 .token_url = str_c(url),
                                                 .scopes = {2, scopes},
                                                 .endpoint_params = {1, &param}};
    w->endpoints[0].max_backoff_retries = 3;
    w->peers[2].usual.body = "{\"access_token\":\"t1\",\"token_type\":\"bearer\","
                             "\"expires_in\":3600,\"more\":{}}";
    w->peers[2].usual.headers = "Content-Type: application/json\r\n";
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

static void many_requests_share_one_fetch(void **state)
{
    struct world *w = *state;
    world_start(w);
    for (int i = 0; i < 10; i++)
        world_send(w, FLOW_PUSH, "p", MONO_NEVER);
    WORLD_UNTIL(w, w->count == 10);
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 1);
    assert_int_equal(w->peers[0].count, 11);
    for (size_t i = 0; i < 11; i++)
        assert_string_equal(peer_header(&w->peers[0].requests[i], "Authorization"), "Bearer t1");
    const struct peer_request *r = &w->peers[2].requests[0];
    assert_string_equal(peer_line(r), "POST /token HTTP/1.1");
    assert_string_equal(peer_header(r, "Content-Type"), "application/x-www-form-urlencoded");
    /* base64("id%3A1:s%2F2") */
    assert_string_equal(peer_header(r, "Authorization"), "Basic aWQlM0ExOnMlMkYy");
    assert_true(str_eq(buf_view(&r->body),
                       STR("grant_type=client_credentials&scope=a+b+c&aud=x%26y")));
}

static void a_token_that_one_thread_fetched_serves_the_others(void **state)
{
    struct world *w = *state;
    const struct flow_thread first = w->thread;
    const struct peer_step refusal[] = {{.status = 401}};
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    w->thread = w->queue_thread;
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 1);
    w->peers[2].usual.body = "{\"access_token\":\"t2\",\"expires_in\":3600}";
    w->peers[0].script = refusal;
    w->peers[0].script_count = 1;
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 2);
    w->thread = first; /* it has the old one, which nobody takes any more */
    w->peers[0].script = refusal;
    w->peers[0].script_count = 1;
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 2);
}

static void an_endpoint_that_wants_the_secret_in_the_body_gets_it_there(void **state)
{
    struct world *w = *state;
    const struct peer_step steps[] = {{.status = 401, .body = "{}"}};
    w->peers[2].script = steps;
    w->peers[2].script_count = 1;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 2);
    assert_null(peer_header(&w->peers[2].requests[1], "Authorization"));
    assert_true(str_ends_with(buf_view(&w->peers[2].requests[1].body),
                              STR("&client_id=id%3A1&client_secret=s%2F2")));
}

static void a_token_that_is_refused_is_fetched_anew(void **state)
{
    struct world *w = *state;
    const struct peer_step refusal[] = {{.status = 401}};
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    w->peers[0].script = refusal;
    w->peers[0].script_count = 1;
    w->peers[2].usual.body = "{\"access_token\":\"t2\",\"expires_in\":\"3600\"}";
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->stored, 1);
    assert_string_equal(peer_header(&w->peers[0].requests[1], "Authorization"), "Bearer t1");
    assert_string_equal(peer_header(&w->peers[0].requests[2], "Authorization"), "Bearer t2");
    assert_int_equal(w->peers[2].count, 2);
    w->peers[0].usual.status = 401; /* once: who refuses the new one too means it */
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->failed, 1);
    assert_int_equal(w->peers[0].count, 5);
}

static void the_secret_follows_no_redirect(void **state)
{
    struct world *w = *state;
    char location[200];
    (void)snprintf(location, sizeof location, "Location: http://%s/t\r\n",
                   peer_address(&w->peers[1]));
    w->peers[2].usual = (struct peer_step){.status = 307, .headers = location};
    w->endpoints[0].max_backoff_retries = 1;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_INGEST, "p")->failed, 1);
    assert_int_equal(w->peers[1].count, 0);
}

static void a_token_about_to_expire_is_not_used_again(void **state)
{
    struct world *w = *state;
    w->peers[2].usual.body = "{\"access_token\":\"t1\",\"expires_in\":5}";
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->stored, 1);
    assert_int_equal(w->peers[2].count, 2);
}

static void without_a_token_nothing_is_sent_and_the_reason_is_told(void **state)
{
    static const struct {
        struct peer_step step;
        const char *text;
    } rows[] = {
        {{.status = 500, .body = "oops"}, "cannot fetch token: status 500: oops"},
        {{.body = "{\"expires_in\":5}"}, "cannot fetch token: the answer has no access_token"},
        {{.body = "<html>"}, "cannot fetch token: "},
        {{.cut = true}, "cannot fetch token: "},
        {{.status = 400, .body = "{\"error\":\"invalid_client\"}"}, "invalid_client"},
    };
    struct world *w = *state;
    w->endpoints[0].max_backoff_retries = 2;
    world_start(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        w->peers[2].usual = rows[i].step;
        const struct flow_result *r = world_ask(w, FLOW_PUSH, "p");
        assert_int_equal(r->failed, 1);
        assert_int_equal(r->code, RPC_UNAVAILABLE);
        assert_non_null(strstr(r->message, rows[i].text));
    }
    assert_int_equal(w->peers[0].count, 0);
}

static void running_out_of_memory_ends_the_request(void **state)
{
    struct world *w = *state;
    w->endpoints[0].max_backoff_retries = 1;
    w->peers[2].usual.body = "{\"access_token\":\"t1\",\"expires_in\":5}"; /* each time anew */
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
        TEST(many_requests_share_one_fetch),
        TEST(a_token_that_one_thread_fetched_serves_the_others),
        TEST(an_endpoint_that_wants_the_secret_in_the_body_gets_it_there),
        TEST(a_token_that_is_refused_is_fetched_anew),
        TEST(the_secret_follows_no_redirect),
        TEST(a_token_about_to_expire_is_not_used_again),
        TEST(without_a_token_nothing_is_sent_and_the_reason_is_told),
        TEST(running_out_of_memory_ends_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
