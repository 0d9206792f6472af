/* The store against a naive list of profiles: after every operation every kind of question has
 * the same answer, also for a random choice of dots, and after restarts and kills. And with
 * readers running beside writers: a view's answer never changes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "profile/selector.h"
#include "profile/tree.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

enum { KEYS = 120, STEPS = 160, SEEDS = 12, TENANTS = 2 };

/* A dot that was acknowledged; `row` is the dot of the row that counts for it. */
struct dot {
    unsigned key, writer, seq;
    bool row;
};

struct model {
    struct dot dots[TENANTS][STEPS * 8];
    unsigned count[TENANTS];
    unsigned next_seq[64];
};

struct world {
    struct rng rng;
    struct memdisk *disk;
    struct store *s;
    struct store_config c;
    unsigned forgotten;
    struct model m;
};

static const char *const tenants[TENANTS] = {"anonymous", "other"};

static struct kit_profile profile_of(unsigned key)
{
    return (struct kit_profile){.service = key % 3 == 0 ? "a" : key % 3 == 1 ? "b" : "",
                                .label = key % 4 == 0 ? NULL : key % 4 == 1 ? "x" : "y",
                                .members = 1 + key % 2,
                                .proportional = key % 4 < 2,
                                .time_ns = 1000000000ll + 1000000ll * (key / 6),
                                .nonce = key,
                                .stack_seed = key,
                                .samples = 1 + key % 25};
}

static void open_world(struct world *w)
{
    struct err err = {0};
    int rc = store_open(&w->s, &w->c, memdisk_io(w->disk), &err);
    if (rc != 0)
        print_message("%s\n", err.msg);
    assert_int_equal(rc, 0);
}

static bool has_row(const struct model *m, unsigned t, unsigned key)
{
    for (unsigned i = 0; i < m->count[t]; i++)
        if (m->dots[t][i].key == key && m->dots[t][i].row)
            return true;
    return false;
}

static bool has_dot(const struct model *m, unsigned t, unsigned writer, unsigned seq)
{
    for (unsigned i = 0; i < m->count[t]; i++)
        if (m->dots[t][i].writer == writer && m->dots[t][i].seq == seq)
            return true;
    return false;
}

static void push(struct world *w)
{
    unsigned t = (unsigned)rng_below(&w->rng, TENANTS), n = 1 + (unsigned)rng_below(&w->rng, 4);
    struct kit_profile p[4];
    struct store_appended info;
    unsigned rows = 0, known = 0;
    for (unsigned i = 0; i < n; i++) {
        struct model *m = &w->m;
        if (m->count[t] > 0 && rng_chance(&w->rng, 1, 6)) { /* a dot once more */
            struct dot d = m->dots[t][rng_below(&w->rng, m->count[t])];
            p[i] = profile_of(d.key);
            p[i].writer = d.writer;
            p[i].seq = d.seq;
        } else {
            unsigned key = (unsigned)rng_below(&w->rng, KEYS);
            p[i] = profile_of(key);
            /* Dots are unique over tenants: each has its own writers. */
            p[i].writer = 2 * (unsigned)rng_below(&w->rng, 4) + t;
            m->next_seq[p[i].writer] += 1 + rng_chance(&w->rng, 1, 4);
            p[i].seq = m->next_seq[p[i].writer];
        }
        if (has_dot(m, t, p[i].writer, p[i].seq)) {
            known++;
            continue;
        }
        bool row = !has_row(m, t, p[i].nonce);
        rows += row;
        m->dots[t][m->count[t]++] = (struct dot){p[i].nonce, p[i].writer, p[i].seq, row};
    }
    assert_int_equal(kit_push(w->s, tenants[t], p, n, &info), 0);
    if (info.rows != rows || info.known != known)
        for (unsigned i = 0; i < n; i++)
            print_message("key %u dot %u/%u: rows %u known %u\n", p[i].nonce, p[i].writer,
                          p[i].seq, info.rows, info.known);
    assert_int_equal(info.rows, rows);
    assert_int_equal(info.known, known);
    assert_int_equal(info.repeats, n - rows - known);
}

static void restart(struct world *w)
{
    if (rng_chance(&w->rng, 1, 2)) {
        assert_int_equal(store_close(&w->s), 0);
    } else {
        memdisk_freeze(w->disk);
        (void)store_close(&w->s);
        if (rng_chance(&w->rng, 1, 2))
            memdisk_crash(w->disk, rng_u64(&w->rng));
        else
            memdisk_thaw(w->disk);
    }
    open_world(w);
    assert_int_equal(w->forgotten, 0);
}

