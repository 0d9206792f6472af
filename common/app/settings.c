/* app/settings.c - the rows. */
#include "app/settings.h"

#include <string.h>

#include "base/str.h"

enum { PREFIX_MOST = 200 }; /* bytes; with a ring's name it is a key of the gossip store */
enum { FOR_CLUSTER = FOR_DISTRIBUTOR | FOR_INGESTER | FOR_QUERIER };
enum { BODY_LIMIT_MB_MOST = 2047, PUSH_TIMEOUT_MS_MOST = 3600 * 1000 };

#define R ring_settings
static const struct conf_row ring_rows[] = {
    CONF_STR_ROW(R, store, "ring.store", "ring.kvstore.store", "memberlist", CONF_ADVANCED,
                 "Where the ring is kept. Only memberlist, the gossip among the processes."),
    CONF_STR_ROW(R, prefix, "ring.prefix", "ring.kvstore.prefix", "collectors/", CONF_ADVANCED,
                 "Put in front of the ring's key in the gossip store."),
    CONF_MS_ROW(R, heartbeat_timeout_ms, "ring.heartbeat-timeout", "ring.heartbeat_timeout",
                "1m", CONF_ADVANCED,
                "An ingester whose last heartbeat is older is not written to."),
    CONF_U32_ROW(
        R, replication_factor, "distributor.replication-factor", "ring.replication_factor", "1",
        FOR_CLUSTER,
        "How many ingesters keep each profile. Fixed when the first ingesters found the "
        "cluster."),
    CONF_BOOL_ROW(R, zone_awareness, "distributor.zone-awareness-enabled",
                  "ring.zone_awareness_enabled", "false", CONF_ADVANCED,
                  "Keep the copies of a profile in different zones."),
    {.type = CONF_END},
};
#undef R

#define R ingester_settings
static const struct conf_row lifecycler_rows[] = {
    CONF_U32_ROW(R, num_tokens, "num-tokens", "num_tokens", "128", CONF_ADVANCED,
                 "Tokens of an ingester in the ring."),
    CONF_MS_ROW(R, heartbeat_period_ms, "heartbeat-period", "heartbeat_period", "5s",
                CONF_ADVANCED, "How often an ingester says in the ring that it lives."),
    CONF_MS_ROW(R, join_after_ms, "join-after", "join_after", "0s", CONF_ADVANCED,
                "Wait before joining the ring."),
    CONF_MS_ROW(R, observe_period_ms, "observe-period", "observe_period", "0s", CONF_ADVANCED,
                "Watch for conflicting tokens this long before becoming ACTIVE."),
    CONF_MS_ROW(R, min_ready_ms, "min-ready-duration", "min_ready_duration", "0s",
                CONF_ADVANCED, "How long an ingester must be fit before /ready says so."),
    CONF_MS_ROW(R, final_sleep_ms, "final-sleep", "final_sleep", "0s", CONF_ADVANCED,
                "Sleep before the end of a clean stop."),
    CONF_STR_ROW(R, tokens_file, "tokens-file-path", "tokens_file_path", "", CONF_ADVANCED,
                 "File of the tokens; empty: tokens in the data path."),
    CONF_STR_ROW(R, addr, "lifecycler.addr", "address", "", CONF_ADVANCED,
                 "Address to be called at; empty: that of the gossip."),
    CONF_U32_ROW(R, port, "lifecycler.port", "port", "0", CONF_ADVANCED,
                 "Port to be called at; 0: the HTTP port."),
    CONF_STR_ROW(R, id, "lifecycler.ID", "id", "", FOR_INGESTER,
                 "Name of this ingester in the ring, each its own; empty: the host name."),
    CONF_STR_ROW(R, zone, "availability-zone", "availability_zone", "", FOR_INGESTER,
                 "Zone in which this ingester runs."),
    CONF_BOOL_ROW(R, unregister_on_shutdown, "unregister-on-shutdown", "unregister_on_shutdown",
                  "true", CONF_ADVANCED, "Leave the ring at a clean stop."),
    CONF_BOOL_ROW(R, ready_on_ring_health, "readiness-check-ring-health",
                  "readiness_check_ring_health", "false", CONF_ADVANCED,
                  "Be ready only while every ingester of the ring is."),
    {.type = CONF_END},
};

