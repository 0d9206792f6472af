/* net/http_listen_uv.c - the sockets that a server listens on: opened, shared with others of this
 * process, taken over from one that goes. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server_priv.h"
#include "net/loop_priv.h"

static int open_socket(const struct addr *a, bool dual, bool share, int *out)
{
    struct sockaddr_storage sa;
    int one = 1, zero = 0;
    int fd = socket(a->family == 6 ? AF_INET6 : AF_INET,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    addr_to_sockaddr(a, &sa);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (share)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (dual)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    socklen_t size = a->family == 6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (bind(fd, (const struct sockaddr *)&sa, size) != 0) {
        int code = errno;
        close(fd);
        return code;
    }
    *out = fd;
    return 0;
}

static struct addr bound_addr(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof sa;
    getsockname(fd, (struct sockaddr *)&sa, &size);
    return addr_of_sockaddr((const struct sockaddr *)&sa);
}

/* Until the sockets listen nothing shows another process that they are bound: of two that start
 * together, the one that has the abstract name goes on. It is of the same network namespace as the
 * port, and gone with the process. Where names cannot be had, there is no guard. */
static int take_guard(struct http_server *s)
{
    char text[ADDR_TEXT_MAX];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    int used = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "emberring-http-%s",
                        addr_text(&s->addr, text));
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    if (bind(fd, (const struct sockaddr *)&name, size) != 0) {
        int code = errno;
        close(fd);
        return code == EADDRINUSE ? code : 0;
    }
    s->guard_fd = fd;
    return 0;
}

void http_guard_close(struct http_server *s)
{
    if (s->guard_fd >= 0)
        close(s->guard_fd);
    s->guard_fd = -1;
}

/* With SO_REUSEPORT a second server would share the port without a word: a first try without it
 * finds one that listens, the guard one that is about to. */
static int find_free(struct http_server *s, bool dual)
{
    int fd = -1, code = s->addr.port == 0 ? 0 : take_guard(s);
    if (code == 0)
        code = open_socket(&s->addr, dual, false, &fd);
    if (fd >= 0)
        close(fd);
    return code;
}

/* A socket per thread. */
static int open_sockets(struct http_server *s, bool dual)
{
    struct addr a = s->addr;
    int code = s->config.share_port ? 0 : find_free(s, dual);
    if (code != 0)
        return code;
    bool reuse = s->thread_count > 1 || s->config.share_port;
    for (unsigned i = 0; i < s->thread_count; i++) {
        code = open_socket(&a, dual, reuse, &s->threads[i]->listen_fd);
        if (code != 0)
            return code;
        a.port = bound_addr(s->threads[i]->listen_fd).port;
    }
    s->addr.port = a.port;
    return 0;
}

void http_sockets_close(struct http_server *s)
{
    http_guard_close(s);
    for (unsigned i = 0; s->threads != NULL && i < s->thread_count; i++) {
        if (s->threads[i] != NULL && s->threads[i]->listen_fd >= 0)
            close(s->threads[i]->listen_fd);
        if (s->threads[i] != NULL)
            s->threads[i]->listen_fd = -1;
    }
}

/* The same sockets once more, each under a number of our own. */
static int inherit_sockets(struct http_server *s, struct err *err)
{
    const struct http_server *from = s->config.inherit;
    s->addr = from->addr;
    for (unsigned i = 0; i < s->thread_count; i++) {
        struct http_thread *t = from->threads[i];
        int fd = t->mhd == NULL ? t->listen_fd
                                : MHD_get_daemon_info(t->mhd, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd;
        s->threads[i]->listen_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (s->threads[i]->listen_fd < 0)
            return err_set(err, ERR_IO, "taking over a socket: %s", uv_strerror(-errno));
    }
    return 0;
}

int http_sockets_open(struct http_server *s, struct err *err)
{
    char text[ADDR_TEXT_MAX];
    int code;
    if (s->config.inherit != NULL)
        return inherit_sockets(s, err);
    if (s->config.address.len > 0) {
        if (addr_parse_ip(&s->addr, s->config.address, s->config.port) != 0)
            return err_set(err, ERR_INVAL, "listen address %.*s is not an IP address",
                           STR_ARG(s->config.address));
        code = open_sockets(s, false);
    } else {
        s->addr = (struct addr){.family = 6, .port = s->config.port};
        code = open_sockets(s, true);
        if (code == EAFNOSUPPORT || code == EADDRNOTAVAIL) { /* no IPv6 here */
            http_sockets_close(s);
            s->addr.family = 4;
            code = open_sockets(s, false);
        }
    }
    if (code == 0)
        return 0;
    int rc = code == EADDRINUSE                              ? ERR_EXIST
             : code == EADDRNOTAVAIL                         ? ERR_INVAL
             : code == EACCES || code == EPERM               ? ERR_DENIED
                                                             : ERR_IO;
    return err_set(err, rc, "listen on %s: %s", addr_text(&s->addr, text), uv_strerror(-code));
}
