/* The load that tests/bench/bench_push.py measures with: pushes over keep-alive connections, in
 * a closed loop or at a rate, and the CPU that processes use meanwhile, beside libdeflate's
 * gunzip of the same bytes in the same seconds.
 *
 *   bench_load --to HOST:PORT --profiles FILE,... [--pid PID,...] [--connections 32]
 *              [--rate N] [--seconds 5] [--warm 2] [--services 8] [--prefix TEXT]
 *
 * FILEs hold raw pprof without a time. Each push carries one of them with a time of its own, so
 * that no push repeats another: compressed once (zlib's level 1, as Go does), the time in a
 * stored block behind, and the checksum carried on. Latency at a rate counts from when a push
 * was due. Prints one line of JSON. --smoke: checks that what it would send unpacks to what it
 * should, and ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "wire/compress.h"
#include "wire/hash.h"
#include "wire/pb.h"

enum {
    FILES_MAX = 64,
    PIDS_MAX = 16,
    CONNECTIONS_MAX = 512,
    LATENCIES_MAX = 4 << 20,
    GUNZIP_EVERY_MS = 50,
    TURN_NS = 20 * 1000 * 1000,
    TIME_FIELD = 9, /* bytes of a time: tag and a varint of 9 bytes, as now's are */
};

struct variant {
    struct buf raw;     /* without its time */
    struct buf deflate; /* gzip header and all blocks but the last */
    uint32_t crc;       /* of raw */
};

struct conn {
    int fd;
    bool busy;
    struct buf out;
    size_t sent, got;
    long body_left; /* -1: still in the head */
    int64_t due_ns;
    char head[2048];
};

