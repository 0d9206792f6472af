/* receive-proxy/creds_run.c - small files, read when they change. */
#include "creds_run.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { FILE_MAX = 4 << 20, LOOK_MS = 1000 };

/* A file and what was in it. */
struct watched {
    char *path; /* NULL: there is no file, `text` is all */
    struct buf text;
    bool read;
    struct timespec changed;
    off_t size;
    ino_t inode;
};

static int watched_init(struct watched *w, struct str text, struct str file)
{
    if (file.len > 0)
        w->path = str_dup_c(file);
    else
        buf_str(&w->text, text);
    return w->text.error != 0 || (file.len > 0 && w->path == NULL) ? ERR_NOMEM : 0;
}

static void watched_reset(struct watched *w)
{
    mem_free(w->path);
    buf_reset(&w->text);
}

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        uint8_t *at = buf_reserve(out, 4096);
        if (at == NULL)
            return ERR_NOMEM;
        ssize_t n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return 0;
        out->size += (size_t)n;
        if (out->size > FILE_MAX)
            return ERR_LIMIT;
    }
}

static bool is_same(const struct watched *w, const struct stat *st)
{
    return w->read && st->st_mtim.tv_sec == w->changed.tv_sec &&
           st->st_mtim.tv_nsec == w->changed.tv_nsec && st->st_size == w->size &&
           st->st_ino == w->inode;
}

/* Read it if it changed. On failure the old text stands. */
static int watched_look(struct watched *w, bool *changed, struct err *err)
{
    struct stat st;
    struct buf text = {0};
    if (w->path == NULL)
        return 0;
    if (stat(w->path, &st) != 0)
        return err_set(err, ERR_IO, "cannot read file %s: errno %d", w->path, errno);
    if (is_same(w, &st))
        return 0;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? ERR_IO : read_all(fd, &text);
    if (fd >= 0)
        close(fd);
    if (rc != 0) {
        buf_reset(&text);
        return err_set(err, rc, "cannot read file %s: %s", w->path, err_text(rc));
    }
    buf_reset(&w->text);
    w->text = text;
    w->read = *changed = true;
    w->changed = st.st_mtim;
    w->size = st.st_size;
    w->inode = st.st_ino;
    return 0;
}

/* --- certificates ---------------------------------------------------------------------- */

struct tls_source {
    pthread_mutex_t lock;
    struct watched ca, cert, key;
    struct tls_texts *now;
    mono_ms looked;
};

void tls_texts_release(struct tls_texts *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    buf_reset(&t->ca);
    buf_reset(&t->cert);
    buf_reset(&t->key);
    mem_free(t);
}

static struct tls_texts *texts_new(const struct tls_source *s)
{
    struct tls_texts *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return NULL;
    atomic_init(&t->refs, 1);
    buf_str(&t->ca, buf_view(&s->ca.text));
    buf_str(&t->cert, buf_view(&s->cert.text));
    buf_str(&t->key, buf_view(&s->key.text));
    if (t->ca.error != 0 || t->cert.error != 0 || t->key.error != 0) {
        tls_texts_release(t);
        return NULL;
    }
    return t;
}

static int look_at_all(struct tls_source *s, bool *changed, struct err *err)
{
    int rc = watched_look(&s->ca, changed, err);
    if (rc == 0)
        rc = watched_look(&s->cert, changed, err);
    return rc == 0 ? watched_look(&s->key, changed, err) : rc;
}

/* An authority that is none would fail every handshake: better said at once. */
static int check_authority(const struct watched *ca, struct err *err)
{
    struct str text = buf_view(&ca->text);
    if (text.len == 0 || str_contains(text, STR("-----BEGIN CERTIFICATE-----")))
        return 0;
    return err_set(err, ERR_INVAL, "unable to use specified CA cert %s",
                   ca->path == NULL ? "inline" : ca->path);
}

int tls_source_init(struct tls_source **out, const struct set_tls *s, struct err *err)
{
    bool changed = false;
    struct tls_source *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NOMEM, "no memory for certificates");
    pthread_mutex_init(&t->lock, NULL);
    int rc = 0;
    if (watched_init(&t->ca, s->ca_pem, s->ca_file) != 0 ||
        watched_init(&t->cert, s->cert_pem, s->cert_file) != 0 ||
        watched_init(&t->key, s->key_pem, s->key_file) != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for certificates");
    if (rc == 0)
        rc = look_at_all(t, &changed, err);
    if (rc == 0)
        rc = check_authority(&t->ca, err);
    if (rc == 0 && (t->now = texts_new(t)) == NULL)
        rc = err_set(err, ERR_NOMEM, "no memory for certificates");
    if (rc != 0) {
        tls_source_free(&t);
        if (rc != ERR_NOMEM && err != NULL)
            err->code = ERR_INVAL;
        return rc == ERR_NOMEM ? rc : ERR_INVAL;
    }
    *out = t;
    return 0;
}

void tls_source_free(struct tls_source **t)
{
    if (*t == NULL)
        return;
    tls_texts_release((*t)->now);
    watched_reset(&(*t)->ca);
    watched_reset(&(*t)->cert);
    watched_reset(&(*t)->key);
    pthread_mutex_destroy(&(*t)->lock);
    mem_free(*t);
    *t = NULL;
}

struct tls_texts *tls_source_get(struct tls_source *t, mono_ms now)
{
    bool changed = false;
    pthread_mutex_lock(&t->lock);
    if (t->looked == 0 || now - t->looked >= LOOK_MS) {
        t->looked = now;
        look_at_all(t, &changed, NULL);
    }
    if (changed) {
        struct tls_texts *fresh = texts_new(t);
        if (fresh != NULL) {
            tls_texts_release(t->now);
            t->now = fresh;
        }
    }
    struct tls_texts *texts = t->now;
    atomic_fetch_add_explicit(&texts->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
    return texts;
}

/* --- secrets --------------------------------------------------------------------------- */

struct secret {
    pthread_mutex_t lock;
    struct watched file;
};

int secret_init(struct secret **out, struct str text, struct str file)
{
    struct secret *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&s->lock, NULL);
    if (watched_init(&s->file, text, file) != 0) {
        secret_free(&s);
        return ERR_NOMEM;
    }
    *out = s;
    return 0;
}

void secret_free(struct secret **s)
{
    if (*s == NULL)
        return;
    watched_reset(&(*s)->file);
    pthread_mutex_destroy(&(*s)->lock);
    mem_free(*s);
    *s = NULL;
}

int secret_get(struct secret *s, struct arena *a, struct str *out, struct err *err)
{
    bool changed = false;
    pthread_mutex_lock(&s->lock);
    int rc = watched_look(&s->file, &changed, err);
    struct str text = buf_view(&s->file.text);
    if (s->file.path != NULL)
        text = str_trim(text);
    if (rc == 0) {
        *out = str_dup(a, text);
        if (out->data == NULL)
            rc = err_set(err, ERR_NOMEM, "no memory for a secret");
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}
