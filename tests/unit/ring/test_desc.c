/* Rings merge as dskit merges them, travel as dskit writes them, and survive hostile bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/desc.h"

#include <malloc.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gossip/codec.h"

/* A member with up to three tokens (0 ends them). */
static struct ring_instance member(const char *id, int64_t timestamp_s, int32_t state,
                                   uint32_t *tokens, uint32_t token_count)
{
    return (struct ring_instance){.id = str_c(id),
                                  .addr = str_c(id),
                                  .timestamp_s = timestamp_s,
                                  .state = state,
                                  .tokens = tokens,
                                  .token_count = token_count};
}

#define TOKENS(...)                                                                            \
    ((uint32_t[]){__VA_ARGS__}), (uint32_t)(sizeof(uint32_t[]){__VA_ARGS__} / sizeof(uint32_t))

static struct ring_desc *desc_of(struct ring_instance a)
{
    struct ring_desc *d = NULL;
    assert_int_equal(ring_desc_init(&d), 0);
    assert_int_equal(ring_desc_put(d, &a), 0);
    return d;
}

static void put(struct ring_desc *d, struct ring_instance a)
{
    assert_int_equal(ring_desc_put(d, &a), 0);
}

/* Merge and free the news; returns how many members changed. */
static size_t merge(struct ring_desc **into, struct ring_desc *news, bool local, int64_t now)
{
    struct ring_desc *change = NULL;
    assert_int_equal(ring_desc_merge(into, news, local, now, &change), 0);
    size_t n = change == NULL ? 0 : ring_desc_count(change);
    ring_desc_free(&change);
    ring_desc_free(&news);
    return n;
}

static const struct ring_instance *get(const struct ring_desc *d, const char *id)
{
    return ring_desc_find(d, str_c(id));
}

