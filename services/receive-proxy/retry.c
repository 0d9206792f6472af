/* receive-proxy/retry.c - the peer's rules, and the better ones. */
#include "retry.h"

enum {
    LAST_TRY_MS = 200,     /* an attempt with less time than that is not worth its dividing */
    AFTER_MAX_MS = 300000, /* the longest Retry-After that a request is held for */
};

enum rpc_code retry_code_of_status(unsigned status, bool better)
{
    if (!better)
        return rpc_code_of_status(status);
    switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
        return RPC_INVALID_ARGUMENT;
    case 401:
        return RPC_UNAUTHENTICATED;
    case 403:
        return RPC_PERMISSION_DENIED;
    case 404:
        return RPC_NOT_FOUND;
    case 405:
    case 501:
        return RPC_UNIMPLEMENTED;
    case 408:
    case 504:
        return RPC_DEADLINE_EXCEEDED;
    case 412:
        return RPC_FAILED_PRECONDITION;
    case 429:
        return RPC_RESOURCE_EXHAUSTED;
    case 500:
        return RPC_INTERNAL;
    case 425:
    case 502:
    case 503:
        return RPC_UNAVAILABLE;
    default:
        break;
    }
    if (status >= 400 && status <= 499)
        return RPC_FAILED_PRECONDITION;
    return status >= 500 ? RPC_UNAVAILABLE : RPC_UNKNOWN;
}

static bool is_useful_ingest(const struct retry_policy *p, unsigned status)
{
    if (status == 429)
        return p->retry_429;
    return status == 0 || status == 408 || status >= 500;
}

bool retry_is_useful(const struct retry_policy *p, enum flow_kind kind,
                     const struct retry_fault *f)
{
    if (f->timed_out)
        return true;
    if (f->code == RPC_CANCELED)
        return false;
    if (kind == FLOW_INGEST)
        return is_useful_ingest(p, f->status);
    switch (f->code) {
    case RPC_RESOURCE_EXHAUSTED:
        return p->retry_429;
    case RPC_DEADLINE_EXCEEDED:
    case RPC_UNKNOWN:
    case RPC_INTERNAL:
    case RPC_UNAVAILABLE:
    case RPC_DATA_LOSS:
    case RPC_ABORTED:
        return true;
    case RPC_OK:
    case RPC_CANCELED:
    case RPC_INVALID_ARGUMENT:
    case RPC_NOT_FOUND:
    case RPC_ALREADY_EXISTS:
    case RPC_PERMISSION_DENIED:
    case RPC_FAILED_PRECONDITION:
    case RPC_OUT_OF_RANGE:
    case RPC_UNIMPLEMENTED:
    case RPC_UNAUTHENTICATED:
        break;
    }
    return false;
}

void retry_init(struct retry *r, const struct retry_policy *p, enum flow_kind kind,
                mono_ms deadline)
{
    *r = (struct retry){.policy = p, .kind = kind, .deadline = deadline};
}

static bool is_last(const struct retry *r)
{
    return r->policy->attempts_max != 0 && r->attempts >= r->policy->attempts_max;
}

mono_ms retry_begin(struct retry *r, mono_ms now)
{
    const struct retry_policy *p = r->policy;
    if (r->attempts++ == 0)
        r->began = now;
    mono_ms end = now + p->attempt_ms;
    if (r->deadline == MONO_NEVER)
        return end;
    mono_ms left = r->deadline - now, share = left;
    /* Half of the time, less the wait before the next attempt, which needs the other half. */
    if (p->budget && !is_last(r) && left > (mono_ms)p->min_backoff_ms + 2 * LAST_TRY_MS)
        share = (left - p->min_backoff_ms) / 2;
    return share < (mono_ms)p->attempt_ms ? now + share : end;
}

uint32_t retry_backoff_ms(uint32_t i, uint32_t min_ms, uint32_t max_ms, struct rng *rng)
{
    uint64_t low = i < 32 ? (uint64_t)min_ms << i : UINT32_MAX;
    if (low >= max_ms)
        return max_ms;
    uint64_t wait = low == 0 ? 0 : low + rng_below(rng, low);
    return wait > max_ms ? max_ms : (uint32_t)wait;
}

enum retry_end retry_failed(struct retry *r, const struct retry_fault *f, mono_ms now,
                            struct rng *rng, mono_ms *at)
{
    const struct retry_policy *p = r->policy;
    if (!retry_is_useful(p, r->kind, f))
        return RETRY_REFUSED;
    if (is_last(r))
        return RETRY_SPENT;
    mono_ms wait = retry_backoff_ms(r->attempts - 1, p->min_backoff_ms, p->max_backoff_ms, rng);
    if (r->deadline != MONO_NEVER && p->budget && r->attempts == 1 &&
        r->deadline - now > 2 * LAST_TRY_MS && wait > (r->deadline - now) / 2)
        wait = (r->deadline - now) / 2; /* one more attempt at least */
    mono_ms after = p->honour_after && f->retry_after_s > 0 ? (mono_ms)f->retry_after_s * 1000 : 0;
    if (wait < after)
        wait = after < AFTER_MAX_MS ? after : AFTER_MAX_MS;
    if (r->deadline != MONO_NEVER && now + wait >= r->deadline)
        return RETRY_LATE;
    if (p->tries_ms != 0 && now + wait >= r->began + (mono_ms)p->tries_ms)
        return RETRY_LATE;
    *at = now + wait;
    return RETRY_AGAIN;
}
