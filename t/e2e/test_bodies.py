"""Bodies of any size, streamed both ways, in bounded memory: by digest, by a worker's growth, and by
what the gateway holds once one side stops reading."""
import fcntl
import hashlib
import random
import socket
import struct
import subprocess
import threading

import pytest

from bed import backend, client, http1, proc, wait

MIB = 1 << 20
SMALL, LARGE = 64 * MIB, 1024 * MIB
sizes = [pytest.param(SMALL, id="64 MiB"), pytest.param(LARGE, id="1 GiB", marks=pytest.mark.long)]

_random = random.Random(7)
BLOCK = _random.randbytes(MIB + 13)  # not a multiple of anything that the gateway uses


def stream(size):
    at = 0
    while at < size:
        block = BLOCK[:min(len(BLOCK), size - at)]
        at += len(block)
        yield block


def digest_of(size):
    h = hashlib.blake2b()
    for block in stream(size):
        h.update(block)
    return h.hexdigest()


def chunks(block):
    """As chunks of odd sizes."""
    at, out = 0, []
    for size in (1, 17, 4096, 65535, len(block)):
        part = block[at:at + size]
        at += len(part)
        if part:
            out.append(b"%x\r\n" % len(part) + part + b"\r\n")
    return b"".join(out)


def downloads(connection):
    """GET /SIZE or /chunked/SIZE, /close/SIZE: that many bytes; POST: the body's digest."""
    while True:
        h, n = hashlib.blake2b(), [0]

        def sink(block, h=h, n=n):
            h.update(block)
            n[0] += len(block)
        seen = connection.request(sink)
        if seen is None:
            return
        if seen.method == "POST":
            connection.send(backend.answer(f"{n[0]} {h.hexdigest()}".encode()))
            continue
        way, _, size = seen.target[1:].rpartition("/")
        size = int(size)
        if way == "chunked":
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for block in stream(size):
                connection.send(chunks(block))
            connection.send(b"0\r\n\r\n")
        elif way == "close":
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            for block in stream(size):
                connection.send(block)
            return
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for block in stream(size):
                connection.send(block)


@pytest.fixture(scope="module")
def world(shared):
    back = shared.backend(script=downloads)
    return shared.gateway(shared.settings(back, workers=1)), back


class Growth:
    """How much more memory a worker had at its peak within the block than before it."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
        self.before = proc.peak_kib(self.pid)
        return self

    def __exit__(self, *_):
        self.kib = proc.peak_kib(self.pid) - self.before


def download(gw, c, target):
    h, n = hashlib.blake2b(), [0]

    def sink(block):
        h.update(block)
        n[0] += len(block)
    with client.Client(gw.port, c, timeout=60) as one:
        got = one.get(target, sink=sink)
    return got, n[0], h.hexdigest()


def upload(gw, c, size, chunked):
    with client.Client(gw.port, c, timeout=60) as one:
        fields = [("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))]
        one.send(http1.request("POST", "/up", "localhost", fields))
        for block in stream(size):
            one.send(chunks(block) if chunked else block)
        if chunked:
            one.send(b"0\r\n\r\n")
        return one.reader.answer().body.decode()


@pytest.mark.root
@pytest.mark.plain
@pytest.mark.parametrize("size", sizes)
@pytest.mark.parametrize("way", ["length", "chunked", "close"])
def test_down_unchanged_and_in_bounded_memory(world, ctx, size, way):
    gw, _ = world
    prefix = "" if way == "length" else f"/{way}"
    download(gw, ctx(), f"{prefix}/{8 * MIB}")  # buffers are there
    with Growth(gw.worker(0)) as growth:
        got, n, digest = download(gw, ctx(), f"{prefix}/{size}")
    assert got.status == 200 and n == size and digest == digest_of(size)
    assert growth.kib < 4096, f"the worker grew by {growth.kib} KiB"


@pytest.mark.root
@pytest.mark.plain
@pytest.mark.parametrize("size", sizes)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_up_unchanged_and_in_bounded_memory(world, ctx, size, chunked):
    gw, _ = world
    upload(gw, ctx(), 8 * MIB, chunked)
    with Growth(gw.worker(0)) as growth:
        answer = upload(gw, ctx(), size, chunked)
    assert answer == f"{size} {digest_of(size)}"
    assert growth.kib < 4096, f"the worker grew by {growth.kib} KiB"


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 262144, 1000003])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_every_size_both_ways(world, ctx, size, chunked):
    gw, _ = world
    assert upload(gw, ctx(), size, chunked) == f"{size} {digest_of(size)}"
    _, n, digest = download(gw, ctx(), f"{'/chunked' if chunked else ''}/{size}")
    assert n == size and digest == digest_of(size)


def test_a_body_that_trickles_byte_by_byte_arrives(world, ctx):
    gw, _ = world
    body = b"3\r\nabc\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nX-Trailer: dropped\r\n\r\n"
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/up", "localhost", [("Transfer-Encoding", "chunked")]))
        for at in range(len(body)):
            c.send(body[at:at + 1])
        expect = hashlib.blake2b(b"abc0123456789abcdef").hexdigest()
        assert c.reader.answer().body.decode() == f"19 {expect}"
        assert c.get("/5").body == BLOCK[:5]


def queued(sock, request):
    return struct.unpack("i", fcntl.ioctl(sock, request, b"\0" * 4))[0]


def unsent(sock):
    return queued(sock, 0x5411)  # SIOCOUTQ


def unread(sock):
    return queued(sock, 0x541B)  # FIONREAD


def kernel_queues(pid):
    """Bytes that lie in the TCP queues of one process's connections: (to be read, to be sent)."""
    out = subprocess.run(["ss", "-tnpH", "state", "established", "state", "close-wait"], capture_output=True, text=True,
                         check=True).stdout
    receive = send = 0
    for line in out.split("\n"):
        if f"pid={pid}," in line:
            fields = [int(x) for x in line.split() if x.isdigit()][:2]
            receive, send = receive + fields[0], send + fields[1]
    return receive, send


