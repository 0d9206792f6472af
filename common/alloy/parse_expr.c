/* alloy/parse_expr.c - tokens into expressions, by recursive descent of bounded depth. */
#include "alloy/parse_priv.h"

#include "base/err.h"

static struct alloy_expr *new_expr(struct parser *p, enum alloy_expr_kind kind, uint32_t start)
{
    struct alloy_expr *e = parse_new_node(p, sizeof *e);
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
        parse_give_up(p, ERR_PARSE, "the configuration is nested too deeply");
}

static struct alloy_expr *parse_token_expr(struct parser *p, enum alloy_expr_kind kind)
{
    struct alloy_expr *e = new_expr(p, kind, p->tok.offset);
    if (e != NULL) {
        e->op = p->tok.kind;
        e->text = p->tok.text;
        e->end = e->start + (uint32_t)e->text.len - 1;
    }
    parse_next(p);
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
            parse_fail(p, "missing ',' in expression list");
        parse_next(p);
    }
}

static struct alloy_key *parse_field(struct parser *p)
{
    struct alloy_key *k = parse_new_node(p, sizeof *k);
    if (k == NULL)
        return NULL;
    k->start = p->tok.offset;
    if (p->tok.kind == ALLOY_T_STRING || p->tok.kind == ALLOY_T_IDENT) {
        k->name = k->literal = p->tok.text;
        if (p->tok.kind == ALLOY_T_STRING && k->name.len > 2) {
            k->name = str_of(k->literal.data + 1, k->literal.len - 2);
            k->quoted = true;
        }
        parse_next(p);
    } else {
        parse_fail(p, "expected field name (string or identifier), got %s",
                   alloy_token_name(p->tok.kind));
        parse_advance_to(p, ALLOY_T_ASSIGN);
    }
    (void)parse_expect(p, ALLOY_T_ASSIGN);
    k->value = parse_expr(p);
    return k->value == NULL ? NULL : k;
}

static struct alloy_expr *parse_object(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_OBJECT, p->tok.offset);
    if (e == NULL)
        return NULL;
    parse_next(p);
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
            parse_fail(p, "missing ',' in field list");
        parse_next(p);
    }
    e->end = parse_expect(p, ALLOY_T_RCURLY).offset;
    return e;
}

static struct alloy_expr *parse_array(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_ARRAY, p->tok.offset);
    if (e == NULL)
        return NULL;
    parse_next(p);
    parse_list(p, e, ALLOY_T_RBRACK);
    e->end = parse_expect(p, ALLOY_T_RBRACK).offset;
    return e;
}

static struct alloy_expr *parse_paren(struct parser *p)
{
    struct alloy_expr *e = new_expr(p, ALLOY_E_PAREN, p->tok.offset);
    if (e == NULL)
        return NULL;
    parse_next(p);
    e->left = parse_expr(p);
    if (e->left == NULL)
        return NULL;
    contain(p, e, e->left);
    e->end = parse_expect(p, ALLOY_T_RPAREN).offset;
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
    parse_fail(p, "expected expression, got %s", alloy_token_name(p->tok.kind));
    struct alloy_expr *e = new_expr(p, ALLOY_E_LITERAL, p->tok.offset);
    if (e != NULL) {
        e->op = ALLOY_T_NULL;
        e->text = STR("null");
    }
    while (!ends_expression(p->tok.kind))
        parse_next(p);
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
    parse_next(p);
    if (kind == ALLOY_E_ACCESS) {
        struct alloy_token name = parse_expect(p, ALLOY_T_IDENT);
        e->text = name.text;
        e->mark = name.offset;
        e->end = name.offset + (uint32_t)name.text.len - (name.text.len > 0);
    } else if (kind == ALLOY_E_INDEX) {
        e->right = parse_expr(p);
        if (e->right == NULL)
            return NULL;
        contain(p, e, e->right);
        e->end = parse_expect(p, ALLOY_T_RBRACK).offset;
    } else {
        parse_list(p, e, ALLOY_T_RPAREN);
        e->end = parse_expect(p, ALLOY_T_RPAREN).offset;
    }
    return e;
}

/* Someone assigns a block to an attribute: read it as one and say so. False: gave up on the
 * statement. */
static bool parse_block_as_value(struct parser *p, const struct alloy_expr *value)
{
    if (p->tok.kind == ALLOY_T_STRING)
        parse_next(p);
    if (parse_expect(p, ALLOY_T_LCURLY).kind != ALLOY_T_LCURLY) {
        parse_skip_statement(p);
        return false;
    }
    (void)parse_body(p, ALLOY_T_RCURLY);
    struct alloy_token end = parse_expect(p, ALLOY_T_RCURLY);
    if (end.kind != ALLOY_T_RCURLY) {
        parse_skip_statement(p);
        return false;
    }
    parse_add_diag(p, value->start, end.offset, "cannot use a block as an expression");
    return true;
}

static struct alloy_expr *parse_unary(struct parser *p)
{
    if (p->tok.kind == ALLOY_T_NOT || p->tok.kind == ALLOY_T_SUB) {
        struct alloy_expr *e = new_expr(p, ALLOY_E_UNARY, p->tok.offset);
        if (e == NULL || !parse_enter(p))
            return NULL;
        e->op = p->tok.kind;
        parse_next(p);
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
    if (!parse_enter(p))
        return NULL;
    parse_next(p);
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
        parse_next(p);
        left = new_binary(p, left, op, parse_binary(p, precedence + 1));
    }
    return left;
}

/* NULL only when the parser gave up. */
struct alloy_expr *parse_expr(struct parser *p)
{
    if (!parse_enter(p))
        return NULL;
    struct alloy_expr *e = parse_binary(p, 1);
    p->depth--;
    return e;
}
