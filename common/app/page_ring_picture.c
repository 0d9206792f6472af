/* app/page_ring_picture.c - the ring as a circle, one ring a zone, and as straight strips. */
#include "app/page_ring_priv.h"

#include "base/err.h"
#include "base/mem.h"

/* Would a name with its share fit into a part of a strip? Strips are about 1100 px, letters 7. */
static bool name_fits(struct str name, double share)
{
    return (double)name.len * 7.3 + 72 < share * 1100;
}

/* --- tokens as dashes ------------------------------------------------------------------------- */

/* The parts that belong to `member`, as a line of alternating dashes and gaps. */
static void put_dashes(const uint32_t *owners, uint32_t member, struct buf *out)
{
    size_t i = 0;
    const char *between = "";
    for (bool own = true; i < PAGE_BINS; own = !own) {
        size_t run = 0;
        while (i + run < PAGE_BINS && (owners[i + run] == member) == own)
            run++;
        buf_printf(out, "%s%zu", between, run);
        between = " ";
        i += run;
        if (i == PAGE_BINS && own)
            buf_c(out, " 0");
    }
}

/* Is everything but the sick ones to be faded? */
static void put_class(const struct page_view *v, size_t index, struct buf *out)
{
    if (!page_is_alive(v, ring_at(v->p->ring, index))) {
        buf_c(out, "bad");
        return;
    }
    page_colour(v, index, out);
    if (v->unhealthy > 0)
        buf_c(out, " pale");
}

/* Draw each member's share of a zone with `shape`, which lacks its class and dashes. */
static void put_shares(const struct page_view *v, struct str zone, const uint32_t *owners,
                       const char *shape, struct buf *out)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (in->token_count == 0 || !str_eq(in->zone, zone))
            continue;
        buf_printf(out, "%s class=\"arc ", shape);
        put_class(v, i, out);
        buf_c(out, "\" stroke-dasharray=\"");
        put_dashes(owners, (uint32_t)i, out);
        buf_c(out, "\"><title>");
        html_str(out, in->id);
        buf_c(out, "</title>");
        buf_c(out, shape[1] == 'c' ? "</circle>" : "</path>");
    }
}

/* --- the circle ------------------------------------------------------------------------------- */

static void put_middle(const struct page_view *v, struct buf *out)
{
    buf_printf(out, "<text class=\"mid\" x=\"128\" y=\"%d\">", v->unhealthy == 0 ? 132 : 118);
    if (v->zone_count == 1) {
        buf_printf(out, "%zu instance%s", v->count, v->count == 1 ? "" : "s");
    } else {
        buf_c(out, "outside in: zones ");
        if (v->zone_count > 4) {
            buf_printf(out, "1 to %zu", v->zone_count);
        } else {
            for (size_t i = 0; i < v->zone_count; i++) {
                buf_c(out, i == 0 ? "" : ", ");
                html_str(out, str_head(v->zones[i].name, 8));
            }
        }
    }
    buf_c(out, "</text>");
    if (v->unhealthy == 0)
        return;
    buf_c(out, "<text class=\"mid sick\" x=\"128\" y=\"138\">");
    if (v->unhealthy == 1)
        html_str(out, str_head(v->sick->id, 20));
    else
        buf_printf(out, "%zu UNHEALTHY", v->unhealthy);
    buf_c(out, "</text>");
    if (v->unhealthy > 1)
        return;
    buf_c(out, "<text class=\"mid\" x=\"128\" y=\"156\">");
    html_percent(out, (double)ring_owned(v->p->ring, v->sick->id), 4294967296.0);
    buf_c(out, " of ");
    page_zone_name(v, str_head(v->sick->zone, 12), out);
    buf_c(out, "</text>");
}

static int put_circle(const struct page_view *v, uint32_t *owners, struct buf *out)
{
    double pitch = v->zone_count <= 3 ? 20.5 : 62.0 / (double)v->zone_count;
    buf_c(out, "<svg class=\"circle\" viewBox=\"0 0 256 256\" width=\"256\" height=\"256\" "
               "role=\"img\" "
               "aria-label=\"which parts of the ring belong to whom, by zone\">");
    for (size_t z = 0; z < v->zone_count && z < PAGE_RINGS_MAX; z++) {
        struct buf shape = {0};
        int rc = ring_page_owners(v->p->ring, v->zones[z].name, owners, PAGE_BINS);
        buf_printf(&shape,
                   "<circle cx=\"128\" cy=\"128\" r=\"%.1f\" stroke-width=\"%.1f\" "
                   "pathLength=\"720\" transform=\"rotate(-90 128 128)\"",
                   120 - pitch * (double)z, pitch * 0.78);
        buf_u8(&shape, '\0');
        rc = rc != 0 ? rc : shape.error;
        if (rc == 0)
            put_shares(v, v->zones[z].name, owners, (const char *)shape.data, out);
        buf_reset(&shape);
        if (rc != 0)
            return rc;
    }
    put_middle(v, out);
    buf_c(out, "</svg>\n");
    return 0;
}

