"""rows.py: the rows beside the peers: what is asked of each front, and what is made of the measurements."""
import statistics

import measure

# name: (port, generator's options, kind of figure, target ratio to nginx or None, what it is)
ROWS = {
    "full-rsa": ("rsa", "--op handshake --tls 13", "op", 1.03, "full handshake, TLS 1.3, RSA-2048"),
    "full-rsa-remote": ("remote", "--op handshake --tls 13", "op", 0.60, "the same, the key at a server that is not counted (floor: P-256)"),
    "full-rsa-12": ("rsa", "--op handshake --tls 12", "op", None, "full handshake, TLS 1.2, RSA-2048"),
    "full-ecdsa": ("ecdsa", "--op handshake --tls 13 --cert ecdsa", "op", 1.00, "full handshake, TLS 1.3, ECDSA"),
    "full-ecdsa-12": ("ecdsa", "--op handshake --tls 12 --cert ecdsa", "op", 1.02, "full handshake, TLS 1.2, ECDSA"),
    "ticket": ("rsa", "--op handshake --resume ticket --tls 13", "op", 0.96, "resumed, TLS 1.3 ticket"),
    "ticket-12": ("rsa", "--op handshake --resume ticket --tls 12", "op", 1.00, "resumed, TLS 1.2 ticket"),
    "id-12": ("rsa", "--op handshake --resume id --tls 12", "op", 1.20, "resumed, TLS 1.2 session id"),
    "stateful": ("stateful", "--op handshake --resume id --tls 13", "op", 1.06, "resumed, TLS 1.3 stateful"),
    "keepalive-1k": ("rsa", "--op request --connections 32", "op", 0.75, "keep-alive GET 1 KiB, 32 connections"),
    "keepalive-1k-512": ("rsa", "--op request --connections 512 --warm 3", "op", 0.65, "keep-alive GET 1 KiB, 512 connections"),
    "keepalive-16k": ("rsa", "--op request --connections 32 --path /16384", "op", 0.75, "keep-alive GET 16 KiB"),
    "fetch-rsa": ("rsa", "--op fetch --tls 13", "op", 1.00, "handshake + GET + close, RSA"),
    "fetch-ticket": ("rsa", "--op fetch --resume ticket --tls 13", "op", 0.92, "resumed 1.3 + GET + close"),
    "download-1m": ("rsa", "--op request --path /1048576 --connections 8 --warm 2", "gb", 0.85, "download 1 MiB, CPU a GB"),
    "upload-1m": ("rsa", "--op request --path /2 --post 1048576 --connections 8 --warm 2", "gb-up", 0.88, "upload 1 MiB, CPU a GB"),
    "idle": ("rsa", "--op idle --connections 2000", "memory", 0.95, "idle TLS connection, KiB with kernel memory"),
    "latency-request": ("rsa", "--op request --connections 64 --rate 3000", "latency", 1.10, "p99 of GET 1 KiB at 3,000/s"),
    "latency-ticket": ("rsa", "--op fetch --resume ticket --connections 64 --rate 500", "latency", 1.10, "p99 of resumed + GET at 500/s"),
    "latency-full": ("rsa", "--op handshake --connections 64 --rate 300", "latency", 1.10, "p99 of full handshakes at 300/s"),
}
# Those that write a line to an access log.
LOGGED = [name for name, row in ROWS.items() if "--op handshake" not in row[1] and row[2] in ("op", "gb", "gb-up")]
# A row is met, besides, by lying this near to the floor: what the floor is to nginx differs from machine to machine. Farther
# where a second process of sslgw's takes part, which the floor has not: the key's, or the cache's.
NEAR, NEAR_WITH_SECOND = 1.15, 1.20
SECOND = ["full-rsa", "full-rsa-remote", "full-rsa-12", "full-ecdsa", "full-ecdsa-12", "id-12", "stateful", "fetch-rsa"]
UNITS = {"op": "µs", "gb": "s", "gb-up": "s", "memory": "KiB", "latency": "µs"}
# p99 is what noise shows in first: more rounds, and operations enough that one pause of the machine is not all that it shows.
LATENCY_ROUNDS, LATENCY_OPERATIONS = 9, 2000


