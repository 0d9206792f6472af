/* metrics/metrics.h - counters, gauges and histograms, declared in tables, shown as Prometheus
 * text.
 *
 * A module has a `struct x_metrics` of pointers and one table of rows; metrics_register() fills
 * the pointers. Every function here takes NULL for "not measured", so an all-zero struct
 * x_metrics is valid and cores need no registry in simulations and tests.
 *
 * Names stand without the namespace, which the registry puts in front ("ring_members" becomes
 * "pyroscope_ring_members"); rows with METRIC_BARE keep theirs. A label set is bounded: past
 * series_max further values share one series whose labels are all "__other__", and the counter
 * metrics_series_overflows_total grows. Nothing taken from a request may be a label value
 * unless this bound is meant.
 *
 * Any thread; increments are single atomic additions without a lock. A registry outlives all
 * who use what it gave them. Format: Prometheus text exposition 0.0.4. Tests:
 * tests/unit/metrics/test_metrics.c, test_process.c. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum metric_kind { METRIC_END, METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum {
    METRIC_BARE = 1,      /* no namespace in front */
    METRIC_PEER_NAME = 2, /* named by Pyroscope against the rules of metrics_check() */
};

enum { METRIC_LABELS_MAX = 8, METRIC_SERIES_DEFAULT = 1000 };

struct counter {
    _Atomic uint64_t value;
};

struct gauge {
    _Atomic uint64_t bits; /* of a double */
};

struct histogram {
    const double *bounds;
    uint32_t count; /* of bounds; buckets has one more, for +Inf */
    _Atomic uint64_t sum_bits;
    _Atomic uint64_t buckets[]; /* not cumulative */
};

/* With labels: one of the above per set of values. */
struct counter_vec;
struct gauge_vec;
struct histogram_vec;

/* One metric. */
struct metric_row {
    enum metric_kind kind;
    unsigned bits;
    const char *name;
    const char *labels;   /* "queue,reason"; "" for none */
    const char *help;     /* with the unit */
    size_t offset;        /* of the pointer to fill */
    const double *bounds; /* histograms: rising upper bounds; NULL: metric_seconds */
    uint32_t bound_count;
    uint32_t series_max; /* 0: METRIC_SERIES_DEFAULT */
};

/* 5 ms to 10 s, the default of Prometheus's client libraries. */
extern const double metric_seconds[11];

/* Refuses to compile when a row names a field of another type. */
#define METRIC_AT(S, f, T)                                                                     \
    (offsetof(struct S, f) +                                                                   \
     0 * sizeof(char[_Generic(((struct S *)0)->f, struct T * : 1, default                      \
                              : -1)]))

/* METRIC_x(struct tag, field, bits, name, help), _VEC with labels before the help, and
 * histograms with bounds (array or NULL) and their number at the end. */
#define METRIC_COUNTER_ROW(S, f, bits, name, help)                                             \
    {                                                                                          \
        METRIC_COUNTER, (bits), (name), "", (help), METRIC_AT(S, f, counter), NULL, 0, 0       \
    }
#define METRIC_COUNTER_VEC_ROW(S, f, bits, name, labels, help)                                 \
    {                                                                                          \
        METRIC_COUNTER, (bits), (name), (labels), (help), METRIC_AT(S, f, counter_vec), NULL,  \
            0, 0                                                                               \
    }
#define METRIC_GAUGE_ROW(S, f, bits, name, help)                                               \
    {                                                                                          \
        METRIC_GAUGE, (bits), (name), "", (help), METRIC_AT(S, f, gauge), NULL, 0, 0           \
    }
#define METRIC_GAUGE_VEC_ROW(S, f, bits, name, labels, help)                                   \
    {                                                                                          \
        METRIC_GAUGE, (bits), (name), (labels), (help), METRIC_AT(S, f, gauge_vec), NULL, 0, 0 \
    }
#define METRIC_HISTOGRAM_ROW(S, f, bits, name, help, bounds, count)                            \
    {                                                                                          \
        METRIC_HISTOGRAM, (bits), (name), "", (help), METRIC_AT(S, f, histogram), (bounds),    \
            (count), 0                                                                         \
    }
#define METRIC_HISTOGRAM_VEC_ROW(S, f, bits, name, labels, help, bounds, count)                \
    {                                                                                          \
        METRIC_HISTOGRAM, (bits), (name), (labels), (help), METRIC_AT(S, f, histogram_vec),    \
            (bounds), (count), 0                                                               \
    }

