"""The receive-proxy as its users run it: its configuration, its endpoints, what it sends on, reload."""

import gzip
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import BIN
from emberring import labels, pprof, push_request
from receive_proxy import Proxy, Recorder, headers_of, raw

BINARY = os.path.join(BIN, "receive-proxy")
EXAMPLE = """
// Receives profiles over HTTP.
pyroscope.receive_http "default" {
  http {
    listen_address = "127.0.0.1"
    listen_port = "{port}"
  }
  forward_to = [pyroscope.write.staging.receiver, pyroscope.write.production.receiver]
}

pyroscope.write "staging" {
  endpoint {
    url = "http://pyroscope-staging:4040"
  }
}

pyroscope.write "production" {
  endpoint {
    url = "http://pyroscope-production:4040"
  }
}
"""
IDLE_KIB = 3 << 10


def config(*urls, receive="", endpoint="", write=""):
    ends = "".join(f'  endpoint {{\n    url = "{u}"\n{endpoint}\n  }}\n' for u in urls)
    return (f'pyroscope.receive_http "in" {{\n  http {{\n    listen_address = "127.0.0.1"\n    listen_port = {{port}}\n'
            f'{receive}\n  }}\n  forward_to = [pyroscope.write.out.receiver]\n}}\n'
            f'pyroscope.write "out" {{\n{ends}{write}\n}}\n')


@pytest.fixture
def proxy(tmp_path):
    """A function that starts a proxy; it is stopped at the end."""
    started = []

    def start(*args, **kw):
        started.append(Proxy(BINARY, tmp_path / f"proxy{len(started)}", *args, **kw))
        return started[-1]

    yield start
    for p in started:
        p.stop()
        print(p.logged()[-4000:])


@pytest.fixture
def recorder():
    started = []

    def start(*args, **kw):
        started.append(Recorder(*args, **kw))
        return started[-1]

    yield start
    for r in started:
        r.stop()


def command(*args, **kw):
    p = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, check=False,
                       stdin=subprocess.DEVNULL, **kw)
    return p.returncode, p.stdout, p.stderr


# --- starting ----------------------------------------------------------------------------------

def test_the_documentations_example_starts_small_although_its_hosts_do_not_resolve(proxy):
    p = proxy(EXAMPLE)
    time.sleep(1)
    assert p.rss_anon_kib() <= IDLE_KIB
    assert p.get("/-/ready")[0] == 200
    assert p.get("/-/healthy")[0] == 200
    assert 'pyroscope_receive_http_tcp_connections_limit{protocol="http"' in p.get("/metrics")[1]
    assert p.metric("pyroscope_receive_http_tcp_connections_limit") == 16384
    assert p.stop() == 0


def test_a_faulty_configuration_is_shown_in_the_peers_form(tmp_path):
    path = tmp_path / "c.alloy"
    path.write_text('pyroscope.write "a" {\n  endpoint {\n    uri = "http://a"\n  }\n}\n')
    status, _, err = command(f"-config.file={path}", "-server.http-listen-port=0", cwd=tmp_path)
    assert status == 1
    assert f'Error: {path}:3:5: unrecognized attribute name "uri"' in err and "3 |     uri" in err and "^^^" in err
    assert err.rstrip().endswith("could not perform the initial load successfully")
    status, _, err = command("validate", str(path))
    assert status == 1 and 'unrecognized attribute name "uri"' in err


@pytest.mark.parametrize("block, said", [
    ('tls { cert_pem = "x" }', "the key (key_pem or key_file)"),
    ('tls { key_file = "x" }', "the certificate (cert_pem or cert_file)"),
    ('tls {\n cert_pem = "x"\n cert_file = "y"\n key_pem = "z" }', "at most one of cert_pem and cert_file"),
    ('tls {\n cert_pem = "x"\n key_pem = "z"\n client_ca = "c" }', "without a client_auth_type"),
    ('tls {\n cert_pem = "x"\n key_pem = "z"\n client_auth_type = "Maybe" }', "invalid ClientAuth: Maybe"),
    ("listen_port = 70000", "listen_port 70000"),
    ('listen_port = "no"', "should be number, got string"),
    ('overload = "drop"', "overload must be"),
])
def test_what_is_wrong_with_a_listener_is_said(tmp_path, block, said):
    path = tmp_path / "c.alloy"
    path.write_text(f'pyroscope.receive_http "a" {{\n  http {{\n {block}\n }}\n  forward_to = []\n}}\n')
    status, _, err = command("validate", str(path))
    assert status == 1 and said in err


