/* alloy/parse.c - tokens into statements; expressions are in parse_expr.c. */
#include "alloy/parse_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "alloy/format.h"
#include "base/err.h"
#include "base/mem.h"

enum { MESSAGE_MAX = 1024, NAME_PARTS_MAX = 32 };

struct alloy_pos alloy_pos_at(const struct alloy_file *f, uint32_t offset)
{
    if (offset == ALLOY_NO_OFFSET)
        return (struct alloy_pos){0};
    size_t low = 0, high = f->line_count;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (f->lines[mid] <= offset)
            low = mid;
        else
            high = mid;
    }
    return (struct alloy_pos){offset, (uint32_t)low + 1, offset - f->lines[low] + 1};
}

void parse_add_diag(struct parser *p, uint32_t start, uint32_t end, const char *message)
{
    alloy_diags_add(p->diags, ALLOY_ERROR, p->file->source.name, alloy_pos_at(p->file, start),
                    alloy_pos_at(p->file, end), str_c(message));
}

static void on_lexer_error(void *arg, uint32_t offset, const char *message)
{
    parse_add_diag(arg, offset, ALLOY_NO_OFFSET, message);
}

/* An error at the current token, unless the line has one already. */
void parse_fail(struct parser *p, const char *fmt, ...)
{
    uint32_t line = alloy_pos_at(p->file, p->tok.offset).line;
    if (p->over || line == p->error_line)
        return;
    p->error_line = line;
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    parse_add_diag(p, p->tok.offset, ALLOY_NO_OFFSET, message);
}

/* Read no more: every loop ends at EOF. */
void parse_give_up(struct parser *p, int error, const char *message)
{
    if (p->over)
        return;
    if (message != NULL)
        parse_add_diag(p, p->tok.offset, ALLOY_NO_OFFSET, message);
    p->over = true;
    p->error = error;
    p->tok.kind = ALLOY_T_EOF;
}

void *parse_new_node(struct parser *p, size_t size)
{
    if (++p->nodes > ALLOY_TREE_MAX)
        parse_give_up(p, ERR_PARSE, "the configuration has too many expressions");
    void *n = arena_zalloc(p->arena, size);
    if (n == NULL)
        parse_give_up(p, ERR_NOMEM, NULL);
    return n;
}

static void keep_comment(struct parser *p)
{
    struct alloy_comment *c = parse_new_node(p, sizeof *c);
    if (c == NULL)
        return;
    uint32_t line = alloy_pos_at(p->file, p->tok.offset).line;
    c->start = p->tok.offset;
    c->text = p->tok.text;
    c->begins_group = p->comment_line == 0 || line > p->comment_line + 1;
    p->comment_line = alloy_pos_at(p->file, c->start + (uint32_t)c->text.len - 1).line;
    *p->comments = c;
    p->comments = &c->next;
}

/* Step to the next token that is no comment. */
void parse_next(struct parser *p)
{
    if (p->over)
        return;
    p->tok = alloy_lexer_next(&p->lexer);
    p->comment_line = 0;
    while (p->tok.kind == ALLOY_T_COMMENT) {
        keep_comment(p);
        if (p->over)
            return;
        p->tok = alloy_lexer_next(&p->lexer);
    }
}

void parse_advance_to(struct parser *p, enum alloy_token_kind kind)
{
    while (p->tok.kind != ALLOY_T_EOF && p->tok.kind != kind)
        parse_next(p);
}

/* Take a token of this kind; another one is an error and taken too. Returns what was there. */
struct alloy_token parse_expect(struct parser *p, enum alloy_token_kind kind)
{
    struct alloy_token t = p->tok;
    if (t.kind != kind)
        parse_fail(p, "expected %s, got %s", alloy_token_name(kind), alloy_token_name(t.kind));
    parse_next(p);
    return t;
}

