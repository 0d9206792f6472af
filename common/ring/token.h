/* ring/token.h - tokens: points of a member on the ring, their choice and their file.
 *
 * The file keeps a member's place over restarts. Its format is dskit's: {"tokens":[1,2,3]}.
 * Pure; any thread. Driver: token_run.h. Tests: tests/unit/ring/test_token.c; fuzz:
 * fuzz_ring.c. */
#ifndef RING_TOKEN_H
#define RING_TOKEN_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct ring_desc;
struct rng;

/* Sorted, no two alike. All-zero is empty. */
struct ring_tokens {
    uint32_t *all;
    uint32_t count;
};

/* Give the memory back; empty afterwards. */
void ring_tokens_reset(struct ring_tokens *t);

/* *out becomes a sorted copy without repetitions of `count` tokens. ERR_NOMEM, *out untouched. */
int ring_tokens_copy(struct ring_tokens *out, const uint32_t *tokens, uint32_t count);

/* Add `count` random tokens that neither t nor a member of `taken` (may be NULL) has. At most
 * RING_TOKENS_MAX in all: ERR_LIMIT; ERR_NOMEM; t is unchanged on failure. */
int ring_tokens_add(struct ring_tokens *t, uint32_t count, const struct ring_desc *taken,
                    struct rng *rng);

/* Drop random ones until `count` are left: not the smallest, which would make ranges uneven. */
void ring_tokens_shrink(struct ring_tokens *t, uint32_t count, struct rng *rng);

/* The file's text, and back (sorted, repetitions dropped; null is an empty list). ERR_PARSE,
 * ERR_LIMIT, ERR_NOMEM with *out untouched. */
void ring_tokens_to_json(const struct ring_tokens *t, struct buf *out);
int ring_tokens_from_json(struct ring_tokens *out, struct str text, struct err *err);

/* The token of a write: FNV-1 32 over tenant id, a zero byte and service_name, so that all
 * series of a service are together. */
uint32_t ring_token_of(struct str tenant, struct str service);

#endif
