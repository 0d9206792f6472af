/* gossip/config.c - rows and bounds of -memberlist.*. */
#include "gossip/config.h"

#include "disco/entry.h"
#include "gossip/addr.h"
#include "gossip/core.h"

#define R gossip_config

const struct conf_row gossip_rows[] = {
    CONF_STR_ROW(R, node_name, "nodename", "node_name", "", 0,
                 "Name of this member in the cluster. The host's name when empty."),
    CONF_BOOL_ROW(R, randomize_name, "randomize-node-name", "randomize_node_name", "true", 0,
                  "Add a random suffix to the name."),
    CONF_LIST_ROW(R, bind_addr, "bind-addr", "bind_addr", "", 0,
                  "IP addresses to listen on for gossip; may be given several times. All, IPv4 and "
                  "IPv6, when empty."),
    CONF_U32_ROW(R, bind_port, "bind-port", "bind_port", "7946", 0,
                 "Port to listen on for gossip. 0: the kernel chooses."),
    CONF_STR_ROW(
        R, advertise_addr, "advertise-addr", "advertise_addr", "", 0,
        "IP address that others reach this member at. When empty, the bound one, or the "
        "one on the route to -memberlist.join; the log says which and why."),
    CONF_U32_ROW(R, advertise_port, "advertise-port", "advertise_port", "0", 0,
                 "Port that others reach this member at. 0: the bound one."),
    CONF_LIST_ROW(R, join, "join", "join_members", "", 0,
                  "Members to join: ip:port, [ip6]:port, host:port, dns+host:port, dnssrv+name or "
                  "dnssrvnoa+name; may be given several times. Looked up again and tried until one "
                  "answers. Port 7946 when left out."),
    CONF_MS_ROW(R, join_backoff_min_ms, "min-join-backoff", "min_join_backoff", "1s",
                CONF_ADVANCED, "Shortest pause between two rounds of joining."),
    CONF_MS_ROW(R, join_backoff_max_ms, "max-join-backoff", "max_join_backoff", "20s",
                CONF_ADVANCED, "Longest pause between two rounds of joining."),
    CONF_U32_ROW(R, join_retries, "max-join-retries", "max_join_retries", "10", CONF_ADVANCED,
                 "Rounds of joining after the first one before -memberlist.abort-if-join-fails "
                 "ends the process; without that, joining never ends. 0: no end either."),
    CONF_BOOL_ROW(R, abort_join, "abort-if-join-fails", "abort_if_cluster_join_fails", "false",
                  CONF_ADVANCED, "End the process when joining failed max-join-retries times."),
    CONF_BOOL_ROW(R, abort_fast_join, "abort-if-fast-join-fails",
                  "abort_if_cluster_fast_join_fails", "false", CONF_ADVANCED,
                  "End the process when the first round of joining reaches too few members."),
    CONF_U32_ROW(R, fast_join_min, "abort-if-fast-join-fails-min-nodes",
                 "abort_if_cluster_fast_join_fails_min_nodes", "1", CONF_ADVANCED,
                 "Members that the first round must reach with abort-if-fast-join-fails."),
    CONF_LIST_ROW(R, rejoin, "rejoin-seed-nodes", "rejoin_seed_nodes", "", CONF_ADVANCED,
                  "Members to rejoin at rejoin-interval instead of -memberlist.join; alone again, "
                  "both are tried."),
    CONF_MS_ROW(R, rejoin_ms, "rejoin-interval", "rejoin_interval", "1m", 0,
                "How often the list is joined anew once joined, so that the sides of a healed "
                "partition find each other. 0: never."),
    CONF_MS_ROW(R, stream_timeout_ms, "stream-timeout", "stream_timeout", "2s", CONF_ADVANCED,
                "Timeout for connecting, and for sending and reading whole states."),
    CONF_U32_ROW(R, retransmit_factor, "retransmit-factor", "retransmit_factor", "4",
                 CONF_ADVANCED,
                 "A message is sent this factor times the logarithm of the cluster's size."),
    CONF_MS_ROW(R, pushpull_ms, "pullpush-interval", "pull_push_interval", "30s", CONF_ADVANCED,
                "How often whole states are exchanged with a random member. 0: never."),
    CONF_MS_ROW(R, gossip_ms, "gossip-interval", "gossip_interval", "200ms", CONF_ADVANCED,
                "How often news is sent to random members."),
    CONF_U32_ROW(R, gossip_nodes, "gossip-nodes", "gossip_nodes", "3", CONF_ADVANCED,
                 "How many members are sent news to at a time."),
    CONF_MS_ROW(R, dead_gossip_ms, "gossip-to-dead-nodes-time", "gossip_to_dead_nodes_time",
                "30s", CONF_ADVANCED,
                "How long the dead are kept and sent news to, which lets them refute."),
    CONF_MS_ROW(R, reclaim_ms, "dead-node-reclaim-time", "dead_node_reclaim_time", "10s",
                CONF_ADVANCED,
                "After this time the name of a dead member may appear at another address. 0: "
                "only after it left, or is forgotten."),
    CONF_MS_ROW(R, probe_ms, "probe-interval", "probe_interval", "5s", CONF_ADVANCED,
                "How often a member is asked whether it lives; how long it is suspected before it "
                "is taken for dead is a multiple of this. The same at all members; dskit's is "
                "always 5s."),
    CONF_MS_ROW(R, probe_timeout_ms, "probe-timeout", "probe_timeout", "2s", CONF_ADVANCED,
                "How long an answer to that is waited for before others are asked to ask."),
    CONF_BOOL_ROW(R, compression, "compression-enabled", "compression_enabled", "true",
                  CONF_ADVANCED, "Compress what is sent, where that makes it shorter."),
    CONF_STR_ROW(R, compression_algorithm, "compression-algorithm", "compression_algorithm",
                 "lzw", CONF_ADVANCED, "lzw or snappy; both are always understood."),
    CONF_STR_ROW(
        R, label, "cluster-label", "cluster_label", "", 0,
        "Label on all packets; those with another one are dropped, which keeps clusters "
        "apart."),
    CONF_BOOL_ROW(R, label_unchecked, "cluster-label-verification-disabled",
                  "cluster_label_verification_disabled", "false", CONF_ADVANCED,
                  "Accept packets with any label or none; for changing the label."),
    CONF_MS_ROW(R, tombstone_ms, "left-ingesters-timeout", "left_ingesters_timeout", "5m",
                CONF_ADVANCED, "How long it is remembered that an instance left a ring."),
    CONF_MS_ROW(R, obsolete_ms, "obsolete-entries-timeout", "obsolete_entries_timeout", "30s",
                CONF_ADVANCED, "How long deleted keys are remembered. 0: for ever."),
    CONF_MS_ROW(R, notify_ms, "notify-interval", "notify_interval", "0s", CONF_ADVANCED,
                "Collect changes of keys this long before those who watch them are told. 0: tell "
                "at once."),
    CONF_U32_ROW(R, received_max, "received-messages-queue-size", "received_messages_queue_size",
                 "1024", CONF_ADVANCED,
                 "Must not be 0; without effect otherwise, since messages are handled as they "
                 "come."),
    CONF_U32_ROW(R, processed_max, "processed-messages-queue-size",
                 "processed_messages_queue_size", "1024", CONF_ADVANCED,
                 "Must not be 0; without effect otherwise, since messages are handled as they "
                 "come."),
    CONF_U32_ROW(R, prefix_buffer, "watch-prefix-buffer-size", "watch_prefix_buffer_size", "128",
                 CONF_ADVANCED,
                 "Changed keys that who watches a prefix is told of at a time; the rest follows "
                 "in the next turn, and none is dropped."),
    CONF_SIZE_ROW(R, history_bytes, "message-history-buffer-bytes",
                  "message_history_buffer_bytes", "0", CONF_ADVANCED,
                  "Keep the last sent and the last received messages, up to this size each, for "
                  "/memberlist. 0: none."),
    CONF_BOOL_ROW(R, tracker, "propagation-delay-tracker.enabled",
                  "propagation_delay_tracker.enabled", "false", CONF_ADVANCED,
                  "Publish beacons, and measure how long those of others take to arrive."),
    CONF_MS_ROW(R, beacon_interval_ms, "propagation-delay-tracker.beacon-interval",
                "propagation_delay_tracker.beacon_interval", "1m", CONF_ADVANCED,
                "At most one beacon is published in this time, in the whole cluster."),
    CONF_MS_ROW(R, beacon_lifetime_ms, "propagation-delay-tracker.beacon-lifetime",
                "propagation_delay_tracker.beacon_lifetime", "10m", CONF_ADVANCED,
                "After this time a beacon is deleted."),
    CONF_MS_ROW(R, beacon_log_ms, "propagation-delay-tracker.log-beacons-latency-longer-than",
                "propagation_delay_tracker.log_beacons_latency_longer_than", "0s", CONF_ADVANCED,
                "Log beacons that took longer to arrive. 0: none."),
    CONF_MS_ROW(R, leave_ms, "leave-timeout", "leave_timeout", "20s", CONF_ADVANCED,
                "Longest wait at shutdown for the leaving to be told."),
    CONF_MS_ROW(R, flush_ms, "broadcast-timeout-for-local-updates-on-shutdown",
                "broadcast_timeout_for_local_updates_on_shutdown", "10s", CONF_ADVANCED,
                "Longest wait at shutdown for our own changes to be told. 0: no limit."),
    CONF_MS_ROW(R, packet_dial_ms, "packet-dial-timeout", "packet_dial_timeout", "2s",
                CONF_ADVANCED, "Timeout for connecting to send a packet."),
    CONF_MS_ROW(R, packet_write_ms, "packet-write-timeout", "packet_write_timeout", "5s",
                CONF_ADVANCED, "Timeout for sending a packet. 0: none."),
    CONF_U32_ROW(R, writers_max, "max-concurrent-writes", "max_concurrent_writes", "32",
                 CONF_ADVANCED, "Packets that are sent at the same time."),
    CONF_MS_ROW(R, writer_wait_ms, "acquire-writer-timeout", "acquire_writer_timeout", "250ms",
                CONF_ADVANCED,
                "A packet that cannot be sent for this long, since all places of "
                "max-concurrent-writes are taken, is dropped."),
    CONF_BOOL_ROW(R, tls_enabled, "tls-enabled", "tls_enabled", "false", 0,
                  "Speak TLS with all members; needs a certificate and a key."),
    CONF_STR_ROW(R, tls_cert_path, "tls-cert-path", "tls_cert_path", "", 0,
                 "File with this member's certificate and its chain (PEM). It is read again when "
                 "it changes, as are the two below."),
    CONF_STR_ROW(R, tls_key_path, "tls-key-path", "tls_key_path", "", 0,
                 "File with the certificate's key (PEM)."),
    CONF_STR_ROW(R, tls_ca_path, "tls-ca-path", "tls_ca_path", "", 0,
                 "File with the authorities that members' certificates are verified against "
                 "(PEM). The system's when empty."),
    CONF_STR_ROW(R, tls_server_name, "tls-server-name", "tls_server_name", "", 0,
                 "Name that the certificate of every member is verified for. The IP address "
                 "dialled when empty."),
    CONF_BOOL_ROW(R, tls_insecure_skip_verify, "tls-insecure-skip-verify",
                  "tls_insecure_skip_verify", "false", 0,
                  "Accept any certificate of the members dialled."),
    CONF_BOOL_ROW(R, tls_client_auth, "tls-client-auth", "tls_client_auth", "false", 0,
                  "Demand and verify a certificate of members that connect (mutual TLS)."),
    CONF_STR_ROW(R, tls_cipher_suites, "tls-cipher-suites", "tls_cipher_suites", "", 0,
                 "Cipher suites by Go's names, comma-separated, best first. Those with forward "
                 "secrecy and authenticated encryption when empty."),
    CONF_STR_ROW(R, tls_min_version, "tls-min-version", "tls_min_version", "", 0,
                 "VersionTLS10, VersionTLS11 or VersionTLS12, which it is when empty. mbedTLS "
                 "2.28 has no VersionTLS13."),
    {.type = CONF_END},
};

