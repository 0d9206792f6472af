/* wire/hash.h - the hashes and checksums that stand on a wire or in a file.
 *
 * For tables in memory use str_hash(). Pure; any thread; no allocation.
 * Tests: tests/unit/wire/test_hash.c; speed: tests/bench/bench_wire.c. */
#ifndef WIRE_HASH_H
#define WIRE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { MD5_SIZE = 16 };

#define FNV1_32_START 2166136261u

/* FNV-1 (multiply, then xor), 32 bits: the ring's tokens. Goes on from h; begin with
 * FNV1_32_START. */
uint32_t hash_fnv1_32(uint32_t h, struct str s);

/* CRC-32 of gzip and zlib (IEEE), memberlist's packets. Goes on from crc; begin with 0. */
uint32_t hash_crc32(uint32_t crc, struct str s);

/* CRC-32C (Castagnoli): log and blocks. Goes on from crc; begin with 0. By the processor's own
 * instruction where it has one. */
uint32_t hash_crc32c(uint32_t crc, struct str s);

/* The same without that instruction, for machines and tests. */
uint32_t hash_crc32c_portable(uint32_t crc, struct str s);

/* XXH64 and XXH3 (64 bits). */
uint64_t hash_xxh64(struct str s, uint64_t seed);
uint64_t hash_xxh3(struct str s, uint64_t seed);

/* XXH64 of bytes that come in pieces: begin, add any number of times, end. */
struct hash_xxh64 {
    uint64_t opaque[11];
};
void hash_xxh64_begin(struct hash_xxh64 *h, uint64_t seed);
void hash_xxh64_add(struct hash_xxh64 *h, struct str s);
uint64_t hash_xxh64_end(const struct hash_xxh64 *h);

/* MD5: tokens and names that peers derive from it, never for safety. */
void hash_md5(struct str s, uint8_t out[MD5_SIZE]);

#endif
