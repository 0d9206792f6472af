/* disco/names.h - entries in, addresses out: which name to look up when, and what an answer means
 * for the addresses in force.
 *
 * An answer replaces an entry's addresses; "no such name" is an answer, and leaves none. A failure
 * (no server, SERVFAIL, time-out) says nothing: the last good answer stays. All names are looked up
 * again at intervals, failed ones sooner; several entries are looked up at a time. Answers that can
 * be nobody's (0.0.0.0, ::, multicast) are left out. Log lines say what changed, once.
 * Pure; one owner thread. Driver: disco/disco_uv.h. Tests: tests/unit/disco/test_names.c. */
#ifndef DISCO_NAMES_H
#define DISCO_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/time.h"
#include "disco/entry.h"

struct log;
struct names;

enum {
    NAMES_ENTRIES_MAX = 256,
    NAMES_ADDRS_MAX = 1024, /* of one entry; more are left out */
};

struct names_config {
    uint16_t default_port;                 /* 0: entries must name theirs */
    uint32_t refresh_ms;                   /* how often a good answer is looked up again; not 0 */
    uint32_t retry_min_ms, retry_max_ms;   /* after a failure or an empty answer; 0 < min <= max */
};

enum names_state {
    NAMES_PENDING, /* not answered yet */
    NAMES_FOUND,
    NAMES_EMPTY,  /* answered: no such name, no record, no address */
    NAMES_FAILED, /* the last look-up failed; addresses, if any, are those of the last good one */
};

/* One entry as it stands; borrowed until the next call that changes something. */
struct names_view {
    const char *text; /* as it was given */
    enum names_state state;
    const char *why; /* of EMPTY and FAILED, in words; "" otherwise */
    const struct addr *addrs; /* sorted, each once */
    size_t count;
};

/* A look-up to start: answer with names_answer(), in any order. */
struct names_ask {
    uint64_t tag;
    bool service;     /* SRV, else A and AAAA */
    const char *name; /* borrowed until the answer */
};

struct names_stats {
    uint64_t lookups, failures; /* of entries */
};

/* Without entries. rng and log (may be NULL) must outlive it. ERR_INVAL, ERR_NOMEM. */
int names_init(struct names **out, const struct names_config *config, struct rng *rng,
               const struct log *log);
void names_free(struct names **n); /* NULL-safe; leaves *n NULL */

/* Add an entry, or several with commas between them (blanks around are skipped, empty ones left
 * out). ERR_PARSE, ERR_LIMIT with a text; ERR_NOMEM; some may have been added. */
int names_add(struct names *n, struct str text, struct err *err);

/* The next look-up to start now. False: none. */
bool names_next(struct names *n, mono_ms now, struct names_ask *out);

/* When names_next() may have one, or MONO_NEVER. */
mono_ms names_due(const struct names *n);

/* The answer: code 0 with records, ERR_NOENT, or a failure; `why` is static. Unknown tags are
 * ignored. */
void names_answer(struct names *n, uint64_t tag, int code, const char *why,
                  const struct dns_records *records, mono_ms now);

/* Look up everything soon, except what was answered less than a second ago. */
void names_refresh(struct names *n, mono_ms now);

/* How things stand. The generation grows with every change of a state or of an address. */
size_t names_count(const struct names *n);
struct names_view names_at(const struct names *n, size_t i);
uint64_t names_generation(const struct names *n);
struct names_stats names_stats(const struct names *n);

/* True when every entry has been answered at least once, by whatever. */
bool names_settled(const struct names *n);

#endif
