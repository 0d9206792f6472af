"""The query API of a running cluster: every method, both codecs, the errors."""

import json
import time

import pytest

from emberring import CPU, field, flame_tops, labels, num, pprof

TYPES = (("samples", "count"), ("cpu", "nanoseconds"))


@pytest.fixture(scope="module")
def filled(shared):
    """Two services, three pods, ten minutes."""
    now = time.time_ns() // 10**9 * 10**9
    for i in range(20):
        t = now - i * 30 * 10**9
        for pod, hot in (("a", 10), ("b", 20)):
            stacks = {("main", "run", "hot"): (hot, hot * 1000), ("main", "run"): (1, 1000), ("main", "gc"): (2, 2000)}
            shared.must_push([(labels("web", pod=pod), [pprof(stacks, t, types=TYPES)])])
    shared.must_push([(labels("db", pod="x", **{"dotted.label": "y"}), [pprof({("main", "scan"): 7}, now)])])
    shared.now_ms = now // 10**6
    return shared


def around(c):
    return {"start": c.now_ms - 3600_000, "end": c.now_ms + 60_000}


def test_profile_types(filled):
    answer, how = filled.query("ProfileTypes", **around(filled))
    assert how == "complete"
    ids = [t["ID"] for t in answer["profileTypes"]]
    assert ids == sorted(ids)
    assert {CPU, "process_cpu:samples:count:cpu:nanoseconds"} <= set(ids)
    one = next(t for t in answer["profileTypes"] if t["ID"] == CPU)
    assert one == {"ID": CPU, "name": "process_cpu", "sampleType": "cpu", "sampleUnit": "nanoseconds",
                   "periodType": "cpu", "periodUnit": "nanoseconds"}
    without, _ = filled.query("ProfileTypes")
    assert {t["ID"] for t in without["profileTypes"]} >= {CPU}


def test_label_names_and_values(filled):
    names, how = filled.query("LabelNames", matchers=['{service_name="web"}'], **around(filled))
    assert how == "complete"
    assert names["names"] == sorted(["__name__", "__period_type__", "__period_unit__", "__profile_type__",
                                     "__service_name__", "__type__", "__unit__", "pod", "service_name"])
    values, _ = filled.query("LabelValues", name="pod", matchers=['{service_name="web"}'], **around(filled))
    assert values["names"] == ["a", "b"]
    hidden, _ = filled.query("LabelNames", matchers=['{service_name="db"}'], **around(filled))
    assert "dotted.label" not in hidden["names"]
    shown, _ = filled.query("LabelNames", matchers=['{service_name="db"}'],
                            headers={"Accept": "*/*;allow-utf8-labelnames=true"}, **around(filled))
    assert "dotted.label" in shown["names"]


def test_series(filled):
    answer, how = filled.query("Series", matchers=['{service_name="web"}'], labelNames=["pod", "nothing"], **around(filled))
    assert how == "complete"
    sets = [{p["name"]: p["value"] for p in s["labels"]} for s in answer["labelsSet"]]
    assert sorted(s["pod"] for s in sets) == ["a", "b"] and all(set(s) == {"pod"} for s in sets)
    whole, _ = filled.query("Series", matchers=['{service_name="web"}'], **around(filled))
    assert len(whole["labelsSet"]) == 4  # two pods, two sample types


def test_flame_graph_is_exact(filled):
    graph, how = filled.flamegraph('{service_name="web"}')
    assert how == "complete"
    assert int(graph["total"]) == 20 * (10000 + 20000 + 2 * 3000)
    selfs, totals = flame_tops(graph)
    assert selfs == {"hot": 20 * 30000, "run": 40000, "gc": 80000, "main": 0}
    assert totals["run"] == 20 * 32000 and totals["main"] == int(graph["total"])
    assert graph["names"][0] == "total" and int(graph["maxSelf"]) == 600000
    only, _ = filled.flamegraph('{service_name="web", pod=~"a|z"}')
    assert int(only["total"]) == 20 * 13000
    none, how = filled.flamegraph('{service_name="web", pod!~"a|b"}')
    assert int(none.get("total", 0)) == 0 and how == "complete"


def test_ranges_are_inclusive_on_both_ends(filled):
    t = filled.now_ms - 30_000
    graph, _ = filled.flamegraph('{service_name="web", pod="a"}', start=t, end=t)
    assert int(graph["total"]) == 13000
    graph, _ = filled.flamegraph('{service_name="web", pod="a"}', start=t + 1, end=t + 29_999)
    assert int(graph.get("total", 0)) == 0


