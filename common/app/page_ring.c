/* app/page_ring.c - the ring's page: verdict, look-up, table. */
#include "app/page_ring_priv.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

#define KEYS 4294967296.0

/* --- what is worked out once ------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct page_zone *)a)->name, ((const struct page_zone *)b)->name);
}

bool page_is_alive(const struct page_view *v, const struct ring_instance *in)
{
    return ring_instance_is_alive(in, v->p->timeout_ms, v->p->frame.now);
}

bool page_is_ours(const struct page_view *v, const struct ring_instance *in)
{
    return v->p->component == 0 || ring_instance_version(in, v->p->component) != 0;
}

const struct page_zone *page_zone_of(const struct page_view *v, struct str name)
{
    struct page_zone key = {.name = name};
    return bsearch(&key, v->zones, v->zone_count, sizeof *v->zones, by_name);
}

/* The zones, each once; then what their members are. */
static int view_zones(struct page_view *v)
{
    size_t n = 0;
    v->zones = mem_calloc(v->count + 1, sizeof *v->zones);
    if (v->zones == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < v->count; i++)
        v->zones[i].name = ring_at(v->p->ring, i)->zone;
    if (v->count > 0)
        qsort(v->zones, v->count, sizeof *v->zones, by_name);
    for (size_t i = 0; i < v->count; i++)
        if (n == 0 || !str_eq(v->zones[n - 1].name, v->zones[i].name))
            v->zones[n++] = v->zones[i];
    v->zone_count = n;
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        struct page_zone key = {.name = in->zone};
        struct page_zone *z = bsearch(&key, v->zones, n, sizeof key, by_name);
        uint64_t owned = ring_owned(v->p->ring, in->id);
        z->members++;
        z->active += in->state == RING_ACTIVE && page_is_alive(v, in);
        z->with_tokens += in->token_count > 0;
        z->most = owned > z->most ? owned : z->most;
    }
    return 0;
}

static void view_states(struct page_view *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        v->read_only += in->read_only;
        v->foreign += !page_is_ours(v, in);
        if (!page_is_alive(v, in)) {
            v->sick = v->sick == NULL ? in : v->sick;
            v->unhealthy++;
            continue;
        }
        v->active += in->state == RING_ACTIVE;
        v->pending += in->state == RING_PENDING;
        v->joining += in->state == RING_JOINING;
        v->leaving += in->state == RING_LEAVING;
    }
}

static int view_init(struct page_view *v, const struct page_ring *p)
{
    *v = (struct page_view){.p = p, .count = p->ring == NULL ? 0 : ring_count(p->ring)};
    int rc = view_zones(v);
    if (rc != 0 || p->ring == NULL)
        return rc;
    view_states(v);
    for (size_t i = 0; i < v->zone_count; i++) {
        const struct page_zone *z = &v->zones[i];
        double skew = (double)z->most * z->with_tokens / KEYS;
        double even = z->with_tokens == 0 ? 0 : 1.2 / z->with_tokens;
        v->skew = skew > v->skew ? skew : v->skew;
        v->share_max = even > v->share_max ? even : v->share_max;
        if ((double)z->most / KEYS > v->share_max)
            v->share_max = (double)z->most / KEYS;
    }
    return p->replicated ? ring_page_cover(p->ring, p->component, p->frame.now, &v->cover) : 0;
}

wall_ms page_time(int64_t s)
{
    enum { MOST = 1 << 30 };
    const int64_t most = (int64_t)MOST * 1000; /* 34,000 years */
    return 1000 * (s > most ? most : s < -most ? -most : s);
}

void page_colour(const struct page_view *v, size_t index, struct buf *out)
{
    const struct ring_instance *in = ring_at(v->p->ring, index);
    if (v->count <= PAGE_COLOURS)
        buf_printf(out, "h%zu", index);
    else
        buf_c(out, !page_is_alive(v, in) ? "bad" : in->state == RING_ACTIVE ? "calm" : "other");
}

void page_zone_name(const struct page_view *v, struct str zone, struct buf *out)
{
    if (zone.len == 0) {
        buf_c(out, v->zone_count == 1 ? "the ring" : "no zone");
        return;
    }
    buf_c(out, str_starts_with(zone, STR("zone")) ? "" : "zone ");
    html_str(out, zone);
}

