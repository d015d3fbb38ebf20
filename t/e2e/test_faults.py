"""A part of it dies or hangs: only what must suffer does, and it mends itself."""
import os
import signal
import socket
import ssl
import threading
import time

import pytest

from bed import client, hello, http1, proc, wait

FULL = {"version": "1.3"}


def world(bed, **site):
    back = bed.backend()
    return bed.gateway(bed.settings(back, sites=[bed.site(**site)])), back


def full_handshake(gw, c, timeout=10):
    """(served, seconds)"""
    began = time.monotonic()
    try:
        with client.Client(gw.port, c, timeout=timeout) as one:
            served = one.get("/").status == 200
    except OSError:
        served = False
    return served, time.monotonic() - began


@pytest.mark.root
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT], ids=lambda s: s.name)
def test_a_worker_dies_only_its_own_connections_end(bed, ctx, sign):
    # AddressSanitizer would tell of this SIGSEGV as of one of its own finding.
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site()]), env={"ASAN_OPTIONS": "exitcode=99:handle_segv=0"})
    owned = {}
    for n in range(60):
        if n >= 12 and len(owned) == 2:  # both have some, as the kernel spreads them
            break
        c = client.Client(gw.port, ctx())
        assert c.get("/").status == 200
        owned.setdefault(gw.owner(c.local_port), []).append(c)
    assert len(owned) == 2, "all connections went to one worker"
    victim = next(iter(owned))
    os.kill(victim, sign)
    for _ in range(30):
        served, seconds = full_handshake(gw, ctx(**FULL))
        assert served and seconds < 2, f"a new connection was not served at once ({seconds:.2f} s)"
    for pid, connections in owned.items():
        for c in connections:
            if pid == victim:
                with pytest.raises((OSError, AttributeError)):
                    assert c.get("/").status
            else:
                assert c.get("/").status == 200
            c.close()
    wait.until(lambda: len(gw.workers()) == 2 and victim not in gw.workers(), 10, "the worker's successor")


@pytest.mark.root
def test_a_worker_that_hangs_is_replaced(bed, ctx):
    gw, _ = world(bed)
    victim = gw.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        wait.until(lambda: victim not in gw.workers() and len(gw.workers()) == 2, 15, "a hanging worker's successor")
    finally:
        if proc.alive(victim):
            os.kill(victim, signal.SIGCONT)
    for _ in range(10):
        assert full_handshake(gw, ctx(**FULL))[0]


def test_a_worker_that_dies_again_and_again_is_started_ever_more_slowly(bed, ctx):
    gw, _ = world(bed)
    starts = []

    def kill_one():
        pids = [p for p in gw.workers() if p not in starts]
        if pids:
            starts.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)
        return False
    with pytest.raises(AssertionError):
        wait.until(kill_one, 5, "never", every=0.005)
    assert 2 < len(starts) < 60, f"{len(starts)} workers were started in 5 s"
    wait.until(lambda: full_handshake(gw, ctx(**FULL))[0], 30, "service after a crash loop")


@pytest.mark.root
def test_a_neighbour_serves_the_socket_of_a_worker_whose_start_is_put_off(bed, ctx):
    """Killed as often as it comes, until its next start is seconds away: meanwhile every new connection, also
    those that its own socket gets, is served at once, and by the other worker."""
    gw, _ = world(bed)
    killed = []

    def put_off():
        for pid in gw._of("sslgw: worker 1"):
            if pid not in killed:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
        return len(killed) >= 7

    def away():
        put_off()  # a busy machine takes longer for 40 connections than the start is put off
        return not gw._of("sslgw: worker 1")
    wait.until(put_off, 30, "seven starts of worker 1")
    neighbour, owners = gw.worker(0), []
    while len(owners) < 40:
        wait.until(away, 5, "worker 1 is away")
        with client.Client(gw.port, ctx(**FULL), timeout=2) as c:
            assert c.get("/").status == 200
            owner = gw.owner(c.local_port)
        if not [p for p in gw._of("sslgw: worker 1") if p not in killed]:
            owners.append(owner)
    assert set(owners) == {neighbour}
    wait.until(lambda: gw._of("sslgw: worker 1"), 15, "worker 1 comes back")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=lambda s: s.name)
