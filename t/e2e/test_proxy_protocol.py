"""PROXY headers from proxies that are trusted, and to back-ends; whose X-Forwarded-For is believed."""
import socket
import ssl
import struct

import pytest

from bed import backend, client, http1, wait

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TRUSTED, STRANGER = "127.0.7.1", "127.0.7.2"


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def v1(source="203.0.113.9", dest="198.51.100.1", sport=4711, dport=443):
    return f"PROXY TCP{6 if ':' in source else 4} {source} {dest} {sport} {dport}\r\n".encode()


def v2(source="203.0.113.9", dest="198.51.100.1", sport=4711, dport=443, command=1, tlvs=b"", crc=False):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) + socket.inet_pton(family, dest) + struct.pack(">HH", sport, dport) + tlvs
    if crc:
        body += b"\3\0\4\0\0\0\0"
    head = SIGNATURE + bytes([0x20 | command, 0x21 if family == socket.AF_INET6 else 0x11]) + struct.pack(">H", len(body)) + body
    return head[:-4] + struct.pack(">I", crc32c(head)) if crc else head


@pytest.fixture(scope="module")
def world(shared):
    back = shared.backend()
    settings = shared.settings(back, workers=1, trusted_proxies=["127.0.7.1/32", "10.9.0.0/16"], timeouts={"handshake": "2s"},
                               listeners=[{"address": "127.0.0.1:0", "proxy_protocol": True},
                                          {"address": "127.0.0.1:0", "proxy_protocol": True, "mode": "plain"},
                                          {"address": "127.0.0.1:0"}])
    gw = shared.gateway(settings)
    return gw, back


def told(back):
    return back.seen[-1].get("X-Forwarded-For"), back.seen[-1].get("X-Real-IP"), back.seen[-1].get("X-Forwarded-Port")


HEADERS = {
    "v1": (v1(), "203.0.113.9", "443"),
    "v1 IPv6": (v1("2001:db8::7", "2001:db8::1", 1, 8443), "2001:db8::7", "8443"),
    "v2": (v2(), "203.0.113.9", "443"),
    "v2 IPv6": (v2("2001:db8::8", "2001:db8::1"), "2001:db8::8", "443"),
    "v2 with TLVs": (v2(tlvs=b"\1\0\2h2\4\0\3\0\0\0"), "203.0.113.9", "443"),
    "v2 with a CRC": (v2(crc=True), "203.0.113.9", "443"),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", TRUSTED, None),
    "v2 LOCAL": (v2(command=0), TRUSTED, None),
}


@pytest.mark.parametrize("name", HEADERS)
def test_the_client_is_the_headers(world, ctx, name):
    gw, back = world
    header, address, port = HEADERS[name]
    with client.Client(gw.port_of(0), ctx(), source=TRUSTED, before=header) as c:
        assert c.get("/one").status == 200
        assert told(back) == (address, address, port or str(gw.port_of(0)))
        assert c.get("/two").status == 200
        assert told(back)[0] == address
    wait.until(lambda: any(line.startswith(address + " ") for line in gw.access()), 5, "the log has it")


