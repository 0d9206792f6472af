/* gossip/quiet.h - log lines that are not repeated: one for each peer and cause in a while.
 *
 * What comes in wrong comes in again and again; who reads the log wants each cause once, with its
 * address. The addresses are what peers say they are, so a flood of made-up ones is bounded too.
 * Value type; all-zero is ready. Pure; one owner thread. Tests: tests/unit/gossip/test_quiet.c. */
#ifndef GOSSIP_QUIET_H
#define GOSSIP_QUIET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/time.h"
#include "gossip/addr.h"

enum { QUIET_ENTRIES = 64, QUIET_MS = 600000, QUIET_OTHERS_MS = 60000 };

struct quiet {
    struct quiet_entry {
        uint8_t ip[16];
        const char *cause;
        struct log_rate rate;
    } entries[QUIET_ENTRIES];
    struct log_rate others;
};

/* May a line about `peer` be written now? Once in QUIET_MS for each peer (its port does not
 * matter) and cause (a static text, told apart by its address); when too many peers give cause,
 * one line a minute for the rest. *left_out gets how many were left out since. */
bool quiet_pass(struct quiet *q, const struct gossip_addr *peer, const char *cause, mono_ms now,
                uint64_t *left_out);

#endif
