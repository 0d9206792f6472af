"""A machine vanishes without a reset: its connections to the gossip port stand half-open, and keep nobody out.

Run by itself inside `unshare -r -n`, this file is the world: two network namespaces and a cable that is pulled."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUERIER = os.path.join(os.environ.get("EMBERRING_BIN", os.path.join(ROOT, "build", "bin")), "querier")
HERE, SECOND, THERE = "10.5.0.1", "10.5.0.3", "10.5.0.2"
PORT, CONNS = 7946, 300

# The machine that vanishes: connections that are silent, that are half a packet, that are half a stream.
GUEST = f"""
import socket, sys, time
s = []
for i in range({CONNS}):
    c = socket.create_connection(({HERE!r}, {PORT}), 5)
    c.send((b"", b"\\x01\\x0e10.5", b"\\x02")[i % 3]) if i % 3 else None
    s.append(c)
print("ready", flush=True)
time.sleep(1000)
"""


def run(*args):
    subprocess.run(args, check=True, capture_output=True, timeout=20)


def metric(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as r:
        for line in r.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise KeyError(name)


def member(ip, port, *flags):
    return subprocess.Popen([QUERIER, f"-memberlist.bind-addr={ip}", f"-memberlist.bind-port={PORT}",
                             f"-memberlist.nodename={ip}", "-server.http-listen-address=127.0.0.1",
                             f"-server.http-listen-port={port}", *flags], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def until(seconds, check):
    """Seconds that it took, or None."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        try:
            if check():
                return time.monotonic() - began
        except (OSError, KeyError):
            pass
        time.sleep(0.1)
    return None


def world():
    started, out = [], {}
    conns = "pyroscope_memberlist_tcp_transport_connections"
    try:
        far = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        started.append(far)
        time.sleep(0.5)  # unshare has no word for being done
        inside = ["nsenter", "-t", str(far.pid), "-n"]
        for line in ("link set lo up", "link add va type veth peer name vb", f"link set vb netns {far.pid}",
                     f"addr add {HERE}/24 dev va", f"addr add {SECOND}/24 dev va", "link set va up"):
            run("ip", *line.split())
        for line in ("link set lo up", f"addr add {THERE}/24 dev vb", "link set vb up"):
            run(*inside, "ip", *line.split())
        started.append(member(HERE, 4101))
        out["up"] = until(20, lambda: metric(4101, conns) >= 0)
        guest = subprocess.Popen([*inside, sys.executable, "-c", GUEST], stdout=subprocess.PIPE, text=True)
        started.append(guest)
        out["guest"] = guest.stdout.readline().strip()
        out["open"] = until(10, lambda: metric(4101, conns) >= CONNS * 2 / 3)
        run(*inside, "ip", "link", "set", "vb", "down")
        started.append(member(SECOND, 4102, f"-memberlist.join={HERE}:{PORT}"))
        out["joined"] = until(20, lambda: metric(4101, "pyroscope_memberlist_client_cluster_members_count") == 2)
        out["gone"] = until(40, lambda: metric(4101, conns) <= 2)
        out["timeouts"] = metric(4101, "pyroscope_memberlist_tcp_transport_connections_timeout_total")
    finally:
        for p in started:
            p.kill()
            p.wait()
    print(json.dumps(out))


if __name__ == "__main__":
    world()
    sys.exit(0)

import pytest  # noqa: E402


@pytest.mark.slow
def test_connections_of_a_machine_that_vanished_keep_nobody_out_and_end():
    args = ["unshare", "-r", "-n"]
    probe = "unshare -n true && ip link add va type veth peer name vb"
    if not all(map(shutil.which, ("ip", "unshare", "nsenter"))) or \
            subprocess.run([*args, "sh", "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces")
    p = subprocess.run([*args, sys.executable, os.path.abspath(__file__)], capture_output=True, text=True, timeout=110,
                       check=False)
    assert p.returncode == 0, p.stderr
    out = json.loads(p.stdout)
    assert out["guest"] == "ready" and out["open"] is not None, out
    assert out["joined"] is not None and out["joined"] < 10, out
    assert out["gone"] is not None and out["gone"] < 30, out
    assert out["timeouts"] >= CONNS / 3, out
