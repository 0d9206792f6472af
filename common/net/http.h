/* net/http.h - what server and client of HTTP share: methods, fields, statuses.
 *
 * Pure; any thread. Tests: tests/unit/net/test_http.c. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

/* Bits, so that a route can name several. */
enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_PATCH = 32,
    HTTP_OPTIONS = 64,
    HTTP_OTHER = 128,
};

/* A header or a query parameter. */
struct http_field {
    struct str name, value;
};

/* HTTP_OTHER for what is none of ours; methods are case-sensitive. */
enum http_method http_method_of(struct str text);

/* "GET" for one bit; "OTHER". Static. */
const char *http_method_name(enum http_method m);

/* "GET, HEAD, POST" for a set of bits, as the Allow header wants it. */
void http_method_list(unsigned methods, struct buf *out);

/* First header of that name, whatever the case; data NULL: there is none. */
struct str http_field_get(const struct http_field *fields, size_t count, const char *name);

/* A name as RFC 9110 has it: one or more letters, digits and "!#$%&'*+-.^_`|~". */
bool http_is_field_name(struct str name);

/* A header that can be sent: such a name, and a value of one line. */
bool http_is_sendable(struct str name, struct str value);

/* Seconds of a Retry-After: a number, or an HTTP date later than `now`, at most a day. -1: neither,
 * or no time at all. */
int http_retry_after(struct str value, wall_ms now);

/* Reason phrase in the words of Go's net/http, as the peers say it; "" for codes that have
 * none. Static. */
const char *http_status_text(unsigned status);

/* True when an Accept-Encoding header lets us answer with `coding` ("gzip"): named with a
 * q-value above 0, or "*" is. An absent header (data NULL) does not. */
bool http_accepts_encoding(struct str accept, struct str coding);

/* The media type of a Content-Type: lower case, without parameters, into out[size]. False when
 * it does not fit or is empty. */
bool http_media_type(struct str content_type, char *out, size_t size);

/* The value of a hexadecimal digit of either case; -1: it is none. */
int http_hex_digit(char c);

/* Append `s` percent-encoded but for the unreserved characters of RFC 3986. */
void http_percent_encode(struct str s, struct buf *out);

/* The same with '+' for a blank: a part of a form or of a query, as Go writes them. */
void http_form_encode(struct str s, struct buf *out);

/* Decode %XX (a broken escape stays as it is) into out, which has room for s.len bytes; '+' becomes
 * a blank when `plus`. Returns the number of bytes written. */
size_t http_percent_decode(struct str s, bool plus, char *out);

/* Label of a route in metrics, as dskit makes it: lower case, every run of other characters than
 * letters and digits one '_', none at the ends; "/" is "root". */
void http_route_label(const char *path, struct buf *out);

#endif
