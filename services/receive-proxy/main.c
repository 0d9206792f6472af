/* receive-proxy: takes profiles as Grafana Alloy's pyroscope.receive_http does, and sends them
 * on. */
#include "proxy_run.h"
#include "source_run.h"

#include "app/node_run.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct node_role role = {.name = "receive-proxy",
                             .help = FOR_RECEIVE_PROXY,
                             .http_port = "12345",
                             .observer = true,
                             .own_file = true,
                             .components = true,
                             .usage = source_usage,
                             .client = &proxy_client_config};
    struct node *node = NULL;
    struct proxy *proxy = NULL;
    struct err err = {0};
    int status = 1;
    if (source_command(argc, argv, &status))
        return status; /* fmt, validate */
    status = node_init(&node, &role, argc, argv);
    if (node == NULL)
        return status;
    status = 1;
    if (proxy_init(&proxy, node, &err) != 0) {
        (void)fprintf(stderr, "receive-proxy: %s\n", err.msg);
    } else if (proxy_load(proxy)) {
        struct node_hooks hooks = {.arg = proxy,
                                   .start = proxy_start,
                                   .reload = proxy_reload,
                                   .leave = proxy_leave,
                                   .stop = proxy_stop};
        status = node_run(node, &hooks);
    }
    if (proxy_free(&proxy))
        node_free(&node);
    return status;
}
