/* Two machines of TLS speak to each other in memory; what must not stand is refused in words. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/tls.h"

#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../lib/certs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/tls_core.h"

static struct rng rng;
static struct cert ca, other_ca, node;

static void seeded(void *arg, void *out, size_t size)
{
    rng_bytes(arg, out, size);
}

static struct tls_config plain_config(void)
{
    return (struct tls_config){.ca_path = "ca.pem", .cert_path = "cert.pem",
                               .key_path = "key.pem", .server_name = "", .cipher_suites = "",
                               .min_version = ""};
}

static void put_text(struct buf *to, const char *text)
{
    if (text != NULL)
        buf_put(to, text, strlen(text) + 1);
}

/* A struct tls without files; cert NULL: none. */
static struct tls *make_tls(const struct tls_config *config, const struct cert *authority,
                            const struct cert *own)
{
    struct tls_pem pem = {{0}, {0}, {0}};
    struct tls *t = NULL;
    struct err err = {0};
    put_text(&pem.ca, authority->cert);
    put_text(&pem.cert, own == NULL ? NULL : own->cert);
    put_text(&pem.key, own == NULL ? NULL : own->key);
    if (tls_init_pem(&t, config, &pem, seeded, &rng, &err) != 0)
        fail_msg("%s", err.msg);
    buf_reset(&pem.ca);
    buf_reset(&pem.cert);
    buf_reset(&pem.key);
    return t;
}

static int set_up_group(void **state)
{
    (void)state;
    rng_seed(&rng, 7);
    cert_make_ca(&ca, "CN=ember authority", &rng);
    cert_make_ca(&other_ca, "CN=stranger", &rng);
    cert_make(&node, &ca,
              &(struct cert_spec){.subject = "CN=node", .dns = "*.ring.test", .ip = "10.1.2.3"},
              &rng);
    return 0;
}

/* Carry bytes to and fro, `step` at a time, until both have nothing to say. */
static void talk_in_steps(struct tls_session *a, struct tls_session *b, size_t step)
{
    struct tls_session *side[2] = {a, b};
    for (int idle = 0, i = 0; idle < 4; i = 1 - i) {
        struct tls_session *from = side[i], *to = side[1 - i];
        struct buf *out = tls_session_out(from);
        if (tls_session_state(from) == TLS_HANDSHAKE)
            (void)tls_session_step(from);
        idle = out->size == 0 ? idle + 1 : 0;
        for (size_t at = 0; at < out->size; at += step) {
            struct str bytes = str_head(str_skip(buf_view(out), at), step);
            assert_int_equal(tls_session_feed(to, bytes), 0);
            if (tls_session_state(to) == TLS_HANDSHAKE)
                (void)tls_session_step(to);
        }
        buf_clear(out);
    }
}

static void talk(struct tls_session *a, struct tls_session *b)
{
    talk_in_steps(a, b, 100000);
}

struct pair {
    struct tls *ct, *st;
    struct tls_session *c, *s;
};

static void call_at(struct pair *p, const char *host, mono_ms now)
{
    assert_int_equal(tls_session_init(&p->c, p->ct, TLS_CLIENT, str_c(host), 7946, now), 0);
    assert_int_equal(tls_session_init(&p->s, p->st, TLS_SERVER, STR(""), 0, 0), 0);
    talk(p->c, p->s);
}

static void call(struct pair *p, const char *host)
{
    call_at(p, host, 0);
}

static void hang_up(struct pair *p)
{
    tls_session_free(&p->c);
    tls_session_free(&p->s);
}

static void end(struct pair *p)
{
    hang_up(p);
    tls_free(&p->ct);
    tls_free(&p->st);
}

