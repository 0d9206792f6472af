/* net/http_response.h - the answer to an HTTP/1 request, read from bytes as they come (RFC 9112).
 *
 * Strict where leniency lets two readers see different answers, bounded everywhere, and every
 * refusal says what was wrong. Does not matter how the bytes are cut. Trailers are read over.
 * Pure: no I/O, no clock. Value type; all-zero is one that waits for http_response_begin().
 * Tests: tests/unit/net/test_http_response.c; fuzz: tests/fuzz/fuzz_http_response.c. */
#ifndef NET_HTTP_RESPONSE_H
#define NET_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/http.h"

enum {
    HTTP_RESPONSE_FIELDS_MAX = 64,
    HTTP_RESPONSE_HEAD_MAX = 64 * 1024, /* bytes of status line and headers; and of trailers */
    HTTP_RESPONSE_CHUNK_LINE_MAX = 256, /* bytes of a chunk's size with its extensions */
    HTTP_RESPONSE_INTERIM_MAX = 8,      /* answers 1xx that are read over */
};

enum http_response_state {
    HTTP_RESPONSE_MORE, /* wants more bytes, or the end of the stream */
    HTTP_RESPONSE_DONE,
    HTTP_RESPONSE_BAD, /* code and error say why */
};

struct http_response {
    enum http_response_state state;
    unsigned status;   /* once the head is complete */
    bool keep;         /* of a DONE one: the connection can carry another request */
    int code; /* of a BAD one: ERR_IO (not HTTP/1), ERR_LIMIT, ERR_CLOSED (cut), ERR_NOMEM */
    const char *error; /* of a BAD one, in words; static */
    struct buf body;   /* so far */
    /* The rest is its own. */
    struct buf head; /* lines of the head; from line_at on the beginning of a line */
    size_t line_at;
    struct {
        uint32_t at, name_len, value_at, value_len; /* in `head` */
    } fields[HTTP_RESPONSE_FIELDS_MAX];
    unsigned field_count, interim;
    unsigned char part; /* what comes next */
    bool no_body, http10, chunked, has_length, close_asked;
    uint64_t left; /* bytes of the body, or of its chunk */
    size_t trailer_bytes, body_max;
};

/* Begin a new answer; memory is kept. `to_head`: the request was a HEAD. */
void http_response_begin(struct http_response *r, bool to_head, size_t body_max);

/* Take bytes of the stream. Returns how many belong to the answer: fewer than given only when the
 * state is no longer MORE. */
size_t http_response_feed(struct http_response *r, struct str bytes);

/* The stream has ended in order: DONE where that is the end of the body, else BAD. */
void http_response_end(struct http_response *r);

/* The stream broke off, by a reset for one: BAD, unless the answer was complete. */
void http_response_cut(struct http_response *r);

/* The headers, into out[]; returns how many. They are valid until the next change of r. */
size_t http_response_fields(const struct http_response *r,
                            struct http_field out[HTTP_RESPONSE_FIELDS_MAX]);

/* Bytes of the answer itself have arrived; 1xx and what is broken count. */
bool http_response_has_begun(const struct http_response *r);

/* Give the memory back. */
void http_response_reset(struct http_response *r);

#endif
