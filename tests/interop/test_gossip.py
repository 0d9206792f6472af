"""One cluster of our members and members made of dskit and its memberlist, both ways.

gossip-peer is the Go side, gossip_node.c ours; both take dskit's flags and the same lines on standard input.
Needs Go 1.25 or newer and the module proxy; skipped, by name, where they are absent."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


@pytest.fixture(scope="module")
def peer(go_program):
    return go_program("gossip-peer")


@pytest.fixture(scope="module")
def ours():
    binary = os.path.join("build", "plain", "tests", "interop", "gossip_node")
    with open(os.path.join(ROOT, "build", "interop.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several of us run at a time
        p = subprocess.run(["make", "-s", binary], cwd=ROOT, capture_output=True, text=True, check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    return os.path.join(ROOT, binary)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Member:
    def __init__(self, binary, name, log, join=(), flags=()):
        self.name, self.port, self.log = name, free_port(), log
        args = [binary, f"-memberlist.nodename={name}", "-memberlist.randomize-node-name=false",
                "-memberlist.bind-addr=127.0.0.1", f"-memberlist.bind-port={self.port}",
                "-memberlist.advertise-addr=127.0.0.1", f"-memberlist.advertise-port={self.port}",
                "-memberlist.pullpush-interval=60s", "-memberlist.rejoin-interval=2s"]
        args += [f"-memberlist.join=127.0.0.1:{m.port}" for m in join] + list(flags)
        with open(log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True)
        assert self.answer() == "ready"

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"{self.name} ended"
        return json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def world(tmp_path, peer, ours):
    members = []

    def start(kind, name, join=(), flags=()):
        m = Member(peer if kind == "go" else ours, name, tmp_path / f"{name}-{len(members)}.log", join, flags)
        members.append(m)
        return m

    yield start
    for m in members:
        if m.process.poll() is None:
            m.process.send_signal(signal.SIGCONT)
            m.kill()


def wait(what, timeout, check):
    end = time.time() + timeout
    while time.time() < end:
        if check():
            return
        time.sleep(0.1)
    assert check(), what


def all_see(members, names, timeout=10):
    wait(f"all list {sorted(names)}", timeout, lambda: all(sorted(m.ask("members")) == sorted(names) for m in members))


def all_get(members, value, timeout=5):
    wait(f"all have {value}", timeout, lambda: all(m.ask("get") == value for m in members))


@pytest.mark.parametrize("first,second", [("go", "ours"), ("ours", "go"), ("ours", "ours")])
def test_join_and_key_in_both_directions(world, first, second):
    a = world(first, "a")
    b = world(second, "b", [a])
    all_see([a, b], ["a", "b"])
    assert a.ask("set x 1") == "ok"
    all_get([a, b], {"x": 1})
    assert b.ask("set y 2") == "ok"
    all_get([a, b], {"x": 1, "y": 2})
    time.sleep(1.1)
    assert b.ask("set x 3") == "ok"
    all_get([a, b], {"x": 3, "y": 2})


@pytest.mark.parametrize("kind", ["go", "ours"])
def test_state_is_there_after_joining(world, kind):
    a = world("ours" if kind == "go" else "go", "a")
    for i in range(200):
        assert a.ask(f"set n{i} {i}") == "ok"
    b = world(kind, "b", [a])
    all_get([b], {f"n{i}": i for i in range(200)}, 10)


def test_a_tombstone_crosses(world):
    a = world("go", "a")
    b = world("ours", "b", [a])
    assert a.ask("set x 1") == "ok" and a.ask("set y 1") == "ok"
    all_get([a, b], {"x": 1, "y": 1})
    time.sleep(1.1)
    assert b.ask("drop x") == "ok"
    all_get([a, b], {"y": 1})
    time.sleep(1.1)
    assert a.ask("drop y") == "ok"
    all_get([a, b], {})


@pytest.mark.parametrize("leaver", ["go", "ours"])
def test_leaving_is_seen_at_once(world, leaver):
    a, b = world("go", "a"), None
    b = world("ours", "b", [a])
    c = world(leaver, "c", [a, b])
    all_see([a, b, c], ["a", "b", "c"])
    assert c.ask("leave") == "left"
    all_see([a, b], ["a", "b"], 5)


def test_we_stay_alive_under_probing(world):
    """dskit probes every 5 s: it must go on seeing us, and know no suspicion."""
    a = world("go", "a")
    b = world("ours", "b", [a])
    c = world("go", "c", [a])
    all_see([a, b, c], ["a", "b", "c"])
    end = time.time() + 22
    while time.time() < end:
        assert sorted(a.ask("members")) == sorted(c.ask("members")) == ["a", "b", "c"]
        time.sleep(0.5)
    assert "refuting" not in b.log.read_text(encoding="utf-8")


def test_a_crash_is_found_out(world):
    """The suspicion of 3 lasts 20 to 120 s; ours and theirs must agree in the end."""
    a, b = world("go", "a"), None
    b = world("ours", "b", [a])
    c = world("ours", "c", [a])
    d = world("go", "d", [a])
    all_see([a, b, c, d], ["a", "b", "c", "d"])
    c.kill()
    d.kill()
    all_see([a, b], ["a", "b"], 130)


@pytest.mark.parametrize("kind", ["go", "ours"])
def test_a_restarted_member_comes_back_under_its_name(world, kind):
    a, b = world("go", "a"), None
    b = world("ours", "b", [a])
    flags = ()
    c = world(kind, "c", [a, b], flags)
    all_see([a, b, c], ["a", "b", "c"])
    c.kill()
    port = c.port
    again = world(kind, "c", [a, b], [f"-memberlist.bind-port={port}", f"-memberlist.advertise-port={port}"])
    assert again.ask("set z 9") == "ok"
    all_get([a, b], {"z": 9})
    all_see([a, b, again], ["a", "b", "c"])


@pytest.mark.parametrize("flags", [["-memberlist.cluster-label=blue"], ["-memberlist.compression-algorithm=snappy"],
                                   ["-memberlist.compression-enabled=false"]], ids=["label", "snappy", "plain"])
def test_settings_of_the_wire(world, flags):
    a = world("go", "a", (), flags)
    b = world("ours", "b", [a], flags)
    all_see([a, b], ["a", "b"])
    for i in range(50):
        assert (a if i % 2 else b).ask(f"set name-{i} {i}") == "ok"
    all_get([a, b], {f"name-{i}": i for i in range(50)})


def test_another_label_keeps_clusters_apart(world):
    a = world("go", "a", (), ["-memberlist.cluster-label=blue"])
    b = world("ours", "b", [a], ["-memberlist.cluster-label=green"])
    time.sleep(3)
    assert a.ask("members") == ["a"] and b.ask("members") == ["b"]
    assert b.ask("status").startswith("joined 0 of 1, waiting for 127.0.0.1:")
