/* app/settings.h - the options of all roles, so that every binary accepts every flag and one file
 * serves all of them. Names and defaults are Pyroscope's; docs/compatibility.md lists where not.
 *
 * Plain values, filled by conf before there are threads, read by all afterwards.
 * Tests: tests/unit/app/test_settings.c. */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* -ring.*, -distributor.replication-factor: the ingesters' ring as everybody reads it. */
struct ring_settings {
    const char *store;  /* "memberlist", nothing else */
    const char *prefix; /* of keys in the gossip store */
    uint32_t heartbeat_timeout_ms;
    uint32_t replication_factor;
    bool zone_awareness;
};

/* -ingester.*: how an ingester lives in the ring, founds a cluster and writes its log. */
struct ingester_settings {
    uint32_t num_tokens;
    uint32_t heartbeat_period_ms;
    uint32_t join_after_ms, observe_period_ms, min_ready_ms, final_sleep_ms;
    const char *tokens_file; /* "": <data path>/tokens */
    const char *addr, *id, *zone;
    uint32_t port; /* 0: the HTTP port */
    bool unregister_on_shutdown, ready_on_ring_health;
    uint32_t bootstrap_expect; /* 0: the replication factor */
    uint32_t bootstrap_quiet_ms;
    const char *wal_sync; /* always, interval, never */
    uint32_t wal_sync_interval_ms;
    uint64_t vector_limit; /* bytes */
    bool auto_forget;
};

/* -distributor.ring.*: how distributors live in a ring of their own, for others to find them. */
struct distributor_ring_settings {
    const char *store;  /* "memberlist", nothing else */
    const char *prefix; /* of keys in the gossip store */
    uint32_t heartbeat_period_ms; /* 0: none */
    uint32_t heartbeat_timeout_ms;
    const char *id, *addr;
    uint32_t port; /* 0: the HTTP port */
};

/* -distributor.*: taking profiles. */
struct distributor_settings {
    uint32_t push_timeout_ms;
    uint64_t inflight_bytes; /* to one ingester */
    double body_limit_mb;
};

/* -validation.*, -querier.max-*: what a request may be. */
struct limit_settings {
    uint32_t label_name_max, label_value_max, label_names_max;
    uint64_t profile_bytes_max;
    uint32_t samples_max, sample_labels_max, depth_max, symbol_max;
    int64_t reject_older_ms, reject_newer_ms;
    bool disable_sanitization;
    int64_t query_length_ms, query_lookback_ms;
    int64_t nodes_default, nodes_max;
    uint64_t query_memory; /* bytes of one query in one process */
};

/* -querier.*: asking. */
struct querier_settings {
    struct conf_list forward_writes_to; /* URLs */
    bool require_complete;
    uint32_t vector_timeout_ms, count_hedge_ms, query_timeout_ms;
};

/* -receive.*, -forward-to, -compat, -storage.path: the receive-proxy. */
struct receive_proxy_settings {
    const char *listen_address;  /* of the listener that flags make */
    uint32_t listen_port;
    struct conf_list forward_to; /* URLs, or "ring" */
    const char *compat;          /* "" or "alloy" */
    const char *storage_path;
};

/* Whom an option of -help matters to. */
enum settings_for {
    FOR_DISTRIBUTOR = CONF_FOR,
    FOR_INGESTER = CONF_FOR << 1,
    FOR_QUERIER = CONF_FOR << 2,
    FOR_RECEIVE_PROXY = CONF_FOR << 3,
};

struct settings {
    struct ring_settings ring;
    struct ingester_settings ingester;
    struct distributor_settings distributor;
    struct distributor_ring_settings distributor_ring;
    struct limit_settings limits;
    struct querier_settings querier;
    struct receive_proxy_settings receive_proxy;
    const char *data_path;
    bool multitenancy;
};

enum { SETTINGS_SECTIONS = 11 };

/* Fill out[SETTINGS_SECTIONS] with the sections that fill *s. */
void settings_sections(struct settings *s, struct conf_section out[SETTINGS_SECTIONS]);

#endif
