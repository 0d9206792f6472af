"""What a distributor and a querier say to wrong and hostile requests: the peer's status, what was wrong,
and a server that is as it was."""

import gzip
import json
import socket
import time
import zlib

import pytest

from emberring import field, labels, pprof, push_request

GOOD = pprof({("a", "b"): 5})
PUSH = "/push.v1.PusherService/Push"


@pytest.fixture(autouse=True)
def still_serving(shared):
    """After every test a good push is still taken."""
    yield
    shared.must_push([(labels("after"), [pprof({("x",): 1})])])


def post(shared, path, data, headers=None, role="distributor-0"):
    return shared.http.post(shared.url(role) + path, data=data, timeout=20,
                            headers={"Content-Type": "application/proto", **(headers or {})})


def refused(r, status, code, *words):
    assert r.status_code == status, (r.status_code, r.text[:300])
    body = r.json()
    assert body["code"] == code, body
    for w in words:
        assert w in body["message"], body


def series(raw, **more):
    return push_request([(labels("bad", **more), [raw])])


def test_wrong_method_and_type(shared):
    r = shared.http.get(shared.url("distributor-0") + PUSH, timeout=5)
    assert r.status_code == 405 and "POST" in r.headers["Allow"]
    r = post(shared, PUSH, b"", {"Content-Type": "text/plain"})
    assert r.status_code == 415 and "application/proto" in r.headers["Accept-Post"]
    refused(post(shared, PUSH, b"x", {"Content-Encoding": "br"}), 501, "unimplemented", "gzip")
    assert post(shared, "/no/such/route", b"").status_code == 404


def test_empty_requests(shared):
    refused(post(shared, PUSH, b""), 400, "invalid_argument")
    refused(post(shared, PUSH, b"", {"Content-Type": "application/json"}), 400, "invalid_argument")
    refused(post(shared, PUSH, b"{}", {"Content-Type": "application/json"}), 400, "invalid_argument")
    refused(post(shared, PUSH, b"", {"Content-Encoding": "gzip"}), 400, "invalid_argument")


@pytest.mark.parametrize("body", [b"\x0a", b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x08", b"\x0a\x02\x12\x05ab"], ids=range(5))
def test_broken_messages(shared, body):
    refused(post(shared, PUSH, body), 400, "invalid_argument")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"series":5}', b'{"series":[{"labels":"x"}]}', b"\xff\xfe",
                                  b'{"series":' + b"[" * 5000], ids=range(6))
def test_broken_json(shared, body):
    refused(post(shared, PUSH, body, {"Content-Type": "application/json"}), 400, "invalid_argument")


def test_broken_gzip_in_both_layers(shared):
    whole = gzip.compress(series(GOOD))
    for bad in (whole[:-5], whole[:20], whole[:12] + b"\x00\xff" + whole[14:], whole + b"junk"):
        refused(post(shared, PUSH, bad, {"Content-Encoding": "gzip"}), 400, "invalid_argument")
    inner = gzip.compress(GOOD)
    for bad in (inner[:-5], inner[:15], inner[:12] + b"\x00\xff" + inner[14:]):
        refused(post(shared, PUSH, series(bad)), 400, "invalid_argument")


def test_gzip_bombs_stop_at_the_limit(shared):
    def bomb(mib):
        c = zlib.compressobj(9, zlib.DEFLATED, 31)
        return b"".join(c.compress(b"\0" * (1 << 20)) for _ in range(mib)) + c.flush()
    inner = bomb(400)
    refused(post(shared, PUSH, series(inner)), 400, "invalid_argument")
    r = post(shared, PUSH, bomb(400), {"Content-Encoding": "gzip"})
    assert r.status_code in (400, 429), r.text


@pytest.mark.parametrize("raw", [
    b"", b"not a profile", GOOD[:-3], b"\x1f\x8b", b"\x12\x04\x0a\x02\x05\x06", b"\xff" * 100,
], ids=range(6))
def test_undecodable_profiles(shared, raw):
    refused(post(shared, PUSH, series(raw)), 400, "invalid_argument")


def test_indexes_that_point_outside(shared):
    def profile(*parts, table=("", "cpu", "nanoseconds")):
        return b"".join(parts) + b"".join(field(6, s) for s in table)
    kind = field(1, b"\x08\x01\x10\x02")
    refused(post(shared, PUSH, series(profile(field(1, b"\x08\x63\x10\x02")))), 400, "invalid_argument")
    refused(post(shared, PUSH, series(profile(kind, field(2, b"\x0a\x01\x01\x12\x02\x01\x01")))), 400, "invalid_argument")
    refused(post(shared, PUSH, series(profile(kind, field(4, b"\x08\x00")))), 400, "invalid_argument")
    refused(post(shared, PUSH, series(profile(kind, field(5, b"\x08\x01\x10\x63")))), 400, "invalid_argument")
    refused(post(shared, PUSH, series(profile(kind, table=("x", "cpu", "nanoseconds")))), 400, "invalid_argument")
    refused(post(shared, PUSH, series(profile(kind, table=("", "cpu", b"\xff\xfe".decode("latin1"))).replace(b"\xc3\xbf", b"\xff\xfe"))),
            400, "invalid_argument")


