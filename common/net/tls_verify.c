/* net/tls_verify.c - does a certificate stand for a name, and in which words a handshake failed. */
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <stdio.h>
#include <string.h>

#include "net/addr.h"
#include "net/tls_priv.h"

enum { SAN_DNS = 0x82, SAN_IP = 0x87 };

/* --- names ----------------------------------------------------------------------------------- */

/* One label of a pattern may be "*", the leftmost, and stands for exactly one label. */
static bool name_matches(struct str pattern, struct str host)
{
    if (str_ends_with(host, STR(".")))
        host.len--;
    if (pattern.len == 0 || host.len == 0)
        return false;
    if (str_starts_with(pattern, STR("*."))) {
        size_t dot = str_find(host, '.');
        if (dot == SIZE_MAX || dot == 0)
            return false;
        return str_eq_nocase(str_skip(pattern, 1), str_skip(host, dot));
    }
    return str_eq_nocase(pattern, host);
}

bool tls_cert_is_for(const mbedtls_x509_crt *crt, const char *host)
{
    struct addr ip;
    bool is_ip = addr_parse_ip(&ip, str_c(host), 1) == 0;
    if ((crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) == 0)
        return false;
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s != NULL; s = s->next) {
        if (s->buf.p == NULL)
            continue;
        if (is_ip && s->buf.tag == SAN_IP && s->buf.len == (ip.family == 6 ? 16U : 4U) &&
            memcmp(s->buf.p, ip.ip, s->buf.len) == 0)
            return true;
        if (!is_ip && s->buf.tag == SAN_DNS &&
            name_matches(str_of(s->buf.p, s->buf.len), str_c(host)))
            return true;
    }
    return false;
}

int tls_on_verify(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct tls_verdict *v = arg;
    if (depth != 0)
        return 0;
    (void)mbedtls_x509_dn_gets(v->subject, sizeof v->subject, &crt->subject);
    (void)mbedtls_x509_dn_gets(v->issuer, sizeof v->issuer, &crt->issuer);
    if (v->host == NULL)
        return 0;
    /* mbedTLS 2.28 looks at no IP addresses, and takes a common name: neither is Go's way. */
    *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
    if (!tls_cert_is_for(crt, v->host)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
        v->no_names = (crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) == 0;
    }
    return 0;
}

/* --- reasons --------------------------------------------------------------------------------- */

static void explain_flags(const struct tls_symptoms *s, char *out, size_t size)
{
    const struct tls_verdict *v = s->verdict;
    const char *subject = v->subject[0] != '\0' ? v->subject : "no subject";
    if ((s->flags & MBEDTLS_X509_BADCERT_MISSING) != 0)
        (void)snprintf(out, size, "the peer sent no certificate, and one is demanded here");
    else if ((s->flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0)
        (void)snprintf(out, size, "the peer's certificate (%s) or one it rests on has expired",
                       subject);
    else if ((s->flags & MBEDTLS_X509_BADCERT_FUTURE) != 0)
        (void)snprintf(out, size, "the peer's certificate (%s) is not valid yet: is a clock wrong?",
                       subject);
    else if ((s->flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0)
        (void)snprintf(out, size,
                       "unknown authority: the peer's certificate (%s, issued by %s) is not signed "
                       "by a CA of this side's CA file", subject, v->issuer);
    else if ((s->flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0 && v->no_names)
        (void)snprintf(out, size,
                       "name mismatch: the peer's certificate (%s) has no subject alternative "
                       "name, and the common name does not count", subject);
    else if ((s->flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0)
        (void)snprintf(out, size, "name mismatch: the peer's certificate (%s) is not for \"%s\"",
                       subject, v->host);
    else if ((s->flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
                          MBEDTLS_X509_BADCERT_NS_CERT_TYPE)) != 0)
        (void)snprintf(out, size,
                       "the peer's certificate (%s) is not made for a TLS %s (key usage)", subject,
                       s->role == TLS_CLIENT ? "server" : "client");
    else
        (void)snprintf(out, size, "the peer's certificate (%s) is too weak or broken (flags %x)",
                       subject, s->flags);
}

static void explain_alert(const struct tls_symptoms *s, char *out, size_t size)
{
    const char *what = NULL;
    switch (s->alert) {
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
        what = s->role == TLS_CLIENT
                   ? "no common cipher suite, or it demands a certificate that we do not have"
                   : "no common cipher suite";
        break;
    case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
        what = "no common version; if it insists on TLS 1.3, let it accept TLS 1.2";
        break;
    case MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY:
        what = "our cipher suites are too weak for it";
        break;
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
        what = "it does not know the authority that signed our certificate";
        break;
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
        what = "our certificate has expired";
        break;
    case MBEDTLS_SSL_ALERT_MSG_NO_CERT:
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
    case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
    case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
        what = "it does not accept our certificate: its authority, name or date, or there is none";
        break;
    case MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME:
        what = "it does not know the server name";
        break;
    default:
        (void)snprintf(out, size, "the peer refused with TLS alert %d", s->alert);
        return;
    }
    (void)snprintf(out, size, "the peer refused (alert %d): %s", s->alert, what);
}

static void explain_code(int code, char *out, size_t size)
{
    char text[128] = "";
    switch (code) {
    case MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN:
    case MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE:
        (void)snprintf(out, size,
                       "no common cipher suite (or none that fits the certificate's key)");
        return;
    case MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION:
        (void)snprintf(out, size, "no common version: the peer's highest TLS is below our minimum");
        return;
    case MBEDTLS_ERR_SSL_CONN_EOF:
        (void)snprintf(out, size, "cut: the peer ended the connection without TLS's own end");
        return;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        (void)snprintf(out, size, "out of memory");
        return;
    default:
        mbedtls_strerror(code, text, sizeof text);
        (void)snprintf(out, size, "%s (-0x%04x)", text, (unsigned)-code);
    }
}

void tls_explain(const struct tls_symptoms *s, char *out, size_t size)
{
    bool tls = s->first_byte >= 20 && s->first_byte <= 22;
    if (s->any && s->first && !tls)
        (void)snprintf(out, size, "the peer speaks %s, not TLS; is TLS switched off there?",
                       s->first_byte >= 'A' && s->first_byte <= 'Z' ? "HTTP" : "plain text");
    else if (s->alert >= 0)
        explain_alert(s, out, size);
    else if (s->flags != 0 && s->flags != UINT32_MAX)
        explain_flags(s, out, size);
    else if (s->only_13)
        (void)snprintf(out, size,
                       "the peer insists on TLS 1.3, which mbedTLS 2.28 does not have; let it "
                       "accept TLS 1.2");
    else if (s->first && s->code == MBEDTLS_ERR_SSL_CONN_EOF)
        (void)snprintf(out, size,
                       "the peer closed the connection without an answer; is TLS switched off "
                       "there?");
    else
        explain_code(s->code, out, size);
}