static void assert_carries(struct tls_session *from, struct tls_session *to)
{
    static uint8_t sent[100000], got[100000];
    size_t at = 0, n;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 >> 3);
    assert_int_equal(tls_session_write(from, str_of(sent, sizeof sent)), 0);
    assert_int_equal(tls_session_feed(to, buf_view(tls_session_out(from))), 0);
    buf_clear(tls_session_out(from));
    while ((n = tls_session_read(to, got + at, sizeof got - at)) > 0)
        at += n;
    assert_int_equal(at, sizeof sent);
    assert_memory_equal(sent, got, sizeof sent);
}

static void both_sides_agree_and_bytes_go_both_ways_and_ends_are_told(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&c, &ca, &node)};
    uint8_t none[8];
    call(&p, "10.1.2.3");
    assert_string_equal(tls_session_error(p.c), "");
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    assert_int_equal(tls_session_state(p.s), TLS_UP);
    assert_carries(p.c, p.s);
    assert_carries(p.s, p.c);
    tls_session_finish(p.c);
    tls_session_finish(p.c);
    talk(p.c, p.s);
    assert_int_equal(tls_session_read(p.s, none, sizeof none), 0);
    assert_int_equal(tls_session_state(p.s), TLS_ENDED);
    tls_session_eof(p.s);
    assert_int_equal(tls_session_state(p.s), TLS_ENDED); /* it was told before */
    assert_carries(p.s, p.c); /* the other direction goes on */
    end(&p);
}

static void a_handshake_in_single_bytes_is_the_same(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&c, &ca, &node)};
    assert_int_equal(tls_session_init(&p.c, p.ct, TLS_CLIENT, STR("a.ring.test"), 1, 0), 0);
    assert_int_equal(tls_session_init(&p.s, p.st, TLS_SERVER, STR(""), 0, 0), 0);
    talk_in_steps(p.c, p.s, 1);
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    assert_carries(p.c, p.s);
    end(&p);
}

static void the_second_connection_to_a_peer_resumes_the_first(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    c.client_auth = true;
    struct pair p = {.ct = make_tls(&c, &ca, &node), .st = make_tls(&c, &ca, &node)};
    for (int i = 0; i < 3; i++) {
        call(&p, "10.1.2.3");
        assert_string_equal(tls_session_error(p.s), "");
        assert_int_equal(tls_session_state(p.c), TLS_UP);
        assert_true(tls_session_resumed(p.c) == (i > 0));
        assert_true(tls_session_resumed(p.s) == (i > 0));
        tls_session_settle(p.c);
        assert_carries(p.c, p.s);
        hang_up(&p);
    }
    /* However often it was resumed: after an hour the certificate is looked at again. */
    call_at(&p, "10.1.2.3", 3600000);
    assert_true(tls_session_resumed(p.c));
    tls_session_settle(p.c);
    hang_up(&p);
    call_at(&p, "10.1.2.3", 3600001);
    assert_false(tls_session_resumed(p.c));
    hang_up(&p);
    /* Another name is another peer. */
    call(&p, "b.ring.test");
    assert_false(tls_session_resumed(p.c));
    end(&p);
}

/* What the client (or, with `server`, the server) says when `host` is dialled. */
static void assert_refused_with(struct pair *p, const char *host, bool server, const char *text)
{
    call(p, host);
    struct tls_session *who = server ? p->s : p->c;
    assert_int_equal(tls_session_state(who), TLS_FAILED);
    if (strstr(tls_session_error(who), text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, tls_session_error(who));
    assert_int_not_equal(tls_session_state(server ? p->c : p->s), TLS_UP);
}

static void assert_refused(const struct cert_spec *spec, const struct cert *signer,
                           const char *host, const char *text)
{
    struct tls_config c = plain_config();
    struct cert own;
    cert_make(&own, signer, spec, &rng);
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&c, &ca, &own)};
    assert_refused_with(&p, host, false, text);
    if (tls_session_state(p.s) == TLS_FAILED)
        assert_non_null(strstr(tls_session_error(p.s), "the peer refused"));
    end(&p);
}

