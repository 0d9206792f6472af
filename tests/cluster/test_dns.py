"""Names in the join list, against a real DNS server (dnsmasq): what is found, what is not, and what
changes, is late, lies or is down. Members are queriers, on addresses of their own in 127/8."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import BIN

DNSMASQ = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
GOSSIP = 17946
QUICK = ["-dns.timeout=200ms", "-dns.refresh-interval=1s", "-memberlist.max-join-backoff=1s",
         "-memberlist.rejoin-interval=2s"]
NXDOMAIN = "NXDOMAIN: no such name"
FAILED = "the DNS servers answer SERVFAIL or REFUSED, or cannot be reached"
TIMEOUT = "timeout: no answer from the DNS servers"


def free_port():
    """One for TCP and UDP that no client's socket gets by chance."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("", port))
                udp.bind(("", port))
                return port
            except OSError:
                pass


def until(what, seconds=30, every=0.05):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(every)


class Dns:
    """dnsmasq on a loopback port of its own. Hosts change while it runs, the rest at a start."""

    def __init__(self, path):
        if DNSMASQ is None:
            pytest.skip("dnsmasq")
        self.dir, self.port, self.process = path, free_port(), None
        self.hosts, self.lines = {}, []

    @property
    def flag(self):
        return f"-dns.servers=127.0.0.1:{self.port}"

    def write(self):
        with open(self.dir / "hosts", "w", encoding="ascii") as f:
            f.writelines(f"{ip} {name}\n" for name, ips in self.hosts.items() for ip in ips)

    def start(self):
        self.write()
        conf = [f"port={self.port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts",
                "local=/test/", f"addn-hosts={self.dir}/hosts", "pid-file=", "user=", *self.lines]
        (self.dir / "dnsmasq.conf").write_text("\n".join(conf) + "\n", encoding="ascii")
        with open(self.dir / "dnsmasq.log", "a", encoding="ascii") as log:
            self.process = subprocess.Popen(
                [DNSMASQ, "--keep-in-foreground", f"--conf-file={self.dir}/dnsmasq.conf", "--log-facility=-",
                 "--log-queries"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: "started, version" in self.log() or self.process.poll() is not None)
        if self.process.poll() is not None:
            pytest.skip("dnsmasq")
        return self

    def log(self):
        return (self.dir / "dnsmasq.log").read_text(encoding="utf-8", errors="replace")

    def change(self, **hosts):
        """Other addresses for name.test, from now on."""
        self.hosts.update({f"{k}.test": v for k, v in hosts.items()})
        self.write()
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Liar:
    """A DNS server that answers everything with one code, or nothing at all (None)."""

    def __init__(self, rcode):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port, self.rcode = self.socket.getsockname()[1], rcode
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                q, peer = self.socket.recvfrom(2000)
            except OSError:
                return
            if self.rcode is not None:
                self.socket.sendto(q[:2] + bytes([q[2] | 0x80, 0x80 | self.rcode]) + q[4:], peer)

    @property
    def flag(self):
        return f"-dns.servers=127.0.0.1:{self.port}"

    def stop(self):
        self.socket.close()


class Member:
    def __init__(self, path, name, ip, *flags, role="querier", bind=True):
        self.name, self.ip, self.http = name, ip, free_port()
        self.log_path = path / f"{name}.log"
        where = [f"-memberlist.bind-addr={ip}"] if bind else []
        self.log_file = open(self.log_path, "a", encoding="utf-8")
        self.process = subprocess.Popen(
            [os.path.join(BIN, role), f"-server.http-listen-port={self.http}", f"-memberlist.bind-port={GOSSIP}",
             f"-memberlist.nodename={name}", f"-pyroscopedb.data-path={path}/{name}", *where, *QUICK, *flags],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)

    def get(self, path):
        assert self.process.poll() is None, self.log()[-2000:]
        try:
            return requests.get(f"http://127.0.0.1:{self.http}{path}", timeout=5)
        except requests.ConnectionError:
            return None

    def ready(self):
        r = self.get("/ready")
        return "" if r is None else f"{r.status_code} {r.text}"

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def metric(self, name):
        r = self.get("/metrics")
        found = re.search(rf"^{re.escape(name)} (\S+)$", r.text, re.M) if r is not None else None
        return float(found.group(1)) if found else None

    def members(self):
        return self.metric("pyroscope_memberlist_client_cluster_members_count")

    def results(self, entry):
        return self.metric(f'pyroscope_dns_provider_results{{addr="{entry}",name="memberlist"}}')

    def failures(self):
        return self.metric('pyroscope_dns_failures_total{name="memberlist"}')

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        status = self.process.wait(40)
        self.log_file.close()
        return status


@pytest.fixture
def world(tmp_path):
    """Functions that start members and a DNS server; all are stopped at the end."""
    class World:
        path, things = tmp_path, []

        def dns(self):
            self.things.append(Dns(tmp_path))
            return self.things[-1]

        def liar(self, rcode):
            self.things.append(Liar(rcode))
            return self.things[-1]

        def member(self, name, ip, *flags, **kw):
            self.things.append(Member(tmp_path, name, ip, *flags, **kw))
            return self.things[-1]

    w = World()
    w.things = []
    yield w
    for thing in w.things:
        if isinstance(thing, Member):
            thing.stop(signal.SIGKILL)
        else:
            thing.stop()


def all_see(members, count, seconds=30):
    until(lambda: [m.members() for m in members] == [count] * len(members), seconds)


def test_members_find_each_other_by_every_kind_of_name(world):
    """Literal, A, SRV with its targets' addresses and without, a SRV answer too large for UDP."""
    dns = world.dns()
    dns.hosts = {"all.test": ["127.71.0.1", "127.71.0.2"], "one.test": ["127.71.0.1"]}
    dns.lines = [f"srv-host=_in._tcp.test,one.test,{GOSSIP}", f"srv-host=_out._tcp.test,alias.other,{GOSSIP}",
                 "address=/other/127.71.0.1"]
    dns.lines += [f"srv-host=_many._tcp.test,a-target-with-a-rather-long-name-{i}.test,{GOSSIP}" for i in range(200)]
    dns.hosts |= {f"a-target-with-a-rather-long-name-{i}.test": ["127.71.0.1"] for i in range(200)}
    dns.start()
    entries = [f"dns+all.test:{GOSSIP}", f"all.test:{GOSSIP}", "dnssrv+_in._tcp.test", "dnssrvnoa+_out._tcp.test",
               "dnssrv+_many._tcp.test", f"127.71.0.1:{GOSSIP}"]
    members = [world.member(f"m{i}", f"127.71.0.{i + 1}", dns.flag, f"-memberlist.join={entry}")
               for i, entry in enumerate(entries)]
    all_see(members, len(entries))
    until(lambda: [m.results(e) for m, e in zip(members, entries)] == [2, 2, 1, 1, 1, 1])
    until(lambda: all("joined the cluster" in m.log() for m in members))


def test_a_server_that_is_down_at_the_start_is_waited_for(world):
    """Never a silent second cluster: /ready and the log say for whom it waits, and why."""
    dns = world.dns()
    dns.hosts = {"all.test": ["127.72.0.1", "127.72.0.2"]}
    members = [world.member(f"m{i}", f"127.72.0.{i}", dns.flag, f"-memberlist.join=dns+all.test:{GOSSIP}")
               for i in (1, 2)]
    text = f"gossip: joined 0 of 1, waiting for dns+all.test:{GOSSIP} ({FAILED})"
    until(lambda: all(text in m.ready() for m in members))
    until(lambda: all("not joined yet, trying on" in m.log() for m in members))
    dns.start()
    all_see(members, 2)
    # A line a change, not a try.
    assert all(m.log().count("name cannot be looked up") == 1 for m in members)


@pytest.mark.parametrize("rcode, why", [(3, NXDOMAIN), (2, FAILED), (None, TIMEOUT)],
                         ids=["nxdomain", "servfail", "timeout"])
def test_ready_names_the_entry_and_the_reason(world, rcode, why):
    liar = world.liar(rcode)
    m = world.member("m", "127.73.0.1", liar.flag, f"-memberlist.join=dns+a.test.:{GOSSIP},127.73.0.9:{GOSSIP}",
                     role="distributor")
    text = (f"joined 0 of 2, waiting for dns+a.test.:{GOSSIP} ({why}), "
            f"127.73.0.9:{GOSSIP} (no answer to gossip)")
    said = []
    until(lambda: said.append(m.ready()) or text in said[-1])
    assert m.ready().startswith("503 ")


def test_a_failure_keeps_the_last_answer_and_no_such_name_does_not(world):
    dns = world.dns()
    dns.hosts = {"all.test": ["127.74.0.1", "127.74.0.2"]}
    dns.start()
    entry = f"dns+all.test:{GOSSIP}"
    m = world.member("m", "127.74.0.1", dns.flag, f"-memberlist.join={entry}")
    until(lambda: m.results(entry) == 2)
    dns.stop()
    until(lambda: (m.failures() or 0) >= 2)
    assert m.results(entry) == 2
    assert m.log().count("its last addresses stay in use") == 1
    dns.hosts = {}
    dns.start()
    until(lambda: m.results(entry) == 0)
    assert "name has no addresses" in m.log()


def test_all_come_back_with_other_addresses_and_dns_is_late(world):
    dns = world.dns()
    dns.hosts = {"all.test": [f"127.75.0.{i}" for i in (1, 2, 3)]}
    dns.start()
    flags = [dns.flag, f"-memberlist.join=dns+all.test:{GOSSIP}"]
    first = [world.member(f"m{i}", f"127.75.0.{i}", *flags) for i in (1, 2, 3)]
    all_see(first, 3)
    for m in first:
        m.stop(signal.SIGKILL)
    second = [world.member(f"m{i}", f"127.75.0.1{i}", *flags) for i in (1, 2, 3)]
    until(lambda: all("no answer to gossip" in m.ready() for m in second))
    dns.change(all=[f"127.75.0.1{i}" for i in (1, 2, 3)])
    all_see(second, 3)


def test_only_the_member_that_all_lists_name_comes_back_elsewhere(world):
    dns = world.dns()
    dns.hosts = {"first.test": ["127.76.0.1"]}
    dns.start()
    flags = [dns.flag, f"-memberlist.join=dns+first.test:{GOSSIP}"]
    first = world.member("first", "127.76.0.1", *flags)
    others = [world.member(f"m{i}", f"127.76.0.{i}", *flags) for i in (2, 3)]
    all_see([first, *others], 3)
    assert first.stop() == 0
    all_see(others, 2)
    # It knows nobody and names itself: only the others can find it, through DNS.
    dns.change(first=["127.76.0.9"])
    again = world.member("first-again", "127.76.0.9", *flags)
    all_see([again, *others], 3)


def test_an_ingester_that_was_a_member_starts_without_dns_and_without_the_others(world):
    """A full outage heals in any order. One that never was a member waits."""
    dns = world.dns()
    dns.hosts = {"all.test": ["127.77.0.1"]}
    dns.start()
    flags = ["-distributor.replication-factor=1", "-ingester.bootstrap-quiet=100ms", "-ingester.lifecycler.ID=i",
             dns.flag, f"-memberlist.join=dns+all.test:{GOSSIP}"]
    m = world.member("i", "127.77.0.1", *flags, role="ingester")
    until(lambda: m.ready().startswith("200 "))
    assert m.stop() == 0
    dns.stop()
    again = world.member("i", "127.77.0.1", *flags, role="ingester")
    until(lambda: again.ready().startswith("200 ready\ngossip: joined 0 of 1, waiting for dns+all.test"))
    until(lambda: "not joined yet, trying on" in again.log())
    new = world.member("new", "127.77.0.2", *flags, role="ingester")
    until(lambda: "the gossip has reached nobody yet; gossip: joined 0 of 1, waiting for dns+all.test" in new.ready())


@pytest.mark.parametrize("flags, why", [
    (["-memberlist.abort-if-fast-join-fails"], "too few members of the join list were reached at the start"),
    (["-memberlist.abort-if-join-fails", "-memberlist.max-join-retries=1"], "no member of the join list was reached"),
], ids=["fast", "full"])
def test_a_join_that_fails_ends_the_process_where_it_is_told_to(world, flags, why):
    liar = world.liar(3)
    m = world.member("m", "127.78.0.1", liar.flag, "-memberlist.join=dns+a.test.", *flags)
    assert m.process.wait(30) == 1
    assert why in m.log()
    other = world.member("other", "127.78.0.2", "-memberlist.join=127.78.0.3", *flags)
    assert other.process.wait(30) == 1


def test_rejoin_seeds_bring_the_parts_of_a_cluster_together(world):
    """Two clusters by their join lists; one member knows the other part for rejoining."""
    a, b = (world.member(f"m{i}", f"127.79.0.{i}") for i in (1, 2))
    c = world.member("m3", "127.79.0.3", f"-memberlist.join=127.79.0.1:{GOSSIP}",
                     f"-memberlist.rejoin-seed-nodes=127.79.0.2:{GOSSIP}")
    all_see([a, b, c], 3)


def test_a_name_of_our_own_is_nobody_to_join(world):
    """Such as this host's name, which its hosts file gives a loopback address: it must not make "joined"
    out of one process that meets itself."""
    port = free_port()
    m = world.member("m", "", f"-memberlist.bind-port={port}", "-memberlist.advertise-addr=10.9.9.9",
                     f"-memberlist.join=localhost:{port},127.80.1.1:{port}", bind=False)
    until(lambda: "the join list names nobody but this process" in m.log())
    assert "joined the cluster" not in m.log()
    assert m.metric("pyroscope_memberlist_join_seeds") == 0
    other = world.member("other", "", f"-memberlist.bind-port={free_port()}", "-memberlist.advertise-addr=10.9.9.9",
                         f"-memberlist.join=localhost:{port + 1},127.80.1.1:{port}", bind=False)
    until(lambda: "joined the cluster" in other.log())


# --- which address is announced -------------------------------------------------------------------

def in_namespace(commands):
    """Arguments in front of a program to run it in a network namespace of its own, set up so."""
    setup = "ip link set lo up && " + " && ".join(commands) + ' && exec "$@"'
    args = ["unshare", "-r", "-n", "sh", "-c", setup, "sh"]
    if shutil.which("ip") is None or shutil.which("unshare") is None or \
            subprocess.run([*args, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces")
    return args


def said(args, pattern, *flags, seconds=20):
    """What a querier run under `args` says that matches, as groups; None: it does not say so."""
    p = subprocess.Popen([*args, os.path.join(BIN, "querier"), "-server.http-listen-port=0",
                          f"-memberlist.bind-port={GOSSIP}", "-dns.timeout=50ms", *flags], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds, p.kill)
    timer.start()
    try:
        for line in p.stderr:
            found = re.search(pattern, line)
            if found:
                return found.groups()
        return None
    finally:
        timer.cancel()
        p.kill()
        p.wait()
        p.stderr.close()


def announced(args, *flags):
    """The address that it says it announces, and why."""
    return said(args, r'announced=(\S+) because="([^"]*)"', *flags)


def test_the_announced_address_is_the_one_on_the_route_to_the_seeds():
    """Two nets of which the first reaches nobody of the cluster."""
    args = in_namespace(["ip addr add 10.1.0.1/32 dev lo", "ip addr add 10.2.0.1/32 dev lo",
                         "ip route add 10.3.0.0/16 dev lo src 10.2.0.1", "ip route add default dev lo src 10.1.0.1"])
    seed = "10.3.0.5:7946"
    assert announced(args, f"-memberlist.join={seed}") == \
        (f"10.2.0.1:{GOSSIP}", f"it is on the route to {seed} of the join list")
    assert announced(args, f"-memberlist.join=127.0.1.1:7946,{seed}")[0] == f"10.2.0.1:{GOSSIP}"
    assert announced(args, "-memberlist.join=dns+nobody.test.", "-dns.servers=10.3.0.9:1") == \
        (f"10.1.0.1:{GOSSIP}", "it is on the default route")
    assert announced(args, f"-memberlist.join={seed}", "-memberlist.advertise-addr=10.9.9.9",
                     "-memberlist.advertise-port=77") == ("10.9.9.9:77", "-memberlist.advertise-addr says so")
    assert announced(args, f"-memberlist.join={seed}", "-memberlist.advertise-port=78")[0] == "10.2.0.1:78"
    assert announced(args, "-memberlist.bind-addr=10.1.0.1", "-memberlist.bind-addr=::1")[0] == f"10.1.0.1:{GOSSIP}"


def test_a_host_that_may_bind_any_address_does_not_take_others_for_itself():
    """As hosts of floating addresses are set up (keepalived, haproxy)."""
    args = in_namespace(["echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind", "ip addr add 10.1.0.1/32 dev lo",
                         "ip route add 10.3.0.0/16 dev lo src 10.1.0.1"])
    line = r'msg="(not joined yet, trying on|the join list names nobody but this process)'
    assert said(args, line, f"-memberlist.join=10.3.0.5:{GOSSIP}") == ("not joined yet, trying on",)
    assert said(args, line, f"-memberlist.join=10.1.0.1:{GOSSIP},127.0.5.5:{GOSSIP}") == \
        ("the join list names nobody but this process",)


def test_a_host_with_ipv6_only_needs_no_option():
    args = in_namespace(["ip addr del 127.0.0.1/8 dev lo", "ip addr add fd00::1/128 dev lo nodad",
                         "ip route add fd00:1::/64 dev lo src fd00::1"])
    assert announced(args, "-memberlist.join=[fd00:1::5]:7946")[0] == f"[fd00::1]:{GOSSIP}"
    assert announced(args) == (f"[fd00::1]:{GOSSIP}", "it is the first address of this host")


def test_both_families_are_listened_on(world):
    """Without -memberlist.bind-addr, members join over IPv4 and over IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("IPv6")
    port = free_port()
    a = world.member("a", "", f"-memberlist.bind-port={port}", "-memberlist.advertise-addr=127.0.0.1", bind=False)
    b = world.member("b", "127.80.0.2", f"-memberlist.join=127.0.0.1:{port}")
    c = world.member("c", "::1", f"-memberlist.join=[::1]:{port}", f"-memberlist.bind-port={free_port()}")
    until(lambda: "joined the cluster" in b.log() and "joined the cluster" in c.log())
    until(lambda: (a.members() or 0) == 3)