void page_and(struct buf *out, size_t i, size_t count)
{
    if (i > 0)
        buf_c(out, i + 1 == count ? " and " : ", ");
}

/* --- head and verdict ------------------------------------------------------------------------- */

static void put_state_count(const char *glyph, const char *klass, size_t count, const char *word,
                            struct buf *out)
{
    if (count == 0)
        return;
    buf_c(out, "<span>");
    html_glyph(out, glyph, klass);
    html_count(out, count);
    buf_printf(out, " %s</span>", word);
}

static void put_head(const struct page_view *v, struct buf *out)
{
    const struct page_ring *p = v->p;
    buf_printf(out, "<div class=\"head\"><h1>Ring <span class=\"mono\">%s</span></h1> "
                    "<span class=\"quiet\">key ",
               p->name);
    html_str(out, str_c(p->key));
    buf_c(out, "</span><span class=\"gap\"></span><span class=\"states\">");
    put_state_count("active", "ok", v->active, "ACTIVE", out);
    put_state_count("dead", "error", v->unhealthy, "UNHEALTHY", out);
    put_state_count("half", "", v->joining, "JOINING", out);
    put_state_count("hollow", "", v->pending, "PENDING", out);
    put_state_count("arrow", "", v->leaving, "LEAVING", out);
    put_state_count("lock", "", v->read_only, "read-only", out);
    put_state_count("hollow", "warn", v->foreign, "not ours", out);
    buf_c(out, "</span><span class=\"quiet\">");
    if (p->replicated)
        buf_printf(out, "RF %u \xc2\xb7 ", p->replication_factor);
    if (v->zone_count > 1 || (v->zone_count == 1 && v->zones[0].name.len > 0))
        buf_printf(out, "%zu zone%s \xc2\xb7 ", v->zone_count, v->zone_count == 1 ? "" : "s");
    size_t tokens = p->ring == NULL ? 0 : ring_token_count(p->ring);
    /* Where nothing is replicated a member has one token, and shares differ by design. */
    html_count(out, tokens);
    buf_printf(out, " token%s \xc2\xb7 <span%s>max/mean %.2f</span></span></div>\n",
               tokens == 1 ? "" : "s", p->replicated && v->skew > 1.3 ? " class=\"warn\"" : "",
               v->skew);
}

/* "ingester-b-2 (zone b) is UNHEALTHY"; of several the first three. */
static void put_cause(const struct page_view *v, const char *before, struct buf *out)
{
    size_t named = 0, shown = v->unhealthy > 3 ? 2 : v->unhealthy;
    for (size_t i = 0; i < v->count && named < shown; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (page_is_alive(v, in))
            continue;
        if (named == 0)
            buf_c(out, before);
        page_and(out, named++, v->unhealthy > shown ? shown + 1 : shown);
        html_str(out, in->id);
        if (in->zone.len > 0) {
            buf_c(out, " (");
            page_zone_name(v, in->zone, out);
            buf_c(out, ")");
        }
    }
    if (v->unhealthy > shown)
        buf_printf(out, " and %zu others", v->unhealthy - shown);
    if (v->unhealthy > 0)
        buf_c(out, v->unhealthy == 1 ? " is UNHEALTHY" : " are UNHEALTHY");
    else if (v->foreign > 0)
        buf_printf(out, "%s%zu member%s not ours", before, v->foreign,
                   v->foreign == 1 ? " is" : "s are");
}

static bool zone_is_sick(const struct page_view *v, const struct page_zone *z)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (str_eq(in->zone, z->name) && !page_is_alive(v, in))
            return true;
    }
    return false;
}

