"""Writes the malformed and odd files of this folder, and the seeds of the fuzz targets of pushes:
make.py [FOLDER OF CORPORA]. Deterministic; run again after a change."""

import gzip
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def uv(n):
    out = b""
    n &= (1 << 64) - 1
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def num(field, n):
    return uv(field << 3) + uv(n)


def msg(field, data):
    return uv(field << 3 | 2) + uv(len(data)) + data


def profile(samples=None, strings=("", "cpu", "nanoseconds", "main", "main.c", "key", "value"), types=((1, 2),),
            extra=b"", locations=None, functions=None):
    out = b"".join(msg(1, num(1, t) + num(2, u)) for t, u in types)
    out += samples if samples is not None else msg(2, msg(1, uv(1)) + msg(2, uv(10)))
    out += msg(3, num(1, 1) + num(2, 4096) + num(3, 8192) + num(5, 4))
    out += locations if locations is not None else msg(4, num(1, 1) + num(2, 1) + num(3, 5000) + msg(4, num(1, 1) + num(2, 7)))
    out += functions if functions is not None else msg(5, num(1, 1) + num(2, 3) + num(4, 4))
    out += b"".join(msg(6, s if isinstance(s, bytes) else s.encode()) for s in strings)
    return out + num(12, 100) + msg(11, num(1, 1) + num(2, 2)) + extra