/* --- the strips ------------------------------------------------------------------------------- */

/* One member's part of the upper strip: name and share, as wide as what it owns. */
static void put_part(const struct page_view *v, size_t index, double from, double share,
                     struct buf *out)
{
    const struct ring_instance *in = ring_at(v->p->ring, index);
    bool bad = !page_is_alive(v, in);
    buf_printf(out, "<svg x=\"%.3f%%\" width=\"%.3f%%\" height=\"22\"><title>", 100 * from,
               100 * share);
    html_str(out, in->id);
    buf_c(out, "</title><rect class=\"part ");
    page_colour(v, index, out);
    buf_c(out, "\" width=\"100%\" height=\"22\"/>");
    if (bad)
        buf_c(out, "<rect fill=\"url(#hatch)\" width=\"100%\" height=\"22\"/>");
    buf_c(out, "<rect class=\"cut\" x=\"100%\" width=\"2\" height=\"22\" transform=\"translate(-2 "
               "0)\""
               "/>");
    if (name_fits(in->id, share)) {
        buf_printf(out, "<text class=\"%s\" x=\"6\" y=\"15\">%s", bad ? "on bad" : "on",
                   bad ? "\xe2\x96\xb2 " : "");
        html_str(out, in->id);
        buf_c(out, "</text><text class=\"on share\" x=\"100%\" y=\"15\" dx=\"-8\">");
        html_percent(out, share, 1);
        buf_c(out, "</text>");
    }
    buf_c(out, "</svg>");
}

static void put_strip_head(const struct page_view *v, const struct page_zone *z, struct buf *out)
{
    size_t bare = 0;
    const struct ring_instance *first = NULL;
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (in->token_count == 0 && str_eq(in->zone, z->name)) {
            first = first == NULL ? in : first;
            bare++;
        }
    }
    buf_c(out, "<p class=\"zone\"><b>");
    if (z->name.len == 0)
        buf_c(out, v->zone_count == 1 ? "ring" : "no zone");
    else
        page_zone_name(v, z->name, out);
    buf_printf(out, "</b> %u of %u ACTIVE", z->active, z->members);
    if (bare == 1) {
        buf_c(out, ", ");
        html_str(out, first->id);
        buf_c(out, " has no tokens yet");
    } else if (bare > 1) {
        buf_printf(out, ", %zu have no tokens yet", bare);
    }
    buf_c(out, "</p>");
}

static int put_strip(const struct page_view *v, const struct page_zone *z, uint32_t *owners,
                     struct buf *out)
{
    double from = 0;
    int rc = ring_page_owners(v->p->ring, z->name, owners, PAGE_BINS);
    if (rc != 0)
        return rc;
    put_strip_head(v, z, out);
    buf_c(out, "<svg class=\"names\" width=\"100%\" height=\"22\">");
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (in->token_count == 0 || !str_eq(in->zone, z->name))
            continue;
        double share = (double)ring_owned(v->p->ring, in->id) / 4294967296.0;
        put_part(v, i, from, share, out);
        from += share;
    }
    buf_c(out, "</svg><svg class=\"tokens\" viewBox=\"0 0 720 8\" preserveAspectRatio=\"none\" "
               "width=\"100%\" height=\"8\" aria-hidden=\"true\">");
    put_shares(v, z->name, owners, "<path d=\"M0 4H720\" pathLength=\"720\" stroke-width=\"8\"",
               out);
    buf_c(out, "</svg>\n");
    return 0;
}

void page_ring_picture(const struct page_view *v, struct buf *out)
{
    if (ring_token_count(v->p->ring) == 0)
        return;
    uint32_t *owners = mem_calloc(PAGE_BINS, sizeof *owners);
    int rc = owners == NULL ? ERR_NOMEM : put_circle(v, owners, out);
    buf_c(out, "<div class=\"strips\">\n");
    for (size_t z = 0; rc == 0 && z < v->zone_count; z++)
        rc = put_strip(v, &v->zones[z], owners, out);
    if (rc != 0)
        out->error = rc;
    mem_free(owners);
}
