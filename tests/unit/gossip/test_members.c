/* Who is believed alive, suspected or dead, by the rules of memberlist's state.go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip/members.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gossip/broadcast.h"

static struct rng rng;
static struct bcast *queue;
static struct members *m;

static struct gossip_addr addr(uint8_t last)
{
    return (struct gossip_addr){.ip = {10, 0, 0, last}, .size = 4, .port = 7946};
}

static struct members_config config(void)
{
    return (struct members_config){.name = STR("self"),
                                   .addr = addr(1),
                                   .default_port = 7946,
                                   .suspicion_mult = 4,
                                   .suspicion_max_mult = 6,
                                   .probe_interval_ms = 5000,
                                   .awareness_max = 8,
                                   .dead_ms = 30000,
                                   .count_max = 100};
}

static int setup(void **state)
{
    struct members_config c = config();
    (void)state;
    rng_seed(&rng, 3);
    assert_int_equal(bcast_init(&queue), 0);
    assert_int_equal(members_init(&m, &c, queue, &rng, NULL, 0, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    members_free(&m);
    bcast_free(&queue);
    return 0;
}

static void alive_at(const char *name, uint64_t incarnation, uint8_t last, mono_ms now)
{
    struct gossip_addr a = addr(last);
    struct msg_alive msg = {.incarnation = incarnation,
                            .node = str_c(name),
                            .ip = gossip_addr_ip(&a),
                            .port = 7946,
                            .vsn = str_of(member_vsn, 6)};
    assert_int_equal(members_on_alive(m, &msg, now), 0);
}

static void suspect(const char *name, uint64_t incarnation, const char *from, mono_ms now)
{
    struct msg_accuse s = {incarnation, str_c(name), str_c(from)};
    assert_int_equal(members_on_suspect(m, &s, now), 0);
}

static void dead(const char *name, uint64_t incarnation, const char *from, mono_ms now)
{
    struct msg_accuse d = {incarnation, str_c(name), str_c(from)};
    assert_int_equal(members_on_dead(m, &d, now), 0);
}

static void assert_is(const char *name, enum member_state want, uint32_t incarnation)
{
    const struct member *n = members_get(m, str_c(name));
    assert_non_null(n);
    assert_int_equal(n->state, want);
    assert_int_equal(n->incarnation, incarnation);
}

static void count_type(void *arg, struct str msg)
{
    (*(unsigned(*)[16])arg)[(uint8_t)msg.data[0]]++;
}

/* How many messages of a type are queued (and forget all). */
static unsigned queued(enum msg_type type)
{
    unsigned counts[16] = {0};
    while (bcast_count(queue) > 0)
        (void)bcast_take(queue, 1 << 20, 2, 1, count_type, &counts);
    return counts[type];
}

static void a_new_member_is_known_and_told_on(void **state)
{
    (void)state;
    assert_int_equal(queued(MSG_ALIVE), 1); /* ourselves */
    alive_at("b", 1, 2, 0);
    assert_is("b", MEMBER_ALIVE, 1);
    assert_int_equal(queued(MSG_ALIVE), 1);
    alive_at("b", 1, 2, 0); /* known: not told again */
    assert_int_equal(queued(MSG_ALIVE), 0);
    alive_at("b", 2, 2, 0);
    assert_int_equal(queued(MSG_ALIVE), 1);
    assert_int_equal(members_active_count(m), 2);
}

static void nonsense_is_ignored(void **state)
{
    (void)state;
    static const uint8_t bad_vsn[3] = {3, 2, 2};
    struct msg_alive a = {.incarnation = 1, .node = STR("x"), .ip = STR("abc"), .port = 1};
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    a.ip = STR("abcd");
    a.vsn = str_of(bad_vsn, 3);
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    a.vsn = (struct str){0};
    a.node = STR("");
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    a.node = STR("x");
    a.incarnation = 0;
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    suspect("nobody", 1, "b", 0);
    dead("nobody", 1, "b", 0);
    assert_int_equal(members_count(m), 1);
    assert_int_equal(members_stats(m)->ignored, 4);
}

