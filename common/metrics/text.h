/* metrics/text.h - lines of Prometheus's text format 0.0.4, and the rules for names.
 *
 * Pure; any thread. Tests: tests/unit/metrics/test_text.c. */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "metrics/metrics.h"

/* Names and values of a series; both borrowed. */
struct metric_labels {
    const struct str *names;
    const struct str *values;
    uint32_t count;
};

/* [a-zA-Z_:][a-zA-Z0-9_:]*; without colons, and not starting with "__", when not a metric's. */
bool metric_name_is_valid(struct str s, bool is_metric);

/* # HELP and # TYPE. */
void metric_put_head(struct buf *out, enum metric_kind kind, struct str name, struct str help);

/* name{labels} value; bytes that are not UTF-8 become U+FFFD. */
void metric_put_sample(struct buf *out, struct str name, struct metric_labels labels,
                       double value);

/* As metric_put_sample for a whole number, exact to 64 bits. */
void metric_put_count(struct buf *out, struct str name, struct metric_labels labels,
                      uint64_t value);

/* The _bucket lines, cumulative, +Inf last, then _sum and _count. */
void metric_put_histogram(struct buf *out, struct str name, struct metric_labels labels,
                          const struct histogram *h);

#endif
