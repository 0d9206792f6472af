/* app/node_index_run.c - /admin, the list of a node's pages, and "/" for roles without a page of
 * their own. */
#include "app/node_priv.h"

#include "app/version.h"
#include "net/http_server.h"

static const struct {
    const char *path, *what;
} links[] = {
    {"/ready", "Is it ready?"},
    {"/metrics", "Metrics"},
    {"/ring", "The ingesters' ring"},
    {"/distributor/ring", "The distributors' ring"},
    {"/memberlist", "Members of the cluster"},
    {"/api/v1/status/config", "Configuration in force"},
    {"/api/v1/status/buildinfo", "Build"},
};

static void on_index(void *arg, struct http_req *req)
{
    const struct node *n = arg;
    struct buf b = {0};
    buf_printf(&b,
               "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width\">"
               "<title>%s - Emberring</title><style>body{font:16px/1.6 sans-serif;margin:2em auto;"
               "max-width:40em;padding:0 1em}code{color:#666}</style>"
               "<h1>%s</h1><p>Emberring %s (%s)</p><ul>",
               n->role, n->role, app_version(), app_revision());
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        buf_printf(&b, "<li><a href=\"%s\">%s</a> <code>%s</code></li>", links[i].path,
                   links[i].what, links[i].path);
    buf_c(&b, "</ul></html>\n");
    http_reply_buf(req, 200, "text/html; charset=utf-8", &b);
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
    int rc = node_page(n, &admin, err);
    if (rc == 0 && n->admin != NULL)
        rc = http_server_route(n->admin, &root, err);
    if (rc == 0 && !node_admin_is_exclusive(n)) {
        rc = http_server_route(n->http, &root, err);
        rc = rc == ERR_EXIST ? 0 : rc; /* the role has a page of its own there */
    }
    return rc;
}
