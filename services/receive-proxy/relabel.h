/* receive-proxy/relabel.h - pyroscope.relabel: Prometheus' relabel rules over the labels of
 * items.
 *
 * The rules (relabel_rules) are a pure core; the receiver adds a cache of the last label sets,
 * the counters and the fan-out. Expressions are RE2, anchored at both ends, `.` matches
 * newlines. An item with more than 2048 labels is refused; sets over 4 KiB are not cached.
 * Rules: any thread. Tests: tests/unit/receive-proxy/test_relabel.c. */
#ifndef RECEIVE_PROXY_RELABEL_H
#define RECEIVE_PROXY_RELABEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "flow.h"
#include "metrics/metrics.h"
#include "profile/labels.h"
#include "settings.h"

struct arena;

/* Compiled rules; immutable. */
struct relabel_rules;

/* Compile. ERR_INVAL names the rule and what is wrong with it, ERR_NOMEM. */
int relabel_rules_init(struct relabel_rules **out, const struct set_rule *rules, size_t count,
                       struct err *err);
void relabel_rules_free(struct relabel_rules **r); /* NULL-safe */

/* What is wrong with one rule. ERR_INVAL, ERR_NOMEM. */
int relabel_rule_check(const struct set_rule *rule, struct err *err);

/* Apply all rules to the set `in` (sorted, no name twice): *keep false: dropped; else *out is a
 * set in the arena whose strings are in the arena or borrowed from `in`. ERR_NOMEM. */
int relabel_apply(const struct relabel_rules *r, struct labels in, struct arena *a,
                  struct labels *out, bool *keep);

/* One for the process; labels component_id, component_path. */
struct relabel_metrics {
    struct counter_vec *processed, *written, *dropped, *cache_hits, *cache_misses;
    struct gauge_vec *cache_size;
};
extern const struct metric_row relabel_metric_rows[];

/* Make a receiver with one reference that passes on to `next` (retained). ERR_INVAL, ERR_NOMEM. */
int relabel_init(struct receiver **out, const struct set_relabel *settings, struct str id,
                 struct str path, struct flow_list *next, const struct relabel_metrics *metrics,
                 struct err *err);

#endif
