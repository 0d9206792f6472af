/* gossip/memberlist_config.c - sets of settings: memberlist's own, dskit's, Alertmanager's. */
#include "gossip/memberlist.h"

/* Ten times the largest cluster that this was measured with. A table of that many, with the longest
 * names and metadata, takes 30 MB and still fits into memberlist's 20 MiB of one push/pull. */
enum { MEMBERS_MAX = 10000 };

/* hashicorp/memberlist config.go. */
struct memberlist_config memberlist_config_lan(void)
{
    return (struct memberlist_config){
        .default_port = 7946,
        .compression = PACKET_LZW,
        .stream_pings = true,
        .gossip_interval_ms = 200,
        .gossip_nodes = 3,
        .pushpull_interval_ms = 30000,
        .probe_interval_ms = 1000,
        .probe_timeout_ms = 500,
        .indirect_checks = 3,
        .suspicion_mult = 4,
        .suspicion_max_mult = 6,
        .awareness_max = 8,
        .retransmit_mult = 4,
        .dead_gossip_ms = 30000,
        .stream_timeout_ms = 10000,
        .packet_bytes = 1400,
        .members_max = MEMBERS_MAX,
    };
}

struct memberlist_config memberlist_config_wan(void)
{
    struct memberlist_config c = memberlist_config_lan();
    c.stream_timeout_ms = 30000;
    c.suspicion_mult = 6;
    c.pushpull_interval_ms = 60000;
    c.probe_interval_ms = 5000;
    c.probe_timeout_ms = 3000;
    c.gossip_nodes = 4;
    c.gossip_interval_ms = 500;
    c.dead_gossip_ms = 60000;
    return c;
}

struct memberlist_config memberlist_config_local(void)
{
    struct memberlist_config c = memberlist_config_lan();
    c.stream_timeout_ms = 1000;
    c.indirect_checks = 1;
    c.retransmit_mult = 2;
    c.suspicion_mult = 3;
    c.pushpull_interval_ms = 15000;
    c.probe_timeout_ms = 200;
    c.gossip_interval_ms = 100;
    c.dead_gossip_ms = 15000;
    return c;
}

/* grafana/dskit kv/memberlist/memberlist_client.go: everything travels over TCP, so packets may be
 * long and a ping over a stream would tell nothing new. */
struct memberlist_config memberlist_config_dskit(void)
{
    struct memberlist_config c = memberlist_config_lan();
    c.stream_pings = false;
    c.stream_timeout_ms = 2000;
    c.probe_interval_ms = 5000;
    c.probe_timeout_ms = 2000;
    c.packet_bytes = 10 << 20;
    return c;
}

/* prometheus/alertmanager cluster/cluster.go. Its gossip_nodes is half the number of known peers
 * when that is more than 3. */
struct memberlist_config memberlist_config_alertmanager(void)
{
    struct memberlist_config c = memberlist_config_lan();
    c.default_port = 9094;
    c.pushpull_interval_ms = 60000;
    return c;
}
