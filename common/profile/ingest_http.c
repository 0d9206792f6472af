/* Parameters, and who reads the body. */
#include "profile/ingest_http.h"

#include "base/mem.h"
#include "profile/attime.h"
#include "profile/ingest_http_priv.h"
#include "profile/multipart.h"

enum { SAMPLE_RATE_DEFAULT = 100, SHOWN_BYTES = 64 };

const char *ingest_format_text(enum ingest_format format)
{
    static const char *const texts[] = {
#define X(name, text) text,
        INGEST_FORMAT_MAP(X)
#undef X
    };
    return texts[format];
}

void ingest_label_set(struct label *labels, size_t *count, struct str name, struct str value)
{
    for (size_t i = 0; i < *count; i++) {
        if (str_eq(labels[i].name, name)) {
            labels[i].value = value;
            return;
        }
    }
    labels[(*count)++] = (struct label){name, value};
}

void ingest_label_default(struct label *labels, size_t *count, struct str name,
                          struct str value)
{
    for (size_t i = 0; i < *count; i++)
        if (str_eq(labels[i].name, name))
            return;
    labels[(*count)++] = (struct label){name, value};
}

/* --- the name: app{key=value,...} --------------------------------------------------------- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '.';
}

static bool is_label_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.data[i]))
            return false;
    return s.len > 0;
}

static bool is_app_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.data[i]) && s.data[i] != '-' && s.data[i] != '/')
            return false;
    return s.len > 0;
}

/* The next pair; false at the end. A key goes up to =, whatever else is in it, and } in its
 * place ends everything; a value goes up to , or }, and without either the pair does not count. */
static bool next_pair(struct str *rest, struct str *key, struct str *value)
{
    size_t eq = str_find(*rest, '='), brace = str_find(*rest, '}');
    if (eq == SIZE_MAX || brace < eq)
        return false;
    *key = str_trim(str_head(*rest, eq));
    *rest = str_skip(*rest, eq + 1);
    size_t comma = str_find(*rest, ',');
    brace = str_find(*rest, '}');
    size_t end = comma < brace ? comma : brace;
    if (end == SIZE_MAX)
        return false;
    *value = str_trim(str_head(*rest, end));
    *rest = str_skip(*rest, end + 1);
    return true;
}

static int read_name(struct str name, struct arena *a, struct ingest_request *out,
                     struct err *err)
{
    size_t brace = str_find(name, '{'), most = 0;
    struct str rest = brace == SIZE_MAX ? (struct str){0} : str_skip(name, brace + 1), key,
               value;
    out->app = str_trim(brace == SIZE_MAX ? name : str_head(name, brace));
    for (size_t i = 0; i < rest.len; i++)
        most += rest.data[i] == '=' ? 1 : 0;
    if (most > INGEST_NAME_PAIRS_MAX)
        return err_set(err, ERR_INVAL, "parameter name has more than %d labels",
                       INGEST_NAME_PAIRS_MAX);
    struct label *labels = arena_alloc(a, sizeof *labels * (most + 1));
    if (labels == NULL)
        return err_set(err, ERR_NOMEM, "no memory for labels");
    out->labels = labels;
    while (next_pair(&rest, &key, &value)) {
        struct str shown = str_head(key, SHOWN_BYTES);
        if (!is_label_name(key))
            return err_set(err, ERR_INVAL, "parameter name: bad label name \"%.*s\"",
                           STR_ARG(shown));
        if (str_eq(key, LABEL_NAME))
            out->app = value;
        else
            ingest_label_set(labels, &out->label_count, key, value);
    }
    struct str shown = str_head(out->app, SHOWN_BYTES);
    if (out->app.len == 0)
        return err_set(err, ERR_INVAL, "parameter name is missing or has no application");
    if (!is_app_name(out->app))
        return err_set(err, ERR_INVAL, "parameter name: bad application name \"%.*s\"",
                       STR_ARG(shown));
    return 0;
}

/* --- the format --------------------------------------------------------------------------- */

