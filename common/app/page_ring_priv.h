/* app/page_ring_priv.h - shared by the files of the ring's page. */
#ifndef APP_PAGE_RING_PRIV_H
#define APP_PAGE_RING_PRIV_H

#include "app/page_ring.h"
#include "ring/desc.h"
#include "ring/lookup.h"
#include "ring/page.h"
#include "ring/token.h"

enum { PAGE_COLOURS = 12, PAGE_BINS = 720, PAGE_RINGS_MAX = 8 };

/* A zone as the page counts it. */
struct page_zone {
    struct str name;
    uint32_t members, active, with_tokens;
    uint64_t most; /* that one of them owns, of 2^32 */
};

/* What is worked out once for a page. */
struct page_view {
    const struct page_ring *p;
    struct page_zone *zones; /* sorted by name */
    size_t zone_count, count;
    size_t active, foreign, unhealthy, pending, leaving, joining, read_only;
    const struct ring_instance *sick; /* the first unhealthy one */
    double skew;       /* the most of the zones' most over mean */
    double share_max;  /* right end of the bars of ownership, as a share of 1 */
    struct ring_cover cover;
};

/* Has it sent a heartbeat in time? */
bool page_is_alive(const struct page_view *v, const struct ring_instance *in);

/* Is it one that we work with? */
bool page_is_ours(const struct page_view *v, const struct ring_instance *in);

/* The zone of a member; never NULL for members of the view. */
const struct page_zone *page_zone_of(const struct page_view *v, struct str name);

/* Unix seconds of a member, which may be any number, as a time that can be reckoned with. */
wall_ms page_time(int64_t s);

/* Append the class of a member's colour. */
void page_colour(const struct page_view *v, size_t index, struct buf *out);

/* Append "zone b", or "the ring" when there are no zones. */
void page_zone_name(const struct page_view *v, struct str zone, struct buf *out);

/* Append a place in a list of names: ", " or " and " before all but the first. */
void page_and(struct buf *out, size_t i, size_t count);

/* Append the circle and the strips of the zones. */
void page_ring_picture(const struct page_view *v, struct buf *out);

/* Append the dialog that asks whether to forget, if that was asked for. */
void page_ring_dialog(const struct page_view *v, struct buf *out);

#endif
