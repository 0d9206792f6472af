/* gossip/digest.h - the two checksums on the gossip wire: CRC-32 (IEEE 802.3) in memberlist's
 * frames, MD5 (RFC 1321) behind dskit's packets. Against accidents, not against attackers.
 *
 * Pure; any thread. Tests: tests/unit/gossip/test_digest.c. */
#ifndef GOSSIP_DIGEST_H
#define GOSSIP_DIGEST_H

#include <stdint.h>

#include "base/str.h"
#include "wire/hash.h" /* MD5_SIZE */

/* The checksum as memberlist frames it; 16 bytes of digest as dskit appends them. */
uint32_t digest_crc32(struct str bytes);
void digest_md5(struct str bytes, uint8_t out[MD5_SIZE]);

#endif
