/* profile/multipart.h - reads multipart/form-data (RFC 7578, RFC 2046) that is in memory as a
 * whole.
 *
 * Parts borrow from the body. No length is believed, parts and headers are bounded. Transfer
 * encodings are not decoded, nested multiparts not opened.
 * Pure; any thread. Tests: tests/unit/profile/test_multipart.c; fuzz:
 * tests/fuzz/fuzz_multipart.c. */
#ifndef PROFILE_MULTIPART_H
#define PROFILE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum {
    MULTIPART_PARTS_MAX = 32,
    MULTIPART_HEADER_BYTES_MAX = 8192, /* of one part */
    MULTIPART_BOUNDARY_MAX = 70,
};

struct multipart_part {
    struct str name, file_name, body;
    bool has_file_name; /* a file, even when its name is empty */
};

struct multipart {
    struct multipart_part parts[MULTIPART_PARTS_MAX];
    size_t count;
};

/* The boundary of a Content-Type value, quoted or not. ERR_PARSE without a good one. */
int multipart_boundary(struct str content_type, struct str *boundary, struct err *err);

/* Divide `body`. ERR_PARSE (with the offset) when a delimiter, header or the end is missing,
 * ERR_LIMIT for more parts or longer headers than the bounds. */
int multipart_parse(struct multipart *out, struct str body, struct str boundary,
                    struct err *err);

/* The first file of that name, or NULL. Plain fields (without a file name) are not files. */
const struct multipart_part *multipart_file(const struct multipart *m, struct str name);

#endif
