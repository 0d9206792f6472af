/* conf/conf_run.c - file and environment. */
#include "conf/conf_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/env.h"

/* What the last call's errno says, in words. */
static int io_error(const char *path, struct err *err)
{
    char text[128];
    int code = errno == ENOENT ? ERR_NOENT : ERR_IO;
    return err_set(err, code, "%s: %s", path, strerror_r(errno, text, sizeof text));
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return io_error(path, err);
    int rc = 0;
    for (size_t got = 1; got > 0 && rc == 0;) {
        uint8_t *at = buf_reserve(out, 16384);
        if (at == NULL) {
            rc = err_set(err, ERR_NOMEM, "%s: out of memory", path);
            break;
        }
        errno = 0;
        got = fread(at, 1, 16384, f);
        out->size += got;
        if (ferror(f))
            rc = io_error(path, err);
        else if (out->size > CONF_FILE_MAX)
            rc = err_set(err, ERR_LIMIT, "%s: larger than 4 MiB", path);
    }
    (void)fclose(f);
    return rc;
}

static const char *env_get(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static int load_file(struct conf *c, const char *path, struct err *err)
{
    struct buf text = {0}, expanded = {0};
    int rc = read_file(path, &text, err);
    if (rc == 0 && conf_expands_env(c)) {
        rc = conf_expand_env(buf_view(&text), env_get, NULL, &expanded, err);
        if (rc != 0)
            err_wrap(err, "%s", path);
        else if (expanded.error != 0)
            rc = err_set(err, expanded.error, "%s: %s", path, err_text(expanded.error));
    }
    if (rc == 0)
        rc = conf_yaml(c, conf_expands_env(c) ? buf_view(&expanded) : buf_view(&text), path,
                       err);
    buf_reset(&text);
    buf_reset(&expanded);
    return rc;
}

static int load(struct conf *c, int argc, const char *const *argv, bool with_file,
                enum conf_action *action, struct err *err)
{
    int rc = conf_args(c, argc, argv, err);
    if (rc != 0)
        return rc;
    *action = conf_action(c);
    if (*action != CONF_RUN)
        return 0;
    if (with_file && conf_file(c) != NULL && (rc = load_file(c, conf_file(c), err)) != 0)
        return rc;
    return conf_apply(c, err);
}

int conf_load(struct conf *c, int argc, const char *const *argv, enum conf_action *action,
              struct err *err)
{
    return load(c, argc, argv, true, action, err);
}

int conf_load_flags(struct conf *c, int argc, const char *const *argv, enum conf_action *action,
                    struct err *err)
{
    return load(c, argc, argv, false, action, err);
}
