/* profile/regex_priv.h - what regex.c asks of RE2: C in front, C++ behind, no exception
 * between. */
#ifndef PROFILE_REGEX_PRIV_H
#define PROFILE_REGEX_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ENGINE_GROUPS_MAX = 99 };

enum engine_result { ENGINE_OK, ENGINE_SYNTAX, ENGINE_TOO_LARGE, ENGINE_NO_MEMORY };

struct engine;

struct engine_span {
    const char *data; /* NULL: the group took no part in the match */
    size_t len;
};

/* Compile. On ENGINE_SYNTAX `why` (of why_size bytes) holds RE2's words. */
enum engine_result engine_init(struct engine **out, const char *pattern, size_t len,
                               size_t program_max, char *why, size_t why_size);

/* The whole text matches; spans[0 .. count) get group 0 (the text) and the following ones. */
bool engine_match(const struct engine *e, const char *text, size_t len,
                  struct engine_span *spans, size_t count);

/* Number of groups, without group 0. */
size_t engine_groups(const struct engine *e);

/* Number of the group with that name, or 0. */
size_t engine_group(const struct engine *e, const char *name, size_t len);

void engine_free(struct engine *e); /* NULL-safe */

#ifdef __cplusplus
}
#endif

#endif
