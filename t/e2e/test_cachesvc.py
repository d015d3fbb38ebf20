"""The session cache as a service of its own: Redis's tools, the usual clients, Apache; AUTH and TLS; its store."""
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bed import cache as cache_module, cluster, node as node_module, proc, wait
from bed.cache import Cache, Resp, client_context, tool_words

PASSWORD = "correct horse battery staple"
NOAUTH = "NOAUTH Authentication required."
STAYS = "ERR a claim is set once, with NX and PX or EX, and stays until its end"


@pytest.fixture(scope="module")
def ids(shared):
    return cluster.Identities(shared.build, f"{shared.folder}/pki")


@pytest.fixture(scope="module")
def issued(ids):
    """role > the options that name an identity of it; made once."""
    made = {}

    def get(role, name=None):
        name = name or f"{role}1"
        if name not in made:
            made[name] = ids.issue(name, role)
        return made[name]
    return get


class Way:
    """How a client gets in: plain, by password, by certificate."""

    def __init__(self, name, cache, password=None, identity=None):
        self.name, self.cache, self.password, self.identity = name, cache, password, identity
        self.port = cache.port

    def resp(self):
        return Resp(self.port, password=self.password,
                    context=client_context(self.identity) if self.identity else None)

    def tool(self, program, *words, status=0):
        auth = ["-a", self.password] if self.password else []
        tls = tool_words(self.identity) if self.identity else []
        got = subprocess.run([program, "-h", "127.0.0.1", "-p", str(self.port), *auth, *tls, *words],
                             capture_output=True, text=True, timeout=60, check=False)
        assert got.returncode == status, f"{program} {words}: {got.stdout}{got.stderr}"
        return got.stdout


def password_file(bed, text=PASSWORD, name="password"):
    path = f"{bed.folder}/{name}"
    with open(path, "w", encoding="ascii") as f:
        f.write(text + "\n")
    return path


@pytest.fixture(scope="module", params=["plain", "auth", "tls"])
def way(request, shared, issued):
    if request.param == "plain":
        return Way("plain", Cache(shared, "plain").start())
    if request.param == "auth":
        return Way("auth", Cache(shared, "auth", password_file=password_file(shared)).start(), password=PASSWORD)
    return Way("tls", Cache(shared, "tls", issued("cachesvc")).start(), identity=issued("gateway"))


# ---- clients

def test_redis_cli(way):
    assert way.tool("redis-cli", "PING") == "PONG\n"
    assert way.tool("redis-cli", "SET", "cli", "value", "PX", "60000") == "OK\n"
    assert way.tool("redis-cli", "GET", "cli") == "value\n"
    assert way.tool("redis-cli", "SET", "cli", "other", "NX") == "\n"
    assert 0 < int(way.tool("redis-cli", "PTTL", "cli")) <= 60000
    assert way.tool("redis-cli", "GETDEL", "cli") == "value\n"
    assert way.tool("redis-cli", "KEYS", "*").startswith("ERR unknown command 'KEYS'")
    assert way.tool("redis-cli", "FLUSHALL").startswith("NOPERM ")
    assert "run_id:" in way.tool("redis-cli", "INFO", "server")
    assert way.tool("redis-cli", "-3", "PING").endswith("PONG\n")  # refused RESP3: goes on with what it has


def test_redis_benchmark(way):
    got = cache_module.requests_per_second(way.tool(
        "redis-benchmark", "-t", "ping,get,set", "-n", "5000", "-c", "20", "-P", "16", "-d", "200", "-r", "500", "-q"))
    assert {"SET", "GET"} <= set(got) and all(v > 0 for v in got.values()), got


def test_python_redis(way):
    tls = {"ssl": True, "ssl_ca_certs": way.identity["ca_file"], "ssl_certfile": way.identity["identity"],
           "ssl_keyfile": way.identity["identity_key"]} if way.identity else {}
    r = redis.Redis("127.0.0.1", way.port, password=way.password, client_name="try", socket_timeout=10, **tls)
    value = bytes(range(256))
    assert r.ping() and r.set("py", value, px=60000)
    assert r.get("py") == value
    assert r.set("py", b"other", nx=True) is None
    assert r.exists("py", "py", "none") == 2
    assert 0 < r.pttl("py") <= 60000 and r.ttl("py") == 60
    assert r.pexpire("py", 5000) and r.expire("py", 4) and r.pttl("py") <= 4000
    assert r.setex("py", 10, b"x") and r.getdel("py") == b"x" and r.get("py") is None
    assert r.delete("py") == 0 and r.echo("x") == b"x" and r.client_id() > 0
    assert len(r.info("server")["run_id"]) == 40 and r.info()["redis_version"]
    pipe = r.pipeline(transaction=False)
    for i in range(500):
        pipe.set(f"py:{i}", i, px=60000).get(f"py:{i}")
    assert pipe.execute()[1::2] == [str(i).encode() for i in range(500)]
    with pytest.raises(redis.ResponseError, match="unknown command"):
        r.keys("*")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        r.pipeline(transaction=True).set("a", 1).execute()
    r.close()


