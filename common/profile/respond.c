/* profile/respond.c - straight from arrays to bytes: a large flame graph is written once. */
#include "profile/respond.h"

#include "wire/json.h"
#include "wire/pb.h"

static void flamegraph_pb(const struct flamegraph *f, struct buf *out)
{
    size_t whole = pb_begin(out, 1);
    for (size_t i = 0; i < f->name_count; i++)
        pb_put_bytes(out, 1, f->names[i]);
    for (size_t d = 0; d < f->level_count; d++) {
        size_t level = pb_begin(out, 2), values = pb_begin(out, 1);
        for (size_t i = 0; i < f->levels[d].count; i++)
            buf_varint(out, (uint64_t)f->levels[d].values[i]);
        pb_end(out, values);
        pb_end(out, level);
    }
    pb_put_varint_set(out, 3, (uint64_t)f->total);
    pb_put_varint_set(out, 4, (uint64_t)f->max_self);
    pb_end(out, whole);
}

static void names_json(const struct flamegraph *f, struct json *j)
{
    json_key(j, "names");
    json_begin_array(j);
    for (size_t i = 0; i < f->name_count; i++)
        json_str(j, f->names[i]);
    json_end_array(j);
}

static void flamegraph_json(const struct flamegraph *f, struct json *j)
{
    json_begin_object(j);
    names_json(f, j);
    json_key(j, "levels");
    json_begin_array(j);
    for (size_t d = 0; d < f->level_count; d++) {
        json_begin_object(j);
        json_key(j, "values");
        json_begin_array(j);
        for (size_t i = 0; i < f->levels[d].count; i++)
            json_i64_text(j, f->levels[d].values[i]);
        json_end_array(j);
        json_end_object(j);
    }
    json_end_array(j);
    if (f->total != 0) {
        json_key(j, "total");
        json_i64_text(j, f->total);
    }
    if (f->max_self != 0) {
        json_key(j, "maxSelf");
        json_i64_text(j, f->max_self);
    }
    json_end_object(j);
}

void respond_flamegraph(const struct flamegraph *f, bool json, struct buf *out)
{
    if (!json) {
        flamegraph_pb(f, out);
        return;
    }
    struct json j = json_to(out);
    json_begin_object(&j);
    json_key(&j, "flamegraph");
    flamegraph_json(f, &j);
    json_end_object(&j);
}

void respond_tree(struct str tree, bool json, struct buf *out)
{
    if (!json) {
        pb_put_bytes_set(out, 2, tree);
        return;
    }
    struct json j = json_to(out);
    json_begin_object(&j);
    if (tree.len > 0) {
        json_key(&j, "tree");
        json_base64(&j, tree);
    }
    json_end_object(&j);
}

static void series_pb(const struct series_row *row, struct buf *out)
{
    size_t series = pb_begin(out, 1);
    for (size_t i = 0; i < row->labels.count; i++) {
        size_t label = pb_begin(out, 1);
        pb_put_bytes_set(out, 1, row->labels.items[i].name);
        pb_put_bytes_set(out, 2, row->labels.items[i].value);
        pb_end(out, label);
    }
    for (size_t i = 0; i < row->count; i++) {
        size_t point = pb_begin(out, 2);
        if (row->points[i].value != 0)
            pb_put_double(out, 1, row->points[i].value);
        pb_put_varint_set(out, 2, (uint64_t)row->points[i].time_ms);
        pb_end(out, point);
    }
    pb_end(out, series);
}

static void labels_json(struct labels set, struct json *j)
{
    json_key(j, "labels");
    json_begin_array(j);
    for (size_t i = 0; i < set.count; i++) {
        json_begin_object(j);
        json_key(j, "name");
        json_str(j, set.items[i].name);
        json_key(j, "value");
        json_str(j, set.items[i].value);
        json_end_object(j);
    }
    json_end_array(j);
}

