/* profile/attime.c - points in time in Graphite's notation, as far as Pyroscope takes it. */
#include "profile/attime.h"

#include <stdbool.h>

enum { ATTIME_BYTES_MAX = 128 };

#define SECOND_NS INT64_C(1000000000)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int64_t multiply(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return r;
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

/* Number of the leading digits, INT64_MAX when it is larger; 0 without digits. */
static int64_t take_number(struct str *s)
{
    int64_t n = 0;
    while (s->len > 0 && is_digit(s->data[0])) {
        n = add(multiply(n, 10), s->data[0] - '0');
        *s = str_skip(*s, 1);
    }
    return n;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar (March-based years, so that the day
 * that leaps is the last one). */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool take_date(struct str s, int64_t *ns)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct str y = str_head(s, 4), m = str_head(str_skip(s, 4), 2), d = str_skip(s, 6);
    int64_t year = take_number(&y), month = take_number(&m), day = take_number(&d);
    if (year <= 1900 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > days[month - 1] + (month == 2 && leap ? 1 : 0))
        return false;
    *ns = multiply(days_from_civil(year, month, day), 86400 * SECOND_NS);
    return true;
}

static int64_t parse_digits(struct str s)
{
    int64_t ns;
    size_t len = s.len;
    if (len == 8 && take_date(s, &ns))
        return ns;
    int64_t n = take_number(&s);
    switch (len) {
    case 13:
        return multiply(n, SECOND_NS / 1000);
    case 16:
        return multiply(n, SECOND_NS / 1000000);
    case 19:
        return n;
    default:
        return multiply(n, SECOND_NS);
    }
}

static int64_t unit_seconds(struct str unit)
{
    static const struct {
        struct str prefix;
        int64_t seconds;
    } units[] = {
        {STR_INIT("s"), 1},         {STR_INIT("mon"), 30 * 86400}, {STR_INIT("M"), 30 * 86400},
        {STR_INIT("m"), 60},        {STR_INIT("h"), 3600},         {STR_INIT("d"), 86400},
        {STR_INIT("w"), 7 * 86400}, {STR_INIT("y"), 365 * 86400},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (str_starts_with(unit, units[i].prefix))
            return units[i].seconds;
    return 0;
}

/* The offset behind its sign, in seconds. */
static int64_t parse_offset(struct str s, int64_t sign)
{
    int64_t total = 0;
    while (s.len > 0) {
        int64_t n = take_number(&s);
        size_t end = 0;
        while (end < s.len && !is_digit(s.data[end]))
            end++;
        total = add(total, multiply(n, sign * unit_seconds(str_head(s, end))));
        s = str_skip(s, end);
    }
    return total;
}

int64_t attime_parse(struct str text, int64_t now_ns)
{
    char bytes[ATTIME_BYTES_MAX];
    struct str s = {bytes, 0};
    bool digits = true;
    text = str_trim(text);
    for (size_t i = 0; i < text.len && s.len < sizeof bytes; i++) {
        char c = text.data[i];
        if (c == '_' || c == ',' || c == ' ')
            continue;
        digits = digits && is_digit(c);
        bytes[s.len++] = c;
    }
    if (digits && s.len > 0)
        return parse_digits(s);
    size_t at = str_find(s, '+');
    int64_t sign = 1;
    if (at == SIZE_MAX) {
        at = str_find(s, '-');
        sign = -1;
    }
    if (at == SIZE_MAX)
        return now_ns;
    return add(now_ns, multiply(parse_offset(str_skip(s, at + 1), sign), SECOND_NS));
}

int64_t attime_parse_ms(struct str text, int64_t now_ms)
{
    int64_t ns = attime_parse(text, multiply(now_ms, 1000000));
    return ns / 1000000 - (ns % 1000000 < 0 ? 1 : 0);
}
