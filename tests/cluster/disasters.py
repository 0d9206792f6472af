"""The disasters of test_disasters.py, one a run: real processes on hosts of their own (tests/lib/netlab.py), and a
client that goes on pushing and asking while something is wrong.

  unshare -r -n disasters.py NAME full|quick BIN_DIR DIR

`full` has the default timers and lets a cause last five minutes; `quick` has everything divided by ten. Exit status 0
when the lists of members, the rings and the answers were right everywhere in time after each cause was gone; the
client's profiles are numbered, and in the end each is counted exactly once, whatever happened to its first push. A process that ends
by itself fails the run."""

import concurrent.futures
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from emberring import Cluster, labels, pprof  # noqa: E402
from netlab import ME, NET, Lab  # noqa: E402

GOSSIP, HTTP = 7946, 4040
ROLES = ("distributor", "ingester", "querier")
SHAPE = {"distributor": 2, "ingester": 3, "querier": 2}
# What goes by the clock, and its tenth. Heartbeats are told in whole seconds; two are kept above it.
QUICK = """-memberlist.probe-interval=500ms -memberlist.probe-timeout=200ms -memberlist.pullpush-interval=3s
    -memberlist.gossip-interval=50ms -memberlist.rejoin-interval=6s -memberlist.min-join-backoff=100ms
    -memberlist.max-join-backoff=2s -memberlist.gossip-to-dead-nodes-time=3s -memberlist.dead-node-reclaim-time=1s
    -memberlist.left-ingesters-timeout=30s -memberlist.obsolete-entries-timeout=3s -memberlist.stream-timeout=1s
    -memberlist.packet-dial-timeout=500ms
    -ring.heartbeat-timeout=6s -distributor.ring.heartbeat-timeout=6s""".split()
QUICK_OF = {"ingester": ["-ingester.heartbeat-period=1s"],
            "distributor": ["-distributor.ring.heartbeat-period=1500ms"]}


class Died(Exception):
    """A process ended that nobody told to."""