def test_the_key_process_dies_or_hangs(bed, ctx, sign):
    gw, _ = world(bed)
    c = ctx(**FULL)
    _, _, session = client.get(gw.port, c)
    with client.Client(gw.port, c) as open_connection:
        assert open_connection.get("/").status == 200
        victim = gw.key_process()
        os.kill(victim, sign)
        for _ in range(10):
            served, seconds = full_handshake(gw, c)
            assert seconds < 4, f"a full handshake neither ended nor was served for {seconds:.1f} s"
            got, facts, newer = client.get(gw.port, c, session=session)
            assert got.status == 200 and facts[2], "a resumption needed the key process"
            session = newer or session
            assert open_connection.get("/").status == 200
        if sign == signal.SIGSTOP:
            assert not served, "served without a key process"
            os.kill(victim, signal.SIGCONT)
            wait.until(lambda: full_handshake(gw, c)[0], 4, "full handshakes once the key process goes on")
        else:
            wait.until(lambda: full_handshake(gw, c)[0], 10, "full handshakes with a new key process")
            assert gw.key_process() != victim
    wait.until(lambda: gw.counter("sslgw_handshakes_open") == 0, 10, "no handshake is left")
    assert gw.counter("sslgw_fibres_open") == 0 and gw.counter("sslgw_service_asks_open") == 0


@pytest.mark.parametrize("resumption, version", [("tickets", "1.3"), ("tickets", "1.2"), ("stateful", "1.3")])
def test_a_flood_of_full_handshakes_does_not_touch_resumed_ones(bed, ctx, resumption, version):
    """Far more than may wait, for a key process that does not answer."""
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(resumption=resumption)], workers=1, limits={"handshakes": 40}))
    c = ctx(version=version)

    def five_of_them(session):
        """Whether all are resumed: one that is not has to wait for the key process, as the flood does."""
        for _ in range(5):
            began = time.monotonic()
            try:
                got, facts, newer = client.get(gw.port, c, session=session)
            except OSError:
                return False
            assert got.status == 200 and facts[2]
            session = newer or session
            assert open_connection.get("/").status == 200
            assert time.monotonic() - began < 3
        return True

    def flooded():
        _, _, session = client.get(gw.port, c)
        assert open_connection.get("/").status == 200
        os.kill(gw.key_process(), signal.SIGSTOP)
        flood = [hello.Raw(gw.port) for _ in range(150)]
        for n, raw in enumerate(flood):
            raw.send(hello.record(hello.hello("localhost", tls13=n % 2 == 0)))
        untouched = five_of_them(session)
        wait.until(lambda: gw.counter("sslgw_handshakes_open") == 0, 5, "the flood's end")
        assert gw.counter("sslgw_fibres_open") == 0 and gw.counter("sslgw_service_asks_open") == 0
        os.kill(gw.key_process(), signal.SIGCONT)
        for raw in flood:
            raw.close()
        wait.until(lambda: full_handshake(gw, c)[0], 4, "full handshakes once the key process goes on")
        return untouched
    with client.Client(gw.port, c) as open_connection:
        # A cache has 100 ms, which it may miss for one of the five, but not each time.
        assert client.resumes(flooded, 3 if resumption == "stateful" else 1), "resumed ones wait for the key process"


