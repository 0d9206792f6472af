/* Any bytes as a push: as a pprof by Push, then as the parameters and body of /ingest. What is
 * accepted must make a form that can be read; what is refused must leave no profile. */
#include <stdlib.h>

#include "base/mem.h"
#include "profile/form.h"
#include "profile/ingest_http.h"
#include "profile/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((int64_t)1700000000 * 1000000000)

static struct profile_limits limits;

static void check(struct ingest *in, const struct ingest_result *result, int rc)
{
    struct buf out = {0};
    struct form f;
    uint32_t lane;
    const uint8_t writer[FORM_WRITER_SIZE] = {1};
    const struct str instance = STR("i");
    if (rc != 0 && form_profile_count(in->form) != 0)
        abort();
    if (rc == 0 && result->stream_count != form_profile_count(in->form))
        abort();
    if (form_add_lane(in->form, writer, &instance, 1, &lane) != 0)
        abort();
    if (form_finish(in->form, &out) != 0 ||
        form_open(&f, buf_view(&out), NULL, in->arena, NULL) != 0)
        abort();
    buf_reset(&out);
}

static void push(struct arena *a, struct str raw)
{
    static const struct label labels[] = {{STR_INIT("__name__"), STR_INIT("process_cpu")},
                                          {STR_INIT("pyroscope_spy"), STR_INIT("gospy")}};
    struct ingest in = {.arena = a, .limits = &limits, .now_ns = NOW};
    struct ingest_result result;
    if (form_begin(&in.form, a) != 0)
        return;
    check(&in, &result, ingest_profile(&in, raw, labels, 2, &result, NULL));
}

/* The first lines are parameters, the rest is the body. */
static void ingest(struct arena *a, struct str text)
{
    struct ingest_query q = {0};
    struct str *const fields[] = {&q.name,     &q.from,   &q.sample_rate,
                                  &q.spy_name, &q.format, &q.content_type};
    struct ingest in = {.arena = a, .limits = &limits, .now_ns = NOW};
    struct ingest_request r;
    struct ingest_result result;
    struct buf unpacked = {0};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (text.len == 0 || !str_cut(&text, '\n', fields[i]))
            return;
    if (form_begin(&in.form, a) != 0 || ingest_request_open(&q, NOW, a, &r, NULL) != 0)
        return;
    check(&in, &result, ingest_request_take(&in, &r, text, &unpacked, &result, NULL));
    buf_reset(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = NULL;
    limits = profile_limits_default();
    limits.reject_older_ns = limits.reject_newer_ns = 0;
    if (arena_init(&a, 0, NULL) != 0)
        return 0;
    push(a, str_of(data, size));
    ingest(a, str_of(data, size));
    arena_free(&a);
    return 0;
}
