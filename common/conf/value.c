/* conf/value.c - texts of settings. */
#include "conf/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

int conf_parse_bool(struct str s, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (str_eq(s, str_c(yes[i]))) {
            *out = true;
            return 0;
        }
        if (str_eq(s, str_c(no[i]))) {
            *out = false;
            return 0;
        }
    }
    return ERR_PARSE;
}

/* Take a base prefix off and return the base; a lone leading 0 is octal. */
static unsigned base_of(struct str *s)
{
    if (s->len < 2 || s->data[0] != '0')
        return 10;
    char c = s->data[1];
    unsigned base = c == 'x' || c == 'X' ? 16 : c == 'b' || c == 'B' ? 2 : 8;
    bool letter = base != 8 || c == 'o' || c == 'O';
    *s = str_skip(*s, letter ? 2 : 1);
    return base;
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

int conf_parse_u64(struct str s, uint64_t *out)
{
    if (s.len > 0 && s.data[0] == '+')
        s = str_skip(s, 1);
    bool prefixed = s.len > 1 && s.data[0] == '0';
    unsigned base = base_of(&s);
    uint64_t v = 0;
    bool after_digit = prefixed; /* an underscore may stand behind a prefix or a digit */
    bool over = false;
    if (s.len == 0)
        return ERR_PARSE;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '_') {
            if (!after_digit || i + 1 == s.len)
                return ERR_PARSE;
            after_digit = false;
            continue;
        }
        unsigned d = digit_of(s.data[i]);
        if (d >= base)
            return ERR_PARSE;
        over = over || v > (UINT64_MAX - d) / base;
        v = over ? 0 : v * base + d;
        after_digit = true;
    }
    if (over)
        return ERR_LIMIT;
    *out = v;
    return 0;
}

int conf_parse_i64(struct str s, int64_t *out)
{
    bool minus = s.len > 0 && s.data[0] == '-';
    if (minus) {
        s = str_skip(s, 1);
        if (s.len > 0 && s.data[0] == '+')
            return ERR_PARSE;
    }
    uint64_t v = 0;
    int rc = conf_parse_u64(s, &v);
    if (rc != 0)
        return rc;
    if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return ERR_LIMIT;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

int conf_parse_double(struct str s, double *out)
{
    char text[64];
    if (s.len == 0 || s.len >= sizeof text)
        return ERR_PARSE;
    for (size_t i = 0; i < s.len; i++) /* strtod also takes hexadecimals, inf and nan */
        if (memchr("0123456789+-.eE", s.data[i], 15) == NULL)
            return ERR_PARSE;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end = NULL;
    double v = strtod(text, &end);
    if (end != text + s.len)
        return ERR_PARSE;
    if (!isfinite(v))
        return ERR_LIMIT;
    *out = v;
    return 0;
}

/* One decimal number from the front of *s: whole part, and up to 9 digits of the fraction as
 * billionths. ERR_PARSE without any digit. */
static int take_number(struct str *s, uint64_t *whole, uint64_t *billionths)
{
    size_t digits = 0;
    *whole = *billionths = 0;
    bool over = false;
    while (s->len > 0 && digit_of(s->data[0]) < 10) {
        unsigned d = digit_of(s->data[0]);
        over = over || *whole > (UINT64_MAX - d) / 10;
        *whole = over ? 0 : *whole * 10 + d;
        *s = str_skip(*s, 1);
        digits++;
    }
    if (s->len > 0 && s->data[0] == '.') {
        *s = str_skip(*s, 1);
        for (uint64_t scale = 100000000; s->len > 0 && digit_of(s->data[0]) < 10; scale /= 10) {
            *billionths += scale * digit_of(s->data[0]);
            *s = str_skip(*s, 1);
            digits++;
        }
    }
    if (digits == 0)
        return ERR_PARSE;
    return over ? ERR_LIMIT : 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* *total += (whole + billionths) x factor, at most max. */
static int add_scaled(uint64_t *total, uint64_t whole, uint64_t billionths, uint64_t factor,
                      uint64_t max)
{
    if (whole > (max - *total) / factor)
        return ERR_LIMIT;
    uint64_t sum = *total + whole * factor;
    /* factor < 2^55 and billionths < 2^30: split so that the product cannot overflow */
    uint64_t part =
        factor / 1000000000 * billionths + factor % 1000000000 * billionths / 1000000000;
    if (part > max - sum)
        return ERR_LIMIT;
    *total = sum + part;
    return 0;
}

static const struct unit *take_unit(struct str *s, const struct unit *units, size_t count)
{
    size_t n = 0;
    while (n < s->len && digit_of(s->data[n]) > 9 && s->data[n] != '.')
        n++;
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_head(*s, n), str_c(units[i].name))) {
            *s = str_skip(*s, n);
            return &units[i];
        }
    return NULL;
}

