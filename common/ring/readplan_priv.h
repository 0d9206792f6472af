/* ring/readplan_priv.h - what the four files of a read plan share. Only for common/ring. */
#ifndef RING_READPLAN_PRIV_H
#define RING_READPLAN_PRIV_H

#include "ring/readplan.h"

/* One disk that replied in this round. */
struct read_disk {
    struct disk_id id;
    char *names; /* instance, domain and addr are in it */
    struct str instance, domain, addr;
    bool established, truncated;
    bool slow;            /* let a part fail or wait in an earlier round: others first */
    struct vector *held;
    struct vector *given; /* its part; built by read_split() */
};

/* One dot that an alias or an equal key links with others. */
struct read_node {
    uint32_t lane, seq; /* lane of the links' table */
    uint32_t parent;    /* of its class; itself at the root */
};

/* The profiles of a round: what is worth counting, and what belongs together. */
struct read_union {
    struct vector *plain;     /* single dots, less the weak ones */
    struct vector *suspects;  /* dots of both kinds that disks of < W domains hold (A9d) */
    struct read_node *nodes;  /* sorted by (lane, seq) */
    uint32_t node_count;
    uint32_t *members;        /* nodes, class by class; [node_count] */
    bool *strong;             /* of node i, when it is a root: its class is counted */
};

/* Form the union of `count` replies. `need`: domains that must hold a dot or class for it to be
 * counted (0 as 1); `quorum`: below it a dot is suspect. *u must be all-zero. ERR_NOMEM. */
int read_union_make(struct read_union *u, const struct read_disk *disks, uint32_t count,
                    const struct aliases *links, uint32_t need, uint32_t quorum);
void read_union_reset(struct read_union *u);

/* Root of node i. */
uint32_t read_union_root(const struct read_union *u, uint32_t i);

/* The class that begins at members[at]: where the next one begins. */
uint32_t read_union_class_end(const struct read_union *u, uint32_t at);

/* Give every dot of `todo` to one of the disks that hold it: add it to the disk's `given`
 * (5.4). Dots that nobody holds are left. ERR_NOMEM. */
int read_split(struct read_disk *disks, uint32_t count, const struct vector *todo);

/* Give every strong class, with all of its dots that the disk holds, to one disk. ERR_NOMEM. */
int read_split_classes(struct read_disk *disks, uint32_t count, const struct read_union *u,
                       const struct aliases *links);

/* A key, and the index of the disk that said it. */
struct read_said {
    struct read_key key;
    uint32_t disk;
};

/* The keys of the suspects. All-zero is empty. */
struct read_keys {
    struct read_said *list;
    uint32_t count, cap;
    struct aliases *lanes;  /* owns the names of the lanes, one entry per key */
    struct read_key *find;  /* what read_keys_for() made last */
};

/* Add one, at most READ_KEYS_MAX. ERR_LIMIT, ERR_NOMEM, ERR_INVAL (its dot). */
int read_keys_add(struct read_keys *k, const struct read_key *key, uint32_t disk);

/* All keys are there: sort them and link the dots of equal ones. ERR_NOMEM. */
int read_keys_join(struct read_keys *k, struct aliases *links);

/* Link the dot of `key`, which somebody found, with ours of the same key. After
 * read_keys_join(). ERR_NOMEM, ERR_INVAL. */
int read_keys_link(const struct read_keys *k, const struct read_key *key, struct aliases *links);

/* Make k->find the keys that others than `disk` said. After read_keys_join(). ERR_NOMEM. */
int read_keys_for(struct read_keys *k, uint32_t disk, uint32_t *count);

void read_keys_reset(struct read_keys *k);

#endif
