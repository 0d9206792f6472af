"""The receive-proxy with -compat=alloy beside recordings of a real Grafana Alloy: tests/lib/alloy_peer.py has the
configurations and requests, tests/cluster/alloy/ what Alloy made of them (scripts/record-alloy). A difference is a failure unless
it is listed here, and one that is listed and is none is a failure too."""

import json
import os
import re

import pytest

import alloy_peer
from conftest import BIN

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "alloy")

# Differences that docs/compatibility.md has: (group, case, where in the outcome); all are expressions.
ON_PURPOSE = [
    # Texts are our own; code and status are not.
    (r"push|answers|rules", r".*", r"/reply/body/message"),
    # gRPC is not spoken; 405 lists what is.
    (r"push", r"Content-Type: .*", r"accept-post"), (r"routes", r".*", r"allow"),
    # An empty answer is not compressed, JSON is said to be JSON without its charset.
    (r"push", r"gzip|accepts gzip", r"content-(encoding|length)"), (r"push", r"json: charset|Content-Type: application/json;.*", r"content-type"),
    # A negative timeout is malformed.
    (r"push", r"Connect-Timeout-Ms: -1", r"/reply/.*"),
    # A value that is no UTF-8 is refused, an empty service_name is none, what is malformed in a query goes on as text.
    (r"ingest", r"name: bad utf-8 value", r".*"), (r"ingest", r"name: empty service_name", r"/sent"), (r"ingest", r"query: (bad|half) escape|query: semicolon", r"/sent"),
    # Empty and dotted parts of a configured path, and its query.
    (r"ingest|push", r"pipeline: base", r"/sent"),
    # The body of a receiver's 200 to a Push is not read.
    (r"answers", r"push m_garbage", r"/reply.*|/asked/garbage|content-.*"), (r"answers", r"ingest m_s304", r"content-.*"),
    # A profile without labels is dropped.
    (r"rules", r"(push|ingest) all away.*", r"/reply/.*|(x-)?content-.*"),
    # Paths that are not clean are not found, as is a GET of an unknown procedure.
    (r"routes", r"(GET|POST) /(.*/\.\.?/.*|\./.*|/.*|%69.*)", r".*"), (r"routes", r"GET /push.v1.PusherService/.*", r"/reply/.*|content-.*"),
    (r"routes", r".*", r"/reply/body|content-length|x-content-type-options"), (r"routes", r"HEAD .*", r"content-length"),
]


def recorded(group):
    with open(os.path.join(HERE, group + ".json"), encoding="utf-8") as f:
        return json.load(f)["cases"]


def leaves(value, path=""):
    """{where: value}; of headers, each is a place of its own, called by its name."""
    out = {}
    if isinstance(value, dict):
        for k, v in value.items():
            out.update(leaves(v, f"{path}/{k}"))
    elif path.endswith("/reply/headers"):
        for h in value:
            out[h.split(":")[0]] = h
    else:
        out[path] = value
    return out


def differences(theirs, ours):
    a, b = leaves(theirs), leaves(ours)
    return {p: (a.get(p), b.get(p)) for p in a.keys() | b.keys() if a.get(p) != b.get(p)}


@pytest.fixture(scope="module")
def program():
    return alloy_peer.Program(os.path.join(BIN, "receive-proxy"), False)


def outcome(program, group, folder):
    return recorded(group), alloy_peer.run_group(program, group, folder)


@pytest.mark.parametrize("group", ["ingest", "push", "routes", "answers", "rules"])
def test_requests_go_as_with_alloy(program, tmp_path, group):
    theirs, ours = outcome(program, group, tmp_path)
    assert theirs.keys() == ours.keys() and len(theirs) > 40
    rules = [(c, w) for g, c, w in ON_PURPOSE if re.fullmatch(g, group)]
    used, wrong = set(), {}
    for case, a in theirs.items():
        for where, pair in differences(a, ours[case]).items():
            meant = {r for r in rules if re.fullmatch(r[0], case) and re.fullmatch(r[1], where)}
            used |= meant
            if not meant:
                wrong[f"{case}: {where}"] = pair
    assert not wrong
    assert used == set(rules), "differences that are none any more"


