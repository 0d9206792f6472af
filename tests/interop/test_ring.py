"""One ring of our ingesters and dskit's Lifecycler, one of our distributors and dskit's BasicLifecycler, each read by
dskit's ring client and by all of our roles.

ring-peer is the Go side. Needs Go 1.25 or newer and the module proxy; skipped, by name, where they are absent."""

import collections
import json
import re
import signal
import socket
import subprocess
import time

import pytest
import requests

from emberring import labels, pprof

OURS = ("distributor-0", "ingester-0", "querier-0")
PAGES = {"ring": "/ring", "distributor": "/distributor/ring"}
# News may go to the dead alone, as often as it is told: soon enough for a test is only the exchange of states.
PUSHPULL = "-memberlist.pullpush-interval=4s"
FLAGS = (PUSHPULL, "-ingester.heartbeat-period=1s", "-distributor.ring.heartbeat-period=1s",
         "-memberlist.message-history-buffer-bytes=0")


@pytest.fixture(scope="module")
def peer(go_program):
    return go_program("ring-peer")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    def __init__(self, binary, name, log, join, *flags):
        self.name, self.port = name, free_port()
        args = [binary, f"-memberlist.nodename={name}", "-memberlist.randomize-node-name=false",
                "-memberlist.bind-addr=127.0.0.1", f"-memberlist.bind-port={self.port}",
                "-memberlist.advertise-addr=127.0.0.1", f"-memberlist.advertise-port={self.port}",
                "-memberlist.rejoin-interval=2s", PUSHPULL, f"-id={name}"]
        args += [f"-memberlist.join={a}" for a in join] + list(flags)
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

    def ring(self):
        return self.ask("ring")

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def world(cluster, peer, tmp_path):
    """Our cluster, and a function that starts Go members in it."""
    peers = []

    def start(*flags, ingesters="1", distributors="1"):
        c = cluster("--ingesters", ingesters, "--distributors", distributors, "--replication-factor", "1", "--",
                    *FLAGS, *flags)
        join = [e["gossip"] for e in c.endpoints()["ingester"]]

        def go(name, *more):
            peers.append(Peer(peer, name, tmp_path / f"{name}-{len(peers)}.log", join, *more))
            return peers[-1]

        return c, go

    yield start
    for p in peers:
        if p.process.poll() is None:
            p.process.send_signal(signal.SIGCONT)
            p.kill()


def ours(c, role, key="ring"):
    r = requests.get(c.url(role) + PAGES[key], headers={"Accept": "application/json"}, timeout=5)
    assert r.status_code == 200 and r.headers["Content-Type"].startswith("application/json")
    return r.json()


def states(page):
    return {s["id"]: s["state"] for s in page["shards"] or []}


def steady(page):
    """All that does not change from one moment to the next; the key sets of the schema too."""
    out = {}
    for s in page["shards"] or []:
        out[s["id"]] = dict({k: v for k, v in s.items() if k != "timestamp"}, keys=sorted(s))
    return out


