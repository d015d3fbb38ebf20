"""Peers that fall silent in the middle of each state: every state ends by its deadline."""
import os
import select
import signal
import socket
import ssl
import time

import pytest

from bed import backend, client, hello, http1, wait

SHORT = {"handshake": "1s", "head": "1s", "body": "1s", "idle": "1s", "write": "2s"}
SLACK = 2.5


def world(bed, script=None, pool=None, **more):
    back = bed.backend(script=script) if script else bed.backend()
    settings = bed.settings(back, timeouts=SHORT, **more)
    settings["pools"][0].update({"connect_timeout": "1s", "answer_timeout": "1s", **(pool or {})})
    return bed.gateway(settings), back


class Within:
    """The block takes between LEAST and MOST seconds."""

    def __init__(self, least, most):
        self.least, self.most = least, most

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        if kind is None:
            took = time.monotonic() - self.began
            assert self.least <= took <= self.most, f"took {took:.2f} s, not {self.least} to {self.most}"


def all_over(gw):
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 5, "no connection is left")
    for name in ("sslgw_requests_open", "sslgw_handshakes_open", "sslgw_handshakes_paused", "sslgw_fibres_open",
                 "sslgw_service_asks_open"):
        assert gw.counter(name) == 0, name


def read_to_end(c):
    out = b""
    try:
        while block := c.recv(65536):
            out += block
    except (ConnectionError, ssl.SSLError):
        pass
    return out


@pytest.mark.parametrize("sent", [b"", hello.record(hello.hello("localhost"))[:40], hello.record(hello.hello("localhost")),
                                  hello.record(hello.hello("localhost", tls13=False))],
                         ids=["nothing", "half a hello", "a hello", "a hello of 1.2"])
def test_client_in_the_handshake(bed, sent):
    gw, _ = world(bed)
    with hello.Raw(gw.port, timeout=8) as c, Within(0.8, 1 + SLACK):
        c.send(sent)
        assert c.closed()
    all_over(gw)


@pytest.mark.parametrize("sent, answer, least", [
    (b"", b"", 0.8), (b"GET / HTTP/1.1\r\nHost:", b"HTTP/1.1 408", 0.8),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 ", 0.8),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"HTTP/1.1 ", 0.8)],
    ids=["idle", "in the head", "in a body by length", "in a chunked body"])
def test_client_in_a_request(bed, ctx, sent, answer, least):
    gw, _ = world(bed)
    with client.Client(gw.port, ctx()) as c, Within(least, 2 + SLACK):
        c.send(sent)
        got = read_to_end(c)
        assert got.startswith(answer) or not got, got
    all_over(gw)


def test_client_after_its_answer(bed, ctx):
    gw, _ = world(bed)
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/").status == 200
        with Within(0.8, 1 + SLACK):
            assert c.ended()
    all_over(gw)


def test_a_head_that_trickles_ends_by_the_deadline_of_the_whole(bed, ctx):
    gw, _ = world(bed)
    with client.Client(gw.port, ctx()) as c, Within(0.8, 1 + SLACK):
        c.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

        def drip():
            c.send(b"X: y\r\n")
            return select.select([c.tcp], [], [], 0)[0]
        wait.until(drip, 5, "an answer", every=0.1)
        got = read_to_end(c)
        assert got.startswith(b"HTTP/1.1 408"), got


def test_client_that_stops_reading(bed, ctx):
    def script(connection):
        while connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(100):
                connection.send(b"x" * 1000000)
    gw, _ = world(bed, script)
    with client.Client(gw.port, ctx(), rcvbuf=65536) as c:
        c.send(http1.request())
        with Within(1, 2 + 2 * SLACK):
            wait.until(lambda: gw.counter("sslgw_requests_open") == 1, 2, "the request")
            wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 8, "the request's end")
    all_over(gw)


def silent(connection):
    connection.request()
    connection.recv(1)


def half_head(connection):
    if connection.request():
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        connection.recv(1)


@pytest.mark.parametrize("script", [silent, half_head])
def test_backend_before_its_answer(bed, ctx, script):
    gw, _ = world(bed, script)
    with Within(0.8, 3 + SLACK):
        got, _, _ = client.get(gw.port, ctx(), method="POST", body=b"x")
        assert got.status == 504
    all_over(gw)


