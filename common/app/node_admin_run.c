/* app/node_admin_run.c - which server has the pages for operators. */
#include "app/node_priv.h"

#include "net/http_server.h"

#include <string.h>

enum { ADMIN_CONNECTIONS_MAX = 256, ADMIN_MEMORY_MAX = 64 << 20 };

static bool mode_is(const struct admin_settings *s, const char *mode)
{
    return strcmp(s->mode, mode) == 0;
}

int node_admin_check(const void *settings, struct err *err)
{
    const struct admin_settings *s = settings;
    if (!mode_is(s, "disabled") && !mode_is(s, "additional") && !mode_is(s, "exclusive"))
        return err_set(err, ERR_INVAL,
                       "-admin-server.mode: %s is not disabled, additional or exclusive", s->mode);
    return s->http_port > 65535
               ? err_set(err, ERR_INVAL, "-admin-server.http-listen-port: %u is above 65535",
                         s->http_port)
               : 0;
}

bool node_admin_is_exclusive(const struct node *n)
{
    return mode_is(&n->admin_settings, "exclusive");
}

static bool is_any(struct str address)
{
    return address.len == 0 || str_eq(address, STR("0.0.0.0")) || str_eq(address, STR("::"));
}

/* Both servers would share the port, and a client be answered by either. */
static bool clash(const struct http_server_config *a, const struct http_server_config *b)
{
    return a->port == b->port && a->port != 0 &&
           (is_any(a->address) || is_any(b->address) || str_eq(a->address, b->address));
}

int node_admin_init(struct node *n, const struct http_server_config *like, struct err *err)
{
    const struct admin_settings *s = &n->admin_settings;
    struct http_server_config config = *like;
    if (mode_is(s, "disabled"))
        return 0;
    bool local = strcmp(s->http_address, "localhost") == 0;
    config.address = local ? STR("127.0.0.1") : str_c(s->http_address);
    config.port = (uint16_t)s->http_port;
    if (clash(&config, like))
        return err_set(err, ERR_INVAL,
                       "-server.http-listen-port and -admin-server.http-listen-port are both %u: "
                       "the admin server needs a port of its own",
                       s->http_port);
    config.connections_max = ADMIN_CONNECTIONS_MAX;
    config.memory_max = ADMIN_MEMORY_MAX;
    return http_server_init(&n->admin, n->threads, n->thread_count, &config, err);
}

void node_admin_log(const struct node *n)
{
    char text[ADDR_TEXT_MAX];
    if (n->admin == NULL)
        return;
    struct addr at = http_server_addr(n->admin);
    log_line(&n->log, LOG_INFO, "admin server listens", LOG_C("http", addr_text(&at, text)),
             LOG_C("mode", n->admin_settings.mode));
}

int node_page(struct node *n, const struct http_route *route, struct err *err)
{
    int rc = 0;
    if (!node_admin_is_exclusive(n))
        rc = http_server_route(n->http, route, err);
    if (rc == 0 && n->admin != NULL)
        rc = http_server_route(n->admin, route, err);
    return rc;
}
