/* profile/form_priv.h - the inside of a form writer: form_write.c fills it, form_seal.c puts it
 * in order. */
#ifndef PROFILE_FORM_PRIV_H
#define PROFILE_FORM_PRIV_H

#include "profile/form.h"

/* Open addressing: hash in the upper half of a slot, entry + 1 in the lower, 0 is free. */
struct table {
    uint64_t *slots;
    uint32_t mask, count;
};

/* An array in the arena that doubles; old copies stay until the arena goes. */
struct list32 {
    void *data;
    uint32_t count, cap;
};

/* A profile and its part of the writer's rows, values and spans. */
struct entry {
    struct form_profile p;
    uint32_t first_row, rows;
    uint32_t first_value; /* rows x members from here */
    uint32_t first_span, spans;
    uint64_t totals[FORM_MEMBERS_MAX];
};

struct form_writer {
    struct arena *arena;
    struct list32 strings, mappings, functions, locations, lines, lanes, profiles;
    struct table string_table, mapping_table, function_table, location_table;
    struct table span_table, row_table; /* of the open profile, when it has spans */
    struct list32 row_nodes, row_spans; /* uint32_t; span index + 1, 0 none */
    struct list32 values, spans;        /* uint64_t; struct form_span, trace ids copied */
    struct form_node *nodes;
    uint32_t *row_of; /* per node: row without span + 1; older than the open profile: none */
    uint16_t *depths;
    uint32_t node_count, node_cap, deepest;
    uint32_t *node_slots; /* open addressing: nodes by parent and location; 0 is free */
    uint32_t node_mask, node_limit; /* of slots; nodes that there is room for, all in all */
    uint32_t *path_locations, *path_nodes; /* the previous stack */
    uint32_t path_count;
    bool is_open, is_sealed;
    struct entry open;
    struct form form;              /* once sealed */
    struct form_profile *finished; /* the profiles of `form` */
};

#define AT(list, type, i) (((type *)(list).data)[i])

/* Puts v at p, where PUT_UV_MAX bytes are free, as a varint; returns its end. One or two bytes come
 * in no order, where a guess at the branch is as often wrong as right. */
enum { PUT_UV_MAX = 10 };

static inline uint8_t *put_uv(uint8_t *p, uint64_t v)
{
    for (; v >= 1 << 14; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    unsigned more = v >= 0x80;
    p[0] = (uint8_t)(v | more << 7);
    p[1] = (uint8_t)(v >> 7);
    return p + 1 + more;
}

/* Room for `more` nodes behind those that are there, but not in node_slots; the first call makes
 * the root. ERR_NOMEM, ERR_LIMIT. */
int form_grow_nodes(struct form_writer *w, uint32_t more);

#endif