static void port_0_is_the_default_port(void **state)
{
    (void)state;
    struct msg_alive a = {.incarnation = 1,
                          .node = STR("x"),
                          .ip = STR("abcd"),
                          .vsn = str_of(member_vsn, 6)};
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    assert_int_equal(members_get(m, STR("x"))->addr.port, 7946);
}

/* A name at another address is a conflict, unless its holder left, or is dead long enough. */
static void a_name_moves_only_after_leaving(void **state)
{
    (void)state;
    alive_at("b", 5, 2, 0);
    alive_at("b", 6, 3, 0);
    assert_is("b", MEMBER_ALIVE, 5);
    assert_int_equal(members_stats(m)->conflicts, 1);
    dead("b", 5, "x", 0);
    alive_at("b", 6, 3, 100000);
    assert_is("b", MEMBER_DEAD, 5); /* reclaiming is off */
    alive_at("c", 5, 4, 0);
    dead("c", 5, "c", 0);
    assert_is("c", MEMBER_LEFT, 5);
    alive_at("c", 1, 5, 0); /* whatever its incarnation */
    assert_is("c", MEMBER_ALIVE, 1);
    assert_int_equal(members_get(m, STR("c"))->addr.ip[3], 5);
}

/* A table that may take another name, at address `last`; born at 0. */
static struct members *renaming(uint8_t last)
{
    struct members_config c = config();
    struct members *t = NULL;
    c.addr = addr(last);
    c.rename = true;
    assert_int_equal(members_init(&t, &c, queue, &rng, NULL, 0, NULL), 0);
    return t;
}

static void hear_of_namesake(struct members *t, uint8_t last, uint64_t incarnation, mono_ms now)
{
    struct gossip_addr a = addr(last);
    struct msg_alive msg = {.incarnation = incarnation,
                            .node = STR("self"),
                            .ip = gossip_addr_ip(&a),
                            .port = 7946,
                            .vsn = str_of(member_vsn, 6)};
    assert_int_equal(members_on_alive(t, &msg, now), 0);
}

static void a_newcomer_gives_way_to_who_has_its_name(void **state)
{
    (void)state;
    struct members *t = renaming(1);
    const struct member *self = members_self(t);
    struct str before = self->name;
    hear_of_namesake(t, 9, 7, 1000);
    assert_true(str_starts_with(self->name, STR("self-")));
    assert_int_equal(self->name.len, 13);
    assert_true(str_eq(before, STR("self"))); /* borrowed names stay */
    const struct member *other = members_get(t, STR("self"));
    assert_non_null(other);
    assert_int_equal(other->state, MEMBER_ALIVE);
    assert_int_equal(other->addr.ip[3], 9);
    assert_ptr_equal(members_get(t, self->name), self);
    assert_int_equal(members_count(t), 2);
    assert_int_equal(members_stats(t)->renamed, 1);
    assert_int_equal(queued(MSG_DEAD), 1); /* the old name has left, as we had it */
    struct msg_accuse farewell;
    assert_true(members_farewell(t, STR("self"), &farewell));
    assert_true(str_eq(farewell.node, STR("self")) && str_eq(farewell.from, STR("self")));
    assert_int_equal(farewell.incarnation, 7);
    assert_false(members_farewell(t, self->name, &farewell));
    struct msg_accuse s = {7, STR("self"), STR("x")};
    assert_int_equal(members_on_suspect(t, &s, 2000), 0); /* not us any more */
    assert_int_equal(members_stats(t)->refuted, 0);
    assert_int_equal(other->state, MEMBER_SUSPECT);
    members_free(&t);
}

static void of_two_old_ones_the_higher_address_gives_way(void **state)
{
    (void)state;
    struct members *low = renaming(1), *high = renaming(9);
    hear_of_namesake(low, 9, 1, 100000);
    hear_of_namesake(high, 1, 1, 100000);
    assert_true(str_eq(members_self(low)->name, STR("self")));
    assert_false(str_eq(members_self(high)->name, STR("self")));
    assert_int_equal(members_stats(low)->own_conflicts, 1);
    assert_int_equal(members_count(low), 1);
    hear_of_namesake(low, 9, 1, 800000); /* once more, long after, is another matter */
    hear_of_namesake(low, 9, 1, 1399999);
    assert_true(str_eq(members_self(low)->name, STR("self")));
    hear_of_namesake(low, 9, 1, 1400000); /* the other cannot, it seems */
    assert_false(str_eq(members_self(low)->name, STR("self")));
    members_free(&low);
    members_free(&high);
}

