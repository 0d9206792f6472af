"""receive-proxy between clients that send each profile once and receivers that fail in every way there is: what the
client hears, how often it was tried, and that in the end everything is there once."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import faulty_receivers as rp
from conftest import BIN
from emberring import CPU, labels

BINARY = os.path.join(BIN, "receive-proxy")
QUICK = {"remote_timeout": "1s", "min_backoff_period": "20ms", "max_backoff_period": "50ms"}


@pytest.fixture
def proxy(tmp_path, request):
    """A function that starts a proxy on a configuration."""
    started = []

    def start(config, *flags):
        p = rp.Proxy(tmp_path / f"proxy{len(started)}", BINARY, config, *flags)
        started.append(p)
        return p

    yield start
    for p in started:
        p.stop()
        report = getattr(request.node, "rep_call", None)
        if report is not None and report.failed:
            print(p.logged()[-6000:])


@pytest.fixture
def downstream():
    """A function that makes a port of receivers."""
    made = []

    def make(*args, **kw):
        made.append(rp.Downstream(*args, **kw))
        return made[-1]

    yield make
    for d in made:
        d.close()


# --- what the client hears, and how often it was tried -------------------------------------------

TRIES = 3
WAYS = ["200", "202", "400", "408", "422", "429", "500", "503", "hang", "refuse"]
# API -> way: (status that the client hears, attempts at the receiver that fails; None: it cannot know)
ALLOY = {
    "ingest": {"200": (200, 1), "202": (202, 1), "400": (400, 1), "408": (408, TRIES), "422": (422, 1), "429": (429, TRIES),
               "500": (500, TRIES), "503": (503, TRIES), "hang": (500, TRIES), "refuse": (500, None)},
    "push": {"200": (200, 1), "202": (500, TRIES), "400": (500, TRIES), "408": (500, TRIES), "422": (500, TRIES),
             "429": (500, TRIES), "500": (500, TRIES), "503": (500, TRIES), "hang": (500, TRIES), "refuse": (500, None)},
    "code": {"400": (500, 1), "429": (500, TRIES), "500": (500, TRIES), "503": (500, TRIES)},
}
OURS = {
    "ingest": {"200": (200, 1), "202": (200, 1), "400": (400, 1), "408": (408, TRIES), "422": (422, 1), "429": (429, TRIES),
               "500": (500, TRIES), "503": (503, TRIES), "hang": (504, TRIES), "refuse": (503, None)},
    "push": {"200": (200, 1), "202": (500, TRIES), "400": (400, 1), "408": (504, TRIES), "422": (400, 1), "429": (429, TRIES),
             "500": (500, TRIES), "503": (503, TRIES), "hang": (504, TRIES), "refuse": (503, None)},
    "code": {"400": (400, 1), "429": (429, TRIES), "500": (500, TRIES), "503": (503, TRIES)},
}
CODES = {"400": "invalid_argument", "429": "resource_exhausted", "500": "internal", "503": "unavailable"}


def mode_of(way, api):
    if way == "200":
        return "well"
    if api == "code":
        return ("connect", int(way), CODES[way])
    return "hang" if way == "hang" else ("status", int(way)) if way.isdigit() else "well"


def run_matrix(proxy, downstream, expected, write_arguments, *flags):
    """Every way to fail, alone and beside a receiver that works: a list of what was not as expected."""
    cases = [(api, way, n) for api, ways in expected.items() for way in ways for n in (1, 2)]
    ports = rp.free_ports(len(cases))
    up, refusing, config = downstream(), downstream(up=False), ""
    for (api, way, n), port in zip(cases, ports):
        name = f"{api}_{way}_{n}"
        up.set(name, mode_of(way, api))
        arguments = dict(QUICK, max_backoff_retries=TRIES, remote_timeout="400ms" if way == "hang" else "5s")
        to = (refusing if way == "refuse" else up).url(name)
        config += rp.write(name, rp.endpoint(to, **arguments), **write_arguments)
        targets = [name]
        if n == 2:
            targets.append(name + "_well")
            config += rp.write(name + "_well", rp.endpoint(up.url(name + "_well"), **arguments), **write_arguments)
        config += rp.receive(name, port, *targets)
    p = proxy(config, *flags)

    def one(case):
        (api, way, n), port = case
        name = f"{api}_{way}_{n}"
        if api == "ingest":
            r = rp.ingest(port, "app", name)
        else:
            r = rp.push(port, [(labels(), [rp.marked(name)])])
        tried = len(up.of(name)) if expected[api][way][1] is not None else None
        got, want = (r.status_code, tried), expected[api][way]
        wrong = [] if got == want else [f"{name}: {got}, not {want}: {r.text[:200]}"]
        if n == 2 and up.stored(name + "_well") != [name]:
            wrong.append(f"{name}: the other one has {up.stored(name + '_well')}")
        return wrong, (name, r)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, zip(cases, ports)))
    return p, [w for wrong, _ in results for w in wrong], {name: r for _, (name, r) in results}


def test_a_receivers_answer_is_the_clients_answer(proxy, downstream):
    p, wrong, answers = run_matrix(proxy, downstream, OURS, {"queue": {"enabled": False}})
    assert not wrong, "\n".join(wrong)
    assert answers["push_400_1"].json()["code"] == "invalid_argument"
    assert answers["push_hang_2"].json()["code"] == "deadline_exceeded"
    assert p.count("pyroscope_write_retries_total", component_id="pyroscope.write.push_503_1") == TRIES - 1
    assert p.count("pyroscope_write_dropped_profiles_total", component_id="pyroscope.write.push_503_1") == 1
    assert p.count("pyroscope_write_sent_profiles_total", component_id="pyroscope.write.push_503_2_well") == 1


def test_compat_alloy_answers_and_tries_as_alloy_does(proxy, downstream):
    p, wrong, answers = run_matrix(proxy, downstream, ALLOY, {}, "-compat=alloy")
    assert not wrong, "\n".join(wrong)
    assert {answers[f"push_{way}_1"].json()["code"] for way in WAYS if way != "200"} == {"internal"}
    assert answers["ingest_refuse_1"].text == "Failed to process request\n"
    assert answers["ingest_422_1"].text == "Unprocessable Entity\n"
    assert answers["ingest_202_1"].text == "Accepted\n"
    assert p.count("pyroscope_write_queue_queued_total") == 0, "the peer has no queue"


def test_a_deadline_leaves_room_for_a_second_attempt_and_alloys_does_not(proxy, downstream):
    d = downstream({"ours": ["hang", "well"], "alloys": ["hang", "well"]})
    ours, alloys = rp.free_ports(2)
    slow = dict(QUICK, remote_timeout="10s")
    off = {"queue": {"enabled": False}}
    first = proxy(rp.write("ours", rp.endpoint(d.url("ours"), **slow), **off) + rp.receive("ours", ours, "ours"))
    proxy(rp.write("alloys", rp.endpoint(d.url("alloys"), **slow)) + rp.receive("alloys", alloys, "alloys"), "-compat=alloy")
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(rp.push, ours, [(labels(), [rp.marked("a")])], 4000)
        other = pool.submit(rp.push, alloys, [(labels(), [rp.marked("b")])], 4000)
        assert one.result().status_code == 200
        assert other.result().status_code >= 500
    assert d.stored("ours") == ["a"] and len(d.of("ours")) == 2
    assert d.stored("alloys") == []
    left = [int(r.headers["connect-timeout-ms"]) for r in d.of("ours")]
    assert left[0] < 2000 < 4000, left
    assert first.count("pyroscope_write_dropped_profiles_total") == 0


def test_what_cannot_be_sent_before_the_deadline_is_queued_and_not_lost(proxy, downstream, tmp_path):
    d = downstream({"x": "hang"})
    port, = rp.free_ports(1)
    p = proxy(rp.write("x", rp.endpoint(d.url("x"), **dict(QUICK, remote_timeout="10s")), queue={"dir": str(tmp_path / "q")}) +
              rp.receive("x", port, "x"))
    began = time.monotonic()
    r = rp.push(port, [(labels(), [rp.marked("a")])], timeout_ms=2000)
    assert r.status_code == 200 and time.monotonic() - began < 2, "the disk has it in time"
    d.heal()
    d.down()  # what hangs is reset
    d.up()
    assert rp.until(lambda: d.stored("x") == ["a"], 15)
    assert rp.until(lambda: p.waits("x") == 0, 5)


def test_retry_after_is_honoured_and_told(proxy, downstream):
    later = ("status", 429, {"Retry-After": "1"})
    d = downstream({"ours": [later, "well"], "told": ("status", 503, {"Retry-After": "7"}), "alloys": [later, "well"]})
    ours, told, alloys = rp.free_ports(3)
    off = {"queue": {"enabled": False}}
    proxy(rp.write("ours", rp.endpoint(d.url("ours"), **QUICK), **off) + rp.receive("ours", ours, "ours") +
          rp.write("told", rp.endpoint(d.url("told"), max_backoff_retries=1), **off) + rp.receive("told", told, "told"))
    proxy(rp.write("x", rp.endpoint(d.url("alloys"), **QUICK)) + rp.receive("x", alloys, "x"), "-compat=alloy")
    assert rp.ingest(ours, "app", "a").status_code == 200
    assert rp.ingest(alloys, "app", "b").status_code == 200
    for call in (rp.ingest(told, "app", "c"), rp.push(told, [(labels(), [rp.marked("d")])])):
        assert call.status_code == 503 and call.headers["Retry-After"] == "7"
    gaps = {prefix: d.of(prefix)[1].at - d.of(prefix)[0].at for prefix in ("ours", "alloys")}
    assert gaps["ours"] >= 1, gaps
    assert gaps["alloys"] < gaps["ours"], gaps


# --- one of two fails ----------------------------------------------------------------------------

def test_one_of_two_fails_and_the_client_need_not_send_again_to_both(proxy, downstream):
    """The queue is in memory: that the other receiver has it is what the 200 stands on."""
    good, bad = downstream(), downstream(up=False)
    port, = rp.free_ports(1)
    p = proxy(rp.write("x", rp.endpoint(good.url("x"), **QUICK), rp.endpoint(bad.url("x"), **QUICK)) +
              rp.receive("x", port, "x"))
    marks = [f"m{i}" for i in range(20)]
    for m in marks[:10]:
        assert rp.push(port, [(labels(), [rp.marked(m)])]).status_code == 200
    for m in marks[10:]:
        assert rp.ingest(port, "app", m).status_code == 200
    assert good.stored("x") == marks
    assert p.count("pyroscope_write_queue_queued_total", where="memory") == 20
    bad.up()
    assert rp.until(lambda: sorted(bad.stored("x")) == sorted(marks), 20), bad.stored("x")
    assert rp.until(lambda: p.waits("x") == 0, 5)
    assert good.stored("x") == marks and len(good.of("x")) == 20, "nobody gets it twice"
    assert len(bad.stored("x")) == 20
    assert p.count("pyroscope_write_dropped_profiles_total") == 0


def test_a_refusal_by_one_of_two_is_told_and_not_queued(proxy, downstream):
    d = downstream({"bad": ("status", 400)})
    port, = rp.free_ports(1)
    p = proxy(rp.write("x", rp.endpoint(d.url("good"), **QUICK), rp.endpoint(d.url("bad"), **QUICK)) +
              rp.receive("x", port, "x"))
    assert rp.push(port, [(labels(), [rp.marked("a")])]).status_code == 400
    assert d.stored("good") == ["a"] and len(d.of("bad")) == 1
    assert p.waits("x") == 0
    assert p.count("pyroscope_write_dropped_profiles_total") == 1


# --- every fault, in front of the suite ----------------------------------------------------------

FAULTS = {"down": None, "slow": ("slow", 3), "full": ("status", 429), "full_after": ("status", 429, {"Retry-After": "2"}),
          "broken": ("status", 500), "away": ("status", 503), "reset": "reset", "lost": "lost", "hang": "hang"}


def test_no_fault_loses_or_doubles_a_profile_in_the_suite_behind(proxy, downstream, shared, tmp_path):
    """Each fault in front of a distributor of its own way in, with the queue on disk and in memory. Half of what the
    client hears a failure of it sends again, as some clients do: counted once all the same."""
    real = shared.url("distributor-0")
    up = downstream(FAULTS, forward_to=real)
    down = downstream(forward_to=real, up=False)
    cases = [(fault, where) for fault in FAULTS for where in ("disk", "memory")]
    ports, config = rp.free_ports(len(cases)), ""
    for (fault, where), port in zip(cases, ports):
        name = f"{fault}_{where}"
        up.set(name, FAULTS[fault] or "well")
        queue = {"dir": str(tmp_path / name)} if where == "disk" else {"max_bytes": "8MiB"}
        to = (down if fault == "down" else up).url(name)
        config += rp.write(name, rp.endpoint(to, **dict(QUICK, max_backoff_retries=2)), queue=queue)
        config += rp.receive(name, port, name)
    p = proxy(config)

    def one(case):
        (fault, where), port = case
        name, want, wrong = f"{fault}_{where}", 0, []
        for i in range(3):
            profile, at, value = rp.marked(f"{name}_{i}", 10 + i), int(time.time()), 1000 + i
            sends = [lambda profile=profile: rp.push(port, [(labels(f"rp.{name}"), [profile])]),
                     lambda i=i, at=at, value=value: rp.ingest(port, f"rp_{name}_ingest", f"{name}_i{i}", value, at)]
            for send in sends:
                r = send()
                if where == "disk" and r.status_code != 200:
                    wrong.append(f"{name}: {r.status_code} {r.text[:200]}")
                if r.status_code != 200 and i % 2 == 0:
                    send()
            want += 10 + i
        return wrong, name, want

    with ThreadPoolExecutor(len(cases)) as pool:
        results = list(pool.map(one, zip(cases, ports)))
    wrong = [w for r in results for w in r[0]]
    assert not wrong, "\n".join(wrong)
    assert p.count("pyroscope_write_queue_items") > 0, "nothing had to wait"
    up.heal()
    down.up()
    assert rp.until(lambda: p.count("pyroscope_write_queue_items") == 0, 40, 0.2), p.logged()[-3000:]

    def differences():
        found = []
        for _, name, want in results:
            got, how = shared.total('{service_name="rp.%s"}' % name, CPU)
            if got != want or not how.startswith("complete"):
                found.append(f"{name}: {got}, not {want} ({how})")
            got, how = shared.total('{service_name="rp_%s_ingest"}' % name, CPU)
            if got != 3003 * 10_000_000 or not how.startswith("complete"):
                found.append(f"{name}, ingest: {got}, not {3003 * 10_000_000} ({how})")
        return found

    assert rp.until(lambda: not differences(), 10, 0.3), "\n".join(differences())
    assert p.count("pyroscope_write_dropped_profiles_total") == 0
    assert p.count("pyroscope_write_queue_dropped_total") == 0
    for name in ("lost_disk", "lost_memory", "slow_disk", "slow_memory"):
        came = up.stored(name)
        assert len(came) > len(set(came)), f"{name}: the distributor got nothing twice, so nothing was shown"


# --- bounds --------------------------------------------------------------------------------------

def test_a_full_queue_in_memory_stays_within_its_bytes_and_drops_the_oldest(proxy, downstream):
    d = downstream(up=False)
    port, = rp.free_ports(1)
    p = proxy(rp.write("x", rp.endpoint(d.url("x"), **QUICK), queue={"max_bytes": "8MiB"}) + rp.receive("x", port, "x"))
    before, total, most = p.rss_anon_kib(), 600, 0
    filler = os.urandom(25_000).hex()
    with requests.Session() as s:
        for k in range(total):
            r = rp.push(port, [(labels(), [f"mark-{k}-end {filler}".encode()])], session=s)
            assert r.status_code == 503, "memory is not a promise"
            if k % 20 == 0:
                most = max(most, p.rss_anon_kib())
                assert p.count("pyroscope_write_queue_bytes") <= 8 << 20
    most = max(most, p.rss_anon_kib())
    assert most - before < 16 << 10, f"{total * 50 >> 10} MiB were sent, {before} kB before, {most} kB after"
    dropped = int(p.count("pyroscope_write_queue_dropped_total", reason="full"))
    assert dropped > 0 and dropped == p.count("pyroscope_write_dropped_profiles_total")
    waiting = int(p.waits("x"))
    assert waiting + dropped == total
    d.up()
    assert rp.until(lambda: len(d.stored("x")) == waiting, 20), (len(d.stored("x")), waiting)
    kept = {int(m) for m in d.stored("x")}
    assert len(kept) == waiting
    under_way = kept - set(range(total - waiting, total))
    assert len(under_way) <= 8, f"the oldest go first, but for those that were being sent: {sorted(kept)}"


def test_a_full_queue_on_disk_stays_within_its_bytes_and_counts_what_it_drops(proxy, downstream, tmp_path):
    d, where = downstream(up=False), tmp_path / "q"
    port, = rp.free_ports(1)
    p = proxy(rp.write("x", rp.endpoint(d.url("x"), **QUICK), queue={"dir": str(where), "max_bytes": "4MiB"}) +
              rp.receive("x", port, "x"))
    filler = os.urandom(25_000).hex()
    with requests.Session() as s:
        for k in range(250):
            assert rp.push(port, [(labels(), [f"mark-{k}-end {filler}".encode()])], session=s).status_code == 200
    size = sum(f.stat().st_size for f in where.rglob("*") if f.is_file())
    assert size <= 5 << 20, size
    dropped = int(p.count("pyroscope_write_queue_dropped_total", reason="full"))
    waiting = int(p.waits("x"))
    assert dropped > 0 and waiting + dropped == 250
    d.up()
    assert rp.until(lambda: len(d.stored("x")) == waiting, 20), (len(d.stored("x")), waiting)
    assert {int(m) for m in d.stored("x")} == set(range(250 - waiting, 250)), "the newest are those that stay"


# --- kill -9 -------------------------------------------------------------------------------------

def kill_repeatedly(tmp_path, downstream, kills, seed):
    """Clients send through a proxy that is killed again and again, to a receiver that comes and goes: all that was
    answered 200 arrives."""
    rng = random.Random(seed)
    d = downstream(up=False)
    port, = rp.free_ports(1)
    p = rp.Proxy(tmp_path / "proxy", BINARY, rp.write("x", rp.endpoint(d.url("x"), **QUICK), queue={"dir": str(tmp_path / "q")}) +
                 rp.receive("x", port, "x"))
    promised, over, lock = set(), threading.Event(), threading.Lock()

    def client(c):
        n, session = 0, requests.Session()
        while not over.is_set():
            mark = f"c{c}n{n}"
            n += 1
            try:
                if rp.push(port, [(labels(), [rp.marked(mark, filler=2000)])], session=session, timeout=5).status_code == 200:
                    with lock:
                        promised.add(mark)
            except requests.RequestException:
                time.sleep(0.01)

    is_up, clients = False, [threading.Thread(target=client, args=(c,)) for c in range(4)]
    try:
        for c in clients:
            c.start()
        for _ in range(kills):
            if rng.random() < 0.4:
                (d.down if is_up else d.up)()
                is_up = not is_up
            before = len(promised)
            assert rp.until(lambda n=before: len(promised) > n, 10), p.logged()[-3000:]
            time.sleep(rng.random() * 0.3)
            p.kill()
            p.start()
        over.set()
        for c in clients:
            c.join()
        if not is_up:
            d.up()
        assert rp.until(lambda: p.waits("x") == 0, 60, 0.2), p.logged()[-3000:]
        missing = promised - set(d.stored("x"))
        assert not missing, f"{len(missing)} of {len(promised)} that were answered 200 are lost: {sorted(missing)[:10]}"
        assert p.count("pyroscope_write_queue_dropped_total") == 0
    finally:
        over.set()
        p.stop()


def test_kill_9_loses_nothing_that_was_answered_200(downstream, tmp_path):
    kill_repeatedly(tmp_path, downstream, 10, 1)


@pytest.mark.long
def test_a_hundred_kills_lose_nothing_that_was_answered_200(downstream, tmp_path):
    kill_repeatedly(tmp_path, downstream, 100, 2)


def test_sigterm_sends_or_keeps_what_waits_and_exits_0(downstream, tmp_path):
    d = downstream(up=False)
    port, = rp.free_ports(1)
    p = rp.Proxy(tmp_path / "proxy", BINARY, rp.write("x", rp.endpoint(d.url("x"), **QUICK), queue={"dir": str(tmp_path / "q")}) +
                 rp.receive("x", port, "x"))
    marks = [f"m{i}" for i in range(10)]
    for m in marks:
        assert rp.push(port, [(labels(), [rp.marked(m)])]).status_code == 200
    assert p.stop() == 0
    d.up()
    p.start()
    try:
        assert rp.until(lambda: len(d.stored("x")) == 10, 15), p.logged()[-3000:]
        assert sorted(d.stored("x")) == sorted(marks)
    finally:
        assert p.stop() == 0
