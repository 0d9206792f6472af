/* The resolver against a real server (dnsmasq, skipped and named where it cannot be run) and
 * against servers that fail: every answer is told from every failure, nothing waits for ever. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/dns.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"

enum { PATIENCE_MS = 20000, MANY = 200, QUICK_MS = 100 };

static struct loop *loop;
static char dir[] = "/tmp/test_dns_XXXXXX";
static pid_t server; /* 0: none */
static char server_text[32];

/* What came of a look-up, kept. */
struct came {
    bool done;
    int code;
    char why[128];
    struct dns_records records;
};

static void on_result(void *arg, const struct dns_result *r)
{
    struct came *c = arg;
    assert_false(c->done);
    c->done = true;
    c->code = r->code;
    (void)snprintf(c->why, sizeof c->why, "%s", r->why);
    c->records = *r->records;
    c->records.addrs = mem_dup(r->records->addrs, r->records->addr_count * sizeof(struct addr));
    c->records.srvs = mem_dup(r->records->srvs, r->records->srv_count * sizeof(struct dns_srv));
}

static void reset(struct came *c)
{
    dns_records_reset(&c->records);
    *c = (struct came){0};
}

static struct dns *resolver(const char *servers)
{
    static const char *list[4];
    static char copy[128];
    struct dns *d = NULL;
    struct err err = {0};
    struct dns_config config = {
        .servers = list, .no_hosts = true, .timeout_ms = QUICK_MS, .resolv_conf = "/dev/null"};
    (void)snprintf(copy, sizeof copy, "%s", servers);
    for (char *at = copy; at != NULL; config.server_count++) {
        list[config.server_count] = at;
        at = strchr(at, ',');
        if (at != NULL)
            *at++ = '\0';
    }
    if (dns_init(&d, loop, &config, &err) != 0)
        fail_msg("%s", err.msg);
    return d;
}

static void wait_for(struct came *c)
{
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    while (!c->done && clock_mono_ms() < end)
        loop_turn(loop, 5);
    assert_true(c->done);
}

static void host(struct dns *d, const char *name, struct came *c)
{
    reset(c);
    assert_int_equal(dns_host(d, str_c(name), on_result, c, NULL), 0);
    assert_false(c->done); /* never from inside */
    wait_for(c);
}

static void service(struct dns *d, const char *name, struct came *c)
{
    reset(c);
    assert_int_equal(dns_service(d, str_c(name), on_result, c, NULL), 0);
    wait_for(c);
}

static bool has(const struct came *c, const char *ip)
{
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < c->records.addr_count; i++)
        if (strcmp(addr_ip_text(&c->records.addrs[i], text), ip) == 0)
            return true;
    return false;
}

/* --- a socket that plays a server ------------------------------------------------------------ */

