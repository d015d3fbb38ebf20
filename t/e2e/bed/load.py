#!/usr/bin/python3
"""load.py: visitors at a given rate, in a process of their own. Each makes a full handshake and a request at one
gateway, and then comes back with its session to the next one. Started by Load; told by its arguments (JSON); it ends
when its standard input does, and prints what came of each handshake: [when, seconds, came back, resumed, error]."""
import itertools
import json
import os
import subprocess
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bed import client, wait  # noqa: E402

THREADS = 6


class Load:
    """with Load(...) as load: ...; then the handshakes are in load.all."""

    def __init__(self, ports, ca_file, rate, hosts=("localhost", "stateful.localhost"), processes=1):
        self.words = json.dumps({"ports": ports, "ca": ca_file, "rate": rate / processes, "hosts": hosts})
        self.processes, self.running, self.all = processes, [], []

    def __enter__(self):
        self.running = [subprocess.Popen([sys.executable, __file__, self.words], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True) for _ in range(self.processes)]
        for p in self.running:
            assert p.stdout.readline() == "runs\n"
        return self

    def __exit__(self, *_):
        for p in self.running:
            p.stdin.close()
        for p in self.running:
            self.all += [Handshake(*h) for h in json.loads(p.stdout.read() or "[]")]
            p.stdout.close()
            p.wait(30)

    @property
    def failed(self):
        return [h for h in self.all if h.error]

    def resumed_share(self, begin=0.0, end=1e9):
        back = [h for h in self.all if h.came_back and not h.error and begin <= h.when < end]
        return sum(h.resumed for h in back) / len(back)

    def p99(self, begin, end):
        took = sorted(h.took for h in self.all if begin <= h.when < end)
        assert len(took) >= 20, f"{len(took)} handshakes in {end - begin:.1f} s are too few"
        return took[int(0.99 * (len(took) - 1))]


class Handshake:
    def __init__(self, when, took, came_back, resumed, error):
        self.when, self.took, self.came_back, self.resumed, self.error = when, took, came_back, resumed, error

    def __repr__(self):
        return f"<{'came back' if self.came_back else 'new'}, {self.took:.3f} s, {self.error}>"


# ---- the process

def visits(given, number, out, over):
    class Roots:  # what client.context asks of a Pki
        class ca:
            chain_file = given["ca"]
    contexts = [client.context(Roots, version="1.3"), client.context(Roots, version="1.2", tickets=False)]
    ports = itertools.cycle(given["ports"])
    began, pace = time.monotonic() + number / given["rate"], THREADS / given["rate"]
    for n in itertools.count():
        if over.wait(max(0.0, began + n * pace - time.monotonic())):
            return
        ctx, host, session = contexts[n % 2], given["hosts"][n // 2 % len(given["hosts"])], None
        next(ports)
        for back in (False, True):
            at, resumed, error = time.monotonic(), False, ""
            try:
                got, facts, session = client.get(next(ports), ctx, sni=host, session=session)
                assert got.status == 200, got.status
                resumed = facts[2]
            except (OSError, AssertionError, EOFError) as e:
                session, error = None, f"{host}: {e!r}"
            out.append([at, time.monotonic() - at, back, resumed, error])
            if error:
                break


def main():
    given, out, over = json.loads(sys.argv[1]), [], threading.Event()
    threads = [threading.Thread(target=visits, args=(given, n, out, over), daemon=True) for n in range(THREADS)]
    for t in threads:
        t.start()
    wait.until(lambda: len(out) > 4, 20, "the load runs")
    print("runs", flush=True)
    sys.stdin.read()
    over.set()
    for t in threads:
        t.join(20)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
