/* ring/token_run.c - the tokens file. */
#include "ring/token_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 << 20 };

static int io_error(struct err *err, const char *what, const char *path)
{
    int code = errno == ENOENT                      ? ERR_NOENT
               : errno == ENOSPC || errno == EDQUOT ? ERR_NOSPC
                                                    : ERR_IO;
    return err_set(err, code, "%s %s: %s", what, path, err_text(code));
}

static int read_all(int fd, const char *path, struct buf *out, struct err *err)
{
    for (;;) {
        uint8_t *at = buf_reserve(out, 65536);
        if (at == NULL)
            return err_set(err, out->error, "reading %s: %s", path, err_text(out->error));
        ssize_t n = read(fd, at, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return io_error(err, "reading", path);
        if (n == 0)
            return 0;
        out->size += (size_t)n;
    }
}

int ring_tokens_load(struct ring_tokens *out, const char *path, struct err *err)
{
    struct buf text = {.limit = FILE_MAX_BYTES};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_error(err, "opening", path);
    int rc = read_all(fd, path, &text, err);
    (void)close(fd);
    if (rc == 0 && (rc = ring_tokens_from_json(out, buf_view(&text), err)) != 0)
        err_wrap(err, "%s", path);
    buf_reset(&text);
    return rc;
}

static int write_all(const char *path, struct str text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return io_error(err, "creating", path);
    int rc = 0;
    while (text.len > 0 && rc == 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n > 0)
            text = str_skip(text, (size_t)n);
        else if (n < 0 && errno != EINTR)
            rc = io_error(err, "writing", path);
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = io_error(err, "syncing", path);
    if (close(fd) != 0 && rc == 0)
        rc = io_error(err, "closing", path);
    return rc;
}

static int sync_folder(const char *path, struct err *err)
{
    struct buf folder = {0};
    size_t slash = str_rfind(str_c(path), '/');
    buf_str(&folder,
            slash == SIZE_MAX ? STR(".") : str_head(str_c(path), slash == 0 ? 1 : slash));
    buf_u8(&folder, '\0');
    if (folder.error != 0)
        return err_set(err, folder.error, "saving %s: out of memory", path);
    int rc = 0, fd = open((const char *)folder.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        rc = io_error(err, "syncing the folder of", path);
    if (fd >= 0)
        (void)close(fd);
    buf_reset(&folder);
    return rc;
}

int ring_tokens_save(const struct ring_tokens *t, const char *path, struct err *err)
{
    struct buf text = {0}, tmp = {0};
    int rc = 0;
    ring_tokens_to_json(t, &text);
    buf_c(&tmp, path);
    buf_c(&tmp, ".tmp");
    buf_u8(&tmp, '\0');
    if (text.error != 0 || tmp.error != 0) {
        rc = err_set(err, ERR_NOMEM, "saving %s: out of memory", path);
    } else {
        const char *tmp_path = (const char *)tmp.data;
        rc = write_all(tmp_path, buf_view(&text), err);
        if (rc == 0 && rename(tmp_path, path) != 0)
            rc = io_error(err, "renaming to", path);
        if (rc == 0)
            rc = sync_folder(path, err);
    }
    buf_reset(&text);
    buf_reset(&tmp);
    return rc;
}
