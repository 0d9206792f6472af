/* receive-proxy/components.c - boxes, lines, and a table. */
#include "components.h"

#include <stdio.h>

#include "base/mem.h"
#include "ring/page.h"
#include "wire/json.h"

enum { BOX_WIDTH = 250, BOX_HEIGHT = 40, GAP_X = 60, GAP_Y = 16, MARGIN = 8 };
enum { COLUMNS_MAX = 64, SHOWN_MAX = 300 /* boxes */ };

/* --- JSON -------------------------------------------------------------------------------- */

static void put_ids(struct json *j, const char *key, const struct component_row *rows,
                    size_t count, const struct component_row *of, bool reverse)
{
    json_key(j, key);
    json_begin_array(j);
    for (size_t i = 0; !reverse && i < of->to_count; i++)
        json_str(j, rows[of->to[i]].id);
    for (size_t i = 0; reverse && i < count; i++)
        for (size_t k = 0; k < rows[i].to_count; k++)
            if (&rows[rows[i].to[k]] == of)
                json_str(j, rows[i].id);
    json_end_array(j);
}

static void put_health(struct json *j, const struct component_row *r)
{
    char text[32];
    struct buf time = {0};
    ring_page_time(r->since, &time);
    (void)snprintf(text, sizeof text, "%.*s", STR_ARG(buf_view(&time)));
    buf_reset(&time);
    json_key(j, "health");
    json_begin_object(j);
    json_key(j, "state");
    json_c(j, r->healthy ? "healthy" : "unhealthy");
    json_key(j, "message");
    json_str(j, r->message);
    json_key(j, "updatedTime");
    json_c(j, text);
    json_end_object(j);
}

static void put_rates(struct json *j, const struct component_row *r)
{
    const struct {
        const char *name;
        double total, rate;
    } all[] = {{"in", r->in, r->in_rate},
               {"out", r->out, r->out_rate},
               {"queued", r->queued, r->queued_rate},
               {"dropped", r->dropped, r->dropped_rate},
               {"failed", r->failed, r->failed_rate}};
    json_key(j, "rates");
    json_begin_object(j);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        json_key(j, all[i].name);
        json_begin_object(j);
        json_key(j, "total");
        json_f64(j, all[i].total);
        json_key(j, "perSecond");
        json_f64(j, all[i].rate);
        json_end_object(j);
    }
    json_end_object(j);
}

static void put_time(struct json *j, const char *key, wall_ms at)
{
    struct buf time = {0};
    ring_page_time(at, &time);
    json_key(j, key);
    json_str(j, at == 0 ? STR("") : buf_view(&time));
    buf_reset(&time);
}

static void put_outages(struct json *j, const struct component_row *r)
{
    json_key(j, "endpoints");
    json_begin_array(j);
    for (size_t i = 0; i < r->endpoint_count; i++) {
        const struct component_endpoint *e = &r->endpoints[i];
        json_begin_object(j);
        json_key(j, "url");
        json_str(j, e->url);
        json_key(j, "state");
        json_c(j, e->failing ? "failing" : "ok");
        put_time(j, "failingSince", e->failing ? e->since : 0);
        json_key(j, "lastError");
        json_str(j, e->error);
        put_time(j, "lastErrorTime", e->error_at);
        json_end_object(j);
    }
    json_end_array(j);
    if (!r->queue.there)
        return;
    json_key(j, "queue");
    json_begin_object(j);
    json_key(j, "items");
    json_f64(j, r->queue.items);
    json_key(j, "bytes");
    json_f64(j, r->queue.bytes);
    json_key(j, "oldestSeconds");
    json_f64(j, r->queue.oldest_seconds);
    json_end_object(j);
}

void components_json(const struct component_row *rows, size_t count, struct buf *out)
{
    struct json j = json_to(out);
    json_begin_array(&j);
    for (size_t i = 0; i < count; i++) {
        const struct component_row *r = &rows[i];
        json_begin_object(&j);
        json_key(&j, "name");
        json_str(&j, r->type);
        json_key(&j, "type");
        json_c(&j, "block");
        json_key(&j, "localID");
        json_str(&j, r->id);
        json_key(&j, "moduleID");
        json_c(&j, "");
        json_key(&j, "label");
        json_str(&j, r->label);
        put_ids(&j, "referencesTo", rows, count, r, false);
        put_ids(&j, "referencedBy", rows, count, r, true);
        put_health(&j, r);
        if (r->address.len > 0) {
            json_key(&j, "address");
            json_str(&j, r->address);
        }
        json_key(&j, "arguments");
        json_str(&j, r->arguments);
        put_rates(&j, r);
        if (r->endpoint_count > 0)
            put_outages(&j, r);
        json_end_object(&j);
    }
    json_end_array(&j);
}