def test_fmt_prints_writes_and_tests(tmp_path):
    path = tmp_path / "c.alloy"
    path.write_text('logging {\nlevel="warn"\n}\n')
    status, out, _ = command("fmt", str(path))
    assert status == 0 and out == 'logging {\n\tlevel = "warn"\n}\n'
    assert command("fmt", "-t", str(path))[0] == 1
    assert command("fmt", "-w", str(path)) == (0, "", "")
    assert path.read_text() == out and command("fmt", "-t", str(path))[0] == 0
    path.write_text("logging {\n")
    status, _, err = command("fmt", str(path))
    assert status == 1 and "expected }, got EOF" in err


def test_a_taken_port_is_said_and_ends_it(proxy, tmp_path):
    first = proxy(config("http://127.0.0.1:1"))
    path = tmp_path / "c.alloy"
    path.write_text(config("http://127.0.0.1:1").replace("{port}", str(first.port)))
    status, _, err = command(f"-config.file={path}", "-server.http-listen-port=0", cwd=tmp_path)
    assert status == 1 and "address already in use" in err


def test_flags_alone_make_a_listener_and_a_writer(proxy, recorder):
    to = [recorder(), recorder()]
    flags = ["-receive.http-listen-port={port}", "-receive.http-listen-address=127.0.0.1"]
    p = proxy(flags=flags + [f"-forward-to={r.url}" for r in to])
    assert p.ingest(b"abc")[0] == 200
    assert [r.requests[0]["body"] for r in to] == [b"abc", b"abc"]


# --- what goes on ------------------------------------------------------------------------------

def test_an_ingest_goes_on_byte_for_byte(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url + "/base/"))
    body = bytes(range(256)) * 100
    status, headers, answer = p.ingest(
        body, "until=2&from=1&spyName=gospy&a=x%20y&a=z&name=shop%7Benv%3Dprod%2Cempty%3D%7D&sampleRate=100",
        {"Content-Type": "multipart/form-data; boundary=xyz", "X-Scope-OrgID": "team", "Content-Encoding": "gzip",
         "Authorization": "Bearer secret", "User-Agent": "mine"})
    assert (status, answer) == (200, b"") and "Content-Type" not in headers
    request = r.requests[0]
    assert request["path"] == ("/base/ingest?a=x%20y&a=z&from=1&name=shop%7Benv%3Dprod%2Cservice_name%3Dshop%7D"
                               "&sampleRate=100&spyName=gospy&until=2")
    assert request["body"] == body
    assert headers_of(request, "Content-Type") == ["multipart/form-data; boundary=xyz"]
    assert headers_of(request, "X-Scope-OrgID") == ["team"] and headers_of(request, "Content-Encoding") == ["gzip"]
    assert not headers_of(request, "Authorization") and len(headers_of(request, "X-Alloy-Id")) == 1


def test_as_alloy_only_the_content_type_goes_on(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url), flags=["-compat=alloy"])
    assert p.ingest(b"x", headers={"X-Scope-OrgID": "team", "Content-Encoding": "gzip"})[0] == 200
    assert not headers_of(r.requests[0], "X-Scope-OrgID") and not headers_of(r.requests[0], "Content-Encoding")


def push_body():
    return push_request([(labels("shop", env="prod"), [pprof({("main", "f"): 1})]),
                         (labels("cart"), [pprof({("main", "g"): 2})])])


def test_a_push_is_the_same_however_it_came(proxy, recorder):
    r = recorder(lambda n, request: (200, {"Content-Type": "application/proto"}, b""))
    p = proxy(config(r.url))
    body = push_body()
    got = []
    for content_type, compress in (("application/proto", False), ("application/proto", True),
                                   ("application/json", False), ("application/json", True)):
        data = body if content_type == "application/proto" else json.dumps(as_json(body)).encode()
        status, headers, answer = p.push(data, content_type, compress)
        assert (status, answer) == (200, b"{}" if content_type == "application/json" else b"")
        assert headers["Content-Type"] == content_type
        got.append(sorted(q["body"] for q in r.wait(2)))
        assert all(q["path"] == "/push.v1.PusherService/Push" for q in r.requests)
        r.requests.clear()
    assert got[0] == got[1] == got[2] == got[3] and len(got[0]) == 2


def as_json(body):
    """The JSON form of a PushRequest."""
    import base64
    series = []
    for raw_series in fields(body, 1):
        pairs = [(fields(pair, 1)[0].decode(), fields(pair, 2)[0].decode()) for pair in fields(raw_series, 1)]
        samples = [{"rawProfile": base64.b64encode(fields(s, 1)[0]).decode(),
                    **({"ID": fields(s, 2)[0].decode()} if fields(s, 2) else {})} for s in fields(raw_series, 2)]
        series.append({"labels": [{"name": n, "value": v} for n, v in pairs], "samples": samples})
    return {"series": series}


