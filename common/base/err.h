/* base/err.h - one list of error codes, and a message that grows outwards.
 *
 * Functions return 0 or a negative code from this list. Set-up and parse paths also take a
 * `struct err *` (may be NULL) and fill it on failure; hot paths return the code alone.
 * Foreign conventions (errno, uv, curl, ...) stop in the one folder that owns the library.
 * Any thread. Tests: tests/unit/base/test_err.c. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_MAP(X)                                                                            \
    X(INVAL, 1, "invalid argument")                                                           \
    X(NOMEM, 2, "out of memory")                                                              \
    X(PARSE, 3, "cannot be parsed")                                                           \
    X(LIMIT, 4, "over a limit")                                                               \
    X(NOSPC, 5, "no space left")                                                              \
    X(IO, 6, "input/output error")                                                            \
    X(NOENT, 7, "not found")                                                                  \
    X(EXIST, 8, "exists already")                                                             \
    X(CLOSED, 9, "closed")                                                                    \
    X(SEALED, 10, "sealed")                                                                   \
    X(CORRUPT, 11, "corrupt")                                                                 \
    X(MOVED, 12, "moved")                                                                     \
    X(STALE, 13, "stale")                                                                     \
    X(TIMEOUT, 14, "deadline exceeded")                                                       \
    X(UNAVAILABLE, 15, "unavailable")                                                         \
    X(UNIMPLEMENTED, 16, "not implemented")                                                   \
    X(CANCELED, 17, "canceled")                                                               \
    X(DENIED, 18, "denied")                                                                   \
    X(VERSION, 19, "written by a newer version")                                              \
    X(AGAIN, 20, "try again")                                                                 \
    X(REFUSED, 21, "refused")                                                                 \
    X(INTERNAL, 22, "internal error")

enum {
#define X(name, n, text) ERR_##name = -(n),
    ERR_MAP(X)
#undef X
};

/* A code and what happened, in words. All-zero means no error. */
struct err {
    int code;
    char msg[256]; /* NUL-terminated; a longer text is cut */
};

/* Put `code` and the formatted text into err (may be NULL). Returns `code`, so that a failing
 * path is one line: return err_set(err, ERR_PARSE, "...", ...). No argument may lie in err: to
 * add to a message there is err_wrap(). */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prefix the message of err (may be NULL): "outer: inner". Keeps and returns its code;
 * returns ERR_INTERNAL when err is NULL, so do not use the result there. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forget the error; err may be NULL. */
void err_reset(struct err *err);

/* Text of a code from the list, "success" for 0, "unknown error" for others. Static. */
const char *err_text(int code);

#endif
