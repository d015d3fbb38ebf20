"""wait.py: waiting for a fact, with a deadline; the only place that lets time pass. And ports to listen on."""
import collections
import random
import socket
import time

_pause = time.sleep  # between looks
_random = random.SystemRandom()  # not what a test may have seeded
_given, _kept, KEPT_MAX = set(), collections.deque(), 64
PORT_MIN, PORT_ROOM, PORT_USUAL = 10240, 4096, 32768


def until(fact, seconds=10.0, what="a fact", every=0.01):
    """The first true value of fact(); AssertionError after SECONDS. A fact that raises is not yet true."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = fact()
            if value:
                return value
            last = value
        except (OSError, AssertionError, KeyError, IndexError, ValueError) as error:
            last = error
        if time.monotonic() >= end:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})")
        _pause(every)


def holds(fact, seconds, what="a fact", every=0.02):
    """fact() stays true for SECONDS: for what must *not* happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert fact(), f"ceased to hold: {what}"
        _pause(every)


def _port_end():
    """Where the ports begin that the kernel gives to those who ask for any; where that leaves no room, the usual place."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first = int(f.read().split()[0])
    return first if first >= PORT_MIN + PORT_ROOM else PORT_USUAL


def free_port():
    """A port of loopback that nobody had a moment ago, and that nobody gets by chance before it is used: it is given once,
    the kernel gives no such port, and a name keeps other processes from drawing it meanwhile."""
    end = _port_end()
    while True:
        port = _random.randrange(PORT_MIN, end)
        if port in _given:
            continue
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0sslgw port {port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _given.add(port)
        _kept.append(name)
        if len(_kept) > KEPT_MAX:  # whoever was to listen there does by now
            _kept.popleft().close()
        return port