@pytest.fixture(scope="module")
def node(build):
    return node_module.Node(build)


@pytest.mark.parametrize("client", ["redis", "ioredis"])
def test_node(way, node, client):
    options = {"client": client, "port": way.port, "password": way.password}
    if way.identity:
        options["tls"] = {"ca": way.identity["ca_file"], "cert": way.identity["identity"],
                          "key": way.identity["identity_key"]}
    node.run("cache.js", **options)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_made_at_one_apache_resumes_at_the_other(bed, version):
    cache = Cache(bed).start()
    leaf = bed.pki.leaf("localhost", kind="ec")
    one, two = (cache_module.Apache(bed, cache.port, leaf, f"apache{n}") for n in (1, 2))
    context = ssl.create_default_context(cafile=bed.pki.ca.chain_file)
    context.minimum_version = context.maximum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    reused, session = one.get(context)
    assert not reused and int(cache.info()["stored_keys"]) >= 1
    reused, again = two.get(context, session)
    assert reused and int(cache.info()["keyspace_hits"]) >= 1
    reused, again = one.get(context, again)
    assert reused
    # The counter-proof: without what lies in the cache, nothing resumes, and all is served.
    cache.restart()
    reused, again = two.get(context, again)
    assert not reused
    cache.kill()
    assert not one.get(context, again)[0]


# ---- who may

def test_before_auth_nothing_runs_and_little_is_read(bed):
    cache = Cache(bed, password_file=password_file(bed)).start()
    with Resp(cache.port) as r:
        for words in (["GET", "k"], ["SET", "k", "v"], ["INFO"], ["DBSIZE"], ["FLUSHALL"], ["PING"], ["COMMAND"]):
            assert r.ask(*words) == NOAUTH
        assert r.ask("HELLO", "2").startswith("NOAUTH HELLO must be called")
        assert r.ask("HELLO", "3").startswith("NOPROTO")
        assert r.ask("AUTH", "wrong").startswith("WRONGPASS")
        assert r.ask("AUTH", "default", PASSWORD) == "OK"
        assert r.ask("SET", "k", "v" * 60000) == "OK"
    with Resp(cache.port) as r:  # AUTH by HELLO, as newer clients do it
        assert r.ask("HELLO", "2", "AUTH", "default", PASSWORD, "SETNAME", "me")[:2] == [b"server", b"sslgw-cachesvc"]
        assert r.ask("DBSIZE") == 1
    with Resp(cache.port) as r:  # the third wrong one closes
        for _ in range(3):
            assert r.ask("AUTH", "wrong").startswith("WRONGPASS")
        assert r.rest_until_end() == b""
    for data in (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000\r\n" + b"x" * 2000,
                 cache_module.command("AUTH", "x" * 2000), b"AUTH " + b"x" * 2000):
        with Resp(cache.port) as r:
            r.send(data)
            assert r.rest_until_end() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
    assert cache.info(password=PASSWORD)["auth_failures"] == "4"


def test_who_does_not_authenticate_holds_no_place(bed):
    """All places are taken by callers that say nothing: they go for others, and before long by themselves."""
    cache = Cache(bed, password_file=password_file(bed), connections=4).start()
    silent = [socket.create_connection(("127.0.0.1", cache.port), 10) for _ in range(4)]
    callers = [Resp(cache.port) for _ in range(3)]
    for r in callers:
        assert r.ask("AUTH", "default", PASSWORD) == "OK"
    with pytest.raises((OSError, EOFError)):  # one stranger is left, and then none
        for _ in range(2):
            extra = Resp(cache.port)
            assert extra.ask("AUTH", "default", PASSWORD) == "OK"
            callers.append(extra)
    assert all(r.ask("PING") == "PONG" for r in callers)
    wait.until(lambda: "all 4 connections are in use" in cache.output(), 5, "it is said")
    for s in silent:
        assert s.recv(1) == b""
        s.close()
    for r in callers:
        r.socket.close()
    s = socket.create_connection(("127.0.0.1", cache.port), 20)
    assert s.recv(1) == b"", "a silent one is not waited for"
    s.close()


