"""scripts/cluster keeps its promises: against stand-ins for the binaries, so that the tool is what is tested."""

import json
import os
import signal
import stat
import time

import pytest

STAND_IN = r'''#!/usr/bin/python3
import http.server, os, signal, sys, time
flags = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
if "die" in flags:
    print("cannot go on: " + flags["die"], flush=True)
    sys.exit(3)
slow = time.time() + float(flags.get("slow", 0))
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = time.time() >= slow
        self.send_response(200 if ok else 503)
        self.end_headers()
        self.wfile.write(b"ready" if ok else b"still slow")
    def log_message(self, *a):
        pass
if flags.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
open(os.path.join(flags["pyroscopedb.data-path"], "was-here"), "a").write("x")
http.server.ThreadingHTTPServer((flags["server.http-listen-address"], int(flags["server.http-listen-port"])), H).serve_forever()
'''


@pytest.fixture
def bins(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for role in ("distributor", "ingester", "querier"):
        path = folder / role
        path.write_text(STAND_IN)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def endpoints(tmp_path):
    return json.loads((tmp_path / "c" / "endpoints.json").read_text())


def running(pid):
    try:
        return open(f"/proc/{pid}/stat", encoding="ascii").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_start_waits_for_ready_and_stop_leaves_no_process(tool, bins, tmp_path):
    status, out = tool("start", "--bin-dir", bins, "--", "-slow=0.3")
    assert status == 0, out
    ends = endpoints(tmp_path)
    assert [e["name"] for e in ends["ingester"]] == ["ingester-0", "ingester-1", "ingester-2"]
    assert set(ends) == {"distributor", "ingester", "querier", "receive-proxy"}
    assert set(ends["querier"][0]) == {"name", "http", "gossip", "pid", "data", "log", "args"}
    assert all(e["data"].startswith(str(tmp_path / "c")) for e in ends["ingester"])
    assert "-slow=0.3" in ends["distributor"][0]["args"]
    pids = [e["pid"] for es in ends.values() for e in es]
    assert all(running(p) for p in pids)
    assert tool("stop")[0] == 0
    assert not any(running(p) for p in pids)
    assert tool("stop")[0] == 0
    assert endpoints(tmp_path) == ends


def test_a_second_start_is_refused_while_it_runs_and_resumes_when_it_is_dead(tool, bins, tmp_path):
    assert tool("start", "--bin-dir", bins, "--ingesters", "1")[0] == 0
    status, out = tool("start", "--bin-dir", bins)
    assert status == 1 and "running" in out.splitlines()[-1]
    for es in endpoints(tmp_path).values():
        for e in es:
            os.kill(e["pid"], signal.SIGKILL)
    before = endpoints(tmp_path)
    status, out = tool("start", "--ingesters", "2")
    assert status == 1 and "ingesters" in out.splitlines()[-1]
    assert tool("start")[0] == 0
    after = endpoints(tmp_path)
    assert after["ingester"][0]["http"] == before["ingester"][0]["http"]
    assert (tmp_path / "c" / "ingester-0" / "was-here").read_text() == "xx"


def test_kill_and_restart_keep_the_entry_and_the_ports(tool, bins, tmp_path):
    assert tool("start", "--bin-dir", bins, "--ingesters", "1")[0] == 0
    before = endpoints(tmp_path)["ingester"][0]
    assert tool("kill", "ingester-0")[0] == 0
    assert not running(before["pid"])
    assert endpoints(tmp_path)["ingester"][0] == before
    assert tool("status")[0] == 1
    assert tool("restart", "ingester-0")[0] == 0
    after = endpoints(tmp_path)["ingester"][0]
    assert after["http"] == before["http"] and after["pid"] != before["pid"]
    assert tool("kill", "ingester-0", "STOP")[0] == 0
    assert open(f"/proc/{after['pid']}/stat", encoding="ascii").read().rpartition(")")[2].split()[0] == "T"
    assert tool("kill", "ingester-0", "CONT")[0] == 0
    assert tool("kill", "ingester-0", "NOSUCH")[0] == 2


def test_add_and_remove(tool, bins, tmp_path):
    assert tool("start", "--bin-dir", bins, "--ingesters", "1")[0] == 0
    assert tool("add", "distributor", "2")[0] == 0
    assert [e["name"] for e in endpoints(tmp_path)["distributor"]] == [f"distributor-{i}" for i in range(3)]
    pid = endpoints(tmp_path)["distributor"][1]["pid"]
    assert tool("remove", "distributor-1")[0] == 0
    assert not running(pid)
    assert tool("add", "distributor")[0] == 0
    assert [e["name"] for e in endpoints(tmp_path)["distributor"]] == ["distributor-0", "distributor-2", "distributor-3"]
    status, out = tool("remove", "ingester-0")
    assert status == 1 and "handing it over" in out.splitlines()[-1]


def test_a_process_that_dies_is_named_with_the_end_of_its_log(tool, bins, tmp_path):
    status, out = tool("start", "--bin-dir", bins, "--ingester-flag", "-die=no disk")
    assert status == 1
    assert "cannot go on: no disk" in out and "ingester-" in out.splitlines()[-1]
    assert not any(running(e["pid"]) for es in endpoints(tmp_path).values() for e in es if e["pid"])


def test_a_role_without_binary_exits_2_and_says_so(tool, bins):
    status, out = tool("start", "--bin-dir", bins, "--receive-proxies", "1")
    assert status == 2 and "receive-proxy" in out.splitlines()[-1]
    assert tool("nonsense")[0] == 2
    assert tool("start", "--no-such")[0] == 2
    assert tool("restart", "ingester-0")[0] == 1


def test_a_stale_pid_is_not_taken_for_ours(tool, bins, tmp_path):
    assert tool("start", "--bin-dir", bins, "--ingesters", "1")[0] == 0
    assert tool("stop")[0] == 0
    state = json.loads((tmp_path / "c" / "cluster.json").read_text())
    for e in state["processes"]:
        e["pid"] = os.getpid()  # alive, and another program
    (tmp_path / "c" / "cluster.json").write_text(json.dumps(state))
    assert tool("stop")[0] == 0
    time.sleep(0.1)
    assert tool("start")[0] == 0


def test_what_ignores_term_is_killed_after_the_grace(tool, bins, tmp_path, monkeypatch):
    assert tool("start", "--bin-dir", bins, "--ingesters", "1", "--ingester-flag", "-stubborn=1")[0] == 0
    pid = endpoints(tmp_path)["ingester"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    monkeypatch.setenv("EMBERRING_STOP_GRACE", "2")
    assert tool("stop")[0] == 0
    assert time.monotonic() - began < 20
    assert not running(pid)
