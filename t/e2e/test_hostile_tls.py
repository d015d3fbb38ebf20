"""What hostile TLS clients send. Nothing of it may cost more than its own connection: after each, the
same workers serve, and nothing is left open."""
import os
import random
import socket
import struct
import subprocess
import time

import pytest

from bed import client, hello, http1, sealed, wait
from bed.hello import Raw, record, records


@pytest.fixture(scope="module")
def gw(shared):
    back = shared.backend()
    return shared.gateway(shared.settings(back, sites=[
        shared.site("localhost"), shared.site("a.test"), shared.site("stateful.test", resumption="stateful")],
        timeouts={"handshake": "2s"}))


@pytest.fixture(autouse=True)
def unharmed(gw, ctx):
    workers = gw.workers()
    yield
    assert gw.workers() == workers, "a worker was lost"
    assert client.get(gw.port, ctx())[0].status == 200
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 10, "no connection is left")
    for name in ("sslgw_handshakes_open", "sslgw_handshakes_paused", "sslgw_fibres_open", "sslgw_service_asks_open"):
        assert gw.counter(name) == 0, name


def asked(gw, *parts):
    with Raw(gw.port) as c:
        for part in parts:
            c.send(part)
        return c.answer()


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("tls13", [True, False])
def test_a_hello_in_small_records_and_small_segments_is_answered(gw, size, tls13):
    message = hello.hello("a.test", tls13=tls13)
    assert asked(gw, records(message, size)).kind == "server_hello"
    data = record(message)
    with Raw(gw.port) as c:
        for at in range(0, len(data), size):
            c.send(data[at:at + size])
        assert c.answer().kind == "server_hello"


@pytest.mark.parametrize("size, fine", [(8000, True), (15000, True), (16500, False), (60000, False), (200000, False)])
def test_hellos_above_16_kib_are_refused(gw, size, fine):
    pads = b"".join(hello.extension(21 if n == 0 else 60000 + n, b"\0" * min(30000, size - 30000 * n))
                    for n in range((size + 29999) // 30000))
    if size > 65000:
        body = hello.hello("a.test")[4:] + b"\0" * size
        message = b"\1" + struct.pack("!I", len(body))[1:] + body
    else:
        message = hello.hello("a.test", more=pads)
    try:
        answer = asked(gw, records(message, 16384))
    except ConnectionError:
        answer = hello.Answer("closed")
    assert (answer.kind == "server_hello") is fine, answer


NAMES = {
    "empty list": hello.extension(0, hello.u16(b"")),
    "empty extension": hello.extension(0, b""),
    "empty name": hello.extension(0, hello.u16(b"\0" + hello.u16(b""))),
    "two names": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a.test") + b"\0" + hello.u16(b"localhost"))),
    "list longer than its bytes": hello.extension(0, b"\0\x40\0\0\6a.test"),
    "list shorter than its bytes": hello.extension(0, b"\0\5\0\0\6a.test"),
    "name longer than the list": hello.extension(0, hello.u16(b"\0\0\x60a.test")),
    "bytes after the list": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a.test")) + b"x"),
    "NUL within": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a.test\0.localhost"))),
    "NUL at the end": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a.test\0"))),
    "256 bytes": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a" * 256))),
    "4000 bytes": hello.extension(0, hello.u16(b"\0" + hello.u16(b"a." * 2000))),
    "twice": hello.server_name("a.test") + hello.server_name("localhost"),
}


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("tls13", [True, False])
def test_malformed_names_end_the_handshake_or_get_the_default_site(gw, what, tls13):
    answer = asked(gw, record(hello.hello(names=NAMES[what], tls13=tls13)))
    assert answer.kind in ("alert", "closed") or (answer.kind == "server_hello" and (what.startswith("NUL") or "bytes" in what)), answer
    if what in ("two names", "list longer than its bytes", "list shorter than its bytes", "name longer than the list",
                "bytes after the list", "twice", "empty list", "empty extension"):
        assert answer.kind == "alert", answer


def test_mutated_hellos_harm_nobody(gw):
    source = random.Random(20)
    good = [hello.hello("a.test"), hello.hello("a.test", tls13=False), hello.hello("stateful.test", session=os.urandom(32)),
            hello.hello("a.test", alpn=[b"http/1.1"])]
    for n in range(400):
        message = bytearray(source.choice(good))
        for _ in range(source.choice((1, 1, 2, 5))):
            way, at = source.randrange(4), source.randrange(max(1, len(message)))
            if way == 0 and message:
                message[at] = source.randrange(256)
            elif way == 1:
                del message[at:at + source.randrange(1, 40)]
            elif way == 2:
                message[at:at] = source.randbytes(source.randrange(1, 40))
            else:
                message = message[:at + 1]
        if source.random() < 0.5 and len(message) > 4:
            message[1:4] = struct.pack("!I", len(message) - 4)[1:]
        with Raw(gw.port, timeout=0.02) as c:
            try:
                c.send(record(bytes(message)))
                c.answer()
            except OSError:
                pass


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    b"\r\nGET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=repr)
def test_plain_http_is_told_or_closed_and_never_forwarded(gw, shared, data):
    back = shared.running[0]
    before = len(back.seen)
    with socket.create_connection(("127.0.0.1", gw.port), 5) as s:
        s.sendall(data)
        got = b""
        try:
            while block := s.recv(65536):
                got += block
        except ConnectionError:
            pass
    assert got == b"" or got.startswith(b"HTTP/1.1 400") or got[:1] == b"\x15", got
    assert len(back.seen) == before


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"SSH-2.0-OpenSSH_9.2\r\n", b"\x80\x2e\1\0\2\0\x15\0\0\0\x10", b"\x16\3\1\xff\xff" + b"a" * 100,
                                  b"\x16\3\1\0\0", b"\x14\3\3\0\1\1", b"\x15\3\3\0\2\2\x28", b"\x17\3\3\0\5hello", b"*1\r\n$4\r\nPING\r\n"], ids=repr)
