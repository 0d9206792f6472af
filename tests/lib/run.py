"""Runs the test suites, prints each one's seconds and one closing line `N passed, N failed`.

Each runner reports in its own way (cmocka and pytest as JUnit XML, simulations and checks by exit
status and a closing line); here they are added up. A runner that dies without a report is one
failure. An empty suite prints its name and 0.

A test that fails is run once more, alone: if it passes then, it counts as passed and is named as
flaky in the output, with what it said at first; on a busy machine waits of real processes can be
too short, and a name that turns up again is a defect. Usage: run.py SUITE [--build DIR] [--only PREFIX]
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import signal
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


def run_group(args, timeout, env=None):
    """As run(), for what starts processes of its own: out of time, it is told to end as by Ctrl-C, so that it can end
    them, then killed with all that is left of its group."""
    p = subprocess.Popen(args, cwd=ROOT, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    late = ""
    for sign, patience in ((signal.SIGINT, timeout), (signal.SIGKILL, 30), (None, 30)):
        try:
            out = p.communicate(timeout=patience)[0].decode("utf-8", "replace")
            return (124 if late else p.returncode), out + late
        except subprocess.TimeoutExpired:
            late = "\ntimed out\n"
        except BaseException:
            os.killpg(p.pid, signal.SIGINT)
            raise
        if sign:
            os.killpg(p.pid, sign)
    return 124, late


def each(function, jobs):
    """function(job) of each job, in order, as many at a time as there are cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, jobs)


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
    tests = unit_binaries(build, only)
    first_runs = list(each(lambda test: run_unit_once(test[1], scale), tests))
    for (name, binary), (result, rc, out, failures) in zip(tests, first_runs):
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
    names = [os.path.basename(s)[:-2] for s in sorted(glob.glob(os.path.join(ROOT, f"tests/{kind}/{kind}_*.c")))]
    results = each(lambda name: run([os.path.join(build, "tests", kind, name)] + args, timeout, SAN_ENV), names)
    for name, (rc, out) in zip(names, results):
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
        rc, out = run_group([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"] + args,
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
        return
    tally.add(*result)
    if rc not in (0, 1, 5) and result[1] == 0:  # it ended before all were run
        tally.add(0, 1)
        say(f"FAILED {folder}: exit status {rc}")


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
    pytest_suite(tally, "tests/interop", opts, ["-m", "not long", "-n", "2", "--dist", "loadfile"], 900)


@suite("interop (long)")
def interop_long(tally, opts):
    pytest_suite(tally, "tests/interop", opts, ["-m", "long"], 3600)


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


def fuzz_targets(tally):
    """(target, folder of its corpus) of each fuzz target; one without a corpus, or a corpus without one, fails."""
    sources = glob.glob(os.path.join(ROOT, "tests/fuzz/fuzz_*.c"))
    names = {os.path.basename(s)[len("fuzz_"):-2] for s in sources}
    top = os.path.join(ROOT, "tests/fuzz/corpus")
    corpora = {d for d in os.listdir(top) if os.listdir(os.path.join(top, d))}
    for name in sorted(names ^ corpora):
        tally.add(0, 1)
        say(f"FAILED {name}: " + ("a fuzz target without a corpus" if name in names else "a corpus without a target"))
    return [(name, os.path.join(top, name)) for name in sorted(names & corpora)]


@suite("fuzz smoke (the corpus, under SAN=address)")
def fuzz_smoke(tally, opts):
    rc, out = make("SAN=address", "build-fuzz")
    if rc:
        tally.add(0, 1)
        say(out[-4000:])
        return
    def smoke(target):
        name, corpus = target
        return run([os.path.join("build/address/tests/fuzz", f"fuzz_{name}"), "--mutate", "2000", corpus], 300, SAN_ENV)

    targets = fuzz_targets(tally)
    for (name, _), (rc, out) in zip(targets, each(smoke, targets)):
        tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED fuzz_{name}: exit status {rc}\n{out[-3000:]}")


@suite("bench smoke")
def bench_smoke(tally, opts):
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.c"))):
        name = os.path.basename(source)[:-2]
        rc, out = run([os.path.join(opts.build, "tests/bench", name), "--smoke"], 120)
        tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED {name}: exit status {rc}\n{out[-3000:]}")
    for name in ("bench_gossip_idle", "bench_receive_proxy"):
        rc, out = run([PYTHON, f"tests/bench/{name}.py", "--smoke", "--build", opts.build], 120)
        tally.add(0 if rc else 1, 1 if rc else 0)
        if rc:
            say(f"FAILED {name}: exit status {rc}\n{out[-3000:]}")


def bench(tally, opts):
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.c"))):
        name = os.path.basename(source)[:-2]
        say(f"--- {name}")
        subprocess.run([os.path.join(opts.build, "tests/bench", name)], cwd=ROOT, check=False)
    for script in sorted(glob.glob(os.path.join(ROOT, "tests/bench/bench_*.py"))):
        say(f"--- {os.path.basename(script)}")
        subprocess.run([PYTHON, script], cwd=ROOT, check=False)


class Fuzzer:
    """A way to build the targets with libFuzzer: a folder, what is compiled in, and at which speed."""

    def __init__(self, title, folder, compile_flags, link_flags, opt, args):
        self.title, self.folder, self.opt, self.args = title, folder, opt, args
        self.compile_flags, self.link_flags = compile_flags, link_flags

    def build(self):
        """(exit status, output); None where there is no clang with its runtime."""
        clang = shutil.which("clang-14") or shutil.which("clang")
        if not clang or not shutil.which(clang.replace("clang", "clang++")):
            return None
        with tempfile.TemporaryDirectory() as tmp:
            source = os.path.join(tmp, "t.c")
            with open(source, "w", encoding="ascii") as f:
                f.write("int LLVMFuzzerTestOneInput(void);\nint LLVMFuzzerTestOneInput(void) { return 0; }\n")
            if run([clang, "-fsanitize=fuzzer,address", "-o", os.path.join(tmp, "t"), source], 60)[0]:
                return None
        return make(f"CC={clang}", f"CXX={clang.replace('clang', 'clang++')}", f"BUILD={self.folder}",
                    f"CFLAGS={self.compile_flags}", f"CXXFLAGS={self.compile_flags}", f"LDFLAGS={self.link_flags}",
                    f"OPT={self.opt}", "fuzz-link")


# Most of the time of a small target is libFuzzer's own, and most of that the tracing of comparisons: it is left to the
# slower build, which finds its way into the formats; the other takes what that has found further, at two to four times
# the speed.
FUZZ_SLOW = Fuzzer("address, undefined", "build/fuzz", "-fsanitize=fuzzer-no-link,address,undefined -U_FORTIFY_SOURCE",
                   "-fsanitize=fuzzer,address,undefined", "-O1", ["-max_len=2048"])
FUZZ_FAST = Fuzzer("undefined", "build/fuzz-fast", "-fsanitize=fuzzer-no-link,undefined -fsanitize-trap=undefined "
                   "-fno-sanitize-coverage=trace-cmp", "-fsanitize=fuzzer,undefined -fsanitize-trap=undefined", "-O2",
                   ["-max_len=512", "-entropic=0"])

# What every byte of gossip passes through is run this often, whatever it takes; other targets a tenth of it, or for
# five minutes in each build.
FUZZ_MUST = ("packet", "stream", "kv", "label")
FUZZ_RUNS = {FUZZ_SLOW: 2000000, FUZZ_FAST: 8000000}
FUZZ_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.M)


def fuzz_one(name, corpus, fuzzer, work):
    """(whether it ended well, a line about it) of one target in one build; work keeps the inputs between builds."""
    must = name in FUZZ_MUST
    runs = FUZZ_RUNS[fuzzer] if must else FUZZ_RUNS[fuzzer] // 10
    findings = os.path.join("build", "findings")
    os.makedirs(os.path.join(ROOT, findings), exist_ok=True)
    limits = ["-rss_limit_mb=1024", "-timeout=20", f"-runs={runs}"]
    rc, out = run([os.path.join(fuzzer.folder, "bin", f"fuzz_{name}"), f"-artifact_prefix={findings}/{name}-"] + limits
                  + ([] if must else ["-max_total_time=300"]) + fuzzer.args + [work, corpus], 6 * 3600, SAN_ENV)
    done = FUZZ_DONE.search(out)
    if rc or not done or (must and int(done[1]) < runs):
        return False, f"exit status {rc}, input in {findings}\n{out[-4000:]}"
    return True, f"{int(done[1])} executions, {fuzzer.title}, {done[2]} s"


@suite("fuzz (long)")
def fuzz_long(tally, opts):
    for fuzzer in (FUZZ_SLOW, FUZZ_FAST):
        built = fuzzer.build()
        if built is None:
            tally.add(0, 0, ["libFuzzer"])
            return
        if built[0]:
            tally.add(0, 1)
            say(built[1][-4000:])
            return
    for name, corpus in fuzz_targets(tally):
        with tempfile.TemporaryDirectory() as work:
            for fuzzer in (FUZZ_SLOW, FUZZ_FAST):
                good, text = fuzz_one(name, corpus, fuzzer, work)
                tally.add(1 if good else 0, 0 if good else 1)
                say(f"{'  ' if good else 'FAILED '}fuzz_{name}: {text}")


def fuzz_build(tally, opts):
    """libFuzzer's binaries, with address and undefined, one for each target."""
    built = FUZZ_SLOW.build()
    if built is None:
        say("make fuzz needs clang and its sanitizer runtime")
        sys.exit(1)
    say(built[1][-3000:] if built[0] else f"{FUZZ_SLOW.folder}/bin/fuzz_*")
    sys.exit(built[0])


SUITES = {
    "unit": [unit], "sim": [sim], "tidy": [tidy], "cluster": [cluster], "interop": [interop],
    "test": [unit, tidy, sim, cluster],
    "test-all": [sanitized("address", 3), sanitized("thread", 5), fuzz_smoke, bench_smoke, cluster_slow, interop],
    "long": [sim_long, fuzz_long, cluster_slow, cluster_long, interop_long],
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
