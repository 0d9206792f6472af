/* ring/page.c - the ring as JSON. */
#include "ring/page.h"

#include "ring/desc_priv.h"
#include "wire/json.h"

/* Days since 1970 to a date of the proleptic Gregorian calendar: count years from 1 March of
 * year 0, so that the leap day is the last of its year, in eras of 400 years. */
static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468; /* from 0000-03-01 to 1970-01-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t d = days - era * 146097; /* of the era */
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t of_year = d - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153; /* 0 is March */
    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

void ring_page_time(wall_ms t, struct buf *out)
{
    int64_t s = t / 1000 - (t % 1000 < 0);
    int64_t ms = t - s * 1000;
    int64_t days = s / 86400 - (s % 86400 < 0);
    int64_t of_day = s - days * 86400, year = 0;
    unsigned month = 0, day = 0;
    if (days > -719528 && days < 2932897) /* years 1 to 9999 */
        date_of(days, &year, &month, &day);
    if (year < 1 || year > 9999) {
        buf_c(out, "0001-01-01T00:00:00Z");
        return;
    }
    buf_printf(out, "%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month, day,
               (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60));
    if (ms % 10 != 0)
        buf_printf(out, ".%03d", (int)ms);
    else if (ms % 100 != 0)
        buf_printf(out, ".%02d", (int)(ms / 10));
    else if (ms != 0)
        buf_printf(out, ".%d", (int)(ms / 100));
    buf_u8(out, 'Z');
}

/* Unix seconds; `zero_unknown`: 0 means that it is not known. */
static void json_time(struct json *j, const char *key, int64_t s, bool zero_unknown)
{
    struct buf text = {0};
    bool in_range = s > -62135596800 && s < 253402300800; /* years 1 to 9999 */
    if ((s == 0 && zero_unknown) || !in_range)
        buf_c(&text, "0001-01-01T00:00:00Z");
    else
        ring_page_time(s * 1000, &text);
    json_key(j, key);
    json_str(j, buf_view(&text));
    buf_reset(&text);
}

static void put_shard(const struct ring_instance *in, bool alive, struct json *j)
{
    json_begin_object(j);
    json_key(j, "id");
    json_str(j, in->id);
    json_key(j, "state");
    json_c(j, alive ? ring_state_name(in->state) : "UNHEALTHY");
    json_key(j, "address");
    json_str(j, in->addr);
    json_time(j, "timestamp", in->timestamp_s, false);
    json_time(j, "registered_timestamp", in->registered_s, true);
    json_key(j, "read_only");
    json_bool(j, in->read_only);
    json_time(j, "read_only_updated_timestamp", in->read_only_since_s, true);
    json_key(j, "zone");
    json_str(j, in->zone);
    json_key(j, "tokens");
    if (in->token_count == 0) {
        json_null(j);
    } else {
        json_begin_array(j);
        for (uint32_t i = 0; i < in->token_count; i++)
            json_u64(j, in->tokens[i]);
        json_end_array(j);
    }
    ring_versions_to_json(in, j);
    json_end_object(j);
}

void ring_page_json(const struct ring_desc *desc, int64_t timeout_ms, wall_ms now,
                    struct buf *out)
{
    struct json j = json_to(out);
    size_t shown = 0;
    json_begin_object(&j);
    json_key(&j, "shards");
    for (size_t i = 0; desc != NULL && i < desc->count; i++) {
        const struct ring_instance *in = &desc->all[i];
        if (in->state == RING_LEFT)
            continue;
        if (shown++ == 0)
            json_begin_array(&j);
        put_shard(in, ring_instance_is_alive(in, timeout_ms, now), &j);
    }
    if (shown > 0)
        json_end_array(&j);
    else
        json_null(&j);
    struct buf text = {0};
    ring_page_time(now, &text);
    json_key(&j, "now");
    json_str(&j, buf_view(&text));
    json_end_object(&j);
    buf_u8(out, '\n');
    buf_reset(&text);
}

wall_ms ring_page_newest(const struct ring_desc *desc)
{
    int64_t newest = 0;
    for (size_t i = 0; desc != NULL && i < desc->count; i++)
        if (desc->all[i].state != RING_LEFT && desc->all[i].timestamp_s > newest)
            newest = desc->all[i].timestamp_s;
    return newest > INT64_MAX / 1000 ? 0 : newest * 1000;
}
