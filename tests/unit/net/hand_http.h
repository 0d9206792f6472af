/* A server that a test leads by hand, step by step, while it turns the loop of its client. */
#ifndef TESTS_HAND_HTTP_H
#define TESTS_HAND_HTTP_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "until.h"

struct hand {
    struct loop *loop;
    int listener;
    uint16_t port;
};

static inline struct hand hand_open(struct loop *l)
{
    struct hand h = {.loop = l, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    assert_int_equal(bind(h.listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(h.listener, 100), 0);
    assert_int_equal(getsockname(h.listener, (struct sockaddr *)&in, &size), 0);
    h.port = ntohs(in.sin_port);
    return h;
}

static inline bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static inline int hand_accept(const struct hand *h)
{
    int one = 1;
    UNTIL(h, is_readable(h->listener));
    int fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    return fd;
}

/* What comes until the end of a request's head, its body too if that is in the same segment. */
static inline const char *hand_hear(const struct hand *h, int fd)
{
    static char text[4096];
    size_t size = 0;
    do {
        UNTIL(h, is_readable(fd));
        ssize_t n = recv(fd, text + size, sizeof text - 1 - size, 0);
        assert_true(n > 0);
        size += (size_t)n;
        text[size] = '\0';
    } while (strstr(text, "\r\n\r\n") == NULL);
    return text;
}

static inline void hand_say(int fd, const char *text, size_t size)
{
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

static inline void hand_say_all(int fd, const char *text)
{
    hand_say(fd, text, strlen(text));
}

/* The client has closed that connection. */
static inline bool is_over(int fd)
{
    char byte[4096];
    ssize_t n;
    while (is_readable(fd)) {
        n = recv(fd, byte, sizeof byte, 0);
        if (n <= 0)
            return true;
    }
    return false;
}

#endif
