/* The checks in the order in which Pyroscope makes them, so that the first reason is the same. */
#include "profile/validate.h"

#include <inttypes.h>

#include "base/mem.h"
#include "profile/labels.h"
#include "profile/pprof.h"

#define SECOND_NS ((int64_t)1000000000)

const char *discard_text(enum discard reason)
{
    static const char *const texts[] = {
#define X(name, text) text,
        DISCARD_MAP(X)
#undef X
    };
    return reason < DISCARD_COUNT ? texts[reason] : "unknown";
}

struct profile_limits profile_limits_default(void)
{
    return (struct profile_limits){
        .profile_size_bytes = 4 << 20,
        .samples = 16000,
        .sample_labels = 100,
        .stack_depth = 1000,
        .symbol_bytes = 65535,
        .label_name_bytes = 1024,
        .label_value_bytes = 2048,
        .label_names = 30,
        .reject_older_ns = 3600 * SECOND_NS,
        .reject_newer_ns = 600 * SECOND_NS,
    };
}

/* --- profiles ----------------------------------------------------------------------------- */

static int check_time(struct pprof *p, const struct profile_limits *l, int64_t now_ns,
                      enum discard *reason, struct err *err)
{
    if (p->time_ns <= 0) {
        p->time_ns = now_ns;
        return 0;
    }
    *reason = DISCARD_NOT_IN_INGESTION_WINDOW;
    if (l->reject_older_ns > 0 && p->time_ns <= now_ns - l->reject_older_ns)
        return err_set(err, ERR_INVAL,
                       "profile with timestamp %" PRId64 " ns is outside the ingestion window: "
                       "more than %" PRId64 " s before now",
                       p->time_ns, l->reject_older_ns / SECOND_NS);
    if (l->reject_newer_ns > 0 && p->time_ns >= now_ns + l->reject_newer_ns)
        return err_set(err, ERR_INVAL,
                       "profile with timestamp %" PRId64 " ns is outside the ingestion window: "
                       "more than %" PRId64 " s after now",
                       p->time_ns, l->reject_newer_ns / SECOND_NS);
    *reason = DISCARD_NONE;
    return 0;
}

static int check_sizes(const struct pprof *p, const struct profile_limits *l,
                       enum discard *reason, struct err *err)
{
    if (l->profile_size_bytes > 0 && p->raw.len > l->profile_size_bytes) {
        *reason = DISCARD_PROFILE_SIZE_LIMIT;
        return err_set(err, ERR_LIMIT, "the profile is of %zu bytes, the limit is %" PRIu64,
                       p->raw.len, l->profile_size_bytes);
    }
    if (l->samples > 0 && p->sample_count > l->samples) {
        *reason = DISCARD_SAMPLES_LIMIT;
        return err_set(err, ERR_LIMIT, "the profile has %u samples, the limit is %u",
                       p->sample_count, l->samples);
    }
    return 0;
}

static int check_samples(struct pprof *p, const struct profile_limits *l, enum discard *reason,
                         struct err *err)
{
    uint32_t depth = l->stack_depth > 0 ? l->stack_depth : UINT32_MAX;
    uint32_t labels = l->sample_labels > 0 ? l->sample_labels : UINT32_MAX;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pprof_sample_row *s = &p->samples[i];
        if (i == p->odd_sample) {
            *reason = DISCARD_MALFORMED_PROFILE;
            return err_set(err, ERR_INVAL,
                           "sample %u has not as many values as there are sample types (%u)", i,
                           p->type_count);
        }
        if (s->frame_count > depth) {
            s->first_frame += s->frame_count - depth;
            s->frame_count = depth;
        }
        if (s->label_count > labels) {
            *reason = DISCARD_SAMPLE_LABELS_LIMIT;
            return err_set(err, ERR_LIMIT, "sample %u has %u labels, the limit is %u", i,
                           s->label_count, l->sample_labels);
        }
    }
    return 0;
}

static void cut_strings(struct pprof *p, const struct profile_limits *l)
{
    for (uint32_t i = 0; l->symbol_bytes > 0 && i < p->string_count; i++)
        if (p->strings[i].len > l->symbol_bytes)
            p->strings[i] = str_skip(p->strings[i], p->strings[i].len - l->symbol_bytes);
}

