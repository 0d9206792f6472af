/* wire/msg_slot.h - how the fields of a message lie in memory; between msg.c and msg_json.c
 * only. */
#ifndef WIRE_MSG_SLOT_H
#define WIRE_MSG_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/msg.h"

enum { MSG_FIELDS_MAX = 64, MSG_DEPTH = 32, MSG_ELEMENTS = 1000000, MSG_JSON = 1 << 20 };

/* Where the field is in the message at `msg`. */
static inline void *msg_at(const struct msg_field *f, void *msg)
{
    return (char *)msg + f->offset;
}

static inline const void *msg_in(const struct msg_field *f, const void *msg)
{
    return (const char *)msg + f->offset;
}

/* Number of elements of a repeated field. */
static inline size_t *msg_count_at(const struct msg_field *f, void *msg)
{
    return (size_t *)(void *)((char *)msg + f->extra_offset);
}

static inline size_t msg_count_in(const struct msg_field *f, const void *msg)
{
    return *(const size_t *)(const void *)((const char *)msg + f->extra_offset);
}

/* has_<name> of an optional field. */
static inline bool *msg_has_at(const struct msg_field *f, void *msg)
{
    return (bool *)((char *)msg + f->extra_offset);
}

static inline bool msg_has_in(const struct msg_field *f, const void *msg)
{
    return *(const bool *)((const char *)msg + f->extra_offset);
}

/* The pointer in a slot: to a sub-message or to the array of a repeated field. */
static inline void *msg_pointer(const void *slot)
{
    void *p;
    memcpy(&p, slot, sizeof p);
    return p;
}

static inline void msg_set_pointer(void *slot, void *p)
{
    memcpy(slot, &p, sizeof p);
}

/* Bytes of one element of a repeated field. */
size_t msg_element_size(const struct msg_field *f);

/* A number of any kind as 64 bits: signed ones extended, a double as its bits. */
uint64_t msg_load(enum msg_kind kind, const void *slot);
void msg_store(enum msg_kind kind, void *slot, uint64_t bits);

/* Make room for `more` elements behind those that a repeated field of `msg` has, zeroed, and
 * take what it costs from *budget. ERR_LIMIT, ERR_NOMEM. */
int msg_grow(const struct msg_field *f, void *msg, size_t more, struct arena *a,
             size_t *budget);

#endif
