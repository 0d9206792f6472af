/* conf/page.c - help and reference. */
#include "conf/page.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf_priv.h"
#include "conf/peer_flags.h"

static const char *type_name(enum conf_type t)
{
    switch (t) {
    case CONF_BOOL:
        return "boolean";
    case CONF_STR:
        return "string";
    case CONF_LIST:
        return "list";
    case CONF_I64:
    case CONF_U32:
    case CONF_U64:
        return "int";
    case CONF_DOUBLE:
        return "float";
    case CONF_MS:
    case CONF_MS64:
        return "duration";
    case CONF_SIZE:
        return "size";
    case CONF_END:
        break;
    }
    return "";
}

static void help_row(const struct conf_section *s, const struct conf_row *r, struct buf *out)
{
    buf_printf(out, "  -%s%s", s->prefix, r->flag);
    if (r->type != CONF_BOOL)
        buf_printf(out, " %s", type_name(r->type));
    buf_printf(out, "\n    \t%s", r->help);
    if (r->def[0] != '\0' && !(r->type == CONF_BOOL && str_eq(str_c(r->def), STR("false"))))
        buf_printf(out, " (default %s)", r->def);
    buf_c(out, "\n");
}

static bool is_implemented(const struct conf_section *sections, size_t count, struct str flag)
{
    for (size_t i = 0; i < count; i++) {
        struct str prefix = str_c(sections[i].prefix);
        if (!str_starts_with(flag, prefix))
            continue;
        for (const struct conf_row *r = sections[i].rows; r->type != CONF_END; r++)
            if (r->flag != NULL && str_eq(str_skip(flag, prefix.len), str_c(r->flag)))
                return true;
    }
    return false;
}

/* The options of the command line itself, in every program. */
static const struct {
    const char *flag, *type, *help;
} own[] = {
    {"config.expand-env", "boolean",
     "Replace ${VAR} and ${VAR:-default} in the configuration file."},
    {"config.file", "string",
     "A YAML file to load; flags stand over it. For receive-proxy: an Alloy configuration."},
    {"config.reference", "boolean", "Print all options as a page of Markdown and exit."},
    {"help", "boolean", "Print the basic options that matter to this program and exit."},
    {"help-all", "boolean", "Print all options and exit."},
    {"version", "boolean", "Print the version and exit."},
};

static bool matters(const struct conf_row *r, unsigned which)
{
    unsigned to = r->bits & ~(unsigned)(CONF_ADVANCED | CONF_SECRET);
    return (r->bits & CONF_ADVANCED) == 0 && (to == 0 || which == 0 || (to & which) != 0);
}

void conf_help(const struct conf_section *sections, size_t count, const char *program,
               unsigned which, bool all, struct buf *out)
{
    buf_printf(out, "Usage of %s:\n", program);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        buf_printf(out, "  -%s%s\n    \t%s\n", own[i].flag,
                   str_eq(str_c(own[i].type), STR("boolean")) ? "" : " string", own[i].help);
    for (size_t i = 0; i < count; i++)
        for (const struct conf_row *r = sections[i].rows; r->type != CONF_END; r++)
            if (r->flag != NULL && (all || matters(r, which)))
                help_row(&sections[i], r, out);
    if (!all) {
        buf_c(out, "\nMore options: -help-all\n");
        return;
    }
    buf_c(out, "\nOptions of Pyroscope that are accepted without effect:\n");
    for (size_t i = 0; i < peer_flags_count; i++)
        if (peer_flags[i].flag != NULL &&
            !is_implemented(sections, count, str_c(peer_flags[i].flag)))
            buf_printf(out, "  -%s\n", peer_flags[i].flag);
}

/* A cell of a table: bars would end it. */
static void cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buf_u8(out, '\\');
        buf_u8(out, (uint8_t)*text);
    }
}

