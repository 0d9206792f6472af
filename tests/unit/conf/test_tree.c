/* YAML becomes a tree with positions; what libyaml lets through is refused here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/tree.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static struct arena *arena;
static struct err err;

static int parse(struct str text, const struct tree_node **root)
{
    memset(&err, 0, sizeof err);
    *root = NULL;
    return tree_parse(root, text, "y", arena, &err);
}

static void expect_error(const char *text, const char *want)
{
    const struct tree_node *root;
    int rc = parse(str_c(text), &root);
    assert_int_not_equal(rc, 0);
    assert_string_equal(err.msg, want);
}

static void nodes_know_their_place_and_order(void **state)
{
    (void)state;
    const struct tree_node *root;
    assert_int_equal(parse(STR("a: 1\nb:\n  - x\n  - 'y'\n"), &root), 0);
    assert_int_equal(root->kind, TREE_MAP);
    assert_int_equal(root->count, 4);
    const struct tree_node *b = root->first->next->next;
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 1);
    assert_int_equal(b->next->kind, TREE_SEQ);
    assert_int_equal(b->next->first->line, 3);
    assert_int_equal(b->next->first->column, 5);
    assert_false(b->next->first->quoted);
    assert_true(b->next->last->quoted);
    assert_string_equal(b->next->last->text.data, "y");
}

static void aliases_and_merges_are_resolved(void **state)
{
    (void)state;
    const struct tree_node *root;
    assert_int_equal(
        parse(STR("d: &d {x: 1, y: 2}\ne:\n  <<: *d\n  x: 3\nf: {<<: [*d, {z: 4, x: 9}]}\n"),
              &root),
        0);
    const struct tree_node *e = root->first->next->next->next;
    assert_int_equal(e->count, 4); /* x: 3 of its own, y: 2 of the merge */
    assert_string_equal(e->first->next->text.data, "3");
    assert_string_equal(e->last->text.data, "2");
    const struct tree_node *f = root->last;
    assert_int_equal(f->count, 6);
    assert_string_equal(f->first->next->text.data, "1");
    assert_string_equal(f->last->text.data, "4");
}

static void nulls_are_plain_only(void **state)
{
    (void)state;
    const struct tree_node *root;
    assert_int_equal(parse(STR("[~, null, , 'null', x]"), &root), ERR_PARSE);
    assert_int_equal(parse(STR("[~, null, NULL, 'null', x]"), &root), 0);
    const struct tree_node *n = root->first;
    for (int i = 0; i < 3; i++, n = n->next)
        assert_true(tree_is_null(n));
    assert_false(tree_is_null(n));
    assert_false(tree_is_null(n->next));
    assert_int_equal(parse(STR(""), &root), 0);
    assert_null(root);
}

static void broken_texts_say_where(void **state)
{
    (void)state;
    expect_error("a: b: c\n", "y:1:5: mapping values are not allowed in this context");
    expect_error("a: 1\na: 2\n", "y:2:1: key a stands twice, first in line 1");
    expect_error("x: *nope\n", "y:1:4: unknown alias *nope");
    expect_error("x: &a [*a]\n", "y:1:8: the alias is inside its own anchor: *a");
    expect_error("? [a]\n: b\n", "y:1:3: a key must be a plain text");
    expect_error("a: 1\n---\nb: 2\n", "y:2:1: a second document");
    expect_error("a: !!binary aGk=\n", "y:1:4: unknown tag tag:yaml.org,2002:binary");
    expect_error("a: !own {}\n", "y:1:4: unknown tag !own");
    expect_error("a: \"\\0\"\n", "y:1:4: a NUL byte in a text");
    expect_error("<<: 5\n", "y:1:5: << wants a mapping");
    expect_error("<<: [5]\n", "y:1:6: << wants mappings");
    expect_error("a:\n\t- b\n", "y:2:1: found character that cannot start any token");
    expect_error("a: \x01\n", "y: byte 3: control characters are not allowed");
}

static void depth_and_size_have_an_end(void **state)
{
    (void)state;
    const struct tree_node *root;
    struct buf b = {0};
    for (int i = 0; i < 20000; i++)
        buf_u8(&b, '[');
    assert_int_equal(parse(buf_view(&b), &root), ERR_LIMIT);
    assert_string_equal(err.msg, "y:1:65: nested too deeply");
    buf_clear(&b);
    for (int i = 0; i < TREE_NODES_MAX; i++)
        buf_c(&b, "- a\n");
    assert_int_equal(parse(buf_view(&b), &root), ERR_LIMIT);
    assert_string_equal(err.msg, "y:10000:3: too many nodes");
    buf_clear(&b);
    /* A thousand laughs: each level ten times the one before; shared, so still small. */
    buf_c(&b, "a0: &a0 [x]\n");
    for (int i = 1; i < 40; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&b, "*a%d%s", i - 1, k == 9 ? "]\n" : ", ");
    }
    assert_int_equal(parse(buf_view(&b), &root), 0);
    buf_clear(&b);
    for (int i = 0; i < 300; i++)
        buf_printf(&b, "- &a%d x\n", i);
    assert_int_equal(parse(buf_view(&b), &root), ERR_LIMIT);
    assert_string_equal(err.msg, "y:257:3: too many anchors");
    buf_reset(&b);
}

static int make_arena(void **state)
{
    (void)state;
    return arena_init(&arena, 0, NULL);
}

static int free_arena(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_place_and_order),
        cmocka_unit_test(aliases_and_merges_are_resolved),
        cmocka_unit_test(nulls_are_plain_only),
        cmocka_unit_test(broken_texts_say_where),
        cmocka_unit_test(depth_and_size_have_an_end),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
