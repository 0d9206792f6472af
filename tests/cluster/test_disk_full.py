"""A full disk: pushes are refused by name, reads go on, and room heals it without a restart."""

import os
import random
import subprocess
import time

import pytest
import requests

from emberring import labels, num, pprof

MIB = 1 << 20
T0 = time.time_ns() - 600 * 10**9


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(ingester, MiB): the ingester of the cluster that is started next has a disk of that size, or from now
    on another. Needs root."""
    mounted = []

    def mount(name, size):
        path = str(tmp_path / "cluster0" / name)
        if path in mounted:
            subprocess.run(["mount", "-o", f"remount,size={size}m", path], check=True, timeout=10)
            return
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        os.makedirs(path)
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "emberring-test", path], capture_output=True,
                           text=True, timeout=10, check=False)
        if p.returncode:
            pytest.skip("a small disk cannot be mounted here: " + p.stderr.strip())
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True, timeout=10)


class Heavy:
    """Pushes of about a MiB of log each, quickly made: values of six bytes, which nothing packs."""

    def __init__(self, profiles=8, samples=12000):
        rng = random.Random(7)
        self.stacks = {("main", f"f{i % 100}", f"g{i}"): 2**36 + rng.randrange(2**36) for i in range(samples)}
        self.each, self.profiles, self.made = sum(self.stacks.values()), profiles, 0
        head = pprof(self.stacks, time_ns=1)
        tail = num(9, 1) + num(10, 10 * 10**9)  # as pprof() writes it: the time, then the duration
        at = head.rindex(tail)
        self.parts = head[:at], num(10, 10 * 10**9) + head[at + len(tail):]

    def push(self):
        """The series of one push, and what it adds up to."""
        out = []
        for _ in range(self.profiles):
            self.made += 1
            out.append(self.parts[0] + num(9, T0 + self.made * 10**6) + self.parts[1])
        return [(labels("heavy"), out)], self.each * self.profiles


def free_of(disk):
    st = os.statvfs(disk)
    return st.f_bavail * st.f_frsize


def wait_for_ring(c, count):
    """Until the distributor sees all ingesters ACTIVE: then each push goes to all of them."""
    deadline = time.monotonic() + 20
    while requests.get(c.url("distributor-0") + "/ring", headers={"Accept": "application/json"}, timeout=5).text.count("ACTIVE") < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_disk_that_fills_up_refuses_by_name_and_heals(small_disk, cluster):
    small_disk("ingester-0", 90)  # one log segment of 64 MiB, and no second
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    entry = c.endpoints()["ingester"][0]
    heavy, total = Heavy(), 0
    for _ in range(200):
        series, adds = heavy.push()
        r = c.push(series)
        if r.status_code != 200:
            break
        total += adds
    assert r.status_code == 503, (r.status_code, r.text, total)
    assert "no space left" in r.text and entry["data"] in r.text, r.text
    assert heavy.made * 6 * 12000 > 40 * MIB  # it was the room that ran out, and nothing else before

    small = (labels("small"), [pprof({("a",): 5}, time_ns=T0)])
    for _ in range(3):  # it stays so, quickly and by name; what is there is read
        began = time.monotonic()
        again = c.push(series)
        assert again.status_code == 503 and "no space left" in again.text
        assert time.monotonic() - began < 2
        assert c.total('{service_name="heavy"}') == (total, "complete")
    log = dict(c.logs(400))["ingester-0"]
    assert "no new log segment" in log and "free_bytes" in log

    small_disk("ingester-0", 400)
    deadline = time.monotonic() + 10
    while (r := c.push(series)).status_code != 200:
        assert time.monotonic() < deadline, (r.status_code, r.text, free_of(entry["data"]))
        time.sleep(0.2)
    c.must_push([small])
    assert c.total('{service_name="heavy"}') == (total + adds, "complete")
    assert c.total('{service_name="small"}') == (5, "complete")
    assert c.endpoints()["ingester"][0]["pid"] == entry["pid"]

    c.kill("ingester-0")
    c.restart("ingester-0")
    assert c.total('{service_name="heavy"}') == (total + adds, "complete")


def test_one_full_disk_of_three_costs_nothing(small_disk, cluster):
    small_disk("ingester-1", 40)  # not even its first segment fits
    c = cluster()
    wait_for_ring(c, 3)
    for i in range(20):
        c.must_push([(labels(f"s{i % 5}"), [pprof({("a",): 1}, time_ns=T0 + i)])])
        assert c.total("{}") == (i + 1, "complete")
    assert "no new log" in dict(c.logs(400))["ingester-1"]

    small_disk("ingester-1", 200)
    time.sleep(2.5)  # it tries once in a second
    c.kill("ingester-2")
    deadline = time.monotonic() + 20  # now each push needs the one that was full
    while (r := c.push([(labels("s0"), [pprof({("a",): 1}, time_ns=T0 + 1000)])])).status_code != 200:
        assert time.monotonic() < deadline, (r.status_code, r.text)
        time.sleep(0.2)
    assert c.total("{}") == (21, "complete")


def test_a_start_on_a_full_disk_reads_and_waits_for_room(small_disk, cluster):
    small_disk("ingester-0", 90)
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    c.must_push([(labels("s"), [pprof({("a",): 7}, time_ns=T0)])])
    data = c.endpoints()["ingester"][0]["data"]
    c.kill("ingester-0")
    with open(os.path.join(data, "filler"), "wb") as f:
        os.posix_fallocate(f.fileno(), 0, free_of(data))
    c.restart("ingester-0")
    deadline = time.monotonic() + 10  # until the distributor has heard of the new start
    while "no space left" not in (r := c.push([(labels("s"), [pprof({("b",): 8}, time_ns=T0 + 1)])])).text:
        assert r.status_code == 503 and time.monotonic() < deadline, (r.status_code, r.text)
        time.sleep(0.2)
    assert r.status_code == 503
    assert c.total('{service_name="s"}') == (7, "complete")
    os.unlink(os.path.join(data, "filler"))
    small_disk("ingester-0", 200)
    deadline = time.monotonic() + 10
    while (r := c.push([(labels("s"), [pprof({("b",): 8}, time_ns=T0 + 1)])])).status_code != 200:
        assert time.monotonic() < deadline, (r.status_code, r.text)
        time.sleep(0.2)
    assert c.total('{service_name="s"}') == (15, "complete")
