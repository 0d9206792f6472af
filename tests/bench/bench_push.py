#!/usr/bin/env python3
"""What a push costs, end to end: the real binaries on loopback, tests/bench/bench_load.c as the client.

Prints, as ratios of one run, the CPU (user and system, all threads) of distributor and ingesters per
acknowledged push, in units of libdeflate's gunzip of the same bytes in the same seconds, at replication
factors 1 and 3 and at 32 and 1 connections; log bytes per profile; how long an acknowledge takes at
1,000 profiles/s. Replay and the scan of the head are in bench_store.

The profiles are made from the captured ones of tests/data, which are small: several copies of each in
one, with the letters of function names exchanged in all but the first, so that copies share as little as
the functions of a larger program would. 16 variants have other values and lack every tenth sample.

  bench_push.py [--build build/plain] [--seconds 3] [--rounds 3] [--only cpu,heap,ack]
"""

import argparse
import glob
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import emberring  # noqa: E402
import pprof_reader  # noqa: E402
from emberring import field, num, varint  # noqa: E402

VARIANTS = 16


# --- profiles --------------------------------------------------------------------------------------

def renamed(text, copy):
    """A name for another copy: vowels and consonants exchanged, what tells the language left alone."""
    if copy == 0 or not re.search(r"[./]", text):
        return text
    def turned(letters):
        return letters[copy:] + letters[:copy]
    one = "aeiou" + "bcdfghjklmnpqrstvwxyz"
    other = turned("aeiou") + turned("bcdfghjklmnpqrstvwxyz")
    stem, dot, end = text.rpartition(".go")
    stem = stem if dot and not end else text
    return stem.translate(str.maketrans(one, other)) + (".go" if stem != text else "")


class Source:
    """A captured profile, taken apart."""

    def __init__(self, path):
        with open(path, "rb") as f:
            parts = list(pprof_reader.fields(gzip.decompress(f.read())))
        self.of = {n: [v for k, v in parts if k == n] for n in range(1, 15)}
        self.strings = [s.decode() for s in self.of[6]]
        self.locations = max(pprof_reader.flat(v)[1] for v in self.of[4])
        self.functions = max(pprof_reader.flat(v)[1] for v in self.of[5])


def enlarged(source, copies, seed):
    """One profile without time, of several copies, with values of its own."""
    rng = random.Random(seed)
    strings, out = {}, b""
    for text in source.strings:
        strings.setdefault(text, len(strings))

    def s(index, copy):
        return strings.setdefault(renamed(source.strings[index], copy), len(strings))

    for copy in range(copies):
        base = copy * source.locations
        for sample in source.of[2]:
            if rng.random() < 0.1:
                continue
            ids, values, labels = [], [], b""
            for number, value in pprof_reader.fields(sample):
                if number == 1:
                    ids += [base + i for i in pprof_reader.numbers(value)]
                elif number == 2:
                    values += pprof_reader.numbers(value)
                elif number == 3:
                    labels += field(3, value)
            factor = rng.choice((1, 1, 1, 2, 2, 3, 5))
            out += field(2, field(1, b"".join(map(varint, ids))) +
                         field(2, b"".join(varint(v * factor) for v in values)) + labels)
    for copy in range(copies):
        base, base_fun = copy * source.locations, copy * source.functions
        for location in source.of[4]:
            body = b""
            for number, value in pprof_reader.fields(location):
                if number == 4:
                    line = pprof_reader.flat(value)
                    body += field(4, num(1, base_fun + line[1]) + num(2, line.get(2, 0)))
                else:
                    body += num(number, value + (base if number == 1 else copy << 24 if number == 3 else 0))
            out += field(4, body)
        for function in source.of[5]:
            f = pprof_reader.flat(function)
            out += field(5, num(1, base_fun + f[1]) + b"".join(num(n, s(f.get(n, 0), copy)) for n in (2, 3, 4)) +
                         num(5, f.get(5, 0)))
    head = b"".join(field(1, v) for v in source.of[1])
    tail = b"".join(field(3, v) for v in source.of[3]) + b"".join(field(6, t) for t in strings)
    for number in (10, 12, 14):
        tail += b"".join(num(number, v) for v in source.of[number])
    return head + out + tail + b"".join(field(11, v) for v in source.of[11])


def write_variants(directory, name, copies):
    """Files of one kind; their paths joined by commas."""
    source, paths = Source(os.path.join(ROOT, "tests", "data", name + ".pb.gz")), []
    for i in range(VARIANTS):
        paths.append(os.path.join(directory, f"{name}-{i}.pb"))
        with open(paths[-1], "wb") as f:
            f.write(enlarged(source, copies, i))
    return ",".join(paths)


# --- runs ------------------------------------------------------------------------------------------

