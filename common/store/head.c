/* Tables of a generation: making, defining, freeing. */
#include "store/head_priv.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "profile/labels.h"

/* --- making and freeing ----------------------------------------------------------------------- */

int head_init(struct head **out, struct mem_account *account)
{
    struct head *h = mem_zalloc(sizeof *h);
    if (h == NULL)
        return ERR_NOMEM;
    h->account = account;
    atomic_init(&h->limit, WAL_POS_NONE);
    h->tenants = (struct segs){.item = sizeof(struct head_tenant *), .account = account};
    h->partitions = (struct segs){.item = sizeof(struct head_partition *), .account = account};
    h->streams = (struct segs){.item = sizeof(struct head_stream *), .account = account};
    h->sets = (struct segs){.item = sizeof(struct set), .account = account};
    h->lanes = (struct segs){.item = sizeof(struct head_lane), .account = account};
    int rc = arena_init(&h->strings, 0, account);
    if (rc == 0)
        rc = map_init(&h->by_name);
    if (rc != 0) {
        head_free(&h);
        return rc;
    }
    *out = h;
    return 0;
}

static void stream_free(struct head *h, struct head_stream *s)
{
    while (s->first != NULL) {
        struct head_block *next = s->first->next;
        mem_free(s->first);
        mem_uncharge(h->account, head_block_size(s));
        s->first = next;
    }
    mem_free(s);
}

static void tenant_free(struct head_tenant *t)
{
    for (uint32_t i = 0; i < t->covers.count; i++)
        seqset_reset(&((struct head_cover *)segs_at(&t->covers, i))->seqs);
    segs_reset(&t->partitions);
    segs_reset(&t->lanes);
    segs_reset(&t->covers);
    segs_reset(&t->aliases);
    mem_free(t->lane_seen);
    mem_free(t);
}

void head_free(struct head **hp)
{
    struct head *h = *hp;
    if (h == NULL)
        return;
    for (uint32_t i = 0; i < h->streams.count; i++)
        stream_free(h, head_stream_at(h, i));
    for (uint32_t i = 0; i < h->partitions.count; i++) {
        struct head_partition *p = head_partition_at(h, i);
        part_free(&p->part);
        segs_reset(&p->streams);
        mem_free(p);
    }
    for (uint32_t i = 0; i < h->tenants.count; i++)
        tenant_free(head_tenant_at(h, i));
    segs_reset(&h->tenants);
    segs_reset(&h->partitions);
    segs_reset(&h->streams);
    segs_reset(&h->sets);
    segs_reset(&h->lanes);
    map_free(&h->by_name);
    arena_free(&h->strings);
    mem_free(h);
    *hp = NULL;
}

/* --- define ----------------------------------------------------------------------------------- */

static void said(bool *made, bool value)
{
    if (made != NULL)
        *made = value;
}

/* A pointer in `where`, found under `key` from now on. */
static int add_named(struct head *h, struct segs *where, struct str key, void *thing)
{
    int rc = segs_reserve(where, 1);
    if (rc == 0)
        rc = map_put(h->by_name, key, thing, NULL);
    if (rc != 0)
        return rc;
    *(void **)segs_push(where) = thing;
    segs_publish(where);
    return 0;
}

static struct str tenant_key(struct buf *key, struct str name)
{
    buf_u8(key, 't');
    buf_str(key, name);
    return buf_view(key);
}

struct head_tenant *head_find_tenant(struct head *h, struct str name)
{
    struct buf key = {0};
    struct str k = tenant_key(&key, name);
    struct head_tenant *t = key.error != 0 ? NULL : map_get(h->by_name, k);
    buf_reset(&key);
    return t;
}