def seconds(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def wait(what, timeout, check):
    """check() is (true or false, what was seen)."""
    end = time.monotonic() + timeout
    while True:
        good, seen = check()
        if good:
            return seen
        assert time.monotonic() < end, (what, seen)
        time.sleep(0.2)


def all_show(c, readers, key, want, timeout=15):
    """Every reader, ours and theirs, has exactly these states."""
    def look():
        seen = {r: states(ours(c, r, key)) for r in OURS}
        seen.update({p.name: states(p.ring()) for p in readers})
        return all(s == want for s in seen.values()), seen
    wait(f"states {want}", timeout, look)


def all_alike(c, reader, key, timeout=15):
    """The Go page and those of our roles are the same, field by field, and so is the key set of the schema."""
    def look():
        theirs = reader.ring()
        pages = {r: ours(c, r, key) for r in OURS}
        good = all(steady(p) == steady(theirs) and sorted(p) == sorted(theirs) for p in pages.values())
        return good, (pages["querier-0"], theirs)
    return wait("one page everywhere", timeout, look)[1]


def shares(page):
    """Parts of the ring, in the peer's words, from the tokens of a page: within a zone, back to the token before."""
    zones, owned = collections.defaultdict(list), collections.Counter()
    for s in page["shards"]:
        zones[s["zone"]] += [(t, s["id"]) for t in s["tokens"] or []]
        owned[s["id"]] += 0
    for tokens in zones.values():
        tokens.sort()
        for i, (token, owner) in enumerate(tokens):
            owned[owner] += (token - tokens[i - 1][0]) % 2**32 or 2**32
    return {k: f"{100 * v / (2**32 - 1):.3g}%" for k, v in owned.items()}


def shown_shares(c, role, key="ring"):
    """{id: per cent} of our page for people."""
    html = requests.get(c.url(role) + PAGES[key], headers={"Accept": "text/html"}, timeout=5).text
    out = {}
    for row in re.findall(r"<tr[^>]*><td>.*?</tr>", html, re.S):
        share = re.search(r'class="own".*?</svg> (?:&lt;)?([\d.]+) %', row, re.S)
        name = re.search(r"\b(ingester-\d|distributor-\d|go-\w)\b", re.sub(r"<[^>]*>", " ", row))
        if share and name:
            out[name[1]] = float(share[1])
    return out


def same_shares(c, reader, key):
    """Theirs and ours say the same of who owns how much, and so do the tokens. Ours rounds to 0.1, and says <0.1."""
    def look():
        theirs, shown = reader.ask("shares"), shown_shares(c, "querier-0", key)
        return theirs == shares(ours(c, "querier-0", key)) and sorted(shown) == sorted(theirs) and all(
            abs(shown[n] - float(theirs[n].rstrip("%"))) <= 0.1 for n in shown), (theirs, shown)
    wait("the same shares", 5, look)


def test_an_ingester_and_a_lifecycler_see_each_other(world):
    c, go = world()
    a = go("go-a", "-kind=lifecycler", "-zone=zg", "-tokens=64", "-port=4711")
    all_show(c, [a], "ring", {"go-a": "ACTIVE", "ingester-0": "ACTIVE"})
    page = all_alike(c, a, "ring")
    mine = {s["id"]: s for s in page["shards"]}
    assert mine["go-a"]["address"] == "127.0.0.1:4711" and mine["go-a"]["zone"] == "zg"
    assert len(mine["go-a"]["tokens"]) == 64 and len(mine["ingester-0"]["tokens"]) == 128
    assert mine["ingester-0"]["address"] == c.url("ingester-0")[len("http://"):]
    assert mine["ingester-0"]["versions"] == {str(0x65786163): 1} and "versions" not in mine["go-a"]
    # heartbeats of both arrive on both sides, and are young
    before = {s["id"]: seconds(s["timestamp"]) for s in page["shards"]}
    time.sleep(3.5)
    for later in (a.ring(), ours(c, "querier-0")):
        for s in later["shards"]:
            assert seconds(s["timestamp"]) >= before[s["id"]] + 2, s["id"]
    # who holds a token, and how much of the ring
    for s in page["shards"]:
        assert a.ask(f"find {s['tokens'][5] - 1} write") == [s["id"]]
    same_shares(c, a, "ring")
    # a mark that only one side knows how to set
    time.sleep(1.1)
    assert a.ask("read-only true") == "ok"
    wait("read-only is shown", 10, lambda: (
        next(s["read_only"] for s in ours(c, "querier-0")["shards"] if s["id"] == "go-a"), None))
    all_alike(c, a, "ring")


def test_leaving_and_left_are_seen_on_both_sides(world):
    c, go = world("-ingester.unregister-on-shutdown=false", ingesters="2")
    a, b = go("go-a", "-kind=lifecycler"), go("go-b", "-kind=lifecycler", "-stays")
    members = {"go-a": "ACTIVE", "go-b": "ACTIVE", "ingester-0": "ACTIVE", "ingester-1": "ACTIVE"}
    all_show(c, [a, b], "ring", members)
    c.kill("ingester-1", "TERM")  # stays, as configured
    members["ingester-1"] = "LEAVING"
    all_show(c, [a, b], "ring", members)
    assert b.ask("leave") == "left"
    members["go-b"] = "LEAVING"
    all_show(c, [a], "ring", members)
    c.restart("ingester-1")  # and is what it was
    members["ingester-1"] = "ACTIVE"
    all_show(c, [a], "ring", members)
    d = go("go-d")
    assert a.ask("leave") == "left"
    del members["go-a"]
    all_show(c, [d], "ring", members)
    view = requests.get(c.url("querier-0") + "/memberlist?format=json&viewKey=collectors/ring", timeout=5).json()
    for value in (view, d.ask("kv")):
        left = value["ingesters"]["go-a"]
        assert left["state"] == 4 and not left.get("tokens")


def test_forgotten_by_either_side_is_gone_on_both(world):
    c, go = world("-ring.heartbeat-timeout=3s", ingesters="2")
    a = go("go-a", "-kind=lifecycler", "-heartbeat-timeout=3s")
    b = go("go-b", "-kind=lifecycler", "-heartbeat-timeout=3s")
    d = go("go-d", "-kind=lifecycler", "-heartbeat-timeout=3s")
    members = {n: "ACTIVE" for n in ("go-a", "go-b", "go-d", "ingester-0", "ingester-1")}
    all_show(c, [a, b, d], "ring", members)
    c.kill("ingester-1")
    b.kill()
    d.kill()
    all_show(c, [a], "ring", dict(members, **{"ingester-1": "UNHEALTHY", "go-b": "UNHEALTHY", "go-d": "UNHEALTHY"}))
    r = requests.post(c.url("querier-0") + "/ring", data={"forget": "go-d"}, allow_redirects=False, timeout=5)
    assert r.status_code == 302  # by our button
    del members["go-d"]
    all_show(c, [a], "ring", dict(members, **{"ingester-1": "UNHEALTHY", "go-b": "UNHEALTHY"}))
    assert a.ask("forget ingester-1") == "ok"  # by their button
    del members["ingester-1"]
    all_show(c, [a], "ring", dict(members, **{"go-b": "UNHEALTHY"}))
    del members["go-b"]  # by ours, after ten heartbeat timeouts
    all_show(c, [a], "ring", members, 45)
    time.sleep(3)
    all_show(c, [a], "ring", members)  # and nobody brings them back
    c.restart("ingester-1")
    members["ingester-1"] = "ACTIVE"  # but themselves
    all_show(c, [a], "ring", members)


def metric(c, name, what):
    text = requests.get(c.url(name) + "/metrics", timeout=5).text
    found = re.search("^" + re.escape(what) + r" (\S+)$", text, re.M)
    return float(found[1]) if found else None


def test_nothing_is_written_to_an_ingester_that_is_not_ours(world):
    """Its tokens are in the ring: what falls to it is refused, to be sent again, and nothing is sent there."""
    c, go = world()
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.2)
        a = go("go-a", "-kind=lifecycler", f"-port={trap.getsockname()[1]}")
        b = go("go-b", "-kind=lifecycler", f"-port={trap.getsockname()[1]}")
        all_show(c, [a, b], "ring", {"go-a": "ACTIVE", "go-b": "ACTIVE", "ingester-0": "ACTIVE"})
        # The last bytes of a name move its token little: the number is in front.
        answers = collections.Counter(c.push([(labels(f"{i}-service"), [pprof({("a",): 1})])]).status_code for i in range(40))
        assert set(answers) == {200, 503}, answers
        with pytest.raises(TimeoutError):
            trap.accept()
        for role in OURS:
            wait("they are counted", 5, lambda role=role: (
                metric(c, role, 'pyroscope_ring_foreign_members{name="ingester"}') == 2, role))
    log = {name: text for name, text in c.logs(4000)}
    for role in OURS:
        told = re.findall(r".*an ingester in the ring is not ours.*", log[role])
        assert len(told) == 1 and re.search("id=go-[ab]", told[0]), (role, told)


