/* app/page_ring_dialog.c - "Forget ingester-b-2?": a page before the deed, since there is no script
 * to rely on. */
#include "app/page_ring_priv.h"

#include "base/err.h"
#include "base/mem.h"

enum { NAMES_MAX = 3 };

/* Who takes over: the others of its zone that have tokens. */
static void put_heirs(const struct page_view *v, const struct ring_instance *gone, struct buf *out)
{
    const struct page_zone *z = page_zone_of(v, gone->zone);
    size_t heirs = z->with_tokens - (gone->token_count > 0), named = 0;
    size_t shown = heirs > NAMES_MAX ? NAMES_MAX - 1 : heirs;
    if (heirs == 0) {
        buf_c(out, "the other zones");
        return;
    }
    for (size_t i = 0; i < v->count && named < shown; i++) {
        const struct ring_instance *in = ring_at(v->p->ring, i);
        if (in == gone || in->token_count == 0 || !str_eq(in->zone, gone->zone))
            continue;
        page_and(out, named++, heirs > shown ? shown + 1 : shown);
        html_str(out, in->id);
    }
    if (heirs > shown)
        buf_printf(out, " and %zu others", heirs - shown);
}

static void put_one(const struct page_view *v, const struct ring_instance *in, struct buf *out)
{
    int64_t age = v->p->frame.now - page_time(in->timestamp_s);
    buf_c(out, "<p>Its last heartbeat is <b>");
    html_age(out, age);
    buf_c(out, "</b> old (time-out ");
    html_age(out, v->p->timeout_ms);
    buf_c(out, "). It is removed from the ring");
    if (in->token_count > 0) {
        buf_c(out, "; its ");
        html_percent(out, (double)ring_owned(v->p->ring, in->id), 4294967296.0);
        buf_c(out, " of ");
        page_zone_name(v, in->zone, out);
        buf_c(out, v->count > 1 ? " goes to " : " goes to nobody");
        if (v->count > 1)
            put_heirs(v, in, out);
    }
    buf_c(out, ".</p>");
}

static void put_many(const struct page_view *v, const struct ring_instance *const *list,
                     size_t count, struct buf *out)
{
    buf_c(out, "<p>They are removed from the ring, and what they own goes to the others of their "
               "zones:</p><ul>");
    for (size_t i = 0; i < count; i++) {
        buf_c(out, "<li><span class=\"mono\">");
        html_str(out, list[i]->id);
        buf_c(out, "</span>, last heartbeat ");
        html_age(out, v->p->frame.now - page_time(list[i]->timestamp_s));
        buf_c(out, " ago</li>");
    }
    buf_c(out, "</ul>");
}

static void put_form(const struct page_view *v, const struct ring_instance *const *list,
                     size_t count, bool alive, struct buf *out)
{
    buf_c(out, "<form method=\"post\" action=\"");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_c(out, "\">");
    for (size_t i = 0; i < count; i++) {
        buf_c(out, "<input type=\"hidden\" name=\"forget\" value=\"");
        html_str(out, list[i]->id);
        buf_c(out, "\">");
    }
    if (alive)
        buf_c(out, "<p><label><input type=\"checkbox\" name=\"anyway\" required> It still sends "
                   "heartbeats. Forget it anyway.</label></p>");
    buf_c(out, "<p class=\"ends\"><a class=\"box\" autofocus href=\"");
    page_link(&v->p->frame, v->p->frame.path, out);
    buf_printf(out, "\">Keep %s <kbd hidden>Esc</kbd></a><button class=\"box danger\">Forget ",
               count == 1 ? "it" : "them");
    if (count == 1)
        html_str(out, list[0]->id);
    else
        buf_printf(out, "%zu instances", count);
    buf_c(out, "</button></p></form>");
}

static void put_dialog(const struct page_view *v, const struct ring_instance *const *list,
                       size_t count, struct buf *out)
{
    bool alive = false;
    for (size_t i = 0; i < count; i++)
        alive = alive || page_is_alive(v, list[i]);
    buf_c(out, "<div class=\"behind\"></div><dialog open aria-labelledby=\"ask\"><h2 "
               "id=\"ask\">Forget ");
    if (count == 1)
        html_str(out, list[0]->id);
    else
        buf_printf(out, "%zu instances", count);
    buf_c(out, "?</h2>");
    if (count == 1)
        put_one(v, list[0], out);
    else
        put_many(v, list, count, out);
    if (v->p->replicated && count > 1)
        buf_c(out, "<p>Nothing is deleted and nothing is copied: what only their disks hold is not "
                   "seen until they come back. Whoever starts again with its disk joins again, and "
                   "what it holds counts.</p>");
    else if (v->p->replicated)
        buf_c(out, "<p>Nothing is deleted and nothing is copied: what only its disk holds is not "
                   "seen until it comes back. If it starts again with its disk, it joins again and "
                   "what it holds counts.</p>");
    buf_c(out, "<p class=\"quiet\">");
    html_str(out, v->p->frame.who);
    buf_c(out, " tells the others. Until all know, the row says \xe2\x80\x9c"
               "forgotten here, waiting for the others\xe2\x80\x9d.</p>");
    put_form(v, list, count, alive, out);
    buf_c(out, "</dialog>\n");
}

/* The members asked about, each once, in order of their ids. */
static bool is_asked(const struct page_view *v, const struct ring_instance *in)
{
    const struct page_ring *p = v->p;
    if (p->forget_unhealthy && !page_is_alive(v, in))
        return true;
    for (size_t i = 0; i < p->forget_count; i++)
        if (str_eq(p->forget[i], in->id))
            return true;
    return false;
}

void page_ring_dialog(const struct page_view *v, struct buf *out)
{
    const struct page_ring *p = v->p;
    if (p->ring == NULL || (p->forget_count == 0 && !p->forget_unhealthy))
        return;
    const struct ring_instance **list = mem_calloc(v->count + 1, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; list != NULL && i < v->count; i++)
        if (is_asked(v, ring_at(p->ring, i)))
            list[count++] = ring_at(p->ring, i);
    if (list == NULL)
        out->error = ERR_NOMEM;
    else if (count > 0)
        put_dialog(v, list, count, out);
    mem_free(list);
}
