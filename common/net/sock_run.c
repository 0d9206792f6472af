/* net/sock_run.c - TCP's options of Linux, apart from the rest because libuv brings
 * <netinet/tcp.h>, whose struct tcp_info is older than the kernel's and cannot stand beside it. */
#include "net/sock_priv.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

bool sock_bytes_received(int fd, uint64_t *out)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return false;
    *out = info.tcpi_bytes_received;
    return true;
}

void sock_notice_vanished(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 15},         /* seconds of silence before the first probe */
        {IPPROTO_TCP, TCP_KEEPINTVL, 5},         /* seconds between probes */
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000}, /* milliseconds without acknowledgement */
    };
    /* Where the kernel does not have one, the deadlines of the user are left. */
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}
