/* app/node_members_page_run.c - /memberlist, and what all pages for people share. */
#include "app/node_priv.h"

#include "app/page_files_run.h"
#include "app/page_members.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/gossip_uv.h"
#include "gossip/page.h"
#include "net/http_server.h"
#include "ring/page.h"

#include <stdio.h>

enum { LOOK_EVERY_MS = 30000 };

/* --- for all pages ---------------------------------------------------------------------------- */

struct page_frame node_frame(const struct node *n, const struct http_req *req, const char *title,
                             const char *path, wall_ms now)
{
    const char *name = n->gossip_settings.node_name;
    struct str who = name[0] != '\0'   ? str_c(name)
                     : n->gossip != NULL ? gossip_name(n->gossip)
                                         : str_c(n->http_addr);
    return (struct page_frame){.title = title,
                               .path = path,
                               .folder = app_page.folder,
                               .who = who,
                               .version = app_version(),
                               .now = now,
                               .age_ms = -1,
                               .explore = n->priv->explore && http_req_is_of(req, n->http),
                               .alone = n->gossip == NULL,
                               .components = n->components};
}

int64_t node_ring_age(const struct node *n, const struct node_ring *ring, wall_ms now)
{
    const struct ring_desc *desc = gossip_get(n->gossip, str_c(ring->key));
    wall_ms newest = ring_page_newest(desc);
    return newest <= 0 ? -1 : now < newest ? 0 : now - newest;
}

void node_reply_html(struct http_req *req, struct buf *html)
{
    struct http_field headers[PAGE_SAFETY_COUNT + 2];
    size_t n = 0;
    for (; n < PAGE_SAFETY_COUNT; n++)
        headers[n] = page_safety[n];
    headers[n++] = (struct http_field){STR("Cache-Control"), STR("no-store")};
    headers[n++] = (struct http_field){STR("Vary"), STR("Accept")};
    if (html->error != 0)
        http_reply_text(req, 503, "no memory for the page\n");
    else
        http_reply(req, &(struct http_answer){.status = 200,
                                              .type = "text/html; charset=utf-8",
                                              .headers = headers,
                                              .header_count = n,
                                              .body = buf_view(html),
                                              .body_free = mem_free,
                                              .body_arg = html->data});
    if (html->error != 0)
        buf_reset(html);
    *html = (struct buf){0}; /* its memory is the answer's now */
}

bool node_refuse_foreign(struct http_req *req)
{
    bool foreign = page_is_foreign(http_req_header(req, "Sec-Fetch-Site"),
                                   http_req_header(req, "Origin"), http_req_header(req, "Host"),
                                   http_req_header(req, "X-Forwarded-Host"));
    if (foreign)
        http_reply_text(req, 403, "a page of another site asked for this\n");
    return foreign;
}

/* --- /memberlist ------------------------------------------------------------------------------ */

/* One request; in its arena. */
struct members_job {
    struct node *node;
    struct http_req *req;
    struct loop_work work;
};

static void reply_value(struct http_req *req, int rc, const char *missing, struct buf *body)
{
    if (rc == 0)
        http_reply_buf(req, 200, "text/plain; charset=utf-8", body);
    else
        http_reply_text(req, rc == ERR_NOENT ? 404 : 503, "%s\n",
                        rc == ERR_NOENT ? missing : err_text(rc));
    buf_reset(body);
}

/* A file's name for a header: what could end it or be read otherwise is percent-encoded. */
static void put_file_name(uint64_t version, struct str key, struct buf *out)
{
    buf_printf(out, "attachment; filename=%llu-", (unsigned long long)version);
    for (struct str rest = key, part; str_cut(&rest, '/', &part);) {
        http_percent_encode(part, out);
        buf_c(out, rest.data != NULL ? "/" : "");
    }
}

static void reply_download(struct gossip_core *core, struct http_req *req, struct str key)
{
    struct buf body = {0}, name = {0};
    uint64_t version = 0;
    int rc = gossip_page_download(core, key, &version, &body);
    put_file_name(version, key, &name);
    struct http_field header = {STR_INIT("Content-Disposition"), buf_view(&name)};
    if (rc == 0 && name.error == 0)
        http_reply(req, &(struct http_answer){.status = 200,
                                              .type = "application/octet-stream",
                                              .headers = &header,
                                              .header_count = 1,
                                              .body = buf_view(&body),
                                              .raw = true});
    else
        http_reply_text(req, rc == ERR_NOENT ? 404 : 503, "%s\n",
                        rc == ERR_NOENT ? "value not found" : "no memory");
    buf_reset(&body);
    buf_reset(&name);
}