def memory(front, port, options):
    front.stop()  # an allocator keeps what it once had
    front.start()
    bench, kib = front.bench, []
    bench.load(front.ports["rsa"], "--op request", 0.3, lambda: None)
    before = front.memory_at_rest_kib()

    def held():
        kib.append(front.memory_at_rest_kib())
    got, _, _ = bench.load(port, options, 1, lambda: None, held)
    if "fails" not in got:
        got["unit"] = (kib[0] - before) / got["ops"]
        if got["reconnects"]:
            got["fails"] = f"{got['reconnects']} connections were not kept"
    return got


def at_length(options, seconds):
    """Of a measurement at a fixed rate."""
    return max(2 * seconds, LATENCY_OPERATIONS / int(options.split("--rate ")[1].split()[0]))


def one(front, name, seconds):
    """A measurement; None: this front cannot do that."""
    kind, options, figure = ROWS[name][:3]
    if kind not in front.kinds:
        return None
    (port, options), bench = front.place(kind, options), front.bench
    if figure == "memory":
        return memory(front, port, options)
    seconds = at_length(options, seconds) if figure == "latency" else seconds
    got = bench.undisturbed(front, lambda look: bench.load(port, options, seconds, look))
    if "fails" not in got:
        if figure == "latency":
            got["unit"] = got["p99_us"]
        elif figure != "op":
            got["unit"] = got["cpu"] / ((got["bytes"] if figure == "gb" else got["ops"] * 1048576) / 1e9)
    return got


def row(fronts, name, rounds, seconds):
    """{front: its measurements, one a round}."""
    figure = ROWS[name][2]
    rounds = min(rounds, 2) if figure == "memory" else max(rounds, LATENCY_ROUNDS) if figure == "latency" else rounds
    return dict(zip((f.name for f in fronts), measure.interleaved(fronts, rounds, lambda f: one(f, name, seconds))))


def order(results):
    """The fronts' names, ours first."""
    seen = {name: None for got in results.values() for name in got}
    return sorted(seen, key=lambda name: (name != "sslgw", list(seen).index(name)))


def met(name, got):
    """The last cells of a row of ratios to nginx: what it may be, how near the floor, whether that is met."""
    target = ROWS[name][3]
    mine, near = (measure.ratio(got.get("sslgw", []), got.get(other, [])) for other in ("nginx", "floor"))
    verdict = "–"
    if target and mine:
        by_floor = near and ROWS[name][2] != "latency" and near <= (NEAR_WITH_SECOND if name in SECOND else NEAR)
        verdict = "yes" if round(mine, 2) <= target else "by the floor" if by_floor else "no"
    return f" {f'{target:.2f}' if target else '–'} | {f'{near:.2f}' if near else '–'} | {verdict} |"


def table(results, reference):
    names, judged = order(results), reference == "nginx"
    lines = ["| work | " + " | ".join(names) + " |" + (" sslgw at most | sslgw to the floor | met |" if judged else ""),
             "|---|" + "---:|" * (len(names) + 3 * judged)]
    for name, got in results.items():
        cells = []
        for front in names:
            r = measure.ratio(got.get(front, []), got.get(reference, []))
            if measure.failures(got.get(front, [])) or r is None:
                cells.append("fails" if measure.failures(got.get(front, [])) else "–")
            elif front == reference:
                unit = statistics.median(measure.units(got[front]))
                cells.append(f"1.00 ({unit:.{3 if unit < 10 else 0}f} {UNITS[ROWS[name][2]]})")
            else:
                cells.append(f"{r:.2f}")
        lines.append(f"| {ROWS[name][4]} | " + " | ".join(cells) + " |" + (met(name, got) if judged else ""))
    return lines
