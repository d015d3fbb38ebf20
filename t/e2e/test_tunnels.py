"""Upgrade: what a back-end answers with 101, if it was asked to, becomes a tunnel; nothing else does."""
import asyncio
import hashlib
import os
import socket
import threading

import pytest
import websockets
from OpenSSL import SSL

from bed import chat, client, http1, proc, wait

UPGRADE = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "echo/1")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\nX-Kept: yes\r\n\r\n"


def echo(connection):
    """Switches and sends back what comes, until the other side ends; then says goodbye and ends too."""
    seen = connection.request()
    if seen is None:
        return
    connection.backend.upgrades = getattr(connection.backend, "upgrades", []) + [seen]
    connection.send(SWITCH + b"hello ")
    while block := connection.recv(65536):
        if block == b"reset":
            return connection.reset()
        connection.send(block)
    connection.send(b"goodbye")


def switched(gw, ctx, early=b"", **more):
    c = client.Client(gw.port, ctx(), **more)
    c.send(http1.request("GET", "/tunnel", "localhost", UPGRADE) + early)
    head = c.reader.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return c, head.decode()


def rest(c):
    out = c.reader.rest
    while block := c.recv(65536):
        out += block
    return out


@pytest.fixture
def world(bed):
    back = bed.backend(script=echo)
    return bed.gateway(bed.settings(back, workers=1, limits={"body": "1K"})), back


def test_bytes_go_both_ways(world, ctx):
    gw, back = world
    c, head = switched(gw, ctx)
    assert "Upgrade: echo/1" in head and "X-Kept: yes" in head and head.lower().count("connection:") == 1
    assert "content-length" not in head.lower() and "transfer-encoding" not in head.lower()
    assert back.upgrades[0].get("Upgrade") == "echo/1" and back.upgrades[0].get("Connection").lower() == "upgrade"
    assert c.reader.exactly(6) == b"hello "
    for n in (1, 100, 100000):  # more than limits.body: that is for requests
        c.send(b"x" * n)
        assert c.reader.exactly(n) == b"x" * n
    c.close()
    wait.until(lambda: any(' 101 ' in line for line in gw.access()), 5, "a line of the log")


def test_early_bytes_wait_for_the_switch(world, ctx):
    gw, _ = world
    c, _ = switched(gw, ctx, early=b"sent before the 101")
    assert c.reader.exactly(25) == b"hello sent before the 101"
    c.close()


def test_a_client_that_sends_no_more_still_gets_the_rest(world):
    gw, _ = world
    tcp = socket.create_connection(("127.0.0.1", gw.port), 10)
    tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), tcp)
    tls.set_connect_state()
    tcp.setblocking(True)
    tls.do_handshake()
    tls.sendall(http1.request("GET", "/tunnel", "localhost", UPGRADE) + b"whole ")
    tls.shutdown()  # close_notify: no more this way
    tcp.shutdown(socket.SHUT_WR)
    got = b""
    try:
        while block := tls.recv(65536):
            got += block
    except SSL.ZeroReturnError:
        pass
    assert got.endswith(b"\r\n\r\nhello whole goodbye"), got
    tcp.close()
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "the tunnel is over")


def test_an_end_of_the_back_end_leaves_the_way_there(bed, ctx):
    got = bytearray()

    def script(connection):
        connection.request()
        connection.send(SWITCH + b"only this")
        connection.sock.shutdown(socket.SHUT_WR)
        while block := connection.recv(65536):
            got.extend(block)
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/", "localhost", UPGRADE))
        assert c.reader.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        assert rest(c) == b"only this"
        c.send(b"y" * 50000)  # to a side that reads on
        wait.until(lambda: len(got) == 50000, 5, "what is sent after the back-end's end arrives")
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "the tunnel is over")