int conf_parse_ms(struct str s, int64_t *out)
{
    static const struct unit units[] = {
        {"ns", 1},
        {"us", 1000},
        {"\xc2\xb5s", 1000}, /* micro sign and Greek mu, as Go */
        {"\xce\xbcs", 1000},
        {"ms", 1000000},
        {"s", 1000000000},
        {"m", 60ull * 1000000000},
        {"h", 3600ull * 1000000000},
        {"d", 86400ull * 1000000000},
        {"w", 7 * 86400ull * 1000000000},
        {"y", 365 * 86400ull * 1000000000},
    };
    bool minus = s.len > 0 && s.data[0] == '-';
    if (minus || (s.len > 0 && s.data[0] == '+'))
        s = str_skip(s, 1);
    if (s.len == 0)
        return ERR_PARSE;
    uint64_t ns = 0;
    if (!str_eq(s, STR("0")))
        while (s.len > 0) {
            uint64_t whole, billionths;
            int rc = take_number(&s, &whole, &billionths);
            if (rc != 0)
                return rc;
            const struct unit *u = take_unit(&s, units, sizeof units / sizeof *units);
            if (u == NULL)
                return ERR_PARSE;
            rc = add_scaled(&ns, whole, billionths, u->factor, INT64_MAX);
            if (rc != 0)
                return rc;
        }
    int64_t ms = (int64_t)(ns / 1000000 + (ns % 1000000 != 0));
    *out = minus ? -ms : ms;
    return 0;
}

int conf_parse_size(struct str s, uint64_t *out)
{
    static const char letters[] = "kmgt";
    uint64_t whole, billionths, total = 0, factor = 1;
    int rc = take_number(&s, &whole, &billionths);
    if (rc != 0)
        return rc;
    s = str_trim(s);
    for (unsigned i = 0; i < 4; i++) {
        char one[2] = {letters[i], '\0'}, two[3] = {letters[i], 'b', '\0'};
        char three[4] = {letters[i], 'i', 'b', '\0'};
        if (str_eq_nocase(s, str_c(one)) || str_eq_nocase(s, str_c(two)) ||
            str_eq_nocase(s, str_c(three)))
            factor = 1ull << (10 * (i + 1));
    }
    if (factor == 1 && (billionths != 0 || !(s.len == 0 || str_eq_nocase(s, STR("b")))))
        return ERR_PARSE;
    rc = add_scaled(&total, whole, billionths, factor, UINT64_MAX);
    if (rc != 0)
        return rc;
    *out = total;
    return 0;
}

void conf_put_ms(struct buf *b, int64_t ms)
{
    uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        buf_u8(b, '-');
    if (v != 0 && v < 1000) {
        buf_udec(b, v);
        buf_c(b, "ms");
        return;
    }
    uint64_t s = v / 1000, frac = v % 1000;
    if (s >= 3600)
        buf_printf(b, "%lluh", (unsigned long long)(s / 3600));
    if (s >= 60)
        buf_printf(b, "%llum", (unsigned long long)(s / 60 % 60));
    buf_udec(b, s % 60);
    if (frac != 0) {
        char text[8];
        int n = snprintf(text, sizeof text, ".%03u", (unsigned)frac);
        while (n > 0 && text[n - 1] == '0')
            n--;
        buf_put(b, text, n < 0 ? 0 : (size_t)n);
    }
    buf_u8(b, 's');
}

void conf_put_double(struct buf *b, double v)
{
    char text[40];
    if (!(fabs(v) > 1e15) && !(floor(v) < v)) { /* 20, not 2e+01 */
        buf_printf(b, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (!(strtod(text, NULL) < v) && !(strtod(text, NULL) > v))
            break;
    }
    buf_c(b, text);
}

void conf_put_quoted(struct buf *b, struct str s)
{
    buf_u8(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '"' || c == '\\')
            buf_u8(b, '\\');
        if (c < 0x20 || c == 0x7f)
            buf_printf(b, "\\u%04x", c);
        else
            buf_u8(b, c);
    }
    buf_u8(b, '"');
}

enum { DISTANCE_MAX = 96 };

uint32_t conf_distance(struct str a, struct str b, uint32_t limit)
{
    uint32_t row[DISTANCE_MAX + 1];
    a = str_head(a, DISTANCE_MAX);
    b = str_head(b, DISTANCE_MAX);
    if ((a.len > b.len ? a.len - b.len : b.len - a.len) >= limit)
        return limit;
    for (uint32_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (uint32_t i = 0; i < a.len; i++) {
        uint32_t diagonal = row[0], least = i + 1;
        row[0] = i + 1;
        for (uint32_t j = 0; j < b.len; j++) {
            uint32_t replace = diagonal + (a.data[i] != b.data[j]);
            uint32_t other = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replace < other ? replace : other;
            least = row[j + 1] < least ? row[j + 1] : least;
        }
        if (least >= limit)
            return limit; /* rows never get smaller again */
    }
    return row[b.len] < limit ? row[b.len] : limit;
}
