/* alloy/parse.c - tokens into a tree, by recursive descent of bounded depth. */
#include "alloy/ast.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum { MESSAGE_MAX = 1024, NAME_PARTS_MAX = 32 };

struct parser {
    struct alloy_file *file;
    struct arena *arena;
    struct alloy_diags *diags;
    struct alloy_lexer lexer;
    struct alloy_token tok;
    uint32_t error_line; /* of the last parse error: one a line is kept */
    uint32_t depth, nodes;
    struct alloy_comment **comments;
    uint32_t comment_line; /* where the last comment ended */
    bool over;             /* a limit was hit, or no memory: nothing more is read */
    int error;
};

static struct alloy_expr *parse_expr(struct parser *p);
static struct alloy_stmt *parse_body(struct parser *p, enum alloy_token_kind until);

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

static void add_diag(struct parser *p, uint32_t start, uint32_t end, const char *message)
{
    alloy_diags_add(p->diags, ALLOY_ERROR, p->file->source.name, alloy_pos_at(p->file, start),
                    alloy_pos_at(p->file, end), str_c(message));
}

static void on_lexer_error(void *arg, uint32_t offset, const char *message)
{
    add_diag(arg, offset, ALLOY_NO_OFFSET, message);
}

/* An error at the current token, unless the line has one already. */
static void fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct parser *p, const char *fmt, ...)
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
    add_diag(p, p->tok.offset, ALLOY_NO_OFFSET, message);
}

/* Read no more: every loop ends at EOF. */
static void give_up(struct parser *p, int error, const char *message)
{
    if (p->over)
        return;
    if (message != NULL)
        add_diag(p, p->tok.offset, ALLOY_NO_OFFSET, message);
    p->over = true;
    p->error = error;
    p->tok.kind = ALLOY_T_EOF;
}

static void *new_node(struct parser *p, size_t size)
{
    if (++p->nodes > ALLOY_TREE_MAX)
        give_up(p, ERR_PARSE, "the configuration has too many expressions");
    void *n = arena_zalloc(p->arena, size);
    if (n == NULL)
        give_up(p, ERR_NOMEM, NULL);
    return n;
}