def test_a_distributor_and_a_basic_lifecycler_see_each_other(world):
    c, go = world("-distributor.ring.heartbeat-timeout=3s", distributors="2")
    a = go("go-a", "-kind=basic", "-key=distributor", "-tokens=1", "-port=4712", "-heartbeat-timeout=3s", "-forget=10s")
    b = go("go-b", "-kind=basic", "-key=distributor", "-tokens=1", "-port=4713", "-heartbeat-timeout=3s")
    members = {n: "ACTIVE" for n in ("go-a", "go-b", "distributor-0", "distributor-1")}
    all_show(c, [a, b], "distributor", members)
    page = all_alike(c, a, "distributor")
    mine = {s["id"]: s for s in page["shards"]}
    assert mine["distributor-0"]["address"] == c.url("distributor-0")[len("http://"):]
    assert [len(s["tokens"]) for s in mine.values()] == [1, 1, 1, 1]
    assert a.ask("me")["tokens"] == mine["go-a"]["tokens"]
    same_shares(c, a, "distributor")
    c.kill("distributor-1", "TERM")
    assert b.ask("leave") == "left"
    del members["distributor-1"], members["go-b"]
    all_show(c, [a], "distributor", members)
    c.restart("distributor-1")
    members["distributor-1"] = "ACTIVE"
    all_show(c, [a], "distributor", members)
    assert states(ours(c, "querier-0")) == {"ingester-0": "ACTIVE"}  # another ring
    # dead ones: theirs forgets ours by the age of its heartbeat, ours theirs
    c.kill("distributor-1")
    members["distributor-1"] = "UNHEALTHY"
    all_show(c, [a], "distributor", members)
    del members["distributor-1"]
    all_show(c, [a], "distributor", members, 25)
    a.kill()
    d = go("go-d", "-key=distributor", "-heartbeat-timeout=3s")
    del members["go-a"]
    all_show(c, [d], "distributor", members, 45)
