"""A receive-proxy and what stands behind it, for tests: the real binary, and a recorder with orders."""

import gzip
import os
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Recorder:
    """An HTTP server that keeps every request and answers as it is told.

    answer(n, request) gives (status, headers, body), or None to hang; n counts from 0. `requests` holds
    dicts: method, path (with query), headers (list of pairs), body."""

    def __init__(self, answer=None, ssl_context=None, port=0, host="127.0.0.1"):
        self.requests, self.connections, self.lock = [], [], threading.Lock()
        self.answer = answer or (lambda n, r: (200, {}, b""))
        self.released = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with owner.lock:
                    owner.connections.append(self.connection)

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = {"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body}
                with owner.lock:
                    n = len(owner.requests)
                    owner.requests.append(request)
                reply = owner.answer(n, request)
                if reply is None:
                    owner.released.wait(60)
                    self.close_connection = True
                    return
                status, headers, content = reply
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):  # pylint: disable=arguments-differ
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 512

            def handle_error(self, *args):  # pylint: disable=arguments-differ
                pass

        self.server = Server((host, port), Handler)
        if ssl_context is not None:
            self.server.socket = ssl_context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.scheme = "http" if ssl_context is None else "https"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait(self, count, seconds=20):
        deadline = time.monotonic() + seconds
        while len(self.requests) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.requests) >= count, f"{len(self.requests)} of {count} requests came"
        return self.requests

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for c in self.connections:  # kept-alive ones are served by threads of their own
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def headers_of(request, name):
    """All values of a header."""
    return [v for k, v in request["headers"] if k.lower() == name.lower()]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Proxy:
    """A receive-proxy with a configuration of its own. `config` may hold {port}, {port2}: free ports."""

    def __init__(self, binary, directory, config=None, flags=(), ready=True):
        os.makedirs(directory, exist_ok=True)
        self.binary, self.dir, self.flags = binary, str(directory), list(flags)
        self.port, self.port2, self.main = free_port(), free_port(), free_port()
        self.file, self.log = os.path.join(self.dir, "config.alloy"), os.path.join(self.dir, "log")
        self.args = [f"-server.http-listen-address=127.0.0.1", f"-server.http-listen-port={self.main}"]
        if config is not None:
            self.write(config)
            self.args.append(f"-config.file={self.file}")
        self.process = None
        self.start(ready)

    def write(self, config):
        for name in ("port2", "port"):
            config = config.replace("{" + name + "}", str(getattr(self, name)))
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(config)
        os.replace(self.file + ".new", self.file)

    def start(self, ready=True):
        flags = [f.replace("{port}", str(self.port)) for f in self.flags]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary] + self.args + flags, cwd=self.dir, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if not ready:
            return
        deadline = time.monotonic() + 20
        while self.get("/ready")[0] != 200:
            assert self.process.poll() is None, self.logged()
            assert time.monotonic() < deadline, self.logged()
            time.sleep(0.02)

    def url(self, path="", port=None):
        return f"http://127.0.0.1:{port or self.port}{path}"

    def ask(self, url, data=None, headers=None, timeout=60, context=None, method=None):
        """(status, headers, body); status 0 for no answer, with the reason as body."""
        request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()
        except OSError as e:
            return 0, {}, str(getattr(e, "reason", e)).encode()

    def get(self, path):
        status, _, body = self.ask(self.url(path, self.main))
        return status, body.decode("utf-8", "replace")

    def ingest(self, body=b"profile", query="name=app", headers=None, **kw):
        headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        return self.ask(self.url("/ingest?" + query), body, headers, **kw)

    def push(self, body, content_type="application/proto", compress=False, headers=None, **kw):
        headers = {"Content-Type": content_type, **(headers or {})}
        if compress:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.ask(self.url("/push.v1.PusherService/Push"), body, headers, **kw)

    def reload(self):
        return self.ask(self.url("/-/reload", self.main), b"", method="POST")

    def metric(self, name):
        """Sum of all series whose line starts with the text."""
        lines = [l for l in self.get("/metrics")[1].splitlines() if l.startswith(name)]
        return sum(float(l.rpartition(" ")[2]) for l in lines)

    def rss_anon_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(l.split()[1]) for l in f if l.startswith("RssAnon"))

    def logged(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, grace=40):
        """SIGTERM; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def raw(port, data, seconds=5):
    """What comes back for some bytes on a connection of its own, until it is closed or quiet."""
    out = b""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(data)
        while select.select([s], [], [], seconds)[0]:
            got = s.recv(65536)
            if not got:
                break
            out += got
    return out
