"""Runs the test suites, prints each one's seconds and one closing line `N passed, N failed`.

Each runner reports in its own way (cmocka and pytest as JUnit XML, simulations and checks by exit
status and a closing line); here they are added up. A runner that dies without a report is one
failure. An empty suite prints its name and 0.

A test that fails is run once more, alone: if it passes then, it counts as passed and is named as
flaky in the output, with what it said at first; on a busy machine waits of real processes can be
too short, and a name that turns up again is a defect. Usage: run.py SUITE [--build DIR] [--only PREFIX]
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
SAN_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Tally:
    """Passed, failed and the names of what was skipped."""

    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []

    def add(self, passed, failed, skipped=()):
        self.passed += passed
        self.failed += failed
        self.skipped += list(skipped)


def say(text):
    print(text, flush=True)


def run(args, timeout, env=None, cwd=ROOT):
    """Exit status and output of a command; 124 when it took too long."""
    try:
        p = subprocess.run(args, cwd=cwd, timeout=timeout, env=dict(os.environ, **(env or {})),
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return p.returncode, p.stdout.decode("utf-8", "replace")
    except OSError as e:
        return 127, f"{args[0]}: {e}"
    except subprocess.TimeoutExpired as e:
        return 124, (e.stdout or b"").decode("utf-8", "replace") + "\ntimed out\n"


def junit(path, failures=None):
    """(passed, failed, skipped names) of a JUnit file, or None; failures gets (test, text)."""
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError):
        return None
    passed, failed, skipped = 0, 0, []
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
            if failures is not None:
                text = "".join(child.text or "" for child in case if child.tag in ("failure", "error"))
                failures.append((case, text))
        elif "skipped" in kinds:
            skipped.append(case.get("name") or "?")
        else:
            passed += 1
    return passed, failed, skipped


def suite(name):
    """Decorator: prints the suite's name, counts and seconds."""
    def wrap(fn):
        def timed(tally, opts):
            before = (tally.passed, tally.failed)
            start = time.monotonic()
            fn(tally, opts)
            p, f = tally.passed - before[0], tally.failed - before[1]
            say(f"{name}: {p} passed, {f} failed, {time.monotonic() - start:.1f} s"
                if p + f else f"{name}: 0")
        return timed
    return wrap


def unit_binaries(build, only):
    names = sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c")))
    rel = [os.path.relpath(n, os.path.join(ROOT, "tests/unit"))[:-2] for n in names]
    return [(r, os.path.join(build, "tests/unit", r)) for r in rel if r.startswith(only or "")]


def run_unit_once(binary, scale):
    """(result of junit(), exit status, output, failures) of a unit test's binary."""
    failures = []
    with tempfile.TemporaryDirectory() as tmp:
        report = os.path.join(tmp, "report.xml")
        rc, out = run([binary], 120 * scale, dict(SAN_ENV, CMOCKA_MESSAGE_OUTPUT="XML",
                                                  CMOCKA_XML_FILE=report))
        return junit(report, failures), rc, out, failures


def run_unit(tally, build, only, scale=1):
    for name, binary in unit_binaries(build, only):
        result, rc, out, failures = run_unit_once(binary, scale)
        if result is None or rc != 0:
            first = "\n".join(f"{case.get('name')}: {text}" for case, text in failures) or out
            result, rc, out, failures = run_unit_once(binary, scale)
            word = "flaky" if result is not None and rc == 0 else "FAILED"
            say(f"{word} {name}: {first[-3000:]}")
        if result is None or (rc != 0 and result[1] == 0):
            tally.add(result[0] if result else 0, 1)
            say(f"exit status {rc}\n{out[-4000:]}")
        else:
            tally.add(*result)


@suite("unit")
def unit(tally, opts):
    run_unit(tally, opts.build, opts.only)


def run_programs(tally, kind, build, args, timeout):
    """Programs that say `N passed, N failed` last, or count as one by their exit status."""
    for source in sorted(glob.glob(os.path.join(ROOT, f"tests/{kind}/{kind}_*.c"))):
        name = os.path.basename(source)[:-2]
        rc, out = run([os.path.join(build, "tests", kind, name)] + args, timeout, SAN_ENV)
        last = (out.strip().splitlines() or [""])[-1]
        m = CLOSING.match(last)
        if m and (rc == 0) == (int(m[2]) == 0):
            tally.add(int(m[1]), int(m[2]))
        else:
            tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED {name}: exit status {rc}\n{out[-4000:]}")
        else:
            say(f"  {name}: {last[:160]}")


@suite("sim")
def sim(tally, opts):
    run_programs(tally, "sim", opts.build, [], 300)


@suite("sim (long)")
def sim_long(tally, opts):
    run_programs(tally, "sim", opts.build, ["--long"], 6 * 3600)


@suite("tidy")
def tidy(tally, opts):
    for check in ("scripts/tidy", "tests/lib/layers.py"):
        rc, out = run([PYTHON, check, opts.build], 60)
        m = CLOSING.match((out.strip().splitlines() or [""])[-1])
        tally.add(int(m[1]) if m else 0, int(m[2]) if m and int(m[2]) else (1 if rc else 0))
        if rc:
            say(out[-6000:])


def pytest_once(opts, args, timeout):
    """(result of junit(), exit status, output, ids of failed tests)."""
    failures = []
    binaries = os.path.join(ROOT, opts.build if opts.build != "build/plain" else "build", "bin")
    with tempfile.TemporaryDirectory() as tmp:
        report = os.path.join(tmp, "report.xml")
        rc, out = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"] + args,
                      timeout, {"EMBERRING_BIN": binaries})
        result = junit(report, failures)
    ids = [f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}" for case, _ in failures]
    return result, rc, out, ids


