"""The generated clients of Pyroscope's API module against a cluster: every method of the querier, in protobuf and JSON,
plain and gzip; what is refused has the code that profilecli and Grafana know what to do with.

query-client is the Go side. Needs Go 1.25 or newer and the module proxy; skipped, by name, where they are absent."""

import json
import subprocess

import pytest

from emberring import CPU, flame_tops

WAYS = ("protobuf", "protobuf gzip", "protobuf answers plain", "json", "json gzip")


@pytest.fixture(scope="module")
def answers(go_program, shared):
    p = subprocess.run([go_program("query-client"), shared.url("distributor-0"), shared.url("querier-0")], capture_output=True, text=True, timeout=60,
                       check=False)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


@pytest.fixture(scope="module")
def one(answers):
    return answers["protobuf"]


def stacks(profile):
    """{(root, ..., leaf): value} of a pprof as JSON, its functions by name and line."""
    text = profile["stringTable"]
    names = {f["id"]: text[int(f["name"])] for f in profile["function"]}
    at = {p["id"]: ";".join(f'{names[n["functionId"]]}:{n.get("line", 0)}' for n in p["line"]) for p in profile["location"]}
    return {tuple(at[i] for i in reversed(s["locationId"])): int(s["value"][0]) for s in profile["sample"]}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_the_same_and_is_complete(answers, one, way):
    answer = answers[way]
    assert answer == one
    served = [k for k in answer if not k.startswith(("not served", "wrong")) and not k.endswith("completeness")]
    assert len(served) == 13
    assert {k: answer[k + " completeness"] for k in served} == {k: "complete" for k in served}


def test_metadata(one):
    assert [t["ID"] for t in one["ProfileTypes"]["profileTypes"]] == [CPU]
    assert {"pod", "service_name", "__profile_type__"} <= set(one["LabelNames"]["names"])
    assert one["LabelValues"]["names"] == sorted(WAYS)
    assert [s["labels"] for s in one["Series"]["labelsSet"]] == [[{"name": "pod", "value": w}] for w in sorted(WAYS)]
    assert one["stats"]["dataIngested"] and one["stats"]["oldestProfileTime"] == one["stats"]["newestProfileTime"]


def test_numbers_of_flame_graphs_series_and_profiles(one):
    n = len(WAYS)  # the same profile was pushed so often
    graph = one["flame graph"]["flamegraph"]
    assert flame_tops(graph) == ({"main": 0, "work": 70 * n, "serve": 30 * n},
                                 {"main": 100 * n, "work": 70 * n, "serve": 30 * n})
    whole = {("main:10", "serve:20"): 30 * n, ("main:10", "work:30"): 50 * n, ("main:10", "work:31"): 20 * n}
    assert stacks(one["profile"]) == stacks(one["pprof"]["pprof"]["profile"]) == whole
    assert one["tree"]["tree"]
    for row in one["series"]["series"]:
        assert [p["value"] for p in row["points"]] == [100]
    assert len(one["series"]["series"]) == n


def test_a_call_site_keeps_what_goes_through_it(one):
    n = len(WAYS)
    graph = one["flame graph of a call site"]["flamegraph"]
    assert int(graph["total"]) == 70 * n and "serve" not in graph["names"]
    assert stacks(one["pprof of a call site"]["pprof"]["profile"]) == {
        ("main:10", "work:30"): 50 * n, ("main:10", "work:31"): 20 * n}


def test_nodes_are_limited_in_a_pprof_too(one):
    profile = one["pprof of one node"]["pprof"]["profile"]
    assert stacks(profile) == {("main:10", "other:0"): 100 * len(WAYS)}


def test_what_is_not_served_or_wrong_says_so(one):
    refused = {k: v for k, v in one.items() if k.startswith("not served")}
    assert len(refused) == 9
    assert {k: v["error"] for k, v in refused.items()} == {k: "unimplemented" for k in refused}
    assert "asynchronous" in refused["not served: asynchronous"]["message"]
    assert one["wrong: no range"]["error"] == one["wrong: selector"]["error"] == "invalid_argument"
    assert "time range" in one["wrong: no range"]["message"]


@pytest.mark.parametrize("way", ["grpc", "grpc-web"])
def test_grpc_is_refused_not_misread(answers, way):
    for name, answer in answers[way].items():
        want = "HTTP status 404" if name == "not served: analysis" else "HTTP status 415"
        assert answer["message"].startswith(want), (name, answer)
