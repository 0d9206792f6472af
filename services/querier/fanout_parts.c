/* querier/fanout_parts.c - copies of a fan-out's parts. */
#include "fanout.h"

#include "base/mem.h"

int fanout_keep(const struct fanout_result *result, struct arena *a, struct fanout_parts *out)
{
    size_t bytes = 0;
    *out = (struct fanout_parts){
        .items = arena_calloc(a, result->part_count + 1, sizeof *out->items)};
    for (size_t i = 0; i < result->part_count; i++)
        bytes += result->parts[i].bytes.len;
    if (out->items == NULL || buf_reserve(&out->copy, bytes) == NULL) {
        fanout_parts_reset(out);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < result->part_count; i++) {
        struct str part = result->parts[i].bytes;
        out->items[i] = str_of(out->copy.data + out->copy.size, part.len);
        buf_str(&out->copy, part);
    }
    out->count = result->part_count;
    return 0;
}

void fanout_parts_reset(struct fanout_parts *p)
{
    buf_reset(&p->copy);
    *p = (struct fanout_parts){0};
}