class Member:
    def __init__(self, world, name, address, flags=()):
        self.world, self.name, self.role = world, name, name.split("-")[0]
        self.node = name  # of the memberlist
        self.address, self.flags, self.process, self.runs = address, list(flags), None, False
        self.log = os.path.join(world.dir, name + ".log")
        if address not in world.lab.hosts:
            world.lab.host(address)

    @property
    def gossip(self):
        return f"{self.address}:{GOSSIP}"

    def start(self):
        w, host = self.world, self.world.lab.hosts[self.address]
        args = [os.path.join(w.bin, self.role), f"-server.http-listen-address={self.address}",
                f"-server.http-listen-port={HTTP}", f"-pyroscopedb.data-path={w.dir}/{self.name}",
                f"-memberlist.bind-addr={self.address}", f"-memberlist.bind-port={GOSSIP}",
                f"-memberlist.nodename={self.node}", "-memberlist.randomize-node-name=false",
                f"-ingester.lifecycler.ID={self.name}", f"-ingester.lifecycler.addr={self.address}",
                f"-distributor.ring.instance-id={self.name}", "-ingester.bootstrap-quiet=1s", "-distributor.replication-factor=3",
                "-ingester.bootstrap-expect=3"]
        args += (QUICK + QUICK_OF.get(self.role, []) if w.quick else []) + self.flags
        with open(self.log, "ab") as log:
            self.process = host.popen(args, cwd=w.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.runs = True

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        self.process.wait(60)
        self.runs = False

    def lives(self):
        """Whether it should, which must be whether it does."""
        if self.runs and self.process.poll() is not None:
            raise Died(f"{self.name} ended by itself, with status {self.process.returncode}")
        return self.runs

    def said(self, text):
        """Lines of the log with a text."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return [line for line in f if text in line]

    def get(self, path, **kw):
        r = requests.get(f"http://{self.address}:{HTTP}{path}", headers={"Accept": "application/json"},
                         timeout=kw.pop("timeout", 3))
        assert r.status_code == 200, (self.name, path, r.status_code, r.text[:300])
        return r

    def metric(self, name):
        found = re.findall(rf"^pyroscope_memberlist_{name}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics").text, re.M)
        assert found, name
        return sum(float(v) for v in found)


class World(Cluster):
    """A cluster on the lab's hosts; url(), push() and query() are Cluster's."""

    def __init__(self, lab, quick, bin_dir, directory, first=1, prefix=""):
        super().__init__(directory, bin_dir)
        self.lab, self.quick, self.members, self.first, self.prefix = lab, quick, {}, first, prefix
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.number, self.missing, self.lock = 0, [], threading.Lock()
        self.dead = set()  # whom the rings may still show, as unhealthy
        os.makedirs(directory, exist_ok=True)

    def url(self, name):
        return f"http://{self.members[name].address}:{HTTP}"

    def add(self, name, address=None, flags=()):
        m = Member(self, name, address or f"{NET}{self.first + len(self.members)}", flags)
        self.members[name] = m
        return m

    def begin(self, join=None, flags=()):
        """Start SHAPE. Everybody joins everybody, or those in `join`."""
        for role in ROLES:
            for i in range(SHAPE[role]):
                self.add(f"{role}-{self.prefix}{i}", flags=flags)
        for m in self.members.values():
            m.flags += [f"-memberlist.join={self.members[n].gossip}" for n in join or self.members if n != m.name]
        for m in self.members.values():
            m.start()
        self.heal(60, "the start")

    def each(self, fn, names):
        return list(self.pool.map(fn, names))

    # --- what is right ---

    def lists_differ(self):
        """What is wrong with the lists of members: who, and which. Somebody may have had to add to its name."""
        want = {m.gossip: m.node for m in self.members.values() if m.lives()}

        def differs(name):
            members = self.members[name].get("/memberlist").json()["SortedMembers"]
            got = {f"{m['Addr']}:{m['Port']}": m["Name"] for m in members}
            return got if set(got) != set(want) or any(not got[a].startswith(want[a]) for a in got) else None
        names = [m.name for m in self.members.values() if m.lives()]
        return [(n, got) for n, got in zip(names, self.each(differs, names)) if got is not None]

    def rings_differ(self):
        living = [m for m in self.members.values() if m.lives()]
        wrong = []
        for path, role in (("/ring", "ingester"), ("/distributor/ring", "distributor")):
            want = {m.name: ("ACTIVE", f"{m.address}:{HTTP}") for m in living if m.role == role}

            def one(m):
                return {s["id"]: (s["state"], s["address"]) for s in m.get(path).json()["shards"] or []
                        if not (s["id"] in self.dead and s["state"] == "UNHEALTHY")}
            wrong += [(m.name, path, got) for m, got in zip(living, self.each(one, living)) if got != want]
        return wrong

    def answers_differ(self):
        """Push what was not acknowledged, and once through each distributor; ask all queriers."""
        for name in self.of("distributor"):
            if not self.push_next(name):
                return f"{name} does not take a push: {self.why}"
        with self.lock:
            again = list(self.missing)
        for number in again:
            if not self.push_one(number, self.of("distributor")[number % len(self.of("distributor"))]):
                return f"profile {number} is not taken: {self.why}"
            with self.lock:
                self.missing.remove(number)
        got = {name: self.total(querier=name) for name in self.of("querier")}
        return got if any(total != self.number or not self.is_told(how) for total, how in got.values()) else None

    def is_told(self, how):
        """Complete; or, where the rings may still show the dead, nobody else is silent."""
        silent = re.search(r'^uncertain; reasons="silent"; silent="([^"]*)"$', how)
        return how == "complete" or (silent is not None and set(silent[1].split(",")) <= self.dead)

    def wrong(self, lists):
        try:
            return (lists and self.lists_differ()) or self.rings_differ() or self.answers_differ()
        except (requests.RequestException, AssertionError) as e:
            return repr(e)

    def heal(self, seconds, what, lists=True):
        """Until everything is right; nothing is restarted meanwhile. Without `lists` those of members may still have the
        dead, for as long as these are suspected."""
        began = time.monotonic()
        while wrong := self.wrong(lists):
            assert time.monotonic() < began + seconds, f"{what}: not right after {seconds} s: {wrong}"
            time.sleep(0.2)
        took = time.monotonic() - began
        print(f"{what}: right after {took:.1f} s, {self.number} profiles", flush=True)

    # --- the client ---

    def of(self, role):
        return [m.name for m in self.members.values() if m.role == role and m.lives()]

    def push_one(self, number, distributor):
        self.why = None
        try:
            at = self.began_ns + number * 10**6
            r = self.push([(labels(), [pprof({("main", "f"): 1}, at)])], distributor=distributor, timeout=8)
            self.why = (r.status_code, r.text[:200])
            return r.status_code == 200
        except requests.RequestException as e:
            self.why = repr(e)
            return False

    def push_next(self, distributor):
        with self.lock:
            number = self.number
            self.number += 1
            self.missing.append(number)
        if not self.push_one(number, distributor):
            return False
        with self.lock:
            self.missing.remove(number)
        return True

    def client(self, seconds, writers, readers, steady=False):
        """Push and ask for so long. With `steady` every push is taken and every answer is complete and exact; else
        a push may fail, and an answer may say that it is uncertain, never that it is complete and be short."""
        end, taken, asked = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            for name in writers:
                ok = self.push_next(name)
                assert ok or not steady, (name, self.why)
                taken += ok
            with self.lock:
                least = self.number - len(self.missing)
            for name in readers:
                try:
                    total, how = self.total(querier=name)
                except (requests.RequestException, AssertionError) as e:
                    assert not steady, e
                    continue
                asked += 1
                assert total <= self.number and (total >= least or how != "complete"), (name, total, how, least)
                assert not steady or how == "complete", (name, total, how, least)
            time.sleep(0.3)
        return taken, asked

    def stop(self):
        for m in self.members.values():
            if m.runs:
                m.process.kill()
                m.process.wait()
        self.pool.shutdown()
        self.http.close()


World.began_ns = time.time_ns() - 1200 * 10**9  # profiles are a millisecond apart, all of them in the past


class Times:
    """Durations in full, or a tenth. After a cause is gone there are 60 s, or 6 s and 9 s more: what does not shrink
    is seconds in which heartbeats are told, TCP's waiting before it sends again, and other work of the machine."""

    def __init__(self, quick):
        self.quick = quick

    def __call__(self, seconds):
        return seconds / 10 if self.quick else seconds

    @property
    def limit(self):
        return 6 + 9 if self.quick else 60


def addresses(w, names):
    return {w.members[n].address for n in names}


# --- 2 ---

def seed(w, t):
    """Everybody's join list names one process. It comes back at once; and after everybody forgot it."""
    w.begin(join=["querier-0"])
    first = w.members["querier-0"]
    first.kill()
    first.start()
    w.heal(t.limit, "the seed was killed and came back at once")
    first.kill(signal.SIGTERM)
    first.start()
    w.heal(t.limit, "the seed was stopped and came back at once")
    first.kill()
    others = [n for n in w.members if n != "querier-0"]
    w.client(t(150), w.of("distributor"), w.of("querier"), steady=True)
    until(t.limit, lambda: not w.lists_differ())
    first.start()
    w.heal(t.limit, "the seed came back after it was forgotten")
    assert all(w.members[n].lives() for n in others)


# --- 3 ---

def partition(w, t, how, tell):
    w.begin()
    few = ["ingester-2", "distributor-1", "querier-1"]
    many = [n for n in w.members if n not in few]
    how(w.lab, addresses(w, few), addresses(w, many))
    end = time.monotonic() + t(300)
    aside = threading.Thread(target=w.client, args=(t(300), ["distributor-1"], ["querier-1"]))
    aside.start()
    time.sleep(t(80))  # once the dead are known, most go on as if nothing were
    taken, asked = w.client(end - time.monotonic(), ["distributor-0"], ["querier-0"])
    aside.join()
    assert taken >= 3 and asked >= 3, (taken, asked)
    w.lab.heal()
    w.heal(t.limit, tell)
    assert w.lab.lost > 20, "the cable was never cut"


def partition_full(w, t):
    partition(w, t, lambda lab, a, b: lab.part(a, b), "a full partition ended")


def partition_one_way(w, t):
    partition(w, t, lambda lab, a, b: lab.cut(a, b), "nothing went one way, now it does")


def partition_connections(w, t):
    partition(w, t, lambda lab, a, b: lab.refuse(a, b), "no connection could be opened one way, now it can")


# --- 8 ---

def vanish(w, t):
    """A machine is gone without a word: its connections stay half open. It comes back as it was; and another time its
    processes have died meanwhile."""
    w.begin()
    gone = ["ingester-1", "distributor-1", "querier-1"]
    for again in (False, True):
        w.lab.unplug(addresses(w, gone))
        time.sleep(t(80))
        w.client(t(60), ["distributor-0"], ["querier-0"])
        w.client(t(20), ["distributor-0"], ["querier-0"], steady=True)
        if again:
            for name in gone:
                w.members[name].kill()
        w.lab.heal()
        if again:
            for name in gone:
                w.members[name].start()
        w.heal(t.limit, "the machine is back, " + ("started anew" if again else "as it was"))


# --- 9 ---

def loss(w, t):
    """30 % of all packets between the processes get lost."""
    w.begin()
    w.lab.loss = 0.3
    taken, asked = w.client(t(300), w.of("distributor"), w.of("querier"))
    share = w.lab.lost / (w.lab.lost + w.lab.passed)
    print(f"lost {share:.0%} of all packets, {taken} pushes taken and {asked} answers meanwhile", flush=True)
    assert taken > 0 and asked > 0 and w.lab.lost > 100
    w.lab.heal()
    w.heal(t.limit, "no packet is lost any more")


# --- 6 ---

class Foreign:
    """What answers at a host's gossip port and is no gossip: `answer(socket)` for each connection."""

    def __init__(self, host, answer):
        self.host, self.answer, self.calls = host, answer, 0
        self.socket = self.there(lambda: socket.create_server((host.address, GOSSIP)))
        threading.Thread(target=self.run, daemon=True).start()

    def there(self, fn):
        """fn() in the host's namespace; what it opens stays there."""
        with concurrent.futures.ThreadPoolExecutor(1, initializer=self.host.enter) as one:
            return one.submit(fn).result(20)

    def call(self, member, text):
        """What a member answers to it."""
        def fn():
            with socket.create_connection((member.address, GOSSIP), 5) as s:
                s.sendall(text)
                got = b""
                while part := s.recv(4096):
                    got += part
                return got
        return self.there(fn)

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            s.settimeout(5)
            try:
                self.answer(s)
            except OSError:
                pass

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def web(s):
    s.recv(65536)
    s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")


def cache(s):
    while s.recv(65536):
        s.sendall(b"-ERR unknown command\r\n")


def reuse(w, t):
    """The address of a member that died is given to another product's: one with another label, one with none, a web
    server, something that talks in lines. None is let in, each is named once, and the member's return is no different."""
    flags = ["-memberlist.cluster-label=ours"]
    w.begin(flags=flags)
    dead = w.members["querier-1"]
    others = [m for m in w.members.values() if m is not dead]
    for kind in ("label", "none", "http", "lines"):
        dead.kill()
        # They have a cluster of their own, and our address on their list by mistake.
        theirs, foreign = World(w.lab, w.quick, w.bin, os.path.join(w.dir, kind), first=20), None
        if kind in ("label", "none"):
            their_flags = ["-memberlist.cluster-label=theirs"] if kind == "label" else []
            seed_ = theirs.add("querier-x", NET + "20", their_flags)
            seed_.start()
            theirs.add("querier-y", dead.address, their_flags + [
                f"-memberlist.join={a}" for a in (seed_.gossip, w.members["ingester-0"].gossip)]).start()
            until(20, lambda: not theirs.lists_differ())
        else:
            foreign = Foreign(w.lab.hosts[dead.address], web if kind == "http" else cache)
            answer = foreign.call(w.members["ingester-0"], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if kind == "http"
                                  else b"*1\r\n$4\r\nPING\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ") if kind == "http" else answer == b"", answer
        w.client(t(80), w.of("distributor"), w.of("querier"), steady=True)
        until(t.limit, lambda: not w.lists_differ())  # the dead one is forgotten, nobody else is in
        if foreign is None:
            assert not theirs.lists_differ()
            what = {"label": "a peer of another cluster is kept out",
                    "none": "a peer without cluster label is kept out"}[kind]
            lines = w.members["ingester-0"].said(what)
            assert len(lines) == 1 and f"from={dead.address}" in lines[0] and "our_label=ours" in lines[0], lines
            assert w.members["ingester-0"].metric("streams_foreign_total") > 0
            assert theirs.members["querier-y"].said("closed an exchange of state without a word")
        else:
            what = {"http": "an HTTP request on the gossip port", "lines": "a foreign protocol on the gossip port"}[kind]
            lines = w.members["ingester-0"].said(what)
            assert len(lines) == 1 and dead.address in lines[0], (what, lines)
            assert w.members["ingester-0"].metric("tcp_transport_unknown_connections_total") > 0
            assert foreign.calls > 0, "nobody tried the member's old address"
            foreign.stop()
        theirs.stop()
        dead.start()
        w.heal(t.limit, f"the member's address was another's ({kind}), and is its again")
    assert all(m.lives() for m in others)


def until(seconds, what):
    end = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except (requests.RequestException, AssertionError):
            pass
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


# --- 10 ---

def one_name(w, t):
    """A second process with a member's node name: both are listed everywhere, one of them by a name that it took."""
    w.begin()
    twin = w.add("querier-9", flags=w.members["querier-0"].flags)
    twin.node = "querier-0"
    first = w.members["querier-0"]
    for sig, what in ((signal.SIGKILL, "the namesake was killed"), (signal.SIGTERM, "the namesake was stopped")):
        before = first.metric("renamed_total")
        twin.start()
        w.heal(t.limit, "a second process has a member's name")
        assert (first.metric("renamed_total") - before) + twin.metric("renamed_total") == 1
        w.client(t(50), w.of("distributor"), w.of("querier"), steady=True)
        assert not w.lists_differ()
        twin.kill(sig)
        w.client(t(100) if sig == signal.SIGKILL else 0, w.of("distributor"), w.of("querier"), steady=True)
        w.heal(t.limit, what)
    said = [m.said("another process has this member's name") for m in (first, twin)]
    assert 1 <= sum(map(len, said)) <= 2 and "-memberlist.nodename" in (said[0] + said[1])[0], said


def one_ring_id(w, t):
    """A second distributor with one's ring id, then a second ingester: pushes and answers go on, and when it is gone
    the ring is as it was."""
    w.begin()
    for role, option in (("distributor", "-distributor.ring.instance-id"), ("ingester", "-ingester.lifecycler.ID")):
        first = w.members[role + "-0"]
        for sig in (signal.SIGKILL, signal.SIGTERM):
            twin = w.add(f"{role}-{9 if sig == signal.SIGKILL else 8}",
                         flags=[*first.flags, f"{option}={first.name}"])
            twin.start()
            until(t(100), lambda: first.said("another process has this ring id") + twin.said(
                "another process has this ring id"))
            w.client(t(60), ["distributor-0", "distributor-1"], w.of("querier"), steady=True)
            twin.kill(sig)
            del w.members[twin.name]
            until(t(150), lambda: not w.lists_differ())
            w.heal(t.limit, f"the {role} with another's ring id is gone")
        said = first.said("another process has this ring id")
        assert len(said) <= 3 and all(option in line for line in said), said


# --- 12 ---

def merged(w, t):
    """A join list names another cluster by mistake: two clusters become one. Then they are parted again. Writes
    go past the others' ingesters, which the ring shows as unhealthy until it forgets them;
    counts are right, and name the others' disks as silent, since these could hold something."""
    w.begin()
    other = World(w.lab, w.quick, w.bin, os.path.join(w.dir, "other"), first=11, prefix="b")
    try:
        other.began_ns = w.began_ns + 300 * 10**9
        other.begin()
        stray = other.members["querier-b1"]
        stray.kill()
        stray.flags.append(f"-memberlist.join={w.members['ingester-0'].gossip}")
        stray.start()
        both = {m.gossip for m in (*w.members.values(), *other.members.values())}

        def all_are_one(m):
            return {f"{x['Addr']}:{x['Port']}" for x in m.get("/memberlist").json()["SortedMembers"]} == both
        until(t.limit, lambda: all(map(all_are_one, (*w.members.values(), *other.members.values()))))
        time.sleep(t(60))
        w.lab.part(addresses(w, w.members), addresses(other, other.members))
        end = time.monotonic() + t.limit + t(10)  # the last heartbeats of the others are good for 60 s themselves
        for one, its in ((w, other), (other, w)):
            one.dead = set(its.members)
            one.heal(end - time.monotonic(), "two clusters were one, and are two again", lists=False)
        for one in (w, other):
            until(t(150), lambda: not one.lists_differ())  # probing, and 20 to 120 s of suspicion
            one.client(t(50), one.of("distributor"), [])
            assert not one.missing, one.why
    finally:
        other.stop()


SCENARIOS = {f.__name__: f for f in (seed, partition_full, partition_one_way, partition_connections, vanish, loss, reuse, one_name,
                                       one_ring_id, merged)}


def main():
    name, how, bin_dir, directory = sys.argv[1:]
    lab = Lab()
    w = World(lab, how == "quick", bin_dir, directory)
    try:
        SCENARIOS[name](w, Times(how == "quick"))
    except BaseException:
        for m in w.members.values():
            print(f"--- {m.name} {m.address} {'should run' if m.runs else 'was ended'}")
            if os.path.exists(m.log):
                with open(m.log, encoding="utf-8", errors="replace") as f:
                    print("".join(f.readlines()[-25:]))
        raise
    finally:
        w.stop()


if __name__ == "__main__":
    main()
