/* Segments of the receive-proxy's queue, and the requests in them, from any bytes: as a segment, as
 * a request, and as a run of (u8 length, body) whose checksums are made to fit. What is read must
 * be written again as it was. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "outgoing.h"
#include "seglog.h"
#include "wire/hash.h"

static void try_request(struct str bytes)
{
    struct arena *a = NULL;
    struct outgoing o, again;
    struct buf b = {0};
    if (arena_init(&a, 1024, NULL) != 0)
        return;
    if (outgoing_read(bytes, a, &o) == 0) {
        outgoing_put(&o, &b);
        if (b.error == 0 && (outgoing_read(buf_view(&b), a, &again) != 0 ||
                             !str_eq(again.body, o.body) || !str_eq(again.target, o.target) ||
                             again.header_count != o.header_count))
            abort();
    }
    buf_reset(&b);
    arena_free(&a);
}

static void on_data(void *arg, const struct seg_record *r)
{
    (*(size_t *)arg)++;
    try_request(r->payload);
}

static void on_done(void *arg, uint64_t number)
{
    (void)number;
    (*(size_t *)arg)++;
}

static void try_segment(struct str bytes)
{
    uint64_t good = 0, again = 0;
    size_t count = 0, recount = 0;
    seglog_scan(bytes, 1, on_data, on_done, &count, &good);
    if (good > bytes.len)
        abort();
    seglog_scan(str_head(bytes, (size_t)good), 1, on_data, on_done, &recount, &again);
    if (again != good || recount != count)
        abort(); /* what was cut off must not change what is left */
}

static void make_segment(struct str in, struct buf *out)
{
    buf_c(out, "EmbQueue");
    while (in.len > 1) {
        size_t len = (uint8_t)in.data[0];
        struct buf size = {0};
        struct str body = str_head(str_skip(in, 1), len);
        in = str_skip(in, 1 + body.len);
        buf_u32le(&size, (uint32_t)body.len);
        buf_str(out, buf_view(&size));
        buf_u32le(out, hash_crc32c(hash_crc32c(0, buf_view(&size)), body));
        buf_str(out, body);
        buf_reset(&size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_of(data, size);
    struct buf made = {0};
    try_segment(bytes);
    try_request(bytes);
    make_segment(bytes, &made);
    try_segment(buf_view(&made));
    buf_reset(&made);
    return 0;
}
