"""wait.py: waiting for a fact, with a deadline; the only place that lets time pass."""
import socket
import time

_pause = time.sleep  # between looks


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


def free_port():
    """A port of loopback that nobody had a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