def test_other_bytes_end_by_the_handshakes_deadline(gw, data):
    began = time.monotonic()
    with Raw(gw.port, timeout=8) as c:
        if data:
            c.send(data)
        assert c.closed(), "still open"
    assert time.monotonic() - began < 6


def test_floods_of_empty_records_end(gw):
    for kind in (20, 21, 22, 23):
        with Raw(gw.port, timeout=6) as c:
            try:
                c.send(record(hello.hello("a.test")))
                c.send(record(b"", kind) * 5000)
                assert c.closed()
            except OSError:
                pass


def test_early_change_cipher_spec_ends_a_tls12_handshake(gw):
    with Raw(gw.port) as c:
        c.send(record(hello.hello("a.test", tls13=False)))
        assert c.answer().kind == "server_hello"
        c.send(record(b"\1", 20, b"\3\3") + record(os.urandom(40), 22, b"\3\3"))
        assert c.closed()


@pytest.mark.parametrize("ticket", [b"\0" * 16, b"\0" * 200, os.urandom(200), os.urandom(5000), b"\1" + b"\0" * 15 + os.urandom(150)],
                         ids=["zeros", "long zeros", "random", "large", "shaped"])
def test_made_up_tickets_and_ids_mean_a_full_handshake(gw, ticket):
    before = gw.counter("sslgw_handshakes_resumed_ticket_total")
    session = os.urandom(32)
    answer = asked(gw, record(hello.hello("a.test", tls13=False, session=session, more=hello.extension(35, ticket))))
    assert answer.kind == "server_hello" and answer.body[39:71] != session, "the made-up id was echoed"
    identities = hello.u16(hello.u16(ticket) + b"\0\0\0\0")
    psk = hello.extension(41, identities + hello.u16(hello.u8(os.urandom(32))))
    for name in ("a.test", "stateful.test"):
        answer = asked(gw, record(hello.hello(name, more=psk)))
        assert answer.kind == "server_hello" and b"\0\x29\0\2\0\0" not in answer.body[70:], "a made-up ticket was taken"
    assert gw.counter("sslgw_handshakes_resumed_ticket_total") == before


