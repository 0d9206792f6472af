/* What a receiver does not take in time is kept and sent again; on disk it outlives the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include "../../lib/memdisk.h"
#include "answer.h"
#include "endpoint_run.h"

static struct memdisk *disk;

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    disk = memdisk_new();
    world_init(w, memdisk_io(disk));
    w->settings.queue.enabled = true;
    w->endpoints[0].max_backoff_retries = 2;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    world_stop(w);
    mem_free(w);
    memdisk_free(&disk);
    return 0;
}

static double gauge_of(struct world *w, struct gauge_vec *v)
{
    (void)w;
    return gauge_get(GAUGE_AT(v, STR("pyroscope.write.x"), STR("/")));
}

static uint64_t counter_of(struct counter_vec *v, const char *last)
{
    if (last == NULL)
        return counter_get(COUNTER_AT(v, STR("pyroscope.write.x"), STR("/")));
    return counter_get(COUNTER_AT(v, STR("pyroscope.write.x"), STR("/"), str_c(last)));
}

static bool is_ok(const struct flow_result *r)
{
    struct flow_answer a;
    flow_answer(r, FLOW_PUSH, true, &a);
    return a.ok;
}

static void in_memory_it_is_kept_but_not_promised(void **state)
{
    struct world *w = *state;
    w->peers[0].usual.status = 503;
    world_start(w);
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "one");
    assert_int_equal(r->kept, 1);
    assert_int_equal(r->failed, 0);
    assert_false(is_ok(r));
    assert_int_equal(counter_of(w->queue_metrics.queued, "memory"), 1);
    w->peers[0].usual.status = 200;
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 1);
    size_t last = w->peers[0].count - 1;
    assert_true(last >= 2);
    assert_true(str_eq(buf_view(&w->peers[0].requests[last].body),
                       buf_view(&w->peers[0].requests[0].body)));
    assert_string_equal(peer_header(&w->peers[0].requests[last], "X-Scope-OrgID"), "team");
    assert_int_equal(world_counter(w, w->write_metrics.sent_profiles, 0), 1);
    assert_int_equal(world_counter(w, w->write_metrics.dropped_profiles, 0), 0);
    assert_true(gauge_of(w, w->queue_metrics.items) == 0);
}

static void with_one_of_two_receivers_down_the_client_hears_a_success(void **state)
{
    struct world *w = *state;
    w->settings.endpoints.count = 2;
    w->endpoints[1].max_backoff_retries = 1;
    peer_down(&w->peers[1]);
    world_start(w);
    for (int i = 0; i < 20; i++) {
        static char texts[20][8];
        (void)snprintf(texts[i], sizeof texts[i], "p%d", i);
        const struct flow_result *r = world_ask(w, FLOW_INGEST, texts[i]);
        assert_int_equal(r->stored, 1);
        assert_int_equal(r->kept, 1);
        assert_true(is_ok(r));
    }
    assert_true(gauge_of(w, w->queue_metrics.items) == 20);
    assert_true(gauge_of(w, w->queue_metrics.bytes) > 20 * 100);
    peer_up(&w->peers[1]);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 20);
    assert_int_equal(w->peers[0].count, 20); /* that one was not asked again */
    assert_int_equal(w->peers[1].count, 20);
    assert_true(world_logged(w, "endpoint is failing"));
    assert_true(world_logged(w, "endpoint answers again"));
}

static void what_is_refused_is_not_queued(void **state)
{
    struct world *w = *state;
    w->peers[0].usual.status = 422;
    world_start(w);
    const struct flow_result *r = world_ask(w, FLOW_INGEST, "p");
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->kept, 0);
    assert_true(gauge_of(w, w->queue_metrics.items) == 0);
}

static void what_is_refused_later_is_dropped_and_logged(void **state)
{
    struct world *w = *state;
    w->peers[0].usual.status = 503;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->kept, 1);
    w->peers[0].usual.status = 400;
    WORLD_UNTIL(w, counter_of(w->queue_metrics.dropped, "refused") == 1);
    assert_int_equal(world_counter(w, w->write_metrics.dropped_profiles, 0), 1);
    assert_true(world_logged(w, "msg=\"failed to push to endpoint\""));
}

