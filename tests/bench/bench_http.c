/* What HTTP costs: an empty GET, a POST of 39 kB, the same as an RPC, and the same made by our own
 * client, in CPU time of the serving (or calling) thread and as ratios to the empty GET.
 *
 * 16 connections, closed loop, loopback; the machine's other work moves the absolute figures.
 * `bench_http client N` makes N calls of our own client and nothing else, to count instructions:
 *
 *   valgrind --tool=callgrind --separate-threads=yes build/plain/tests/bench/bench_http client 5000
 */
#include "net/http_client.h"
#include "net/http_server.h"
#include "rpc/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/memory_run.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { CONNS = 16, BODY = 39 * 1024, RUN_MS = 1500 };

static struct loop *server_loop, *client_loop;
static struct http_server *server;
static struct http_client *client;
static char body[BODY];
static uint16_t port;

static void empty(void *arg, struct http_req *req)
{
    (void)arg;
    http_reply(req, &(struct http_answer){.status = 200});
}

static void later_now(void *arg)
{
    empty(NULL, arg);
}

/* Suspended, and answered by work that was posted to the same loop. */
static void later(void *arg, struct http_req *req)
{
    struct loop_work *w = arena_zalloc(req->arena, sizeof *w);
    (void)arg;
    ASSERT(w != NULL);
    loop_post(req->loop, w, later_now, req);
}

static void method(void *arg, struct rpc_call *call)
{
    struct buf none = {0};
    (void)arg;
    rpc_reply_bytes(call, &none);
}

static void read_cpu(void *arg)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    *(double *)arg = (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double cpu_us(struct loop *l)
{
    double us = 0;
    loop_call(l, read_cpu, &us);
    return us;
}

static void send_all(int fd, const char *p, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        ASSERT(n > 0);
        p += n;
        size -= (size_t)n;
    }
}

/* Read one answer without a body worth mentioning; its size is the same every time. */
static size_t read_answer(int fd, size_t size)
{
    char text[2048];
    size_t got = 0;
    while (size == 0 ? got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0 : got < size) {
        ssize_t n = recv(fd, text + got, sizeof text - got, 0);
        ASSERT(n > 0);
        got += (size_t)n;
    }
    ASSERT(memcmp(text, "HTTP/1.1 200", 12) == 0);
    return got;
}

struct figure {
    double per_second, us;
};

static struct figure run(const char *head, size_t body_size)
{
    int fds[CONNS];
    size_t size = 0, request = strlen(head) + body_size;
    char *text = mem_alloc(request);
    ASSERT(text != NULL);
    memcpy(text, head, strlen(head));
    memcpy(text + strlen(head), body, body_size);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CONNS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        ASSERT(connect(fds[i], (const struct sockaddr *)&sa, sizeof sa) == 0);
        send_all(fds[i], text, request);
        size = read_answer(fds[i], 0);
    }
    uint64_t count = 0;
    double cpu = cpu_us(server_loop);
    mono_ms began = clock_mono_ms(), now = began;
    while (now - began < RUN_MS) {
        for (int i = 0; i < CONNS; i++)
            send_all(fds[i], text, request);
        for (int i = 0; i < CONNS; i++)
            read_answer(fds[i], size);
        count += CONNS;
        now = clock_mono_ms();
    }
    struct figure f = {(double)count * 1000 / (double)(now - began),
                       (cpu_us(server_loop) - cpu) / (double)count};
    for (int i = 0; i < CONNS; i++)
        close(fds[i]);
    mem_free(text);
    return f;
}

static atomic_ulong done_count;
static atomic_bool over;
static atomic_int under_way;
static unsigned long last; /* of run_counted(); 0: no last one */

static void ask(void);

static void on_done(void *arg, const struct http_result *r)
{
    (void)arg;
    ASSERT(r->code == 0 && r->status == 200);
    unsigned long n = atomic_fetch_add(&done_count, 1) + 1;
    if (atomic_load(&over) || (last != 0 && n + CONNS > last))
        atomic_fetch_sub(&under_way, 1);
    else
        ask();
}

static void ask(void)
{
    static char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/empty", port);
    struct http_ask a = {.method = HTTP_POST,
                         .url = url,
                         .body = str_of(body, BODY),
                         .deadline = MONO_NEVER,
                         .done = on_done};
    ASSERT(http_call_start(client, &a, NULL, NULL) == 0);
}

