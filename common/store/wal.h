/* store/wal.h - records on disk, and how they get there in batches: the log of one generation.
 *
 * Header, 64 bytes: "EMBRLOG1", u32 version, u32 flags, u64 generation, u32 segment, u32 salt,
 * u64 created (Unix ms), 16 B disk, u32 0, u32 CRC32C of all before.
 *
 * A generation is a run of segments. A position in it is segment number x WAL_SPAN + offset. A
 * segment begins with a header of WAL_HEADER_SIZE bytes; then
 *   record := u32 length, u32 crc, u32 back, body, zeros up to a multiple of 8
 * length 0 means that nothing more is here; `back` is the distance from the start of the batch
 * that the record was written with; crc = CRC32C(salt, length, back, body).
 *
 * Writing is a state machine: wal_put() copies records into the open batch, wal_next_batch() hands
 * the oldest one out to be written and synced, wal_batch_done() says how that went. A batch goes
 * into one segment by one write. What is put while a batch is out forms the next one, so under
 * load batches grow by themselves. A batch that fails ends the log: later records may need it.
 *
 * Pure; one owner at a time (the caller's lock). Driver: commit_run.c.
 * Tests: tests/unit/store/test_wal.c; fuzz: tests/fuzz/fuzz_log.c. */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

typedef uint64_t wal_pos;

enum {
    WAL_SPAN = 64 << 20,
    WAL_HEADER_SIZE = 64,
    WAL_PREFIX_SIZE = 12,    /* of a record, before its body */
    WAL_BODY_MAX = 16 << 20,
    WAL_VERSION = 1,
    WAL_SEGMENTS_MAX = 4096, /* of one generation: 256 GiB */
};

/* Flags of a header. */
enum {
    WAL_LAX = 1, /* records were acknowledged before they were synced */
};

struct wal_header {
    uint64_t generation;
    uint32_t flags;
    uint32_t segment, salt;
    wall_ms created;
    uint8_t disk[16];
};

/* The 64 bytes at the start of a segment. */
void wal_header_put(const struct wal_header *h, uint8_t out[WAL_HEADER_SIZE]);

/* ERR_CORRUPT; ERR_VERSION for a version or flag that is not known, although the checksum fits. */
int wal_header_read(struct str bytes, struct wal_header *out);

static inline uint32_t wal_segment(wal_pos pos)
{
    return (uint32_t)(pos / WAL_SPAN);
}

static inline uint32_t wal_offset(wal_pos pos)
{
    return (uint32_t)(pos % WAL_SPAN);
}

static inline wal_pos wal_pos_of(uint32_t segment, uint64_t offset)
{
    return (wal_pos)segment * WAL_SPAN + offset;
}

/* A dot as the generation numbers lanes: what a batch adds to the coverage once it is synced. */
struct wal_dot {
    uint32_t lane, seq;
};

struct wal;

/* An empty log whose segments have `segment_bytes` each (at most WAL_SPAN); segment 0 is ready and
 * has its header. ERR_NOMEM. */
int wal_init(struct wal **out, uint32_t salt, uint32_t segment_bytes);
void wal_free(struct wal **w);

/* Append a record whose body is the pieces, with the dots of its rows; *pos gets the position of
 * the body. ERR_LIMIT: the body is over WAL_BODY_MAX or a segment; ERR_AGAIN: the next segment is
 * not ready yet; ERR_NOSPC or ERR_IO: it could not be made (wal_segment_failed());
 * ERR_SEALED, ERR_NOMEM. Nothing is changed then. */
int wal_put(struct wal *w, const struct str *pieces, unsigned count, const struct wal_dot *dots,
            size_t dot_count, wal_pos *pos);

/* Largest body that fits an empty segment of this log. */
size_t wal_body_max(const struct wal *w);

struct wal_batch {
    uint32_t segment, offset;
    struct str bytes;
    const struct wal_dot *dots;
    size_t dot_count;
    uint32_t records;
    wal_pos end;
};

/* The oldest batch, or false. It is borrowed until wal_batch_done(), before which no other is
 * handed out. */
bool wal_next_batch(struct wal *w, struct wal_batch *out);

/* The batch is synced (0): `committed` moves to its end. Or it is not: the log ends at `committed`,
 * all later batches are dropped. */
void wal_batch_done(struct wal *w, int result);

/* Take no more records; batches that are there still go out. */
void wal_seal(struct wal *w);

/* Everything before it is synced. */
wal_pos wal_committed(const struct wal *w);

/* Where the next record would go; what was put so far ends here. */
wal_pos wal_end(const struct wal *w);

/* Bytes and records that wait or are out; records put in all. */
size_t wal_pending(const struct wal *w);
uint32_t wal_waiting_records(const struct wal *w);
uint64_t wal_records(const struct wal *w);

/* The number of the segment that should be made now: the last one is 3/4 full, or a record did
 * not fit. */
bool wal_wants_segment(const struct wal *w, uint32_t *segment);

/* That segment exists with its header, synced. */
void wal_segment_ready(struct wal *w, uint32_t segment);

/* It could not be made: until it is, records that do not fit are refused with `code`. */
void wal_segment_failed(struct wal *w, int code);

/* That code, or 0. */
int wal_room_error(const struct wal *w);

/* Walks the records of one segment: *cursor is set up by the caller, at = WAL_HEADER_SIZE. */
struct wal_cursor {
    const uint8_t *base;
    uint64_t size; /* bytes at base */
    uint32_t salt;
    uint64_t at;      /* of the next record; after an end or a bad place: where that is */
    uint64_t body_at; /* of the last record's body */
    uint64_t batch;   /* where the last record's batch began */
};

/* The next record: 1 and its body; 0 at zeros or at the end of the bytes; ERR_CORRUPT at a bad
 * place. */
int wal_read(struct wal_cursor *c, struct str *body);

/* After an end or a bad place: there is a valid record behind it, of a batch that began beyond it,
 * so what is here was once synced. Tries every 8 bytes. */
bool wal_has_later(const struct wal_cursor *c);

/* All bytes from c->at on are zero. */
bool wal_is_zero_from(const struct wal_cursor *c);

/* CRC32C, continued from `crc` (0 at first): the checksum of log, instance, roster and seen. */
uint32_t store_crc(uint32_t crc, const void *data, size_t size);

#endif