/* "Stop or roll nothing in zones a and c until it is back." */
static void put_order(const struct page_view *v, struct buf *out)
{
    size_t well = 0, named = 0;
    const char *back = v->unhealthy == 1 ? "it is back" : "they are back";
    buf_c(out, "Reads and writes work. Stop or roll nothing ");
    if (v->unhealthy == 0)
        back = "all are ACTIVE";
    for (size_t i = 0; i < v->zone_count; i++)
        well += !zone_is_sick(v, &v->zones[i]);
    if (!v->p->zone_aware || well == 0 || well > 4 || v->unhealthy == 0) {
        buf_printf(out, "else until %s.", back);
        return;
    }
    buf_c(out, well == 1 ? "in zone " : "in zones ");
    for (size_t i = 0; i < v->zone_count; i++) {
        if (zone_is_sick(v, &v->zones[i]))
            continue;
        page_and(out, named++, well);
        html_str(out, v->zones[i].name);
    }
    buf_printf(out, " until %s.", back);
}

static void put_share(const char *look, double *from, uint64_t size, struct buf *out)
{
    if (size == 0)
        return;
    double share = (double)size / KEYS;
    buf_printf(out, "<rect %s x=\"%.2f%%\" width=\"%.2f%%\" height=\"14\"/>", look,
               100 * *from, 100 * share);
    if (*from > 0)
        buf_printf(out, "<rect class=\"slit\" x=\"%.2f%%\" width=\"2\" height=\"14\"/>",
                   100 * *from);
    *from += share;
}

static void put_shares(const struct page_view *v, struct buf *out)
{
    const struct ring_cover *c = &v->cover;
    uint32_t rf = v->p->replication_factor;
    double from = 0;
    buf_c(out, "<div class=\"cover\"><svg width=\"100%\" height=\"14\" aria-hidden=\"true\">");
    put_share("class=\"c-ok\"", &from, c->whole, out);
    put_share("class=\"c-spare\"", &from, c->spare, out);
    put_share("fill=\"url(#doubt)\"", &from, c->quorum, out);
    put_share("class=\"c-bad\"", &from, c->below, out);
    buf_c(out, "</svg><p><span><b>");
    html_percent(out, (double)c->whole, KEYS);
    buf_printf(out, "</b> all %u replica%s</span> ", rf, rf == 1 ? "" : "s");
    if (c->spare > 0) {
        buf_c(out, "<span><b>");
        html_percent(out, (double)c->spare, KEYS);
        buf_c(out, "</b> more than quorum</span> ");
    }
    if (rf > 1) {
        buf_c(out, "<span><b>");
        html_percent(out, (double)c->quorum, KEYS);
        buf_printf(out, "</b> exactly quorum, %u of %u</span> ", rf / 2 + 1, rf);
    }
    buf_c(out, "<span><b>");
    html_percent(out, (double)c->below, KEYS);
    buf_c(out, "</b> below</span></p></div>");
}

static void put_forget_all(const struct page_view *v, struct buf *out)
{
    if (v->unhealthy < 2)
        return;
    buf_c(out, "<form class=\"all\" method=\"get\" action=\"");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_printf(out,
               "\"><button class=\"box danger\" name=\"ask_unhealthy\" value=\"true\">Forget all "
               "%zu UNHEALTHY \xe2\x80\xa6</button></form>",
               v->unhealthy);
}

static void put_replicated_verdict(const struct page_view *v, struct buf *out)
{
    const struct ring_cover *c = &v->cover;
    bool well = c->below == 0 && c->quorum == 0;
    buf_printf(out, "<section class=\"verdict %s\"><div>",
               c->below > 0 ? "error" : well ? "well" : "doubt");
    if (c->below > 0) {
        buf_c(out, "<p><b>");
        html_percent(out, (double)c->below, KEYS);
        buf_c(out, " of the ring has lost its quorum</b>");
        put_cause(v, ": ", out);
        buf_c(out, ".</p><p class=\"quiet\">Answers may be incomplete, and writes to these ranges "
                   "fail where no other instance can stand in. "
                   "Start what is missing with its data.</p>");
    } else {
        buf_c(out, "<p><b>Every token range has its quorum.</b>");
        if (c->quorum > 0) {
            buf_c(out, " <b class=\"warn\">");
            html_percent(out, (double)c->quorum, KEYS);
            buf_c(out, " of the ring is one failure from losing it</b>");
            put_cause(v, ", because ", out);
            buf_c(out, ".</p><p class=\"quiet\">");
            put_order(v, out);
        } else if (v->unhealthy > 0) {
            put_cause(v, " None is at risk, although ", out);
            buf_c(out, ".");
        }
        buf_c(out, "</p>");
    }
    put_forget_all(v, out);
    buf_c(out, "</div>");
    if (!well)
        put_shares(v, out);
    buf_c(out, "</section>\n");
}