/* Is the row of this dot asked for? */
static bool selected(const struct kit_profile *p, unsigned what, int64_t from, int64_t to)
{
    if (p->time_ns < from || p->time_ns > to)
        return false;
    switch (what % 4) {
    case 0: return true;
    case 1: return strcmp(p->service, "a") == 0;
    case 2: return p->label != NULL && strcmp(p->label, "x") == 0;
    default: return p->label == NULL && strcmp(p->service, "") != 0;
    }
}

static const char *selector_text(unsigned what)
{
    static const char *const texts[] = {"{}", "{service_name=\"a\"}", "{l=~\"x|z\"}",
                                        "{l=\"\",service_name!=\"\"}"};
    return texts[what % 4];
}

static int add_point(void *arg, uint32_t series, struct labels labels, int64_t time_ns,
                     uint64_t total)
{
    (void)series;
    (void)time_ns;
    assert_true(labels.count > 4);
    *(uint64_t *)arg += total;
    return 0;
}

static void ask(const struct view *v, const struct vector *include, unsigned what,
                unsigned member, int64_t from, int64_t to, uint64_t expected, uint64_t below)
{
    struct str text = str_c(selector_text(what));
    struct selectors selectors = {0};
    struct query *q = NULL;
    struct tree *t = NULL;
    uint64_t points = 0;
    const struct str site[] = {STR("root0"), STR("f3")};
    assert_int_equal(selectors_parse(&selectors, &text, 1, NULL), 0);
    struct query_ask a = {.selectors = &selectors,
                          .profile_type = kit_type(member),
                          .start_ns = from,
                          .end_ns = to,
                          .include = include};
    assert_int_equal(tree_init(&t, NULL), 0);
    assert_int_equal(query_plan(&q, v, &a, NULL), 0);
    assert_int_equal(query_tree(q, t, NULL), 0);
    assert_int_equal(tree_total(t), expected);
    assert_int_equal(query_points(q, add_point, &points), 0);
    assert_int_equal(points, expected);
    query_free(&q);
    tree_free(&t);
    a.call_site = site;
    a.call_site_count = 2;
    points = 0;
    assert_int_equal(tree_init(&t, NULL), 0);
    assert_int_equal(query_plan(&q, v, &a, NULL), 0);
    assert_int_equal(query_tree(q, t, NULL), 0);
    assert_int_equal(tree_total(t), below);
    assert_int_equal(query_points(q, add_point, &points), 0);
    assert_int_equal(points, below);
    query_free(&q);
    tree_free(&t);
    selectors_reset(&selectors);
}

/* held is what was acknowledged, and aliases link repeats to rows of the same key. */
static void check_held(const struct model *m, unsigned t, const struct view *v)
{
    struct vector *held = NULL;
    struct aliases *repeats = NULL;
    unsigned rows = 0;
    assert_int_equal(store_held(v, 0, INT64_MAX / 1000000, &held, &repeats), 0);
    for (unsigned i = 0; i < m->count[t]; i++) {
        const struct dot *d = &m->dots[t][i];
        assert_true(vector_has(held, kit_lane(d->writer), d->seq));
        rows += d->row;
    }
    /* Lanes are the tenant's own here, so nothing else is in it. */
    assert_int_equal(vector_size(held), m->count[t]);
    assert_int_equal(aliases_count(repeats), m->count[t] - rows);
    vector_free(&held);
    aliases_free(&repeats);
}

static int count_key(void *arg, const struct store_key *key)
{
    (void)key;
    ++*(unsigned *)arg;
    return 0;
}

