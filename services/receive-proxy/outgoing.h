/* receive-proxy/outgoing.h - a request to a receiver, written once and sent byte for byte the
 * same by every attempt, to every endpoint, and out of the queue: what makes sending twice
 * harmless to a receiver that knows profiles by their content.
 *
 * Without what belongs to an endpoint (base URL, its headers, authorization, deadline).
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_outgoing.c; fuzz:
 * tests/fuzz/fuzz_receive-proxy_record.c. */
#ifndef RECEIVE_PROXY_OUTGOING_H
#define RECEIVE_PROXY_OUTGOING_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "flow.h"

struct arena;

struct outgoing {
    enum flow_kind kind;
    struct str target; /* path and query behind the base URL */
    const struct http_field *headers;
    size_t header_count;
    struct str body;
    uint64_t bytes;    /* of profiles, for counters */
    uint64_t profiles; /* number of profiles */
};

/* Write the request of an item whose final labels are `set`. Headers of the item go along when
 * `forward`. In the arena; an ingest's body is borrowed. ERR_NOMEM, ERR_LIMIT. */
int outgoing_make(const struct flow_item *item, struct labels set, bool forward,
                  struct arena *a, struct outgoing *out);

/* Append it as it waits in a queue: u8 kind, then varints and strings (varint length, bytes):
 * target, bytes, profiles, number of headers, name and value of each, body. */
void outgoing_put(const struct outgoing *o, struct buf *out);

/* Read it again; headers are in the arena, all else is borrowed. ERR_PARSE, ERR_NOMEM. */
int outgoing_read(struct str bytes, struct arena *a, struct outgoing *out);

#endif
