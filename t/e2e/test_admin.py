"""The admin address: pages, metrics, commands, sslgwctl status; and callers that mean no good."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from bed import client, gateway as bed_gateway, wait

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? '
                    r'(-?[0-9.eE+-]+|NaN|[+-]Inf)$')


def http(at, text, seconds=10):
    """Raw bytes to a TCP address ("HOST:PORT") or a socket's path; all that comes back."""
    if at.startswith("/"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(seconds)
        s.connect(at)
    else:
        host, port = at.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), seconds)
    with s:
        s.sendall(text.encode())
        out = b""
        while piece := s.recv(65536):
            out += piece
    return out.decode()


def get(at, path, host="localhost"):
    head, _, body = http(at, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").partition("\r\n\r\n")
    return int(head.split()[1]), body


def metrics(at):
    """Checked against the text format 0.0.4 as promtool does: {name{labels}: value}."""
    status, text = get(at, "/metrics")
    assert status == 200 and text.endswith("\n")
    out, types, helps, over, current = {}, {}, set(), set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helps, f"two HELP lines: {line}"
            assert len(line.split(" ", 3)[3]) > 5, f"no help: {line}"
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helps and name not in types and kind in ("counter", "gauge")
            types[name] = kind
        else:
            found = SAMPLE.match(line)
            assert found, f"no sample: {line!r}"
            name = found.group(1)
            assert name in types, f"no TYPE before {line}"
            if name != current:
                assert name not in over, f"{name} is not in one piece"
                over.add(current)
                current = name
            assert (types[name] == "counter") == name.endswith("_total"), f"{name} is a {types[name]}"
            key = name + (found.group(2) or "")
            assert key not in out, f"twice: {key}"
            out[key] = float(found.group(4))
    return out


class Service:
    """sslgw-keysvc or sslgw-cachesvc by itself."""

    def __init__(self, bed, program, conf):
        self.log_file = f"{bed.folder}/{program}.log"
        self.name = program
        with open(f"{bed.folder}/{program}.conf", "w", encoding="utf-8") as f:
            f.write(conf)
        self.log = open(self.log_file, "wb")
        self.process = subprocess.Popen([f"{bed.build}/{program}", "-c", f"{bed.folder}/{program}.conf"],
                                        stdout=self.log, stderr=self.log, env=bed_gateway.environment())
        bed.running.append(self)
        wait.until(lambda: "ready:" in self.output() or self.process.poll() is not None, 20, "the ready line")
        self.admin = re.search(r"admin http://(\S+)", self.output()).group(1)

    def output(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def logs(self):
        return {self.name: self.output()[-4000:]}

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0, self.output()
        self.log.close()
        assert not bed_gateway.TROUBLE.search(self.output()), self.output()


def ctl(bed, *words):
    return subprocess.run([f"{bed.build}/sslgwctl", *words], capture_output=True, text=True, timeout=30,
                          env=bed_gateway.environment())


def admin_of(g):
    return re.search(r"admin http://(\S+)", g.output()).group(1)


@pytest.fixture
def gw(bed):
    back = bed.backend()
    g = bed.gateway(bed.settings(back, admin={"address": "127.0.0.1:0"}))
    g.admin, g.socket = admin_of(g), f"{bed.folder}/run/admin.sock"
    return g


def ask(pki, g):
    subprocess.run(["curl", "-sk", "-o", "/dev/null", f"https://127.0.0.1:{g.port}/"], check=True, timeout=10)


def test_a_gateway_shows_its_figures(bed, gw, pki):
    assert get(gw.admin, "/healthz") == (200, "ok\n")
    assert get(gw.admin, "/ready")[0] == 200
    for _ in range(3):
        ask(pki, gw)
    found = wait.until(lambda: (m := metrics(gw.admin)) and m["sslgw_requests_total"] == 3 and m, 10, "three requests")
    assert found['sslgw_handshakes_total{kind="full"}'] == 3
    assert found['sslgw_workers{state="ready"}'] == 2
    assert found["sslgw_configuration_generation"] == 1
    assert found['sslgw_ended_total{reason="tls",fault="client"}'] == 0
    status = json.loads(get(gw.admin, "/status.json")[1])
    assert status["pid"] == gw.pid and status["ready"] and status["problems"] == []
    assert sorted(w["pid"] for w in status["workers"]) == gw.workers()
    assert status["key_servers"][0]["connected_workers"] == 2
    code, page = get(gw.admin, "/")
    assert code == 200 and "<h1>sslgw</h1>" in page and "<script" not in page and "http://" not in page


PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


@pytest.mark.long  # the package is large; metrics() asks for nearly as much each time
@pytest.mark.skipif(not PROMTOOL, reason="promtool is missing: ./dev check --all unpacks it")
def test_prometheus_finds_nothing_to_say_of_the_pages(bed, ctx):
    dead = f"127.0.0.1:{wait.free_port()}"
    check = {"path": "/", "interval": "100ms", "fall": 1, "rise": 1}
    pools = [{"name": 'od"d \\ name', "health_check": check, "servers": [{"address": bed.backend().address}, {"address": dead}]},
             {"name": "main", "servers": [{"address": dead, "weight": 0}, {"address": bed.backend().address}]}]
    g = bed.gateway(bed.settings(pools=pools, admin={"address": "127.0.0.1:0"}))
    with client.Client(g.port, ctx()) as c:
        assert c.get("/").status == 200
    admin = 'admin = { address = "127.0.0.1:0"; };\n'
    services = [Service(bed, "sslgw-cachesvc", f'listen = [ "unix:{bed.folder}/cache.sock" ];\n{admin}'),
                Service(bed, "sslgw-keysvc", f'listen = [ "unix:{bed.folder}/key.sock" ];\nkeys = [ "{bed.pki.leaf("k.example").key_file}" ];\n'
                        f'cluster_secret_file = "{bed.folder}/epoch";\n{admin}')]
    wait.until(lambda: f"server {dead} is down" in g.output(), 10, "the check")
    for at in [admin_of(g), f"{bed.folder}/run/admin.sock", *(s.admin for s in services)]:
        page = get(at, "/metrics")[1]
        got = subprocess.run([PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60)
        assert got.returncode == 0 and got.stdout + got.stderr == "", f"{at}: {got.stdout}{got.stderr}"
    # It would say so.
    got = subprocess.run([PROMTOOL, "check", "metrics"], input=page + page, capture_output=True, text=True, timeout=60)
    assert got.returncode != 0


def test_names_of_others_and_posts_are_refused(gw):
    assert get(gw.admin, "/metrics", "evil.example.com")[0] == 403
    answer = http(gw.admin, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\ndrain")
    assert answer.startswith("HTTP/1.1 405 ")
    assert gw.process.poll() is None and get(gw.admin, "/ready")[0] == 200


def test_commands_reload_and_drain(bed, gw, pki):
    before = gw.workers()
    assert os.stat(gw.socket).st_mode & 0o777 == 0o600
    got = ctl(bed, "reload", gw.socket)
    assert got.returncode == 0, got.stdout + got.stderr
    wait.until(lambda: metrics(gw.socket).get("sslgw_configuration_generation") == 2, 20, "the second configuration")
    wait.until(lambda: len(gw.workers()) == 2 and not set(before) & set(gw.workers()), 20, "new workers")
    assert ctl(bed, "status", gw.socket).returncode == 0
    with open(gw.config_file, "a", encoding="utf-8") as f:
        f.write("nonsense = 1;\n")
    ctl(bed, "reload", gw.socket)
    found = wait.until(lambda: (r := ctl(bed, "status", gw.socket)).returncode == 1 and r, 10, "a refused reload")
    assert "the last reload was refused" in found.stdout
    assert ctl(bed, "nonsense").returncode == 2
    got = ctl(bed, "drain", gw.socket)
    assert got.returncode == 0 and "draining" in got.stdout
    assert gw.process.wait(15) == 0
    assert not os.path.exists(gw.socket)
    got = ctl(bed, "status", gw.socket)
    assert got.returncode == 3 and "is not there" in got.stdout
    gw.stop()


def test_a_socket_that_was_removed_is_made_again(bed, gw, pki):
    monitor = gw.monitor()
    os.unlink(gw.socket)
    wait.until(lambda: os.path.exists(gw.socket), 10, "the socket")
    assert os.stat(gw.socket).st_mode & 0o777 == 0o600
    wait.until(lambda: ctl(bed, "status", gw.socket).returncode == 0, 10, "an answer")
    assert f"somebody removed {gw.socket}" in gw.output()
    wait.until(lambda: gw.monitor() and gw.monitor() != monitor, 10, "another monitor")
    assert get(gw.admin, "/ready")[0] == 200
    ask(pki, gw)
    assert ctl(bed, "reload", gw.socket).returncode == 0
    wait.until(lambda: metrics(gw.socket).get("sslgw_configuration_generation") == 2, 20, "the second configuration")


def test_a_key_server_that_fails_is_told(bed, gw, pki):
    os.kill(gw.key_process(), signal.SIGSTOP)
    try:
        def troubled():
            subprocess.run(["curl", "-sk", "-m", "3", "-o", "/dev/null", f"https://127.0.0.1:{gw.port}/"], timeout=10)
            got = ctl(bed, "status", gw.admin)
            return got.returncode == 1 and "no key server can be asked" in got.stdout
        wait.until(troubled, 40, "that no key server can be asked")
    finally:
        os.kill(gw.key_process(), signal.SIGCONT)


def test_a_flood_on_the_admin_address_leaves_the_service_alone(bed, gw, pki):
    host, port = gw.admin.split(":")
    held = []
    for i in range(300):
        s = socket.create_connection((host, int(port)), 5)
        s.sendall([b"GET / HT", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   b"\x16\x03\x01" + b"x" * 900, b"POST /command HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n"][i % 4])
        held.append(s)
    start = time.monotonic()
    for _ in range(10):
        ask(pki, gw)
    assert time.monotonic() - start < 10
    assert get(gw.socket, "/ready")[0] == 200
    for s in held:
        s.close()
    wait.until(lambda: get(gw.admin, "/healthz")[0] == 200, 20, "the admin address after the flood")
    assert len(gw.monitor()) == 1 and "ended" not in gw.output()


def test_the_cache_shows_its_figures(bed):
    sock = f"{bed.folder}/cache-admin.sock"
    s = Service(bed, "sslgw-cachesvc", f'listen = [ "unix:{bed.folder}/cache.sock" ];\n'
                f'admin = {{ address = "127.0.0.1:0"; socket = "{sock}"; }};\n')
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(f"{bed.folder}/cache.sock")
        c.sendall(b"*5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n$2\r\nEX\r\n$3\r\n100\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
                  b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n")
        wait.until(lambda: metrics(s.admin)["sslgw_cachesvc_misses_total"] == 1, 10, "a miss")
        found = metrics(s.admin)
        assert found["sslgw_cachesvc_hits_total"] == 1 and found["sslgw_cachesvc_entries"] == 1
        assert found["sslgw_cachesvc_connections"] == 1
    for _ in range(2):
        os.unlink(sock)
        wait.until(lambda: os.path.exists(sock), 10, "the socket is made again")
    got = ctl(bed, "status", "--json", sock, s.admin)
    assert got.returncode == 0, got.stdout
    assert [x["role"] for x in json.loads(got.stdout)] == ["cachesvc", "cachesvc"]
    assert ctl(bed, "reload", sock).returncode == 0
    assert ctl(bed, "drain", sock).returncode == 0
    assert s.process.wait(10) == 0


def test_the_key_service_shows_its_figures_and_takes_epoch_commands(bed):
    sock = f"{bed.folder}/key-admin.sock"
    leaf = bed.pki.leaf("keys.example.com", kind="ec")
    s = Service(bed, "sslgw-keysvc", f'listen = [ "unix:{bed.folder}/key.sock" ];\nkeys = [ "{leaf.key_file}" ];\n'
                f'cluster_secret_file = "{bed.folder}/epoch";\n'
                f'admin = {{ address = "127.0.0.1:0"; socket = "{sock}"; }};\n')
    found = metrics(s.admin)
    assert found["sslgw_keysvc_keys"] == 1 and found["sslgw_keysvc_epochs_ready"] == 1
    assert found['sslgw_keysvc_operations_total{operation="signed"}'] == 0
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(f"{bed.folder}/key.sock")
        c.sendall(b"nonsense" * 8)
        wait.until(lambda: metrics(s.admin)['sslgw_keysvc_refusals_total{reason="format_errors"}'] >= 1, 10, "a refusal")
    os.unlink(sock)
    wait.until(lambda: os.path.exists(sock) and get(sock, "/ready")[0] == 200, 10, "the socket is made again")
    assert os.stat(sock).st_mode & 0o777 == 0o600 and f"somebody removed {sock}: made again" in s.output()
    show = http(sock, "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nepoch\nshow")
    assert show.startswith("HTTP/1.1 200 ") and "generations:" in show
    wrong = http(sock, "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\nepoch\nnonsense")
    assert wrong.startswith("HTTP/1.1 409 ")
    assert ctl(bed, "status", sock).returncode == 0
    assert ctl(bed, "reload", sock).returncode == 0
    assert ctl(bed, "drain", sock).returncode == 0
    assert s.process.wait(10) == 0


def test_an_address_that_cannot_be_had_stops_the_start(bed):
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        conf = f"{bed.folder}/c.conf"
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f'listen = [ "unix:{bed.folder}/x.sock" ];\nadmin = {{\n'
                    f'  address = "127.0.0.1:{taken.getsockname()[1]}";\n}};\n')
        got = subprocess.run([f"{bed.build}/sslgw-cachesvc", "-c", conf], capture_output=True, text=True, timeout=20,
                             env=bed_gateway.environment())
    assert got.returncode == 3 and "c.conf:3: admin.address" in got.stderr, got.stderr


def test_an_address_on_the_network_is_warned_about(bed):
    s = Service(bed, "sslgw-cachesvc", f'listen = [ "unix:{bed.folder}/cache.sock" ];\n'
                'admin = { address = "0.0.0.0:0"; };\n')
    assert "open to the network" in s.output()
