"""The receive-proxy as its users run it: its configuration, its endpoints, what it sends on, reload."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from conftest import BIN
from emberring import labels, pprof, push_request
from test_dns import Dns
from receive_proxy import Proxy, Recorder, free_port, headers_of, raw

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


def test_the_example_of_our_own_page_is_laid_out_and_runs(proxy, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "receive-proxy.md").read_text()
    text = page.split("```alloy\n")[1].split("```")[0]
    path = tmp_path / "example.alloy"
    path.write_text(text)
    assert command("fmt", "-t", str(path)) == (0, "", "") and command("validate", str(path)) == (0, "", "")
    here = (text.replace("/var/lib/receive-proxy/out", str(tmp_path / "out")).replace("0.0.0.0", "127.0.0.1")
            .replace("= 4040", "= {port}").replace("distributor-a:4040", "127.0.0.1:1").replace("distributor-b:4040", "127.0.0.1:2"))
    assert proxy(here).ingest()[0] == 200, "both are down: it is on disk"
    assert command("validate", "-compat=alloy", str(path))[0] == 0


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
    piped = subprocess.run([BINARY, "fmt", "-"], input='logging {\nlevel="warn"\n}\n', capture_output=True, text=True, timeout=20, check=True)
    assert piped.stdout == out
    assert command("fmt", "-w", "-")[0] == 1 and "receive-proxy fmt" in command("-help")[1]


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
    assert request["path"] == ("/base/ingest?a=x+y&a=z&from=1&name=shop%7Benv%3Dprod%2Cservice_name%3Dshop%7D"
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


# --- TLS ---------------------------------------------------------------------------------------

class Authority:
    """Certificates in a folder, by the openssl command."""

    def __init__(self, folder):
        self.dir, self.ca = folder, str(folder / "ca.pem")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-subj", "/CN=tests", "-keyout", self.path("ca.key"), "-out", self.ca)

    def path(self, name):
        return str(self.dir / name)

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], capture_output=True, check=True)

    def issue(self, name):
        """(certificate, key) for 127.0.0.1, of that subject; a second call renews them."""
        cert, key, request, more = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        with open(more, "w", encoding="ascii") as f:
            f.write("subjectAltName=IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key + ".new", "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.path("ca.key"), "-CAcreateserial",
                     "-days", "30", "-extfile", more, "-out", cert + ".new")
        os.replace(key + ".new", key)
        os.replace(cert + ".new", cert)
        return cert, key

    def context(self, *pair):
        c = ssl.create_default_context(cafile=self.ca)
        if pair:
            c.load_cert_chain(*pair)
        return c


def tls_block(authority, pair, client='client_auth_type = "RequireAndVerifyClientCert"'):
    return (f'    tls {{\n cert_file = "{pair[0]}"\n key_file = "{pair[1]}"\n'
            f' client_ca_file = "{authority.ca}"\n {client}\n }}')


def test_a_listener_asks_for_a_certificate_that_it_trusts(proxy, tmp_path):
    authority, others = Authority(tmp_path), Authority(sub(tmp_path, "others"))
    p = proxy(config("http://127.0.0.1:1", receive=tls_block(authority, authority.issue("server"))).replace(
        "[pyroscope.write.out.receiver]", "[]"))
    url = p.url("/ingest?name=a").replace("http:", "https:")
    with_own = authority.context(*authority.issue("client"))
    assert p.ask(url, b"x", context=with_own)[0] == 200
    assert p.ask(url, b"x", context=authority.context())[0] == 0
    assert p.ask(url, b"x", context=authority.context(*others.issue("stranger")))[0] == 0
    assert p.ask(p.url("/ingest?name=a"), b"x")[0] in (0, 400)
    old = authority.context(*authority.issue("client"))
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    assert p.ask(url, b"x", context=old)[0] == 0


def sub(folder, name):
    (folder / name).mkdir()
    return folder / name


def serial(p, context):
    with socket.create_connection(("127.0.0.1", p.port)) as s, context.wrap_socket(s, server_hostname="127.0.0.1") as t:
        return t.getpeercert()["serialNumber"]


def test_a_renewed_certificate_is_used_without_a_reload_and_a_broken_one_is_not(proxy, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    p = proxy(config("http://127.0.0.1:1", receive=tls_block(authority, (cert, key), 'client_auth_type = "VerifyClientCertIfGiven"')))
    first = serial(p, authority.context())
    authority.issue("server")
    time.sleep(1.2)
    second = serial(p, authority.context())
    assert second != first
    with open(cert, "w", encoding="ascii") as f:
        f.write("nonsense")
    time.sleep(1.2)
    assert serial(p, authority.context()) == second
    assert "the old one stays" in p.logged()


@pytest.mark.parametrize("tls", [False, True])
def test_a_chain_of_two_proxies_carries_both_endpoints_to_a_distributor(proxy, recorder, cluster, tmp_path, tls):
    c = cluster("--ingesters", "1", "--replication-factor", "1")
    distributor = c.url("distributor-0")
    seen = recorder()
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    block = tls_block(authority, server) if tls else ""
    way = (f'    tls_config {{\n ca_file = "{authority.ca}"\n cert_file = "{client[0]}"\n key_file = "{client[1]}"\n }}'
           if tls else "")
    inner = proxy(config(distributor, seen.url, receive=block))
    outer = proxy(config(inner.url().replace("http:", "https:") if tls else inner.url(), endpoint=way, receive=block))
    context = authority.context(*client) if tls else None

    def ask(path, body, content_type):
        url = outer.url(path).replace("http:", "https:") if tls else outer.url(path)
        return outer.ask(url, body, {"Content-Type": content_type}, context=context)

    direct = pprof({("main", "f"): 7})
    assert ask("/push.v1.PusherService/Push", push_request([(labels("pushed"), [direct])]), "application/proto")[0] == 200
    sent = fields(fields(seen.requests[0]["body"], 1)[0], 2)
    assert [fields(s, 1)[0] for s in sent] == [direct]
    now = int(time.time())
    folded = b"main;a 3\nmain;b 4\n"
    assert ask(f"/ingest?name=ingested&from={now - 10}&until={now}&format=folded", folded, "text/plain")[0] == 200
    assert seen.requests[1]["body"] == folded
    assert c.total('{service_name="pushed"}')[0] == 7
    assert c.total('{service_name="ingested"}')[0] == 7 * 10_000_000


# --- reload ------------------------------------------------------------------------------------

def hammer(p, stop, failures, counted, path="/ingest?name=app"):
    """New connections, one after the other, each with one request."""
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", p.port), timeout=10) as s:
                s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx".encode())
                answer = s.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                failures.append(answer[:100])
            counted.append(1)
        except OSError as e:
            failures.append(repr(e))


@pytest.mark.parametrize("by", ["signal", "post"])
def test_a_reload_under_load_refuses_nobody(proxy, recorder, by):
    to = [recorder(), recorder()]
    p = proxy(config(to[0].url))
    stop, failures, counted = threading.Event(), [], []
    threads = [threading.Thread(target=hammer, args=(p, stop, failures, counted)) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(8):
        changed = "server_idle_timeout = \"%ds\"" % (100 + i) if i % 2 else "conn_limit = %d" % (1000 + i // 4)
        p.write(config(to[i % 2].url, receive="    " + changed))
        before, count = len(to[i % 2].requests), p.logged().count("config reloaded")
        if by == "post":
            assert p.reload()[0] == 200
        else:
            p.signal(signal.SIGHUP)
            until(lambda c=count: p.logged().count("config reloaded") > c)
        until(lambda n=before, r=to[i % 2]: len(r.requests) > n + 20)
    stop.set()
    for t in threads:
        t.join()
    assert not failures and len(counted) > 100
    assert p.get("/-/healthy")[0] == 200


def until(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_faulty_reload_changes_nothing_and_says_whose_fault_it_is(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url))
    p.write(config(r.url, endpoint='    max_backoff_retries = -1'))
    status, _, body = p.reload()
    assert status == 400 and b"max_backoff_retries" in body
    assert p.ingest()[0] == 200 and len(r.requests) == 1
    health = {c["localID"]: c["health"] for c in json.loads(p.get("/api/v0/web/components")[1])}
    assert health["pyroscope.receive_http.in"]["state"] == "healthy"
    assert health["pyroscope.write.out"]["state"] == "unhealthy"
    assert "max_backoff_retries" in health["pyroscope.write.out"]["message"]
    status, text = p.get("/-/healthy")
    assert status == 500 and "pyroscope.write.out" in text
    assert "max_backoff_retries" in p.get("/components")[1]
    assert p.metric("alloy_config_last_load_successful") == 0
    p.write("pyroscope.write {")
    assert p.reload()[0] == 400 and p.ingest()[0] == 200
    p.write(config(r.url))
    assert p.reload()[0] == 200 and p.get("/-/healthy")[0] == 200
    assert p.metric("alloy_config_last_load_successful") == 1


def test_a_reload_applies_the_logging_block(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url))

    def added_by(text):
        before = len(p.logged())
        p.write(text + config(r.url))
        assert p.reload()[0] == 200
        return p.logged()[before:]

    assert 'level=info msg="config reloaded"' in added_by("")
    assert '"level":"info","msg":"config reloaded"' in added_by('logging {\n  format = "json"\n}\n')
    assert "config reloaded" not in added_by('logging {\n  level = "error"\n}\n')
    assert 'level=info msg="config reloaded"' in added_by("")  # what the flags say is in force again


def test_listeners_come_go_and_swap_their_ports(proxy, recorder):
    r = [recorder(), recorder()]
    text = ""
    for i in (0, 1):
        text += (f'pyroscope.receive_http "r{i}" {{\n http {{\n listen_address = "127.0.0.1"\n listen_port = PORT{i}\n }}\n'
                 f' forward_to = [pyroscope.write.w{i}.receiver]\n}}\n'
                 f'pyroscope.write "w{i}" {{\n endpoint {{\n url = "{r[i].url}"\n }}\n}}\n')
    p = proxy(text.replace("PORT0", "{port}").replace("PORT1", "{port2}"))
    ask = lambda port: p.ask(p.url("/ingest?name=a", port), b"x")[0]  # noqa: E731
    assert ask(p.port) == 200 and ask(p.port2) == 200 and [len(x.requests) for x in r] == [1, 1]
    p.write(text.replace("PORT0", "{port2}").replace("PORT1", "{port}"))
    assert p.reload()[0] == 200
    assert ask(p.port) == 200 and [len(x.requests) for x in r] == [1, 2]
    p.write(text[:text.index('pyroscope.receive_http "r1"')].replace("PORT0", "{port}"))
    assert p.reload()[0] == 200
    assert ask(p.port) == 200 and [len(x.requests) for x in r] == [2, 2]
    until(lambda: ask(p.port2) == 0)
    assert p.metric("pyroscope_receive_http_tcp_connections_limit") == 16384


def test_a_change_of_tls_takes_over_the_port(proxy, tmp_path):
    authority = Authority(tmp_path)
    text = 'pyroscope.receive_http "in" {\n http {\n listen_port = {port}\n TLS\n }\n forward_to = []\n}\n'
    p = proxy(text.replace("TLS", ""))
    assert p.ingest()[0] == 200
    p.write(text.replace("TLS", tls_block(authority, authority.issue("server"), 'client_auth_type = "VerifyClientCertIfGiven"')))
    assert p.reload()[0] == 200
    assert p.ask(p.url("/ingest?name=a").replace("http:", "https:"), b"x", context=authority.context())[0] == 200


# --- pages and limits --------------------------------------------------------------------------

def test_an_outage_is_shown(proxy, tmp_path):
    """A receiver that is down: what waits is no failure and is not out, and the endpoint says since when and why."""
    rule = 'rule {\n action = "drop"\n source_labels = ["service_name"]\n regex = "unwanted"\n }'
    p = proxy('pyroscope.receive_http "in" {\n http {\n listen_address = "127.0.0.1"\n listen_port = {port}\n }\n'
              ' forward_to = [pyroscope.relabel.r.receiver]\n}\n'
              'pyroscope.relabel "r" {\n forward_to = [pyroscope.write.w.receiver]\n ' + rule + '\n}\n'
              'pyroscope.write "w" {\n endpoint {\n url = "http://127.0.0.1:1"\n }\n'
              f' queue {{\n dir = "{tmp_path / "waits"}"\n }}\n}}\n')
    for _ in range(3):
        assert p.ask(p.url("/ingest?name=a"), b"x")[0] == 200
    assert p.ask(p.url("/ingest?name=unwanted"), b"x")[0] == 200
    parts = {c["localID"]: c for c in json.loads(p.get("/api/v0/web/components")[1])}
    total = lambda part, what: parts[part]["rates"][what]["total"]  # noqa: E731
    assert [total("pyroscope.receive_http.in", x) for x in ("in", "out", "queued", "dropped", "failed")] == [4, 0, 3, 1, 0]
    assert [total("pyroscope.relabel.r", x) for x in ("in", "out", "dropped", "failed")] == [4, 3, 1, 0]
    assert [total("pyroscope.write.w", x) for x in ("in", "out", "queued", "failed")] == [3, 0, 3, 0]
    assert parts["pyroscope.write.w"]["queue"]["items"] == 3 and parts["pyroscope.write.w"]["queue"]["bytes"] > 0
    until(lambda: json.loads(p.get("/api/v0/web/components")[1])[0]["endpoints"][0]["state"] == "failing")
    e = json.loads(p.get("/api/v0/web/components")[1])[0]["endpoints"][0]
    assert e["url"] == "http://127.0.0.1:1" and e["failingSince"] and e["lastErrorTime"]
    assert "unavailable" in e["lastError"]
    page = p.get("/components")[1]
    assert "is failing" in page and "the oldest waits for" in page


def test_components_are_shown_without_their_secrets(proxy, recorder):
    r = recorder()
    auth = '    basic_auth {\n username = "me"\n password = "hush-hush"\n }'
    p = proxy(config(r.url, endpoint=auth))
    assert p.ingest()[0] == 200
    parts = {c["localID"]: c for c in json.loads(p.get("/api/v0/web/components")[1])}
    assert parts["pyroscope.receive_http.in"]["referencesTo"] == ["pyroscope.write.out"]
    assert parts["pyroscope.write.out"]["referencedBy"] == ["pyroscope.receive_http.in"]
    assert parts["pyroscope.receive_http.in"]["address"] == f"http://127.0.0.1:{p.port}"
    assert parts["pyroscope.write.out"]["rates"]["out"]["total"] == 1
    assert "(secret)" in parts["pyroscope.write.out"]["arguments"]
    page = p.get("/components")[1]
    assert "pyroscope.write.out" in page and "<svg" in page
    for path in ("/components", "/api/v0/web/components", "/api/v1/status/config", "/metrics"):
        assert "hush-hush" not in p.get(path)[1]
    assert "hush-hush" not in p.logged()
    assert p.get("/admin")[0] == 200 and 'href="components"' in p.get("/admin")[1]


def test_metrics_say_each_series_once_also_after_reloads(proxy, recorder):
    r = recorder()
    p = proxy(config(r.url))
    for limit in (7, 8):
        assert p.ingest()[0] == 200 and p.push(push_body())[0] == 200
        p.write(config(r.url, receive=f"    conn_limit = {limit}"))
        assert p.reload()[0] == 200
    lines = p.get("/metrics")[1].splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(series)) == len(series) and len(set(types)) == len(types)
    assert p.metric("pyroscope_receive_http_tcp_connections_limit") == 8
    assert p.metric('pyroscope_receive_http_profiles_total{api="ingest"') == 2
    assert p.metric("pyroscope_write_sent_profiles_total") == 6
    assert p.metric('pyroscope_receive_http_request_duration_seconds_count{method="POST",route="push_v1_pusherservice"') == 2


@pytest.mark.parametrize("overload", ["reject", "wait"])
def test_at_the_limit_of_connections(proxy, overload):
    p = proxy('pyroscope.receive_http "in" {\n http {\n listen_address = "127.0.0.1"\n listen_port = {port}\n conn_limit = 3\n'
              f' overload = "{overload}"\n }}\n forward_to = []\n}}\n')
    held = [socket.create_connection(("127.0.0.1", p.port)) for _ in range(3)]
    until(lambda: p.metric("pyroscope_receive_http_tcp_connections{") == 3)
    if overload == "reject":
        status, headers, _ = p.ingest()
        assert status == 503 and int(headers["Retry-After"]) >= 1
    else:
        assert p.ingest(timeout=1)[0] == 0
    held.pop().close()
    until(lambda: p.ingest()[0] == 200)
    for s in held:
        s.close()


def test_a_dripping_client_is_cut_and_a_long_body_is_refused(proxy):
    p = proxy('pyroscope.receive_http "in" {\n http {\n listen_address = "127.0.0.1"\n listen_port = {port}\n'
              ' server_read_timeout = "1s"\n max_body_size = "10KiB"\n }\n forward_to = []\n}\n')
    assert p.ingest(b"x" * 10240)[0] == 200 and p.ingest(b"x" * 10241)[0] == 413
    status, _, body = p.push(b"x" * 10241)
    assert json.loads(body)["code"] == "resource_exhausted" and status == 429
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", p.port)) as s:
        s.sendall(b"POST /ingest?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        try:
            for _ in range(60):
                s.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass
    assert time.monotonic() - began < 5


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_a_stop_answers_what_it_began(proxy, recorder):
    release = threading.Event()
    r = recorder(lambda n, request: (release.wait(20), (200, {}, b""))[1])
    p = proxy(config(r.url))
    got = []
    t = threading.Thread(target=lambda: got.append(p.ingest()[0]))
    t.start()
    r.wait(1)
    p.signal(signal.SIGTERM)
    until(lambda: not connects(p.port))
    release.set()
    t.join()
    assert got == [200] and p.process.wait(20) == 0


# --- finding -----------------------------------------------------------------------------------

@pytest.fixture
def dns(tmp_path):
    d = Dns(tmp_path)
    yield d
    d.stop()


def test_receivers_behind_a_name_take_turns_and_one_that_refuses_is_passed_over(proxy, recorder, dns):
    first = recorder(host="127.0.0.2")
    second = recorder(host="127.0.0.3", port=first.port)
    dns.change(receivers=["127.0.0.2", "127.0.0.3"])
    dns.start()
    p = proxy(config(f"http://dns+receivers.test:{first.port}/base", endpoint=FAST),
              flags=[dns.flag, "-dns.refresh-interval=1s", "-dns.timeout=1s"])
    for _ in range(10):
        assert p.ingest()[0] == 200
    assert len(first.requests) == 5 and len(second.requests) == 5
    assert first.requests[0]["path"].startswith("/base/ingest")
    first.stop()
    for _ in range(6):
        assert p.ingest()[0] == 200
    assert len(second.requests) == 11
    third = recorder(host="127.0.0.4", port=first.port)
    dns.change(receivers=["127.0.0.4"])
    until(lambda: p.ingest()[0] == 200 and third.requests)
    before = len(second.requests)
    for _ in range(3):
        assert p.ingest()[0] == 200
    assert len(second.requests) == before


def test_the_distributors_are_found_in_the_ring(cluster, proxy):
    c = cluster("--distributors", "2", "--ingesters", "1", "--replication-factor", "1")
    peers = [e["gossip"] for role in c.endpoints().values() for e in role if e["gossip"]]
    port = free_port()
    p = proxy(flags=["-receive.http-listen-port={port}", "-forward-to=ring", f"-memberlist.bind-port={port}",
                     "-memberlist.bind-addr=127.0.0.1", "-memberlist.advertise-addr=127.0.0.1",
                     f"-memberlist.advertise-port={port}"] + [f"-memberlist.join={x}" for x in peers])
    until(lambda: "distributors of the ring" in p.logged() and "count=2" in p.logged())
    for i in range(6):
        assert p.push(push_request([(labels(f"ring{i}"), [pprof({("main", "f"): i + 1})])]))[0] == 200
    assert [c.total(f'{{service_name="ring{i}"}}')[0] for i in range(6)] == [1, 2, 3, 4, 5, 6]
    assert p.get("/ring")[0] == 200 and "distributor-0" in p.get("/distributor/ring")[1]
    assert p.get("/memberlist")[0] == 200
    c.kill("distributor-0")
    for i in range(4):
        assert p.push(push_request([(labels("after"), [pprof({("main", "f"): 1})])]))[0] == 200
    assert c.total('{service_name="after"}')[0] == 4


def test_ring_without_a_cluster_is_refused(tmp_path):
    status, _, err = command("-forward-to=ring", "-receive.http-listen-port=0", "-server.http-listen-port=0", cwd=tmp_path)
    assert status == 1 and "-memberlist.join" in err


def test_a_cluster_with_receive_proxies(cluster):
    c = cluster("--ingesters", "1", "--replication-factor", "1", "--receive-proxies", "2")
    for e in c.endpoints()["receive-proxy"]:
        body = push_request([(labels("through", proxy=e["name"]), [pprof({("main", "f"): 5})])])
        r = requests.post(f"http://{e['receive']}/push.v1.PusherService/Push", data=body,
                          headers={"Content-Type": "application/proto"}, timeout=20)
        assert r.status_code == 200
    assert c.total('{service_name="through"}')[0] == 10
