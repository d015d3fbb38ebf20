"""measure.py: what is measured: a front or a service as a family of processes on cores of its own, the bench around
it (certificates, back-end, load generator), and one measurement of it."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
GROUPS = ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/memory")
FILES = 65536  # descriptors: as many as may be had up to this
POLL = 0.05  # seconds between two looks at what is waited for
REST = 1.5  # seconds without a change: memory is at rest


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def below(root):
    """The process and all below it."""
    children, todo, found = {}, [root], []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = read(f"/proc/{name}/stat")
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class NotStarted(Exception):
    pass


class Family:
    """Programs and all that they start: on the front's cores, in control groups of their own where there are such."""

    def __init__(self, name, bench, cores=None):
        self.name, self.bench, self.cores = name, bench, cores or {bench.front_core}
        self.kind = "sslgw" if name == "before" else name
        self.processes, self.groups = [], []
        bench.families += 1
        self.dir = f"{bench.dir}/{bench.families}-{name}"
        os.makedirs(self.dir, mode=0o755)

    def into_place(self):
        os.setsid()
        os.sched_setaffinity(0, self.cores)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.bench.files, self.bench.files))
        for group in self.groups:
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as f:
                f.write("0")

    def launch(self, commands, ports, seconds=20):
        """Until it listens on all ports; ours says besides when it is ready, which is later."""
        self.groups = [f"{g}/bench-{os.getpid()}-{os.path.basename(self.dir)}" for g in GROUPS]
        try:
            for group in self.groups:
                os.makedirs(group, exist_ok=True)
        except OSError:
            self.groups = []
        began = time.monotonic()
        with open(f"{self.dir}/out", "wb") as out:
            for command in commands:
                self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                       preexec_fn=self.into_place))
        self.bench.running.append(self)
        def until(there, what):
            while not there():
                if time.monotonic() - began > seconds or any(p.poll() is not None for p in self.processes):
                    raise NotStarted(f"{self.name} {what}:\n" + read(f"{self.dir}/out")[-2000:])
                time.sleep(POLL)
        for port in ports:
            until(lambda p=port: self.listens(p), f"does not answer on port {port}")
        if self.kind.startswith("sslgw"):
            until(lambda: read(f"{self.dir}/out").count("ready:") >= len(commands), "is not ready")
        self.start_seconds = time.monotonic() - began
        return self

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self in self.bench.running:
            self.bench.running.remove(self)
        for p in self.processes:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                for pid in below(p.pid):
                    os.kill(pid, signal.SIGKILL)
                p.wait(5)
        self.processes = []
        for group in self.groups:
            try:
                os.rmdir(group)
            except OSError:
                pass

    def pids(self):
        return [pid for p in self.processes for pid in below(p.pid)]

    def cpu(self):
        """Seconds of all of it."""
        if self.groups:
            return int(read(f"{self.groups[0]}/cpuacct.usage")) / 1e9
        total = 0
        for pid in self.pids():
            try:
                total += sum(int(x) for x in read(f"/proc/{pid}/stat").rpartition(")")[2].split()[11:15])
            except OSError:
                pass
        return total / TICK

    def memory_at_rest_kib(self, seconds=5):
        """When it has not changed for REST: fronts and the kernel give back what a load took some time after it."""
        end, last, since = time.monotonic() + seconds, self.memory_kib(), time.monotonic()
        while time.monotonic() < min(since + REST, end):
            time.sleep(POLL)
            now = self.memory_kib()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def memory_kib(self):
        """With the kernel's for its sockets, where there is a control group; else its own, proportionally shared."""
        if self.groups:
            return int(read(f"{self.groups[1]}/memory.usage_in_bytes")) / 1024
        total = 0
        for pid in self.pids():
            try:
                total += int(re.search(r"^Pss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M).group(1))
            except (OSError, AttributeError):
                pass
        return total


class Front(Family):
    """One front: its configuration from fronts/NAME.in (the floor has none). kinds: which of its ports; words: what the configuration says
    otherwise than that of the rows: WORKERS, SITES, ROUTES, SERVERS, IDLE."""
    PLAIN = {
        "nginx": {"WORKERS": 1, "SITES": "", "ROUTES": "location / { proxy_pass http://origin; }",
                  "SERVERS": "server 127.0.0.1:@ORIGIN@;", "IDLE": 512},
        "haproxy": {"IDLE": 512, "SERVERS": "server one 127.0.0.1:@ORIGIN@ pool-max-conn @IDLE@ pool-purge-delay 300s"},
        "hitch": {}, "floor": {},
        "sslgw": {"WORKERS": 1, "SITES": "", "ROUTES": '{ path = "/"; pool = "origin"; }',
                  "SERVERS": '{ address = "127.0.0.1:@ORIGIN@"; }', "IDLE": 512},
    }

    def __init__(self, name, program, bench, kinds=("rsa", "ecdsa", "stateful"), cores=None, **words):
        super().__init__(name, bench, cores)
        self.program, self.words = program, words
        self.kinds = [k for k in kinds if not (k == "stateful" and name == "hitch")]
        self.ports = dict(zip(("rsa", "ecdsa", "stateful", "remote"), free_ports(4)))

    def opens(self):
        """The kinds that it has a port for."""
        return [k for k in self.kinds if k != "remote" or self.kind == "sslgw"]

    def place(self, kind, options):
        """Where a kind is asked for, and how. Who has no remote keys signs by itself: the floor by P-256, since
        nothing less can stand for the question to a key server."""
        if kind != "remote" or self.kind == "sslgw":
            return self.ports[kind], options
        return (self.ports["ecdsa"], f"{options} --cert ecdsa") if self.kind == "floor" else (self.ports["rsa"], options)

    def keys(self, kind):
        """What our configuration says of private keys."""
        remote = self.bench.key_server
        if kind != "remote":
            return 'private_keys = [ "@CERTS@/@CERT@.key" ];'
        return f'''key_service = {{ servers = [ "127.0.0.1:{remote.port}" ]; identity = "{remote.pki}/gw1.pem";
	identity_key = "{remote.pki}/gw1.key"; ca_file = "{remote.pki}/ca.pem"; }};'''

    def fill(self, **more):
        log = self.bench.log
        words = {
            "DIR": self.dir, "CERTS": f"{self.bench.dir}/certs", "FILES": self.bench.files, "ORIGIN": self.bench.origin_port,
            "CONNECTIONS": self.bench.files // 2 - 500, **{k.upper(): v for k, v in self.ports.items()},
            "NGINX_LOG": f"{self.dir}/access.log combined buffer=32k flush=1s" if log else "off",
            "HAPROXY_LOG": "log stderr format raw local0" if log else "",
            "HAPROXY_DEFAULTS": "log global\n\toption httplog" if log else "no log",
            "SSLGW_LOG": f'access_log = {{ file = "{self.dir}/access.log"; format = "combined"; }};' if log else "",
            **self.PLAIN[self.kind], **self.words, **more}
        text = read(f"{HERE}/fronts/{self.kind}.in")
        for _ in range(2):  # what is filled in may have words in it
            text = re.sub(r"@(\w+)@", lambda m: str(words[m.group(1)]), text)
        return text

    def commands(self):
        """The programs to start, each with its configuration written."""
        if self.kind == "floor":  # it has none
            yield [self.program, str(self.bench.origin_port), f"{self.bench.dir}/certs", *(str(self.ports[k]) for k in ("rsa", "ecdsa", "stateful"))]
            return
        texts = {"": self.fill()} if self.kind != "sslgw" else {
            kind: self.fill(PORT=self.ports[kind], KEYS=self.keys(kind), CERT="ecdsa" if kind == "ecdsa" else "rsa",
                            RESUMPTION="stateful" if kind == "stateful" else "tickets") for kind in self.opens()}
        for kind, text in texts.items():
            file = f"{self.dir}/{self.name}{kind}.conf"
            write(file, text)
            yield {"nginx": [self.program, "-p", self.dir, "-c", file], "haproxy": [self.program, "-db", "-f", file],
                   "hitch": [self.program, f"--config={file}"], "sslgw": [self.program, "-c", file]}[self.kind]

    def start(self, seconds=20):
        """On other ports where somebody took one of these meanwhile."""
        for attempt in range(5):
            for port in self.ports.values():
                for what in ("state", "run"):
                    os.makedirs(f"{self.dir}/{what}-{port}", mode=0o700, exist_ok=True)
            try:
                return self.launch(list(self.commands()), [self.ports[k] for k in self.opens()], seconds)
            except NotStarted as why:
                self.stop()
                if "in use" not in str(why) or attempt == 4:
                    raise
                self.ports = dict(zip(self.ports, free_ports(len(self.ports))))


class Bench:
    """What is around the fronts. log: they write access logs."""

    def __init__(self, build, noise=0.05, before=None):
        self.build, self.before, self.noise, self.log = build, before, noise, False
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            sys.exit("bench: two cores are needed: one for the front, one for the load")
        self.front_core, self.load_cores, self.cores = cores[0], set(cores[1:]), set(cores)
        self.files = min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        self.dir = tempfile.mkdtemp(prefix="sslgw-bench.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.origin_port, self.origin = free_ports(1)[0], None
        self.key_server = None  # beside the load, where a row wants it
        self.running, self.families, self.repeats = [], 0, 0

    @staticmethod
    def program(name):
        """A peer's: from the environment (./dev bench unpacks it), else installed. None: not here."""
        found = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name, path="/usr/sbin:/usr/bin")
        return found if found and os.access(found, os.X_OK) else None

    def front(self, name, **more):
        """None: not here, and said once."""
        ours = {"sslgw": f"{self.build}/sslgw", "before": f"{self.before}/sslgw", "floor": f"{self.build}/bench/floor"}
        program = ours.get(name) or self.program(name)
        if program is None:
            print(f"bench: no {name} here: left out", file=sys.stderr)
            return None
        return Front(name, program, self, **more)

    def certificates(self):
        os.mkdir(f"{self.dir}/certs", 0o755)
        for kind, how in (("rsa", ["rsa:2048"]), ("ecdsa", ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])):
            stem = f"{self.dir}/certs/{kind}"
            subprocess.run(["openssl", "req", "-x509", "-newkey", *how, "-nodes", "-days", "30", "-subj", "/CN=bench.test", "-addext",
                            "subjectAltName=DNS:bench.test", "-keyout", f"{stem}.key", "-out", f"{stem}.crt"], check=True, capture_output=True)
            os.chmod(f"{stem}.key", 0o600)
            write(f"{stem}.pem", read(f"{stem}.crt") + read(f"{stem}.key"), 0o600)

    def start(self, servers=500):
        self.certificates()
        self.origin = subprocess.Popen([f"{self.build}/bench/origin", str(self.origin_port), str(servers)], preexec_fn=self.aside)
        return self

    def aside(self):
        """For what is not measured."""
        os.sched_setaffinity(0, self.load_cores)

    def stop(self):
        for family in list(self.running):
            family.stop()
        if self.origin:
            self.origin.kill()
            self.origin.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- one measurement
    def busy(self, cores):
        """Seconds that anybody used these cores, and those that another guest took."""
        total = 0
        for core in cores:
            fields = [int(x) for x in re.search(rf"^cpu{core} (.*)$", read("/proc/stat"), re.M).group(1).split()]
            total += sum(fields[:8]) - fields[3] - fields[4]
        return total / TICK

    def generate(self, command, look, held=lambda: None):
        """What a generator of ours says, with what look() said before and after."""
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              bufsize=1, preexec_fn=self.aside) as p:
            if p.stdout.readline().strip() != "READY":
                return {"fails": p.stderr.read().strip()}, None, None
            before = look()
            p.stdin.write("go\n")
            line = p.stdout.readline()
            if line.strip() == "HELD":
                held()
                p.stdin.write("end\n")
                line = p.stdout.readline()
            after = look()
            try:
                return json.loads(line), before, after
            except ValueError:
                return {"fails": p.stderr.read().strip()}, None, None

    def load(self, port, options, seconds, look, held=lambda: None):
        return self.generate([f"{self.build}/bench/load", "--ports", str(port), "--seconds", str(seconds), *options.split()], look, held)

    def undisturbed(self, family, run):
        """run(look) up to three times, until others leave the family's cores alone; the best of them, with its CPU time."""
        best = None
        for attempt in range(3):
            got, before, after = run(lambda: (family.cpu(), self.busy(family.cores), time.monotonic()))
            if "fails" in got or not got["ops"]:
                return {"fails": got.get("fails") or got.get("error") or "nothing was done"}
            got["cpu"] = after[0] - before[0]
            got["unit"] = got["cpu"] / got["ops"] * 1e6
            got["others"] = max(0.0, after[1] - before[1] - got["cpu"]) / (after[2] - before[2])
            if best is None or got["others"] < best["others"]:
                best = got
            # Where the load shares the cores its own time is no noise.
            if best["others"] < self.noise or family.cores & self.load_cores:
                break
            self.repeats += attempt < 2
        return best


def interleaved(things, rounds, measure):
    """[measure(thing) of each round] of each thing; the order rotates, and turns round."""
    out = [[] for _ in things]
    numbers = list(range(len(things)))
    for n in range(rounds):
        order = numbers[n % len(things):] + numbers[:n % len(things)]
        for i in reversed(order) if n % 2 else order:
            out[i].append(measure(things[i]))
            print(".", end="", file=sys.stderr, flush=True)
    print(f"\r{' ' * 79}\r", end="", file=sys.stderr)
    return out


def units(got):
    return [g["unit"] for g in got if g and g.get("unit")]


def median(got):
    return statistics.median(units(got)) if units(got) else None


def ratio(mine, reference):
    """Within each round; of the rounds the median. None: there is none."""
    both = [a["unit"] / b["unit"] for a, b in zip(mine, reference) if a and b and a.get("unit") and b.get("unit")]
    return statistics.median(both) if both else None


def failures(got):
    return [g["fails"] for g in got if g and "fails" in g]
