/* net/tls.h - TLS as a machine of bytes over mbedTLS: what arrived goes in, what is to be sent
 * comes out; and the settings and files behind it.
 *
 * A `struct tls` holds settings and the newest certificate files; a `struct tls_session` is one
 * connection's handshake and records. No socket is in here: net/tcp.h puts sessions under TCP
 * connections, other streams may do the same. Verification is Go's: the name dialled (or the
 * server name of the settings) must stand in the subject alternative names, an IP address as an
 * IP address; a common name alone does not count.
 * mbedTLS 2.28 knows TLS 1.0 to 1.2. One owner thread, but for tls_session_step(), which may run
 * on another one as long as nobody else touches that session meanwhile.
 * Tests: tests/unit/net/test_tls.c; fuzz: tests/fuzz/fuzz_tls.c. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct log;
struct tls;
struct tls_session;

/* Texts are never NULL and must outlive the struct tls. */
struct tls_config {
    const char *ca_path;       /* PEM; "": the authorities of the system */
    const char *cert_path;     /* PEM, with its chain; "": none */
    const char *key_path;      /* PEM; set exactly if cert_path is */
    const char *server_name;   /* name to verify in place of the one dialled; "": that one */
    const char *cipher_suites; /* Go's names, comma-separated, best first; "": a good choice */
    const char *min_version;   /* VersionTLS10 ... VersionTLS13; "": VersionTLS12 */
    bool insecure_skip_verify; /* as client: any certificate will do */
    bool client_auth;          /* as server: demand a certificate of the authorities */
};

enum {
    TLS_FIRST_BYTE = 0x16, /* of a client: a handshake record */
    TLS_ALERT_BYTE = 0x15, /* of a server that was spoken to in plain text */
};

/* The rules between and within values, without looking at files. ERR_INVAL with a text:
 * unknown version or cipher suite, no cipher suite left, VersionTLS13 (not in mbedTLS 2.28),
 * certificate without key or the reverse. */
int tls_config_check(const struct tls_config *config, struct err *err);

/* Read the files. `log` (may be NULL) must outlive it. ERR_INVAL as above, ERR_IO (file cannot be
 * read), ERR_PARSE (it is not what it should be; key and certificate do not belong together),
 * ERR_NOMEM; *out is untouched then. */
int tls_init(struct tls **out, const struct tls_config *config, const struct log *log,
             struct err *err);

/* Sessions may live longer. NULL-safe; leaves *t NULL. */
void tls_free(struct tls **t);

/* Look whether the files have changed (modification time, size, inode; at most each second), and
 * use what they say for new sessions. Files that cannot be used are logged once and tried again
 * each ten seconds, the old ones remain in use. Called by tls_session_init(); calling it now and
 * then tells of broken files early. */
void tls_poll(struct tls *t, mono_ms now);

/* Counted since the start. */
struct tls_stats {
    uint64_t reloads, reload_errors; /* of changed files */
};
const struct tls_stats *tls_stats(const struct tls *t);

/* True when there is a certificate, which a server needs. */
bool tls_can_serve(const struct tls *t);

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum tls_state {
    TLS_HANDSHAKE, /* more bytes are needed */
    TLS_UP,        /* data may be read and written */
    TLS_ENDED,     /* the peer said that it sends no more; writing still works */
    TLS_FAILED,    /* tls_session_error() says why; what is to be sent (an alert) still is */
};

/* A new session. A client names whom it dials: `host` is a name or an IP address (its text is
 * copied); sessions with the same host and port resume each other, which saves most of the
 * handshake, for an hour; then certificates are verified anew. A server passes an empty host.
 * ERR_NOMEM, ERR_INVAL (a server without certificate), ERR_INTERNAL. */
int tls_session_init(struct tls_session **out, struct tls *t, enum tls_role role,
                     struct str host, uint16_t port, mono_ms now);

/* NULL-safe; leaves *s NULL. */
void tls_session_free(struct tls_session **s);

/* Bytes that arrived; those behind the end are dropped. ERR_NOMEM. */
int tls_session_feed(struct tls_session *s, struct str bytes);

/* Bytes fed and not yet used. */
size_t tls_session_fed(const struct tls_session *s);

/* Go on with the handshake as far as the bytes fed allow. Costs up to 15 ms of a core when
 * nothing is resumed. The client's first call takes no bytes. */
enum tls_state tls_session_step(struct tls_session *s);

/* Where it stands. */
enum tls_state tls_session_state(const struct tls_session *s);

/* To be called once, on the owner's thread, when the handshake is done: a client keeps what is
 * needed to resume. */
void tls_session_settle(struct tls_session *s);

/* Decrypt at most `size` bytes into `out`; returns how many. 0: nothing more until bytes are fed,
 * or the state has changed. A peer that wants to negotiate anew has failed, as with Go. For
 * sessions that are TLS_UP. */
size_t tls_session_read(struct tls_session *s, void *out, size_t size);

/* Encrypt bytes; they are in tls_session_out() then. For sessions that are TLS_UP or TLS_ENDED.
 * ERR_NOMEM, ERR_IO; nothing can be written after that. */
int tls_session_write(struct tls_session *s, struct str bytes);

/* Say that no more will be sent. Does nothing before the handshake is done. */
void tls_session_finish(struct tls_session *s);

/* Tell of an end of the stream below: before the peer said so, that is a failure. */
void tls_session_eof(struct tls_session *s);

/* What is to be sent, for the caller to take. */
struct buf *tls_session_out(struct tls_session *s);

/* The handshake is done and was a resumed one. */
bool tls_session_resumed(const struct tls_session *s);

/* Why a session failed: a sentence that names cause and, where it can, what to do. "" before. */
const char *tls_session_error(const struct tls_session *s);

#endif
