"""What the back-end is told, and that no client can forge it, in front of Apache's CGI too."""
import itertools
import re

import pytest

from bed import backend, client, http1

# Every name that sslgw owns, of all profiles, switched on or not, and httpoxy's.
OWNED = """X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port X-Real-IP X-Request-ID Forwarded
Client-Cert Client-Cert-Chain X-SSL-Protocol X-SSL-Cipher X-SSL-Cipher-Usekeysize X-SSL-Cipher-Algkeysize
X-SSL-Session-Id X-SSL-Session-Resumed X-SSL-TLS-SNI X-SSL-Client-Verify X-SSL-Client-S-DN X-SSL-Client-I-DN
X-SSL-Client-M-Serial X-SSL-Client-V-Start X-SSL-Client-V-End X-SSL-Client-Cert X-ARR-ClientCert X-ARR-SSL
Front-End-Https MS-ASPNETCORE-CLIENTCERT X-Forwarded-Client-Cert Proxy""".split()
FORGED = "forged-by-the-client"


def spellings(name):
    yield name
    yield name.lower()
    yield name.upper()
    yield name.replace("-", "_")
    yield name.replace("-", ".")
    yield name.replace("-", "_", 1).swapcase()
    parts = name.split("-")
    if len(parts) > 2:
        for marks in itertools.islice(itertools.product("-_.", repeat=len(parts) - 1), 1, 27, 3):
            yield "".join(p + m for p, m in zip(parts, [*marks, ""]))


@pytest.fixture(scope="module")
def world(shared):
    apache, back = shared.apache(), shared.backend()
    apache_gw = shared.gateway(shared.settings(apache), name="apache")
    gw = shared.gateway(shared.settings(back), name="recording")
    return gw, back, apache_gw


@pytest.fixture(scope="module")
def one(world, ctx):
    gw, back, _ = world
    with client.Client(gw.port, ctx()) as c:
        yield c, back


def like(name):
    return re.sub(r"[-_.]", "-", name.lower())


@pytest.mark.parametrize("name", OWNED)
def test_forged_in_any_spelling_never_arrives(one, name):
    c, back = one
    for spelling in dict.fromkeys(spellings(name)):
        for fields in ([(spelling, FORGED)], [(spelling, FORGED), (spelling, FORGED + "2")],
                       [("Connection", f"keep-alive, {spelling}"), (spelling, FORGED)],
                       [(spelling, FORGED), ("Connection", spelling)]):
            assert c.get("/", fields=fields).status == 200
            assert FORGED.encode() not in back.seen[-1].head, f"{fields} arrived: {back.seen[-1].head!r}"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "X-SSL-Protocol", "X-SSL-Client-Verify",
                                  "X-Request-ID", "Host", "Content-Length"])
def test_naming_a_header_in_connection_does_not_take_it_away(one, name):
    c, back = one
    for value in (name, name.lower(), f"close-not, {name}", f"{name}, keep-alive"):
        assert c.get("/", fields=[("Connection", value)]).status == 200
        assert back.seen[-1].get(name) is not None or name == "Content-Length"


def test_what_the_backend_is_told(world, ctx):
    gw, back, _ = world
    for version, cipher in (("1.2", "ECDHE-RSA-AES128-GCM-SHA256"), ("1.3", None)):
        with client.Client(gw.port, ctx(version=version, **({"ciphers": cipher} if cipher else {}))) as c:
            assert c.get("/told", fields=[("X-Other", "kept"), ("Accept", "*/*")]).status == 200
            seen = back.seen[-1]
            tell = {
                "Host": "localhost", "X-Other": "kept", "Accept": "*/*",
                "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost",
                "X-Forwarded-Port": str(gw.port), "X-Real-IP": "127.0.0.1",
                "X-SSL-Protocol": f"TLSv{version}", "X-SSL-Cipher": c.cipher,
                "X-SSL-Cipher-Usekeysize": str(c.tls.cipher()[2]), "X-SSL-Cipher-Algkeysize": str(c.tls.cipher()[2]),
                "X-SSL-Session-Resumed": "Initial", "X-SSL-TLS-SNI": "localhost", "X-SSL-Client-Verify": "NONE",
            }
            for name, value in tell.items():
                assert seen.get(name) == value, name
            assert re.fullmatch("[0-9a-f]{32}", seen.get("X-Request-ID"))
            assert seen.version == "HTTP/1.1" and seen.target == "/told"


