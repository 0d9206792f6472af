/* app/node_ring_page_run.c - the pages of the rings: as HTML, as the peer's JSON, and forgetting.
 *
 * What needs the gossip is fetched on the main thread; the page itself is worked out on the pool,
 * since it asks the ring once for each of its tokens. */
#include "app/node_priv.h"

#include "app/page_files_run.h"
#include "app/page_ring.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/gossip_uv.h"
#include "net/http_server.h"
#include "ring/desc.h"
#include "ring/page.h"
#include "ring/ring_uv.h"

enum { GONE_MAX = 100, GONE_SHOWN_S = 60, TELLING_S = 10, LATE_MS = 15000 };

/* One request; in its arena. */
struct ring_job {
    struct node *node;
    const struct node_ring *of;
    struct http_req *req;
    struct loop_work work;
    struct pool_job job;
    struct page_ring page;
    struct ring *view;
    struct page_gone gone[GONE_MAX];
    struct str *forget;
    size_t forget_count, forgotten;
    bool forget_unhealthy;
    wall_ms now;
};

/* --- showing ---------------------------------------------------------------------------------- */

static bool wants_json(const struct http_req *req)
{
    return str_contains(http_req_header(req, "Accept"), STR("application/json")) ||
           str_eq(http_req_param(req, "format"), STR("json"));
}

static void reply_json(struct ring_job *j)
{
    struct buf json = {0};
    ring_page_json(gossip_get(j->node->gossip, str_c(j->of->key)), j->of->heartbeat_timeout_ms,
                   j->now, &json);
    http_reply_buf(j->req, 200, "application/json", &json);
}

/* Members that were forgotten, or left, a short while ago. */
static void gather_gone(struct ring_job *j)
{
    const struct ring_desc *desc = gossip_get(j->node->gossip, str_c(j->of->key));
    int64_t youngest = 0;
    for (size_t i = 0; desc != NULL && i < ring_desc_count(desc); i++) {
        const struct ring_instance *in = ring_desc_at(desc, i);
        if (in->state != RING_LEFT || in->timestamp_s < j->now / 1000 - GONE_SHOWN_S ||
            j->page.gone_count == GONE_MAX)
            continue;
        struct page_gone *g = &j->gone[j->page.gone_count];
        *g = (struct page_gone){str_dup(j->req->arena, in->id), str_dup(j->req->arena, in->zone),
                                in->timestamp_s};
        j->page.gone_count += g->id.data != NULL;
        youngest = in->timestamp_s > youngest ? in->timestamp_s : youngest;
    }
    j->page.gone = j->gone;
    j->page.telling = j->now / 1000 - youngest <= TELLING_S &&
                      kv_queued_local(gossip_core_kv(gossip_core_of(j->node->gossip))) > 0;
}

static void gather_page(struct ring_job *j)
{
    const struct node *n = j->node;
    const struct http_req *req = j->req;
    bool ingesters = j->of == &n->rings[NODE_RING_INGESTERS];
    struct str ask = http_req_param(req, "ask");
    j->page = (struct page_ring){
        .frame = node_frame(n, req, j->of->title, j->of->path, j->now),
        .name = j->of->name,
        .key = j->of->key,
        .ring = j->view,
        .replicated = ingesters,
        .zone_aware = ingesters && n->settings.ring.zone_awareness,
        .replication_factor = ingesters ? n->settings.ring.replication_factor : 1,
        .component = ingesters ? RING_VERSION_EXACT : 0,
        .timeout_ms = j->of->heartbeat_timeout_ms,
        .late_ms = ingesters ? n->settings.ingester.heartbeat_period_ms + LATE_MS : 0,
        .tokens = str_eq(http_req_param(req, "tokens"), STR("true")),
        .forget_unhealthy = str_eq(http_req_param(req, "ask_unhealthy"), STR("true")),
        .tenant = http_req_param(req, "tenant"),
        .service = http_req_param(req, "service"),
    };
    j->page.frame.age_ms = node_ring_age(n, j->of, j->now);
    if (ask.data != NULL && (j->forget = arena_alloc(req->arena, sizeof *j->forget)) != NULL) {
        *j->forget = ask;
        j->page.forget = j->forget;
        j->page.forget_count = 1;
    }
    gather_gone(j);
}

static void write_page(void *arg)
{
    struct ring_job *j = arg;
    struct buf html = {0};
    page_ring_html(&j->page, &html);
    ring_drop(&j->view);
    node_reply_html(j->req, &html);
}

static void show(void *arg)
{
    struct ring_job *j = arg;
    j->now = clock_wall_ms();
    if (wants_json(j->req)) {
        reply_json(j);
        return;
    }
    j->view = ring_watch_hold(j->of->watch);
    gather_page(j);
    j->job = (struct pool_job){.run = write_page, .arg = j};
    if (pool_submit(j->node->pool, &j->job) != 0) {
        ring_drop(&j->view);
        http_reply_text(j->req, 503, "too busy for a page\n");
    }
}

/* --- forgetting ------------------------------------------------------------------------------- */

static bool is_meant(const struct ring_job *j, const struct ring_instance *in)
{
    if (j->forget_unhealthy && !ring_instance_is_alive(in, j->of->heartbeat_timeout_ms, j->now))
        return true;
    for (size_t i = 0; i < j->forget_count; i++)
        if (str_eq(j->forget[i], in->id))
            return true;
    return false;
}

