/* app/node_conf_run.c - the command line of a node. */
#include "app/node_priv.h"

#include "app/version.h"
#include "base/clock.h"
#include "conf/conf_run.h"
#include "conf/page.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define R server_settings
static const struct conf_row server_rows[] = {
    CONF_STR_ROW(R, http_address, "http-listen-address", "http_listen_address", "", 0,
                 "IP address that HTTP is served at; empty: all."),
    CONF_U32_ROW(R, http_port, "http-listen-port", "http_listen_port", "4040", 0,
                 "Port that HTTP is served at; 0: a free one. The receive-proxy's default is "
                 "12345."),
    CONF_U32_ROW(R, http_threads, "http-threads", "http_threads", "2", CONF_ADVANCED,
                 "Threads that serve HTTP."),
    CONF_MS_ROW(R, read_timeout_ms, "http-read-timeout", "http_server_read_timeout", "30s",
                CONF_ADVANCED, "How long a request may take to arrive."),
    CONF_MS_ROW(R, write_timeout_ms, "http-write-timeout", "http_server_write_timeout", "30s",
                CONF_ADVANCED, "How long an answer may take to leave."),
    CONF_MS_ROW(R, idle_timeout_ms, "http-idle-timeout", "http_server_idle_timeout", "2m",
                CONF_ADVANCED, "How long a connection may be idle."),
    CONF_U32_ROW(R, connections_max, "http-conn-limit", "http_listen_conn_limit", "0",
                 CONF_ADVANCED, "Most connections; 0: half of the open files, at most 10000."),
    CONF_SIZE_ROW(R, memory_max, "http-memory-limit", "http_memory_limit", "512MiB",
                  CONF_ADVANCED, "Memory of all requests under way."),
    CONF_SIZE_ROW(
        R, connection_memory, "http-connection-memory", "http_connection_memory", "32KiB",
        CONF_ADVANCED,
        "Memory that each connection keeps once it was used; bounds its headers. Many "
        "idle clients: 8KiB."),
    CONF_MS_ROW(R, grace_ms, "graceful-shutdown-timeout", "graceful_shutdown_timeout", "30s",
                CONF_ADVANCED, "How long a stop waits for requests under way."),
    CONF_U32_ROW(R, workers, "workers", "workers", "0", CONF_ADVANCED,
                 "Threads for work that costs CPU time; 0: one a core."),
    {.type = CONF_END},
};

static const struct conf_row log_rows[] = {
    CONF_STR_ROW(R, log_level, "log.level", "server.log_level", "info", 0,
                 "Lines below it are left out: debug, info, warn or error."),
    CONF_STR_ROW(R, log_format, "log.format", "server.log_format", "logfmt", 0,
                 "Format of the lines: logfmt or json."),
    CONF_MS_ROW(
        R, shutdown_delay_ms, "shutdown-delay", "shutdown_delay", "0s", CONF_ADVANCED,
        "Time between /ready turning false and the end of listening, for load balancers "
        "to notice."),
    CONF_STR_ROW(R, metrics_namespace, "metrics.namespace", "metrics_namespace", "pyroscope",
                 CONF_ADVANCED, "First word of metric names: pyroscope or phlare."),
    {.type = CONF_END},
};
#undef R

#define R admin_settings
static const struct conf_row admin_rows[] = {
    CONF_STR_ROW(R, mode, "mode", "mode", "disabled", 0,
                 "A port of its own for what operators need (/ready, /metrics, /ring, /memberlist, "
                 "/admin, the configuration): disabled, additional (on both ports) or exclusive "
                 "(404 on the public one)."),
    CONF_STR_ROW(R, http_address, "http-listen-address", "http_listen_address", "localhost", 0,
                 "IP address of the admin server; localhost: 127.0.0.1; empty: all."),
    CONF_U32_ROW(R, http_port, "http-listen-port", "http_listen_port", "4042", 0,
                 "Port of the admin server; 0: a free one."),
    {.type = CONF_END},
};
#undef R

static int check_server(const void *at, struct err *err)
{
    const struct server_settings *s = at;
    if (s->http_threads < 1 || s->http_threads > NODE_THREADS_MAX)
        return err_set(err, ERR_INVAL, "-server.http-threads: %u is not in 1 to %d",
                       s->http_threads, NODE_THREADS_MAX);
    if (s->connection_memory < 2048 || s->connection_memory > 16u << 20)
        return err_set(err, ERR_INVAL, "-server.http-connection-memory: not in 2KiB to 16MiB");
    if (strcmp(s->metrics_namespace, "pyroscope") != 0 &&
        strcmp(s->metrics_namespace, "phlare") != 0)
        return err_set(err, ERR_INVAL, "-metrics.namespace: %s is not pyroscope or phlare",
                       s->metrics_namespace);
    if (s->workers > 256)
        return err_set(err, ERR_INVAL, "-server.workers: %u is above 256", s->workers);
    return s->http_port > 65535
               ? err_set(err, ERR_INVAL, "-server.http-listen-port: %u is above 65535",
                         s->http_port)
               : 0;
}

