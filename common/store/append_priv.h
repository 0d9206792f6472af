/* store/append_priv.h - a push on its way into the log, between its planning (append_plan.c: what
 * is new in it) and its doing (append_run.c: interning, records, waiting).
 *
 * Only for those two. */
#ifndef STORE_APPEND_PRIV_H
#define STORE_APPEND_PRIV_H

#include "store/row.h"
#include "store/store_priv.h"

enum fate { FATE_ROW, FATE_KNOWN, FATE_REPEAT };

/* One profile of the push. */
struct item {
    const struct form_profile *p;
    uint64_t stream_hash;
    enum fate fate;
    struct head_stream *stream; /* of the open head, once it is needed */
    struct lane_name row_lane;  /* of a repeat: the dot of its row */
    uint32_t row_seq;
    struct head_alias alias;    /* of a repeat, in the open head's numbers */
    size_t at;                  /* of a row: where its entry is in the group's bytes */
    uint32_t length;
    struct row_put made;
};

/* The profiles of one service. */
struct group {
    struct str service;
    struct shelf *shelf;
    const struct form *form;
    struct form own; /* when the push has several services */
    struct buf own_bytes;
    struct item *items;
    uint32_t count, rows, repeats;
    struct head_partition *partition;
    struct buf bytes; /* entries, one behind the other */
};

struct push {
    struct store *s;
    struct gen *g;
    struct str tenant_name;
    struct store_tenant *tenant;
    struct head_tenant *head_tenant;
    struct arena *arena;
    struct form form;
    struct group *groups;
    uint32_t group_count;
    uint32_t *lanes; /* the open head's number of each lane of the form; UINT32_MAX: not needed */
    const struct vector *complete;
    struct vector *cover;   /* what of `complete` is to be logged */
    uint32_t *cover_lanes;  /* the open head's numbers of its lanes */
    struct waiter *waiter;
    uint32_t locked;        /* groups whose shelf is locked */
    bool put_any;
    struct err *err;
};

static inline struct lane_name form_lane_name(const struct form_lane *l)
{
    return (struct lane_name){l->writer, l->instances, l->count};
}

/* What to say when the open generation is no longer that of the push. Under log_lock. */
int push_ended_code(const struct store *s);

/* Names that no vector can keep as a lane, or no log record as a stream: ERR_PARSE, ERR_LIMIT. */
int push_check(struct push *p);

/* Divide the opened form by service, and find the shelves, in the order of their ids. ERR_LIMIT,
 * ERR_NOMEM, ERR_PARSE. */
int push_divide(struct push *p);

/* Decide for every profile whether it is a row, known, or a repeat. The shelves are locked, so
 * that nobody adds a row with one of these keys meanwhile. ERR_NOMEM; ERR_IO, ERR_NOSPC: the
 * generation has ended. */
int push_judge(struct push *p);

/* `cover`: `complete` less what was known before and less this push's repeats. As push_judge(). */
int push_plan_cover(struct push *p);

#endif