static struct buf unhex(const char *hex)
{
    struct buf b = {0};
    for (; hex[0] != '\0'; hex += 2) {
        unsigned v = 0;
        for (int i = 0; i < 2; i++)
            v = v * 16 + (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
        buf_u8(&b, (uint8_t)v);
    }
    return b;
}

static const char vector[] =
    "0a350a05696e672d30122c0a0d31302e302e302e353a343034301080e2cfaa0632080"
    "1ac02ffffffff0f40f6e1cfaa064a05696e672d30";

static void the_bytes_are_those_of_a_go_member(void **state)
{
    (void)state;
    struct buf want = unhex(vector), out = {0};
    struct ring_desc *d = NULL;
    assert_int_equal(ring_desc_decode(&d, buf_view(&want), NULL), 0);
    const struct ring_instance *in = get(d, "ing-0");
    assert_non_null(in);
    assert_true(str_eq(in->addr, STR("10.0.0.5:4040")));
    assert_int_equal(in->timestamp_s, 1700000000);
    assert_int_equal(in->registered_s, 1699999990);
    assert_int_equal(in->state, RING_ACTIVE);
    assert_int_equal(in->token_count, 3);
    assert_true(in->tokens[2] == UINT32_MAX);
    ring_desc_encode(d, &out);
    assert_true(str_eq(buf_view(&out), buf_view(&want)));
    ring_desc_free(&d);
    buf_reset(&out);
    buf_reset(&want);
}

static void the_codec_takes_any_snappy_block_and_nothing(void **state)
{
    (void)state;
    struct buf raw = unhex(vector), literal = {0}, ours = {0};
    struct err err = {0};
    void *v = NULL, *w = NULL;
    buf_put(&literal, "\x37\xd8", 2); /* one literal of 55 bytes */
    buf_str(&literal, buf_view(&raw));
    assert_int_equal(ring_codec.decode(&v, buf_view(&literal), &err), 0);
    ring_codec.encode(v, &ours);
    assert_int_equal(ours.error, 0);
    assert_int_equal(ring_codec.decode(&w, buf_view(&ours), &err), 0);
    assert_int_equal(ring_desc_count(w), 1);
    ring_codec.free(&w);
    assert_null(w);
    assert_int_equal(ring_codec.decode(&w, (struct str){0}, &err),
                     0); /* as Go: an empty ring */
    assert_true(ring_codec.is_empty(w));
    ring_codec.free(&w);
    assert_int_equal(ring_codec.decode(&w, STR("\x00"), &err), 0);
    ring_codec.free(&w);
    assert_int_equal(ring_codec.decode(&w, STR("\x37\xd8x"), &err), ERR_PARSE);
    assert_null(w);
    struct buf json = {0};
    ring_codec.to_json(v, &json);
    assert_true(
        str_eq(buf_view(&json),
               STR("{\"ingesters\":{\"ing-0\":{\"addr\":\"10.0.0.5:4040\",\"timestamp\":"
                   "1700000000,\"tokens\":[1,300,4294967295],\"registered_timestamp\":"
                   "1699999990,\"id\":\"ing-0\"}}}")));
    buf_reset(&json);
    ring_codec.free(&v);
    buf_reset(&raw);
    buf_reset(&literal);
    buf_reset(&ours);
}

static void every_field_goes_there_and_back(void **state)
{
    (void)state;
    struct ring_version versions[] = {{RING_VERSION_EXACT, 1}, {0, 7}};
    struct ring_instance in = member("b", -5, 7, TOKENS(9, 3, 3)); /* kept as it is */
    in.zone = STR("zone-a");
    in.registered_s = 12;
    in.read_only = true;
    in.read_only_since_s = 13;
    in.versions = versions;
    in.version_count = 2;
    struct ring_desc *d = desc_of(in), *back = NULL;
    put(d, member("a", 0, RING_LEFT, NULL, 0));
    struct buf out = {0}, again = {0};
    ring_desc_encode(d, &out);
    assert_int_equal(ring_desc_decode(&back, buf_view(&out), NULL), 0);
    assert_int_equal(ring_desc_count(back), 2);
    const struct ring_instance *b = get(back, "b");
    assert_int_equal(b->timestamp_s, -5);
    assert_int_equal(b->state, 7);
    assert_string_equal(ring_state_name(b->state), "UNKNOWN");
    assert_true(str_eq(b->zone, STR("zone-a")));
    assert_int_equal(b->token_count, 3);
    assert_int_equal(b->tokens[0], 9);
    assert_true(b->read_only);
    assert_int_equal(ring_instance_version(b, RING_VERSION_EXACT), 1);
    assert_int_equal(ring_instance_version(b, 5), 0);
    ring_desc_encode(back, &again);
    assert_true(str_eq(buf_view(&out), buf_view(&again)));
    ring_desc_free(&d);
    ring_desc_free(&back);
    buf_reset(&out);
    buf_reset(&again);
}

static int decode_rc(const char *hex)
{
    struct buf b = unhex(hex);
    struct ring_desc *d = NULL;
    struct err err = {0};
    int rc = ring_desc_decode(&d, buf_view(&b), &err);
    assert_int_equal(rc, err.code);
    ring_desc_free(&d);
    buf_reset(&b);
    return rc;
}

static void other_writers_spellings_are_read_and_broken_ones_refused(void **state)
{
    (void)state;
    /* Two entries of one key: the last counts. Tokens not packed; unknown fields. */
    struct buf b = unhex("0a070a01781202180112000a0b0a01781206300130021802");
    struct ring_desc *d = NULL;
    assert_int_equal(ring_desc_decode(&d, buf_view(&b), NULL), 0);
    assert_int_equal(ring_desc_count(d), 1);
    assert_int_equal(get(d, "x")->token_count, 2);
    assert_int_equal(get(d, "x")->state, RING_PENDING);
    assert_true(str_eq(get(d, "x")->id, STR("x"))); /* field 9 was missing */
    ring_desc_free(&d);
    buf_reset(&b);
    assert_int_equal(decode_rc(""), 0);
    assert_int_equal(decode_rc("0a020a"), ERR_PARSE);       /* cut off */
    assert_int_equal(decode_rc("0801"), ERR_PARSE);         /* a number where entries stand */
    assert_int_equal(decode_rc("0a0412020a80"), ERR_PARSE); /* a text cut off */
    assert_int_equal(decode_rc("0a0412020801"), ERR_PARSE); /* addr as a number */
    assert_int_equal(decode_rc("0a030a01ff"), ERR_PARSE);   /* not UTF-8 */
    assert_int_equal(decode_rc("0a061204320280ff"), ERR_PARSE); /* a token without end */
}

static void the_newer_entry_wins_and_gone_wins_a_tie(void **state)
{
    (void)state;
    struct ring_desc *d = desc_of(member("a", 10, RING_ACTIVE, TOKENS(1)));
    assert_int_equal(merge(&d, desc_of(member("a", 9, RING_LEAVING, NULL, 0)), false, 0), 0);
    assert_int_equal(merge(&d, desc_of(member("a", 10, RING_LEAVING, NULL, 0)), false, 0), 0);
    assert_int_equal(get(d, "a")->state, RING_ACTIVE);
    assert_int_equal(merge(&d, desc_of(member("a", 11, RING_LEAVING, TOKENS(1))), false, 0), 1);
    assert_int_equal(get(d, "a")->state, RING_LEAVING);
    assert_int_equal(merge(&d, desc_of(member("a", 11, RING_LEFT, TOKENS(1))), false, 0), 1);
    assert_int_equal(get(d, "a")->state, RING_LEFT);
    assert_int_equal(get(d, "a")->token_count, 0);
    assert_int_equal(merge(&d, desc_of(member("a", 11, RING_LEFT, NULL, 0)), false, 0), 0);
    /* Timestamp 0 of one we do not know is no news, but for a tombstone. */
    assert_int_equal(merge(&d, desc_of(member("b", 0, RING_ACTIVE, NULL, 0)), false, 0), 0);
    assert_int_equal(merge(&d, desc_of(member("b", 0, RING_LEFT, NULL, 0)), false, 0), 1);
    ring_desc_free(&d);
}

static void a_local_edit_buries_who_is_missing(void **state)
{
    (void)state;
    struct ring_desc *d = desc_of(member("a", 10, RING_ACTIVE, TOKENS(1)));
    put(d, member("b", 20, RING_ACTIVE, TOKENS(2)));
    put(d, member("c", 5, RING_LEFT, NULL, 0));
    struct ring_desc *change = NULL;
    struct ring_desc *mine = desc_of(member("a", 30, RING_ACTIVE, TOKENS(1)));
    assert_int_equal(ring_desc_merge(&d, mine, true, 31, &change), 0);
    assert_int_equal(ring_desc_count(change), 2);
    assert_int_equal(get(change, "b")->state, RING_LEFT);
    assert_int_equal(get(change, "b")->timestamp_s, 31);
    assert_int_equal(get(d, "b")->token_count, 0);
    assert_int_equal(get(d, "c")->timestamp_s, 5);
    ring_desc_free(&change);
    ring_desc_free(&mine);
    assert_int_equal(ring_desc_remove_tombstones(d, 31), 1);
    assert_null(get(d, "c"));
    assert_int_equal(ring_desc_remove_tombstones(d, 0), 0);
    assert_int_equal(ring_desc_count(d), 1);
    ring_desc_free(&d);
}

static void a_tombstone_is_no_older_than_what_it_buries(void **state)
{
    (void)state;
    /* b's clock is ahead of ours: others hold its entry of second 40 while it is 31 here. */
    struct ring_desc *d = desc_of(member("b", 40, RING_ACTIVE, TOKENS(2))), *other = NULL;
    assert_int_equal(ring_desc_clone(&other, d), 0);
    struct ring_desc *change = NULL, *mine = NULL;
    assert_int_equal(ring_desc_init(&mine), 0);
    assert_int_equal(ring_desc_merge(&d, mine, true, 31, &change), 0);
    assert_int_equal(get(d, "b")->timestamp_s, 40);
    assert_int_equal(merge(&other, change, false, 31), 1);
    assert_int_equal(get(other, "b")->state, RING_LEFT);
    ring_desc_free(&mine);
    ring_desc_free(&other);
    ring_desc_free(&d);
}

static void shared_tokens_go_to_one_member(void **state)
{
    (void)state;
    struct ring_desc *d = desc_of(member("b", 10, RING_ACTIVE, TOKENS(5, 6, 7)));
    put(d, member("z", 10, RING_LEAVING, TOKENS(8)));
    struct ring_desc *change = NULL;
    struct ring_desc *news = desc_of(member("a", 10, RING_ACTIVE, TOKENS(7, 5, 5)));
    put(news, member("c", 10, RING_ACTIVE, TOKENS(6, 8, 9)));
    assert_int_equal(ring_desc_merge(&d, news, false, 0, &change), 0);
    assert_int_equal(get(d, "a")->token_count, 2); /* the lower id has 5 and 7 */
    assert_int_equal(get(d, "b")->token_count, 1); /* and b keeps 6 */
    assert_int_equal(get(d, "b")->tokens[0], 6);
    assert_int_equal(get(d, "c")->token_count, 2); /* 8 of the leaving one, and 9 */
    assert_int_equal(get(d, "c")->tokens[0], 8);
    assert_int_equal(get(d, "z")->token_count, 0);
    /* The change shows what its members kept, and not who lost. */
    assert_int_equal(ring_desc_count(change), 2);
    assert_int_equal(get(change, "c")->token_count, 2);
    assert_null(get(change, "b"));
    ring_desc_free(&change);
    ring_desc_free(&news);
    ring_desc_free(&d);
}

static void the_first_value_is_taken_as_it_is(void **state)
{
    (void)state;
    struct ring_desc *d = NULL;
    assert_int_equal(merge(&d, desc_of(member("a", 0, RING_ACTIVE, TOKENS(9, 1))), false, 0),
                     1);
    assert_int_equal(get(d, "a")->tokens[0], 9);
    ring_desc_free(&d);
}

/* A random ring of members a..f; versions of one member differ by timestamp only now and then. */
static struct ring_desc *random_desc(struct rng *rng)
{
    struct ring_desc *d = NULL;
    assert_int_equal(ring_desc_init(&d), 0);
    for (int i = 0; i < 6; i++) {
        if (rng_chance(rng, 1, 3))
            continue;
        char id[2] = {(char)('a' + i), '\0'};
        /* What a member says at a time is the same wherever it is heard. */
        int64_t t = 1 + (int64_t)rng_below(rng, 4);
        struct rng own;
        rng_seed(&own, (uint64_t)(i * 100 + t));
        uint32_t tokens[4];
        for (int k = 0; k < 4; k++)
            tokens[k] = rng_u32(&own) % 16;
        put(d, member(id, t, (int32_t)rng_below(&own, 5), tokens, 4));
    }
    return d;
}

static void encoded(const struct ring_desc *d, struct buf *out)
{
    buf_clear(out);
    if (d != NULL)
        ring_desc_encode(d, out);
}

static void merges_agree_in_any_order_and_twice(void **state)
{
    (void)state;
    struct buf one = {0}, two = {0};
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct ring_desc *news[3], *x = NULL, *y = NULL;
        for (int i = 0; i < 3; i++)
            news[i] = random_desc(&rng);
        assert_int_equal(ring_desc_init(&x), 0);
        assert_int_equal(ring_desc_init(&y), 0);
        for (int i = 0; i < 3; i++) {
            struct ring_desc *c = NULL;
            assert_int_equal(ring_desc_merge(&x, news[i], false, 0, &c), 0);
            ring_desc_free(&c);
            assert_int_equal(ring_desc_merge(&y, news[2 - i], false, 0, &c), 0);
            ring_desc_free(&c);
        }
        /* Who wins an entry never depends on the order; tokens lost to an entry that was
         * replaced later may (dskit has that too), so compare all but them. */
        assert_int_equal(ring_desc_count(x), ring_desc_count(y));
        for (size_t i = 0; i < ring_desc_count(x); i++) {
            assert_true(str_eq(ring_desc_at(x, i)->id, ring_desc_at(y, i)->id));
            assert_int_equal(ring_desc_at(x, i)->timestamp_s, ring_desc_at(y, i)->timestamp_s);
            assert_int_equal(ring_desc_at(x, i)->state, ring_desc_at(y, i)->state);
        }
        encoded(x, &one);
        for (int i = 0; i < 3; i++) {
            struct ring_desc *c = NULL;
            assert_int_equal(ring_desc_merge(&x, news[i], false, 0, &c), 0);
            assert_null(c); /* nothing of it is news any more */
        }
        encoded(x, &two);
        assert_true(str_eq(buf_view(&one), buf_view(&two)));
        for (int i = 0; i < 3; i++)
            ring_desc_free(&news[i]);
        ring_desc_free(&x);
        ring_desc_free(&y);
    }
    buf_reset(&one);
    buf_reset(&two);
}