struct load {
    const char *host, *prefix;
    uint16_t port;
    unsigned connections, services;
    double rate, seconds, warm;
    struct variant variants[FILES_MAX];
    unsigned variant_count;
    int pids[PIDS_MAX];
    unsigned pid_count;
    struct conn conns[CONNECTIONS_MAX];
    int epoll;
    uint64_t started, acked, failed;
    int64_t last_time_ns;
    struct buf gz, request, raw;
    double *latencies;
    size_t latency_count;
    bool measuring;
    double gunzip_us;
    uint64_t gunzips;
    uint64_t gz_bytes; /* of all that was started */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- a push ------------------------------------------------------------------------------- */

static void compress_variant(struct variant *v)
{
    z_stream z = {0};
    ASSERT(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    size_t room = deflateBound(&z, v->raw.size) + 64;
    uint8_t *p = buf_reserve(&v->deflate, room);
    ASSERT(p != NULL);
    z.next_in = v->raw.data;
    z.avail_in = (unsigned)v->raw.size;
    z.next_out = p;
    z.avail_out = (unsigned)room;
    ASSERT(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_in == 0);
    v->deflate.size = room - z.avail_out;
    v->crc = hash_crc32(0, buf_view(&v->raw));
    (void)deflateEnd(&z);
}

/* The variant with this time, as gzip. */
static void gzip_at(const struct variant *v, int64_t time_ns, struct buf *out)
{
    uint8_t room[16];
    struct buf field = {.data = room, .cap = sizeof room};
    pb_put_varint(&field, TIME_FIELD, (uint64_t)time_ns);
    uint16_t size = (uint16_t)field.size;
    buf_clear(out);
    buf_str(out, buf_view(&v->deflate));
    buf_u8(out, 1); /* a last block, stored */
    buf_u8(out, (uint8_t)size);
    buf_u8(out, 0);
    buf_u8(out, (uint8_t)~size);
    buf_u8(out, 0xff);
    buf_str(out, buf_view(&field));
    buf_u32le(out, hash_crc32(v->crc, buf_view(&field)));
    buf_u32le(out, (uint32_t)(v->raw.size + field.size));
    ASSERT(out->error == 0);
}

static void put_label(struct buf *b, const char *name, const char *value)
{
    size_t at = pb_begin(b, 1);
    pb_put_bytes(b, 1, str_c(name));
    pb_put_bytes(b, 2, str_c(value));
    pb_end(b, at);
}

/* The next push, whole with its HTTP head. */
static void next_push(struct load *l, struct buf *out)
{
    char service[80], head[320];
    const struct variant *v = &l->variants[l->started % l->variant_count];
    int64_t now = clock_wall_ns();
    l->last_time_ns = now > l->last_time_ns ? now : l->last_time_ns + 1;
    gzip_at(v, l->last_time_ns, &l->gz);
    (void)snprintf(service, sizeof service, "%s-%u", l->prefix,
                   (unsigned)(l->started % l->services));
    l->started++;
    l->gz_bytes += l->gz.size;
    buf_clear(&l->request);
    size_t series = pb_begin(&l->request, 1);
    put_label(&l->request, "__name__", "process_cpu");
    put_label(&l->request, "service_name", service);
    put_label(&l->request, "namespace", "shop");
    size_t sample = pb_begin(&l->request, 2);
    pb_put_bytes(&l->request, 1, buf_view(&l->gz));
    pb_end(&l->request, sample);
    pb_end(&l->request, series);
    int n = snprintf(head, sizeof head,
                     "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: %s:%u\r\n"
                     "Content-Type: application/proto\r\nConnect-Protocol-Version: 1\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     l->host, l->port, l->request.size);
    buf_clear(out);
    buf_put(out, head, (size_t)n);
    buf_str(out, buf_view(&l->request));
    ASSERT(out->error == 0);
}

/* --- connections -------------------------------------------------------------------------- */

static void watch(struct load *l, struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
        die("epoll_ctl");
}

static void open_conn(struct load *l, struct conn *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(l->port)};
    int one = 1;
    if (inet_pton(AF_INET, l->host, &sa.sin_addr) != 1)
        die(l->host);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&sa, sizeof sa) != 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("epoll_ctl");
}

static void send_more(struct load *l, struct conn *c)
{
    while (c->sent < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.size - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            watch(l, c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
        if (c->sent == c->out.size)
            watch(l, c, EPOLLIN);
    }
}

static void start(struct load *l, struct conn *c, int64_t due_ns)
{
    next_push(l, &c->out);
    c->busy = true;
    c->sent = c->got = 0;
    c->body_left = -1;
    c->due_ns = due_ns;
    send_more(l, c);
}

static void finish(struct load *l, struct conn *c)
{
    c->busy = false;
    if (memcmp(c->head, "HTTP/1.1 200", 12) != 0) {
        if (l->failed++ == 0)
            (void)fprintf(stderr, "bench_load: %.*s\n", (int)c->got, c->head);
        return;
    }
    l->acked++;
    if (l->measuring && l->latency_count < LATENCIES_MAX)
        l->latencies[l->latency_count++] = (double)(clock_mono_ns() - c->due_ns) / 1e6;
}

/* Answers are small and stay in `head`. */
static void receive(struct load *l, struct conn *c)
{
    ssize_t n = recv(c->fd, c->head + c->got, sizeof c->head - 1 - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server closed a connection");
    c->got += (size_t)n;
    c->head[c->got] = '\0';
    const char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL)
        return;
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    size_t body = length == NULL ? 0 : (size_t)strtoul(length + 17, NULL, 10);
    if (c->got >= (size_t)(end + 4 - c->head) + body)
        finish(l, c);
    else if (c->got == sizeof c->head - 1)
        die("an answer that is too long");
}

/* --- figures ------------------------------------------------------------------------------ */

/* User and system time of a process, in seconds. */
static double cpu_of(int pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        die(path);
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    if (p == NULL || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                            &user, &system) != 2)
        die(path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double thread_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Time a few unpackings of what was sent last; the first one only warms the cache. */
static void time_gunzip(struct load *l)
{
    double began = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            began = thread_us();
        ASSERT(gzip_unpack(buf_view(&l->gz), 64 << 20, &l->raw, NULL) == 0);
    }
    l->gunzip_us += thread_us() - began;
    l->gunzips += 3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(const struct load *l, double p)
{
    if (l->latency_count == 0)
        return 0;
    return l->latencies[(size_t)((double)(l->latency_count - 1) * p)];
}

static void print(struct load *l, double seconds, uint64_t acked, const double *cpu)
{
    double started = (double)(l->started > 0 ? l->started : 1);
    qsort(l->latencies, l->latency_count, sizeof *l->latencies, by_size);
    printf("{\"acked\": %llu, \"failed\": %llu, \"all_acked\": %llu, \"per_second\": %.1f, "
           "\"gzip_bytes\": %.0f, \"gunzip_us\": %.2f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"cpu_us\": [",
           (unsigned long long)acked, (unsigned long long)l->failed,
           (unsigned long long)l->acked, (double)acked / seconds, (double)l->gz_bytes / started,
           l->gunzip_us / (double)(l->gunzips > 0 ? l->gunzips : 1), percentile(l, 0.5),
           percentile(l, 0.99), percentile(l, 1));
    for (unsigned i = 0; i < l->pid_count; i++)
        printf("%s%.2f", i > 0 ? ", " : "", cpu[i] * 1e6 / (double)(acked > 0 ? acked : 1));
    printf("]}\n");
}

/* --- the loop ----------------------------------------------------------------------------- */

static struct conn *idle_conn(struct load *l)
{
    for (unsigned i = 0; i < l->connections; i++)
        if (!l->conns[i].busy)
            return &l->conns[i];
    return NULL;
}

/* Start what is due; nanoseconds of the next one. */
static int64_t start_due(struct load *l, int64_t next_ns, int64_t now)
{
    struct conn *c;
    if (l->rate <= 0) {
        while ((c = idle_conn(l)) != NULL)
            start(l, c, clock_mono_ns());
        return INT64_MAX;
    }
    while (next_ns <= now && (c = idle_conn(l)) != NULL) {
        start(l, c, next_ns);
        next_ns += (int64_t)(1e9 / l->rate);
    }
    return next_ns;
}

/* Handle what comes within `wait_ns`, waiting asleep: on few cores a client that spins would
 * measure itself. */
static void turn(struct load *l, int64_t wait_ns)
{
    struct epoll_event events[64];
    struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    int n = epoll_pwait2(l->epoll, events, 64, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            send_more(l, c);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(l, c);
    }
}

static void drive(struct load *l)
{
    int64_t began = clock_mono_ns(), next = began, measure = began + (int64_t)(l->warm * 1e9);
    int64_t end = measure + (int64_t)(l->seconds * 1e9), gunzip_at = measure, now = began;
    uint64_t before = 0;
    double cpu[PIDS_MAX] = {0};
    for (; now < end; now = clock_mono_ns()) {
        if (!l->measuring && now >= measure) {
            l->measuring = true;
            before = l->acked;
            for (unsigned i = 0; i < l->pid_count; i++)
                cpu[i] = cpu_of(l->pids[i]);
            measure = now;
        }
        next = start_due(l, next, now);
        int64_t left = next - clock_mono_ns();
        turn(l, left > TURN_NS ? TURN_NS : left > 0 ? left : 0);
        if (l->measuring && l->rate <= 0 && now >= gunzip_at) {
            time_gunzip(l);
            gunzip_at = now + GUNZIP_EVERY_MS * 1000000ll;
        }
    }
    for (unsigned i = 0; i < l->pid_count; i++)
        cpu[i] = cpu_of(l->pids[i]) - cpu[i];
    double seconds = (double)(now - measure) / 1e9;
    uint64_t acked = l->acked - before;
    for (int64_t until = now + 2000000000; clock_mono_ns() < until;) {
        bool busy = false;
        for (unsigned i = 0; i < l->connections; i++)
            busy = busy || l->conns[i].busy;
        if (!busy)
            break;
        turn(l, TURN_NS);
    }
    print(l, seconds, acked, cpu);
}

/* --- main --------------------------------------------------------------------------------- */

static void read_variant(struct load *l, const char *path)
{
    ASSERT(l->variant_count < FILES_MAX);
    struct variant *v = &l->variants[l->variant_count++];
    FILE *f = fopen(path, "re");
    if (f == NULL)
        die(path);
    for (size_t n = 1; n > 0; v->raw.size += n) {
        uint8_t *p = buf_reserve(&v->raw, 65536);
        ASSERT(p != NULL);
        n = fread(p, 1, 65536, f);
    }
    (void)fclose(f);
    compress_variant(v);
}

static void set(struct load *l, const char *name, char *value)
{
    char *save = NULL;
    if (strcmp(name, "--to") == 0) {
        char *colon = strrchr(value, ':');
        if (colon == NULL)
            die("--to HOST:PORT");
        *colon = '\0';
        l->host = value;
        l->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    } else if (strcmp(name, "--profiles") == 0) {
        for (char *p = strtok_r(value, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save))
            read_variant(l, p);
    } else if (strcmp(name, "--pid") == 0) {
        for (char *p = strtok_r(value, ",", &save); p != NULL && l->pid_count < PIDS_MAX;
             p = strtok_r(NULL, ",", &save))
            l->pids[l->pid_count++] = (int)strtol(p, NULL, 10);
    } else if (strcmp(name, "--connections") == 0) {
        l->connections = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--services") == 0) {
        l->services = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--prefix") == 0) {
        l->prefix = value;
    } else if (strcmp(name, "--rate") == 0) {
        l->rate = strtod(value, NULL);
    } else if (strcmp(name, "--seconds") == 0) {
        l->seconds = strtod(value, NULL);
    } else if (strcmp(name, "--warm") == 0) {
        l->warm = strtod(value, NULL);
    } else {
        errno = EINVAL;
        die(name);
    }
}

/* What would be sent unpacks to the profile and its time. */
static int smoke(struct load *l)
{
    struct variant *v = &l->variants[l->variant_count++];
    for (unsigned i = 0; i < 20000; i++)
        buf_udec(&v->raw, i * 7 % 1000);
    compress_variant(v);
    struct buf out = {0}, want = {0};
    gzip_at(v, 1700000000000000001, &l->gz);
    ASSERT(gzip_unpack(buf_view(&l->gz), 1 << 20, &out, NULL) == 0);
    buf_str(&want, buf_view(&v->raw));
    pb_put_varint(&want, TIME_FIELD, 1700000000000000001);
    bool ok = str_eq(buf_view(&out), buf_view(&want));
    buf_reset(&out);
    buf_reset(&want);
    printf("%s; the figures come from tests/bench/bench_push.py\n",
           ok ? "what is sent unpacks to what it should"
              : "what is sent unpacks to something else");
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct load l = {
        .prefix = "bench", .connections = 32, .services = 8, .seconds = 5, .warm = 2};
    int status = 0;
    for (int i = 1; i + 1 < argc; i += 2)
        set(&l, argv[i], argv[i + 1]);
    if (l.host == NULL) {
        status = smoke(&l);
    } else {
        ASSERT(l.variant_count > 0 && l.connections > 0 && l.connections <= CONNECTIONS_MAX);
        ASSERT(l.services > 0);
        l.latencies = mem_calloc(LATENCIES_MAX, sizeof *l.latencies);
        l.epoll = epoll_create1(EPOLL_CLOEXEC);
        ASSERT(l.latencies != NULL && l.epoll >= 0);
        for (unsigned i = 0; i < l.connections; i++)
            open_conn(&l, &l.conns[i]);
        drive(&l);
        status = l.acked > 0 && l.failed == 0 ? 0 : 1;
    }
    for (unsigned i = 0; i < l.connections && l.host != NULL; i++) {
        (void)close(l.conns[i].fd);
        buf_reset(&l.conns[i].out);
    }
    for (unsigned i = 0; i < l.variant_count; i++) {
        buf_reset(&l.variants[i].raw);
        buf_reset(&l.variants[i].deflate);
    }
    mem_free(l.latencies);
    buf_reset(&l.gz);
    buf_reset(&l.request);
    buf_reset(&l.raw);
    return status;
}