GOOD = profile()
CASES = {  # name -> uncompressed bytes
    "good": GOOD,
    "empty": b"",
    "text": b"this is not a profile\n",
    "cut": GOOD[:len(GOOD) // 2],
    "no-sample-types": profile(types=()),
    "string-index-beyond": profile(types=((1, 99),)),
    "string-index-negative": profile(types=((-1, 2),)),
    "string-zero-not-empty": profile(strings=("x", "cpu", "ns", "f", "g")),
    "no-strings": profile(strings=()),
    "bad-utf8": profile(strings=("", "cpu", "nanoseconds", b"\xff\xfe", "x", "k", "v")),
    "type-with-dash": profile(strings=("", "inuse-space", "bytes", "f", "g")),
    "location-id-0": profile(locations=msg(4, num(1, 0) + msg(4, num(1, 1)))),
    "function-id-0": profile(functions=msg(5, num(1, 0) + num(2, 3))),
    "dangling-location": profile(samples=msg(2, msg(1, uv(1) + uv(77)) + msg(2, uv(1)))),
    "dangling-function": profile(locations=msg(4, num(1, 1) + msg(4, num(1, 88)))),
    "dangling-mapping": profile(locations=msg(4, num(1, 1) + num(2, 9) + msg(4, num(1, 1)))),
    "huge-ids": profile(samples=msg(2, msg(1, uv(2**63)) + msg(2, uv(1))),
                        locations=msg(4, num(1, 2**63) + msg(4, num(1, 2**62))),
                        functions=msg(5, num(1, 2**62) + num(2, 3))),
    "too-few-values": profile(samples=msg(2, msg(1, uv(1)))),
    "too-many-values": profile(samples=msg(2, msg(1, uv(1)) + msg(2, uv(1) * 3))),
    "negative-value": profile(samples=msg(2, msg(1, uv(1)) + msg(2, uv(-5)))),
    "largest-value": profile(samples=msg(2, msg(1, uv(1)) + msg(2, uv(2**63 - 1))) * 2),
    "no-frames": profile(samples=msg(2, msg(2, uv(1)))),
    "deep-stack": profile(samples=msg(2, msg(1, uv(1) * 1500) + msg(2, uv(1)))),
    "many-labels": profile(samples=msg(2, msg(1, uv(1)) + msg(2, uv(1)) + msg(3, num(1, 5) + num(2, 6)) * 101)),
    "labels": profile(samples=msg(2, msg(1, uv(1)) + msg(2, uv(1)) + msg(3, num(1, 5) + num(2, 6))) +
                      msg(2, msg(1, uv(1)) + msg(2, uv(1)) + msg(3, num(1, 5) + num(3, 600)))),
    "unpacked": profile(samples=msg(2, num(1, 1) + num(2, 10))),
    "many-lines": profile(locations=msg(4, num(1, 1) + msg(4, num(1, 1)) * 200)),
    "length-beyond": GOOD + b"\x12\xff\xff\xff\xff\x07abc",
    "varint-too-long": GOOD + b"\x48" + b"\xff" * 11,
    "group-open": GOOD + b"\x7b\x7b\x7b",
    "groups-deep": GOOD + b"\x7b" * 100,
    "field-0": GOOD + b"\x00\x01",
    "wrong-wire-type": GOOD + b"\x15\x01\x02\x03\x04" + b"\x4a\x01\x01",
    "old": profile(extra=num(9, 1000000000 * 10**9)),
    "far-future": profile(extra=num(9, 4000000000 * 10**9)),
}

PACKED = {  # files that are wrong as gzip
    "gzip-cut": gzip.compress(GOOD, mtime=0)[:-9],
    "gzip-bad-crc": gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8,
    "gzip-trailing": gzip.compress(GOOD, mtime=0) + b"trailing",
    "gzip-lying-size": gzip.compress(GOOD, mtime=0)[:-4] + b"\xff\xff\xff\x7f",
    "gzip-bomb": gzip.compress(b"\0" * (64 << 20), mtime=0),
    "gzip-empty": gzip.compress(b"", mtime=0),
}


def query(name="app", start="", rate="", spy="", form="", kind=""):
    return "\n".join((name, start, rate, spy, form, kind)).encode() + b"\n"


def part(name, data, file=True):
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"' + ('; filename="f"' if file else "")
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"


FORM = "multipart/form-data; boundary=B"
CONFIG = b'{"samples":{"units":"samples","display-name":"cpu","sampled":true},"x":{"a":[1,{"b":null}]}}'
REQUESTS = {
    "folded": query() + b"main;work 3\nmain;idle 4\n",
    "folded-memory": query("app.alloc_space{env=x}", rate="0") + b"a;b;c 100\n",
    "lines": query("app.wall", form="lines") + b"a;b\na;b\n",
    "pprof": query(form="pprof") + GOOD,
    "pprof-gzip": query(form="pprof") + gzip.compress(GOOD, mtime=0),
    "form": query(kind=FORM) + part("profile", GOOD) + part("sample_type_config", CONFIG) + b"--B--\r\n",
    "form-python": query(kind=FORM, spy="pyspy") + part("profile", CASES["unpacked"]) + b"--B--\r\n",
    "form-dotnet": query(kind=FORM, spy="dotnetspy") + part("profile", CASES["type-with-dash"]) + b"--B--\r\n",
    "form-previous": query(kind=FORM) + part("prev_profile", GOOD) + b"--B--\r\n",
    "jfr": query(form="jfr") + b"FLR\0",
}
MULTIPARTS = {
    "two": (FORM + "\n").encode() + part("a", b"1") + part("b", b"", False) + b"--B--\r\n",
    "quoted": b'multipart/form-data; charset=x; boundary="B"\npreamble\r\n' + part("a", b"--B") + b"--B--",
    "cut": (FORM + "\n").encode() + part("a", b"1")[:-3],
    "none": (FORM + "\n--B--").encode(),
}


def s(text):
    return uv(len(text)) + text.encode()


def form(extra=b"", nodes=((1, 0), (1, 0)), rows=((1, 5), (2, 6)), spans=False):
    """A small append form: one lane, one profile."""
    out = b"\1\0\1" + b"w" * 16 + uv(1) + s("i")
    out += uv(2) + uv(4) + uv(4) + b"main" + b"work"
    out += uv(1) + uv(1) + uv(0) * 5 + uv(1) + uv(1) + uv(1) + uv(0) * 2
    out += uv(1) + uv(2) + uv(0) + uv(9) + uv(0) + uv(14)
    out += uv(len(nodes)) + b"".join(uv(up) + uv(loc) for up, loc in nodes)
    out += uv(1) + uv(1) + s("service_name") + s("x") + uv(2)
    out += (s("samples") + s("count") + s("") + s("") + s("cpu")) * 2
    out += struct.pack("<QI", 1700000000 * 10**9, 7) + uv(10) + uv(1) + uv(0) + uv(1) + uv(len(rows) << 1 | spans)
    last = 0
    for node, _ in rows:
        out += uv((node - last) << 1)
        last = node
    values = b"".join(uv(v) for _, v in rows)
    out += b"\0" + struct.pack("<I", len(values))[:3] + values + b"\1" + uv(10)
    if spans:
        out += uv(1) + b"12345678" + b"t" * 16 + uv(1) * len(rows)
    return out + extra


FORMS = {
    "small": form(),
    "spans": form(spans=True),
    "one-row": form(rows=((1, 2**63 - 1),)),
    "trailing": form(extra=b"x"),
    "level-order": form(nodes=((1, 0), (1, 0), (3, 0))),
    "node-beyond": form(rows=((3, 1),)),
    "newer": b"\2" + form()[1:],
}


def deep(*runs):
    """A heap profile whose stacks are runs of locations, from the root: (first, last)."""
    rows = b"".join(msg(2, msg(1, b"".join(uv(i) for i in range(last, first - 1, -1))) + msg(2, uv(1))) for first, last in runs)
    last = max(b for _, b in runs)
    return profile(samples=rows, strings=("", "alloc_space", "bytes", "main", "main.go", "k", "v"),
                   locations=b"".join(msg(4, num(1, i) + num(3, 4096 + i) + msg(4, num(1, 1))) for i in range(1, last + 1)))


# Stacks as Go's runtime cuts them: each shows what is missing below another's root.
CUT = {
    "push-go-cut": deep((1, 30), (6, 37), (7, 37)),
    "push-go-cut-chain": deep(*((8 * i + 1, 8 * i + 32) for i in range(6))),
}


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)


def main():
    write(HERE, {name + ".pb": data for name, data in CASES.items()})
    write(HERE, {name + ".pb.gz": data for name, data in PACKED.items()})
    if len(sys.argv) > 1:
        corpora = sys.argv[1]
        write(os.path.join(corpora, "pprof"), CASES)
        write(os.path.join(corpora, "ingest"), {**{"push-" + k: v for k, v in CASES.items()}, **REQUESTS, **CUT})
        write(os.path.join(corpora, "multipart"), MULTIPARTS)
        write(os.path.join(corpora, "form"), FORMS)


main()
