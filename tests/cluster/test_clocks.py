"""Disaster: a clock ahead, one behind, one that jumps. Pushes and answers go on, everybody says once whose clock it is,
and the ring is right again soon after the clock is."""

import os
import re
import shutil
import struct
import subprocess
import time

import pytest
import requests

from conftest import ROOT
from emberring import labels, pprof

SOON_S = 60  # to be right again, in full


class Clock:
    """The wall clock of processes that start with env: off by `shift` seconds, from one moment to the next."""

    def __init__(self, directory, name, library):
        self.path = os.path.join(directory, f"clock-{name}")
        self.set(0)
        self.env = {"LD_PRELOAD": library, "CLOCK_SHIFT_FILE": self.path}

    def set(self, shift):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=q", shift))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    cc = shutil.which("cc") or shutil.which("gcc")
    out = str(tmp_path_factory.mktemp("clock") / "clock_shift.so")
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", out, os.path.join(ROOT, "tests", "cluster", "clock_shift.c"),
                    "-ldl"], check=True)
    return out


def processes(c):
    return [e["name"] for role in c.endpoints().values() for e in role]


def states(c, name):
    r = requests.get(c.url(name) + "/ring", headers={"Accept": "application/json"}, timeout=5)
    return {s["id"]: s["state"] for s in r.json()["shards"] or []}


def until(what, seconds, check):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, (what, check())
        time.sleep(0.2)


def told(c, about, word):
    """{process: how often its log says that the clock of `about` is ahead or behind}."""
    line = re.compile(r"a member's clock is %s.*id=%s " % (word, about))
    return {name: sum(1 for l in text.splitlines() if line.search(l)) for name, text in c.logs(100000)}


def skews(c, name):
    text = requests.get(c.url(name) + "/metrics", timeout=5).text
    return int(re.search(r'^pyroscope_ring_clock_skews_total\{name="ingester"\} (\d+)$', text, re.M)[1])


def clocks(cluster, tmp_path, library, shift, flags, news_s):
    c = cluster("--distributors", "2", *flags)
    clock = Clock(str(tmp_path), "a", library)
    pushed = 0

    def works():
        """A push through each distributor, and an exact answer."""
        nonlocal pushed
        for d in ("distributor-0", "distributor-1"):
            pushed += 1
            c.must_push([(labels(), [pprof({("a",): 1}, time.time_ns() - pushed * 10**6)])], distributor=d)
        assert c.total() == (pushed, "complete")

    def whole(members):
        return lambda: all(states(c, n) == {m: "ACTIVE" for m in members} for n in processes(c))

    three = {"ingester-0", "ingester-1", "ingester-2"}
    works()
    # ahead from its start
    clock.set(shift)
    c.kill("ingester-2")
    c.restart("ingester-2", clock.env)
    others = [n for n in processes(c) if n != "ingester-2"]
    until("all others name it", news_s, lambda: all(told(c, "ingester-2", "ahead")[n] == 1 for n in others))
    assert all(skews(c, n) == 1 for n in others)
    works()
    # it jumps back: nothing new to say about it
    clock.set(0)
    until("the ring is right", SOON_S, whole(three))
    works()
    # it leaves with its clock ahead, and comes back with a right one
    clock.set(shift)
    time.sleep(news_s / 2)
    c.kill("ingester-2", "TERM")
    c.restart("ingester-2")
    until("the ring is right", SOON_S, whole(three))
    works()
    # a new one is behind: nobody takes it for alive, everybody says why
    clock.set(-shift)
    c.tool("add", "ingester", env=clock.env, check=False)
    others = [n for n in processes(c) if n != "ingester-3"]
    until("all others name it", 3 * news_s, lambda: all(told(c, "ingester-3", "behind")[n] == 1 for n in others))
    assert all(states(c, n)["ingester-3"] == "UNHEALTHY" for n in others)
    assert "our clock is far from those of most members" in dict(c.logs(100000))["ingester-3"]
    works()
    clock.set(0)
    until("the ring is right", SOON_S, whole(three | {"ingester-3"}))
    works()
    for n in others:  # and none of it was said twice
        assert told(c, "ingester-3", "behind")[n] == 1 and told(c, "ingester-2", "behind")[n] == 0


@pytest.mark.slow
def test_clocks_half_a_minute_off(cluster, tmp_path, library):
    clocks(cluster, tmp_path, library, 30, ("--", "-ingester.heartbeat-period=1s", "-ring.heartbeat-timeout=6s"), 15)


@pytest.mark.long
def test_clocks_five_minutes_off(cluster, tmp_path, library):
    clocks(cluster, tmp_path, library, 300, (), 40)
