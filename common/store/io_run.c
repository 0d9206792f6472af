/* The POSIX disk. */
#include "store/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

struct store_file {
    int fd;
};

static int from_errno(void)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT: return ERR_NOSPC;
    case ENOENT: return ERR_NOENT;
    case EEXIST: return ERR_EXIST;
    case ENOMEM: return ERR_NOMEM;
    default: return ERR_IO;
    }
}

static int open_as(const char *path, int flags, struct store_file **out)
{
    struct store_file *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->fd = open(path, flags | O_CLOEXEC, 0640);
    if (f->fd < 0) {
        int rc = from_errno();
        mem_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

static int posix_create(void *self, const char *path, struct store_file **out)
{
    (void)self;
    return open_as(path, O_RDWR | O_CREAT | O_EXCL, out);
}

static void posix_close(void *self, struct store_file *f)
{
    (void)self;
    if (f == NULL)
        return;
    (void)close(f->fd);
    mem_free(f);
}

static int posix_open(void *self, const char *path, struct store_file **out, uint64_t *size)
{
    struct store_file *f;
    int rc = open_as(path, O_RDWR, &f);
    if (rc != 0)
        return rc;
    struct stat st;
    if (fstat(f->fd, &st) != 0) {
        rc = from_errno();
        posix_close(self, f);
        return rc;
    }
    *size = (uint64_t)st.st_size;
    *out = f;
    return 0;
}

/* A file system without fallocate still gets the size; room is then found or not by the write. */
static int posix_reserve(void *self, struct store_file *f, uint64_t size)
{
    (void)self;
    if (fallocate(f->fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return from_errno();
    return ftruncate(f->fd, (off_t)size) == 0 ? 0 : from_errno();
}

static int posix_write_at(void *self, struct store_file *f, uint64_t at, const void *data,
                          size_t size)
{
    (void)self;
    const char *p = data;
    while (size > 0) {
        ssize_t n = pwrite(f->fd, p, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? ERR_IO : from_errno();
        p += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int posix_read_at(void *self, struct store_file *f, uint64_t at, void *out, size_t size,
                         size_t *got)
{
    (void)self;
    char *p = out;
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(f->fd, p + *got, size - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return from_errno();
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

static int posix_sync(void *self, struct store_file *f)
{
    (void)self;
    return fdatasync(f->fd) == 0 ? 0 : from_errno();
}

static int posix_truncate(void *self, struct store_file *f, uint64_t size)
{
    (void)self;
    return ftruncate(f->fd, (off_t)size) == 0 ? 0 : from_errno();
}

static int posix_map(void *self, struct store_file *f, uint64_t size, const uint8_t **out)
{
    (void)self;
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED)
        return from_errno();
    *out = p;
    return 0;
}

static void posix_unmap(void *self, const uint8_t *base, uint64_t size)
{
    (void)self;
    if (base != NULL)
        (void)munmap((void *)(uintptr_t)base, (size_t)size);
}

static int posix_rename(void *self, const char *from, const char *to)
{
    (void)self;
    return rename(from, to) == 0 ? 0 : from_errno();
}

static int posix_unlink(void *self, const char *path)
{
    (void)self;
    return unlink(path) == 0 ? 0 : from_errno();
}

static int posix_make_dir(void *self, const char *path)
{
    (void)self;
    return mkdir(path, 0750) == 0 || errno == EEXIST ? 0 : from_errno();
}

static int posix_sync_dir(void *self, const char *path)
{
    (void)self;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return from_errno();
    int rc = fsync(fd) == 0 ? 0 : from_errno();
    (void)close(fd);
    return rc;
}

static int posix_list(void *self, const char *path, store_list_fn each, void *arg)
{
    (void)self;
    DIR *d = opendir(path);
    if (d == NULL)
        return from_errno();
    int rc = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL) {
            rc = errno == 0 ? 0 : from_errno();
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        rc = each(arg, e->d_name);
        if (rc != 0)
            break;
    }
    (void)closedir(d);
    return rc;
}

static int posix_lock(void *self, const char *path, struct store_file **out)
{
    struct store_file *f;
    int rc = open_as(path, O_RDWR | O_CREAT, &f);
    if (rc != 0)
        return rc;
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
        rc = errno == EWOULDBLOCK ? ERR_EXIST : from_errno();
        posix_close(self, f);
        return rc;
    }
    *out = f;
    return 0;
}

static uint64_t posix_free_bytes(void *self, const char *path)
{
    (void)self;
    struct statvfs v;
    return statvfs(path, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

const struct store_io *store_io_posix(void)
{
    static const struct store_io io = {
        .create = posix_create,
        .open = posix_open,
        .close = posix_close,
        .reserve = posix_reserve,
        .write_at = posix_write_at,
        .read_at = posix_read_at,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .map = posix_map,
        .unmap = posix_unmap,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_dir = posix_make_dir,
        .sync_dir = posix_sync_dir,
        .list = posix_list,
        .lock = posix_lock,
        .free_bytes = posix_free_bytes,
    };
    return &io;
}
