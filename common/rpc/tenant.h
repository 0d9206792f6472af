/* rpc/tenant.h - whose data a request is about: the X-Scope-OrgID header, by dskit's rules.
 *
 * Pure; any thread. Tests: tests/unit/rpc/test_connect.c. */
#ifndef RPC_TENANT_H
#define RPC_TENANT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

enum { TENANT_ID_MAX = 150 };

/* The tenant of every request while multi-tenancy is off. */
#define TENANT_ANONYMOUS "anonymous"

/* The single tenant that a header names; `out` borrows from it. What follows a ':' is dropped.
 * Off: always "anonymous". ERR_DENIED: on, and the header is absent or empty. ERR_INVAL: not a
 * valid id, or several. */
int tenant_of_header(bool multi, struct str header, struct str *out, struct err *err);

/* Letters, digits and ! - _ . * ' ( ), at most 150, neither "." nor "..". */
bool tenant_is_valid(struct str id);

#endif
