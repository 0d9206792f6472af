/* net/http_response.c - lines until the head is complete, then bytes by length, chunk or end. */
#include "net/http_response.h"

#include <string.h>

#include "base/err.h"

enum { BODY_AHEAD_MAX = 1 << 20 }; /* reserved on the word of a Content-Length */

enum part { STATUS_LINE, FIELDS, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILERS, TO_THE_END };

static void refuse(struct http_response *r, int code, const char *error)
{
    r->state = HTTP_RESPONSE_BAD;
    r->code = code;
    r->error = error;
    r->keep = false;
}

static void done(struct http_response *r)
{
    r->state = HTTP_RESPONSE_DONE;
    r->keep = !r->http10 && !r->close_asked && r->part != TO_THE_END &&
              !(r->chunked && r->has_length);
}

static void begin_head(struct http_response *r)
{
    buf_clear(&r->head);
    r->line_at = 0;
    r->status = 0;
    r->field_count = 0;
    r->part = STATUS_LINE;
    r->http10 = r->chunked = r->has_length = r->close_asked = false;
    r->left = 0;
    r->trailer_bytes = 0;
}

void http_response_begin(struct http_response *r, bool to_head, size_t body_max)
{
    r->state = HTTP_RESPONSE_MORE;
    r->code = 0;
    r->error = "";
    r->keep = false;
    r->interim = 0;
    r->no_body = to_head;
    r->body_max = body_max;
    buf_clear(&r->body);
    begin_head(r);
}

bool http_response_has_begun(const struct http_response *r)
{
    return r->part != STATUS_LINE || r->head.size > 0 || r->interim > 0;
}

void http_response_reset(struct http_response *r)
{
    buf_reset(&r->head);
    buf_reset(&r->body);
}

size_t http_response_fields(const struct http_response *r,
                            struct http_field out[HTTP_RESPONSE_FIELDS_MAX])
{
    const char *head = (const char *)r->head.data;
    for (unsigned i = 0; i < r->field_count; i++) {
        out[i].name = str_of(head + r->fields[i].at, r->fields[i].name_len);
        out[i].value = str_of(head + r->fields[i].value_at, r->fields[i].value_len);
    }
    return r->field_count;
}

/* --- the head ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Blanks, tabs and what is no control character; bytes beyond ASCII may stand in values. */
static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static const struct str version = STR_INIT("HTTP/1.");

/* What has come of a status line that is not complete can still become one. */
static bool may_be_status(struct str s)
{
    size_t n = s.len < version.len ? s.len : version.len;
    return memcmp(s.data, version.data, n) == 0;
}

static void read_status(struct http_response *r, struct str line)
{
    const char *d = line.data;
    if (!str_starts_with(line, version) || line.len < 12 || (d[7] != '0' && d[7] != '1') ||
        d[8] != ' ' || !is_digit(d[9]) || !is_digit(d[10]) || !is_digit(d[11]) || d[9] == '0' ||
        (line.len > 12 && d[12] != ' ') || !is_text(line)) {
        refuse(r, ERR_IO, "the answer does not begin with a status line of HTTP/1");
        return;
    }
    r->http10 = d[7] == '0';
    r->status = (unsigned)((d[9] - '0') * 100 + (d[10] - '0') * 10 + (d[11] - '0'));
    r->part = FIELDS;
}

static void read_connection(struct http_response *r, struct str list)
{
    for (struct str token; str_cut(&list, ',', &token);)
        if (str_eq_nocase(str_trim(token), STR("close")))
            r->close_asked = true;
}

/* The headers that say where the answer ends. */
static void read_framing(struct http_response *r, struct str name, struct str value)
{
    if (str_eq_nocase(name, STR("Content-Length"))) {
        if (r->has_length)
            refuse(r, ERR_IO, "Content-Length comes twice");
        else if (str_u64(value, &r->left) != 0)
            refuse(r, ERR_IO, "Content-Length is not a number");
        r->has_length = true;
    } else if (str_eq_nocase(name, STR("Transfer-Encoding"))) {
        if (r->chunked || r->http10 || !str_eq_nocase(value, STR("chunked")))
            refuse(r, ERR_IO, "a Transfer-Encoding other than one chunked of HTTP/1.1");
        r->chunked = true;
    } else if (str_eq_nocase(name, STR("Connection"))) {
        read_connection(r, value);
    }
}