def test_a_caller_that_is_cut_off_is_looked_for(bed):
    cache = Cache(bed).start()
    with Resp(cache.port) as r:
        assert r.ask("PING") == "PONG"
        held = subprocess.run(["ss", "-Htno", "state", "established", "sport", "=", f":{cache.port}"], capture_output=True, text=True, check=True)
        assert "timer:(keepalive," in held.stdout, held.stdout


def test_a_wrong_role_is_refused_by_an_alert(bed, issued, shared):
    cache = Cache(bed, identity=issued("cachesvc")).start()
    with Resp(cache.port, context=client_context(issued("gateway"))) as r:
        assert r.ask("SET", "k", "v") == "OK"
        assert r.ask("FLUSHALL").startswith("NOPERM ")
        first = r.info()["run_id"]
    with Resp(cache.port, context=client_context(issued("operator"))) as r:
        assert r.ask("GET", "k") == b"v"
        assert r.ask("FLUSHALL") == "OK" and r.ask("DBSIZE") == 0
        assert r.info()["run_id"] != first
    for role in ("keysvc", "cachesvc"):
        with pytest.raises(ssl.SSLError, match="alert|ALERT"):
            with Resp(cache.port, context=client_context(issued(role))) as r:
                r.ask("PING")
    stranger = cluster.Identities(shared.build, f"{bed.folder}/other-pki").issue("gw1", "gateway")
    with pytest.raises(ssl.SSLError, match="alert|ALERT"):
        with Resp(cache.port, context=client_context({**stranger, "ca_file": issued("gateway")["ca_file"]})) as r:
            r.ask("PING")
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.load_verify_locations(issued("gateway")["ca_file"])
    with pytest.raises(ssl.SSLError, match="alert|ALERT"):
        with Resp(cache.port, context=nobody) as r:
            r.ask("PING")
    with Resp(cache.port) as r:  # and without TLS nothing at all
        r.send(b"PING\r\n")
        assert b"PONG" not in r.rest_until_end()


def spki_of(identity):
    with open(identity["identity"], "rb") as f:
        key = x509.load_pem_x509_certificate(f.read()).public_key()
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER,
                                           serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def test_a_denied_identity_is_out_within_seconds(bed, issued):
    deny = f"{bed.folder}/deny"
    with open(deny, "w", encoding="ascii") as f:
        f.write("# none yet\n")
    cache = Cache(bed, identity=issued("cachesvc"), deny_file=deny).start()
    stolen, good = client_context(issued("gateway", "gw-stolen")), client_context(issued("gateway"))
    with Resp(cache.port, context=stolen) as r, Resp(cache.port, context=good) as other:
        assert r.ask("PING") == other.ask("PING") == "PONG"
        with open(deny, "a", encoding="ascii") as f:
            f.write(spki_of(issued("gateway", "gw-stolen")) + "\n")
        wait.until(r.ended, 6, "the stolen identity's connection is closed")
        assert other.ask("PING") == "PONG"
    with pytest.raises(ssl.SSLError):
        with Resp(cache.port, context=stolen) as r:
            r.ask("PING")


def test_plain_beside_tls_is_for_loopback(bed, issued):
    port = wait.free_port()
    cache = Cache(bed, identity=issued("cachesvc"), listen_plain=[f"127.0.0.1:{port}"]).start()
    with Resp(port) as plain, Resp(cache.port, context=client_context(issued("gateway"))) as tls:
        assert plain.ask("SET", "k", "v") == "OK" and tls.ask("GET", "k") == b"v"
    cache.stop()
    cache.settings["listen_plain"] = [f"0.0.0.0:{port}"]
    got = cache.check()
    assert got.returncode == 1 and "open to the network without TLS" in got.stderr
    cache.settings["allow_plain_network"] = True
    assert cache.check().returncode == 0
    cache.start()
    assert "is open to the network without TLS (allow_plain_network)" in cache.output()
    assert "add password_file" in cache.output()


