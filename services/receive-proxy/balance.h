/* receive-proxy/balance.h - a set of addresses that take turns; one that fails is passed over
 * and tried again later.
 *
 * After its n-th failure in a row an address is set aside for 1 s x 2^(n-1), at most 30 s; if
 * all are aside, the one whose time ends first is taken all the same: better a try than a
 * certain failure.
 *
 * Pure; one owner thread at a time. Tests: tests/unit/receive-proxy/test_balance.c. */
#ifndef RECEIVE_PROXY_BALANCE_H
#define RECEIVE_PROXY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"
#include "net/addr.h"

struct balance;

enum { BALANCE_MAX = 1024 }; /* addresses; more are not looked at */

/* An empty set. ERR_NOMEM. */
int balance_init(struct balance **out);
void balance_free(struct balance **b); /* NULL-safe */

/* The whole set anew: those that stay keep their standing. Doubles count once. ERR_NOMEM with
 * the old set kept. */
int balance_set(struct balance *b, const struct addr *addrs, size_t count);

size_t balance_count(const struct balance *b);

/* Addresses that are not set aside at `now`. */
size_t balance_ready(const struct balance *b, mono_ms now);

/* The next one. False: the set is empty. */
bool balance_pick(struct balance *b, mono_ms now, struct addr *out);

/* How it went with one; an address that is not in the set any more is nothing. */
void balance_worked(struct balance *b, const struct addr *a);
void balance_failed(struct balance *b, const struct addr *a, mono_ms now);

#endif
