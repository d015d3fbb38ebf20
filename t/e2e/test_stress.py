"""500 handshakes at a time, a third of them full, while the key and cache processes are killed, stopped
and restarted and clients vanish at every message; on the sanitizers' build, so that a leak or a use
after free shows at the end."""
import os
import random
import selectors
import signal
import socket
import ssl
import time

import pytest

from bed import client, http1, wait

REQUEST = http1.request(fields=[("Connection", "close")])


class Attempt:
    """One connection: handshake, a request, its answer; or it vanishes after so many steps."""

    def __init__(self, load, ctx, session, vanish):
        self.load, self.ctx, self.session, self.vanish = load, ctx, session, vanish
        self.steps, self.got, self.sent, self.done = 0, b"", False, False
        self.began = time.monotonic()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", load.port))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost", session=session)
        load.selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        self.events = selectors.EVENT_READ | selectors.EVENT_WRITE

    def finish(self, how):
        self.load.selector.unregister(self.sock)
        if how == "vanished" and self.load.random.random() < 0.5:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        self.load.over(self, how)

    def turn(self, ready):
        self.steps += 1
        if self.vanish is not None and self.steps > self.vanish:
            return self.finish("vanished")
        ended = False
        try:
            if ready & selectors.EVENT_READ:
                block = self.sock.recv(65536)
                if block:
                    self.incoming.write(block)
                else:
                    ended = True
                    self.incoming.write_eof()
            if not self.done:
                try:
                    self.tls.do_handshake()
                    self.done = True
                except ssl.SSLWantReadError:
                    pass
            if self.done and not self.sent:
                self.tls.write(REQUEST)
                self.sent = True
            if self.sent:
                try:
                    while block := self.tls.read(65536):
                        self.got += block
                    ended = True
                except ssl.SSLWantReadError:
                    pass
            if self.outgoing.pending:
                self.sock.send(self.outgoing.read())
        except BlockingIOError:
            pass
        except OSError as error:
            if not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or not self.got:
                return self.finish(f"failed: {error}")
            ended = True
        if self.got.startswith(b"HTTP/1.1 200") and self.got.endswith(b"ok"):
            return self.finish("served")
        if ended:
            return self.finish(f"ended early: {self.got[:60]!r}")
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.outgoing.pending else 0)
        if wanted != self.events:
            self.events = wanted
            self.load.selector.modify(self.sock, wanted, self)


class Load:
    """Keeps so many attempts going. The outcome of each counts by its kind: full, or one of four ways."""

    def __init__(self, port, contexts, width, seed=1):
        self.port, self.contexts, self.width = port, contexts, width
        self.random, self.selector = random.Random(seed), selectors.DefaultSelector()
        self.sessions = {kind: [] for kind in contexts}
        self.counts, self.open, self.running = {}, 0, True
        self.disturbed = {"key": 0.0, "cache": 0.0}  # until when a service may be missing
        self.failures = []

    def start(self):
        kind = self.random.choice(list(self.contexts))
        stock = self.sessions[kind]
        full = self.random.random() < 0.34 or not stock
        vanish = self.random.randrange(0, 8) if self.random.random() < 0.2 else None
        attempt = Attempt(self, self.contexts[kind], None if full else self.random.choice(stock), vanish)
        attempt.kind, attempt.full = kind, full
        self.open += 1

    def over(self, attempt, how):
        self.open -= 1
        key = (attempt.kind, "full" if attempt.full else "resumed", how.split(":")[0])
        self.counts[key] = self.counts.get(key, 0) + 1
        if how == "served":
            if attempt.tls.session_reused:
                self.counts["resumed"] = self.counts.get("resumed", 0) + 1
            session = attempt.tls.session
            if session and attempt.full:
                self.sessions[attempt.kind] = (self.sessions[attempt.kind] + [session])[-20:]
        elif how != "vanished" and not attempt.full:
            # A ticket needs no service. An id needs the cache, and without it the key service.
            up = all(until < attempt.began for until in self.disturbed.values())
            if "ticket" in attempt.kind or up:
                self.failures.append((attempt.kind, how, round(time.monotonic() - attempt.began, 2)))

    def run(self, seconds, each_turn=lambda: None):
        end = time.monotonic() + seconds
        while time.monotonic() < end or (not self.running and self.open):
            while self.running and self.open < self.width:
                self.start()
            for key, ready in self.selector.select(0.05):
                key.data.turn(ready)
            now = time.monotonic()
            for key in list(self.selector.get_map().values()):
                if now - key.data.began > 30:
                    key.data.finish("failed: 30 s")
            each_turn()
            if not self.running and not self.open:
                break


