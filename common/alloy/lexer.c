/* alloy/lexer.c - bytes into tokens. */
#include "alloy/token.h"

#include <stdio.h>

enum { BOM = 0xfeff, RUNE_MAX = 0x10ffff, END = -1, BAD = 0xfffd };

static const char *const names[] = {
#define X(name, text) [ALLOY_T_##name] = (text),
    ALLOY_TOKENS(X)
#undef X
};

const char *alloy_token_name(enum alloy_token_kind kind)
{
    return names[kind];
}

int alloy_token_precedence(enum alloy_token_kind kind)
{
    if (kind == ALLOY_T_OR)
        return 1;
    if (kind == ALLOY_T_AND)
        return 2;
    if (kind >= ALLOY_T_EQ && kind <= ALLOY_T_GTE)
        return 3;
    if (kind == ALLOY_T_ADD || kind == ALLOY_T_SUB)
        return 4;
    if (kind == ALLOY_T_MUL || kind == ALLOY_T_DIV || kind == ALLOY_T_MOD)
        return 5;
    return kind == ALLOY_T_POW ? 6 : 0;
}

int32_t alloy_rune(struct str s, size_t *size)
{
    const unsigned char *p = (const unsigned char *)s.data;
    *size = 1;
    if (p[0] < 0x80)
        return p[0];
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    if (n == 1 || n > s.len || !str_is_utf8(str_head(s, n)))
        return -1;
    int32_t rune = p[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++)
        rune = rune << 6 | (p[i] & 0x3f);
    *size = n;
    return rune;
}

size_t alloy_rune_put(int32_t rune, char out[4])
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    size_t n = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; rune >>= 6)
        out[i] = (char)(0x80 | (rune & 0x3f));
    out[0] = (char)(lead[n] | rune);
    return n;
}

static void fail(struct alloy_lexer *l, uint32_t offset, const char *message)
{
    l->error(l->arg, offset, message);
}

/* Step to the next character and say what is wrong with it. */
static void step(struct alloy_lexer *l)
{
    l->at = l->next;
    if (l->next >= l->text.len) {
        l->ch = END;
        return;
    }
    size_t size;
    l->ch = alloy_rune(str_skip(l->text, l->at), &size);
    if (l->ch == 0)
        fail(l, l->at, "illegal character NUL");
    else if (l->ch < 0)
        fail(l, l->at, "illegal UTF-8 encoding");
    else if (l->ch == BOM && l->at > 0)
        fail(l, l->at, "illegal byte order mark");
    if (l->ch < 0)
        l->ch = BAD;
    l->next = l->at + (uint32_t)size;
}

void alloy_lexer_init(struct alloy_lexer *l, struct str text,
                      void (*error)(void *arg, uint32_t offset, const char *message), void *arg)
{
    *l = (struct alloy_lexer){.text = text, .error = error, .arg = arg};
    step(l);
    if (l->ch == BOM)
        step(l);
}

static bool is_name_start(int32_t ch)
{
    return ch == '_' || alloy_is_letter(ch);
}

static bool is_decimal(int32_t ch)
{
    return ch >= '0' && ch <= '9';
}

bool alloy_is_identifier(struct str s)
{
    for (size_t at = 0, n; at < s.len; at += n) {
        int32_t ch = alloy_rune(str_skip(s, at), &n);
        if (!is_name_start(ch) && (at == 0 || !alloy_is_digit(ch)))
            return false;
    }
    return s.len > 0;
}

bool alloy_is_printable(int32_t ch)
{
    if (ch < 0x80)
        return ch >= 0x20 && ch < 0x7f;
    return ch > 0xa0 && ch != 0xad && ch != 0x1680 && !(ch >= 0x2000 && ch <= 0x200f) &&
           !(ch >= 0x2028 && ch <= 0x202f) && !(ch >= 0x205f && ch <= 0x206f) && ch != 0x3000 &&
           !(ch >= 0xe000 && ch <= 0xf8ff) && ch != BOM && !(ch >= 0xfff0 && ch <= 0xfffb) &&
           ch < 0xe0000;
}

/* "illegal character U+0023 '#'" and what follows. */
static void fail_character(struct alloy_lexer *l, uint32_t offset, int32_t ch,
                           const char *where)
{
    char quoted[8] = "", message[96];
    if (alloy_is_printable(ch)) {
        quoted[0] = ' ';
        quoted[1] = '\'';
        size_t n = alloy_rune_put(ch, quoted + 2);
        quoted[2 + n] = '\'';
        quoted[3 + n] = '\0';
    }
    (void)snprintf(message, sizeof message, "illegal character U+%04X%s%s", (unsigned)ch,
                   quoted, where);
    fail(l, offset, message);
}

