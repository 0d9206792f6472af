/* gossip/stats.c - the table of metrics, and the copy into them. */
#include "gossip/stats.h"

#include "base/mem.h"
#include "gossip/core.h"
#include "gossip/transport_uv.h"
#include "metrics/metrics.h"

struct gossip_stats {
    struct counter *kv[14];
    struct counter *ml[25];
    struct counter *tcp[22];
    struct gauge *members, *health, *keys, *queued_bytes, *reached, *seeds, *pending, *connections;
    struct gauge_vec *queued, *tombstones;
    struct counter_vec *tombstones_removed;
    struct counter *beacons[2];
    struct histogram *delay;
};

#define C(field, name, help)                                                                   \
    METRIC_COUNTER_ROW(gossip_stats, field, 0, "memberlist_" name, help)
#define G(field, name, help)                                                                   \
    METRIC_GAUGE_ROW(gossip_stats, field, METRIC_PEER_NAME, "memberlist_" name, help)

static const struct metric_row rows[] = {
    C(kv[0], "client_received_broadcasts_total", "User messages received."),
    C(kv[1], "client_received_broadcasts_bytes_total", "Bytes of user messages received."),
    C(kv[2], "client_received_broadcasts_invalid_total",
      "User messages that could not be understood."),
    C(kv[3], "client_state_pushes_total", "Remote states merged."),
    C(kv[4], "client_state_pushes_bytes_total", "Bytes of remote states merged."),
    C(kv[5], "client_state_pulls_total", "Local states sent."),
    C(kv[6], "client_state_pulls_bytes_total", "Bytes of local states sent."),
    C(kv[7], "client_cas_attempt_total", "Attempts to change a key."),
    C(kv[8], "client_cas_success_total", "Changes of a key."),
    C(kv[9], "client_cas_failure_total", "Attempts to change a key that failed."),
    C(kv[10], "client_messages_to_broadcast_dropped_total",
      "Changes that could not be queued for lack of memory."),
    C(kv[11], "client_received_broadcasts_dropped_total",
      "User messages dropped for lack of memory, or of room for keys that nobody here uses."),
    C(kv[12], "state_invalid_total",
      "Keys in remote states that could not be understood."),
    C(kv[13], "client_stray_values_dropped_total",
      "Values dropped since too much is held for keys that nobody here uses."),
    C(ml[0], "packets_bad_total", "Packets that could not be read."),
    C(ml[1], "packets_foreign_total", "Packets dropped for the label of another cluster."),
    C(ml[2], "packets_unknown_total", "Messages of a type that is not known."),
    C(ml[3], "streams_bad_total", "Exchanges of state that could not be read."),
    C(ml[4], "streams_refused_total", "Exchanges of state refused since too many were running."),
    C(ml[5], "streams_timeout_total", "Exchanges of state that took too long."),
    C(ml[6], "exchanges_total", "Exchanges of state that were merged."),
    C(ml[7], "version_conflicts_total", "States refused since protocol versions do not fit."),
    C(ml[8], "probes_total", "Members probed."),
    C(ml[9], "probes_failed_total", "Probes without an answer, direct or indirect."),
    C(ml[10], "dropped_nomem_total", "Messages not handled for lack of memory."),
    C(ml[11], "name_conflicts_total", "Members announced from two addresses."),
    C(ml[12], "refuted_total", "Accusations of this member that it refuted."),
    C(ml[13], "members_ignored_total", "Announcements of members that were not valid."),
    C(ml[14], "packets_unlabelled_total", "Packets dropped since they had no cluster label."),
    C(ml[15], "packets_misdirected_total",
      "Pings that meant another member at this member's address."),
    C(ml[16], "streams_foreign_total",
      "Streams refused for the label of another cluster, or for having none."),
    C(ml[17], "streams_unanswered_total",
      "Own exchanges of state that the peer closed without a word."),
    C(ml[18], "unreachable_total",
      "Times that other members seemed unable to reach the announced address."),
    C(ml[19], "stream_pings_ok_total",
      "Members that answered on a stream, but not to packets."),
    C(ml[20], "own_name_conflicts_total",
      "Times that another process announced this member's name."),
    C(ml[21], "members_moved_total", "Members that took over another address."),
    C(ml[22], "renamed_total",
      "Times that this member took another name, since its own was somebody else's."),
    C(ml[23], "members_turned_away_total", "Newcomers that found the table of members full."),
    C(ml[24], "answers_dropped_total",
      "Messages not sent since too many were to be sent at once."),
    C(tcp[0], "tcp_transport_incoming_streams_total", "Streams opened by others."),
    C(tcp[1], "tcp_transport_outgoing_streams_total", "Streams opened by this member."),
    C(tcp[2], "tcp_transport_outgoing_stream_errors_total", "Own streams that failed."),
    C(tcp[3], "tcp_transport_packets_received_total", "Packets received."),
    C(tcp[4], "tcp_transport_packets_received_bytes_total", "Bytes of packets received."),
    C(tcp[5], "tcp_transport_packets_received_errors_total",
      "Packets that came in broken, or with a wrong digest."),
    C(tcp[6], "tcp_transport_packets_sent_total", "Packets sent."),
    C(tcp[7], "tcp_transport_packets_sent_bytes_total", "Bytes of packets sent."),
    C(tcp[8], "tcp_transport_packets_sent_errors_total", "Packets that could not be sent."),
    C(tcp[9], "tcp_transport_packets_dropped_total",
      "Packets dropped since too many were being sent."),
    C(tcp[10], "tcp_transport_unknown_connections_total",
      "Connections that began with a foreign byte."),
    C(tcp[11], "tcp_transport_http_connections_total", "Connections that spoke HTTP."),
    C(tcp[12], "tcp_transport_sent_bytes_total", "All bytes sent."),
    C(tcp[13], "tcp_transport_received_bytes_total", "All bytes received."),
    C(tcp[14], "tcp_transport_connections_refused_total",
      "Connections closed since there were too many, or too much was held for them."),
    C(tcp[15], "tcp_transport_connections_timeout_total",
      "Connections that did not say in time what they want."),
    C(tcp[16], "tcp_transport_plain_mismatches_total",
      "Connections on which TLS met plain text."),
    C(tcp[17], "tcp_transport_tls_handshakes_total", "TLS handshakes done."),
    C(tcp[18], "tcp_transport_tls_resumed_total", "TLS handshakes that were resumed ones."),
    C(tcp[19], "tcp_transport_tls_errors_total", "TLS handshakes and streams that failed."),
    C(tcp[20], "tcp_transport_tls_reloads_total", "Times that changed files of TLS were taken."),
    C(tcp[21], "tcp_transport_tls_reload_errors_total",
      "Times that changed files of TLS could not be used."),
    G(connections, "tcp_transport_connections", "Connections of others that are open."),
    G(members, "client_cluster_members_count", "Members that are alive or suspected."),
    G(health, "client_cluster_node_health_score", "Health of this member; 0 is well."),
    G(keys, "client_kv_store_count", "Keys in the store."),
    G(queued_bytes, "client_messages_in_broadcast_queue_bytes",
      "Bytes of changes waiting to be told."),
    G(reached, "join_seeds_reached", "Addresses of the join list that were reached."),
    G(seeds, "join_seeds", "Addresses of the join list."),
    G(pending, "client_pending_key_notifications",
      "Changed keys that watchers have not been told of."),
    METRIC_GAUGE_VEC_ROW(gossip_stats, tombstones, METRIC_PEER_NAME,
                         "memberlist_client_kv_store_value_tombstones", "key",
                         "Tombstones in the value of a key."),
    METRIC_COUNTER_VEC_ROW(gossip_stats, tombstones_removed, 0,
                           "memberlist_client_kv_store_value_tombstones_removed_total", "key",
                           "Expired tombstones removed from the value of a key."),
    METRIC_GAUGE_VEC_ROW(gossip_stats, queued, METRIC_PEER_NAME,
                         "memberlist_client_messages_in_broadcast_queue", "queue",
                         "Changes waiting to be told."),
    {.kind = METRIC_END},
};

