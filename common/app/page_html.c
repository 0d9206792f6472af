/* app/page_html.c - the frame, and small things in it. */
#include "app/page_html.h"

#include "net/http.h"
#include "ring/page.h"

#include <string.h>

#define BAD "\xef\xbf\xbd" /* U+FFFD */

/* --- text ------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence that s begins with; 0: none does. */
static size_t sequence(struct str s)
{
    for (size_t n = 1; n <= 4 && n <= s.len; n++)
        if (str_is_utf8(str_head(s, n)))
            return n;
    return 0;
}

void html_str(struct buf *out, struct str s)
{
    while (s.len > 0) {
        size_t n = sequence(s);
        unsigned char c = (unsigned char)s.data[0];
        if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f)))
            buf_c(out, BAD);
        else if (c == '&')
            buf_c(out, "&amp;");
        else if (c == '<')
            buf_c(out, "&lt;");
        else if (c == '>')
            buf_c(out, "&gt;");
        else if (c == '"')
            buf_c(out, "&quot;");
        else if (c == '\'')
            buf_c(out, "&#39;");
        else
            buf_put(out, s.data, n);
        s = str_skip(s, n == 0 ? 1 : n);
    }
}

void html_query(struct buf *out, struct str s)
{
    http_percent_encode(s, out);
}

bool page_is_foreign(struct str fetch_site, struct str origin, struct str host,
                     struct str forwarded_host)
{
    if (fetch_site.data != NULL)
        return !str_eq_nocase(fetch_site, STR("same-origin")) &&
               !str_eq_nocase(fetch_site, STR("none"));
    if (origin.data == NULL)
        return false;
    size_t colon = str_find(origin, ':');
    struct str rest = colon == SIZE_MAX ? STR("") : str_skip(origin, colon);
    struct str site = str_skip(rest, 3);
    return !str_starts_with(rest, STR("://")) || site.len == 0 ||
           (!str_eq_nocase(site, host) && !str_eq_nocase(site, forwarded_host));
}

/* --- numbers ---------------------------------------------------------------------------------- */

void html_count(struct buf *out, uint64_t n)
{
    if (n >= 1000) {
        html_count(out, n / 1000);
        buf_printf(out, ",%03u", (unsigned)(n % 1000));
    } else {
        buf_udec(out, n);
    }
}

void html_percent(struct buf *out, double part, double whole)
{
    double v = whole > 0 ? 100 * part / whole : 0;
    if (v <= 0)
        buf_c(out, "0 %");
    else if (v < 0.1)
        buf_c(out, "&lt;0.1 %");
    else if (v >= 100)
        buf_c(out, "100 %");
    else if (v >= 99.95)
        buf_c(out, "99.9 %"); /* only all is 100 % */
    else
        buf_printf(out, v < 9.995 ? "%.2f %%" : "%.1f %%", v);
}

