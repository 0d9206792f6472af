/* ring/roster.h - what a process knows of disks: one grow-only record each, merged by union.
 *
 * A disk is 16 random bytes made with an empty data directory: it names a memory of what was
 * acknowledged, not a host. Rosters travel whole, never single records, and are synced before
 * anything is said that rests on them (docs/exact-reads.md). How many disks are enough is
 * always counted in distinct domains: what fails as one (the zone with zone awareness, else the
 * instance).
 *
 * Pure; one owner thread, or shared read-only (roster_copy() makes a snapshot).
 * Tests: tests/unit/ring/test_roster.c, tests/sim/sim_exact.c. */
#ifndef RING_ROSTER_H
#define RING_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct arena;
struct ingester_v1_disk;
struct ingester_v1_roster;

enum {
    DISK_SIZE = 16,
    ROSTER_DISKS_MAX = 4096,
    ROSTER_NAME_MAX = 1024, /* bytes of an instance, a domain, an address */
    REPLICATION_MAX = 31,   /* so a quorum is at most 16 */
    DOMAINS_MAX = 32,       /* more are never told apart: every threshold is below */
};

struct disk_id {
    uint8_t bytes[DISK_SIZE]; /* all zero: none */
};

static inline bool disk_eq(struct disk_id a, struct disk_id b)
{
    return memcmp(a.bytes, b.bytes, DISK_SIZE) == 0;
}

static inline bool disk_is_none(struct disk_id id)
{
    return disk_eq(id, (struct disk_id){{0}});
}

/* An id from DISK_SIZE bytes of a message; none when the length is another. */
struct disk_id disk_of(struct str bytes);

static inline struct str disk_str(const struct disk_id *id)
{
    return str_of(id->bytes, DISK_SIZE);
}

/* W: how many domains must have synced a write. */
static inline uint32_t quorum_of(uint32_t replication_factor)
{
    return replication_factor / 2 + 1;
}

/* One record. The fields of repair and leaving (refused .. abandoned) are carried, merged and
 * sent; so far nothing sets them. */
struct disk {
    struct disk_id id, predecessor;
    struct str instance, domain; /* fixed when the disk is made */
    struct str addr;             /* host:port, that of the highest `starts` */
    uint64_t starts;             /* grows with each start of its process */
    bool established;            /* may store and answer appends */
    bool clean;                  /* nothing was lost between predecessor and this */
    bool refused, leaving, left, retired, abandoned;
    struct disk_id *settled_by; /* sorted */
    uint32_t settled_count;
};

/* Still counts when its silence is judged. */
static inline bool disk_is_member(const struct disk *d)
{
    return !d->retired && !d->left;
}

struct roster;

/* What a merge changed. All-zero before the first use; merges add to it. */
struct roster_news {
    bool changed;        /* anything: worth syncing */
    bool told;           /* something that roster_hash() covers: worth telling others at once */
    uint32_t disks;      /* records that are new */
    uint32_t established; /* records that became established */
};

/* An empty roster. ERR_NOMEM. */
int roster_init(struct roster **out);
int roster_copy(struct roster **out, const struct roster *from);
void roster_free(struct roster **r);

/* Records by rising id; at(i) is borrowed until the next change. */
uint32_t roster_count(const struct roster *r);
const struct disk *roster_at(const struct roster *r, uint32_t i);

/* The record of a disk, or NULL. */
const struct disk *roster_find(const struct roster *r, struct disk_id id);

/* Some disk of this instance is in it. */
bool roster_names(const struct roster *r, struct str instance);

/* Some disk in it is established: founding is over. */
bool roster_founded(const struct roster *r);

/* 0 until a founder said so. */
uint32_t roster_replication_factor(const struct roster *r);
bool roster_zone_aware(const struct roster *r);

/* Fix both, once. ERR_REFUSED when they are fixed to other values, ERR_INVAL (0, or above
 * REPLICATION_MAX), ERR_NOMEM. */
int roster_fix(struct roster *r, uint32_t replication_factor, bool zone_aware);

/* Merge one record (booleans OR, starts max with its address, settled_by union). news may be
 * NULL. ERR_INVAL (no id, no instance, no domain, a name too long), ERR_LIMIT (too many disks),
 * ERR_NOMEM; then the roster is some merge between old and new, and its hash 0. */
int roster_put(struct roster *r, const struct disk *d, struct roster_news *news);

/* Merge all of `from`. ERR_REFUSED, and nothing is merged, when both are founded with other
 * values of replication; else as roster_put. */
int roster_merge(struct roster *into, const struct roster *from, struct roster_news *news);

/* xxh64 over everything but starts and addr; equal rosters have equal hashes on every machine.
 * 0 when memory ran out in the last merge, which equals no peer's. */
uint64_t roster_hash(const struct roster *r);

/* Convert to and from the message. roster_from_msg takes hostile contents; the message of
 * roster_to_msg borrows from r and from the arena. err may be NULL. ERR_PARSE, ERR_LIMIT,
 * ERR_NOMEM with *out untouched. */
int roster_from_msg(struct roster **out, const struct ingester_v1_roster *m, struct err *err);
int roster_to_msg(const struct roster *r, struct arena *a, struct ingester_v1_roster *out);

/* One record of a message: *out borrows from m and has no settled_by. ERR_PARSE. */
int disk_from_msg(struct disk *out, const struct ingester_v1_disk *m, struct err *err);

/* The bytes of the message emberring.ingester.v1.Roster; a failure is the buffer's. */
void roster_encode(const struct roster *r, struct buf *out);

/* Hostile bytes. ERR_PARSE, ERR_LIMIT, ERR_NOMEM with *out untouched. */
int roster_decode(struct roster **out, struct str bytes, struct err *err);

/* Distinct domains, borrowed. All-zero is empty; from DOMAINS_MAX on it stays there. */
struct domain_set {
    struct str names[DOMAINS_MAX];
    uint32_t count;
};

/* Add one; true when it was not in it. */
bool domain_set_add(struct domain_set *s, struct str domain);

#endif
