/* gossip/msgpack.h - the dialect of msgpack that memberlist speaks: the old "raw" specification.
 *
 * Strings and byte slices are both fixraw/raw16/raw32; Go's signed ints skip int8 for positives;
 * str8 and bin are never written but are read. The reader borrows from its input, allocates
 * nothing, and tells "more bytes needed" from "never valid". Follows hashicorp/go-msgpack with a
 * zero handle. Pure; any thread. Tests: tests/unit/gossip/test_msgpack.c. */
#ifndef GOSSIP_MSGPACK_H
#define GOSSIP_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Writers append to `out`; failure is sticky there. */
void mp_put_map(struct buf *out, uint32_t pairs);
void mp_put_nil(struct buf *out);
void mp_put_bool(struct buf *out, bool v);
void mp_put_raw(struct buf *out, struct str s);
void mp_put_uint(struct buf *out, uint64_t v); /* a Go unsigned field: smallest unsigned form */
void mp_put_int(struct buf *out, int64_t v);   /* a Go int field: fixnum, int16, int32, int64 */

/* A read position. `status` is sticky: 0, ERR_AGAIN (the input ended too early) or ERR_PARSE. */
struct mp_reader {
    const uint8_t *at, *end;
    int status;
    uint32_t skipped; /* values stepped over; a reader of bodies sets it back with each */
};

/* Start at the first byte of `in`, which must outlive the reader. */
static inline struct mp_reader mp_reader_of(struct str in)
{
    const uint8_t *p = (const uint8_t *)in.data;
    return (struct mp_reader){p, p == NULL ? NULL : p + in.len, 0, 0};
}

/* Number of pairs of a map; nil is an empty one. 0 after a failure. */
uint32_t mp_get_map(struct mp_reader *r);

/* Bytes of a raw, str or bin value; nil gives data NULL. Borrowed from the input. */
struct str mp_get_raw(struct mp_reader *r);

/* Any integer form with a value in 0..max; nil is 0. ERR_PARSE in status otherwise. */
uint64_t mp_get_uint(struct mp_reader *r, uint64_t max);

/* Any integer form that fits into int64; nil is 0. */
int64_t mp_get_int(struct mp_reader *r);

/* true or false; nil is false. */
bool mp_get_bool(struct mp_reader *r);

/* Step over one value of any type. Containers are walked without recursion; more than
 * MP_SKIP_ITEMS_MAX values, added up in `skipped`, are ERR_PARSE: what is read of a stream is read
 * anew with every piece of it that comes, so it has to be little. */
enum { MP_SKIP_ITEMS_MAX = 256 };
void mp_skip(struct mp_reader *r);

#endif
