"""load.py: clients at a given rate, from the bench's own generator: half of them new, with full handshakes, half of them
back with a session that another gateway made; over TLS 1.3 with tickets and 1.2 with session ids; a request each."""
import json
import subprocess
import tempfile

KINDS = [(tls, resume) for tls in ("13", "12") for resume in ("none", "id")]
GIVEN_UP = 10.0  # seconds; then an operation counts as failed


class Load:
    """with Load(...) as load: ...; it goes on for `seconds`, and then what came of each handshake is in load.all."""

    def __init__(self, build, ports, ca_file, rate, seconds, hosts=("localhost", "stateful.localhost")):
        subprocess.run(["make", "-s", "-C", build, "bench/load"], check=True, stdout=subprocess.DEVNULL)
        self.folder = tempfile.TemporaryDirectory(prefix="sslgw-load.")
        self.lanes = [Lane(f"{self.folder.name}/{n}", resume != "none", [
            f"{build}/bench/load", "--op", "fetch", "--tls", tls, "--resume", resume, "--name", host, "--ca", ca_file,
            "--ports", ",".join(map(str, ports)), "--rate", str(2 * rate / len(KINDS) / len(hosts)), "--path", "/",
            "--connections", "200" if resume == "none" else "24", "--warm", "0" if resume == "none" else "1",
            "--patience", str(GIVEN_UP), "--seconds", str(seconds)])
            for n, ((tls, resume), host) in enumerate((k, h) for k in KINDS for h in hosts)]
        self.all, self.errors = [], []

    def __enter__(self):
        for lane in self.lanes:
            lane.start()
        for lane in self.lanes:
            lane.go()
        return self

    def __exit__(self, kind, *_):
        for lane in self.lanes:
            self.all += lane.end(kind is not None)
            self.errors += lane.errors
        self.folder.cleanup()

    def runs(self):
        return all(lane.process.poll() is None for lane in self.lanes)

    @property
    def failed(self):
        return [h for h in self.all if not h.good]

    def resumed_share(self, begin=0.0, end=1e9):
        back = [h for h in self.all if h.came_back and h.good and begin <= h.when < end]
        return sum(h.resumed for h in back) / len(back)

    def p99(self, begin, end, stalls):
        """Of those in whose time the machine did not stand still."""
        took = sorted(h.took for h in self.all if begin <= h.when < end and not stalls.during(h.when, h.when + h.took))
        assert len(took) >= 20, f"{len(took)} handshakes in {end - begin:.1f} s are too few; stalls: {stalls.all}"
        return took[int(0.99 * (len(took) - 1))]


class Handshake:
    def __init__(self, came_back, line):
        when, took, resumed, good = line.split()
        self.came_back, self.when, self.took = came_back, float(when), float(took)
        self.resumed, self.good = resumed == "1", good == "1"


class Lane:
    """One generator. Its clock is the monotonic one, as ours."""

    def __init__(self, each, come_back, argv):
        self.each, self.come_back, self.argv, self.errors = each, come_back, [*argv, "--each", each], []

    def start(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def go(self):
        said = self.process.stdout.readline()
        assert said == "READY\n", f"{said}{self.process.stderr.read()}"
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self, early):
        if early:
            self.process.kill()
        out, err = self.process.communicate(timeout=60)
        if early:
            return []
        told = json.loads(out)
        self.errors = [told["error"]] if told["error"] else []
        assert told["ops"] + told["errors"] > 0, err
        with open(self.each, encoding="ascii") as f:
            return [Handshake(self.come_back, line) for line in f]
