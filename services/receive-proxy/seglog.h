/* receive-proxy/seglog.h - a log of records in segments: the queue's place on disk.
 *
 * Records are appended to the newest segment and durable after seglog_sync(). One that is not
 * needed any more is noted by a small record of its own (not synced: forgetting it costs one
 * request that is sent twice). A segment without needed records is deleted once no older one is
 * left, so that a note never goes before what it is about.
 *
 * A segment is a file <16 hex digits>.queue: 8 bytes "EmbQueue", then records: u32 size and u32
 * CRC-32C, both little endian, the CRC over the size and all that follows; then `size` bytes:
 * u8 type, u64 number, and for type 1 (data) u64 key, u64 time (wall ms), the payload; for type
 * 2 (done) nothing more. What stands behind the last whole record is a torn tail: it is cut
 * off.
 *
 * No clock, no thread; all I/O through store/io.h. One owner thread.
 * Tests: tests/unit/receive-proxy/test_seglog.c; fuzz: tests/fuzz/fuzz_receive-proxy_record.c. */
#ifndef RECEIVE_PROXY_SEGLOG_H
#define RECEIVE_PROXY_SEGLOG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "store/io.h"

struct seglog;

/* Where a record's payload lies. */
struct seg_ref {
    uint64_t number; /* of the record; rising */
    uint64_t segment;
    uint64_t offset;
    uint32_t size;
};

/* A data record. */
struct seg_record {
    struct seg_ref ref;
    uint64_t key;
    wall_ms time;
    struct str payload; /* valid in the call */
};
typedef void (*seg_data_fn)(void *arg, const struct seg_record *r);
typedef void (*seg_done_fn)(void *arg, uint64_t number);

/* What was found at the start. */
struct seg_found {
    uint64_t segments, torn_bytes;
};

/* Open the directory (made if need be, locked) and tell of every record, oldest first: data,
 * and notes of records done. segment_bytes: where a new segment begins. ERR_EXIST (another
 * process has it), ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int seglog_open(struct seglog **out, const struct store_io *io, struct str dir,
                uint64_t segment_bytes, seg_data_fn data, seg_done_fn done, void *arg,
                struct seg_found *found, struct err *err);

/* Does not sync. NULL-safe. */
void seglog_close(struct seglog **l);

/* Append. After a failure the record is not there, and the next one goes into a new segment.
 * ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int seglog_append(struct seglog *l, uint64_t key, wall_ms time, struct str payload,
                  struct seg_ref *ref);

/* All that was appended before is durable. After a failure that is unknown: none of what was
 * appended since the last success may be relied on; the next record goes into a new segment. */
int seglog_sync(struct seglog *l);

/* Append a record's payload to out. ERR_IO, ERR_CORRUPT, ERR_NOMEM. */
int seglog_read(struct seglog *l, const struct seg_ref *ref, struct buf *out);

/* A record is not needed any more. */
void seglog_done(struct seglog *l, const struct seg_ref *ref);

/* As seglog_done(), without a note: for records whose note was found at the start. */
void seglog_forget(struct seglog *l, const struct seg_ref *ref);

/* Delete segments that hold nothing needed; after a start, when all records are known. */
void seglog_trim(struct seglog *l);

/* Bytes of all segments. */
uint64_t seglog_bytes(const struct seglog *l);

/* Number of the oldest segment there is. */
uint64_t seglog_oldest(const struct seglog *l);

/* Read the records of one segment's bytes (hostile): `good` gets the bytes up to the end of the
 * last whole record, 0 when not even the head is right. */
void seglog_scan(struct str bytes, uint64_t segment, seg_data_fn data, seg_done_fn done,
                 void *arg, uint64_t *good);

#endif
