/* app/node_index_run.c - /admin, the list of a node's pages, and "/" for roles without a page of
 * their own. */
#include "app/node_priv.h"

#include "app/page_files_run.h"
#include "app/page_index.h"
#include "app/version.h"
#include "base/clock.h"
#include "net/http_server.h"

static void on_index(void *arg, struct http_req *req)
{
    const struct node *n = arg;
    struct buf html = {0};
    struct page_frame frame = node_frame(n, req, n->role, "/admin", clock_wall_ms());
    page_index_html(&frame, n->role, app_revision(), &html);
    node_reply_html(req, &html);
}

static void on_file(void *arg, struct http_req *req)
{
    (void)arg;
    page_files_reply(&app_page, req);
}

static void on_root(void *arg, struct http_req *req)
{
    struct http_field location = {STR_INIT("Location"), STR_INIT("/admin")};
    (void)arg;
    http_reply(req, &(struct http_answer){.status = 302, .headers = &location, .header_count = 1});
}

int node_register_index(struct node *n, struct err *err)
{
    struct http_route admin = {
        .path = "/admin", .methods = HTTP_GET, .handler = on_index, .arg = n};
    struct http_route root = {.path = "/", .methods = HTTP_GET, .handler = on_root, .arg = n};
    struct http_route files = {
        .path = "/static/*", .label = "page", .methods = HTTP_GET, .handler = on_file};
    int rc = node_page(n, &admin, err);
    if (rc == 0)
        rc = node_page(n, &files, err);
    if (rc == 0 && n->admin != NULL)
        rc = http_server_route(n->admin, &root, err);
    if (rc == 0 && !node_admin_is_exclusive(n)) {
        rc = http_server_route(n->http, &root, err);
        n->priv->explore = rc == ERR_EXIST; /* the role has a page of its own there */
        rc = rc == ERR_EXIST ? 0 : rc;
    }
    return rc;
}
