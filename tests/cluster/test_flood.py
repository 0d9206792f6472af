"""A peer that floods the gossip port of one member, by any means: nobody is forgotten, and news goes on."""

import os
import random
import socket
import subprocess
import threading
import time

import pytest
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUERIER = os.path.join(os.environ.get("EMBERRING_BIN", os.path.join(ROOT, "build", "bin")), "querier")
TRANSPORT = "pyroscope_memberlist_tcp_transport_"
FLOOD_S, PORT, FLOODER = 40, 7946, "127.81.0.9"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Member:
    def __init__(self, ip, log, *flags):
        self.http, self.ip, self.log = free_port(), ip, log
        with open(log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [QUERIER, f"-memberlist.bind-addr={ip}", f"-memberlist.bind-port={PORT}", f"-memberlist.nodename={ip}",
                 "-memberlist.pullpush-interval=5s", "-server.http-listen-address=127.0.0.1",
                 f"-server.http-listen-port={self.http}", *flags], stdout=subprocess.DEVNULL, stderr=out)

    def metrics(self):
        text = requests.get(f"http://127.0.0.1:{self.http}/metrics", timeout=10).text
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}

    def count(self):
        try:
            return self.metrics()["pyroscope_memberlist_client_cluster_members_count"]
        except requests.RequestException:
            return 0


def flood(ip, until, seed):
    """Connections from one address: silent ones, halves, nonsense; some are closed, most just stay."""
    rng, held = random.Random(seed), []
    words = (b"", b"\x01\x0e10.5", b"\x01\x05x:794" + bytes(40), b"\x02", b"\x02\xf4\x05other", b"\x02\x06\x81",
             b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", rng.randbytes(3000), b"\x01" + rng.randbytes(9000))
    while time.time() < until:
        s = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        s.bind((FLOODER, 0))
        s.connect_ex((ip, PORT))
        held.append((s, rng.choice(words)))
        if len(held) % 20 == 0:
            time.sleep(0.02)
            for c, word in held[-20:]:
                try:
                    c.send(word)
                except OSError:
                    pass
        if len(held) > 700:
            held.pop(0)[0].close()
    for c, _ in held:
        c.close()


@pytest.fixture
def three(tmp_path):
    try:
        with socket.socket() as s:
            s.bind((FLOODER, 0))
    except OSError:
        pytest.skip("addresses in 127/8")
    first = "127.81.0.1"
    members = [Member(first, tmp_path / "1.log")]
    members += [Member(f"127.81.0.{i}", tmp_path / f"{i}.log", f"-memberlist.join={first}:{PORT}") for i in (2, 3)]
    yield members
    for m in members:
        m.process.kill()
        m.process.wait()


@pytest.mark.slow
def test_a_peer_that_floods_makes_nobody_forgotten(three):
    end = time.time() + 20
    while [m.count() for m in three] != [3, 3, 3]:
        assert time.time() < end
        time.sleep(0.2)
    target = three[0]
    exchanges = "pyroscope_memberlist_exchanges_total"
    before = [m.metrics() for m in three]
    until = time.time() + FLOOD_S
    threads = [threading.Thread(target=flood, args=(target.ip, until, i)) for i in range(2)]
    for t in threads:
        t.start()
    while time.time() < until - 1:
        assert [m.count() for m in three] == [3, 3, 3]
        time.sleep(0.5)
    for t in threads:
        t.join()
    after = [m.metrics() for m in three]
    refused = after[0][TRANSPORT + "connections_refused_total"]
    assert after[0][TRANSPORT + "unknown_connections_total"] > 300 and refused > 100, refused
    for a, b in zip(after, before):
        # Every probe was answered, or all but a few; states were exchanged as ever.
        assert a["pyroscope_memberlist_probes_total"] - b["pyroscope_memberlist_probes_total"] >= 4
        assert a["pyroscope_memberlist_probes_failed_total"] - b["pyroscope_memberlist_probes_failed_total"] <= 2
        assert a[exchanges] > b[exchanges]
    text = target.log.read_text(encoding="utf-8")
    assert text.count(FLOODER) < 20, text
