/* alloy/format.c - a tree back into text, with comments where they stood.
 *
 * The walk sends words and blanks to a printer, which holds blanks back until the next word, so
 * that comments that stand before that word in the source can be put between. Its output has
 * the cells of columns.h. */
#include "alloy/format.h"

#include "alloy/columns.h"
#include "base/err.h"
#include "base/mem.h"

enum { HELD_MAX = 16, BLANK_LINES_MAX = 2, PASSES_MAX = 4 };

/* Blanks; WS_IN and WS_OUT change the indentation. */
enum {
    WS_NONE,
    WS_BLANK = ' ',
    WS_CELL = '\v',
    WS_LINE = '\n',
    WS_RUN = '\f',
    WS_IN = '>',
    WS_OUT = '<',
};

struct printer {
    const struct alloy_file *file;
    const struct alloy_comment *comments; /* not yet written */
    struct buf *out;
    bool redact, has_column; /* something stands on the output's current line */
    bool after_number;
    uint32_t indent;
    size_t held_count;
    char held[HELD_MAX];
    struct alloy_pos pos; /* where in the source the next word is, or is guessed to be */
    uint32_t last_line;   /* source line at the end of the last word */
};

static void put_indent(struct printer *p)
{
    if (p->has_column)
        return;
    for (uint32_t i = 0; i < p->indent; i++)
        buf_u8(p->out, '\t');
    p->pos.offset += p->indent;
    p->has_column = true;
}

static void put_blanks(struct printer *p, char c, uint32_t count)
{
    put_indent(p);
    for (uint32_t i = 0; i < count; i++)
        buf_u8(p->out, (uint8_t)c);
    p->pos.offset += count;
    if (c == WS_LINE || c == WS_RUN) {
        p->pos.line += count;
        p->has_column = count == 0;
    }
}

/* Write the first n blanks that are held back. */
static void put_held(struct printer *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p->held[i];
        if (c == WS_IN)
            p->indent++;
        else if (c == WS_OUT)
            p->indent -= p->indent > 0;
        else if (c != WS_NONE)
            put_blanks(p, c, 1);
    }
    memmove(p->held, p->held + n, p->held_count - n);
    p->held_count -= n;
}

/* Text at a place of the source; escaped where the layout must not touch it. */
static void put_text(struct printer *p, struct alloy_pos pos, struct str s, bool literal)
{
    put_indent(p);
    p->pos = pos;
    if (literal)
        buf_u8(p->out, COLUMNS_ESCAPE);
    for (size_t i = 0; i < s.len; i++) {
        bool drop = s.data[i] == '\r' && literal && s.data[0] == '/' &&
                    !(s.data[i - 1] == '*' && i + 1 < s.len && s.data[i + 1] == '/');
        if (!drop)
            buf_u8(p->out, (uint8_t)s.data[i]);
        p->pos.line += s.data[i] == '\n';
    }
    if (literal)
        buf_u8(p->out, COLUMNS_ESCAPE);
    p->pos.offset += (uint32_t)s.len;
    p->last_line = p->pos.line;
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
    return n < most ? n : most;
}

/* Blanks before a comment; `line` is that of the next word. */
static void put_comment_prefix(struct printer *p, struct alloy_pos at, uint32_t line)
{
    if (p->out->size == 0)
        return;
    if (at.line == p->last_line) {
        put_blanks(p, at.line == line ? ' ' : '\t', 1);
        return;
    }
    size_t keep = 0, i = 0;
    while (i < p->held_count && (p->held[i] == WS_IN || p->held[i] == WS_OUT))
        i++;
    if (i < p->held_count) {
        p->held[i] = WS_NONE;
        keep = i;
    }
    put_held(p, keep);
    if (at.line > p->last_line)
        put_blanks(p, WS_RUN, at_most(at.line - p->last_line, BLANK_LINES_MAX));
}

/* Blanks between the last comment and the next word at `line`. */
static void put_comment_suffix(struct printer *p, uint32_t line, const struct alloy_comment *c)
{
    bool block = c->text.data[1] == '*', run = false;
    uint32_t end = alloy_pos_at(p->file, c->start + (uint32_t)c->text.len - 1).line;
    if (block && line == end)
        put_blanks(p, ' ', 1);
    uint32_t lines = line > p->last_line ? line - p->last_line : 0;
    if (!block && lines == 0)
        lines = 1;
    for (size_t i = 0; i < p->held_count; i++) {
        run = run || p->held[i] == WS_RUN;
        if (p->held[i] != WS_IN && p->held[i] != WS_OUT)
            p->held[i] = WS_NONE;
    }
    put_held(p, p->held_count);
    if (lines > 0)
        put_blanks(p, run ? WS_RUN : WS_LINE, at_most(lines, BLANK_LINES_MAX));
}

