"""Real profiles of real programs go in through both endpoints; what comes back equals what an independent reader
of the same file computes. Stacks that Go's runtime cut are completed at the root, which the reader does not do: there
a function's total may be larger than the reader's, never its self value or a sum."""

import glob
import gzip
import os
import time

import pytest

import pprof_reader
from conftest import ROOT
from emberring import flame_tops, labels

FILES = sorted(glob.glob(os.path.join(ROOT, "tests", "data", "*.pb.gz")))
assert len(FILES) >= 3


def identify(path):
    return os.path.basename(path)[:-len(".pb.gz")]


@pytest.mark.parametrize("path", FILES, ids=identify)
@pytest.mark.parametrize("endpoint", ["push", "ingest"])
def test_totals_and_tops_equal_an_independent_readers(shared, path, endpoint):
    with open(path, "rb") as f:
        data = pprof_reader.with_time(gzip.decompress(f.read()), time.time_ns())
    service = f"real-{endpoint}-{identify(path)}"
    if endpoint == "push":
        shared.must_push([(labels(service), [gzip.compress(data)])])
    else:
        r = shared.http.post(shared.url("distributor-1") + "/ingest", timeout=20, files={"profile": ("p", gzip.compress(data))},
                             params={"name": service, "spyName": "gospy", "from": int(time.time()) - 10, "until": int(time.time())})
        assert r.status_code == 200, r.text
    now = int(time.time() * 1000)
    types, how = shared.query("Series", matchers=['{service_name="%s"}' % service], labelNames=["__profile_type__", "__type__"],
                              start=now - 3600_000, end=now + 600_000)
    assert how == "complete"
    ids = {}
    for s in types.get("labelsSet", []):
        pairs = {p["name"]: p["value"] for p in s["labels"]}
        ids[pairs["__type__"]] = pairs["__profile_type__"]
    profile = pprof_reader.read(data)
    totals = profile.totals()
    assert set(ids) == {kind for (kind, _), total in totals.items() if total}
    for i, (kind, unit) in enumerate(profile.types):
        if not totals[(kind, unit)]:
            continue
        graph, how = shared.flamegraph('{service_name="%s"}' % service, ids[kind], maxNodes=1_000_000)
        assert how == "complete"
        assert int(graph["total"]) == totals[(kind, unit)], kind
        selfs, sums = flame_tops(graph)
        for name, own, _ in profile.top(i, 10, by="self"):
            assert selfs[name] == own, (kind, name)
        for name, _, total in profile.top(i, 10):
            assert sums[name] == total or profile.may_be_cut() and sums[name] > total, (kind, name)