static void while_an_endpoint_fails_requests_go_straight_to_the_queue(void **state)
{
    struct world *w = *state;
    peer_down(&w->peers[0]);
    w->endpoints[0].max_backoff_retries = 3;
    w->endpoints[0].min_backoff_ms = w->endpoints[0].max_backoff_ms = 100;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "a")->kept, 1);
    uint64_t tried = world_counter(w, w->write_metrics.retries, 0);
    assert_int_equal(tried, 2);
    mono_ms began = clock_mono_ms();
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "b");
    assert_int_equal(r->kept, 1);
    assert_int_equal(r->code, RPC_UNAVAILABLE);
    assert_int_equal(world_counter(w, w->write_metrics.retries, 0), tried);
    (void)began;
    peer_up(&w->peers[0]);
    WORLD_UNTIL(w, w->peers[0].count == 2);
    WORLD_UNTIL(w, world_ask(w, FLOW_PUSH, "c")->stored == 1);
}

static void a_request_that_breaks_its_receiver_keeps_no_other_away(void **state)
{
    struct world *w = *state;
    w->peers[0].usual.status = 500;
    w->endpoints[0].max_backoff_retries = 4;
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "poison")->kept, 1);
    w->peers[0].usual.status = 0;
    assert_int_equal(world_ask(w, FLOW_PUSH, "good")->stored, 1);
}

static void the_deadline_leaves_time_for_the_queue(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    w->peers[0].usual.hang = true;
    world_start(w);
    mono_ms deadline = clock_mono_ms() + 1500;
    world_send(w, FLOW_PUSH, "p", deadline);
    WORLD_UNTIL(w, w->count == 1);
    assert_int_equal(w->results[0].synced, 1);
    assert_true(is_ok(&w->results[0]));
    w->peers[0].usual.hang = false;
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 1);
}

static void a_queue_on_disk_takes_over_after_the_first_failure(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    w->endpoints[0].max_backoff_retries = 10;
    w->endpoints[0].min_backoff_ms = w->endpoints[0].max_backoff_ms = 60000;
    w->peers[0].usual.status = 503;
    world_start(w);
    struct endpoint_status s;
    write_endpoint_status(w->receiver, 0, &s);
    assert_true(!s.failing && s.since == 0 && s.error_at == 0);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->synced, 1);
    assert_int_equal(world_counter(w, w->write_metrics.retries, 0), 0);
    write_endpoint_status(w->receiver, 0, &s);
    assert_true(s.since != 0 && s.error_at >= s.since);
    assert_non_null(strstr(s.error, "503"));
    w->peers[0].usual.status = 200;
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 1);
    assert_int_equal(world_ask(w, FLOW_PUSH, "q")->stored, 1);
    write_endpoint_status(w->receiver, 0, &s);
    assert_true(!s.failing && s.since == 0 && s.error_at != 0);
}

static void what_waits_on_disk_says_that_its_endpoint_is_failing(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->synced, 1);
    struct receiver *old = w->receiver;
    peer_up(&w->peers[0]);
    w->peers[0].usual.hang = true;
    world_start(w); /* new endpoints, which know of no failure of their own */
    receiver_release(old);
    assert_int_equal(world_ask(w, FLOW_PUSH, "q")->synced, 1); /* waits for no hanging attempt */
    assert_true(world_logged(w, "requests wait for the endpoint"));
    assert_true(gauge_of(w, w->queue_metrics.items) == 2);
}

static void on_disk_it_is_synced_first_and_outlives_a_kill(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    peer_down(&w->peers[0]);
    world_start(w);
    for (int i = 0; i < 10; i++) {
        static char texts[10][8];
        (void)snprintf(texts[i], sizeof texts[i], "p%d", i);
        const struct flow_result *r = world_ask(w, FLOW_INGEST, texts[i]);
        assert_int_equal(r->synced, 1);
        assert_true(is_ok(r));
    }
    assert_int_equal(counter_of(w->queue_metrics.queued, "disk"), 10);
    char url[100];
    struct addr addr = w->peers[0].addr;
    memcpy(url, w->urls[0], sizeof url);
    memdisk_freeze(disk); /* killed, with the power gone too */
    world_stop(w);
    memdisk_crash(disk, 3);
    world_init(w, memdisk_io(disk));
    peer_down(&w->peers[0]);
    w->peers[0].addr = addr;
    memcpy(w->urls[0], url, sizeof url);
    peer_up(&w->peers[0]);
    w->endpoints[0].url = str_c(w->urls[0]);
    w->settings.queue.enabled = true;
    w->settings.queue.dir = STR("/q");
    world_start(w);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 10);
    assert_int_equal(w->peers[0].count, 10);
    bool there[10] = {false};
    for (size_t i = 0; i < 10; i++) {
        struct str body = buf_view(&w->peers[0].requests[i].body);
        assert_int_equal(body.len, 2);
        there[body.data[1] - '0'] = true;
    }
    for (size_t i = 0; i < 10; i++)
        assert_true(there[i]);
    assert_true(world_logged(w, "queue found on disk"));
}

