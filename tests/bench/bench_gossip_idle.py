#!/usr/bin/env python3
"""What an idle member costs: a cluster of ours (tests/interop/gossip_node.c) beside one of dskit's own
(tests/interop/gossip-peer), at the same settings, at the same time, on this machine.

Prints CPU (user and system) and anonymous memory (RssAnon) per member over the measured time, and the
ratio of the two clusters. Each member has written one entry of a shared key; nothing else happens but
gossip, probes and exchanges of state. Without Go 1.25 or the module proxy only ours is measured.

  bench_gossip_idle.py [--build build/plain] [--members 60] [--seconds 60] [--smoke]
"""

import argparse
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-memberlist.randomize-node-name=false", "-memberlist.rejoin-interval=1m", "-memberlist.max-concurrent-writes=3"]


def ports(count):
    """Free ports of the loopback."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    found = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return found


class Member:
    def __init__(self, binary, name, port, seeds):
        self.name = name
        args = [binary, f"-memberlist.nodename={name}", "-memberlist.bind-addr=127.0.0.1",
                f"-memberlist.bind-port={port}", "-memberlist.advertise-addr=127.0.0.1",
                f"-memberlist.advertise-port={port}"] + [f"-memberlist.join=127.0.0.1:{s}" for s in seeds] + FLAGS
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def answer(self):
        return json.loads(self.process.stdout.readline() or "null")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def cpu_s(self):
        """Of all threads; schedstat counts nanoseconds, where /proc/PID/stat has ticks of 10 ms."""
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total / 1e9

    def memory(self):
        """Anonymous memory in kB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))


class Cluster:
    """Members of one binary, which list each other."""

    def __init__(self, what, binary, count):
        self.what, at = what, ports(count)
        self.members = []
        for i, port in enumerate(at):
            self.members.append(Member(binary, f"n{i}", port, [p for p in at[:3] if p != port]))
            if i < 3:
                assert self.members[-1].answer() == "ready"
        for m in self.members[3:]:
            assert m.answer() == "ready", f"{what}: a member did not start"

    def settle(self, limit=120):
        for i, m in enumerate(self.members):
            m.ask(f"set {m.name} {i + 1}")
        end, want = time.monotonic() + limit, len(self.members)
        for m in self.members:
            while len(m.ask("members")) < want or len(m.ask("get")) < want:
                assert time.monotonic() < end, f"{self.what}: {m.name} does not know all"
                time.sleep(0.5)

    def cpu_s(self):
        return sum(m.cpu_s() for m in self.members)

    def memory(self):
        return sum(m.memory() for m in self.members) / len(self.members)

    def stop(self):
        for m in self.members:
            m.process.kill()
        for m in self.members:
            m.process.wait()


def go_peer(tmp):
    """dskit's member, or None without a Go that can build it."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    binary = os.path.join(tmp, "gossip-peer")
    source = os.path.join(tmp, "src")
    shutil.copytree(os.path.join(ROOT, "tests", "interop", "gossip-peer"), source)
    try:
        p = subprocess.run([go, "build", "-o", binary, "."], cwd=source, env=dict(os.environ, GOFLAGS="-mod=mod"),
                           capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return binary if p.returncode == 0 else None


def measure(clusters, seconds):
    """Per cluster: CPU in parts per thousand of a core, and kB, of a member."""
    before = [c.cpu_s() for c in clusters]
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    result = []
    for c, cpu in zip(clusters, before):
        result.append(((c.cpu_s() - cpu) / took / len(c.members) * 1000, c.memory()))
        print(f"{c.what:<22} {result[-1][0]:8.3f} permille of a core {result[-1][1] / 1000:8.2f} MB anonymous", flush=True)
    return result


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--build", default=os.path.join(ROOT, "build", "plain"))
    ap.add_argument("--members", type=int, default=60)
    ap.add_argument("--seconds", type=float, default=60)
    ap.add_argument("--smoke", action="store_true", help="few members, a few seconds, ours alone")
    opts = ap.parse_args()
    if opts.smoke:
        opts.members, opts.seconds = 5, 2
    subprocess.run(["make", "-s", "build/plain/tests/interop/gossip_node"], cwd=ROOT, check=True)
    clusters = []
    with tempfile.TemporaryDirectory(prefix="emberring-bench-") as tmp:
        peer = None if opts.smoke else go_peer(tmp)
        try:
            node = os.path.join(opts.build, "tests", "interop", "gossip_node")
            clusters.append(Cluster(f"{opts.members} of ours", node, opts.members))
            if peer:
                clusters.append(Cluster(f"{opts.members} of dskit", peer, opts.members))
            for c in clusters:
                c.settle()
            time.sleep(1 if opts.smoke else 15)  # what the start has to tell is told
            r = measure(clusters, opts.seconds)
            if peer:
                print(f"ours / dskit [CPU <= 1/5, memory <= 1/8]: CPU 1/{r[1][0] / r[0][0]:.1f}, memory 1/{r[1][1] / r[0][1]:.1f}")
            elif not opts.smoke:
                print("skipped: dskit (needs Go 1.25 and the module proxy)")
        finally:
            for c in clusters:
                c.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
