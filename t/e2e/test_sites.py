"""Each TLS setting of a site holds for it, and only for it: default site and another, by SNI, in both
versions, full and resumed, after a HelloRetryRequest."""
import ssl
import subprocess

import pytest

from bed import client, hello, wait


def sites(bed, default=None, other=None, **more):
    return bed.gateway(bed.settings(bed.backend(), sites=[
        bed.site("localhost", **(default or {})), bed.site("a.test", **(other or {}))], **more))


def reach(gw, c, sni, session=None):
    """The version and cipher, or None where the handshake is refused (in 1.3 perhaps only at the first read)."""
    try:
        got, facts, _ = client.get(gw.port, c, sni=sni, session=session)
    except (ssl.SSLError, ConnectionError, OSError):
        return None
    return facts if got is not None else None


def test_each_site_shows_its_own_chain(bed, ctx, pki):
    gw = sites(bed)
    for name in ("localhost", "a.test"):
        for kind, options in (("rsa", {"version": "1.2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}),
                              ("ec", {"version": "1.2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}),
                              ("ec", {"version": "1.3"})):
            with client.Client(gw.port, ctx(**options), sni=name) as c:
                assert c.certificate() == pki.leaf(name, kind=kind).der
    with client.Client(gw.port, client.context(pki, verify=False), sni=None) as c:
        assert c.certificate() == pki.leaf("localhost", kind="ec").der
    with client.Client(gw.port, client.context(pki, verify=False), sni="unknown.test") as c:
        assert c.certificate() == pki.leaf("localhost", kind="ec").der


@pytest.mark.parametrize("setting, works, fails", [
    ({"min_version": "1.3"}, {"version": "1.3"}, {"version": "1.2"}),
    ({"max_version": "1.2"}, {"version": "1.2"}, {"version": "1.3"}),
    ({"tls_profile": "modern"}, {"version": "1.3"}, {"version": "1.2"}),
    ({"ciphers": "ECDHE-RSA-AES256-GCM-SHA384", "max_version": "1.2"},
     {"version": "1.2", "ciphers": "ECDHE-RSA-AES256-GCM-SHA384"},
     {"version": "1.2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}),
    ({"groups": ["P-256"]}, {"version": "1.2", "group": "prime256v1"}, {"version": "1.2", "group": "secp384r1"}),
    ({"groups": ["P-256"]}, {"version": "1.3", "group": "prime256v1"}, {"version": "1.3", "group": "secp384r1"}),
    ({"groups": ["P-384"]}, {"version": "1.3", "group": "secp384r1"}, {"version": "1.3", "group": "prime256v1"}),
], ids=str)
@pytest.mark.parametrize("strict", ["a.test", "localhost"])
def test_a_setting_holds_at_its_site_and_not_at_the_other(bed, ctx, setting, works, fails, strict):
    gw = sites(bed, *((setting, {}) if strict == "localhost" else ({}, setting)))
    free = "a.test" if strict == "localhost" else "localhost"
    for options in (works, fails):
        assert reach(gw, ctx(**options), free), f"{free} refuses {options}"
    assert reach(gw, ctx(**works), strict)
    assert reach(gw, ctx(**fails), strict) is None


def test_ciphersuites_of_tls13_hold(bed, pki):
    gw = sites(bed, {}, {"ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"})
    for name, ours, suite, good in (("a.test", "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", True),
                                    ("a.test", "TLS_AES_128_GCM_SHA256", None, False),
                                    ("localhost", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", True)):
        status, text = client.s_client(gw.port, "-tls1_3", "-ciphersuites", ours, sni=name)
        assert (status == 0) is good, f"{name} {ours}: {text}"
        if good:
            assert f"Cipher is {suite}" in text


def test_the_order_of_preference_is_each_sites_own(bed):
    gw = sites(bed, {"max_version": "1.2"}, {"max_version": "1.2", "prefer_client_ciphers": True})
    order = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
    for name, chosen in (("localhost", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("a.test", "ECDHE-ECDSA-AES256-GCM-SHA384")):
        _, text = client.s_client(gw.port, "-tls1_2", "-cipher", order, sni=name)
        assert f"Cipher is {chosen}" in text, text


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_certificate_is_asked_only_where_the_site_says_so(bed, ctx, pki, version):
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}}
    alice = ctx(version=version, identity=pki.client("alice"))
    for default, other, strict, free in ((rule, {}, "localhost", "a.test"), ({}, rule, "a.test", "localhost")):
        gw = sites(bed, default, other)
        assert reach(gw, ctx(version=version), free)
        assert reach(gw, ctx(version=version), strict) is None
        assert reach(gw, alice, strict)
        gw.stop()
        bed.running.remove(gw)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_of_an_open_site_does_not_open_one_that_demands_a_certificate(bed, ctx, pki, version):
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}}
    gw = sites(bed, {}, rule)
    c = ctx(version=version)
    for _ in range(5):
        _, _, session = client.get(gw.port, c, sni="localhost")
        assert reach(gw, c, "a.test", session) is None


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_resumed_session_keeps_to_settings_that_were_tightened_since(bed, ctx, version):
    """Version and cipher must still be enabled at the site when a session comes back."""
    gw = sites(bed)
    cipher = "ECDHE-ECDSA-AES256-GCM-SHA384"
    c = ctx(version=version, **({"ciphers": cipher + ":ECDHE-ECDSA-AES128-GCM-SHA256"} if version == "1.2" else {}))
    only = {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"}
    first = ctx(version="1.2", ciphers=cipher) if version == "1.2" else c
    _, facts, session = client.get(gw.port, first, sni="a.test")
    settings = dict(gw.settings)
    settings["sites"] = [bed.site("localhost"), bed.site("a.test", **(only if version == "1.2" else {"max_version": "1.2"}))]
    gw.reload(settings)
    if version == "1.3":
        assert reach(gw, c, "a.test", session) is None
    else:
        assert reach(gw, first, "a.test", session) is None


def test_settings_hold_after_a_hello_retry_request(bed, ctx, pki):
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}, "groups": ["P-384"]}
    gw = sites(bed, {}, rule)
    alice = pki.client("alice")
    text = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    groups = ("-tls1_3", "-groups", "X25519:P-384")
    _, out = client.s_client(gw.port, *groups, "-cert", alice.chain_file, "-key", alice.key_file, "-cert_chain",
                             alice.chain_file, text=text, sni="a.test")
    assert "HTTP/1.1 200" in out, out
    _, out = client.s_client(gw.port, *groups, text=text, sni="a.test")
    assert "HTTP/1.1 200" not in out and "alert certificate required" in out, out
    _, out = client.s_client(gw.port, "-tls1_3", "-groups", "X25519:P-256", text=text, sni="a.test")
    assert "HTTP/1.1 200" not in out, out


def test_a_second_hello_with_another_name_ends_the_handshake(bed):
    gw = sites(bed, {}, {})
    assert hello.second_hello(gw.port, "a.test", "a.test").kind == "server_hello"
    for first, second in (("a.test", "localhost"), ("localhost", "a.test"), ("a.test", None), (None, "a.test")):
        answer = hello.second_hello(gw.port, first, second)
        assert answer.kind == "alert" and answer.alert == hello.ILLEGAL_PARAMETER, f"{first} then {second}: {answer}"


def test_without_the_settings_of_the_switch_a_site_is_not_protected(bed, ctx, pki, faults_build):
    """Counter-proof: copying only the SSL_CTX lets clients in without a certificate."""
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}, "min_version": "1.3"}
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site("localhost"), bed.site("a.test", **rule)]),
                     build=faults_build, env={"SSLGW_FAULT": "no-site-switch-settings"})
    entered = reach(gw, ctx(version="1.2"), "a.test"), reach(gw, ctx(version="1.3"), "a.test")
    assert any(entered)