def test_truncation_keeps_the_total_and_says_other(filled):
    graph, _ = filled.flamegraph('{service_name="web"}', maxNodes=2)
    assert int(graph["total"]) == 20 * 36000
    assert "other" in graph["names"]


def test_both_codecs_say_the_same(filled):
    request = field(1, CPU) + field(2, '{service_name="web"}') + num(3, filled.now_ms - 3600_000) + num(4, filled.now_ms)
    r = filled.http.post(filled.url("querier-0") + "/querier.v1.QuerierService/SelectMergeStacktraces", data=request,
                         headers={"Content-Type": "application/proto"}, timeout=20)
    assert r.status_code == 200 and r.headers["Content-Type"] == "application/proto"
    assert r.content[0] == 0x0A and b"hot" in r.content
    as_json, _ = filled.flamegraph('{service_name="web"}', start=filled.now_ms - 3600_000, end=filled.now_ms)
    assert int(as_json["total"]) == 20 * 36000


def test_tree_and_pprof_formats(filled):
    answer, how = filled.query("SelectMergeStacktraces", profileTypeID=CPU, labelSelector='{service_name="web"}',
                               format="PROFILE_FORMAT_TREE", **around(filled))
    assert answer["tree"] and how == "complete"
    answer, how = filled.query("SelectMergeProfile", profileTypeID=CPU, labelSelector='{service_name="web"}',
                               **around(filled))
    assert how == "complete"
    strings = answer["stringTable"]
    assert sum(int(s["value"][0]) for s in answer["sample"]) == 20 * 36000
    names = {strings[int(f["name"])] for f in answer["function"]}
    assert names == {"main", "run", "hot", "gc"}
    assert strings[int(answer["sampleType"][0]["type"])] == "cpu"
    empty, _ = filled.query("SelectMergeProfile", profileTypeID=CPU, labelSelector='{service_name="no"}', **around(filled))
    assert empty == {}


def test_a_call_site_and_a_number_of_nodes_count_in_every_format(filled):
    request = dict(profileTypeID=CPU, labelSelector='{service_name="web"}', **around(filled))
    run = {"callSite": [{"name": "main"}, {"name": "run"}]}
    graph, _ = filled.query("SelectMergeStacktraces", stackTraceSelector=run, **request)
    assert int(graph["flamegraph"]["total"]) == 20 * 32000 and "gc" not in graph["flamegraph"]["names"]
    pprof_, _ = filled.query("SelectMergeStacktraces", stackTraceSelector=run, format="PROFILE_FORMAT_PPROF", **request)
    profile = pprof_["pprof"]["profile"]
    assert sum(int(s["value"][0]) for s in profile["sample"]) == 20 * 32000
    few, _ = filled.query("SelectMergeStacktraces", maxNodes=2, format="PROFILE_FORMAT_PPROF", **request)
    alone, _ = filled.query("SelectMergeProfile", maxNodes=2, **request)
    assert few["pprof"]["profile"] == alone and "other" in alone["stringTable"]


def test_series_over_time(filled):
    # the grid ends on a profile's time, so that every bucket of a minute has two per pod
    end = filled.now_ms
    request = dict(profileTypeID=CPU, labelSelector='{service_name="web"}', start=end - 300_000, end=end, step=60)
    answer, how = filled.query("SelectSeries", groupBy=["pod"], **request)
    assert how == "complete"
    pods = [s["labels"][0]["value"] for s in answer["series"]]
    assert pods == ["b", "a"]  # larger sum first
    b = answer["series"][0]["points"]
    assert [int(p["timestamp"]) for p in b] == [end - 300_000 + i * 60_000 for i in range(6)]
    assert [p["value"] for p in b[1:]] == [2 * 23000.0] * 5
    whole, _ = filled.query("SelectSeries", **request)
    assert len(whole["series"]) == 1 and "labels" not in whole["series"][0]
    assert whole["series"][0]["points"][1]["value"] == 2 * 36000.0
    mean, _ = filled.query("SelectSeries", aggregation="TIME_SERIES_AGGREGATION_TYPE_AVERAGE", **request)
    assert mean["series"][0]["points"][1]["value"] == 18000.0


def test_stats(filled):
    answer, _ = filled.query("GetProfileStats")
    assert answer["dataIngested"] is True
    assert int(answer["oldestProfileTime"]) <= filled.now_ms - 19 * 30_000
    assert int(answer["newestProfileTime"]) >= filled.now_ms


