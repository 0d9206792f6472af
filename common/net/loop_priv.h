/* net/loop_priv.h - what the other files of net/ need of a loop: libuv's handle and its errors. */
#ifndef NET_LOOP_PRIV_H
#define NET_LOOP_PRIV_H

#include <netinet/in.h>
#include <uv.h>

#include "net/addr.h"
#include "net/loop.h"

/* The libuv loop inside. */
uv_loop_t *loop_uv(struct loop *l);

/* Some thread is in loop_run(). */
bool loop_is_running(const struct loop *l);

/* A code of ours for a libuv error (0 stays 0). */
int loop_err_of_uv(int uv_code);

/* 64 KiB for a read callback that is done with the bytes when it returns. */
enum { LOOP_SCRATCH = 64 * 1024 };
void *loop_scratch(struct loop *l);

/* Addresses as the kernel wants them, and back. */
void addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);
struct addr addr_of_sockaddr(const struct sockaddr *sa);

#endif
