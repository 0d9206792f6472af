/* Lanes that have no rows: numbers of lanes stay what they are while views look on, and names
 * that no vector can keep are refused before anything is written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "profile/form.h"
#include "store/store.h"

#include "../../lib/memdisk.h"
#include "../../lib/storekit.h"

static struct store *open_store(struct memdisk *d, unsigned *forgotten)
{
    struct store *s = NULL;
    struct store_config c = kit_config("/d", forgotten);
    assert_int_equal(store_open(&s, &c, memdisk_io(d), NULL), 0);
    return s;
}

static struct kit_profile profile(unsigned i, unsigned writer, unsigned seq)
{
    return (struct kit_profile){.service = "s",
                                .members = 1,
                                .time_ns = 1000000000ll * (i + 1),
                                .nonce = i,
                                .writer = writer,
                                .seq = seq,
                                .stack_seed = i,
                                .samples = 5};
}

static void push(struct store *s, struct kit_profile p, uint32_t rows, uint32_t repeats)
{
    struct store_appended info;
    assert_int_equal(kit_push(s, "t", &p, 1, &info), 0);
    assert_int_equal(info.rows, rows);
    assert_int_equal(info.repeats, repeats);
}

static bool holds(const struct view *v, unsigned writer, uint32_t seq)
{
    struct vector *held = NULL;
    assert_int_equal(store_held(v, 0, 1, &held, NULL), 0);
    bool has = vector_has(held, kit_lane(writer), seq);
    vector_free(&held);
    return has;
}

/* A distributor starts anew and the first it sends are repeats; a query is under way meanwhile. */
static void a_lane_of_repeats_alone_keeps_the_numbers_of_the_lanes_behind_it(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    uint64_t sum = 0;
    struct view *looks[4];
    for (unsigned i = 0; i < 2; i++) {
        const unsigned row = i * 3, repeat = i * 3 + 1, later = i * 3 + 2;
        struct kit_profile p = profile(i * 2, row, 1), q = profile(i * 2 + 1, later, 1);
        push(s, p, 1, 0);
        push(s, profile(i * 2, repeat, 1), 0, 1); /* this lane has no row */
        assert_int_equal(store_view(s, STR("t"), &looks[i * 2]), 0);
        push(s, q, 1, 0);
        assert_int_equal(store_view(s, STR("t"), &looks[i * 2 + 1]), 0);
        push(s, profile(100 + i, repeat, 2), 1, 0); /* now it has */
        struct kit_profile more = profile(100 + i, repeat, 2);
        sum += kit_total(&p, 0) + kit_total(&q, 0) + kit_total(&more, 0);
        assert_false(holds(looks[i * 2], later, 1));
        assert_true(holds(looks[i * 2 + 1], later, 1));
        assert_false(holds(looks[i * 2 + 1], repeat, 2));
    }
    struct view *v;
    assert_int_equal(store_view(s, STR("t"), &v), 0);
    assert_int_equal(kit_sum(v, NULL), sum);
    struct vector *include = NULL;
    uint32_t lane;
    assert_int_equal(vector_init(&include), 0);
    assert_int_equal(vector_lane(include, kit_lane(1), &lane), 0);
    assert_int_equal(vector_add(include, lane, 2, 2), 0);
    struct kit_profile only = profile(100, 1, 2);
    assert_int_equal(kit_sum(v, include), kit_total(&only, 0));
    vector_free(&include);
    view_free(&v);
    for (unsigned i = 0; i < 4; i++)
        view_free(&looks[i]);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

static void put_form(const struct str *set, uint32_t count, struct str service, struct buf *out)
{
    struct arena *a = NULL;
    struct form_writer *w = NULL;
    static const uint8_t writer[WRITER_SIZE] = {7};
    const struct form_pair pair = {STR("service_name"), service};
    const struct form_member member = {STR("cpu"), STR("ns"), STR("cpu"), STR("ns"), STR("p")};
    uint32_t lane;
    assert_int_equal(arena_init(&a, 0, NULL), 0);
    assert_int_equal(form_begin(&w, a), 0);
    assert_int_equal(form_add_lane(w, writer, set, count, &lane), 0);
    struct form_profile p = {.pairs = &pair, .pair_count = 1, .members = &member,
                             .member_count = 1, .time_ns = 1, .lane = lane, .seq = 1};
    assert_int_equal(form_begin_profile(w, &p), 0);
    assert_int_equal(form_end_profile(w, NULL), 0);
    assert_int_equal(form_finish(w, out), 0);
    arena_free(&a);
}

/* Else the record would be on the disk, and no start could read it. */
static void a_lane_whose_name_no_vector_keeps_is_refused_and_nothing_is_written(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    static char text[DOTS_ID_MAX + 1];
    static struct str many[DOTS_SET_MAX + 1];
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i <= DOTS_SET_MAX; i++)
        many[i] = STR("i");
    const struct str empty = STR(""), large = str_of(text, sizeof text);
    const struct {
        const struct str *set;
        uint32_t count;
    } bad[] = {{&empty, 1}, {&large, 1}, {many, DOTS_SET_MAX + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf form = {0};
        struct store_appended info;
        put_form(bad[i].set, bad[i].count, STR("s"), &form);
        assert_int_equal(form.error, 0);
        assert_int_equal(kit_append(s, "t", buf_view(&form), NULL, &info), ERR_PARSE);
        buf_reset(&form);
    }
    assert_int_equal(store_close(&s), 0);
    s = open_store(d, &forgotten);
    push(s, profile(0, 0, 1), 1, 0);
    assert_int_equal(store_close(&s), 0);
    assert_int_equal(forgotten, 0);
    memdisk_free(&d);
}

enum { THREADS = 4, REPEATS = 500 };

struct repeater {
    struct store *s;
    unsigned id;
    unsigned failed;
};

static void *repeat_all(void *arg)
{
    static const char *const services[THREADS] = {"a", "b", "c", "d"};
    struct repeater *me = arg;
    for (unsigned i = 0; i <= REPEATS; i++) {
        struct kit_profile p[2] = {profile(0, me->id, i + 1), profile(i + 1, me->id + 4, i + 1)};
        struct store_appended info;
        p[0].service = p[1].service = services[me->id];
        p[1].samples = 300; /* gives the others time between its plan and its records */
        me->failed += kit_push(me->s, "t", p, 2, &info) != 0 || info.repeats != (i > 0);
    }
    return NULL;
}

/* Services of one tenant share its list of repeats and are pushed to side by side. */
static void repeats_of_several_services_at_once_all_find_room(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    struct repeater r[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < 2 * THREADS; i++)
        (void)kit_lane(i); /* made now, not by two threads at once */
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct repeater){.s = s, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, repeat_all, &r[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct view *v;
    assert_int_equal(store_view(s, STR("t"), &v), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(r[i].failed, 0);
        assert_true(holds(v, i, REPEATS + 1));
    }
    view_free(&v);
    assert_int_equal(store_close(&s), 0);
    memdisk_free(&d);
}

/* Definitions that the log has not got yet go ahead of each push, so one that never fits would stop
 * them all. */
static void labels_that_fit_no_record_are_refused_and_the_next_push_works(void **state)
{
    (void)state;
    struct memdisk *d = memdisk_new();
    unsigned forgotten = 0;
    struct store *s = open_store(d, &forgotten);
    const size_t size = 20 << 20;
    char *text = mem_zalloc(size);
    const struct str set = STR("i");
    struct buf form = {0};
    struct store_appended info;
    put_form(&set, 1, str_of(text, size), &form);
    assert_int_equal(form.error, 0);
    assert_int_equal(kit_append(s, "t", buf_view(&form), NULL, &info), ERR_LIMIT);
    push(s, profile(0, 0, 1), 1, 0);
    assert_int_equal(store_close(&s), 0);
    buf_reset(&form);
    mem_free(text);
    memdisk_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_of_repeats_alone_keeps_the_numbers_of_the_lanes_behind_it),
        cmocka_unit_test(repeats_of_several_services_at_once_all_find_room),
        cmocka_unit_test(a_lane_whose_name_no_vector_keeps_is_refused_and_nothing_is_written),
        cmocka_unit_test(labels_that_fit_no_record_are_refused_and_the_next_push_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
