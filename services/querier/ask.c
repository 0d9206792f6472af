/* querier/ask.c - checks of requests. */
#include "ask.h"

#include "net/http_server.h"
#include "profile/labels.h"
#include "profile/selector.h"

static void clamp(const struct limit_settings *l, wall_ms now, int64_t *start,
                  const int64_t *end, bool *empty)
{
    if (l->query_lookback_ms > 0) {
        int64_t oldest = now - l->query_lookback_ms;
        if (*end < oldest)
            *empty = true;
        else if (*start < oldest)
            *start = oldest;
    }
}

int ask_range(const struct limit_settings *l, wall_ms now, int64_t *start, int64_t *end,
              bool *empty, struct err *err)
{
    *empty = false;
    if (*start == 0 || *end == 0)
        return err_set(err, ERR_INVAL, "missing time range in the query");
    if (*start > *end)
        return err_set(err, ERR_INVAL, "invalid time range: start %lld is after end %lld",
                       (long long)*start, (long long)*end);
    clamp(l, now, start, end, empty);
    int64_t length;
    if (*empty || l->query_length_ms <= 0)
        return 0;
    if (__builtin_sub_overflow(*end, *start, &length) || length > l->query_length_ms)
        return err_set(
            err, ERR_INVAL,
            "the query time range exceeds the limit of %lld s (-querier.max-query-length)",
            (long long)(l->query_length_ms / 1000));
    return 0;
}

int ask_names_range(const struct limit_settings *l, wall_ms now, int64_t *start, int64_t *end,
                    bool *empty, struct err *err)
{
    *empty = false;
    if (*start == 0 && *end == 0) {
        *start = INT64_MIN / 2000000; /* milliseconds that are still nanoseconds */
        *end = INT64_MAX / 2000000;
        return 0;
    }
    if (*start > *end)
        return err_set(err, ERR_INVAL, "invalid time range: start %lld is after end %lld",
                       (long long)*start, (long long)*end);
    clamp(l, now, start, end, empty);
    return 0;
}

int ask_nodes(const struct limit_settings *l, bool given, int64_t asked, uint64_t *out,
              struct err *err)
{
    if (!given || asked == 0)
        asked = l->nodes_default;
    else if (asked < 0 && l->nodes_max != 0)
        return err_set(err, ERR_INVAL, "max nodes must not be negative");
    if (l->nodes_max > 0 && asked > l->nodes_max)
        return err_set(err, ERR_INVAL, "max nodes %lld is above the limit of %lld",
                       (long long)asked, (long long)l->nodes_max);
    *out = asked < 0 ? 0 : (uint64_t)asked;
    return 0;
}

int ask_matchers(const struct str *matchers, size_t count, struct err *err)
{
    struct selectors s = {0};
    int rc = selectors_parse(&s, matchers, count, err);
    selectors_reset(&s);
    if (rc == ERR_PARSE || rc == ERR_LIMIT) {
        (void)err_wrap(err, "invalid label selector");
        if (err != NULL)
            err->code = ERR_INVAL;
        return ERR_INVAL;
    }
    return rc;
}

int ask_selection(struct str profile_type, struct str selector, struct err *err)
{
    struct profile_type t;
    if (profile_type_parse(profile_type, &t, err) != 0)
        return err_set(err, ERR_INVAL,
                       "invalid profile type %.*s: want "
                       "name:sample_type:sample_unit:period_type:period_unit",
                       STR_ARG(str_head(profile_type, 100)));
    return ask_matchers(&selector, 1, err);
}

bool ask_wants_complete(const struct querier_settings *s, const struct http_req *req)
{
    return s->require_complete ||
           str_eq_nocase(http_req_header(req, "X-Pyroscope-Require-Complete"), STR("true"));
}
