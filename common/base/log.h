/* base/log.h - lines of logfmt or JSON with fields: ts level component msg key=value ...
 *
 * A logger is passed in; there is no global one below services/. Cores log state changes only,
 * never once per packet. log_rate_pass() limits repeats and counts what it left out. The sink
 * is a function, so that a simulation captures lines and tests can assert them; log_stderr() (in
 * log_run.c) is the production sink. Any thread. Tests: tests/unit/base/test_log.c. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };
enum { LOG_LINE_MAX = 16384 }; /* bytes, without the newline */

/* Where finished lines go, without newline. Called from any thread; must not block for long. */
typedef void (*log_sink_fn)(void *arg, enum log_level level, struct str line);

/* Now, for the ts field; wall milliseconds. NULL in a logger leaves ts out. */
typedef wall_ms (*log_now_fn)(void);

/* Level and format of a logger and of all its copies, which may change while they log. */
struct log_dial {
    _Atomic(enum log_level) level;
    _Atomic(enum log_format) format;
};

/* Copyable value; `sink` NULL swallows everything. */
struct log {
    log_sink_fn sink;
    void *arg;
    log_now_fn now;
    enum log_level level; /* lines below it are dropped */
    enum log_format format;
    const char *component; /* static; NULL for none */
    const struct log_dial *dial; /* counts in place of level and format; NULL: they do */
};

/* One field of a line. Use the LOG_* makers below. */
struct log_field {
    const char *key; /* static */
    enum { LOG_F_STR, LOG_F_I64, LOG_F_U64, LOG_F_BOOL } kind;
    struct str s;
    int64_t i;
    uint64_t u;
};

#define LOG_S(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = (v)})
#define LOG_C(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = str_c(v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .kind = LOG_F_I64, .i = (int64_t)(v)})
#define LOG_U(k, v) ((struct log_field){.key = (k), .kind = LOG_F_U64, .u = (uint64_t)(v)})
#define LOG_B(k, v) ((struct log_field){.key = (k), .kind = LOG_F_BOOL, .u = (v) ? 1 : 0})

/* Write one line: log_line(log, LOG_WARN, "tail cut", LOG_C("file", f), LOG_U("bytes", n)).
 * log may be NULL. Control bytes are escaped; invalid UTF-8 is replaced. Of a line over
 * LOG_LINE_MAX bytes, or one that there is no memory for, `msg` alone is written. */
#define log_line(log, level, ...)                                                             \
    LOG_PICK_(log, level, __VA_ARGS__, (struct log_field){.key = NULL})
#define LOG_PICK_(log, level, msg, ...)                                                       \
    log_fields(log, level, msg, (const struct log_field[]){__VA_ARGS__})

/* The function behind log_line(): fields end with key NULL. */
void log_fields(const struct log *log, enum log_level level, const char *msg,
                const struct log_field *fields);

/* A copy of `log` with another component name (static). */
struct log log_with(const struct log *log, const char *component);

/* "debug", "info", "warn", "error". ERR_PARSE for other texts. */
int log_level_parse(struct str text, enum log_level *out);

/* "logfmt" or "json". ERR_PARSE for other texts. */
int log_format_parse(struct str text, enum log_format *out);

/* Lets one line through per interval and counts the rest. All-zero is ready. One owner thread. */
struct log_rate {
    mono_ms next;
    uint64_t suppressed;
};

/* True when the caller may log now; *suppressed gets how many were left out since the last. */
bool log_rate_pass(struct log_rate *r, mono_ms now, uint32_t interval_ms, uint64_t *suppressed);

/* The production sink: one write(2) per line to stderr. arg is unused. */
void log_stderr(void *arg, enum log_level level, struct str line);

#endif
