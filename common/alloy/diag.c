/* alloy/diag.c - the list of diagnostics, and the lines with carets. */
#include "alloy/diag.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum { MESSAGE_MAX = 4096, TAB_WIDTH = 4 };

static bool make_room(struct alloy_diags *d)
{
    if (d->arena == NULL && arena_init(&d->arena, 1024, NULL) != 0)
        return false;
    if (d->count < d->cap)
        return true;
    size_t cap = d->cap == 0 ? 8 : d->cap * 2;
    struct alloy_diag *items = mem_realloc_array(d->items, cap, sizeof *items);
    if (items == NULL)
        return false;
    d->items = items;
    d->cap = cap;
    return true;
}

void alloy_diags_add(struct alloy_diags *d, enum alloy_severity severity, struct str file,
                     struct alloy_pos start, struct alloy_pos end, struct str message)
{
    if (severity == ALLOY_ERROR)
        d->errors++;
    if (d->count == ALLOY_DIAGS_MAX) {
        d->dropped++;
        return;
    }
    if (!make_room(d)) {
        d->error = ERR_NOMEM;
        return;
    }
    struct alloy_diag *it = &d->items[d->count];
    *it = (struct alloy_diag){.severity = severity, .start = start, .end = end};
    it->file = str_dup(d->arena, file);
    it->message = str_dup(d->arena, message);
    if (it->file.data == NULL || it->message.data == NULL)
        d->error = ERR_NOMEM;
    else
        d->count++;
}

void alloy_diags_addf(struct alloy_diags *d, enum alloy_severity severity, struct str file,
                      struct alloy_pos start, struct alloy_pos end, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    alloy_diags_add(d, severity, file, start, end, str_of(text, len));
}

void alloy_diags_reset(struct alloy_diags *d)
{
    arena_free(&d->arena);
    mem_free(d->items);
    *d = (struct alloy_diags){0};
}

/* "file:line:column", or "-" without a place. */
static void put_place(const struct alloy_diag *it, struct buf *out)
{
    if (it->file.len == 0 && it->start.line == 0) {
        buf_u8(out, '-');
        return;
    }
    buf_str(out, it->file);
    if (it->start.line != 0)
        buf_printf(out, "%s%u:%u", it->file.len == 0 ? "" : ":", it->start.line,
                   it->start.column);
}

/* Bytes of the character at the start of s; 1 for a byte that starts none. */
static size_t rune_len(struct str s)
{
    unsigned char c = (unsigned char)s.data[0];
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return n > 1 && n <= s.len && str_is_utf8(str_head(s, n)) ? n : 1;
}

static void put_repeated(struct buf *out, size_t count, char c)
{
    for (size_t i = 0; i < count; i++)
        buf_u8(out, (uint8_t)c);
}

/* A line of the text: tabs as blanks, no carriage returns. */
static void put_line(struct str line, struct buf *out)
{
    while (line.len > 0) {
        size_t n = rune_len(line);
        char c = line.data[0];
        if (c == '\t' || c == '\v')
            put_repeated(out, TAB_WIDTH, ' ');
        else if (n == 1 && (unsigned char)c >= 0x80)
            buf_c(out, "\xef\xbf\xbd");
        else if (c != '\r')
            buf_put(out, line.data, n);
        line = str_skip(line, n);
    }
}

static bool in_range(uint32_t line, uint32_t column, struct alloy_pos start,
                     struct alloy_pos end)
{
    if (line < start.line || line > end.line)
        return false;
    if (line == start.line)
        return column >= start.column;
    return line != end.line || column <= end.column;
}

/* The line of carets below `line`, which has the given number. */
static void put_focus(struct str line, uint32_t number, struct alloy_pos start,
                      struct alloy_pos end, struct buf *out)
{
    char blank = end.line > start.line ? '_' : ' ';
    size_t at = 0;
    while (at < line.len) {
        uint32_t column = (uint32_t)at + 1;
        if (number == end.line && column > end.column)
            break;
        char c = line.data[at];
        if (c == '\t' || c == '\v')
            put_repeated(out, TAB_WIDTH, blank);
        else
            buf_u8(out, (uint8_t)(in_range(number, column, start, end) ? '^' : blank));
        at += rune_len(str_skip(line, at));
    }
}

static uint32_t count_lines(struct str text)
{
    uint32_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

/* The lines around a diagnostic. */
static void put_lines(const struct alloy_diag *it, struct str text, struct buf *out)
{
    struct alloy_pos start = it->start, end = it->end.line == 0 ? it->start : it->end;
    bool several = end.line > start.line;
    uint32_t lines = count_lines(text);
    uint32_t first = start.line > 1 ? start.line - 1 : 1;
    uint32_t last = end.line < lines ? end.line + 1 : lines;
    char digits[16];
    int width = snprintf(digits, sizeof digits, "%u", last);
    buf_u8(out, '\n');
    struct str rest = text, line;
    for (uint32_t number = 1; number <= last && str_cut(&rest, '\n', &line); number++) {
        if (number < first)
            continue;
        buf_printf(out, "%*u | ", width, number);
        if (several)
            buf_c(out, in_range(number, 0, start, end) ? "| " : "  ");
        put_line(line, out);
        buf_u8(out, '\n');
        if (number != start.line && !(several && number == end.line))
            continue;
        put_repeated(out, (size_t)width, ' ');
        buf_c(out, !several ? " | " : number == start.line ? " |  _" : " | |_");
        put_focus(line, number, start, end, out);
        buf_u8(out, '\n');
    }
}

void alloy_diags_print(const struct alloy_diags *d, const struct alloy_text *texts,
                       size_t count, struct buf *out)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct alloy_diag *it = &d->items[i];
        if (i > 0)
            buf_u8(out, '\n');
        buf_c(out, it->severity == ALLOY_ERROR ? "Error: " : "Warning: ");
        put_place(it, out);
        buf_c(out, ": ");
        buf_str(out, it->message);
        buf_u8(out, '\n');
        for (size_t k = 0; k < count && it->start.line != 0; k++)
            if (str_eq(texts[k].name, it->file)) {
                put_lines(it, texts[k].text, out);
                break;
            }
    }
}

static void put_short(const struct alloy_diag *it, struct buf *out)
{
    put_place(it, out);
    buf_c(out, ": ");
    buf_str(out, it->message);
}

void alloy_diags_print_short(const struct alloy_diags *d, struct buf *out)
{
    for (size_t i = 0; i < d->count; i++) {
        put_short(&d->items[i], out);
        buf_u8(out, '\n');
    }
}

void alloy_diags_summary(const struct alloy_diags *d, struct buf *out)
{
    size_t first = 0;
    while (first < d->count && d->items[first].severity != ALLOY_ERROR)
        first++;
    if (first == d->count) {
        buf_c(out, "no errors");
        return;
    }
    put_short(&d->items[first], out);
    if (d->errors > 1)
        buf_printf(out, " (and %zu more diagnostics)", d->errors - 1);
}
