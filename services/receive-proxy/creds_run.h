/* receive-proxy/creds_run.h - secrets and certificates out of files that may change while we
 * run.
 *
 * Passwords, tokens and credentials are read again whenever their file changed, looked at for
 * every request; certificates at most once a second. A file that cannot be read any more leaves
 * what was read before in use for certificates, and is an error for secrets. Any thread. Tests:
 * tests/unit/receive-proxy/test_way_run.c, test_oauth_run.c. */
#ifndef RECEIVE_PROXY_CREDS_RUN_H
#define RECEIVE_PROXY_CREDS_RUN_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "settings.h"

struct arena;

/* What a TLS block stands for now; counted, immutable. */
struct tls_texts {
    _Atomic unsigned refs;
    struct buf ca, cert, key; /* PEM; empty: none */
};
void tls_texts_release(struct tls_texts *t); /* NULL-safe */

/* A TLS block with its files. */
struct tls_source;

/* Copy the block and read its files. ERR_INVAL names the file that cannot be read, ERR_NOMEM. */
int tls_source_init(struct tls_source **out, const struct set_tls *s, struct err *err);
void tls_source_free(struct tls_source **t); /* NULL-safe */

/* The present texts, retained for the caller. */
struct tls_texts *tls_source_get(struct tls_source *t, mono_ms now);

/* A secret: a text, or what stands in a file, without the blanks around it. */
struct secret;

/* Copy. Either may be ""; the file wins. The file need not be there yet. ERR_NOMEM. */
int secret_init(struct secret **out, struct str text, struct str file);
void secret_free(struct secret **s); /* NULL-safe */

/* Its present value, in the arena. ERR_IO names the file, ERR_NOMEM. */
int secret_get(struct secret *s, struct arena *a, struct str *out, struct err *err);

#endif