/* News of members of `of`: most only with another time or state, some with more changed. */
static struct ring_desc *heartbeats(struct rng *r, const struct ring_desc *of)
{
    struct ring_desc *d = NULL;
    assert_int_equal(ring_desc_init(&d), 0);
    for (size_t i = 0; i < ring_desc_count(of); i++) {
        struct ring_instance in = *ring_desc_at(of, i);
        in.timestamp_s += (int64_t)rng_below(r, 4) - 1;
        in.state = rng_chance(r, 1, 3) ? (int32_t)rng_below(r, 5) : in.state;
        in.registered_s = (int64_t)rng_below(r, 3);
        in.addr = rng_chance(r, 1, 20) ? STR("elsewhere") : in.addr;
        in.token_count = rng_chance(r, 1, 20) ? 0 : in.token_count;
        if (rng_chance(r, 2, 3))
            put(d, in);
    }
    return d;
}

static void a_refresh_takes_no_memory_and_is_a_merge(void **state)
{
    (void)state;
    struct buf one = {0}, two = {0};
    unsigned refreshed = 0, left_alone = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct ring_desc *random = random_desc(&rng), *x = NULL, *y = NULL, *change = NULL;
        struct ring_desc *before = NULL;
        assert_int_equal(ring_desc_init(&x), 0);
        assert_int_equal(ring_desc_merge(&x, random, false, 0, &change), 0); /* in order */
        ring_desc_free(&change);
        assert_int_equal(ring_desc_clone(&y, x), 0);
        assert_int_equal(ring_desc_clone(&before, x), 0);
        struct ring_desc *news = heartbeats(&rng, x);
        assert_int_equal(ring_desc_merge(&y, news, false, 0, &change), 0);
        mem_fail_at(1);
        bool done = ring_desc_refresh(x, news);
        assert_true(mem_fail_pending());
        mem_fail_at(0);
        if (done) {
            refreshed++;
            assert_int_equal(ring_desc_count(news),
                             change == NULL ? 0 : ring_desc_count(change));
            if (change != NULL) {
                encoded(change, &one);
                encoded(news, &two);
                assert_true(str_eq(buf_view(&one), buf_view(&two)));
            }
            encoded(y, &one);
        } else {
            left_alone++;
            encoded(before, &one);
        }
        ring_desc_free(&random);
        ring_desc_free(&change);
        encoded(x, &two);
        assert_true(str_eq(buf_view(&one), buf_view(&two)));
        ring_desc_free(&before);
        ring_desc_free(&news);
        ring_desc_free(&x);
        ring_desc_free(&y);
    }
    assert_true(refreshed > 300 && left_alone > 300);
    buf_reset(&one);
    buf_reset(&two);
}