static const struct conf_row ingester_rows[] = {
    CONF_U32_ROW(R, bootstrap_expect, "bootstrap-expect", "bootstrap_expect", "0", FOR_INGESTER,
                 "How many ingesters found a new cluster together; 0: the replication factor."),
    CONF_MS_ROW(R, bootstrap_quiet_ms, "bootstrap-quiet", "bootstrap_quiet", "10s",
                CONF_ADVANCED,
                "How long all of them must have seen each other before they found it."),
    CONF_STR_ROW(
        R, wal_sync, "wal-sync", "wal_sync", "always", FOR_INGESTER,
        "When a profile counts as kept: always (after fdatasync), interval (a power "
        "failure may lose up to the interval) or never (it may lose what the kernel has "
        "not written). After a crash with interval or never the disk gets a new name."),
    CONF_MS_ROW(R, wal_sync_interval_ms, "wal-sync-interval", "wal_sync_interval", "1s",
                CONF_ADVANCED, "The interval of -ingester.wal-sync=interval."),
    CONF_SIZE_ROW(R, vector_limit, "exact-vector-limit", "exact_vector_limit", "256KiB",
                  CONF_ADVANCED,
                  "Most bytes in which an ingester says what it holds; above it answers become "
                  "uncertain."),
    CONF_BOOL_ROW(R, auto_forget, "auto-forget", "auto_forget", "true", CONF_ADVANCED,
                  "Remove ingesters from the ring 10 heartbeat timeouts after their last one."),
    {.type = CONF_END},
};
#undef R

#define R distributor_settings
static const struct conf_row distributor_rows[] = {
    CONF_MS_ROW(R, push_timeout_ms, "push.timeout", "pushtimeout", "5s", CONF_ADVANCED,
                "How long a write to an ingester may take."),
    CONF_SIZE_ROW(R, inflight_bytes, "ingester-inflight-bytes", "ingester_inflight_bytes",
                  "128MiB", CONF_ADVANCED,
                  "Most bytes of writes that wait for one ingester; more is not sent to it."),
    {.type = CONF_END},
};

static const struct conf_row body_rows[] = {
    CONF_DOUBLE_ROW(R, body_limit_mb, "distributor.ingestion-body-limit-mb",
                    "ingestion_body_limit_mb", "256", CONF_ADVANCED,
                    "Most MiB of a request, and of its profiles unpacked."),
    {.type = CONF_END},
};
#undef R

#define R distributor_ring_settings
static const struct conf_row distributor_ring_rows[] = {
    CONF_STR_ROW(R, store, "store", "kvstore.store", "memberlist", CONF_ADVANCED,
                 "Where the distributors' ring is kept. Only memberlist."),
    CONF_STR_ROW(R, prefix, "prefix", "kvstore.prefix", "collectors/", CONF_ADVANCED,
                 "Put in front of the ring's key in the gossip store."),
    CONF_MS_ROW(R, heartbeat_period_ms, "heartbeat-period", "heartbeat_period", "15s",
                CONF_ADVANCED,
                "How often a distributor says in the ring that it lives; 0: never again."),
    CONF_MS_ROW(R, heartbeat_timeout_ms, "heartbeat-timeout", "heartbeat_timeout", "1m",
                CONF_ADVANCED,
                "A distributor whose last heartbeat is older is not called; ten times as old, it "
                "is taken out of the ring."),
    CONF_STR_ROW(R, id, "instance-id", "instance_id", "", CONF_ADVANCED,
                 "Name of this distributor in the ring, each its own; empty: the host name."),
    CONF_STR_ROW(R, addr, "instance-addr", "instance_addr", "", CONF_ADVANCED,
                 "Address to be called at; empty: that of the gossip."),
    CONF_U32_ROW(R, port, "instance-port", "instance_port", "0", CONF_ADVANCED,
                 "Port to be called at; 0: the HTTP port."),
    {.type = CONF_END},
};
#undef R

