/* Whole files over the table of calls. */
#include "store/io.h"

int io_read_file(const struct store_io *io, const char *path, size_t limit, struct buf *out)
{
    struct store_file *f;
    uint64_t size;
    int rc = io->open(io->self, path, &f, &size);
    if (rc != 0)
        return rc;
    size_t got = 0;
    uint8_t *p = NULL;
    if (size > limit)
        rc = ERR_LIMIT;
    if (rc == 0 && (p = buf_reserve(out, (size_t)size + 1)) == NULL)
        rc = out->error;
    if (rc == 0)
        rc = io->read_at(io->self, f, 0, p, (size_t)size, &got);
    if (rc == 0)
        out->size += got;
    io->close(io->self, f);
    return rc;
}

int io_replace_file(const struct store_io *io, const char *dir, const char *tmp,
                    const char *path, struct str bytes)
{
    struct store_file *f;
    int rc = io->create(io->self, tmp, &f);
    if (rc == ERR_EXIST) { /* left by a crash */
        rc = io->unlink(io->self, tmp);
        if (rc == 0)
            rc = io->create(io->self, tmp, &f);
    }
    if (rc != 0)
        return rc;
    rc = io->write_at(io->self, f, 0, bytes.data, bytes.len);
    if (rc == 0)
        rc = io->sync(io->self, f);
    io->close(io->self, f);
    if (rc == 0)
        rc = io->rename(io->self, tmp, path);
    if (rc != 0) {
        (void)io->unlink(io->self, tmp);
        return rc;
    }
    return io->sync_dir(io->self, dir);
}
