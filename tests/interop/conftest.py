"""The same clusters as in tests/cluster."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
spec = importlib.util.spec_from_file_location("cluster_conftest", os.path.join(ROOT, "tests", "cluster", "conftest.py"))
shared = importlib.util.module_from_spec(spec)
sys.modules["cluster_conftest"] = shared
spec.loader.exec_module(shared)
cluster = shared.cluster
pytest_configure = shared.pytest_configure
pytest_runtest_makereport = shared.pytest_runtest_makereport
