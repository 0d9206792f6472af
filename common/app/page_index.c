/* app/page_index.c - one table of pages, written as HTML. */
#include "app/page_index.h"

static const struct {
    const char *path, *title, *what;
} links[] = {
    {"/components", "Components", "what takes profiles, what sends them on, and how they are"},
    {"/ring", "Ring", "the ingesters: who is there, who holds what, and forgetting one"},
    {"/distributor/ring", "Distributors", "the same for the distributors"},
    {"/memberlist", "Memberlist", "who is in the cluster, and what all of them know"},
    {"/api/v1/status/config", "Config", "the configuration in force, as YAML"},
    {"/metrics", "Metrics", "for Prometheus"},
    {"/ready", "Ready", "is it fit to work, and if not, what is missing?"},
    {"/api/v1/status/buildinfo", "Build", "version and commit, as JSON"},
};

void page_index_html(const struct page_frame *f, const char *role, const char *revision,
                     struct buf *out)
{
    page_open(f, out);
    buf_c(out, "<div class=\"head\"><h1>");
    html_str(out, str_c(role));
    buf_c(out, "</h1> <span class=\"quiet\">Emberring ");
    html_str(out, str_c(f->version));
    buf_c(out, ", commit ");
    html_str(out, str_c(revision));
    buf_c(out, "</span></div>\n<div class=\"wide\"><table class=\"tight index\"><tbody>\n");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        if (!page_is_there(f, links[i].path))
            continue;
        buf_c(out, "<tr><td><a href=\"");
        page_link(f, links[i].path, out);
        buf_printf(out, "\">%s</a></td><td class=\"mono\">%s</td><td "
                        "class=\"quiet\">%s</td></tr>\n",
                   links[i].title, links[i].path, links[i].what);
    }
    buf_c(out, "</tbody></table></div>\n");
    page_close(out);
}