/* A label with a value fixed at registration, such as name="ingester". */
struct metric_label {
    const char *name;
    const char *value;
};

/* The registry. */
struct metrics;

/* An empty registry. The namespace (copied; "" for none) is put in front of names with "_".
 * ERR_INVAL (not a metric name), ERR_NOMEM. */
int metrics_init(struct metrics **out, const char *ns, struct err *err);
void metrics_free(struct metrics **m); /* NULL-safe; leaves *m NULL */

/* Create the metrics of a table (ends with METRIC_END; must outlive the registry) and store
 * their pointers in the struct at `at`. `fixed` (may be NULL) ends with name NULL; its labels
 * stand behind the row's. The same table may be registered again with other values of `fixed`.
 * ERR_INVAL for a row that metrics_check() refuses or that contradicts an earlier one,
 * ERR_EXIST for the same series twice, ERR_NOMEM; some metrics may then be there, and are not
 * taken away. */
int metrics_register(struct metrics *m, const struct metric_row *rows, void *at,
                     const struct metric_label *fixed, struct err *err);

/* What a table must keep: valid names, no name twice, no empty help, counters end in _total
 * unless METRIC_PEER_NAME, no other kind does, at most METRIC_LABELS_MAX labels, rising bounds.
 * ERR_INVAL with the reason. */
int metrics_check(const struct metric_row *rows, struct err *err);

/* Where a collector puts its samples. */
struct metrics_sink;

/* Called for each exposition, by the thread that exposes, with the registry locked: it calls
 * only metrics_emit(), and does not wait. */
typedef void (*metrics_collect_fn)(void *arg, struct metrics_sink *sink);

/* One sample: a value for each label of the row, in their order (NULL without labels). */
void metrics_emit(struct metrics_sink *sink, const struct str *values, double value);

/* Ask `fn` at each exposition for the samples of a counter or gauge row (offset unused). Errors
 * as metrics_register(). */
int metrics_collector(struct metrics *m, const struct metric_row *row,
                      const struct metric_label *fixed, metrics_collect_fn fn, void *arg,
                      struct err *err);

/* Forget all collectors of `arg`; none of them runs afterwards. */
void metrics_collector_remove(struct metrics *m, const void *arg);

/* Append all metrics that have a sample as text, sorted by name and then by label values. */
void metrics_expose(struct metrics *m, struct buf *out);

/* Content-Type of that text. */
extern const char metrics_content_type[];

/* The series of these label values (as many as the row's labels, in their order; copied),
 * created at first use; keep the pointer where it is hot. NULL for a NULL vec or when memory
 * ran out. */
struct counter *counter_at(struct counter_vec *v, const struct str *values);
struct gauge *gauge_at(struct gauge_vec *v, const struct str *values);
struct histogram *histogram_at(struct histogram_vec *v, const struct str *values);

/* COUNTER_AT(vec, STR("gossip"), reason) */
#define METRIC_VALUES(...)   ((const struct str[]){__VA_ARGS__})
#define COUNTER_AT(v, ...)   counter_at((v), METRIC_VALUES(__VA_ARGS__))
#define GAUGE_AT(v, ...)     gauge_at((v), METRIC_VALUES(__VA_ARGS__))
#define HISTOGRAM_AT(v, ...) histogram_at((v), METRIC_VALUES(__VA_ARGS__))

static inline void counter_add(struct counter *c, uint64_t n)
{
    if (c != NULL)
        atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

static inline void counter_inc(struct counter *c)
{
    counter_add(c, 1);
}

static inline uint64_t counter_get(const struct counter *c)
{
    return c == NULL ? 0 : atomic_load_explicit(&c->value, memory_order_relaxed);
}

/* A double's bits and back. */
static inline uint64_t metric_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline double metric_double(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline void gauge_set(struct gauge *g, double v)
{
    if (g != NULL)
        atomic_store_explicit(&g->bits, metric_bits(v), memory_order_relaxed);
}

static inline double gauge_get(const struct gauge *g)
{
    return g == NULL ? 0 : metric_double(atomic_load_explicit(&g->bits, memory_order_relaxed));
}

/* Add v, which may be negative. */
void gauge_add(struct gauge *g, double v);

/* Count one value. */
void histogram_observe(struct histogram *h, double v);

#endif
