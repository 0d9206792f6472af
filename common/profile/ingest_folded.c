/* Folded stacks: text becomes the tables that a pprof would have been read into. */
#include "profile/ingest_http_priv.h"

#include "base/mem.h"

enum { LINE_MAX_BYTES = 64 << 10, SECOND_NS = 1000000000 };

/* What the last part of an application's name says about its profiles. */
struct kind {
    struct str suffix, name, type, unit;
    bool is_time; /* counts of a timer: times the period, of type cpu */
};

static const struct kind kinds[] = {
#define K(s, n, t, u, time)                                                                    \
    {                                                                                          \
        STR_INIT(s), STR_INIT(n), STR_INIT(t), STR_INIT(u), time                               \
    }
    K("cpu", "process_cpu", "cpu", "nanoseconds", true),
    K("itimer", "process_cpu", "cpu", "nanoseconds", true),
    K("wall", "wall", "wall", "nanoseconds", true),
    K("seconds", "wall", "wall", "nanoseconds", true),
    K("milliseconds", "wall", "wall", "nanoseconds", true),
    K("microseconds", "wall", "wall", "nanoseconds", true),
    K("nanoseconds", "wall", "wall", "nanoseconds", true),
    K("inuse_objects", "memory", "inuse_objects", "count", false),
    K("alloc_objects", "memory", "alloc_objects", "count", false),
    K("live", "memory", "live", "count", false),
    K("alloc_in_new_tlab_objects", "memory", "alloc_in_new_tlab_objects", "count", false),
    K("alloc_outside_tlab_objects", "memory", "alloc_outside_tlab_objects", "count", false),
    K("inuse_space", "memory", "inuse_space", "bytes", false),
    K("alloc_space", "memory", "alloc_space", "bytes", false),
    K("alloc_in_new_tlab_bytes", "memory", "alloc_in_new_tlab_bytes", "bytes", false),
    K("alloc_outside_tlab_bytes", "memory", "alloc_outside_tlab_bytes", "bytes", false),
    K("bytes", "memory", "samples", "bytes", false),
    K("goroutines", "goroutine", "goroutines", "count", false),
    K("mutex_count", "mutex", "contentions", "count", false),
    K("mutex_duration", "mutex", "delay", "nanoseconds", false),
    K("block_count", "block", "contentions", "count", false),
    K("lock_count", "block", "contentions", "count", false),
    K("block_duration", "block", "delay", "nanoseconds", false),
    K("lock_duration", "block", "delay", "nanoseconds", false),
    K("exceptions", "exceptions", "samples", "count", false),
#undef K
};

/* The tables in the making; frames of a name are one function and one location. */
struct folding {
    struct pprof *p;
    struct arena *arena;
    uint32_t *slots; /* hash: location + 1 */
    uint32_t mask;
    uint64_t period; /* each count stands for so much */
    size_t line;
};

static int find_kind(struct str *app, const struct kind **out, struct err *err)
{
    size_t dot = str_rfind(*app, '.');
    *out = &kinds[0];
    if (dot == SIZE_MAX)
        return 0;
    struct str suffix = str_skip(*app, dot + 1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (str_eq(kinds[i].suffix, suffix)) {
            *out = &kinds[i];
            *app = str_head(*app, dot);
            return 0;
        }
    }
    struct str shown = str_head(suffix, 64);
    return err_set(err, ERR_INVAL,
                   "unknown profile type \"%.*s\" at the end of the application's "
                   "name",
                   STR_ARG(shown));
}

/* Lines and frames are counted first, so that every table has its size at once. */
static int make_tables(struct folding *f, struct str body)
{
    size_t lines = 1, frames = 1, slots = 64;
    for (size_t i = 0; i < body.len; i++) {
        lines += body.data[i] == '\n' ? 1 : 0;
        frames += body.data[i] == ';' ? 1 : 0;
    }
    frames += lines;
    if (frames > UINT32_MAX / 4)
        return ERR_LIMIT;
    while (slots < frames * 2)
        slots *= 2;
    struct pprof *p = f->p;
    p->strings = arena_alloc(f->arena, sizeof *p->strings * (frames + 8));
    p->types = arena_alloc(f->arena, sizeof *p->types);
    p->functions = arena_alloc(f->arena, sizeof *p->functions * frames);
    p->locations = arena_alloc(f->arena, sizeof *p->locations * frames);
    p->lines = arena_alloc(f->arena, sizeof *p->lines * frames);
    p->samples = arena_alloc(f->arena, sizeof *p->samples * lines);
    p->values = arena_alloc(f->arena, sizeof *p->values * lines);
    p->frames = arena_alloc(f->arena, sizeof *p->frames * frames);
    f->slots = arena_calloc(f->arena, slots, sizeof *f->slots);
    f->mask = (uint32_t)slots - 1;
    return p->strings == NULL || p->types == NULL || p->functions == NULL ||
                   p->locations == NULL || p->lines == NULL || p->samples == NULL ||
                   p->values == NULL || p->frames == NULL || f->slots == NULL
               ? ERR_NOMEM
               : 0;
}

static uint32_t add_string(struct pprof *p, struct str s)
{
    p->strings[p->string_count] = s;
    return p->string_count++;
}

static uint32_t location_of(struct folding *f, struct str name)
{
    struct pprof *p = f->p;
    uint32_t at = (uint32_t)str_hash(name) & f->mask;
    for (; f->slots[at] != 0; at = (at + 1) & f->mask)
        if (str_eq(p->strings[p->functions[f->slots[at] - 1].name], name))
            return f->slots[at] - 1;
    uint32_t i = p->location_count++;
    p->functions[p->function_count++] =
        (struct pprof_fun_row){.id = (uint64_t)i + 1, .name = add_string(p, name)};
    p->lines[p->line_count++] = (struct pprof_line_row){.function = i};
    p->locations[i] = (struct pprof_loc_row){
        .id = (uint64_t)i + 1, .mapping = PPROF_NONE, .first_line = i, .line_count = 1};
    f->slots[at] = i + 1;
    return i;
}

