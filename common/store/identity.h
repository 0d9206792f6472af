/* store/identity.h - the small files that say who a disk is: `instance`, `roster`, `seen`.
 *
 *   instance := "EMBRINST" u32 version=1, 16 B disk, 16 B predecessor or 0, u8 clean, u8 stopped,
 *               u64 starts, str instance, str domain, u32 rf, u8 zone_aware, u32 crc
 *   roster   := "EMBRRSTR" u32 length, Roster message, u32 crc
 *   seen     := "EMBRSEEN" u32 version=1, uv tenants, tenants x (str tenant, lanes,
 *               uv n, n x (uv lane, u64 last new dot unix ms, seqs)), u32 crc
 *   lanes    := uv sets, sets x (uv n, n x str instance), uv writers, writers x 16 B,
 *               uv lanes, lanes x (uv writer, uv set)              each table sorted by content
 * crc is CRC32C of all before. A file is replaced as a whole (io_replace_file), so it is old or
 * new, never between.
 *
 * How a process starts: identity_open(), store_open() with its disk, then `starts` + 1 and
 * `stopped` = 0 by identity_write() before the first append; and after store_close() returned 0,
 * `stopped` = 1.
 * The codecs are pure; the others use the table of calls. One owner thread.
 * Tests: tests/unit/store/test_identity.c; fuzz: tests/fuzz/fuzz_identity.c. */
#ifndef STORE_IDENTITY_H
#define STORE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "ring/dots.h"
#include "ring/roster.h"
#include "store/io.h"

enum { IDENTITY_NAME_MAX = 255 };

struct identity {
    uint8_t disk[DISK_SIZE];
    uint8_t predecessor[DISK_SIZE]; /* zeros: none */
    bool clean;                     /* what the predecessor had is held elsewhere */
    bool stopped;                   /* the last thing that a clean stop writes */
    uint64_t starts;
    char instance[IDENTITY_NAME_MAX + 1], domain[IDENTITY_NAME_MAX + 1];
    uint32_t rf; /* 0 until a roster says it */
    bool zone_aware;
};

/* The bytes of the instance file. Failure is out's sticky error. */
void identity_encode(const struct identity *id, struct buf *out);

/* ERR_CORRUPT, ERR_VERSION. */
int identity_decode(struct str bytes, struct identity *out);

/* Read and write `<dir>/instance`. When identity_write() returns 0 it is durable; a full disk
 * costs it the file `reserve` first. ERR_NOENT, ERR_CORRUPT, ERR_VERSION, ERR_IO, ERR_NOSPC. */
int identity_read(const struct store_io *io, const char *dir, struct identity *out);
int identity_write(const struct store_io *io, const char *dir, const struct identity *id);

/* Lock the data directory until *out is closed. To be held from before identity_open() until after
 * the last identity_write(): of two processes that overlap, the later one must not read what the
 * other is about to replace. ERR_EXIST: somebody has it. ERR_IO, ERR_NOMEM. */
int identity_lock(const struct store_io *io, const char *dir, struct store_file **out);

/* Make `<dir>/reserve` (1 MiB) if it is not there; a full disk is no error. */
void identity_reserve(const struct store_io *io, const char *dir);

/* The Roster message in `<dir>/roster`. ERR_NOENT, ERR_CORRUPT, ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int roster_read(const struct store_io *io, const char *dir, struct buf *message);
int roster_write(const struct store_io *io, const char *dir, struct str message);

/* Read `instance`, and judge it with the roster and the names of the configuration. *cause gets
 * why *out is a new identity (static; named `fresh`, with the old disk as predecessor where there
 * was one, and not written yet), or NULL when the old one stands. Only I/O errors, ERR_VERSION
 * and ERR_LIMIT (a name is too long) are failures. */
int identity_open(const struct store_io *io, const char *dir, struct str instance,
                  struct str domain, const uint8_t fresh[DISK_SIZE], struct identity *out,
                  const char **cause);

/* Make *id the identity of a disk that forgot: a new name, the old one as predecessor. */
void identity_forget(struct identity *id, const uint8_t fresh[DISK_SIZE]);

/* Dots that a tenant had and that were taken on purpose. */
struct seen_tenant {
    char *name;
    struct vector *gone;
    wall_ms *last; /* of the last new dot, per lane of `gone` */
};

struct seen {
    struct seen_tenant *tenants;
    uint32_t count;
};

/* Codec and file. A missing file is an empty *out (all-zero before). ERR_CORRUPT, ERR_VERSION,
 * ERR_NOMEM, ERR_IO; *out is then empty. */
void seen_encode(const struct seen *s, struct buf *out);
int seen_decode(struct str bytes, struct seen *out);
int seen_read(const struct store_io *io, const char *dir, struct seen *out);
int seen_write(const struct store_io *io, const char *dir, const struct seen *s);
void seen_reset(struct seen *s);

#endif