/* How long a change takes, in seconds: from one hop to several push/pulls. */
static const double delays[] = {0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300};

static const struct metric_row tracker_rows[] = {
    METRIC_COUNTER_ROW(gossip_stats, beacons[0], METRIC_BARE,
                       "memberlist_propagation_tracker_beacons_published_total",
                       "Beacons that this member published."),
    METRIC_COUNTER_ROW(gossip_stats, beacons[1], METRIC_BARE,
                       "memberlist_propagation_tracker_beacons_received_total",
                       "Beacons of other members that this one saw for the first time."),
    METRIC_HISTOGRAM_ROW(gossip_stats, delay, METRIC_BARE,
                         "memberlist_propagation_tracker_delay_seconds",
                         "Age of a beacon of another member when it was first seen here.", delays,
                         sizeof delays / sizeof delays[0]),
    {.kind = METRIC_END},
};

static void on_delay(void *arg, double seconds)
{
    struct gossip_stats *s = arg;
    histogram_observe(s->delay, seconds);
}

int gossip_stats_track(struct gossip_stats *s, struct metrics *m, struct kv_tracker *tracker,
                       struct err *err)
{
    int rc = m == NULL ? 0 : metrics_register(m, tracker_rows, s, NULL, err);
    if (rc == 0)
        kv_tracker_observer(tracker, on_delay, s);
    return rc;
}

