/* alloy/columns.c - cells first, then the width of each run of cells, then the lines. */
#include "alloy/columns.h"

#include "base/err.h"
#include "base/mem.h"

enum { PADDING = 1, TAB_WIDTH = 8 };

struct cell {
    struct str text;
    size_t width;  /* characters */
    size_t padded; /* width of its column */
    bool tab;      /* ended by '\t': it counts even when empty */
    bool last;     /* of its line: never padded */
};

struct table {
    struct cell *cells;
    size_t count, cap;
    size_t *lines; /* index of the first cell of each line, and the end */
    size_t line_count, line_cap;
};

static int add_cell(struct table *t, struct cell c)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        struct cell *cells = mem_realloc_array(t->cells, cap, sizeof *cells);
        if (cells == NULL)
            return ERR_NOMEM;
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count++] = c;
    return 0;
}

static int add_line(struct table *t)
{
    if (t->line_count + 1 >= t->line_cap) {
        size_t cap = t->line_cap == 0 ? 32 : t->line_cap * 2;
        size_t *lines = mem_realloc_array(t->lines, cap, sizeof *lines);
        if (lines == NULL)
            return ERR_NOMEM;
        t->lines = lines;
        t->line_cap = cap;
    }
    t->lines[t->line_count++] = t->count;
    return 0;
}

/* Characters of a text; bytes that begin none count one each. */
static size_t count_runes(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        n += (c & 0xc0) != 0x80 && c != COLUMNS_ESCAPE;
    }
    return n;
}

/* The cell that starts at *at; *at goes behind its end mark, which is returned, 0 at the end. */
static char next_cell(struct str text, size_t *at, struct cell *c)
{
    size_t from = *at;
    bool escaped = false;
    char end = 0;
    for (; *at < text.len; (*at)++) {
        char ch = text.data[*at];
        if ((unsigned char)ch == COLUMNS_ESCAPE)
            escaped = !escaped;
        else if (!escaped && (ch == '\t' || ch == '\v' || ch == '\n' || ch == '\f')) {
            end = ch;
            break;
        }
    }
    *c = (struct cell){.text = str_of(text.data + from, *at - from), .tab = end == '\t'};
    c->width = count_runes(c->text);
    if (end != 0)
        (*at)++;
    return end;
}

static size_t line_cells(const struct table *t, size_t line)
{
    return t->lines[line + 1] - t->lines[line];
}

/* The lines [line, end) have a padded cell in this column: give them their width. */
static void set_width(struct table *t, size_t column, size_t line, size_t end)
{
    size_t width = 0;
    bool discard = true;
    for (size_t i = line; i < end; i++) {
        const struct cell *c = &t->cells[t->lines[i] + column];
        width = c->width + PADDING > width ? c->width + PADDING : width;
        if (c->width > 0 || c->tab)
            discard = false;
    }
    for (size_t i = line; i < end; i++)
        t->cells[t->lines[i] + column].padded = discard ? 0 : width;
}

/* A column's runs are inside the runs of the column before it, so each can be measured alone. */
static void measure(struct table *t)
{
    size_t columns = 0;
    for (size_t i = 0; i < t->line_count; i++)
        if (line_cells(t, i) > columns)
            columns = line_cells(t, i);
    for (size_t i = 0; i < t->line_count; i++) {
        /* Start at this line the runs that the line before it has no part in. */
        size_t from = i == 0 ? 1 : line_cells(t, i - 1);
        for (size_t column = from > 0 ? from - 1 : 0; column + 1 < line_cells(t, i); column++) {
            size_t end = i;
            while (end < t->line_count && column + 1 < line_cells(t, end))
                end++;
            set_width(t, column, i, end);
        }
    }
}

static void put_repeated(struct buf *out, size_t count, char c)
{
    for (size_t i = 0; i < count; i++)
        buf_u8(out, (uint8_t)c);
}

/* Text without blanks that end a line: they are held back until something follows. */
static void put_text(struct buf *out, struct str s, size_t *blanks)
{
    bool escaped = false;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        if ((unsigned char)ch == COLUMNS_ESCAPE) {
            escaped = !escaped;
        } else if (ch == ' ' && !escaped) {
            (*blanks)++;
            continue;
        }
        put_repeated(out, *blanks, ' ');
        *blanks = 0;
        if ((unsigned char)ch != COLUMNS_ESCAPE)
            buf_u8(out, (uint8_t)ch);
    }
}

static void put_line(const struct table *t, size_t line, struct buf *out)
{
    size_t blanks = 0, tabs = 0;
    bool leading = true;
    for (size_t i = t->lines[line]; i < t->lines[line + 1]; i++) {
        const struct cell *c = &t->cells[i];
        if (c->text.len > 0 && leading) {
            put_repeated(out, tabs, '\t');
            leading = false;
        }
        if (leading) {
            tabs += (c->padded + TAB_WIDTH - 1) / TAB_WIDTH;
            continue;
        }
        put_text(out, c->text, &blanks);
        if (i + 1 < t->lines[line + 1] && c->padded > c->width)
            blanks += c->padded - c->width;
    }
}

/* Align and write the lines gathered; `ended`: a newline is behind the last one too. */
static void flush(struct table *t, bool ended, struct buf *out)
{
    t->lines[t->line_count] = t->count;
    measure(t);
    for (size_t i = 0; i < t->line_count; i++) {
        put_line(t, i, out);
        if (ended || i + 1 < t->line_count)
            buf_u8(out, '\n');
    }
    t->count = t->line_count = 0;
}

int columns_align(struct str text, struct buf *out)
{
    struct table t = {0};
    size_t at = 0;
    char end = '\n';
    if (text.data == NULL)
        text = STR("");
    int rc = add_line(&t);
    while (rc == 0 && end != 0) {
        struct cell c;
        end = next_cell(text, &at, &c);
        rc = add_cell(&t, c);
        if (rc != 0 || end == '\t' || end == '\v')
            continue;
        bool alone = t.count - t.lines[t.line_count - 1] == 1;
        if (end != '\n' || alone)
            flush(&t, end != 0, out);
        rc = add_line(&t);
    }
    mem_free(t.cells);
    mem_free(t.lines);
    return rc;
}
