"""The disasters of membership, none of which may need a human: after the cause is gone the lists of members, the rings
and the answers are right everywhere within 60 s, with no restart, click or command.

  |    | disaster                                                    | test                                         |
  | -- | ----------------------------------------------------------- | -------------------------------------------- |
  |  1 | everybody comes back with another address, at once          | test_members.py, test_dns.py                 |
  |  2 | only the process that all join lists name is restarted      | here: seed; test_dns.py: it moves            |
  |  3 | a partition of five minutes, full and one-way               | here: partition_full, _one_way, _connections |
  |  5 | DNS: nothing, NXDOMAIN, SERVFAIL, late, down at the start   | test_dns.py                                  |
  |  6 | an address goes to another product                          | here: reuse                                  |
  |  7 | clocks ahead, behind, that jump                             | test_clocks.py                               |
  |  8 | half-open TCP: a machine vanishes without a reset           | here: vanish; test_half_open.py              |
  |  9 | 30 % packet loss                                            | here: loss                                   |
  | 10 | two processes with one name                                 | here: one_name, one_ring_id                  |
  | 11 | IPv6 only; two interfaces, one of which reaches nobody      | test_dns.py, test_trouble.py                 |
  | 12 | two clusters merged by mistake, then parted                 | here: merged                                 |

Each test here runs disasters.py in network namespaces of its own, with the network in user space (tests/lib/netlab.py);
where there are no namespaces it is skipped, by name. `make test-all` has all timers divided by ten, and then the limit is
6 s and 9 s of allowance for what does not shrink: whole seconds of heartbeats, TCP's own timers, a busy machine. `make
long` has default timers, causes that last minutes, and the full 60 s."""

import os
import subprocess
import sys

import pytest

from conftest import BIN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import netlab  # noqa: E402
from disasters import SCENARIOS  # noqa: E402


def strike(name, how, tmp_path, timeout):
    missing = netlab.why_not()
    if missing:
        pytest.skip(f"{name}: {missing}")
    p = subprocess.run([*netlab.REEXEC, sys.executable, os.path.join(ROOT, "tests", "cluster", "disasters.py"), name, how,
                        BIN, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=timeout, check=False)
    print(p.stdout)
    assert p.returncode == 0, p.stdout[-6000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_disaster_with_timers_divided_by_ten(name, tmp_path):
    strike(name, "quick", tmp_path, 280)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_disaster_in_full(name, tmp_path):
    strike(name, "full", tmp_path, 2400)
