"""key_service and session_cache in gateway.conf: what -t and -t --live say of them, and caches that are a Redis."""
import re
import socketserver
import ssl
import threading
import time

import pytest

from bed import client, cluster, conftext, pki as pki_module, wait


# ---- -t: the files are tried

@pytest.fixture(scope="module")
def files(shared, build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("identities")
    ids = cluster.Identities(build, f"{folder}/pki")
    own = ids.issue("gw1", "gateway")
    other = shared.pki.leaf("other.localhost", kind="ec")
    empty = pki_module.write(f"{folder}/empty", b"")
    return {**own, "other_key": other.key_file, "empty": empty}


WRONG = {  # the group, its settings, what is said
    "no identity": ("key_service", {"identity": "/nowhere/gw.pem"}, r"/nowhere/gw\.pem"),
    "no key": ("key_service", {"identity_key": "/nowhere/gw.key"}, r"/nowhere/gw\.key"),
    "another's key": ("key_service", {"identity_key": "@other_key@"}, r"gw1\.pem|other"),
    "no CA": ("key_service", {"ca_file": "/nowhere/ca.pem"}, r"/nowhere/ca\.pem"),
    "an empty CA": ("session_cache", {"ca_file": "@empty@"}, r"empty"),
    "no deny list": ("session_cache", {"deny_file": "/nowhere/denied"}, r"/nowhere/denied"),
    "no password": ("session_cache", {"servers": ["redis://127.0.0.1:6379"], "password_file": "/nowhere/pw"}, r"/nowhere/pw"),
    "an empty password": ("session_cache", {"servers": ["redis://127.0.0.1:6379"], "password_file": "@empty@"},
                          r"empty.*password"),
}


def service(files, group):
    servers = {"key_service": ["127.0.0.1:2407"], "session_cache": ["127.0.0.1:6380"]}[group]
    return {"servers": servers, **{k: files[k] for k in ("identity", "identity_key", "ca_file")}}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_told_with_file_and_line(shared, files, name):
    group, more, says = WRONG[name]
    settings = shared.settings("127.0.0.1:1")
    settings.pop("private_keys")
    for g in ("key_service", "session_cache"):
        settings[g] = service(files, g)
    settings[group].update({k: files[v.strip("@")] if isinstance(v, str) and v[0] == "@" else v for k, v in more.items()})
    g = shared.gateway(settings, start=False, name="wrong")
    g.write()
    got = g.check()
    told = got.stdout + got.stderr
    assert got.returncode == 1, told
    assert re.search(rf"{g.config_file}:\d+: ", told) and re.search(says, told), told
    assert len(told.strip().split("\n")) <= 3, told


def test_good_files_pass(shared, files):
    settings = shared.settings("127.0.0.1:1")
    settings.pop("private_keys")
    for group in ("key_service", "session_cache"):
        settings[group] = service(files, group)
    g = shared.gateway(settings, start=False, name="good")
    g.write()
    got = g.check()
    assert got.returncode == 0, got.stderr


# ---- -t --live, and the start

@pytest.fixture(scope="module")
def farm(shared):
    backend = shared.backend()
    sites = [shared.site("localhost"), shared.site("old.localhost", max_version="1.2")]
    c = cluster.Cluster(shared, backend.address, gateways=1, sites=sites, balancer=False)
    for part in (*c.keys, *c.caches):
        part.start()
    return c


def test_live_asks_everybody_and_names_what_is_wrong(farm, shared):
    gateway = farm.gateways[0]
    good = {**gateway.settings, "sites": farm.sites[:1]}
    gateway.write(good)
    got = gateway.check("--live")
    assert got.returncode == 0, got.stderr
    assert got.stderr.count("key server") == 2 and got.stderr.count("cache server") == 2 and "back-end" in got.stderr
    gateway.write({**good, "sites": [*farm.sites, shared.site("missing.localhost", kinds=("ec",))],
                   "pools": [{"name": "main", "servers": [*good["pools"][0]["servers"], {"address": "127.0.0.1:1"}]}]})
    farm.caches[1].kill()
    got = gateway.check("--live")
    farm.caches[1].start()
    assert got.returncode == 3, got.stderr
    for part in farm.keys:
        assert re.search(rf"site missing\.localhost: the key server {part.addresses()[0]} has no key for \S*missing", got.stderr)
        assert re.search(rf"site old\.localhost has no TLS 1\.3.*{part.addresses()[0]}.*tls12_any", got.stderr)
    assert re.search(r"back-end 127\.0\.0\.1:1: .*refused", got.stderr)
    assert re.search(rf"cache server {farm.caches[1].settings['listen'][0]}.*no answer", got.stderr)


def test_a_worker_says_which_key_is_missing_and_serves_the_others(farm, shared, ctx):
    gateway = farm.gateways[0]
    gateway.settings = {**gateway.settings, "sites": [*farm.sites[:1], shared.site("missing.localhost", kinds=("ec",))]}
    gateway.start()
    wait.until(lambda: gateway.output().count("site missing.localhost: the key server") == 2, 10, "both are said")
    assert client.get(gateway.port, ctx())[0].status == 200
    with pytest.raises((ssl.SSLError, OSError)):
        client.get(gateway.port, ctx(), sni="missing.localhost")
    assert gateway.output().count("site missing.localhost: the key server") == 2
    gateway.stop()


def test_key_servers_may_have_names(farm, bed, ctx):
    identity = farm.gateways[0].settings["key_service"]
    settings = bed.settings(bed.backend(), sites=farm.sites[:1])
    settings.pop("private_keys")
    named = [k.settings["listen"][0].replace("127.0.0.1", "localhost") for k in farm.keys]
    began = time.monotonic()
    g = bed.gateway({**settings, "key_service": {**identity, "servers": named}})
    assert time.monotonic() - began < 5
    _, _, session = client.get(g.port, ctx())
    assert client.get(g.port, ctx(), session=session)[1][2]


# ---- a Redis

class Redis(socketserver.ThreadingTCPServer):
    """What a session cache needs of one. AUTH is demanded; what is asked is kept."""
    allow_reuse_address, daemon_threads = True, True

    def __init__(self, user=None, tls=None):
        self.user, self.tls, self.store, self.authorized, self.seen = user, tls, {}, 0, []
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def logs(self):
        return {}

    def stop(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass

    class Handler(socketserver.StreamRequestHandler):
        def setup(self):
            if self.server.tls:
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def words(self):
            head = self.rfile.readline()
            if not head:
                return None
            out = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                out.append(self.rfile.read(size + 2)[:-2])
            return out

        def handle(self):
            known = False
            while (words := self.words()) is not None:
                verb = words[0].upper()
                self.server.seen.append(verb)
                if verb == b"AUTH":
                    known = words[1:] == [*([self.server.user] if self.server.user else []), b"secret"]
                    self.server.authorized += known
                    answer = b"+OK" if known else b"-WRONGPASS invalid username-password pair or user is disabled."
                elif not known:
                    answer = b"-NOAUTH Authentication required."
                elif verb == b"PING":
                    answer = b"+PONG"
                elif verb == b"SET":
                    self.server.store[words[1]] = words[2]
                    answer = b"+OK"
                elif verb == b"GET":
                    value = self.server.store.get(words[1])
                    answer = b"$-1" if value is None else b"$%d\r\n%s" % (len(value), value)
                else:
                    answer = b"-ERR unknown command"
                self.wfile.write(answer + b"\r\n")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_sessions_lie_in_a_redis(bed, pki, ctx, scheme):
    tls, more = None, {}
    if scheme == "rediss":
        leaf = pki.leaf("localhost", kind="ec")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(leaf.chain_file, leaf.key_file)
        more = {"ca_file": pki.ca.chain_file}
    servers = [Redis(user=b"gw" if tls else None, tls=tls) for _ in range(2)]
    bed.running += servers
    password = pki_module.write(f"{bed.folder}/password", b"secret\n", 0o600)
    url = "rediss://gw@localhost:{}/0" if tls else "redis://127.0.0.1:{}"
    g = bed.gateway(conftext.merged(
        bed.settings(bed.backend(), sites=[bed.site(resumption="stateful")], workers=1),
        {"session_cache": {"servers": [url.format(s.port) for s in servers], "password_file": password, **more}}))

    def resumes():
        _, _, session = client.get(g.port, ctx())
        return client.get(g.port, ctx(), session=session)[1][2]

    def both_stand():
        for s in servers:
            s.store.clear()
        return resumes() and (tls or all(s.store for s in servers))
    wait.until(both_stand, 10, "sessions resume, and each server is reached", every=0.1)
    for s in servers:
        s.store.clear()
    assert sum(resumes() for _ in range(7)) >= 5  # these servers are threads of this process, and have 100 ms
    assert all(s.authorized for s in servers)
    if not tls:  # both copies (the second may still be on its way); a name's ::1 has nobody behind it
        wait.until(lambda: len(servers[0].store) >= 5 and sorted(servers[0].store) == sorted(servers[1].store), 5, "both copies")
    assert set(servers[0].seen) <= {b"AUTH", b"PING", b"SET", b"GET"}
    servers[0].stop()
    wait.until(resumes, 5, "the other has them all", every=0.1)