@pytest.mark.parametrize("resumption", ["tickets", "stateful"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=lambda s: s.name)
def test_without_the_cache_process_no_request_fails(bed, ctx, sign, resumption):
    gw, _ = world(bed, resumption=resumption)
    sessions = {}
    contexts = [ctx(version=v) for v in ("1.2", "1.3")]
    for c in contexts:
        _, _, sessions[c] = client.get(gw.port, c)
    victim = gw.cache_process()
    os.kill(victim, sign)
    took = []
    for n in range(40):
        for c in contexts:
            began = time.monotonic()
            assert client.get(gw.port, c)[0].status == 200
            assert client.get(gw.port, c, session=sessions[c])[0].status == 200
            took.append(time.monotonic() - began)
    # Two requests each. A busy machine may add to a few.
    assert sorted(took)[-4] < 1.5 and max(took) < 4, sorted(took)[-6:]
    if sign == signal.SIGSTOP:
        os.kill(victim, signal.SIGCONT)
    else:
        assert gw.cache_process() != victim

    def resumes():
        c = contexts[0]
        _, _, session = client.get(gw.port, c)
        return client.get(gw.port, c, session=session)[1][2]
    wait.until(resumes, 5, "resumption with the cache process back")


def test_the_monitor_dies_and_nobody_notices(bed, ctx):
    gw, _ = world(bed)
    victim = gw.monitor()[0]
    os.kill(victim, signal.SIGKILL)
    for _ in range(10):
        assert full_handshake(gw, ctx(**FULL))[0]
    wait.until(lambda: gw.monitor() and victim not in gw.monitor(), 10, "the monitor's successor")


def test_the_master_dies_and_all_others_end(bed, ctx):
    gw, _ = world(bed)
    assert full_handshake(gw, ctx(**FULL))[0]
    gw.remember()
    gw.process.kill()
    gw.process.wait(5)
    gw.killed = True
    wait.until(lambda: not proc.in_session(gw.pid), 10, "no process outlives the master")


# ---- back-ends

def test_a_backend_that_refuses_is_left_for_another(bed, ctx):
    back = bed.backend()
    dead = wait.free_port()
    gw = bed.gateway(bed.settings(f"127.0.0.1:{dead}", back))
    for _ in range(20):
        assert client.get(gw.port, ctx())[0].status == 200
        assert client.get(gw.port, ctx(), method="POST", body=b"x")[0].status == 200


def test_no_backend_at_all_is_a_502_with_a_page(bed, ctx):
    gw = bed.gateway(bed.settings(f"127.0.0.1:{wait.free_port()}"))
    got, _, _ = client.get(gw.port, ctx(), "/<script>")
    assert got.status in (502, 503) and b"<script>" not in got.body and got.body
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/1").status in (502, 503) and c.get("/2").status in (502, 503)


@pytest.mark.parametrize("reply", [
    b"", (b"HTTP/1.1 200 OK\r\n"), (b"nonsense\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\n Folded: x\r\n\r\n"), (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), (b"HTTP/2.0 200 OK\r\n\r\n"), (b"HTTP/1.1 99 Low\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 200 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20000 + b"\r\n"),
], ids=lambda x: repr(x[:60]))
def test_bad_answers_are_a_502(bed, ctx, reply):
    def script(connection):
        if connection.request():
            connection.send(reply)
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    got, _, _ = client.get(gw.port, ctx(), method="POST", body=b"")
    assert got is not None and got.status == 502


@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n"], ids=lambda x: repr(x[-20:]))
def test_a_truncated_answer_is_never_passed_as_whole(bed, ctx, reply):
    def script(connection):
        if connection.request():
            connection.send(reply)
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    with client.Client(gw.port, ctx()) as c:
        try:
            got = c.get("/")
            assert got is None or got.status == 502, f"whole: {got} {got.body}"
        except (EOFError, OSError):
            pass


def test_surplus_bytes_of_a_backend_reach_nobody(bed, ctx):
    def script(connection):
        while connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleaked")
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1))
    for _ in range(10):
        with client.Client(gw.port, ctx()) as c:
            for _ in range(3):
                got = c.get("/")
                assert got.status == 200 and got.body == b"ok"


