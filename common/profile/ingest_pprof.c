/* pprof by /ingest: what old SDKs leave to the server. Names and times are put right, the
 * series' name is derived from the sample types. */
#include "profile/ingest_http_priv.h"

#include "base/mem.h"
#include "wire/compress.h"

enum { CONFIG_TYPES_MAX = 64, UNPACKED_MAX = 64 << 20, SCAN_DEPTH_MAX = 32 };

#define YEAR_1970_NS ((int64_t)365 * 86400 * 1000000000)

/* A sample type in sample_type_config, and how it is shown. */
struct config_row {
    struct str type, display;
};

struct config {
    struct config_row rows[CONFIG_TYPES_MAX];
    size_t count;
};

/* --- sample_type_config: {"type": {"display-name": "...", ...}, ...} ---------------------- */

static char peek(struct str *in)
{
    while (in->len > 0 && (in->data[0] == ' ' || in->data[0] == '\t' || in->data[0] == '\n' ||
                           in->data[0] == '\r'))
        *in = str_skip(*in, 1);
    return in->len > 0 ? in->data[0] : '\0';
}

static bool expect(struct str *in, char c)
{
    if (peek(in) != c)
        return false;
    *in = str_skip(*in, 1);
    return true;
}

/* A string without its quotes; escapes are stepped over, not decoded: names have none. */
static bool scan_string(struct str *in, struct str *out)
{
    if (!expect(in, '"'))
        return false;
    for (size_t i = 0; i < in->len; i++) {
        if (in->data[i] == '\\') {
            i++;
        } else if (in->data[i] == '"') {
            *out = str_head(*in, i);
            *in = str_skip(*in, i + 1);
            return true;
        }
    }
    return false;
}

