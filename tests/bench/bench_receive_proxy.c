/* What tests/bench/bench_receive_proxy.py measures the receive-proxy beside, and its many
 * clients.
 *
 *   --sink                   a receiver: libmicrohttpd by itself, on one thread, which reads
 *                            each POST and answers with an empty 200. Says its port, and at the
 *                            end of its input how many it answered.
 *   --hold PORT COUNT BYTES  COUNT connections, each sends one Push of a profile of BYTES and
 *                            stays open. Says how many got 200, waits for the end of its input.
 *   --smoke                  holds a few connections to a sink of its own. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "wire/pb.h"

enum { AT_ONCE = 64, HOLD_MAX = 15000, SMOKE = 20, SMOKE_BYTES = 40000 };

/* --- the sink ---------------------------------------------------------------------------- */

struct sink {
    struct MHD_Daemon *daemon;
    struct MHD_Response *empty;
    atomic_ulong answered;
    uint16_t port;
};

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    static int seen;
    struct sink *s = arg;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*size > 0) {
        *size = 0;
        return MHD_YES;
    }
    atomic_fetch_add_explicit(&s->answered, 1, memory_order_relaxed);
    return MHD_queue_response(c, MHD_HTTP_OK, s->empty);
}

static void sink_start(struct sink *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->empty = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    ASSERT(s->empty != NULL);
    ASSERT(MHD_add_response_header(s->empty, "Content-Type", "application/proto") == MHD_YES);
    s->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, s,
                                 MHD_OPTION_SOCK_ADDR, &sa, MHD_OPTION_END);
    ASSERT(s->daemon != NULL);
    s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static void sink_stop(struct sink *s)
{
    MHD_stop_daemon(s->daemon);
    MHD_destroy_response(s->empty);
}

static void wait_for_end_of_input(void)
{
    char c[64];
    while (read(STDIN_FILENO, c, sizeof c) > 0)
        ;
}

static int run_sink(void)
{
    struct sink s = {0};
    sink_start(&s);
    printf("%u\n", s.port);
    (void)fflush(stdout);
    wait_for_end_of_input();
    printf("%lu\n", atomic_load(&s.answered));
    sink_stop(&s);
    return 0;
}

/* --- connections that stay --------------------------------------------------------------- */

static void put_label(struct buf *b, const char *name, const char *value)
{
    size_t at = pb_begin(b, 1);
    pb_put_bytes(b, 1, str_c(name));
    pb_put_bytes(b, 2, str_c(value));
    pb_end(b, at);
}

/* A Push of one profile that is noise: a receiver that only passes it on does not look into it. */
static void make_push(struct buf *out, size_t bytes)
{
    struct buf body = {0}, profile = {0};
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < bytes; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        buf_u8(&profile, (uint8_t)x);
    }
    size_t series = pb_begin(&body, 1);
    put_label(&body, "__name__", "process_cpu");
    put_label(&body, "service_name", "bench");
    size_t sample = pb_begin(&body, 2);
    pb_put_bytes(&body, 1, buf_view(&profile));
    pb_end(&body, sample);
    pb_end(&body, series);
    buf_printf(out,
               "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: bench\r\n"
               "Content-Type: application/proto\r\nContent-Length: %zu\r\n\r\n",
               body.size);
    buf_str(out, buf_view(&body));
    ASSERT(out->error == 0 && body.error == 0 && profile.error == 0);
    buf_reset(&body);
    buf_reset(&profile);
}

static int open_connection(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    ASSERT(connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0);
    return fd;
}

static bool send_all(int fd, struct str s)
{
    while (s.len > 0) {
        ssize_t n = send(fd, s.data, s.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        s = str_skip(s, (size_t)n);
    }
    return true;
}

/* The head of an answer; what follows it is none of ours. */
static bool is_ok(int fd)
{
    char text[1024];
    size_t got = 0;
    while (got < sizeof text) {
        ssize_t n = recv(fd, text + got, sizeof text - got, 0);
        if (n <= 0)
            return false;
        got += (size_t)n;
        if (memmem(text, got, "\r\n\r\n", 4) != NULL)
            break;
    }
    return got > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0;
}

/* AT_ONCE connections at a time; how many got 200. */
static size_t hold(uint16_t port, int *fds, size_t count, size_t bytes)
{
    struct buf push = {0};
    size_t ok = 0;
    make_push(&push, bytes);
    for (size_t at = 0; at < count; at += AT_ONCE) {
        size_t end = at + AT_ONCE < count ? at + AT_ONCE : count;
        for (size_t i = at; i < end; i++) {
            fds[i] = open_connection(port);
            (void)send_all(fds[i], buf_view(&push));
        }
        for (size_t i = at; i < end; i++)
            ok += is_ok(fds[i]);
    }
    buf_reset(&push);
    return ok;
}

static void drop(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

static int run_hold(const char *port, const char *count, const char *bytes)
{
    size_t n = strtoul(count, NULL, 10);
    int *fds = mem_calloc(n + 1, sizeof *fds);
    ASSERT(fds != NULL && n <= HOLD_MAX);
    printf("%zu\n", hold((uint16_t)strtoul(port, NULL, 10), fds, n, strtoul(bytes, NULL, 10)));
    (void)fflush(stdout);
    wait_for_end_of_input();
    drop(fds, n);
    mem_free(fds);
    return 0;
}

static int smoke(void)
{
    struct sink s = {0};
    int fds[SMOKE];
    sink_start(&s);
    size_t ok = hold(s.port, fds, SMOKE, SMOKE_BYTES);
    drop(fds, SMOKE);
    unsigned long answered = atomic_load(&s.answered);
    sink_stop(&s);
    printf("%zu of %d answered; the figures come from tests/bench/bench_receive_proxy.py\n", ok,
           (int)SMOKE);
    return ok == SMOKE && answered == SMOKE ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--sink") == 0)
        return run_sink();
    if (argc == 5 && strcmp(argv[1], "--hold") == 0)
        return run_hold(argv[2], argv[3], argv[4]);
    return smoke();
}
