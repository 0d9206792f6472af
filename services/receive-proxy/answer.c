/* receive-proxy/answer.c - the two ways to sum up: ours and Alloy's. */
#include "answer.h"

#include <stdio.h>

#include "net/http.h"

static void succeed(struct flow_answer *out)
{
    *out = (struct flow_answer){
        .ok = true, .code = RPC_OK, .status = 200, .retry_after_s = -1, .message = ""};
}

/* Alloy: Push is always `internal`, /ingest the first status of HTTP or 500. */
static void answer_as_alloy(const struct flow_result *r, enum flow_kind kind,
                            struct flow_answer *out)
{
    out->retry_after_s = -1;
    out->code = RPC_INTERNAL;
    out->status = 500;
    if (kind == FLOW_PUSH) {
        snprintf(out->message, sizeof out->message, "%s", r->message);
        return;
    }
    const char *reason = r->status == 0 ? "" : http_status_text(r->status);
    out->status = r->status == 0 ? 500 : r->status;
    snprintf(out->message, sizeof out->message, "%s",
             r->status == 0 ? "Failed to process request" : reason);
}

static bool is_success(const struct flow_result *r)
{
    return r->failed == 0 && (r->kept == 0 || r->stored + r->synced > 0);
}

void flow_answer(const struct flow_result *r, enum flow_kind kind, bool passthrough,
                 struct flow_answer *out)
{
    if (is_success(r)) {
        succeed(out);
        return;
    }
    out->ok = false;
    if (!passthrough) {
        answer_as_alloy(r, kind, out);
        return;
    }
    out->code = r->faults == 0 ? RPC_UNAVAILABLE : r->code;
    out->retry_after_s = r->retry_after_s;
    /* The status that all had goes on as it is (422 has no code); a reply that is no failure there
     * (202) must not look like one that is none here. */
    bool own = r->faults > 0 && !r->mixed && r->status >= 400 && r->status <= 599;
    out->status = own ? r->status : rpc_code_status(out->code);
    snprintf(out->message, sizeof out->message, "%s",
             r->message[0] != '\0' ? r->message : http_status_text(out->status));
}

void flow_answer_add(struct flow_answer *all, const struct flow_answer *one)
{
    if (one->ok)
        return;
    if (all->ok) {
        *all = *one;
        return;
    }
    if (all->code != one->code)
        all->code = RPC_UNAVAILABLE;
    if (all->status != one->status)
        all->status = rpc_code_status(all->code);
    if (one->retry_after_s > all->retry_after_s)
        all->retry_after_s = one->retry_after_s;
    size_t used = str_c(all->message).len;
    snprintf(all->message + used, sizeof all->message - used, "%s%s", used > 0 ? "; " : "",
             one->message);
}