static void keep_comment(struct parser *p)
{
    struct alloy_comment *c = new_node(p, sizeof *c);
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
static void next(struct parser *p)
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

static void advance_to(struct parser *p, enum alloy_token_kind kind)
{
    while (p->tok.kind != ALLOY_T_EOF && p->tok.kind != kind)
        next(p);
}

/* Take a token of this kind; another one is an error and taken too. Returns what was there. */
static struct alloy_token expect(struct parser *p, enum alloy_token_kind kind)
{
    struct alloy_token t = p->tok;
    if (t.kind != kind)
        fail(p, "expected %s, got %s", alloy_token_name(kind), alloy_token_name(t.kind));
    next(p);
    return t;
}

/* Go on behind the end of a statement that cannot be read, brackets counted. */
static void skip_statement(struct parser *p)
{
    int64_t curly = 0, brack = 0, paren = 0;
    while (p->tok.kind != ALLOY_T_EOF) {
        enum alloy_token_kind k = p->tok.kind;
        curly += (k == ALLOY_T_LCURLY) - (k == ALLOY_T_RCURLY);
        brack += (k == ALLOY_T_LBRACK) - (k == ALLOY_T_RBRACK);
        paren += (k == ALLOY_T_LPAREN) - (k == ALLOY_T_RPAREN);
        if (k == ALLOY_T_TERMINATOR && curly <= 0 && brack <= 0 && paren <= 0)
            return;
        next(p);
    }
}

/* Enter one level; false, with a diagnostic, when it is one too many. */
static bool enter(struct parser *p)
{
    if (p->depth >= ALLOY_DEPTH_MAX) {
        give_up(p, ERR_PARSE, "the configuration is nested too deeply");
        return false;
    }
    p->depth++;
    return true;
}

/* --- expressions --------------------------------------------------------------------------- */

static struct alloy_expr *new_expr(struct parser *p, enum alloy_expr_kind kind, uint32_t start)
{
    struct alloy_expr *e = new_node(p, sizeof *e);
    if (e == NULL)
        return NULL;
    *e = (struct alloy_expr){.kind = kind, .start = start, .end = start, .depth = 1};
    return e;
}

/* e is one deeper than `inside`. */
static void contain(struct parser *p, struct alloy_expr *e, const struct alloy_expr *inside)
{
    if (inside->depth >= e->depth)
        e->depth = inside->depth + 1;
    if (e->depth > ALLOY_DEPTH_MAX)
        give_up(p, ERR_PARSE, "the configuration is nested too deeply");
}

static struct alloy_expr *parse_token_expr(struct parser *p, enum alloy_expr_kind kind)
{
    struct alloy_expr *e = new_expr(p, kind, p->tok.offset);
    if (e != NULL) {
        e->op = p->tok.kind;
        e->text = p->tok.text;
        e->end = e->start + (uint32_t)e->text.len - 1;
    }
    next(p);
    return e;
}

/* Elements or arguments up to `until`, which is not taken. */
static void parse_list(struct parser *p, struct alloy_expr *into, enum alloy_token_kind until)
{
    struct alloy_expr **link = &into->first;
    while (p->tok.kind != until && p->tok.kind != ALLOY_T_EOF) {
        struct alloy_expr *e = parse_expr(p);
        if (e == NULL)
            return;
        contain(p, into, e);
        *link = e;
        link = &e->next;
        into->count++;
        if (p->tok.kind == until)
            return;
        if (p->tok.kind != ALLOY_T_COMMA)
            fail(p, "missing ',' in expression list");
        next(p);
    }
}

static struct alloy_key *parse_field(struct parser *p)
{
    struct alloy_key *k = new_node(p, sizeof *k);
    if (k == NULL)
        return NULL;
    k->start = p->tok.offset;
    if (p->tok.kind == ALLOY_T_STRING || p->tok.kind == ALLOY_T_IDENT) {
        k->name = k->literal = p->tok.text;
        if (p->tok.kind == ALLOY_T_STRING && k->name.len > 2) {
            k->name = str_of(k->literal.data + 1, k->literal.len - 2);
            k->quoted = true;
        }
        next(p);
    } else {
        fail(p, "expected field name (string or identifier), got %s",
             alloy_token_name(p->tok.kind));
        advance_to(p, ALLOY_T_ASSIGN);
    }
    (void)expect(p, ALLOY_T_ASSIGN);
    k->value = parse_expr(p);
    return k->value == NULL ? NULL : k;
}

static struct alloy_expr *parse_object(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_OBJECT, p->tok.offset);
    if (e == NULL)
        return NULL;
    next(p);
    struct alloy_key **link = &e->fields;
    while (p->tok.kind != ALLOY_T_RCURLY && p->tok.kind != ALLOY_T_EOF) {
        struct alloy_key *k = parse_field(p);
        if (k == NULL)
            return NULL;
        contain(p, e, k->value);
        *link = k;
        link = &k->next;
        e->count++;
        if (p->tok.kind == ALLOY_T_RCURLY)
            break;
        if (p->tok.kind != ALLOY_T_COMMA)
            fail(p, "missing ',' in field list");
        next(p);
    }
    e->end = expect(p, ALLOY_T_RCURLY).offset;
    return e;
}

static struct alloy_expr *parse_array(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_ARRAY, p->tok.offset);
    if (e == NULL)
        return NULL;
    next(p);
    parse_list(p, e, ALLOY_T_RBRACK);
    e->end = expect(p, ALLOY_T_RBRACK).offset;
    return e;
}

static struct alloy_expr *parse_paren(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_PAREN, p->tok.offset);
    if (e == NULL)
        return NULL;
    next(p);
    e->left = parse_expr(p);
    if (e->left == NULL)
        return NULL;
    contain(p, e, e->left);
    e->end = expect(p, ALLOY_T_RPAREN).offset;
    return e;
}

static bool ends_expression(enum alloy_token_kind k)
{
    return k == ALLOY_T_TERMINATOR || k == ALLOY_T_RPAREN || k == ALLOY_T_RCURLY ||
           k == ALLOY_T_RBRACK || k == ALLOY_T_COMMA || k == ALLOY_T_EOF;
}

static struct alloy_expr *parse_primary(struct parser *p)
{
    switch ((int)p->tok.kind) {
    case ALLOY_T_IDENT:
        return parse_token_expr(p, ALLOY_E_IDENT);
    case ALLOY_T_STRING:
    case ALLOY_T_NUMBER:
    case ALLOY_T_FLOAT:
    case ALLOY_T_BOOL:
    case ALLOY_T_NULL:
        return parse_token_expr(p, ALLOY_E_LITERAL);
    case ALLOY_T_LPAREN:
        return parse_paren(p);
    case ALLOY_T_LBRACK:
        return parse_array(p);
    case ALLOY_T_LCURLY:
        return parse_object(p);
    default:
        break;
    }
    fail(p, "expected expression, got %s", alloy_token_name(p->tok.kind));
    struct alloy_expr *e = new_expr(p, ALLOY_E_LITERAL, p->tok.offset);
    if (e != NULL) {
        e->op = ALLOY_T_NULL;
        e->text = STR("null");
    }
    while (!ends_expression(p->tok.kind))
        next(p);
    return e;
}

