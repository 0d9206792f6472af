/* receive-proxy/source_run.c - texts from files and flags. */
#include "source_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloy/ast.h"
#include "alloy/format.h"
#include "base/mem.h"
#include "pipeline_run.h"
#include "settings.h"
#include "store/io.h"

enum { PATH_MAX_ = 4096, FILES_MAX = 1000 };

/* --- reading ----------------------------------------------------------------------------- */

static int prepare(struct source *s, struct err *err)
{
    *s = (struct source){0};
    return arena_init(&s->arena, 0, NULL) == 0 ? 0 : err_set(err, ERR_NOMEM, "no memory");
}

static int add_text(struct source *s, struct str name, struct str text, struct err *err)
{
    struct alloy_text *texts = arena_calloc(s->arena, s->count + 1, sizeof *texts);
    if (texts == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a configuration");
    if (s->count > 0)
        memcpy(texts, s->texts, s->count * sizeof *texts);
    texts[s->count] = (struct alloy_text){str_dup(s->arena, name), str_dup(s->arena, text)};
    if (texts[s->count].name.data == NULL || texts[s->count].text.data == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a configuration");
    s->texts = texts;
    s->count++;
    return 0;
}

static int add_file(struct source *s, const char *path, struct err *err)
{
    struct buf text = {0};
    int rc = io_read_file(store_io_posix(), path, ALLOY_TEXT_MAX, &text);
    if (rc == 0)
        rc = add_text(s, str_c(path), buf_view(&text), err);
    else
        err_set(err, rc, "%s: %s", path, err_text(rc));
    buf_reset(&text);
    return rc;
}

struct listing {
    struct arena *arena;
    const char *folder;
    const char *names[FILES_MAX];
    size_t count;
};

static int on_name(void *arg, const char *name)
{
    struct listing *l = arg;
    char path[PATH_MAX_];
    if (!str_ends_with(str_c(name), STR(".alloy")))
        return 0;
    if (l->count == FILES_MAX)
        return ERR_LIMIT;
    (void)snprintf(path, sizeof path, "%s/%s", l->folder, name);
    const char *copy = str_dup(l->arena, str_c(path)).data;
    if (copy == NULL)
        return ERR_NOMEM;
    l->names[l->count++] = copy;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_folder(struct source *s, const char *path, struct err *err)
{
    const struct store_io *io = store_io_posix();
    struct listing *l = arena_zalloc(s->arena, sizeof *l);
    if (l == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a configuration");
    l->arena = s->arena;
    l->folder = path;
    int rc = io->list(io->self, path, on_name, l);
    if (rc != 0)
        return err_set(err, rc, "%s: %s", path, err_text(rc));
    if (l->count == 0)
        return err_set(err, ERR_NOENT, "%s: no *.alloy file in it", path);
    qsort(l->names, l->count, sizeof *l->names, compare_names);
    for (size_t i = 0; rc == 0 && i < l->count; i++)
        rc = add_file(s, l->names[i], err);
    return rc;
}

int source_read(struct source *s, const char *path, struct err *err)
{
    struct stat st;
    int rc = prepare(s, err);
    if (rc == 0)
        rc = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? add_folder(s, path, err)
                                                         : add_file(s, path, err);
    if (rc != 0)
        source_reset(s);
    return rc;
}

static int check_forward_to(const struct receive_proxy_settings *flags, struct err *err)
{
    if (flags->forward_to.count == 0)
        return err_set(err, ERR_INVAL, "give -config.file, or -forward-to");
    for (size_t i = 0; i < flags->forward_to.count; i++) {
        struct str url = str_c(flags->forward_to.items[i]);
        struct buf shown = {0};
        if (str_eq(url, STR("ring")) || str_starts_with(url, STR("http://")) ||
            str_starts_with(url, STR("https://")))
            continue;
        set_put_url(url, &shown);
        err_set(err, ERR_INVAL, "-forward-to: \"%.*s\" needs http:// or https://",
                STR_ARG(str_head(buf_view(&shown), 100)));
        buf_reset(&shown);
        return ERR_INVAL;
    }
    return 0;
}

int source_of_flags(struct source *s, const struct receive_proxy_settings *flags, struct err *err)
{
    struct buf text = {0};
    int rc = check_forward_to(flags, err);
    if (rc == 0)
        rc = prepare(s, err);
    if (rc != 0)
        return rc;
    buf_c(&text, "pyroscope.receive_http \"flags\" {\n\thttp {\n\t\tlisten_address = ");
    alloy_quote(str_c(flags->listen_address), &text);
    buf_printf(&text, "\n\t\tlisten_port    = %u\n\t}\n", flags->listen_port);
    buf_c(&text, "\tforward_to = [pyroscope.write.flags.receiver]\n}\n\n"
                 "pyroscope.write \"flags\" {\n");
    for (size_t i = 0; i < flags->forward_to.count; i++) {
        const char *url = flags->forward_to.items[i];
        buf_c(&text, "\tendpoint {\n\t\turl = ");
        alloy_quote(strcmp(url, "ring") == 0 ? STR("http://ring") : str_c(url), &text);
        buf_c(&text, "\n\t}\n");
    }
    buf_c(&text, "}\n");
    if (rc == 0 && text.error != 0)
        rc = err_set(err, text.error, "no memory for a configuration");
    if (rc == 0)
        rc = add_text(s, STR("(flags)"), buf_view(&text), err);
    buf_reset(&text);
    if (rc != 0)
        source_reset(s);
    return rc;
}

void source_reset(struct source *s)
{
    arena_free(&s->arena);
    *s = (struct source){0};
}

/* --- subcommands ------------------------------------------------------------------------- */

static void print_diags(const struct alloy_diags *diags, const struct source *s)
{
    struct buf out = {0};
    alloy_diags_print(diags, s->texts, s->count, &out);
    (void)fwrite(out.data, 1, out.size, stderr);
    buf_reset(&out);
}

/* Whole or not at all: a crash leaves the old file. The mode of the file stays. */
static int replace_file(const char *path, struct str text)
{
    char tmp[PATH_MAX_];
    struct stat st;
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    FILE *f = stat(path, &st) == 0 ? fopen(tmp, "wb") : NULL;
    if (f == NULL)
        return ERR_IO;
    bool ok = fchmod(fileno(f), st.st_mode & 07777) == 0 &&
              fwrite(text.data, 1, text.len, f) == text.len;
    ok = fclose(f) == 0 && ok && rename(tmp, path) == 0;
    if (!ok)
        (void)unlink(tmp);
    return ok ? 0 : ERR_IO;
}

static int read_input(struct source *s, struct err *err)
{
    char part[8192];
    struct buf text = {0};
    size_t n;
    int rc = prepare(s, err);
    while (rc == 0 && text.size <= ALLOY_TEXT_MAX && (n = fread(part, 1, sizeof part, stdin)) > 0)
        buf_put(&text, part, n);
    if (rc == 0 && ferror(stdin))
        rc = err_set(err, ERR_IO, "(stdin): %s", err_text(ERR_IO));
    if (rc == 0 && text.size > ALLOY_TEXT_MAX)
        rc = err_set(err, ERR_LIMIT, "(stdin): %s", err_text(ERR_LIMIT));
    if (rc == 0 && text.error != 0)
        rc = err_set(err, ERR_NOMEM, "no memory for a configuration");
    if (rc == 0)
        rc = add_text(s, STR("(stdin)"), buf_view(&text), err);
    buf_reset(&text);
    if (rc != 0)
        source_reset(s);
    return rc;
}

/* What fmt does with a file beside printing it. */
struct fmt_flags {
    bool write, test;
};

static int format_file(const char *path, struct fmt_flags flags)
{
    struct source s;
    struct err err = {0};
    struct alloy_diags diags = {0};
    struct buf out = {0};
    bool input = strcmp(path, "-") == 0;
    if ((input ? read_input(&s, &err) : source_read(&s, path, &err)) != 0) {
        (void)fprintf(stderr, "Error: %s\n", err.msg);
        return 1;
    }
    int rc = s.count == 1 ? alloy_format(&s.texts[0], &diags, &out) : ERR_INVAL;
    bool same = rc == 0 && str_eq(buf_view(&out), s.texts[0].text);
    if (rc == ERR_INVAL)
        (void)fprintf(stderr, "Error: %s is a folder\n", path);
    else if (rc != 0)
        print_diags(&diags, &s);
    else if (flags.test)
        rc = same ? 0 : ERR_INVAL;
    else if (!flags.write)
        (void)fwrite(out.data, 1, out.size, stdout);
    else if (!same && (rc = replace_file(path, buf_view(&out))) != 0)
        (void)fprintf(stderr, "Error: %s: cannot be written\n", path);
    buf_reset(&out);
    alloy_diags_reset(&diags);
    source_reset(&s);
    return rc == 0 ? 0 : 1;
}

static int validate_file(const char *path, bool alloy)
{
    struct source s;
    struct err err = {0};
    struct alloy_diags diags = {0};
    if (source_read(&s, path, &err) != 0) {
        (void)fprintf(stderr, "Error: %s\n", err.msg);
        return 1;
    }
    int rc = pipeline_check(s.texts, s.count, alloy, &diags);
    print_diags(&diags, &s); /* warnings too */
    if (rc != 0)
        (void)fprintf(stderr, "Error: validation failed\n");
    alloy_diags_reset(&diags);
    source_reset(&s);
    return rc == 0 ? 0 : 1;
}

const char source_usage[] = "usage: receive-proxy [OPTIONS]\n"
                            "       receive-proxy fmt [-w|-t] FILE (- is the standard input)\n"
                            "       receive-proxy validate [-compat=alloy] FILE\n";

bool source_command(int argc, char **argv, int *status)
{
    bool fmt = argc > 1 && strcmp(argv[1], "fmt") == 0;
    bool validate = argc > 1 && strcmp(argv[1], "validate") == 0;
    const char *file = NULL;
    struct fmt_flags flags = {0};
    bool wrong = false, alloy = false;
    if (!fmt && !validate)
        return false;
    for (int i = 2; i < argc; i++) {
        if (fmt && (strcmp(argv[i], "-w") == 0 || strcmp(argv[i], "--write") == 0))
            flags.write = true;
        else if (fmt && (strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--test") == 0))
            flags.test = true;
        else if (validate && strcmp(argv[i], "-compat=alloy") == 0)
            alloy = true;
        else if ((argv[i][0] != '-' || (fmt && argv[i][1] == '\0')) && file == NULL)
            file = argv[i];
        else
            wrong = true;
    }
    if (file != NULL && strcmp(file, "-") == 0 && flags.write)
        wrong = true; /* there is nothing to write to */
    if (wrong || file == NULL) {
        (void)fputs(source_usage, stderr);
        *status = 1;
    } else {
        *status = fmt ? format_file(file, flags) : validate_file(file, alloy);
    }
    return true;
}