static void ask_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < CONNS; i++)
        ask();
}

static struct figure run_client(void)
{
    atomic_store(&under_way, CONNS);
    loop_call(client_loop, ask_all, NULL);
    struct timespec wait = {.tv_nsec = 200 * 1000000};
    nanosleep(&wait, NULL); /* connections stand now */
    double cpu = cpu_us(client_loop);
    unsigned long count = atomic_load(&done_count);
    mono_ms began = clock_mono_ms();
    wait = (struct timespec){.tv_sec = RUN_MS / 1000, .tv_nsec = RUN_MS % 1000 * 1000000};
    nanosleep(&wait, NULL);
    count = atomic_load(&done_count) - count;
    struct figure f = {(double)count * 1000 / (double)(clock_mono_ms() - began),
                       (cpu_us(client_loop) - cpu) / (double)count};
    atomic_store(&over, true);
    wait = (struct timespec){.tv_nsec = 1000000};
    while (atomic_load(&under_way) > 0)
        nanosleep(&wait, NULL);
    return f;
}

static void run_counted(unsigned long calls)
{
    struct timespec wait = {.tv_nsec = 1000000};
    last = calls;
    atomic_store(&under_way, CONNS);
    loop_call(client_loop, ask_all, NULL);
    while (atomic_load(&under_way) > 0)
        nanosleep(&wait, NULL);
    printf("%lu calls of the client\n", atomic_load(&done_count));
}

static void print(const char *what, struct figure f, double unit)
{
    printf("%-44s %8.0f /s %7.1f us CPU %6.2f x\n", what, f.per_second, f.us, f.us / unit);
}

static void run_all(void)
{
    char head[256];
    struct figure get = run("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    print("GET, empty answer", get, get.us);
    print("GET, answered later (suspend, resume)",
          run("GET /later HTTP/1.1\r\nHost: x\r\n\r\n", 0), get.us);
    snprintf(head, sizeof head, "POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             BODY);
    print("POST 39 kB", run(head, BODY), get.us);
    snprintf(head, sizeof head,
             "POST /bench.v1.Bench/Raw HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n"
             "Connect-Timeout-Ms: 5000\r\nContent-Length: %d\r\n\r\n", BODY);
    print("RPC, 39 kB of protobuf, not decoded", run(head, BODY), get.us);
    print("client: POST 39 kB", run_client(), get.us);
}

int main(int argc, char **argv)
{
    struct rpc_server *rpc = NULL;
    static const struct rpc_method methods[] = {
        {.path = "/bench.v1.Bench/Raw", .handler = method, .flags = RPC_RAW}};
    static const struct http_route routes[] = {
        {.path = "/empty", .methods = HTTP_GET | HTTP_POST, .body_max = 1 << 20, .handler = empty},
        {.path = "/later", .methods = HTTP_GET, .handler = later},
    };
    struct http_server_config config = {.address = STR("127.0.0.1")};
    struct http_client_config none = {0};
    struct rpc_server_config plain = {0};
    memory_tune();
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)(i * 2654435761u >> 11);
    ASSERT(loop_init(&server_loop, "server", NULL) == 0);
    ASSERT(loop_init(&client_loop, "client", NULL) == 0);
    ASSERT(http_server_init(&server, &server_loop, 1, &config, NULL) == 0);
    ASSERT(rpc_server_init(&rpc, server, &plain) == 0);
    ASSERT(rpc_server_add(rpc, methods, 1, NULL) == 0);
    ASSERT(http_server_route(server, &routes[0], NULL) == 0);
    ASSERT(http_server_route(server, &routes[1], NULL) == 0);
    ASSERT(http_client_init(&client, client_loop, &none, NULL) == 0);
    ASSERT(http_server_start(server, NULL) == 0);
    ASSERT(loop_start(server_loop, NULL) == 0 && loop_start(client_loop, NULL) == 0);
    port = http_server_addr(server).port;

    if (argc == 3 && strcmp(argv[1], "client") == 0)
        run_counted(strtoul(argv[2], NULL, 10));
    else
        run_all();

    http_client_free(&client);
    http_server_free(&server);
    rpc_server_free(&rpc);
    loop_free(&server_loop);
    loop_free(&client_loop);
    return 0;
}
