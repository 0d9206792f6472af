"""The same clusters as in tests/cluster, and programs of other people's modules."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
spec = importlib.util.spec_from_file_location("cluster_conftest", os.path.join(ROOT, "tests", "cluster", "conftest.py"))
cluster_tests = importlib.util.module_from_spec(spec)
sys.modules["cluster_conftest"] = cluster_tests
spec.loader.exec_module(cluster_tests)
cluster = cluster_tests.cluster
shared = cluster_tests.shared
pytest_configure = cluster_tests.pytest_configure
pytest_runtest_makereport = cluster_tests.pytest_runtest_makereport


@pytest.fixture(scope="session")
def go_program(tmp_path_factory):
    """A function that builds a folder's Go module, once, and gives the program's path. Skips, by name, where there is
    no Go 1.25 or newer, or no module proxy."""
    built = {}

    def build(folder):
        if folder in built:
            return built[folder]
        go = shutil.which("go")
        if not go:
            pytest.skip("go: no tool chain")
        version = re.search(r"go(\d+)\.(\d+)", subprocess.run([go, "version"], capture_output=True, text=True,
                                                              check=False).stdout)
        if not version or (int(version[1]), int(version[2])) < (1, 25):
            pytest.skip("go: older than 1.25")
        where = tmp_path_factory.mktemp(folder)
        shutil.copytree(os.path.join(ROOT, "tests", "interop", folder), where / "src")
        try:
            p = subprocess.run([go, "build", "-o", str(where / "program"), "."], cwd=where / "src", capture_output=True,
                               text=True, timeout=400, check=False, env=dict(os.environ, GOFLAGS="-mod=mod"))
        except subprocess.TimeoutExpired:
            pytest.skip("go: the modules did not come in time")
        if p.returncode:
            pytest.skip("go: " + p.stderr.strip()[-200:])
        built[folder] = str(where / "program")
        return built[folder]

    return build