static void a_disk_that_fails_is_no_promise(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    peer_down(&w->peers[0]);
    world_start(w);
    memdisk_fail_at(disk, 1, UINT64_MAX, ERR_IO);
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "p");
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->synced + r->kept, 0);
    assert_int_equal(counter_of(w->queue_metrics.errors, NULL), 1);
    assert_true(world_logged(w, "cannot write to the queue"));
    memdisk_fail_at(disk, 0, 0, 0);
    peer_up(&w->peers[0]);
}

static void a_sync_that_fails_is_no_promise_either(void **state)
{
    struct world *w = *state;
    w->settings.queue.dir = STR("/q");
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "first")->synced, 1);
    memdisk_fail_at(disk, 2, 1, ERR_IO); /* the write succeeds, the sync does not */
    const struct flow_result *r = world_ask(w, FLOW_PUSH, "second");
    assert_int_equal(r->kept, 1);
    assert_false(is_ok(r));
    assert_int_equal(world_ask(w, FLOW_PUSH, "third")->synced, 1);
    peer_up(&w->peers[0]);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 3);
}

static void a_new_configuration_goes_on_with_what_waits(void **state)
{
    struct world *w = *state;
    struct receiver *old;
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->kept, 1);
    old = w->receiver;
    world_start(w); /* the same component again */
    receiver_release(old);
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 5);
    assert_true(gauge_of(w, w->queue_metrics.items) == 1);
    peer_up(&w->peers[0]);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 1);
}

static void a_configuration_that_does_not_take_over_changes_no_limit(void **state)
{
    struct world *w = *state;
    struct receiver *never = NULL;
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "a")->kept, 1);
    w->settings.queue.max_bytes = STR("900"); /* one of them */
    assert_int_equal(write_init(&never, &w->settings, STR("pyroscope.write.x"), STR("/"),
                                &w->write, NULL),
                     0);
    assert_int_equal(world_ask(w, FLOW_PUSH, "b")->kept, 1);
    assert_true(gauge_of(w, w->queue_metrics.items) == 2);
    assert_int_equal(write_start(never, NULL), 0); /* now it does */
    world_ask(w, FLOW_PUSH, "c");
    WORLD_UNTIL(w, counter_of(w->queue_metrics.dropped, "full") > 0);
    receiver_release(never);
    peer_up(&w->peers[0]);
}

static void what_a_component_leaves_behind_is_still_sent(void **state)
{
    struct world *w = *state;
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->kept, 1);
    receiver_release(w->receiver);
    w->receiver = NULL;
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 5);
    assert_true(gauge_of(w, w->queue_metrics.items) == 1);
    peer_up(&w->peers[0]);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.sent, NULL) == 1);
    WORLD_UNTIL(w, gauge_of(w, w->queue_metrics.items) == 0);
    assert_int_equal(counter_of(w->queue_metrics.dropped, "stopped"), 0);
}

static void at_the_end_what_waits_in_memory_is_tried_once_more(void **state)
{
    struct world *w = *state;
    peer_down(&w->peers[0]);
    w->endpoints[0].max_backoff_retries = 5;
    world_start(w);
    for (unsigned i = 0; i < 3; i++) {
        static const char *const texts[] = {"a", "b", "c"};
        assert_int_equal(world_ask(w, FLOW_PUSH, texts[i])->kept, 1);
    }
    peer_up(&w->peers[0]);
    const _Atomic(bool) *done = queues_drain(w->queues);
    WORLD_UNTIL(w, atomic_load(done));
    assert_int_equal(counter_of(w->queue_metrics.sent, NULL), 3);
    assert_int_equal(w->peers[0].count, 3);
}