def test_render(filled):
    r = filled.http.get(filled.url("querier-0") + "/pyroscope/render", timeout=20, params={
        "query": CPU + '{service_name="web"}', "from": "now-1h", "until": "now", "maxNodes": "1024"})
    assert r.status_code == 200, r.text
    answer = r.json()
    assert answer["version"] == 1 and answer["flamebearer"]["numTicks"] == 20 * 36000
    assert answer["metadata"]["format"] == "single" and answer["metadata"]["units"] == "samples"
    assert answer["metadata"]["name"] == "cpu"
    # the newest profile lies in a step that is still filling
    assert sum(answer["timeline"]["samples"]) == 20 * 36000
    assert answer["timeline"]["durationDelta"] == 15
    step = 15_000
    until = -(-filled.now_ms // step) * step  # the newest profile's step ends with the range
    r = filled.http.get(filled.url("querier-0") + "/pyroscope/render", timeout=20, params={
        "query": CPU + '{service_name="web"}', "from": until - 600_000, "until": until, "groupBy": "pod"})
    answer = r.json()
    assert len(answer["timeline"]["samples"]) == 41 and answer["timeline"]["samples"][-1] >= 36000
    assert answer["timeline"]["startTime"] == until // 1000 - 600
    assert {len(g["samples"]) for g in answer["groups"].values()} == {41}
    r = filled.http.get(filled.url("querier-0") + "/pyroscope/render", timeout=20, params={
        "query": CPU + '{service_name="web"}', "from": until + 2 * step, "until": until + 4 * step})
    assert r.json()["timeline"]["samples"] == [0, 0]
    bad = filled.http.get(filled.url("querier-0") + "/pyroscope/render", params={"query": "{"}, timeout=20)
    assert bad.status_code == 400
    assert filled.http.post(filled.url("querier-0") + "/pyroscope/render", timeout=20).status_code == 405


@pytest.mark.parametrize("method,request_,code", [
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": 20, "end": 10}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": "nonsense", "labelSelector": "{}", "start": "S", "end": "E"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "", "start": "S", "end": "E"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": '{a="', "start": "S", "end": "E"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "maxNodes": 2**40}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "maxNodes": -1}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S-2d", "end": "E"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "abc", "end": "E"}, "invalid_argument"),
    ("SelectSeries", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "step": 0}, "invalid_argument"),
    ("LabelValues", {"start": "S", "end": "E"}, "invalid_argument"),
    ("LabelNames", {"matchers": ["{"], "start": "S", "end": "E"}, "invalid_argument"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "async": {"type": 1}}, "unimplemented"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "format": 4,
                                "stackTraceSelector": {"goPgo": {"keepLocations": 5}}}, "unimplemented"),
    ("SelectMergeStacktraces", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "format": 4, "maxNodes": 2**40},
     "invalid_argument"),
    ("SelectHeatmap", {"profileTypeID": CPU, "labelSelector": "{}", "start": "S", "end": "E", "step": 15}, "unimplemented"),
])
def test_wrong_requests_are_refused_with_their_code(filled, method, request_, code):
    marks = {"S": filled.now_ms - 3600_000, "E": filled.now_ms, "S-2d": filled.now_ms - 2 * 86400_000}
    request_ = {k: marks.get(v, v) if isinstance(v, str) else v for k, v in request_.items()}
    r = filled.http.post(filled.url("querier-0") + "/querier.v1.QuerierService/" + method, json=request_, timeout=20)
    assert r.status_code == (501 if code == "unimplemented" else 400), r.text
    assert r.json()["code"] == code and r.json()["message"]


def test_a_range_beyond_the_look_back_is_empty_not_an_error(filled):
    old = filled.now_ms - 30 * 86400_000
    graph, how = filled.flamegraph('{service_name="web"}', start=old, end=old + 1000)
    assert int(graph.get("total", 0)) == 0


def test_the_ring_and_the_members_are_shown_by_every_role(filled):
    for name in ("distributor-0", "ingester-1", "querier-0"):
        ring = filled.http.get(filled.url(name) + "/ring", headers={"Accept": "application/json"}, timeout=20).json()
        shards = {s["id"]: s for s in ring["shards"]}
        assert set(shards) == {"ingester-0", "ingester-1", "ingester-2"}
        assert all(s["state"] == "ACTIVE" for s in shards.values())
        members = filled.http.get(filled.url(name) + "/memberlist", headers={"Accept": "application/json"}, timeout=20)
        assert members.status_code == 200
        assert "ingester-2" in json.dumps(members.json())


def test_tenants_are_one_unless_asked_for(filled):
    graph, _ = filled.query("SelectMergeStacktraces", profileTypeID=CPU, labelSelector='{service_name="web"}',
                            headers={"X-Scope-OrgID": "someone"}, **around(filled))
    assert int(graph["flamegraph"]["total"]) == 20 * 36000
