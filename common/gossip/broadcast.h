/* gossip/broadcast.h - a queue of messages that are sent to a limited number of members each.
 *
 * Whoever sends a packet takes what fits: messages that were sent least often first, among those
 * the longer ones, then the newer ones. A message leaves the queue after `limit` sends, or when a
 * newer one replaces it. Follows hashicorp/memberlist queue.go and, for changes of a key, dskit's
 * kv/memberlist/broadcast.go. Pure; one owner thread. Tests: tests/unit/gossip/test_broadcast.c. */
#ifndef GOSSIP_BROADCAST_H
#define GOSSIP_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct bcast;

/* An empty queue. ERR_NOMEM with *out untouched. */
int bcast_init(struct bcast **out);
void bcast_free(struct bcast **q); /* NULL-safe; leaves *q NULL */

/* Queue a copy of `msg`, which replaces a queued one of the same name. *id (may be NULL) gets a
 * number by which bcast_has() knows it. ERR_NOMEM: nothing queued or replaced. */
int bcast_put(struct bcast *q, struct str name, struct str msg, uint64_t *id);

/* Queue a copy of `msg`, the change of `key` that made `version`, touching the names
 * names[0..count). It replaces queued changes of the key whose version is not newer and whose
 * names are all among these. ERR_NOMEM: nothing queued or replaced. */
int bcast_put_change(struct bcast *q, struct str key, uint64_t version, const struct str *names,
                     size_t count, struct str msg);

/* Keep at most `bytes` of messages: those sent most often go first, among these the shortest. For
 * whoever has nobody to send to, and is told without end. */
void bcast_prune(struct bcast *q, size_t bytes);

/* A message to be sent; valid during the call. */
typedef void (*bcast_fn)(void *arg, struct str msg);

/* Hand out messages whose sizes, with `overhead` bytes added to each, sum up to at most `budget`,
 * and count one send for each; those sent `limit` times leave. Returns the bytes used. */
size_t bcast_take(struct bcast *q, size_t budget, size_t overhead, uint32_t limit, bcast_fn fn,
                  void *arg);

/* True while the message is queued: neither sent out nor replaced. */
bool bcast_has(const struct bcast *q, uint64_t id);

size_t bcast_count(const struct bcast *q); /* messages */
size_t bcast_bytes(const struct bcast *q); /* sum of their sizes */

/* memberlist's limit: factor x ceil(log10(members + 1)). */
uint32_t bcast_limit(uint32_t factor, size_t members);

#endif