/* *port 0: any. -1: the port is taken. */
static int bound(int type, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(*port)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static int udp_socket(uint16_t *port)
{
    *port = 0;
    return bound(SOCK_DGRAM, port);
}

/* A port for TCP and UDP that no client's socket gets by chance. */
static uint16_t free_port(void)
{
    for (;;) {
        uint16_t port;
        clock_entropy(&port, sizeof port);
        port = (uint16_t)(10000 + port % 20000);
        int tcp = bound(SOCK_STREAM, &port), udp = bound(SOCK_DGRAM, &port);
        if (tcp >= 0)
            close(tcp);
        if (udp >= 0)
            close(udp);
        if (tcp >= 0 && udp >= 0)
            return port;
    }
}

/* Answer what has come with this code; how many. */
static int play(int fd, uint8_t rcode, size_t cut)
{
    uint8_t q[1500];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got;
    int count = 0;
    while ((got = recvfrom(fd, q, sizeof q, 0, (struct sockaddr *)&from, &size)) > 12) {
        q[2] |= 0x80;
        q[3] = (uint8_t)(0x80 | rcode);
        size_t bytes = cut > 0 && cut < (size_t)got ? cut : (size_t)got;
        (void)sendto(fd, q, bytes, 0, (struct sockaddr *)&from, size);
        count++;
    }
    return count;
}

static void host_played(struct dns *d, int fd, uint8_t rcode, struct came *c)
{
    reset(c);
    assert_int_equal(dns_host(d, STR("x.test."), on_result, c, NULL), 0);
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    while (!c->done && clock_mono_ms() < end) {
        loop_turn(loop, 5);
        (void)play(fd, rcode, 0);
    }
    assert_true(c->done);
}

/* --- dnsmasq -------------------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_config(uint16_t port)
{
    FILE *f = fopen(path_of("conf"), "w");
    assert_non_null(f);
    fprintf(f,
            "port=%u\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
            "local=/test/\nlocal=/other/\ndomain-needed\naddn-hosts=%s/hosts\npid-file=\nuser=\n"
            "cname=alias.test,four.test\n"
            "srv-host=_in._tcp.test,four.test,7001\n"
            "srv-host=_in._tcp.test,both.test,7002\n"
            "srv-host=_out._tcp.test,elsewhere.invalid,7003\n",
            (unsigned)port, dir);
    for (int i = 0; i < MANY; i++)
        fprintf(f, "srv-host=_many._tcp.test,a-rather-long-name-of-a-target-%03d.test,%d\n", i,
                8000 + i);
    assert_int_equal(fclose(f), 0);
}

static pid_t run_dnsmasq(void)
{
    char flag[160];
    (void)snprintf(flag, sizeof flag, "--conf-file=%s", path_of("conf"));
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char *const argv[] = {(char *)"dnsmasq", (char *)"--keep-in-foreground", flag, NULL};
    (void)setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(127);
    (void)execvp("dnsmasq", argv);
    _exit(127);
}

/* Start it at a free port and wait until it answers. False: it cannot be run. */
static bool start_dnsmasq(void)
{
    uint16_t port = free_port();
    struct came c = {0};
    write_config(port);
    server = run_dnsmasq();
    (void)snprintf(server_text, sizeof server_text, "127.0.0.1:%u", (unsigned)port);
    struct dns *d = resolver(server_text);
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    bool runs = true;
    do {
        host(d, "four.test", &c);
        runs = waitpid(server, NULL, WNOHANG) == 0;
    } while (c.code != 0 && runs && clock_mono_ms() < end);
    bool up = c.code == 0;
    reset(&c);
    dns_free(&d);
    if (!runs)
        server = 0;
    return up;
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    write_file("hosts", "10.0.0.4 four.test\nfd00::6 six.test\n10.0.0.7 both.test\n"
                        "fd00::7 both.test\n10.0.0.8 far.other\n");
    if (loop_init(&loop, "test", NULL) != 0)
        return -1;
    for (int tries = 0; tries < 3 && !start_dnsmasq(); tries++) {
    } /* another process may have taken the port */
    if (server == 0)
        print_message("skipped: dnsmasq\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
    static const char *const files[] = {"hosts", "conf", "resolv"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        (void)unlink(path_of(files[i]));
    (void)rmdir(dir);
    loop_turn(loop, 0);
    loop_free(&loop);
    return 0;
}

#define NEEDS_DNSMASQ()                                                                        \
    do {                                                                                       \
        if (server == 0)                                                                       \
            skip();                                                                            \
    } while (0)

/* --- tests ---------------------------------------------------------------------------------- */

static void a_host_has_the_addresses_of_both_families(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = resolver(server_text);
    host(d, "four.test", &c);
    assert_int_equal(c.code, 0);
    assert_true(c.records.addr_count == 1 && has(&c, "10.0.0.4"));
    host(d, "six.test.", &c);
    assert_true(c.code == 0 && c.records.addr_count == 1 && has(&c, "fd00::6"));
    host(d, "both.test", &c);
    assert_true(c.records.addr_count == 2 && has(&c, "10.0.0.7") && has(&c, "fd00::7"));
    host(d, "alias.test", &c);
    assert_true(c.code == 0 && has(&c, "10.0.0.4"));
    reset(&c);
    dns_free(&d);
}

static void a_service_has_targets_with_and_without_addresses(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = resolver(server_text);
    service(d, "_in._tcp.test", &c);
    assert_int_equal(c.code, 0);
    assert_int_equal(c.records.srv_count, 2);
    assert_true(has(&c, "10.0.0.4") && has(&c, "10.0.0.7") && has(&c, "fd00::7"));
    service(d, "_out._tcp.test", &c);
    assert_int_equal(c.records.srv_count, 1);
    assert_int_equal(c.records.srvs[0].port, 7003);
    assert_int_equal(c.records.srvs[0].addr_count, 0);
    assert_string_equal(c.records.srvs[0].target, "elsewhere.invalid");
    reset(&c);
    dns_free(&d);
}

static void an_answer_too_large_for_udp_comes_over_tcp(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = resolver(server_text);
    service(d, "_many._tcp.test", &c);
    assert_int_equal(c.code, 0);
    assert_int_equal(c.records.srv_count, MANY);
    reset(&c);
    dns_free(&d);
}

static void no_such_name_and_no_such_record_are_answers(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = resolver(server_text);
    host(d, "nobody.test", &c);
    assert_int_equal(c.code, ERR_NOENT);
    assert_string_equal(c.why, "NXDOMAIN: no such name");
    service(d, "four.test", &c);
    assert_int_equal(c.code, ERR_NOENT);
    assert_string_equal(c.why, "NODATA: the name has no such record");
    reset(&c);
    dns_free(&d);
}

static void answers_change_with_the_server(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = resolver(server_text);
    host(d, "four.test", &c);
    assert_true(has(&c, "10.0.0.4"));
    write_file("hosts", "10.0.0.44 four.test\nfd00::6 six.test\n10.0.0.7 both.test\n"
                        "fd00::7 both.test\n10.0.0.8 far.other\n");
    (void)kill(server, SIGHUP);
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    do
        host(d, "four.test", &c);
    while (!has(&c, "10.0.0.44") && clock_mono_ms() < end);
    assert_true(has(&c, "10.0.0.44") && !has(&c, "10.0.0.4"));
    reset(&c);
    dns_free(&d);
}

static void a_changed_resolv_conf_is_read_again(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    struct dns *d = NULL;
    const char *const servers[] = {server_text};
    char resolv[128];
    write_file("resolv", "search test\n");
    (void)snprintf(resolv, sizeof resolv, "%s", path_of("resolv"));
    struct dns_config config = {.servers = servers,
                                .server_count = 1,
                                .resolv_conf = resolv,
                                .no_hosts = true,
                                .look_ms = 1};
    assert_int_equal(dns_init(&d, loop, &config, NULL), 0);
    host(d, "both", &c);
    assert_true(c.code == 0 && has(&c, "10.0.0.7"));
    host(d, "far", &c);
    assert_int_equal(c.code, ERR_NOENT);
    write_file("resolv", "search other test\n");
    reset(&c);
    struct came old = {0}; /* one that is under way at the old channel ends there */
    assert_int_equal(dns_host(d, STR("both.test"), on_result, &old, NULL), 0);
    mono_ms end = clock_mono_ms() + PATIENCE_MS;
    do
        host(d, "far", &c);
    while (c.code != 0 && clock_mono_ms() < end);
    assert_true(has(&c, "10.0.0.8"));
    wait_for(&old);
    reset(&old);
    reset(&c);
    dns_free(&d);
}

static void servfail_refused_and_silence_are_failures(void **state)
{
    (void)state;
    static const uint8_t rcodes[] = {2, 5}; /* SERVFAIL, REFUSED */
    struct came c = {0};
    uint16_t port;
    char text[32];
    int fd = udp_socket(&port);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)port);
    struct dns *d = resolver(text);
    for (size_t i = 0; i < 2; i++) {
        host_played(d, fd, rcodes[i], &c);
        assert_int_equal(c.code, ERR_UNAVAILABLE);
        assert_true(str_contains(str_c(c.why), STR("SERVFAIL or REFUSED")));
    }
    host_played(d, fd, 3, &c);
    assert_int_equal(c.code, ERR_NOENT);
    mono_ms start = clock_mono_ms();
    host(d, "silent.test.", &c);
    assert_int_equal(c.code, ERR_TIMEOUT);
    assert_true(clock_mono_ms() - start >= QUICK_MS);
    host(d, "silent.test.", &c); /* the tick runs for the second one too */
    assert_int_equal(c.code, ERR_TIMEOUT);
    close(fd);
    host(d, "nobody-listens.test.", &c);
    assert_true(c.code == ERR_UNAVAILABLE || c.code == ERR_TIMEOUT);
    reset(&c);
    dns_free(&d);
}

static void who_asks_on_and_on_does_not_put_off_the_time_outs(void **state)
{
    (void)state;
    static struct came all[300];
    char text[32];
    uint16_t port;
    size_t asked = 0;
    int fd = udp_socket(&port);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)port);
    struct dns *d = resolver(text);
    for (; asked < 300 && !all[0].done; asked++) {
        assert_int_equal(dns_host(d, STR("silent.test."), on_result, &all[asked], NULL), 0);
        loop_turn(loop, 10);
    }
    assert_true(all[0].done);
    assert_int_equal(all[0].code, ERR_TIMEOUT);
    dns_free(&d);
    close(fd);
    for (size_t i = 0; i < asked; i++)
        reset(&all[i]);
}

