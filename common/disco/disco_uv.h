/* disco/disco_uv.h - lists of peers by name, kept up to date on a loop.
 *
 *   disco_init(&d, loop, &config, &options, &log, metrics, &err);
 *   disco_add(d, STR("dns+pyroscope-memberlist:7946"), &err);     entries, see disco/entry.h
 *   disco_start(d);                                               on_change follows, later
 *   ... disco_names(d): names_count(), names_at() give each entry's addresses and state
 *   disco_refresh(d);                                             now rather than at the interval
 *   disco_free(&d);
 *
 * Literal addresses are there at once and cost no resolver. Everything is of the loop's thread (any
 * thread before the loop runs); on_change is never called from inside a call. Driver: decisions
 * live in disco/names.h. Tests: tests/unit/disco/test_disco_uv.c, tests/cluster/test_dns.py. */
#ifndef DISCO_DISCO_UV_H
#define DISCO_DISCO_UV_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "disco/config.h"
#include "disco/names.h"

struct disco;
struct log;
struct loop;
struct metrics;

struct disco_options {
    const char *name;      /* label name="..." of the metrics; static */
    uint16_t default_port; /* of hosts without one; 0: they must have one */
    void (*on_change)(void *arg); /* the generation of disco_names() has grown; may be NULL */
    void *arg;
};

/* Without entries. config is borrowed; log (may be NULL) and metrics (may be NULL) too. ERR_NOMEM,
 * ERR_INVAL, ERR_EXIST (the metrics of that name are taken). */
int disco_init(struct disco **out, struct loop *loop, const struct disco_config *config,
               const struct disco_options *options, const struct log *log,
               struct metrics *metrics, struct err *err);

/* Nobody is called any more. NULL-safe; leaves *d NULL. */
void disco_free(struct disco **d);

/* Add an entry or a comma list. Errors as names_add(), and those of the resolver (ERR_IO). */
int disco_add(struct disco *d, struct str text, struct err *err);

/* Begin to look up. */
void disco_start(struct disco *d);

/* Look everything up now, but what was answered just now. */
void disco_refresh(struct disco *d);

/* Entries, their states and addresses. */
const struct names *disco_names(const struct disco *d);

#endif
