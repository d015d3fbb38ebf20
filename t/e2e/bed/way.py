"""way.py: what can go wrong on the way to a server: bytes late, others, or none."""
import gc
import multiprocessing
import os
import select
import socket
import time

FORK = multiprocessing.get_context("fork")


class Told:
    """A number that the way's process sees at once when it is set."""

    def __set_name__(self, owner, name):
        self.name = f"_{name}"

    def __get__(self, way, owner=None):
        return getattr(way, self.name).value

    def __set__(self, way, value):
        getattr(way, self.name).value = value


class Way:
    """The way to a server: passes bytes on, `delay` seconds late, or `rubbish`, or nothing (`silent`), as told at any
    moment. A process of its own, without garbage collection: what a test does with its memory would stop all ways for
    tenths of a second."""

    delay, rubbish, silent = Told(), Told(), Told()

    def __init__(self, to_port):
        self._delay, self._rubbish, self._silent = FORK.Value("d", 0.0), FORK.Value("b", False), FORK.Value("b", False)
        self.to_port, self.pairs = to_port, {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.process = FORK.Process(target=self.run, daemon=True)
        self.process.start()
        self.listener.close()

    def pair(self, a):
        try:
            b = socket.create_connection(("127.0.0.1", self.to_port), 1)
        except OSError:
            a.close()
            return
        for s in (a, b):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs[a], self.pairs[b] = b, a

    def drop(self, s):
        for one in (s, self.pairs.get(s)):
            if one is not None:
                self.pairs.pop(one, None)
                one.close()

    def run(self):
        gc.disable()
        waiting, parent = [], os.getppid()  # (when, to, bytes), in order
        while os.getppid() == parent:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, to, data = waiting.pop(0)
                try:
                    if to in self.pairs:
                        to.sendall(data)
                except OSError:
                    self.drop(to)
            rest = min(0.05, max(0.0, waiting[0][0] - now)) if waiting else 0.05
            for s in select.select([self.listener, *self.pairs], [], [], rest)[0]:
                if s is self.listener:
                    self.pair(self.listener.accept()[0])
                elif s in self.pairs:
                    try:
                        data = s.recv(65536)
                    except OSError:
                        data = b""
                    if not data:
                        self.drop(s)
                    elif not self.silent:
                        if self.rubbish:
                            data = os.urandom(len(data))
                        waiting.append((time.monotonic() + self.delay, self.pairs[s], data))

    def stop(self):
        self.process.kill()
        self.process.join()

    def logs(self):
        return {}