#define R limit_settings
static const struct conf_row limit_rows[] = {
    CONF_U32_ROW(R, label_name_max, "validation.max-length-label-name", "max_label_name_length",
                 "1024", FOR_DISTRIBUTOR, "Most bytes of a label name."),
    CONF_U32_ROW(R, label_value_max, "validation.max-length-label-value",
                 "max_label_value_length", "2048", FOR_DISTRIBUTOR,
                 "Most bytes of a label value."),
    CONF_U32_ROW(R, label_names_max, "validation.max-label-names-per-series",
                 "max_label_names_per_series", "30", FOR_DISTRIBUTOR,
                 "Most labels of a series."),
    CONF_U64_ROW(R, profile_bytes_max, "validation.max-profile-size-bytes",
                 "max_profile_size_bytes", "4194304", FOR_DISTRIBUTOR,
                 "Most bytes of a profile, unpacked."),
    CONF_U32_ROW(R, samples_max, "validation.max-profile-stacktrace-samples",
                 "max_profile_stacktrace_samples", "16000", FOR_DISTRIBUTOR,
                 "Most samples of a profile."),
    CONF_U32_ROW(R, sample_labels_max, "validation.max-profile-stacktrace-sample-labels",
                 "max_profile_stacktrace_sample_labels", "100", FOR_DISTRIBUTOR,
                 "Most labels of a sample."),
    CONF_U32_ROW(R, depth_max, "validation.max-profile-stacktrace-depth",
                 "max_profile_stacktrace_depth", "1000", FOR_DISTRIBUTOR,
                 "Deeper stacks lose frames on the leaf's side."),
    CONF_U32_ROW(R, symbol_max, "validation.max-profile-symbol-value-length",
                 "max_profile_symbol_value_length", "65535", FOR_DISTRIBUTOR,
                 "Longer strings of a profile lose their beginning."),
    CONF_MS64_ROW(R, reject_older_ms, "validation.reject-older-than", "reject_older_than", "1h",
                  FOR_DISTRIBUTOR, "Profiles older than this are refused; 0: none."),
    CONF_MS64_ROW(R, reject_newer_ms, "validation.reject-newer-than", "reject_newer_than",
                  "10m", FOR_DISTRIBUTOR,
                  "Profiles further in the future than this are refused; 0: none."),
    CONF_BOOL_ROW(R, disable_sanitization, "validation.disable-label-sanitization",
                  "disable_label_sanitization", "true", CONF_ADVANCED,
                  "Keep label names as they are: any UTF-8."),
    CONF_MS64_ROW(R, query_length_ms, "querier.max-query-length", "max_query_length", "1d",
                  FOR_QUERIER, "Longest range of a query; 0: any."),
    CONF_MS64_ROW(R, query_lookback_ms, "querier.max-query-lookback", "max_query_lookback",
                  "1w", FOR_QUERIER, "How far back a query may look; 0: as far as it likes."),
    CONF_I64_ROW(R, nodes_default, "querier.max-flamegraph-nodes-default",
                 "max_flamegraph_nodes_default", "8192", FOR_QUERIER,
                 "Nodes of a flame graph when the query names no number."),
    CONF_I64_ROW(R, nodes_max, "querier.max-flamegraph-nodes-max", "max_flamegraph_nodes_max",
                 "1048576", FOR_QUERIER, "Most nodes that a query may ask for; 0: any number."),
    CONF_SIZE_ROW(R, query_memory, "querier.max-query-memory", "max_query_memory", "128MiB",
                  FOR_INGESTER | FOR_QUERIER, "Memory that one query may take in one process."),
    {.type = CONF_END},
};
#undef R

#define R querier_settings
static const struct conf_row querier_rows[] = {
    CONF_LIST_ROW(R, forward_writes_to, "forward-writes-to", "forward_writes_to", "",
                  FOR_QUERIER,
                  "URLs of distributors to which the write routes are passed on, so that one "
                  "address serves everything. Empty: not served."),
    CONF_BOOL_ROW(R, require_complete, "require-complete", "require_complete", "false",
                  FOR_QUERIER,
                  "Answer 503 instead of an answer that cannot be certain to be complete."),
    CONF_MS_ROW(R, vector_timeout_ms, "exact-vector-timeout", "exact_vector_timeout", "2s",
                CONF_ADVANCED, "How long an ingester may take to say what it holds."),
    CONF_MS_ROW(R, count_hedge_ms, "exact-count-hedge", "exact_count_hedge", "2s",
                CONF_ADVANCED,
                "After this long without a counted part it is asked of another replica."),
    CONF_MS_ROW(R, query_timeout_ms, "query-timeout", "query_timeout", "1m", CONF_ADVANCED,
                "How long a query may take."),
    {.type = CONF_END},
};
#undef R

