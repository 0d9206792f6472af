/* alloy/decode_priv.h - between the graph and the decoder of schemas. */
#ifndef ALLOY_DECODE_PRIV_H
#define ALLOY_DECODE_PRIV_H

#include "alloy/eval.h"
#include "alloy/schema.h"

/* Fill the struct at `at` from the statements, defaults first. Expressions decoded into secrets
 * are marked in the tree. 0; ERR_PARSE with the reason in diags, or in ev->err when it has no
 * place of its own; ERR_NOMEM. */
int alloy_decode_body(struct alloy_eval *ev, const struct alloy_schema *s,
                      struct alloy_stmt *body, void *at);

/* Store one value in the field of a row. */
int alloy_decode_value(struct alloy_eval *ev, const struct alloy_row *row,
                       const struct alloy_value *v, void *field);

/* A copy that shares nothing with v, capsules of components aside. */
int alloy_value_copy(struct alloy_eval *ev, const struct alloy_value *v,
                     struct alloy_value *out);

#endif
