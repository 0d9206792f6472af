"""How it feels to run: flags, help, readiness, metrics, memory, stopping."""

import os
import re
import signal
import subprocess
import time

import pytest
import requests

from conftest import BIN, ROOT
from emberring import labels, pprof

MEMBERS = ["distributor", "ingester", "querier"]
ROLES = MEMBERS + ["receive-proxy"]


def binary(role, *args, timeout=10):
    p = subprocess.run([os.path.join(BIN, role), *args], capture_output=True, text=True, timeout=timeout, check=False,
                       stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout + p.stderr


@pytest.mark.parametrize("role", ROLES)
def test_help_and_version(role):
    status, out = binary(role, "-version")
    assert status == 0 and re.search(r"\d+\.\d+\.\d+", out)
    status, short = binary(role, "-help")
    assert status == 0 and "-memberlist.join" in short
    own = {"distributor": "-validation.max-label-names-per-series", "ingester": "-ingester.wal-sync",
           "querier": "-querier.max-query-length", "receive-proxy": "-forward-to"}
    assert [r for r in ROLES if own[r] + " " in short] == [role]
    status, long = binary(role, "-help-all")
    assert status == 0 and len(long) > len(short) and "-memberlist.gossip-interval" in long
    assert all(flag + " " in long for flag in own.values())


@pytest.mark.parametrize("role", ROLES)
def test_the_reference_page_is_what_every_binary_prints(role):
    status, out = binary(role, "-config.reference")
    with open(os.path.join(ROOT, "docs", "reference.md"), encoding="utf-8") as f:
        assert status == 0 and out == f.read(), "docs/reference.md is stale: make reference"


@pytest.mark.parametrize("role", ROLES)
def test_an_unknown_flag_names_the_nearest(role):
    status, out = binary(role, "-memberlist.joim=x")
    assert status != 0 and "memberlist.join" in out
    status, out = binary(role, "-ingester.num-tokens=many")
    assert status != 0 and "num-tokens" in out


def test_a_configuration_file_is_strict_and_says_where(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("ingester:\n  wal_sync: always\n  no_such: 1\n")
    status, out = binary("ingester", f"-config.file={path}")
    assert status != 0 and "c.yaml:3" in out and "no_such" in out


def test_a_data_path_that_is_in_use_is_refused(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--queriers", "0", "--distributors", "0")
    e = c.endpoints()["ingester"][0]
    args = [a for a in e["args"] if "port" not in a and ".join" not in a]
    status, out = binary("ingester", *args, "-server.http-listen-port=0", "-memberlist.bind-port=0")
    assert status != 0 and e["data"] in out


def test_a_data_path_is_made_with_the_folders_above_it(tmp_path):
    data = tmp_path / "a" / "b" / "c"
    p = subprocess.Popen([os.path.join(BIN, "ingester"), f"-pyroscopedb.data-path={data}", "-server.http-listen-port=0",
                          "-memberlist.bind-addr=127.0.0.1", "-memberlist.bind-port=0"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if data.is_dir() and list(data.iterdir()):
                break
            time.sleep(0.1)
        assert list(data.iterdir())
    finally:
        p.terminate()
        assert p.wait(60) == 0


def test_status_pages(shared):
    for role in MEMBERS:
        url = shared.url(role + "-0")
        assert requests.get(url + "/ready", timeout=5).text.strip() == "ready"
        info = requests.get(url + "/api/v1/status/buildinfo", timeout=5).json()
        assert info["status"] == "success" and info["data"]["version"]
        config = requests.get(url + "/api/v1/status/config", timeout=5)
        assert config.status_code == 200 and "replication_factor: 3" in config.text


def test_metrics_are_valid_prometheus_text(shared):
    shared.must_push([(labels("m"), [pprof({("a",): 1})])])
    shared.total('{service_name="m"}')
    line = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\])*",?)*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)$')
    for role in MEMBERS:
        r = requests.get(shared.url(role + "-0") + "/metrics", timeout=5)
        assert r.headers["Content-Type"].startswith("text/plain")
        typed = set()
        for text in r.text.splitlines():
            if text.startswith("# TYPE "):
                name = text.split()[2]
                assert name not in typed, f"{name} twice"
                typed.add(name)
            elif not text.startswith("#"):
                assert line.match(text), text
                base = re.split(r"[{ ]", text)[0]
                assert base in typed or re.sub(r"_(bucket|sum|count)$", "", base) in typed, base
        for want in ("pyroscope_build_info", "process_resident_memory_bytes", "pyroscope_request_duration_seconds_bucket"):
            assert want in r.text, (role, want)


def test_idle_memory_ten_seconds_after_ready(cluster):
    """At most 4 MiB anonymous and 20 MiB resident for each process."""
    c = cluster()
    time.sleep(10)
    for entries in c.endpoints().values():
        for e in entries:
            with open(f"/proc/{e['pid']}/status", encoding="ascii") as f:
                kb = {k: int(v.split()[0]) for k, v in (x.split(":", 1) for x in f) if v.strip().endswith("kB")}
            assert kb["RssAnon"] <= 4096, (e["name"], kb["RssAnon"])
            assert kb["VmRSS"] <= 20480, (e["name"], kb["VmRSS"])


def test_sigterm_ends_every_role_cleanly_and_quickly(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    c.must_push([(labels(), [pprof({("a",): 1})])])
    for name in ("querier-0", "distributor-0", "ingester-0"):
        began = time.monotonic()
        c.kill(name, "TERM")
        assert time.monotonic() - began < 15, name
    logs = dict(c.logs(400))
    assert not any("assertion" in text or "Sanitizer" in text for text in logs.values())


def test_an_ingester_restarts_to_ready_within_a_second(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    c.must_push([(labels(), [pprof({("a",): 1})])])
    e = c.endpoints()["ingester"][0]
    os.kill(e["pid"], signal.SIGKILL)
    time.sleep(0.1)
    began = time.monotonic()
    p = subprocess.Popen([os.path.join(BIN, "ingester"), *e["args"]], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if requests.get(f"http://{e['http']}/ready", timeout=1).status_code == 200:
                    break
            except requests.RequestException:
                pass
            assert time.monotonic() - began < 5
            time.sleep(0.01)
        assert time.monotonic() - began < 1.5  # a second, and room for a busy machine
    finally:
        p.terminate()
        assert p.wait(20) == 0


def test_the_querier_passes_writes_on_when_told_to(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--querier-flag",
                "-querier.forward-writes-to={distributors}")
    c.must_push([(labels(), [pprof({("a",): 4})])], distributor="querier-0")
    assert c.total() == (4, "complete")


def test_a_querier_that_takes_no_writes_says_who_does(shared):
    for path, kind in (("/push.v1.PusherService/Push", "application/proto"), ("/ingest?name=a", "text/plain")):
        r = requests.post(shared.url("querier-0") + path, data=b"", headers={"Content-Type": kind}, timeout=5)
        assert r.status_code == 404 and "-querier.forward-writes-to" in r.json()["message"]


def test_the_page_is_one_document_without_outside_resources(shared):
    r = requests.get(shared.url("querier-0") + "/", timeout=5)
    assert r.status_code == 200 and r.headers["Content-Type"].startswith("text/html")
    assert not re.search(r'(src|href)="(https?:)?//', r.text)
