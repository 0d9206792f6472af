/* Ring values, as a peer may send them: decoded, merged with a ring of ours, asked, shown; and
 * the tokens file. What was decoded must encode to something that decodes to the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "gossip/codec.h"
#include "ring/desc.h"
#include "ring/lookup.h"
#include "ring/page.h"
#include "ring/token.h"

static void round_trip(const struct ring_desc *d)
{
    struct buf one = {0}, two = {0};
    struct ring_desc *back = NULL;
    ring_desc_encode(d, &one);
    if (one.error == 0 && ring_desc_decode(&back, buf_view(&one), NULL) == 0) {
        ring_desc_encode(back, &two);
        if (two.error == 0 && !str_eq(buf_view(&one), buf_view(&two)))
            abort();
    }
    ring_desc_free(&back);
    buf_reset(&one);
    buf_reset(&two);
}

static struct ring_desc *ours(void)
{
    struct ring_desc *d = NULL;
    uint32_t tokens[] = {1, 2, 300, 70000};
    const struct ring_instance in = {.id = STR("ing-0"),
                                     .addr = STR("10.0.0.1:4040"),
                                     .timestamp_s = 5,
                                     .tokens = tokens,
                                     .token_count = 4};
    if (ring_desc_init(&d) != 0 || ring_desc_put(d, &in) != 0)
        abort();
    return d;
}

static void look_up(const struct ring_desc *d, bool zones)
{
    const struct ring_options o = {
        .replication_factor = 3, .zone_aware = zones, .heartbeat_timeout_ms = 60000};
    struct ring *r = NULL;
    struct ring_set set = {0};
    if (ring_init(&r, d, &o, NULL) != 0)
        return;
    for (uint32_t token = 0; token < 4; token++)
        (void)ring_get(r, token << 30, RING_WRITE, token, 10000, &set, NULL);
    (void)ring_set_all(r, RING_READ, 10000, &set, NULL);
    ring_set_reset(&set);
    ring_drop(&r);
}

static void use(struct ring_desc *news)
{
    struct ring_desc *into = ours(), *change = NULL;
    struct buf page = {0};
    round_trip(news);
    look_up(news, true);
    if (ring_desc_merge(&into, news, true, 9, &change) != 0)
        abort();
    ring_desc_free(&change);
    if (ring_desc_merge(&into, news, false, 9, &change) != 0 || change != NULL)
        abort(); /* twice is no news */
    round_trip(into);
    look_up(into, false);
    ring_page_json(into, 60000, 10000, &page);
    ring_codec.to_json(into, &page);
    buf_reset(&page);
    ring_desc_free(&into);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of(data, size);
    struct ring_desc *d = NULL;
    void *v = NULL;
    struct ring_tokens tokens = {0};
    struct err err = {0};
    if (ring_desc_decode(&d, in, &err) == 0)
        use(d);
    ring_desc_free(&d);
    if (ring_codec.decode(&v, in, &err) == 0)
        use(v);
    ring_codec.free(&v);
    (void)ring_tokens_from_json(&tokens, in, &err);
    ring_tokens_reset(&tokens);
    return 0;
}