class Trouble:
    """Every other second something happens to a service."""

    def __init__(self, gw, load):
        self.gw, self.load, self.random = gw, load, random.Random(3)
        self.next, self.stopped = time.monotonic() + 2, []

    def __call__(self):
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + 1.5
        if self.stopped:
            pid, name = self.stopped.pop()
            try:
                os.kill(pid, signal.SIGCONT)
            except OSError:
                pass
            self.load.disturbed[name] = now + 3
            return
        name = self.random.choice(["key", "cache"])
        pids = self.gw._of("sslgw-keysvc" if name == "key" else "sslgw-cachesvc")
        if not pids:
            return
        self.load.disturbed[name] = now + 6
        if self.random.random() < 0.5:
            os.kill(pids[0], signal.SIGKILL)
        else:
            os.kill(pids[0], signal.SIGSTOP)
            self.stopped.append((pids[0], name))

    def end(self):
        while self.stopped:
            try:
                os.kill(self.stopped.pop()[0], signal.SIGCONT)
            except OSError:
                pass


@pytest.mark.parametrize("seconds", [pytest.param(10, id="10 s"), pytest.param(60, id="60 s", marks=pytest.mark.long)])
def test_handshakes_under_every_trouble(bed, ctx, asan_build, seconds):
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site("localhost")], timeouts={"handshake": "8s"}), build=asan_build)
    load = Load(gw.port, {
        "1.3 ticket": ctx(version="1.3", alpn=None), "1.2 ticket": ctx(version="1.2", alpn=None),
        "1.2 id": ctx(version="1.2", alpn=None, tickets=False),
        "1.2 ticket rsa": ctx(version="1.2", alpn=None, ciphers="ECDHE-RSA-AES128-GCM-SHA256")}, width=500)
    workers = gw.workers()
    trouble = Trouble(gw, load)
    load.run(seconds, trouble)
    trouble.end()
    load.running = False
    load.run(35)
    told = "\n".join(f"{k}: {v}" for k, v in sorted(load.counts.items(), key=str))
    assert not load.failures, f"{len(load.failures)} resumed handshakes failed: {load.failures[:10]}\n{told}"
    served = sum(v for k, v in load.counts.items() if k[-1] == "served")
    assert served > 20 * seconds and load.counts.get("resumed", 0) > served // 4, told
    for name in ("sslgw_connections_open", "sslgw_handshakes_open", "sslgw_handshakes_paused", "sslgw_fibres_open",
                 "sslgw_service_asks_open", "sslgw_requests_open"):
        wait.until(lambda n=name: gw.counter(n) == 0, 15, f"{name} back at zero")
    assert gw.workers() == workers, f"a worker was lost\n{told}"
    assert client.get(gw.port, ctx())[0].status == 200


@pytest.mark.plain
def test_a_calm_load_has_no_failure_at_all(bed, ctx):
    """Counter-proof of the load itself: without trouble everything is served."""
    gw = bed.gateway(bed.settings(bed.backend(), timeouts={"handshake": "8s"}))
    load = Load(gw.port, {"1.3 ticket": ctx(version="1.3", alpn=None), "1.2 id": ctx(version="1.2", alpn=None, tickets=False)},
                width=100)
    load.run(4)
    load.running = False
    load.run(20)
    bad = {k: v for k, v in load.counts.items() if k[-1] not in ("served", "vanished") and k != "resumed"}
    assert not bad, bad
