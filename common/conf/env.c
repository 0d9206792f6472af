/* conf/env.c - variables in a configuration text. */
#include "conf/env.h"

#include <stdbool.h>

enum { NAME_MAX_LEN = 255 };

static bool is_name_byte(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

/* Replace what stands between the braces. */
static int expand_one(struct str inside, size_t line, conf_env_fn env, void *arg,
                      struct buf *out, struct err *err)
{
    char name[NAME_MAX_LEN + 1];
    size_t n = 0;
    while (n < inside.len && n < NAME_MAX_LEN && is_name_byte(inside.data[n], n == 0)) {
        name[n] = inside.data[n];
        n++;
    }
    name[n] = '\0';
    struct str rest = str_skip(inside, n);
    bool has_default = str_starts_with(rest, STR(":-"));
    if (n == 0 || (rest.len > 0 && !has_default))
        return err_set(err, ERR_PARSE, "line %zu: ${%.*s} is not ${NAME} or ${NAME:-default}",
                       line, STR_ARG(str_head(inside, 80)));
    struct str value = str_c(env(arg, name));
    buf_str(out, value.len > 0 || !has_default ? value : str_skip(rest, 2));
    return 0;
}

int conf_expand_env(struct str text, conf_env_fn env, void *arg, struct buf *out,
                    struct err *err)
{
    size_t line = 1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c != '$' || i + 1 == text.len || text.data[i + 1] != '{') {
            line += c == '\n';
            buf_u8(out, (uint8_t)c);
            continue;
        }
        struct str behind = str_skip(text, i + 2);
        size_t end = str_find(behind, '}');
        if (end == SIZE_MAX)
            return err_set(err, ERR_PARSE, "line %zu: ${ without }", line);
        int rc = expand_one(str_head(behind, end), line, env, arg, out, err);
        if (rc != 0)
            return rc;
        for (size_t k = 0; k < end; k++)
            line += behind.data[k] == '\n';
        i += end + 2;
    }
    return 0;
}