/* Go on behind the end of a statement that cannot be read, brackets counted. */
void parse_skip_statement(struct parser *p)
{
    int64_t curly = 0, brack = 0, paren = 0;
    while (p->tok.kind != ALLOY_T_EOF) {
        enum alloy_token_kind k = p->tok.kind;
        curly += (k == ALLOY_T_LCURLY) - (k == ALLOY_T_RCURLY);
        brack += (k == ALLOY_T_LBRACK) - (k == ALLOY_T_RBRACK);
        paren += (k == ALLOY_T_LPAREN) - (k == ALLOY_T_RPAREN);
        if (k == ALLOY_T_TERMINATOR && curly <= 0 && brack <= 0 && paren <= 0)
            return;
        parse_next(p);
    }
}

/* Enter one level; false, with a diagnostic, when it is one too many. */
bool parse_enter(struct parser *p)
{
    if (p->depth >= ALLOY_DEPTH_MAX) {
        parse_give_up(p, ERR_PARSE, "the configuration is nested too deeply");
        return false;
    }
    p->depth++;
    return true;
}

/* --- statements --------------------------------------------------------------------------- */

struct block_name {
    struct str name; /* with dots */
    size_t parts;
    struct str first;
    uint32_t start;
    struct str label;
    uint32_t label_at;
};

/* The parts of a name may stand apart: put them together. */
static bool append_part(struct parser *p, struct block_name *b, struct str part)
{
    b->parts++;
    if (b->name.data + b->name.len + 1 == part.data && part.data[-1] == '.') {
        b->name.len += 1 + part.len;
        return true;
    }
    char *joined = arena_alloc(p->arena, b->name.len + 1 + part.len);
    if (joined == NULL) {
        parse_give_up(p, ERR_NOMEM, NULL);
        return false;
    }
    memcpy(joined, b->name.data, b->name.len);
    joined[b->name.len] = '.';
    if (part.len > 0)
        memcpy(joined + b->name.len + 1, part.data, part.len);
    b->name = str_of(joined, b->name.len + 1 + part.len);
    return true;
}

static void fail_label(struct parser *p, const char *wanted, struct str got)
{
    struct buf quoted = {0};
    alloy_quote(str_head(got, MESSAGE_MAX / 2), &quoted);
    parse_fail(p, "expected block label to be %s, but got %.*s", wanted,
               STR_ARG(buf_view(&quoted)));
    buf_reset(&quoted);
}

static void parse_label(struct parser *p, struct block_name *b)
{
    if (p->tok.kind == ALLOY_T_STRING) {
        struct str lit = p->tok.text;
        if (lit.data[0] != '"')
            fail_label(p, "a double quoted string", lit);
        if (lit.len > 2) {
            b->label = str_of(lit.data + 1, lit.len - 2);
            if (!alloy_is_identifier(b->label))
                fail_label(p, "a valid identifier", b->label);
        }
        b->label_at = p->tok.offset;
    } else {
        parse_fail(p, "expected block label, got %s", alloy_token_name(p->tok.kind));
    }
    parse_next(p);
}

static bool parse_name(struct parser *p, struct block_name *b)
{
    if (p->tok.kind != ALLOY_T_IDENT) {
        parse_fail(p, "expected identifier, got %s", alloy_token_name(p->tok.kind));
        return false;
    }
    *b = (struct block_name){p->tok.text, 1, p->tok.text, p->tok.offset, {0}, ALLOY_NO_OFFSET};
    parse_next(p);
    while (p->tok.kind == ALLOY_T_DOT) {
        parse_next(p);
        if (p->tok.kind != ALLOY_T_IDENT)
            parse_fail(p, "expected identifier, got %s", alloy_token_name(p->tok.kind));
        if (b->parts >= NAME_PARTS_MAX || !append_part(p, b, p->tok.text)) {
            parse_give_up(p, ERR_PARSE, "the name has too many parts");
            return false;
        }
        parse_next(p);
    }
    if (p->tok.kind != ALLOY_T_ASSIGN && p->tok.kind != ALLOY_T_LCURLY)
        parse_label(p, b);
    return true;
}

