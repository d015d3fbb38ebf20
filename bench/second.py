"""second.py: second opinions on the fronts by a generator that is not ours: h2load (nghttp2-client), with HTTP/1.1."""
import re
import subprocess

import measure

# name: (port, h2load's options, requests, times, what it is). It makes all connections at once, and no others later: more than
# a hundred would measure how a front sheds load.
ROWS = {
    "h2load-keepalive": ("rsa", ["-c", "32"], 60000, 1, "keep-alive GET 1 KiB, 32 connections"),
    "h2load-full-rsa": ("rsa", ["-c", "100"], 100, 10, "full handshake, TLS 1.3, RSA-2048, + GET"),
    "h2load-full-ecdsa": ("ecdsa", ["-c", "100"], 100, 10, "full handshake, TLS 1.3, ECDSA, + GET"),
}


def ask(program, bench, port, options, n):
    """How many were answered; or what went wrong."""
    got = subprocess.run([program, "--h1", "-t", "1", "-n", str(n), *options, f"https://127.0.0.1:{port}/1024"],
                         capture_output=True, text=True, preexec_fn=bench.aside, check=False)
    done = re.search(r"(\d+) succeeded, (\d+) failed", got.stdout)
    return int(done.group(1)) if got.returncode == 0 and done and done.group(2) == "0" else (done.group(0) if done else got.stderr[-200:])


def one(front, name):
    """A measurement; None: no h2load here."""
    kind, options, n, times, _ = ROWS[name]
    program, bench = front.bench.program("h2load"), front.bench
    if program is None:
        return None

    def run(look):
        before = look()
        answered = [ask(program, bench, front.ports[kind], options, n) for _ in range(times)]
        wrong = [a for a in answered if not isinstance(a, int)]
        return {"fails": wrong[0]} if wrong else {"ops": sum(answered)}, before, look()
    return bench.undisturbed(front, run)


def rows(fronts, rounds):
    """{row: {front: [...]}}."""
    return {name: dict(zip((f.name for f in fronts), measure.interleaved(fronts, rounds, lambda f, row=name: one(f, row)))) for name in ROWS}


def table(results, reference):
    names = list(next(iter(results.values())))
    lines = ["| h2load | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for name, got in results.items():
        cells = []
        for front in names:
            r, unit = measure.ratio(got[front], got[reference]), measure.median(got[front])
            cells.append("fails" if measure.failures(got[front]) else f"{r:.2f} ({unit:.1f} µs)" if r else "–")
        lines.append(f"| {ROWS[name][4]} | " + " | ".join(cells) + " |")
    return lines