# Series of the peer that are not there: no gRPC, no debug information, the fan-out behind rules; what is in flight has no route.
METRICS_NOT_OURS = re.compile(r'pyroscope_(ebpf|fanout|forwarded)_|.*grpc|pyroscope_receive_http_inflight_requests\{.*method=')
# Sizes of our own texts, who is unknown and who may not, and of two failing receivers the one that was first.
METRICS_DIFFER = re.compile(r'pyroscope_receive_http_response_message_bytes_sum|.*method="GET",route="other"|.*route="ingest",status_code=')


def test_metrics_are_alloys(program, tmp_path):
    theirs, ours = outcome(program, "metrics", tmp_path)
    assert {k for k, v in theirs["types"].items() if ours["types"].get(k) != v and not METRICS_NOT_OURS.match(k)} == set()
    assert {k for k, v in theirs["buckets"].items() if ours["buckets"].get(k) != v and not METRICS_NOT_OURS.match(k)} == set()
    differ = {k: (v, ours["values"].get(k)) for k, v in theirs["values"].items() if ours["values"].get(k) != v}
    assert {k: v for k, v in differ.items() if not METRICS_NOT_OURS.match(k) and not METRICS_DIFFER.match(k)} == {}


def test_reloads_are_taken_and_refused_as_by_alloy(program, tmp_path):
    theirs, ours = outcome(program, "reload", tmp_path)
    assert theirs.keys() == ours.keys()
    for name, a in theirs.items():
        b = ours[name]
        assert (a["status"], a["type"]) == (b["status"], b["type"]), name
        # The peer's body begins with what it was doing; a bad file changes nothing here, there what could be built.
        if name not in ("bad tls", "taken port"):
            assert a["body"].endswith(b["body"]), name
            assert a["asked"] == b["asked"], name
        assert a["healthy"][0] == b["healthy"][0] or name in ("taken port", "syntax", "unknown component"), name
        states = {k: h["state"] for k, h in a["health"].items() if k in b["health"]}
        assert name == "taken port" or states == {k: h["state"] for k, h in b["health"].items()}, name
        assert {k: (h["to"], h["by"]) for k, h in b["health"].items()} == {
            k: (h["to"], h["by"]) for k, h in a["health"].items() if k in b["health"]}, name


# What we refuse and Alloy takes, to fail later or to mean something else.
STRICTER = {"bad target", "bad url", "empty url", "huge", "negative", "labelled logging"}
# Refused by both, in other words or elsewhere.
OTHER_WORDS = {"bad action", "bad certificate", "bad port", "bad proxy", "bad regex", "bad tls version", "cache -1", "cache 0",
               "client auth", "errors in two", "logging level", "no ca file", "no certificate file"}


def messages(errors):
    return [re.sub(r"^Error: \S+?:\d+:\d+: ", "", text) for text in errors.splitlines() if text.startswith("Error: ")]


def test_a_bad_configuration_is_refused_in_alloys_words(program, tmp_path):
    theirs, ours = outcome(program, "wrong", tmp_path)
    assert theirs.keys() == ours.keys()
    stricter = {k for k in theirs if theirs[k] == "runs" and ours[k] != "runs"}
    assert stricter == STRICTER
    assert {k for k in theirs if theirs[k] != "runs" and ours[k] == "runs"} == set()
    both = {k for k in theirs if theirs[k] != "runs" and ours[k] != "runs"}
    assert {k for k in both if theirs[k]["status"] != ours[k]["status"]} == set()
    assert {k for k in both if messages(theirs[k]["errors"]) != messages(ours[k]["errors"])} == OTHER_WORDS
    # What is wrong with a component is shown at the component there, at the argument here; all else at the same place.
    shown = {k for k in both - OTHER_WORDS if "Failed to build component" not in theirs[k]["errors"]}
    assert len(shown) > 30 and {k: (theirs[k], ours[k]) for k in shown if theirs[k] != ours[k]} == {}