static void points_json(const struct series_row *row, struct json *j)
{
    json_key(j, "points");
    json_begin_array(j);
    for (size_t i = 0; i < row->count; i++) {
        json_begin_object(j);
        if (row->points[i].value != 0) {
            json_key(j, "value");
            json_f64(j, row->points[i].value);
        }
        if (row->points[i].time_ms != 0) {
            json_key(j, "timestamp");
            json_i64_text(j, row->points[i].time_ms);
        }
        json_end_object(j);
    }
    json_end_array(j);
}

void respond_series(const struct series_row *rows, size_t count, bool json, struct buf *out)
{
    if (!json) {
        for (size_t i = 0; i < count; i++)
            series_pb(&rows[i], out);
        return;
    }
    struct json j = json_to(out);
    json_begin_object(&j);
    if (count > 0) {
        json_key(&j, "series");
        json_begin_array(&j);
        for (size_t i = 0; i < count; i++) {
            json_begin_object(&j);
            if (rows[i].labels.count > 0)
                labels_json(rows[i].labels, &j);
            if (rows[i].count > 0)
                points_json(&rows[i], &j);
            json_end_object(&j);
        }
        json_end_array(&j);
    }
    json_end_object(&j);
}

static void timeline_json(const struct timeline *t, struct json *j)
{
    json_begin_object(j);
    json_key(j, "startTime");
    json_i64(j, t->start_s);
    json_key(j, "samples");
    json_begin_array(j);
    for (size_t i = 0; i < t->count; i++)
        json_u64(j, t->samples[i]);
    json_end_array(j);
    json_key(j, "durationDelta");
    json_i64(j, t->step_s);
    json_key(j, "watermarks");
    json_null(j);
    json_end_object(j);
}

static void flamebearer_json(const struct flamegraph *f, struct json *j)
{
    json_begin_object(j);
    names_json(f, j);
    json_key(j, "levels");
    json_begin_array(j);
    for (size_t d = 0; d < f->level_count; d++) {
        json_begin_array(j);
        for (size_t i = 0; i < f->levels[d].count; i++)
            json_i64(j, f->levels[d].values[i]);
        json_end_array(j);
    }
    json_end_array(j);
    json_key(j, "numTicks");
    json_i64(j, f->total);
    json_key(j, "maxSelf");
    json_i64(j, f->max_self);
    json_end_object(j);
}

/* What the peer's page needs to print values: it knows some sample types by name. */
static void metadata_json(const struct profile_type *t, struct json *j)
{
    static const struct str objects[] = {STR_INIT("inuse_objects"), STR_INIT("alloc_objects"),
                                         STR_INIT("goroutine"), STR_INIT("samples")};
    struct str units = t->sample_unit;
    int64_t rate = 100;
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        if (str_eq(t->sample_type, objects[i]))
            units = STR("objects");
    if (str_eq(t->sample_type, STR("cpu"))) {
        units = STR("samples");
        rate = 1000000000;
    }
    json_begin_object(j);
    json_key(j, "format");
    json_c(j, "single");
    json_key(j, "spyName");
    json_c(j, "");
    json_key(j, "sampleRate");
    json_i64(j, rate);
    json_key(j, "units");
    json_str(j, units);
    json_key(j, "name");
    json_str(j, t->sample_type);
    json_end_object(j);
}

void respond_render(const struct render *r, struct buf *out)
{
    struct json j = json_to(out);
    json_begin_object(&j);
    json_key(&j, "version");
    json_i64(&j, 1);
    json_key(&j, "flamebearer");
    flamebearer_json(r->flamegraph, &j);
    json_key(&j, "metadata");
    metadata_json(&r->type, &j);
    json_key(&j, "timeline");
    timeline_json(&r->timeline, &j);
    json_key(&j, "groups");
    if (r->groups == NULL) {
        json_null(&j);
    } else {
        json_begin_object(&j);
        for (size_t i = 0; i < r->group_count; i++) {
            json_key_str(&j, r->groups[i].value);
            timeline_json(&r->groups[i].timeline, &j);
        }
        json_end_object(&j);
    }
    json_key(&j, "heatmap");
    json_null(&j);
    json_end_object(&j);
}
