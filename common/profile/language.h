/* profile/language.h - which language a profile comes from, and what is done to Go's names.
 *
 * Pure; any thread. Tests: tests/unit/profile/test_language.c. */
#ifndef PROFILE_LANGUAGE_H
#define PROFILE_LANGUAGE_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct arena;
struct label;
struct pprof;

/* The language by the label pyroscope_spy, else by the first string of the profile that looks
 * like one; "unknown" else. Static. */
const char *language_guess(const struct pprof *p, const struct label *labels, size_t count);

/* Go compiles one function per shape of type parameters: a name's part from "[go.shape." to its
 * last ] becomes "[...]", so that all shapes are one function. Names without are returned as
 * they are. data NULL with len > 0: no memory. */
struct str go_name_without_shapes(struct str name, struct arena *a);

/* The same for the names of all functions of *p. ERR_NOMEM. */
int go_cut_shapes(struct pprof *p, struct arena *a);

#endif
