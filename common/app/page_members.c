/* app/page_members.c - members, keys, traffic, messages. */
#include "app/page_members.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/kv_history.h"
#include "ring/desc.h"
#include "ring/page.h"

enum { MESSAGES_MAX = 100, CHANGES_MAX = 400 };

/* --- who belongs together --------------------------------------------------------------------- */

/* A member is called as its instance is, often with something random behind. */
static bool is_named_after(struct str member, struct str instance)
{
    return str_starts_with(member, instance) &&
           (member.len == instance.len || member.data[instance.len] == '-');
}

static bool is_there(const struct member *m)
{
    return m->state <= MEMBER_SUSPECT;
}

/* One row: a member, or an instance of a ring that is none. */
struct line {
    const struct member *m;          /* NULL: not a member */
    const struct ring_instance *in;  /* NULL: in no ring */
    const struct page_members_ring *ring;
    struct str name;
    int rank; /* trouble first */
};

struct lines {
    const struct page_members *p;
    const struct members *table;
    struct line *all;
    size_t count, alive, suspect, missing;
    const struct line *first_missing;
};

static int by_rank(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank)
                              : str_cmp(x->name, y->name);
}

/* The ring that names this member, and as whom: the longest name that fits. */
static void find_instance(const struct page_members *p, struct line *l)
{
    for (size_t r = 0; r < p->ring_count; r++) {
        const struct ring_desc *d = p->rings[r].desc;
        for (size_t i = 0; d != NULL && i < ring_desc_count(d); i++) {
            const struct ring_instance *in = ring_desc_at(d, i);
            if (in->state == RING_LEFT || !is_named_after(l->name, in->id) ||
                (l->in != NULL && l->in->id.len >= in->id.len))
                continue;
            l->in = in;
            l->ring = &p->rings[r];
        }
    }
}

static bool is_listed(const struct lines *l, size_t members, const struct ring_instance *in)
{
    for (size_t i = 0; i < members; i++)
        if (l->all[i].in == in)
            return true;
    return false;
}

/* Instances without a member. Where not one of a ring has its member's name, names say nothing. */
static void add_missing(struct lines *l, const struct page_members_ring *ring)
{
    size_t members = l->count;
    bool any = false;
    for (size_t i = 0; i < members; i++)
        any = any || l->all[i].ring == ring;
    for (size_t i = 0; any && i < ring_desc_count(ring->desc); i++) {
        const struct ring_instance *in = ring_desc_at(ring->desc, i);
        if (in->state == RING_LEFT || is_listed(l, members, in))
            continue;
        l->all[l->count++] = (struct line){.in = in, .ring = ring, .name = in->id, .rank = 0};
        l->missing++;
    }
}

static int lines_init(struct lines *l, const struct page_members *p)
{
    *l = (struct lines){.p = p,
                        .table = memberlist_members(gossip_core_members(p->core))};
    size_t most = members_count(l->table) + 1;
    for (size_t r = 0; r < p->ring_count; r++)
        most += p->rings[r].desc == NULL ? 0 : ring_desc_count(p->rings[r].desc);
    l->all = mem_calloc(most, sizeof *l->all);
    if (l->all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < members_count(l->table); i++) {
        const struct member *m = members_at(l->table, i);
        if (!is_there(m))
            continue;
        struct line *one = &l->all[l->count++];
        *one = (struct line){.m = m, .name = m->name, .rank = m->state == MEMBER_SUSPECT ? 1 : 2};
        find_instance(p, one);
        l->suspect += m->state == MEMBER_SUSPECT;
        l->alive += m->state != MEMBER_SUSPECT;
    }
    for (size_t r = 0; r < p->ring_count; r++)
        if (p->rings[r].desc != NULL)
            add_missing(l, &p->rings[r]);
    if (l->count > 0)
        qsort(l->all, l->count, sizeof *l->all, by_rank);
    return 0;
}

/* When the member with this instance's name was declared dead; NULL: it is forgotten. */
static const struct member *dead_of(const struct lines *l, const struct ring_instance *in)
{
    for (size_t i = 0; i < members_count(l->table); i++) {
        const struct member *m = members_at(l->table, i);
        if (!is_there(m) && is_named_after(m->name, in->id))
            return m;
    }
    return NULL;
}

