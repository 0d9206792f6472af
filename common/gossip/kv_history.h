/* gossip/kv_history.h - the last messages of the key-value store in each direction, for whoever
 * has to find out what a cluster tells itself. Off unless -memberlist.message-history-buffer-bytes
 * is set. Shown by /memberlist.
 *
 *   size_t at = 0;
 *   struct kv_message m;
 *   while (kv_history_next(kv_messages(kv), KV_RECEIVED, &at, &m)) ...    oldest first
 *
 * Pure; one owner thread (the loop's). Tests: tests/unit/gossip/test_kv_history.c. */
#ifndef GOSSIP_KV_HISTORY_H
#define GOSSIP_KV_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/time.h"
#include "gossip/kv_pair.h"

enum kv_direction { KV_SENT, KV_RECEIVED };

struct kv_history;

/* One message; everything is borrowed until the next one is added. */
struct kv_message {
    wall_ms at;
    uint64_t id;        /* counts from 1 in each direction */
    size_t size;        /* bytes of the pair on the wire */
    struct kv_pair pair;
    uint64_t version;   /* of the key after it here; 0: it changed nothing */
    struct str changes; /* names that it changed, comma-separated */
};

/* Keep up to `bytes_max` bytes in each direction, the bookkeeping counted; 0: keep nothing.
 * ERR_NOMEM with *out untouched. */
int kv_history_init(struct kv_history **out, size_t bytes_max);
void kv_history_free(struct kv_history **h); /* NULL-safe; leaves *h NULL */

/* True when messages are kept, so that the caller need not prepare them otherwise. */
bool kv_history_is_on(const struct kv_history *h);

/* The most bytes kept in each direction. */
size_t kv_history_max(const struct kv_history *h);

/* Keep a copy of the message whose pair is `msg`; the oldest ones go. What is longer than the
 * whole history, or finds no memory, is not kept. */
void kv_history_add(struct kv_history *h, enum kv_direction d, wall_ms at, struct str msg,
                    uint64_t version, struct str changes);

/* Walk one direction, oldest first: start with *at = 0. False: no more. */
bool kv_history_next(const struct kv_history *h, enum kv_direction d, size_t *at,
                     struct kv_message *out);

/* Messages kept in one direction. */
size_t kv_history_count(const struct kv_history *h, enum kv_direction d);

/* Forget all, in both directions. */
void kv_history_clear(struct kv_history *h);

#endif
