/* Any bytes as the answer of a server: read whole, byte by byte, and in two halves they give the
 * same answer, within its bounds. The first byte chooses the request and the limit. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "net/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feed pieces of `step` bytes, then the end. Returns how much was taken. */
static size_t feed(struct http_response *r, struct str in, size_t step)
{
    size_t taken = 0;
    while (taken < in.len && r->state == HTTP_RESPONSE_MORE) {
        struct str piece = str_head(str_skip(in, taken), step);
        size_t n = http_response_feed(r, piece);
        ASSERT(n <= piece.len && (n == piece.len || r->state != HTTP_RESPONSE_MORE));
        taken += n;
    }
    http_response_end(r);
    return taken;
}

static void check(const struct http_response *r, size_t body_max)
{
    struct http_field fields[HTTP_RESPONSE_FIELDS_MAX];
    ASSERT(r->state != HTTP_RESPONSE_MORE);
    ASSERT(r->body.size <= body_max && r->head.size <= HTTP_RESPONSE_HEAD_MAX);
    if (r->state == HTTP_RESPONSE_BAD) {
        ASSERT(r->code == ERR_IO || r->code == ERR_LIMIT || r->code == ERR_CLOSED);
        ASSERT(r->error[0] != '\0' && !r->keep);
        return;
    }
    ASSERT(r->code == 0 && r->status >= 200 && r->status <= 999);
    size_t count = http_response_fields(r, fields);
    for (size_t i = 0; i < count; i++)
        ASSERT(http_is_field_name(fields[i].name) && http_is_sendable(fields[i].name, STR("")) &&
               str_eq(str_trim(fields[i].value), fields[i].value) &&
               http_is_sendable(STR("a"), fields[i].value));
}

static void check_same(const struct http_response *a, const struct http_response *b)
{
    struct http_field x[HTTP_RESPONSE_FIELDS_MAX], y[HTTP_RESPONSE_FIELDS_MAX];
    ASSERT(a->state == b->state && a->code == b->code && a->error == b->error);
    ASSERT(a->status == b->status && a->keep == b->keep);
    if (a->state == HTTP_RESPONSE_BAD)
        return;
    ASSERT(str_eq(buf_view(&a->body), buf_view(&b->body)));
    size_t count = http_response_fields(a, x);
    ASSERT(http_response_fields(b, y) == count);
    for (size_t i = 0; i < count; i++)
        ASSERT(str_eq(x[i].name, y[i].name) && str_eq(x[i].value, y[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_response whole = {0}, parts = {0};
    if (size == 0)
        return 0;
    struct str in = str_of(data + 1, size - 1);
    bool to_head = (data[0] & 1) != 0;
    size_t body_max = (data[0] & 2) != 0 ? 10 : 1 << 16;
    const size_t steps[] = {1, in.len / 2 + 1, 7};
    http_response_begin(&whole, to_head, body_max);
    size_t taken = feed(&whole, in, in.len);
    check(&whole, body_max);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        http_response_begin(&parts, to_head, body_max);
        size_t n = feed(&parts, in, steps[i]);
        check(&parts, body_max);
        check_same(&whole, &parts);
        ASSERT(n == taken || whole.state == HTTP_RESPONSE_BAD);
    }
    http_response_reset(&whole);
    http_response_reset(&parts);
    return 0;
}