def pytest_suite(tally, folder, opts, extra, timeout):
    if not glob.glob(os.path.join(ROOT, folder, "test_*.py")):
        return
    result, rc, out, ids = pytest_once(opts, [folder] + extra, timeout)
    if rc not in (0, 5):
        say(out[-12000:])
    if result is not None and 0 < len(ids) <= 5:
        again, rc, out, left = pytest_once(opts, ids, timeout)
        if again is not None and again[0] + again[1] >= len(ids):
            for name in ids:
                say(f"{'FAILED' if name in left else 'flaky'} {name}")
            result = (result[0] + again[0], again[1], result[2])
            if left:
                say(out[-12000:])
    if result is None:
        tally.add(0, 1)
    else:
        tally.add(*result)


@suite("cluster")
def cluster(tally, opts):
    # Two at a time: most of a cluster test is waiting. A file stays together, for its shared cluster.
    pytest_suite(tally, "tests/cluster", opts, ["-m", "not long and not slow", "-n", "2", "--dist", "loadfile"],
                 900)


@suite("cluster (slow)")
def cluster_slow(tally, opts):
    pytest_suite(tally, "tests/cluster", opts, ["-m", "slow", "-n", "3", "--dist", "load"], 1200)


@suite("cluster (long)")
def cluster_long(tally, opts):
    pytest_suite(tally, "tests/cluster", opts, ["-m", "long"], 6 * 3600)


@suite("interop")
def interop(tally, opts):
    pytest_suite(tally, "tests/interop", opts, ["-n", "2", "--dist", "loadfile"], 900)


def make(*args):
    return run(["make", "--no-print-directory", f"-j{os.cpu_count()}"] + list(args), 1800)


def sanitized(san, scale):
    @suite(f"unit and sim under SAN={san}")
    def inner(tally, opts):
        rc, out = make(f"SAN={san}", "build-unit", "build-sim")
        if rc:
            tally.add(0, 1)
            say(out[-4000:])
            return
        run_unit(tally, f"build/{san}", opts.only, scale)
        run_programs(tally, "sim", f"build/{san}", ["--short"], 900)
    return inner


@suite("fuzz smoke (the corpus, under SAN=address)")
def fuzz_smoke(tally, opts):
    rc, out = make("SAN=address", "build-fuzz")
    if rc:
        tally.add(0, 1)
        say(out[-4000:])
        return
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/fuzz/fuzz_*.c"))):
        name = os.path.basename(source)[:-2]
        corpus = os.path.join(ROOT, "tests/fuzz/corpus", name[len("fuzz_"):])
        rc, out = run([os.path.join("build/address/tests/fuzz", name), "--mutate", "2000", corpus], 300, SAN_ENV)
        tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED {name}: exit status {rc}\n{out[-3000:]}")


@suite("bench smoke")
def bench_smoke(tally, opts):
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.c"))):
        name = os.path.basename(source)[:-2]
        rc, out = run([os.path.join(opts.build, "tests/bench", name), "--smoke"], 120)
        tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED {name}: exit status {rc}\n{out[-3000:]}")
    rc, out = run([PYTHON, "tests/bench/bench_gossip_idle.py", "--smoke", "--build", opts.build], 120)
    tally.add(0 if rc else 1, 1 if rc else 0)
    if rc:
        say(f"FAILED bench_gossip_idle: exit status {rc}\n{out[-3000:]}")


def bench(tally, opts):
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.c"))):
        name = os.path.basename(source)[:-2]
        say(f"--- {name}")
        subprocess.run([os.path.join(opts.build, "tests/bench", name)], cwd=ROOT, check=False)
    for script in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.py"))):
        say(f"--- {os.path.basename(script)}")
        subprocess.run([PYTHON, script], cwd=ROOT, check=False)


def fuzz_build(tally, opts):
    """libFuzzer binaries in build/fuzz, one per target."""
    clang = shutil.which("clang-14") or shutil.which("clang")
    if not clang:
        say("make fuzz needs clang and its sanitizer runtime")
        sys.exit(1)
    flags = "-fsanitize=fuzzer-no-link,address,undefined"
    rc, out = make(f"CC={clang}", "BUILD=build/fuzz", f"CFLAGS={flags}", f"CXXFLAGS={flags}",
                   "LDFLAGS=-fsanitize=fuzzer,address,undefined", "OPT=-O1", "WERROR=0", "fuzz-link")
    say(out[-3000:])
    sys.exit(rc)


SUITES = {
    "unit": [unit], "sim": [sim], "tidy": [tidy], "cluster": [cluster], "interop": [interop],
    "test": [unit, tidy, sim, cluster],
    "test-all": [sanitized("address", 3), sanitized("thread", 5), fuzz_smoke, bench_smoke, cluster_slow, interop],
    "long": [sim_long, cluster_slow, cluster_long],
    "bench": [bench], "fuzz-build": [fuzz_build],
}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("suite", choices=SUITES)
    ap.add_argument("--build", default="build/plain")
    ap.add_argument("--only", default="")
    opts = ap.parse_args()
    tally = Tally()
    for fn in SUITES[opts.suite]:
        fn(tally, opts)
    for name in tally.skipped:
        say(f"skipped: {name}")
    if opts.suite in ("bench", "fuzz-build"):
        return 0
    tail = f", {len(tally.skipped)} skipped" if tally.skipped else ""
    say(f"{tally.passed} passed, {tally.failed} failed{tail}")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