/* The other's refutation may come before our farewell, which then is old news to all: who held on
 * to us finds us under our new name, so the old one is free. */
static void the_name_of_one_who_took_another_is_free(void **state)
{
    (void)state;
    struct members *t = renaming(1);
    struct gossip_addr a = addr(9), b = addr(8);
    struct msg_alive msg = {.incarnation = 1,
                            .node = STR("twin"),
                            .ip = gossip_addr_ip(&a),
                            .port = 7946,
                            .vsn = str_of(member_vsn, 6)};
    assert_int_equal(members_on_alive(t, &msg, 0), 0);
    msg.ip = gossip_addr_ip(&b);
    msg.incarnation = 2;
    assert_int_equal(members_on_alive(t, &msg, 1000), 0); /* a namesake, no more */
    assert_int_equal(members_get(t, STR("twin"))->addr.ip[3], 9);
    struct msg_alive renamed = msg;
    renamed.node = STR("twin-1");
    renamed.ip = gossip_addr_ip(&a);
    assert_int_equal(members_on_alive(t, &renamed, 1000), 0);
    assert_int_equal(members_on_alive(t, &msg, 2000), 0);
    assert_int_equal(members_get(t, STR("twin"))->addr.ip[3], 8);
    assert_int_equal(members_get(t, STR("twin"))->incarnation, 2);
    assert_int_equal(members_get(t, STR("twin-1"))->addr.ip[3], 9);
    members_free(&t);
}

static void renaming_has_limits(void **state)
{
    (void)state;
    struct members *t = renaming(9), *leaver = renaming(9);
    uint64_t id = 0;
    for (mono_ms now = 0; now < 1000000; now += 1000) {
        struct gossip_addr a = addr(2);
        (void)members_on_namesake(t, &a, 1, now); /* whoever makes them up */
    }
    assert_int_equal(members_stats(t)->renamed, 16);
    assert_int_equal(members_self(t)->name.len, 13); /* suffixes do not pile up */
    assert_int_equal(members_leave(leaver, 0, &id), 0);
    hear_of_namesake(leaver, 2, 1, 0);
    assert_int_equal(members_stats(leaver)->renamed, 0);
    alive_at("self", 1, 2, 0); /* and this table must not */
    assert_true(str_eq(members_self(m)->name, STR("self")));
    members_free(&t);
    members_free(&leaver);
}

static void renaming_without_memory_changes_nothing_or_all(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct members *t = renaming(9);
        struct gossip_addr a = addr(2);
        mem_fail_at(n);
        bool renamed = members_on_namesake(t, &a, 1, 0);
        int over = mem_fail_pending();
        mem_fail_at(0);
        const struct member *self = members_self(t);
        assert_int_equal(renamed, !str_eq(self->name, STR("self")));
        assert_ptr_equal(members_get(t, self->name), self);
        members_free(&t);
        if (over)
            break;
    }
}

static void a_name_may_be_reclaimed_after_a_time(void **state)
{
    (void)state;
    struct members_config c = config();
    struct members *t = NULL;
    struct gossip_addr a = addr(2), b = addr(3);
    struct msg_alive at_a = {.incarnation = 5,
                             .node = STR("b"),
                             .ip = gossip_addr_ip(&a),
                             .port = 7946,
                             .vsn = str_of(member_vsn, 6)},
                     at_b = at_a;
    struct msg_accuse d = {5, STR("b"), STR("x")};
    at_b.ip = gossip_addr_ip(&b);
    at_b.incarnation = 1;
    c.reclaim_ms = 10000;
    assert_int_equal(members_init(&t, &c, queue, &rng, NULL, 0, NULL), 0);
    assert_int_equal(members_on_alive(t, &at_a, 0), 0);
    assert_int_equal(members_on_alive(t, &at_b, 0), 0);
    assert_int_equal(members_on_dead(t, &d, 1000), 0);
    assert_int_equal(members_on_alive(t, &at_b, 11000), 0); /* dead, but not for long enough */
    assert_int_equal(members_get(t, STR("b"))->state, MEMBER_DEAD);
    assert_int_equal(members_on_alive(t, &at_b, 11001), 0); /* whatever its incarnation */
    assert_int_equal(members_get(t, STR("b"))->state, MEMBER_ALIVE);
    assert_int_equal(members_get(t, STR("b"))->addr.ip[3], 3);
    assert_int_equal(members_stats(t)->moved, 1);
    assert_int_equal(members_stats(t)->conflicts, 2);
    members_free(&t);
}

