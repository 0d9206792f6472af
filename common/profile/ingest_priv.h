/* profile/ingest_priv.h - the steps of profile/ingest.h: which samples stay, in which group,
 * under which labels, and their symbols in the form. */
#ifndef PROFILE_INGEST_PRIV_H
#define PROFILE_INGEST_PRIV_H

#include "profile/form.h"
#include "profile/ingest.h"
#include "profile/labels.h"
#include "profile/pprof.h"

/* The identity of a sample's request, from its labels span_id (or profile_id) and trace_id. */
struct sample_span {
    uint64_t span_id;
    uint8_t trace_id[16];
    bool is_set;
};

/* Samples with the same string labels. */
struct sample_group {
    uint32_t first_pair, pair_count; /* in split.pairs: the labels, by key index */
    uint32_t first, count;           /* in split.order */
    struct form_pair *labels;        /* final, without the per-type ones */
    uint32_t label_count;
    struct str name, service; /* __name__ and service_name */
    uint32_t same_as;         /* the first group with these final labels; itself mostly */
    uint32_t next;            /* the next group with these final labels; 0 for none */
};

struct split {
    struct sample_group *groups;
    uint32_t group_count;
    struct pprof_label_row *pairs;
    uint32_t *order; /* kept samples, group by group, as they came within one */
    uint32_t kept;
    struct sample_span *spans; /* per sample, NULL when no sample has one */
};

/* Which samples stay, grouped by their string labels. ERR_INVAL when a sample type's values add
 * up beyond 2^63 - 1; ERR_NOMEM. */
int ingest_split(const struct pprof *p, struct arena *a, struct split *out, struct err *err);

/* The final labels of each group: the series' win over the samples', then the default rules,
 * then the checks. Groups that end up equal are joined. `labels` are sorted. */
int ingest_group_labels(const struct pprof *p, const struct ingest *in,
                        const struct label *labels, size_t count, struct split *s,
                        enum discard *reason, struct err *err);

/* The node of each kept sample's stack in the form, by sample index. ERR_NOMEM, ERR_LIMIT. */
int ingest_stacks(const struct pprof *p, struct ingest *in, const struct split *s,
                  const uint32_t **nodes);

#endif
