"""Gateways whose key servers are not sslgw's: they sign digests by the Keyless protocol and make no ticket keys. Two
servers: our own, which grants these two gateways digests only, and one in Python, written from the protocol alone."""
import os
import re
import ssl
import threading

import pytest

from bed import client, conftext, daemon, foreign, keyless as kl, pki as pki_module, wait

SITES = {"rsa": "rsa.localhost", "ec": "ec.localhost", "ec384": "ec384.localhost", "ed25519": "ed.localhost"}
OPCODES = {"rsa": {0x05, 0x35}, "ec": {0x15}, "ec384": {0x15, 0x16}, "ed25519": {0x18}}


@pytest.fixture(scope="module")
def authority(shared):
    return kl.Authority(f"{shared.folder}/ca")


@pytest.fixture(scope="module")
def leaves(pki):
    return {kind: pki.leaf(name, kind=kind) for kind, name in SITES.items()}


def secret_file(folder, *secrets, name="tickets", mode=0o600):
    return pki_module.write(f"{folder}/{name}", "".join(f"{s.hex()}\n" for s in secrets).encode(), mode)


def settings(bed, authority, backend, servers, names, number, kinds=tuple(SITES), **more):
    sites = [bed.site(SITES[k], kinds=(k,)) for k in kinds]
    out = bed.settings(backend, sites=sites)
    out.pop("private_keys")
    folder = f"{bed.folder}/gw{number}"
    for name, mode in (("", 0o711), ("/run", 0o711), ("/state", 0o700)):
        os.makedirs(folder + name, mode=mode, exist_ok=True)
    return conftext.merged(out, {
        "access_log": None, "runtime_dir": f"{folder}/run", "state_dir": f"{folder}/state",
        "key_service": {"servers": servers, "protocol": "keyless", **({"server_names": names} if names else {}),
                        **kl.options(authority.issue(f"gw{number}", "gateway")), **more}})


class Setup:
    """Two gateways with one secret, and their key servers."""

    def __init__(self, bed, authority, leaves, kind):
        self.keysvc = self.python = None
        if kind == "sslgw":
            self.keysvc = kl.KeyService(bed, authority, [leaf.key_file for leaf in leaves.values()], [
                {"name": "gw*", "networks": ["127.0.0.0/8"], "keys": ["*"], "allow": ["digest-sign"]},
                {"name": "nobody", "keys": ["*"], "allow": ["tls-sign"]}]).start()
            servers, names = [f"127.0.0.1:{self.keysvc.port}"], ["keysvc"]
        else:
            self.python = foreign.ForeignServer(authority, [leaf.key for leaf in leaves.values()])
            bed.running.append(self.python)
            servers, names = [f"127.0.0.1:{self.python.port}"], ["keys.example"]
        backend, secret = bed.backend(), secret_file(bed.folder, os.urandom(32))
        self.gateways = [bed.gateway(settings(bed, authority, backend, servers, names, n, ticket_secret_file=secret),
                                     name=f"gw{n}") for n in (1, 2)]
        if self.python:
            wait.until(lambda: len(self.python.tried) == 2 * len(SITES), 10, "each gateway has tried each key")


@pytest.fixture(scope="module", params=["sslgw", "python"])
def setup(request, shared, authority, leaves):
    return Setup(shared, authority, leaves, request.param)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", SITES)
def test_full_and_resumed_here_and_there(setup, ctx, version, kind):
    here, there = (g.port for g in setup.gateways)
    if setup.python:
        setup.python.asked.clear()
    got, facts, session = client.get(here, ctx(version=version), sni=SITES[kind])
    assert got.status == 200 and facts[0] == f"TLSv{version}" and not facts[2]
    if setup.python:
        assert setup.python.asked and set(setup.python.asked) <= OPCODES[kind]
        assert kl.TAG_DIGEST in setup.python.tags if kind == "rsa" else True
    for port in (here, there, here):
        got, facts, session = client.get(port, ctx(version=version), sni=SITES[kind], session=session)
        assert got.status == 200 and facts == (f"TLSv{version}", facts[1], True)


def test_the_digest_operations_are_what_is_used(setup, leaves, authority):
    """So that the test above cannot pass by way of sslgw's own function: it is refused to these two."""
    if not setup.keysvc:
        pytest.skip("about our own server")
    before = setup.keysvc.counts()
    with kl.Client(setup.keysvc.port, authority.issue("gw1", "gateway")) as c:
        ski = kl.ski(leaves["ec"].key.public_key())
        assert c.ask(kl.tls_sign(1, ski, 0x0403, kl.certificate_verify())).error == kl.E_OPCODE
        assert c.ask(kl.custom(2, "sslgw/epoch-keys", b"default")).error == kl.E_OPCODE
        assert c.ask(kl.operation(3, 0x15, os.urandom(32), ski)).opcode == kl.ANSWER
    after = setup.keysvc.counts()
    assert after["signed"] == before["signed"] + 1 and after["refused"] == before["refused"] + 2
    assert after["signed"] >= 8 and after["epoch_keys"] == after["keys"] == 0