static uint32_t scan_digits(struct alloy_lexer *l)
{
    uint32_t from = l->at;
    while (is_decimal(l->ch))
        step(l);
    return l->at - from;
}

static enum alloy_token_kind scan_number(struct alloy_lexer *l)
{
    uint32_t from = l->at;
    enum alloy_token_kind kind = ALLOY_T_NUMBER;
    (void)scan_digits(l);
    if (l->ch == '.') {
        kind = ALLOY_T_FLOAT;
        step(l);
        (void)scan_digits(l);
    }
    if (l->ch == 'e' || l->ch == 'E') {
        kind = ALLOY_T_FLOAT;
        step(l);
        if (l->ch == '+' || l->ch == '-')
            step(l);
        if (scan_digits(l) == 0)
            fail(l, from, "exponent has no digits");
    }
    return kind;
}

static int32_t digit_value(int32_t ch)
{
    if (is_decimal(ch))
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : 16;
}

/* Behind a backslash. Stops at a character that does not fit, without taking it. */
static void scan_escape(struct alloy_lexer *l)
{
    uint32_t from = l->at;
    int count = 3, base = 8;
    uint32_t max = 255;
    switch (l->ch) {
    case 'a':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
    case 'v':
    case '\\':
    case '"':
        step(l);
        return;
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
        break;
    case 'x':
    case 'u':
    case 'U':
        count = l->ch == 'x' ? 2 : l->ch == 'u' ? 4 : 8;
        max = l->ch == 'x' ? 255 : RUNE_MAX;
        base = 16;
        step(l);
        break;
    default:
        fail(l, from,
             l->ch == END ? "escape sequence not terminated" : "unknown escape sequence");
        return;
    }
    uint32_t value = 0;
    for (; count > 0; count--) {
        int32_t digit = digit_value(l->ch);
        if (digit >= base) {
            if (l->ch == END)
                fail(l, from, "escape sequence not terminated");
            else
                fail_character(l, from, l->ch, " in escape sequence");
            return;
        }
        value = value * (uint32_t)base + (uint32_t)digit;
        step(l);
    }
    if (value > max || (value >= 0xd800 && value < 0xe000))
        fail(l, from, "escape sequence is invalid Unicode code point");
}

/* Behind the opening quote, up to and with the closing one. */
static void scan_string(struct alloy_lexer *l, uint32_t from, int32_t quote)
{
    bool raw = quote == '`';
    for (;;) {
        int32_t ch = l->ch;
        if (ch == END || (!raw && ch == '\n')) {
            fail(l, from, "string literal not terminated");
            return;
        }
        step(l);
        if (ch == quote)
            return;
        if (!raw && ch == '\\')
            scan_escape(l);
    }
}

/* The second character of a comment is current. */
static void scan_comment(struct alloy_lexer *l, uint32_t from)
{
    if (l->ch == '/') {
        while (l->ch != '\n' && l->ch != END)
            step(l);
        return;
    }
    step(l);
    while (l->ch != END) {
        int32_t ch = l->ch;
        step(l);
        if (ch == '*' && l->ch == '/') {
            step(l);
            return;
        }
    }
    fail(l, from, "block comment not terminated");
}

/* True when from a comment at `at` nothing but comments and blanks follow up to a newline or
 * the end: the statement before it ends there. */
static bool comment_ends_line(struct str text, size_t at)
{
    while (at + 1 < text.len && text.data[at] == '/' &&
           (text.data[at + 1] == '/' || text.data[at + 1] == '*')) {
        if (text.data[at + 1] == '/')
            return true;
        at += 2;
        while (at < text.len &&
               !(text.data[at] == '*' && at + 1 < text.len && text.data[at + 1] == '/')) {
            if (text.data[at] == '\n')
                return true;
            at++;
        }
        if (at >= text.len)
            return true; /* not terminated */
        at += 2;
        while (at < text.len &&
               (text.data[at] == ' ' || text.data[at] == '\t' || text.data[at] == '\r'))
            at++;
        if (at >= text.len || text.data[at] == '\n')
            return true;
    }
    return false;
}

static enum alloy_token_kind either(struct alloy_lexer *l, int32_t second,
                                    enum alloy_token_kind two, enum alloy_token_kind one)
{
    if (l->ch != second)
        return one;
    step(l);
    return two;
}

/* || and &&: both bytes or a complaint. */
static enum alloy_token_kind twice(struct alloy_lexer *l, int32_t ch, const char *missing,
                                   enum alloy_token_kind kind)
{
    if (l->ch != ch)
        fail(l, l->at, missing);
    else
        step(l);
    return kind;
}