static wall_ms wall_of(const struct page_members *p, mono_ms then)
{
    return p->frame.now - (p->mono - then);
}

/* 17:02:31 today, 11-12 08:10 before. */
static void put_since(const struct page_members *p, wall_ms at, struct buf *out)
{
    if (at / 86400000 == p->frame.now / 86400000)
        html_second(out, at);
    else
        html_day(out, at);
}

/* --- head ------------------------------------------------------------------------------------- */

static void put_head(const struct lines *l, struct buf *out)
{
    const struct page_members *p = l->p;
    struct kv *kv = gossip_core_kv(p->core);
    const struct memberlist *ml = gossip_core_members(p->core);
    uint32_t awareness = members_awareness(l->table);
    buf_c(out, "<div class=\"head\"><h1>Memberlist</h1> <span class=\"quiet\">");
    if (p->label.len > 0) {
        buf_c(out, "label ");
        html_str(out, p->label);
        buf_c(out, ", ");
    }
    buf_printf(out, "port %u, ", members_self(l->table)->addr.port);
    html_str(out, p->joined);
    buf_c(out, "</span><span class=\"gap\"></span><span class=\"states\"><span>");
    html_glyph(out, "active", "ok");
    html_count(out, l->alive);
    buf_c(out, " ALIVE</span>");
    if (l->suspect > 0) {
        buf_c(out, "<span class=\"warn\">");
        html_glyph(out, "warn", "warn");
        html_count(out, l->suspect);
        buf_c(out, " SUSPECT</span>");
    }
    buf_printf(out, "</span><span class=\"quiet\">awareness %u%s \xc2\xb7 queue ", awareness,
               awareness == 0 ? " (healthy)" : "");
    html_count(out, memberlist_queued(ml) + kv_queued_local(kv) + kv_queued_gossip(kv));
    buf_c(out, " \xc2\xb7 dropped ");
    html_count(out, kv_stats(kv)->dropped_nomem + memberlist_stats(ml)->dropped_nomem);
    buf_c(out, "</span></div>\n");
}

/* The first in a ring that is no member, in a sentence; how many there are. */
static void put_verdict(const struct lines *l, struct buf *out)
{
    if (l->missing == 0)
        return;
    const struct line *first = &l->all[0]; /* rank 0 stands before all others */
    const struct member *dead = dead_of(l, first->in);
    buf_c(out, "<section class=\"verdict doubt\"><div><p><b class=\"warn\">");
    html_str(out, first->name);
    if (l->missing > 1)
        buf_printf(out, " and %zu other%s are in a ring but not members</b>", l->missing - 1,
                   l->missing == 2 ? "" : "s");
    else
        buf_printf(out, " is in the ring but not a member</b>");
    if (dead != NULL && l->missing == 1) {
        buf_c(out, " since ");
        put_since(l->p, wall_of(l->p, dead->changed), out);
        buf_c(out, dead->state == MEMBER_DEAD ? ": it stopped answering and was declared dead. "
                                              : ": it left. ");
    } else {
        buf_c(out, ". ");
    }
    buf_c(out, l->missing == 1 ? "It keeps its place until it returns or is <a href=\""
                               : "They keep their places until they return or are <a href=\"");
    page_link(&l->p->frame, first->ring->path, out);
    buf_c(out, "\">forgotten on the ring page</a>.</p></div></section>\n");
}

/* --- members ---------------------------------------------------------------------------------- */

