/* gossip/config.h - the options of -memberlist.*, under Pyroscope's names.
 *
 * Defaults are dskit's but for these: rejoin-interval is 1m (a healed partition finds itself),
 * max-join-backoff 20s (joining never gives up: max-join-retries only counts for
 * abort-if-join-fails), bind-addr is all of both families, max-concurrent-writes 32
 * (a connection costs us no thread, and three dead addresses must not hold up everybody else's
 * packets). advertise-port counts without advertise-addr too.
 * dead-node-reclaim-time is 10s: who comes back elsewhere need not wait until it is forgotten.
 * probe-interval and probe-timeout are ours: dskit has them as constants.
 * Plain values, filled by conf. Tests: tests/unit/gossip/test_config.c. */
#ifndef GOSSIP_CONFIG_H
#define GOSSIP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "disco/config.h"

struct gossip_core_config;

struct gossip_config {
    const char *node_name; /* "": the host's name */
    bool randomize_name;
    struct conf_list bind_addr; /* empty: all of both families */
    uint32_t bind_port;         /* 0: the kernel chooses */
    const char *advertise_addr; /* "": found out */
    uint32_t advertise_port;    /* 0: the bound one */
    struct conf_list join;      /* see disco/entry.h */
    struct conf_list rejoin;    /* empty: join */
    uint32_t join_backoff_min_ms, join_backoff_max_ms;
    uint32_t join_retries; /* before abort_join ends the process; 0: no end */
    bool abort_fast_join, abort_join;
    uint32_t fast_join_min;
    uint32_t rejoin_ms;
    struct disco_config dns; /* a section of its own: disco_rows */
    uint32_t stream_timeout_ms;
    uint32_t retransmit_factor;
    uint32_t pushpull_ms, gossip_ms, gossip_nodes;
    uint32_t dead_gossip_ms, reclaim_ms;
    uint32_t probe_ms, probe_timeout_ms;
    bool compression;
    const char *compression_algorithm; /* lzw or snappy */
    const char *label;
    bool label_unchecked;
    uint32_t tombstone_ms, obsolete_ms;
    uint32_t notify_ms;
    uint32_t received_max, processed_max; /* checked, without effect: nothing queues here */
    uint32_t prefix_buffer;
    uint64_t history_bytes;
    bool tracker;
    uint32_t beacon_interval_ms, beacon_lifetime_ms, beacon_log_ms;
    uint32_t leave_ms, flush_ms;
    uint32_t packet_dial_ms, packet_write_ms;
    uint32_t writers_max;
    uint32_t writer_wait_ms;
    bool tls_enabled;
    const char *tls_cert_path, *tls_key_path, *tls_ca_path; /* PEM; "": none */
    const char *tls_server_name;                            /* "": the address dialled */
    bool tls_insecure_skip_verify;
    const char *tls_cipher_suites, *tls_min_version; /* Go's names; "": a good choice */
    bool tls_client_auth;
};

/* Rows for a conf section with prefix "memberlist." and path "memberlist". */
extern const struct conf_row gossip_rows[];

/* The rules between and within values; for struct conf_section. ERR_INVAL with a text. */
int gossip_config_validate(const void *at, struct err *err);

/* The core's part of the options, all but name, addresses and seed. Texts are borrowed. */
struct gossip_core_config gossip_config_core(const struct gossip_config *config);

#endif