/* Those that are gone from the value become tombstones. */
static int edit(void *arg, void **value)
{
    struct ring_job *j = arg;
    struct ring_desc *desc = *value;
    j->forgotten = 0;
    for (size_t i = desc == NULL ? 0 : ring_desc_count(desc); i-- > 0;) {
        const struct ring_instance *in = ring_desc_at(desc, i);
        if (!is_meant(j, in))
            continue;
        log_line(&j->node->log, LOG_INFO, "an instance is forgotten, as asked for",
                 LOG_C("ring", j->of->name), LOG_S("id", in->id));
        (void)ring_desc_remove(desc, in->id);
        j->forgotten++;
    }
    return j->forgotten > 0 ? KV_STORE : KV_KEEP;
}

/* Whoever asks for an id that is not there has written it wrong, or was late. */
static void say_unknown(const struct ring_job *j, struct buf *text)
{
    struct str first = str_head(j->forget[0], 100);
    log_line(&j->node->log, LOG_WARN, "who is to be forgotten is not in the ring",
             LOG_C("ring", j->of->name), LOG_S("id", first), LOG_U("ids", j->forget_count));
    buf_printf(text, "nobody was forgotten, not in the ring: %.*s%s\n", STR_ARG(first),
               j->forget_count > 1 ? " and others" : "");
}

static void forget(void *arg)
{
    struct ring_job *j = arg;
    struct http_field location = {STR_INIT("Location"), STR_INIT("#")};
    struct buf text = {0};
    j->now = clock_wall_ms();
    int rc = gossip_cas(j->node->gossip, str_c(j->of->key), ring_codec.id, edit, j);
    if (rc == 0 && j->forgotten == 0 && j->forget_count > 0)
        say_unknown(j, &text);
    if (rc == 0)
        http_reply(j->req, &(struct http_answer){.status = 302,
                                                 .type = text.size > 0 ? "text/plain" : NULL,
                                                 .headers = &location,
                                                 .header_count = 1,
                                                 .body = buf_view(&text)});
    else if (j->forget_count == 1)
        http_reply_text(j->req, 500, "error forgetting instance '%.*s': %s\n",
                        STR_ARG(j->forget[0]), err_text(rc));
    else
        http_reply_text(j->req, 500, "error forgetting instances: %s\n", err_text(rc));
    buf_reset(&text);
}

/* A form's field, decoded. data NULL: no memory. */
static struct str decoded(struct http_req *req, struct str s)
{
    char *text = arena_alloc(req->arena, s.len + 1);
    return text == NULL ? str_of(NULL, 0) : str_of(text, http_percent_decode(s, true, text));
}

/* The fields `forget`, as often as they stand there, and `forget_unhealthy`. */
static int read_form(struct ring_job *j)
{
    size_t most = 1;
    struct str body = j->req->body, pair, name;
    for (size_t i = 0; i < body.len; i++)
        most += body.data[i] == '&';
    j->forget = arena_calloc(j->req->arena, most, sizeof *j->forget);
    if (j->forget == NULL)
        return ERR_NOMEM;
    for (struct str rest = body; str_cut(&rest, '&', &pair);) {
        if (!str_cut(&pair, '=', &name))
            continue;
        struct str value = decoded(j->req, pair);
        if (value.data == NULL)
            return ERR_NOMEM;
        if (str_eq(name, STR("forget")))
            j->forget[j->forget_count++] = value;
        else if (str_eq(name, STR("forget_unhealthy")))
            j->forget_unhealthy = str_eq(value, STR("true"));
    }
    return j->forget_count > 0 || j->forget_unhealthy ? 0 : ERR_NOENT;
}

/* --- routes ----------------------------------------------------------------------------------- */

static struct ring_job *job_of(struct node *n, struct http_req *req)
{
    struct ring_job *j = arena_zalloc(req->arena, sizeof *j);
    if (j == NULL) {
        http_reply_text(req, 503, "no memory\n");
        return NULL;
    }
    *j = (struct ring_job){.node = n, .req = req, .of = &n->rings[NODE_RING_INGESTERS]};
    for (unsigned i = 0; i < NODE_RINGS; i++)
        if (str_eq(req->path, str_c(n->rings[i].path)))
            j->of = &n->rings[i];
    return j;
}

static void on_get(void *arg, struct http_req *req)
{
    struct ring_job *j = job_of(arg, req);
    if (j != NULL)
        loop_post(j->node->main, &j->work, show, j);
}

static void on_post(void *arg, struct http_req *req)
{
    if (node_refuse_foreign(req))
        return;
    struct ring_job *j = job_of(arg, req);
    if (j == NULL)
        return;
    int rc = read_form(j);
    if (rc == 0)
        loop_post(j->node->main, &j->work, forget, j);
    else
        http_reply_text(req, rc == ERR_NOENT ? 400 : 503, "%s\n",
                        rc == ERR_NOENT ? "whom? a field forget=ID is needed" : "no memory");
}

int node_register_rings(struct node *n, struct err *err)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < NODE_RINGS; i++) {
        struct http_route get = {
            .path = n->rings[i].path, .methods = HTTP_GET, .handler = on_get, .arg = n};
        struct http_route post = {.path = n->rings[i].path,
                                  .methods = HTTP_POST,
                                  .handler = on_post,
                                  .arg = n,
                                  .body_max = 1 << 20};
        rc = node_page(n, &get, err);
        if (rc == 0)
            rc = node_page(n, &post, err);
    }
    return rc;
}