def test_it_is_said_where_ticket_keys_come_from(setup):
    for g in setup.gateways:
        assert re.search(r"ticket keys are made of \S+/tickets \(1 secrets\)", g.output())


def test_a_client_of_the_protocol_has_its_signatures_checked(bed, authority, leaves, ctx):
    server = foreign.ForeignServer(authority, [leaf.key for leaf in leaves.values()])
    bed.running.append(server)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1))
    assert client.get(g.port, ctx(), sni=SITES["rsa"])[0].status == 200
    server.spoils = True
    for kind in SITES:
        with pytest.raises((ssl.SSLError, OSError)):
            client.get(g.port, ctx(), sni=SITES[kind])
    server.spoils = False
    wait.until(lambda: client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200, 10, "it is believed again", every=0.2)


def test_answers_out_of_order_and_keys_by_the_modulus(bed, authority, leaves, ctx):
    """The host's name is the certificate's where no names are given."""
    server = foreign.ForeignServer(authority, [leaves["rsa"].key], name="localhost", by="digest", reverses=True)
    bed.running.append(server)
    more = settings(bed, authority, bed.backend(), [f"localhost:{server.port}"], None, 1, kinds=("rsa",))
    g = bed.gateway(conftext.merged(more, {"workers": 1}))
    done = []

    def visit():
        for _ in range(5):
            done.append(client.get(g.port, ctx(), sni=SITES["rsa"])[0].status)
    threads = [threading.Thread(target=visit) for _ in range(8)]  # with the server they share one process
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert done == [200] * 40
    assert server.reordered > 0 and server.answered >= 40


@pytest.mark.parametrize("code", [1, 2, 3, 8, 9, 0x0B, 0x63])
def test_another_server_signs_where_one_errs(bed, authority, leaves, ctx, code):
    """A gateway each: second tries have a budget, which all of these together might exceed."""
    servers = [foreign.ForeignServer(authority, [leaves["ec"].key], pads=n == 0) for n in range(2)]
    bed.running += servers
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{s.port}" for s in servers], ["keys.example"], 1,
                             kinds=("ec",)))
    servers[0].errors = {None: code}
    before = servers[1].answered
    for _ in range(3):
        assert client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200
    assert servers[1].answered >= before + 3


@pytest.mark.parametrize("code", [4, 5, 6, 7, 0x0A, 2])
def test_an_error_ends_the_handshake_with_an_alert_and_is_said(bed, authority, leaves, ctx, code):
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1, kinds=("ec",)))
    assert client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200
    server.errors = {None: code}
    with pytest.raises(ssl.SSLError):
        client.get(g.port, ctx(), sni=SITES["ec"])
    wait.until(lambda: re.search(rf"key server 127\.0\.0\.1:{server.port}: error {code:02x} to operation 15 with the key of "
                                 rf"SKI {kl.ski(leaves['ec'].key.public_key()).hex()}: ", g.output()), 5, "the error is said")
    server.errors = {}
    wait.until(lambda: client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200, 10, "it goes on", every=0.2)


def test_live_and_the_start_name_the_key_that_a_server_lacks(bed, authority, leaves, ctx):
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1,
                             kinds=("ec", "rsa")), start=False)
    g.write()
    got = g.check("--live")
    says = (rf"site rsa\.localhost: the key server 127\.0\.0\.1:{server.port} does not sign for this gateway with the key of "
            rf"\S*rsa\.localhost\S* \(SKI {kl.ski(leaves['rsa'].key.public_key()).hex()}\)")
    assert got.returncode == 3 and re.search(says, got.stderr) and "site ec.localhost" not in got.stderr, got.stderr
    g.start()
    wait.until(lambda: re.search(says, g.output()), 10, "it is said at the start")
    assert client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200
    server.keys[server.name_of(leaves["rsa"].key.public_key(), "ski")] = leaves["rsa"].key
    got = g.check("--live")
    assert got.returncode == 0, got.stderr


def test_a_server_by_another_name_is_not_asked(bed, authority, leaves):
    server = foreign.ForeignServer(authority, [leaves["ec"].key], name="impostor.example")
    bed.running.append(server)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1, kinds=("ec",)),
                    start=False)
    g.write()
    got = g.check("--live")
    assert got.returncode == 3 and not server.asked, got.stderr


# ---- the secret of tickets

def test_without_a_file_sessions_are_of_one_gateway_and_its_life(bed, authority, leaves, ctx):
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    backend = bed.backend()
    one, other = (bed.gateway(settings(bed, authority, backend, [f"127.0.0.1:{server.port}"], ["keys.example"], n,
                                       kinds=("ec",)), name=f"gw{n}") for n in (1, 2))
    assert "no ticket_secret_file: sessions resume at this gateway only" in one.output()
    for version in ("1.2", "1.3"):
        session = client.get(one.port, ctx(version=version), sni=SITES["ec"])[2]
        for _ in range(6):  # whichever of its two workers
            _, facts, session = client.get(one.port, ctx(version=version), sni=SITES["ec"], session=session)
            assert facts[2]
        assert not client.get(other.port, ctx(version=version), sni=SITES["ec"], session=session)[1][2]
        one.reload()
        assert client.get(one.port, ctx(version=version), sni=SITES["ec"], session=session)[1][2]


