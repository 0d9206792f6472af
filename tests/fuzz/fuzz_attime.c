/* Any text is a time. */
#include "profile/attime.h"

#include "base/assert.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of(data, size);
    int64_t ns = attime_parse(text, INT64_C(1700000000000000000));
    int64_t ms = attime_parse_ms(text, INT64_C(1700000000000));
    ASSERT(ms == ns / 1000000 - (ns % 1000000 < 0 ? 1 : 0));
    return 0;
}
