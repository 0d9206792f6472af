/* app/page_html.h - what the pages for operators have in common: the frame around them, texts made
 * safe, numbers and times as people read them.
 *
 * A page is written into a buf, whose error is looked at once, at the end. Whatever comes from
 * outside (names, labels, keys) goes through html_str(). No page has script or style within it: the
 * Content-Security-Policy forbids both, so widths and colours are SVG attributes and classes.
 * Pure; any thread. Tests: tests/unit/app/test_page_html.c. */
#ifndef APP_PAGE_HTML_H
#define APP_PAGE_HTML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

/* The frame of one page. Texts are borrowed. */
struct page_frame {
    const char *title; /* of the document */
    const char *path;  /* "/distributor/ring": says which tab is on, and where the others are */
    const char *folder; /* of style and script: "static/0123456789ab/" */
    struct str who;     /* answers */
    const char *version;
    wall_ms now;
    int64_t age_ms; /* of the view; negative: not known */
    bool explore;   /* "/" is a page of the role's own */
    bool alone;     /* without gossip: no rings, no members */
    bool components; /* there is a page of components */
};

/* Append everything before and behind the contents of <main>. */
void page_open(const struct page_frame *f, struct buf *out);
void page_close(struct buf *out);

/* Append the way from this page to another path of the same server: "../ring". */
void page_link(const struct page_frame *f, const char *path, struct buf *out);

/* Does this process have that page? */
bool page_is_there(const struct page_frame *f, const char *path);

/* Does a POST come from a page of somebody else? Judged by what browsers say: Sec-Fetch-Site, else
 * (they leave it out on plain HTTP) whether Origin names our Host, or X-Forwarded-Host, which a
 * proxy in front sets and a page of another site cannot. Programs send none and are let in. data
 * NULL: absent.
 *
 * Which name Host is does not matter: it may be any that a proxy has. So this does not keep out
 * a page whose own name was made to point here (DNS rebinding), which no server can tell from one
 * of its own by what is sent; see docs/operating.md. */
bool page_is_foreign(struct str fetch_site, struct str origin, struct str host,
                     struct str forwarded_host);

/* Append text, fit for contents and quoted attributes. Bytes that are not UTF-8, and control
 * characters, become U+FFFD. */
void html_str(struct buf *out, struct str s);

/* Append the text percent-encoded, for a query in a quoted attribute. */
void html_query(struct buf *out, struct str s);

/* Append 1,408; 26.4 % of `whole` (0 %, <0.1 %, 100 %); 21.4 KiB; 2 min 14 s, or -3 s. */
void html_count(struct buf *out, uint64_t n);
void html_percent(struct buf *out, double part, double whole);
void html_size(struct buf *out, uint64_t bytes);
void html_age(struct buf *out, int64_t ms);

/* Append a UTC time: 2026-11-20 17:04:12, 2026-11-20 17:04, 11-20 17:04, 17:04:12, 17:04:12.031; a
 * dash for none (0). */
void html_time(struct buf *out, wall_ms t);
void html_minute(struct buf *out, wall_ms t);
void html_day(struct buf *out, wall_ms t);
void html_second(struct buf *out, wall_ms t);
void html_clock(struct buf *out, wall_ms t);

/* Append a glyph of page_open(): "active", "half", "hollow", "arrow", "dash", "dead", "lock". */
void html_glyph(struct buf *out, const char *name, const char *klass);

#endif
