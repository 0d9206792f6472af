/* A log segment of any content is replayed: clean, torn or damaged, never beyond its bytes. The
 * checksums are made to fit first, so that the records themselves are tried: the input is a run of
 * (u16 length, body). An input that begins like a segment is taken as it is. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/replay.h"
#include "store/row.h"
#include "store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 1 << 20 };

/* A segment of the records in the input. */
static size_t make_segment(const uint8_t *data, size_t size, uint8_t *out)
{
    struct wal *w = NULL;
    struct wal_batch b;
    const struct wal_header h = {.generation = 1, .salt = 5};
    ASSERT(wal_init(&w, 5, SEGMENT) == 0);
    wal_header_put(&h, out);
    while (size >= 3) {
        size_t len = (size_t)data[0] | (size_t)data[1] << 8;
        wal_pos pos;
        data += 2;
        size -= 2;
        len = len == 0 ? 1 : len < size ? len : size;
        struct str body = str_of(data, len);
        if (wal_put(w, &body, 1, NULL, 0, &pos) != 0)
            break;
        data += len;
        size -= len;
    }
    size_t end = WAL_HEADER_SIZE;
    while (wal_next_batch(w, &b)) {
        memcpy(out + b.offset, b.bytes.data, b.bytes.len);
        end = b.offset + b.bytes.len;
        wal_batch_done(w, 0);
    }
    wal_free(&w);
    return end;
}

/* Every row that was taken can be read, and its totals are those of the entry. */
static void read_rows(const struct head *h, const uint8_t *base, wal_pos end)
{
    for (uint32_t i = 0; i < head_stream_count(h); i++) {
        const struct head_stream *s = head_stream_at(h, i);
        struct head_walk w = head_walk(s, end, INT64_MIN, INT64_MAX);
        for (const struct head_entry *e; (e = head_next(&w)) != NULL;) {
            struct row row;
            ASSERT(row_open(str_of(base + wal_offset(e->pos), e->length), s->member_count,
                            &row) == 0);
            uint32_t nodes = part_counts(s->partition->part).nodes;
            uint64_t *sums = mem_calloc(nodes, sizeof *sums), total;
            ASSERT(sums != NULL && row_total(&row, 0, &total) == 0 && total == e->totals[0]);
            (void)row_add(&row, 0, sums, nodes);
            mem_free(sums);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t segment[SEGMENT];
    bool raw = size >= WAL_HEADER_SIZE && memcmp(data, "EMBRLOG1", 8) == 0;
    struct replay_segment s = {data, size};
    if (!raw)
        s = (struct replay_segment){segment, make_segment(data, size, segment)};
    struct head *h = NULL;
    struct vector *rows = NULL;
    ASSERT(head_init(&h, NULL) == 0 && vector_init(&rows) == 0);
    struct replay r = {.head = h, .rows = rows, .generation = 1, .limit = WAL_POS_NONE};
    if (replay_run(&r, &s, 1, NULL) == 0) {
        ASSERT(r.end <= s.size + 8);
        read_rows(h, s.base, r.end);
    }
    replay_reset(&r);
    vector_free(&rows);
    head_free(&h);
    return 0;
}
