/* net/http_listen_uv.c - the sockets that a server listens on: opened, shared with others of this
 * process, taken over from one that goes. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
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

/* A socket per thread. With SO_REUSEPORT a second process would share the port without a word; a
 * first try without it finds that out. */
static int open_sockets(struct http_server *s, bool dual)
{
    struct addr a = s->addr;
    int fd = -1, code = s->config.share_port ? 0 : open_socket(&a, dual, false, &fd);
    if (code != 0)
        return code;
    if (fd >= 0)
        close(fd);
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