/* The comments before a word at `next`, or all that are left, then the blanks that were held. */
static void flush(struct printer *p, struct alloy_pos next, bool end)
{
    const struct alloy_comment *last = NULL;
    while (p->comments != NULL && (p->comments->start <= next.offset || end)) {
        /* a group goes together, though its end may lie behind the place guessed */
        do {
            const struct alloy_comment *c = p->comments;
            struct alloy_pos at = alloy_pos_at(p->file, c->start);
            put_comment_prefix(p, at, end ? UINT32_MAX : next.line);
            put_text(p, at, c->text, true);
            last = c;
            p->comments = c->next;
        } while (p->comments != NULL && !p->comments->begins_group);
    }
    if (end)
        return;
    if (last != NULL)
        put_comment_suffix(p, next.line, last);
    else
        put_held(p, p->held_count);
}

static void blank(struct printer *p, char c)
{
    if (p->held_count == HELD_MAX)
        put_held(p, HELD_MAX);
    p->held[p->held_count++] = c;
    p->after_number = false;
}

/* A word at `offset` of the source, or wherever the last one ended. */
static void word(struct printer *p, uint32_t offset, struct str s)
{
    if (offset != ALLOY_NO_OFFSET)
        p->pos = alloy_pos_at(p->file, offset);
    if (p->after_number && s.data[0] == '.')
        blank(p, ' '); /* 1 .x is not 1.x */
    p->after_number = false;
    struct alloy_pos next = p->pos;
    flush(p, next, false);
    bool literal = false;
    for (size_t i = 0; i < s.len; i++)
        literal = literal || s.data[i] == '\t' || s.data[i] == '\v' || s.data[i] == '\n' ||
                  s.data[i] == '\f';
    put_text(p, next, s, literal);
}

static void punct(struct printer *p, uint32_t offset, enum alloy_token_kind kind)
{
    word(p, offset, str_c(alloy_token_name(kind)));
}

static uint32_t line_of(const struct printer *p, uint32_t offset)
{
    return alloy_pos_at(p->file, offset).line;
}

static bool on_one_line(const struct printer *p, uint32_t start, uint32_t end)
{
    return line_of(p, start) == line_of(p, end);
}

static void put_expr(struct printer *p, const struct alloy_expr *e);

static void put_array(struct printer *p, const struct alloy_expr *e)
{
    uint32_t before = e->start;
    punct(p, e->start, ALLOY_T_LBRACK);
    for (const struct alloy_expr *x = e->first; x != NULL; x = x->next) {
        bool broken = !on_one_line(p, before, x->start);
        if (broken) {
            blank(p, WS_IN);
            blank(p, WS_RUN);
        } else if (x != e->first) {
            blank(p, WS_BLANK);
        }
        before = x->end;
        put_expr(p, x);
        if (x->next != NULL)
            punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
        if (broken)
            blank(p, WS_OUT);
    }
    if (e->count > 0 && !on_one_line(p, before, e->end)) {
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
        blank(p, WS_IN);
        blank(p, WS_RUN);
        blank(p, WS_OUT);
    }
    punct(p, e->end, ALLOY_T_RBRACK);
}

/* A key in plain double quotes where that says the same, else as it was written. */
static void put_key(struct printer *p, const struct alloy_key *k)
{
    bool plain = k->quoted && k->literal.data[0] == '`';
    for (size_t i = 0; i < k->name.len; i++) {
        unsigned char c = (unsigned char)k->name.data[i];
        plain = plain && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
    }
    if (!plain) {
        word(p, k->start, k->literal);
        return;
    }
    struct buf quoted = {0};
    buf_u8(&quoted, '"');
    buf_str(&quoted, k->name);
    buf_u8(&quoted, '"');
    if (quoted.error == 0)
        word(p, k->start, buf_view(&quoted));
    else
        p->out->error = ERR_NOMEM;
    buf_reset(&quoted);
}

