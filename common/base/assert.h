/* base/assert.h - assertions that stay on in production.
 *
 * For mistakes of our own code only: a broken precondition ends the process with file, line and
 * text on stderr. What a peer, a file or a user sends is never asserted: it is answered with an
 * error. Any thread. Tests: tests/unit/base/test_err.c. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Print what failed and abort(). Never returns. */
_Noreturn void assert_fail(const char *file, int line, const char *what);

#define ASSERT(cond) ((cond) ? (void)0 : assert_fail(__FILE__, __LINE__, #cond))
#define UNREACHABLE() assert_fail(__FILE__, __LINE__, "unreachable")

#endif
