"""Nine processes at default settings: who dies, stops or comes back is known to all in time. And all of them at once
with new addresses find each other again."""

import concurrent.futures
import json
import os
import socket
import time

import pytest
import requests

from emberring import labels, pprof

GONE_S, BACK_S, STOPPED_S = 120, 30, 30
ROLES = ("distributor", "ingester", "querier")
NINE = ("--distributors", "3", "--ingesters", "3", "--queriers", "3")


def entries(c):
    return {e["name"]: e for role in ROLES for e in c.endpoints()[role]}


def get(c, name, path):
    r = requests.get(c.url(name) + path, headers={"Accept": "application/json"}, timeout=5)
    assert r.status_code == 200, (name, path, r.status_code)
    return r.json()


def members(c, name):
    """{name: address} of the memberlist as one process has it."""
    return {m["Name"]: f"{m['Addr']}:{m['Port']}" for m in get(c, name, "/memberlist")["SortedMembers"]}


def within(what, seconds, check):
    """Seconds that it took; check() gives what is wrong, or nothing."""
    began = time.monotonic()
    while wrong := check():
        assert time.monotonic() < began + seconds, (what, wrong)
        time.sleep(0.3)
    return time.monotonic() - began


def lists_differ(c, running):
    """What is wrong with the lists of those who run: each must have exactly these, where they are."""
    all_of = entries(c)
    want = {n: all_of[n]["gossip"] for n in running}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return [(n, got) for n, got in zip(running, pool.map(lambda n: members(c, n), running)) if got != want]


@pytest.mark.slow
def test_who_dies_stops_or_comes_back_is_known_to_all_nine(cluster):
    c = cluster(*NINE)
    all_nine = sorted(entries(c))
    within("all know all", BACK_S, lambda: lists_differ(c, all_nine))
    c.kill("distributor-1", "TERM")
    left = [n for n in all_nine if n != "distributor-1"]
    stopped = within("the stopped one is gone", STOPPED_S, lambda: lists_differ(c, left))
    c.restart("distributor-1")
    back = within("the stopped one is back", BACK_S, lambda: lists_differ(c, all_nine))
    c.kill("querier-2")
    left = [n for n in all_nine if n != "querier-2"]
    gone = within("the killed one is gone", GONE_S, lambda: lists_differ(c, left))
    c.restart("querier-2")
    again = within("the killed one is back", BACK_S, lambda: lists_differ(c, all_nine))
    print(f"stopped: gone in {stopped:.1f} s, back in {back:.1f} s; killed: gone in {gone:.1f} s, back in {again:.1f} s")


def rings_differ(c):
    """What is wrong with the rings: exactly those who run, ACTIVE, where they are."""
    wrong = []
    for path, role in (("/ring", "ingester"), ("/distributor/ring", "distributor")):
        want = {n: ("ACTIVE", e["http"]) for n, e in entries(c).items() if n.startswith(role)}
        for name in entries(c):
            got = {s["id"]: (s["state"], s["address"]) for s in get(c, name, path)["shards"] or []}
            if got != want:
                wrong.append((name, path, got))
    return wrong


def move(c, names):
    """Other addresses for these, which do not run: scripts/cluster starts them there."""
    path = os.path.join(c.dir, "cluster.json")
    with open(path, encoding="utf-8") as f:
        state = json.load(f)
    for e in state["processes"]:
        if e["name"] in names:
            for kind in ("http", "gossip"):
                with socket.socket() as s:
                    s.bind(("127.0.0.2", 0))
                    e[kind] = f"127.0.0.2:{s.getsockname()[1]}"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(state, f)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["at once", "one by one", "one by one, random names"])
def test_all_come_back_with_new_addresses(cluster, how):
    """As when a whole deployment is scheduled anew: every address is another one, and nobody was told goodbye. One by
    one, the first to come back meet those that still know their old addresses."""
    c = cluster(*NINE, "--", *(["-memberlist.randomize-node-name=true"] if "random" in how else []))
    within("the rings are whole", 30, lambda: rings_differ(c))
    before = entries(c)
    if how == "at once":
        for name in before:
            c.kill(name)
        move(c, before)
        c.tool("start")
    else:
        for name in sorted(before, key=lambda n: n[::-1]):  # the roles by turns
            c.kill(name)
            move(c, [name])
            c.restart(name)
    after = entries(c)
    assert not {e[k] for e in before.values() for k in ("http", "gossip")} & {
        e[k] for e in after.values() for k in ("http", "gossip")}
    took = within("the rings are right", 60, lambda: rings_differ(c))
    c.must_push([(labels(), [pprof({("a",): 1})])], distributor="distributor-2")
    assert c.total(querier="querier-1") == (1, "complete")
    print(f"{how}: the rings were right {took:.1f} s after the last one was ready")
