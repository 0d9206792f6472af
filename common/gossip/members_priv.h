/* gossip/members_priv.h - what the files of the table share: members.c (the table and its rules),
 * members_name.c (names taken twice), members_suspicion.c (how long an accusation runs). */
#ifndef GOSSIP_MEMBERS_PRIV_H
#define GOSSIP_MEMBERS_PRIV_H

#include "base/map.h"
#include "gossip/members.h"
#include "gossip/quiet.h"

enum {
    CONFIRMATIONS_MAX = 8,
    SILENCES_MAX = 16,        /* that prolong one accusation: who knocks now and then must not keep
                                 the dead alive */
    RENAMES_MAX = 16,         /* in one life */
    RENAME_EVERY_MS = 10000,
    FULL_REAP_MS = 1000,      /* between looks for places in a full table */
    FULL_LOG_MS = 60000,
    NAMESAKE_MS = 600000,     /* a namesake that stays as long cannot take another name */
    YOUNG_MS = 60000,         /* a newcomer gives way to whoever had the name */
};

/* A running accusation: its time shrinks with every independent confirmation. */
struct suspicion {
    mono_ms start, due;
    uint32_t min_ms, max_ms;
    uint32_t need, have;               /* confirmations that still shorten it; so far */
    uint32_t silences;                 /* that prolonged it */
    uint64_t from[CONFIRMATIONS_MAX + 1]; /* hashes of who accused */
};

struct members {
    struct members_config cfg;
    struct bcast *queue;
    struct rng *rng;
    const struct log *log;
    struct map *by_name;
    struct member **list; /* probe order */
    size_t count, cap;
    size_t suspects; /* with a running suspicion */
    struct member *self;
    bool leaving;
    mono_ms born, next_rename;
    mono_ms namesake_since, namesake_last; /* when we heard of one, again and again */
    struct str base_name;           /* ours, as configured; borrowed from one of the two below */
    struct msg_accuse former[RENAMES_MAX]; /* farewells to names that we had; names owned, since
                                              others borrow them */
    size_t renames;
    uint32_t awareness;
    mono_ms heard; /* when something came in last */
    char accuser[64]; /* start of the name of who accused us last */
    struct members_stats stats;
    struct quiet quiet;
    struct log_rate full_rate;
    mono_ms next_full_reap;
};

/* Queue a message about a member under `name`, an accusation, what we are now. ERR_NOMEM. */
int member_announce(struct members *m, struct str name, const struct buf *msg, uint64_t *id);
int member_announce_accuse(struct members *m, bool dead, const struct msg_accuse *s,
                           uint64_t *id);
int member_announce_self(struct members *m);

/* Count and log that n's name is announced from another address. */
void member_log_conflict(struct members *m, const struct member *n, const struct gossip_addr *to,
                         mono_ms now);

/* Who lives where `n` is known to be goes by another name now. */
bool member_address_is_anothers(const struct members *m, const struct member *n);

/* Begin, confirm, end the accusation of a member. ERR_NOMEM; false: the accuser is not new. */
int member_suspicion_start(struct members *m, struct member *n, struct str from, mono_ms now);
bool member_suspicion_confirm(struct suspicion *s, struct str from);
void member_suspicion_end(struct members *m, struct member *n);

#endif
