/* store/io.h - the only way from the store to a disk: a table of calls, so that tests can put a
 * disk of their own behind it.
 *
 * io_run.c has the POSIX one; tests/lib/memdisk.c keeps files in memory, fails on demand and
 * forgets what was not synced. No clock and no random source in it. Paths are NUL-terminated and
 * complete. Calls return 0, ERR_IO, ERR_NOSPC, ERR_NOENT, ERR_EXIST or ERR_NOMEM.
 *
 * Threads: the table itself is immutable; calls on different files may run side by side, calls
 * on one file belong to one thread at a time (its mapping may be read by all).
 * Tests: tests/unit/store/test_io.c. */
#ifndef STORE_IO_H
#define STORE_IO_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct store_file; /* an open file; its owner is who opened it */

/* Called once per name in a directory, without "." and ".."; not 0 ends the walk. */
typedef int (*store_list_fn)(void *arg, const char *name);

struct store_io {
    void *self; /* first argument of every call */

    /* Make a new empty file and open it for reading and writing. ERR_EXIST. */
    int (*create)(void *self, const char *path, struct store_file **out);
    /* Open a file that exists for reading and writing; *size gets its bytes. ERR_NOENT. */
    int (*open)(void *self, const char *path, struct store_file **out, uint64_t *size);
    /* Give back the handle (mappings stay); never fails, does not sync. */
    void (*close)(void *self, struct store_file *f);
    /* Allocate room for `size` bytes, which read as zeros, and make that the file's size. */
    int (*reserve)(void *self, struct store_file *f, uint64_t size);
    /* Write all of `size` bytes at `at`. After a failure any part of them may be there. */
    int (*write_at)(void *self, struct store_file *f, uint64_t at, const void *data, size_t size);
    /* Read up to `size` bytes at `at`; *got is less only at the end of the file. */
    int (*read_at)(void *self, struct store_file *f, uint64_t at, void *out, size_t size,
                   size_t *got);
    /* Make what was written durable (fdatasync). A failed one must not be repeated. */
    int (*sync)(void *self, struct store_file *f);
    /* Cut the file to `size` bytes. */
    int (*truncate)(void *self, struct store_file *f, uint64_t size);
    /* Map the first `size` bytes for reading; later writes show through. */
    int (*map)(void *self, struct store_file *f, uint64_t size, const uint8_t **out);
    void (*unmap)(void *self, const uint8_t *base, uint64_t size);
    int (*rename)(void *self, const char *from, const char *to);
    int (*unlink)(void *self, const char *path);
    /* Make a directory; one that is there already is fine. */
    int (*make_dir)(void *self, const char *path);
    /* Make creations, renames and unlinks in the directory durable. */
    int (*sync_dir)(void *self, const char *path);
    int (*list)(void *self, const char *path, store_list_fn each, void *arg);
    /* Open (or make) a file and lock it against other processes until it is closed.
     * ERR_EXIST: somebody has it. */
    int (*lock)(void *self, const char *path, struct store_file **out);
    /* Bytes that may still be written where `path` is; 0 when that cannot be told. */
    uint64_t (*free_bytes)(void *self, const char *path);
};

/* The table for a real file system; static. */
const struct store_io *store_io_posix(void);

/* All bytes of a file, at most `limit` (ERR_LIMIT), appended to out. ERR_NOENT, ERR_IO,
 * ERR_NOMEM. */
int io_read_file(const struct store_io *io, const char *path, size_t limit, struct buf *out);

/* Replace a file as a whole: write `tmp`, sync it, rename it to `path`, sync the directory `dir`.
 * When it returns 0 the new content is durable; on failure the old content stands, or, if only
 * the last step failed, either may be there after a crash. */
int io_replace_file(const struct store_io *io, const char *dir, const char *tmp,
                    const char *path, struct str bytes);

#endif