/* What is wrong with the references, or NULL. */
static const char *bad_reference(const struct pprof *p)
{
    uint32_t n = p->string_count;
    for (uint32_t i = 0; i < p->location_count; i++)
        if (p->locations[i].id == 0)
            return "location id is 0";
    for (uint32_t i = 0; i < p->function_count; i++)
        if (p->functions[i].id == 0)
            return "function id is 0";
    if (n == 0)
        return "string table is empty";
    if (p->strings[0].len != 0)
        return "string 0 of the string table is not empty";
    for (uint32_t i = 0; i < p->type_count; i++)
        if (p->types[i].type >= n || p->types[i].unit >= n)
            return "string index of a sample type is out of range";
    if (p->has_period_type && (p->period_type.type >= n || p->period_type.unit >= n))
        return "string index of the period type is out of range";
    for (uint32_t i = 0; i < p->label_count; i++)
        if (p->labels[i].key >= n || p->labels[i].text >= n)
            return "string index of a sample label is out of range";
    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct pprof_fun_row *f = &p->functions[i];
        if (f->name >= n || f->system_name >= n || f->file >= n)
            return "string index of a function is out of range";
    }
    for (uint32_t i = 0; i < p->mapping_count; i++)
        if (p->mappings[i].file >= n || p->mappings[i].build_id >= n)
            return "string index of a mapping is out of range";
    for (uint32_t i = 0; i < p->type_count; i++)
        if (str_find(p->strings[p->types[i].type], '-') != SIZE_MAX)
            return "sample type name contains -";
    return NULL;
}

static int check_utf8(const struct pprof *p, struct err *err)
{
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct str s = p->strings[i];
        if (str_is_utf8(s))
            continue;
        char hex[65];
        size_t n = s.len < 32 ? s.len : 32;
        for (size_t k = 0; k < n; k++) {
            hex[2 * k] = "0123456789abcdef"[(uint8_t)s.data[k] >> 4];
            hex[2 * k + 1] = "0123456789abcdef"[(uint8_t)s.data[k] & 15];
        }
        hex[2 * n] = '\0';
        return err_set(err, ERR_INVAL, "string %u is not valid UTF-8: hex %s%s", i, hex,
                       s.len > n ? "..." : "");
    }
    return 0;
}

int profile_validate(struct pprof *p, const struct profile_limits *limits, int64_t now_ns,
                     enum discard *reason, struct err *err)
{
    *reason = DISCARD_MALFORMED_PROFILE;
    if (p->type_count == 0)
        return err_set(err, ERR_INVAL, "the profile has no sample types");
    *reason = DISCARD_NONE;
    int rc = check_time(p, limits, now_ns, reason, err);
    rc = rc != 0 ? rc : check_sizes(p, limits, reason, err);
    rc = rc != 0 ? rc : check_samples(p, limits, reason, err);
    if (rc != 0)
        return rc;
    cut_strings(p, limits);
    *reason = DISCARD_MALFORMED_PROFILE;
    const char *bad = bad_reference(p);
    if (bad != NULL)
        return err_set(err, ERR_INVAL, "%s", bad);
    rc = check_utf8(p, err);
    *reason = rc != 0 ? *reason : DISCARD_NONE;
    return rc;
}

/* --- labels ------------------------------------------------------------------------------- */

/* At most this much of a label stands in a message. */
enum { SHOWN_BYTES = 64 };

