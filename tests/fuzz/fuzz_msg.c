/* Messages of several types from hostile protobuf and JSON (first byte: which). What was read
 * can be written, reads the same, and its JSON is JSON. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/mem.h"
#include "ingester.msg.h"
#include "push.msg.h"
#include "querier.msg.h"
#include "wire/json_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct msg_type *const TYPES[] = {
    &push_v1_push_request_msg,
    &querier_v1_diff_request_msg,
    &querier_v1_select_merge_stacktraces_response_msg,
    &querier_v1_select_series_request_msg,
    &querier_v1_select_heatmap_response_msg,
    &ingester_v1_vector_response_msg,
    &ingester_v1_keys_request_msg,
    &google_v1_profile_msg,
};

static const struct msg_limits LIMITS = {.elements_max = 20000};

/* Bytes of m, read and written once more, are the same bytes. */
static void bytes_are_stable(const struct msg_type *t, const void *m, struct arena *a)
{
    struct buf once = {0}, twice = {0};
    void *again = arena_alloc(a, t->size);
    ASSERT(again != NULL);
    msg_encode(t, m, &once);
    ASSERT(once.error == 0);
    ASSERT(msg_decode(t, again, buf_view(&once), a, NULL, NULL) == 0);
    msg_encode(t, again, &twice);
    ASSERT(str_eq(buf_view(&once), buf_view(&twice)));
    buf_reset(&once);
    buf_reset(&twice);
}

/* JSON of m, read and written once more, is the same text; only an escaped NUL is not read. */
static void json_is_stable(const struct msg_type *t, const void *m, struct arena *a)
{
    struct buf once = {0}, twice = {0};
    struct err e = {0};
    const struct msg_limits no_limit = {.json_bytes_max = SIZE_MAX};
    void *again = arena_alloc(a, t->size);
    ASSERT(again != NULL);
    msg_to_json(t, m, &once);
    ASSERT(once.error == 0);
    if (msg_from_json(t, again, buf_view(&once), a, &no_limit, &e) != 0) {
        ASSERT(str_contains(buf_view(&once), STR("\\u0000")));
    } else {
        ASSERT(json_check(buf_view(&once), NULL) == 0);
        msg_to_json(t, again, &twice);
        ASSERT(str_eq(buf_view(&once), buf_view(&twice)));
    }
    buf_reset(&once);
    buf_reset(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct msg_type *t = TYPES[data[0] % 8];
    struct str in = str_of(data + 1, size - 1);
    struct arena *a = NULL;
    struct err e = {0};
    ASSERT(arena_init(&a, 0, NULL) == 0);
    void *m = arena_alloc(a, t->size);
    ASSERT(m != NULL);
    int rc = data[0] >= 128 ? msg_from_json(t, m, in, a, &LIMITS, &e)
                            : msg_decode(t, m, in, a, &LIMITS, &e);
    if (rc == 0) {
        bytes_are_stable(t, m, a);
        json_is_stable(t, m, a);
    } else {
        ASSERT(rc == e.code && (rc == ERR_PARSE || rc == ERR_LIMIT));
    }
    arena_free(&a);
    return 0;
}