int gossip_stats_init(struct gossip_stats **out, struct metrics *m, struct err *err)
{
    struct gossip_stats *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return err_set(err, ERR_NOMEM, "gossip metrics");
    int rc = m == NULL ? 0 : metrics_register(m, rows, s, NULL, err);
    if (rc != 0) {
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void gossip_stats_free(struct gossip_stats **s)
{
    mem_free(*s);
    *s = NULL;
}

/* A counter takes the value that the core has counted to. */
static void copy(struct counter **to, size_t count, const uint64_t *from)
{
    for (size_t i = 0; i < count; i++)
        if (to[i] != NULL)
            atomic_store_explicit(&to[i]->value, from[i], memory_order_relaxed);
}

#define COPY(to, ...)                                                                          \
    do {                                                                                       \
        const uint64_t from[] = {__VA_ARGS__};                                                 \
        _Static_assert(sizeof from / sizeof from[0] == sizeof(to) / sizeof((to)[0]),           \
                       "one value for each counter");                                          \
        copy((to), sizeof from / sizeof from[0], from);                                        \
    } while (0)

void gossip_stats_update(struct gossip_stats *s, struct gossip_core *core,
                         const struct transport_stats *t)
{
    struct kv *kv = gossip_core_kv(core);
    const struct kv_stats *k = kv_stats(kv);
    const struct memberlist *machine = gossip_core_members(core);
    const struct memberlist_stats *m = memberlist_stats(machine);
    const struct members *table = memberlist_members(machine);
    const struct members_stats *n = members_stats(table);
    const struct kv_tracker *tracker = gossip_core_tracker(core);
    size_t at = 0, keys = 0;
    struct kv_key key;
    COPY(s->kv, k->received, k->received_bytes, k->received_invalid, k->pushed, k->pushed_bytes,
         k->pulled, k->pulled_bytes, k->cas_attempts, k->cas_successes, k->cas_failures,
         k->dropped_nomem, k->received_dropped, k->state_invalid,
         k->stray_dropped);
    COPY(s->ml, m->packets_bad, m->packets_foreign, m->packets_unknown, m->streams_bad,
         m->streams_refused, m->streams_timeout, m->streams_ok, m->merge_refused, m->probes,
         m->probes_failed, m->dropped_nomem, n->conflicts, n->refuted, n->ignored,
         m->packets_unlabelled, m->packets_misdirected, m->streams_foreign,
         m->streams_unanswered, m->unreachable, m->stream_pings_ok, n->own_conflicts, n->moved,
         n->renamed, n->turned_away, m->dropped_full);
    COPY(s->tcp, t->incoming_streams, t->outgoing_streams, t->outgoing_stream_errors,
         t->packets_received, t->packets_received_bytes, t->packets_received_errors,
         t->packets_sent, t->packets_sent_bytes, t->packets_sent_errors, t->packets_dropped,
         t->unknown_connections, t->http_connections, t->sent_bytes, t->received_bytes,
         t->connections_refused, t->connections_timeout, t->plain_mismatches, t->tls_handshakes,
         t->tls_resumed, t->tls_errors, t->tls_reloads, t->tls_reload_errors);
    gauge_set(s->connections, (double)t->connections);
    while (kv_next(kv, &at, &key)) {
        struct counter *removed = COUNTER_AT(s->tombstones_removed, key.key);
        keys++;
        gauge_set(GAUGE_AT(s->tombstones, key.key), (double)key.tombstones);
        copy(&removed, 1, &key.tombstones_removed);
    }
    gauge_set(s->pending, (double)kv_pending(kv));
    if (tracker != NULL)
        COPY(s->beacons, kv_tracker_stats(tracker)->published,
             kv_tracker_stats(tracker)->received);
    gauge_set(s->members, (double)members_active_count(table));
    gauge_set(s->health, members_awareness(table));
    gauge_set(s->keys, (double)keys);
    gauge_set(s->queued_bytes, (double)kv_queued_bytes(kv));
    gauge_set(s->reached, (double)join_reached(gossip_core_join(core)));
    gauge_set(s->seeds, (double)join_seeds(gossip_core_join(core)));
    gauge_set(GAUGE_AT(s->queued, STR("local")), (double)kv_queued_local(kv));
    gauge_set(GAUGE_AT(s->queued, STR("gossip")), (double)kv_queued_gossip(kv));
}
