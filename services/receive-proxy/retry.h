/* receive-proxy/retry.h - whether and when a request is sent again: one attempt after the
 * other, with backoff and jitter, until it is stored, refused, or out of attempts or time.
 *
 * Pure: time and randomness are arguments. One owner thread. Follows Alloy's pyroscope.write
 * and dskit's backoff, except where the policy says better. Tests:
 * tests/unit/receive-proxy/test_retry.c. */
#ifndef RECEIVE_PROXY_RETRY_H
#define RECEIVE_PROXY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/time.h"
#include "flow.h"
#include "rpc/connect.h"

struct retry_policy {
    uint32_t attempt_ms; /* remote_timeout */
    uint32_t min_backoff_ms, max_backoff_ms;
    uint32_t attempts_max; /* in all; 0: no end */
    bool retry_429;
    bool better_codes; /* an answer that is no Connect error: 4xx is a refusal */
    bool honour_after; /* Retry-After, up to 5 minutes */
    bool budget;       /* an attempt leaves time for another one before the deadline */
    uint32_t tries_ms; /* none begins so long after the first; 0: no such end */
};

/* How an attempt ended that did not succeed. */
struct retry_fault {
    enum rpc_code code;
    unsigned status;   /* of HTTP; 0: no answer */
    bool timed_out;    /* the attempt's own deadline */
    int retry_after_s; /* -1: none */
};

/* The code of an answer of HTTP that carries none of its own (a load balancer's, /ingest's):
 * Connect's inference, or, when `better`, one that keeps refusals apart from failures. */
enum rpc_code retry_code_of_status(unsigned status, bool better);

/* Sending it again may help. */
bool retry_is_useful(const struct retry_policy *p, enum flow_kind kind,
                     const struct retry_fault *f);

struct retry {
    const struct retry_policy *policy; /* borrowed */
    enum flow_kind kind;
    mono_ms deadline;  /* MONO_NEVER: none */
    mono_ms began;     /* the first attempt */
    uint32_t attempts; /* begun */
};

enum retry_end {
    RETRY_AGAIN,   /* wait, then send again */
    RETRY_REFUSED, /* useless to send again */
    RETRY_SPENT,   /* all attempts are used */
    RETRY_LATE,    /* no time for another one */
};

/* Start. */
void retry_init(struct retry *r, const struct retry_policy *p, enum flow_kind kind,
                mono_ms deadline);

/* Begin an attempt at `now`: until when it may take. At most the deadline. */
mono_ms retry_begin(struct retry *r, mono_ms now);

/* The attempt has failed at `now`. RETRY_AGAIN: *at is when to begin the next one. */
enum retry_end retry_failed(struct retry *r, const struct retry_fault *f, mono_ms now,
                            struct rng *rng, mono_ms *at);

/* The i-th wait (from 0): uniform in [min x 2^i, min x 2^(i+1)), at most max. */
uint32_t retry_backoff_ms(uint32_t i, uint32_t min_ms, uint32_t max_ms, struct rng *rng);

#endif
