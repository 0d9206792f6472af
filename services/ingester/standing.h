/* ingester/standing.h - what this ingester is at the moment, for every answer that it gives:
 * its disk, whether that is established, and its roster.
 *
 * The member machine's driver writes it (after what it rests on was synced); request handlers
 * read it. Any thread. Tests: tests/cluster. */
#ifndef INGESTER_STANDING_H
#define INGESTER_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "ring/roster.h"

struct arena;
struct ingester_v1_roster;
struct standing;

/* Instance and domain are copied. ERR_NOMEM. */
int standing_init(struct standing **out, struct str instance, struct str domain);
void standing_free(struct standing **s); /* NULL-safe */

/* The new state of things; the roster (NULL: none yet) is copied. ERR_NOMEM: all is as it was. */
int standing_set(struct standing *s, struct disk_id disk, const struct roster *roster);

/* Where a disk is in its life, as one word: the last of these that is so. */
enum disk_state {
    DISK_STATE_NEW,
    DISK_STATE_ESTABLISHED,
    DISK_STATE_REFUSED,
    DISK_STATE_LEAVING,
    DISK_STATE_LEFT,
    DISK_STATE_RETIRED,
    DISK_STATES,
};

/* "established"; static. */
const char *disk_state_name(enum disk_state s);

/* How many disks of the roster are in each state. */
void standing_disks(struct standing *s, uint32_t counts[DISK_STATES]);

/* Fixed for the life of the process; borrowed. */
struct str standing_instance(const struct standing *s);
struct str standing_domain(const struct standing *s);

/* A consistent look. */
struct standing_look {
    struct disk_id disk;
    bool established;            /* may store and answer appends */
    uint32_t replication_factor; /* 0: not founded */
    uint64_t roster_hash;
    struct ingester_v1_roster *roster; /* in the arena; NULL when its hash is `known` */
};

/* Fill *out. ERR_NOMEM. */
int standing_look(struct standing *s, uint64_t known, struct arena *a,
                  struct standing_look *out);

#endif