static void accusations_of_us_are_refuted(void **state)
{
    (void)state;
    (void)queued(MSG_ALIVE);
    suspect("self", 1, "b", 0);
    assert_is("self", MEMBER_ALIVE, 2);
    assert_int_equal(queued(MSG_ALIVE), 1);
    dead("self", 9, "b", 0);
    assert_is("self", MEMBER_ALIVE, 10);
    assert_int_equal(queued(MSG_ALIVE), 1);
    dead("self", 3, "b", 0); /* old news: whoever tells it is told how it is */
    assert_is("self", MEMBER_ALIVE, 10);
    assert_int_equal(queued(MSG_ALIVE), 1);
    assert_int_equal(members_awareness(m), 2);
    assert_int_equal(members_stats(m)->refuted, 2);
}

/* A restarted member begins at 1 and is told of its former life: it must go past it. */
static void a_former_life_of_ours_is_outbid(void **state)
{
    (void)state;
    alive_at("self", 7, 1, 0);
    assert_is("self", MEMBER_ALIVE, 8);
    dead("self", 20, "self", 0); /* it had left */
    assert_is("self", MEMBER_ALIVE, 21);
    alive_at("self", 21, 1, 0); /* our own words */
    assert_is("self", MEMBER_ALIVE, 21);
}

static void the_accused_may_refute(void **state)
{
    (void)state;
    alive_at("b", 1, 2, 0);
    suspect("b", 1, "c", 0);
    assert_is("b", MEMBER_SUSPECT, 1);
    alive_at("b", 1, 2, 100); /* not newer: no refutation */
    assert_is("b", MEMBER_SUSPECT, 1);
    alive_at("b", 2, 2, 200);
    assert_is("b", MEMBER_ALIVE, 2);
    assert_int_equal(members_due(m), MONO_NEVER);
    suspect("b", 1, "c", 300); /* about a former incarnation */
    assert_is("b", MEMBER_ALIVE, 2);
}

/* 10 members or fewer: 20 s at least, 120 s at most, two confirmations needed (from 4 on). */
static void suspicion_shrinks_with_independent_accusers(void **state)
{
    (void)state;
    for (uint8_t i = 2; i <= 6; i++)
        alive_at((char[]){(char)('a' + i), 0}, 1, i, 0);
    suspect("c", 1, "d", 1000);
    assert_int_equal(members_due(m), 121000);
    (void)queued(MSG_SUSPECT);
    suspect("c", 1, "d", 2000); /* the same accuser */
    assert_int_equal(members_due(m), 121000);
    assert_int_equal(queued(MSG_SUSPECT), 0);
    suspect("c", 1, "e", 2000);
    /* 120 - 100 x ln 2 / ln 3 = 56.907 */
    assert_int_equal(members_due(m), 1000 + 56907);
    assert_int_equal(queued(MSG_SUSPECT), 1);
    suspect("c", 1, "f", 3000);
    assert_int_equal(members_due(m), 21000);
    suspect("c", 1, "g", 3000); /* enough are enough */
    assert_int_equal(members_due(m), 21000);
    members_tick(m, 20999);
    assert_is("c", MEMBER_SUSPECT, 1);
    members_tick(m, 21000);
    assert_is("c", MEMBER_DEAD, 1);
    assert_int_equal(members_due(m), MONO_NEVER);
}