static void reply_message(struct gossip_core *core, struct http_req *req, struct str number,
                          bool pretty)
{
    struct buf body = {0};
    uint64_t id = 0;
    if (str_u64(number, &id) != 0) {
        http_reply_text(req, 400, "viewMsg is not a number\n");
        return;
    }
    int rc = gossip_page_message(core, id, pretty, &body);
    reply_value(req, rc, "message not found", &body);
}

static void reply_page(struct node *n, struct http_req *req, wall_ms now)
{
    struct page_members_ring rings[NODE_RINGS];
    struct page_traffic *looks = n->priv->traffic;
    struct gossip_core *core = gossip_core_of(n->gossip);
    struct buf html = {0}, joined = {0};
    mono_ms mono = clock_mono_ms();
    for (unsigned i = 0; i < NODE_RINGS; i++)
        rings[i] = (struct page_members_ring){n->rings[i].name, n->rings[i].path,
                                              gossip_get(n->gossip, str_c(n->rings[i].key))};
    if (looks[0].at == 0)
        looks[0] = looks[1] = (struct page_traffic){.at = n->priv->started};
    if (mono - looks[1].at >= LOOK_EVERY_MS) {
        looks[0] = looks[1];
        looks[1] = page_traffic_now(core, mono);
        looks[1].packets = gossip_packets(n->gossip);
    }
    gossip_status_text(n->gossip, &joined);
    struct page_members page = {
        .frame = node_frame(n, req, "Memberlist", "/memberlist", now),
        .core = core,
        .mono = mono,
        .label = str_c(n->gossip_settings.label),
        .joined = buf_view(&joined),
        .rings = rings,
        .ring_count = NODE_RINGS,
        .packets = gossip_packets(n->gossip),
        .before = looks[0],
        .key = http_req_param(req, "key"),
    };
    page.frame.age_ms = node_ring_age(n, &n->rings[NODE_RING_INGESTERS], now);
    page_members_html(&page, &html);
    node_reply_html(req, &html);
    buf_reset(&joined);
}

/* The first parameter that matches says what is wanted. */
static void show(void *arg)
{
    struct members_job *j = arg;
    struct http_req *req = j->req;
    struct gossip_core *core = gossip_core_of(j->node->gossip);
    struct str download = http_req_param(req, "downloadKey");
    struct str view = http_req_param(req, "viewKey"), message = http_req_param(req, "viewMsg");
    bool pretty = !str_eq(http_req_param(req, "format"), STR("json"));
    struct buf body = {0};
    wall_ms now = clock_wall_ms();
    if (download.data != NULL) {
        reply_download(core, req, download);
    } else if (view.data != NULL) {
        int rc = gossip_page_view(core, view, pretty, &body);
        reply_value(req, rc, "value not found", &body);
    } else if (message.data != NULL) {
        reply_message(core, req, message, pretty);
    } else if (str_eq(http_req_param(req, "deleteMessages"), STR("true"))) {
        if (node_refuse_foreign(req))
            return;
        struct http_field back = {STR_INIT("Location"), STR_INIT("?deleteMessages=false")};
        kv_forget_messages(gossip_core_kv(core));
        http_reply(req,
                   &(struct http_answer){.status = 302, .headers = &back, .header_count = 1});
    } else if (str_contains(http_req_header(req, "Accept"), STR("application/json"))) {
        gossip_page_json(core, now, &body);
        http_reply_buf(req, 200, "application/json", &body);
    } else {
        reply_page(j->node, req, now);
    }
}

static void on_members(void *arg, struct http_req *req)
{
    struct node *n = arg;
    struct members_job *j = arena_zalloc(req->arena, sizeof *j);
    if (j == NULL) {
        http_reply_text(req, 503, "no memory\n");
        return;
    }
    *j = (struct members_job){.node = n, .req = req};
    loop_post(n->main, &j->work, show, j);
}

int node_register_members(struct node *n, struct err *err)
{
    struct http_route page = {
        .path = "/memberlist", .methods = HTTP_GET, .handler = on_members, .arg = n};
    return node_page(n, &page, err);
}
