/* conf/conf.h - one row is one option: its YAML key, its flag, its line of -help and of the
 * reference page.
 *
 * A module has a `struct x_config` and a table of rows; a service lists sections (table, where
 * it stands, the struct) and owns no parser. Order of precedence: defaults < YAML < flags.
 * Names that Pyroscope knows and this suite has no use for are accepted and collected for one
 * warning (conf/peer_flags.h); all others are errors that name the nearest option.
 *
 * Pure: conf_run.h reads the file and the environment. One owner thread; what was loaded may be
 * read by all. Flags follow Go's flag package: -f v, -f=v, --f=v; booleans take only -f and
 * -f=v. Tests: tests/unit/conf/test_conf.c; fuzz: tests/fuzz/fuzz_conf.c. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct log;

enum conf_type {
    CONF_END, /* closes a table */
    CONF_BOOL,
    CONF_STR,  /* const char *, never NULL */
    CONF_LIST, /* struct conf_list: repeatable flag, comma-separated; YAML text or sequence */
    CONF_I64,
    CONF_U32,
    CONF_U64,
    CONF_DOUBLE,
    CONF_MS,   /* uint32_t milliseconds: at most 49 days */
    CONF_MS64, /* int64_t milliseconds; may be negative */
    CONF_SIZE, /* uint64_t bytes, with units */
};

enum {
    CONF_ADVANCED = 1, /* shown by -help-all only */
    CONF_SECRET = 2,   /* masked by conf_dump() */
    /* CONF_FOR << n, n in 0 to 7: it matters to the caller's program n, and to those of the
     * other such bits; without any: to all. It is taken everywhere; -help shows what matters.
     */
    CONF_FOR = 4,
};

/* Texts; all owned by the struct conf. */
struct conf_list {
    size_t count;
    const char *const *items;
};

/* One option. Names are relative to the section. */
struct conf_row {
    enum conf_type type;
    unsigned bits;    /* CONF_ADVANCED, CONF_SECRET, CONF_FOR */
    const char *flag; /* "gossip-nodes"; NULL: YAML only */
    const char *key;  /* "gossip_nodes", dots go down: "ring.kvstore.store"; NULL: flag only */
    const char *def;  /* the default, as one would write it */
    size_t offset;    /* of the field */
    const char *help; /* a sentence or two */
};

/* Refuses to compile when a row names a field of another C type. */
#define CONF_AT(S, f, T)                                                                       \
    (offsetof(struct S, f) + 0 * sizeof(char[_Generic(((struct S *)0)->f, T : 1, default       \
                                                      : -1)]))
#define CONF_ROW_(K, T, S, f, flag, key, def, bits, help)                                      \
    {                                                                                          \
        (K), (bits), (flag), (key), (def), CONF_AT(S, f, T), (help)                            \
    }

/* CONF_x_ROW(struct tag, field, flag, key, default, bits, help) */
#define CONF_BOOL_ROW(S, f, ...)   CONF_ROW_(CONF_BOOL, bool, S, f, __VA_ARGS__)
#define CONF_STR_ROW(S, f, ...)    CONF_ROW_(CONF_STR, const char *, S, f, __VA_ARGS__)
#define CONF_LIST_ROW(S, f, ...)   CONF_ROW_(CONF_LIST, struct conf_list, S, f, __VA_ARGS__)
#define CONF_I64_ROW(S, f, ...)    CONF_ROW_(CONF_I64, int64_t, S, f, __VA_ARGS__)
#define CONF_U32_ROW(S, f, ...)    CONF_ROW_(CONF_U32, uint32_t, S, f, __VA_ARGS__)
#define CONF_U64_ROW(S, f, ...)    CONF_ROW_(CONF_U64, uint64_t, S, f, __VA_ARGS__)
#define CONF_DOUBLE_ROW(S, f, ...) CONF_ROW_(CONF_DOUBLE, double, S, f, __VA_ARGS__)
#define CONF_MS_ROW(S, f, ...)     CONF_ROW_(CONF_MS, uint32_t, S, f, __VA_ARGS__)
#define CONF_MS64_ROW(S, f, ...)   CONF_ROW_(CONF_MS64, int64_t, S, f, __VA_ARGS__)
#define CONF_SIZE_ROW(S, f, ...)   CONF_ROW_(CONF_SIZE, uint64_t, S, f, __VA_ARGS__)

/* A table at its place. Flags are prefix + flag ("memberlist." + "join"), keys path + "." +
 * key. */
struct conf_section {
    const char *title;  /* heading of the reference page */
    const char *prefix; /* "" for none */
    const char *path;   /* "" for none */
    const struct conf_row *rows;
    void *at;                                         /* the struct; outlives the struct conf */
    int (*validate)(const void *at, struct err *err); /* may be NULL */
};

enum conf_action { CONF_RUN, CONF_HELP, CONF_HELP_ALL, CONF_VERSION, CONF_REFERENCE };

struct conf;

/* Bind the sections (array borrowed for the life of *out) and set every field to its default.
 * Strings and lists in the structs are valid until conf_free(). ERR_INVAL for a table with a
 * default that does not parse, or a name that stands twice; ERR_NOMEM. */
int conf_init(struct conf **out, const struct conf_section *sections, size_t count,
              struct err *err);
void conf_free(struct conf **c); /* NULL-safe; leaves *c NULL */

/* Read a command line (argv[0] is skipped) and remember it; values are checked here and stored
 * by conf_apply(). ERR_PARSE, ERR_LIMIT (a value out of range), ERR_NOMEM; err is for the user. */
int conf_args(struct conf *c, int argc, const char *const *argv, struct err *err);

/* What the command line asks for beside options. file is NULL without -config.file. */
enum conf_action conf_action(const struct conf *c);
const char *conf_file(const struct conf *c);
bool conf_expands_env(const struct conf *c);

/* Store the settings of a YAML text. `name` stands in front of positions: "name:line:column: ".
 * Unknown and repeated keys are errors. ERR_PARSE, ERR_LIMIT, ERR_NOMEM; some settings may have
 * been stored then. Hostile texts are safe. */
int conf_yaml(struct conf *c, struct str text, const char *name, struct err *err);

/* Store what conf_args() remembered, over the YAML, then validate the sections. ERR_NOMEM, or
 * what a validate returned. */
int conf_apply(struct conf *c, struct err *err);

/* One warning that lists the flags ("-x") and keys ("a.b") that were given, are known to Pyroscope,
 * and do nothing here; none without any. log may be NULL. */
void conf_log_ignored(const struct conf *c, const struct log *log);

/* All settings in force as YAML, keys sorted, secrets masked. */
void conf_dump(const struct conf *c, struct buf *out);

#endif
