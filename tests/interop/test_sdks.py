"""Real SDKs in small real programs push into a cluster, to a distributor and through a receive-proxy; the
program's hot function is found by name.

Each needs its language's tool chain and package registry; where one is absent the test is skipped, by name."""

import os
import shutil
import subprocess
import time

import pytest

from emberring import CPU, flame_tops

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sdk")


def prepare(args, cwd, what):
    try:
        p = subprocess.run(args, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        pytest.skip(f"{what}: {e}")
    if p.returncode:
        pytest.skip(f"{what}: {(p.stderr or p.stdout).strip()[-300:]}")


def run_programs(cluster, language, args, cwd, env=None):
    """The program pushes to a distributor and, at the same time under another name, through a receive-proxy. The
    cluster, and the services' names."""
    c = cluster("--ingesters", "3", "--receive-proxies", "1")
    under_way, ends = {}, c.endpoints()
    targets = {"direct": ends["distributor"][0]["http"], "proxied": ends["receive-proxy"][0]["receive"]}
    for way, target in targets.items():
        service = f"sdk.{language}.{way}"
        under_way[service] = subprocess.Popen(args + [f"http://{target}", service], cwd=cwd, env=dict(os.environ, **(env or {})),
                                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for service, p in under_way.items():
        try:
            out, err = p.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            for q in under_way.values():
                q.kill()
            raise
        assert p.returncode == 0 and "done" in out, service + "\n" + out[-2000:] + err[-2000:]
    return c, list(under_way)


def hottest(cluster, service, profile_type):
    """Largest self value by name, from a first answer that is complete; without Go's runtime, which on a busy
    machine preempts more than the program computes."""
    graph, how = cluster.flamegraph('{service_name="%s"}' % service, profile_type)
    assert how.startswith("complete"), how
    selfs, _ = flame_tops(graph)
    own = {name: v for name, v in selfs.items() if not name.startswith("runtime.")}
    return max(own, key=own.get) if own else ""


def test_go_sdk(cluster, tmp_path):
    go = shutil.which("go")
    if not go:
        pytest.skip("go: no tool chain")
    shutil.copytree(os.path.join(HERE, "go"), tmp_path / "go")
    prepare([go, "build", "-o", "program", "."], tmp_path / "go", "go")
    c, services = run_programs(cluster, "go", ["./program"], tmp_path / "go")
    for service in services:
        assert "hotFunctionInGo" in hottest(c, service, CPU), service


def test_python_sdk(cluster, tmp_path):
    python = shutil.which("python3")
    prepare([python, "-m", "pip", "install", "-q", "--target", str(tmp_path / "lib"), "pyroscope-io==1.4.0"], tmp_path,
            "python")
    c, services = run_programs(cluster, "python", [python, os.path.join(HERE, "python", "main.py")], tmp_path,
                               {"PYTHONPATH": str(tmp_path / "lib")})
    for service in services:
        assert "hot_function_in_python" in hottest(c, service, CPU), service


def test_node_sdk(cluster, tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("node: no tool chain")
    shutil.copytree(os.path.join(HERE, "node"), tmp_path / "node")
    prepare([npm, "install", "--no-audit", "--no-fund"], tmp_path / "node", "node")
    c, services = run_programs(cluster, "node", [node, "main.js"], tmp_path / "node")
    now = int(time.time() * 1000)
    types, _ = c.query("ProfileTypes", start=now - 600_000, end=now + 60_000)
    wall = [t["ID"] for t in types.get("profileTypes", []) if t["ID"].startswith("wall:wall:")]
    assert wall, types
    for service in services:
        assert "hotFunctionInNode" in hottest(c, service, wall[0]), service