static void a_certificate_that_does_not_count_is_refused_by_its_reason(void **state)
{
    (void)state;
    struct cert_spec s = {.subject = "CN=n", .dns = "n.test", .ip = "127.0.0.1"};
    assert_refused(&s, &other_ca, "n.test", "unknown authority");
    assert_refused(&s, &other_ca, "n.test", "CN=stranger");
    assert_refused(&s, &ca, "m.test", "name mismatch");
    assert_refused(&s, &ca, "127.0.0.2", "not for \"127.0.0.2\"");
    s.to = "20210101000000";
    assert_refused(&s, &ca, "n.test", "expired");
    s.to = NULL;
    s.from = "20980101000000";
    assert_refused(&s, &ca, "n.test", "not valid yet");
    s = (struct cert_spec){.subject = "CN=n.test"};
    assert_refused(&s, &ca, "n.test", "no subject alternative name");
}

static void names_and_addresses_match_as_in_go(void **state)
{
    static const struct {
        const char *host;
        bool fits;
    } cases[] = {{"a.test", true},     {"A.TEST", true},     {"a.test.", true},
                 {"fd00:0::1", true},  {"fd00::2", false},   {"a.b.test", false},
                 {".test", false},     {"test", false},      {"", false}};
    struct tls_config c = plain_config();
    struct cert own;
    (void)state;
    cert_make(&own, &ca,
              &(struct cert_spec){.subject = "CN=x", .dns = "*.test", .ip = "fd00::1"}, &rng);
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&c, &ca, &own)};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call(&p, cases[i].host);
        bool up = tls_session_state(p.c) == TLS_UP;
        if (up != cases[i].fits)
            fail_msg("\"%s\": %s", cases[i].host, tls_session_error(p.c));
        hang_up(&p);
    }
    end(&p);
}

static void settings_may_override_the_name_or_forgo_the_check(void **state)
{
    (void)state;
    struct tls_config c = plain_config(), s = plain_config();
    c.server_name = "any.ring.test";
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&s, &ca, &node)};
    call(&p, "192.0.2.1");
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    end(&p);
    c.server_name = "";
    c.insecure_skip_verify = true;
    p = (struct pair){.ct = make_tls(&c, &other_ca, NULL), .st = make_tls(&s, &ca, &node)};
    call(&p, "192.0.2.1");
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    assert_carries(p.c, p.s);
    end(&p);
}

static void a_server_that_demands_certificates_takes_those_of_its_authority_alone(void **state)
{
    (void)state;
    struct tls_config c = plain_config(), s = plain_config();
    struct cert foreign;
    s.client_auth = true;
    cert_make(&foreign, &other_ca, &(struct cert_spec){.subject = "CN=f", .dns = "f"}, &rng);
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&s, &ca, &node)};
    assert_refused_with(&p, "10.1.2.3", true, "no certificate");
    end(&p);
    p = (struct pair){.ct = make_tls(&c, &ca, &foreign), .st = make_tls(&s, &ca, &node)};
    assert_refused_with(&p, "10.1.2.3", true, "unknown authority");
    end(&p);
    p = (struct pair){.ct = make_tls(&c, &ca, &node), .st = make_tls(&s, &ca, &node)};
    call(&p, "10.1.2.3");
    assert_int_equal(tls_session_state(p.s), TLS_UP);
    end(&p);
}

static void without_a_common_suite_or_version_both_say_so(void **state)
{
    (void)state;
    struct tls_config c = plain_config(), s = plain_config();
    c.cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    s.cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&s, &ca, &node)};
    assert_refused_with(&p, "10.1.2.3", true, "no common cipher suite");
    assert_non_null(strstr(tls_session_error(p.c), "no common cipher suite"));
    end(&p);
}