static int check_store(const struct gossip_config *c, struct err *err)
{
    if (c->received_max == 0 || c->processed_max == 0 || c->prefix_buffer == 0)
        return err_set(err, ERR_INVAL,
                       "-memberlist.received-messages-queue-size, processed-messages-queue-size "
                       "and watch-prefix-buffer-size must not be 0");
    if (c->tracker && (c->beacon_interval_ms == 0 || c->beacon_lifetime_ms == 0))
        return err_set(err, ERR_INVAL,
                       "-memberlist.propagation-delay-tracker.beacon-interval and "
                       "beacon-lifetime must not be 0");
    return 0;
}

static int check_entries(const struct conf_list *list, const char *flag, struct err *err)
{
    for (size_t i = 0; i < list->count; i++)
        for (struct str rest = str_c(list->items[i]), part; str_cut(&rest, ',', &part);) {
            struct disco_entry entry;
            part = str_trim(part);
            if (part.len > 0 && disco_entry_parse(&entry, part, 1, err) != 0) {
                (void)err_wrap(err, "-memberlist.%s", flag);
                return ERR_INVAL;
            }
        }
    return 0;
}

static int check_addresses(const struct gossip_config *c, struct err *err)
{
    struct gossip_addr a;
    for (size_t i = 0; i < c->bind_addr.count; i++)
        if (gossip_addr_parse(&a, str_c(c->bind_addr.items[i]), 1) != 0 || a.port != 1)
            return err_set(err, ERR_INVAL, "-memberlist.bind-addr: \"%s\" is no IP address",
                           c->bind_addr.items[i]);
    if (c->advertise_addr[0] != '\0' &&
        (gossip_addr_parse(&a, str_c(c->advertise_addr), 1) != 0 || a.port != 1))
        return err_set(err, ERR_INVAL, "-memberlist.advertise-addr: \"%s\" is no IP address",
                       c->advertise_addr);
    int rc = check_entries(&c->join, "join", err);
    return rc != 0 ? rc : check_entries(&c->rejoin, "rejoin-seed-nodes", err);
}

