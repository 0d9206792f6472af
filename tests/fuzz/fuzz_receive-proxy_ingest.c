/* What an /ingest's query makes of a request that goes on, from any bytes: the name, then (NUL,
 * key, NUL, value)*. What goes on as `name` must be read as the same labels by the next proxy. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "labelset.h"
#include "outgoing.h"

enum { PARAMS_MAX = 64 };

static void forward(struct labels set, const struct http_field *params, size_t count,
                    struct arena *a)
{
    struct flow_item item = {.kind = FLOW_INGEST,
                             .labels = set.items,
                             .label_count = set.count,
                             .params = params,
                             .param_count = count,
                             .body = STR("body")};
    struct alloy_map none = {0};
    struct outgoing out;
    struct labels sent, again;
    struct buf name = {0};
    if (labelset_check(set.items, set.count, NULL) != 0 ||
        labelset_ingest(set.items, set.count, &none, a, &sent) != 0)
        return;
    if (outgoing_make(&item, sent, true, a, &out) != 0 ||
        !str_starts_with(out.target, STR("/ingest?")) || str_find(out.target, ' ') != SIZE_MAX)
        abort();
    labelset_put_name(sent, &name);
    /* Not every service_name is an application's name too: the next one refuses it, or, since the
     * format knows no quotes, takes a { in it for the beginning of the labels. */
    bool plain = str_find(labels_get(sent, LABEL_NAME), '{') == SIZE_MAX;
    if (plain && name.error == 0 && labelset_of_name(buf_view(&name), a, &again, NULL) == 0)
        for (size_t i = 0; i < sent.count; i++)
            if (!str_eq(sent.items[i].name, STR("app_name")) && /* the next one sets its own */
                !str_eq(labels_get(again, sent.items[i].name), sent.items[i].value))
                abort();
    buf_reset(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = NULL;
    struct http_field params[PARAMS_MAX];
    struct str rest = str_of(data, size), name, part;
    struct labels set;
    size_t count = 0;
    if (arena_init(&a, 1024, NULL) != 0 || !str_cut(&rest, '\0', &name)) {
        arena_free(&a);
        return 0;
    }
    while (count < PARAMS_MAX && str_cut(&rest, '\0', &part)) {
        params[count].name = part;
        params[count++].value = str_cut(&rest, '\0', &part) ? part : STR("");
    }
    if (labelset_of_name(name, a, &set, NULL) == 0)
        forward(set, params, count, a);
    arena_free(&a);
    return 0;
}
