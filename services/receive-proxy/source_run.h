/* receive-proxy/source_run.h - where a configuration comes from: a file, a folder of *.alloy files,
 * or the command line; and the subcommands that only look at files.
 *
 * Reads files; any thread. Tests: tests/unit/receive-proxy/test_source_run.c,
 * tests/cluster/test_receive_proxy.py. */
#ifndef RECEIVE_PROXY_SOURCE_RUN_H
#define RECEIVE_PROXY_SOURCE_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "alloy/diag.h"
#include "app/settings.h"
#include "base/buf.h"
#include "base/err.h"

struct arena;

/* Texts and their names; all-zero is empty. */
struct source {
    struct arena *arena;
    struct alloy_text *texts;
    size_t count;
};

/* Read a file, or all *.alloy of a folder in the order of their names. ERR_NOENT, ERR_IO,
 * ERR_LIMIT, ERR_NOMEM with a text that names it. */
int source_read(struct source *s, const char *path, struct err *err);

/* The configuration that flags stand for: one pyroscope.receive_http, one pyroscope.write with an
 * endpoint for each URL. ERR_INVAL: there is none; ERR_NOMEM. */
int source_of_flags(struct source *s, const struct receive_proxy_settings *flags,
                    struct err *err);
void source_reset(struct source *s);

/* How the program is called. */
extern const char source_usage[];

/* receive-proxy fmt [-w] [-t] FILE, where - is the standard input, and receive-proxy validate FILE.
 * False: argv is neither. Else it
 * was done, and *status is the exit status. */
bool source_command(int argc, char **argv, int *status);

#endif
