"""Client certificates: who is let in, what the back-end is told, and that a resumed session tells and
allows exactly what a full handshake would."""
import base64
import hashlib
import ssl
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bed import client, pki as pki_module, wait

VERSIONS = ["1.2", "1.3"]


def rule(pki, verify="require", **more):
    return {"client_certificate": {"verify": verify, "ca_file": pki.client_ca.chain_file, **more}}


def gateway(bed, pki, verify="require", resumption="tickets", session_lifetime="24h", **more):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, sites=[
        bed.site("localhost"),
        bed.site("a.test", resumption=resumption, session_lifetime=session_lifetime, **rule(pki, verify, **more))]))
    return gw, back


def enter(gw, c, session=None, sni="a.test"):
    """(answer, facts, session), or the error that ended it."""
    try:
        got = client.get(gw.port, c, sni=sni, session=session)
        return got if got[0] is not None else "closed without an answer"
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)


def ssl_headers(seen):
    """What the back-end was told of the client, but for what must differ between two connections."""
    return {n.lower(): v for n, v in seen.fields
            if n.lower().startswith("x-ssl-") and n.lower() not in ("x-ssl-session-resumed", "x-ssl-session-id")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("verify", ["none", "optional", "require", "optional_no_ca"])
def test_who_is_let_in(bed, ctx, pki, verify, version):
    gw, back = gateway(bed, pki, verify)
    stranger = pki.issue(pki.other_ca, "mallory", client=True)
    expired = pki.client("late", start=-10 * pki_module.DAY, days=5)
    server = pki.issue(pki.client_sub, "wrong purpose", names=("x.test",))
    tell = {}
    for name, identity in (("nobody", None), ("alice", pki.client("alice")), ("stranger", stranger),
                           ("expired", expired), ("wrong purpose", server)):
        got = enter(gw, ctx(version=version, identity=identity))
        tell[name] = back.seen[-1].get("X-SSL-Client-Verify") if isinstance(got, tuple) else got
    assert ("NONE" == tell["nobody"]) if verify != "require" else "NONE" != tell["nobody"], tell
    if verify == "none":
        assert set(tell.values()) == {"NONE"}, tell
        return
    assert tell["alice"] == "SUCCESS", tell
    for name in ("stranger", "expired", "wrong purpose"):
        if verify == "optional_no_ca":
            assert tell[name].startswith("FAILED:") or (name != "stranger" and "ALERT" in tell[name].upper()), tell
        else:
            assert not tell[name].startswith(("SUCCESS", "FAILED", "NONE")), f"{name} was let in: {tell}"


@pytest.mark.parametrize("version", VERSIONS)
def test_alerts_say_what_is_wrong(bed, ctx, pki, version):
    gw, _ = gateway(bed, pki)
    no_certificate = enter(gw, ctx(version=version))
    assert ("CERTIFICATE_REQUIRED" if version == "1.3" else "HANDSHAKE_FAILURE") in no_certificate.upper(), no_certificate
    assert "UNKNOWN_CA" in enter(gw, ctx(version=version, identity=pki.issue(pki.other_ca, "m", client=True))).upper()
    late = pki.client("late", start=-10 * pki_module.DAY, days=5)
    assert "CERTIFICATE_EXPIRED" in enter(gw, ctx(version=version, identity=late)).upper()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_revoked_certificate_is_refused_and_others_are_not(bed, ctx, pki, version):
    good, bad = pki.client("good"), pki.client("bad")
    gw, _ = gateway(bed, pki, crl_file=pki.crl_file(f"revoked-{version}", bad))
    assert enter(gw, ctx(version=version, identity=good))[0].status == 200
    assert "CERTIFICATE_REVOKED" in enter(gw, ctx(version=version, identity=bad)).upper()


@pytest.mark.parametrize("version", VERSIONS)
def test_depth_counts_intermediates(bed, ctx, pki, version):
    gw, _ = gateway(bed, pki, depth=0)
    assert isinstance(enter(gw, ctx(version=version, identity=pki.client("deep"))), str)
    assert enter(gw, ctx(version=version, identity=pki.issue(pki.client_ca, "flat", client=True)))[0].status == 200


@pytest.mark.parametrize("version, resumption", [("1.2", "tickets"), ("1.3", "tickets"), ("1.2", "stateful"), ("1.3", "stateful")])
@pytest.mark.parametrize("verify", ["require", "optional"])
def test_the_backend_sees_the_same_bytes_resumed_or_not(bed, ctx, pki, version, resumption, verify):
    gw, back = gateway(bed, pki, verify, resumption)
    alice = pki.client("alice")
    c = ctx(version=version, identity=alice)
    got, facts, session = enter(gw, c)
    first = ssl_headers(back.seen[-1])
    assert not facts[2] and back.seen[-1].get("X-SSL-Session-Resumed") == "Initial"
    leaf = urllib.parse.unquote(first["x-ssl-client-cert"])
    assert x509.load_pem_x509_certificate(leaf.encode()) == alice.cert
    assert first["x-ssl-client-verify"] == "SUCCESS"
    assert int(first["x-ssl-client-m-serial"], 16) == alice.cert.serial_number
    assert first["x-ssl-client-s-dn"] == "CN=alice,O=sslgw test"
    assert first["x-ssl-client-i-dn"] == "CN=client intermediate,O=sslgw test"
    assert first["x-ssl-client-v-end"] == alice.cert.not_valid_after.strftime("%b %e %H:%M:%S %Y GMT")
    resumed = 0
    for _ in range(10):
        got, facts, session = enter(gw, c, session)
        resumed += facts[2]
        assert back.seen[-1].get("X-SSL-Session-Resumed") == ("Resumed" if facts[2] else "Initial")
        assert ssl_headers(back.seen[-1]) == first
    assert resumed >= (10 if resumption == "tickets" else 8), "did not resume"  # a cache has 100 ms to answer


def sequence(cert):
    return f":{base64.b64encode(cert.public_bytes(Encoding.DER)).decode()}:"


def chained(bed, pki, resumption, verify="require"):
    back = bed.backend()
    return bed.gateway(bed.settings(back, sites=[bed.site("localhost"), bed.site(
        "a.test", headers=["rfc9440", "xfcc"], resumption=resumption, **rule(pki, verify))])), back


@pytest.mark.parametrize("version, resumption", [("1.2", "tickets"), ("1.3", "tickets"), ("1.2", "stateful"), ("1.3", "stateful"), ("1.3", "off")])
def test_the_chain_is_told_resumed_or_not(bed, ctx, pki, version, resumption):
    gw, back = chained(bed, pki, resumption)
    alice, flat = pki.client("alice"), pki.issue(pki.client_ca, "flat", client=True)
    c, session, resumed = ctx(version=version, identity=alice), None, []
    for _ in range(4):
        _, facts, session = enter(gw, c, session)
        resumed.append(facts[2])
        seen = back.seen[-1]
        assert seen.get("Client-Cert") == sequence(alice.cert)
        assert seen.get("Client-Cert-Chain") == sequence(pki.client_sub.cert)
        assert seen.get("X-Forwarded-Client-Cert").startswith(f'Hash={hashlib.sha256(alice.der).hexdigest()};Cert="')
    least, most = {"off": (0, 0), "tickets": (3, 3), "stateful": (1, 3)}[resumption]  # a cache has 100 ms to answer
    assert not resumed[0] and least <= sum(resumed) <= most, resumed
    enter(gw, ctx(version=version, identity=flat))
    assert back.seen[-1].get("Client-Cert") == sequence(flat.cert) and back.seen[-1].get("Client-Cert-Chain") is None


def stuffed(pki, name, n):
    """An identity whose chain file has n certificates more than it needs."""
    it, junk = pki.client("alice"), [pki.issue(pki.other_ca, f"junk {name} {i}") for i in range(n)]
    identity = pki_module.Identity(it.cert, it.key, [pki.client_sub, *junk], pki.folder, f"stuffed-{name}")
    pki.keys[identity.chain_file] = identity.key_file
    return identity, junk


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chain_is_told_whole_or_not_at_all(bed, ctx, pki, version):
    gw, back = chained(bed, pki, "tickets", "optional_no_ca")
    some, junk = stuffed(pki, f"some-{version}", 3)
    many, all_junk = stuffed(pki, f"many-{version}", 20)
    size = [sum(len(x.der) for x in (pki.client_sub, *j)) for j in (junk, all_junk)]
    assert size[0] < 8192 < size[1] < 32000, size
    for identity, told in ((some, ", ".join(sequence(x.cert) for x in (pki.client_sub, *junk))), (many, None)):
        c, session = ctx(version=version, identity=identity), None
        for _ in range(2):
            got, facts, session = enter(gw, c, session)
            assert got.status == 200 and back.seen[-1].get("Client-Cert") == sequence(identity.cert)
            assert back.seen[-1].get("Client-Cert-Chain") == told
        assert facts[2] == (told is not None), "what is too long for a session is not resumed"


@pytest.mark.parametrize("version", VERSIONS)
def test_certificates_without_end_are_refused(bed, ctx, pki, version):
    gw, back = chained(bed, pki, "tickets", "optional_no_ca")
    flood, junk = stuffed(pki, f"flood-{version}", 80)
    assert sum(len(x.der) for x in junk) > 32768
    assert isinstance(enter(gw, ctx(version=version, identity=flood)), str) and back.seen == []


@pytest.mark.parametrize("version, resumption", [("1.2", "tickets"), ("1.3", "tickets"), ("1.2", "stateful"), ("1.3", "stateful")])
def test_a_certificate_revoked_since_ends_its_sessions(bed, ctx, pki, version, resumption):
    alice, bob = pki.client("alice"), pki.client("bob")
    crl = pki.crl_file(f"later-{version}-{resumption}")
    gw, _ = gateway(bed, pki, resumption=resumption, crl_file=crl)
    sessions = {}
    for identity in (alice, bob):
        def visit(who=identity, c=ctx(version=version, identity=identity)):
            _, _, session = enter(gw, c)
            _, facts, sessions[who] = enter(gw, c, session)
            return facts[2]
        assert client.resumes(visit), "does not resume at all"
    pki_module.write(crl, pki.crl(pki.client_ca) + pki.crl(pki.client_sub, [alice]))
    gw.reload()
    refused = enter(gw, ctx(version=version, identity=alice), sessions[alice])
    assert isinstance(refused, str) and "REVOKED" in refused.upper(), refused
    got, facts, _ = enter(gw, ctx(version=version, identity=bob), sessions[bob])
    assert got.status == 200


@pytest.mark.parametrize("version, resumption", [("1.2", "tickets"), ("1.3", "tickets"), ("1.2", "stateful"), ("1.3", "stateful")])
def test_a_certificate_that_expires_ends_its_sessions(bed, ctx, pki, version, resumption):
    import datetime
    gw, _ = gateway(bed, pki, resumption=resumption)
    # Its six seconds begin when all is there.
    alice = pki.client("short", start=datetime.timedelta(seconds=-pki_module.DAY.total_seconds() + 6), days=1)
    c, session = ctx(version=version, identity=alice), None

    def visit():
        nonlocal session
        _, _, session = enter(gw, c)
        _, facts, session = enter(gw, c, session)
        return facts[2]
    assert client.resumes(visit), "does not resume at all"
    wait.until(lambda: pki_module.now() > alice.cert.not_valid_after, 12, "the certificate's end", every=0.2)
    refused = enter(gw, c, session)
    assert isinstance(refused, str) and "EXPIRED" in refused.upper(), refused


@pytest.mark.parametrize("version, resumption", [("1.2", "tickets"), ("1.3", "tickets"), ("1.2", "stateful"), ("1.3", "stateful")])
def test_a_ca_taken_away_ends_the_sessions_of_its_clients(bed, ctx, pki, version, resumption):
    gw, back = gateway(bed, pki, resumption=resumption)
    c = ctx(version=version, identity=pki.client("alice"))
    _, _, session = enter(gw, c)
    settings = {**gw.settings, "sites": [bed.site("localhost"), bed.site(
        "a.test", resumption=resumption, client_certificate={"verify": "require", "ca_file": pki.other_ca.chain_file})]}
    gw.reload(settings)
    assert isinstance(enter(gw, c, session), str)


@pytest.mark.parametrize("version, resumption", [("1.2", "stateful"), ("1.3", "tickets")])
def test_renewing_every_second_does_not_outlive_the_lifetime_of_the_first_authentication(bed, ctx, pki, version, resumption):
    """Each visit brings the newest session. Past the lifetime the client proves again who it is, and is told the same."""
    gw, back = gateway(bed, pki, resumption=resumption, session_lifetime="3s")
    c, session, resumed, told = ctx(version=version, identity=pki.client("alice")), None, [], []

    def visit():
        nonlocal session
        got, facts, newer = enter(gw, c, session)
        assert got.status == 200
        session = newer or session
        resumed.append(facts[2])
        told.append(ssl_headers(back.seen[-1]))
        return len(resumed) >= 6
    wait.until(visit, 20, "six visits", every=1.0)
    assert not resumed[0] and True in resumed and False in resumed[2:5], resumed
    assert all(t == told[0] for t in told)


def test_nothing_in_a_certificate_can_break_a_header(bed, ctx, pki):
    gw, back = gateway(bed, pki)
    nasty = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a\r\nX-Forged: yes"),
        x509.NameAttribute(NameOID.COMMON_NAME, 'evil,CN=admin\0"\x1b[31m ümläut')])
    got = enter(gw, ctx(identity=pki.client("evil", subject=nasty)))
    assert got[0].status == 200, got
    seen = back.seen[-1]
    assert "x-forged" not in seen.names()
    name = seen.get("X-SSL-Client-S-DN")
    assert all(32 <= ord(ch) < 127 for ch in name), name
    assert "\\0D\\0A" in name and "CN=evil\\,CN=admin" in name, name


def test_a_hello_of_tls12_without_extended_master_secret_is_not_resumed_at_such_a_site(bed, pki):
    """gnutls-cli can leave the extension out; -r resumes at once."""
    import subprocess
    gw, back = gateway(bed, pki)
    alice = pki.client("alice")
    for priority, resumes in (("NORMAL:-VERS-ALL:+VERS-TLS1.2", True),
                              ("NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH", False)):
        back.seen.clear()
        got = subprocess.run(
            ["gnutls-cli", "--x509cafile", pki.ca.chain_file, "--x509certfile", alice.chain_file, "--x509keyfile",
             alice.key_file, "--priority", priority, "--resume", "--sni-hostname", "a.test", "--verify-hostname", "a.test",
             "-p", str(gw.port), "127.0.0.1"],
            input=b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", capture_output=True, timeout=20, check=False)
        text = got.stdout.decode() + got.stderr.decode()
        assert ("This is a resumed session" in text) is resumes, text
