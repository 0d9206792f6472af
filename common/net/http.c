/* net/http.c - words of HTTP. */
#include "net/http.h"

#include <stdint.h>
#include <string.h>

#include "base/err.h"

static const struct {
    const char *name;
    enum http_method bit;
} methods[] = {
    {"GET", HTTP_GET},     {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},       {"PUT", HTTP_PUT},
    {"DELETE", HTTP_DELETE}, {"PATCH", HTTP_PATCH}, {"OPTIONS", HTTP_OPTIONS},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

enum http_method http_method_of(struct str text)
{
    for (size_t i = 0; i < METHODS; i++) {
        if (str_eq(text, str_c(methods[i].name)))
            return methods[i].bit;
    }
    return HTTP_OTHER;
}

const char *http_method_name(enum http_method m)
{
    for (size_t i = 0; i < METHODS; i++) {
        if (methods[i].bit == m)
            return methods[i].name;
    }
    return "OTHER";
}

void http_method_list(unsigned set, struct buf *out)
{
    bool any = false;
    if (set & HTTP_GET)
        set |= HTTP_HEAD;
    for (size_t i = 0; i < METHODS; i++) {
        if ((set & methods[i].bit) == 0)
            continue;
        if (any)
            buf_c(out, ", ");
        any = true;
        buf_c(out, methods[i].name);
    }
}

struct str http_field_get(const struct http_field *fields, size_t count, const char *name)
{
    struct str wanted = str_c(name);
    for (size_t i = 0; i < count; i++) {
        if (str_eq_nocase(fields[i].name, wanted))
            return fields[i].value;
    }
    return (struct str){NULL, 0};
}

const char *http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Entity"},
        {425, "Too Early"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "";
}

bool http_is_field_name(struct str name)
{
    /* Bits of the characters 0 to 63 and 64 to 127. */
    static const uint64_t words[2] = {0x03ff6cfa00000000u, 0x57ffffffc7fffffeu};
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c >= 128 || (words[c >> 6] >> (c & 63) & 1) == 0)
            return false;
    }
    return name.len > 0;
}

bool http_is_sendable(struct str name, struct str value)
{
    return http_is_field_name(name) &&
           (value.len == 0 || (memchr(value.data, '\n', value.len) == NULL &&
                               memchr(value.data, '\r', value.len) == NULL &&
                               memchr(value.data, '\0', value.len) == NULL));
}

/* Two or four digits at `at`; -1: others. */
static int digits(struct str s, size_t at, size_t count)
{
    uint64_t n;
    return str_u64(str_head(str_skip(s, at), count), &n) == 0 ? (int)n : -1;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the form that RFC 9110 has servers send, as seconds since 1970;
 * -1: another text. */
static int64_t read_date(struct str s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int month = 0;
    if (s.len != 29 || !str_eq(str_skip(s, 25), STR(" GMT")) || s.data[3] != ',')
        return -1;
    while (month < 12 && memcmp(s.data + 8, months + (size_t)month * 3, 3) != 0)
        month++;
    int day = digits(s, 5, 2), year = digits(s, 12, 4), hour = digits(s, 17, 2);
    int minute = digits(s, 20, 2), second = digits(s, 23, 2);
    if (month == 12 || day < 1 || day > 31 || year < 1970 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    int past = year - (month < 2); /* whole years whose leap day lies behind us */
    int64_t days = (int64_t)(year - 1970) * 365 + past / 4 - past / 100 + past / 400 -
                   (1969 / 4 - 1969 / 100 + 1969 / 400) + before[month] + day - 1;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

int http_retry_after(struct str value, wall_ms now)
{
    enum { DAY_S = 24 * 60 * 60 };
    uint64_t seconds = 0;
    int rc = str_u64(value, &seconds);
    int64_t date = rc == ERR_PARSE ? read_date(value) : -1;
    if (date > now / 1000)
        seconds = (uint64_t)(date - now / 1000);
    if (rc == ERR_LIMIT || seconds > DAY_S)
        return DAY_S;
    return seconds == 0 ? -1 : (int)seconds;
}

/* True when the q-value among the parameters of one coding is above 0, or there is none. */
static bool is_wanted(struct str params)
{
    struct str part;
    while (str_cut(&params, ';', &part)) {
        part = str_trim(part);
        if (!str_starts_with(part, STR("q=")) && !str_starts_with(part, STR("Q=")))
            continue;
        struct str q = str_skip(part, 2);
        for (size_t i = 0; i < q.len; i++) {
            if (q.data[i] >= '1' && q.data[i] <= '9')
                return true;
        }
        return false;
    }
    return true;
}

bool http_accepts_encoding(struct str accept, struct str coding)
{
    struct str part;
    bool star = false;
    while (str_cut(&accept, ',', &part)) {
        struct str name;
        str_cut(&part, ';', &name);
        name = str_trim(name);
        if (str_eq_nocase(name, coding))
            return is_wanted(part); /* what is named beats the star */
        if (str_eq(name, STR("*")))
            star = is_wanted(part);
    }
    return star;
}

bool http_media_type(struct str content_type, char *out, size_t size)
{
    struct str type = content_type;
    str_cut(&content_type, ';', &type);
    type = str_trim(type);
    if (type.len == 0 || type.len >= size)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[type.len] = '\0';
    return true;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void encode(struct str s, bool plus, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            buf_u8(out, (uint8_t)c);
        } else if (plus && c == ' ') {
            buf_u8(out, '+');
        } else {
            buf_u8(out, '%');
            buf_u8(out, (uint8_t)hex[(uint8_t)c >> 4]);
            buf_u8(out, (uint8_t)hex[(uint8_t)c & 15]);
        }
    }
}

void http_percent_encode(struct str s, struct buf *out)
{
    encode(s, false, out);
}

void http_form_encode(struct str s, struct buf *out)
{
    encode(s, true, out);
}

int http_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t http_percent_decode(struct str s, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '%' && i + 2 < s.len && http_hex_digit(s.data[i + 1]) >= 0 &&
            http_hex_digit(s.data[i + 2]) >= 0) {
            c = (char)(http_hex_digit(s.data[i + 1]) * 16 + http_hex_digit(s.data[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    return n;
}

void http_route_label(const char *path, struct buf *out)
{
    size_t before = out->size;
    bool gap = false;
    for (const char *p = path; *p != '\0'; p++) {
        if (!is_alnum(*p)) {
            gap = true;
            continue;
        }
        if (gap && out->size > before)
            buf_u8(out, '_');
        gap = false;
        buf_u8(out, (uint8_t)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p));
    }
    if (out->size == before)
        buf_c(out, "root");
}