@pytest.mark.root
def test_unix_sockets_serve_the_users_named(bed):
    path = f"{bed.folder}/cache.sock"
    cache = Cache(bed, listen=[f"unix:{path}"], user="nobody", caller_users=["root", "daemon"]).start()
    with Resp(path=path) as r:
        assert r.ask("SET", "k", "v") == "OK"
        assert r.ask("FLUSHALL") == "OK" and r.ask("DBSIZE") == 0  # root of this machine may
    say = ["redis-cli", "-s", path]
    as_user = ["setpriv", "--reuid", "daemon", "--regid", "daemon", "--clear-groups"]
    assert subprocess.run([*as_user, *say, "SET", "k", "v"], capture_output=True, text=True, timeout=20).stdout == "OK\n"
    got = subprocess.run([*as_user, *say, "FLUSHALL"], capture_output=True, text=True, timeout=20)
    assert got.stdout.startswith("NOPERM ")
    as_user[2] = as_user[4] = "www-data"
    got = subprocess.run([*as_user, *say, "GET", "k"], capture_output=True, text=True, timeout=20)
    assert "v" not in got.stdout.split() and got.returncode != 0
    assert proc.status(cache.pid, "Uid").split()[0] != "0"
    wait.until(lambda: "may not call here: name it in caller_users" in cache.output(), 5, "it is said")


# ---- the store

def test_entries_end_to_the_millisecond(bed):
    cache = Cache(bed).start()
    with Resp(cache.port) as r:
        asked = time.monotonic()
        assert r.ask("SET", "k", "v", "PX", "400") == "OK"
        stored = time.monotonic()
        last = asked
        while True:
            before = time.monotonic()
            got = r.ask("GET", "k")
            after = time.monotonic()
            if got is None:
                break
            last = before
        assert after - asked >= 0.4 - 0.001, "gone before its time"  # its clock counts milliseconds
        assert last - stored <= 0.4 + 0.002, "there after its time"
        # A claim too: within its time it is taken, then it is free.
        asked = time.monotonic()
        assert r.ask("SET", "claim:k", "1", "NX", "PX", "300") == "OK"
        stored = time.monotonic()
        last = asked
        while True:
            before = time.monotonic()
            got = r.ask("SET", "claim:k", "1", "NX", "PX", "300")
            after = time.monotonic()
            if got is not None:
                break
            last = before
        assert after - asked >= 0.3 - 0.001, "free before its time"
        assert last - stored <= 0.3 + 0.002, "taken after its time"


def test_a_flood_does_not_push_out_what_was_read(bed):
    cache = Cache(bed, max_memory="4M").start()
    with Resp(cache.port) as r:
        for i in range(500):
            assert r.ask("SET", f"used:{i}", "u" * 800, "EX", "3600") == "OK"
            assert r.ask("GET", f"used:{i}") == b"u" * 800
        for start in range(0, 20000, 100):
            r.send(b"".join(cache_module.command("SET", f"flood:{i}", "f" * 800, "EX", "3600")
                            for i in range(start, start + 100)))
            assert [r.reply() for _ in range(100)] == ["OK"] * 100  # never a refusal
        assert all(r.ask("EXISTS", f"used:{i}") == 1 for i in range(500))
        info = r.info()
    assert int(info["evicted_keys"]) > 10000 and info["evicted_keys_in_use"] == "0"
    assert int(info["used_memory"]) <= int(info["maxmemory"]) == 4 << 20


def test_claims_are_never_evicted_and_change_for_nobody(bed):
    cache = Cache(bed, max_memory="4M").start()
    with Resp(cache.port) as r:
        taken = 0
        while (got := r.ask("SET", f"claim:{taken}", "1", "NX", "PX", "600000")) == "OK":
            taken += 1
        assert got == "OOM command not allowed when used memory > 'maxmemory'." and taken > 1000
        for start in range(0, 10000, 100):
            r.send(b"".join(cache_module.command("SET", f"flood:{i}", "f" * 800) for i in range(start, start + 100)))
            assert [r.reply() for _ in range(100)] == ["OK"] * 100
        for words in (["DEL", "claim:0"], ["GETDEL", "claim:0"], ["PEXPIRE", "claim:0", "1"], ["EXPIRE", "claim:0", "0"],
                      ["SET", "claim:0", "2", "PX", "1000"], ["SETEX", "claim:0", "1", "2"], ["SET", "claim:0", "2"],
                      ["SET", "claim:new", "1", "NX"], ["DEL", "flood:1", "claim:0"]):
            assert r.ask(*words) in (STAYS, None), words
        assert all(r.ask("SET", f"claim:{i}", "1", "NX", "PX", "600000") is None for i in range(taken))
        info = r.info()
    assert int(info["claims"]) == taken and int(info["claims_memory"]) <= int(info["maxmemory"]) / 10
    # What rested on these claims has to notice that they are gone.
    first = info["run_id"]
    cache.restart()
    assert cache.info()["run_id"] != first and cache.info()["claims"] == "0"