def settled(number):
    """The number once it has not changed for half a second."""
    last = [number(), 0]

    def same():
        now = number()
        last[1] = last[1] + 1 if now == last[0] else 0
        last[0] = now
        return last[1] >= 25
    wait.until(same, 30, "a figure that settles", every=0.02)
    return last[0]


@pytest.mark.root
def test_a_client_that_stops_reading_stops_the_backend(world, ctx):
    gw, back = world
    earlier = {connection: connection.sent for connection in back.connections}  # it may be one that was kept
    with client.Client(gw.port, ctx(), rcvbuf=65536) as c:
        c.send(http1.request("GET", f"/{LARGE}"))
        wait.until(lambda: back.seen and back.seen[-1].target == f"/{LARGE}", 5, "the request at the back-end")
        there = back.seen[-1].connection
        settled(lambda: there.sent)
        receive, send = kernel_queues(gw.worker(0))
        sent = there.sent - earlier.get(there, 0)
        held = sent - unsent(there.sock) - receive - send - unread(c.tcp)
        assert sent < LARGE // 4, "the back-end was not stopped"
        assert held < MIB, f"the gateway holds {held} bytes (sent {sent}, queues {receive} and {send})"
        # and others are served meanwhile, by the same worker
        assert client.get(gw.port, ctx(), "/1000")[0].status == 200
        # and it goes on
        assert c.tls.recv(65536).startswith(b"HTTP/1.1 200")
        before = there.sent
        for _ in range(2000):
            c.tls.recv(65536)
        assert there.sent > before


@pytest.mark.root
def test_a_backend_that_stops_reading_stops_the_client(bed, ctx):
    go = threading.Event()

    def script(connection):
        head = connection.reader.until(b"\r\n\r\n")
        assert head
        go.wait(60)
        connection.reader.to_end(lambda block: None)
    back = bed.backend(script=script, rcvbuf=65536)
    gw = bed.gateway(bed.settings(back, workers=1))
    sent = [0]
    with client.Client(gw.port, ctx(), timeout=60) as c:
        c.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        c.send(http1.request("POST", "/up", "localhost", [("Content-Length", str(LARGE))]))

        def push():
            try:
                for block in stream(LARGE):
                    for at in range(0, len(block), 16384):
                        part = block[at:at + 16384]
                        c.tls.sendall(part)
                        sent[0] += len(part)
            except OSError:
                pass
        thread = threading.Thread(target=push, daemon=True)
        thread.start()
        there = wait.until(lambda: back.connections, 5, "a connection to the back-end")[0]
        settled(lambda: sent[0])
        receive, send = kernel_queues(gw.worker(0))
        held = sent[0] - unsent(c.tcp) - receive - send - unread(there.sock)
        assert sent[0] < LARGE // 4, "the client was not stopped"
        assert held < MIB, f"the gateway holds {held} bytes (sent {sent[0]}, queues {receive} and {send})"
        go.set()
        before = sent[0]
        wait.until(lambda: sent[0] > before + 8 * MIB, 20, "the upload goes on")
        c.tcp.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_slow_client_does_not_hold_other_requests(world, ctx):
    gw, _ = world
    slow = []
    try:
        for _ in range(20):
            c = client.Client(gw.port, ctx(), rcvbuf=16384)
            c.send(http1.request("GET", f"/{LARGE}"))
            slow.append(c)
        for _ in range(20):
            assert client.get(gw.port, ctx(), "/1000")[0].status == 200
    finally:
        for c in slow:
            c.close()
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 10, "all requests are over")


def test_who_uploads_what_is_refused_gets_the_answer(bed, ctx):
    """Clients that write all before they read: what still comes is dropped, not answered with a reset."""
    gw = bed.gateway(bed.settings(bed.backend(), limits={"body": "1K"}))
    for _ in range(5):
        with client.Client(gw.port, ctx()) as c:
            c.send(http1.request("POST", "/up", "localhost", [("Content-Length", str(8 << 20))]))
            c.send(b"x" * (8 << 20))
            got = c.reader.answer()
            assert got.status == 413 and got.get("Connection") == "close"


def test_expect_continue(world, ctx):
    gw, _ = world
    interim = []
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/up", "localhost", [("Expect", "100-continue"), ("Content-Length", "3")]))
        head = c.reader.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 100"), head
        c.send(b"abc")
        got = c.reader.answer(interim=interim)
        assert got.status == 200 and got.body.startswith(b"3 ") and not interim
        assert c.get("/1", fields=[("Expect", "magic")]).status == 417


@pytest.mark.parametrize("method, target", [("HEAD", "/1000"), ("HEAD", "/chunked/1000")])
def test_head_has_no_body(world, ctx, method, target):
    gw, back = world

    with client.Client(gw.port, ctx()) as c:
        # this back-end would send a body; a HEAD's answer must end with its head all the same
        c.send(http1.request(method, target))
        got = c.reader.answer(method)
        assert got.status in (200, 502)