static void who_missed_a_refutation_is_told_again(void **state)
{
    (void)state;
    alive_at("b", 3, 2, 0);
    (void)queued(MSG_ALIVE);
    suspect("b", 2, "c", 0);
    assert_is("b", MEMBER_ALIVE, 3);
    assert_int_equal(queued(MSG_ALIVE), 1);
    dead("b", 2, "c", 0);
    assert_int_equal(queued(MSG_ALIVE), 1);
    suspect("b", 3, "c", 0);
    (void)queued(MSG_ALIVE);
    suspect("b", 2, "d", 0); /* not after all: it is suspected anew */
    assert_int_equal(queued(MSG_ALIVE), 0);
}

/* b is accused, then nothing comes in for 30 s: two confirmations that waited meanwhile must leave
 * it the least time to answer, as if they had come before the silence. */
static void silence_does_not_count_against_the_accused(void **state)
{
    (void)state;
    struct members_config c = config();
    mono_ms least = (mono_ms)c.suspicion_mult * c.probe_interval_ms;
    alive_at("b", 1, 2, 0);
    alive_at("c", 1, 3, 0);
    alive_at("d", 1, 4, 0);
    alive_at("e", 1, 5, 0);
    mono_ms silence = 4 * (mono_ms)c.probe_interval_ms + least;
    members_heard(m, 1000);
    suspect("b", 1, "self", 2000);
    members_heard(m, 2000 + silence);
    suspect("b", 1, "c", 2000 + silence);
    suspect("b", 1, "d", 2000 + silence);
    assert_int_equal(members_due(m), 2000 + silence + least);
    members_heard(m, 2000 + silence + c.probe_interval_ms); /* no silence */
    assert_int_equal(members_due(m), 2000 + silence + least);
    members_tick(m, 2000 + silence + least);
    assert_is("b", MEMBER_DEAD, 1);
}

/* Two members, one dead, and a stranger who knocks a little before the accusation runs out. */
static void knocking_now_and_then_keeps_no_dead_alive(void **state)
{
    (void)state;
    mono_ms now = 0;
    alive_at("b", 1, 2, 0);
    suspect("b", 1, "self", 0);
    while (now < 1000000 && members_get(m, STR("b"))->state == MEMBER_SUSPECT) {
        now += 16000;
        members_heard(m, now);
        members_tick(m, now);
    }
    assert_is("b", MEMBER_DEAD, 1);
    assert_true(now > 20000 && now <= 18 * 16000);
}

/* b died while nothing came in to us: at the end of the silence nobody speaks of it any more, so
 * nobody confirms, and it is given the least time and not the longest. */
static void after_a_silence_the_accused_has_the_least_time(void **state)
{
    (void)state;
    struct members_config c = config();
    mono_ms least = (mono_ms)c.suspicion_mult * c.probe_interval_ms;
    alive_at("b", 1, 2, 0);
    alive_at("c", 1, 3, 0);
    alive_at("d", 1, 4, 0);
    alive_at("e", 1, 5, 0);
    mono_ms silence = 4 * (mono_ms)c.probe_interval_ms;
    members_heard(m, 1000);
    suspect("b", 1, "self", 2000);
    assert_true(members_due(m) > 2000 + silence + least);
    members_heard(m, 2000 + silence);
    assert_int_equal(members_due(m), 2000 + silence + least);
    suspect("b", 1, "c", 2000 + silence); /* does not put it off */
    assert_int_equal(members_due(m), 2000 + silence + least);
}

static void among_few_nobody_is_waited_for(void **state)
{
    (void)state;
    alive_at("b", 1, 2, 0);
    alive_at("c", 1, 3, 0);
    suspect("b", 1, "c", 0);
    assert_int_equal(members_due(m), 20000);
}

static void the_dead_are_kept_for_a_while(void **state)
{
    (void)state;
    alive_at("b", 1, 2, 0);
    dead("b", 1, "c", 1000);
    assert_is("b", MEMBER_DEAD, 1);
    dead("b", 1, "b", 2000); /* dead is dead */
    assert_is("b", MEMBER_DEAD, 1);
    members_reap(m, 31000);
    assert_int_equal(members_count(m), 2);
    members_reap(m, 31001);
    assert_int_equal(members_count(m), 1);
    assert_null(members_get(m, STR("b")));
}