static void put_verdict(const struct page_view *v, struct buf *out)
{
    const struct page_ring *p = v->p;
    if (v->count == 0) {
        buf_c(out, "<section class=\"verdict doubt\"><div><p><b>Nobody is in this ring.</b></p>"
                   "<p class=\"quiet\">Instances enter it when they start and reach this one by "
                   "gossip. "
                   "Look at the members of the cluster first.</p></div></section>\n");
    } else if (p->replicated && ring_token_count(p->ring) == 0) {
        buf_c(out, "<section class=\"verdict error\"><div><p><b>No instance has tokens yet.</b></p>"
                   "<p class=\"quiet\">Writes fail until one is ACTIVE; its /ready says what it "
                   "waits "
                   "for.</p></div></section>\n");
    } else if (p->replicated) {
        put_replicated_verdict(v, out);
    } else if (v->unhealthy == 0) {
        buf_printf(out, "<section class=\"verdict well\"><div><p><b>%s</b></p></div></section>\n",
                   v->count == 1 ? "The only instance sends heartbeats in time."
                                 : "All instances send heartbeats in time.");
    } else {
        buf_printf(out, "<section class=\"verdict doubt\"><div><p><b>%zu of %zu instances %s</b>",
                   v->unhealthy, v->count, v->unhealthy == 1 ? "is silent" : "are silent");
        put_cause(v, ": ", out);
        buf_c(out, ".</p><p class=\"quiet\">The others go on without.</p>");
        put_forget_all(v, out);
        buf_c(out, "</div></section>\n");
    }
}

/* --- who holds a service ---------------------------------------------------------------------- */

static void put_holders(const struct page_view *v, uint32_t token, struct buf *out)
{
    struct ring_set set = {0};
    int rc = ring_set_of(v->p->ring, token, RING_WRITE, 0, &set, NULL);
    for (uint32_t i = 0; rc == 0 && i < set.count; i++) {
        const struct ring_instance *in = set.items[i];
        bool fit = page_is_ours(v, in) &&
                   ring_is_healthy(v->p->ring, in, RING_WRITE, v->p->frame.now);
        buf_printf(out, "<span class=\"holder%s\">", fit ? "" : " sick");
        html_glyph(out, fit ? "active" : "dead", fit ? "ok" : "error");
        html_str(out, in->id);
        if (!fit)
            buf_printf(out, ", %s",
                       !page_is_alive(v, in)  ? "UNHEALTHY"
                       : !page_is_ours(v, in) ? "not ours"
                                              : ring_state_name(in->state));
        buf_c(out, "</span> ");
    }
    if (rc == ERR_NOMEM)
        out->error = rc;
    ring_set_reset(&set);
}

static void put_look_up(const struct page_view *v, struct buf *out)
{
    const struct page_ring *p = v->p;
    struct str tenant = p->tenant.len > 0 ? p->tenant : STR("anonymous");
    buf_c(out, "<form class=\"holds\" method=\"get\" action=\"");
    page_link(&p->frame, p->frame.path, out);
    buf_c(out, "\"><span>who holds</span> <label class=\"pick\">tenant <input name=\"tenant\" "
               "size=\"10\" "
               "spellcheck=\"false\" value=\"");
    html_str(out, tenant);
    buf_c(out, "\"></label> <label class=\"pick\">service <input name=\"service\" size=\"12\" "
               "spellcheck=\"false\" value=\"");
    html_str(out, p->service);
    buf_c(out, "\"></label> ");
    if (p->service.len > 0) {
        uint32_t token = ring_token_of(tenant, p->service);
        buf_printf(out, "<span>token</span> <span class=\"mono\">%u</span> "
                        "<span>\xe2\x86\x92</span> ",
                   token);
        put_holders(v, token, out);
    } else {
        buf_c(out, "<button class=\"box\">Look up</button>");
    }
    buf_c(out, "</form>\n");
}

/* --- the table -------------------------------------------------------------------------------- */

