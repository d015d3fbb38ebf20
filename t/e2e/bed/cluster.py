"""cluster.py: a whole cluster on loopback: key servers, cache servers, gateways, each as a daemon with an
identity made by sslgwctl, and HAProxy in TCP mode, round robin, as the dumb balancer."""
import itertools
import json
import os
import shutil
import socket
import subprocess
import urllib.request

from . import daemon, gateway, wait
from .way import Way

KEY, CACHE = "sslgw-keysvc", "sslgw-cachesvc"


class Identities:
    """The cluster's CA and what it has issued, by sslgwctl."""

    def __init__(self, build, folder):
        self.ctl, self.folder = f"{build}/sslgwctl", str(folder)
        self.run("init", self.folder)
        self.ca_file = f"{self.folder}/ca.pem"

    def run(self, verb, *words):
        got = subprocess.run([self.ctl, "pki", verb, *words], capture_output=True, text=True, timeout=20, check=False)
        assert got.returncode == 0, f"sslgwctl pki {verb}: {got.stdout}{got.stderr}"
        return got.stdout

    def issue(self, name, role):
        """The three options that name it in a configuration."""
        self.run("issue", self.folder, name, "--role", role)
        return {"identity": f"{self.folder}/{name}.pem", "identity_key": f"{self.folder}/{name}.key",
                "ca_file": self.ca_file}


