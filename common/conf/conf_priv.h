/* conf/conf_priv.h - what the files of struct conf share. */
#ifndef CONF_CONF_PRIV_H
#define CONF_CONF_PRIV_H

#include "conf/conf.h"

struct arena;
struct map;
struct tree_node;

/* A row at its place. */
struct bound {
    const struct conf_row *row;
    const char *flag; /* full name without dash, or NULL */
    const char *key;  /* full path, or NULL */
    void *field;
    bool from_flags; /* a list: the first flag replaces, the next ones append */
};

/* One option of the command line. */
struct conf_arg {
    struct bound *to;
    struct str value;
};

struct conf {
    struct arena *arena;
    const struct conf_section *sections;
    size_t section_count;
    struct bound *bound;
    size_t bound_count;
    struct map *by_flag, *by_key; /* of struct bound */
    struct conf_arg *args;
    size_t arg_count;
    enum conf_action action;
    const char *file;
    bool expand_env;
    struct map *ignored_set;
    const char **ignored;
    size_t ignored_count;
};

/* What is wrong with a value, for after its quoted text: "is not ...". */
const char *conf_wants(const struct conf_row *row, int code);

/* Parse `text` for a row and store it in `field` (lists: `append` to what is there). Strings go
 * to the arena. ERR_PARSE, ERR_LIMIT, ERR_NOMEM. With field NULL the text is only checked. */
int conf_store(struct arena *a, const struct conf_row *row, void *field, struct str text,
               bool append);

/* Store a YAML sequence of scalars into a list. ERR_PARSE, ERR_NOMEM. */
int conf_store_seq(struct arena *a, struct conf_list *list, const struct tree_node *seq);

/* Append the value of a field as YAML. */
void conf_put_value(const struct conf_row *row, const void *field, struct buf *out);

/* Remember "-flag" or "key" as known to Pyroscope and without effect. ERR_NOMEM. */
int conf_ignore(struct conf *c, const char *dash, struct str name);

/* The nearest name among ours and Pyroscope's, flags or keys; NULL when none is near. */
const char *conf_nearest(const struct conf *c, struct str name, bool flags);

#endif