static void put_object(struct printer *p, const struct alloy_expr *e)
{
    uint32_t before = e->start;
    bool aligned = false;
    punct(p, e->start, ALLOY_T_LCURLY);
    blank(p, WS_IN);
    for (const struct alloy_key *k = e->fields; k != NULL; k = k->next) {
        if (!on_one_line(p, before, k->start))
            blank(p, aligned ? WS_LINE : WS_RUN);
        else if (k != e->fields)
            blank(p, WS_BLANK);
        /* As Alloy does: the end of the name, not of the value. */
        before = k->start + (uint32_t)k->literal.len - 1;
        put_key(p, k);
        blank(p, WS_CELL);
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_ASSIGN);
        blank(p, WS_BLANK);
        put_expr(p, k->value);
        if (k->next != NULL)
            punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
        aligned = on_one_line(p, k->value->start, k->value->end);
    }
    if (e->count > 0 && !on_one_line(p, before, e->end)) {
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
        blank(p, WS_RUN);
    }
    blank(p, WS_OUT);
    punct(p, e->end, ALLOY_T_RCURLY);
}

static void put_call(struct printer *p, const struct alloy_expr *e)
{
    uint32_t before = e->mark;
    put_expr(p, e->left);
    punct(p, ALLOY_NO_OFFSET, ALLOY_T_LPAREN);
    for (const struct alloy_expr *x = e->first; x != NULL; x = x->next) {
        bool broken = !on_one_line(p, before, x->start);
        if (broken) {
            blank(p, WS_RUN);
            blank(p, WS_IN);
        }
        put_expr(p, x);
        before = x->end;
        if (x->next != NULL) {
            punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
            blank(p, WS_BLANK);
        }
        if (broken)
            blank(p, WS_OUT);
    }
    if (e->count > 0 && !on_one_line(p, before, e->end)) {
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_COMMA);
        blank(p, WS_RUN);
    }
    punct(p, ALLOY_NO_OFFSET, ALLOY_T_RPAREN);
}

/* Operators between two expressions. */
static void put_binary(struct printer *p, const struct alloy_expr *e)
{
    put_expr(p, e->left);
    blank(p, WS_BLANK);
    punct(p, e->mark, e->op);
    blank(p, WS_BLANK);
    put_expr(p, e->right);
}

static void put_expr(struct printer *p, const struct alloy_expr *e)
{
    if (p->redact && e->secret) {
        word(p, e->start, STR("\"(secret)\""));
        return;
    }
    switch (e->kind) {
    case ALLOY_E_LITERAL:
        word(p, e->start, e->text);
        p->after_number = e->op == ALLOY_T_NUMBER;
        break;
    case ALLOY_E_IDENT:
        word(p, e->start, e->text);
        break;
    case ALLOY_E_ARRAY:
        put_array(p, e);
        break;
    case ALLOY_E_OBJECT:
        put_object(p, e);
        break;
    case ALLOY_E_PAREN:
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_LPAREN);
        put_expr(p, e->left);
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_RPAREN);
        break;
    case ALLOY_E_UNARY:
        punct(p, e->start, e->op);
        put_expr(p, e->left);
        break;
    case ALLOY_E_BINARY:
        put_binary(p, e);
        break;
    case ALLOY_E_ACCESS:
        put_expr(p, e->left);
        punct(p, ALLOY_NO_OFFSET, ALLOY_T_DOT);
        word(p, ALLOY_NO_OFFSET, e->text);
        break;
    case ALLOY_E_INDEX:
        put_expr(p, e->left);
        punct(p, e->mark, ALLOY_T_LBRACK);
        put_expr(p, e->right);
        punct(p, e->end, ALLOY_T_RBRACK);
        break;
    case ALLOY_E_CALL:
        put_call(p, e);
        break;
    }
}

static void put_body(struct printer *p, const struct alloy_stmt *body);

static void put_block(struct printer *p, const struct alloy_stmt *s)
{
    word(p, s->start, s->name);
    if (s->label.len > 0) {
        struct buf label = {0};
        alloy_quote(s->label, &label);
        blank(p, WS_BLANK);
        word(p, s->label_at, label.error == 0 ? buf_view(&label) : STR("\"\""));
        if (label.error != 0)
            p->out->error = ERR_NOMEM;
        buf_reset(&label);
    }
    blank(p, WS_BLANK);
    punct(p, s->open, ALLOY_T_LCURLY);
    blank(p, WS_IN);
    if (s->body != NULL) {
        blank(p, WS_RUN);
        put_body(p, s->body);
    } else {
        blank(p, WS_BLANK);
    }
    blank(p, WS_OUT);
    punct(p, s->end, ALLOY_T_RCURLY);
}

