/* ring/dots_table.c - the table of lane names. */
#include "ring/dots_priv.h"

#include "base/mem.h"
#include "wire/pb.h"

enum { SLOTS_FIRST = 16, TABLE_MAX = 1 << 28 };

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t set_hash(struct lane_name name)
{
    uint64_t h = name.set_count;
    for (uint32_t i = 0; i < name.set_count; i++)
        h = mix(h, str_hash(name.set[i]));
    return h;
}

static uint64_t lane_hash(const uint8_t *writer, uint32_t set)
{
    return mix(str_hash(str_of(writer, WRITER_SIZE)), set);
}

int lane_set_cmp(struct lane_name a, struct lane_name b)
{
    uint32_t n = a.set_count < b.set_count ? a.set_count : b.set_count;
    for (uint32_t i = 0; i < n; i++) {
        int c = str_cmp(a.set[i], b.set[i]);
        if (c != 0)
            return c;
    }
    return (a.set_count > b.set_count) - (a.set_count < b.set_count);
}

int lane_name_cmp(struct lane_name a, struct lane_name b)
{
    int c = memcmp(a.writer, b.writer, WRITER_SIZE);
    return c != 0 ? c : lane_set_cmp(a, b);
}

static bool name_ok(struct lane_name name)
{
    bool ok = name.set_count >= 1 && name.set_count <= DOTS_SET_MAX;
    for (uint32_t i = 0; ok && i < name.set_count; i++)
        ok = name.set[i].len >= 1 && name.set[i].len <= DOTS_ID_MAX;
    return ok;
}

/* Slots for one entry more; at most half are in use. `hash_at` is the hash of entry i. */
static int slots_reserve(struct dots_slots *s, uint32_t count, const void *entries, size_t stride,
                         size_t hash_at)
{
    if (count >= TABLE_MAX)
        return ERR_NOMEM;
    if ((uint64_t)(count + 1) * 2 <= s->size)
        return 0;
    uint32_t size = s->size == 0 ? SLOTS_FIRST : s->size * 2;
    uint32_t *at = mem_calloc(size, sizeof *at);
    if (at == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash;
        memcpy(&hash, (const uint8_t *)entries + i * stride + hash_at, sizeof hash);
        uint32_t k = (uint32_t)hash & (size - 1);
        while (at[k] != 0)
            k = (k + 1) & (size - 1);
        at[k] = i + 1;
    }
    mem_free(s->at);
    *s = (struct dots_slots){at, size};
    return 0;
}

static struct lane_name set_as_name(const struct dots_set *set)
{
    return (struct lane_name){.set = set->ids, .set_count = set->count};
}

/* The slot where the set is, or the free one where it belongs. */
static uint32_t set_slot(const struct dots_table *t, struct lane_name name, uint64_t hash)
{
    uint32_t mask = t->set_slots.size - 1, k = (uint32_t)hash & mask;
    while (t->set_slots.at[k] != 0) {
        const struct dots_set *set = &t->sets[t->set_slots.at[k] - 1];
        if (set->hash == hash && lane_set_cmp(set_as_name(set), name) == 0)
            break;
        k = (k + 1) & mask;
    }
    return k;
}

static uint32_t lane_slot(const struct dots_table *t, const uint8_t *writer, uint32_t set,
                          uint64_t hash)
{
    uint32_t mask = t->lane_slots.size - 1, k = (uint32_t)hash & mask;
    while (t->lane_slots.at[k] != 0) {
        const struct dots_lane *l = &t->lanes[t->lane_slots.at[k] - 1];
        if (l->set == set && memcmp(l->writer, writer, WRITER_SIZE) == 0)
            break;
        k = (k + 1) & mask;
    }
    return k;
}

/* Make room for one entry more. */
static int array_reserve(void **array, uint32_t count, uint32_t *cap, size_t stride)
{
    if (count < *cap)
        return 0;
    uint32_t more = *cap == 0 ? 4 : *cap * 2;
    void *p = mem_realloc_array(*array, more, stride);
    if (p == NULL)
        return ERR_NOMEM;
    *array = p;
    *cap = more;
    return 0;
}

static int set_fill(struct dots_set *set, struct lane_name name, uint64_t hash)
{
    size_t bytes = name.set_count * sizeof(struct str);
    for (uint32_t i = 0; i < name.set_count; i++)
        bytes += name.set[i].len;
    struct str *ids = mem_alloc(bytes);
    if (ids == NULL)
        return ERR_NOMEM;
    char *text = (char *)(ids + name.set_count);
    for (uint32_t i = 0; i < name.set_count; i++) {
        memcpy(text, name.set[i].data, name.set[i].len);
        ids[i] = str_of(text, name.set[i].len);
        text += name.set[i].len;
    }
    *set = (struct dots_set){.ids = ids, .count = name.set_count, .hash = hash};
    return 0;
}

