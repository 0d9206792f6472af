"""An independent reader of pprof files: totals, and functions by self and total value.

Shares no code with the binaries, so that tests can compare what went in with what comes back. Applies
the same normalisation: samples with a negative value, with only zeros, without frames or with dangling
references do not count; Go's type shapes are cut from names. Standard library only.

    profile = read(path_or_bytes)
    profile.totals()          {("cpu", "nanoseconds"): 123, ...}
    profile.functions_by(0)   {name: (self, total)} of the first sample type
    profile.top(0, 10)        [(name, self, total)] by total; top(0, 10, by="self")
"""

import gzip
import json
import re
import sys
from collections import defaultdict

SHAPE = re.compile(r"\[go\.shape\..*\]")
MARKS = [("go", ".go"), ("go", "/usr/local/go/"), ("java", "java/"), ("java", "sun/"), ("ruby", ".rb"),
         ("ruby", "gems/"), ("nodejs", ".js"), ("nodejs", "./node_modules/"), ("dotnet", "System."),
         ("dotnet", "Microsoft."), ("python", ".py"), ("rust", "main.rs"), ("rust", "core.rs")]


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value & (1 << 64) - 1, at


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def fields(data):
    """(number, value) of a message; value is bytes for what is length-delimited."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            if at + size > len(data):
                raise ValueError("cut off")
            value = data[at:at + size]
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = None, at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, value


def numbers(value):
    """The numbers of one occurrence of a repeated field, packed or not."""
    if isinstance(value, int):
        return [value]
    out, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        out.append(number)
    return out


def flat(data):
    return {number: value for number, value in fields(data)}


class Profile:
    def __init__(self, raw):
        self.strings, self.types, self.samples, self.depths = [], [], [], []
        self.locations, self.functions, self.mappings = {}, {}, {}
        self.time = self.duration = self.period = 0
        self.period_type = None
        rows = []
        for number, value in fields(raw):
            if number == 1:
                f = flat(value)
                self.types.append((f.get(1, 0), f.get(2, 0)))
            elif number == 2:
                rows.append(value)
            elif number == 3:
                self.mappings[flat(value).get(1, 0)] = value
            elif number == 4:
                self.add_location(value)
            elif number == 5:
                f = flat(value)
                self.functions[f.get(1, 0)] = f.get(2, 0)
            elif number == 6:
                self.strings.append(value.decode())
            elif number == 9:
                self.time = signed(value)
            elif number == 10:
                self.duration = signed(value)
            elif number == 11:
                f = flat(value)
                self.period_type = (f.get(1, 0), f.get(2, 0))
            elif number == 12:
                self.period = signed(value)
        self.types = [(self.strings[t], self.strings[u]) for t, u in self.types]
        if self.period_type:
            self.period_type = tuple(self.strings[i] for i in self.period_type)
        self.is_go = self.language() == "go"
        for row in rows:
            self.add_sample(row)

    def language(self):
        for text in self.strings:
            for language, mark in MARKS:
                if text.startswith(mark) or text.endswith(mark):
                    return language
        return "unknown"

    def may_be_cut(self):
        """Go's runtime keeps 32 frames of a heap stack (before 1.23), 64 of a processor sample's."""
        kinds, deepest = {kind for kind, _ in self.types}, max(self.depths, default=0)
        if kinds & {"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"}:
            return self.is_go and 28 <= deepest <= 32
        return self.is_go and "cpu" in kinds and deepest >= 60

    def add_location(self, data):
        ident = mapping = address = 0
        lines = []
        for number, value in fields(data):
            if number == 1:
                ident = value
            elif number == 2:
                mapping = value
            elif number == 3:
                address = value
            elif number == 4:
                lines.append(flat(value).get(1, 0))
        self.locations[ident] = (mapping, address, lines)

    def frames(self, ident):
        """Names of a location, innermost first, or None when it does not stand."""
        if ident not in self.locations:
            return None
        mapping, address, lines = self.locations[ident]
        if mapping and mapping not in self.mappings or not lines and not address:
            return None
        if any(line not in self.functions for line in lines):
            return None
        names = [self.strings[self.functions[line]] for line in lines] or [f"0x{address:x}"]
        return [SHAPE.sub("[...]", name) for name in names] if self.is_go else names

    def add_sample(self, data):
        ids, values, labels = [], [], []
        for number, value in fields(data):
            if number == 1:
                ids += numbers(value)
            elif number == 2:
                values += [signed(v) for v in numbers(value)]
            elif number == 3:
                f = flat(value)
                if f.get(2, 0):
                    labels.append((self.strings[f.get(1, 0)], self.strings[f[2]]))
        self.depths.append(len(ids))
        stack = [self.frames(i) for i in ids]
        if not ids or None in stack or min(values) < 0 or max(values) == 0:
            return
        self.samples.append(([name for names in stack for name in names], values, tuple(sorted(labels))))

    def totals(self):
        return {t: sum(s[1][i] for s in self.samples) for i, t in enumerate(self.types)}

    def functions_by(self, index):
        """{name: (self, total)}; a function that occurs twice in a stack counts once in its total."""
        own, total = defaultdict(int), defaultdict(int)
        for stack, values, _ in self.samples:
            if values[index] == 0:
                continue
            own[stack[0]] += values[index]
            for name in set(stack):
                total[name] += values[index]
        return {name: (own[name], total[name]) for name in total}

    def top(self, index, count=10, by="total"):
        rows = [(name, own, total) for name, (own, total) in self.functions_by(index).items()]
        rows.sort(key=lambda r: (-(r[1] if by == "self" else r[2]), r[0]))
        return rows[:count]


def read(source):
    """A profile from a path or bytes, compressed or not."""
    if not isinstance(source, bytes):
        with open(source, "rb") as f:
            source = f.read()
    return Profile(gzip.decompress(source) if source[:2] == b"\x1f\x8b" else source)


def with_time(raw, time_ns):
    """The (uncompressed) profile with another time_nanos."""
    def put(n):
        out = bytearray()
        while n > 127:
            out.append(n & 127 | 128)
            n >>= 7
        return bytes(out) + bytes([n])

    kept, at = bytearray(), 0
    while at < len(raw):
        start = at
        key, at = varint(raw, at)
        if key & 7 == 0:
            _, at = varint(raw, at)
        elif key & 7 == 2:
            size, at = varint(raw, at)
            at += size
        else:
            at += 8 if key & 7 == 1 else 4
        if key >> 3 != 9:
            kept += raw[start:at]
    return bytes(kept) + put(9 << 3) + put(time_ns)


def main():
    for path in sys.argv[1:]:
        profile = read(path)
        out = {"file": path, "language": profile.language(), "samples": len(profile.samples), "types": []}
        for i, (kind, unit) in enumerate(profile.types):
            out["types"].append({"type": kind, "unit": unit, "total": profile.totals()[(kind, unit)],
                                 "by_self": profile.top(i, 10, "self"), "by_total": profile.top(i, 10)})
        print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