static int make_tenant(struct head *h, struct str key, struct str name, struct head_tenant **out)
{
    struct head_tenant *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->id = h->tenants.count;
    t->partitions =
        (struct segs){.item = sizeof(struct head_partition *), .account = h->account};
    t->lanes = (struct segs){.item = sizeof(uint32_t), .account = h->account};
    t->covers = (struct segs){.item = sizeof(struct head_cover), .account = h->account};
    t->aliases = (struct segs){.item = sizeof(struct head_alias), .account = h->account};
    t->name = str_dup(h->strings, name);
    int rc = t->name.data == NULL ? ERR_NOMEM : add_named(h, &h->tenants, key, t);
    if (rc != 0) {
        tenant_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

int head_tenant(struct head *h, struct str name, struct head_tenant **out, bool *made)
{
    struct buf key = {0};
    struct str k = tenant_key(&key, name);
    int rc = key.error;
    struct head_tenant *t = rc == 0 ? map_get(h->by_name, k) : NULL;
    said(made, t == NULL);
    if (rc == 0 && t == NULL)
        rc = make_tenant(h, k, name, &t);
    buf_reset(&key);
    if (rc == 0)
        *out = t;
    return rc;
}

static int make_partition(struct head *h, struct head_tenant *t, struct str key,
                          struct str service, struct head_partition **out)
{
    struct head_partition *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    p->tenant = t;
    p->id = h->partitions.count;
    p->streams = (struct segs){.item = sizeof(struct head_stream *), .account = h->account};
    p->service = str_dup(h->strings, service);
    int rc = p->service.data == NULL ? ERR_NOMEM : part_init(&p->part, h->account);
    if (rc == 0)
        rc = segs_reserve(&t->partitions, 1);
    if (rc == 0)
        rc = add_named(h, &h->partitions, key, p);
    if (rc != 0) {
        part_free(&p->part);
        mem_free(p);
        return rc;
    }
    p->logged = part_counts(p->part);
    *(struct head_partition **)segs_push(&t->partitions) = p;
    segs_publish(&t->partitions);
    *out = p;
    return 0;
}

int head_partition(struct head *h, struct head_tenant *t, struct str service,
                   struct head_partition **out, bool *made)
{
    struct buf key = {0};
    buf_u8(&key, 'p');
    buf_u32le(&key, t->id);
    buf_str(&key, service);
    int rc = key.error;
    struct head_partition *p = rc == 0 ? map_get(h->by_name, buf_view(&key)) : NULL;
    said(made, p == NULL);
    if (rc == 0 && p == NULL)
        rc = make_partition(h, t, buf_view(&key), service, &p);
    buf_reset(&key);
    if (rc == 0)
        *out = p;
    return rc;
}

/* The id behind a name is kept as a pointer, id + 1, so that none is NULL. */
static void *id_pointer(uint32_t id)
{
    return (void *)((uintptr_t)id + 1);
}

static uint32_t pointer_id(const void *p)
{
    return (uint32_t)((uintptr_t)p - 1);
}

static int make_set(struct head *h, struct str key, const struct str *instances, uint32_t count)
{
    struct set set = {.count = count};
    set.instances = arena_alloc(h->strings, sizeof *set.instances * count);
    if (set.instances == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        set.instances[i] = str_dup(h->strings, instances[i]);
        if (set.instances[i].data == NULL)
            return ERR_NOMEM;
    }
    int rc = segs_reserve(&h->sets, 1);
    if (rc == 0)
        rc = map_put(h->by_name, key, id_pointer(h->sets.count), NULL);
    if (rc != 0)
        return rc;
    *(struct set *)segs_push(&h->sets) = set;
    segs_publish(&h->sets);
    return 0;
}

int head_set(struct head *h, const struct str *instances, uint32_t count, uint32_t *id,
             bool *made)
{
    struct buf key = {0};
    buf_u8(&key, 's');
    for (uint32_t i = 0; i < count; i++) {
        buf_u64le(&key, instances[i].len);
        buf_str(&key, instances[i]);
    }
    int rc = key.error;
    void *found = rc == 0 ? map_get(h->by_name, buf_view(&key)) : NULL;
    said(made, found == NULL);
    uint32_t next = h->sets.count;
    if (rc == 0 && found == NULL)
        rc = make_set(h, buf_view(&key), instances, count);
    buf_reset(&key);
    if (rc == 0)
        *id = found != NULL ? pointer_id(found) : next;
    return rc;
}

static int make_lane(struct head *h, struct str key, const uint8_t writer[WRITER_SIZE],
                     uint32_t set)
{
    int rc = segs_reserve(&h->lanes, 1);
    if (rc == 0)
        rc = map_put(h->by_name, key, id_pointer(h->lanes.count), NULL);
    if (rc != 0)
        return rc;
    struct head_lane *lane = segs_push(&h->lanes);
    memcpy(lane->writer, writer, WRITER_SIZE);
    lane->set = set;
    const struct set *s = segs_at(&h->sets, set);
    lane->name = (struct lane_name){lane->writer, s->instances, s->count};
    segs_publish(&h->lanes);
    return 0;
}

int head_lane(struct head *h, const uint8_t writer[WRITER_SIZE], uint32_t set, uint32_t *id,
              bool *made)
{
    ASSERT(set < h->sets.count);
    struct buf key = {0};
    buf_u8(&key, 'l');
    buf_u32le(&key, set);
    buf_put(&key, writer, WRITER_SIZE);
    int rc = key.error;
    void *found = rc == 0 ? map_get(h->by_name, buf_view(&key)) : NULL;
    said(made, found == NULL);
    uint32_t next = h->lanes.count;
    if (rc == 0 && found == NULL)
        rc = make_lane(h, buf_view(&key), writer, set);
    buf_reset(&key);
    if (rc == 0)
        *id = found != NULL ? pointer_id(found) : next;
    return rc;
}

static bool dup_into(struct arena *a, struct str *s)
{
    *s = str_dup(a, *s);
    return s->data != NULL;
}

static int copy_names(struct head *h, struct head_stream *s, const struct form_member *members,
                      const struct form_pair *pairs)
{
    struct form_member *m = arena_dup(h->strings, members, sizeof *m * s->member_count);
    struct form_pair *p = arena_dup(h->strings, pairs, sizeof *p * s->pair_count + 1);
    if (m == NULL || p == NULL)
        return ERR_NOMEM;
    bool good = true;
    for (uint32_t i = 0; i < s->member_count && good; i++)
        good = dup_into(h->strings, &m[i].type) && dup_into(h->strings, &m[i].unit) &&
               dup_into(h->strings, &m[i].period_type) &&
               dup_into(h->strings, &m[i].period_unit) && dup_into(h->strings, &m[i].name);
    for (uint32_t i = 0; i < s->pair_count && good; i++)
        good = dup_into(h->strings, &p[i].name) && dup_into(h->strings, &p[i].value);
    s->members = m;
    s->pairs = p;
    return good ? 0 : ERR_NOMEM;
}

static int name_stream(struct head_stream *s)
{
    struct arena *a = NULL;
    struct labels labels;
    int rc = arena_init(&a, 4096, NULL);
    if (rc == 0)
        rc = labels_of_series(s->pairs, s->pair_count, &s->members[0], a, &labels);
    if (rc == 0)
        s->fingerprint = labels_fingerprint(labels);
    arena_free(&a);
    s->hash = head_stream_hash(s->members, s->member_count, s->pairs, s->pair_count);
    return rc;
}

int head_add_stream(struct head *h, struct head_partition *p, const struct form_member *members,
                    uint32_t member_count, const struct form_pair *pairs, uint32_t pair_count,
                    struct head_stream **out)
{
    struct head_stream *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    *s = (struct head_stream){.head = h,
                              .partition = p,
                              .id = h->streams.count,
                              .member_count = member_count,
                              .pair_count = pair_count,
                              .newest_ns = INT64_MIN};
    int rc = copy_names(h, s, members, pairs);
    if (rc == 0)
        rc = name_stream(s);
    if (rc == 0)
        rc = segs_reserve(&h->streams, 1);
    if (rc == 0)
        rc = segs_reserve(&p->streams, 1);
    if (rc != 0) {
        mem_free(s);
        return rc;
    }
    *(struct head_stream **)segs_push(&h->streams) = s;
    segs_publish(&h->streams);
    *(struct head_stream **)segs_push(&p->streams) = s;
    segs_publish(&p->streams);
    *out = s;
    return 0;
}

int head_use_lane(struct head *h, struct head_tenant *t, uint32_t lane)
{
    if (lane >= t->lane_seen_bits) {
        uint32_t bits = (h->lanes.count + 512) / 512 * 512;
        uint8_t *seen = mem_realloc(t->lane_seen, bits / 8);
        if (seen == NULL)
            return ERR_NOMEM;
        memset(seen + t->lane_seen_bits / 8, 0, (bits - t->lane_seen_bits) / 8);
        t->lane_seen = seen;
        t->lane_seen_bits = bits;
    }
    if ((t->lane_seen[lane / 8] >> (lane % 8) & 1) != 0)
        return 0;
    int rc = segs_reserve(&t->lanes, 1);
    if (rc != 0)
        return rc;
    t->lane_seen[lane / 8] = (uint8_t)(t->lane_seen[lane / 8] | 1u << (lane % 8));
    *(uint32_t *)segs_push(&t->lanes) = lane;
    segs_publish(&t->lanes);
    return 0;
}

int head_add_cover(struct head *h, struct head_tenant *t, wal_pos pos, uint32_t lane,
                   struct seqset *seqs)
{
    int rc = head_use_lane(h, t, lane);
    if (rc == 0)
        rc = segs_reserve(&t->covers, 1);
    if (rc != 0)
        return rc;
    *(struct head_cover *)segs_push(&t->covers) = (struct head_cover){pos, lane, *seqs};
    *seqs = (struct seqset){0};
    segs_publish(&t->covers);
    return 0;
}

int head_reserve_aliases(struct head_tenant *t, uint32_t more)
{
    return segs_reserve(&t->aliases, more);
}

void head_add_alias(struct head_tenant *t, const struct head_alias *alias)
{
    *(struct head_alias *)segs_push(&t->aliases) = *alias;
    segs_publish(&t->aliases);
}
