/* ring/token_run.h - the tokens file on a disk.
 *
 * Blocks on the disk. Tests: tests/unit/ring/test_token.c. */
#ifndef RING_TOKEN_RUN_H
#define RING_TOKEN_RUN_H

#include "base/err.h"
#include "ring/token.h"

/* Read the file. ERR_NOENT (no file, the normal first start), ERR_IO, ERR_PARSE, ERR_LIMIT,
 * ERR_NOMEM with *out untouched. */
int ring_tokens_load(struct ring_tokens *out, const char *path, struct err *err);

/* Write <path>.tmp, sync, rename over `path`, sync the folder: after a crash there is the old
 * or the new file. ERR_IO, ERR_NOSPC, ERR_NOMEM. */
int ring_tokens_save(const struct ring_tokens *t, const char *path, struct err *err);

#endif
