"""The same configurations and requests for a receive-proxy and for Grafana Alloy, and what each made of them.

A group is a configuration and its cases; run() gives {case: outcome} in plain data without ports, paths of this
machine and times, so that the outcomes of two programs, or of today and of a recording, can be compared."""

import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

import receive_proxy
from receive_proxy import Recorder

READY_S = 60


# --- programs ------------------------------------------------------------------------------------

class Program:
    """How one of the two is started: a binary of Alloy, or ours with -compat=alloy."""

    def __init__(self, binary, alloy):
        self.binary, self.alloy = binary, alloy

    def run(self, path, main, storage):
        if self.alloy:
            return [self.binary, "run", "--disable-reporting", f"--server.http.listen-addr=127.0.0.1:{main}",
                    f"--storage.path={storage}", path]
        return [self.binary, "-compat=alloy", f"-config.file={path}", "-server.http-listen-address=127.0.0.1",
                f"-server.http-listen-port={main}"]


class Running:
    """One of them at work on a configuration, in which @NAME@ is a free port and @to@ a receiver's URL."""

    def __init__(self, program, directory, config, recorder):
        self.program, self.dir, self.recorder = program, str(directory), recorder
        self.file, self.log = os.path.join(self.dir, "config.alloy"), os.path.join(self.dir, "log")
        os.makedirs(self.dir, exist_ok=True)
        for _ in range(5):  # a free port may be somebody else's a moment later
            self.main, self.ports = receive_proxy.free_port(), {}
            self.write(config)
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(program.run(self.file, self.main, os.path.join(self.dir, "data")),
                                                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self.is_ready() or "address already in use" not in self.logged():
                break
        assert self.process.poll() is None, self.logged()

    def write(self, config):
        def port(m):
            if m[1] not in self.ports:
                self.ports[m[1]] = receive_proxy.free_port()
            return str(self.ports[m[1]])

        config = config.replace("@to@", self.recorder.url).replace("@dir@", self.dir).replace(
            "@address@", f"127.0.0.1:{self.recorder.port}")
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(re.sub(r"@(\w+)@", port, config))

    def is_ready(self):
        end = time.monotonic() + READY_S
        while self.get("/-/ready")[0] != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def get(self, path, method="GET"):
        try:
            status, _, body = exchange(self.main, method, path)
            return status, body.decode("utf-8", "replace")
        except OSError:
            return 0, ""

    def logged(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def plain(self, text):
        """Without what is of this run alone."""
        text = text.replace(self.recorder.url, "@to@").replace(self.dir, "@dir@")
        text = text.replace(f"127.0.0.1:{self.recorder.port}", "@address@")
        for name, port in self.ports.items():
            text = re.sub(rf"\b{port}\b", f"@{name}@", text)
        text = re.sub(r"127\.0\.0\.1:\d{4,5}->", "127.0.0.1:@any@->", text)
        return text


# --- requests ------------------------------------------------------------------------------------

def exchange(port, method, target, headers=(), body=None, timeout=60):
    """(status, [(name, value)], body) of a request made of exactly these headers, and Host and Content-Length."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        c.putheader("Host", "proxy")
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        for name, value in headers:
            c.putheader(name, value)
        c.endheaders(body)
        r = c.getresponse()
        return r.status, r.getheaders(), r.read()
    finally:
        c.close()


def shown(data):
    """Bytes as a text: as they are, or in hex."""
    try:
        text = data.decode("utf-8")
        if all(c.isprintable() or c in "\n\t" for c in text):
            return text
    except UnicodeDecodeError:
        pass
    return "hex:" + data.hex()


UNSTEADY = {"date", "user-agent", "host", "x-alloy-id", "traceparent", "uber-trace-id", "x-request-id"}


def shown_headers(headers):
    """name: value in order of names; of those that differ from run to run only that they are there."""
    out = []
    for name, value in headers:
        low = name.lower()
        if low == "date":
            continue
        if low == "connect-timeout-ms":
            value = "remaining"
        out.append(f"{low}: {'...' if low in UNSTEADY else value}")
    return sorted(out)


LEFT_OUT = ("user-agent", "host", "traceparent", "uber-trace-id")  # the last two: no traces are told of by ours


def shown_request(r):
    headers = [h for h in shown_headers(r["headers"]) if h.split(":")[0] not in LEFT_OUT]
    return {"path": f'{r["method"]} {r["path"]}', "headers": headers, "body": shown(r["body"])}


def shown_reply(run, reply):
    status, headers, body = reply
    kinds = [v for k, v in headers if k.lower() == "content-type"]
    encoded = any(k.lower() == "content-encoding" and v == "gzip" for k, v in headers)
    body = gzip.decompress(body) if encoded else body
    text = run.plain(shown(body))
    if any(k.startswith("application/json") for k in kinds) and body.startswith(b"{"):
        text = json.loads(run.plain(body.decode("utf-8")))
    headers = [h for h in shown_headers(headers) if not (encoded and h.startswith("content-length"))]
    if isinstance(text, dict):
        headers = [h for h in headers if not h.startswith("content-length")]
    return {"status": status, "headers": headers, "body": text}


def ask(run, port, method, target, headers=(), body=None):
    """A request, its reply, and what reached the receivers meanwhile."""
    before = len(run.recorder.requests)
    try:
        reply = shown_reply(run, exchange(run.ports[port], method, target, headers, body))
    except (OSError, http.client.HTTPException) as e:
        reply = {"status": 0, "error": type(e).__name__}
    sent = run.recorder.requests[before:]
    return reply, sent


def case(run, port, method, target, headers=(), body=None):
    reply, sent = ask(run, port, method, target, headers, body)
    return {"reply": reply, "sent": sorted((shown_request(r) for r in sent), key=json.dumps)}


# --- protobuf ------------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def series(labels, *samples):
    """labels: pairs; samples: (profile, id) or profile."""
    out = b"".join(field(1, field(1, n) + field(2, v)) for n, v in labels)
    for s in samples:
        profile, name = s if isinstance(s, tuple) else (s, "")
        out += field(2, field(1, profile) + (field(2, name) if name else b""))
    return field(1, out)


PUSH = "/push.v1.PusherService/Push"
PROTO = [("Content-Type", "application/proto")]
JSON = [("Content-Type", "application/json")]
ONE = series([("__name__", "process_cpu"), ("service_name", "shop")], b"P1")
PLAIN_PUSH = series([("__name__", "process_cpu"), ("env", "x"), ("zone", "a")], b"P1")


# --- receivers -----------------------------------------------------------------------------------

GOOD = (200, {"Content-Type": "application/proto"}, b"")
NO_PUSH_TYPES = {"untyped": {}, "html": {"Content-Type": "text/html"}, "json": {"Content-Type": "application/json"}}


def answer(_, request):
    """By the first part of the path: well, hang, sNNN (a status and a text), cNNN-code (an error of Connect)."""
    mode = request["path"].split("/")[1].split("?")[0]
    if mode == "hang":
        return None
    if mode in NO_PUSH_TYPES:
        return 200, NO_PUSH_TYPES[mode], b"" if mode == "untyped" else b"{}"
    if mode == "garbage":
        return 200, {"Content-Type": "application/proto"}, b"\xff\xff"
    if mode == "gzipped":
        return 200, {"Content-Type": "application/proto", "Content-Encoding": "gzip"}, gzip.compress(b"")
    if mode == "again":
        return 307, {"Location": request["path"].replace("/again", "/well", 1)}, b""
    m = re.fullmatch(r"s(\d+)", mode)
    if m:
        return int(m[1]), {"Content-Type": "text/plain"}, b"" if m[1] in ("204", "304") else b"as it was told"
    m = re.fullmatch(r"c(\d+)-(\w+)", mode)
    if m:
        body = json.dumps({"code": m[2], "message": "as it was told"}).encode()
        return int(m[1]), {"Content-Type": "application/json"}, body
    return GOOD


def receive(name, *to, more="", http=""):
    forward = ", ".join(f"pyroscope.{t}.receiver" for t in to)
    return (f'pyroscope.receive_http "{name}" {{\n\thttp {{\n\t\tlisten_address = "127.0.0.1"\n\t\tlisten_port = @{name}@\n{http}\n\t}}\n'
            f"\tforward_to = [{forward}]\n{more}\n}}\n")


def endpoint(path, more="", retries=2, timeout="10s"):
    url = path if path.startswith("http") else "@to@" + path
    return (f'\tendpoint {{\n\t\turl = "{url}"\n\t\tremote_timeout = "{timeout}"\n\t\tmin_backoff_period = "1ms"\n'
            f'\t\tmax_backoff_period = "2ms"\n\t\tmax_backoff_retries = {retries}\n{more}\n\t}}\n')


def write(name, *endpoints, more=""):
    return f'pyroscope.write "{name}" {{\n{"".join(endpoints)}{more}\n}}\n'


def line(name, path, more="", external="", **kw):
    """A listener that sends to one endpoint."""
    return receive(name, f"write.{name}") + write(name, endpoint(path, more, **kw), more=external)


# --- what goes on, of an /ingest -----------------------------------------------------------------

NAMES = {
    "plain": "app", "no tags": "app%7B%7D", "tags": "app%7Bzone%3Db%2Cenv%3Da%7D", "spaces": "%20app%20%7B%20env%20%3D%20a%20%7D",
    "service_name": "app%7Bservice_name%3Dshop%7D", "empty service_name": "app%7Bservice_name%3D%7D",
    "app_name": "app%7Bapp_name%3Dx%7D", "both": "app%7Bservice_name%3Dshop%2Capp_name%3Dx%7D",
    "__name__": "app%7B__name__%3Dx%7D", "reserved": "app%7B__meta%3Dx%2C__delta__%3Dfalse%7D",
    "junk at the end": "app%7Bjunk%7D", "junk before a pair": "app%7Bjunk%2Ca%3Db%7D", "empty value": "app%7Ba%3D%2Cb%3Dc%7D",
    "unterminated": "app%7Ba%3Db", "unterminated second": "app%7Ba%3Db%2Cc%3Dd", "behind the end": "app%7Ba%3Db%7Dc%3Dd%7D",
    "no app": "%7Ba%3Db%7D", "odd app": "a-b.c%2Fd_e", "bad app": "a%20b", "bad app utf-8": "caf%C3%A9", "dotted key": "app%7Ba.b%3Dc%7D",
    "dashed key": "app%7Ba-b%3Dc%7D", "empty key": "app%7B%3Dc%7D", "double": "app%7Ba%3D1%2Ca%3D2%7D", "equals": "app%7Ba%3Db%3Dc%7D",
    "quotes": "app%7Ba%3D%22b%22%7D", "utf-8 value": "app%7Ba%3D%C3%A9%7D", "bad utf-8 value": "app%7Ba%3D%FF%7D",
    "trailing comma": "app%7Ba%3Db%2C%7D", "commas": "app%7B%2C%2C%7D", "brace in value": "app%7Ba%3Db%7Bc%7D", "only brace": "app%7B",
    "plus": "app%7Ba%3Db+c%7D", "raw braces": "app{a=b}", "percent in value": "app%7Ba%3D50%25%7D", "number": "1",
    "upper": "APP%7BKey%3DValue%7D", "newline": "app%7Ba%3Db%0Ac%7D",
}
QUERIES = {
    "none": "", "empty name": "?name=", "two names": "?name=a&name=b", "empty first": "?name=&name=b", "order": "?until=2&name=a&from=1",
    "repeats": "?b=2&a=1&b=1&name=app&a=", "no value": "?flag&name=app", "spaces": "?name=app&x=a%20b+c", "reserved": "?name=app&x=%26%3D%2F%3A%3F%23%25",
    "kept": "?name=app&x=~-._*!'()", "utf-8": "?name=app&%C3%A9=%C3%BC", "bytes": "?name=app&x=%FF", "bad escape": "?name=app&x=%zz&y=1",
    "half escape": "?name=app&x=%4", "semicolon": "?name=app&x=1;y=2&z=3", "empty pairs": "?name=app&&a=1&", "no key": "?name=app&=1",
    "all": "?name=app%7Benv%3Dprod%7D&from=1700000000&until=1700000010&format=pprof&sampleRate=100&spyName=gospy&units=samples&aggregationType=sum",
    "slash": "?name=a/b&x=a/b:c@d", "bad escape in name": "?name=%zz", "null": "?name=app&x=%00",
}


def group_ingest(run):
    out = {}
    for name, value in NAMES.items():
        out["name: " + name] = case(run, "plain", "POST", "/ingest?name=" + value, [], b"B")
    for name, query in QUERIES.items():
        out["query: " + name] = case(run, "plain", "POST", "/ingest" + query, [], b"B")
    for name, headers in {
            "none": [], "one": [("Content-Type", "text/plain; charset=x")], "two": [("Content-Type", "a/b"), ("content-type", "c/d")],
            "empty": [("Content-Type", "")], "multipart": [("Content-Type", "multipart/form-data; boundary=xyz")],
            "others": [("X-Scope-OrgID", "team"), ("Authorization", "Bearer x"), ("Content-Encoding", "gzip"), ("User-Agent", "mine"),
                       ("Accept-Encoding", "gzip"), ("X-Request-Id", "7"), ("Cookie", "a=b"), ("Accept", "*/*"), ("traceparent", "x"),
                       ("X-Forwarded-For", "1.2.3.4"), ("Content-Language", "de"), ("Referer", "http://x")]}.items():
        out["headers: " + name] = case(run, "plain", "POST", "/ingest?name=app", headers, b"B")
    out["body: empty"] = case(run, "plain", "POST", "/ingest?name=app", [], b"")
    out["body: none"] = case(run, "plain", "POST", "/ingest?name=app", [], None)
    out["body: bytes"] = case(run, "plain", "POST", "/ingest?name=app", [], bytes(range(256)) * 3)
    own = [("Content-Type", "text/plain"), ("X-Scope-OrgID", "theirs")]
    for port in ("base", "labels", "headers", "auth", "basic", "typed", "nobody", "silent", "user", "lists"):
        out["pipeline: " + port] = case(run, port, "POST", "/ingest?name=app%7Benv%3Da%2Czone%3Db%7D&x=1", own, b"B")
    out["pipeline: headers, own type none"] = case(run, "headers", "POST", "/ingest?name=app", [], b"B")
    out["pipeline: labels, service"] = case(run, "labels", "POST", "/ingest?name=app%7Bservice_name%3Dshop%7D", [], b"B")
    return out


PIPELINES = (
    line("plain", "/well/plain")
    + line("base", "/well/base//x/../y/?a=b#c")
    + line("labels", "/well", external='\texternal_labels = {env = "over", zone = "", added = "1", __x = "2", "a-b" = "c", __name__ = "renamed"}')
    + line("headers", "/well", '\t\theaders = {"Content-Type" = "from/endpoint", "X-Scope-OrgID" = "ours", "x-lower" = "l", "X-Alloy-Id" = "id", "User-Agent" = "ua"}')
    + line("lists", "/well", '\t\thttp_headers = {"X-List" = ["a", "b"], "x-one" = ["c"]}')
    + line("auth", "/well", '\t\tbearer_token = "token"')
    + line("basic", "/well", '\t\tbasic_auth {\n\t\t\tusername = "me"\n\t\t\tpassword = "hush"\n\t\t}')
    + line("typed", "/well", '\t\tauthorization {\n\t\t\ttype = "Custom"\n\t\t\tcredentials = "hush"\n\t\t}')
    + receive("user", "write.user") + write("user", endpoint("http://us:pw@@address@/well"))
    + receive("nobody") + receive("silent", "write.silent") + write("silent"))


# --- what goes on, of a Push ---------------------------------------------------------------------

LABELS = {
    "plain": [("__name__", "process_cpu"), ("service_name", "shop")], "no service": [("__name__", "process_cpu"), ("a", "b")],
    "no name": [("service_name", "shop")], "no name, app_name": [("service_name", "shop"), ("app_name", "x")], "unsorted": [("z", "1"), ("service_name", "shop"), ("b", "2"), ("__name__", "n")],
    "double": [("a", "1"), ("service_name", "s"), ("a", "2")], "empty value": [("service_name", "s"), ("a", "")], "empty service": [("service_name", ""), ("__name__", "n")],
    "reserved": [("__x", "1"), ("__delta__", "false"), ("__name__", "n"), ("__session_id__", "2"), ("service_name", "s")],
    "none": [], "all empty": [("a", "")], "bad name": [("a-b", "c"), ("service_name", "s")], "dotted": [("a.b", "c"), ("service_name", "s")],
    "empty name": [("", "c"), ("service_name", "s")], "utf-8 name": [("é", "c"), ("service_name", "s")], "bad value": [("a", b"\xff"), ("service_name", "s")],
    "utf-8 value": [("a", "é"), ("service_name", "s")], "digit name": [("1a", "c"), ("service_name", "s")], "only app_name": [("app_name", "x"), ("__name__", "n")],
}


def group_push(run):
    out = {}
    for name, pairs in LABELS.items():
        if name == "bad value":
            continue  # a string of protobuf must be UTF-8; see "bad string"
        out["labels: " + name] = case(run, "plain", "POST", PUSH, PROTO, series(pairs, b"P1"))
    bodies = {
        "empty": b"", "no samples": series([("service_name", "s")]), "two samples": series([("service_name", "s")], b"P1", (b"P2", "id-2")),
        "two series": series([("service_name", "s")], b"P1") + series([("service_name", "t")], b"P2"),
        "empty profile": series([("service_name", "s")], b""), "annotations": ONE + field(2, field(1, "k") + field(2, "v")), "unknown field": ONE + field(15, "x"),
        "bad string": series([("a", b"\xff"), ("service_name", "s")], b"P1"), "cut": ONE[:-3], "rubbish": b"\xff\xff\xff",
        "one bad of two": series([("a-b", "x")], b"P1") + series([("service_name", "t")], b"P2"),
        "two bad": series([("a-b", "x")], b"P1") + series([("c-d", "x")], b"P2"),
    }
    for name, body in bodies.items():
        out["body: " + name] = case(run, "plain", "POST", PUSH, PROTO, body)
    out["gzip"] = case(run, "plain", "POST", PUSH, PROTO + [("Content-Encoding", "gzip")], gzip.compress(ONE, mtime=0))
    out["not gzip"] = case(run, "plain", "POST", PUSH, PROTO + [("Content-Encoding", "gzip")], ONE)
    out["identity"] = case(run, "plain", "POST", PUSH, PROTO + [("Content-Encoding", "identity")], ONE)
    out["br"] = case(run, "plain", "POST", PUSH, PROTO + [("Content-Encoding", "br")], ONE)
    out["accepts gzip"] = case(run, "plain", "POST", PUSH, PROTO + [("Accept-Encoding", "gzip")], ONE)
    out["others' headers"] = case(run, "plain", "POST", PUSH, PROTO + [("X-Scope-OrgID", "team"), ("Authorization", "x"), ("User-Agent", "mine"), ("X-Request-Id", "7")], ONE)
    texts = {
        "plain": {"series": [{"labels": [{"name": "service_name", "value": "s"}], "samples": [{"rawProfile": "UDE=", "ID": "x"}]}]},
        "snake": {"series": [{"labels": [{"name": "service_name", "value": "s"}], "samples": [{"raw_profile": "UDE="}]}]},
        "url base64": {"series": [{"labels": [{"name": "service_name", "value": "s"}], "samples": [{"rawProfile": "-_8"}]}]},
        "bad base64": {"series": [{"labels": [{"name": "service_name", "value": "s"}], "samples": [{"rawProfile": "?"}]}]},
        "unknown": {"series": [], "what": 1}, "nulls": {"series": None}, "wrong type": {"series": 1}, "nothing": {},
    }
    for name, text in texts.items():
        out["json: " + name] = case(run, "plain", "POST", PUSH, JSON, json.dumps(text).encode())
    out["json: cut"] = case(run, "plain", "POST", PUSH, JSON, b'{"series": [')
    out["json: empty"] = case(run, "plain", "POST", PUSH, JSON, b"")
    out["json: charset"] = case(run, "plain", "POST", PUSH, [("Content-Type", "application/json; charset=utf-8")], b"{}")
    for value in ("", "0", "1000", "-1", "x", "12345678901", "9999999999", "1.5"):
        out[f"Connect-Timeout-Ms: {value}"] = case(run, "plain", "POST", PUSH, PROTO + [("Connect-Timeout-Ms", value)], ONE)
    for value in ("", "1", "2", "x"):
        out[f"Connect-Protocol-Version: {value}"] = case(run, "plain", "POST", PUSH, PROTO + [("Connect-Protocol-Version", value)], ONE)
    for value in ("", "text/plain", "application/x-protobuf", "application/protobuf", "application/proto; a=b", "Application/Proto", "application/json;charset=utf-8"):
        out[f"Content-Type: {value}"] = case(run, "plain", "POST", PUSH, [("Content-Type", value)] if value else [], ONE if "json" not in value else b"{}")
    for port in ("base", "labels", "headers", "auth", "basic", "typed", "nobody", "silent", "user", "lists"):
        out["pipeline: " + port] = case(run, port, "POST", PUSH, PROTO + [("X-Scope-OrgID", "theirs")], PLAIN_PUSH)
    return out


# --- what is not there ---------------------------------------------------------------------------

def group_routes(run):
    out = {}
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        out[method + " /ingest"] = case(run, "plain", method, "/ingest?name=app")
        out[method + " Push"] = case(run, "plain", method, PUSH)
    for path in ("/", "/ingest/", "//ingest", "/Ingest", "/ingest/x", "/push.v1.PusherService/Pull", "/push.v1.PusherService/", "/push.v1.PusherService",
                 PUSH + "/", PUSH + "/x", "/metrics", "/ready", "/debug/pprof/", "/x/../ingest?name=app", "/./ingest?name=app", "/%69ngest?name=app"):
        out["POST " + path] = case(run, "plain", "POST", path, PROTO, b"")
        out["GET " + path] = case(run, "plain", "GET", path)
    return out


# --- receivers' answers --------------------------------------------------------------------------

STATUSES = (200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429, 499, 500, 501, 502, 503, 504, 599)
CODES = ((499, "canceled"), (500, "unknown"), (400, "invalid_argument"), (504, "deadline_exceeded"), (404, "not_found"), (409, "already_exists"),
         (403, "permission_denied"), (429, "resource_exhausted"), (400, "failed_precondition"), (409, "aborted"), (400, "out_of_range"),
         (501, "unimplemented"), (500, "internal"), (503, "unavailable"), (500, "data_loss"), (401, "unauthenticated"), (400, "no_such_code"), (200, "internal"))
OTHERS = ("untyped", "html", "json", "garbage", "gzipped", "again", "hang", "refuse")


def modes():
    return [f"s{s}" for s in STATUSES] + [f"c{s}-{c}" for s, c in CODES] + list(OTHERS)


def port_of(mode):
    return "m_" + mode.replace("-", "_")


def url_of(mode):
    return "http://127.0.0.1:1" if mode == "refuse" else "/" + mode.lstrip("/")


def answers_config():
    text = ""
    for mode in modes():
        name = port_of(mode)
        slow = mode == "hang"
        text += line(name, url_of(mode), "\t\tretry_on_http_429 = true", retries=2 if slow else 4, timeout="200ms" if slow else "10s")
    for name, paths in TWO.items():
        text += receive(name, f"write.{name}") + write(name, *(endpoint(url_of(p), retries=3) for p in paths))
        text += receive(name + "_apart", *(f"write.{name}_{i}" for i in range(len(paths))))
        text += "".join(write(f"{name}_{i}", endpoint(url_of(p), retries=3)) for i, p in enumerate(paths))
    for mode in ("s429", "c429-resource_exhausted"):
        text += line(port_of(mode) + "_once", "/" + mode, "\t\tretry_on_http_429 = false", retries=4)
    return text + line("default", "/s503", retries=10)


TWO = {"two_well_well": ("/well/1", "/well/2"), "two_well_400": ("/well/1", "/s400"), "two_well_503": ("/well/1", "/s503"),
       "two_400_400": ("/s400/1", "/s400/2"), "two_well_refuse": ("/well/1", "refuse")}


def attempts(run, port, method, target, headers, body):
    """The reply, and how often each receiver was asked."""
    reply, sent = ask(run, port, method, target, headers, body)
    counts = {}
    for r in sent:
        mode = r["path"].split("?")[0].removesuffix("/ingest").removesuffix(PUSH)
        counts[mode] = counts.get(mode, 0) + 1
    return {"reply": reply, "asked": counts}


def group_answers(run):
    out = {}
    names = [port_of(m) for m in modes()] + [n + e for n in TWO for e in ("", "_apart")]
    names += [port_of(m) + "_once" for m in ("s429", "c429-resource_exhausted")] + ["default"]
    for name in names:
        out["ingest " + name] = attempts(run, name, "POST", "/ingest?name=app", [], b"B")
        out["push " + name] = attempts(run, name, "POST", PUSH, PROTO, ONE)
    out["push json " + names[0]] = attempts(run, port_of("s503"), "POST", PUSH, JSON, b'{"series":[{"labels":[{"name":"a","value":"b"}]}]}')
    out["push late"] = attempts(run, port_of("hang"), "POST", PUSH, PROTO + [("Connect-Timeout-Ms", "100")], ONE)
    return out


# --- rules ---------------------------------------------------------------------------------------

RULES = {
    "none": [], "replace": [{"source_labels": ["env"], "target_label": "stage"}], "constant": [{"target_label": "c", "replacement": "x"}],
    "groups": [{"source_labels": ["env", "zone"], "regex": "(.)(.*);(?P<z>.*)", "target_label": "${1}_t", "replacement": "$2-${z}-$9-$$"}],
    "no match": [{"source_labels": ["env"], "regex": "nothing", "target_label": "stage"}], "delete": [{"source_labels": ["missing"], "target_label": "env", "replacement": "$1"}],
    "odd target": [{"source_labels": ["env"], "regex": "(.)(.*)", "target_label": "a_${1}$2"}],
    "separator": [{"source_labels": ["env", "zone"], "separator": "", "target_label": "j"}], "keep": [{"action": "keep", "source_labels": ["env"], "regex": "prod|x"}],
    "keep not": [{"action": "keep", "source_labels": ["env"], "regex": "pro"}], "drop": [{"action": "drop", "source_labels": ["env"], "regex": "prod"}],
    "drop not": [{"action": "drop", "source_labels": ["env"], "regex": "pro"}], "keepequal": [{"action": "keepequal", "source_labels": ["env"], "target_label": "zone"}],
    "keepequal same": [{"action": "keepequal", "source_labels": ["env"], "target_label": "same"}],
    "dropequal": [{"action": "dropequal", "source_labels": ["env"], "target_label": "same"}], "dropequal not": [{"action": "dropequal", "source_labels": ["env"], "target_label": "zone"}],
    "hashmod": [{"action": "hashmod", "source_labels": ["env", "zone"], "target_label": "m", "modulus": 1000}],
    "labelmap": [{"action": "labelmap", "regex": "(e.*|z.*)", "replacement": "m_$1"}], "labeldrop": [{"action": "labeldrop", "regex": "e.*|same"}],
    "labelkeep": [{"action": "labelkeep", "regex": "env|service_name|__name__"}], "all away": [{"action": "labeldrop", "regex": ".*"}],
    "lower": [{"action": "lowercase", "source_labels": ["mixed"], "target_label": "l"}], "upper": [{"action": "uppercase", "source_labels": ["mixed"], "target_label": "u"}],
    "rename": [{"source_labels": ["env"], "target_label": "service_name"}], "name": [{"target_label": "__name__", "replacement": "other"}],
    "hidden": [{"source_labels": ["env"], "target_label": "__tmp"}, {"source_labels": ["__tmp"], "target_label": "from_tmp"}],
    "anchored": [{"source_labels": ["env"], "regex": "(?i)PROD", "target_label": "i", "replacement": "yes"}], "newline": [{"source_labels": ["lines"], "regex": "a.b", "target_label": "n", "replacement": "yes"}],
    "two": [{"action": "drop", "source_labels": ["env"], "regex": "nothing"}, {"target_label": "t", "replacement": "1"}],
}
RULED = [("__name__", "process_cpu"), ("env", "prod"), ("lines", "a\nb"), ("mixed", "MiXed"), ("same", "prod"), ("service_name", "shop"), ("zone", "a")]


def rule(r):
    lines = "".join(f"\t\t{k} = {json.dumps(v)}\n" for k, v in r.items())
    return "\trule {\n" + lines + "\t}\n"


def rules_config():
    text = write("out", endpoint("/well"))
    for i, rules in enumerate(RULES.values()):
        text += receive(f"r{i}", f"relabel.r{i}")
        text += f'pyroscope.relabel "r{i}" {{\n{"".join(rule(r) for r in rules)}\tforward_to = [pyroscope.write.out.receiver]\n}}\n'
    return text


def group_rules(run):
    out = {}
    body, tags = series(RULED, b"P1"), ",".join(f"{k}={v}" for k, v in RULED[1:] if k != "lines")
    query = "/ingest?name=app" + "".join(f"%{ord(c):02X}" for c in "{" + tags + "}")
    for i, name in enumerate(RULES):
        for n in (1, 2):  # the second one comes out of a cache there
            out[f"push {name} {n}"] = case(run, f"r{i}", "POST", PUSH, PROTO, body)
        out[f"ingest {name}"] = case(run, f"r{i}", "POST", query, [], b"B")
    return out


# --- metrics -------------------------------------------------------------------------------------

METRIC = re.compile(r"^(pyroscope_(?:write|receive_http|relabel|fanout|forwarded|ebpf)\w*)(?:\{(.*)\})? (\S+)$")
STEADY = re.compile(r"_(bucket|sum)$|_bytes_(bucket|sum)$")


def metrics_config():
    return (receive("in", "relabel.r") + 'pyroscope.relabel "r" {\n\trule {\n\t\taction = "drop"\n\t\tsource_labels = ["service_name"]\n'
            '\t\tregex = "unwanted"\n\t}\n\tforward_to = [pyroscope.write.w.receiver]\n}\n'
            + write("w", endpoint("/well", '\t\tname = "named"'), endpoint("/s503", retries=3), endpoint("/s400")) + line("alone", "/well/alone"))


def group_metrics(run):
    for _ in range(2):
        exchange(run.ports["in"], "POST", "/ingest?name=app", [], b"12345")
    exchange(run.ports["in"], "POST", "/ingest?name=unwanted", [], b"12345")
    exchange(run.ports["in"], "POST", PUSH, PROTO, series([("service_name", "s")], b"123", b"45") + series([("service_name", "t")], b"6789"))
    exchange(run.ports["in"], "GET", "/ingest")
    exchange(run.ports["in"], "POST", "/elsewhere", [], b"")
    exchange(run.ports["alone"], "POST", "/ingest?name=app", [], b"12345")
    exchange(run.ports["alone"], "POST", PUSH, PROTO, ONE)
    time.sleep(0.3)  # some of it is counted after the reply
    types, values, buckets = {}, {}, {}
    for text in run.get("/metrics")[1].splitlines():
        kind, m = re.match(r"# TYPE (\S+) (\S+)", text), METRIC.match(text)
        if kind:
            types[kind[1]] = kind[2]
        if not m:
            continue
        labels = sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
        less = [v for k, v in labels if k == "le"]
        series_name = m[1] + "{" + ",".join(f'{k}="{run.plain(v)}"' for k, v in labels if k != "le") + "}"
        if less:
            buckets.setdefault(m[1], set()).add(float(less[0]))
        elif m[1].endswith("_sum") and "bytes" not in m[1]:
            values[series_name] = "seconds"
        else:
            values[series_name] = float(m[3])
    names = {re.sub(r"\{.*", "", v) for v in values} | set(buckets)
    return {"types": {t: k for t, k in sorted(types.items()) if t in names or any(n.startswith(t + "_") for n in names) and METRIC.match(t + " 0")},
            "values": dict(sorted(values.items())), "buckets": {k: [str(b) for b in sorted(v)] for k, v in sorted(buckets.items())}}


# --- reload --------------------------------------------------------------------------------------

def group_reload(run):
    out = {}

    def load(name, config):
        run.write(config)
        status, headers, body = exchange(run.main, "POST", "/-/reload")
        time.sleep(0.3)
        out[name] = {"status": status, "body": run.plain(shown(body)), "ready": list(run.get("/-/ready")), "healthy": list(run.get("/-/healthy")),
                     "type": [v for k, v in headers if k.lower() == "content-type"],
                     "asked": attempts(run, "in", "POST", "/ingest?name=app", [], b"B"), "loaded": loaded(run), "health": health(run)}

    load("same", line("in", "/well/1"))
    load("other endpoint", line("in", "/well/2"))
    load("unknown attribute", line("in", "/well/3", "\t\turi = 1"))
    load("syntax", line("in", "/well/3")[:-4])
    load("unknown component", line("in", "/well/3") + 'pyroscope.nothing "x" {\n}\n')
    load("taken port", line("in", "/well/3") + receive("twice").replace("@twice@", "@in@"))
    load("good again", line("in", "/well/4"))
    load("bad tls", line("in", "/well/5", '\t\ttls_config {\n\t\t\tca_pem = "x"\n\t\t}'))
    load("other listener", line("other", "/well/6").replace('"other"', '"in"').replace("write.other", "write.in"))
    return out


def loaded(run):
    return [text.rpartition(" ")[2] for text in run.get("/metrics")[1].splitlines() if text.startswith("alloy_config_last_load_successful ")]


def health(run):
    parts = json.loads(run.get("/api/v0/web/components")[1])
    return {p["localID"]: {"state": p["health"]["state"], "message": run.plain(p["health"]["message"]), "to": sorted(p.get("referencesTo") or []),
                           "by": sorted(p.get("referencedBy") or [])} for p in parts}


# --- configurations that are wrong ---------------------------------------------------------------

def in_endpoint(text):
    return 'pyroscope.write "w" {\n\tendpoint {\n\t\turl = "http://127.0.0.1:1"\n' + text + "\n\t}\n}\n"


def in_http(text):
    return 'pyroscope.receive_http "r" {\n\thttp {\n\t\tlisten_address = "127.0.0.1"\n\t\tlisten_port = @r@\n' + text + "\n\t}\n\tforward_to = []\n}\n"


def in_rule(text):
    return 'pyroscope.relabel "r" {\n\trule {\n' + text + "\n\t}\n\tforward_to = []\n}\n"


WRONG = {
    "unknown component": 'pyroscope.nothing "a" {\n}\n', "no label": "pyroscope.write {\n}\n", "label that is none": 'pyroscope.write "a-b" {\n}\n', "twice": 'pyroscope.write "a" {\n}\npyroscope.write "a" {\n}\n',
    "no url": 'pyroscope.write "a" {\n\tendpoint {\n\t}\n}\n', "no forward_to": 'pyroscope.receive_http "a" {\n}\n', "unknown attribute": in_endpoint("\t\turi = 1"),
    "unknown block": in_endpoint("\t\tnothing {\n\t\t}"), "attribute as block": in_endpoint("\t\theaders {\n\t\t}"), "block as attribute": in_endpoint("\t\tbasic_auth = 1"),
    "attribute twice": in_endpoint('\t\turl = "x"'), "block twice": in_endpoint("\t\tbasic_auth {\n\t\t}\n\t\tbasic_auth {\n\t\t}"), "string for number": in_endpoint('\t\tmax_backoff_retries = "x"'),
    "number as text": in_endpoint('\t\tmax_backoff_retries = "7"'), "number for string": in_endpoint("\t\tname = 7"), "number for bool": in_endpoint("\t\tretry_on_http_429 = 1"),
    "bad duration": in_endpoint('\t\tremote_timeout = "ten"'), "number for duration": in_endpoint("\t\tremote_timeout = 10"), "list for map": in_endpoint("\t\theaders = [1]"),
    "map of numbers": in_endpoint("\t\theaders = {a = 1}"), "float for int": in_endpoint("\t\tmax_backoff_retries = 1.5"), "whole float for int": in_endpoint("\t\tmax_backoff_retries = 2.0"),
    "negative": in_endpoint("\t\tmax_backoff_retries = -1"), "null": in_endpoint("\t\tname = null"), "huge": in_endpoint("\t\tmax_backoff_retries = 99999999999999999999"),
    "two ways to authenticate": in_endpoint('\t\tbearer_token = "x"\n\t\tbasic_auth {\n\t\t\tusername = "y"\n\t\t}'), "two tokens": in_endpoint('\t\tbearer_token = "x"\n\t\tbearer_token_file = "y"'),
    "basic in authorization": in_endpoint('\t\tauthorization {\n\t\t\ttype = "basic"\n\t\t}'), "two passwords": in_endpoint('\t\tbasic_auth {\n\t\t\tusername = "y"\n\t\t\tpassword = "a"\n\t\t\tpassword_file = "b"\n\t\t}'),
    "two credentials": in_endpoint('\t\tauthorization {\n\t\t\tcredentials = "a"\n\t\t\tcredentials_file = "b"\n\t\t}'), "oauth2 without": in_endpoint("\t\toauth2 {\n\t\t}"),
    "oauth2 half": in_endpoint('\t\toauth2 {\n\t\t\tclient_id = "x"\n\t\t}'), "oauth2 no url": in_endpoint('\t\toauth2 {\n\t\t\tclient_id = "x"\n\t\t\tclient_secret = "y"\n\t\t}'),
    "two cas": in_endpoint('\t\ttls_config {\n\t\t\tca_pem = "a"\n\t\t\tca_file = "b"\n\t\t}'), "cert without key": in_endpoint('\t\ttls_config {\n\t\t\tcert_pem = "a"\n\t\t}'),
    "key without cert": in_endpoint('\t\ttls_config {\n\t\t\tkey_pem = "a"\n\t\t}'), "bad ca": in_endpoint('\t\ttls_config {\n\t\t\tca_pem = "a"\n\t\t}'), "no ca file": in_endpoint('\t\ttls_config {\n\t\t\tca_file = "/nowhere"\n\t\t}'),
    "bad tls version": in_endpoint('\t\ttls_config {\n\t\t\tmin_version = "1.2"\n\t\t}'), "no_proxy alone": in_endpoint('\t\tno_proxy = "x"'), "two proxies": in_endpoint('\t\tproxy_from_environment = true\n\t\tproxy_url = "http://x"'),
    "bad proxy": in_endpoint('\t\tproxy_url = "::"'), "proxy headers alone": in_endpoint('\t\tproxy_connect_header = {"a" = ["b"]}'), "bad url": 'pyroscope.write "w" {\n\tendpoint {\n\t\turl = "::"\n\t}\n}\n',
    "empty url": 'pyroscope.write "w" {\n\tendpoint {\n\t\turl = ""\n\t}\n}\n', "bad header in http_headers": in_endpoint('\t\thttp_headers = {"Authorization" = ["x"]}'),
    "unknown reference": receive("r", "write.missing"), "unknown export": 'pyroscope.write "w" {\n}\npyroscope.receive_http "r" {\n\tforward_to = [pyroscope.write.w.input]\n}\n',
    "reference to a component": 'pyroscope.write "w" {\n}\npyroscope.receive_http "r" {\n\tforward_to = [pyroscope.write.w]\n}\n', "forward_to a string": 'pyroscope.receive_http "r" {\n\tforward_to = ["x"]\n}\n',
    "forward_to no list": 'pyroscope.write "w" {\n}\npyroscope.receive_http "r" {\n\tforward_to = pyroscope.write.w.receiver\n}\n', "cycle": 'pyroscope.relabel "a" {\n\tforward_to = [pyroscope.relabel.b.receiver]\n}\npyroscope.relabel "b" {\n\tforward_to = [pyroscope.relabel.a.receiver]\n}\n',
    "itself": 'pyroscope.relabel "a" {\n\tforward_to = [pyroscope.relabel.a.receiver]\n}\n', "unknown function": in_endpoint("\t\tname = nothing(1)"), "division": in_endpoint("\t\tmax_backoff_retries = 1 / 0"), "adding": in_endpoint('\t\tname = "a" + 1'),
    "unclosed string": 'pyroscope.write "a {\n}\n', "unclosed block": 'pyroscope.write "a" {\n', "extra brace": 'pyroscope.write "a" {\n}\n}\n', "attribute at the top": "a = 1\n", "no value": in_endpoint("\t\tname ="), "rubbish": "!!!\n", "bad escape": in_endpoint('\t\tname = "\\q"'),
    "two on a line": in_endpoint('\t\tname = "a" remote_timeout = "1s"'), "missing comma": in_endpoint('\t\theaders = {"a" = "b" "c" = "d"}'), "unclosed list": in_endpoint("\t\theaders = ["), "bad character": "pyroscope.write \"a\" {\n\t@\n}\n",
    "bad action": in_rule('\t\taction = "nothing"'), "bad regex": in_rule('\t\tregex = "("\n\t\ttarget_label = "a"'), "no target": in_rule('\t\tsource_labels = ["a"]'), "no modulus": in_rule('\t\taction = "hashmod"\n\t\tsource_labels = ["a"]\n\t\ttarget_label = "b"'),
    "labelmap target": in_rule('\t\taction = "labelmap"\n\t\treplacement = "a-b"'), "labeldrop with source": in_rule('\t\taction = "labeldrop"\n\t\tsource_labels = ["a"]\n\t\tregex = "x"'), "keepequal with regex": in_rule('\t\taction = "keepequal"\n\t\tsource_labels = ["a"]\n\t\ttarget_label = "b"\n\t\tregex = "x"'),
    "keepequal no target": in_rule('\t\taction = "keepequal"\n\t\tsource_labels = ["a"]'), "lowercase no target": in_rule('\t\taction = "lowercase"\n\t\tsource_labels = ["a"]'), "bad target": in_rule('\t\taction = "lowercase"\n\t\tsource_labels = ["a"]\n\t\ttarget_label = "a-b"'),
    "odd target": in_rule('\t\ttarget_label = "a-$1"'), "dotted target": in_rule('\t\ttarget_label = "a.b"'), "odd template": in_rule('\t\ttarget_label = "${1}a$2"'),
    "cache 0": 'pyroscope.relabel "r" {\n\tmax_cache_size = 0\n\tforward_to = []\n}\n', "cache -1": 'pyroscope.relabel "r" {\n\tmax_cache_size = -1\n\tforward_to = []\n}\n',
    "bad port": 'pyroscope.receive_http "r" {\n\thttp {\n\t\tlisten_port = 70000\n\t}\n\tforward_to = []\n}\n', "port as rubbish": 'pyroscope.receive_http "r" {\n\thttp {\n\t\tlisten_port = "x"\n\t}\n\tforward_to = []\n}\n',
    "client auth": in_http('\t\ttls {\n\t\t\tcert_pem = "x"\n\t\t\tkey_pem = "y"\n\t\t\tclient_auth_type = "Maybe"\n\t\t}'), "bad certificate": in_http('\t\ttls {\n\t\t\tcert_pem = "x"\n\t\t\tkey_pem = "y"\n\t\t}'), "no certificate file": in_http('\t\ttls {\n\t\t\tcert_file = "/nowhere"\n\t\t\tkey_file = "/nowhere"\n\t\t}'),
    "logging level": 'logging {\n\tlevel = "loud"\n}\n', "logging twice": 'logging {\n}\nlogging {\n}\n', "labelled logging": 'logging "x" {\n}\n', "two errors": in_endpoint('\t\turi = 1\n\t\tname = 7'), "errors in two": in_endpoint("\t\turi = 1") + 'pyroscope.receive_http "a" {\n}\n',
}


def group_wrong(program, directory):
    """What a start says of each."""
    out = {}
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "config.alloy")
    for name, text in WRONG.items():
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.sub(r"@(\w+)@", lambda m: "127.0.0.1:1" if m[1] == "to" else "41999", text))
        out[name] = validated(program, directory, path) or started(program, directory, path)
    return out


def validated(program, directory, path):
    """Ours finds by `validate` what it would find at its start, but for what building finds; None: nothing."""
    if program.alloy:
        return None
    p = subprocess.run([program.binary, "validate", "-compat=alloy", path], capture_output=True, text=True, timeout=60, check=False)
    return {"status": p.returncode, "errors": errors_in(p.stderr, directory)} if p.returncode else None


def errors_in(text, directory):
    """The diagnostics of a command, without the line that ends them and the log."""
    lines = [t for t in text.splitlines() if not re.match(r"(ts|time)=|\d{4}-", t)]
    return "\n".join(lines).rpartition("Error: ")[0].replace(directory, "@dir@").strip()


def started(program, directory, path):
    """A start's exit status and what it printed of errors, or "runs"."""
    main, log = receive_proxy.free_port(), os.path.join(directory, "log")
    with open(log, "wb") as f:
        p = subprocess.Popen(program.run(path, main, os.path.join(directory, "data")), cwd=directory, stdin=subprocess.DEVNULL,
                             stdout=f, stderr=f)
    end = time.monotonic() + READY_S
    while p.poll() is None and time.monotonic() < end:
        try:
            if exchange(main, "GET", "/-/ready", timeout=5)[0] == 200:
                break
        except OSError:
            pass
        time.sleep(0.02)
    if p.poll() is None:
        p.kill()
        p.wait()
        return "runs"
    with open(log, encoding="utf-8", errors="replace") as f:
        return {"status": p.returncode, "errors": errors_in(f.read(), directory)}


# --- everything ----------------------------------------------------------------------------------

GROUPS = {
    "ingest": (lambda: PIPELINES, group_ingest), "push": (lambda: PIPELINES, group_push), "routes": (lambda: line("plain", "/well"), group_routes),
    "answers": (answers_config, group_answers), "rules": (rules_config, group_rules), "metrics": (metrics_config, group_metrics),
    "reload": (lambda: line("in", "/well/1"), group_reload),
}


def run_group(program, name, directory):
    """{case: outcome}."""
    if name == "wrong":
        return group_wrong(program, str(directory))
    config, work = GROUPS[name]
    recorder = Recorder(answer)
    run = None
    try:
        run = Running(program, directory, config(), recorder)
        return work(run)
    finally:
        if run is not None:
            run.stop()
        recorder.stop()


def names():
    return list(GROUPS) + ["wrong"]


def as_text(version, date, cases):
    """A recording, with a line for each case."""
    lines = ",\n".join(f" {json.dumps(k, ensure_ascii=False)}: {json.dumps(cases[k], sort_keys=True, ensure_ascii=False)}" for k in sorted(cases))
    return f'{{"alloy": {json.dumps(version)}, "recorded": "{date}", "cases": {{\n{lines}\n}}}}\n'
