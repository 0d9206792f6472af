/* Delimiters are looked for with memmem, so a body costs one pass whatever is in it. */
#include "profile/multipart.h"

#include <string.h>

struct at {
    struct str body;
    size_t pos;
};

/* Where `needle` next stands in the body, or SIZE_MAX. */
static size_t find(const struct at *a, struct str needle)
{
    struct str rest = str_skip(a->body, a->pos);
    if (rest.len == 0)
        return SIZE_MAX;
    const char *p = memmem(rest.data, rest.len, needle.data, needle.len);
    return p == NULL ? SIZE_MAX : a->pos + (size_t)(p - rest.data);
}

/* Take parameter `key` out of "; key=value" or key="value" lists. True when it was there. */
static bool parameter(struct str list, struct str key, struct str *out)
{
    while (list.len > 0) {
        list = str_trim(list);
        size_t eq = str_find(list, '='), semi = str_find(list, ';');
        if (eq == SIZE_MAX || semi < eq) {
            list = semi == SIZE_MAX ? (struct str){0} : str_skip(list, semi + 1);
            continue;
        }
        struct str name = str_trim(str_head(list, eq)), value;
        list = str_trim(str_skip(list, eq + 1));
        if (list.len > 0 && list.data[0] == '"') {
            list = str_skip(list, 1);
            size_t end = str_find(list, '"');
            if (end == SIZE_MAX)
                return false;
            value = str_head(list, end);
            list = str_skip(list, end + 1);
            semi = str_find(list, ';');
        } else {
            semi = str_find(list, ';');
            value = str_trim(semi == SIZE_MAX ? list : str_head(list, semi));
        }
        list = semi == SIZE_MAX ? (struct str){0} : str_skip(list, semi + 1);
        if (str_eq_nocase(name, key)) {
            *out = value;
            return true;
        }
    }
    return false;
}

int multipart_boundary(struct str content_type, struct str *boundary, struct err *err)
{
    size_t semi = str_find(content_type, ';');
    struct str list = semi == SIZE_MAX ? (struct str){0} : str_skip(content_type, semi + 1);
    if (!parameter(list, STR("boundary"), boundary) || boundary->len == 0)
        return err_set(err, ERR_PARSE, "no multipart boundary in the Content-Type");
    if (boundary->len > MULTIPART_BOUNDARY_MAX)
        return err_set(err, ERR_PARSE, "the multipart boundary has %zu bytes, the limit is %d",
                       boundary->len, MULTIPART_BOUNDARY_MAX);
    return 0;
}

/* Name and file name from the headers of a part. */
static int read_headers(struct str headers, struct multipart_part *part, size_t offset,
                        struct err *err)
{
    bool found = false;
    for (struct str line; headers.len > 0 && str_cut(&headers, '\n', &line);) {
        size_t colon = str_find(line, ':');
        if (colon == SIZE_MAX ||
            !str_eq_nocase(str_trim(str_head(line, colon)), STR("Content-Disposition")))
            continue;
        struct str value = str_trim(str_skip(line, colon + 1));
        size_t semi = str_find(value, ';');
        struct str kind = semi == SIZE_MAX ? value : str_head(value, semi);
        if (!str_eq_nocase(str_trim(kind), STR("form-data")))
            continue;
        struct str list = semi == SIZE_MAX ? (struct str){0} : str_skip(value, semi + 1);
        found = parameter(list, STR("name"), &part->name);
        part->has_file_name = parameter(list, STR("filename"), &part->file_name);
    }
    if (!found)
        return err_set(err, ERR_PARSE, "multipart: part at offset %zu has no form-data name",
                       offset);
    return 0;
}

/* The part behind a delimiter line; a->pos moves behind its delimiter. */
static int read_part(struct at *a, struct str delimiter, struct multipart_part *part,
                     struct err *err)
{
    size_t start = a->pos, headers_end;
    *part = (struct multipart_part){0};
    struct str rest = str_skip(a->body, start);
    if (str_starts_with(rest, STR("\r\n"))) {
        headers_end = start;
        a->pos = start + 2;
    } else {
        headers_end = find(a, STR("\r\n\r\n"));
        if (headers_end == SIZE_MAX)
            return err_set(err, ERR_PARSE, "multipart: headers at offset %zu do not end",
                           start);
        a->pos = headers_end + 4;
    }
    if (headers_end - start > MULTIPART_HEADER_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "multipart: headers at offset %zu are too long", start);
    int rc = read_headers(str_of(a->body.data + start, headers_end - start), part, start, err);
    if (rc != 0)
        return rc;
    /* An empty body may end at the line break that ends the headers. */
    size_t content = a->pos;
    a->pos -= 2;
    size_t end = find(a, delimiter);
    if (end == SIZE_MAX)
        return err_set(err, ERR_PARSE, "multipart: part at offset %zu does not end", start);
    if (end >= content)
        part->body = str_of(a->body.data + content, end - content);
    a->pos = end + delimiter.len;
    return 0;
}

int multipart_parse(struct multipart *out, struct str body, struct str boundary,
                    struct err *err)
{
    char text[4 + MULTIPART_BOUNDARY_MAX] = "\r\n--";
    out->count = 0;
    if (boundary.len == 0 || boundary.len > MULTIPART_BOUNDARY_MAX)
        return err_set(err, ERR_PARSE, "multipart: bad boundary");
    memcpy(text + 4, boundary.data, boundary.len);
    struct str delimiter = {text, 4 + boundary.len};
    struct at a = {.body = body};
    /* The first delimiter may open the body, without a line break. */
    if (str_starts_with(body, str_skip(delimiter, 2))) {
        a.pos = delimiter.len - 2;
    } else {
        size_t first = find(&a, delimiter);
        if (first == SIZE_MAX)
            return err_set(err, ERR_PARSE, "multipart: the boundary does not occur");
        a.pos = first + delimiter.len;
    }
    for (;;) {
        struct str rest = str_skip(body, a.pos);
        if (str_starts_with(rest, STR("--")))
            return 0;
        while (rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t'))
            rest = str_skip(rest, 1);
        if (!str_starts_with(rest, STR("\r\n")))
            return err_set(err, ERR_PARSE, "multipart: broken delimiter at offset %zu", a.pos);
        if (out->count == MULTIPART_PARTS_MAX)
            return err_set(err, ERR_LIMIT, "multipart: more than %d parts",
                           MULTIPART_PARTS_MAX);
        a.pos = body.len - rest.len + 2;
        int rc = read_part(&a, delimiter, &out->parts[out->count], err);
        if (rc != 0)
            return rc;
        out->count++;
    }
}

const struct multipart_part *multipart_file(const struct multipart *m, struct str name)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].has_file_name && str_eq(m->parts[i].name, name))
            return &m->parts[i];
    return NULL;
}