def test_of_many_tickets_only_the_first_is_looked_up(gw):
    before = gw.counter("sslgw_session_cache_misses_total") + gw.counter("sslgw_session_cache_hits_total")
    identities = hello.u16(b"".join(hello.u16(os.urandom(32)) + b"\0\0\0\0" for _ in range(100)))
    binders = hello.u16(hello.u8(os.urandom(32)) * 100)
    answer = asked(gw, record(hello.hello("stateful.test", more=hello.extension(41, identities + binders))))
    assert answer.kind == "server_hello", answer
    after = gw.counter("sslgw_session_cache_misses_total") + gw.counter("sslgw_session_cache_hits_total")
    assert after - before <= 1


def typed(gw, options, lines, until, seconds=20, first=b"", shown=lambda: True):
    """openssl s_client with lines typed one after the other, each once the former has shown its effect."""
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{gw.port}", "-servername", "localhost", *options],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = bytearray()
    try:
        os.set_blocking(p.stdout.fileno(), False)

        def shows(count, word):
            def look():
                out.extend(p.stdout.read() or b"")
                return p.poll() is not None or out.count(word) >= count
            return look
        wait.until(shows(1, b"---\nread R BLOCK" if b"read R BLOCK" in out else b"Verify return code"), seconds, "the handshake's end")
        p.stdin.write(first)
        p.stdin.flush()
        wait.until(shown, 5, "the effect of the first bytes")
        for n, line in enumerate(lines, 1):
            try:
                p.stdin.write(line)
                p.stdin.flush()
            except BrokenPipeError:
                break
            if p.poll() is not None:
                break
            wait.until(shows(n, until), seconds, f"the effect of line {n}")
            if p.poll() is not None:
                break
        ended = True
        try:
            wait.until(lambda: shows(1, b"\0never")() and p.poll() is not None, 3, "its end")
        except AssertionError:
            ended = False
        return bytes(out), ended
    finally:
        p.kill()
        p.wait()


def test_renegotiation_is_refused(gw):
    out, ended = typed(gw, ["-tls1_2"], [b"R\n"], b"RENEGOTIATING")
    assert ended or b"no renegotiation" in out, out[-500:]
    assert out.count(b"BEGIN CERTIFICATE") <= 1


def test_a_flood_of_key_updates_ends_the_connection(gw):
    out, ended = typed(gw, ["-tls1_3"], [b"K\n"] * 400, b"KEYUPDATE")
    assert ended, f"{out.count(b'KEYUPDATE')} key updates were taken"


def test_a_flood_of_key_updates_within_a_body_ends_the_connection(gw):
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    out, ended = typed(gw, ["-tls1_3"], [b"K\n"] * 400, b"KEYUPDATE", first=head,
                       shown=lambda: gw.counter("sslgw_requests_open") == 1)
    assert ended, f"{out.count(b'KEYUPDATE')} key updates were taken"
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "the request's end")


# Of no data; of padding alone; alerts that warn of nothing.
EMPTY = {"1.2": ("1.2", {}), "1.3": ("1.3", {}), "padding": ("1.3", {"padding": 1}), "much padding": ("1.3", {"padding": 16000}),
         "1.2 alerts": ("1.2", {"data": b"\1\x5a", "kind": sealed.ALERT}), "1.3 alerts": ("1.3", {"data": b"\1\x5a", "kind": sealed.ALERT})}


def takes_a_flood(port, version, what, before):
    """Is the connection there after thousands of such records, with nothing in between?"""
    with sealed.Sealed(port, version, timeout=6) as s:
        s.send(s.record(before))
        try:
            for _ in range(100):
                s.send(*[s.record(**what) for _ in range(20)])
            s.send(s.record(b"x" * 10 if before else b"GET / HTTP/1.0\r\n\r\n"))
            return bool(s.recv(1))
        except OSError:
            return False


@pytest.mark.parametrize("within", [False, True], ids=["idle", "within a body"])
@pytest.mark.parametrize("what", EMPTY)
def test_a_flood_of_empty_data_ends_the_connection(gw, what, within):
    version, record_ = EMPTY[what]
    before = http1.request("POST", fields=[("Content-Length", "10")]) if within else b""
    assert not takes_a_flood(gw.port, version, record_, before)