def test_a_secret_is_changed_without_an_end_of_sessions(bed, authority, leaves, ctx):
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    old, new = os.urandom(32), os.urandom(32)
    secret = secret_file(bed.folder, old)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1, kinds=("ec",),
                             ticket_secret_file=secret))

    def visit(session=None):
        _, facts, session = client.get(g.port, ctx(version="1.3"), sni=SITES["ec"], session=session)
        return facts[2], session
    first = visit()[1]
    secret_file(bed.folder, new, old)
    g.reload()
    resumed, second = visit(first)
    assert resumed
    secret_file(bed.folder, new)
    g.reload()
    assert visit(second)[0], "made with the new one"
    assert not visit(first)[0], "the old one is gone"


def test_sessions_in_a_cache_are_sealed_with_keys_of_the_same_secret(bed, authority, leaves, ctx):
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    cache = daemon.Daemon(bed.build, bed.folder, "sslgw-cachesvc", "cache", {
        "listen": ["127.0.0.1:0"], **kl.options(authority.issue("cs1", "cachesvc"))})
    bed.running.append(cache)
    cache.start()
    secret, backend = secret_file(bed.folder, os.urandom(32)), bed.backend()
    gateways = []
    for n in (1, 2):
        more = settings(bed, authority, backend, [f"127.0.0.1:{server.port}"], ["keys.example"], n, kinds=("ec",),
                        ticket_secret_file=secret)
        more["sites"][0]["resumption"] = "stateful"
        identity = {k: more["key_service"][k] for k in ("identity", "identity_key", "ca_file")}
        gateways.append(bed.gateway({**more, "session_cache": {"servers": [cache.addresses()[0]], **identity}}, name=f"gw{n}"))
    for options in ({"version": "1.3"}, {"version": "1.2", "tickets": False}):
        def visit(c=ctx(**options)):
            session = client.get(gateways[0].port, c, sni=SITES["ec"])[2]
            return client.get(gateways[1].port, c, sni=SITES["ec"], session=session)[1][2]
        assert client.resumes(visit), options


WRONG = {
    "others may read it": (b"%s\n" % (b"ab12" * 16), 0o644, r"chmod 600"),
    "its group may read it": (b"%s\n" % (b"ab12" * 16), 0o640, r"chmod 600"),
    "too short": (b"%s\n" % (b"ab12" * 15), 0o600, r":1: not 64 hex digits.*openssl rand -hex 32"),
    "no digits": (b"# the secret\n\n%s\n" % (b"xyz1" * 16), 0o600, r":3: not 64 hex digits"),
    "empty": (b"# nothing\n", 0o600, r"no secret in it"),
    "zeros": (b"0" * 64 + b"\n", 0o600, r":1: a secret of one byte, repeated"),
    "five": (b"".join(b"%064x\n" % (n * 12345) for n in range(1, 6)), 0o600, r":5: more than 4"),
    "twice": (b"%s\n%s\n" % (b"ab12" * 16, b"AB12" * 16), 0o600, r":2: the same secret twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_the_line(bed, authority, name):
    text, mode, says = WRONG[name]
    path = pki_module.write(f"{bed.folder}/secret", text)
    os.chmod(path, mode)
    g = bed.gateway(settings(bed, authority, "127.0.0.1:1", ["127.0.0.1:1"], ["keys.example"], 1, kinds=("ec",),
                             ticket_secret_file=path), start=False)
    g.write()
    got = g.check()
    assert got.returncode == 1 and re.search(rf"{g.config_file}:\d+: ticket_secret_file: {path}.*" + says, got.stderr), got.stderr
    assert text.split(b"\n")[0].decode() not in got.stderr or name in ("empty", "no digits")


@pytest.mark.root
@pytest.mark.plain
def test_a_secret_is_in_no_other_process_than_the_workers(bed, authority, leaves, ctx):
    """The master only ever looks at it in a process of its own that ends."""
    server = foreign.ForeignServer(authority, [leaves["ec"].key])
    bed.running.append(server)
    secret = os.urandom(32)
    g = bed.gateway(settings(bed, authority, bed.backend(), [f"127.0.0.1:{server.port}"], ["keys.example"], 1, kinds=("ec",),
                             ticket_secret_file=secret_file(bed.folder, secret)))
    assert client.get(g.port, ctx(), sni=SITES["ec"])[0].status == 200

    def has(pid):
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                a, b = (int(x, 16) for x in line.split()[0].split("-"))
                if "rw" not in line.split()[1]:
                    continue
                try:
                    mem.seek(a)
                    data = mem.read(b - a)
                except (OSError, ValueError):
                    continue
                if secret in data or secret.hex().encode() in data:
                    return True
        return False
    workers = set(g.workers())
    assert workers and all(has(p) for p in workers)
    assert not [p for p in g.remember() - workers if os.path.exists(f"/proc/{p}/mem") and has(p)]
