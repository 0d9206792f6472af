/* ring/readplan_priv.h - what the files of a read plan share. Only for common/ring. */
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
 * (A8c). Dots that nobody holds are left. ERR_NOMEM. */
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

/* Release everything; empty again. */
void read_keys_reset(struct read_keys *k);

/* --- the machine, for readplan.c, readplan_gather.c and readplan_judge.c --------------------- */

enum read_phase { GATHER, KEYS_OF, KEYS_FIND, COUNT, DONE };
enum read_call { TO_SEND, SENT, ANSWERED, FAILED };

/* Somebody to ask for a vector: an instance of the ring, or the disk of a roster. */
struct read_target {
    char *names; /* holds the three */
    struct str instance, addr, domain;
    bool listed; /* by the ring view */
    bool lazy;
    enum read_call state;
    uint32_t call;
};

/* A Keys or Count to disk `disk` of the round. */
struct read_part {
    uint32_t disk, call;
    enum read_call state;
};

struct readplan {
    struct read_config config;
    struct roster *roster; /* all merged */
    struct read_target *peers;
    uint32_t peer_count, peer_cap;
    uint32_t next_call, round;
    enum read_phase phase;
    mono_ms since; /* the phase began */
    bool restart, last;

    struct read_disk *disks; /* that replied in this round */
    uint32_t disk_count, disk_cap;
    struct disk_id *slow; /* disks that let a part fail or wait */
    uint32_t slow_count;
    struct aliases *links; /* aliases of the round, then equal keys */
    struct read_union found;
    struct read_part *parts;
    uint32_t part_count, part_answered;
    struct read_keys keys;
    bool repeats_unsure;
    struct read_verdict verdict;
};

/* W. */
uint32_t read_quorum(const struct readplan *p);

/* Room for one more in an array of `stride` bytes each. ERR_NOMEM. */
int read_reserve(void **array, uint32_t count, uint32_t *cap, size_t stride);

/* Copy three names into one piece of memory, to which they then point. NULL: no memory. */
char *read_copy_names(struct str *a, struct str *b, struct str *c);

/* Somebody more to ask. ERR_INVAL, ERR_LIMIT, ERR_NOMEM. */
int read_target_add(struct readplan *p, struct str instance, struct str addr, struct str domain,
                    bool listed, bool lazy);

/* Ask every disk of the roster too, once per address (A8). ERR_LIMIT, ERR_NOMEM. */
int read_targets_of_roster(struct readplan *p);

/* The target whose call it is, or NULL. */
struct read_target *read_target_called(struct readplan *p, uint32_t call);

/* Nobody whom waiting could still bring is missing (A8b). */
bool read_all_here(const struct readplan *p);

/* Take a reply into the round. ERR_STALE (its disk has replied), or as readplan_replied(). */
int read_take_reply(struct readplan *p, const struct read_reply *r, struct str addr);

/* A disk let a part fail or wait: others go first in the next rounds. */
void read_mark_slow(struct readplan *p, struct disk_id id);

/* Distinct domains of the silent disks of this round (A8a); v (may be NULL) names them. */
uint32_t read_silent_domains(const struct readplan *p, struct read_verdict *v);

/* End with `rc` and the verdict of this round (A8e); only the first call does. */
void read_finish(struct readplan *p, int rc);

#endif
