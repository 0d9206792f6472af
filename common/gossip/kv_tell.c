/* gossip/kv_tell.c - what of the store waits to be told, as messages. */
#include "base/err.h"
#include "base/mem.h"
#include "gossip/kv_history.h"
#include "gossip/kv_pair.h"
#include "gossip/kv_priv.h"

/* Names inside a change. */
struct names {
    struct str *items; /* views into `bytes` once complete */
    size_t count, cap;
    struct buf bytes;
    bool failed;
};

static void names_add(void *arg, struct str name)
{
    struct names *n = arg;
    if (n->count == n->cap) {
        size_t cap = n->cap * 2 + 8;
        struct str *items = mem_realloc_array(n->items, cap, sizeof *items);
        if (items == NULL) {
            n->failed = true;
            return;
        }
        n->items = items;
        n->cap = cap;
    }
    buf_str(&n->bytes, name);
    n->items[n->count++] = str_of(NULL, name.len);
}

/* The names of a change; names_reset() afterwards. */
static struct names names_of(const struct kv_codec *codec, const void *change)
{
    struct names n = {0};
    codec->content(change, names_add, &n);
    n.failed = n.failed || n.bytes.error != 0;
    const char *at = (const char *)n.bytes.data;
    for (size_t i = 0; i < n.count && !n.failed; i++) {
        n.items[i].data = at;
        at += n.items[i].len;
    }
    return n;
}

static void names_reset(struct names *n)
{
    mem_free(n->items);
    buf_reset(&n->bytes);
}

static void note(struct kv *kv, enum kv_direction d, struct str msg, uint64_t version,
                 const struct names *n, wall_ms now)
{
    struct buf list = {0};
    for (size_t i = 0; i < n->count && !n->failed; i++) {
        buf_c(&list, i > 0 ? "," : "");
        buf_str(&list, n->items[i]);
    }
    kv_history_add(kv->history, d, now, msg, version,
                   list.error == 0 ? buf_view(&list) : (struct str){0});
    buf_reset(&list);
}

void kv_tell(struct kv *kv, struct entry *e, const void *change, bool local, wall_ms now)
{
    struct names names = names_of(e->codec, change);
    struct buf value = {0}, msg = {0};
    e->codec->encode(change, &value);
    kv_pair_put(&msg, &(struct kv_pair){e->key, buf_view(&value), str_c(e->codec->id), e->deleted,
                                        e->update_ms});
    if (names.failed || value.error != 0 || msg.error != 0 ||
        bcast_put_change(local ? kv->local : kv->gossip, e->key, e->version, names.items,
                         names.count, buf_view(&msg)) != 0)
        kv->stats.dropped_nomem++;
    else if (kv_history_is_on(kv->history))
        note(kv, KV_SENT, buf_view(&msg), e->version, &names, now);
    if (!local)
        bcast_prune(kv->gossip, KV_QUEUED_BYTES_MAX);
    names_reset(&names);
    buf_reset(&value);
    buf_reset(&msg);
}

void kv_note_received(struct kv *kv, const struct entry *e, struct str msg, const void *change,
                      wall_ms now)
{
    struct names names = {0};
    if (!kv_history_is_on(kv->history))
        return;
    if (change != NULL)
        names = names_of(e->codec, change);
    note(kv, KV_RECEIVED, msg, change != NULL ? e->version : 0, &names, now);
    names_reset(&names);
}

const struct kv_history *kv_messages(const struct kv *kv)
{
    return kv->history;
}

void kv_forget_messages(struct kv *kv)
{
    kv_history_clear(kv->history);
}

size_t kv_take(struct kv *kv, size_t budget, size_t overhead, size_t members, bcast_fn fn,
               void *arg)
{
    uint32_t limit = bcast_limit(kv->cfg.retransmit_mult, members);
    size_t used = bcast_take(kv->local, budget, overhead, limit, fn, arg);
    return used + bcast_take(kv->gossip, budget - used, overhead, limit, fn, arg);
}

void kv_close_local(struct kv *kv)
{
    kv->closed = true;
}

size_t kv_queued_local(const struct kv *kv)
{
    return bcast_count(kv->local);
}

size_t kv_queued_gossip(const struct kv *kv)
{
    return bcast_count(kv->gossip);
}

size_t kv_queued_bytes(const struct kv *kv)
{
    return bcast_bytes(kv->local) + bcast_bytes(kv->gossip);
}
