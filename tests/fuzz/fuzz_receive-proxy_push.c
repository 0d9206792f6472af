/* What a Push becomes on its way on, from any bytes: 'p' and a protobuf message, or 'j' and JSON.
 * Each series that is fit to be sent must be read back as it was meant. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "labelset.h"
#include "outgoing.h"
#include "push.msg.h"

static void check_sent(const struct flow_item *item, struct labels set, struct str body,
                       struct arena *a)
{
    struct push_v1_push_request again = {0};
    struct err err = {0};
    if (msg_decode(&push_v1_push_request_msg, &again, body, a, NULL, &err) != 0)
        return; /* more labels or samples than our own reader takes */
    if (again.series_count != 1 || again.series[0].labels_count != set.count ||
        again.series[0].samples_count != item->sample_count)
        abort();
    for (size_t i = 0; i < item->sample_count; i++)
        if (!str_eq(again.series[0].samples[i].raw_profile, item->samples[i].profile))
            abort();
}

static void forward(const struct push_v1_raw_profile_series *s, bool rule, struct arena *a)
{
    struct alloy_map none = {0};
    struct labels set, sent;
    struct outgoing out;
    struct label *labels = arena_calloc(a, s->labels_count + 1, sizeof *labels);
    struct flow_sample *samples = arena_calloc(a, s->samples_count + 1, sizeof *samples);
    if (labels == NULL || samples == NULL)
        return;
    for (size_t i = 0; i < s->labels_count; i++)
        labels[i] = (struct label){s->labels[i].name, s->labels[i].value};
    for (size_t i = 0; i < s->samples_count; i++)
        samples[i] = (struct flow_sample){s->samples[i].raw_profile, s->samples[i].id};
    struct flow_item item = {
        .kind = FLOW_PUSH, .samples = samples, .sample_count = s->samples_count};
    if (labelset_of_series(labels, s->labels_count, rule, a, &set) != 0 ||
        labelset_check(set.items, set.count, NULL) != 0 ||
        labelset_push(set.items, set.count, &none, a, &sent) != 0)
        return;
    item.labels = set.items;
    item.label_count = set.count;
    if (outgoing_make(&item, sent, true, a, &out) == 0)
        check_sent(&item, sent, out.body, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct push_v1_push_request request = {0};
    struct arena *a = NULL;
    struct err err = {0};
    if (size == 0 || arena_init(&a, 4096, NULL) != 0)
        return 0;
    struct str text = str_of(data + 1, size - 1);
    int rc = data[0] == 'j'
                 ? msg_from_json(&push_v1_push_request_msg, &request, text, a, NULL, &err)
                 : msg_decode(&push_v1_push_request_msg, &request, text, a, NULL, &err);
    for (size_t i = 0; rc == 0 && i < request.series_count; i++)
        forward(&request.series[i], (i & 1) != 0, a);
    arena_free(&a);
    return 0;
}
