"""Receivers that fail as they are told, behind a receive-proxy, and clients whose profiles can be told apart.

`Downstream` is one port that behaves differently under each path prefix, so that one proxy process with
a pipeline per fault meets all of them at once; it keeps what it was sent."""

import re
import signal
import socket
import struct
import threading
import time

import requests

import emberring
import receive_proxy

MARK = re.compile(rb"mark-([A-Za-z0-9_]+)-end")


def free_ports(count):
    """Free ports of the loopback, all different."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    found = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return found


# --- receivers -----------------------------------------------------------------------------------

class Request:
    """One attempt as a receiver saw it. `stored`: it was taken and, perhaps, the answer was lost."""

    def __init__(self, target, headers, body):
        self.target, self.headers, self.body = target, headers, body
        self.prefix = target.split("/")[1]
        self.at = time.monotonic()
        self.stored = False

    def marks(self):
        """The marks of profiles in the body: of the tests' own making, each sent once by its client."""
        return [m.decode() for m in MARK.findall(self.body)]


class Downstream:
    """A port; http://127.0.0.1:PORT/PREFIX is a receiver. Modes of a prefix:

    "well"                    stored, 200
    ("status", N, {headers})  refused with N and a text; also ("connect", N, code, {headers}) with Connect's JSON
    ("slow", S)               stored, and answered S seconds later
    "hang"                    read, never answered
    "reset"                   half of the body is read, then the connection is reset
    "lost"                    stored, then the connection is reset in the middle of the answer
    or a list of those, one an attempt, the last one for all others.

    With forward_to, "stored" means sent on to that URL, whose answer is the answer."""

    def __init__(self, modes=None, forward_to=None, up=True):
        self.modes, self.forward_to = dict(modes or {}), forward_to
        self.requests, self.lock = [], threading.Lock()
        self.connections, self.closed = set(), False
        self.listener = None
        self.forwarding = threading.local()
        self.port = 0
        self.bind()
        if up:
            self.up()

    # A port that is bound and not listened on refuses connections and is nobody else's.
    def bind(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]

    def up(self):
        self.listener.listen(512)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def down(self):
        """Refuse connections from now on, and reset those that are open."""
        old = self.listener
        old.shutdown(socket.SHUT_RDWR)
        old.close()
        with self.lock:
            open_now, self.connections = self.connections, set()
        for c in open_now:
            reset(c)
        self.bind()

    def close(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            open_now = list(self.connections)
        for c in open_now:
            reset(c)

    def url(self, prefix):
        return f"http://127.0.0.1:{self.port}/{prefix}"

    def set(self, prefix, mode):
        with self.lock:
            self.modes[prefix] = mode

    def heal(self):
        """All of them are well from now on."""
        with self.lock:
            self.modes = {}

    def of(self, prefix):
        with self.lock:
            return [r for r in self.requests if r.prefix == prefix]

    def stored(self, prefix):
        """Marks that were stored, in their order, with those that came twice twice."""
        return [m for r in self.of(prefix) if r.stored for m in r.marks()]

    def mode_of(self, prefix, attempts):
        mode = self.modes.get(prefix, "well")
        if isinstance(mode, list):
            mode = mode[min(attempts, len(mode) - 1)]
        return mode if isinstance(mode, tuple) else (mode,)

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            with c.makefile("rb") as f:
                while self.one(c, f):
                    pass
        except (OSError, ValueError):
            pass
        with self.lock:
            self.connections.discard(c)
        try:
            c.close()
        except OSError:
            pass

    def one(self, c, f):
        """One request; False: the connection ends."""
        line = f.readline()
        if not line:
            return False
        target, headers = line.split()[1].decode(), {}
        for line in iter(f.readline, b"\r\n"):
            if not line:
                return False
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        r = Request(target, headers, b"")
        with self.lock:
            mode = self.mode_of(r.prefix, sum(1 for q in self.requests if q.prefix == r.prefix))
            self.requests.append(r)
        r.body = f.read(size // 2 if mode[0] == "reset" else size)
        if mode[0] == "reset":
            reset(c)
            return False
        if len(r.body) < size:
            return False
        return self.answer(c, r, mode)

    def answer(self, c, r, mode):
        if mode[0] == "hang":
            while not self.closed and c in self.connections:
                time.sleep(0.05)
            return False
        if mode[0] in ("status", "connect"):
            body, kind = (b"as it was told", "text/plain") if mode[0] == "status" else (
                b'{"code":"%s","message":"as it was told"}' % mode[2].encode(), "application/json")
            if mode[1] in (204, 304):
                body = b""
            send(c, mode[1], kind, body, mode[-1] if isinstance(mode[-1], dict) else {})
            return True
        status, body = self.store(r)
        r.stored = status == 200
        if mode[0] == "slow":
            time.sleep(mode[1])
        if mode[0] == "lost":
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
            reset(c)
            return False
        send(c, status, "application/proto" if r.headers.get("content-type") == "application/proto" else "text/plain", body)
        return True

    def store(self, r):
        if not self.forward_to:
            return 200, b""
        session = self.forwarding.__dict__.setdefault("session", requests.Session())
        headers = {k: v for k, v in r.headers.items() if k not in ("host", "content-length", "connection", "accept-encoding",
                                                                   "connect-timeout-ms", "expect")}
        answer = session.post(self.forward_to + "/" + r.target.split("/", 2)[2], data=r.body, headers=headers, timeout=30)
        return answer.status_code, answer.content


def send(c, status, kind, body, headers=None):
    more = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    c.sendall(f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)


def reset(c):
    """RST instead of FIN; wakes the thread that reads it."""
    try:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.shutdown(socket.SHUT_RD)
        c.close()
    except OSError:
        pass


# --- configurations ------------------------------------------------------------------------------

def endpoint(url, **arguments):
    """A block endpoint; strings are quoted, the rest is written as it is."""
    lines = "".join(f"    {k} = {value(v)}\n" for k, v in arguments.items())
    return f'  endpoint {{\n    url = "{url}"\n{lines}  }}\n'


def value(v):
    return f'"{v}"' if isinstance(v, str) else str(v).lower()


def write(name, *endpoints, **arguments):
    """pyroscope.write; an argument that is a dictionary is a block."""
    lines = ""
    for k, v in arguments.items():
        if isinstance(v, dict):
            lines += f"  {k} {{\n" + "".join(f"    {n} = {value(x)}\n" for n, x in v.items()) + "  }\n"
        else:
            lines += f"  {k} = {value(v)}\n"
    return f'pyroscope.write "{name}" {{\n{"".join(endpoints)}{lines}}}\n'


def receive(name, port, *to):
    """pyroscope.receive_http on 127.0.0.1:port, into these components of pyroscope.write."""
    targets = ", ".join(f"pyroscope.write.{t}.receiver" for t in to)
    return (f'pyroscope.receive_http "{name}" {{\n  http {{\n    listen_address = "127.0.0.1"\n    listen_port = {port}\n  }}\n'
            f"  forward_to = [{targets}]\n}}\n")


# --- the proxy -----------------------------------------------------------------------------------

class Proxy(receive_proxy.Proxy):
    """A proxy that is killed and asked for its metrics."""

    def __init__(self, directory, binary, config, *flags):
        super().__init__(binary, str(directory), config, flags)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def count(self, name, **labels):
        """The sum over a metric's rows that have these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def waits(self, component):
        """Requests in the queue of pyroscope.write.COMPONENT."""
        return self.count("pyroscope_write_queue_items", component_id=f"pyroscope.write.{component}")


# --- clients -------------------------------------------------------------------------------------

def marked(mark, value=1, filler=0, time_ns=None):
    """A pprof whose one stack carries the mark; filler: about so many further bytes of names."""
    stacks = {("main", f"mark-{mark}-end"): value}
    for i in range(filler // 100):
        stacks[("main", f"filler_{i}_" + f"{mark}{i}" * (80 // (len(str(mark)) + len(str(i)))))] = 1
    return emberring.pprof(stacks, time_ns=time_ns)


def push(port, series, timeout_ms=None, timeout=30, session=requests, headers=None):
    """POST Push of [(labels, [profile, ...])]."""
    h = {"Content-Type": "application/proto", **(headers or {})}
    if timeout_ms:
        h["Connect-Timeout-Ms"] = str(timeout_ms)
    return session.post(f"http://127.0.0.1:{port}/push.v1.PusherService/Push", data=emberring.push_request(series),
                        headers=h, timeout=timeout)


def ingest(port, service, mark, value=1, at=None, timeout=30, session=requests, headers=None):
    """POST /ingest of one collapsed stack that carries the mark."""
    at = int(time.time()) if at is None else at
    return session.post(f"http://127.0.0.1:{port}/ingest?name={service}&format=folded&from={at - 10}&until={at}",
                        data=f"main;mark-{mark}-end {value}\n", headers=headers, timeout=timeout)


def until(what, limit, every=0.05):
    """The first true value of what(), or its last one when time is up."""
    end = time.monotonic() + limit
    while True:
        got = what()
        if got or time.monotonic() > end:
            return got
        time.sleep(every)