def test_header_and_hello_in_any_pieces(world, ctx):
    """One byte a write, and header and ClientHello in one: not a byte of TLS is lost or read too early."""
    gw, back = world
    for header in (v1(), v2(crc=True)):
        with socket.create_connection(("127.0.0.1", gw.port_of(1)), 10, (TRUSTED, 0)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for n, _ in enumerate(header):
                s.send(header[n:n + 1])
            s.sendall(http1.request("GET", "/bytes"))
            assert http1.Reader(s.recv).answer("GET").status == 200
            assert told(back)[0] == "203.0.113.9"
        with socket.create_connection(("127.0.0.1", gw.port_of(1)), 10, (TRUSTED, 0)) as s:
            s.sendall(header + http1.request("GET", "/whole"))
            assert http1.Reader(s.recv).answer("GET").status == 200
        out, into = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ctx().wrap_bio(into, out, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with socket.create_connection(("127.0.0.1", gw.port_of(0)), 10, (TRUSTED, 0)) as s:
            s.sendall(header + out.read())
            while True:
                into.write(s.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    s.sendall(out.read()) if out.pending else None
            s.sendall(out.read())
            assert tls.version() == "TLSv1.3"


def ends(s):
    s.settimeout(8)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_stranger_is_closed_whatever_he_says(world):
    gw, back = world
    before, seen = gw.counter("sslgw_ended_total_proxy_untrusted"), len(back.seen)
    with socket.create_connection(("127.0.0.1", gw.port_of(1)), 10, (STRANGER, 0)) as s:
        try:
            s.sendall(v1() + http1.request("GET", "/stranger"))
        except OSError:
            pass
        assert ends(s)
    wait.until(lambda: gw.counter("sslgw_ended_total_proxy_untrusted") == before + 1, 5, "it is counted")
    assert len(back.seen) == seen


BROKEN = {
    "none": http1.request("GET", "/"),
    "a hello": b"\x16\x03\x01\x00\x05hello",
    "v1 without an end": b"PROXY TCP4 " + b"1" * 200,
    "v1 bare LF": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
    "v1 no address": b"PROXY TCP4 nobody 1.2.3.4 1 1\r\n",
    "v1 port": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    "v2 version": v2()[:12] + b"\x31" + v2()[13:],
    "v2 too long": SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 100,
    "v2 too short": SIGNATURE + b"\x21\x11\0\4abcd",
    "v2 a wrong CRC": v2(crc=True)[:-1] + b"\0\0",
    "v2 a TLV past the end": v2(tlvs=b"\1\0\x09h2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_header_ends_it(world, name):
    gw, back = world
    before, seen = gw.counter("sslgw_ended_total_proxy_header"), len(back.seen)
    data = BROKEN[name]
    with socket.create_connection(("127.0.0.1", gw.port_of(1)), 10, (TRUSTED, 0)) as s:
        s.sendall(data + http1.request("GET", "/behind"))  # for who takes the header for one
        assert ends(s)
    wait.until(lambda: gw.counter("sslgw_ended_total_proxy_header") == before + 1, 5, "it is counted")
    assert len(back.seen) == seen


@pytest.mark.parametrize("part", [b"", b"PROXY TC", v2()[:20]])
def test_a_header_that_does_not_come_has_the_handshakes_time(world, part):
    gw, _ = world
    before = gw.counter("sslgw_ended_total_handshake_timeout")
    with socket.create_connection(("127.0.0.1", gw.port_of(1)), 10, (TRUSTED, 0)) as s:
        s.sendall(part)
        assert ends(s)
    wait.until(lambda: gw.counter("sslgw_ended_total_handshake_timeout") == before + 1, 5, "it is counted")


def test_a_check_that_says_nothing_is_no_complaint(world):
    gw, _ = world
    before = gw.counter("sslgw_ended_total_close")
    socket.create_connection(("127.0.0.1", gw.port_of(0)), 10, (TRUSTED, 0)).close()
    wait.until(lambda: gw.counter("sslgw_ended_total_close") == before + 1, 5, "it is counted as a close")


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def spoke(flags=7, verify=0, *more):
    return tlv(0x20, bytes([flags]) + struct.pack(">I", verify) + b"".join(more))


TLVS = ["proxy_alpn", "proxy_authority", "proxy_id", "proxy_tls_version", "proxy_cipher", "proxy_client_cn", "proxy_client_verify"]


def test_what_the_header_says_besides_is_told(bed, ctx):
    back = bed.backend()
    site = bed.site("localhost", add={f"X-{n.replace('_', '-')}": f"%{{{n}}}" for n in TLVS})
    gw = bed.gateway(bed.settings(
        back, workers=1, trusted_proxies=[TRUSTED], sites=[site], listeners=[{"address": "127.0.0.1:0", "proxy_protocol": True}],
        access_log={"file": f"{bed.folder}/gateway.access", "format": "|".join(f"%{{{n}}}" for n in TLVS)}))
    for tlvs, told in (
            (tlv(1, b"h2") + tlv(2, b"shop.example") + tlv(5, b"id-7 x") + spoke(
                7, 0, tlv(0x21, b"TLSv1.3"), tlv(0x22, b"alice"), tlv(0x23, b"TLS_AES_128_GCM_SHA256"), tlv(0x24, b"RSA-SHA256")),
             ["h2", "shop.example", "id-7 x", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "alice", "SUCCESS"]),
            (tlv(2, b"a\r\nX-Evil: 1\xff\0") + tlv(5, b"\0\xab"), [None, "a??X-Evil: 1??", "00ab", None, None, None, None]),
            (spoke(5, 1), [None] * 6 + ["FAILED"]), (spoke(1, 0), [None] * 6 + ["NONE"]), (spoke(0, 0), [None] * 7), (b"", [None] * 7)):
        with client.Client(gw.port, ctx(), source=TRUSTED, before=v2(tlvs=tlvs, crc=True)) as c:
            # Nobody else can say so.
            assert c.get("/", fields=[("X-Proxy-Authority", "forged"), ("X_Proxy_ID", "forged")]).status == 200
        assert [back.seen[-1].get(f"X-{n.replace('_', '-')}") for n in TLVS] == told
        assert not [n for n, _ in back.seen[-1].fields if "evil" in n.lower() or n == "X_Proxy_ID"]
        wait.until(lambda told=told: gw.access()[-1] == "|".join(x or "-" for x in told), 5, "the log says so")


@pytest.mark.parametrize("header", [v1(), v2(), v2(tlvs=tlv(2, b"shop.example"), crc=True), v2(command=0)])
def test_who_is_not_trusted_gets_nowhere_with_a_header(world, header):
    gw, back = world
    seen = len(back.seen)
    for listener, source in ((0, STRANGER), (1, STRANGER), (2, STRANGER), (2, TRUSTED)):  # the last one takes no headers
        with socket.create_connection(("127.0.0.1", gw.port_of(listener)), 10, (source, 0)) as s:
            try:
                s.sendall(header + http1.request("GET", "/stranger"))
            except OSError:
                pass
            s.settimeout(8)
            got = b""
            try:
                while piece := s.recv(4096):
                    got += piece
            except ConnectionResetError:
                pass
            assert not got.startswith(b"HTTP/1.1 200")
    assert len(back.seen) == seen


# ---- X-Forwarded-For and its like

SAID = [("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "http"), ("X-Request-ID", "abc-123"),
        ("X-Forwarded-Port", "8080")]


def test_what_a_trusted_proxy_says_is_kept(world, ctx):
    gw, back = world
    with client.Client(gw.port_of(2), ctx(), source=TRUSTED) as c:
        assert c.get("/", fields=SAID).status == 200
        seen = back.seen[-1]
        assert seen.get("X-Forwarded-For") == f"203.0.113.5, {TRUSTED}"
        assert seen.get("X-Forwarded-Proto") == "http"
        assert seen.get("X-Request-ID") == "abc-123"
        assert seen.get("X-Forwarded-Port") == "8080"
        assert seen.get("X-Real-IP") == "203.0.113.5"
        c.get("/", fields=[("X-Forwarded-For", "6.6.6.6, 203.0.113.6"), ("x-forwarded-for", "10.9.1.1")])
        seen = back.seen[-1]
        assert seen.get("X-Forwarded-For") == f"6.6.6.6, 203.0.113.6, 10.9.1.1, {TRUSTED}"
        assert seen.get("X-Real-IP") == "203.0.113.6", "the nearest that is no trusted proxy"
        c.get("/", fields=[("X-Forwarded-For", "not an address"), ("X-Request-ID", "a b\""), ("X-Forwarded-Proto", "gopher")])
        seen = back.seen[-1]
        assert seen.get("X-Real-IP") == TRUSTED
        assert len(seen.get("X-Request-ID")) == 32
        assert seen.get("X-Forwarded-Proto") == "https"
        c.get("/", fields=[*SAID, ("Connection", "X-Forwarded-For")])
        assert back.seen[-1].get("X-Forwarded-For") == f"203.0.113.5, {TRUSTED}"
        c.get("/", fields=[("X_Forwarded_For", "6.6.6.6")])
        assert back.seen[-1].get("X-Forwarded-For") == TRUSTED


def test_a_trusted_proxys_host_and_port_are_kept(world, ctx):
    gw, back = world
    with client.Client(gw.port_of(2), ctx(), source=TRUSTED) as c:
        def told(*fields):
            assert c.get("/", fields=fields).status == 200
            seen = back.seen[-1]
            assert seen.get("Host") == "localhost"
            return tuple(seen.get(f"X-Forwarded-{n}") for n in ("Proto", "Host", "Port"))
        assert told(("X-Forwarded-Host", "shop.example")) == ("https", "shop.example", "443")
        assert told(("X-Forwarded-Host", "shop.example:8444"), ("X-Forwarded-Proto", "http")) == ("http", "shop.example:8444", "8444")
        assert told(("X-Forwarded-Proto", "http")) == ("http", "localhost", "80")
        assert told(("X-Forwarded-Host", "a, b")) == ("https", "localhost", str(gw.port_of(2)))
    with client.Client(gw.port_of(2), ctx(), source=STRANGER) as c:
        assert told(("X-Forwarded-Host", "evil"), ("X-Forwarded-Port", "6")) == ("https", "localhost", str(gw.port_of(2)))


def forwarding(bed, header, **more):
    back = bed.backend()
    sites = [bed.site("localhost", headers=["forwarded", "rfc7239"], routes=[
        {"path": "/", "pool": "main"}, {"path": "/inner/", "pool": "main", "require": {"networks": ["203.0.113.0/24"]}}])]
    gw = bed.gateway(bed.settings(back, workers=1, sites=sites, trusted_proxies=["127.0.7.1", "10.9.0.0/16"],
                                  **({"trusted_header": header} if header else {}), **more))
    return gw, back


BOTH = [("Forwarded", 'for="203.0.113.5:99";proto=http;host="shop.example", for=10.9.1.1'), ("X-Forwarded-For", "203.0.113.6, 10.9.1.2"),
        ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "other.example")]


def test_forwarded_is_appended_to_and_says_who_the_client_is(bed, ctx):
    gw, back = forwarding(bed, "forwarded", access_log={"file": f"{bed.folder}/gateway.access", "format": "%{client} %{peer} %{target}"})
    with client.Client(gw.port, ctx(), source=TRUSTED) as c:
        assert c.get("/inner/a", fields=BOTH).status == 200
        seen = back.seen[-1]
        assert seen.get("Forwarded") == f'{BOTH[0][1]}, for={TRUSTED};host="localhost";proto=https'
        assert seen.get("X-Forwarded-For") == f"203.0.113.5, 10.9.1.1, {TRUSTED}"
        assert [seen.get(n) for n in ("X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port")] == \
            ["203.0.113.5", "http", "shop.example", "80"]
        # Not by that header: a client may have sent it.
        assert c.get("/inner/b", fields=BOTH[1:]).status == 403
        assert c.get("/inner/c", fields=[("Forwarded", 'for=203.0.113.5;for="')]).status == 403
        assert c.get("/inner/d", fields=[("Forwarded", "for=203.0.113.5, for=198.51.100.1")]).status == 403
    with client.Client(gw.port, ctx(), source=STRANGER) as c:
        assert c.get("/inner/e", fields=BOTH).status == 403
        assert c.get("/f", fields=BOTH).status == 200
        assert back.seen[-1].get("Forwarded") == f'for={STRANGER};host="localhost";proto=https'
    lines = wait.until(lambda: (x := gw.access()) and len(x) == 6 and x, 5, "the log")
    assert lines[0] == f"203.0.113.5 {TRUSTED} /inner/a" and lines[1] == f"{TRUSTED} {TRUSTED} /inner/b"
    assert lines[3] == f"198.51.100.1 {TRUSTED} /inner/d" and lines[5] == f"{STRANGER} {STRANGER} /f"


def test_forwarded_of_a_proxy_that_writes_the_other_is_not_believed(bed, ctx):
    gw, back = forwarding(bed, None)
    with client.Client(gw.port, ctx(), source=TRUSTED) as c:
        assert c.get("/inner/", fields=BOTH).status == 200
        seen = back.seen[-1]
        assert seen.get("X-Real-IP") == "203.0.113.6" and seen.get("X-Forwarded-For") == f"203.0.113.6, 10.9.1.2, {TRUSTED}"
        assert seen.get("Forwarded") == 'for=203.0.113.6;host="other.example";proto=https, for=10.9.1.2, ' \
            f'for={TRUSTED};host="localhost";proto=https'
        assert c.get("/inner/", fields=BOTH[:1]).status == 403


def test_what_anybody_else_says_is_replaced(world, ctx):
    gw, back = world
    with client.Client(gw.port_of(2), ctx(), source=STRANGER) as c:
        c.get("/", fields=SAID)
        seen = back.seen[-1]
        assert seen.get("X-Forwarded-For") == seen.get("X-Real-IP") == STRANGER
        assert seen.get("X-Forwarded-Proto") == "https"
        assert len(seen.get("X-Request-ID")) == 32


def test_a_client_behind_a_proxy_header_is_not_trusted(world, ctx):
    gw, back = world
    with client.Client(gw.port_of(0), ctx(), source=TRUSTED, before=v1()) as c:
        c.get("/", fields=SAID)
        assert back.seen[-1].get("X-Forwarded-For") == "203.0.113.9"


# ---- to back-ends

def headed(connection):
    """A back-end that wants a PROXY header: it is kept in connection.header."""
    first = connection.recv(16)
    while len(first) < 16:
        first += connection.recv(16 - len(first))
    if first.startswith(SIGNATURE):
        rest = connection.recv(struct.unpack(">H", first[14:16])[0])
    else:
        rest = b""
        while not rest.endswith(b"\r\n"):
            rest += connection.recv(1)
    connection.header = first + rest
    backend.by_answers(connection)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "*:0"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_to_back_ends(bed, ctx, version, listen):
    """With the address that the client came to, of a listener on all of them, too."""
    back = bed.backend(script=headed)
    gw = bed.gateway(bed.settings(workers=1, listeners=[{"address": listen}], pools=[
        {"name": "main", "proxy_protocol": version, "servers": [{"address": back.address}]}]))
    used = []
    for source in ("127.0.8.1", "127.0.8.2"):
        with client.Client(gw.port, ctx(), source=source) as c:
            for n in range(3):
                assert c.get(f"/{n}", method="POST", body=b"x" * 1000).status == 200
                seen = back.seen[-1]
                mine = seen.connection.header
                if version == "v1":
                    assert mine == f"PROXY TCP4 {source} 127.0.0.1 {c.local_port} {gw.port}\r\n".encode()
                else:
                    expected = v2(source, "127.0.0.1", c.local_port, gw.port, crc=True)
                    assert mine == expected
                used.append(seen.connection.number)
    assert len(set(used)) == len(used), "no connection served two requests"


def test_the_configuration_is_checked(bed):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, listeners=[{"address": "127.0.0.1:0", "proxy_protocol": True}]), start=False)
    gw.write()
    got = gw.check()
    assert got.returncode != 0 and "trusted_proxies" in got.stderr, got
    gw.write(bed.settings(back, trusted_proxies=["10.0.0.1/8"]))
    got = gw.check()
    assert got.returncode != 0 and "10.0.0.1/8" in got.stderr, got
