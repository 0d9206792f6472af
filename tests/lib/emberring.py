"""A cluster as tests see it: scripts/cluster to run it, Connect JSON to talk to it, and profiles
whose numbers are known. Standard library and requests only."""

import gzip
import json
import os
import subprocess
import sys
import time
import uuid

import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


# --- building profiles ---------------------------------------------------------------------------

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def num(number, value):
    """A varint field; 0 is left out."""
    return varint(number << 3) + varint(value) if value else b""


def field(number, payload):
    if isinstance(payload, str):
        payload = payload.encode()
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def pprof(stacks, time_ns=None, types=(("cpu", "nanoseconds"),), period=("cpu", "nanoseconds", 10_000_000),
          duration_ns=10 * 10**9):
    """A pprof from {(root, ..., leaf): value or tuple of values}; samples may carry labels as a third
    element: [(stack, values, {key: text})]."""
    strings, functions = {"": 0}, {}

    def s(text):
        return strings.setdefault(text, len(strings))

    items = [(k, v, {}) for k, v in stacks.items()] if isinstance(stacks, dict) else stacks
    samples = b""
    for stack, values, labels in items:
        values = values if isinstance(values, tuple) else (values,)
        ids = [functions.setdefault(f, len(functions) + 1) for f in reversed(stack)]
        body = field(1, b"".join(map(varint, ids))) + field(2, b"".join(map(varint, values)))
        for k, v in labels.items():
            body += field(3, num(1, s(k)) + num(2, s(v)))
        samples += field(2, body)
    head = b"".join(field(1, num(1, s(t)) + num(2, s(u))) for t, u in types)
    tables = b""
    for name, i in functions.items():
        tables += field(4, num(1, i) + field(4, num(1, i) + num(2, 10 + i)))
        tables += field(5, num(1, i) + num(2, s(name)) + num(3, s(name)) + num(4, s("main.go")))
    tail = b""
    if period:
        tail = field(11, num(1, s(period[0])) + num(2, s(period[1]))) + num(12, period[2])
    tail = num(9, time_ns if time_ns is not None else time.time_ns()) + num(10, duration_ns) + tail
    table = b"".join(field(6, t) for t in strings)
    return head + samples + tables + table + tail


def push_request(series):
    """PushRequest bytes of [(labels, [raw profile, ...])]."""
    out = b""
    for labels, profiles in series:
        body = b"".join(field(1, field(1, k) + field(2, v)) for k, v in labels.items())
        body += b"".join(field(2, field(1, p) + field(2, str(uuid.uuid4()))) for p in profiles)
        out += field(1, body)
    return out


def labels(service="app", **more):
    return {"__name__": "process_cpu", "service_name": service, **more}


# --- a cluster -----------------------------------------------------------------------------------

class Cluster:
    """One directory of scripts/cluster."""

    def __init__(self, directory, bin_dir):
        self.dir, self.bin = directory, bin_dir
        self.http = requests.Session()

    def tool(self, *args, check=True, timeout=180, env=None):
        p = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "cluster"), args[0], "--dir", self.dir,
                            *args[1:]], capture_output=True, text=True, timeout=timeout, check=False,
                           env=dict(os.environ, **env) if env else None)
        if check and p.returncode:
            raise AssertionError(f"cluster {' '.join(args)}: status {p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def start(self, *args):
        self.tool("start", "--bin-dir", self.bin, *args)

    def stop(self):
        self.tool("stop")
        self.http.close()

    def kill(self, name, sig="KILL"):
        self.tool("kill", name, sig)

    def restart(self, name, env=None):
        """As it was, with these variables in its environment."""
        self.tool("restart", name, env=env)

    def endpoints(self):
        with open(os.path.join(self.dir, "endpoints.json"), encoding="utf-8") as f:
            return json.load(f)

    def url(self, name):
        role, index = name.rsplit("-", 1)
        for e in self.endpoints()[role]:
            if e["name"] == f"{role}-{index}":
                return "http://" + e["http"]
        raise KeyError(name)

    def logs(self, lines=40):
        for entries in self.endpoints().values():
            for e in entries:
                try:
                    with open(e["log"], encoding="utf-8", errors="replace") as f:
                        yield e["name"], "".join(f.readlines()[-lines:])
                except OSError:
                    pass

    # --- writing ---

    def push(self, series, distributor="distributor-0", compress=False, **kw):
        """POST Push; the response."""
        body = push_request(series)
        headers = {"Content-Type": "application/proto"}
        if compress:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.http.post(self.url(distributor) + "/push.v1.PusherService/Push", data=body, headers=headers,
                              timeout=kw.pop("timeout", 20), **kw)

    def must_push(self, series, **kw):
        r = self.push(series, **kw)
        assert r.status_code == 200, (r.status_code, r.text)

    # --- reading ---

    def query(self, method, querier="querier-0", headers=None, **request):
        """A call of querier.v1.QuerierService as JSON: (answer, completeness header)."""
        r = self.http.post(self.url(querier) + "/querier.v1.QuerierService/" + method, json=request, timeout=60,
                           headers=headers)
        assert r.status_code == 200, (method, r.status_code, r.text)
        return r.json(), r.headers.get("X-Pyroscope-Completeness", "")

    def flamegraph(self, selector='{service_name="app"}', profile_type=CPU, span_s=3600, querier="querier-0", **more):
        now = int(time.time() * 1000)
        more.setdefault("start", now - span_s * 1000)
        more.setdefault("end", now + 600_000)
        answer, how = self.query("SelectMergeStacktraces", querier, profileTypeID=profile_type, labelSelector=selector,
                                 **more)
        return answer.get("flamegraph", {}), how

    def total(self, *args, **kw):
        graph, how = self.flamegraph(*args, **kw)
        return int(graph.get("total", 0)), how


def flame_tops(graph):
    """({name: self}, {name: total}) of a flame graph in the API's JSON. A name that calls itself counts once
    in its total."""
    names = graph["names"]
    selfs, totals = {}, {}
    starts = []  # per level: (x, total, name)
    for level in graph["levels"]:
        values = [int(v) for v in level["values"]]
        x, row = 0, []
        for i in range(0, len(values), 4):
            delta, total, own, name = values[i:i + 4]
            x += delta
            row.append((x, total, own, name))
            x += total
        starts.append(row)
    for depth, row in enumerate(starts):
        for x, total, own, name in row:
            if depth == 0:
                continue
            selfs[names[name]] = selfs.get(names[name], 0) + own
            above = any(n == name and px <= x and x + total <= px + pt
                        for upper in starts[1:depth] for px, pt, _, n in upper)
            if not above:
                totals[names[name]] = totals.get(names[name], 0) + total
    return selfs, totals
