/* net/tls_config.c - Go's names of versions and cipher suites, in mbedTLS's numbers. */
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/version.h>

#include "net/tls_priv.h"

enum { SUITE_NAME_MAX = 64 };

/* The cheapest of mbedTLS first; all of them are in Go's own choice too. */
static const char good[] =
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,"
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";

/* What TLS 1.0 and 1.1 need on top. */
static const char old[] =
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,"
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA";

/* Suites of TLS 1.3: Go knows the names, and does not let them be chosen either. */
static bool is_of_13(struct str name)
{
    return str_eq(name, STR("TLS_AES_128_GCM_SHA256")) ||
           str_eq(name, STR("TLS_AES_256_GCM_SHA384")) ||
           str_eq(name, STR("TLS_CHACHA20_POLY1305_SHA256"));
}

/* Go's two short names lack the hash. */
static struct str full_name(struct str name)
{
    if (str_eq(name, STR("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305")))
        return STR("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256");
    if (str_eq(name, STR("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305")))
        return STR("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    return name;
}

static int suite_id(struct str name)
{
    char text[SUITE_NAME_MAX];
    name = full_name(name);
    if (name.len >= sizeof text)
        return 0;
    for (size_t i = 0; i < name.len; i++)
        text[i] = name.data[i] == '_' ? '-' : name.data[i];
    text[name.len] = '\0';
    return mbedtls_ssl_get_ciphersuite_id(text);
}

static int add_suites(struct tls_settings *out, size_t *count, struct str list, struct err *err)
{
    for (struct str rest = list, part; str_cut(&rest, ',', &part);) {
        struct str name = str_trim(part);
        if (name.len == 0 || is_of_13(name))
            continue;
        int id = suite_id(name);
        if (id == 0)
            return err_set(err, ERR_INVAL, "unknown TLS cipher suite \"%.*s\"", STR_ARG(name));
        if (*count == TLS_SUITES_MAX)
            return err_set(err, ERR_INVAL, "more than %d TLS cipher suites", TLS_SUITES_MAX);
        out->suites[(*count)++] = id;
    }
    return 0;
}

static int min_version(struct tls_settings *out, struct str name, struct err *err)
{
    static const char *const names[] = {"VersionTLS10", "VersionTLS11", "VersionTLS12"};
    out->min_minor = name.len == 0 ? MBEDTLS_SSL_MINOR_VERSION_3 : 0;
    for (int i = 0; i < 3; i++)
        if (str_eq(name, str_c(names[i])))
            out->min_minor = MBEDTLS_SSL_MINOR_VERSION_1 + i;
    if (str_eq(name, STR("VersionTLS13")))
        return err_set(err, ERR_INVAL,
                       "TLS minimum version VersionTLS13: this build's " MBEDTLS_VERSION_STRING_FULL
                       " has no TLS 1.3; use VersionTLS12");
    if (out->min_minor == 0)
        return err_set(err, ERR_INVAL,
                       "unknown TLS minimum version \"%.*s\": VersionTLS10, VersionTLS11 or "
                       "VersionTLS12", STR_ARG(name));
    return 0;
}

int tls_settings_of(const struct tls_config *config, struct tls_settings *out, struct err *err)
{
    size_t count = 0;
    struct str list = str_c(config->cipher_suites);
    *out = (struct tls_settings){0};
    if ((config->cert_path[0] == '\0') != (config->key_path[0] == '\0'))
        return err_set(err, ERR_INVAL, "TLS certificate and key are set both or not at all");
    int rc = min_version(out, str_c(config->min_version), err);
    if (rc == 0)
        rc = add_suites(out, &count, list.len > 0 ? list : str_c(good), err);
    if (rc == 0 && list.len == 0 && out->min_minor < MBEDTLS_SSL_MINOR_VERSION_3)
        rc = add_suites(out, &count, str_c(old), err);
    if (rc == 0 && count == 0)
        rc = err_set(err, ERR_INVAL, "no TLS cipher suite left: those of TLS 1.3 do not count");
    return rc;
}

int tls_config_check(const struct tls_config *config, struct err *err)
{
    struct tls_settings ignored;
    return tls_settings_of(config, &ignored, err);
}