static void who_is_down_at_the_end_is_given_up_and_the_loss_is_told(void **state)
{
    struct world *w = *state;
    peer_down(&w->peers[0]);
    world_start(w);
    assert_int_equal(world_ask(w, FLOW_PUSH, "p")->kept, 1);
    const _Atomic(bool) *done = queues_drain(w->queues);
    mono_ms began = clock_mono_ms();
    WORLD_UNTIL(w, atomic_load(done));
    assert_true(clock_mono_ms() - began < 10000);
    queues_stop(w->queues); /* says so at once, and only once */
    assert_int_equal(counter_of(w->queue_metrics.dropped, "stopped"), 1);
    assert_true(world_logged(w, "requests in the queue in memory are lost"));
    receiver_release(w->receiver);
    w->receiver = NULL;
    queues_stop(w->queues);
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 1);
    assert_int_equal(counter_of(w->queue_metrics.dropped, "stopped"), 1);
}

static void two_components_do_not_share_a_directory(void **state)
{
    struct world *w = *state;
    struct receiver *other = NULL;
    struct err err = {0};
    w->settings.queue.dir = STR("/q");
    world_start(w);
    assert_int_equal(
        write_init(&other, &w->settings, STR("pyroscope.write.y"), STR("/"), &w->write, &err),
        ERR_EXIST);
    assert_null(other);
    assert_string_equal(err.msg, "queue in /q: pyroscope.write.x has it");
}

static void requests_that_wait_go_into_the_queue_when_we_are_in_a_hurry(void **state)
{
    struct world *w = *state;
    w->endpoints[0].min_backoff_ms = w->endpoints[0].max_backoff_ms = 4000;
    w->peers[0].usual.status = 503;
    world_start(w);
    world_send(w, FLOW_PUSH, "p", MONO_NEVER);
    WORLD_UNTIL(w, w->peers[0].count == 1);
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 5);
    assert_int_equal(w->count, 0);
    flow_thread_hurry(&w->thread);
    WORLD_UNTIL(w, w->count == 1);
    assert_int_equal(w->results[0].kept, 1);
}

static void what_is_too_old_or_too_much_is_dropped_and_counted(void **state)
{
    struct world *w = *state;
    static char texts[40][3000];
    w->settings.queue.max_bytes = STR("64KiB");
    w->settings.queue.max_age_ms = 1500;
    peer_down(&w->peers[0]);
    world_start(w);
    for (int i = 0; i < 40; i++) {
        memset(texts[i], 'a' + i % 26, sizeof texts[i] - 1);
        (void)snprintf(texts[i], 8, "%d", i);
        texts[i][strlen(texts[i])] = 'x';
        assert_int_equal(world_ask(w, FLOW_PUSH, texts[i])->kept, 1);
        assert_true(gauge_of(w, w->queue_metrics.bytes) <= 64 << 10);
    }
    uint64_t full = counter_of(w->queue_metrics.dropped, "full");
    assert_in_range(full, 15, 30);
    WORLD_UNTIL(w, counter_of(w->queue_metrics.dropped, "old") == 40 - full);
    assert_int_equal(world_counter(w, w->write_metrics.dropped_profiles, 0), 40);
    struct str rest = buf_view(&w->logged), line;
    unsigned lines = 0;
    while (str_cut(&rest, '\n', &line))
        lines += str_contains(line, STR("dropped from the queue"));
    assert_in_range(lines, 1, 3); /* one in 10 s, not 40 */
    peer_up(&w->peers[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_memory_it_is_kept_but_not_promised),
        TEST(with_one_of_two_receivers_down_the_client_hears_a_success),
        TEST(what_is_refused_is_not_queued),
        TEST(what_is_refused_later_is_dropped_and_logged),
        TEST(while_an_endpoint_fails_requests_go_straight_to_the_queue),
        TEST(a_request_that_breaks_its_receiver_keeps_no_other_away),
        TEST(the_deadline_leaves_time_for_the_queue),
        TEST(a_queue_on_disk_takes_over_after_the_first_failure),
        TEST(what_waits_on_disk_says_that_its_endpoint_is_failing),
        TEST(on_disk_it_is_synced_first_and_outlives_a_kill),
        TEST(a_disk_that_fails_is_no_promise),
        TEST(a_sync_that_fails_is_no_promise_either),
        TEST(a_new_configuration_goes_on_with_what_waits),
        TEST(a_configuration_that_does_not_take_over_changes_no_limit),
        TEST(what_a_component_leaves_behind_is_still_sent),
        TEST(at_the_end_what_waits_in_memory_is_tried_once_more),
        TEST(who_is_down_at_the_end_is_given_up_and_the_loss_is_told),
        TEST(two_components_do_not_share_a_directory),
        TEST(requests_that_wait_go_into_the_queue_when_we_are_in_a_hurry),
        TEST(what_is_too_old_or_too_much_is_dropped_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