static void put_member(const struct lines *l, const struct line *one, struct buf *out)
{
    char addr[GOSSIP_ADDR_TEXT_MAX];
    const struct member *m = one->m != NULL ? one->m : dead_of(l, one->in);
    buf_printf(out, "<tr%s><td class=\"mono name\">", one->m == NULL ? " class=\"bad\"" : "");
    html_str(out, one->m != NULL || m == NULL ? one->name : m->name);
    buf_c(out, m == members_self(l->table) ? " <span class=\"quiet\">this one</span>" : "");
    buf_c(out, "</td><td class=\"mono\">");
    if (m != NULL) {
        gossip_addr_text(&m->addr, addr);
        buf_c(out, addr);
    } else
        html_str(out, one->in->addr);
    buf_c(out, "</td><td class=\"state\">");
    html_glyph(out, one->m == NULL ? "dead" : one->rank == 1 ? "warn" : "active",
               one->m == NULL ? "error" : one->rank == 1 ? "warn" : "ok");
    buf_c(out, one->m == NULL ? "<b>not a member</b>"
               : one->rank == 1 ? "<b class=\"warn\">SUSPECT</b>"
                                : "ALIVE");
    buf_c(out, "</td><td class=\"num\">");
    if (m != NULL)
        html_count(out, m->incarnation);
    buf_c(out, "</td><td class=\"quiet num\">");
    if (m != NULL)
        put_since(l->p, wall_of(l->p, m->changed), out);
    buf_c(out, "</td><td class=\"quiet num\">");
    if (one->m != NULL)
        buf_printf(out, "%u of %u\xe2\x80\x93%u", m->vsn[2], m->vsn[0], m->vsn[1]);
    buf_c(out, "</td><td class=\"quiet\">");
    if (one->ring == NULL) {
        buf_c(out, "\xe2\x80\x93");
    } else {
        buf_c(out, "<a href=\"");
        page_link(&l->p->frame, one->ring->path, out);
        buf_printf(out, "\">%s</a>", one->ring->name);
    }
    buf_c(out, "</td></tr>\n");
}

static void put_members(const struct lines *l, struct buf *out)
{
    buf_c(out, "<section><h2>Members</h2><div class=\"wide\"><table class=\"tight\"><thead><tr>"
               "<th>name<th>address<th>state<th class=\"num\">incarnation<th class=\"num\">since"
               "<th class=\"num\">protocol<th>ring</tr></thead><tbody>\n");
    for (size_t i = 0; i < l->count; i++)
        put_member(l, &l->all[i], out);
    buf_c(out, "</tbody></table></div></section>\n");
}

/* --- keys ------------------------------------------------------------------------------------- */

static void put_key(const struct page_members *p, const struct kv_key *k, struct buf *value,
                    struct buf *out)
{
    buf_clear(value);
    k->codec->encode(k->value, value);
    buf_c(out, "<tr><td class=\"mono name\">");
    html_str(out, k->key);
    buf_printf(out, "</td><td>%s%s</td><td class=\"num\">%llu</td><td class=\"num\">", k->codec->id,
               k->deleted ? ", deleted" : "", (unsigned long long)k->version);
    wall_ms at = k->codec == &ring_codec ? ring_page_newest(k->value) : k->update_ms;
    if (at <= 0) {
        buf_c(out, "\xe2\x80\x93");
    } else {
        html_age(out, p->frame.now > at ? p->frame.now - at : 0);
        buf_c(out, " ago");
    }
    buf_c(out, "</td><td class=\"num\">");
    html_size(out, value->size);
    buf_c(out, "</td><td class=\"num\"><a href=\"?viewKey=");
    html_query(out, k->key);
    buf_c(out, "&amp;format=json-pretty\">view</a> <a href=\"?downloadKey=");
    html_query(out, k->key);
    buf_c(out, "\">download</a></td></tr>\n");
    if (value->error != 0)
        out->error = value->error;
}

static void put_keys(const struct page_members *p, struct buf *out)
{
    size_t at = 0;
    struct kv_key k;
    struct buf value = {0};
    buf_c(out, "<section><h2>Keys</h2><div class=\"wide\"><table class=\"tight\"><thead><tr><th>key"
               "<th>codec<th class=\"num\">version<th class=\"num\">updated<th "
               "class=\"num\">size<th>"
               "<span class=\"sr\">value</span></tr></thead><tbody>\n");
    while (kv_next(gossip_core_kv(p->core), &at, &k))
        put_key(p, &k, &value, out);
    buf_c(out, "</tbody></table></div></section>\n");
    buf_reset(&value);
}

/* --- traffic ---------------------------------------------------------------------------------- */

struct page_traffic page_traffic_now(struct gossip_core *core, mono_ms now)
{
    const struct kv_stats *k = kv_stats(gossip_core_kv(core));
    const struct memberlist_stats *m = memberlist_stats(gossip_core_members(core));
    return (struct page_traffic){
        .at = now,
        .received = k->received,
        .received_bytes = k->received_bytes,
        .probes = m->probes,
        .probes_failed = m->probes_failed,
        .pushed = k->pushed,
        .pushed_bytes = k->pushed_bytes,
        .pulled = k->pulled,
        .pulled_bytes = k->pulled_bytes,
        .streams_failed = m->streams_bad + m->streams_timeout + m->streams_refused,
        .invalid = k->received_invalid,
    };
}

