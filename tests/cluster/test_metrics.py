"""What the binaries say of themselves at /metrics: the ring from every role, store, roster and memory of ingesters."""

import os
import re
import subprocess
import time

import pytest
import requests

from conftest import BIN
from emberring import labels, pprof

ROLES = ("distributor", "ingester", "querier")


def scrape(cluster, name):
    """{'name{labels}': value} of a process."""
    out = {}
    for line in requests.get(cluster.url(name) + "/metrics", timeout=5).text.splitlines():
        if not line.startswith("#"):
            key, value = line.rsplit(" ", 1)
            out[key] = float(value)
    return out


def test_every_role_counts_the_rings_members(shared):
    for role in ROLES:
        end = time.monotonic() + 20  # a role is ready before the gossip has told it of every ingester
        while (m := scrape(shared, role + "-0"))['pyroscope_ring_members{state="ACTIVE",name="ingester"}'] < 3 \
                and time.monotonic() < end:
            time.sleep(0.2)
        assert m['pyroscope_ring_members{state="ACTIVE",name="ingester"}'] == 3, role
        for state in ("LEAVING", "PENDING", "JOINING", "Unhealthy"):
            assert m['pyroscope_ring_members{state="%s",name="ingester"}' % state] == 0, (role, state)
        oldest = m['pyroscope_ring_oldest_member_timestamp{state="ACTIVE",name="ingester"}']
        assert 0 <= time.time() - oldest + 2 < 60, role
        assert m['pyroscope_ring_tokens_total{name="ingester"}'] == 3 * 128, role


def test_an_ingester_shows_its_log_and_its_roster(shared):
    end = time.monotonic() + 45  # what was established after it comes with the next exchange of rosters
    while (before := scrape(shared, "ingester-0"))['pyroscope_ingester_disks{state="established"}'] < 3:
        assert time.monotonic() < end, before
        time.sleep(0.2)
    assert before["pyroscope_ingester_writable"] == 1
    for state in ("new", "refused", "leaving", "left", "retired"):
        assert before['pyroscope_ingester_disks{state="%s"}' % state] == 0
    for i in range(3):
        shared.must_push([(labels("log"), [pprof({("a",): 1 + i})])])
    time.sleep(0.2)
    after = scrape(shared, "ingester-0")
    for name in ("pyroscope_ingester_wal_bytes", "pyroscope_ingester_wal_syncs_total", "pyroscope_ingester_wal_batches_total",
                 "pyroscope_ingester_wal_sync_seconds_total", "pyroscope_head_profiles_created_total"):
        assert after[name] > before[name], name
    for name in ("pyroscope_ingester_wal_corruptions", "pyroscope_ingester_wal_torn_tails", "pyroscope_ingester_wal_failures_total",
                 "pyroscope_ingester_appends_refused_no_space_total", "pyroscope_ingester_wal_replay_profiles"):
        assert after[name] == 0, name
    assert after["pyroscope_ingester_streams"] >= 1 and after["pyroscope_ingester_tenants"] == 1
    assert after['pyroscope_ingester_memory_bytes{use="heads"}'] > 0


