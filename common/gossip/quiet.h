/* gossip/quiet.h - log lines that are not repeated: one for each cause and place in a while.
 *
 * What comes in wrong comes in again and again, from each peer of its kind; who reads the log
 * wants each cause once with its address. The addresses are what the peers say, so a flood of
 * made-up ones is bounded too. Value type; all-zero is ready. Pure; one owner thread.
 * Tests: tests/unit/gossip/test_diag.c. */
#ifndef GOSSIP_QUIET_H
#define GOSSIP_QUIET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "gossip/addr.h"

enum {
    QUIET_PLACES = 64,      /* causes and places remembered at a time */
    QUIET_MS = 600000,      /* between two lines of one cause and place */
    QUIET_WINDOW_MS = 60000,
    QUIET_WINDOW_LINES = 20, /* of all causes, in one window */
};

struct diag_quiet {
    struct diag_quiet_place {
        uint64_t key; /* 0: free */
        mono_ms until;
        uint64_t left_out;
    } places[QUIET_PLACES];
    mono_ms window_end;
    uint32_t lines;
    uint64_t left_out; /* that found no place */
};

/* True when a line about `cause` at `where` (may be NULL: nowhere in particular) may be logged
 * now; *left_out gets how many were not since the last. */
bool diag_quiet_pass(struct diag_quiet *q, uint32_t cause, const struct gossip_addr *where,
                     mono_ms now, uint64_t *left_out);

#endif