def test_unsolicited_bytes_on_an_idle_backend_connection_reach_nobody(bed, ctx):
    closed = []

    def script(connection):
        while connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            later = threading.Timer(0.05, connection.send, (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleaked",))
            later.start()
            later.join()
        closed.append(connection)
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    for n in range(10):
        got, _, _ = client.get(gw.port, ctx())
        assert got.status == 200 and got.body == b"ok"
        wait.until(lambda n=n: len(closed) > n, 5, "the gateway drops the connection that spoke unasked")


def test_a_post_is_never_sent_twice(bed, ctx):
    """The back-end takes the request and resets: a POST is answered 502 and seen once; a GET is retried."""
    def script(connection):
        seen = connection.request()
        if seen and len([s for s in connection.backend.seen if s.target == seen.target]) == 1:
            return connection.reset()
        if seen:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    got, _, _ = client.get(gw.port, ctx(), "/post", method="POST", body=b"once")
    assert got.status == 502 and len([s for s in back.seen if s.target == "/post"]) == 1
    got, _, _ = client.get(gw.port, ctx(), "/get")
    assert got.status in (200, 502)


def test_stale_keep_alive_connections_cost_no_request(bed, ctx):
    """A back-end that closes idle connections at any moment."""
    def script(connection):
        if connection.request():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    with client.Client(gw.port, ctx()) as c:
        for n in range(200):
            assert c.get(f"/{n}").status == 200


def test_an_early_answer_is_passed_on(bed, ctx):
    def script(connection):
        if connection.reader.until(b"\r\n\r\n"):
            connection.send(b"HTTP/1.1 413 Too large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/", "localhost", [("Content-Length", "10000000")]) + b"x" * 20000)
        got = c.reader.answer()
        assert got and got.status == 413 and got.body == b"big"


def test_round_robin_over_the_servers_of_a_pool(bed, ctx):
    backs = [bed.backend() for _ in range(3)]
    gw = bed.gateway(bed.settings(*backs, workers=1))
    with client.Client(gw.port, ctx()) as c:
        for n in range(30):
            assert c.get(f"/{n}").status == 200
    assert [len(b.seen) for b in backs] == [10, 10, 10]


def test_clients_vanish_at_every_moment(bed, ctx):
    gw, _ = world(bed)
    for n in range(60):
        c = client.Client(gw.port, ctx(), handshake=n % 3 != 0)
        if n % 3 == 1:
            c.send(http1.request("GET", "/")[:n])
        if n % 3 == 2:
            c.send(http1.request("POST", "/", "localhost", [("Content-Length", "1000")]) + b"x" * n)
        if n % 2:
            c.tcp.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: reset
        c.tcp.close() if n % 5 else c.close()
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 15, "no connection is left")
    assert gw.counter("sslgw_requests_open") == 0
    assert full_handshake(gw, ctx(**FULL))[0]


@pytest.mark.parametrize("sent", [b"GET / HT", http1.request("POST", "/", "localhost", [("Content-Length", "1000")]) + b"part",
                                  http1.request("POST", "/", "localhost", [("Transfer-Encoding", "chunked")]) + b"5\r\nab"],
                         ids=["in a head", "in a body by length", "in a chunked body"])
@pytest.mark.parametrize("end", ["FIN", "close_notify", "RST"])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_a_client_that_goes_in_the_middle_is_noticed_at_once(bed, ctx, sent, end, later):
    """A RST right behind the bytes arrives with them, in one event."""
    gw, _ = world(bed)
    c = client.Client(gw.port, ctx())
    assert c.get("/").status == 200
    c.send(sent)
    if later:
        wait.until(lambda: client.unsent(c.tcp) == 0, 5, "the bytes are there")
    if end == "RST":
        c.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if end == "close_notify":
        try:
            c.tls.unwrap()
        except OSError:
            pass
    c.tcp.close()
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 2, "no connection is left")
