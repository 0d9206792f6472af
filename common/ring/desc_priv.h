/* ring/desc_priv.h - what the files of struct ring_desc share. */
#ifndef RING_DESC_PRIV_H
#define RING_DESC_PRIV_H

#include "ring/desc.h"

struct json;

struct ring_desc {
    struct ring_instance *all; /* sorted by id */
    size_t count, cap;
};

/* Release what an instance owns; it becomes all-zero. */
void ring_instance_reset(struct ring_instance *in);

/* A deep copy. ERR_NOMEM with *out untouched. */
int ring_instance_copy(struct ring_instance *out, const struct ring_instance *from);

/* Room for `more` members. ERR_NOMEM, ERR_LIMIT. */
int ring_desc_reserve(struct ring_desc *d, size_t more);

/* Index of `id`, or where it would stand. */
bool ring_desc_search(const struct ring_desc *d, struct str id, size_t *at);

/* Put *in (which becomes all-zero) at its place; there must be room. */
void ring_desc_move_in(struct ring_desc *d, struct ring_instance *in);

/* About how many bytes of memory it takes. */
size_t ring_instance_size(const struct ring_instance *in);

/* Sort tokens and drop repeated ones; returns how many are left. */
uint32_t ring_tokens_sort(uint32_t *tokens, uint32_t count);

/* Write the member "versions" of an instance's JSON; nothing without versions. */
void ring_versions_to_json(const struct ring_instance *in, struct json *j);

#endif
