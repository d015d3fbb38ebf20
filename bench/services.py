"""services.py: the services by themselves. The key service beside `openssl speed` on the same core; the cache service
beside redis-server, both loaded by redis-benchmark without TLS, and how both grow with their entries."""
import os
import re
import socket
import subprocess
import sys

import measure

# Redis's tools' package holds the server under another name; it looks at the name that it was started by.
REDIS_PROGRAM = "/usr/bin/redis-check-rdb"
KEYS = {"rsa": ("RSA-2048", "rsa2048", 0.90), "ecdsa": ("P-256", "ecdsap256", 0.45)}  # of openssl speed at least
COMMANDS = [(verb, size, pipeline) for verb in ("get", "set") for size in (200, 2048) for pipeline in (1, 16)]
NAMES = 10000  # of a row
CLIENTS = 50  # redis-benchmark's default
STORED_MEMORY = 128 << 20  # of the caches whose sessions are counted
CACHE_GROWTH = "GET of 200 B, names at random, pipeline 16"
CACHE_POINTS = (10**4, 10**5, 10**6, 10**7)
BATCH = 1000


# ---- the key service

class KeyService(measure.Family):
    """By mutual TLS, with an identity and a caller of sslgwctl's making."""

    def __init__(self, bench, cores=None):
        super().__init__("sslgw-keysvc", bench, cores)
        self.port = measure.free_ports(1)[0]
        ctl, pki = f"{bench.build}/sslgwctl", f"{self.dir}/pki"
        for words in (["init", pki], ["issue", pki, "ks1", "--role", "keysvc"], ["issue", pki, "gw1", "--role", "gateway"]):
            subprocess.run([ctl, "pki", *words], check=True, capture_output=True)
        self.pki = pki
        measure.write(f"{self.dir}/keysvc.conf", f'''listen = [ "127.0.0.1:{self.port}" ];
identity = "{pki}/ks1.pem"; identity_key = "{pki}/ks1.key"; ca_file = "{pki}/ca.pem";
keys = [ "{bench.dir}/certs/rsa.key", "{bench.dir}/certs/ecdsa.key" ];
callers = ( {{ name = "gw*"; keys = [ "*" ]; groups = [ "default" ]; rate = "1000000/s"; }} );
''')

    def start(self):
        return self.launch([[f"{self.bench.build}/sslgw-keysvc", "-c", f"{self.dir}/keysvc.conf"]], [self.port])

    def sign(self, kind, seconds):
        return self.bench.undisturbed(self, lambda look: self.bench.generate(
            [f"{self.bench.build}/bench/sign", "--port", str(self.port), "--seconds", str(seconds), "--identity", f"{self.pki}/gw1.pem",
             "--identity-key", f"{self.pki}/gw1.key", "--ca-file", f"{self.pki}/ca.pem", "--certificate",
             f"{self.bench.dir}/certs/{kind}.crt"], look))


def openssl_speed(bench, algorithm, seconds):
    """CPU µs of one signature; openssl counts its own CPU time, not the clock's."""
    got = subprocess.run(["openssl", "speed", "-mr", "-seconds", str(seconds), algorithm], capture_output=True, text=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, {bench.front_core}), check=True)
    # +F2 is RSA, +F4 is ECDSA: number, bits, signatures a second, verifications a second.
    found = re.search(r"^\+F[24]:\d+:\d+:([0-9.e-]+):", got.stdout, re.M)
    return {"unit": 1e6 / float(found.group(1))}


def keys(bench, rounds, seconds):
    """{kind: {"sslgw-keysvc": [...], "openssl speed": [...]}}."""
    service = KeyService(bench).start()
    try:
        out = {}
        for kind, (_, algorithm, _) in KEYS.items():
            both = measure.interleaved([lambda k=kind: service.sign(k, seconds), lambda a=algorithm: openssl_speed(bench, a, max(1, round(seconds)))],
                                       rounds, lambda thing: thing())
            out[kind] = dict(zip(("sslgw-keysvc", "openssl speed"), both))
        return out
    finally:
        service.stop()


# ---- the caches