def fields(message, wanted):
    """Values of a length-delimited field of a protobuf message."""
    out, i = [], 0

    def varint():
        nonlocal i
        value = shift = 0
        while True:
            byte = message[i]
            i += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while i < len(message):
        key = varint()
        assert key & 7 == 2
        size = varint()
        if key >> 3 == wanted:
            out.append(message[i:i + size])
        i += size
    return out


def test_what_is_not_spoken_is_refused_by_name(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url))
    for content_type in ("application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc-web+json"):
        status, headers, body = p.push(b"\0\0\0\0\0", content_type)
        assert status == 415 and b"gRPC" in body and "application/proto" in headers["Accept-Post"]
    assert p.push(b"", "text/plain")[0] == 415
    status, _, body = p.push(b"x", headers={"Content-Encoding": "br"})
    assert json.loads(body)["code"] == "unimplemented" and "br" in json.loads(body)["message"]
    for name in ("ShouldInitiateUpload", "Upload/abc"):
        url = p.url("/debuginfo.v1alpha1.DebuginfoService/" + name)
        status, _, body = p.ask(url, b"x" * 100000)
        assert status == 404 and b"debug information" in body
    assert p.push(b"", headers={"Connect-Timeout-Ms": "12345678901"})[0] == 400
    assert p.push(b"", headers={"Connect-Protocol-Version": "2"})[0] == 400
    assert p.push(b"\xff\xff")[0] == 400
    assert p.ask(p.url("/ingest"))[0] == 405 and p.ask(p.url("/ingest/"), b"")[0] == 404
    assert p.ask(p.url("/push.v1.PusherService/Pull"), b"")[0] == 404 and p.ask(p.url("/metrics"))[0] == 404
    assert p.ingest(query="")[0] == 400 and p.ingest(query="name=%7B%7D")[0] == 400
    assert not r.requests
    assert raw(p.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").split(b"\r\n")[0].split()[1] in (b"505", b"400")


FAST = "    min_backoff_period = \"10ms\"\n    max_backoff_period = \"20ms\"\n    remote_timeout = \"300ms\""


@pytest.mark.parametrize("status, attempts, ours, alloys", [
    (200, 1, 200, 200), (202, 1, 200, 202), (400, 1, 400, 400), (408, 10, 408, 408), (422, 1, 422, 422),
    (429, 10, 429, 429), (500, 10, 500, 500), (503, 10, 503, 503)])
@pytest.mark.parametrize("alloy", [False, True])
def test_a_receivers_answer_to_an_ingest(proxy, recorder, status, attempts, ours, alloys, alloy):
    r = recorder(lambda n, request: (status, {}, b"because"))
    p = proxy(config(r.url, endpoint=FAST, write="queue { enabled = false }"), flags=["-compat=alloy"] if alloy else [])
    got = p.ingest()[0]
    assert got == (alloys if alloy else ours)
    assert len(r.requests) == attempts


def test_a_receiver_that_is_not_there_or_hangs(proxy, recorder):
    hanging, there = recorder(lambda n, request: None), recorder()
    p = proxy(config("http://127.0.0.1:1", endpoint=FAST, write="queue { enabled = false }"), flags=["-compat=alloy"])
    status, _, body = p.ingest()
    assert (status, body) == (500, b"Failed to process request\n")
    assert "failed to push to endpoint" in p.logged() or "failed to ingest to endpoint" in p.logged()
    p = proxy(config(hanging.url, there.url, endpoint=FAST, write="queue { enabled = false }"))
    status, _, body = p.push(push_body(), headers={"Connect-Timeout-Ms": "2000"})
    assert status in (503, 504) and json.loads(body)["code"] in ("deadline_exceeded", "unavailable")
    assert len(there.requests) == 2 and len(hanging.requests) > 2


def test_one_failing_receiver_does_not_make_the_client_send_again(proxy, recorder):
    ill = recorder(lambda n, request: (503, {}, b"") if n < 12 else (200, {}, b""))
    there = recorder()
    p = proxy(config(ill.url, there.url, endpoint=FAST))
    assert p.ingest(b"once")[0] == 200
    assert len(there.requests) == 1
    assert ill.wait(13, 40)[-1]["body"] == b"once"


def test_a_refusal_stays_a_refusal_through_two_proxies(proxy, recorder):
    r = recorder(lambda n, request: (429, {"Retry-After": "7", "Content-Type": "application/json"},
                                     b'{"code":"resource_exhausted","message":"later"}'))
    quick = FAST + "\n    retry_on_http_429 = false"
    inner = proxy(config(r.url, endpoint=quick, write="queue { enabled = false }"))
    outer = proxy(config(inner.url(), endpoint=quick, write="queue { enabled = false }"))
    status, headers, body = outer.push(push_body())
    assert (status, json.loads(body)["code"], headers["Retry-After"]) == (429, "resource_exhausted", "7")
    status, headers, _ = outer.ingest()
    assert (status, headers["Retry-After"]) == (429, "7")
