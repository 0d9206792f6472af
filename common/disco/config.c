/* disco/config.c - rows and bounds of -dns.*. */
#include "disco/config.h"

#include "net/addr.h"

#define R disco_config

const struct conf_row disco_rows[] = {
    CONF_LIST_ROW(R, servers, "servers", "servers", "", 0,
                  "DNS servers to ask, as ip or ip:port. Those of /etc/resolv.conf when empty, "
                  "which is read again when it changes."),
    CONF_MS_ROW(R, refresh_ms, "refresh-interval", "refresh_interval", "30s", CONF_ADVANCED,
                "How often names are looked up again."),
    CONF_MS_ROW(R, timeout_ms, "timeout", "timeout", "2s", CONF_ADVANCED,
                "How long a DNS server has for its answer; it is asked twice, the second time "
                "with twice the time."),
    {.type = CONF_END},
};

int disco_config_validate(const void *at, struct err *err)
{
    const struct disco_config *c = at;
    struct addr a;
    for (size_t i = 0; i < c->servers.count; i++)
        if (addr_parse(&a, str_c(c->servers.items[i]), 53) != 0 || a.port == 0)
            return err_set(err, ERR_INVAL, "-dns.servers: \"%s\" is no IP address with port",
                           c->servers.items[i]);
    if (c->refresh_ms < 1000)
        return err_set(err, ERR_INVAL, "-dns.refresh-interval: below 1s");
    if (c->timeout_ms < 10 || c->timeout_ms > 60000)
        return err_set(err, ERR_INVAL, "-dns.timeout: not in 10ms to 1m");
    return 0;
}
