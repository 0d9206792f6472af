/* A blocking client that sends exactly the bytes it is told to, for tests of servers. */
#ifndef TESTS_RAW_HTTP_H
#define TESTS_RAW_HTTP_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

enum { RAW_WAIT_MS = 20000 };

struct raw {
    int fd;
    struct buf in;     /* bytes that were read and not used */
    unsigned status;   /* of the last answer; 0: the connection ended before one */
    struct buf head;   /* its header lines */
    struct buf body;
    bool eof;
};

static inline void raw_open(struct raw *r, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    *r = (struct raw){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(r->fd >= 0);
    assert_int_equal(connect(r->fd, (const struct sockaddr *)&sa, sizeof sa), 0);
}

/* False when the other side has closed. */
static inline bool raw_send(struct raw *r, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send(r->fd, p, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static inline bool raw_say(struct raw *r, const char *text)
{
    return raw_send(r, text, strlen(text));
}

/* Read more; false at the end of the stream or after wait_ms. */
static inline bool raw_more(struct raw *r, int wait_ms)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    if (poll(&p, 1, wait_ms) != 1)
        return false;
    uint8_t *at = buf_reserve(&r->in, 65536);
    ssize_t n = recv(r->fd, at, 65536, 0);
    if (n <= 0) {
        r->eof = true;
        return false;
    }
    r->in.size += (size_t)n;
    return true;
}

static inline void raw_drop(struct raw *r, size_t n)
{
    memmove(r->in.data, r->in.data + n, r->in.size - n);
    r->in.size -= n;
}

/* Value of a header of the last answer, or data NULL. */
static inline struct str raw_header(const struct raw *r, const char *name)
{
    struct str rest = buf_view(&r->head), line;
    while (str_cut(&rest, '\n', &line)) {
        struct str key;
        if (str_cut(&line, ':', &key) && str_eq_nocase(key, str_c(name)))
            return str_trim(line);
    }
    return (struct str){NULL, 0};
}

/* Read one answer. Returns its status; 0 when the connection ended first. head_only: to HEAD. */
static inline unsigned raw_answer_to(struct raw *r, bool head_only)
{
    const char *end = NULL;
    r->status = 0;
    buf_clear(&r->head);
    buf_clear(&r->body);
    while (end == NULL) {
        end = r->in.size < 4 ? NULL : memmem(r->in.data, r->in.size, "\r\n\r\n", 4);
        if (end == NULL && !raw_more(r, RAW_WAIT_MS))
            return 0;
    }
    size_t head = (size_t)(end - (const char *)r->in.data) + 4;
    buf_put(&r->head, r->in.data, head);
    raw_drop(r, head);
    assert_memory_equal(r->head.data, "HTTP/1.", 7);
    r->status = (unsigned)strtoul((const char *)r->head.data + 9, NULL, 10);
    if (r->status == 100)
        return raw_answer_to(r, head_only);
    uint64_t length = 0;
    struct str text = raw_header(r, "Content-Length");
    if (text.data != NULL)
        assert_int_equal(str_u64(text, &length), 0);
    if (head_only)
        length = 0;
    while (r->in.size < length) {
        if (!raw_more(r, RAW_WAIT_MS)) {
            r->status = 0;
            return 0;
        }
    }
    buf_put(&r->body, r->in.data, length);
    if (length > 0)
        raw_drop(r, length);
    return r->status;
}

static inline unsigned raw_answer(struct raw *r)
{
    return raw_answer_to(r, false);
}

/* True when the server closes within wait_ms; what it still sends is read and dropped. */
static inline bool raw_ends(struct raw *r, int wait_ms)
{
    mono_ms due = clock_mono_ms() + wait_ms;
    while (!r->eof) {
        mono_ms left = due - clock_mono_ms();
        buf_clear(&r->in);
        if (left <= 0 || (!raw_more(r, (int)left) && !r->eof))
            return false;
    }
    return true;
}

static inline void raw_close(struct raw *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    buf_reset(&r->in);
    buf_reset(&r->head);
    buf_reset(&r->body);
}

/* Ask on a connection of its own; returns the status. */
static inline unsigned raw_once(uint16_t port, const char *bytes, struct raw *r)
{
    raw_open(r, port);
    raw_say(r, bytes);
    return raw_answer(r);
}

#endif
