"""Thousands of requests of every kind, and then nothing of them is left: no memory, no descriptor, no counter."""
import os
import signal
import socket
import ssl
import threading

import pytest

from bed import backend, client, http1, proc, wait

KIB = 384  # how much a worker may be larger after many rounds than after a few: what the allocator keeps


def script(connection):
    """By its first part the target says how the request is answered."""
    while (line := connection.reader.until(b"\r\n\r\n")) is not None:
        first, fields = http1.split_head(line)
        method, target, _ = first.split(" ")
        names = {n.lower(): v for n, v in fields}
        kind = target.split("/")[1]
        if kind == "early":
            connection.send(backend.answer(b"no", "413 Content Too Large", [("Connection", "close")]))
            return
        if names.get("transfer-encoding") == "chunked":
            connection.reader.chunked()
        else:
            connection.reader.exactly(int(names.get("content-length", 0)))
        if kind == "tunnel":
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n")
            while block := connection.recv(65536):
                connection.send(block)
            return
        if kind == "reset":
            return connection.reset()
        if kind == "cut":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            return
        if kind == "bad":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
            return
        if kind == "surplus":
            connection.send(backend.answer(b"x") + b"more")
            return
        if kind == "chunked":
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 40 + b"0\r\n\r\n")
        elif kind == "close":
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
            return
        elif kind == "hints":
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + backend.answer(b"x"))
        elif kind == "large":
            connection.send(backend.answer(b"x" * 200000))
        else:
            connection.send(backend.answer(b"" if method == "HEAD" else b"ok"))


