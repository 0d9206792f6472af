"""What happens when something is wrong around a process: a peer that hangs, a full disk, signals at bad moments,
a configuration that does not fit the data."""

import concurrent.futures
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import BIN
from emberring import CPU, labels, pprof, push_request


def metric(c, process, name):
    """Sum of a metric's samples."""
    text = requests.get(c.url(process) + "/metrics", timeout=5).text
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.M)
    assert found, name
    return sum(float(v) for v in found)


def large(i, rows=600):
    """A profile whose symbols nobody saw before: its form is about as large as itself."""
    return pprof({(f"main{i}", f"very.long.function.name.of.{i}.and.{k}"): 1 for k in range(rows)},
                 time.time_ns() - i * 10**6)


def until(what, seconds, every=0.1):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(every)


def no_trace_of_a_crash(c):
    for name, text in c.logs(2000):
        assert not re.search("assertion|Sanitizer|never answered|closed cleanly", text), (name, text[-3000:])


def test_what_waits_for_a_stopped_ingester_is_bounded(cluster):
    """Pushes go on at quorum; what is not sent to the one that hangs is counted, and read from the others."""
    c = cluster("--distributor-flag", "-distributor.ingester-inflight-bytes=256KiB",
                "--distributor-flag", "-distributor.push.timeout=3s")
    c.kill("ingester-2", "STOP")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: c.push([(labels(), [large(i)])]).status_code, range(40)))
    assert answers == [200] * 40
    shed = metric(c, "distributor-0", "pyroscope_distributor_ingester_appends_shed_total")
    assert 20 <= shed < 40  # the first few were sent
    assert c.total() == (40 * 600, "complete")
    c.kill("ingester-2", "CONT")
    until(lambda: metric(c, "distributor-0", "pyroscope_distributor_ingester_appends_inflight") == 0, 10)
    c.must_push([(labels(), [large(99)])])
    assert metric(c, "distributor-0", "pyroscope_distributor_ingester_appends_shed_total") == shed
    assert c.total() == (41 * 600, "complete")