def test_a_restart_shows_what_was_read_again_and_that_there_is_no_gap(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    for i in range(5):
        c.must_push([(labels("again"), [pprof({("a",): 1 + i})])])
    c.kill("ingester-0", "KILL")
    c.restart("ingester-0")
    m = scrape(c, "ingester-0")
    assert m["pyroscope_ingester_wal_replay_profiles"] == 5
    assert m["pyroscope_ingester_wal_replay_bytes"] > 0
    assert m["pyroscope_ingester_exact_lanes"] == 1
    assert m["pyroscope_ingester_exact_intervals"] == 1


def test_own_metrics_have_a_help_text_that_is_a_sentence(shared):
    for role in ROLES:
        text = requests.get(shared.url(role + "-0") + "/metrics", timeout=5).text
        for name, sentence in re.findall(r"^# HELP (pyroscope_\S+) (.*)$", text, re.M):
            assert sentence.endswith("."), name


# --- the peer's names -------------------------------------------------------------------------------
#
# What Pyroscope's dashboards look for, by the part of the name after the namespace: type, labels, and the roles
# that have it where that is not all. Those marked "later" have no series before something happens; they are checked
# when they are there. memberlist_client_watch_prefix_dropped_notifications is left out: nothing here watches a prefix.

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
PEERS_NAMES = [
    *[("memberlist_client_" + n, COUNTER, "", ROLES) for n in (
        "received_broadcasts_total", "received_broadcasts_bytes_total", "received_broadcasts_invalid_total",
        "received_broadcasts_dropped_total", "state_pushes_total", "state_pushes_bytes_total", "state_pulls_total",
        "state_pulls_bytes_total", "messages_to_broadcast_dropped_total", "cas_attempt_total", "cas_success_total",
        "cas_failure_total")],
    *[("memberlist_client_" + n, GAUGE, "", ROLES) for n in (
        "messages_in_broadcast_queue_bytes", "kv_store_count", "cluster_members_count", "cluster_node_health_score",
        "pending_key_notifications")],
    ("memberlist_client_messages_in_broadcast_queue", GAUGE, "queue", ROLES),
    ("memberlist_client_kv_store_value_tombstones", GAUGE, "key", ROLES),
    ("memberlist_client_kv_store_value_tombstones_removed_total", COUNTER, "key", "later"),
    *[("memberlist_tcp_transport_" + n, COUNTER, "", ROLES) for n in (
        "incoming_streams_total", "outgoing_streams_total", "outgoing_stream_errors_total", "packets_received_total",
        "packets_received_bytes_total", "packets_received_errors_total", "packets_sent_total",
        "packets_sent_bytes_total", "packets_sent_errors_total", "packets_dropped_total", "unknown_connections_total",
        "sent_bytes_total", "received_bytes_total")],
    ("ring_members", GAUGE, "name,state", ROLES),
    ("ring_oldest_member_timestamp", GAUGE, "name,state", ROLES),
    ("ring_tokens_total", GAUGE, "name", ROLES),
    ("ring_zone_members", GAUGE, "name,state,zone", ROLES),
    ("ring_member_heartbeats_total", COUNTER, "name", ("distributor",)),
    ("ring_member_tokens_owned", GAUGE, "name", ("distributor",)),
    ("ring_member_tokens_to_own", GAUGE, "name", ("distributor",)),
    ("member_consul_heartbeats_total", COUNTER, "name", ("ingester",)),
    ("shutdown_duration_seconds", HISTOGRAM, "name,op,status", "later"),
    ("lifecycler_read_only", GAUGE, "name", ("distributor", "ingester")),
    ("kv_request_duration_seconds", HISTOGRAM, "kv_name,operation,role,status_code,type", ROLES),
    ("dns_provider_results", GAUGE, "addr,name", ROLES),
    ("dns_lookups_total", COUNTER, "name", ROLES),
    ("dns_failures_total", COUNTER, "name", ROLES),
    ("request_duration_seconds", HISTOGRAM, "method,route,status_code,ws", ROLES),
    ("request_message_bytes", HISTOGRAM, "method,route", ROLES),
    ("response_message_bytes", HISTOGRAM, "method,route", ROLES),
    ("inflight_requests", GAUGE, "", ROLES),
    ("tcp_connections", GAUGE, "", ROLES),
]


def families(text):
    """{family: (type, {label names of its samples}, [label values])} of an exposition."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    out = {}
    for name, body in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? \S+$", text, re.M):
        family = next((n for n in (name, re.sub(r"_(bucket|sum|count)$", "", name)) if n in kinds), None)
        assert family, name
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', body))
        pairs.pop("le", None)
        kind, labels, values = out.setdefault(family, (kinds[family], set(), []))
        labels.add(",".join(sorted(pairs)))
        values.append(pairs)
    return out


@pytest.mark.parametrize("namespace", ["pyroscope", "phlare"])
def test_names_are_the_peers_in_both_namespaces(cluster, namespace):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--", f"-metrics.namespace={namespace}",
                "-distributor.zone-awareness-enabled", "-ingester.availability-zone=a",
                "-memberlist.join=localhost:1", "-ingester.heartbeat-period=1s", "-distributor.ring.heartbeat-period=1s")
    rings = {"ingester", "distributor"}
    end = time.monotonic() + 20
    while not all(scrape(c, r + "-0")['%s_ring_members{state="ACTIVE",name="%s"}' % (namespace, ring)] == 1
                  for r in ROLES for ring in rings):
        assert time.monotonic() < end
        time.sleep(0.2)
    for role in ROLES:
        seen = families(requests.get(c.url(role + "-0") + "/metrics", timeout=5).text)
        other = {"pyroscope": "phlare", "phlare": "pyroscope"}[namespace]
        assert not [n for n in seen if n.startswith(other)], role
        for name, kind, labels_wanted, roles in PEERS_NAMES:
            full = f"{namespace}_{name}"
            if full not in seen:
                assert roles == "later" or role not in roles, (role, full)
                continue
            assert roles == "later" or role in roles, (role, full)
            assert seen[full][0] == kind and seen[full][1] == {labels_wanted}, (role, full, seen[full][:2])

        def values(name, label):
            return {v[label] for v in seen[f"{namespace}_{name}"][2]}

        assert values("ring_members", "state") == {"ACTIVE", "LEAVING", "PENDING", "JOINING", "Unhealthy"}
        assert values("ring_oldest_member_timestamp", "state") == values("ring_members", "state")
        for name in ("ring_members", "ring_oldest_member_timestamp", "ring_tokens_total"):
            assert values(name, "name") == rings, (role, name)
        assert values("ring_zone_members", "zone") == {"a"}
        assert values("memberlist_client_messages_in_broadcast_queue", "queue") == {"gossip", "local"}
        kv = values("kv_request_duration_seconds", "kv_name")
        own = {f"{role}-lifecycler"} if role in rings else set()
        assert kv == {"ingester-ring", "distributor-ring"} | own, role
        assert values("kv_request_duration_seconds", "operation") == ({"GET", "CAS"} if own else {"GET"})
        assert values("dns_lookups_total", "name") == {"memberlist"}
        assert "localhost:1" in values("dns_provider_results", "addr")
        if role in rings:
            assert values("lifecycler_read_only", "name") == {role}


def test_another_namespace_is_refused():
    p = subprocess.run([os.path.join(BIN, "querier"), "-metrics.namespace=cortex"], capture_output=True, text=True,
                       timeout=10, check=False)
    assert p.returncode == 1 and "-metrics.namespace: cortex is not pyroscope or phlare" in p.stderr
