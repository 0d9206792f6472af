/* base/rng.h - a seeded generator of pseudo-random numbers: same seed, same numbers, everywhere.
 *
 * Pure: cores take a `struct rng *` that their driver or the simulator seeded. Not for secrets.
 * Algorithm: xoshiro256** seeded by splitmix64 (Blackman and Vigna, 2018). One owner thread.
 * Tests: tests/unit/base/test_rng.c. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* Start the sequence of `seed`; any value is fine. */
void rng_seed(struct rng *r, uint64_t seed);

/* Next 64 random bits. */
uint64_t rng_u64(struct rng *r);

/* Next 32 random bits. */
uint32_t rng_u32(struct rng *r);

/* A uniform number in [0, n). Requires n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

/* True with probability num/den. Requires 0 < den. */
bool rng_chance(struct rng *r, uint32_t num, uint32_t den);

/* Fill `size` bytes. */
void rng_bytes(struct rng *r, void *out, size_t size);

#endif
