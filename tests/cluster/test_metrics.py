"""What the binaries say of themselves at /metrics: the ring from every role, store, roster and memory of ingesters."""

import re
import time

import requests

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
