/* metrics/text.c - the text format, and what tables must keep. */
#include "metrics/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void gauge_add(struct gauge *g, double v)
{
    if (g == NULL)
        return;
    uint64_t had = atomic_load_explicit(&g->bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&g->bits, &had,
                                                  metric_bits(metric_double(had) + v),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void histogram_observe(struct histogram *h, double v)
{
    if (h == NULL)
        return;
    uint32_t i = 0;
    while (i < h->count && !(v <= h->bounds[i])) /* NaN falls into +Inf */
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    uint64_t had = atomic_load_explicit(&h->sum_bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&h->sum_bits, &had,
                                                  metric_bits(metric_double(had) + v),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool metric_name_is_valid(struct str s, bool is_metric)
{
    if (s.len == 0 || (!is_metric && str_starts_with(s, STR("__"))))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      (is_metric && c == ':');
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

static int bad(struct err *err, const struct metric_row *r, const char *why)
{
    return err_set(err, ERR_INVAL, "metric %s: %s", r->name == NULL ? "(no name)" : r->name,
                   why);
}

static int check_labels(const struct metric_row *r, struct err *err)
{
    uint32_t count = 0;
    for (struct str rest = str_c(r->labels), part; str_cut(&rest, ',', &part); count++) {
        if (part.len == 0 && r->labels[0] == '\0')
            break;
        if (!metric_name_is_valid(part, false) || str_eq(part, STR("le")))
            return bad(err, r, "a label's name is not valid");
        struct str seen = str_c(r->labels), one;
        for (uint32_t i = 0; i < count && str_cut(&seen, ',', &one); i++)
            if (str_eq(one, part))
                return bad(err, r, "a label stands twice");
    }
    return count > METRIC_LABELS_MAX ? bad(err, r, "too many labels") : 0;
}

static int check_row(const struct metric_row *r, struct err *err)
{
    if (r->name == NULL || !metric_name_is_valid(str_c(r->name), true))
        return bad(err, r, "the name is not valid");
    if (r->help == NULL || r->help[0] == '\0')
        return bad(err, r, "no help");
    bool total = str_ends_with(str_c(r->name), STR("_total"));
    if ((r->bits & METRIC_PEER_NAME) == 0 && total != (r->kind == METRIC_COUNTER))
        return bad(err, r,
                   total ? "only counters end in _total" : "a counter must end in _total");
    if (r->labels == NULL)
        return bad(err, r, "no labels (\"\" for none)");
    for (uint32_t i = 0; r->bounds != NULL && i < r->bound_count; i++)
        if (!isfinite(r->bounds[i]) || (i > 0 && !(r->bounds[i] > r->bounds[i - 1])))
            return bad(err, r, "bounds must rise, without +Inf");
    if (r->bounds != NULL && (r->kind != METRIC_HISTOGRAM || r->bound_count == 0))
        return bad(err, r, "bounds are for histograms, with their number");
    return check_labels(r, err);
}

int metrics_check(const struct metric_row *rows, struct err *err)
{
    for (const struct metric_row *r = rows; r->kind != METRIC_END; r++) {
        int rc = check_row(r, err);
        if (rc != 0)
            return rc;
        for (const struct metric_row *before = rows; before != r; before++)
            if (strcmp(before->name, r->name) == 0)
                return bad(err, r, "stands twice in a table");
    }
    return 0;
}

/* Help escapes backslash and newline; label values the quote too. */
static void put_escaped(struct buf *out, struct str s, bool quotes)
{
    bool utf8 = str_is_utf8(s);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '\\')
            buf_c(out, "\\\\");
        else if (c == '\n')
            buf_c(out, "\\n");
        else if (c == '"' && quotes)
            buf_c(out, "\\\"");
        else if ((unsigned char)c >= 0x80 && !utf8)
            buf_c(out, "\xef\xbf\xbd");
        else
            buf_u8(out, (uint8_t)c);
    }
}

void metric_put_head(struct buf *out, enum metric_kind kind, struct str name, struct str help)
{
    static const char *const types[] = {"untyped", "counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %.*s ", STR_ARG(name));
    put_escaped(out, help, false);
    buf_printf(out, "\n# TYPE %.*s %s\n", STR_ARG(name), types[kind]);
}

/* name, suffix and {labels}, with le when there is one. */
static void put_series(struct buf *out, struct str name, const char *suffix,
                       struct metric_labels labels, struct str le)
{
    buf_str(out, name);
    buf_c(out, suffix);
    if (labels.count == 0 && le.len == 0) {
        buf_u8(out, ' ');
        return;
    }
    for (uint32_t i = 0; i < labels.count; i++) {
        buf_u8(out, i == 0 ? '{' : ',');
        buf_str(out, labels.names[i]);
        buf_c(out, "=\"");
        put_escaped(out, labels.values[i], true);
        buf_u8(out, '"');
    }
    if (le.len > 0)
        buf_printf(out, "%sle=\"%.*s\"", labels.count == 0 ? "{" : ",", STR_ARG(le));
    buf_c(out, "} ");
}

/* The shortest decimal text that reads back as v. */
static struct str number(double v, char text[32])
{
    if (isnan(v))
        return STR("NaN");
    if (isinf(v))
        return v < 0 ? STR("-Inf") : STR("+Inf");
    int n = 0;
    if (!(fabs(v) > 1e15) && !(floor(v) < v)) /* 20, not 2e+01 */
        return str_of(text, (size_t)snprintf(text, 32, "%.0f", v));
    for (int digits = 1; digits <= 17; digits++) {
        n = snprintf(text, 32, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (!(back < v) && !(back > v))
            break;
    }
    return str_of(text, n < 0 ? 0 : (size_t)n);
}

void metric_put_sample(struct buf *out, struct str name, struct metric_labels labels,
                       double value)
{
    char text[32];
    put_series(out, name, "", labels, (struct str){0});
    buf_str(out, number(value, text));
    buf_u8(out, '\n');
}

static void put_u64(struct buf *out, uint64_t v)
{
    buf_udec(out, v);
    buf_u8(out, '\n');
}

void metric_put_count(struct buf *out, struct str name, struct metric_labels labels,
                      uint64_t value)
{
    put_series(out, name, "", labels, (struct str){0});
    put_u64(out, value);
}

void metric_put_histogram(struct buf *out, struct str name, struct metric_labels labels,
                          const struct histogram *h)
{
    char text[32];
    uint64_t total = 0;
    for (uint32_t i = 0; i <= h->count; i++) {
        total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        put_series(out, name, "_bucket", labels,
                   i == h->count ? STR("+Inf") : number(h->bounds[i], text));
        put_u64(out, total);
    }
    double sum = metric_double(atomic_load_explicit(&h->sum_bits, memory_order_relaxed));
    put_series(out, name, "_sum", labels, (struct str){0});
    buf_str(out, number(sum, text));
    buf_u8(out, '\n');
    put_series(out, name, "_count", labels, (struct str){0});
    put_u64(out, total);
}
