/* wire/json.c - a streaming JSON writer. */
#include "wire/json.h"

#include "wire/base64.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A value begins. */
static void lead(struct json *j)
{
    if (j->comma)
        buf_u8(j->out, ',');
    j->comma = true;
}

static void opened(struct json *j, uint8_t bracket)
{
    lead(j);
    buf_u8(j->out, bracket);
    j->comma = false;
}

static void closed(struct json *j, uint8_t bracket)
{
    buf_u8(j->out, bracket);
    j->comma = true;
}

void json_begin_object(struct json *j)
{
    opened(j, '{');
}

void json_end_object(struct json *j)
{
    closed(j, '}');
}

void json_begin_array(struct json *j)
{
    opened(j, '[');
}

void json_end_array(struct json *j)
{
    closed(j, ']');
}

/* Bytes from p that need no escape: printable ASCII but for the quote and the backslash. */
static size_t plain_run(const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (n < len && p[n] >= 0x20 && p[n] < 0x80 && p[n] != '"' && p[n] != '\\')
        n++;
    return n;
}

/* Append one byte below 0x80 that needs an escape. */
static void escape_ascii(struct buf *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    for (size_t i = 0; from[i] != '\0'; i++) {
        if ((uint8_t)from[i] == c) {
            uint8_t two[2] = {'\\', (uint8_t)to[i]};
            buf_put(out, two, sizeof two);
            return;
        }
    }
    uint8_t six[6] = {'\\', 'u', '0', '0', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
    buf_put(out, six, sizeof six);
}

/* Length of the well-formed sequence at the front of s, whose first byte is above 0x7f; 0:
 * none. */
static size_t utf8_length(struct str s)
{
    for (size_t n = 2; n <= 4 && n <= s.len; n++)
        if (str_is_utf8(str_head(s, n)))
            return n;
    return 0;
}

static void escape(struct buf *out, struct str s)
{
    while (s.len > 0 && out->error == 0) {
        size_t n = plain_run((const uint8_t *)s.data, s.len);
        buf_put(out, s.data, n);
        s = str_skip(s, n);
        if (s.len == 0)
            break;
        if ((uint8_t)s.data[0] < 0x80) {
            escape_ascii(out, (uint8_t)s.data[0]);
            s = str_skip(s, 1);
            continue;
        }
        n = utf8_length(s);
        if (n == 0)
            buf_c(out, "\xef\xbf\xbd");
        else
            buf_put(out, s.data, n);
        s = str_skip(s, n == 0 ? 1 : n);
    }
}

static void quoted(struct buf *out, struct str s)
{
    buf_u8(out, '"');
    escape(out, s);
    buf_u8(out, '"');
}

void json_key_str(struct json *j, struct str key)
{
    lead(j);
    quoted(j->out, key);
    buf_u8(j->out, ':');
    j->comma = false;
}

void json_key(struct json *j, const char *key)
{
    json_key_str(j, str_c(key));
}

void json_str(struct json *j, struct str s)
{
    lead(j);
    quoted(j->out, s);
}

void json_c(struct json *j, const char *c)
{
    json_str(j, str_c(c));
}

void json_i64(struct json *j, int64_t v)
{
    lead(j);
    buf_dec(j->out, v);
}

void json_u64(struct json *j, uint64_t v)
{
    lead(j);
    buf_udec(j->out, v);
}

/* Comma, quote, digits, quote in one piece: flame graphs are made of these. */
static void quoted_digits(struct json *j, bool minus, uint64_t v)
{
    char text[24];
    size_t at = sizeof text;
    text[--at] = '"';
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    if (minus)
        text[--at] = '-';
    text[--at] = '"';
    if (j->comma)
        text[--at] = ',';
    j->comma = true;
    buf_put(j->out, text + at, sizeof text - at);
}

void json_i64_text(struct json *j, int64_t v)
{
    quoted_digits(j, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void json_u64_text(struct json *j, uint64_t v)
{
    quoted_digits(j, false, v);
}

void json_bool(struct json *j, bool v)
{
    lead(j);
    buf_c(j->out, v ? "true" : "false");
}

void json_null(struct json *j)
{
    lead(j);
    buf_c(j->out, "null");
}

/* Append digits d[0..n) with the decimal point behind d[0] moved by `exponent`. */
static void positional(struct buf *out, const char *d, int n, int exponent)
{
    if (exponent < 0) {
        buf_c(out, "0.");
        for (int i = -1; i > exponent; i--)
            buf_u8(out, '0');
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        if (exponent >= 0 && i == exponent + 1)
            buf_u8(out, '.');
        buf_u8(out, i < n ? (uint8_t)d[i] : '0');
    }
}

static void put_f64(struct buf *out, double v)
{
    if (isnan(v) || isinf(v)) {
        buf_c(out, isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    char text[32]; /* -d.dddddddddddddddde-ddd */
    /* below DBL_MIN there are fewer than 15 digits */
    for (int precision = fabs(v) < DBL_MIN ? 0 : 14; precision <= 16; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    char digits[20];
    int n = 0;
    const char *p = text;
    for (; *p != 'e' && *p != '\0'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    int exponent = *p == 'e' ? (int)strtol(p + 1, NULL, 10) : 0;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (text[0] == '-')
        buf_u8(out, '-');
    if (v == 0) {
        buf_u8(out, '0');
    } else if (exponent >= -6 && exponent < 21) {
        positional(out, digits, n, exponent);
    } else {
        positional(out, digits, n, 0);
        buf_c(out, exponent < 0 ? "e-" : "e+");
        buf_dec(out, abs(exponent));
    }
}

void json_f64(struct json *j, double v)
{
    lead(j);
    bool text = isnan(v) || isinf(v);
    if (text)
        buf_u8(j->out, '"');
    put_f64(j->out, v);
    if (text)
        buf_u8(j->out, '"');
}

void json_base64(struct json *j, struct str bytes)
{
    lead(j);
    buf_u8(j->out, '"');
    base64_put(j->out, bytes, true);
    buf_u8(j->out, '"');
}