class Bench:
    """A cluster under load."""

    def __init__(self, opts, tmp, name, ingesters, factor):
        self.load_path = os.path.join(opts.build, "tests", "bench", "bench_load")
        self.cluster = emberring.Cluster(os.path.join(tmp, name), opts.bin)
        self.cluster.start("--ingesters", str(ingesters), "--replication-factor", str(factor), "--queriers", "0")
        ends = self.cluster.endpoints()
        self.to = ends["distributor"][0]["http"]
        self.data = [e["data"] for e in ends["ingester"]]
        self.pids = [ends["distributor"][0]["pid"]] + [e["pid"] for e in ends["ingester"]]
        self.seconds, self.rounds = opts.seconds, opts.rounds

    def load(self, profiles, prefix, *more):
        p = subprocess.run([self.load_path, "--to", self.to, "--profiles", profiles, "--prefix", prefix, "--seconds",
                            str(self.seconds), "--pid", ",".join(map(str, self.pids)), *more],
                           stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(p.stdout)

    def log_bytes(self):
        return sum(written(f) for d in self.data
                   for f in glob.glob(os.path.join(d, "**", "*"), recursive=True) if os.path.isfile(f))

    def stop(self):
        self.cluster.stop()


def written(path):
    """Bytes of a file up to its last one that is not 0: segments are allocated ahead."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        while size > 0:
            start = max(0, size - (1 << 20))
            f.seek(start)
            block = f.read(size - start).rstrip(b"\0")
            if block:
                return start + len(block)
            size = start
    return 0


def row(what, *columns):
    print(f"{what:<58}" + "".join(f" {c:>16}" for c in columns), flush=True)


def cost(bench, profiles, kind, factor):
    """Prints CPU a push at 32 and 1 connections, of some runs the middle one; the figures at 32."""
    first = None
    for connections in ("32", "1"):
        runs = []
        for _ in range(bench.rounds):
            r = bench.load(profiles, kind, "--connections", connections)
            runs.append({"cpu": [c / r["gunzip_us"] for c in r["cpu_us"]], **r})
        r = sorted(runs, key=lambda run: sum(run["cpu"]))[len(runs) // 2]
        row(f"{kind} {r['gzip_bytes'] / 1000:.0f} kB gzip, RF {factor}, {connections} connections: x gunzip",
            f"{sum(r['cpu']):.2f}", f"distributor {r['cpu'][0]:.2f}",
            "ingester " + "/".join(f"{c:.2f}" for c in r["cpu"][1:]), f"{r['per_second']:.0f} /s",
            f"gunzip {r['gunzip_us']:.0f} us")
        first = first or r
    return first


def kind_run(opts, tmp, kind, profiles):
    """One kind of profile at both factors."""
    totals = {}
    for factor in (1, 3):
        bench = Bench(opts, tmp, f"{kind}-{factor}", factor, factor)
        try:
            totals[factor] = cost(bench, profiles, kind, factor)
            if factor == 1:
                before = bench.log_bytes()
                r = bench.load(profiles, kind, "--connections", "8", "--warm", "0", "--seconds", "2")
                after = bench.log_bytes()
                row(f"{kind}: log bytes per profile / gzip", f"{(after - before) / r['all_acked'] / r['gzip_bytes']:.3f}")
        finally:
            bench.stop()
    further = (sum(totals[3]["cpu"]) - sum(totals[1]["cpu"])) / 2
    row(f"{kind}: distributor + one ingester, x gunzip [<= 3]", f"{sum(totals[1]['cpu']):.2f}")
    row(f"{kind}: each further replica, x gunzip [<= 1]", f"{further:.2f}")


def ack_run(opts, tmp, profiles):
    """Open loop on one ingester."""
    bench = Bench(opts, tmp, "ack", 1, 1)
    try:
        for rate in (100, 1000):
            r = bench.load(profiles, "ack", "--connections", "128", "--rate", str(rate))
            row(f"acknowledge {r['gzip_bytes'] / 1000:.0f} kB at {rate}/s [at 1000/s: p50 <= 2 ms, p99 <= 10 ms]",
                f"p50 {r['p50_ms']:.2f} ms", f"p99 {r['p99_ms']:.2f} ms", f"{r['per_second']:.0f} /s",
                f"CPU {sum(r['cpu_us']) * r['per_second'] / 1e4:.0f} %")
    finally:
        bench.stop()


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--build", default=os.path.join(ROOT, "build", "plain"))
    ap.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", default="cpu,heap,ack")
    opts = ap.parse_args()
    opts.build, only = os.path.abspath(opts.build), opts.only.split(",")
    with tempfile.TemporaryDirectory(prefix="emberring-bench-") as tmp:
        cpu, heap = write_variants(tmp, "go-cpu", 2), write_variants(tmp, "go-heap", 4)
        if "cpu" in only:
            kind_run(opts, tmp, "cpu", cpu)
        if "heap" in only:
            kind_run(opts, tmp, "heap", heap)
        if "ack" in only:
            ack_run(opts, tmp, write_variants(tmp, "go-cpu", 1))


if __name__ == "__main__":
    main()
