#!/usr/bin/python3
"""idlers.py: clients that keep their connections, in a process of their own: so many that ask once and stay, or that go
on asking. Started by Idlers; told by its arguments (JSON)."""
import json
import os
import subprocess
import sys
import threading

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bed import client  # noqa: E402


class Idlers:
    """with Idlers(...) as them: they are there. say() makes each ask once more: (served, errors)."""

    def __init__(self, port, pki, n, processes=2, active=False):
        words = [json.dumps({"port": port, "ca": pki.ca.chain_file, "n": n // processes, "active": active, "number": k}) for k in range(processes)]
        self.running = [subprocess.Popen([sys.executable, __file__, w], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for w in words]

    def __enter__(self):
        served, errors = self.heard()
        assert not errors, errors[:5]
        self.there = served
        return self

    def heard(self):
        told = [json.loads(p.stdout.readline()) for p in self.running]
        return sum(t["served"] for t in told), [e for t in told for e in t["errors"]]

    def say(self):
        for p in self.running:
            p.stdin.write("again\n")
            p.stdin.flush()
        return self.heard()

    def __exit__(self, *_):
        for p in self.running:
            p.stdin.close()
        for p in self.running:
            p.stdout.close()
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait(5)


# ---- the process

def ask(c, target, told):
    try:
        got = c.get(target)
        assert got is not None and got.status == 200 and got.body == b"ok", got
        told["served"] += 1
    except (OSError, AssertionError, EOFError) as error:
        told["errors"].append(f"{target}: {error!r}")


def tell(told):
    print(json.dumps(told), flush=True)
    told.update(served=0, errors=[])


def main():
    given, told = json.loads(sys.argv[1]), {"served": 0, "errors": []}

    class Roots:  # what client.context asks of a Pki
        class ca:
            chain_file = given["ca"]
    context, session, held = client.context(Roots, version="1.3"), None, []
    for n in range(given["n"]):
        try:
            held.append(c := client.Client(given["port"], context, session=session, timeout=30))
        except OSError as error:
            told["errors"].append(f"connection {n}: {error!r}")
            continue
        ask(c, f"/{given['number']}/{n}", told)
        session = session or c.session
    tell(told)
    if given["active"]:
        # Each asks twenty times a second, if it can; what came of it is told when it is asked for.
        def go_on(c):
            while not over.wait(0.05):
                ask(c, "/active", told)
        over = threading.Event()
        threads = [threading.Thread(target=go_on, args=(c,), daemon=True) for c in held]
        for t in threads:
            t.start()
        for _ in sys.stdin:
            tell(told)
        over.set()
        for t in threads:
            t.join(20)
        return
    for _ in sys.stdin:
        for c in held:
            ask(c, "/again", told)
        tell(told)


if __name__ == "__main__":
    main()
