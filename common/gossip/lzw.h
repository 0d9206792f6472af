/* gossip/lzw.h - the LZW dialect of Go's compress/lzw, least significant bit first, 8-bit
 * literals: what memberlist compresses with by default.
 *
 * GIF-style, not TIFF: codes 0..255 are literals, 256 clears, 257 ends, widths grow from 9 to 12.
 * The encoder gives exactly Go's bytes. Pure; any thread. Tests: tests/unit/gossip/test_lzw.c;
 * fuzz: tests/fuzz/fuzz_lzw.c. */
#ifndef GOSSIP_LZW_H
#define GOSSIP_LZW_H

#include "base/buf.h"
#include "base/str.h"

/* Append the compressed form of `in` to out. ERR_NOMEM, ERR_LIMIT (out's own limit). */
int lzw_encode(struct buf *out, struct str in);

/* Append what `in` decompresses to. Bytes behind the end code are ignored, as Go does.
 * ERR_PARSE (a code out of range, input that ends before the end code), ERR_LIMIT (out->limit
 * would be passed: set it, a packet may be a bomb), ERR_NOMEM. */
int lzw_decode(struct buf *out, struct str in);

#endif