static struct alloy_stmt *parse_attribute(struct parser *p, const struct block_name *b)
{
    struct alloy_stmt *s = parse_new_node(p, sizeof *s);
    if (s == NULL)
        return NULL;
    parse_next(p);
    if (b->parts != 1)
        parse_add_diag(p, b->start, b->start + (uint32_t)b->name.len - 1,
                       "attribute names may only consist of a single identifier with no \".\"");
    else if (b->label_at != ALLOY_NO_OFFSET)
        parse_add_diag(p, b->label_at, b->label_at + (uint32_t)b->label.len + 1,
                       "attribute names may not have labels");
    *s = (struct alloy_stmt){.name = b->first, .start = b->start, .label_at = ALLOY_NO_OFFSET};
    s->value = parse_expr(p);
    if (s->value == NULL)
        return NULL;
    s->end = s->value->end;
    return s;
}

static struct alloy_stmt *parse_block(struct parser *p, const struct block_name *b)
{
    struct alloy_stmt *s = parse_new_node(p, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct alloy_stmt){.name = b->name,
                             .start = b->start,
                             .label = b->label,
                             .label_at = b->label_at,
                             .open = p->tok.offset};
    parse_next(p);
    s->body = parse_body(p, ALLOY_T_RCURLY);
    s->end = parse_expect(p, ALLOY_T_RCURLY).offset;
    return s;
}

static struct alloy_stmt *parse_statement(struct parser *p)
{
    struct block_name b;
    if (!parse_name(p, &b)) {
        parse_advance_to(p, ALLOY_T_IDENT);
        return NULL;
    }
    if (p->tok.kind == ALLOY_T_ASSIGN)
        return parse_attribute(p, &b);
    if (p->tok.kind == ALLOY_T_LCURLY)
        return parse_block(p, &b);
    if (b.parts == 1 && b.label.len == 0)
        parse_fail(p, "expected attribute assignment or block body, got %s",
                   alloy_token_name(p->tok.kind));
    else
        parse_fail(p, "expected block body, got %s", alloy_token_name(p->tok.kind));
    parse_advance_to(p, ALLOY_T_IDENT);
    return NULL;
}

struct alloy_stmt *parse_body(struct parser *p, enum alloy_token_kind until)
{
    struct alloy_stmt *first = NULL, **link = &first;
    if (!parse_enter(p))
        return NULL;
    while (p->tok.kind != until && p->tok.kind != ALLOY_T_EOF) {
        struct alloy_stmt *s = parse_statement(p);
        if (s != NULL) {
            *link = s;
            link = &s->next;
        }
        if (p->tok.kind == until)
            break;
        if (p->tok.kind != ALLOY_T_TERMINATOR) {
            parse_fail(p, "expected TERMINATOR, got %s", alloy_token_name(p->tok.kind));
            parse_skip_statement(p);
        }
        parse_next(p);
    }
    p->depth--;
    return first;
}

/* --- files -------------------------------------------------------------------------------- */

static int find_lines(struct alloy_file *f, struct arena *a)
{
    size_t count = 1;
    struct str text = f->source.text;
    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == '\n';
    uint32_t *lines = arena_calloc(a, count, sizeof *lines);
    if (lines == NULL)
        return ERR_NOMEM;
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n')
            lines[n++] = (uint32_t)i + 1;
    f->lines = lines;
    f->line_count = count;
    return 0;
}

int alloy_parse(struct alloy_file **out, const struct alloy_text *source, struct arena *a,
                struct alloy_diags *diags)
{
    struct alloy_pos none = {0};
    if (source->text.len > ALLOY_TEXT_MAX) {
        alloy_diags_add(diags, ALLOY_ERROR, source->name, none, none,
                        STR("the configuration is larger than 4 MiB"));
        return ERR_PARSE;
    }
    struct alloy_file *f = arena_zalloc(a, sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->source = *source;
    if (f->source.text.data == NULL)
        f->source.text = STR("");
    if (find_lines(f, a) != 0)
        return ERR_NOMEM;
    size_t errors = diags->errors;
    struct parser p = {.file = f, .arena = a, .diags = diags, .comments = &f->comments};
    alloy_lexer_init(&p.lexer, f->source.text, on_lexer_error, &p);
    parse_next(&p);
    f->body = parse_body(&p, ALLOY_T_EOF);
    if (p.error == ERR_NOMEM || diags->error != 0)
        return ERR_NOMEM;
    if (diags->errors > errors)
        return ERR_PARSE;
    *out = f;
    return 0;
}
