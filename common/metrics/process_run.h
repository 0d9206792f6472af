/* metrics/process_run.h - what every process says of itself: process_* from /proc, and which
 * build it is. The names are those of Prometheus's client libraries.
 *
 * Reads /proc at each exposition. Tests: tests/unit/metrics/test_process.c. */
#ifndef METRICS_PROCESS_RUN_H
#define METRICS_PROCESS_RUN_H

#include "base/err.h"

struct metrics;

/* Register process_cpu_seconds_total, process_resident_memory_bytes,
 * process_virtual_memory_bytes, process_open_fds, process_max_fds, process_start_time_seconds
 * and process_threads. What cannot be read is left out of an exposition. Errors as
 * metrics_register(). */
int metrics_process(struct metrics *m, struct err *err);

/* Register build_info, a gauge of 1 with the labels version, revision, branch and compiler
 * (static texts). Errors as metrics_register(). */
int metrics_build_info(struct metrics *m, const char *version, const char *revision,
                       const char *branch, struct err *err);

#endif
