/* net/tls_run.c - the files behind TLS, read at the start and again when they change. */
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_priv.h"

enum { POLL_MS = 1000, RETRY_MS = 10000, FILE_MAX = 4 << 20, FILES = 3 };

/* What changes when a file does. All-zero: there is none. */
struct stamp {
    int64_t s, ns;
    uint64_t size, inode;
};

struct tls {
    struct tls_config config;
    struct tls_identity *now;
    const struct log *log;
    const char *path[FILES]; /* ca, certificate, key; "": none */
    struct stamp stamp[FILES];
    bool fixed; /* made of texts: nothing to read again */
    mono_ms next_poll;
    bool broken; /* the last reading failed: another one at `retry` */
    mono_ms retry;
    struct tls_stats stats;
};

static void from_kernel(void *arg, void *out, size_t size)
{
    (void)arg;
    clock_entropy(out, size);
}

/* Where distributions keep the authorities, as Go looks for them. */
static const char *system_ca(void)
{
    static const char *const paths[] = {
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], R_OK) == 0)
            return paths[i];
    return "";
}

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (path[0] == '\0' || stat(path, &st) != 0)
        return (struct stamp){0};
    return (struct stamp){st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (uint64_t)st.st_size,
                          (uint64_t)st.st_ino};
}

static bool stamp_eq(const struct stamp *a, const struct stamp *b)
{
    return a->s == b->s && a->ns == b->ns && a->size == b->size && a->inode == b->inode;
}

/* The whole file with a NUL behind it; nothing for an empty path. */
static int read_file(const char *path, struct buf *out, struct err *err)
{
    char text[128];
    ssize_t n = 0;
    if (path[0] == '\0')
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_IO, "TLS file %s: %s", path,
                       strerror_r(errno, text, sizeof text));
    do {
        uint8_t *to = buf_reserve(out, 4096);
        n = to == NULL ? 0 : read(fd, to, 4096);
        out->size += n > 0 ? (size_t)n : 0;
    } while (n > 0 && out->size <= FILE_MAX);
    int code = errno;
    close(fd);
    buf_u8(out, 0);
    if (n < 0)
        return err_set(err, ERR_IO, "TLS file %s: %s", path,
                       strerror_r(code, text, sizeof text));
    if (out->error != 0)
        return err_set(err, ERR_NOMEM, "TLS file %s", path);
    if (out->size > FILE_MAX)
        return err_set(err, ERR_PARSE, "TLS file %s is longer than %d bytes", path, FILE_MAX);
    return 0;
}

static void pem_reset(struct tls_pem *pem)
{
    if (pem->key.data != NULL)
        mbedtls_platform_zeroize(pem->key.data, pem->key.size);
    buf_reset(&pem->ca);
    buf_reset(&pem->cert);
    buf_reset(&pem->key);
}

/* Read all files and make the identity anew. On failure the old one stays. */
static int load(struct tls *t, struct err *err)
{
    struct tls_pem pem = {{0}, {0}, {0}};
    struct buf *to[FILES] = {&pem.ca, &pem.cert, &pem.key};
    struct tls_identity *id = NULL;
    int rc = 0;
    /* Stamped before they are read: a change meanwhile is seen by the next look. */
    for (int i = 0; i < FILES; i++)
        t->stamp[i] = stamp_of(t->path[i]);
    for (int i = 0; i < FILES && rc == 0; i++)
        rc = read_file(t->path[i], to[i], err);
    if (rc == 0)
        rc = tls_identity_make(&id, &t->config, &pem, from_kernel, NULL, err);
    pem_reset(&pem);
    if (rc == 0) {
        tls_identity_drop(t->now);
        t->now = id;
    }
    return rc;
}

int tls_init(struct tls **out, const struct tls_config *config, const struct log *log,
             struct err *err)
{
    struct tls *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NOMEM, "TLS");
    t->config = *config;
    t->log = log;
    t->path[0] = config->ca_path[0] != '\0' ? config->ca_path : system_ca();
    t->path[1] = config->cert_path;
    t->path[2] = config->key_path;
    int rc = tls_config_check(config, err);
    if (rc == 0)
        rc = load(t, err);
    if (rc != 0) {
        tls_free(&t);
        return rc;
    }
    *out = t;
    return 0;
}

int tls_init_pem(struct tls **out, const struct tls_config *config, const struct tls_pem *pem,
                 tls_entropy_fn entropy, void *arg, struct err *err)
{
    struct tls *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NOMEM, "TLS");
    t->config = *config;
    t->fixed = true;
    int rc = tls_identity_make(&t->now, config, pem, entropy, arg, err);
    if (rc != 0) {
        tls_free(&t);
        return rc;
    }
    *out = t;
    return 0;
}

void tls_free(struct tls **t)
{
    if (*t == NULL)
        return;
    tls_identity_drop((*t)->now);
    mem_free(*t);
    *t = NULL;
}

void tls_poll(struct tls *t, mono_ms now)
{
    struct err err = {0};
    bool changed = false, again = t->broken && now >= t->retry;
    if (t->fixed || now < t->next_poll)
        return;
    t->next_poll = now + POLL_MS;
    for (int i = 0; i < FILES; i++) {
        struct stamp s = stamp_of(t->path[i]);
        changed |= !stamp_eq(&s, &t->stamp[i]);
    }
    if (!changed && !again)
        return;
    /* A certificate and its key are rarely replaced in one moment: what does not fit now is
     * looked at again when the other one has changed too. What could not be read may be readable
     * later without any change that is seen here, as after too many open files. */
    t->broken = load(t, &err) != 0;
    t->retry = now + RETRY_MS;
    if (!t->broken) {
        t->stats.reloads++;
        log_line(t->log, LOG_INFO, "TLS files have changed and are in use",
                 LOG_C("cert", t->config.cert_path), LOG_C("ca", t->config.ca_path));
    } else if (changed) {
        t->stats.reload_errors++;
        log_line(t->log, LOG_WARN, "TLS files have changed and cannot be used; the old ones stay",
                 LOG_C("err", err.msg));
    }
}

const struct tls_stats *tls_stats(const struct tls *t)
{
    return &t->stats;
}

bool tls_can_serve(const struct tls *t)
{
    return t->now->has_cert;
}

struct tls_identity *tls_current(struct tls *t)
{
    return t->now;
}

const struct tls_config *tls_config_of(const struct tls *t)
{
    return &t->config;
}
