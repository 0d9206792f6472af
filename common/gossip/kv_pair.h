/* gossip/kv_pair.h - dskit's KeyValuePair: how one key travels, alone in a user message or in a
 * row of them in a push/pull.
 *
 * proto/gossip/kv.proto, through nanopb. Strings are borrowed, of any length, and may be the
 * bytes of anything; unknown fields are skipped, except groups, which no proto3 message has.
 * Pure; any thread. Tests: tests/unit/gossip/test_kv.c; fuzz: tests/fuzz/fuzz_kv.c. */
#ifndef GOSSIP_KV_PAIR_H
#define GOSSIP_KV_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

struct kv_pair {
    struct str key;
    struct str value;
    struct str codec;
    bool deleted;
    wall_ms update_ms; /* 0: not known */
};

/* Append the message; zero fields are left out. */
void kv_pair_put(struct buf *out, const struct kv_pair *p);

/* Read one whole message. ERR_PARSE with *p unspecified. */
int kv_pair_get(struct kv_pair *p, struct str bytes);

/* Append `u32 length || message`, as a push/pull has it. */
void kv_pair_put_framed(struct buf *out, const struct kv_pair *p);

/* Take the next framed message off *in. 1: *p is set; 0: the end; ERR_PARSE. */
int kv_pair_next(struct str *in, struct kv_pair *p);

#endif
