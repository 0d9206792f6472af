/* A configuration loaded with the tables of real components: never a crash or a leak, bounded
 * in time and memory, and diagnostics that can be printed. */
#include <stddef.h>
#include <stdint.h>

#include "../unit/alloy/example.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alloy_host host = ex_host();
    struct alloy_text t = {STR("fuzz.alloy"), str_of(data, size)};
    struct alloy_diags d = {0};
    struct alloy_graph *g = NULL;
    struct buf printed = {0};
    if (size > 1 << 16)
        return 0;
    int rc = alloy_load(&g, &t, 1, &host, &d);
    ASSERT((rc == 0) == (g != NULL));
    ASSERT(rc == 0 || d.errors > 0);
    for (size_t i = 0; g != NULL && i < alloy_graph_count(g); i++) {
        const struct alloy_node *n = alloy_graph_node(g, i);
        ASSERT(n->index == i && n->args != NULL);
        ASSERT(alloy_graph_find(g, str_c(n->id)) == n);
        for (size_t k = 0; k < n->need_count; k++)
            ASSERT(n->needs[k]->index < i);
        alloy_graph_print(g, n, &printed);
        struct alloy_value v = alloy_value_string(STR("x"));
        if (n->type->exports == ex_file_exports)
            (void)alloy_graph_export(g, n, "content", &v, &d);
    }
    alloy_diags_print(&d, &t, 1, &printed);
    alloy_diags_print_short(&d, &printed);
    ASSERT(printed.error == 0);
    buf_reset(&printed);
    alloy_diags_reset(&d);
    alloy_graph_free(&g);
    return 0;
}
