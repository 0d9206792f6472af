/* Any bytes as a multipart form: the first line is the Content-Type. Parts lie in the body, in
 * order. */
#include <stdlib.h>

#include "profile/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_of(data, size), type, boundary;
    struct multipart m;
    if (size == 0 || !str_cut(&body, '\n', &type) ||
        multipart_boundary(type, &boundary, NULL) != 0)
        return 0;
    if (multipart_parse(&m, body, boundary, NULL) != 0)
        return 0;
    const char *last = body.data;
    for (size_t i = 0; i < m.count; i++) {
        if (m.parts[i].name.data == NULL)
            abort();
        if (m.parts[i].body.len == 0)
            continue;
        if (m.parts[i].body.data < last ||
            m.parts[i].body.data + m.parts[i].body.len > body.data + body.len)
            abort();
        last = m.parts[i].body.data + m.parts[i].body.len;
    }
    return 0;
}
