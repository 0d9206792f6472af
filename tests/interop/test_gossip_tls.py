"""The clusters of test_gossip.py with TLS: ours by mbedTLS, theirs by Go, both ways."""

import os
import re
import shutil
import subprocess
import time

import pytest

import test_gossip as plain
from test_gossip import all_get, all_see, ours, peer, wait, world  # noqa: F401  (fixtures)

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl")


class Authority:
    """A certificate authority in a folder, by the openssl command."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.ca = self.path("ca.pem")
        os.makedirs(folder, exist_ok=True)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-subj", f"/CN={name}", "-keyout", self.path("ca.key"), "-out", self.ca)

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def openssl(*args):
        p = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
        assert p.returncode == 0, p.stderr

    def issue(self, name, alternative="IP:127.0.0.1", days=30):
        """Certificate and key for a member, replaced in one step each."""
        cert, key = self.path(name + ".pem"), self.path(name + ".key")
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as ext:
            ext.write(f"subjectAltName={alternative}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key + ".new", "-out", self.path(name + ".csr"))
        self.openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                     "-CAcreateserial", "-days", str(days), "-extfile", self.path(name + ".ext"), "-out", cert + ".new")
        os.replace(key + ".new", key)
        os.replace(cert + ".new", cert)
        return cert, key

    def flags(self, name, *more, authority=None):
        return ["-memberlist.tls-enabled=true", f"-memberlist.tls-ca-path={(authority or self).ca}",
                f"-memberlist.tls-cert-path={self.path(name + '.pem')}",
                f"-memberlist.tls-key-path={self.path(name + '.key')}", *more]


MUTUAL = "-memberlist.tls-client-auth=true"  # dskit's listener has no such thing


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    a = Authority(str(tmp_path_factory.mktemp("trusted")), "trusted")
    a.issue("node")
    return a


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    a = Authority(str(tmp_path_factory.mktemp("stranger")), "stranger")
    a.issue("node")
    return a


def flags_of(kind, authority, mutual):
    return authority.flags("node", *([MUTUAL] if mutual and kind == "ours" else []))


def in_log(member, text):
    return text in member.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual"])
@pytest.mark.parametrize("first,second", [("go", "ours"), ("ours", "go"), ("ours", "ours")])
def test_join_key_and_leave_in_both_directions(world, trusted, first, second, mutual):  # noqa: F811
    a = world(first, "a", (), flags_of(first, trusted, mutual))
    b = world(second, "b", [a], flags_of(second, trusted, mutual))
    all_see([a, b], ["a", "b"])
    assert a.ask("set x 1") == "ok"
    all_get([a, b], {"x": 1})
    assert b.ask("set y 2") == "ok"
    all_get([a, b], {"x": 1, "y": 2})
    assert b.ask("leave") == "left"
    all_see([a], ["a"], 5)
    assert not in_log(a, "TLS with a peer")


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual"])
def test_a_crash_is_found_out(world, trusted, mutual):  # noqa: F811
    a = world("go", "a", (), flags_of("go", trusted, mutual))
    b = world("ours", "b", [a], flags_of("ours", trusted, mutual))
    c = world("ours", "c", [a], flags_of("ours", trusted, mutual))
    d = world("go", "d", [a], flags_of("go", trusted, mutual))
    all_see([a, b, c, d], ["a", "b", "c", "d"])
    c.kill()
    d.kill()
    all_see([a, b], ["a", "b"], 130)


def test_a_wrong_authority_is_refused_and_the_log_says_why(world, trusted, stranger):  # noqa: F811
    """Theirs is not trusted by us; then ours not by them."""
    a = world("go", "a", (), stranger.flags("node"))
    b = world("ours", "b", [a], trusted.flags("node"))
    wait("the reason is in our log", 10, lambda: in_log(b, "unknown authority") and in_log(b, "stranger"))
    assert b.ask("status").startswith("joined 0 of 1")
    c = world("ours", "c", (), trusted.flags("node"))
    d = world("go", "d", [c], stranger.flags("node"))
    wait("the reason is in our log", 10, lambda: in_log(c, "the peer refused"))
    assert c.ask("members") == ["c"] and d.ask("members") == ["d"]


def test_a_peer_without_a_certificate_of_ours_is_refused_by_mutual_tls(world, trusted, stranger):  # noqa: F811
    """It trusts us, but we do not trust it."""
    a = world("ours", "a", (), trusted.flags("node", MUTUAL))
    b = world("go", "b", [a], stranger.flags("node", authority=trusted))
    wait("the reason is in our log", 10, lambda: in_log(a, "unknown authority"))
    assert a.ask("members") == ["a"] and b.ask("members") == ["b"]


def test_a_go_peer_that_insists_on_13_is_named(world, trusted):  # noqa: F811
    a = world("ours", "a", (), trusted.flags("node"))
    b = world("go", "b", [a], trusted.flags("node", "-memberlist.tls-min-version=VersionTLS13"))
    wait("the reason is in our log", 10, lambda: in_log(a, "insists on TLS 1.3"))
    c = world("ours", "c", [b], trusted.flags("node"))
    wait("the reason is in our log", 10, lambda: in_log(c, "TLS 1.3, let it accept TLS 1.2"))


@pytest.mark.parametrize("first,second", [("go", "ours"), ("ours", "go")])
def test_tls_and_plain_text_meet_with_one_line(world, trusted, first, second):  # noqa: F811
    """Whichever of us has TLS, our log says so, once."""
    lines = "tls-enabled on both sides|is TLS switched off|closed a stream without an answer"
    for tls_first in (True, False):
        flags = trusted.flags("node")
        a = world(first, f"a{tls_first}", (), flags if tls_first else ())
        b = world(second, f"b{tls_first}", [a], () if tls_first else flags)
        mine = b if second == "ours" else a
        wait("the reason is in our log", 10, lambda m=mine: re.search(lines, m.log.read_text(encoding="utf-8")))
        time.sleep(2.5)  # the list is joined again each second or so
        text = mine.log.read_text(encoding="utf-8")
        assert len(re.findall(lines, text)) <= 2, text
        assert b.ask("members") == [f"b{tls_first}"]


@pytest.mark.parametrize("kind", ["ours", "go"])
def test_a_certificate_is_replaced_under_way(world, tmp_path, kind):  # noqa: F811
    """All members move to a new authority by way of a file that has both, without a restart."""
    old, new = Authority(str(tmp_path / "old"), "old"), Authority(str(tmp_path / "new"), "new")
    both = tmp_path / "both.pem"
    both.write_text(open(old.ca, encoding="utf-8").read() + open(new.ca, encoding="utf-8").read(), encoding="utf-8")
    old.issue("b")
    old.issue("a")
    new.issue("a")
    b_flags = old.flags("b", MUTUAL)
    b_flags[1] = f"-memberlist.tls-ca-path={tmp_path / 'ca.pem'}"
    shutil.copy(both, tmp_path / "ca.pem")
    b = world("ours", "b", (), b_flags)
    a_flags = old.flags("a")
    a_flags[1] = f"-memberlist.tls-ca-path={both}"
    a = world(kind, "a", [b], a_flags)
    all_see([a, b], ["a", "b"])
    assert a.ask("set x 1") == "ok"
    all_get([a, b], {"x": 1})
    # Ours takes the new files, half-replaced for a moment.
    moved = new.issue("moved")
    shutil.copy(moved[0], old.path("b.pem"))
    wait("the half is noticed", 5, lambda: in_log(b, "cannot be used"))
    shutil.copy(moved[1], old.path("b.key"))
    wait("the whole is taken", 5, lambda: in_log(b, "are in use"))
    assert b.ask("set y 2") == "ok"
    all_get([a, b], {"x": 1, "y": 2})
    assert a.ask("set z 3") == "ok"
    all_get([a, b], {"x": 1, "y": 2, "z": 3})
    # The new certificate is what is shown.
    shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{b.port}", "-cert", new.path("a.pem"),
                            "-key", new.path("a.key")], input="", capture_output=True, text=True, check=False).stdout
    assert "issuer=CN = new" in shown, shown


def test_what_cannot_be_is_an_error_at_the_start(ours, trusted):  # noqa: F811
    for flag, text in (("-memberlist.tls-min-version=VersionTLS13", "mbed TLS 2.28"),
                       ("-memberlist.tls-cipher-suites=TLS_WHAT", "TLS_WHAT"),
                       ("-memberlist.tls-key-path=/nonexistent", "/nonexistent"),
                       ("-memberlist.tls-cert-path=", "both")):
        p = subprocess.run([ours, "-memberlist.bind-addr=127.0.0.1", f"-memberlist.bind-port={plain.free_port()}",
                            *trusted.flags("node", flag)], input="", capture_output=True, text=True, timeout=30,
                           check=False)
        assert p.returncode == 1 and text in p.stderr and "memberlist.tls" in p.stderr, p.stderr
