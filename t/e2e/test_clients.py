"""The clients that people use, each through the gateway to a back-end of ours: kept connections, bodies of unknown length,
events one by one, a session resumed, a certificate of its own, and a tunnel where it has them."""
import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from bed import backend, chat, client, node as node_module, wait

HERE = os.path.dirname(os.path.abspath(__file__))
BIG = bytes(range(256)) * 4096
BODY = os.urandom(300000)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Site:
    """What the clients ask: see script(). An event is sent when the client has said that the one before is there."""

    def __init__(self, bed):
        self.back = bed.backend(script=self.script)
        self.told = [threading.Event() for _ in range(5)]
        self.report = None
        with open(f"{HERE}/clients/page.html", "rb") as f:
            self.page = f.read()

    def begin(self):
        for event in self.told:
            event.clear()
        self.report = None
        self.back.seen.clear()

    def script(self, connection):
        while (seen := connection.request()) is not None:
            path, _, rest = seen.target[1:].partition("/")
            if path == "events":
                self.events(connection)
            elif path == "big":
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-SHA256: %s\r\n\r\n" % sha256(BIG).encode())
                if seen.method != "HEAD":
                    for at in range(0, len(BIG), 100003):
                        part = BIG[at:at + 100003]
                        connection.send(b"%x\r\n" % len(part) + part + b"\r\n")
                    connection.send(b"0\r\n\r\n")
            elif path == "seen":
                self.told[int(rest)].set()
                connection.send(backend.answer())
            else:
                connection.send(self.answer(seen, path))

    def answer(self, seen, path):
        if path == "echo":
            how = seen.get("Transfer-Encoding") or seen.get("Content-Length")
            return backend.answer(f"{how} {sha256(seen.body)}".encode())
        if path == "mine":
            return backend.answer(seen.get("X-SSL-Client-S-DN", "nobody").encode())
        if path == "page":
            return backend.answer(self.page, fields=[("Content-Type", "text/html")])
        if path == "report":
            self.report = seen.body.decode()
        return backend.answer()

    def events(self, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n, told in enumerate(self.told):
            data = b"data: %d\n\n" % n
            connection.send(b"%x\r\n" % len(data) + data + b"\r\n")
            if not told.wait(10):
                return  # it has not come: cut short, which the client sees
        connection.send(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def world(shared):
    site = Site(shared)
    shared.running.append(talk := chat.Server())
    settings = shared.settings(
        site.back, access_log={"format": "json"},
        sites=[shared.site(routes=[{"path": "/", "pool": "main"}, {"path": "/chat", "pool": "chat"}],
                           client_certificate={"verify": "optional", "ca_file": shared.pki.client_ca.chain_file})])
    settings["pools"].append({"name": "chat", "servers": [{"address": talk.address}]})
    gw = shared.gateway(settings)
    gw.someone, gw.ca, gw.site = shared.pki.client("someone"), shared.pki.ca.chain_file, site
    return gw


@pytest.fixture
def gw(world):
    world.site.begin()
    world.lines_at = len(world.access())
    return world


def lines(gw, path):
    """What the access log says of the requests below a path."""
    def found():
        told = [json.loads(x) for x in gw.access()[gw.lines_at:]]
        return [x for x in told if x["target"].startswith(path)]
    return wait.until(found, 5, f"{path} in the log")


def kept_one_connection(gw, n=3):
    wait.until(lambda: len(lines(gw, "/kept")) == n, 5, "all lines")
    assert len({x["peer_port"] for x in lines(gw, "/kept")}) == 1


def resumed(gw, by="ticket"):
    """The second connection resumed the session of the first."""
    kept, again = lines(gw, "/kept")[0], lines(gw, "/resumed")[0]
    assert kept["resumed"] == "no" and again["resumed"] == by and kept["peer_port"] != again["peer_port"]


def verified(gw):
    mine = lines(gw, "/mine")[0]
    assert mine["client_verify"] == "SUCCESS" and "CN=someone" in mine["client_subject"]


def url(gw, path):
    return f"https://localhost:{gw.port}{path}"


def run(argv, timeout=60, **more):
    got = subprocess.run(argv, capture_output=True, timeout=timeout, check=False, **more)
    assert got.returncode == 0, f"{argv[0]} ended with {got.returncode}: {got.stdout[-2000:]}{got.stderr.decode(errors='replace')}"
    return got.stdout


# ---- curl, wget, requests

def curl(gw, *words, **more):
    return run(["curl", "--silent", "--show-error", "--fail", "--max-time", "30", "--cacert", gw.ca, *words], **more)


def test_curl(gw):
    assert curl(gw, *(url(gw, f"/kept/{n}") for n in range(3))) == b"ok" * 3
    kept_one_connection(gw)
    assert curl(gw, url(gw, "/big")) == BIG
    assert f"x-sha256: {sha256(BIG)}" in curl(gw, "--head", url(gw, "/big")).decode().lower()
    # From a pipe: of unknown length, and curl asks before it sends.
    echo = curl(gw, "-X", "POST", "-H", "Expect: 100-continue", "-T", "-", url(gw, "/echo"), input=BODY)
    assert echo.decode() == f"chunked {sha256(BODY)}"
    assert curl(gw, "--cert", gw.someone.chain_file, "--key", gw.someone.key_file, url(gw, "/mine")).decode().startswith("CN=someone")
    verified(gw)


@pytest.mark.parametrize("version,by", [("1.2", "cache"), ("1.3", "ticket")])  # before 1.3 curl takes no tickets
def test_curl_resumes(gw, version, by):
    def visit():
        gw.lines_at = len(gw.access())
        curl(gw, "--tls-max", version, "-H", "Connection: close", url(gw, "/kept/0"), "--next", "--cacert", gw.ca, "--tls-max", version,
             "--silent", url(gw, "/resumed"))
        return lines(gw, "/kept") and lines(gw, "/resumed")[0]["resumed"] != "no"
    assert client.resumes(visit, 3 if by == "cache" else 1)
    resumed(gw, by)
    assert lines(gw, "/resumed")[0]["tls_version"] == f"TLSv{version}"


def test_curl_hears_events_one_by_one(gw):
    argv = ["curl", "--silent", "--no-buffer", "--max-time", "30", "--cacert", gw.ca, url(gw, "/events")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
        for n, told in enumerate(gw.site.told):
            assert p.stdout.readline() == f"data: {n}\n" and p.stdout.readline() == "\n"
            told.set()
        assert p.stdout.read() == "" and p.wait(10) == 0


def wget(gw, *words):
    return run(["wget", "--no-verbose", "--no-config", "--tries=1", "--timeout=30", f"--ca-certificate={gw.ca}", "-O", "-", *words])


def test_wget(gw, run_folder):
    assert wget(gw, *(url(gw, f"/kept/{n}") for n in range(3))) == b"ok" * 3
    kept_one_connection(gw)
    assert wget(gw, url(gw, "/big")) == BIG
    with open(f"{run_folder}/body", "wb") as f:
        f.write(BODY)
    assert wget(gw, f"--post-file={run_folder}/body", url(gw, "/echo")).decode() == f"{len(BODY)} {sha256(BODY)}"
    mine = wget(gw, f"--certificate={gw.someone.chain_file}", f"--private-key={gw.someone.key_file}", url(gw, "/mine"))
    assert mine.decode().startswith("CN=someone")
    verified(gw)


def test_requests(gw):
    with requests.Session() as s:
        s.verify, s.trust_env = gw.ca, False  # no CA or proxy of the environment
        for n in range(3):
            got = s.get(url(gw, f"/kept/{n}"), timeout=20)
            assert got.status_code == 200 and got.text == "ok"
        kept_one_connection(gw)
        assert s.get(url(gw, "/big"), timeout=20).content == BIG
        assert s.head(url(gw, "/big"), timeout=20).headers["X-SHA256"] == sha256(BIG)
        echo = s.post(url(gw, "/echo"), data=(BODY[at:at + 7001] for at in range(0, len(BODY), 7001)), timeout=20)
        assert echo.text == f"chunked {sha256(BODY)}"
        with s.get(url(gw, "/events"), stream=True, timeout=20) as got:
            heard = [x for x in got.iter_lines(chunk_size=1) if x and not gw.site.told[int(x[6:])].set()]
        assert heard == [b"data: %d" % n for n in range(5)]
        with requests.Session() as mine:
            mine.verify, mine.cert, mine.trust_env = gw.ca, (gw.someone.chain_file, gw.someone.key_file), False
            assert mine.get(url(gw, "/mine"), timeout=20).text.startswith("CN=someone")
    verified(gw)


# ---- Node

@pytest.fixture(scope="module")
def node(build):
    return node_module.Node(build)


@pytest.mark.parametrize("name", ["https", "undici"])
def test_node(gw, node, name):
    node.run("http.js", client=name, port=gw.port, ca=gw.ca, identity={"cert": gw.someone.chain_file, "key": gw.someone.key_file})
    kept_one_connection(gw)
    resumed(gw)
    verified(gw)


# ---- Java, Chromium: large, so only where they are (packages.txt, extra)

def test_java(gw, run_folder):
    if not shutil.which("javac"):  # a source file is run by what compiles it
        pytest.skip("no JDK here: apt-get install openjdk-17-jdk-headless")
    identity = f"{run_folder}/someone.p12"
    form = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1000).hmac_hash(hashes.SHA256()) \
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC).build(b"password")
    with open(identity, "wb") as f:
        f.write(pkcs12.serialize_key_and_certificates(b"me", gw.someone.key, gw.someone.cert, [a.cert for a in gw.someone.above], form))
    out = run(["java", "-XX:TieredStopAtLevel=1", f"{HERE}/clients/Client.java", str(gw.port), gw.ca, identity], timeout=120)
    assert out == b"good\n"
    kept_one_connection(gw)
    resumed(gw)
    verified(gw)
    wait.until(lambda: lines(gw, "/chat")[0]["status"] == 101, 5, "the tunnel's line")


class Chromium:
    """Headless, with a profile of its own; it trusts the keys of the site's certificates and nothing else."""

    def __init__(self, gw, leaves, folder):
        names = [base64.b64encode(hashlib.sha256(leaf.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()).decode() for leaf in leaves]
        self.log = open(f"{folder}/chromium.log", "wb")
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
             "--disable-dev-shm-usage", "--disable-component-update", f"--user-data-dir={folder}/profile",
             *(["--no-sandbox"] if os.getuid() == 0 else []),
             f"--ignore-certificate-errors-spki-list={','.join(names)}", url(gw, "/page")],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "HOME": folder})
        self.log_file = f"{folder}/chromium.log"

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.wait(10)
        self.log.close()

    def logs(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return {"Chromium": f.read()[-3000:]}


def test_chromium(gw, bed):
    if not shutil.which("chromium"):
        pytest.skip("no Chromium here: apt-get install chromium")
    bed.running.append(Chromium(gw, [bed.pki.leaf("localhost", kind=k) for k in ("rsa", "ec")], bed.folder))
    assert wait.until(lambda: gw.site.report, 60, "the page's report") == "good"
    kept_one_connection(gw)
    told = lines(gw, "/")
    assert {x["tls_version"] for x in told} == {"TLSv1.3"} and {x["protocol"] for x in told} == {"HTTP/1.1"}
    tunnel = lines(gw, "/chat")[0]
    assert tunnel["status"] == 101 and "reason" not in tunnel  # it ends as browsers end one: no accident
    wait.until(lambda: any(x["resumed"] == "ticket" for x in lines(gw, "/")), 5, "a browser's further connections resume its session")


def test_each_of_them_looks_whom_it_talks_to(gw):
    """Counter-proof: without the run's CA there is no connection."""
    status, _, error = client.curl(url(gw, "/kept/0"))
    assert status == 60, error
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url(gw, "/kept/0"), timeout=20)
    got = subprocess.run(["wget", "--tries=1", "--no-config", "-O", "-", url(gw, "/kept/0")], capture_output=True, timeout=30, check=False)
    assert got.returncode == 5
