/* ring/member_priv.h - whom a member introduces itself to. Only for common/ring. */
#ifndef RING_MEMBER_PRIV_H
#define RING_MEMBER_PRIV_H

#include "ring/member.h"

/* An address that we introduce ourselves to. */
struct member_target {
    char *instance, *addr; /* ours */
    size_t instance_size, addr_size;
    uint64_t call;  /* token of the call under way, or 0; never used again */
    bool in_ring;   /* of the present view */
    bool in_roster; /* a disk of the roster is there */
    bool wanted;    /* send as soon as possible */
    bool told;      /* it has said ok to what we are now */
    bool fresh;     /* its last answer: ok, and knows no established disk */
    bool send_now;  /* decided; member_next() hands it out */
};

/* At most MEMBER_TARGETS_MAX, one per address. All-zero is empty. */
struct member_targets {
    struct member_target *list;
    uint32_t count, cap;
};

/* The target at an address, or NULL. */
struct member_target *member_target_at(struct member_targets *t, struct str addr);

/* The target whose call under way has this token, or NULL. */
struct member_target *member_target_called(struct member_targets *t, uint64_t token);

/* The target of an address, made if need be, wanted then. An instance that took an address over
 * is another target: the old one's answers say nothing about it. ERR_LIMIT, ERR_NOMEM. */
int member_target_add(struct member_targets *t, struct str instance, struct str addr,
                      struct member_target **out);

/* Forget the targets that neither ring nor roster has. */
void member_targets_sweep(struct member_targets *t);

/* Release everything; empty again. */
void member_targets_reset(struct member_targets *t);

#endif
