/* gossip/gossip_uv.h - a running member: the core of gossip/core.h on an event loop with dskit's
 * transport. What services and the ring use.
 *
 *   gossip_init(&g, loop, &config, &log, metrics, &err);   listens; before the loop runs
 *   gossip_register(g, &ring_codec);
 *   gossip_watch(g, STR("collectors/ring"), on_ring, me);
 *   gossip_start(g, &err);                                 joins, in the background
 *   ... on the loop's thread: gossip_cas(g, key, "ringDesc", edit, me); gossip_get(g, key)
 *   ... from any other thread: loop_call(loop, ...) or gossip_cas_from(), gossip_status()
 *   gossip_stop(g, on_stopped, me);                        tells our changes, leaves
 *   gossip_free(&g);
 *
 * Watchers are called on the loop's thread with a borrowed value that may be read for the call;
 * they may change keys. Unless said otherwise a function is for the loop's thread (or any thread
 * before the loop runs). Driver: no decisions live here.
 * Tests: tests/unit/gossip/test_gossip_uv.c, tests/interop/test_gossip.py. */
#ifndef GOSSIP_GOSSIP_UV_H
#define GOSSIP_GOSSIP_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "gossip/addr.h"
#include "gossip/codec.h"
#include "gossip/config.h"
#include "gossip/kv.h"

struct gossip;
struct gossip_core;
struct log;
struct loop;
struct metrics;

/* A member that listens, but speaks to nobody yet. Where the address to announce depends on a name
 * of the join list it turns the loop for up to three seconds, so nobody may be on the loop who must
 * not be called yet. config (validated), log and loop must outlive
 * it; metrics (may be NULL) too. ERR_EXIST (address in use), ERR_INVAL, ERR_IO, ERR_NOMEM with
 * *out untouched. */
int gossip_init(struct gossip **out, struct loop *loop, const struct gossip_config *config,
                const struct log *log, struct metrics *metrics, struct err *err);

/* Understand values of `codec` (static). Before gossip_start(). ERR_NOMEM, ERR_EXIST. */
int gossip_register(struct gossip *g, const struct kv_codec *codec);

/* Call fn after every change of `key`, several at once as one, and once soon if it has a value.
 * ERR_NOMEM, ERR_INVAL. */
int gossip_watch(struct gossip *g, struct str key, kv_watch_fn fn, void *arg);

/* Begin to join, which goes on in the background until it succeeds, for ever. ERR_NOMEM. */
int gossip_start(struct gossip *g, struct err *err);

/* Have fn called, once, when joining has failed and -memberlist.abort-if-... says that this is to
 * end the process. Before gossip_start(). */
void gossip_on_failure(struct gossip *g, void (*fn)(void *arg, const char *why), void *arg);

/* The value of a key, tombstones included; NULL: none. Borrowed until the loop's next turn or the
 * next change. */
const void *gossip_get(const struct gossip *g, struct str key);

/* Edit a key; see kv_cas() for the edit and the result: 0, ERR_AGAIN (nothing changed by the
 * rules of the merge: try again a second later), ... Watchers hear of it soon, not within. Codecs
 * merge by whole seconds, so an entry must carry a time that is newer than before. */
int gossip_cas(struct gossip *g, struct str key, const char *codec, kv_edit_fn edit, void *arg);

/* As gossip_cas(), from a thread that is not the loop's; waits for the loop, which calls edit. */
int gossip_cas_from(struct gossip *g, struct str key, const char *codec, kv_edit_fn edit,
                    void *arg);

/* How it stands. */
struct gossip_status {
    bool joined; /* somebody of the join list was reached, or it names nobody but us */
    uint32_t reached, seeds; /* entries of the join list: "joined N of M" */
    uint32_t members;      /* alive and suspect ones, ourselves included */
    uint32_t health;       /* 0: well */
};

/* Any thread, without waiting. */
void gossip_status(const struct gossip *g, struct gossip_status *out);

/* "joined 1 of 3, waiting for dns+a:7946 (NXDOMAIN: no such name), 10.0.0.5:7946 (no answer to
 * gossip)" into buf; for /ready and logs. */
void gossip_status_text(const struct gossip *g, struct buf *out);

/* Packets on the wire since the start, whatever is in them. Loop's thread. */
struct gossip_packets {
    uint64_t sent, sent_bytes, received, received_bytes, failed;
};
struct gossip_packets gossip_packets(const struct gossip *g);

/* What we announce, and under which name. Any thread. */
struct gossip_addr gossip_self(const struct gossip *g);
struct str gossip_name(const struct gossip *g);

/* The core, for pages. Loop's thread. */
struct gossip_core *gossip_core_of(struct gossip *g);

/* Tell our changes and leave; then `done` is called, once, at most the two timeouts later. Own
 * changes after this are not told. done may be NULL. */
void gossip_stop(struct gossip *g, void (*done)(void *arg), void *arg);

/* Release. Without gossip_stop() before, it is like a crash: others find out by probing. The loop
 * must turn once more before it is freed. NULL-safe; leaves *g NULL. */
void gossip_free(struct gossip **g);

#endif