/* A token of punctuation whose first character was taken. */
static enum alloy_token_kind scan_operator(struct alloy_lexer *l, uint32_t from, int32_t ch)
{
    switch (ch) {
    case '|':
        return twice(l, '|', "missing second | in ||", ALLOY_T_OR);
    case '&':
        return twice(l, '&', "missing second & in &&", ALLOY_T_AND);
    case '!':
        return either(l, '=', ALLOY_T_NEQ, ALLOY_T_NOT);
    case '=':
        return either(l, '=', ALLOY_T_EQ, ALLOY_T_ASSIGN);
    case '<':
        return either(l, '=', ALLOY_T_LTE, ALLOY_T_LT);
    case '>':
        return either(l, '=', ALLOY_T_GTE, ALLOY_T_GT);
    case '+':
        return ALLOY_T_ADD;
    case '-':
        return ALLOY_T_SUB;
    case '*':
        return ALLOY_T_MUL;
    case '/':
        return ALLOY_T_DIV;
    case '%':
        return ALLOY_T_MOD;
    case '^':
        return ALLOY_T_POW;
    case '{':
        return ALLOY_T_LCURLY;
    case '}':
        return ALLOY_T_RCURLY;
    case '(':
        return ALLOY_T_LPAREN;
    case ')':
        return ALLOY_T_RPAREN;
    case '[':
        return ALLOY_T_LBRACK;
    case ']':
        return ALLOY_T_RBRACK;
    case ',':
        return ALLOY_T_COMMA;
    case '.':
        return ALLOY_T_DOT;
    default:
        break;
    }
    if (ch != BOM)
        fail_character(l, from, ch, "");
    return ALLOY_T_ILLEGAL;
}

static struct alloy_token token_from(const struct alloy_lexer *l, enum alloy_token_kind kind,
                                     uint32_t from)
{
    return (struct alloy_token){kind, from, str_of(l->text.data + from, l->at - from)};
}

static enum alloy_token_kind keyword(struct str s)
{
    if (str_eq(s, STR("true")) || str_eq(s, STR("false")))
        return ALLOY_T_BOOL;
    return str_eq(s, STR("null")) ? ALLOY_T_NULL : ALLOY_T_IDENT;
}

/* A string or a comment or punctuation; l->ch is its first character. */
static struct alloy_token scan_other(struct alloy_lexer *l, uint32_t from)
{
    int32_t ch = l->ch;
    bool before = l->term;
    step(l);
    l->term = false;
    if (ch == '\'' || ch == '"' || ch == '`') {
        if (ch == '\'')
            fail(l, from, "illegal single-quoted string; use double quotes");
        scan_string(l, from, ch);
        l->term = true;
        return token_from(l, ch == '\'' ? ALLOY_T_ILLEGAL : ALLOY_T_STRING, from);
    }
    if (ch == '/' && (l->ch == '/' || l->ch == '*')) {
        scan_comment(l, from);
        struct alloy_token t = token_from(l, ALLOY_T_COMMENT, from);
        if (str_ends_with(t.text, STR("\r")))
            t.text.len--;
        return t;
    }
    enum alloy_token_kind kind = scan_operator(l, from, ch);
    l->term = kind == ALLOY_T_RCURLY || kind == ALLOY_T_RPAREN || kind == ALLOY_T_RBRACK ||
              (kind == ALLOY_T_ILLEGAL && before);
    return token_from(l, kind, from);
}

struct alloy_token alloy_lexer_next(struct alloy_lexer *l)
{
    while (l->ch == ' ' || l->ch == '\t' || l->ch == '\r' || (l->ch == '\n' && !l->term))
        step(l);
    uint32_t from = l->at;
    if (is_name_start(l->ch)) {
        while (is_name_start(l->ch) || alloy_is_digit(l->ch))
            step(l);
        l->term = true;
        struct alloy_token t = token_from(l, ALLOY_T_IDENT, from);
        t.kind = keyword(t.text);
        return t;
    }
    bool fraction = l->ch == '.' && l->next < l->text.len && is_decimal(l->text.data[l->next]);
    if (is_decimal(l->ch) || fraction) {
        enum alloy_token_kind kind = scan_number(l);
        l->term = true;
        return token_from(l, kind, from);
    }
    bool ends = l->ch == END || l->ch == '\n';
    if (!ends && l->term && l->ch == '/')
        ends = comment_ends_line(l->text, l->at);
    if (ends && l->term) {
        if (l->ch == '\n')
            step(l);
        l->term = false;
        return (struct alloy_token){ALLOY_T_TERMINATOR, from, STR("\n")};
    }
    if (l->ch == END)
        return token_from(l, ALLOY_T_EOF, from);
    return scan_other(l, from);
}