@pytest.mark.parametrize("what", [w for w in EMPTY if "alerts" not in w])
def test_a_few_empty_records_are_taken(gw, what):
    version, record_ = EMPTY[what]
    with sealed.Sealed(gw.port, version) as s:
        for at in (b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n\r\n"):
            s.send(*[s.record(**record_) for _ in range(5)], s.record(at))
        assert s.reader.answer().status == 200


def test_a_server_that_does_not_count_takes_a_flood_of_empty_data(gw, pki):
    """Counter-proof: GnuTLS does not in TLS 1.3."""
    leaf, port = pki.leaf("localhost", kind="ec"), wait.free_port()
    p = subprocess.Popen(["gnutls-serv", "--http", "--quiet", "--x509certfile", leaf.chain_file, "--x509keyfile", leaf.key_file,
                          "-p", str(port), "--priority", "NORMAL:-CIPHER-ALL:+AES-128-GCM"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        wait.until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, 10, "gnutls-serv answers")
        for what in ("1.3", "padding", "much padding"):
            assert takes_a_flood(port, *EMPTY[what], b""), what
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("records_n", [1, 5, 400])
def test_early_data_is_never_taken(gw, shared, records_n):
    """It is not offered; a client that sends some all the same is answered as if it had not, or not at all."""
    back = shared.running[0]
    before = len(back.seen)
    identities = hello.u16(hello.u16(os.urandom(180)) + b"\0\0\0\0")
    psk = hello.extension(41, identities + hello.u16(hello.u8(os.urandom(32))))
    early = record(b"GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n" + b"x" * 8000, 23, b"\3\3")
    with Raw(gw.port, timeout=6) as c:
        try:
            c.send(record(hello.hello("a.test", more=hello.extension(42, b"") + psk)))
            c.send(early * records_n)
            answer = c.answer()
            assert answer.kind in ("server_hello", "alert"), answer
            if answer.kind == "server_hello":
                assert b"\0\x29\0\2\0\0" not in answer.body[70:], "a made-up ticket was taken"
            if records_n > 100:
                assert c.closed()
        except ConnectionError:
            pass
        wait.holds(lambda: len(back.seen) == before, 0.5, "none of it arrives")


def test_early_data_by_the_word_of_another_front_is_skipped(gw, shared, pki):
    """Its ticket is unknown here, and so is the key of what follows: the handshake goes on without (RFC 8446, 4.2.10)."""
    leaf, ticket, early = pki.leaf("a.test", kind="ec"), f"{shared.folder}/early.session", f"{shared.folder}/early.data"
    with open(early, "w", encoding="ascii") as f:
        f.write("x" * 4000)
    port = wait.free_port()
    front = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", leaf.chain_file, "-key", leaf.key_file, "-early_data",
                              "-max_early_data", "16384", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait.until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True, 5, "the other front listens")
        visit = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test", "-sess_out", ticket, "-quiet"],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait.until(lambda: os.path.getsize(ticket) > 0, 5, "a ticket")
        visit.kill()
        visit.communicate()
    finally:
        front.kill()
        front.communicate()
    _, said = client.s_client(gw.port, "-sess_in", ticket, "-early_data", early, sni="a.test",
                              text=b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    assert "Early data was rejected" in said and "HTTP/1.1 200" in said, said[-3000:]


def test_a_few_key_updates_are_taken(gw):
    out, ended = typed(gw, ["-tls1_3"], [b"K\n"] * 5, b"KEYUPDATE")
    assert not ended


def test_handshakes_abandoned_at_every_byte_leave_nothing(gw):
    for tls13 in (True, False):
        data = record(hello.hello("a.test", tls13=tls13))
        for at in range(0, len(data) + 1, 11):
            with Raw(gw.port) as c:
                c.send(data[:at])
        for _ in range(50):
            with Raw(gw.port) as c:
                c.send(data)


def test_silence_after_the_hello_ends_by_the_handshakes_deadline(gw):
    for tls13 in (True, False):
        with Raw(gw.port, timeout=8) as c:
            began = time.monotonic()
            c.send(record(hello.hello("a.test", tls13=tls13)))
            assert c.answer().kind == "server_hello" and c.closed()
            assert 1 < time.monotonic() - began < 6