class Cache(measure.Family):
    """sslgw-cachesvc or redis-server, without TLS and with nothing on disk."""

    def __init__(self, name, bench, memory=16 << 30):
        super().__init__(name, bench)
        self.port, self.memory = measure.free_ports(1)[0], memory

    def command(self):
        if self.name == "sslgw-cachesvc":
            measure.write(f"{self.dir}/cachesvc.conf", f'listen = [ "127.0.0.1:{self.port}" ];\nmax_memory = "{self.memory >> 20}M";\n')
            return [f"{self.bench.build}/sslgw-cachesvc", "-c", f"{self.dir}/cachesvc.conf"]
        program = self.bench.program("redis-server")
        if program is None:
            program = f"{self.dir}/redis-server"
            if not os.path.exists(program):
                os.symlink(REDIS_PROGRAM, program)
        return [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.dir, "--maxmemory",
                str(self.memory), "--maxmemory-policy", "allkeys-lru"]

    def start(self):
        return self.launch([self.command()], [self.port])

    def benchmark(self, verb, size, pipeline, names, n):
        """By redis-benchmark: ops, and CPU time of the server from before to after."""
        def run(look):
            before = look()
            got = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", str(CLIENTS), "-P", str(pipeline), "-n", str(n), "-d", str(size),
                                  "-r", str(names), "-t", verb, "--csv"], capture_output=True, text=True, preexec_fn=self.bench.aside, check=False)
            last = got.stdout.strip().split("\n")[-1].split(",")
            if got.returncode or len(last) < 2:
                return {"fails": (got.stderr or got.stdout)[-200:]}, None, None
            return {"ops": n, "rate": float(last[1].strip('"'))}, before, look()
        return self.bench.undisturbed(self, run)

    def fill(self, size, start, end):
        """The names that redis-benchmark asks for, from start to end."""
        value = b"$%d\r\n%s\r\n" % (size, b"v" * size)
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            reader = s.makefile("rb")
            for at in range(start, end, BATCH):
                n = min(BATCH, end - at)
                s.sendall(b"".join(b"*5\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n%s$2\r\nPX\r\n$8\r\n36000000\r\n" % (i, value) for i in range(at, at + n)))
                if reader.read(5 * n) != b"+OK\r\n" * n:
                    sys.exit(f"bench: {self.name} does not take sessions")


    def entries(self):
        got = subprocess.run(["redis-cli", "-p", str(self.port), "DBSIZE"], capture_output=True, text=True, check=True)
        return int(got.stdout.split()[-1])


def both_caches(bench, **more):
    return [Cache(name, bench, **more).start() for name in ("sslgw-cachesvc", "redis-server")
            if name != "redis-server" or os.access(REDIS_PROGRAM, os.X_OK) or bench.program("redis-server")]


def caches(bench, rounds, operations):
    """{"verb size pipeline": {server: [...]}}."""
    servers, out = both_caches(bench), {}
    try:
        for size in (200, 2048):
            for server in servers:
                server.fill(size, 0, NAMES)
            for verb, of_size, pipeline in COMMANDS:
                if of_size == size:
                    n = operations * (4 if pipeline > 1 else 1)
                    got = measure.interleaved(servers, rounds, lambda s, v=verb, p=pipeline, n=n: s.benchmark(v, size, p, NAMES, n))
                    out[f"{verb} {size} {pipeline}"] = dict(zip((s.name for s in servers), got))
    finally:
        for server in servers:
            server.stop()
    return out


def stored(bench):
    """{size: {server: bytes for a session}}: with its name of 16 bytes and its end of life, in a cache that is full, so that what a
    service sets aside for its index counts as it does in use."""
    out = {}
    for size in (200, 2048):
        for server in both_caches(bench, memory=STORED_MEMORY):
            before = server.memory_kib()
            server.fill(size, 0, STORED_MEMORY // (size + 100))
            out.setdefault(str(size), {})[server.name] = (server.memory_at_rest_kib() - before) * 1024 / server.entries()
        for server in [f for f in bench.running if isinstance(f, Cache)]:
            server.stop()
    return out


def cache_growth(bench, rounds):
    """As growth.series()."""
    servers, out = both_caches(bench), {}
    try:
        have = 0
        for points in CACHE_POINTS:
            for server in servers:
                server.fill(200, have, points)
            have = points
            got = measure.interleaved(servers, rounds, lambda s, n=points: s.benchmark("get", 200, 16, n, 400000))
            for server, measurements in zip(servers, got):
                out.setdefault(server.name, {})[str(points)] = measurements
    finally:
        for server in servers:
            server.stop()
    return {"points": list(CACHE_POINTS), "fronts": out}


# ---- what they come to

def keys_table(results):
    lines = ["| signatures over mutual TLS | CPU µs | openssl speed | share of it | at least | a second, by the clock |", "|---|---:|---:|---:|---:|---:|"]
    for kind, got in results.items():
        name, _, target = KEYS[kind]
        ours, theirs = got["sslgw-keysvc"], got["openssl speed"]
        rate = sorted(g["ops"] / g["wall"] for g in ours if "wall" in g)
        lines.append(f"| {name} | {measure.median(ours):.1f} | {measure.median(theirs):.1f} | {measure.ratio(theirs, ours):.0%} | {target:.0%} | "
                     f"{rate[len(rate) // 2]:,.0f} |")
    return lines


def caches_table(results):
    lines = ["| command, value, pipeline | sslgw-cachesvc µs | redis-server µs | ratio |", "|---|---:|---:|---:|"]
    for row, got in results.items():
        verb, size, pipeline = row.split()
        ours, theirs = got["sslgw-cachesvc"], got.get("redis-server", [])
        r = measure.ratio(ours, theirs)
        lines.append(f"| {verb.upper()}, {int(size):,} B, {pipeline} | {measure.median(ours):.2f} | " +
                     (f"{measure.median(theirs):.2f} | {r:.2f} |" if r else "– | – |"))
    return lines


def stored_table(results):
    lines = ["| bytes of a session | sslgw-cachesvc | redis-server | ratio |", "|---|---:|---:|---:|"]
    for size, got in results.items():
        ours, theirs = got["sslgw-cachesvc"], got.get("redis-server")
        lines.append(f"| {int(size):,} | {ours:.0f} | " + (f"{theirs:.0f} | {ours / theirs:.2f} |" if theirs else "– | – |"))
    return lines
