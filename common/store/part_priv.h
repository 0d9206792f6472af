/* store/part_priv.h - the inside of a partition, for part.c (interning) and part_symbols.c
 * (records, reading). */
#ifndef STORE_PART_PRIV_H
#define STORE_PART_PRIV_H

#include "store/part.h"
#include "store/segs.h"

/* Slots of (hash << 32 | number + 1); 0 is free. Load stays below 0.7. */
struct table {
    uint64_t *slots;
    uint32_t cap, used;
};

/* Slots of node numbers; 0, the root, is free. */
struct node_table {
    uint32_t *slots;
    uint32_t cap, used;
};

struct part {
    struct mem_account *account;
    struct segs strings, mappings, functions, locations, lines, nodes;
    struct table by_string, by_mapping, by_function, by_location;
    struct node_table by_node;
    struct arena *bytes; /* of strings */
    char *chunk;
    size_t chunk_left;
};

/* Show what was added to readers. */
void part_publish(struct part *p);

/* Append a copy of a string, whose place was reserved. ERR_NOMEM, ERR_LIMIT. */
int part_push_string(struct part *p, struct str s);

#endif