/* A hello that offers what it is told to, as Go writes it. */
static void put_hello(struct buf *out, const uint8_t *versions, uint8_t size)
{
    static const uint8_t zero[32];
    uint16_t ext = (uint16_t)(4 + 1 + size);
    buf_u8(out, 22);
    buf_u16be(out, 0x0301);
    buf_u16be(out, (uint16_t)(4 + 2 + 32 + 1 + 4 + 2 + 2 + ext));
    buf_u8(out, 1);
    buf_u8(out, 0);
    buf_u16be(out, (uint16_t)(2 + 32 + 1 + 4 + 2 + 2 + ext));
    buf_u16be(out, 0x0303);
    buf_put(out, zero, sizeof zero);
    buf_u8(out, 0);
    buf_u16be(out, 2);
    buf_u16be(out, 0x1301);
    buf_u16be(out, 0x0100); /* one method: none */
    buf_u16be(out, ext);
    buf_u16be(out, 43);
    buf_u16be(out, (uint16_t)(1 + size));
    buf_u8(out, size);
    buf_put(out, versions, size);
}

static void a_peer_that_insists_on_13_is_named_as_such(void **state)
{
    (void)state;
    static const uint8_t only_13[] = {0x1a, 0x1a, 3, 4}, both[] = {3, 4, 3, 3};
    struct tls_config c = plain_config();
    struct tls *t = make_tls(&c, &ca, &node);
    struct tls_session *s = NULL;
    struct buf hello = {0};
    put_hello(&hello, only_13, sizeof only_13);
    for (size_t cut = 0; cut < hello.size; cut++)
        assert_false(tls_hello_is_13_only(str_head(buf_view(&hello), cut)));
    assert_int_equal(tls_session_init(&s, t, TLS_SERVER, STR(""), 0, 0), 0);
    assert_int_equal(tls_session_feed(s, buf_view(&hello)), 0);
    assert_int_equal(tls_session_step(s), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(s), "insists on TLS 1.3"));
    assert_true(tls_session_out(s)->size > 0); /* the alert */
    tls_session_free(&s);
    buf_clear(&hello);
    put_hello(&hello, both, sizeof both);
    assert_false(tls_hello_is_13_only(buf_view(&hello)));
    buf_reset(&hello);
    /* The other way round: a server that wants 1.3 answers our hello with this alert. */
    assert_int_equal(tls_session_init(&s, t, TLS_CLIENT, STR("a"), 1, 0), 0);
    assert_int_equal(tls_session_step(s), TLS_HANDSHAKE);
    assert_int_equal(tls_session_feed(s, STR("\x15\x03\x01\x00\x02\x02\x46")), 0);
    assert_int_equal(tls_session_step(s), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(s), "alert 70"));
    assert_non_null(strstr(tls_session_error(s), "TLS 1.3"));
    tls_session_free(&s);
    tls_free(&t);
}

static void assert_first_words(enum tls_role role, struct str words, const char *text)
{
    struct tls_config c = plain_config();
    struct tls *t = make_tls(&c, &ca, &node);
    struct tls_session *s = NULL;
    assert_int_equal(tls_session_init(&s, t, role, STR("a"), 1, 0), 0);
    (void)tls_session_step(s);
    assert_int_equal(tls_session_feed(s, words), 0);
    if (tls_session_step(s) != TLS_FAILED)
        tls_session_eof(s);
    assert_int_equal(tls_session_state(s), TLS_FAILED);
    if (strstr(tls_session_error(s), text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, tls_session_error(s));
    tls_session_free(&s);
    tls_free(&t);
}

static void a_peer_without_tls_is_named_as_such(void **state)
{
    (void)state;
    assert_first_words(TLS_SERVER, STR("\x01\x0e" "10.0.0.1:7946xxxx"), "plain text");
    assert_first_words(TLS_SERVER, STR("GET / HTTP/1.1\r\n\r\n"), "speaks HTTP");
    assert_first_words(TLS_CLIENT, STR("HTTP/1.1 400 Bad Request\r\n\r\n"), "speaks HTTP");
    assert_first_words(TLS_CLIENT, STR(""), "without an answer");
    assert_first_words(TLS_CLIENT, STR("\x15\x03\x03\x00\x02\x02\x30"), "does not know the auth");
}

static void an_end_that_was_not_told_is_a_cut(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    struct pair p = {.ct = make_tls(&c, &ca, NULL), .st = make_tls(&c, &ca, &node)};
    call(&p, "10.1.2.3");
    tls_session_eof(p.s);
    assert_int_equal(tls_session_state(p.s), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(p.s), "cut"));
    assert_int_equal(tls_session_write(p.s, STR("x")), ERR_IO);
    end(&p);
}

