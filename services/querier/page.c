/* querier/page.c - the routes of the page. */
#include "page.h"

#include "app/page_files_run.h"
#include "net/http_server.h"

extern const struct page_files querier_page;

static void on_get(void *arg, struct http_req *req)
{
    (void)arg;
    page_files_reply(&querier_page, req);
}

int page_register(struct http_server *http, struct err *err)
{
    static const struct http_route routes[] = {
        {.path = "/", .label = "page", .methods = HTTP_GET, .handler = on_get},
        {.path = "/assets/*", .label = "page", .methods = HTTP_GET, .handler = on_get},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        int rc = http_server_route(http, &routes[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
