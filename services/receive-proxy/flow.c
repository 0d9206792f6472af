/* receive-proxy/flow.c - results that add up, and one item to several receivers. */
#include "flow.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* --- threads --------------------------------------------------------------------------- */

struct flow_waits {
    struct list waiting;
    bool over;
};

int flow_thread_init(struct flow_thread *t, struct loop *loop, struct http_client *client,
                     unsigned index)
{
    ASSERT(index < FLOW_THREADS_MAX);
    *t = (struct flow_thread){.loop = loop, .client = client, .index = index};
    t->waits = mem_zalloc(sizeof *t->waits);
    if (t->waits == NULL)
        return ERR_NOMEM;
    list_init(&t->waits->waiting);
    return 0;
}

void flow_thread_reset(struct flow_thread *t)
{
    ASSERT(t->waits == NULL || list_is_empty(&t->waits->waiting));
    mem_free(t->waits);
    t->waits = NULL;
}

void flow_thread_hurry(const struct flow_thread *t)
{
    struct list *at;
    t->waits->over = true;
    while ((at = list_first(&t->waits->waiting)) != NULL) {
        struct flow_wait *w = LIST_ITEM(at, struct flow_wait, link);
        list_remove(at);
        w->hurry(w->arg);
    }
}

bool flow_wait_begin(const struct flow_thread *t, struct flow_wait *w)
{
    if (t->waits->over)
        return false;
    list_push_back(&t->waits->waiting, &w->link);
    return true;
}

void flow_wait_end(struct flow_wait *w)
{
    list_remove(&w->link);
}

/* --- items ----------------------------------------------------------------------------- */

size_t flow_item_bytes(const struct flow_item *item)
{
    size_t sum = 0;
    if (item->kind == FLOW_INGEST)
        return item->body.len;
    for (size_t i = 0; i < item->sample_count; i++)
        sum += item->samples[i].profile.len;
    return sum;
}

size_t flow_item_profiles(const struct flow_item *item)
{
    return item->kind == FLOW_INGEST ? 1 : item->sample_count;
}

/* --- results ------------------------------------------------------------ */

void flow_result_init(struct flow_result *r)
{
    /* Not the text: it is long, and its first byte is enough. */
    memset(r, 0, offsetof(struct flow_result, message) + 1);
    r->retry_after_s = -1;
}

static void add_text(struct flow_result *r, struct str text)
{
    size_t used = strlen(r->message), room = sizeof r->message - 1 - used;
    if (text.len == 0)
        return;
    if (used > 0 && room >= 2) {
        memcpy(r->message + used, "; ", 2);
        used += 2;
        room -= 2;
    }
    size_t n = text.len < room ? text.len : room;
    while (n < text.len && n > 0 && ((unsigned char)text.data[n] & 0xc0) == 0x80)
        n--; /* no half of a character */
    memcpy(r->message + used, text.data, n);
    r->message[used + n] = '\0';
}

static void add_code(struct flow_result *r, unsigned faults, enum rpc_code code)
{
    if (faults == 0)
        return;
    r->code = r->faults == 0 || r->code == code ? code : RPC_UNAVAILABLE;
    r->faults += faults;
}

void flow_result_fault(struct flow_result *r, enum rpc_code code, unsigned status,
                       int retry_after_s, struct str message)
{
    r->mixed = r->mixed || (r->faults > 0 && r->status != status);
    add_code(r, 1, code);
    if (r->status == 0)
        r->status = status;
    if (retry_after_s > r->retry_after_s)
        r->retry_after_s = retry_after_s;
    add_text(r, message);
}

void flow_result_add(struct flow_result *into, const struct flow_result *one)
{
    into->stored += one->stored;
    into->synced += one->synced;
    into->kept += one->kept;
    into->dropped += one->dropped;
    into->failed += one->failed;
    bool both = into->faults > 0 && one->faults > 0;
    into->mixed = into->mixed || one->mixed || (both && into->status != one->status);
    add_code(into, one->faults, one->code);
    if (into->status == 0)
        into->status = one->status;
    if (one->retry_after_s > into->retry_after_s)
        into->retry_after_s = one->retry_after_s;
    add_text(into, str_c(one->message));
}

/* --- receivers ------------------------------------------------------------ */

void receiver_prepare(struct receiver *r, const struct receiver_ops *ops)
{
    r->ops = ops;
    atomic_init(&r->refs, 1);
}

struct receiver *receiver_retain(struct receiver *r)
{
    ASSERT(atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed) > 0);
    return r;
}

void receiver_release(struct receiver *r)
{
    if (r != NULL && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        r->ops->free(r);
}

struct flow_list {
    _Atomic unsigned refs;
    size_t count;
    struct receiver *items[];
};

int flow_list_init(struct flow_list **out, struct receiver *const *items, size_t count)
{
    struct flow_list *l = mem_alloc(sizeof *l + count * sizeof *items);
    if (l == NULL)
        return ERR_NOMEM;
    atomic_init(&l->refs, 1);
    l->count = count;
    for (size_t i = 0; i < count; i++)
        l->items[i] = receiver_retain(items[i]);
    *out = l;
    return 0;
}

struct flow_list *flow_list_retain(struct flow_list *l)
{
    ASSERT(atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed) > 0);
    return l;
}

void flow_list_release(struct flow_list *l)
{
    if (l == NULL || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < l->count; i++)
        receiver_release(l->items[i]);
    mem_free(l);
}

size_t flow_list_count(const struct flow_list *l)
{
    return l->count;
}

/* --- one to several ------------------------------------------------------------ */

struct fan {
    struct flow_list *list;
    struct flow_result sum;
    size_t left;
    flow_done_fn done;
    void *arg;
};

static void on_one_done(void *arg, const struct flow_result *one)
{
    struct fan *f = arg;
    flow_result_add(&f->sum, one);
    if (--f->left > 0)
        return;
    f->done(f->arg, &f->sum);
    flow_list_release(f->list);
    mem_free(f);
}

static void fail(flow_done_fn done, void *arg, size_t count)
{
    struct flow_result r;
    flow_result_init(&r);
    r.failed = (unsigned)count;
    flow_result_fault(&r, RPC_UNAVAILABLE, 0, -1, STR("no memory"));
    done(arg, &r);
}

void flow_send(struct flow_list *l, const struct flow_thread *t, const struct flow_item *item,
               flow_done_fn done, void *arg)
{
    if (l->count == 0) {
        struct flow_result none;
        flow_result_init(&none);
        done(arg, &none);
        return;
    }
    struct fan *f = mem_alloc(sizeof *f);
    if (f == NULL) {
        fail(done, arg, l->count);
        return;
    }
    f->list = flow_list_retain(l);
    f->left = l->count;
    f->done = done;
    f->arg = arg;
    flow_result_init(&f->sum);
    /* The last one may end everything from inside: f and its list are then gone. */
    size_t count = l->count;
    for (size_t i = 0; i < count; i++) {
        struct receiver *r = f->list->items[i];
        r->ops->append(r, t, item, on_one_done, f);
    }
}