class Haproxy:
    """TCP mode, round robin: knows nothing of TLS. Health checks every 100 ms, as balancers have."""

    def __init__(self, folder, ports, binary=None):
        self.binary = binary or os.environ.get("HAPROXY") or shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        assert self.binary, "no haproxy here"
        self.folder, self.ports = str(folder), ports
        self.log_file = f"{self.folder}/haproxy.log"
        for _ in range(20):
            if self.start():
                return
        raise AssertionError("HAProxy did not start: " + self.logs()["haproxy"])

    def start(self):
        self.port = wait.free_port()
        servers = "".join(f"\tserver gw{n + 1} 127.0.0.1:{p} check inter 100ms fall 1 rise 1\n"
                          for n, p in enumerate(self.ports))
        with open(f"{self.folder}/haproxy.cfg", "w", encoding="ascii") as f:
            f.write("global\n\tmaxconn 2000\ndefaults\n\tmode tcp\n\ttimeout connect 1s\n\ttimeout client 60s\n"
                    "\ttimeout server 60s\n\tretries 3\n\toption redispatch\n"
                    f"frontend tls\n\tbind 127.0.0.1:{self.port}\n\tdefault_backend gateways\n"
                    f"backend gateways\n\tbalance roundrobin\n{servers}")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([self.binary, "-db", "-f", f"{self.folder}/haproxy.cfg"], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

        def settled():
            if self.process.poll() is not None:
                return True
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        wait.until(settled, 10, "HAProxy answers or ends")
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def logs(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return {"haproxy": f.read()[-3000:]}


def samples(text):
    """A page of /metrics as {name with labels: value}."""
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            out[name] = float(value)
    return out


class Cluster:
    """start() starts all; parts are at .keys, .caches, .gateways, .balancer. `ways`: a Way in front of each
    service; `fields` of a site's settings and whole parts can be given."""

    def __init__(self, bed, backend, gateways=3, keys=2, caches=2, ways=False, sites=None, more=None, groups=("default",),
                 resumption="tickets", balancer=True, workers=1):
        self.bed, self.folder = bed, f"{bed.folder}/cluster"
        os.makedirs(self.folder, mode=0o711, exist_ok=True)
        self.ids = Identities(bed.build, f"{self.folder}/pki")
        self.sites = sites or [bed.site(resumption=resumption)]
        self.ways, self.with_balancer, self.balancer = [], balancer, None
        key_files = dict.fromkeys(bed.pki.keys[c] for s in self.sites for c in s["certificates"])
        key_ports = [wait.free_port() for _ in range(keys)]
        cache_ports = [wait.free_port() for _ in range(caches)]
        self.keys = [self.key_server(n, key_ports, list(key_files), groups) for n in range(keys)]
        self.caches = [self.cache_server(n, cache_ports[n]) for n in range(caches)]
        self.key_ways, self.cache_ways = ([self.way(p) for p in ports] if ways else [] for ports in (key_ports, cache_ports))
        seen = {"key": [w.port for w in self.key_ways] or key_ports, "cache": [w.port for w in self.cache_ways] or cache_ports}
        self.gateways = [self.gateway(n, backend, seen, more or {}, workers) for n in range(gateways)]

    def way(self, port):
        self.ways.append(w := Way(port))
        self.bed.running.append(w)
        return w

    def part(self, name):
        folder = f"{self.folder}/{name}"
        os.makedirs(f"{folder}/state", mode=0o700, exist_ok=True)
        os.makedirs(f"{folder}/run", mode=0o711, exist_ok=True)
        os.chmod(folder, 0o711)
        return folder

    def admin(self, folder):
        return {"address": f"127.0.0.1:{wait.free_port()}", "socket": f"{folder}/run/admin.sock"}

    def key_server(self, n, ports, key_files, groups):
        name = f"ks{n + 1}"
        folder = self.part(name)
        return self.add(daemon.Daemon(self.bed.build, folder, KEY, name, {
            "listen": [f"127.0.0.1:{ports[n]}"], **self.ids.issue(name, "keysvc"), "keys": key_files,
            "cluster_secret_file": f"{folder}/state/epoch",
            "peers": [f"127.0.0.1:{p}" for p in ports if p != ports[n]],
            "callers": [{"name": "gw*", "networks": ["127.0.0.0/8"], "keys": ["*"], "groups": list(groups),
                         "allow": ["tls-sign", "epoch-keys", "keys"]}],
            "admin": self.admin(folder)}))

    def cache_server(self, n, port):
        name = f"cs{n + 1}"
        folder = self.part(name)
        return self.add(daemon.Daemon(self.bed.build, folder, CACHE, name, {
            "listen": [f"127.0.0.1:{port}"], **self.ids.issue(name, "cachesvc"), "max_memory": "64M",
            "admin": self.admin(folder)}))

    def gateway(self, n, backend, seen, more, workers):
        name = f"gw{n + 1}"
        folder = self.part(name)
        identity = self.ids.issue(name, "gateway")
        address = backend[n] if isinstance(backend, (list, tuple)) else backend
        settings = {
            "workers": workers,
            "listeners": [{"address": f"127.0.0.1:{wait.free_port()}"}],
            "sites": self.sites,
            "pools": [{"name": "main", "servers": [{"address": address}]}],
            "key_service": {"servers": [f"127.0.0.1:{p}" for p in seen["key"]], **identity},
            "session_cache": {"servers": [f"127.0.0.1:{p}" for p in seen["cache"]], **identity},
            "access_log": {"file": f"{folder}/{name}.access", "format": "combined"},
            "runtime_dir": f"{folder}/run", "state_dir": f"{folder}/state",
            "admin": self.admin(folder), **more}
        return self.add(gateway.Gateway(self.bed.build, folder, settings, name=name))

    def add(self, thing):
        self.bed.running.append(thing)
        return thing

    def start(self):
        for part in (*self.keys, *self.caches, *self.gateways):
            part.start()
        if self.with_balancer:
            self.balancer = self.add(Haproxy(self.folder, [g.port for g in self.gateways]))
        return self

    # ---- what it says of itself
    def metrics(self, part):
        address = part.settings["admin"]["address"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as got:
            return samples(got.read().decode())

    def status(self, part):
        with urllib.request.urlopen(f"http://{part.settings['admin']['address']}/status.json", timeout=5) as got:
            return json.load(got)

    def total(self, parts, start):
        """The sum of all samples whose name begins so."""
        return sum(v for p in parts for n, v in self.metrics(p).items() if n.startswith(start))

    def ports(self):
        """Round robin without a balancer, as rotating DNS does it."""
        return itertools.cycle([g.port for g in self.gateways])
