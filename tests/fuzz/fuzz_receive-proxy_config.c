/* A configuration of the receive-proxy's own components, from any bytes: checked, with both sets of
 * defaults, and formatted; what loads must load again as it was formatted. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "alloy/format.h"
#include "pipeline_run.h"

static int check(struct str text, bool alloy)
{
    struct alloy_text source = {STR("fuzz.alloy"), text};
    struct alloy_diags diags = {0};
    struct buf out = {0};
    int rc = pipeline_check(&source, 1, alloy, &diags);
    alloy_diags_print(&diags, &source, 1, &out);
    if (rc == ERR_PARSE && diags.errors == 0)
        abort();
    alloy_diags_reset(&diags);
    buf_reset(&out);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alloy_text source = {STR("fuzz.alloy"), str_of(data, size)};
    struct alloy_diags diags = {0};
    struct buf out = {0};
    int ours = check(source.text, false);
    (void)check(source.text, true);
    if (ours == 0 && alloy_format(&source, &diags, &out) == 0 &&
        check(buf_view(&out), false) == ERR_PARSE)
        abort();
    alloy_diags_reset(&diags);
    buf_reset(&out);
    return 0;
}
