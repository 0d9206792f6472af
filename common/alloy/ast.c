/* alloy/ast.c - comparing trees, and quoting as trees are written. */
#include "alloy/ast.h"

#include "alloy/format.h"

static bool expr_equal(const struct alloy_expr *a, const struct alloy_expr *b);

static bool fields_equal(const struct alloy_key *a, const struct alloy_key *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (!str_eq(a->name, b->name) || !expr_equal(a->value, b->value))
            return false;
    return a == b;
}

static bool list_equal(const struct alloy_expr *a, const struct alloy_expr *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (!expr_equal(a, b))
            return false;
    return a == b;
}

static bool expr_equal(const struct alloy_expr *a, const struct alloy_expr *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->kind == b->kind && a->op == b->op && str_eq(a->text, b->text) &&
           expr_equal(a->left, b->left) && expr_equal(a->right, b->right) &&
           list_equal(a->first, b->first) && fields_equal(a->fields, b->fields);
}

bool alloy_ast_equal(const struct alloy_stmt *a, const struct alloy_stmt *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next)
        if (!str_eq(a->name, b->name) || !str_eq(a->label, b->label) ||
            !expr_equal(a->value, b->value) || !alloy_ast_equal(a->body, b->body))
            return false;
    return a == b;
}

void alloy_quote(struct str s, struct buf *out)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    buf_u8(out, '"');
    for (size_t at = 0, n; at < s.len; at += n) {
        int32_t rune = alloy_rune(str_skip(s, at), &n);
        const char *escape = rune > 0 && rune < 0x80 ? strchr(from, rune) : NULL;
        if (escape != NULL)
            buf_printf(out, "\\%c", to[escape - from]);
        else if (rune < 0)
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)s.data[at]);
        else if (rune < 0x20 || rune == 0x7f)
            buf_printf(out, "\\x%02x", (unsigned)rune);
        else if (!alloy_is_printable(rune))
            buf_printf(out, "\\%c%0*x", rune < 0x10000 ? 'u' : 'U', rune < 0x10000 ? 4 : 8,
                       (unsigned)rune);
        else
            buf_put(out, s.data + at, n);
    }
    buf_u8(out, '"');
}