/* A header; `line` is in r->head. */
static void read_field(struct http_response *r, struct str line)
{
    size_t colon = str_find(line, ':');
    if (line.data[0] == ' ' || line.data[0] == '\t') {
        refuse(r, ERR_IO, "a header is folded");
        return;
    }
    struct str name = str_head(line, colon == SIZE_MAX ? 0 : colon);
    struct str value = str_trim(str_skip(line, name.len + 1));
    if (!http_is_field_name(name) || !is_text(str_skip(line, name.len + 1))) {
        refuse(r, ERR_IO, "a header has bytes that do not belong there, or no name");
        return;
    }
    if (r->field_count == HTTP_RESPONSE_FIELDS_MAX) {
        refuse(r, ERR_LIMIT, "the answer has too many headers");
        return;
    }
    unsigned i = r->field_count++;
    const char *head = (const char *)r->head.data;
    r->fields[i].at = (uint32_t)(line.data - head);
    r->fields[i].name_len = (uint32_t)name.len;
    r->fields[i].value_at = (uint32_t)(line.data - head) + (uint32_t)name.len + 1;
    if (value.len > 0)
        r->fields[i].value_at = (uint32_t)(value.data - head);
    r->fields[i].value_len = (uint32_t)value.len;
    read_framing(r, name, value);
}

/* The empty line behind the headers: what is the body? */
static void end_head(struct http_response *r)
{
    if (r->status == 101) {
        refuse(r, ERR_IO, "the answer changes the protocol, which nobody asked for");
    } else if (r->status < 200) {
        if (++r->interim > HTTP_RESPONSE_INTERIM_MAX)
            refuse(r, ERR_LIMIT, "too many answers 1xx");
        else
            begin_head(r);
    } else if (r->no_body || r->status == 204 || r->status == 304) {
        r->close_asked |= r->status == 204 && (r->chunked || r->left > 0); /* one follows */
        r->part = BODY;
        r->left = 0;
        done(r);
    } else if (r->chunked) {
        r->part = CHUNK_SIZE;
    } else if (!r->has_length) {
        r->part = TO_THE_END;
    } else if (r->left > r->body_max) {
        refuse(r, ERR_LIMIT, "the answer is too large");
    } else {
        r->part = BODY;
        if (r->left == 0)
            done(r);
        else if (buf_reserve(&r->body, r->left < BODY_AHEAD_MAX ? (size_t)r->left
                                                                 : BODY_AHEAD_MAX) == NULL)
            refuse(r, ERR_NOMEM, "no memory for the answer");
    }
}

/* --- chunks -------------------------------------------------------------------------------- */

/* "1a2b;name=value"; extensions mean nothing to us. */
static void read_chunk_size(struct http_response *r, struct str line)
{
    uint64_t size = 0;
    size_t i = 0;
    while (i < line.len && i < 16 && http_hex_digit(line.data[i]) >= 0)
        size = size << 4 | (uint64_t)http_hex_digit(line.data[i++]);
    struct str rest = str_skip(line, i), blanks = str_trim(rest);
    if (i == 0 || !is_text(rest) || (blanks.len > 0 && blanks.data[0] != ';')) {
        refuse(r, ERR_IO, "the size of a chunk is not a number");
    } else if (size > r->body_max - r->body.size) {
        refuse(r, ERR_LIMIT, "the answer is too large");
    } else {
        r->left = size;
        r->part = size == 0 ? TRAILERS : CHUNK;
    }
}

/* --- lines and bytes ----------------------------------------------------------------------- */