/* Step over any value. Brackets are counted, not matched: it is only a hint that we read. */
static bool skip_value(struct str *in)
{
    struct str text;
    unsigned depth = 0;
    do {
        char c = peek(in);
        if (c == '"') {
            if (!scan_string(in, &text))
                return false;
        } else if (c == '{' || c == '[') {
            *in = str_skip(*in, 1);
            if (++depth > SCAN_DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            depth--;
            *in = str_skip(*in, 1);
        } else if (c == '\0') {
            return false;
        } else {
            size_t n = 0;
            while (n < in->len && memchr(",:{}[]\" \t\r\n", in->data[n], 11) == NULL)
                n++;
            if (n == 0 && depth == 0)
                return false;
            *in = str_skip(*in, n == 0 ? 1 : n);
        }
    } while (depth > 0);
    return true;
}

/* The members of one type's object. */
static bool scan_type(struct str *in, struct config_row *row)
{
    struct str key;
    if (!expect(in, '{'))
        return false;
    if (expect(in, '}'))
        return true;
    do {
        if (!scan_string(in, &key) || !expect(in, ':'))
            return false;
        bool is_display = str_eq(key, STR("display-name")) && peek(in) == '"';
        if (is_display ? !scan_string(in, &row->display) : !skip_value(in))
            return false;
    } while (expect(in, ','));
    return expect(in, '}');
}

static int read_config(struct str in, struct config *out, struct err *err)
{
    static const char bad[] = "sample_type_config is not a JSON object of objects";
    out->count = 0;
    if (!expect(&in, '{'))
        return err_set(err, ERR_PARSE, bad);
    if (expect(&in, '}'))
        return 0;
    do {
        struct config_row row = {0};
        if (!scan_string(&in, &row.type) || !expect(&in, ':') || !scan_type(&in, &row))
            return err_set(err, ERR_PARSE, bad);
        if (out->count == CONFIG_TYPES_MAX)
            return err_set(err, ERR_LIMIT, "sample_type_config has more than %d types",
                           CONFIG_TYPES_MAX);
        out->rows[out->count++] = row;
    } while (expect(&in, ','));
    return expect(&in, '}') ? 0 : err_set(err, ERR_PARSE, bad);
}

static bool has_type(const struct config *c, struct str type)
{
    for (size_t i = 0; i < c->count; i++)
        if (str_eq(c->rows[i].type, type))
            return true;
    return false;
}

/* --- rewriting ---------------------------------------------------------------------------- */

static struct str string_at(const struct pprof *p, uint32_t i)
{
    return i < p->string_count ? p->strings[i] : (struct str){0};
}

/* Scripting languages: a function is known by its file too. */
static int join_file_names(struct pprof *p, bool keep_absolute, struct arena *a)
{
    size_t most = (size_t)p->string_count + p->function_count;
    struct str *strings = arena_alloc(a, sizeof *strings * (most + 1));
    if (strings == NULL || most >= PPROF_NONE)
        return ERR_NOMEM;
    if (p->string_count > 0)
        memcpy(strings, p->strings, sizeof *strings * p->string_count);
    p->strings = strings;
    uint32_t old_count = p->string_count;
    for (uint32_t i = 0; i < p->function_count; i++) {
        struct pprof_fun_row *f = &p->functions[i];
        if (f->file >= old_count || f->name >= old_count)
            continue; /* the checks will say so */
        struct str file = p->strings[f->file], name = p->strings[f->name];
        if (keep_absolute && str_starts_with(file, STR("/")))
            continue;
        char *text = arena_alloc(a, file.len + name.len + 1);
        if (text == NULL)
            return ERR_NOMEM;
        if (file.len > 0)
            memcpy(text, file.data, file.len);
        text[file.len] = ' ';
        if (name.len > 0)
            memcpy(text + file.len + 1, name.data, name.len);
        f->name = p->string_count;
        p->strings[p->string_count++] = str_of(text, file.len + name.len + 1);
    }
    return 0;
}

/* .NET: "-" in the names of sample types; a function of the same name changes with its type. */
static int underline_types(struct pprof *p, struct arena *a)
{
    for (uint32_t i = 0; i < p->type_count && p->types[i].type < p->string_count; i++) {
        struct str *s = &p->strings[p->types[i].type];
        if (str_find(*s, '-') == SIZE_MAX)
            continue;
        char *text = arena_dup(a, s->data, s->len);
        if (text == NULL)
            return ERR_NOMEM;
        for (size_t k = 0; k < s->len; k++)
            text[k] = text[k] == '-' ? '_' : text[k];
        s->data = text;
    }
    return 0;
}

static bool is_dotnet(const struct ingest_request *r, const struct config *c)
{
    return str_eq(r->spy, STR("dotnetspy")) ||
           (str_eq(r->spy, STR("unknown")) && has_type(c, STR("inuse-space")));
}

static int rewrite(struct pprof *p, const struct ingest_request *r, const struct config *c,
                   struct arena *a)
{
    bool python = str_eq(r->spy, STR("pyspy"));
    int rc = 0;
    if (p->time_ns >= 0 && p->time_ns < YEAR_1970_NS)
        p->time_ns = r->from_ns;
    if (python || str_eq(r->spy, STR("rbspy")) || str_eq(r->spy, STR("scripting")))
        rc = join_file_names(p, python, a);
    if (rc == 0 && is_dotnet(r, c))
        rc = underline_types(p, a);
    return rc;
}

/* --- the series' labels ------------------------------------------------------------------- */

/* The name under which a sample type decides the metric. */
static struct str display_of(struct str type, const struct config *c, bool has_config)
{
    static const struct config_row standard[] = {
        {STR_INIT("samples"), STR_INIT("cpu")},
        {STR_INIT("goroutine"), STR_INIT("goroutines")},
        {STR_INIT("contentions"), STR_INIT("mutex_count")},
        {STR_INIT("delay"), STR_INIT("mutex_duration")},
    };
    const struct config_row *rows = has_config ? c->rows : standard;
    size_t count = has_config ? c->count : sizeof standard / sizeof *standard;
    for (size_t i = 0; i < count; i++)
        if (str_eq(rows[i].type, type) && rows[i].display.len > 0)
            return rows[i].display;
    return type;
}

static struct str metric_name(const struct pprof *p, const struct config *c, bool has_config)
{
    static const struct {
        struct str part, metric;
        bool whole;
    } rules[] = {
        {STR_INIT("cpu"), STR_INIT("process_cpu"), false},
        {STR_INIT("alloc_"), STR_INIT("memory"), false},
        {STR_INIT("inuse_"), STR_INIT("memory"), false},
        {STR_INIT("space"), STR_INIT("memory"), true},
        {STR_INIT("objects"), STR_INIT("memory"), true},
        {STR_INIT("mutex_"), STR_INIT("mutex"), false},
        {STR_INIT("block_"), STR_INIT("block"), false},
        {STR_INIT("goroutines"), STR_INIT("goroutines"), false},
    };
    struct str last = {0};
    for (uint32_t i = 0; i < p->type_count; i++)
        if (str_eq(string_at(p, p->types[i].type), STR("wall")))
            return STR("wall");
    for (uint32_t i = 0; i < p->type_count; i++) {
        last = display_of(string_at(p, p->types[i].type), c, has_config);
        for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
            if (rules[k].whole ? str_eq(last, rules[k].part)
                               : str_contains(last, rules[k].part))
                return rules[k].metric;
    }
    return last;
}

static int take_labels(const struct ingest_request *r, struct str metric, struct arena *a,
                       struct labels *out)
{
    struct label *labels = arena_alloc(a, sizeof *labels * (r->label_count + OWN_LABELS));
    size_t n = 0;
    if (labels == NULL)
        return ERR_NOMEM;
    ingest_label_set(labels, &n, LABEL_NAME, metric);
    ingest_label_set(labels, &n, STR("__delta__"), STR("false"));
    ingest_label_set(labels, &n, STR("pyroscope_spy"), r->spy);
    for (size_t i = 0; i < r->label_count; i++) {
        struct str name = r->labels[i].name;
        if (!str_starts_with(name, STR("__")) || str_eq(name, STR("__session_id__")))
            ingest_label_set(labels, &n, name, r->labels[i].value);
    }
    ingest_label_default(labels, &n, LABEL_SERVICE, r->app);
    *out = (struct labels){labels, n};
    return 0;
}

static int unpack(const struct ingest *in, struct str packed, struct buf *unpacked,
                  struct str *raw, enum discard *reason, struct err *err)
{
    size_t limit = UNPACKED_MAX;
    if (in->limits->profile_size_bytes > 0 && in->limits->profile_size_bytes < limit)
        limit = (size_t)in->limits->profile_size_bytes;
    *raw = packed;
    if (!gzip_detect(packed))
        return 0;
    int rc = gzip_unpack(packed, limit, unpacked, err);
    *raw = buf_view(unpacked);
    if (rc == ERR_LIMIT)
        *reason = DISCARD_PROFILE_SIZE_LIMIT;
    else if (rc == ERR_PARSE)
        *reason = DISCARD_MALFORMED_PROFILE;
    return rc;
}

int ingest_pprof(struct ingest *in, const struct ingest_request *r,
                 const struct pprof_form *form, struct buf *unpacked, struct ingest_result *out,
                 struct err *err)
{
    struct config config = {.count = 0};
    struct labels labels;
    struct pprof p;
    struct str raw;
    int rc = form->has_config ? read_config(form->config, &config, err) : 0;
    rc = rc != 0 ? rc : unpack(in, form->profile, unpacked, &raw, &out->reason, err);
    if (rc != 0)
        return rc;
    out->bytes = raw.len;
    unsigned flags = is_dotnet(r, &config) ? PPROF_FIX_FUNCTION_IDS : 0;
    rc = pprof_decode(&p, raw, flags, in->arena, err);
    if (rc != 0) {
        out->reason = rc == ERR_NOMEM ? DISCARD_NONE : DISCARD_MALFORMED_PROFILE;
        return rc;
    }
    if (rewrite(&p, r, &config, in->arena) != 0 ||
        take_labels(r, metric_name(&p, &config, form->has_config), in->arena, &labels) != 0)
        return err_set(err, ERR_NOMEM, "no memory to rewrite a profile");
    return ingest_decoded(in, &p, labels.items, labels.count, out, err);
}