#define R receive_proxy_settings
static const struct conf_row receive_proxy_rows[] = {
    CONF_STR_ROW(R, listen_address, "receive.http-listen-address", "http_listen_address", "",
                 FOR_RECEIVE_PROXY,
                 "Without -config.file: IP address that profiles are taken at; empty: all."),
    CONF_U32_ROW(R, listen_port, "receive.http-listen-port", "http_listen_port", "4040",
                 FOR_RECEIVE_PROXY,
                 "Without -config.file: port that profiles are taken at; 0: a free one."),
    CONF_LIST_ROW(
        R, forward_to, "forward-to", "forward_to", "", FOR_RECEIVE_PROXY,
        "Without -config.file: URLs that each profile is sent to; may be repeated. The "
        "host may be dns+NAME, dnssrv+NAME or dnssrvnoa+NAME; ring: the distributors "
        "that -memberlist.join finds."),
    CONF_STR_ROW(R, compat, "compat", "compat", "", FOR_RECEIVE_PROXY,
                 "alloy: do as Grafana Alloy does where this proxy does better by default."),
    CONF_STR_ROW(
        R, storage_path, "storage.path", "storage_path", "", FOR_RECEIVE_PROXY,
        "Folder where the proxy keeps its name (X-Alloy-Id) over restarts; empty: a new "
        "name each time."),
    {.type = CONF_END},
};
#undef R

#define R settings
static const struct conf_row db_rows[] = {
    CONF_STR_ROW(R, data_path, "data-path", "data_path", "./data", FOR_INGESTER,
                 "Folder of the ingester's data."),
    {.type = CONF_END},
};

static const struct conf_row auth_rows[] = {
    CONF_BOOL_ROW(R, multitenancy, "auth.multitenancy-enabled", "multitenancy_enabled", "false",
                  FOR_CLUSTER,
                  "Take the tenant from the X-Scope-OrgID header; else all is one tenant."),
    {.type = CONF_END},
};
#undef R

static int check_ring(const void *at, struct err *err)
{
    const struct ring_settings *s = at;
    if (!str_eq(str_c(s->store), STR("memberlist")))
        return err_set(err, ERR_INVAL, "-ring.store: %s is not supported, only memberlist",
                       s->store);
    if (strlen(s->prefix) > PREFIX_MOST)
        return err_set(err, ERR_INVAL, "-ring.prefix: longer than %d bytes", PREFIX_MOST);
    if (s->replication_factor < 1 || s->replication_factor > 15)
        return err_set(err, ERR_INVAL, "-distributor.replication-factor: %u is not in 1 to 15",
                       s->replication_factor);
    if (s->heartbeat_timeout_ms == 0)
        return err_set(err, ERR_INVAL,
                       "-ring.heartbeat-timeout: 0 would make every ingester unfit");
    return 0;
}

static int check_ingester(const void *at, struct err *err)
{
    const struct ingester_settings *s = at;
    struct str sync = str_c(s->wal_sync);
    if (!str_eq(sync, STR("always")) && !str_eq(sync, STR("interval")) &&
        !str_eq(sync, STR("never")))
        return err_set(err, ERR_INVAL, "-ingester.wal-sync: %s is not always, interval or never",
                       s->wal_sync);
    if (s->heartbeat_period_ms == 0)
        return err_set(err, ERR_INVAL, "-ingester.heartbeat-period: must not be 0");
    if (s->num_tokens < 1 || s->num_tokens > 10000)
        return err_set(err, ERR_INVAL, "-ingester.num-tokens: %u is not in 1 to 10000",
                       s->num_tokens);
    return s->port > 65535
               ? err_set(err, ERR_INVAL, "-ingester.lifecycler.port: %u is above 65535", s->port)
               : 0;
}

