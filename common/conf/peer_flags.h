/* conf/peer_flags.h - the names of Pyroscope's options, so that its users can keep command
 * lines and configuration files: what we do not implement is accepted and has no effect.
 *
 * Names only, of Pyroscope's -help-all and reference page as of August 2026. Pure; any thread.
 * Tests: tests/unit/conf/test_peer_flags.c. */
#ifndef CONF_PEER_FLAGS_H
#define CONF_PEER_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct peer_flag {
    const char *flag; /* without dash; NULL: only in YAML */
    const char *key;  /* dotted path; NULL: only a flag */
    bool is_bool;     /* the flag takes no argument */
};

/* All rows, ordered by flag. */
extern const struct peer_flag peer_flags[];
extern const size_t peer_flags_count;

/* The row of a flag, or NULL. */
const struct peer_flag *peer_flag_find(struct str flag);

enum peer_key { PEER_KEY_NONE, PEER_KEY_INSIDE, PEER_KEY_WHOLE };

/* What a YAML path is to Pyroscope: nothing, a mapping that holds known keys, or an option. */
enum peer_key peer_key_find(struct str path);

#endif