static void put_state(const struct page_view *v, const struct ring_instance *in, struct buf *out)
{
    static const char *const glyph[] = {"active", "arrow", "hollow", "half", "dash"};
    bool alive = page_is_alive(v, in);
    bool known = in->state >= 0 && in->state <= RING_LEFT;
    html_glyph(out, !alive ? "dead" : known ? glyph[in->state] : "hollow",
               !alive ? "error" : in->state == RING_ACTIVE ? "ok" : "");
    buf_c(out, alive ? ring_state_name(in->state) : "UNHEALTHY");
    if (!page_is_ours(v, in))
        buf_c(out, " <span class=\"warn\">not ours</span>");
}

/* A bar of 84 px that ends at one and a half times the time-out, which has a mark. */
static void put_beat(const struct page_view *v, const struct ring_instance *in, struct buf *out)
{
    int64_t age = v->p->frame.now - page_time(in->timestamp_s);
    int64_t whole = v->p->timeout_ms * 3 / 2;
    double width = whole <= 0 ? 0 : 84.0 * (double)age / (double)whole;
    const char *klass = !page_is_alive(v, in)                            ? "b-bad"
                        : v->p->late_ms > 0 && age > v->p->late_ms ? "b-doubt"
                                                                         : "b-ok";
    buf_printf(out,
               "<svg class=\"beat\" width=\"84\" height=\"14\" aria-hidden=\"true\"><rect "
               "class=\"track\" y=\"4\" width=\"84\" height=\"6\"/><rect class=\"%s\" y=\"4\" "
               "width=\"%.1f\" height=\"6\"/><path class=\"mark\" d=\"M56.5 1v12\"/></svg> ",
               klass, width < 1 ? 1 : width > 84 ? 84 : width);
    if (in->timestamp_s <= 0) {
        buf_c(out, "never");
        return;
    }
    if (age < -1000)
        buf_c(out, "clock ahead: ");
    html_age(out, age > -1000 && age < 0 ? 0 : age);
}

/* A bar of 120 px with a mark at the even share of the zone. */
static void put_ownership(const struct page_view *v, const struct ring_instance *in,
                          struct buf *out)
{
    const struct page_zone *z = page_zone_of(v, in->zone);
    double share = (double)ring_owned(v->p->ring, in->id) / KEYS;
    double scale = v->share_max > 0 ? 120 / v->share_max : 0;
    buf_printf(out,
               "<svg class=\"own\" width=\"120\" height=\"16\" aria-hidden=\"true\"><rect "
               "class=\"track\" y=\"3\" width=\"120\" height=\"10\"/><rect class=\"bar\" y=\"3\" "
               "width=\"%.1f\" height=\"10\"/>",
               share * scale);
    if (z->with_tokens > 0)
        buf_printf(out, "<path class=\"mark\" d=\"M%.1f 0v16\"/>",
                   scale / z->with_tokens > 119.5 ? 119.5 : scale / z->with_tokens);
    buf_c(out, "</svg> ");
    html_percent(out, share, 1);
}

static void put_registered(const struct page_view *v, const struct ring_instance *in,
                           struct buf *out)
{
    wall_ms at = page_time(in->registered_s);
    if (in->registered_s <= 0 || in->registered_s > 253402300799) {
        buf_c(out, "\xe2\x80\x93");
    } else if (at / 86400000 == v->p->frame.now / 86400000) {
        html_second(out, at);
        buf_c(out, " today");
    } else {
        html_minute(out, at);
    }
}

static void put_forget(const struct page_view *v, const struct ring_instance *in, struct buf *out)
{
    buf_c(out, "<a class=\"forget\" href=\"");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_c(out, "?ask=");
    html_query(out, in->id);
    buf_c(out, "\">Forget \xe2\x80\xa6</a>");
}

static void put_tokens(const struct ring_instance *in, struct buf *out)
{
    buf_c(out, "<tr class=\"all-tokens\"><td colspan=\"10\"><span class=\"mono\">");
    for (uint32_t i = 0; i < in->token_count; i++)
        buf_printf(out, "%s%u", i == 0 ? "" : " ", in->tokens[i]);
    buf_c(out, in->token_count == 0 ? "no tokens</span></td></tr>\n" : "</span></td></tr>\n");
}

