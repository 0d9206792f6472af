"""A small order service that profiles itself with the pyroscope-io SDK for 12 seconds.

Started by capture.py, which is the server that it pushes to: orders.py PORT
"""

import gzip
import hashlib
import json
import sys
import threading
import time

import pyroscope


def make_order(n):
    items = ["item" * (1 + (n + i) % 7) for i in range(8 + n % 5)]
    return {"id": f"order-{n:08d}", "items": items, "notes": {f"note{i}": x for i, x in enumerate(items)}}


def encode(order):
    return gzip.compress(json.dumps(order).encode())


def checksum(raw):
    digest = hashlib.sha256(raw).digest()
    for _ in range(400):
        digest = hashlib.sha256(digest).digest()
    return digest


def walk(depth):
    if depth == 0:
        return sum(i * i for i in range(20000))
    return walk(depth - 1)


def serve(kind, end):
    kept = {}
    n = 0
    while time.time() < end:
        order = make_order(n)
        with pyroscope.tag_wrapper({"kind": kind}):
            kept.setdefault(checksum(encode(order))[0], []).append(order)
            if n % 64 == 0:
                walk(20)
        n += 1


def main():
    pyroscope.configure(application_name="orders", server_address=f"http://127.0.0.1:{sys.argv[1]}",
                        sample_rate=100, gil_only=True)
    end = time.time() + 12
    threads = [threading.Thread(target=serve, args=(kind, end)) for kind in ("web", "batch")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pyroscope.shutdown()


main()
