"""Fixtures: clusters of the real binaries, each test with a directory of its own."""

import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from emberring import Cluster  # noqa: E402

BIN = os.environ.get("EMBERRING_BIN", os.path.join(ROOT, "build", "bin"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes up to two minutes; run by `make test-all` and `make long`")
    config.addinivalue_line("markers", "long: takes minutes; run by `make long` only")


@pytest.fixture
def cluster(tmp_path, request):
    """A function that starts a cluster; it is stopped at the end, its logs are kept on failure."""
    started = []

    def start(*args):
        c = Cluster(str(tmp_path / f"cluster{len(started)}"), BIN)
        started.append(c)
        c.start(*args)
        return c

    yield start
    for c in started:
        c.stop()
        report = getattr(request.node, "rep_call", None)
        if report is not None and report.failed:
            for name, text in c.logs(40):
                print(f"--- {name}\n{text}")
        shutil.rmtree(c.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cluster of the usual shape for all tests of a file; tests use services of their own."""
    c = Cluster(str(tmp_path_factory.mktemp("shared") / "cluster"), BIN)
    try:
        c.start("--distributors", "2")
        yield c
    finally:
        c.stop()


@pytest.fixture(scope="module")
def browser():
    """Chromium that reaches nothing but 127.0.0.1; skipped where it is not installed."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.skip("python3-selenium is not here")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or its driver is not here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,900", "--lang=en-US",
                 "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    d = webdriver.Chrome(service=Service(driver), options=options)
    yield d
    d.quit()


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    setattr(item, "rep_" + outcome.get_result().when, outcome.get_result())


@pytest.fixture
def tool(tmp_path):
    """scripts/cluster itself: run(args) gives (status, output)."""
    def run(*args, directory=None):
        p = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "cluster"), args[0], "--dir",
                            str(directory or tmp_path / "c"), *args[1:]], capture_output=True, text=True, timeout=180, check=False)
        return p.returncode, p.stdout + p.stderr
    yield run
    run("stop")