static void check(struct world *w)
{
    unsigned t = (unsigned)rng_below(&w->rng, TENANTS), what = (unsigned)rng_u32(&w->rng);
    const struct model *m = &w->m;
    struct view *v = NULL;
    struct vector *include = NULL;
    int64_t from = 1000000000ll + 1000000ll * (int64_t)rng_below(&w->rng, KEYS / 6);
    int64_t to = from + 1000000ll * (int64_t)rng_below(&w->rng, KEYS / 6);
    uint64_t all[2] = {0}, some[2] = {0}, below_all[2] = {0}, below[2] = {0};
    unsigned keys = 0, expected_keys = 0;
    assert_int_equal(store_view(w->s, str_c(tenants[t]), &v), 0);
    check_held(m, t, v);
    assert_int_equal(vector_init(&include), 0);
    for (unsigned i = 0; i < m->count[t]; i++) {
        const struct dot *d = &m->dots[t][i];
        struct kit_profile p = profile_of(d->key);
        bool chosen = rng_chance(&w->rng, 1, 2), asked = selected(&p, what, from, to);
        uint32_t lane;
        if (chosen) {
            assert_int_equal(vector_lane(include, kit_lane(d->writer), &lane), 0);
            assert_int_equal(vector_add(include, lane, d->seq, d->seq), 0);
        }
        expected_keys += chosen && p.time_ns >= from && p.time_ns <= to;
        for (unsigned k = 0; k < p.members && d->row && asked; k++) {
            all[k] += kit_total(&p, k);
            below_all[k] += kit_value_below(&p, k, 3);
            some[k] += chosen ? kit_total(&p, k) : 0;
            below[k] += chosen ? kit_value_below(&p, k, 3) : 0;
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        ask(v, NULL, what, k, from, to, all[k], below_all[k]);
        ask(v, include, what, k, from, to, some[k], below[k]);
    }
    struct query_ask range = {.start_ns = from, .end_ns = to};
    assert_int_equal(store_keys(v, &range, include, count_key, &keys), 0);
    assert_int_equal(keys, expected_keys);
    uint32_t lane; /* a dot that is not here */
    struct query *q = NULL;
    struct query_ask moved = {.end_ns = INT64_MAX, .include = include};
    assert_int_equal(vector_lane(include, kit_lane(9), &lane), 0);
    assert_int_equal(vector_add(include, lane, 1, 1), 0);
    assert_int_equal(query_plan(&q, v, &moved, NULL), ERR_MOVED);
    vector_free(&include);
    view_free(&v);
}

static void run(uint64_t seed)
{
    struct world *w = mem_zalloc(sizeof *w);
    assert_non_null(w);
    rng_seed(&w->rng, seed);
    w->disk = memdisk_new();
    w->c = kit_config("/d", &w->forgotten);
    w->c.segment_bytes = 8192;
    open_world(w);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t what = rng_below(&w->rng, 20);
        if (what == 0)
            restart(w);
        else if (what < 8)
            check(w);
        else
            push(w);
    }
    check(w);
    assert_int_equal(store_close(&w->s), 0);
    memdisk_free(&w->disk);
    mem_free(w);
}

static void every_answer_is_that_of_a_plain_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed);
}

/* --- readers beside writers ------------------------------------------------------------------- */

enum { WRITERS = 3, READERS = 2, EACH = 150 };

struct crowd {
    struct store *s;
    _Atomic uint64_t acknowledged; /* sum of values */
    _Atomic unsigned writing;
    _Atomic unsigned views;
};

struct writer {
    struct crowd *crowd;
    unsigned number;
};

static void *write_loop(void *arg)
{
    const struct writer *w = arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct kit_profile p = {.service = w->number == 0 ? "a" : "b",
                                .members = 2,
                                .time_ns = 1000 + i,
                                .nonce = w->number * 1000 + i,
                                .writer = w->number,
                                .seq = i + 1,
                                .stack_seed = i * 7 + w->number,
                                .samples = 20};
        if (kit_push(w->crowd->s, "t", &p, 1, NULL) != 0)
            break;
        atomic_fetch_add(&w->crowd->acknowledged, kit_total(&p, 0));
    }
    atomic_fetch_sub(&w->crowd->writing, 1);
    return NULL;
}

static void *read_loop(void *arg)
{
    struct crowd *c = arg;
    uint64_t last = 0;
    while (atomic_load(&c->writing) > 0) {
        struct view *v = NULL;
        struct vector *held = NULL;
        uint64_t least = atomic_load(&c->acknowledged);
        if (store_view(c->s, STR("t"), &v) != 0)
            return "no view";
        uint64_t sum = kit_sum(v, NULL);
        if (sum < least || sum < last)
            return "an acknowledged profile is missing";
        if (kit_sum(v, NULL) != sum)
            return "the view changed";
        if (store_held(v, 0, 1, &held, NULL) != 0 || kit_sum(v, held) != sum)
            return "rows and held differ";
        last = sum;
        vector_free(&held);
        view_free(&v);
        atomic_fetch_add(&c->views, 1);
    }
    return NULL;
}

static void views_stay_as_they_are_while_others_write(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store_config c = kit_config("/d", &forgotten);
    struct crowd crowd = {.writing = WRITERS};
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS + READERS];
    c.segment_bytes = 32 * 1024;
    assert_int_equal(store_open(&crowd.s, &c, memdisk_io(d), NULL), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&crowd, i};
        pthread_create(&threads[i], NULL, write_loop, &writers[i]);
    }
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(&threads[WRITERS + i], NULL, read_loop, &crowd);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        void *complaint = NULL;
        pthread_join(threads[i], &complaint);
        if (complaint != NULL)
            print_message("%s\n", (const char *)complaint);
        assert_null(complaint);
    }
    assert_true(atomic_load(&crowd.views) > 10);
    struct view *v;
    assert_int_equal(store_view(crowd.s, STR("t"), &v), 0);
    assert_int_equal(kit_sum(v, NULL), atomic_load(&crowd.acknowledged));
    view_free(&v);
    assert_int_equal(store_close(&crowd.s), 0);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_that_of_a_plain_list),
        cmocka_unit_test(views_stay_as_they_are_while_others_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