static void liveness_survives_any_timestamp(void **state)
{
    (void)state;
    struct ring_instance in = {.timestamp_s = 100};
    assert_true(ring_instance_is_alive(&in, 60000, 160000));
    assert_false(ring_instance_is_alive(&in, 60000, 160001));
    assert_true(ring_instance_is_alive(&in, 0, 100000));
    assert_false(ring_instance_is_alive(&in, 0, 100001)); /* 0 does not mean for ever */
    in.timestamp_s = INT64_MAX;
    assert_true(ring_instance_is_alive(&in, 60000, 160000));
    in.timestamp_s = INT64_MIN;
    assert_false(ring_instance_is_alive(&in, 60000, 160000));
}

static void a_ring_does_not_grow_without_end(void **state)
{
    (void)state;
    enum { PIECE = RING_MEMORY_MAX / 4 };
    struct ring_desc *d = desc_of(member("a", 10, RING_ACTIVE, NULL, 0)), *change = NULL;
    struct buf text = {0};
    uint8_t *room = buf_reserve(&text, PIECE);
    assert_non_null(room);
    memset(room, 'x', PIECE);
    text.size = PIECE;
    for (int i = 0; i < 4; i++) {
        struct ring_instance big = member((const char *[]){"b", "c", "d", "e"}[i], 10, RING_ACTIVE,
                                          NULL, 0);
        big.addr = buf_view(&text);
        struct ring_desc *news = desc_of(big);
        int rc = ring_desc_merge(&d, news, false, 10, &change);
        assert_int_equal(rc, i < 3 ? 0 : ERR_LIMIT);
        ring_desc_free(&change);
        ring_desc_free(&news);
    }
    assert_null(get(d, "e"));
    assert_true(ring_desc_size(d) > 3 * PIECE && ring_desc_size(d) <= RING_MEMORY_MAX);
    assert_int_equal(merge(&d, desc_of(member("b", 11, RING_LEFT, NULL, 0)), false, 11), 1);
    assert_true(ring_desc_size(d) < 3 * PIECE);
    struct ring_instance own = member("e", 11, RING_ACTIVE, NULL, 0);
    own.addr = buf_view(&text);
    assert_int_equal(merge(&d, desc_of(own), false, 11), 1);
    ring_desc_free(&d);
    buf_reset(&text);
}