# ---- the daemon

def test_exit_statuses_and_checks(bed, issued, build):
    cache = Cache(bed)
    program = f"{build}/sslgw-cachesvc"
    got = cache.check()
    assert (got.returncode, "good" in got.stdout) == (0, True)
    for settings, status, say in (
            ({"listen": ["127.0.0.1:1"], "password_file": "/nonexistent"}, 1, "password_file /nonexistent"),
            ({"listen": ["127.0.0.1:1"], "password_file": password_file(bed, "short", "short")}, 1, "8 to 255 bytes"),
            ({"listen": ["127.0.0.1:1"], **issued("cachesvc"), "identity": "/nonexistent.pem"}, 1, "/nonexistent.pem"),
            ({"listen": ["127.0.0.1:1"], **issued("cachesvc"), "identity_key": issued("gateway")["identity_key"]}, 1,
             "the key is not that of"),
            ({"listen": ["*:1"]}, 1, "allow_plain_network"), ({"listen": []}, 1, "nothing to listen on")):
        cache.settings = settings
        got = cache.check()
        assert got.returncode == status and say in got.stderr, (settings, got.stdout, got.stderr)
    assert subprocess.run([program, "--nonsense"], capture_output=True, timeout=20).returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cache.settings = {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}
        cache.write()
        got = subprocess.run([program, "-c", cache.config_file], capture_output=True, text=True, timeout=20)
    assert got.returncode == 3 and "cannot listen" in got.stderr


def test_reload_takes_a_new_password_and_identity_or_nothing(bed, issued):
    port = wait.free_port()
    own = {k: shutil.copy(v, f"{bed.folder}/own-{k}") for k, v in issued("cachesvc").items()}
    cache = Cache(bed, identity=own, listen_plain=[f"127.0.0.1:{port}"], password_file=password_file(bed)).start()
    tls = client_context(issued("gateway"))

    def serial():
        with Resp(cache.port, context=tls) as r:
            return x509.load_der_x509_certificate(r.socket.getpeercert(True)).serial_number

    first = serial()
    with Resp(port, password=PASSWORD) as r:
        password_file(bed, "another good password")
        for k, v in issued("cachesvc", "cs-new").items():
            shutil.copy(v, own[k])
        cache.signal(signal.SIGHUP)
        wait.until(lambda: ": taken" in cache.output(), 5, "the reload")
        assert r.ask("PING") == "PONG"  # who was in stays in
    with Resp(port) as r:
        assert r.ask("AUTH", PASSWORD).startswith("WRONGPASS")
        assert r.ask("AUTH", "another good password") == "OK"
    second = serial()
    assert second != first
    # One wrong file: nothing of it is taken.
    password_file(bed, "a third good password")
    shutil.copy(issued("gateway")["identity_key"], own["identity_key"])
    cache.signal(signal.SIGHUP)
    wait.until(lambda: "the former configuration stays" in cache.output(), 5, "the refusal")
    with Resp(port) as r:
        assert r.ask("AUTH", "another good password") == "OK"
    assert serial() == second
    shutil.copy(issued("cachesvc", "cs-new")["identity_key"], own["identity_key"])
    cache.settings["max_memory"] = "32M"
    cache.write()
    cache.signal(signal.SIGHUP)
    wait.until(lambda: "a change of max_memory takes a restart" in cache.output(), 5, "what takes a restart")


def test_it_drains_on_a_signal(bed):
    path = f"{bed.folder}/cache.sock"
    port = wait.free_port()
    cache = Cache(bed, listen=[f"unix:{path}", f"127.0.0.1:{port}"]).start()
    assert cache.addresses() == [f"unix:{path}", f"127.0.0.1:{port}"]
    with Resp(port) as r, Resp(path=path) as u:
        assert r.ask("SET", "k", "v") == "OK" and u.ask("GET", "k") == b"v"
        cache.signal(signal.SIGTERM)
        assert r.rest_until_end() == b"" and u.rest_until_end() == b""
    cache.process.wait(10)
    assert cache.process.returncode == 0 and not os.path.exists(path)