static void put_rate(uint64_t now, uint64_t before, double seconds, struct buf *out)
{
    double rate = seconds > 0 ? (double)(now - before) / seconds : 0;
    buf_c(out, "<td class=\"num\">");
    buf_printf(out, rate > 0 && rate < 0.095 ? "%.2f" : "%.1f", rate);
    buf_c(out, "</td>");
}

static void put_bytes(uint64_t now, uint64_t before, double seconds, struct buf *out)
{
    buf_c(out, "<td class=\"num\">");
    html_size(out, seconds > 0 ? (uint64_t)((double)(now - before) / seconds) : 0);
    buf_c(out, "</td>");
}

static void put_failed(uint64_t now, uint64_t before, struct buf *out)
{
    buf_printf(out, "<td class=\"num\">%s", now > before ? "<b class=\"warn\">" : "");
    html_count(out, now - before);
    buf_printf(out, "%s</td></tr>\n", now > before ? "</b>" : "");
}

static void put_traffic(const struct page_members *p, struct buf *out)
{
    struct page_traffic t = page_traffic_now(p->core, p->mono);
    const struct page_traffic *b = &p->before;
    double s = (double)(t.at - b->at) / 1000;
    buf_c(out, "<section><h2>Traffic <span class=\"quiet\">last ");
    html_age(out, t.at - b->at);
    buf_c(out,
          "</span></h2><div class=\"wide\"><table class=\"tight\"><thead><tr><th>kind"
          "<th class=\"num\">sent /s<th class=\"num\">bytes /s<th class=\"num\">received /s"
          "<th class=\"num\">bytes /s<th class=\"num\">failed</tr></thead><tbody>\n"
          "<tr><td>packets</td>");
    put_rate(p->packets.sent, b->packets.sent, s, out);
    put_bytes(p->packets.sent_bytes, b->packets.sent_bytes, s, out);
    put_rate(p->packets.received, b->packets.received, s, out);
    put_bytes(p->packets.received_bytes, b->packets.received_bytes, s, out);
    put_failed(p->packets.failed, b->packets.failed, out);
    buf_c(out, "<tr><td>changes heard</td><td colspan=\"2\"></td>");
    put_rate(t.received, b->received, s, out);
    put_bytes(t.received_bytes, b->received_bytes, s, out);
    put_failed(t.invalid, b->invalid, out);
    buf_c(out, "<tr><td>probes</td>");
    put_rate(t.probes, b->probes, s, out);
    buf_c(out, "<td colspan=\"3\"></td>");
    put_failed(t.probes_failed, b->probes_failed, out);
    buf_c(out, "<tr><td>full syncs</td>");
    put_rate(t.pulled, b->pulled, s, out);
    put_bytes(t.pulled_bytes, b->pulled_bytes, s, out);
    put_rate(t.pushed, b->pushed, s, out);
    put_bytes(t.pushed_bytes, b->pushed_bytes, s, out);
    put_failed(t.streams_failed, b->streams_failed, out);
    buf_c(out, "</tbody></table></div></section>\n");
}

/* --- messages --------------------------------------------------------------------------------- */

/* A message and its direction, to be sorted. */
struct shown {
    struct kv_message m;
    enum kv_direction d;
};

static int by_age(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    return x->m.at != y->m.at ? (x->m.at < y->m.at) - (x->m.at > y->m.at)
                              : (x->m.id < y->m.id) - (x->m.id > y->m.id);
}