static void assert_bad_config(struct tls_config c, const char *text)
{
    struct err err = {0};
    assert_int_equal(tls_config_check(&c, &err), ERR_INVAL);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

static void settings_that_cannot_be_are_said_so(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    assert_int_equal(tls_config_check(&c, NULL), 0);
    c.min_version = "VersionTLS13";
    assert_bad_config(c, "mbed TLS 2.28");
    c.min_version = "TLS12";
    assert_bad_config(c, "unknown TLS minimum version");
    c.min_version = "VersionTLS10";
    c.cipher_suites = "TLS_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256,"
                      "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305";
    assert_int_equal(tls_config_check(&c, NULL), 0);
    c.cipher_suites = "TLS_AES_128_GCM_SHA256";
    assert_bad_config(c, "no TLS cipher suite left");
    c.cipher_suites = "TLS_NONE_SUCH";
    assert_bad_config(c, "TLS_NONE_SUCH");
    c = plain_config();
    c.key_path = "";
    assert_bad_config(c, "both");
}

/* --- files ----------------------------------------------------------------------------------- */

struct files {
    char dir[64], ca[96], cert[96], key[96];
    struct tls_config config;
    struct buf log;
};

static void on_log(void *arg, enum log_level level, struct str line)
{
    struct files *f = arg;
    (void)level;
    buf_str(&f->log, line);
    buf_c(&f->log, "\n");
}

static void files_make(struct files *f, const struct cert *own)
{
    *f = (struct files){.dir = "/tmp/emberring-tls-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->ca, sizeof f->ca, "%s/ca.pem", f->dir);
    (void)snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    (void)snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
    cert_write(f->ca, ca.cert);
    cert_write(f->cert, own->cert);
    cert_write(f->key, own->key);
    f->config = plain_config();
    f->config.ca_path = f->ca;
    f->config.cert_path = f->cert;
    f->config.key_path = f->key;
}

static void files_end(struct files *f)
{
    (void)unlink(f->ca);
    (void)unlink(f->cert);
    (void)unlink(f->key);
    (void)rmdir(f->dir);
    buf_reset(&f->log);
}

static size_t lines(struct files *f, const char *text)
{
    size_t n = 0;
    buf_u8(&f->log, 0);
    for (const char *p = (const char *)f->log.data; (p = strstr(p, text)) != NULL; p++)
        n++;
    f->log.size--;
    return n;
}

static void files_that_change_are_read_again_and_broken_ones_are_not_used(void **state)
{
    (void)state;
    struct files f;
    struct cert fresh;
    struct tls_config c = plain_config();
    cert_make(&fresh, &ca, &(struct cert_spec){.subject = "CN=fresh", .dns = "fresh.test"}, &rng);
    files_make(&f, &node);
    struct log log = {.sink = on_log, .arg = &f, .level = LOG_INFO};
    struct pair p = {.ct = make_tls(&c, &ca, NULL)};
    assert_int_equal(tls_init(&p.st, &f.config, &log, NULL), 0);
    assert_true(tls_can_serve(p.st));
    call(&p, "10.1.2.3");
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    hang_up(&p);
    /* Half of a rotation: the certificate is new, the key still the old one. */
    cert_write(f.cert, fresh.cert);
    for (mono_ms now = 2000; now < 9000; now += 500)
        tls_poll(p.st, now);
    assert_int_equal(lines(&f, "cannot be used"), 1);
    assert_int_equal(lines(&f, "is not that of the certificate"), 1);
    assert_int_equal(tls_stats(p.st)->reload_errors, 1);
    call(&p, "10.1.2.3");
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    /* The rest of it: new sessions have the new one, those that stand go on. */
    cert_write(f.key, fresh.key);
    tls_poll(p.st, 20000);
    assert_int_equal(tls_stats(p.st)->reloads, 1);
    assert_carries(p.s, p.c);
    hang_up(&p);
    assert_int_equal(tls_session_init(&p.s, p.st, TLS_SERVER, STR(""), 0, 21000), 0);
    assert_int_equal(tls_session_init(&p.c, p.ct, TLS_CLIENT, STR("fresh.test"), 1, 0), 0);
    talk(p.c, p.s);
    assert_int_equal(tls_session_state(p.c), TLS_UP);
    hang_up(&p);
    (void)unlink(f.ca);
    tls_poll(p.st, 30000);
    tls_poll(p.st, 40000);
    assert_int_equal(lines(&f, "No such file"), 1);
    end(&p);
    files_end(&f);
}

/* Nothing of the files changes when they can be read again: not even a mode has to. */
static void files_that_could_not_be_read_are_tried_again(void **state)
{
    (void)state;
    struct files f;
    struct tls *t = NULL;
    struct rlimit before, none;
    files_make(&f, &node);
    struct log log = {.sink = on_log, .arg = &f, .level = LOG_INFO};
    assert_int_equal(tls_init(&t, &f.config, &log, NULL), 0);
    cert_write(f.cert, node.cert);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3; /* all of them are open */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    tls_poll(t, 2000);
    tls_poll(t, 20000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(tls_stats(t)->reloads, 0);
    assert_int_equal(tls_stats(t)->reload_errors, 1);
    assert_int_equal(lines(&f, "cannot be used"), 1);
    tls_poll(t, 40000);
    assert_int_equal(tls_stats(t)->reloads, 1);
    tls_poll(t, 60000);
    assert_int_equal(tls_stats(t)->reloads, 1);
    tls_free(&t);
    files_end(&f);
}

static void what_comes_behind_the_end_is_dropped(void **state)
{
    (void)state;
    static const char more[60000];
    struct tls_config c = plain_config();
    struct pair p = {.ct = make_tls(&c, &ca, &node), .st = make_tls(&c, &ca, &node)};
    uint8_t got[16];
    call(&p, "10.1.2.3");
    tls_session_finish(p.s);
    talk(p.c, p.s);
    assert_int_equal(tls_session_read(p.c, got, sizeof got), 0);
    assert_int_equal(tls_session_state(p.c), TLS_ENDED);
    assert_int_equal(tls_session_feed(p.c, str_of(more, sizeof more)), 0);
    assert_int_equal(tls_session_fed(p.c), 0);
    assert_int_equal(tls_session_feed(p.s, str_of(more, sizeof more)), 0);
    assert_int_equal(tls_session_read(p.s, got, sizeof got), 0);
    assert_int_equal(tls_session_state(p.s), TLS_FAILED);
    size_t left = tls_session_fed(p.s);
    assert_int_equal(tls_session_feed(p.s, str_of(more, sizeof more)), 0);
    assert_int_equal(tls_session_fed(p.s), left);
    hang_up(&p);
    end(&p);
}

/* Each wish would be answered by an alert: a peer could have us answer without end. */
static void a_peer_that_wants_to_negotiate_anew_is_refused(void **state)
{
    (void)state;
    struct tls_config c = plain_config();
    struct pair p = {.ct = make_tls(&c, &ca, &node), .st = make_tls(&c, &ca, &node)};
    uint8_t got[16];
    call(&p, "10.1.2.3");
    assert_int_equal(tls_session_state(p.s), TLS_UP);
    /* The session begins with mbedTLS's own, which can be made to do it. */
    mbedtls_ssl_context *ssl = (void *)p.c;
    mbedtls_ssl_conf_renegotiation((mbedtls_ssl_config *)(uintptr_t)ssl->conf,
                                   MBEDTLS_SSL_RENEGOTIATION_ENABLED);
    (void)mbedtls_ssl_renegotiate(ssl);
    assert_true(tls_session_out(p.c)->size > 0);
    assert_int_equal(tls_session_feed(p.s, buf_view(tls_session_out(p.c))), 0);
    assert_int_equal(tls_session_read(p.s, got, sizeof got), 0);
    assert_int_equal(tls_session_state(p.s), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(p.s), "negotiate anew"));
    assert_true(tls_session_out(p.s)->size > 0); /* the alert */
    end(&p);
}

static void files_that_cannot_be_used_are_named_at_the_start(void **state)
{
    (void)state;
    struct files f;
    struct tls *t = NULL;
    struct err err = {0};
    files_make(&f, &node);
    cert_write(f.key, other_ca.key);
    assert_int_equal(tls_init(&t, &f.config, NULL, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, f.key));
    cert_write(f.cert, "nonsense");
    assert_int_equal(tls_init(&t, &f.config, NULL, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, f.cert));
    cert_write(f.ca, "");
    assert_int_equal(tls_init(&t, &f.config, NULL, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, f.ca));
    (void)unlink(f.ca);
    assert_int_equal(tls_init(&t, &f.config, NULL, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "No such file"));
    assert_null(t);
    files_end(&f);
}

static void without_memory_nothing_is_made(void **state)
{
    (void)state;
    struct files f;
    files_make(&f, &node);
    for (uint64_t n = 1;; n++) {
        struct tls *t = NULL;
        struct tls_session *s = NULL;
        mem_fail_at(n);
        int rc = tls_init(&t, &f.config, NULL, NULL);
        rc = rc != 0 ? rc : tls_session_init(&s, t, TLS_CLIENT, STR("a"), 1, 0);
        rc = rc != 0 ? rc : tls_session_feed(s, STR("\x15\x03\x03"));
        int over = mem_fail_pending();
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        tls_session_free(&s);
        tls_free(&t);
        if (over)
            break;
    }
    files_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_agree_and_bytes_go_both_ways_and_ends_are_told),
        cmocka_unit_test(a_handshake_in_single_bytes_is_the_same),
        cmocka_unit_test(the_second_connection_to_a_peer_resumes_the_first),
        cmocka_unit_test(a_certificate_that_does_not_count_is_refused_by_its_reason),
        cmocka_unit_test(names_and_addresses_match_as_in_go),
        cmocka_unit_test(settings_may_override_the_name_or_forgo_the_check),
        cmocka_unit_test(a_server_that_demands_certificates_takes_those_of_its_authority_alone),
        cmocka_unit_test(without_a_common_suite_or_version_both_say_so),
        cmocka_unit_test(a_peer_that_insists_on_13_is_named_as_such),
        cmocka_unit_test(a_peer_without_tls_is_named_as_such),
        cmocka_unit_test(an_end_that_was_not_told_is_a_cut),
        cmocka_unit_test(settings_that_cannot_be_are_said_so),
        cmocka_unit_test(files_that_change_are_read_again_and_broken_ones_are_not_used),
        cmocka_unit_test(files_that_could_not_be_read_are_tried_again),
        cmocka_unit_test(what_comes_behind_the_end_is_dropped),
        cmocka_unit_test(a_peer_that_wants_to_negotiate_anew_is_refused),
        cmocka_unit_test(files_that_cannot_be_used_are_named_at_the_start),
        cmocka_unit_test(without_memory_nothing_is_made),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