void html_size(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        buf_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    double v = (double)bytes / 1024;
    size_t i = 0;
    for (; v >= 1023.5 && i + 1 < sizeof units / sizeof *units; i++)
        v /= 1024;
    buf_printf(out, v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

/* "2 min 14 s"; "2 min" when the rest is 0. */
static void put_units(struct buf *out, int64_t n, const char *unit, int64_t rest,
                      const char *rest_unit)
{
    buf_printf(out, "%lld %s", (long long)n, unit);
    if (rest != 0)
        buf_printf(out, " %lld %s", (long long)rest, rest_unit);
}

void html_age(struct buf *out, int64_t ms)
{
    int64_t s = ms / 1000;
    if (s < 0) {
        buf_c(out, "\xe2\x88\x92"); /* U+2212 */
        s = -s;
    }
    if (s < 120)
        put_units(out, s, "s", 0, "");
    else if (s < 3600)
        put_units(out, s / 60, "min", s % 60, "s");
    else if (s < 86400)
        put_units(out, s / 3600, "h", s / 60 % 60, "min");
    else
        put_units(out, s / 86400, "d", s / 3600 % 24, "h");
}

/* --- times ------------------------------------------------------------------------------------ */

/* Bytes `from` to `to` of the RFC 3339 text: 2026-11-20T17:04:12.031Z. */
static void put_time(struct buf *out, wall_ms t, size_t from, size_t to)
{
    struct buf text = {0};
    if (t <= 0) {
        buf_c(out, "\xe2\x80\x93"); /* U+2013 */
        return;
    }
    ring_page_time(t - t % 1000, &text);
    if (text.size > 10)
        text.data[10] = ' ';
    buf_str(out, str_skip(str_head(buf_view(&text), to), from));
    if (text.error != 0)
        out->error = text.error;
    buf_reset(&text);
}

void html_time(struct buf *out, wall_ms t)
{
    put_time(out, t, 0, 19);
}

void html_minute(struct buf *out, wall_ms t)
{
    put_time(out, t, 0, 16);
}

void html_day(struct buf *out, wall_ms t)
{
    put_time(out, t, 5, 16);
}

void html_second(struct buf *out, wall_ms t)
{
    put_time(out, t, 11, 19);
}

void html_clock(struct buf *out, wall_ms t)
{
    html_second(out, t);
    if (t > 0)
        buf_printf(out, ".%03d", (int)(t % 1000));
}

void html_glyph(struct buf *out, const char *name, const char *klass)
{
    buf_printf(out, "<svg class=\"g %s\" aria-hidden=\"true\"><use href=\"#g-%s\"/></svg>", klass,
               name);
}

/* --- the frame -------------------------------------------------------------------------------- */

void page_link(const struct page_frame *f, const char *path, struct buf *out)
{
    for (const char *c = f->path + 1; *c != '\0'; c++)
        if (*c == '/')
            buf_c(out, "../");
    buf_c(out, path[1] == '\0' ? "./" : path + 1);
}

bool page_is_there(const struct page_frame *f, const char *path)
{
    static const char *const of_gossip[] = {"/ring", "/distributor/ring", "/memberlist"};
    for (size_t i = 0; f->alone && i < sizeof of_gossip / sizeof *of_gossip; i++)
        if (strcmp(path, of_gossip[i]) == 0)
            return false;
    return f->components || strcmp(path, "/components") != 0;
}

/* Shapes of states: each is told by its shape and its word, not by its colour alone. */
static const char glyphs[] =
    "<svg class=\"defs\" aria-hidden=\"true\"><defs>"
    "<symbol id=\"g-active\" viewBox=\"0 0 14 14\"><circle cx=\"7\" cy=\"7\" r=\"4.5\"/></symbol>"
    "<symbol id=\"g-half\" viewBox=\"0 0 14 14\"><circle class=\"o\" cx=\"7\" cy=\"7\" r=\"4\"/>"
    "<path d=\"M7 3a4 4 0 0 1 0 8z\"/></symbol>"
    "<symbol id=\"g-hollow\" viewBox=\"0 0 14 14\"><circle class=\"o\" cx=\"7\" cy=\"7\" r=\"4\"/>"
    "</symbol>"
    "<symbol id=\"g-arrow\" viewBox=\"0 0 14 14\"><path class=\"o\" d=\"M2 7h9M8 4l3 3-3 3\"/>"
    "</symbol>"
    "<symbol id=\"g-dash\" viewBox=\"0 0 14 14\"><path class=\"o\" d=\"M3 7h8\"/></symbol>"
    "<symbol id=\"g-dead\" viewBox=\"0 0 14 14\"><path d=\"M7 1.5 13.2 12.5H.8z\"/>"
    "<path class=\"n\" d=\"M7 5.5v3.2M7 10v1.2\"/></symbol>"
    "<symbol id=\"g-warn\" viewBox=\"0 0 14 14\"><path class=\"o\" d=\"M7 2 12.6 12H1.4z\"/>"
    "<path class=\"o\" d=\"M7 5.5v3M7 9.7v1\"/></symbol>"
    "<symbol id=\"g-lock\" viewBox=\"0 0 14 14\"><path d=\"M3.5 6.5h7V12h-7z\"/>"
    "<path class=\"o\" d=\"M5 6.500V4.800a2 2 0 0 1 4 0v1.700\"/></symbol>"
    "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><rect class=\"hg\" width=\"6\" height=\"6\"/>"
    "<rect class=\"hl\" width=\"2\" height=\"6\"/></pattern>"
    "<pattern id=\"doubt\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><rect class=\"dg\" width=\"6\" height=\"6\"/>"
    "<rect class=\"dl\" width=\"4\" height=\"6\"/></pattern>"
    "</defs></svg>\n";

static void put_tabs(const struct page_frame *f, struct buf *out)
{
    static const struct {
        const char *path, *title;
    } tabs[] = {
        {"/components", "Components"},
        {"/ring", "Ring"},
        {"/distributor/ring", "Distributors"},
        {"/memberlist", "Memberlist"},
        {"/api/v1/status/config", "Config"},
        {"/metrics", "Metrics"},
        {"/ready", "Ready"},
    };
    buf_c(out, "<nav><a href=\"");
    page_link(f, f->explore ? "/" : "/admin", out);
    buf_printf(out, "\"%s>%s</a>",
               strcmp(f->path, "/admin") == 0 && !f->explore ? " aria-current=\"page\"" : "",
               f->explore ? "Explore" : "Index");
    for (size_t i = 0; i < sizeof tabs / sizeof *tabs; i++) {
        if (!page_is_there(f, tabs[i].path))
            continue;
        buf_c(out, "<a href=\"");
        page_link(f, tabs[i].path, out);
        buf_printf(out, "\"%s>%s</a>",
                   strcmp(f->path, tabs[i].path) == 0 ? " aria-current=\"page\"" : "",
                   tabs[i].title);
    }
    buf_c(out, "</nav>");
}

static void put_answered(const struct page_frame *f, struct buf *out)
{
    buf_c(out, "<span id=\"answered\">answered by <b>");
    html_str(out, f->who);
    buf_printf(out, "</b> %s, ", f->version);
    if (f->age_ms >= 0) {
        buf_c(out, "its view ");
        html_age(out, f->age_ms);
        buf_c(out, " old, ");
    }
    html_time(out, f->now);
    buf_c(out, " UTC</span>");
}

void page_open(const struct page_frame *f, struct buf *out)
{
    struct buf folder = {0};
    buf_printf(&folder, "/%s", f->folder);
    buf_u8(&folder, '\0');
    const char *at = folder.error == 0 ? (const char *)folder.data : "/";
    buf_c(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
               "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    html_str(out, str_c(f->title));
    buf_c(out, " - Emberring</title>\n<link rel=\"icon\" href=\"");
    page_link(f, at, out);
    buf_c(out, "mark.svg\" type=\"image/svg+xml\">\n<link rel=\"stylesheet\" href=\"");
    page_link(f, at, out);
    buf_c(out, "look.css\">\n<link rel=\"stylesheet\" href=\"");
    page_link(f, at, out);
    buf_c(out, "admin.css\">\n<script type=\"module\" src=\"");
    page_link(f, at, out);
    buf_c(out, "admin.js\"></script>\n</head>\n<body>\n");
    buf_c(out, glyphs);
    buf_c(out, "<header class=\"top\"><span class=\"brand\"><svg viewBox=\"0 0 16 16\" "
               "width=\"16\" "
               "height=\"16\" aria-hidden=\"true\"><circle class=\"ring\" cx=\"8\" cy=\"8\" "
               "r=\"6\"/><path class=\"lit\" d=\"M8 2a6 6 0 0 1 5.2 9\"/></svg>Emberring</span>");
    put_tabs(f, out);
    buf_c(out, "<span class=\"gap\"></span>");
    put_answered(f, out);
    buf_c(out, "<label id=\"refresh\" hidden><span>every</span> <select id=\"every\">"
               "<option value=\"2\">2 s</option><option value=\"5\">5 s</option>"
               "<option value=\"15\">15 s</option><option "
               "value=\"0\">never</option></select></label>"
               "<button id=\"theme\" hidden title=\"light, dark or as the system\" "
               "aria-label=\"light, dark or as the system\"><svg viewBox=\"0 0 14 14\" "
               "width=\"14\" "
               "height=\"14\" aria-hidden=\"true\"><circle class=\"o\" cx=\"7\" cy=\"7\" r=\"5\"/>"
               "<path d=\"M7 2a5 5 0 0 1 0 10z\"/></svg></button></header>\n<main>\n");
    if (folder.error != 0)
        out->error = folder.error;
    buf_reset(&folder);
}

void page_close(struct buf *out)
{
    buf_c(out, "</main>\n</body>\n</html>\n");
}
