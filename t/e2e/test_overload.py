"""Three times more new clients than the key service can sign for: who has a session, a connection or plain HTTP does not
notice, those who are signed for are as many as ever, and nobody waits past the bound."""
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from bed import client, cluster, flood, http1, quota, wait
from bed.stalls import Stalls

RUN_MS, PERIOD_MS = 12, 50  # of CPU time: what the key server gets
WAITS = 2.0 + 0.5  # seconds: SIGNQUEUE_WAIT_MS, or the questions' end, and what two CPUs for all cost


class Quota:
    def __init__(self, pid):
        self.process = subprocess.Popen([sys.executable, quota.__file__, str(pid), str(RUN_MS), str(PERIOD_MS)])

    def stop(self):
        self.process.terminate()
        self.process.wait(5)

    def logs(self):
        return {}


class Probe:
    """Somebody who is served without a signature, again and again; how long each took."""

    def __init__(self, what):
        self.what, self.took, self.errors, self.over = what, [], [], False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over:
            began = time.monotonic()
            try:
                self.what()
            except (OSError, AssertionError) as error:
                self.errors.append(repr(error))
            self.took.append((began, time.monotonic() - began))
            wait._pause(0.02)

    def p99(self, begin, end):
        """The median of those of each half second: a hiccup of the machine is not what is looked for."""
        spans, at = [], begin
        while at + 0.5 <= end:
            inside = sorted(took for when, took in self.took if at <= when < at + 0.5)
            if inside:
                spans.append(inside[int(0.99 * (len(inside) - 1))])
            at += 0.5
        return sorted(spans)[len(spans) // 2]


def probes(gw, ctx):
    kept = ctx(version="1.3")
    state = {"session": client.get(gw.port, kept)[2]}
    keep_alive = client.Client(gw.port, kept)
    plain = socket.create_connection(("127.0.0.1", gw.port_of(1)), 10)
    reader = http1.Reader(plain.recv)

    def resumed():
        got, facts, newer = client.get(gw.port, kept, session=state["session"])
        assert got.status == 200 and facts[2]
        state["session"] = newer or state["session"]

    def open_connection():
        assert keep_alive.get("/").status == 200

    def plain_listener():
        plain.sendall(http1.request(host="plain.localhost"))
        assert reader.answer("GET").status == 200
    return [Probe(f) for f in (resumed, open_connection, plain_listener)], (keep_alive, plain)


def done_rate(outcomes, begin, end, stalls):
    """Handshakes a second of the time in which the machine did not stand still."""
    return sum(how == "done" and begin < when < end for how, when, _ in outcomes) / (end - begin - stalls.seconds(begin, end))


def capacity(gw, pki, seconds):
    """Signatures a second that clients get who wait for each other."""
    with Stalls() as stalls:
        load = flood.Flood(gw.port, pki, rate=2000, width=6, version="1.3").start()
        began = time.monotonic()
        wait.holds(lambda: True, seconds)
        end = time.monotonic()
        outcomes = load.stop()
    bad = [o for o in outcomes if o[0] not in ("done", "open")]
    assert len(bad) <= len(outcomes) // 10, bad
    return done_rate(outcomes, began + 0.5, end, stalls)


def most(before):
    return max(1.5 * before, before + 0.002)


def calm_and_flood(bed, gw, pki, those, able, seconds):
    """({probe: p99 before}, {the same in the flood}, its outcomes, how many of them were done a second)."""
    with Stalls() as stalls:
        # Before: as many clients as can be served, so that the CPUs have about the same to do.
        calm = flood.Flood(gw.port, pki, rate=able * 0.8, version="1.3").start()
        bed.running.append(calm)
        begin = time.monotonic()
        wait.holds(lambda: True, 4)
        before = {p.what.__name__: p.p99(begin + 0.5, time.monotonic()) for p in those}
        calm.stop()
        load = flood.Flood(gw.port, pki, rate=3 * able, version="1.3").start()
        bed.running.append(load)
        begin = time.monotonic()
        wait.holds(lambda: True, seconds)
        end = time.monotonic()
    during = {p.what.__name__: p.p99(begin + 0.5, end) for p in those}
    outcomes = load.stop()
    return before, during, outcomes, done_rate(outcomes, begin + 0.5, end, stalls)


@pytest.mark.plain
@pytest.mark.parametrize("seconds", [pytest.param(6, id="6 s"), pytest.param(30, id="30 s", marks=pytest.mark.long)])
def test_three_times_the_capacity_of_new_clients_disturbs_nobody_else(bed, pki, ctx, seconds):
    site = bed.site(kinds=("rsa4096",))
    backend = bed.backend()
    farm = cluster.Cluster(bed, backend.address, gateways=1, keys=1, caches=1, sites=[site], balancer=False)
    gw = farm.gateways[0]
    gw.settings["listeners"].append({"address": "127.0.0.1:0", "mode": "plain"})
    farm.start()
    those, sockets = probes(gw, ctx)
    bed.running.append(held := Quota(farm.keys[0].pid))
    able = offered = capacity(gw, pki, 3)
    assert 10 < able < 200, able
    for p in those:
        p.thread.start()
    looks, disturbed = [], {p.what.__name__ for p in those}
    while disturbed and len(looks) < 3:  # a neighbour on the machine shows in one of them, what the flood does shows in each
        before, during, outcomes, done = calm_and_flood(bed, gw, pki, those, able, seconds)
        looks.append((before, during))
        disturbed -= {name for name in before if during[name] <= most(before[name])}
    for p in those:
        p.over = True
        p.thread.join(5)
    # And it is over when the flood is.
    wait.until(lambda: all(client.get(gw.port, ctx(version="1.3"))[0].status == 200 for _ in range(4)), 5,
               "new clients afterwards")
    able = min(able, capacity(gw, pki, 2.5))  # others of this machine may have come meanwhile
    held.stop()
    for s in sockets:
        s.close()
    ends = {k: sum(how == k for how, _, _ in outcomes) for k in ("done", "alert", "failed", "waits", "open")}
    longest = max(took for _, _, took in outcomes)
    told = f"capacity {able:.0f}/s, done {done:.0f}/s, {ends}, the longest {longest:.2f} s\nbefore and during: {looks}"
    print(told)
    assert sum(ends.values()) > 0.8 * 3 * offered * seconds, f"not offered: {told}"
    assert done >= 0.9 * able, told
    assert not ends["failed"] and not ends["waits"] and ends["alert"] > 0, told
    assert longest < WAITS, told
    for p in those:
        assert not p.errors, p.errors[:3]
    assert not disturbed, f"{disturbed}: {told}"
    assert not farm.total(farm.keys, "sslgw_keysvc_unclaimed_signatures_total"), "the flood is taken for a thief"