static int set_log(struct node *n, struct err *err)
{
    n->log = (struct log){.sink = log_stderr, .now = clock_wall_ms};
    if (log_level_parse(str_c(n->server.log_level), &n->log.level) != 0)
        return err_set(err, ERR_INVAL, "-log.level: %s is not debug, info, warn or error",
                       n->server.log_level);
    if (log_format_parse(str_c(n->server.log_format), &n->log.format) != 0)
        return err_set(err, ERR_INVAL, "-log.format: %s is not logfmt or json",
                       n->server.log_format);
    atomic_init(&n->log_dial.level, n->log.level);
    atomic_init(&n->log_dial.format, n->log.format);
    n->log.dial = &n->log_dial;
    return 0;
}

static void print(struct buf *text)
{
    (void)fwrite(text->data, 1, text->size, stdout);
    buf_reset(text);
}

/* The server's rows, with the role's own port. */
static const struct conf_row *rows_of(struct node_private *p, const struct node_role *role)
{
    static_assert(sizeof server_rows / sizeof *server_rows <= NODE_SERVER_ROWS_MAX,
                  "room for the server's rows");
    memcpy(p->server_rows, server_rows, sizeof server_rows);
    for (struct conf_row *row = p->server_rows; row->type != CONF_END; row++)
        if (role->http_port != NULL && strcmp(row->flag, "http-listen-port") == 0)
            row->def = role->http_port;
    return p->server_rows;
}

bool node_configure(struct node *n, const struct node_role *role, int argc, char **argv,
                    int *status)
{
    struct node_private *p = n->priv;
    struct err err = {0};
    enum conf_action action = CONF_RUN;
    settings_sections(&n->settings, p->sections);
    p->sections[SETTINGS_SECTIONS] = (struct conf_section){
        "Server", "server.", "server", rows_of(p, role), &n->server, check_server};
    p->sections[SETTINGS_SECTIONS + 1] =
        (struct conf_section){"Log and metrics", "", "", log_rows, &n->server, NULL};
    p->sections[SETTINGS_SECTIONS + 2] =
        (struct conf_section){"Gossip",    "memberlist.",       "memberlist",
                              gossip_rows, &n->gossip_settings, gossip_config_validate};
    p->sections[SETTINGS_SECTIONS + 3] =
        (struct conf_section){"Admin server", "admin-server.",    "admin_server",
                              admin_rows,     &n->admin_settings, node_admin_check};
    p->sections[SETTINGS_SECTIONS + 4] =
        (struct conf_section){"Names",    "dns.",                  "dns",
                              disco_rows, &n->gossip_settings.dns, disco_config_validate};
    int rc = conf_init(&p->conf, p->sections, NODE_SECTIONS, &err);
    if (rc == 0)
        rc = role->own_file
                 ? conf_load_flags(p->conf, argc, (const char *const *)argv, &action, &err)
                 : conf_load(p->conf, argc, (const char *const *)argv, &action, &err);
    if (rc == 0 && action == CONF_RUN)
        rc = set_log(n, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "%s: %s\n", n->role, err.msg);
        *status = 1;
        return false;
    }
    n->config_file = role->own_file ? conf_file(p->conf) : NULL;
    struct buf text = {0};
    *status = 0;
    switch (action) {
    case CONF_RUN:
        conf_log_ignored(p->conf, &n->log);
        return true;
    case CONF_HELP:
    case CONF_HELP_ALL:
        buf_c(&text, role->usage == NULL ? "" : role->usage);
        conf_help(p->sections, NODE_SECTIONS, n->role, role->help, action == CONF_HELP_ALL,
                  &text);
        break;
    case CONF_REFERENCE: /* one page for all roles */
        p->sections[SETTINGS_SECTIONS].rows = server_rows;
        conf_reference(p->sections, NODE_SECTIONS, &text);
        break;
    case CONF_VERSION:
        buf_printf(&text, "%s, version %s (revision %s), Emberring\n", n->role, app_version(),
                   app_revision());
        break;
    }
    print(&text);
    return false;
}
