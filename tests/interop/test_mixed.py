"""Thirty members, half ours and half made of dskit, some of which are killed, stopped or restarted: every death is
agreed on by all the others within the upper bound of memberlist's formulae at these settings, nobody who lives is taken
for dead meanwhile, and who comes back is back everywhere."""

import math
import random
import signal
import time

import pytest

from test_gossip import all_see, ours, peer, wait, world  # noqa: F401: fixtures

NODES = 30
# dskit's, and ours; there the probing and suspicion are constants
PROBE_S, SUSPICION_MULT, MAX_MULT, GOSSIP_S, RETRANSMIT, PUSHPULL_S = 5, 4, 6, 0.2, 4, 30


def bounds(n):
    """(suspicion at least, suspicion at most, upper bound from a death to its being agreed on), in seconds.

    Detection: in a round of PROBE_S each member probes one of its list, so a dead one is probed by nobody in a round
    with a probability of about 1/e; 8 rounds without are 1 in 3,000. A failed probe is one at the end of its round,
    two rounds after the death at most for who is one worse in awareness. Suspicion: memberlist's suspicion.go. Spread: a
    message goes to 3 members each GOSSIP_S, and is told RETRANSMIT x log times."""
    least = SUSPICION_MULT * math.floor(1000 * max(1, math.log10(n))) / 1000 * PROBE_S
    most = MAX_MULT * least
    transmissions = RETRANSMIT * math.ceil(math.log10(n + 1))
    return least, most, 8 * PROBE_S + 2 * PROBE_S + most + transmissions * GOSSIP_S


def start(world, kind, name, seeds, port=None):
    flags = [f"-memberlist.pullpush-interval={PUSHPULL_S}s"]
    if port is not None:
        flags += [f"-memberlist.bind-port={port}", f"-memberlist.advertise-port={port}"]
    m = world(kind, name, seeds, flags)
    m.kind, m.port = kind, port or m.port
    return m


def repetition(world, members, rng):
    least, most, bound = bounds(NODES)
    names = {kind: [n for n in sorted(members) if members[n].kind == kind and n not in ("go-0", "ours-0")]
             for kind in ("go", "ours")}
    for kind in names:
        rng.shuffle(names[kind])
    seeds = [members["go-0"], members["ours-0"]]
    killed = names["go"][:2] + names["ours"][:2]
    stopped = names["go"][2:3] + names["ours"][2:3]
    restarted = names["go"][3:4] + names["ours"][3:4]
    for name in restarted:
        m = members[name]
        m.kill()
        members[name] = start(world, m.kind, name, seeds, m.port)
    for name in killed:
        members[name].kill()
    for name in stopped:
        members[name].process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    dead = set(killed + stopped)
    alive = sorted(set(members) - dead)
    agreed, settled = {}, set(alive) - set(restarted)
    while len(agreed) < len(dead):
        lists = {n: set(members[n].ask("members")) for n in alive}
        took = time.monotonic() - began
        for name in dead - set(agreed):
            if not any(name in got for got in lists.values()):
                agreed[name] = took
        for name, got in lists.items():  # who was restarted at once may come back over its own death
            assert settled <= got, f"{name} takes for dead who lives: {sorted(settled - got)}, after {took:.1f} s"
        assert took < bound, (f"not agreed on within {bound:.1f} s",
                              {d: [n for n in alive if d in lists[n]] for d in dead - set(agreed)})
        time.sleep(0.2)
    print("agreed on after " + ", ".join(f"{n} {s:.1f} s" for n, s in sorted(agreed.items())) +
          f"; suspicion {least:.1f} to {most:.1f} s, bound {bound:.1f} s")
    assert min(agreed.values()) >= least, "a death was declared without its suspicion"
    all_see([members[n] for n in alive], alive, 60)
    for name in stopped:
        members[name].process.send_signal(signal.SIGCONT)
    for name in killed:
        members[name] = start(world, members[name].kind, name, seeds, members[name].port)
    back = time.monotonic()
    all_see([members[n] for n in sorted(members)], sorted(members), 60)
    print(f"all back after {time.monotonic() - back:.1f} s")


def deaths(world, repetitions, seed):
    members = {}
    for i in range(NODES // 2):
        for kind in ("go", "ours"):
            seeds = [members[n] for n in ("go-0", "ours-0") if n in members]
            members[f"{kind}-{i}"] = start(world, kind, f"{kind}-{i}", seeds)
    all_see(list(members.values()), sorted(members), 60)
    rng = random.Random(seed)
    for _ in range(repetitions):
        repetition(world, members, rng)


def test_deaths_in_a_mixed_cluster_are_agreed_on_in_time(world):  # noqa: F811
    deaths(world, 1, 4)


@pytest.mark.long
def test_deaths_in_a_mixed_cluster_are_agreed_on_in_time_five_times(world):  # noqa: F811
    deaths(world, 5, 5)
