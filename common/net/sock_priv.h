/* net/sock_priv.h - what the kernel alone knows of a socket. */
#ifndef NET_SOCK_PRIV_H
#define NET_SOCK_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that ever arrived on a TCP socket; false where the kernel does not say. */
bool sock_bytes_received(int fd, uint64_t *out);

/* Have a peer that has vanished without a word noticed, about half a minute later: by probes when
 * nothing is on its way, by what is not acknowledged otherwise. */
void sock_notice_vanished(int fd);

#endif
