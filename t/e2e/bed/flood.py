"""flood.py: new clients at a given rate whatever becomes of them, in a process of its own: each makes a full handshake
and leaves. What came of each, when, and after how long is told at the end."""
import multiprocessing
import selectors
import socket
import ssl
import time

from . import client

GIVEN_UP = 10.0  # seconds; nothing may last so long


class Attempt:
    def __init__(self, flood):
        self.flood, self.began = flood, time.monotonic()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", flood.port))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = flood.context.wrap_bio(self.incoming, self.outgoing, server_hostname=flood.host)
        flood.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def end(self, how):
        self.flood.selector.unregister(self.sock)
        self.sock.close()
        now = time.monotonic()
        self.flood.outcomes.append((how, now, now - self.began))

    def turn(self, ready):
        try:
            if ready & selectors.EVENT_READ:
                data = self.sock.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            done = False
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            if self.outgoing.pending:
                self.sock.send(self.outgoing.read())
            if done:
                return self.end("done")
        except ssl.SSLError as error:
            return self.end("alert" if "ALERT" in str(error).upper() else "failed")
        except OSError:
            return self.end("failed")
        self.flood.selector.modify(self.sock, selectors.EVENT_READ, self)


class Flood:
    """rate: a second; width: no more than so many at once (a closed loop). start(), then stop() gives the outcomes:
    (how, when by the monotonic clock, seconds that it took)."""

    def __init__(self, port, pki, rate, host="localhost", width=5000, **options):
        self.port, self.pki, self.rate, self.host, self.width, self.options = port, pki, rate, host, width, options
        fork = multiprocessing.get_context("fork")
        self.over, (self.to, self.at) = fork.Event(), fork.Pipe(False)
        self.process = fork.Process(target=self.run, daemon=True)

    def run(self):
        self.context = client.context(self.pki, **self.options)
        self.selector, self.outcomes = selectors.DefaultSelector(), []
        began, made = time.monotonic(), 0
        while not self.over.is_set():
            now = time.monotonic()
            while made < (now - began) * self.rate and len(self.selector.get_map()) < self.width:
                Attempt(self)
                made += 1
            if len(self.selector.get_map()) >= self.width:
                made = int((now - began) * self.rate)
            for key, ready in self.selector.select(min(0.02, 1 / self.rate)):
                key.data.turn(ready)
            for key in list(self.selector.get_map().values()):
                if now - key.data.began > GIVEN_UP:
                    key.data.end("waits")
        for key in list(self.selector.get_map().values()):
            self.outcomes.append(("open", time.monotonic(), time.monotonic() - key.data.began))
        self.at.send(self.outcomes)

    def start(self):
        self.process.start()
        return self

    def stop(self):
        if self.over.is_set():
            return []
        self.over.set()
        got = self.to.recv() if self.to.poll(20) else []
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
        return got

    def logs(self):
        return {}
