/* A disk in memory: keeps what was synced apart from what was not, fails on demand, and can lose
 * power. One lock around everything, so that a store's threads may use it. */
#ifndef TESTS_LIB_MEMDISK_H
#define TESTS_LIB_MEMDISK_H

#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

struct memdisk;

struct memdisk *memdisk_new(void);
void memdisk_free(struct memdisk **d);

/* The table of calls; lives as long as the disk. */
const struct store_io *memdisk_io(struct memdisk *d);

/* Calls that change the disk or make it durable, so far: create, reserve, write, sync, truncate,
 * rename, unlink, sync_dir. */
uint64_t memdisk_calls(struct memdisk *d);

/* The n-th such call from now on fails with `code`, and `times` - 1 more after it (UINT64_MAX:
 * all). A failing write leaves a part of its bytes. n = 0 switches it off. */
void memdisk_fail_at(struct memdisk *d, uint64_t n, uint64_t times, int code);

/* Everything fails from now on, as for a process that was killed: what it does later is not
 * done. */
void memdisk_freeze(struct memdisk *d);

/* The power comes back: names that were not synced may be gone, and each 4 KiB page that was
 * written and not synced is there or not, by `seed`. All handles and mappings must be gone. */
void memdisk_crash(struct memdisk *d, uint64_t seed);

/* As after a killed process whose machine stayed up: all that was written is there. */
void memdisk_thaw(struct memdisk *d);

/* The bytes of a file that is there; borrowed until the next change. size 0: not there. */
uint8_t *memdisk_bytes(struct memdisk *d, const char *path, size_t *size);

/* Cut a file, and make that durable. */
void memdisk_cut(struct memdisk *d, const char *path, size_t size);

/* A copy of the disk as it is, all of it durable. */
struct memdisk *memdisk_copy(struct memdisk *d);

/* Calls each(arg, path) for every file. */
void memdisk_each(struct memdisk *d, void (*each)(void *arg, const char *path), void *arg);

#endif