static int check_label(const struct label *l, const struct profile_limits *limits,
                       enum discard *reason, struct err *err)
{
    struct str name = str_head(l->name, SHOWN_BYTES), value = str_head(l->value, SHOWN_BYTES);
    if (limits->label_name_bytes > 0 && l->name.len > limits->label_name_bytes) {
        *reason = DISCARD_LABEL_NAME_TOO_LONG;
        return err_set(err, ERR_INVAL,
                       "label name of %zu bytes is too long, the limit is %u: %.*s",
                       l->name.len, limits->label_name_bytes, STR_ARG(name));
    }
    if (limits->label_value_bytes > 0 && l->value.len > limits->label_value_bytes) {
        *reason = DISCARD_LABEL_VALUE_TOO_LONG;
        return err_set(err, ERR_INVAL,
                       "value of label %.*s has %zu bytes, the limit is %u: %.*s",
                       STR_ARG(name), l->value.len, limits->label_value_bytes, STR_ARG(value));
    }
    *reason = DISCARD_INVALID_LABELS;
    if (l->name.len == 0)
        return err_set(err, ERR_INVAL, "a label has an empty name");
    if (!str_is_utf8(l->name))
        return err_set(err, ERR_INVAL, "a label name is not valid UTF-8");
    if (!str_is_utf8(l->value))
        return err_set(err, ERR_INVAL, "value of label %.*s is not valid UTF-8", STR_ARG(name));
    *reason = DISCARD_NONE;
    return 0;
}

int labels_validate(const struct label *labels, size_t count,
                    const struct profile_limits *limits, enum discard *reason, struct err *err)
{
    struct labels set = {labels, count};
    *reason = DISCARD_MISSING_LABELS;
    if (count == 0)
        return err_set(err, ERR_INVAL, "at least one label is required");
    if (limits->label_names > 0 && count > limits->label_names) {
        *reason = DISCARD_MAX_LABEL_NAMES;
        return err_set(err, ERR_INVAL, "the series has %zu labels, the limit is %u", count,
                       limits->label_names);
    }
    struct str name = labels_get(set, LABEL_NAME);
    *reason = DISCARD_INVALID_LABELS;
    if (name.len == 0 || !str_is_utf8(name))
        return err_set(err, ERR_INVAL, "label __name__ is missing or not valid");
    *reason = DISCARD_MISSING_LABELS;
    if (labels_get(set, LABEL_SERVICE).len == 0)
        return err_set(err, ERR_INVAL, "label service_name is missing or empty");
    for (size_t i = 0; i < count; i++) {
        int rc = check_label(&labels[i], limits, reason, err);
        if (rc != 0)
            return rc;
        if (i > 0 && str_eq(labels[i].name, labels[i - 1].name)) {
            *reason = DISCARD_DUPLICATE_LABEL_NAMES;
            struct str twice = str_head(labels[i].name, SHOWN_BYTES);
            return err_set(err, ERR_INVAL, "label %.*s occurs twice", STR_ARG(twice));
        }
    }
    return 0;
}

static bool is_old_byte(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
    return letter || (!first && c >= '0' && c <= '9');
}

int labels_sanitize(struct label *labels, size_t *count, struct arena *a, enum discard *reason,
                    struct err *err)
{
    bool changed = false;
    for (size_t i = 0; i < *count; i++) {
        struct str name = labels[i].name;
        for (size_t k = 0; k < name.len; k++) {
            if (is_old_byte(name.data[k], k == 0))
                continue;
            struct str shown = str_head(name, SHOWN_BYTES);
            *reason = DISCARD_INVALID_LABELS;
            return err_set(err, ERR_INVAL, "label name is not valid: %.*s", STR_ARG(shown));
        }
        if (str_find(name, '.') == SIZE_MAX)
            continue;
        char *copy = arena_dup(a, name.data, name.len);
        if (copy == NULL)
            return err_set(err, ERR_NOMEM, "no memory for a label name");
        for (size_t k = 0; k < name.len; k++)
            copy[k] = copy[k] == '.' ? '_' : copy[k];
        labels[i].name.data = copy;
        changed = true;
    }
    if (!changed)
        return 0;
    labels_sort(labels, *count);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (kept > 0 && str_eq(labels[kept - 1].name, labels[i].name)) {
            if (str_eq(labels[kept - 1].value, labels[i].value))
                continue;
            struct str shown = str_head(labels[i].name, SHOWN_BYTES);
            *reason = DISCARD_DUPLICATE_LABEL_NAMES;
            return err_set(err, ERR_INVAL, "label %.*s has two values", STR_ARG(shown));
        }
        labels[kept++] = labels[i];
    }
    *count = kept;
    return 0;
}