static void put_row(const struct page_view *v, size_t index, struct buf *out)
{
    const struct ring_instance *in = ring_at(v->p->ring, index);
    bool alive = page_is_alive(v, in);
    buf_printf(out, "<tr%s><td><i class=\"swatch ", alive ? "" : " class=\"bad\"");
    if (in->token_count > 0)
        page_colour(v, index, out);
    buf_c(out, "\"></i><span class=\"mono name\">");
    html_str(out, in->id);
    buf_c(out, "</span></td><td>");
    html_str(out, in->zone);
    buf_c(out, "</td><td class=\"state\">");
    put_state(v, in, out);
    buf_c(out, "</td><td class=\"mono\">");
    html_str(out, in->addr);
    buf_c(out, "</td><td class=\"quiet\">");
    put_registered(v, in, out);
    buf_printf(out, "</td><td class=\"quiet\">%s", in->read_only ? "since " : "no");
    if (in->read_only)
        html_minute(out, page_time(in->read_only_since_s));
    buf_c(out, "</td><td class=\"beats\">");
    put_beat(v, in, out);
    buf_printf(out, "</td><td class=\"num\">%u</td><td class=\"owns\">", in->token_count);
    put_ownership(v, in, out);
    buf_c(out, "</td><td class=\"num\">");
    put_forget(v, in, out);
    buf_c(out, "</td></tr>\n");
    if (v->p->tokens)
        put_tokens(in, out);
}

static void put_gone(const struct page_view *v, const struct page_gone *g, struct buf *out)
{
    buf_c(out, "<tr class=\"gone\"><td><i class=\"swatch\"></i><span class=\"mono name\">");
    html_str(out, g->id);
    buf_c(out, "</span></td><td>");
    html_str(out, g->zone);
    buf_c(out, "</td><td class=\"state\">");
    html_glyph(out, "dash", "");
    buf_c(out, "LEFT</td><td colspan=\"7\">");
    if (v->p->telling) {
        buf_c(out, "forgotten here, waiting for the others");
    } else {
        buf_c(out, "left or forgotten ");
        html_age(out, v->p->frame.now - page_time(g->at_s));
        buf_c(out, " ago");
    }
    buf_c(out, "</td></tr>\n");
}

static void put_table(const struct page_view *v, struct buf *out)
{
    buf_c(out, "<div class=\"wide\"><table class=\"ring\"><thead><tr><th>instance<th>zone<th>state"
               "<th>address<th>registered<th>read-only<th>last heartbeat <small>| ");
    html_age(out, v->p->timeout_ms);
    buf_c(out, " time-out</small><th class=\"num\">tokens<th>ownership, of its zone<th>"
               "<span class=\"sr\">forget</span></tr></thead><tbody>\n");
    for (size_t i = 0; i < v->count; i++)
        put_row(v, i, out);
    for (size_t i = 0; i < v->p->gone_count; i++)
        put_gone(v, &v->p->gone[i], out);
    buf_c(out, "</tbody></table></div>\n<p class=\"foot\">Forgetting an instance whose heartbeat "
               "is "
               "younger than the time-out asks twice: it would come straight back. The mark in an "
               "ownership is the even share of its zone. <a href=\"");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_printf(out, "?tokens=%s\">%s tokens</a> \xc2\xb7 <a href=\"",
               v->p->tokens ? "false" : "true", v->p->tokens ? "Hide" : "Show");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_c(out, "?format=json\">JSON</a></p>\n");
}

void page_ring_html(const struct page_ring *p, struct buf *out)
{
    struct page_view v;
    int rc = view_init(&v, p);
    if (rc == 0) {
        page_open(&p->frame, out);
        put_head(&v, out);
        put_verdict(&v, out);
        if (v.count > 0 && ring_token_count(p->ring) > 0) {
            buf_c(out, "<section class=\"picture\">\n");
            page_ring_picture(&v, out);
            if (p->replicated)
                put_look_up(&v, out);
            buf_c(out, "</div></section>\n");
        }
        put_table(&v, out);
        page_ring_dialog(&v, out);
        page_close(out);
    } else {
        out->error = rc;
    }
    mem_free(v.zones);
}
