/* wire/json_check.c - a validator of JSON texts. */
#include "wire/json_check.h"

struct scan {
    struct str text;
    size_t at;
    struct err *err;
};

static int bad(struct scan *s, const char *what)
{
    return err_set(s->err, ERR_PARSE, "JSON: %s at byte %zu", what, s->at);
}

/* The byte at the cursor, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->at < s->text.len ? (unsigned char)s->text.data[s->at] : -1;
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != c)
        return false;
    s->at++;
    return true;
}

static void blanks(struct scan *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\r' || peek(s) == '\n')
        s->at++;
}

static bool digits(struct scan *s)
{
    size_t from = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > from;
}

static int number(struct scan *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !digits(s))
        return bad(s, "a number without digits");
    if (take(s, '.') && !digits(s))
        return bad(s, "a fraction without digits");
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            (void)take(s, '-');
        if (!digits(s))
            return bad(s, "an exponent without digits");
    }
    return 0;
}

/* Behind a backslash. */
static int escape(struct scan *s)
{
    int c = peek(s);
    s->at++;
    if (c > 0 && memchr("\"\\/bfnrt", c, 8) != NULL)
        return 0;
    if (c != 'u')
        return bad(s, "an unknown escape");
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        c = peek(s);
        if (c >= '0' && c <= '9')
            code = code << 4 | (unsigned)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            code = code << 4 | (unsigned)((c | 0x20) - 'a' + 10);
        else
            return bad(s, "an escape without four digits");
        s->at++;
    }
    return code == 0 ? bad(s, "\\u0000") : 0;
}

/* Behind the opening quote. */
static int string(struct scan *s)
{
    for (;;) {
        int c = peek(s);
        if (c < 0)
            return bad(s, "a string without end");
        if (c < 0x20)
            return bad(s, "a control character");
        s->at++;
        if (c == '"')
            return 0;
        int rc = c == '\\' ? escape(s) : 0;
        if (rc != 0)
            return rc;
    }
}

static int word(struct scan *s, struct str w)
{
    if (!str_starts_with(str_skip(s->text, s->at), w))
        return bad(s, "no value");
    s->at += w.len;
    return 0;
}

static int value(struct scan *s, int depth);

/* The members of an array or object behind its opening bracket. */
static int members(struct scan *s, char close, int depth)
{
    if (depth == JSON_DEPTH_MAX)
        return err_set(s->err, ERR_LIMIT, "JSON: nested deeper than %d", JSON_DEPTH_MAX);
    blanks(s);
    if (take(s, close))
        return 0;
    for (;;) {
        blanks(s);
        if (close == '}') {
            if (!take(s, '"'))
                return bad(s, "no key");
            int rc = string(s);
            if (rc != 0)
                return rc;
            blanks(s);
            if (!take(s, ':'))
                return bad(s, "no colon");
        }
        int rc = value(s, depth + 1);
        if (rc != 0)
            return rc;
        blanks(s);
        if (take(s, close))
            return 0;
        if (!take(s, ','))
            return bad(s, "no comma");
    }
}

static int value(struct scan *s, int depth)
{
    blanks(s);
    if (take(s, '{'))
        return members(s, '}', depth);
    if (take(s, '['))
        return members(s, ']', depth);
    if (take(s, '"'))
        return string(s);
    switch (peek(s)) {
    case 't':
        return word(s, STR("true"));
    case 'f':
        return word(s, STR("false"));
    case 'n':
        return word(s, STR("null"));
    default:
        return number(s);
    }
}

int json_check(struct str text, struct err *err)
{
    struct scan s = {.text = text, .err = err};
    if (!str_is_utf8(text))
        return err_set(err, ERR_PARSE, "JSON: not UTF-8");
    int rc = value(&s, 0);
    if (rc != 0)
        return rc;
    blanks(&s);
    return s.at == text.len ? 0 : bad(&s, "text behind the value");
}