def test_a_push_that_two_hanging_ingesters_keep_from_its_quorum_fails_in_time(cluster):
    c = cluster("--distributor-flag", "-distributor.push.timeout=1s")
    c.must_push([(labels(), [pprof({("a",): 1})])])
    c.kill("ingester-1", "STOP")
    c.kill("ingester-2", "STOP")
    began = time.monotonic()
    r = c.push([(labels(), [pprof({("a",): 2})])])
    assert r.status_code == 503 and r.json()["code"] == "unavailable", r.text
    assert 0.5 < time.monotonic() - began < 4
    c.kill("ingester-1", "CONT")
    c.kill("ingester-2", "CONT")


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for two segments of the log, 64 MiB each."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(path)], check=False,
                                           capture_output=True).returncode:
        pytest.skip("a file system of its own needs root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path):
    """A file that takes all room that is left."""
    with open(path, "ab", buffering=0) as f:
        try:
            while True:
                f.write(bytes(65536))
        except OSError:
            pass


def test_stops_and_starts_on_a_full_disk_are_clean_and_it_heals(cluster, small_disk):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--ingester-flag", f"-pyroscopedb.data-path={small_disk}")
    c.must_push([(labels(), [pprof({("a",): 5})])])
    fill(small_disk / "filler")
    c.must_push([(labels(), [pprof({("a",): 6})])])  # the log has its room already
    for how in ("KILL", "TERM"):
        c.kill("ingester-0", how)
        fill(small_disk / "filler")  # also what the log gave back
        c.restart("ingester-0")
        until(lambda: c.total() == (11, "complete"), 15)

        def refused_for_the_disk():
            r = c.push([(labels(), [pprof({("lost",): 1})])])
            assert r.status_code == 503 and r.json()["code"] == "unavailable", (r.status_code, r.text)
            return "no space left" in r.text  # at first the ring may not show it as ACTIVE
        until(refused_for_the_disk, 10)
    (small_disk / "filler").unlink()
    until(lambda: c.push([(labels(), [pprof({("healed",): 7})])]).status_code == 200, 15)
    assert c.total() == (18, "complete")
    no_trace_of_a_crash(c)


def test_a_querier_that_is_told_to_end_does_not_wait_for_hanging_ingesters(cluster):
    c = cluster("--querier-flag", "-server.graceful-shutdown-timeout=1s")
    c.must_push([(labels(), [pprof({("a",): 1})])])
    for i in range(3):
        c.kill(f"ingester-{i}", "STOP")
    url = c.url("querier-0")
    now = int(time.time() * 1000)
    answers = []

    def ask(path, **kw):
        try:
            answers.append(requests.request("POST" if "json" in kw else "GET", url + path, timeout=60, **kw).status_code)
        except requests.RequestException as e:
            answers.append(e)

    body = {"start": now - 3600_000, "end": now, "labelSelector": "{}", "profileTypeID": CPU}
    threads = [threading.Thread(target=ask, args=("/querier.v1.QuerierService/SelectMergeStacktraces",),
                                kwargs={"json": body}) for _ in range(8)]
    threads += [threading.Thread(target=ask, args=(f"/pyroscope/render?query={CPU}{{}}&from=now-1h",)) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    began = time.monotonic()
    c.kill("querier-0", "TERM")
    assert time.monotonic() - began < 8
    for t in threads:
        t.join()
    assert all(isinstance(a, int) and a in (200, 503, 504) for a in answers), answers
    for i in range(3):
        c.kill(f"ingester-{i}", "CONT")
    no_trace_of_a_crash(c)


def test_sigterm_under_load_answers_what_was_taken_and_loses_nothing(cluster):
    """Every push has an answer or a connection that was refused; what was acknowledged is there afterwards."""
    c = cluster("--distributors", "2")
    acked, strange, stop = [], [], threading.Event()

    def feed(k):
        session, n = requests.Session(), 0
        while not stop.is_set():
            n += 1
            try:
                r = session.post(urls[k % 2] + "/push.v1.PusherService/Push", timeout=20,
                                 headers={"Content-Type": "application/proto"},
                                 data=push_request([(labels(), [pprof({(f"f{k}",): 1}, time.time_ns())])]))
                if r.status_code == 200:
                    acked.append(1)
                elif r.status_code != 503:
                    strange.append((r.status_code, r.text))
            except requests.ConnectionError:
                session = requests.Session()
                time.sleep(0.01)

    urls = [c.url("distributor-0"), c.url("distributor-1")]
    threads = [threading.Thread(target=feed, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    try:
        for name in ("distributor-1", "ingester-1"):
            time.sleep(0.4)
            c.kill(name, "TERM")
            c.restart(name)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not strange, strange[:3]
    assert len(acked) > 50
    until(lambda: c.total()[1] == "complete", 15)
    assert c.total()[0] >= len(acked)
    no_trace_of_a_crash(c)


@pytest.mark.long
def test_a_hanging_distributor_is_passed_over_by_the_querier(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--distributors", "2", "--querier-flag",
                "-querier.forward-writes-to={distributors}")
    c.kill("distributor-0", "STOP")
    for _ in range(2):  # in turn: one of them begins with the one that hangs
        c.must_push([(labels(), [pprof({("a",): 4})])], distributor="querier-0", timeout=40)
    c.kill("distributor-0", "CONT")
    until(lambda: c.total()[0] >= 8, 10)
    assert c.total() == (8, "complete")


@pytest.mark.parametrize("role", ["distributor", "ingester", "querier"])
def test_sigterm_at_any_moment_of_a_start_ends_it_cleanly(role, tmp_path):
    rng = random.Random(7)
    for i in range(8):
        p = subprocess.Popen([os.path.join(BIN, role), "-server.http-listen-address=127.0.0.1",
                              "-server.http-listen-port=0", "-memberlist.bind-addr=127.0.0.1",
                              "-memberlist.bind-port=0", f"-pyroscopedb.data-path={tmp_path}/d"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(rng.choice([0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2]))
        p.send_signal(signal.SIGTERM)
        out, _ = p.communicate(timeout=20)
        assert p.returncode in (0, -signal.SIGTERM), (i, p.returncode, out)
        assert "assertion" not in out and "Sanitizer" not in out, out


def test_another_replication_factor_is_refused_by_name(cluster, tmp_path):
    c = cluster()
    c.must_push([(labels(), [pprof({("a",): 1})])])
    e = {x["name"]: x for role in c.endpoints().values() for x in role}
    swap = lambda args: [a.replace("replication-factor=3", "replication-factor=2") for a in args]
    # A distributor of another factor gets nothing stored, and says why.
    args = [a for a in swap(e["distributor-0"]["args"]) if "port" not in a and "nodename" not in a]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    args = [a for a in args if "instance-id" not in a]
    with open(tmp_path / "factor.log", "w", encoding="utf-8") as log:
        p = subprocess.Popen([os.path.join(BIN, "distributor"), *args, f"-server.http-listen-port={port}",
                              "-memberlist.bind-port=0", f"-memberlist.join={e['ingester-0']['gossip']}",
                              "-distributor.ring.instance-id=of-two"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        def ready():
            try:
                return requests.get(f"http://127.0.0.1:{port}/ready", timeout=1).status_code == 200
            except requests.ConnectionError:
                return False
        until(ready, 15)
        r = requests.post(f"http://127.0.0.1:{port}/push.v1.PusherService/Push", timeout=20,
                          headers={"Content-Type": "application/proto"},
                          data=push_request([(labels(), [pprof({("b",): 1})])]))
        assert r.status_code == 503 and "founded with 3" in r.text, (r.status_code, r.text)
        said = [line for line in open(tmp_path / "factor.log", encoding="utf-8") if "pushes are refused" in line]
        assert len(said) == 1 and all(x in said[0] for x in (
            "level=warn", "-distributor.replication-factor", "founded with 3, not 2")), said
    finally:
        p.terminate()
        assert p.wait(20) == 0
    # An ingester does not start with it.
    c.kill("ingester-0", "TERM")
    p = subprocess.run([os.path.join(BIN, "ingester"), *swap(e["ingester-0"]["args"])], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=40, check=False)
    assert p.returncode == 1 and "replication factor" in p.stderr, (p.returncode, p.stderr)
    c.restart("ingester-0")
    assert c.total() == (1, "complete")


def test_two_distributors_of_one_ring_id_say_so_in_ready(cluster, tmp_path):
    c = cluster("--", "-distributor.ring.heartbeat-period=1s")
    distributor, ingester = c.endpoints()["distributor"][0], c.endpoints()["ingester"][0]
    args = [a for a in distributor["args"] if "port" not in a and "nodename" not in a]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(tmp_path / "twin.log", "w", encoding="utf-8") as log:
        p = subprocess.Popen([os.path.join(BIN, "distributor"), *args, f"-server.http-listen-port={port}",
                              "-memberlist.bind-port=0", f"-memberlist.join={ingester['gossip']}",
                              "-distributor.ring.heartbeat-period=1300ms"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        def said():
            try:
                r = requests.get(f"http://127.0.0.1:{port}/ready", timeout=1)
            except requests.ConnectionError:
                return ""
            return f"{r.status_code} {r.text}"
        text = f"503 distributor not ready: {distributor['http']} has the same ring id distributor-0"
        until(lambda: said().startswith(text), 40)
        assert "another process has this ring id" in open(tmp_path / "twin.log", encoding="utf-8").read()
    finally:
        p.terminate()
        assert p.wait(20) == 0


def test_ipv6(cluster, tmp_path):
    """A cluster on ::1 alone: the ring's addresses are ones that can be called."""
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    ports = []
    for _ in range(4):
        s = socket.socket(socket.AF_INET6)
        s.bind(("::1", 0))
        ports.append((s, s.getsockname()[1]))
    for s, _ in ports:
        s.close()
    ports = [p for _, p in ports]
    processes = []
    try:
        for role, http, gossip in (("ingester", ports[0], ports[1]), ("distributor", ports[2], ports[3])):
            processes.append(subprocess.Popen(
                [os.path.join(BIN, role), "-server.http-listen-address=::1", f"-server.http-listen-port={http}",
                 "-memberlist.bind-addr=::1", f"-memberlist.bind-port={gossip}", f"-memberlist.join=[::1]:{ports[1]}",
                 f"-pyroscopedb.data-path={tmp_path}/v6", "-ingester.bootstrap-quiet=100ms",
                 "-ingester.lifecycler.ID=six"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=open(tmp_path / f"{role}.log", "w", encoding="utf-8")))

        def ready(port):
            try:
                return requests.get(f"http://[::1]:{port}/ready", timeout=1).status_code == 200
            except requests.ConnectionError:
                return False
        until(lambda: ready(ports[0]) and ready(ports[2]), 20)
        r = requests.post(f"http://[::1]:{ports[2]}/push.v1.PusherService/Push", timeout=20,
                          headers={"Content-Type": "application/proto"},
                          data=push_request([(labels(), [pprof({("b",): 1})])]))
        assert r.status_code == 200, r.text
    finally:
        for p in processes:
            p.terminate()
        assert [p.wait(20) for p in processes] == [0, 0], [open(tmp_path / f"{r}.log").read()[-2000:]
                                                          for r in ("ingester", "distributor")]
