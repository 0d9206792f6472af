/* profile/ingest_http_priv.h - the formats of profile/ingest_http.h. */
#ifndef PROFILE_INGEST_HTTP_PRIV_H
#define PROFILE_INGEST_HTTP_PRIV_H

#include "profile/ingest_http.h"
#include "profile/labels.h"
#include "profile/pprof.h"

/* Labels that a format adds beside those of the name. */
enum { OWN_LABELS = 6 };

/* Set a label: replaces one of that name. `labels` has room. */
void ingest_label_set(struct label *labels, size_t *count, struct str name, struct str value);

/* The same only when there is none. */
void ingest_label_default(struct label *labels, size_t *count, struct str name,
                          struct str value);

/* The parts of a form that are read; a raw body has none but the profile. */
struct pprof_form {
    struct str profile, config;
    bool has_config;
};

/* pprof, raw or gzip. Codes as ingest_request_take(). */
int ingest_pprof(struct ingest *in, const struct ingest_request *r,
                 const struct pprof_form *form, struct buf *unpacked, struct ingest_result *out,
                 struct err *err);

/* Text: stacks with counts (groups) or without (lines). Codes as ingest_request_take(). */
int ingest_folded(struct ingest *in, const struct ingest_request *r, struct str body,
                  struct ingest_result *out, struct err *err);

#endif
