/* store/part.h - the symbols of one partition: strings, mappings, functions, locations, and the
 * trie of call stacks, each interned to a number.
 *
 * Numbers count from 0 in order of appearance; string 0 is "", mapping 0 is none, node 0 is the
 * root, and a node's parent has a lower number. Nothing moves and nothing is taken away, so
 * readers go lock-free: what a row names was published before the row's record was written.
 *
 * Pure. One writer at a time (the caller's lock); any number of readers, who use part_counts()
 * and the part_*() look-ups only. Tests: tests/unit/store/test_part.c; fuzz: fuzz_part.c. */
#ifndef STORE_PART_H
#define STORE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "profile/form.h"

struct arena;
struct mem_account;
struct part;

enum { PART_STRING_MAX = 1 << 20 }; /* bytes of one string */

/* How many of each there are; also a mark: what lies behind it is newer. */
struct part_counts {
    uint32_t strings, mappings, functions, locations, nodes;
};

struct part_location {
    uint64_t address;
    uint32_t first_line, mapping;
    uint16_t line_count;
    bool folded;
};

struct part_node {
    uint32_t parent, location;
};

/* The numbers of a form's entries, by their index in the form. */
struct part_ids {
    uint32_t *strings, *mappings, *functions, *locations, *nodes;
};

/* An empty partition whose tables are charged to `account` (may be NULL). ERR_NOMEM, ERR_LIMIT. */
int part_init(struct part **out, struct mem_account *account);
void part_free(struct part **p);

/* Intern all symbols of a checked form; the arrays of *ids come from `a`. ERR_LIMIT, ERR_NOMEM:
 * some symbols may stay interned, which is harmless: who logs from a mark logs them too. */
int part_intern(struct part *p, const struct form *f, struct arena *a, struct part_ids *ids);

/* Append the `symbols` of what lies behind *from, about `room` bytes of it at most, and move *from
 * on. True when there is more. Failure is out's sticky error, *from then stays. */
bool part_put_symbols(const struct part *p, struct part_counts *from, size_t room,
                      struct buf *out);

/* Append the symbols at the front of *in, as part_put_symbols() wrote them, without the means to
 * intern more later: for replay. ERR_CORRUPT: not well-formed, or an index out of range; the
 * partition may then hold a part of them. ERR_NOMEM, ERR_LIMIT. */
int part_load_symbols(struct part *p, struct str *in);

/* What a reader may see. */
struct part_counts part_counts(const struct part *p);

/* Look-ups below part_counts(); borrowed for the life of the partition. */
struct str part_string(const struct part *p, uint32_t id);
const struct form_mapping *part_mapping(const struct part *p, uint32_t id);
const struct form_function *part_function(const struct part *p, uint32_t id);
const struct part_location *part_location(const struct part *p, uint32_t id);
const struct form_line *part_line(const struct part *p, uint32_t id);

/* Nodes from id on that lie side by side: *nodes and their number, at most up to `end`. */
uint32_t part_nodes(const struct part *p, uint32_t id, uint32_t end,
                    const struct part_node **nodes);

#endif