static int add_sample(struct folding *f, struct str stack, int64_t count, struct err *err)
{
    struct pprof *p = f->p;
    struct pprof_sample_row *row = &p->samples[p->sample_count];
    uint64_t value;
    *row = (struct pprof_sample_row){.first_frame = p->frame_count};
    bool more = stack.len > 0;
    for (struct str name; more && (more = str_cut(&stack, ';', &name));)
        p->frames[p->frame_count++] = location_of(f, name);
    row->frame_count = p->frame_count - row->first_frame;
    /* Text is root first, pprof leaf first. */
    for (uint32_t i = 0; i < row->frame_count / 2; i++) {
        uint32_t *a = &p->frames[row->first_frame + i], *b = &p->frames[p->frame_count - 1 - i];
        uint32_t was = *a;
        *a = *b;
        *b = was;
    }
    if (count > 0 &&
        (__builtin_mul_overflow((uint64_t)count, f->period, &value) || value > INT64_MAX))
        return err_set(err, ERR_PARSE, "line %zu: the count is too large", f->line);
    p->values[p->sample_count++] = count > 0 ? (int64_t)value : count;
    return 0;
}

static int read_line(struct folding *f, enum ingest_format format, struct str line,
                     struct err *err)
{
    int64_t count = 1;
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (format == INGEST_LINES)
        return line.len == 0 ? 0 : add_sample(f, line, 1, err);
    size_t blank = str_rfind(line, ' ');
    if (blank == SIZE_MAX)
        return 0;
    struct str digits = str_skip(line, blank + 1), shown = str_head(digits, 32);
    if (str_i64(digits, &count) != 0)
        return err_set(err, ERR_PARSE, "line %zu: \"%.*s\" is not a count", f->line,
                       STR_ARG(shown));
    return add_sample(f, str_head(line, blank), count, err);
}

static int read_body(struct folding *f, enum ingest_format format, struct str body,
                     struct err *err)
{
    for (struct str rest = body, line; rest.len > 0 && str_cut(&rest, '\n', &line);) {
        f->line++;
        if (line.len > LINE_MAX_BYTES) {
            if (format == INGEST_GROUPS)
                return 0; /* as the peer's scanner: the rest is not read */
            return err_set(err, ERR_PARSE, "line %zu is longer than %d bytes", f->line,
                           LINE_MAX_BYTES);
        }
        int rc = read_line(f, format, line, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_labels(const struct ingest_request *r, struct str app, const struct kind *kind,
                       struct arena *a, struct labels *out)
{
    struct label *labels = arena_alloc(a, sizeof *labels * (r->label_count + OWN_LABELS));
    size_t n = 0;
    if (labels == NULL)
        return ERR_NOMEM;
    ingest_label_set(labels, &n, LABEL_NAME, kind->name);
    ingest_label_set(labels, &n, STR("__delta__"), STR("false"));
    ingest_label_set(labels, &n, STR("pyroscope_spy"), r->spy);
    bool has_service = false;
    for (size_t i = 0; i < r->label_count; i++) {
        has_service = has_service || str_eq(r->labels[i].name, LABEL_SERVICE);
        ingest_label_set(labels, &n, r->labels[i].name, r->labels[i].value);
    }
    ingest_label_default(labels, &n, has_service ? STR("app_name") : LABEL_SERVICE, app);
    *out = (struct labels){labels, n};
    return 0;
}

/* Sample type and period of the profile. */
static void set_type(struct folding *f, const struct ingest_request *r, const struct kind *kind)
{
    struct pprof *p = f->p;
    struct str type = kind->type, unit = kind->unit;
    f->period = 1;
    add_string(p, STR(""));
    if (kind->is_time && r->sample_rate == 0) {
        type = STR("samples");
        unit = STR("count");
    } else if (kind->is_time) {
        f->period = SECOND_NS / r->sample_rate;
        p->period = (int64_t)f->period;
        p->has_period_type = true;
        p->period_type.type = add_string(p, STR("cpu"));
        p->period_type.unit = add_string(p, STR("nanoseconds"));
    }
    p->type_count = 1;
    p->types[0].type = add_string(p, type);
    p->types[0].unit = add_string(p, unit);
}

int ingest_folded(struct ingest *in, const struct ingest_request *r, struct str body,
                  struct ingest_result *out, struct err *err)
{
    struct pprof p = {.raw = body, .odd_sample = PPROF_NONE, .time_ns = r->from_ns};
    struct folding f = {.p = &p, .arena = in->arena};
    struct str app = r->app;
    const struct kind *kind;
    struct labels labels;
    int rc = find_kind(&app, &kind, err);
    if (rc != 0) {
        out->reason = DISCARD_INVALID_LABELS;
        return rc;
    }
    for (size_t i = 0; i < r->label_count; i++)
        if (str_eq(r->labels[i].name, STR("profile_id")))
            return 0; /* taken and ignored, as at the peer */
    rc = make_tables(&f, body);
    rc = rc != 0 ? rc : take_labels(r, app, kind, in->arena, &labels);
    if (rc != 0)
        return err_set(err, rc, "no memory for the text's stacks");
    set_type(&f, r, kind);
    p.duration_ns = r->until_ns > r->from_ns ? r->until_ns - r->from_ns : 0;
    rc = read_body(&f, r->format, body, err);
    if (rc != 0) {
        out->reason = DISCARD_MALFORMED_PROFILE;
        return rc;
    }
    return ingest_decoded(in, &p, labels.items, labels.count, out, err);
}