/* value.name, value[index] or value(arguments); the operator is current. */
static struct alloy_expr *parse_postfix(struct parser *p, struct alloy_expr *value)
{
    struct alloy_token op = p->tok;
    enum alloy_expr_kind kind = op.kind == ALLOY_T_DOT      ? ALLOY_E_ACCESS
                                : op.kind == ALLOY_T_LBRACK ? ALLOY_E_INDEX
                                                            : ALLOY_E_CALL;
    struct alloy_expr *e = new_expr(p, kind, value->start);
    if (e == NULL)
        return NULL;
    e->left = value;
    e->mark = op.offset;
    contain(p, e, value);
    next(p);
    if (kind == ALLOY_E_ACCESS) {
        struct alloy_token name = expect(p, ALLOY_T_IDENT);
        e->text = name.text;
        e->mark = name.offset;
        e->end = name.offset + (uint32_t)name.text.len - (name.text.len > 0);
    } else if (kind == ALLOY_E_INDEX) {
        e->right = parse_expr(p);
        if (e->right == NULL)
            return NULL;
        contain(p, e, e->right);
        e->end = expect(p, ALLOY_T_RBRACK).offset;
    } else {
        parse_list(p, e, ALLOY_T_RPAREN);
        e->end = expect(p, ALLOY_T_RPAREN).offset;
    }
    return e;
}

/* Someone assigns a block to an attribute: read it as one and say so. False: gave up on the
 * statement. */
static bool parse_block_as_value(struct parser *p, const struct alloy_expr *value)
{
    if (p->tok.kind == ALLOY_T_STRING)
        next(p);
    if (expect(p, ALLOY_T_LCURLY).kind != ALLOY_T_LCURLY) {
        skip_statement(p);
        return false;
    }
    (void)parse_body(p, ALLOY_T_RCURLY);
    struct alloy_token end = expect(p, ALLOY_T_RCURLY);
    if (end.kind != ALLOY_T_RCURLY) {
        skip_statement(p);
        return false;
    }
    add_diag(p, value->start, end.offset, "cannot use a block as an expression");
    return true;
}

static struct alloy_expr *parse_unary(struct parser *p)
{
    if (p->tok.kind == ALLOY_T_NOT || p->tok.kind == ALLOY_T_SUB) {
        struct alloy_expr *e = new_expr(p, ALLOY_E_UNARY, p->tok.offset);
        if (e == NULL || !enter(p))
            return NULL;
        e->op = p->tok.kind;
        next(p);
        e->left = parse_unary(p);
        p->depth--;
        if (e->left == NULL)
            return NULL;
        contain(p, e, e->left);
        e->end = e->left->end;
        return e;
    }
    struct alloy_expr *e = parse_primary(p);
    while (e != NULL) {
        enum alloy_token_kind k = p->tok.kind;
        if (k == ALLOY_T_DOT || k == ALLOY_T_LBRACK || k == ALLOY_T_LPAREN)
            e = parse_postfix(p, e);
        else if (k != ALLOY_T_STRING && k != ALLOY_T_LCURLY)
            break;
        else if (!parse_block_as_value(p, e))
            break;
    }
    return e;
}

static struct alloy_expr *new_binary(struct parser *p, struct alloy_expr *left,
                                     struct alloy_token op, struct alloy_expr *right)
{
    if (right == NULL)
        return NULL;
    struct alloy_expr *e = new_expr(p, ALLOY_E_BINARY, left->start);
    if (e == NULL)
        return NULL;
    e->left = left;
    e->op = op.kind;
    e->mark = op.offset;
    e->right = right;
    e->end = right->end;
    contain(p, e, left);
    contain(p, e, right);
    return e;
}

/* a ^ b ^ c is a ^ (b ^ c). */
static struct alloy_expr *parse_pow(struct parser *p)
{
    struct alloy_expr *left = parse_unary(p);
    if (left == NULL || p->tok.kind != ALLOY_T_POW)
        return left;
    struct alloy_token op = p->tok;
    if (!enter(p))
        return NULL;
    next(p);
    struct alloy_expr *e = new_binary(p, left, op, parse_pow(p));
    p->depth--;
    return e;
}

/* Operators of at least this precedence; recursion is one level per precedence. */
static struct alloy_expr *parse_binary(struct parser *p, int least)
{
    struct alloy_expr *left = parse_pow(p);
    while (left != NULL) {
        struct alloy_token op = p->tok;
        int precedence = alloy_token_precedence(op.kind);
        if (precedence < least)
            break;
        next(p);
        left = new_binary(p, left, op, parse_binary(p, precedence + 1));
    }
    return left;
}

