/* metrics/process_run.c - /proc/self as metrics. */
#include "metrics/process_run.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics/metrics.h"

/* The fields of /proc/self/stat that we show, proc(5). */
struct stat_fields {
    double cpu_seconds;    /* utime + stime */
    double threads;        /* num_threads */
    double start_ticks;    /* starttime: ticks after boot */
    double virtual_bytes;  /* vsize */
    double resident_bytes; /* rss, pages */
};

static bool read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, size - 1);
    (void)close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

static bool read_stat(struct stat_fields *out)
{
    char text[1024];
    if (!read_small("/proc/self/stat", text, sizeof text))
        return false;
    const char *p = strrchr(text, ')'); /* the command's name may hold anything */
    double fields[25] = {0};            /* by proc(5)'s numbers; the state is 3 */
    if (p == NULL || p[1] != ' ' || p[2] == '\0')
        return false;
    p += 3;
    for (int i = 4; i <= 24; i++) {
        char *end = NULL;
        fields[i] = strtod(p, &end);
        if (end == p)
            return false;
        p = end;
    }
    double ticks = (double)sysconf(_SC_CLK_TCK);
    *out = (struct stat_fields){
        .cpu_seconds = (fields[14] + fields[15]) / ticks,
        .threads = fields[20],
        .start_ticks = fields[22] / ticks,
        .virtual_bytes = fields[23],
        .resident_bytes = fields[24] * (double)sysconf(_SC_PAGESIZE),
    };
    return true;
}

/* Unix seconds of the machine's start; 0 when unknown. */
static double boot_time(void)
{
    char line[256];
    double t = 0;
    FILE *f = fopen("/proc/stat", "re");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "btime ", 6) == 0)
            t = strtod(line + 6, NULL);
    (void)fclose(f);
    return t;
}

static void emit_cpu(void *arg, struct metrics_sink *sink)
{
    struct stat_fields s;
    (void)arg;
    if (read_stat(&s))
        metrics_emit(sink, NULL, s.cpu_seconds);
}

static void emit_resident(void *arg, struct metrics_sink *sink)
{
    struct stat_fields s;
    (void)arg;
    if (read_stat(&s))
        metrics_emit(sink, NULL, s.resident_bytes);
}

static void emit_virtual(void *arg, struct metrics_sink *sink)
{
    struct stat_fields s;
    (void)arg;
    if (read_stat(&s))
        metrics_emit(sink, NULL, s.virtual_bytes);
}

static void emit_threads(void *arg, struct metrics_sink *sink)
{
    struct stat_fields s;
    (void)arg;
    if (read_stat(&s))
        metrics_emit(sink, NULL, s.threads);
}

static void emit_start(void *arg, struct metrics_sink *sink)
{
    struct stat_fields s;
    double boot = boot_time();
    (void)arg;
    if (boot > 0 && read_stat(&s))
        metrics_emit(sink, NULL, boot + s.start_ticks);
}

static void emit_fds(void *arg, struct metrics_sink *sink)
{
    (void)arg;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return;
    double count = -1; /* the directory's own */
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        count += e->d_name[0] != '.';
    (void)closedir(d);
    metrics_emit(sink, NULL, count);
}

static void emit_max_fds(void *arg, struct metrics_sink *sink)
{
    struct rlimit limit;
    (void)arg;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_emit(sink, NULL, (double)limit.rlim_cur);
}

#define PROCESS_ROW(kind, name, help)                                                          \
    {                                                                                          \
        (kind), METRIC_BARE, (name), "", (help), 0, NULL, 0, 0                                 \
    }

int metrics_process(struct metrics *m, struct err *err)
{
    static const struct {
        struct metric_row row;
        metrics_collect_fn fn;
    } all[] = {
        {PROCESS_ROW(METRIC_COUNTER, "process_cpu_seconds_total",
                     "Total user and system CPU time spent in seconds."),
         emit_cpu},
        {PROCESS_ROW(METRIC_GAUGE, "process_resident_memory_bytes",
                     "Resident memory size in bytes."),
         emit_resident},
        {PROCESS_ROW(METRIC_GAUGE, "process_virtual_memory_bytes",
                     "Virtual memory size in bytes."),
         emit_virtual},
        {PROCESS_ROW(METRIC_GAUGE, "process_threads", "Number of threads of the process."),
         emit_threads},
        {PROCESS_ROW(METRIC_GAUGE, "process_start_time_seconds",
                     "Start time of the process since unix epoch in seconds."),
         emit_start},
        {PROCESS_ROW(METRIC_GAUGE, "process_open_fds", "Number of open file descriptors."),
         emit_fds},
        {PROCESS_ROW(METRIC_GAUGE, "process_max_fds",
                     "Maximum number of open file descriptors."),
         emit_max_fds},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && rc == 0; i++)
        rc = metrics_collector(m, &all[i].row, NULL, all[i].fn, NULL, err);
    return rc;
}

static void emit_one(void *arg, struct metrics_sink *sink)
{
    (void)arg;
    metrics_emit(sink, NULL, 1);
}

int metrics_build_info(struct metrics *m, const char *version, const char *revision,
                       const char *branch, struct err *err)
{
    static const struct metric_row row = {
        METRIC_GAUGE,
        0,
        "build_info",
        "",
        "A metric with a constant '1' value labeled by version, "
        "revision and branch from which this process was built, and by its compiler.",
        0,
        NULL,
        0,
        0};
    const struct metric_label labels[] = {{"version", version},
                                          {"revision", revision},
                                          {"branch", branch},
                                          {"compiler", __VERSION__},
                                          {NULL, NULL}};
    return metrics_collector(m, &row, labels, emit_one, NULL, err);
}