CHUNKS = [("Transfer-Encoding", "chunked")]
# What is sent, and with which status it ends; None: cut, or closed.
KEPT = [
    (http1.request("GET", "/plain"), 200), (http1.request("HEAD", "/plain"), 200), (http1.request("GET", "/chunked"), 200),
    (http1.request("POST", "/post", body=b"x" * 100), 200), (http1.request("POST", "/post", body=b"x" * 40000), 200),
    (http1.request("PUT", "/put", fields=CHUNKS) + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", 200), (http1.request("GET", "/large"), 200),
    (http1.request("GET", "/hints"), 200), (http1.request("GET", "/surplus"), 200), (http1.request("GET", "/close"), 200),
    (http1.request("GET", "/files/page"), 200), (http1.request("GET", "/files/page", fields=[("Range", "bytes=5-9")]), 206),
    (http1.request("GET", "/files/none"), 404), (http1.request("GET", "/old"), 301), (http1.request("GET", "/fixed"), 204),
    (http1.request("POST", "/reset", body=b"x"), 502), (http1.request("GET", "/bad"), 502), (http1.request("GET", "/plain/a/../b?c=d"), 200),
]
ENDING = [
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET /x y HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (http1.request("GET", "/", fields=[("X", "y" * 40000)]), 431), (http1.request("POST", "/", fields=CHUNKS) + b"zz\r\n", 400),
    (http1.request("CONNECT", "a:1"), 405), (http1.request("POST", "/", fields=[("Expect", "x")], body=b""), 417),
    (http1.request("POST", "/early", fields=[("Content-Length", "1000000")]) + b"x" * 40000, 413),
    (http1.request("GET", "/cut"), None), (http1.request("GET", "/plain", fields=[("Connection", "close")]), 200),
]
GONE = [b"", b"GET / HT", http1.request("POST", "/post", fields=[("Content-Length", "100")]) + b"half", http1.request("GET", "/large"),
        http1.request("POST", "/post", fields=CHUNKS) + b"5\r\nab"]


def outcome(c, data):
    try:
        c.send(data)
    except OSError:
        pass
    try:
        got = c.reader.answer(data.split(b" ")[0].decode())
        return got and got.status
    except (EOFError, OSError):
        return None


def tunnel(gw, c):
    with client.Client(gw.port, c) as t:
        t.send(http1.request("GET", "/tunnel", fields=[("Connection", "upgrade"), ("Upgrade", "echo/1")]))
        assert t.reader.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        t.send(b"x" * 30000)
        assert t.reader.exactly(30000) == b"x" * 30000


def one_round(gw, contexts, sessions):
    """Each kind once: as many requests as it returns."""
    n = 0
    for at, c in enumerate(contexts):
        with client.Client(gw.port, c, session=sessions.get(at)) as kept:
            for data, status in KEPT:
                got = outcome(kept, data)
                assert got == status, f"{data[:60]}: {got}"
                n += 1
            kept.send(b"".join(http1.request("GET", f"/plain/{k}") for k in range(10)))
            for _ in range(10):
                assert kept.reader.answer().status == 200
                n += 1
            if at not in sessions:
                sessions[at] = kept.session
        for data, status in ENDING:
            with client.Client(gw.port, c, session=sessions[at]) as ending:
                got = outcome(ending, data)
                assert got == status, f"{data[:60]}: {got}"
                n += 1
        for k, data in enumerate(GONE):
            gone = client.Client(gw.port, c, session=sessions[at])
            gone.send(data)
            if k % 2:
                gone.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
            n += 1
        tunnel(gw, c)
        n += 1
    return n


def rounds(gw, contexts, requests):
    """At least so many requests, by two threads."""
    made, failures, lock = [0], [], threading.Lock()

    def go():
        sessions = {}
        try:
            while made[0] < requests:
                n = one_round(gw, contexts, sessions)
                with lock:
                    made[0] += n
        except Exception as error:  # told by the test
            failures.append(error)
    threads = [threading.Thread(target=go, daemon=True) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(900)
    assert not failures, failures
    for name in ("sslgw_connections_open", "sslgw_requests_open", "sslgw_handshakes_open", "sslgw_fibres_open", "sslgw_service_asks_open"):
        wait.until(lambda n=name: gw.counter(n) == 0, 10, f"{name} back at zero")
    return made[0]


@pytest.fixture
def site(bed, ctx):
    os.mkdir(f"{bed.folder}/www")
    with open(f"{bed.folder}/www/page", "wb") as f:
        f.write(b"p" * 100)
    back = bed.backend(script=script)
    s = bed.site(routes=[{"path": "/", "pool": "main"}, {"path": "/files/", "files": f"{bed.folder}/www"},
                         {"path": "/old", "redirect": "https://localhost/new"}, {"path": "/fixed", "respond": {"status": 204}}],
                 client_certificate={"verify": "optional", "ca_file": bed.pki.client_ca.chain_file})
    settings = bed.settings(back, workers=1, sites=[s])
    settings["pools"][0]["max_fails"] = 0
    me = bed.pki.client("someone")
    return settings, [ctx(version="1.3"), ctx(version="1.2"), ctx(version="1.3", identity=me), ctx(version="1.2", tickets=False)]


@pytest.mark.plain
@pytest.mark.parametrize("few,many", [pytest.param(500, 1000, id="1,000"), pytest.param(3000, 10000, id="10,000", marks=pytest.mark.long)])
def test_no_memory_and_no_descriptor_is_left_of_requests_of_every_kind(bed, site, few, many):
    settings, contexts = site
    gw = bed.gateway(settings)
    worker = gw.workers()[0]
    rounds(gw, contexts, few)
    wait.until(lambda: gw.counter("sslgw_upstream_connections_open") <= 2, 10, "idle connections to the server")
    memory, descriptors = proc.rss_kib(worker), len(proc.descriptors(worker))
    made = rounds(gw, contexts, many)
    grown = proc.rss_kib(worker) - memory
    print(f"after {made} requests a worker is {grown} KiB larger")
    assert grown < KIB, f"{grown} KiB after {made} requests"
    assert len(proc.descriptors(worker)) <= descriptors + 4  # connections to the server that are kept
    assert gw.workers() == [worker]


@pytest.mark.plain
def test_what_a_rush_of_handshakes_took_goes_back_to_the_system(bed, ctx):
    """All wait for their signatures at once, each with a stack of its own; what stays are idle connections."""
    gw = bed.gateway(bed.settings(bed.backend(), workers=1))
    with client.Client(gw.port, ctx()) as c:
        assert outcome(c, http1.request("GET", "/")) == 200
    worker = gw.workers()[0]
    before = proc.rss_kib(worker)
    os.kill(gw.key_process(), signal.SIGSTOP)
    rush = [client.Client(gw.port, ctx(), handshake=False) for _ in range(150)]  # long before one has waited for too long
    for c in rush:
        c.tls.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            c.tls.do_handshake()
    wait.until(lambda: gw.counter("sslgw_handshakes_paused") == len(rush), 20, "all wait")
    took = proc.rss_kib(worker) - before
    os.kill(gw.key_process(), signal.SIGCONT)
    for c in rush:
        c.tls.settimeout(15)
        c.tls.do_handshake()
    wait.until(lambda: gw.counter("sslgw_handshakes_open") == 0, 20, "all are done")
    wait.until(lambda: proc.rss_kib(worker) - before < took * 6 // 10, 8, f"the stacks' part of {took} KiB")
    for c in rush:
        c.close()


@pytest.mark.long
def test_the_sanitizers_find_no_leak_after_10000_requests_of_every_kind(bed, site, asan_build):
    """Each process is asked at its end, and the gateway's end fails where one of them has found something."""
    settings, contexts = site
    gw = bed.gateway(settings, build=asan_build)
    worker = gw.workers()[0]
    assert rounds(gw, contexts, 10000) >= 10000
    assert gw.workers() == [worker]
    gw.stop()
    if "LeakSanitizer has encountered a fatal error" in gw.output():
        pytest.skip("the kernel does not let LeakSanitizer look into processes that are not dumpable")
