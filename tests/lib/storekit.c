/* Made-up pushes. */
#include "storekit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "profile/form.h"
#include "profile/tree.h"

enum { WRITERS = 64 };

static void must(bool good)
{
    if (!good)
        abort();
}

struct sample {
    unsigned a, b;
    uint64_t value;
};

static struct sample sample_at(const struct kit_profile *p, struct rng *rng)
{
    (void)p;
    struct sample s = {(unsigned)rng_below(rng, 16), (unsigned)rng_below(rng, 32), 0};
    s.value = rng_below(rng, 1000) * rng_below(rng, 3) + 1;
    return s;
}

uint64_t kit_total(const struct kit_profile *p, unsigned member)
{
    struct rng rng;
    uint64_t sum = 0;
    rng_seed(&rng, p->stack_seed);
    for (unsigned i = 0; i < p->samples; i++)
        sum += sample_at(p, &rng).value;
    return member == 0 ? sum : sum * 10 + (p->proportional ? 0 : p->samples);
}

uint64_t kit_value_below(const struct kit_profile *p, unsigned member, unsigned a)
{
    struct rng rng;
    uint64_t sum = 0;
    rng_seed(&rng, p->stack_seed);
    for (unsigned i = 0; i < p->samples; i++) {
        struct sample s = sample_at(p, &rng);
        if (s.a == a)
            sum += member == 0 ? s.value : s.value * 10 + !p->proportional;
    }
    return sum;
}

struct lane_name kit_lane(unsigned writer)
{
    static uint8_t writers[WRITERS][WRITER_SIZE];
    static char names[3][4] = {"i0", "i1", "i2"};
    static struct str sets[3] = {{names[0], 2}, {names[1], 2}, {names[2], 2}};
    must(writer < WRITERS);
    uint8_t *w = writers[writer];
    if (w[0] == 0)
        for (unsigned i = 0; i < WRITER_SIZE; i++)
            w[i] = (uint8_t)(writer + 1);
    return (struct lane_name){w, &sets[writer % 3], 1};
}

/* A location of the function with that name, found or made. */
static uint32_t location(struct form_writer *w, struct arena *a, const char *name, unsigned n)
{
    char text[32];
    struct form_function f = {0};
    struct form_line line = {.line = n};
    struct form_location l = {0};
    uint32_t id;
    snprintf(text, sizeof text, "%s%u", name, n);
    must(form_add_string(w, str_dup(a, str_c(text)), &f.name) == 0);
    must(form_add_function(w, &f, &line.function) == 0);
    must(form_add_location(w, &l, &line, 1, &id) == 0);
    return id;
}

static void put_profile(struct form_writer *w, struct arena *a, const struct kit_profile *p)
{
    struct lane_name lane = kit_lane(p->writer);
    struct form_pair *pairs = arena_calloc(a, 2, sizeof *pairs);
    struct form_member *members = arena_calloc(a, 2, sizeof *members);
    struct form_profile fp = {.pairs = pairs,
                              .members = members,
                              .member_count = p->members,
                              .time_ns = p->time_ns,
                              .nonce = p->nonce,
                              .duration_ns = 10,
                              .period = 100,
                              .seq = p->seq};
    must(form_add_lane(w, lane.writer, lane.set, lane.set_count, &fp.lane) == 0);
    if (p->label != NULL)
        pairs[fp.pair_count++] = (struct form_pair){STR("l"), str_c(p->label)};
    pairs[fp.pair_count++] = (struct form_pair){STR("service_name"), str_c(p->service)};
    for (unsigned m = 0; m < p->members; m++)
        members[m] = (struct form_member){m == 0 ? STR("a") : STR("b"), STR("count"), STR("cpu"),
                                          STR("nanoseconds"), STR("kit")};
    must(form_begin_profile(w, &fp) == 0);
    struct rng rng;
    rng_seed(&rng, p->stack_seed);
    uint32_t root = location(w, a, "root", 0);
    for (unsigned i = 0; i < p->samples; i++) {
        struct sample s = sample_at(p, &rng);
        uint32_t stack[3] = {root, location(w, a, "f", s.a), location(w, a, "g", s.b)};
        uint64_t values[2] = {s.value, s.value * 10 + !p->proportional};
        must(form_add_sample(w, stack, 3, values, NULL) == 0);
    }
    must(form_end_profile(w, NULL) == 0);
}

void kit_form(const struct kit_profile *p, unsigned count, struct buf *out)
{
    struct arena *a = NULL;
    struct form_writer *w;
    must(arena_init(&a, 0, NULL) == 0);
    must(form_begin(&w, a) == 0);
    for (unsigned i = 0; i < count; i++)
        put_profile(w, a, &p[i]);
    must(form_finish(w, out) == 0 && out->error == 0);
    arena_free(&a);
}

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool answered;
    int rc;
    struct store_appended info;
};

static void note(void *arg, int rc, const struct store_appended *info)
{
    struct answer *a = arg;
    pthread_mutex_lock(&a->lock);
    must(!a->answered);
    a->answered = true;
    a->rc = rc;
    a->info = *info;
    pthread_cond_signal(&a->done);
    pthread_mutex_unlock(&a->lock);
}

int kit_append(struct store *s, const char *tenant, struct str form,
               const struct vector *complete, struct store_appended *info)
{
    struct answer a = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    struct err err = {0};
    int rc = store_append(s, str_c(tenant), form, complete, note, &a, &err);
    pthread_mutex_lock(&a.lock);
    must(rc == 0 || !a.answered);
    must((rc == 0) == (err.code == 0));
    while (rc == 0 && !a.answered)
        pthread_cond_wait(&a.done, &a.lock);
    pthread_mutex_unlock(&a.lock);
    if (info != NULL)
        *info = a.info;
    return rc != 0 ? rc : a.rc;
}

int kit_push(struct store *s, const char *tenant, const struct kit_profile *p, unsigned count,
             struct store_appended *info)
{
    struct buf form = {0};
    kit_form(p, count, &form);
    int rc = kit_append(s, tenant, buf_view(&form), NULL, info);
    buf_reset(&form);
    return rc;
}

struct str kit_type(unsigned member)
{
    return member == 0 ? STR("kit:a:count:cpu:nanoseconds") : STR("kit:b:count:cpu:nanoseconds");
}

uint64_t kit_sum(const struct view *v, const struct vector *include)
{
    struct query_ask ask = {
        .profile_type = kit_type(0), .end_ns = INT64_MAX, .include = include};
    struct query *q = NULL;
    struct tree *t = NULL;
    uint64_t sum = UINT64_MAX;
    must(tree_init(&t, NULL) == 0);
    if (query_plan(&q, v, &ask, NULL) == 0 && query_tree(q, t, NULL) == 0)
        sum = tree_total(t);
    query_free(&q);
    tree_free(&t);
    return sum;
}

static int forget(void *arg, const char *cause, uint8_t disk[STORE_DISK_SIZE])
{
    (void)cause;
    unsigned *n = arg;
    ++*n;
    memset(disk, (int)(0x80 + *n), STORE_DISK_SIZE);
    return 0;
}

struct store_config kit_config(const char *dir, unsigned *forgotten)
{
    struct store_config c = {.dir = dir,
                             .segment_bytes = 64 * 1024,
                             .linger_us = 1,
                             .retry_ms = 2,
                             .identity_forget = forget,
                             .arg = forgotten};
    if (getenv("KIT_LOG") != NULL)
        c.log = (struct log){.sink = log_stderr, .level = LOG_INFO, .component = "store"};
    memset(c.disk, 7, sizeof c.disk);
    return c;
}