int gossip_config_validate(const void *at, struct err *err)
{
    const struct gossip_config *c = at;
    struct str algorithm = str_c(c->compression_algorithm);
    if (c->bind_port > UINT16_MAX || c->advertise_port > UINT16_MAX)
        return err_set(err, ERR_INVAL,
                       "-memberlist.bind-port and -memberlist.advertise-port are at "
                       "most 65535");
    if (c->gossip_ms == 0 || c->stream_timeout_ms == 0 || c->packet_dial_ms == 0)
        return err_set(err, ERR_INVAL,
                       "gossip-interval, stream-timeout and packet-dial-timeout must not be 0");
    if (c->probe_timeout_ms == 0 || c->probe_ms <= c->probe_timeout_ms)
        return err_set(err, ERR_INVAL,
                       "probe-timeout must not be 0, and be shorter than probe-interval");
    if (c->join_backoff_min_ms == 0 || c->join_backoff_max_ms < c->join_backoff_min_ms)
        return err_set(err, ERR_INVAL,
                       "min-join-backoff must not be 0, nor longer than max-join-backoff");
    if (!str_eq(algorithm, STR("lzw")) && !str_eq(algorithm, STR("snappy")))
        return err_set(err, ERR_INVAL, "compression-algorithm: lzw or snappy, not \"%s\"",
                       c->compression_algorithm);
    if (str_c(c->label).len > PACKET_LABEL_MAX)
        return err_set(err, ERR_INVAL, "cluster-label is longer than %d bytes",
                       PACKET_LABEL_MAX);
    int rc = check_store(c, err);
    return rc != 0 ? rc : check_addresses(c, err);
}

