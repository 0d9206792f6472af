/* Tokens are unique, kept in a file that survives a crash, and the token of a write is fixed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ring/token.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ring/desc.h"
#include "ring/token_run.h"
#include "wire/hash.h"

static void new_tokens_are_sorted_and_nobodys(void **state)
{
    (void)state;
    struct rng rng;
    struct ring_desc *taken = NULL;
    struct ring_tokens t = {0}, other = {0};
    rng_seed(&rng, 1);
    assert_int_equal(ring_tokens_add(&other, 5000, NULL, &rng), 0);
    assert_int_equal(ring_desc_init(&taken), 0);
    struct ring_instance in = {.id = STR("x"), .tokens = other.all, .token_count = other.count};
    assert_int_equal(ring_desc_put(taken, &in), 0);
    rng_seed(&rng, 1); /* the same draws: all of them are taken */
    assert_int_equal(ring_tokens_add(&t, 100, taken, &rng), 0);
    assert_int_equal(ring_tokens_add(&t, 28, taken, &rng), 0);
    assert_int_equal(t.count, 128);
    for (uint32_t i = 0; i < t.count; i++) {
        assert_true(i == 0 || t.all[i - 1] < t.all[i]);
        for (uint32_t k = 0; k < other.count; k++)
            assert_true(t.all[i] != other.all[k]);
    }
    ring_tokens_shrink(&t, 4, &rng);
    assert_int_equal(t.count, 4);
    assert_true(t.all[0] < t.all[1] && t.all[1] < t.all[2] && t.all[2] < t.all[3]);
    assert_int_equal(ring_tokens_add(&t, UINT32_MAX, NULL, &rng), ERR_LIMIT);
    ring_tokens_reset(&t);
    ring_tokens_reset(&other);
    ring_desc_free(&taken);
}

static void the_files_format_is_the_peers(void **state)
{
    (void)state;
    struct ring_tokens t = {0};
    struct buf b = {0};
    assert_int_equal(
        ring_tokens_from_json(&t, STR(" { \"tokens\" : [ 7,\n4294967295 , 0, 7] }\n"), NULL),
        0);
    assert_int_equal(t.count, 3);
    ring_tokens_to_json(&t, &b);
    assert_true(str_eq(buf_view(&b), STR("{\"tokens\":[0,7,4294967295]}")));
    buf_reset(&b);
    ring_tokens_reset(&t);
    assert_int_equal(ring_tokens_from_json(&t, STR("{\"tokens\":null}"), NULL), 0);
    assert_int_equal(ring_tokens_from_json(&t, STR("{\"tokens\":[]}"), NULL), 0);
    assert_int_equal(t.count, 0);
    ring_tokens_to_json(&t, &b);
    assert_true(str_eq(buf_view(&b), STR("{\"tokens\":[]}")));
    buf_reset(&b);
    static const char *const bad[] = {"",
                                      "{}",
                                      "[1]",
                                      "{\"tokens\":[1,]}",
                                      "{\"tokens\":[,1]}",
                                      "{\"tokens\":[-1]}",
                                      "{\"tokens\":[4294967296]}",
                                      "{\"tokens\":[1]",
                                      "{\"tokens\":[1]}x",
                                      "{\"tokens\":[1 2]}",
                                      "{\"tokens\":\"1\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ring_tokens_from_json(&t, str_c(bad[i]), NULL), ERR_PARSE);
    assert_null(t.all);
    struct err err = {0};
    assert_int_equal(ring_tokens_from_json(&t, STR("{\"tokens\":[1;2]}"), &err), ERR_PARSE);
    assert_string_equal(err.msg, "tokens: byte 12: cannot be parsed");
}

static void a_saved_file_loads_again(void **state)
{
    (void)state;
    char folder[] = "/tmp/tokens-XXXXXX", path[64], tmp[64];
    struct ring_tokens t = {0}, back = {0};
    struct rng rng;
    struct err err = {0};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/tokens", folder);
    (void)snprintf(tmp, sizeof tmp, "%s/tokens.tmp", folder);
    assert_int_equal(ring_tokens_load(&back, path, &err), ERR_NOENT);
    rng_seed(&rng, 2);
    assert_int_equal(ring_tokens_add(&t, 128, NULL, &rng), 0);
    assert_int_equal(ring_tokens_save(&t, path, &err), 0);
    assert_int_equal(ring_tokens_save(&t, path, &err), 0); /* over itself */
    assert_int_not_equal(access(tmp, F_OK), 0);
    assert_int_equal(ring_tokens_load(&back, path, &err), 0);
    assert_int_equal(back.count, 128);
    assert_memory_equal(back.all, t.all, 128 * sizeof *t.all);
    ring_tokens_reset(&back);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "{", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(ring_tokens_load(&back, path, &err), ERR_PARSE);
    assert_true(str_starts_with(str_c(err.msg), str_c(path)));
    assert_int_equal(ring_tokens_load(&back, folder, &err), ERR_IO);
    assert_int_equal(ring_tokens_save(&t, "/nonexistent/tokens", &err), ERR_NOENT);
    ring_tokens_reset(&t);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void the_token_of_a_write_never_changes(void **state)
{
    (void)state;
    /* Pyroscope's own: tenant and labels without separator. */
    uint32_t h = hash_fnv1_32(FNV1_32_START, STR("anonymous"));
    h = hash_fnv1_32(h, STR("{__name__=\"process_cpu\", service_name=\"svc\"}"));
    assert_true(h == 1144597414u);
    /* Ours: FNV-1 of "anonymous" NUL "svc", computed step by step. */
    uint32_t want = 2166136261u;
    for (const char *p = "anonymous\0svc", *end = p + 13; p < end; p++)
        want = (uint32_t)(want * 16777619u) ^ (uint8_t)*p;
    assert_true(ring_token_of(STR("anonymous"), STR("svc")) == want);
    assert_true(ring_token_of(STR("a"), STR("bc")) != ring_token_of(STR("ab"), STR("c")));
}

static void out_of_memory_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ring_tokens t = {0};
        struct rng rng;
        rng_seed(&rng, 3);
        mem_fail_at(n);
        int rc = ring_tokens_from_json(&t, STR("{\"tokens\":[1,2]}"), NULL);
        if (rc == 0) {
            rc = ring_tokens_add(&t, 5, NULL, &rng);
            assert_int_equal(t.count, rc == 0 ? 7 : 2);
        }
        int pending = mem_fail_pending();
        mem_fail_at(0);
        ring_tokens_reset(&t);
        if (pending)
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_tokens_are_sorted_and_nobodys),
        cmocka_unit_test(the_files_format_is_the_peers),
        cmocka_unit_test(a_saved_file_loads_again),
        cmocka_unit_test(the_token_of_a_write_never_changes),
        cmocka_unit_test(out_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
