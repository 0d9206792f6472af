#!/usr/bin/env python3
"""What the receive-proxy costs: the real binary on loopback between tests/bench/bench_load.c as the clients
and tests/bench/bench_receive_proxy.c as receivers.

Prints CPU (user and system, all threads) of the proxy per push of 40 kB that it passed on, as a multiple of
what libmicrohttpd itself needs to answer the same POST with an empty 200, with one, two and three receivers;
and its anonymous memory while many connections stay open after a push each. The runs of a round follow each
other, so that they share the machine's other work; each figure is the middle one of the rounds.

  bench_receive_proxy.py [--build build/plain] [--bin build/bin] [--seconds 3] [--rounds 5] [--held 10000]
                         [--only cpu,held] [--smoke]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import faulty_receivers as rp  # noqa: E402

BYTES = 40_000
PROFILES = 16


class Helper:
    """bench_receive_proxy as a process, until its input ends."""

    def __init__(self, opts, *args):
        self.process = subprocess.Popen([os.path.join(opts.build, "tests", "bench", "bench_receive_proxy"), *map(str, args)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = int(self.process.stdout.readline() or -1)

    def end(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.wait()
        return int(rest or 0)


def write_profiles(directory):
    """Noise, which gzip leaves as large as it is; nobody here looks into it."""
    rng, paths = random.Random(1), []
    for i in range(PROFILES):
        paths.append(os.path.join(directory, f"profile-{i}"))
        with open(paths[-1], "wb") as f:
            f.write(rng.randbytes(BYTES))
    return ",".join(paths)


def load(opts, profiles, port, pid):
    """(microseconds of CPU a push, pushes a second) of a process under load."""
    p = subprocess.run([os.path.join(opts.build, "tests", "bench", "bench_load"), "--to", f"127.0.0.1:{port}", "--profiles",
                        profiles, "--seconds", str(opts.seconds), "--warm", "0.5", "--pid", str(pid)],
                       stdout=subprocess.PIPE, text=True, check=True)
    r = json.loads(p.stdout)
    assert r["failed"] == 0 and r["acked"] > 0, r
    return r["cpu_us"][0], r["per_second"]


def start_proxy(opts, tmp, sinks):
    port = rp.free_ports(1)[0]
    targets = [rp.endpoint(f"http://127.0.0.1:{s.said}") for s in sinks]
    config = rp.write("x", *targets) + rp.receive("x", port, "x")
    directory = tempfile.mkdtemp(dir=tmp)
    return rp.Proxy(directory, os.path.join(opts.bin, "receive-proxy"), config), port


def row(what, *columns):
    print(f"{what:<66}" + "".join(f" {c:>14}" for c in columns), flush=True)


def middle(values):
    return sorted(values)[len(values) // 2]


def cpu_run(opts, tmp):
    profiles = write_profiles(tmp)
    sinks = [Helper(opts, "--sink") for _ in range(3)]
    proxies = []
    try:
        proxies = [start_proxy(opts, tmp, sinks[:n + 1]) for n in range(3)]
        ratios, base, rates = [[], [], []], [], []
        for _ in range(opts.rounds):
            base.append(load(opts, profiles, sinks[0].said, sinks[0].process.pid)[0])
            for n, (proxy, port) in enumerate(proxies):
                us, rate = load(opts, profiles, port, proxy.process.pid)
                ratios[n].append(us / base[-1])
                rates.append(rate)
            row("round: libmicrohttpd, us a push; x that with 1, 2, 3 receivers", f"{base[-1]:.1f} us",
                *(f"{r[-1]:.2f} x" for r in ratios))
        one, three = middle(ratios[0]), middle(ratios[2])
        row("CPU of a forwarded 40 kB push, x libmicrohttpd's empty 200 [<= 4]", f"{one:.2f} x", f"{middle(rates):.0f} /s")
        row("each further receiver [<= 2 x more]", f"{(three - one) / 2:.2f} x")
        for proxy, _ in proxies:
            assert proxy.count("pyroscope_write_dropped_profiles_total") == 0
    finally:
        for proxy, _ in proxies:
            proxy.stop()
        for s in sinks:
            s.end()


def held_run(opts, tmp):
    sink = Helper(opts, "--sink")
    proxy, port = start_proxy(opts, tmp, [sink])
    try:
        idle = proxy.rss_anon_kib()
        clients = Helper(opts, "--hold", port, opts.held, BYTES)
        assert clients.said == opts.held, f"{clients.said} of {opts.held} pushes were taken"
        time.sleep(1)
        open_now = proxy.count("pyroscope_receive_http_tcp_connections")
        assert open_now >= opts.held, f"{open_now} of {opts.held} connections are open"
        row(f"anonymous memory, {opts.held} connections after a push each [10,000: <= 120 MiB]",
            f"{proxy.rss_anon_kib() / 1024:.1f} MiB", f"idle {idle / 1024:.1f} MiB")
        clients.end()
    finally:
        proxy.stop()
        sink.end()


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--build", default=os.path.join(ROOT, "build", "plain"))
    ap.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--held", type=int, default=10_000)
    ap.add_argument("--only", default="cpu,held")
    ap.add_argument("--smoke", action="store_true", help="one short round, few connections")
    opts = ap.parse_args()
    if opts.smoke:
        opts.seconds, opts.rounds, opts.held = 0.5, 1, 200
    opts.build = os.path.abspath(opts.build)
    with tempfile.TemporaryDirectory(prefix="emberring-bench-") as tmp:
        if "cpu" in opts.only:
            cpu_run(opts, tmp)
        if "held" in opts.only:
            held_run(opts, tmp)
    return 0


if __name__ == "__main__":
    sys.exit(main())
