/* conf/env.h - ${VAR} and ${VAR:-default} in a text, as -config.expand-env does it.
 *
 * Pure: the environment is a function. Any thread. Tests: tests/unit/conf/test_env.c. */
#ifndef CONF_ENV_H
#define CONF_ENV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Value of a variable, NULL when it is not set. */
typedef const char *(*conf_env_fn)(void *arg, const char *name);

/* Append `text` to *out with each ${VAR} replaced by its value (nothing when it is not set) and
 * each ${VAR:-default} by its value or, when that is empty, by the default, which ends at the
 * next brace. Any other ${ is an error with its line; a $ without brace stays.
 * ERR_PARSE; no memory is the buffer's sticky error. */
int conf_expand_env(struct str text, conf_env_fn env, void *arg, struct buf *out,
                    struct err *err);

#endif