int dots_table_add_set(struct dots_table *t, struct lane_name name, uint32_t *set)
{
    if (!name_ok(name))
        return ERR_INVAL;
    uint64_t hash = set_hash(name);
    int rc = slots_reserve(&t->set_slots, t->set_count, t->sets, sizeof *t->sets,
                           offsetof(struct dots_set, hash));
    if (rc != 0)
        return rc;
    uint32_t k = set_slot(t, name, hash);
    if (t->set_slots.at[k] == 0) {
        void *sets = t->sets;
        rc = array_reserve(&sets, t->set_count, &t->set_cap, sizeof *t->sets);
        t->sets = sets;
        if (rc == 0)
            rc = set_fill(&t->sets[t->set_count], name, hash);
        if (rc != 0)
            return rc;
        t->set_slots.at[k] = ++t->set_count;
    }
    *set = t->set_slots.at[k] - 1;
    return 0;
}

int dots_table_add_lane(struct dots_table *t, const uint8_t *writer, uint32_t set, uint32_t *lane)
{
    int rc = slots_reserve(&t->lane_slots, t->count, t->lanes, sizeof *t->lanes,
                           offsetof(struct dots_lane, hash));
    if (rc != 0)
        return rc;
    uint64_t hash = lane_hash(writer, set);
    uint32_t k = lane_slot(t, writer, set, hash);
    if (t->lane_slots.at[k] == 0) {
        void *lanes = t->lanes;
        rc = array_reserve(&lanes, t->count, &t->cap, sizeof *t->lanes);
        t->lanes = lanes;
        if (rc != 0)
            return rc;
        struct dots_lane *l = &t->lanes[t->count];
        *l = (struct dots_lane){.set = set, .hash = hash};
        memcpy(l->writer, writer, WRITER_SIZE);
        t->lane_slots.at[k] = ++t->count;
    }
    *lane = t->lane_slots.at[k] - 1;
    return 0;
}

int dots_table_add(struct dots_table *t, struct lane_name name, uint32_t *lane)
{
    uint32_t set;
    int rc = dots_table_add_set(t, name, &set);
    return rc != 0 ? rc : dots_table_add_lane(t, name.writer, set, lane);
}

static bool find(const struct dots_table *t, struct lane_name name, uint64_t hash, uint32_t *lane)
{
    if (t->count == 0)
        return false;
    uint32_t k = set_slot(t, name, hash);
    if (t->set_slots.at[k] == 0)
        return false;
    uint32_t set = t->set_slots.at[k] - 1;
    k = lane_slot(t, name.writer, set, lane_hash(name.writer, set));
    if (t->lane_slots.at[k] == 0)
        return false;
    *lane = t->lane_slots.at[k] - 1;
    return true;
}

bool dots_table_find(const struct dots_table *t, struct lane_name name, uint32_t *lane)
{
    return find(t, name, set_hash(name), lane);
}

bool dots_table_find_of(const struct dots_table *t, const struct dots_table *other, uint32_t i,
                        uint32_t *lane)
{
    return find(t, dots_table_name(other, i), other->sets[other->lanes[i].set].hash, lane);
}

struct lane_name dots_table_name(const struct dots_table *t, uint32_t i)
{
    const struct dots_set *set = &t->sets[t->lanes[i].set];
    return (struct lane_name){t->lanes[i].writer, set->ids, set->count};
}

void dots_table_reset(struct dots_table *t)
{
    for (uint32_t i = 0; i < t->set_count; i++)
        mem_free(t->sets[i].ids);
    mem_free(t->sets);
    mem_free(t->lanes);
    mem_free(t->set_slots.at);
    mem_free(t->lane_slots.at);
    *t = (struct dots_table){0};
}

int dots_read_ids(struct str bytes, uint32_t number, struct str *ids, uint32_t *count,
                  struct err *err)
{
    struct pb_reader r = pb_reader(bytes);
    struct pb_field f;
    int rc;
    *count = 0;
    while ((rc = pb_next(&r, &f)) > 0) {
        if (f.number != number)
            continue;
        if (f.wire != PB_BYTES || f.bytes.len == 0 || f.bytes.len > DOTS_ID_MAX)
            return err_set(err, ERR_PARSE, "set: an instance id of %zu bytes", f.bytes.len);
        if (*count == DOTS_SET_MAX)
            return err_set(err, ERR_LIMIT, "set: more than %d instances", DOTS_SET_MAX);
        ids[(*count)++] = f.bytes;
    }
    if (rc < 0)
        return err_set(err, ERR_PARSE, "set: broken field");
    return *count > 0 ? 0 : err_set(err, ERR_PARSE, "set: without instances");
}