static void who_leaves_is_not_brought_back(void **state)
{
    (void)state;
    uint64_t id = 0;
    alive_at("b", 1, 2, 0);
    assert_int_equal(members_leave(m, 0, &id), 0);
    assert_true(bcast_has(queue, id));
    assert_is("self", MEMBER_LEFT, 1);
    alive_at("self", 5, 1, 0);
    dead("self", 5, "b", 0);
    assert_is("self", MEMBER_LEFT, 1);
    assert_int_equal(members_alive_count(m), 1);
}

/* One that is in no table would make memberlist's members refuse all exchange of state. */
static void a_member_with_versions_that_fit_nobody_is_not_taken(void **state)
{
    (void)state;
    static const uint8_t bad[][MEMBER_VSN_SIZE] = {
        {0, 5, 2, 0, 0, 0}, {1, 5, 200, 0, 0, 0}, {1, 5, 0, 0, 0, 0}, {3, 5, 3, 0, 0, 0},
        {1, 1, 1, 0, 0, 0}, {1, 5, 2, 1, 1, 1},   {1, 5, 2, 0, 0, 1}, {0, 0, 0, 0, 0, 0},
    };
    static const uint8_t good[] = {1, 4, 2, 0, 1, 0};
    struct msg_alive a = {.incarnation = 1, .node = STR("x"), .ip = STR("abcd"), .port = 1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        a.vsn = str_of(bad[i], MEMBER_VSN_SIZE);
        assert_int_equal(members_on_alive(m, &a, 0), 0);
        if (members_count(m) != 1)
            fail_msg("versions %zu were taken", i);
    }
    a.vsn = str_of(good, 5);
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    assert_int_equal(members_stats(m)->ignored, sizeof bad / sizeof bad[0] + 1);
    a.vsn = str_of(good, 6);
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    assert_memory_equal(members_get(m, STR("x"))->vsn, good, 6);
    a.node = STR("self"); /* told of us: contradicted, so that nobody believes it */
    struct gossip_addr own = addr(1);
    a.ip = gossip_addr_ip(&own);
    a.port = own.port;
    a.vsn = str_of(bad[1], 6);
    a.incarnation = 5;
    assert_int_equal(members_on_alive(m, &a, 0), 0);
    assert_is("self", MEMBER_ALIVE, 6);
}

/* Members with made-up names, alive, at one address. */
static void flood(int from, int to, mono_ms now)
{
    char name[8];
    for (int i = from; i < to; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        alive_at(name, 1, 200, now);
    }
}

static void a_flood_of_names_ends_and_nobody_is_forgotten(void **state)
{
    (void)state;
    struct gossip_addr a = addr(3);
    struct msg_alive caller = {.incarnation = 1,
                               .node = STR("caller"),
                               .ip = gossip_addr_ip(&a),
                               .port = 7946,
                               .vsn = str_of(member_vsn, 6)};
    alive_at("b", 1, 2, 0);
    flood(0, 5000, 0);
    assert_int_equal(members_count(m), 100);
    assert_int_equal(members_stats(m)->turned_away, 5002 - 100);
    assert_int_equal(bcast_count(queue), 100);
    assert_is("b", MEMBER_ALIVE, 1);
    members_answered(m, STR("b"));
    alive_at("b", 2, 2, 0); /* news of who is in it are taken */
    assert_is("b", MEMBER_ALIVE, 2);
    assert_int_equal(members_on_alive(m, &caller, 0), 0);
    assert_null(members_get(m, STR("caller"))); /* hearsay */
    for (int i = 0; i < 500; i++) { /* one that comes itself; who answered stays */
        char name[8];
        (void)snprintf(name, sizeof name, "c%d", i);
        caller.node = str_c(name);
        assert_int_equal(members_on_caller(m, &caller, 0), 0);
        assert_non_null(members_get(m, caller.node));
        assert_is("b", MEMBER_ALIVE, 2);
        assert_int_equal(members_count(m), 100);
    }
    assert_is("b", MEMBER_ALIVE, 2);
    assert_non_null(members_get(m, STR("self")));
    members_answered_at(m, &a); /* now all that call from there have */
    flood(0, 100, 0);
    assert_int_equal(members_count(m), 100);
}