def test_names_wildcards_and_case(bed, ctx, pki):
    gw = bed.gateway(bed.settings(bed.backend(), sites=[
        bed.site("localhost"), bed.site("*.wild.test"), bed.site("exact.wild.test")]))
    shows = {"x.wild.test": "*.wild.test", "X.WILD.TEST": "*.wild.test", "exact.wild.test": "exact.wild.test",
             "EXACT.wild.test": "exact.wild.test", "a.b.wild.test": "localhost", "wild.test": "localhost",
             "localhost.": "localhost"}
    free = client.context(pki, verify=False)
    for name, site in shows.items():
        if name.endswith("."):
            continue
        with client.Client(gw.port, free, sni=name) as c:
            assert c.certificate() == pki.leaf(site, kind="ec").der, name


def test_a_host_of_a_site_with_other_rules_is_misdirected(bed, ctx, pki):
    """421, and nothing reaches the back-end, where the other site has other certificates or asks its clients for
    another proof; one with the same certificates and rules is served on the same connection."""
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}}
    optional = {"client_certificate": {"verify": "optional", "ca_file": pki.client_ca.chain_file}}
    shared = [pki.leaf("one.test", "two.test", "strict.test", kind="ec").chain_file]
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, sites=[
        bed.site("localhost"), bed.site("a.test", **rule), bed.site("b.test"), bed.site("one.test", certificates=shared),
        bed.site("two.test", certificates=shared), bed.site("strict.test", certificates=shared, **rule),
        bed.site("lax.test", certificates=shared, **optional)]))
    alice = pki.client("alice")
    for sni, host, identity, status in (
            ("localhost", "a.test", None, 421), ("localhost", "b.test", None, 421), ("localhost", "A.TEST", None, 421),
            ("localhost", "a.test:443", None, 421), ("localhost", "a.test.", None, 421), ("localhost", "unknown.test", None, 200),
            ("one.test", "two.test", None, 200), ("one.test", "strict.test", None, 421), ("one.test", "lax.test", None, 421),
            ("a.test", "localhost", alice, 421), ("a.test", "strict.test", alice, 421), ("strict.test", "one.test", alice, 421),
            ("strict.test", "lax.test", alice, 421), ("strict.test", "STRICT.test", alice, 200)):
        for version in ("1.2", "1.3"):
            before = len(back.seen)
            with client.Client(gw.port, ctx(version=version, identity=identity), sni=sni) as c:
                assert c.get("/x", host=host).status == status, f"TLS {version}, {host} on a connection for {sni}"
                if status == 421:
                    assert c.recv(1) == b"", "the connection goes on"
                else:
                    assert c.get("/y").status == 200
            assert len(back.seen) - before == (2 if status == 200 else 0)
    with client.Client(gw.port, client.context(pki, verify=False), sni=None) as c:
        assert c.get("/x", host="a.test").status == 421
    with client.Client(gw.port, ctx(), sni="localhost") as c:
        c.send(b"GET https://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert c.reader.answer().status == 421


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("spelling", ["a.test", "A.TEST", "a.TesT", "a.test.", "A.Test."])
def test_no_spelling_of_a_name_gets_round_its_sites_rule(bed, version, spelling, pki):
    rule = {"client_certificate": {"verify": "require", "ca_file": pki.client_ca.chain_file}}
    gw = sites(bed, {}, rule)
    back = bed.running[0]
    for host in ("a.test", spelling):
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        _, out = client.s_client(gw.port, f"-tls{version.replace('.', '_')}", text=request, sni=spelling)
        assert "HTTP/1.1 200" not in out, out
    assert not back.seen


def test_alpn(bed, ctx):
    gw = sites(bed)
    for name in ("localhost", "a.test"):
        for offer, agreed in ((("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"), (None, None),
                              (("http/1.0",), "http/1.0"), (("http/1.0", "http/1.1"), "http/1.1")):
            with client.Client(gw.port, ctx(alpn=offer), sni=name) as c:
                assert c.tls.selected_alpn_protocol() == agreed and c.get("/").status == 200
        for offer in (("h2",), ("ftp", "imap")):
            with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
                client.Client(gw.port, ctx(alpn=offer), sni=name)
