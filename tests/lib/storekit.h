/* Helpers of the store's tests and benches: small made-up pushes, appends that wait for their
 * answer, and totals by name path. */
#ifndef TESTS_LIB_STOREKIT_H
#define TESTS_LIB_STOREKIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "ring/dots.h"
#include "store/query.h"
#include "store/store.h"

/* One profile of a made-up push. Stacks are derived from `stack_seed`. */
struct kit_profile {
    const char *service, *label; /* label: value of "l"; NULL: none */
    unsigned members;            /* 1 .. 2 */
    bool proportional;           /* member 1 is 10 x member 0 */
    int64_t time_ns;
    uint32_t nonce;
    unsigned writer, seq;        /* the dot; sets have one instance, "i<writer % 3>" */
    uint64_t stack_seed;
    unsigned samples;
};

/* Append a form of these to out. */
void kit_form(const struct kit_profile *p, unsigned count, struct buf *out);

/* Values of the profile: per sample a stack "root;f<a>;g<b>" and a value per member. The call tree
 * as text lines is not needed: the sum is. */
uint64_t kit_total(const struct kit_profile *p, unsigned member);

/* Value of function f<a> (a < 16) with all below it. */
uint64_t kit_value_below(const struct kit_profile *p, unsigned member, unsigned a);

/* Name of the lane of a writer; borrowed from static memory per writer. */
struct lane_name kit_lane(unsigned writer);

/* Append and wait. What store_append() or its callback said. */
int kit_append(struct store *s, const char *tenant, struct str form,
               const struct vector *complete, struct store_appended *info);

/* Append profiles in one push and wait. */
int kit_push(struct store *s, const char *tenant, const struct kit_profile *p, unsigned count,
             struct store_appended *info);

/* Sum of member 0 ("kit:a:count:cpu:nanoseconds") over the view, by tree; UINT64_MAX when the
 * query fails. include may be NULL. */
uint64_t kit_sum(const struct view *v, const struct vector *include);

/* The profile type of a member. */
struct str kit_type(unsigned member);

/* A config for a directory on this disk, with an identity_forget() that counts in *forgotten. */
struct store_config kit_config(const char *dir, unsigned *forgotten);

#endif
