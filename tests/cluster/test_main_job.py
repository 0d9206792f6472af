"""The main job on the real binaries: what was acknowledged is counted exactly once, whatever was killed."""

import random
import threading
import time

import pytest

from emberring import labels, pprof

STACK = {("main", "work", "hot"): 70, ("main", "work"): 20, ("main", "idle"): 10}


def test_a_push_is_counted_in_the_first_answer(cluster):
    """A query begun after the 200 counts the profile, at every replication and compression of the body."""
    c = cluster()
    total = 0
    for i in range(10):
        c.must_push([(labels(), [pprof(STACK, time.time_ns() - i * 10**9)])], compress=i % 2 == 1)
        total += 100
        assert c.total() == (total, "complete")


def test_one_ingester_at_factor_one_survives_sigkill(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    c.must_push([(labels(), [pprof(STACK)])])
    assert c.total() == (100, "complete")
    c.kill("ingester-0")
    c.restart("ingester-0")
    assert wait_complete(c) == 100


def wait_complete(c, seconds=15, **kw):
    """Total of the first complete answer within the time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            total, how = c.total(**kw)
        except AssertionError as e:
            total, how = None, str(e)
        if how == "complete":
            return total
        assert time.monotonic() < deadline, how
        time.sleep(0.1)


def test_one_ingester_dead_stopped_or_fresh_from_a_restart_changes_no_answer(cluster):
    c = cluster()
    total = 0
    for i in range(5):
        c.must_push([(labels(), [pprof(STACK, time.time_ns() - i * 10**9)])])
        total += 100
    c.kill("ingester-1")
    assert c.total() == (total, "complete")
    c.must_push([(labels(), [pprof(STACK)])])
    total += 100
    assert c.total() == (total, "complete")
    c.restart("ingester-1")
    assert c.total() == (total, "complete")
    c.kill("ingester-2", "STOP")
    began = time.monotonic()
    assert c.total() == (total, "complete")
    assert time.monotonic() - began < 5
    c.must_push([(labels(), [pprof(STACK)])])
    total += 100
    assert c.total() == (total, "complete")
    c.kill("ingester-2", "CONT")
    assert wait_complete(c) == total


def test_two_dead_ingesters_make_an_answer_uncertain_and_say_who(cluster):
    c = cluster()
    c.must_push([(labels(), [pprof(STACK)])])
    c.kill("ingester-0")
    c.kill("ingester-1")
    total, how = c.total()
    assert how.startswith("uncertain") and "silent" in how, how
    assert "ingester-0" in how and "ingester-1" in how, how
    assert total in (0, 100)
    r = c.push([(labels(), [pprof(STACK)])], timeout=30)
    assert r.status_code in (500, 503), r.text
    c.restart("ingester-0")
    c.restart("ingester-1")
    assert wait_complete(c) in (100, 200)


def test_everything_sent_twice_through_different_distributors_counts_once(cluster):
    c = cluster("--distributors", "2")
    total = 0
    for i in range(10):
        body = [(labels(pod=f"p{i % 3}"), [pprof(STACK, time.time_ns() - i * 10**9)])]
        for d in ("distributor-0", "distributor-1", "distributor-0"):
            c.must_push(body, distributor=d)
        total += 100
    assert c.total() == (total, "complete")
    c.kill("ingester-0")
    assert c.total() == (total, "complete")


def test_equal_series_and_time_with_different_bytes_stay_two(shared):
    t = time.time_ns()
    shared.must_push([(labels("two"), [pprof({("a",): 1}, t)])])
    shared.must_push([(labels("two"), [pprof({("b",): 2}, t)])])
    assert shared.total('{service_name="two"}') == (3, "complete")


class Pusher(threading.Thread):
    """Pushes one profile after the other; knows what was acknowledged and what was merely tried."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number, self.stopping = cluster, number, threading.Event()
        self.acknowledged = self.unclear = 0

    def run(self):
        i = 0
        while not self.stopping.is_set():
            i += 1
            body = [(labels(pusher=str(self.number)), [pprof(STACK, time.time_ns())])]
            distributor = f"distributor-{i % 2}"
            try:
                ok = self.cluster.push(body, distributor=distributor, timeout=15).status_code == 200
                if not ok and i % 3 == 0:  # some clients try again
                    ok = self.cluster.push(body, distributor=distributor, timeout=15).status_code == 200
            except OSError:
                ok = False
            if ok:
                self.acknowledged += 100
            else:
                self.unclear += 100
            time.sleep(0.01)


def kills(c, count, seed):
    """Pushes run on while ingesters die and return; then nothing acknowledged is missing or doubled."""
    rng = random.Random(seed)
    pushers = [Pusher(c, n) for n in range(3)]
    for p in pushers:
        p.start()
    for _ in range(count):
        time.sleep(rng.uniform(0.05, 0.4))
        victims = rng.choice([["ingester-0"], ["ingester-1"], ["ingester-2"],
                              ["ingester-0", "ingester-1", "ingester-2"]])
        for v in victims:
            c.kill(v)
        time.sleep(rng.uniform(0, 0.2))
        for v in victims:
            c.restart(v)
    time.sleep(0.3)
    for p in pushers:
        p.stopping.set()
    for p in pushers:
        p.join(40)
    low = sum(p.acknowledged for p in pushers)
    high = low + sum(p.unclear for p in pushers)
    assert low > 0
    total = wait_complete(c)
    assert low <= total <= high, (low, total, high)
    for n in range(3):  # with any one of them away what was not acknowledged may count, the rest must
        c.kill(f"ingester-{n}")
        total = wait_complete(c)
        assert low <= total <= high, (low, total, high)
        c.restart(f"ingester-{n}")


def test_ten_kills_under_load_lose_nothing_and_double_nothing(cluster):
    kills(cluster("--distributors", "2"), 10, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_two_hundred_kills_under_load(cluster, seed):
    kills(cluster("--distributors", "2"), 10, 100 + seed)


def test_a_whole_cluster_killed_and_started_again_has_it_all(cluster):
    c = cluster()
    for i in range(5):
        c.must_push([(labels(), [pprof(STACK, time.time_ns() - i * 10**9)])])
    for name in ("ingester-0", "ingester-1", "ingester-2", "querier-0", "distributor-0"):
        c.kill(name)
    c.start()
    assert wait_complete(c) == 500
    c.stop()
    c.start()
    assert wait_complete(c) == 500
