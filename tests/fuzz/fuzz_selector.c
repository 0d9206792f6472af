/* A selector that parses prints to a text that parses to the same; nothing crashes. */
#include "profile/selector.h"

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str look(const void *arg, struct str name)
{
    return name.len % 2 == 0 ? name : *(const struct str *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct selector *s = NULL, *again = NULL;
    struct buf first = {0}, second = {0};
    struct str text = str_of(data, size);
    if (selector_parse(&s, text, NULL) != 0)
        return 0;
    selector_print(s, &first);
    int rc = selector_parse(&again, buf_view(&first), NULL);
    /* Escapes make a text longer: only the limit may refuse it. */
    ASSERT(rc == 0 || first.size > SELECTOR_BYTES_MAX);
    if (rc == 0) {
        selector_print(again, &second);
        ASSERT(str_eq(buf_view(&first), buf_view(&second)));
        ASSERT(selector_matches(s, look, &text) == selector_matches(again, look, &text));
    }
    selector_free(&s);
    selector_free(&again);
    buf_reset(&first);
    buf_reset(&second);
    return 0;
}
