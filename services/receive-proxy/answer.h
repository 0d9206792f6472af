/* receive-proxy/answer.h - what the client of a listener is told about a sum of results.
 *
 * Success: every receiver has it, or misses it only because it waits in a queue while at least
 * one receiver or a disk holds it; also when a rule dropped it, or when there is nobody to send
 * to. What waits in memory alone is not promised: the client hears the failure and may send
 * again.
 *
 * A failure with status_passthrough (the default): all receivers' faults of one code are that
 * code, mixed ones are unavailable; a status that all have is passed on by /ingest;
 * Retry-After too. Without, as Alloy does: Push says `internal`; /ingest says the first failing
 * receiver's status, or 500.
 *
 * Pure; any thread. Tests: tests/unit/receive-proxy/test_answer.c. */
#ifndef RECEIVE_PROXY_ANSWER_H
#define RECEIVE_PROXY_ANSWER_H

#include <stdbool.h>

#include "flow.h"

struct flow_answer {
    bool ok;
    enum rpc_code code;             /* of a Push */
    unsigned status;                /* of an /ingest; 200 when ok */
    int retry_after_s;              /* for Retry-After; -1: none */
    char message[FLOW_MESSAGE_MAX]; /* for Push's error; /ingest: the text of the body, without
                                       its newline ("Bad Request", "Failed to process request")
                                     */
};

/* The answer to a request that became one item (an /ingest) or several (the series of a Push:
 * their results were added by flow_result_add(), `worst` being the answer that is not ok, if
 * one is). */
void flow_answer(const struct flow_result *r, enum flow_kind kind, bool passthrough,
                 struct flow_answer *out);

/* The answer to a Push of several series: each is judged alone (`all` = add of none at first). */
void flow_answer_add(struct flow_answer *all, const struct flow_answer *one);

#endif