@pytest.mark.parametrize("first,reason", [("server", "-"), ("client", "truncated")])
def test_an_end_without_goodbye_is_no_accident_only_after_the_other_sides(bed, ctx, first, reason):
    """So browsers end a WebSocket that was closed by both."""
    def script(connection):
        connection.request()
        connection.send(SWITCH + b"bye")
        if first == "server":
            connection.sock.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1, access_log={"format": "%{status} %{reason}"}))
    c, _ = switched(gw, ctx)
    assert c.reader.exactly(3) == b"bye"
    if first == "server":
        assert c.ended()
    c.tcp.close()  # without close_notify
    assert wait.until(gw.access, 5, "a line of the log") == [f"101 {reason}"]
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0 and gw.counter("sslgw_connections_open") == 0, 5, "all is over")


@pytest.mark.parametrize("framing", ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""])
def test_a_head_that_asks_for_another_protocol_has_no_body_in_its_answer(bed, ctx, framing):
    """The server stays with HTTP: what follows the head is the next answer."""
    def script(connection):
        while (seen := connection.request()) is not None:
            connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n".encode() if seen.method == "HEAD" else
                            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1))
    with client.Client(gw.port, ctx(), timeout=5) as c:
        c.send(http1.request("HEAD", "/", "localhost", UPGRADE) + http1.request("GET", "/", "localhost"))
        assert c.reader.answer("HEAD").status == 200
        assert c.reader.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        assert c.reader.exactly(4) == b"next"


def test_tunnels_that_end_badly_do_not_make_their_server_one_to_be_spared(bed, ctx):
    back, other = bed.backend(script=echo), bed.backend(script=echo)
    settings = bed.settings(back, workers=1, timeouts={"tunnel": "300ms"})
    settings["pools"] = [{"name": "main", "max_fails": 1, "servers": [{"address": back.address}, {"address": other.address, "backup": True}]}]
    gw = bed.gateway(settings)
    for end in ("silence", "reset"):
        c, _ = switched(gw, ctx)
        assert c.reader.exactly(6) == b"hello "
        if end == "reset":
            c.send(b"reset")
        try:
            rest(c)
        except OSError:
            pass
        c.close()
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "the tunnels are over")
    c, _ = switched(gw, ctx)
    c.close()
    assert len(back.upgrades) == 3 and not other.seen


def test_a_switch_is_an_answer_that_makes_a_server_well_again(bed, ctx):
    def script(connection):
        if len(back.seen) == 0:
            connection.request()
            return  # no answer: it is spared
        echo(connection)
    back, other = bed.backend(script=script), bed.backend(script=echo)
    settings = bed.settings(back, workers=1)
    settings["pools"] = [{"name": "main", "max_fails": 1, "fail_timeout": "1s",
                          "servers": [{"address": back.address}, {"address": other.address, "backup": True}]}]
    gw = bed.gateway(settings)
    c, _ = switched(gw, ctx)  # the other's, by another try
    c.close()
    assert len(back.seen) == 1 and len(other.upgrades) == 1
    held = []

    def back_again():
        held.append(switched(gw, ctx)[0])
        return len(back.seen) > 1
    wait.until(back_again, 5, "a trial goes to the server")
    before = len(other.upgrades)
    held.append(switched(gw, ctx)[0])  # while the trial's tunnel stands
    assert len(other.upgrades) == before and len(back.upgrades) == 2
    for c in held:
        c.close()


def half_closed(gw, data):
    """A tunnel through which DATA was sent, and then that no more comes."""
    tcp = socket.create_connection(("127.0.0.1", gw.port), 10)
    tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), tcp)
    tls.set_connect_state()
    tcp.setblocking(True)
    tls.do_handshake()
    tls.sendall(http1.request("GET", "/tunnel", "localhost", UPGRADE))
    tls.sendall(data)
    tls.shutdown()
    tcp.shutdown(socket.SHUT_WR)
    return tcp


