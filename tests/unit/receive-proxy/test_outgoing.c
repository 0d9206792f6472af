/* Requests look as Alloy's do, and come out of a queue as they went in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "outgoing.h"

#include <string.h>

#include "base/mem.h"
#include "push.msg.h"

#define L(n, v) {STR_INIT(n), STR_INIT(v)}

static const struct label items[] = {L("__name__", "cpu"), L("service_name", "svc")};
static const struct labels set = {items, 2};
static const struct http_field headers[] = {L("X-Scope-OrgID", "team"),
                                            L("Content-Encoding", "gzip"),
                                            L("Content-Type", "text/plain")};

static struct flow_item ingest_item(void)
{
    static const struct http_field params[] = {L("until", "2"), L("name", "app"), L("from", "1 +"),
                                               L("x", "b"), L("x", "a")};
    static const struct str types[] = {STR_INIT("multipart/form-data; boundary=xyz")};
    return (struct flow_item){.kind = FLOW_INGEST,
                              .body = STR("\0body"),
                              .params = params,
                              .param_count = 5,
                              .content_types = types,
                              .content_type_count = 1,
                              .headers = headers,
                              .header_count = 3};
}

static void an_ingest_keeps_body_types_and_parameters_and_gets_its_new_name(void **state)
{
    struct flow_item item = ingest_item();
    struct arena *a = NULL;
    struct outgoing o;
    (void)state;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(outgoing_make(&item, set, true, a, &o), 0);
    assert_true(str_eq(o.target, STR("/ingest?from=1+%2B&name=cpu%7Bservice_name%3Dsvc%7D&"
                                     "until=2&x=b&x=a")));
    assert_ptr_equal(o.body.data, item.body.data);
    assert_int_equal(o.header_count, 3);
    assert_true(str_eq(o.headers[0].value, STR("multipart/form-data; boundary=xyz")));
    assert_true(str_eq(o.headers[1].value, STR("team")));
    assert_true(str_eq(o.headers[2].value, STR("gzip")));
    assert_int_equal(o.profiles, 1);
    assert_int_equal(o.bytes, 5);
    /* As Alloy: the type alone. */
    assert_int_equal(outgoing_make(&item, set, false, a, &o), 0);
    assert_int_equal(o.header_count, 1);
    arena_free(&a);
}

static void a_push_is_one_series_with_ids_and_bytes_as_they_came(void **state)
{
    static char large[20000]; /* lengths of three bytes around it */
    const struct flow_sample samples[] = {{STR_INIT("pprof\0one"), STR_INIT("id-1")},
                                          {STR_INIT("two"), STR_INIT("")},
                                          {{large, sizeof large}, STR_INIT("id-3")}};
    struct flow_item item = {.kind = FLOW_PUSH,
                             .samples = samples,
                             .sample_count = 3,
                             .headers = headers,
                             .header_count = 3};
    struct push_v1_push_request request;
    struct arena *a = NULL;
    struct buf encoded = {0};
    struct outgoing o, again;
    (void)state;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(outgoing_make(&item, set, true, a, &o), 0);
    assert_true(str_eq(o.target, STR("/push.v1.PusherService/Push")));
    assert_int_equal(o.header_count, 2);
    assert_true(str_eq(o.headers[0].value, STR("application/proto")));
    assert_true(str_eq(o.headers[1].value, STR("team"))); /* its packing is undone */
    assert_int_equal(msg_decode(&push_v1_push_request_msg, &request, o.body, a, NULL, NULL), 0);
    assert_int_equal(request.series_count, 1);
    assert_int_equal(request.series[0].labels_count, 2);
    assert_true(str_eq(request.series[0].labels[1].value, STR("svc")));
    assert_true(str_eq(request.series[0].samples[0].raw_profile, samples[0].profile));
    assert_true(str_eq(request.series[0].samples[0].id, STR("id-1")));
    assert_int_equal(o.bytes, 12 + sizeof large);
    assert_int_equal(o.profiles, 3);
    msg_encode(&push_v1_push_request_msg, &request, &encoded); /* the shortest form there is */
    assert_true(str_eq(buf_view(&encoded), o.body));
    /* Made again, the same bytes: receivers know profiles by them. */
    assert_int_equal(outgoing_make(&item, set, true, a, &again), 0);
    assert_true(str_eq(again.body, o.body));
    buf_reset(&encoded);
    arena_free(&a);
}

static void a_record_reads_back_and_every_cut_of_it_is_refused(void **state)
{
    struct flow_item item = ingest_item();
    struct arena *a = NULL;
    struct buf record = {0}, again = {0};
    struct outgoing o, back;
    (void)state;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(outgoing_make(&item, set, true, a, &o), 0);
    outgoing_put(&o, &record);
    assert_int_equal(outgoing_read(buf_view(&record), a, &back), 0);
    assert_int_equal(back.kind, FLOW_INGEST);
    assert_true(str_eq(back.target, o.target));
    assert_true(str_eq(back.body, o.body));
    assert_int_equal(back.header_count, 3);
    outgoing_put(&back, &again);
    assert_true(str_eq(buf_view(&record), buf_view(&again)));
    for (size_t n = 0; n < record.size; n++)
        assert_int_equal(outgoing_read(str_of(record.data, n), a, &back), ERR_PARSE);
    buf_u8(&record, 0);
    assert_int_equal(outgoing_read(buf_view(&record), a, &back), ERR_PARSE);
    buf_reset(&record);
    buf_reset(&again);
    arena_free(&a);
}

static void running_out_of_memory_is_an_error(void **state)
{
    struct flow_item item = ingest_item();
    struct flow_sample sample = {STR_INIT("p"), STR_INIT("i")};
    struct flow_item push = {.kind = FLOW_PUSH, .samples = &sample, .sample_count = 1};
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct arena *a = NULL;
            struct outgoing o;
        assert_int_equal(arena_init(&a, 16, NULL), 0);
        mem_fail_at(n);
        int rc = outgoing_make(&item, set, true, a, &o);
        rc = rc == 0 ? outgoing_make(&push, set, true, a, &o) : rc;
        bool over = mem_fail_pending();
        mem_fail_at(0);
            arena_free(&a);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ingest_keeps_body_types_and_parameters_and_gets_its_new_name),
        cmocka_unit_test(a_push_is_one_series_with_ids_and_bytes_as_they_came),
        cmocka_unit_test(a_record_reads_back_and_every_cut_of_it_is_refused),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