static void a_second_server_is_asked_when_the_first_fails(void **state)
{
    (void)state;
    NEEDS_DNSMASQ();
    struct came c = {0};
    uint16_t port;
    char text[80];
    int fd = udp_socket(&port);
    close(fd);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u,%s", (unsigned)port, server_text);
    struct dns *d = resolver(text);
    host(d, "both.test", &c);
    assert_true(c.code == 0 && c.records.addr_count == 2);
    reset(&c);
    dns_free(&d);
}

static void what_is_cancelled_or_freed_calls_nobody(void **state)
{
    (void)state;
    struct came c = {0};
    struct dns_query *q = NULL;
    uint16_t port;
    char text[32];
    int fd = udp_socket(&port);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)port);
    struct dns *d = resolver(text);
    assert_int_equal(dns_host(d, STR("a.test."), on_result, &c, &q), 0);
    dns_cancel(q);
    for (int i = 0; i < 10; i++) {
        loop_turn(loop, 5);
        (void)play(fd, 3, 0);
    }
    assert_int_equal(dns_host(d, STR("b.test."), on_result, &c, &q), 0);
    assert_int_equal(dns_service(d, STR("bad..name"), on_result, &c, &q), 0);
    dns_free(&d);
    loop_turn(loop, 5);
    assert_false(c.done);
    close(fd);
}