static void a_full_table_makes_room_of_the_dead(void **state)
{
    (void)state;
    char name[8];
    flood(0, 99, 0);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        suspect(name, 1, "x", 0);
        dead(name, 1, "x", 1000);
    }
    alive_at("early", 1, 3, 31000);
    assert_null(members_get(m, STR("early")));
    alive_at("late", 1, 3, 32001);
    assert_is("late", MEMBER_ALIVE, 1);
    assert_int_equal(members_count(m), 51);
    assert_int_equal(members_due(m), MONO_NEVER);
}

static bool not_self(void *arg, const struct member *n)
{
    (void)arg;
    return n != members_self(m);
}

static void a_choice_has_no_repetition(void **state)
{
    (void)state;
    const struct member *out[8];
    for (uint8_t i = 2; i <= 6; i++)
        alive_at((char[]){(char)('a' + i), 0}, 1, i, 0);
    for (int round = 0; round < 100; round++) {
        size_t count = members_pick(m, 3, not_self, NULL, out);
        assert_true(count <= 3);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < i; k++)
                assert_ptr_not_equal(out[i], out[k]);
    }
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    struct members_config c = config();
    for (uint64_t n = 1;; n++) {
        struct bcast *q = NULL;
        struct members *t = NULL;
        assert_int_equal(bcast_init(&q), 0);
        struct gossip_addr a = addr(2);
        struct msg_alive msg = {.incarnation = 1,
                                .node = STR("b"),
                                .ip = gossip_addr_ip(&a),
                                .port = 7946,
                                .meta = STR("meta"),
                                .vsn = str_of(member_vsn, 6)};
        struct msg_accuse s = {1, STR("b"), STR("c")};
        mem_fail_at(n);
        int rc = members_init(&t, &c, q, &rng, NULL, 0, NULL);
        assert_true(rc == 0 || t == NULL);
        rc = rc == 0 ? members_on_alive(t, &msg, 0) : rc;
        rc = rc == 0 ? members_on_suspect(t, &s, 0) : rc;
        rc = rc == 0 ? members_on_dead(t, &s, 0) : rc;
        int over = mem_fail_pending();
        mem_fail_at(0);
        for (size_t i = 0; t != NULL && i < members_count(t); i++) /* none is half in */
            assert_true(members_at(t, i)->incarnation > 0 && members_at(t, i)->vsn[1] > 0);
        members_free(&t);
        bcast_free(&q);
        assert_int_equal(rc, over ? 0 : ERR_NOMEM);
        if (over)
            break;
    }
    c.name = STR("");
    struct members *none = NULL;
    assert_int_equal(members_init(&none, &c, queue, &rng, NULL, 0, NULL), ERR_INVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_new_member_is_known_and_told_on),
        T(nonsense_is_ignored),
        T(port_0_is_the_default_port),
        T(a_name_moves_only_after_leaving),
        T(a_newcomer_gives_way_to_who_has_its_name),
        T(of_two_old_ones_the_higher_address_gives_way),
        T(the_name_of_one_who_took_another_is_free),
        T(renaming_has_limits),
        T(renaming_without_memory_changes_nothing_or_all),
        T(a_name_may_be_reclaimed_after_a_time),
        T(accusations_of_us_are_refuted),
        T(a_former_life_of_ours_is_outbid),
        T(the_accused_may_refute),
        T(suspicion_shrinks_with_independent_accusers),
        T(who_missed_a_refutation_is_told_again),
        T(silence_does_not_count_against_the_accused),
        T(knocking_now_and_then_keeps_no_dead_alive),
        T(after_a_silence_the_accused_has_the_least_time),
        T(among_few_nobody_is_waited_for),
        T(the_dead_are_kept_for_a_while),
        T(who_leaves_is_not_brought_back),
        T(a_member_with_versions_that_fit_nobody_is_not_taken),
        T(a_flood_of_names_ends_and_nobody_is_forgotten),
        T(a_full_table_makes_room_of_the_dead),
        T(a_choice_has_no_repetition),
        T(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