static void put_message(const struct shown *s, struct buf *out)
{
    buf_c(out, "<tr><td class=\"mono\">");
    html_clock(out, s->m.at);
    buf_printf(out, "</td><td class=\"quiet\">%s</td><td class=\"mono name\">",
               s->d == KV_SENT ? "sent" : "received");
    html_str(out, s->m.pair.key);
    buf_c(out, "</td><td class=\"num\">");
    html_size(out, s->m.size);
    buf_c(out, "</td><td class=\"changes\">");
    for (size_t i = 0; i < s->m.changes.len && i < CHANGES_MAX; i++) {
        struct str rest = str_skip(s->m.changes, i), name;
        (void)str_cut(&rest, ',', &name);
        buf_c(out, i > 0 ? ", " : "");
        html_str(out, str_head(name, CHANGES_MAX));
        i += name.len;
    }
    if (s->m.changes.len > CHANGES_MAX)
        buf_c(out, " \xe2\x80\xa6");
    if (s->m.version == 0)
        buf_c(out, s->d == KV_SENT ? "" : "nothing new");
    buf_printf(out,
               "</td><td class=\"num\"><a href=\"?viewMsg=%llu&amp;format=json-pretty\">decode</a>"
               "</td></tr>\n",
               (unsigned long long)(2 * s->m.id + (s->d == KV_RECEIVED)));
}

static void put_filter(const struct page_members *p, struct buf *out)
{
    size_t at = 0;
    struct kv_key k;
    buf_c(out, "<span class=\"gap\"></span><form method=\"get\"><label class=\"pick\"><span "
               "class=\"sr\">"
               "key</span><select name=\"key\"><option value=\"\">all keys</option>");
    while (kv_next(gossip_core_kv(p->core), &at, &k)) {
        buf_c(out, "<option");
        buf_c(out, str_eq(k.key, p->key) ? " selected>" : ">");
        html_str(out, k.key);
        buf_c(out, "</option>");
    }
    buf_c(out, "</select></label> <button class=\"box\">Show</button></form> "
               "<a href=\"?deleteMessages=true\">Clear</a>");
}

static void put_list(const struct page_members *p, const struct kv_history *h, size_t total,
                     struct buf *out)
{
    struct shown *all = mem_calloc(total + 1, sizeof *all);
    size_t count = 0;
    for (int d = 0; all != NULL && d < 2; d++) {
        size_t at = 0;
        struct kv_message m;
        while (count < total && kv_history_next(h, (enum kv_direction)d, &at, &m))
            if (p->key.len == 0 || str_eq(m.pair.key, p->key))
                all[count++] = (struct shown){m, (enum kv_direction)d};
    }
    if (all == NULL)
        out->error = ERR_NOMEM;
    if (count > 0)
        qsort(all, count, sizeof *all, by_age);
    buf_c(out, "<div class=\"wide\"><table class=\"tight\"><thead><tr><th>time<th>"
               "<span class=\"sr\">direction</span><th>key<th class=\"num\">size<th>changes<th>"
               "<span class=\"sr\">contents</span></tr></thead><tbody>\n");
    for (size_t i = 0; i < count && i < MESSAGES_MAX; i++)
        put_message(&all[i], out);
    buf_c(out, "</tbody></table></div>\n");
    mem_free(all);
}

static void put_messages(const struct page_members *p, struct buf *out)
{
    const struct kv_history *h = kv_messages(gossip_core_kv(p->core));
    size_t total = kv_history_count(h, KV_SENT) + kv_history_count(h, KV_RECEIVED);
    buf_c(out, "<section><div class=\"head\"><h2>Messages</h2> <span class=\"quiet\">");
    if (!kv_history_is_on(h)) {
        buf_c(out, "none are kept: -memberlist.message-history-buffer-bytes is 0</span></div>"
                   "</section>\n");
        return;
    }
    html_count(out, total);
    buf_printf(out, " kept, newest first%s</span>",
               total > MESSAGES_MAX ? ", the last 100 of them here" : "");
    put_filter(p, out);
    buf_c(out, "</div>\n");
    put_list(p, h, total, out);
    buf_c(out, "</section>\n");
}

void page_members_html(const struct page_members *p, struct buf *out)
{
    struct lines l;
    int rc = lines_init(&l, p);
    if (rc == 0) {
        page_open(&p->frame, out);
        put_head(&l, out);
        put_verdict(&l, out);
        buf_c(out, "<div class=\"columns\">\n");
        put_members(&l, out);
        buf_c(out, "<div>\n");
        put_keys(p, out);
        put_traffic(p, out);
        buf_c(out, "</div></div>\n");
        put_messages(p, out);
        page_close(out);
    } else {
        out->error = rc;
    }
    mem_free(l.all);
}