static void put_body(struct printer *p, const struct alloy_stmt *body)
{
    const struct alloy_stmt *before = NULL;
    for (const struct alloy_stmt *s = body; s != NULL; before = s, s = s->next) {
        bool gap = before != NULL &&
                   (s->value == NULL || line_of(p, s->start) > line_of(p, before->end) + 1);
        if (gap)
            blank(p, WS_RUN);
        if (s->value != NULL) {
            word(p, s->start, s->name);
            blank(p, WS_CELL);
            punct(p, ALLOY_NO_OFFSET, ALLOY_T_ASSIGN);
            blank(p, WS_BLANK);
            put_expr(p, s->value);
        } else {
            put_block(p, s);
        }
        blank(p, on_one_line(p, s->start, s->end) ? WS_LINE : WS_RUN);
    }
}

static struct printer printer_to(const struct alloy_file *f, struct buf *out)
{
    return (struct printer){.file = f, .out = out, .pos = {0, 1, 1}, .last_line = 0};
}

void alloy_format_expr(const struct alloy_file *f, const struct alloy_expr *e, struct buf *out)
{
    struct buf cells = {0};
    struct printer p = printer_to(f, &cells);
    put_expr(&p, e);
    if (cells.error != 0 || columns_align(buf_view(&cells), out) != 0)
        out->error = ERR_NOMEM;
    buf_reset(&cells);
}

void alloy_format_body(const struct alloy_file *f, const struct alloy_stmt *body, bool redact,
                       struct buf *out)
{
    struct buf cells = {0};
    struct printer p = printer_to(f, &cells);
    p.redact = redact;
    put_body(&p, body);
    if (cells.error != 0 || columns_align(buf_view(&cells), out) != 0)
        out->error = ERR_NOMEM;
    buf_reset(&cells);
}

/* One pass over a tree, comments and all. */
static int format_file(const struct alloy_file *f, struct buf *out)
{
    struct buf cells = {0};
    struct printer p = printer_to(f, &cells);
    p.comments = f->comments;
    put_body(&p, f->body);
    flush(&p, p.pos, true);
    int rc = cells.error != 0 ? cells.error : columns_align(buf_view(&cells), out);
    buf_u8(out, '\n');
    buf_reset(&cells);
    return rc != 0 ? rc : out->error;
}

static bool comments_equal(const struct alloy_comment *a, const struct alloy_comment *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (a->text.data[1] != b->text.data[1])
            return false;
    return a == b;
}

/* Format until nothing changes any more; ERR_AGAIN when the layout would say something else. */
static int format_fixed(const struct alloy_file *f, struct arena *a, struct buf *out)
{
    const struct alloy_file *now = f;
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        struct alloy_file *back;
        struct alloy_diags ignored = {0};
        buf_clear(out);
        int rc = format_file(now, out);
        if (rc != 0)
            return rc;
        struct str copy = str_dup(a, buf_view(out));
        if (copy.data == NULL)
            return ERR_NOMEM;
        struct alloy_text text = {f->source.name, copy};
        rc = alloy_parse(&back, &text, a, &ignored);
        alloy_diags_reset(&ignored);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc != 0 || !alloy_ast_equal(f->body, back->body) ||
            !comments_equal(f->comments, back->comments))
            return ERR_AGAIN;
        if (str_eq(copy, now->source.text))
            return 0;
        now = back;
    }
    return ERR_AGAIN;
}

int alloy_format(const struct alloy_text *source, struct alloy_diags *diags, struct buf *out)
{
    struct arena *a = NULL;
    struct alloy_file *f;
    struct buf laid = {0};
    if (arena_init(&a, 0, NULL) != 0)
        return ERR_NOMEM;
    int rc = alloy_parse(&f, source, a, diags);
    if (rc == 0)
        rc = format_fixed(f, a, &laid);
    if (rc == ERR_AGAIN) {
        /* A comment where no layout can keep it: leave the text alone. */
        buf_clear(&laid);
        buf_str(&laid, f->source.text);
        rc = 0;
    }
    if (rc == 0 && laid.error == 0)
        buf_str(out, buf_view(&laid));
    if (rc == 0)
        rc = laid.error != 0 ? laid.error : out->error;
    buf_reset(&laid);
    arena_free(&a);
    return rc;
}