/* --- the picture ------------------------------------------------------------------------- */

struct place {
    size_t column, x, y;
};

/* Where each box stands: columns from the right, who sends to nobody is in 0; in a column in the
 * order of references. Width and height of it all. */
static void place_all(const struct components_page *p, struct place *at, size_t *width,
                      size_t *height)
{
    size_t rows[COLUMNS_MAX] = {0}, columns = 1, most = 1;
    for (size_t i = 0; i < p->count; i++) {
        for (size_t k = 0; k < p->rows[i].to_count; k++) {
            size_t next = at[p->rows[i].to[k]].column + 1;
            at[i].column = next > at[i].column ? next : at[i].column;
        }
        if (at[i].column >= COLUMNS_MAX)
            at[i].column = COLUMNS_MAX - 1;
        at[i].y = MARGIN + rows[at[i].column]++ * (BOX_HEIGHT + GAP_Y);
        most = rows[at[i].column] > most ? rows[at[i].column] : most;
        columns = at[i].column + 1 > columns ? at[i].column + 1 : columns;
    }
    for (size_t i = 0; i < p->count; i++)
        at[i].x = MARGIN + (columns - 1 - at[i].column) * (BOX_WIDTH + GAP_X);
    *width = 2 * MARGIN + columns * BOX_WIDTH + (columns - 1) * GAP_X;
    *height = 2 * MARGIN + most * BOX_HEIGHT + (most - 1) * GAP_Y;
}

static void put_box(const struct component_row *r, struct place at, struct buf *out)
{
    buf_printf(out,
               "<g><rect x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"none\" "
               "stroke=\"currentColor\"%s/>",
               at.x, at.y, (int)BOX_WIDTH, (int)BOX_HEIGHT,
               r->healthy ? "" : " stroke-width=\"3\" stroke-dasharray=\"4 3\"");
    buf_printf(out, "<text x=\"%zu\" y=\"%zu\" font-size=\"12\" fill=\"currentColor\">",
               at.x + 10, at.y + 17);
    html_str(out, r->id);
    buf_printf(out,
               "</text><text x=\"%zu\" y=\"%zu\" font-size=\"11\" fill=\"currentColor\" "
               "opacity=\"0.7\">%s%.1f /s in, %.1f /s out</text></g>\n",
               at.x + 10, at.y + 33, r->healthy ? "" : "unhealthy, ", r->in_rate, r->out_rate);
}

static void put_line(struct place from, struct place to, struct buf *out)
{
    size_t x1 = from.x + BOX_WIDTH, y1 = from.y + BOX_HEIGHT / 2;
    size_t x2 = to.x, y2 = to.y + BOX_HEIGHT / 2;
    buf_printf(out,
               "<path d=\"M%zu %zuC%zu %zu %zu %zu %zu %zu\" fill=\"none\" "
               "stroke=\"currentColor\" opacity=\"0.6\"/>\n",
               x1, y1, x1 + GAP_X / 2, y1, x2 - GAP_X / 2, y2, x2, y2);
}

static void put_picture(const struct components_page *p, struct buf *out)
{
    size_t width, height;
    struct place *at = p->count > SHOWN_MAX ? NULL : mem_calloc(p->count + 1, sizeof *at);
    if (at == NULL)
        return; /* the table says it all */
    place_all(p, at, &width, &height);
    buf_printf(out,
               "<div class=\"wide\"><svg width=\"%zu\" height=\"%zu\" viewBox=\"0 0 %zu %zu\" "
               "role=\"img\" aria-label=\"components and who they send to\">\n",
               width, height, width, height);
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->rows[i].to_count; k++)
            put_line(at[i], at[p->rows[i].to[k]], out);
    for (size_t i = 0; i < p->count; i++)
        put_box(&p->rows[i], at[i], out);
    buf_c(out, "</svg></div>\n");
    mem_free(at);
}