/* A line without its end; it lies in r->head from `at` on. */
static void read_line(struct http_response *r, size_t at, struct str line)
{
    bool keep = false;
    switch ((enum part)r->part) {
    case STATUS_LINE:
        read_status(r, line);
        keep = true;
        break;
    case FIELDS:
        keep = line.len > 0;
        if (keep)
            read_field(r, line);
        else
            end_head(r);
        break;
    case CHUNK_SIZE: read_chunk_size(r, line); break;
    case CHUNK_END:
        r->part = CHUNK_SIZE;
        if (line.len > 0)
            refuse(r, ERR_IO, "a chunk is longer than its size");
        break;
    case TRAILERS:
        r->trailer_bytes += line.len + 2;
        if (line.len == 0)
            done(r);
        else if (r->trailer_bytes > HTTP_RESPONSE_HEAD_MAX)
            refuse(r, ERR_LIMIT, "the trailers of the answer are too long");
        break;
    case BODY:
    case CHUNK:
    case TO_THE_END: break; /* have no lines */
    }
    if (!keep && r->head.size > at)
        r->head.size = at; /* begin_head() has emptied it altogether */
    r->line_at = r->head.size;
}

/* How long it may become. */
static size_t line_max(const struct http_response *r, size_t at)
{
    switch ((enum part)r->part) {
    case CHUNK_SIZE: return HTTP_RESPONSE_CHUNK_LINE_MAX;
    case CHUNK_END: return 2;
    case TRAILERS: return HTTP_RESPONSE_HEAD_MAX;
    case STATUS_LINE:
    case FIELDS:
    case BODY:
    case CHUNK:
    case TO_THE_END: break;
    }
    return HTTP_RESPONSE_HEAD_MAX - at;
}

static size_t feed_line(struct http_response *r, struct str bytes)
{
    size_t lf = str_find(bytes, '\n'), at = r->line_at;
    size_t n = lf == SIZE_MAX ? bytes.len : lf + 1, had = r->head.size - at;
    size_t max = line_max(r, at), room = had < max ? max - had : 0;
    bool complete = lf != SIZE_MAX && n <= room;
    buf_put(&r->head, bytes.data, n < room ? n : room);
    if (r->head.error != 0) {
        refuse(r, ERR_NOMEM, "no memory for the answer");
        return 0;
    }
    struct str line = str_of(r->head.data + at, r->head.size - at);
    if (r->part == STATUS_LINE && !may_be_status(line)) {
        refuse(r, ERR_IO, "the answer is not HTTP/1");
    } else if (n > room) {
        refuse(r, r->part == CHUNK_END ? ERR_IO : ERR_LIMIT,
               r->part == CHUNK_END    ? "a chunk is longer than its size"
               : r->part == CHUNK_SIZE ? "a chunk's size has too long extensions"
               : r->part == TRAILERS   ? "the trailers of the answer are too long"
                                       : "the headers of the answer are too long");
    } else if (complete) {
        line.len -= line.len > 1 && line.data[line.len - 2] == '\r' ? 2 : 1;
        read_line(r, at, line);
    }
    return n;
}

static size_t feed_body(struct http_response *r, struct str bytes)
{
    size_t n = bytes.len;
    if (r->part != TO_THE_END && n > r->left)
        n = (size_t)r->left;
    if (r->part == TO_THE_END && n > r->body_max - r->body.size) {
        refuse(r, ERR_LIMIT, "the answer is too large");
        return n;
    }
    buf_put(&r->body, bytes.data, n);
    if (r->body.error != 0) {
        refuse(r, ERR_NOMEM, "no memory for the answer");
        return n;
    }
    if (r->part == TO_THE_END)
        return n;
    r->left -= n;
    if (r->left == 0 && r->part == BODY)
        done(r);
    else if (r->left == 0)
        r->part = CHUNK_END;
    return n;
}

size_t http_response_feed(struct http_response *r, struct str bytes)
{
    size_t taken = 0;
    while (taken < bytes.len && r->state == HTTP_RESPONSE_MORE) {
        struct str rest = str_skip(bytes, taken);
        bool raw = r->part == BODY || r->part == CHUNK || r->part == TO_THE_END;
        taken += raw ? feed_body(r, rest) : feed_line(r, rest);
    }
    return taken;
}

void http_response_end(struct http_response *r)
{
    if (r->state != HTTP_RESPONSE_MORE)
        return;
    if (r->part == TO_THE_END)
        done(r);
    else
        http_response_cut(r);
}

void http_response_cut(struct http_response *r)
{
    if (r->state != HTTP_RESPONSE_MORE)
        return;
    refuse(r, ERR_CLOSED,
           http_response_has_begun(r) ? "closed by the server in the middle of the answer"
                                      : "closed by the server before an answer came");
}
