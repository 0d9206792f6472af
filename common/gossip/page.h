/* gossip/page.h - what /memberlist answers: the cluster as JSON in dskit's schema, and the value
 * of a key to look at or to take away.
 *
 * Follows grafana/dskit kv/memberlist/http_status_handler.go. Reads the core: on its thread.
 * Tests: tests/unit/gossip/test_page.c. */
#ifndef GOSSIP_PAGE_H
#define GOSSIP_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "gossip/kv_history.h"

struct gossip_core;

/* Append the whole page as JSON. */
void gossip_page_json(struct gossip_core *core, wall_ms now, struct buf *out);

/* A message's number on the page: dskit counts both directions in one row, kv_history each in its
 * own. */
static inline uint64_t gossip_page_number(enum kv_direction d, uint64_t id)
{
    return 2 * id + (d == KV_RECEIVED);
}

/* Append the value in a message of the history, as gossip_page_view() does. ERR_NOENT ("message not
 * found", or its codec is not known), ERR_PARSE (the value cannot be read), ERR_NOMEM. */
int gossip_page_message(struct gossip_core *core, uint64_t number, bool pretty, struct buf *out);

/* Append the value of a key as JSON, tombstones included, on one line or indented by four.
 * ERR_NOENT ("value not found"), ERR_NOMEM. */
int gossip_page_view(struct gossip_core *core, struct str key, bool pretty, struct buf *out);

/* Append the value of a key as its codec's bytes; *version is for the file's name, which is
 * <version>-<key>. ERR_NOENT, ERR_NOMEM. */
int gossip_page_download(struct gossip_core *core, struct str key, uint64_t *version,
                         struct buf *out);

#endif
