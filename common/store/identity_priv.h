/* store/identity_priv.h - what the small files share, for identity.c and seen.c. */
#ifndef STORE_IDENTITY_PRIV_H
#define STORE_IDENTITY_PRIV_H

#include "store/identity.h"

enum { IDENTITY_VERSION = 1 };

extern const struct str identity_magic_seen;

/* Append the checksum of what is in `out` from `from` on. */
void identity_put_crc(struct buf *out, size_t from);

/* Check magic and checksum; *in becomes what is between them. ERR_CORRUPT. */
int identity_open_file(struct str bytes, struct str magic, struct str *in);

/* ERR_CORRUPT, ERR_VERSION. */
int identity_read_version(struct str *in);

/* Read, or replace, a file of the data directory as a whole; b's sticky error counts. */
int identity_read_named(const struct store_io *io, const char *dir, const char *name,
                        struct buf *out);
int identity_replace(const struct store_io *io, const char *dir, const char *name,
                     const struct buf *b);

#endif
