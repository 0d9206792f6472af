"""A network for real processes, in this one: each host is a network namespace with one address, and this process is
the cable between them. So packets get lost, one way or both, in parts or altogether, without anything of the kernel
but namespaces and /dev/net/tun: no netem, no packet filter.

The process must be root of a network namespace of its own (REEXEC in front of its command); one that is not may ask
why_not() whether it could be. Everything here ends with the process."""

import ctypes
import fcntl
import os
import random
import select
import shutil
import struct
import subprocess
import threading

REEXEC = ["unshare", "-r", "-n"]
NET = "10.66.0."
ME = NET + "254"  # this process; nothing of what it sends or gets is lost
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
TCP, SYN, ACK = 6, 0x02, 0x10


def why_not():
    """What is missing for a lab, in a word, or None."""
    if not all(map(shutil.which, ("ip", "unshare", "nsenter", "setpriv"))):
        return "iproute2 and util-linux"
    script = "ip tuntap add dev t0 mode tun && ip link set t0 up && unshare -n true"
    if subprocess.run([*REEXEC, "sh", "-c", script], capture_output=True, check=False).returncode:
        return "network namespaces and /dev/net/tun"
    return None


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


class Host:
    """A network namespace with one address."""

    def __init__(self, address):
        self.address, self.fd, self.ns, self.error = address, None, None, None
        t = threading.Thread(target=self.make)  # a thread of its own: it changes its namespace
        t.start()
        t.join()
        if self.error is not None:
            raise self.error

    def make(self):
        try:
            if self.address != ME:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.unshare(CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "unshare")
            self.ns = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", b"cable", IFF_TUN | IFF_NO_PI))
            ip("link", "set", "lo", "up")
            ip("addr", "add", self.address + "/24", "dev", "cable")
            ip("link", "set", "cable", "up")
        except (OSError, subprocess.SubprocessError) as e:
            self.error = e

    def enter(self):
        """Take the calling thread to this host, for good."""
        if ctypes.CDLL(None, use_errno=True).setns(self.ns, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def popen(self, args, **kw):
        """subprocess.Popen of a program on this host. It ends with the thread that calls this."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/self/fd/{self.ns}", *args], pass_fds=(self.ns,), **kw)


class Lab:
    """Hosts and the cable. Its rules are sets that change from one packet to the next."""

    def __init__(self, seed=1):
        self.hosts, self.rng = {}, random.Random(seed)
        self.cuts, self.refused, self.loss = set(), set(), 0.0
        self.passed = self.lost = 0
        self.poll, self.by_fd = select.epoll(), {}
        self.host(ME)
        threading.Thread(target=self.run, daemon=True).start()

    def host(self, address):
        h = Host(address)
        self.hosts[address], self.by_fd[h.fd] = h, h
        self.poll.register(h.fd, select.EPOLLIN)
        return h

    # --- rules; each takes sets of addresses ---

    def cut(self, a, b):
        """Nothing comes from a to b any more. Silently: whoever waits for it goes on waiting."""
        self.cuts |= {(x, y) for x in a for y in b if x != y}

    def part(self, a, b):
        """Nothing comes from one to the other."""
        self.cut(a, b)
        self.cut(b, a)

    def refuse(self, a, b):
        """Connections from a to b cannot be opened any more; open ones go on, and those from b to a."""
        self.refused |= {(x, y) for x in a for y in b if x != y}

    def unplug(self, a):
        self.part(a, set(self.hosts) - {ME} - set(a))

    def heal(self):
        self.cuts, self.refused, self.loss = set(), set(), 0.0

    # --- the cable ---

    def passes(self, packet, way):
        if way in self.cuts:
            return False
        if way in self.refused and packet[9] == TCP:
            flags = packet[(packet[0] & 15) * 4 + 13]
            if flags & (SYN | ACK) == SYN:
                return False
        return not self.loss or self.rng.random() >= self.loss

    def carry(self, packet):
        if packet[0] >> 4 != 4 or len(packet) < 20:
            return
        way = tuple(".".join(map(str, packet[at:at + 4])) for at in (12, 16))
        to = self.hosts.get(way[1])
        if to is None:
            return
        if ME not in way and not self.passes(packet, way):
            self.lost += 1
            return
        self.passed += 1
        try:
            os.write(to.fd, packet)
        except OSError:
            pass  # its queue is full: lost, as on a real cable

    def run(self):
        while True:
            for fd, _ in self.poll.poll():
                for _ in range(64):
                    try:
                        self.carry(os.read(fd, 65536))
                    except BlockingIOError:
                        break