static void bad_names_and_servers_are_refused_and_queries_are_bounded(void **state)
{
    (void)state;
    struct came c = {0};
    static struct came many[600];
    struct err err = {0};
    struct dns *d = NULL;
    static const char *const bad[] = {"localhost", "1.2.3.4:0", "", "1.2.3.4:99999"};
    for (size_t i = 0; i < 4; i++) {
        struct dns_config config = {.servers = &bad[i], .server_count = 1};
        assert_int_equal(dns_init(&d, loop, &config, &err), ERR_INVAL);
        assert_null(d);
    }
    uint16_t port;
    char text[32];
    int fd = udp_socket(&port), taken = 0;
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)port);
    d = resolver(text);
    host(d, "bad..name", &c);
    assert_true(c.code == ERR_INVAL || c.code == ERR_UNAVAILABLE);
    assert_int_equal(dns_host(d, STR(""), on_result, &c, NULL), ERR_INVAL);
    assert_int_equal(dns_host(d, str_of(many, 300), on_result, &c, NULL), ERR_INVAL);
    int rc = 0;
    for (; rc == 0; taken += rc == 0)
        rc = dns_service(d, STR("x.test."), on_result, &many[taken], NULL);
    assert_int_equal(rc, ERR_LIMIT);
    assert_int_equal(taken, 512);
    reset(&c);
    dns_free(&d);
    close(fd);
}

static void the_hosts_file_is_asked_first(void **state)
{
    (void)state;
    struct came c = {0};
    struct dns *d = NULL;
    const char *const servers[] = {"127.0.0.1:1"};
    struct dns_config config = {.servers = servers, .server_count = 1, .timeout_ms = QUICK_MS};
    if (access("/etc/hosts", R_OK) != 0)
        skip();
    assert_int_equal(dns_init(&d, loop, &config, NULL), 0);
    host(d, "localhost", &c);
    assert_int_equal(c.code, 0);
    assert_true(has(&c, "127.0.0.1") || has(&c, "::1"));
    reset(&c);
    dns_free(&d);
}

static void without_memory_nothing_leaks(void **state)
{
    (void)state;
    const char *const servers[] = {"127.0.0.1:1"};
    struct dns_config config = {.servers = servers, .server_count = 1, .timeout_ms = 10};
    for (uint64_t at = 1;; at++) {
        struct dns *d = NULL;
        struct came c = {0};
        mem_fail_at(at);
        int rc = dns_init(&d, loop, &config, NULL);
        if (rc == 0 && dns_host(d, STR("x.test."), on_result, &c, NULL) == 0)
            wait_for(&c);
        bool over = mem_fail_pending() != 0;
        mem_fail_at(0);
        assert_true(rc == 0 || (rc == ERR_NOMEM && d == NULL));
        reset(&c);
        dns_free(&d);
        loop_turn(loop, 0);
        if (over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_has_the_addresses_of_both_families),
        cmocka_unit_test(a_service_has_targets_with_and_without_addresses),
        cmocka_unit_test(an_answer_too_large_for_udp_comes_over_tcp),
        cmocka_unit_test(no_such_name_and_no_such_record_are_answers),
        cmocka_unit_test(answers_change_with_the_server),
        cmocka_unit_test(a_changed_resolv_conf_is_read_again),
        cmocka_unit_test(servfail_refused_and_silence_are_failures),
        cmocka_unit_test(who_asks_on_and_on_does_not_put_off_the_time_outs),
        cmocka_unit_test(a_second_server_is_asked_when_the_first_fails),
        cmocka_unit_test(what_is_cancelled_or_freed_calls_nobody),
        cmocka_unit_test(bad_names_and_servers_are_refused_and_queries_are_bounded),
        cmocka_unit_test(the_hosts_file_is_asked_first),
        cmocka_unit_test(without_memory_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