/* The first rule that matches, in Pyroscope's order. */
static enum ingest_format choose_format(struct str format, struct str content_type)
{
    if (str_eq(format, STR("trie")) || str_eq(content_type, STR("binary/octet-stream+trie")))
        return INGEST_TRIE;
    if (str_eq(format, STR("tree")) || str_eq(content_type, STR("binary/octet-stream+tree")))
        return INGEST_TREE;
    if (str_eq(format, STR("lines")))
        return INGEST_LINES;
    if (str_eq(format, STR("jfr")))
        return INGEST_JFR;
    if (str_eq(format, STR("pprof")))
        return INGEST_PPROF;
    if (str_eq(format, STR("speedscope")))
        return INGEST_SPEEDSCOPE;
    if (str_contains(content_type, STR("multipart/form-data")))
        return INGEST_PPROF_FORM;
    return INGEST_GROUPS;
}

int ingest_request_open(const struct ingest_query *q, int64_t now_ns, struct arena *a,
                        struct ingest_request *out, struct err *err)
{
    uint64_t rate;
    *out = (struct ingest_request){
        .format = choose_format(q->format, q->content_type),
        .spy = q->spy_name.len > 0 ? q->spy_name : STR("unknown"),
        .content_type = q->content_type,
        .from_ns = attime_parse(q->from, now_ns),
        .until_ns = attime_parse(q->until, now_ns),
        .sample_rate = SAMPLE_RATE_DEFAULT,
    };
    if (str_u64(q->sample_rate, &rate) == 0 && rate <= UINT32_MAX)
        out->sample_rate = (uint32_t)rate;
    return read_name(q->name, a, out, err);
}

/* --- the body ----------------------------------------------------------------------------- */

static int take_form(struct ingest *in, const struct ingest_request *r, struct str body,
                     struct buf *unpacked, struct ingest_result *out, struct err *err)
{
    struct multipart m;
    struct str boundary;
    int rc = multipart_boundary(r->content_type, &boundary, err);
    rc = rc != 0 ? rc : multipart_parse(&m, body, boundary, err);
    if (rc != 0)
        return rc;
    const struct multipart_part *previous = multipart_file(&m, STR("prev_profile"));
    const struct multipart_part *profile = multipart_file(&m, STR("profile"));
    const struct multipart_part *config = multipart_file(&m, STR("sample_type_config"));
    if (previous != NULL && previous->body.len > 0)
        return err_set(err, ERR_PARSE,
                       "prev_profile is not taken any more: please upgrade the "
                       "client, to one that sends differences");
    if (profile == NULL || profile->body.len == 0)
        return 0;
    struct pprof_form form = {.profile = profile->body};
    form.has_config = config != NULL && config->body.len > 0;
    if (form.has_config)
        form.config = config->body;
    return ingest_pprof(in, r, &form, unpacked, out, err);
}

int ingest_request_take(struct ingest *in, const struct ingest_request *r, struct str body,
                        struct buf *unpacked, struct ingest_result *out, struct err *err)
{
    struct pprof_form form = {.profile = body};
    int rc;
    *out = (struct ingest_result){.bytes = body.len, .language = "unknown"};
    switch (r->format) {
    case INGEST_GROUPS:
    case INGEST_LINES:
        return ingest_folded(in, r, body, out, err);
    case INGEST_PPROF:
        return ingest_pprof(in, r, &form, unpacked, out, err);
    case INGEST_PPROF_FORM:
        rc = take_form(in, r, body, unpacked, out, err);
        if (rc != 0 && rc != ERR_NOMEM && out->reason == DISCARD_NONE)
            out->reason = DISCARD_MALFORMED_PROFILE;
        return rc;
    case INGEST_TRIE:
    case INGEST_TREE:
    case INGEST_JFR:
    case INGEST_SPEEDSCOPE:
        break;
    }
    out->reason = DISCARD_UNKNOWN;
    return err_set(
        err, ERR_UNIMPLEMENTED,
        "format %s is not taken; these are: pprof (raw or as multipart form), groups "
        "(folded stacks with counts), lines",
        ingest_format_text(r->format));
}

int ingest_request_status(enum ingest_format format, int rc, enum discard reason)
{
    bool is_text = format == INGEST_GROUPS || format == INGEST_LINES;
    if (rc == 0)
        return 200;
    if (rc == ERR_NOMEM)
        return 500;
    if (reason == DISCARD_SERIES_LIMIT || reason == DISCARD_RATE_LIMITED)
        return 429;
    return is_text && rc != ERR_PARSE ? 400 : 422;
}
