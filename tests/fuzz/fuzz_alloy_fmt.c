/* A text laid out says the same, and laying it out again changes nothing. */
#include <stddef.h>
#include <stdint.h>

#include "alloy/format.h"
#include "base/assert.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct alloy_file *parse(struct str text, struct arena *a)
{
    struct alloy_text t = {STR("f"), text};
    struct alloy_diags d = {0};
    struct alloy_file *f = NULL;
    (void)alloy_parse(&f, &t, a, &d);
    struct buf printed = {0};
    alloy_diags_print(&d, &t, 1, &printed);
    alloy_diags_summary(&d, &printed);
    buf_reset(&printed);
    alloy_diags_reset(&d);
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = NULL;
    struct buf once = {0}, twice = {0};
    struct alloy_diags d = {0};
    struct alloy_text t = {STR("f"), str_of(data, size)};
    if (size > 1 << 16 || arena_init(&a, 0, NULL) != 0)
        return 0;
    struct alloy_file *before = parse(t.text, a);
    int rc = alloy_format(&t, &d, &once);
    ASSERT((rc == 0) == (before != NULL));
    if (rc == 0) {
        struct alloy_file *after = parse(buf_view(&once), a);
        ASSERT(after != NULL);
        ASSERT(alloy_ast_equal(before->body, after->body));
        t.text = buf_view(&once);
        ASSERT(alloy_format(&t, &d, &twice) == 0);
        ASSERT(str_eq(buf_view(&once), buf_view(&twice)));
    }
    alloy_diags_reset(&d);
    buf_reset(&once);
    buf_reset(&twice);
    arena_free(&a);
    return 0;
}