def test_what_a_slow_back_end_is_still_owed_after_both_ends_arrives(bed, ctx):
    """Of sizes about what the kernel keeps for it, some leave the rest in the gateway."""
    path, got, never = f"{bed.folder}/slow.sock", [], threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(64)

    def serve(sock):
        head, size = b"", 0
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        sock.sendall(SWITCH)
        sock.shutdown(socket.SHUT_WR)
        never.wait(0.5)
        while block := sock.recv(65536):
            size += len(block)
        got.append(size)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    gw = bed.gateway(bed.settings(f"unix:{path}", workers=1))
    sizes = list(range(96 << 10, 512 << 10, 24 << 10))
    clients = [half_closed(gw, b"x" * n) for n in sizes]
    wait.until(lambda: len(got) == len(sizes), 20, "all tunnels end at the back-end")
    assert sorted(got) == sizes
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "the tunnels are over")
    for c in clients:
        c.close()
    listener.close()


def test_a_refused_upgrade_stays_http(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=1))
    with client.Client(gw.port, ctx()) as c:
        for _ in range(3):
            got = c.get("/", fields=UPGRADE)
            assert got.status == 200 and got.body == b"ok"
    assert len(back.connections) == 1


def test_what_follows_a_refused_upgrade_is_a_request_as_any_other(bed, ctx):
    """Nothing that is sent early comes through before the switch; and where there is none, it is a request: what it
    forges is taken out."""
    early = []

    def script(connection):
        while (seen := connection.request()) is not None:
            if seen.target == "/tunnel":
                connection.sock.settimeout(0.2)
                early.append(connection.reader.rest + connection.recv(65536))
                connection.sock.settimeout(None)
            connection.send(b"HTTP/1.1 404 Not here\r\nContent-Length: 0\r\n\r\n")
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/tunnel", "localhost", UPGRADE)
               + http1.request("GET", "/early", fields=[("X-SSL-Client-Verify", "SUCCESS"), ("X-Forwarded-For", "192.0.2.1")]))
        assert c.reader.answer().status == 404 and c.reader.answer().status == 404
    assert early == [b""]
    assert back.seen[-1].target == "/early"
    assert back.seen[-1].get("X-SSL-Client-Verify") == "NONE" and back.seen[-1].get("X-Forwarded-For") == "127.0.0.1"


@pytest.mark.parametrize("fields,reply", [
    ([], SWITCH),
    ([("Connection", "upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")], SWITCH.replace(b"echo/1", b"h2c")),
    ([("Upgrade", "echo/1")], SWITCH),
    (UPGRADE, SWITCH.replace(b"echo/1", b"other")),
    (UPGRADE, SWITCH.replace(b"Connection: upgrade\r\n", b"")),
    (UPGRADE, SWITCH.replace(b"1.1 101", b"1.0 101")),
    (UPGRADE, SWITCH.replace(b"X-Kept", b"Content-Length: 5\r\nX-Kept")),
    (UPGRADE, SWITCH.replace(b"X-Kept", b"Transfer-Encoding: chunked\r\nX-Kept")),
], ids=["unasked", "h2c", "not in Connection", "another", "no Connection", "1.0", "length", "chunked"])
def test_what_was_not_asked_for_opens_no_tunnel(bed, ctx, fields, reply):
    def script(connection):
        while connection.request():
            connection.send(reply)
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back))
    got, _, _ = client.get(gw.port, ctx(), fields=fields)
    assert got.status == 502
    assert all(s.get("Upgrade") is None or s.get("Upgrade") == "echo/1" for s in back.seen)


def test_a_request_with_a_body_asks_for_no_tunnel(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back))
    got, _, _ = client.get(gw.port, ctx(), method="POST", body=b"x", fields=UPGRADE)
    assert got.status == 200 and back.last().get("Upgrade") is None