static void tokens_that_are_gone_take_no_memory(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    static uint32_t same[MANY], rising[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        same[i] = 7;
        rising[i] = i + 100;
    }
    struct ring_desc *d = desc_of(member("0", 10, RING_ACTIVE, NULL, 0));
    struct ring_instance left = member("left", 10, RING_LEFT, rising, MANY);
    assert_int_equal(merge(&d, desc_of(left), false, 10), 1);
    assert_null(get(d, "left")->tokens);
    assert_int_equal(merge(&d, desc_of(member("same", 10, RING_ACTIVE, same, MANY)), false, 10), 1);
    assert_true(malloc_usable_size(get(d, "same")->tokens) < 100);
    assert_int_equal(merge(&d, desc_of(member("z", 10, RING_ACTIVE, rising, MANY)), false, 10), 1);
    assert_int_equal(merge(&d, desc_of(member("a", 10, RING_ACTIVE, rising, MANY)), false, 10), 1);
    assert_int_equal(get(d, "a")->token_count, MANY);
    assert_null(get(d, "z")->tokens);
    ring_desc_free(&d);
}

static void out_of_memory_leaves_the_ring_as_it_was(void **state)
{
    (void)state;
    struct buf bytes = unhex(vector), before = {0}, after = {0};
    for (uint64_t n = 1;; n++) {
        struct ring_desc *d = desc_of(member("b", 10, RING_ACTIVE, TOKENS(1, 300)));
        struct ring_desc *news = NULL, *change = NULL;
        encoded(d, &before);
        mem_fail_at(n);
        int rc = ring_desc_decode(&news, buf_view(&bytes), NULL);
        if (rc == 0)
            rc = ring_desc_merge(&d, news, true, 20, &change);
        int pending = mem_fail_pending();
        mem_fail_at(0);
        encoded(d, &after);
        assert_int_equal(rc == 0, !str_eq(buf_view(&before), buf_view(&after)));
        ring_desc_free(&d);
        ring_desc_free(&news);
        ring_desc_free(&change);
        if (pending) {
            assert_int_equal(rc, 0);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    buf_reset(&bytes);
    buf_reset(&before);
    buf_reset(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_of_a_go_member),
        cmocka_unit_test(the_codec_takes_any_snappy_block_and_nothing),
        cmocka_unit_test(every_field_goes_there_and_back),
        cmocka_unit_test(other_writers_spellings_are_read_and_broken_ones_refused),
        cmocka_unit_test(the_newer_entry_wins_and_gone_wins_a_tie),
        cmocka_unit_test(a_local_edit_buries_who_is_missing),
        cmocka_unit_test(a_tombstone_is_no_older_than_what_it_buries),
        cmocka_unit_test(shared_tokens_go_to_one_member),
        cmocka_unit_test(the_first_value_is_taken_as_it_is),
        cmocka_unit_test(merges_agree_in_any_order_and_twice),
        cmocka_unit_test(a_refresh_takes_no_memory_and_is_a_merge),
        cmocka_unit_test(liveness_survives_any_timestamp),
        cmocka_unit_test(a_ring_does_not_grow_without_end),
        cmocka_unit_test(tokens_that_are_gone_take_no_memory),
        cmocka_unit_test(out_of_memory_leaves_the_ring_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
