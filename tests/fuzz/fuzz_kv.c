/* Key-value pairs and states from anywhere: what was taken in can be given on, and taken in again
 * it changes nothing. */
#include <stddef.h>
#include <stdint.h>

#include "../unit/gossip/kv_test_codec.h"
#include "base/assert.h"
#include "gossip/kv.h"
#include "gossip/kv_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(void *arg, struct str msg)
{
    struct kv_pair p;
    (void)arg;
    ASSERT(kv_pair_get(&p, msg) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kv_config config = {.retransmit_mult = 1, .tombstone_ms = 300000,
                                            .obsolete_ms = 30000};
    struct kv *kv = NULL;
    struct buf state = {0};
    if (size == 0)
        return 0;
    ASSERT(kv_init(&kv, &config, NULL) == 0 && kv_register(kv, &tv_codec) == 0);
    struct str in = str_of(data + 1, size - 1);
    if ((data[0] & 1) != 0)
        (void)kv_on_message(kv, in, 1000000);
    else
        (void)kv_on_state(kv, in, 1000000);
    kv_put_state(kv, &state);
    ASSERT(state.error == 0);
    (void)kv_take(kv, 1 << 20, 3, 1, drop, NULL);
    ASSERT(kv_on_state(kv, buf_view(&state), 1000000) == 0);
    ASSERT(kv_queued_gossip(kv) == 0);
    kv_expire(kv, 2000000);
    buf_reset(&state);
    kv_free(&kv);
    return 0;
}