def test_a_silent_tunnel_ends_and_one_in_use_does_not(bed, ctx):
    back = bed.backend(script=echo)
    gw = bed.gateway(bed.settings(back, workers=1, timeouts={"tunnel": "2s"}))
    c, _ = switched(gw, ctx)
    c.reader.exactly(6)
    for _ in range(15):  # for longer than that
        c.send(b"z")
        assert c.reader.exactly(1) == b"z"
        wait.holds(lambda: True, 0.2)
    assert rest(c) == b""
    wait.until(lambda: gw.counter("sslgw_ended_total_tunnel_timeout") == 1, 5, "the reason is counted")


@pytest.mark.parametrize("who", ["client", "back-end"])
def test_a_reset_ends_both_sides(bed, ctx, who):
    back = bed.backend(script=echo)
    gw = bed.gateway(bed.settings(back, workers=1))
    c, _ = switched(gw, ctx)
    c.reader.exactly(6)
    if who == "client":
        c.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    else:
        c.send(b"reset")
        try:
            assert rest(c) == b""
        except OSError:
            pass
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0 and gw.counter("sslgw_connections_open") == 0, 5, "all is over")


@pytest.mark.plain
def test_a_client_that_does_not_read_stops_the_back_end(bed, ctx):
    def script(connection):
        connection.request()
        connection.send(SWITCH)
        try:
            while True:
                connection.send(b"w" * 65536)
        except OSError:
            pass
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    c, _ = switched(gw, ctx, rcvbuf=65536)
    pid = gw.workers()[0]
    before = proc.rss_kib(pid)
    sent = [0]

    def still():
        now = back.connections[0].sent
        same, sent[0] = now == sent[0], now
        return same
    wait.until(still, 15, "the back-end is stopped", every=0.5)
    assert proc.rss_kib(pid) - before < 1024
    c.close()


def test_draining_leaves_tunnels_open(world, ctx):
    gw, _ = world
    c, _ = switched(gw, ctx)
    c.reader.exactly(6)
    gw.reload()
    c.send(b"still there")
    assert c.reader.exactly(11) == b"still there"
    c.close()


# ---- WebSocket, by a library that others wrote

@pytest.fixture(scope="module")
def farm(shared):
    shared.running.append(server := chat.Server())
    return shared.gateway(shared.settings(server.address, workers=2)), server


def dial(gw, ctx, **more):
    return websockets.connect(f"wss://localhost:{gw.port}/chat", ssl=ctx(), max_size=None, ping_interval=None, **more)


def test_websocket_messages_of_all_sizes(farm, ctx):
    async def talk():
        async with dial(farm[0], ctx, subprotocols=["chat"]) as ws:
            assert ws.subprotocol == "chat"
            for size in (0, 1, 125, 126, 65535, 65536, 16 << 20):
                data = os.urandom(size)
                await ws.send(data)
                assert hashlib.sha256(await ws.recv()).digest() == hashlib.sha256(data).digest()
            await ws.send(["frag", "ment", "ed"])
            assert await ws.recv() == "fragmented"
            await asyncio.wait_for(await ws.ping(), 5)
            await ws.send("stream")
            assert [await ws.recv() for _ in range(5)] == [f"event {n}" for n in range(5)]
    asyncio.run(talk())


def test_websocket_close_codes_arrive(farm, ctx):
    gw, server = farm

    async def talk():
        async with dial(gw, ctx) as ws:
            await ws.send("close 4001")
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (4001, "as asked")
        async with dial(gw, ctx) as ws:
            await ws.close(4002, "by me")
    asyncio.run(talk())
    wait.until(lambda: (4002, "by me") in server.closed, 5, "the client's code at the server")


def test_many_websockets_at_once(farm, ctx):
    gw, _ = farm

    async def one(n):
        async with dial(gw, ctx, open_timeout=30) as ws:
            for k in range(3):
                await ws.send(f"{n} {k}")
                assert await ws.recv() == f"{n} {k}"

    async def all_of_them():
        await asyncio.gather(*(one(n) for n in range(200)))
    asyncio.run(all_of_them())
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 10, "no tunnel is left")