def test_a_backends_head_that_trickles_ends_by_the_deadline_of_the_whole(bed, ctx):
    def script(connection):
        if connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\n")

            def drip():
                connection.send(b"X: y\r\n")
                return select.select([connection.sock], [], [], 0)[0]
            wait.until(drip, 8, "the gateway gives up", every=0.1)
    gw, _ = world(bed, script)
    with Within(0.8, 1 + SLACK):
        got, _, _ = client.get(gw.port, ctx(), method="POST", body=b"x")
        assert got.status == 504
    all_over(gw)


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"], ids=["length", "chunked"])
def test_backend_in_its_body(bed, ctx, head):
    def script(connection):
        if connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\n" + head)
            connection.recv(1)
    gw, _ = world(bed, script)
    with client.Client(gw.port, ctx()) as c, Within(0.8, 2 + SLACK):
        c.send(http1.request())
        assert b"abc" in read_to_end(c)
    all_over(gw)


def test_backend_that_does_not_read(bed, ctx):
    def script(connection):
        connection.reader.until(b"\r\n\r\n")
        wait.until(lambda: connection.backend.answer is None, 20, "the test's end")
    gw, back = world(bed, script)
    with client.Client(gw.port, ctx(), timeout=10) as c, Within(0.8, 4 + SLACK):
        try:
            c.send(http1.request("POST", "/", "localhost", [("Content-Length", "100000000")]))
            for _ in range(1000):
                c.send(b"x" * 100000)
        except OSError:
            pass
        read_to_end(c)
    back.answer = None
    all_over(gw)


def test_backend_that_does_not_accept(bed, ctx):
    """Its queue is full: connecting goes on until the deadline."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        fillers = []
        for _ in range(4):
            f = socket.socket()
            f.setblocking(False)
            f.connect_ex(s.getsockname())
            fillers.append(f)
        settings = bed.settings(f"127.0.0.1:{s.getsockname()[1]}", timeouts=SHORT)
        settings["pools"][0].update({"connect_timeout": "1s", "answer_timeout": "1s"})
        gw = bed.gateway(settings)
        with Within(0.5, 2 + SLACK):
            got, _, _ = client.get(gw.port, ctx())
            assert got.status in (502, 503, 504)
        for f in fillers:
            f.close()
    all_over(gw)


@pytest.mark.parametrize("options", [{"version": "1.3"}, {"version": "1.2"},
                                     {"version": "1.2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}], ids=str)
def test_key_process_in_a_handshake(bed, ctx, options):
    gw, _ = world(bed)
    c = ctx(**options)
    assert client.get(gw.port, c)[0].status == 200
    keys = gw.key_process()
    os.kill(keys, signal.SIGSTOP)
    for _ in range(3):
        with Within(0, 2.2 + SLACK), pytest.raises(OSError):
            client.get(gw.port, c)
    all_over(gw)
    os.kill(keys, signal.SIGCONT)
    wait.until(lambda: client.get(gw.port, c)[0].status == 200, 4, "service with the key process going on")


def test_key_process_stopped_while_a_client_vanishes(bed, ctx):
    gw, _ = world(bed)
    os.kill(gw.key_process(), signal.SIGSTOP)
    raws = []
    for n in range(40):
        c = hello.Raw(gw.port)
        c.send(hello.record(hello.hello("localhost", tls13=n % 2 == 0)))
        raws.append(c)
    wait.until(lambda: gw.counter("sslgw_handshakes_open") > 0 or gw.counter("sslgw_handshakes_failed_total") > 0, 3, "handshakes")
    for c in raws:
        c.close()
    os.kill(gw.key_process(), signal.SIGCONT)
    all_over(gw)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_cache_process_in_a_handshake(bed, ctx, version):
    """Both when a session is looked up and when one is stored."""
    gw, _ = world(bed, sites=[bed.site(resumption="stateful")])
    c = ctx(version=version)
    _, _, session = client.get(gw.port, c)
    cache = gw.cache_process()
    os.kill(cache, signal.SIGSTOP)
    took = []
    for _ in range(10):
        for kept in (session, None):
            began = time.monotonic()
            assert client.get(gw.port, c, session=kept)[0].status == 200
            took.append(time.monotonic() - began)
    # Each worker waits for it some times, then no more. A busy machine may add to a few.
    assert sorted(took)[-4] < 0.7 and max(took) < 4, sorted(took)[-6:]
    all_over(gw)
    os.kill(cache, signal.SIGCONT)


def test_a_stopped_monitor_stops_nobody(bed, ctx):
    gw, _ = world(bed)
    os.kill(gw.monitor()[0], signal.SIGSTOP)
    for _ in range(5):
        assert client.get(gw.port, ctx())[0].status == 200
    pids = gw.monitor()
    if pids:
        try:
            os.kill(pids[0], signal.SIGCONT)
        except OSError:
            pass