def test_apache_sees_the_same_and_nothing_forged(world, ctx, pki):
    """Apache's CGI cannot tell - from _: it must see one value of each name, ours."""
    _, _, gw = world
    fields = [(s, FORGED) for name in ("X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-Forwarded-For", "X-Real-IP", "Proxy")
              for s in dict.fromkeys(spellings(name))]
    got, facts, _ = client.get(gw.port, ctx(), "/seen?by=cgi", fields=fields)
    lines = dict(x.split(": ", 1) for x in got.body.decode().split("\n")[1:] if x)
    assert FORGED not in got.body.decode()
    assert lines["X-SSL-PROTOCOL"] == facts[0] and lines["X-SSL-CIPHER"] == facts[1]
    assert lines["X-FORWARDED-FOR"] == "127.0.0.1" and lines["X-FORWARDED-PROTO"] == "https"
    assert lines["X-SSL-CLIENT-VERIFY"] == "NONE" and "PROXY" not in lines and "X-SSL-CLIENT-S-DN" not in lines


def test_request_ids_differ(one):
    c, back = one
    ids = set()
    for _ in range(100):
        c.get("/")
        ids.add(back.seen[-1].get("X-Request-ID"))
    assert len(ids) == 100


def test_hop_by_hop_fields_end_here(one):
    c, back = one
    fields = [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
              ("Proxy-Connection", "keep-alive"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
              ("Trailer", "X-T")]
    assert c.get("/", fields=fields).status == 200
    gone = {"x-hop", "keep-alive", "te", "proxy-connection", "upgrade", "http2-settings", "trailer"}
    assert not gone & set(back.seen[-1].names()), back.seen[-1].head


def test_profiles_are_what_the_site_says(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, sites=[bed.site("localhost", headers=["forwarded"]), bed.site("a.test", headers=["mod_ssl"])]))
    client.get(gw.port, ctx())
    names = back.seen[-1].names()
    assert "x-forwarded-for" in names and not [n for n in names if n.startswith("x-ssl-")]
    client.get(gw.port, ctx(), sni="a.test")
    names = back.seen[-1].names()
    assert "x-ssl-protocol" in names and "x-forwarded-for" not in names


def test_what_an_answer_may_not_bring(bed, ctx):
    """Hop-by-hop fields of an answer end here; its framing is made anew."""
    back = bed.backend(reply=backend.answer(b"hi", fields=[
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=3"), ("Proxy-Connection", "close"),
        ("X-Kept", "yes"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    gw = bed.gateway(bed.settings(back))
    got, _, _ = client.get(gw.port, ctx())
    names = [n.lower() for n, _ in got.fields]
    assert got.get("X-Kept") == "yes" and got.all("Set-Cookie") == ["a=1", "b=2"]
    assert not {"x-hop", "proxy-connection"} & set(names), got.fields


def test_the_log_cannot_be_forged(bed, ctx):
    from bed import wait
    back = bed.backend()
    gw = bed.gateway(bed.settings(back))
    client.get(gw.port, ctx(), "/log?%0a%0d", fields=[("User-Agent", 'x" 200 5 "\t\x80\xff'), ("Referer", '\\"')])
    line = wait.until(lambda: gw.access(), 5, "a line")[-1]
    assert len(gw.access()) == 1 and all(32 <= ord(ch) < 127 for ch in line), line
    assert re.search(r'"x\\" 200 5 \\"(\\t|\\x09)\\x80\\xff"$', line), line


def test_redirect_listener(bed, pki):
    import socket
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site("localhost"), bed.site("a.test")], listeners=[
        {"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "mode": "redirect"}]))
    port = gw.port_of(1)

    def ask(data):
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(data)
            return http1.Reader(s.recv).answer()
    got = ask(http1.request("GET", "/x?y=1", "a.test"))
    assert got.status in (301, 308) and got.get("Location") in (f"https://a.test:{gw.port}/x?y=1", "https://a.test/x?y=1")
    got = ask(http1.request("POST", "/x", "A.TEST:80", body=b"abc"))
    assert got.status == 308 and got.get("Location").startswith("https://a.test")
    got = ask(http1.request("GET", "/x", "evil.test"))
    assert "evil.test" not in (got.get("Location") or "")
    got = ask(http1.request("GET", "/x%0d%0aSet-Cookie:a", "a.test"))
    assert got.get("Set-Cookie") is None