struct gossip_core_config gossip_config_core(const struct gossip_config *config)
{
    struct gossip_core_config c = gossip_core_config_default();
    bool snappy = str_eq(str_c(config->compression_algorithm), STR("snappy"));
    c.members.label = str_c(config->label);
    c.members.any_label = config->label_unchecked;
    c.members.compression = !config->compression ? PACKET_PLAIN
                            : snappy             ? PACKET_SNAPPY
                                                 : PACKET_LZW;
    c.members.gossip_interval_ms = config->gossip_ms;
    c.members.gossip_nodes = config->gossip_nodes;
    c.members.pushpull_interval_ms = config->pushpull_ms;
    c.members.retransmit_mult = config->retransmit_factor;
    c.members.dead_gossip_ms = config->dead_gossip_ms;
    c.members.probe_interval_ms = config->probe_ms;
    c.members.probe_timeout_ms = config->probe_timeout_ms;
    c.members.reclaim_ms = config->reclaim_ms;
    c.members.rename = true;
    c.members.stream_timeout_ms = config->stream_timeout_ms;
    c.kv.retransmit_mult = config->retransmit_factor;
    c.kv.tombstone_ms = config->tombstone_ms;
    c.kv.obsolete_ms = config->obsolete_ms;
    c.kv.prefix_buffer = config->prefix_buffer;
    c.kv.history_bytes = (size_t)config->history_bytes;
    c.notify_ms = config->notify_ms;
    c.tracker = (struct kv_tracker_config){.enabled = config->tracker,
                                           .interval_ms = config->beacon_interval_ms,
                                           .lifetime_ms = config->beacon_lifetime_ms,
                                           .log_longer_ms = config->beacon_log_ms};
    c.join.backoff_min_ms = config->join_backoff_min_ms;
    c.join.backoff_max_ms = config->join_backoff_max_ms;
    c.join.fast_min = config->abort_fast_join ? config->fast_join_min : 0;
    c.join.rounds_max = config->abort_join ? config->join_retries : 0;
    c.join.rejoin_ms = config->rejoin_ms;
    c.join.enough_factor = config->retransmit_factor;
    c.leave_ms = config->leave_ms;
    c.flush_ms = config->flush_ms;
    return c;
}
