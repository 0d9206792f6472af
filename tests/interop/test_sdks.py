"""Real SDKs in small real programs push into a cluster; the program's hot function is found by name.

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


def run_program(args, cwd, env=None):
    p = subprocess.run(args, cwd=cwd, env=dict(os.environ, **(env or {})), capture_output=True, text=True,
                       timeout=90, check=False)
    assert p.returncode == 0 and "done" in p.stdout, p.stdout[-2000:] + p.stderr[-2000:]


def hottest(cluster, service, profile_type):
    """Largest self value by name, from a first answer that is complete."""
    graph, how = cluster.flamegraph('{service_name="%s"}' % service, profile_type)
    assert how.startswith("complete"), how
    selfs, _ = flame_tops(graph)
    return max(selfs, key=selfs.get) if selfs else None


def test_go_sdk(cluster, tmp_path):
    go = shutil.which("go")
    if not go:
        pytest.skip("go: no tool chain")
    shutil.copytree(os.path.join(HERE, "go"), tmp_path / "go")
    prepare([go, "build", "-o", "program", "."], tmp_path / "go", "go")
    c = cluster("--ingesters", "3")
    run_program(["./program", c.url("distributor-0")], tmp_path / "go")
    assert "hotFunctionInGo" in hottest(c, "sdk.go", CPU)


def test_python_sdk(cluster, tmp_path):
    python = shutil.which("python3")
    prepare([python, "-m", "pip", "install", "-q", "--target", str(tmp_path / "lib"), "pyroscope-io==1.4.0"], tmp_path,
            "python")
    c = cluster("--ingesters", "3")
    run_program([python, os.path.join(HERE, "python", "main.py"), c.url("distributor-0")], tmp_path,
                {"PYTHONPATH": str(tmp_path / "lib")})
    assert "hot_function_in_python" in hottest(c, "sdk.python", CPU)


def test_node_sdk(cluster, tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("node: no tool chain")
    shutil.copytree(os.path.join(HERE, "node"), tmp_path / "node")
    prepare([npm, "install", "--no-audit", "--no-fund"], tmp_path / "node", "node")
    c = cluster("--ingesters", "3")
    run_program([node, "main.js", c.url("distributor-0")], tmp_path / "node")
    now = int(time.time() * 1000)
    types, _ = c.query("ProfileTypes", start=now - 600_000, end=now + 60_000)
    wall = [t["ID"] for t in types.get("profileTypes", []) if t["ID"].startswith("wall:wall:")]
    assert wall, types
    assert "hotFunctionInNode" in hottest(c, "sdk.node", wall[0])