/* NULL only when the parser gave up. */
static struct alloy_expr *parse_expr(struct parser *p)
{
    if (!enter(p))
        return NULL;
    struct alloy_expr *e = parse_binary(p, 1);
    p->depth--;
    return e;
}

/* --- statements ---------------------------------------------------------------------------- */

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
        give_up(p, ERR_NOMEM, NULL);
        return false;
    }
    memcpy(joined, b->name.data, b->name.len);
    joined[b->name.len] = '.';
    if (part.len > 0)
        memcpy(joined + b->name.len + 1, part.data, part.len);
    b->name = str_of(joined, b->name.len + 1 + part.len);
    return true;
}

static void parse_label(struct parser *p, struct block_name *b)
{
    if (p->tok.kind == ALLOY_T_STRING) {
        struct str lit = p->tok.text;
        if (lit.data[0] != '"')
            fail(p, "expected block label to be a double quoted string, but got \"%.*s\"",
                 STR_ARG(str_head(lit, 200)));
        if (lit.len > 2) {
            b->label = str_of(lit.data + 1, lit.len - 2);
            if (!alloy_is_identifier(b->label))
                fail(p, "expected block label to be a valid identifier, but got \"%.*s\"",
                     STR_ARG(str_head(b->label, 200)));
        }
        b->label_at = p->tok.offset;
    } else {
        fail(p, "expected block label, got %s", alloy_token_name(p->tok.kind));
    }
    next(p);
}

static bool parse_name(struct parser *p, struct block_name *b)
{
    if (p->tok.kind != ALLOY_T_IDENT) {
        fail(p, "expected identifier, got %s", alloy_token_name(p->tok.kind));
        return false;
    }
    *b = (struct block_name){p->tok.text, 1, p->tok.text, p->tok.offset, {0}, ALLOY_NO_OFFSET};
    next(p);
    while (p->tok.kind == ALLOY_T_DOT) {
        next(p);
        if (p->tok.kind != ALLOY_T_IDENT)
            fail(p, "expected identifier, got %s", alloy_token_name(p->tok.kind));
        if (b->parts >= NAME_PARTS_MAX || !append_part(p, b, p->tok.text)) {
            give_up(p, ERR_PARSE, "the name has too many parts");
            return false;
        }
        next(p);
    }
    if (p->tok.kind != ALLOY_T_ASSIGN && p->tok.kind != ALLOY_T_LCURLY)
        parse_label(p, b);
    return true;
}

static struct alloy_stmt *parse_attribute(struct parser *p, const struct block_name *b)
{
    struct alloy_stmt *s = new_node(p, sizeof *s);
    if (s == NULL)
        return NULL;
    next(p);
    if (b->parts != 1)
        add_diag(p, b->start, b->start + (uint32_t)b->name.len - 1,
                 "attribute names may only consist of a single identifier with no \".\"");
    else if (b->label_at != ALLOY_NO_OFFSET)
        add_diag(p, b->label_at, b->label_at + (uint32_t)b->label.len + 1,
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
    struct alloy_stmt *s = new_node(p, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct alloy_stmt){.name = b->name, .start = b->start, .label = b->label,
                             .label_at = b->label_at, .open = p->tok.offset};
    next(p);
    s->body = parse_body(p, ALLOY_T_RCURLY);
    s->end = expect(p, ALLOY_T_RCURLY).offset;
    return s;
}

static struct alloy_stmt *parse_statement(struct parser *p)
{
    struct block_name b;
    if (!parse_name(p, &b)) {
        advance_to(p, ALLOY_T_IDENT);
        return NULL;
    }
    if (p->tok.kind == ALLOY_T_ASSIGN)
        return parse_attribute(p, &b);
    if (p->tok.kind == ALLOY_T_LCURLY)
        return parse_block(p, &b);
    if (b.parts == 1 && b.label.len == 0)
        fail(p, "expected attribute assignment or block body, got %s",
             alloy_token_name(p->tok.kind));
    else
        fail(p, "expected block body, got %s", alloy_token_name(p->tok.kind));
    advance_to(p, ALLOY_T_IDENT);
    return NULL;
}

static struct alloy_stmt *parse_body(struct parser *p, enum alloy_token_kind until)
{
    struct alloy_stmt *first = NULL, **link = &first;
    if (!enter(p))
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
            fail(p, "expected TERMINATOR, got %s", alloy_token_name(p->tok.kind));
            skip_statement(p);
        }
        next(p);
    }
    p->depth--;
    return first;
}

/* --- files --------------------------------------------------------------------------------- */

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
    next(&p);
    f->body = parse_body(&p, ALLOY_T_EOF);
    if (p.error == ERR_NOMEM || diags->error != 0)
        return ERR_NOMEM;
    if (diags->errors > errors)
        return ERR_PARSE;
    *out = f;
    return 0;
}
