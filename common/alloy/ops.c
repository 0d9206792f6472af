/* alloy/ops.c - literals, operators, and the conversions between strings and numbers. */
#include "alloy/eval_priv.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* --- literals ----------------------------------------------------------------------------- */

/* Decimal text, no sign, as Go's ParseFloat; strtod needs an end. ERR_PARSE, ERR_LIMIT. */
static int parse_float(struct str s, double *out)
{
    char text[512];
    if (s.len == 0 || s.len >= sizeof text)
        return s.len == 0 ? ERR_PARSE : ERR_LIMIT;
    for (size_t i = 0; i < s.len; i++)
        if (strchr("0123456789.eE+-", s.data[i]) == NULL || s.data[i] == '\0')
            return ERR_PARSE;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    double f = strtod(text, &end);
    if (end != text + s.len)
        return ERR_PARSE;
    if (!isfinite(f))
        return ERR_LIMIT;
    *out = f;
    return 0;
}

/* Octal digits behind a leading zero. */
static int parse_octal(struct str s, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '7' || n >> 61 != 0)
            return ERR_PARSE;
        n = n * 8 + (uint64_t)(s.data[i] - '0');
    }
    *out = n;
    return 0;
}

static int literal_number(struct alloy_eval *ev, const struct alloy_expr *e,
                          struct alloy_value *out)
{
    uint64_t n;
    if (e->op == ALLOY_T_NUMBER) {
        bool octal = e->text.len > 1 && e->text.data[0] == '0';
        if ((octal ? parse_octal(str_skip(e->text, 1), &n) : str_u64(e->text, &n)) == 0) {
            *out = n <= INT64_MAX ? alloy_value_int((int64_t)n) : alloy_value_uint(n);
            return 0;
        }
    }
    double f;
    int rc = parse_float(e->text, &f);
    if (rc != 0)
        return err_set(&ev->err, ERR_PARSE, "strconv.ParseFloat: parsing \"%.*s\": %s",
                       STR_ARG(str_head(e->text, 100)),
                       rc == ERR_LIMIT ? "value out of range" : "invalid syntax");
    *out = alloy_value_float(f);
    return 0;
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* One escape behind its backslash, which the lexer found good: `at` goes behind it. Bytes for
 * octal and \x, a character for \u and \U. */
static size_t unescape(struct str s, size_t *at, char out[4])
{
    static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
    char c = s.data[(*at)++];
    const char *simple = strchr(from, c);
    if (simple != NULL) {
        out[0] = to[simple - from];
        return 1;
    }
    uint32_t value = 0;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
    unsigned base = digits == 3 ? 8 : 16;
    if (base == 8)
        (*at)--;
    for (; digits > 0 && *at < s.len; digits--)
        value = value * base + hex_digit(s.data[(*at)++]);
    if (c == 'u' || c == 'U')
        return alloy_rune_put((int32_t)value, out);
    out[0] = (char)(unsigned char)value;
    return 1;
}

static int literal_string(struct alloy_eval *ev, struct str lit, struct alloy_value *out)
{
    bool raw = lit.data[0] == '`';
    struct str s = str_of(lit.data + 1, lit.len - 2);
    char *text = arena_alloc(ev->arena, s.len + 4);
    if (text == NULL)
        return alloy_eval_nomem(ev);
    size_t n = 0;
    for (size_t at = 0; at < s.len;) {
        char c = s.data[at++];
        if (raw && c == '\r')
            continue;
        if (raw || c != '\\' || at == s.len) {
            text[n++] = c;
            continue;
        }
        char bytes[4];
        size_t count = unescape(s, &at, bytes);
        memcpy(text + n, bytes, count); /* never longer than the escape */
        n += count;
    }
    text[n] = '\0';
    *out = alloy_value_string(str_of(text, n));
    return 0;
}

int alloy_literal(struct alloy_eval *ev, const struct alloy_expr *e, struct alloy_value *out)
{
    if (e->op == ALLOY_T_STRING)
        return literal_string(ev, e->text, out);
    if (e->op == ALLOY_T_NUMBER || e->op == ALLOY_T_FLOAT)
        return literal_number(ev, e, out);
    *out = (struct alloy_value){0};
    if (e->op == ALLOY_T_BOOL)
        *out = alloy_value_bool(e->text.data[0] == 't');
    return 0;
}

/* --- conversions -------------------------------------------------------------------------- */

int alloy_to_string(struct alloy_eval *ev, const struct alloy_path *path,
                    const struct alloy_value *value, struct str *out)
{
    if (value->type == ALLOY_NULL) {
        *out = STR("");
        return 0;
    }
    if (value->type == ALLOY_STRING) {
        *out = str_dup(ev->arena, value->string);
        return out->data == NULL ? alloy_eval_nomem(ev) : 0;
    }
    if (value->type != ALLOY_NUMBER)
        return alloy_fault_type(ev, path, value, ALLOY_STRING);
    struct buf text = {0};
    struct alloy_value v;
    alloy_number_put(value->number, &text);
    int rc = alloy_take_string(ev, &text, &v);
    if (rc == 0)
        *out = v.string;
    return rc;
}

static int parse_number(struct str s, struct alloy_number *out)
{
    int64_t i;
    uint64_t u;
    double f;
    bool fraction = str_find(s, '.') != SIZE_MAX || str_find(s, 'e') != SIZE_MAX ||
                    str_find(s, 'E') != SIZE_MAX;
    if (str_starts_with(s, STR("-"))) {
        if (str_i64(s, &i) != 0)
            return ERR_PARSE;
        *out = (struct alloy_number){.kind = ALLOY_INT, .i = i};
    } else if (fraction) {
        if (parse_float(s, &f) != 0)
            return ERR_PARSE;
        *out = (struct alloy_number){.kind = ALLOY_FLOAT, .f = f};
    } else {
        if (str_u64(s, &u) != 0)
            return ERR_PARSE;
        *out = (struct alloy_number){.kind = ALLOY_UINT, .u = u};
    }
    return 0;
}

int alloy_to_number(struct alloy_eval *ev, const struct alloy_path *path,
                    const struct alloy_value *value, struct alloy_number *out)
{
    if (value->type == ALLOY_NULL) {
        *out = (struct alloy_number){0};
        return 0;
    }
    if (value->type == ALLOY_NUMBER) {
        *out = value->number;
        return 0;
    }
    if (value->type == ALLOY_STRING && parse_number(value->string, out) == 0)
        return 0;
    return alloy_fault_type(ev, path, value, ALLOY_NUMBER);
}

/* --- operators ---------------------------------------------------------------------------- */

int alloy_unary(struct alloy_eval *ev, enum alloy_token_kind op, const struct alloy_value *a,
                struct alloy_value *out)
{
    if (op == ALLOY_T_NOT) {
        if (a->type != ALLOY_BOOL)
            return alloy_fault_type(ev, NULL, a, ALLOY_BOOL);
        *out = alloy_value_bool(!a->boolean);
        return 0;
    }
    if (a->type != ALLOY_NUMBER)
        return alloy_fault_type(ev, NULL, a, ALLOY_NUMBER);
    if (a->number.kind == ALLOY_FLOAT)
        *out = alloy_value_float(-a->number.f);
    else
        *out = alloy_value_int((int64_t)(0 - a->number.u));
    return 0;
}

static bool is_secret(const struct alloy_value *v)
{
    return v->type == ALLOY_CAPSULE && str_eq(str_c(v->capsule->type), STR(ALLOY_SECRET_TYPE));
}

/* Types an operator takes, as its messages list them. */
static const char *allowed_types(enum alloy_token_kind op)
{
    if (op == ALLOY_T_OR || op == ALLOY_T_AND)
        return "[bool]";
    if (op == ALLOY_T_ADD)
        return "[number string capsule]";
    if (op >= ALLOY_T_LT && op <= ALLOY_T_GTE)
        return "[number string]";
    return "[number]";
}

static bool is_allowed(enum alloy_token_kind op, const struct alloy_value *v)
{
    if (op == ALLOY_T_OR || op == ALLOY_T_AND)
        return v->type == ALLOY_BOOL;
    if (v->type == ALLOY_STRING)
        return op == ALLOY_T_ADD || (op >= ALLOY_T_LT && op <= ALLOY_T_GTE);
    return v->type == ALLOY_NUMBER || (v->type == ALLOY_CAPSULE && op == ALLOY_T_ADD);
}

static int check_side(struct alloy_eval *ev, enum alloy_token_kind op,
                      const struct alloy_value *v)
{
    if (is_allowed(op, v))
        return 0;
    return alloy_fault(ev, NULL, v, "should be one of %s for binop %s, got %s",
                       allowed_types(op), alloy_token_name(op), alloy_type_name(v->type));
}

static int join(struct alloy_eval *ev, struct str a, struct str b, struct str *out)
{
    char *text = arena_alloc(ev->arena, a.len + b.len + 1);
    if (text == NULL)
        return alloy_eval_nomem(ev);
    if (a.len > 0)
        memcpy(text, a.data, a.len);
    if (b.len > 0)
        memcpy(text + a.len, b.data, b.len);
    text[a.len + b.len] = '\0';
    *out = str_of(text, a.len + b.len);
    return 0;
}

static uint64_t power(uint64_t base, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    return result;
}

/* Go's loop from 2 leaves n alone when m is negative. */
static int64_t power_signed(int64_t n, int64_t m)
{
    if (m == 0 || n == 1)
        return 1;
    return m < 0 ? n : (int64_t)power((uint64_t)n, (uint64_t)m);
}

static struct alloy_value floats(enum alloy_token_kind op, double a, double b)
{
    switch ((int)op) {
    case ALLOY_T_ADD:
        return alloy_value_float(a + b);
    case ALLOY_T_SUB:
        return alloy_value_float(a - b);
    case ALLOY_T_MUL:
        return alloy_value_float(a * b);
    case ALLOY_T_DIV:
        return alloy_value_float(a / b);
    case ALLOY_T_MOD:
        return alloy_value_float(fmod(a, b));
    case ALLOY_T_POW:
        return alloy_value_float(pow(a, b));
    case ALLOY_T_LT:
        return alloy_value_bool(a < b);
    case ALLOY_T_LTE:
        return alloy_value_bool(a <= b);
    case ALLOY_T_GT:
        return alloy_value_bool(a > b);
    default:
        return alloy_value_bool(a >= b);
    }
}

static struct alloy_value compared(enum alloy_token_kind op, int order)
{
    switch ((int)op) {
    case ALLOY_T_LT:
        return alloy_value_bool(order < 0);
    case ALLOY_T_LTE:
        return alloy_value_bool(order <= 0);
    case ALLOY_T_GT:
        return alloy_value_bool(order > 0);
    default:
        return alloy_value_bool(order >= 0);
    }
}

/* Whole numbers wrap. b is not 0 for / and %. */
static struct alloy_value integers(enum alloy_token_kind op, uint64_t a, uint64_t b, bool sign)
{
    uint64_t r;
    int64_t x = (int64_t)a, y = (int64_t)b;
    switch ((int)op) {
    case ALLOY_T_ADD:
        r = a + b;
        break;
    case ALLOY_T_SUB:
        r = a - b;
        break;
    case ALLOY_T_MUL:
        r = a * b;
        break;
    case ALLOY_T_DIV:
        r = !sign ? a / b : y == -1 ? 0 - a : (uint64_t)(x / y);
        break;
    case ALLOY_T_MOD:
        r = !sign ? a % b : y == -1 ? 0 : (uint64_t)(x % y);
        break;
    case ALLOY_T_POW:
        r = sign ? (uint64_t)power_signed(x, y) : power(a, b);
        break;
    default:
        return compared(op, sign ? (x > y) - (x < y) : (a > b) - (a < b));
    }
    return sign ? alloy_value_int((int64_t)r) : alloy_value_uint(r);
}

static int numbers(struct alloy_eval *ev, enum alloy_token_kind op, const struct alloy_value *a,
                   const struct alloy_value *b, struct alloy_value *out)
{
    bool zero = b->number.kind == ALLOY_FLOAT ? b->number.f == 0.0 : b->number.u == 0;
    if (zero && (op == ALLOY_T_DIV || op == ALLOY_T_MOD))
        return alloy_fault(ev, NULL, b, "divide by zero error");
    enum alloy_number_kind kind =
        a->number.kind > b->number.kind ? a->number.kind : b->number.kind;
    if (kind == ALLOY_FLOAT)
        *out = floats(op, alloy_number_float(a->number), alloy_number_float(b->number));
    else
        *out = integers(op, a->number.u, b->number.u, kind == ALLOY_INT);
    return 0;
}

/* Two capsules, or one and a string. */
static int capsules(struct alloy_eval *ev, enum alloy_token_kind op,
                    const struct alloy_value *a, const struct alloy_value *b,
                    struct alloy_value *out)
{
    bool texts =
        (is_secret(a) || a->type == ALLOY_STRING) && (is_secret(b) || b->type == ALLOY_STRING);
    if (!texts && a->type != b->type)
        return alloy_fault_type(ev, NULL, b, a->type);
    if (!texts)
        return alloy_fault(
            ev, NULL, a, "could not perform binop %s for unknown types lhs %s rhs %s",
            alloy_token_name(op), alloy_type_name(a->type), alloy_type_name(b->type));
    struct str text;
    int rc = join(ev, is_secret(a) ? a->capsule->secret : a->string,
                  is_secret(b) ? b->capsule->secret : b->string, &text);
    return rc != 0 ? rc : alloy_make_secret(ev, text, out);
}

/* A secret and a string are compared as texts. */
static bool equal(const struct alloy_value *a, const struct alloy_value *b)
{
    if (is_secret(a) && b->type == ALLOY_STRING)
        return str_eq(a->capsule->secret, b->string);
    if (is_secret(b) && a->type == ALLOY_STRING)
        return str_eq(b->capsule->secret, a->string);
    return alloy_value_equal(a, b);
}

int alloy_binary(struct alloy_eval *ev, enum alloy_token_kind op, const struct alloy_value *a,
                 const struct alloy_value *b, struct alloy_value *out)
{
    if (op == ALLOY_T_EQ || op == ALLOY_T_NEQ) {
        *out = alloy_value_bool(equal(a, b) == (op == ALLOY_T_EQ));
        return 0;
    }
    int rc = check_side(ev, op, a);
    if (rc == 0)
        rc = check_side(ev, op, b);
    if (rc != 0)
        return rc;
    if (a->type == ALLOY_CAPSULE || b->type == ALLOY_CAPSULE)
        return capsules(ev, op, a, b, out);
    if (a->type != b->type)
        return alloy_fault_type(ev, NULL, b, a->type);
    if (a->type == ALLOY_BOOL) {
        *out = alloy_value_bool(op == ALLOY_T_OR ? a->boolean || b->boolean
                                                 : a->boolean && b->boolean);
        return 0;
    }
    if (a->type == ALLOY_NUMBER)
        return numbers(ev, op, a, b, out);
    if (op != ALLOY_T_ADD) {
        *out = compared(op, str_cmp(a->string, b->string));
        return 0;
    }
    struct str text;
    rc = join(ev, a->string, b->string, &text);
    if (rc == 0)
        *out = alloy_value_string(text);
    return rc;
}
