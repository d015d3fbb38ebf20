"""growth.py: how the cost of a request grows with what there is beside it: connections, sites, routes, servers, workers,
entries of the cache. A point is a front of its own, configured for it; all points of a series are measured in each round."""
import math

import measure
import services

IDLE = 16384  # kept connections to servers: enough for every point, so that none is closed and made anew
SPREAD = 16
DIGITS = 5


def sslgw_sites(n):
    return "".join(f', {{ names = [ "s{i:0{DIGITS}}.test" ]; certificates = [ "@CERTS@/ecdsa.crt" ]; headers = [ "forwarded" ]; '
                   f'routes = ( {{ path = "/"; pool = "origin"; }} ); }}\n' for i in range(n))


def nginx_sites(n):
    return "".join(f"server {{ listen 127.0.0.1:@ECDSA@ ssl; server_name s{i:0{DIGITS}}.test; ssl_certificate @CERTS@/ecdsa.crt; "
                   f"ssl_certificate_key @CERTS@/ecdsa.key; location / {{ proxy_pass http://origin; }} }}\n" for i in range(n))


def addresses(n):
    """Those of bench/origin."""
    return [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(n)]




def sites(front, n):
    return {"SITES": nginx_sites(n) if front == "nginx" else sslgw_sites(n)}


def routes(front, n):
    paths = [f"/r{i:0{DIGITS}}/" for i in range(n)]
    if front == "nginx":
        return {"ROUTES": "\n".join(f"location {p} {{ proxy_pass http://origin; }}" for p in paths)}
    return {"ROUTES": ",\n".join(f'{{ path = "{p}"; pool = "origin"; }}' for p in paths)}


def connections(front, _):
    """Over many servers: the kernel has 28,000 ports for connections from one address to another."""
    return servers(front, SPREAD)


def servers(front, n):
    if front == "haproxy":
        return {"SERVERS": "\n\t".join(f"server s{i} {a}:@ORIGIN@ pool-max-conn @IDLE@ pool-purge-delay 300s" for i, a in enumerate(addresses(n)))}
    if front == "nginx":
        return {"SERVERS": " ".join(f"server {a}:@ORIGIN@;" for a in addresses(n))}
    return {"SERVERS": ", ".join(f'{{ address = "{a}:@ORIGIN@"; }}' for a in addresses(n))}


def workers(_, n):
    return {"WORKERS": n}


NUMBER = "#" * DIGITS
# name: (what it is, x axis, points, fronts, port, generator's options with {n}, what a front's configuration says, flat within)
SERIES = {
    "connections": ("keep-alive GET 1 KiB, all connections busy", "connections", (32, 512, 4096, 8192, 16384), ("sslgw", "nginx", "haproxy"),
                    "ecdsa", "--op request --cert ecdsa --connections {n} --warm 2 --lead 1", connections),
    "sites": ("keep-alive GET 1 KiB, 32 connections, each to another site", "sites", (1, 100, 10000), ("sslgw", "nginx"), "ecdsa",
              f"--op request --connections 32 --cert ecdsa --name s{NUMBER}.test --names {{n}}", sites),
    "sites-handshake": ("full handshake, TLS 1.3, ECDSA, each for another site", "sites", (1, 100, 10000), ("sslgw", "nginx"), "ecdsa",
                        f"--op handshake --cert ecdsa --name s{NUMBER}.test --names {{n}}", sites),
    "routes": ("keep-alive GET 1 KiB, 32 connections, each request to another route", "routes", (1, 30, 1000), ("sslgw", "nginx"), "rsa",
               f"--op request --connections 32 --path /r{NUMBER}/1024 --paths {{n}}", routes),
    "servers": ("keep-alive GET 1 KiB, 32 connections, servers in turn", "servers", (1, 20, 500), ("sslgw", "nginx"), "rsa",
                "--op request --connections 32 --lead 0.5", servers),
    "workers": ("keep-alive GET 1 KiB, 64 connections, workers on all cores", "workers", (1, 2), ("sslgw", "nginx"), "rsa",
                "--op request --connections 64 --warm 10", workers),
}
NAMES = [*SERIES, "cache"]


def prepared(bench, name, n):
    """The fronts of a point; None where there is none, or the limit of descriptors does not allow it."""
    _, _, _, fronts, kind, _, words = SERIES[name]
    cores = bench.cores if name == "workers" else None
    for front in fronts:
        if name == "connections" and 2 * n + 500 > bench.files:
            yield front, None
            continue
        made = bench.front(front, kinds=(kind,), cores=cores, IDLE=IDLE, **words(front, n))
        yield front, made.start(300) if made else None


def series(bench, name, rounds, seconds):
    """{"points": [n], "fronts": {front: {n: [measurements]}}, "starts": {front: {n: [seconds, KiB]}}}."""
    if name == "cache":
        return services.cache_growth(bench, rounds)
    points, kind, options = SERIES[name][2], SERIES[name][4], SERIES[name][5]
    out, running, starts = {}, [], {}
    try:
        for n in points:
            for front, started in prepared(bench, name, n):
                out.setdefault(front, {})
                if started:
                    running.append((front, n, started))
                    starts.setdefault(front, {})[str(n)] = [started.start_seconds, started.memory_kib()]

        def one(point):
            _, n, front = point
            return bench.undisturbed(front, lambda look: bench.load(front.ports[kind], options.format(n=n), seconds, look))
        for (front, n, _), got in zip(running, measure.interleaved(running, rounds, one)):
            out[front][str(n)] = got
    finally:
        for _, _, front in running:
            front.stop()
    return {"points": list(points), "fronts": out, "starts": starts, "files": bench.files}


def slope(points):
    """[(n, cost)] -> how many times the cost becomes with ten times as many: least squares over the logarithms."""
    x, y = [math.log10(n) for n, _ in points], [math.log10(c) for _, c in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return 10 ** (sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x))


def slope_text(costs):
    """"": the points are too near to say."""
    return f"×{slope(costs):.2f}" if len(costs) > 1 and costs[-1][0] >= 10 * costs[0][0] else ""


def medians(got):
    """{front: [(n, cost)]} of a series."""
    return {front: [(int(n), measure.median(m)) for n, m in points.items() if measure.median(m) is not None and not measure.failures(m)]
            for front, points in got["fronts"].items()}


def table(results):
    lines = []
    for name, got in results.items():
        points = got["points"]
        unit = "entries" if name == "cache" else SERIES[name][1]
        what = services.CACHE_GROWTH if name == "cache" else SERIES[name][0]
        lines += [f"**{what}** ({unit})", "", "| CPU µs | " + " | ".join(f"{n:,}" for n in points) + " | last to first | ten times as many |",
                  "|---|" + "---:|" * (len(points) + 2)]
        for front, costs in medians(got).items():
            by_n = dict(costs)
            cells = [f"{by_n[n]:.2f}" if n in by_n else "–" for n in points]
            lines.append(f"| {front} | " + " | ".join(cells) + f" | {costs[-1][1] / costs[0][1]:.2f} | {slope_text(costs) or '–'} |" if costs
                         else f"| {front} | " + " | ".join(cells) + " | – | – |")
        lines.append("")
    return lines