/* Text whose lines are kept: newlines and tabs are as they are. */
static void html_lines(struct buf *out, struct str s)
{
    struct str line;
    for (bool first = true; str_cut(&s, '\n', &line); first = false) {
        if (!first)
            buf_u8(out, '\n');
        for (; line.len > 0 && line.data[0] == '\t'; line = str_skip(line, 1))
            buf_c(out, "  ");
        html_str(out, line);
    }
}

/* --- the table --------------------------------------------------------------------------- */

static void put_number(double total, double rate, struct buf *out)
{
    buf_c(out, "<td class=\"num\">");
    html_count(out, (uint64_t)total);
    buf_printf(out, " <span class=\"quiet\">%.1f /s</span></td>", rate);
}

/* What waits, and who does not answer. */
static void put_trouble(const struct component_row *r, struct buf *out)
{
    if (r->queue.items > 0) {
        buf_c(out, "<br>queue: ");
        html_count(out, (uint64_t)r->queue.items);
        buf_c(out, " requests, ");
        html_count(out, (uint64_t)r->queue.bytes);
        buf_printf(out, " bytes, the oldest waits for %.0f s", r->queue.oldest_seconds);
    }
    for (size_t i = 0; i < r->endpoint_count; i++) {
        const struct component_endpoint *e = &r->endpoints[i];
        if (e->error_at == 0 && !e->failing)
            continue;
        buf_c(out, "<br>");
        html_str(out, e->url);
        if (e->failing) {
            buf_c(out, " <b>is failing</b> since ");
            html_time(out, e->since);
        }
        if (e->error_at == 0)
            continue;
        buf_c(out, "<br><span class=\"quiet\">last error ");
        html_time(out, e->error_at);
        buf_c(out, ": ");
        html_str(out, e->error);
        buf_c(out, "</span>");
    }
}

static void put_row(const struct component_row *r, struct buf *out)
{
    buf_c(out, "<tr><td class=\"mono\">");
    html_str(out, r->id);
    if (r->address.len > 0) {
        buf_c(out, "<br><span class=\"quiet\">");
        html_str(out, r->address);
        buf_c(out, "</span>");
    }
    buf_c(out, "</td><td>");
    html_glyph(out, r->healthy ? "active" : "dead", r->healthy ? "active" : "dead");
    buf_c(out, r->healthy ? " healthy" : " unhealthy: ");
    if (!r->healthy)
        html_str(out, r->message);
    put_trouble(r, out);
    buf_c(out, "</td><td>");
    html_time(out, r->since);
    buf_c(out, "</td>");
    put_number(r->in, r->in_rate, out);
    put_number(r->out, r->out_rate, out);
    put_number(r->queued, r->queued_rate, out);
    put_number(r->dropped, r->dropped_rate, out);
    put_number(r->failed, r->failed_rate, out);
    buf_c(out, "<td><details><summary>arguments</summary><pre>");
    html_lines(out, r->arguments);
    buf_c(out, "</pre></details></td></tr>\n");
}

void components_html(const struct components_page *p, struct buf *out)
{
    page_open(&p->frame, out);
    buf_printf(out,
               "<div class=\"head\"><h1>Components</h1> <span class=\"quiet\">%zu</span></div>\n",
               p->count);
    if (p->failure.len > 0) {
        buf_c(out, "<p class=\"warn\">The last configuration was not taken, the one before it "
                   "serves on: ");
        html_str(out, p->failure);
        buf_c(out, "</p>\n");
    }
    put_picture(p, out);
    buf_c(out, "<div class=\"wide\"><table><thead><tr><th>Component</th><th>Health</th>"
               "<th>Since (UTC)</th><th class=\"num\">In</th><th class=\"num\">Out</th>"
               "<th class=\"num\">Queued</th><th class=\"num\">Dropped</th>"
               "<th class=\"num\">Failed</th><th></th></tr></thead><tbody>\n");
    for (size_t i = 0; i < p->count; i++)
        put_row(&p->rows[p->count - 1 - i], out); /* listeners first */
    buf_c(out, "</tbody></table></div>\n");
    page_close(out);
}
