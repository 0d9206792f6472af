/* base/log.c - formats lines; the sink decides where they go. */
#include "base/log.h"

#include "base/err.h"

#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static bool is_plain(struct str s)
{
    if (s.len == 0 || !str_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return false;
    }
    return true;
}

static void put_quoted(struct buf *b, struct str s)
{
    bool utf8 = str_is_utf8(s);
    buf_u8(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_c(b, "\\n");
        else if (c < ' ' || c == 0x7f)
            buf_printf(b, "\\u%04x", (unsigned)c);
        else if (c >= 0x80 && !utf8)
            buf_c(b, "\\ufffd");
        else
            buf_u8(b, c);
    }
    buf_u8(b, '"');
}

static void put_text(struct buf *b, enum log_format format, struct str s)
{
    if (format == LOG_LOGFMT && is_plain(s))
        buf_str(b, s);
    else
        put_quoted(b, s);
}

static void put_key(struct buf *b, enum log_format format, const char *key)
{
    if (format == LOG_LOGFMT) {
        if (b->size > 0)
            buf_u8(b, ' ');
        buf_c(b, key);
        buf_u8(b, '=');
        return;
    }
    buf_c(b, b->size == 0 ? "{\"" : ",\"");
    buf_c(b, key);
    buf_c(b, "\":");
}

static void put_time(struct buf *b, enum log_format format, wall_ms now)
{
    char text[40];
    time_t s = (time_t)(now / 1000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL)
        return;
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now % 1000));
    put_key(b, format, "ts");
    put_text(b, format, str_c(text));
}

static void put_value(struct buf *b, enum log_format format, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_F_STR:
        put_text(b, format, f->s);
        return;
    case LOG_F_I64:
        buf_dec(b, f->i);
        return;
    case LOG_F_U64:
        buf_udec(b, f->u);
        return;
    case LOG_F_BOOL:
        buf_c(b, f->u != 0 ? "true" : "false");
        return;
    }
}

void log_fields(const struct log *log, enum log_level level, const char *msg,
                const struct log_field *fields)
{
    if (log == NULL || log->sink == NULL)
        return;
    const struct log_dial *dial = log->dial;
    if (level < (dial != NULL ? atomic_load_explicit(&dial->level, memory_order_relaxed)
                              : log->level))
        return;
    enum log_format format =
        dial != NULL ? atomic_load_explicit(&dial->format, memory_order_relaxed) : log->format;
    struct buf b = {.limit = LOG_LINE_MAX};
    if (log->now != NULL)
        put_time(&b, format, log->now());
    put_key(&b, format, "level");
    put_text(&b, format, str_c(level_names[level]));
    if (log->component != NULL) {
        put_key(&b, format, "component");
        put_text(&b, format, str_c(log->component));
    }
    put_key(&b, format, "msg");
    put_text(&b, format, str_c(msg));
    for (; fields->key != NULL; fields++) {
        put_key(&b, format, fields->key);
        put_value(&b, format, fields);
    }
    if (format == LOG_JSON)
        buf_u8(&b, '}');
    log->sink(log->arg, level, b.error == 0 ? buf_view(&b) : str_c(msg));
    buf_reset(&b);
}

struct log log_with(const struct log *log, const char *component)
{
    struct log copy = log == NULL ? (struct log){0} : *log;
    copy.component = component;
    return copy;
}

int log_level_parse(struct str text, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (str_eq(text, str_c(level_names[i]))) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return ERR_PARSE;
}

int log_format_parse(struct str text, enum log_format *out)
{
    if (str_eq(text, STR("logfmt")))
        *out = LOG_LOGFMT;
    else if (str_eq(text, STR("json")))
        *out = LOG_JSON;
    else
        return ERR_PARSE;
    return 0;
}

bool log_rate_pass(struct log_rate *r, mono_ms now, uint32_t interval_ms, uint64_t *suppressed)
{
    if (now < r->next) {
        r->suppressed++;
        return false;
    }
    *suppressed = r->suppressed;
    r->suppressed = 0;
    r->next = now + interval_ms;
    return true;
}