def test_times_outside_the_window(shared):
    now = time.time_ns()
    refused(post(shared, PUSH, series(pprof({("a",): 1}, now - 2 * 3600 * 10**9))), 400, "invalid_argument", "ingestion window")
    refused(post(shared, PUSH, series(pprof({("a",): 1}, now + 3600 * 10**9))), 400, "invalid_argument", "ingestion window")


def test_labels(shared):
    refused(post(shared, PUSH, series(GOOD, **{"x": "v" * 10_000_000})), 400, "invalid_argument")
    refused(post(shared, PUSH, series(GOOD, **{"n" * 2000: "v"})), 400, "invalid_argument")
    refused(post(shared, PUSH, series(GOOD, **{f"l{i}": "v" for i in range(40)})), 400, "invalid_argument")
    twice = field(1, b"".join(field(1, field(1, k) + field(2, v)) for k, v in
                              [("__name__", "process_cpu"), ("service_name", "a"), ("x", "1"), ("x", "2")]) + field(2, field(1, GOOD)))
    refused(post(shared, PUSH, twice), 400, "invalid_argument")


def test_a_good_profile_beside_a_bad_one_is_stored_and_the_push_fails(shared):
    r = shared.push([(labels("mixed", part="good"), [pprof({("a",): 3})]), (labels("mixed", part="bad"), [b"junk"])])
    refused(r, 400, "invalid_argument", "index 1")
    assert shared.total('{service_name="mixed"}') == (3, "complete")


def test_nothing_left_after_normalisation_is_accepted_and_stores_nothing(shared):
    r = shared.push([(labels("empty"), [pprof({("a",): 0})])])
    assert r.status_code == 200
    assert shared.total('{service_name="empty"}')[0] == 0


def test_a_deadline_that_is_no_number(shared):
    refused(post(shared, PUSH, series(GOOD), {"Connect-Timeout-Ms": "soon"}), 400, "invalid_argument")
    refused(post(shared, PUSH, series(GOOD), {"Connect-Timeout-Ms": "12345678901"}), 400, "invalid_argument")


def raw_socket(shared):
    host, port = shared.url("distributor-0")[7:].split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_client_that_stops_half_way_leaves_no_trace(shared):
    for _ in range(20):
        with raw_socket(shared) as s:
            s.sendall(b"POST " + PUSH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n"
                      b"Content-Length: 100000\r\n\r\n" + b"x" * 1000)


def test_smuggled_lengths_are_refused(shared):
    with raw_socket(shared) as s:
        s.sendall(b"POST " + PUSH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n"
                  b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert b" 400 " in s.recv(4096).split(b"\r\n")[0]


def test_ingest(shared):
    now = int(time.time())
    base = shared.url("distributor-0") + "/ingest"
    def ingest(data, **params):
        return shared.http.post(base, params={"from": now - 10, "until": now, **params}, data=data, timeout=20,
                                headers={"Content-Type": "application/octet-stream"})
    assert ingest(b"main;work;hot 7\nmain;work 3\n", name="folded{pod=p}", format="folded").status_code == 200
    total, how = shared.total('{service_name="folded"}')
    assert total == 10 * 10_000_000 and how == "complete"
    assert ingest(b"x 1\n", format="folded").status_code == 400                       # no name
    assert ingest(b"x 1\n", name="my.service", format="folded").status_code == 400    # unknown type suffix
    assert ingest(b"x notanumber1\nmain;a b;c d\n", name="folded", format="folded").status_code in (400, 422)
    assert ingest(b"junk", name="p", format="pprof").status_code == 422
    r = ingest(b"junk", name="p", format="jfr")
    assert r.status_code == 422 and "pprof" in r.text, r.text
    assert shared.http.get(base, timeout=5).status_code == 405
    files = {"profile": ("profile.pprof", gzip.compress(pprof({("m", "n"): 6})), "application/octet-stream"),
             "sample_type_config": ("c.json", json.dumps({"cpu": {"units": "nanoseconds"}}))}
    r = shared.http.post(base, params={"name": "form{a=b}", "from": now, "until": now, "spyName": "gospy"}, files=files, timeout=20)
    assert r.status_code == 200, r.text
    assert shared.total('{service_name="form", a="b"}') == (6, "complete")


def test_discarded_samples_are_counted_by_reason(shared):
    text = shared.http.get(shared.url("distributor-0") + "/metrics", timeout=5).text
    assert 'pyroscope_discarded_samples_total{reason="malformed_profile",tenant="anonymous"}' in text
    assert 'pyroscope_discarded_bytes_total{reason="not_in_ingestion_window",tenant="anonymous"}' in text
