/* conf/conf_run.h - a command line with its file and environment, in one call for main().
 *
 * Reads a file and the environment; call it before there are threads.
 * Tests: tests/unit/conf/test_conf_run.c. */
#ifndef CONF_CONF_RUN_H
#define CONF_CONF_RUN_H

#include "conf/conf.h"

enum { CONF_FILE_MAX = 4 << 20 }; /* bytes of a configuration file */

/* conf_args(), then, when nothing but running is asked for, the file of -config.file (expanded
 * when asked), conf_apply() and validation. *action says what the caller has to do; the structs
 * are filled for CONF_RUN only. ERR_PARSE, ERR_LIMIT, ERR_IO, ERR_NOENT, ERR_NOMEM, or what a
 * section's validate returned; err has the text for the user. */
int conf_load(struct conf *c, int argc, const char *const *argv, enum conf_action *action,
              struct err *err);

/* As conf_load(), but the file of -config.file is left to the caller (conf_file()). */
int conf_load_flags(struct conf *c, int argc, const char *const *argv, enum conf_action *action,
                    struct err *err);

#endif