static void reference_row(const struct conf_section *s, const struct conf_row *r,
                          struct buf *out)
{
    buf_c(out, "| ");
    if (r->flag != NULL)
        buf_printf(out, "`-%s%s`", s->prefix, r->flag);
    buf_c(out, " | ");
    if (r->key != NULL)
        buf_printf(out, "`%s%s%s`", s->path, s->path[0] == '\0' ? "" : ".", r->key);
    buf_printf(out, " | %s | ", type_name(r->type));
    if (r->def[0] != '\0') {
        buf_c(out, "`");
        cell(out, r->def);
        buf_c(out, "`");
    }
    buf_c(out, " | ");
    if ((r->bits & CONF_ADVANCED) != 0)
        buf_c(out, "(advanced) ");
    cell(out, r->help);
    buf_c(out, " |\n");
}

void conf_reference(const struct conf_section *sections, size_t count, struct buf *out)
{
    buf_c(out,
          "# Options\n\nEvery option is a flag and, where a YAML key is given, a key of the "
          "file named by `-config.file`. Flags stand over the file, the file over defaults. "
          "Durations are written like `1h30m`, `15s` or `200ms`, sizes in bytes or like "
          "`64MiB`; lists are comma-separated, and their flags may be repeated.\n"
          "\n## Command line\n\n| flag | YAML | type | default | meaning |\n"
          "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        buf_printf(out, "| `-%s` |  | %s |  | %s |\n", own[i].flag, own[i].type, own[i].help);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "\n## %s\n\n| flag | YAML | type | default | meaning |\n",
                   sections[i].title);
        buf_c(out, "| --- | --- | --- | --- | --- |\n");
        for (const struct conf_row *r = sections[i].rows; r->type != CONF_END; r++)
            reference_row(&sections[i], r, out);
    }
    buf_c(out,
          "\n## Accepted without effect\n\nPyroscope knows these; they are accepted, also in "
          "YAML, and named in one warning at the start.\n\n");
    for (size_t i = 0; i < peer_flags_count; i++)
        if (peer_flags[i].flag != NULL &&
            !is_implemented(sections, count, str_c(peer_flags[i].flag)))
            buf_printf(out, "- `-%s`\n", peer_flags[i].flag);
}

static int by_key(const void *a, const void *b)
{
    const struct bound *const *x = a, *const *y = b;
    return str_cmp(str_c((*x)->key), str_c((*y)->key));
}

/* Print "name:" for the parts of `key` that the key before it did not have, then its last part.
 * Keys are sorted, so those with a common start are neighbours. */
static void put_key(struct buf *out, struct str key, struct str before)
{
    unsigned depth = 0;
    bool same = true;
    size_t at = 0;
    for (;;) {
        struct str rest = str_skip(key, at);
        size_t dot = str_find(rest, '.');
        if (dot == SIZE_MAX) {
            buf_printf(out, "%*s%.*s: ", (int)(2 * depth), "", STR_ARG(rest));
            return;
        }
        struct str upto = str_head(key, at + dot + 1);
        same = same && str_starts_with(before, upto);
        if (!same)
            buf_printf(out, "%*s%.*s:\n", (int)(2 * depth), "", STR_ARG(str_head(rest, dot)));
        at += dot + 1;
        depth++;
    }
}

void conf_dump(const struct conf *c, struct buf *out)
{
    size_t count = 0;
    const struct bound **sorted = mem_calloc(c->bound_count + 1, sizeof *sorted);
    if (sorted == NULL) {
        out->error = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < c->bound_count; i++)
        if (c->bound[i].key != NULL)
            sorted[count++] = &c->bound[i];
    qsort(sorted, count, sizeof *sorted, by_key);
    for (size_t i = 0; i < count; i++) {
        const struct bound *b = sorted[i];
        put_key(out, str_c(b->key), str_c(i == 0 ? "" : sorted[i - 1]->key));
        bool secret = (b->row->bits & CONF_SECRET) != 0;
        if (secret && b->row->type == CONF_STR && (*(const char *const *)b->field)[0] != '\0')
            buf_c(out, "\"********\"");
        else
            conf_put_value(b->row, b->field, out);
        buf_c(out, "\n");
    }
    mem_free(sorted);
}