static int check_distributor(const void *at, struct err *err)
{
    const struct distributor_settings *s = at;
    return s->push_timeout_ms == 0 || s->push_timeout_ms > PUSH_TIMEOUT_MS_MOST
               ? err_set(err, ERR_INVAL, "-distributor.push.timeout: not above 0 and at most 1h")
               : 0;
}

static int check_distributor_ring(const void *at, struct err *err)
{
    const struct distributor_ring_settings *s = at;
    if (!str_eq(str_c(s->store), STR("memberlist")))
        return err_set(err, ERR_INVAL,
                       "-distributor.ring.store: %s is not supported, only memberlist", s->store);
    if (strlen(s->prefix) > PREFIX_MOST)
        return err_set(err, ERR_INVAL, "-distributor.ring.prefix: longer than %d bytes",
                       PREFIX_MOST);
    if (s->heartbeat_timeout_ms == 0)
        return err_set(err, ERR_INVAL,
                       "-distributor.ring.heartbeat-timeout: 0 would make every distributor "
                       "unfit");
    return s->port > 65535 ? err_set(err, ERR_INVAL,
                                     "-distributor.ring.instance-port: %u is above 65535", s->port)
                           : 0;
}

static int check_querier(const void *at, struct err *err)
{
    const struct querier_settings *s = at;
    if (s->query_timeout_ms == 0)
        return err_set(err, ERR_INVAL, "-querier.query-timeout: must not be 0");
    return s->vector_timeout_ms == 0
               ? err_set(err, ERR_INVAL, "-querier.exact-vector-timeout: must not be 0")
               : 0;
}

static int check_receive_proxy(const void *at, struct err *err)
{
    const struct receive_proxy_settings *s = at;
    if (s->compat[0] != '\0' && !str_eq(str_c(s->compat), STR("alloy")))
        return err_set(err, ERR_INVAL, "-compat: %s is not alloy", s->compat);
    return s->listen_port > 65535 ? err_set(err, ERR_INVAL,
                                            "-receive.http-listen-port: %u is above 65535",
                                            s->listen_port)
                                  : 0;
}

static int check_bodies(const void *at, struct err *err)
{
    const struct distributor_settings *s = at;
    if (s->body_limit_mb > 0 && s->body_limit_mb <= BODY_LIMIT_MB_MOST) /* false for NaN */
        return 0;
    return err_set(err, ERR_INVAL,
                   "-distributor.ingestion-body-limit-mb: %g is not above 0 and at most %d",
                   s->body_limit_mb, BODY_LIMIT_MB_MOST);
}

void settings_sections(struct settings *s, struct conf_section out[SETTINGS_SECTIONS])
{
    const struct conf_section all[SETTINGS_SECTIONS] = {
        {"Ring", "", "ingester.lifecycler", ring_rows, &s->ring, check_ring},
        {"Ingester in the ring", "ingester.", "ingester.lifecycler", lifecycler_rows,
         &s->ingester, check_ingester},
        {"Ingester", "ingester.", "ingester", ingester_rows, &s->ingester, NULL},
        {"Distributor", "distributor.", "distributor", distributor_rows, &s->distributor,
         check_distributor},
        {"Distributor in its ring", "distributor.ring.", "distributor.ring",
         distributor_ring_rows, &s->distributor_ring, check_distributor_ring},
        {"Limits of requests", "", "limits", body_rows, &s->distributor,
         check_bodies},
        {"Limits", "", "limits", limit_rows, &s->limits, NULL},
        {"Querier", "querier.", "querier", querier_rows, &s->querier, check_querier},
        {"Receive-proxy", "", "receive_proxy", receive_proxy_rows, &s->receive_proxy,
         check_receive_proxy},
        {"Data", "pyroscopedb.", "pyroscopedb", db_rows, s, NULL},
        {"Tenants", "", "", auth_rows, s, NULL},
    };
    for (unsigned i = 0; i < SETTINGS_SECTIONS; i++)
        out[i] = all[i];
}
