"""Servers behind that come and go: checks, sparing, sticky clients, buffers that keep slow clients from them."""
import collections
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from bed import backend, client, http1, wait
from test_admin import admin_of, ctl, get as admin_get, metrics

FAST = {"path": "/healthz", "interval": "100ms", "timeout": "500ms", "rise": 2, "fall": 2}


class Named:
    """A back-end that answers with its name, and its check with what it is told to."""

    def __init__(self, bed, name, port=0):
        self.name, self.status, self.checks = name, "200 OK", 0
        self.back = bed.backend(reply=self.reply, port=port)
        self.address = self.back.address

    def reply(self, seen):
        if seen.target == "/healthz":
            self.checks += 1
            return backend.answer(b"", self.status)
        return backend.answer(self.name.encode())

    @property
    def asked(self):
        return [s for s in self.back.seen if s.target != "/healthz"]


def pool(backs, check=None, **more):
    servers = [{"address": b if isinstance(b, str) else b.address} for b in backs]
    return {"name": "main", "servers": servers, **({"health_check": check} if check else {}), **more}


def asked(gw, ctx, n, fields=()):
    seen = collections.Counter()
    for k in range(n):
        with client.Client(gw.port, ctx()) as c:
            got = c.get(f"/{k}", fields=fields)
            assert got.status == 200
            seen[got.body.decode()] += 1
    return seen


def states(gw):
    status, text = admin_get(admin_of(gw), "/status.json")
    assert status == 200
    return {s["server"]: s["state"] for s in json.loads(text)["servers"]}


def world(bed, pool_, **more):
    return bed.gateway(bed.settings(pools=[pool_], admin={"address": "127.0.0.1:0"}, **{"workers": 2, **more}))


# ---- checks

def test_a_server_that_fails_its_checks_gets_no_request_until_it_is_well(bed, ctx):
    a, b = Named(bed, "a"), Named(bed, "b")
    gw = world(bed, pool([a, b], FAST))
    wait.until(lambda: states(gw) == {a.address: "up", b.address: "up"}, 10, "both are up")
    assert set(asked(gw, ctx, 8)) == {"a", "b"}
    a.status = "503 Service Unavailable"
    wait.until(lambda: states(gw)[a.address] == "down", 10, "a is down")
    wait.until(lambda: asked(gw, ctx, 12) == {"b": 12}, 5, "the workers know")
    before = len(a.asked)
    assert asked(gw, ctx, 12) == {"b": 12} and len(a.asked) == before
    page = metrics(admin_of(gw))
    up = {k: v for k, v in page.items() if k.startswith("sslgw_server_up")}
    assert sorted(up.values()) == [0, 1] and any(a.address in k and 'pool="main"' in k and v == 0 for k, v in up.items()), up
    problems = json.loads(admin_get(admin_of(gw), "/status.json")[1])["problems"]
    assert any(a.address in p and "status 503" in p for p in problems), problems
    assert f"server {a.address} is down: it answers with status 503" in gw.output()
    # A worker that starts later knows at once.
    victim = gw.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: len(gw.workers()) == 2 and victim not in gw.workers(), 10, "another worker")
    assert asked(gw, ctx, 12) == {"b": 12}
    a.status = "204 No Content"
    wait.until(lambda: states(gw)[a.address] == "up", 10, "a is up again")
    wait.until(lambda: set(asked(gw, ctx, 8)) == {"a", "b"}, 5, "the workers know")
    assert f"server {a.address} is up again" in gw.output()


def test_what_a_dead_monitor_said_stays_and_the_next_one_goes_on(bed, ctx):
    a, b = Named(bed, "a"), Named(bed, "b")
    gw = world(bed, pool([a, b], FAST))
    a.status = "500 Internal Server Error"
    wait.until(lambda: states(gw)[a.address] == "down", 10, "a is down")
    wait.until(lambda: asked(gw, ctx, 12) == {"b": 12}, 5, "the workers know")
    victim = gw.monitor()[0]
    os.kill(victim, signal.SIGKILL)
    assert asked(gw, ctx, 8) == {"b": 8}
    wait.until(lambda: gw.monitor() and gw.monitor()[0] != victim, 10, "another monitor")
    wait.until(lambda: states(gw)[a.address] == "down", 10, "it has looked")
    assert asked(gw, ctx, 8) == {"b": 8}
    a.status = "200 OK"
    wait.until(lambda: set(asked(gw, ctx, 4)) == {"a", "b"}, 10, "a is used again")


def test_a_reload_without_the_check_forgets_what_it_found(bed, ctx):
    a, b = Named(bed, "a"), Named(bed, "b")
    gw = world(bed, pool([a, b], FAST))
    a.status = "404 Not Found"
    wait.until(lambda: states(gw)[a.address] == "down", 10, "a is down")
    gw.reload(bed.settings(pools=[pool([a, b])], workers=2))
    assert set(asked(gw, ctx, 8)) == {"a", "b"}


def test_all_down_is_no_reason_to_answer_nobody(bed, ctx):
    a = Named(bed, "a")
    a.status = "503 Service Unavailable"
    gw = world(bed, pool([a], FAST))
    wait.until(lambda: states(gw)[a.address] == "down", 10, "a is down")
    assert asked(gw, ctx, 2) == {"a": 2}


def test_a_connection_is_check_enough_without_a_path(bed, ctx):
    a = Named(bed, "a")
    path = f"{bed.folder}/check.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(64)
    port = wait.free_port()
    gw = world(bed, pool([a, f"unix:{path}", f"127.0.0.1:{port}"], {"interval": "100ms", "fall": 2, "rise": 1}))
    wait.until(lambda: states(gw) == {a.address: "up", f"unix:{path}": "up", f"127.0.0.1:{port}": "down"}, 10, "they were looked at")
    listener.close()
    wait.until(lambda: states(gw)[f"unix:{path}"] == "down", 10, "its socket is gone")
    assert a.checks == 0
    late = Named(bed, "late", port)
    wait.until(lambda: states(gw)[late.address] == "up", 10, "it has come")


@pytest.mark.parametrize("reply,words", [
    (None, "did not answer in time"), (b"SSH-2.0-x\r\n", "status line"), (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "framing"),
    (b"", "closed before answering"), (b"HTTP/1.1 200 OK\r\nA", "middle"), (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40, "interim")])
def test_what_is_no_answer_is_no_good_check(bed, ctx, reply, words):
    hold = threading.Event()

    def script(connection):
        connection.request()
        if reply is None:
            hold.wait(20)
        connection.send(reply or b"")
    back = bed.backend(script=script)
    gw = world(bed, pool([back], {**FAST, "timeout": "200ms" if reply is None else "5s"}))
    try:
        line = wait.until(lambda: re.search(r"is down: (.*)", gw.output()), 10, "it is down").group(1)
        assert words in line, line
    finally:
        hold.set()


@pytest.mark.parametrize("version,header", [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20")])
def test_a_check_bears_the_proxy_header_that_its_server_awaits(bed, version, header):
    came = []

    def script(connection):
        while b"\r\n\r\n" not in bytes(connection.raw[16:]):
            if not connection.recv(4096):
                return
        came.append(bytes(connection.raw))
        connection.send(backend.answer())
    gw = world(bed, pool([bed.backend(script=script)], FAST, proxy_protocol=version))
    wait.until(lambda: "up" in states(gw).values(), 10, "it is up")
    assert came[0].startswith(header) and b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:" in came[0]


@pytest.mark.parametrize("fields,words", [
    ({"health_check": {"path": "healthz"}}, ["path", "/healthz"]), ({"health_check": {"path": "/a b"}}, ["path"]),
    ({"health_check": {"status": "2xx"}}, ["status", "200-399"]), ({"health_check": {"status": "300-200"}}, ["status"]),
    ({"health_check": {"path": "/", "host": "a/b"}}, ["host"]), ({"health_check": {"rise": 0}}, ["rise"]),
    ({"health_check": {"intervall": "1s"}}, ["interval"]), ({"sticky_cookie": "a b"}, ["cookie", "SRV"]),
    ({"sticky_secret": "x"}, ["sticky_cookie"]), ({"fail_timeout": "1ms"}, ["fail_timeout"]), ({"slow_start": 5}, ["slow_start"])])
def test_wrong_options_are_told(bed, fields, words):
    gw = bed.gateway(bed.settings(pools=[pool(["127.0.0.1:1"], **fields)]), start=False)
    gw.write()
    got = gw.check()
    assert got.returncode == 1 and all(w in got.stderr for w in words), got.stderr


def test_how_the_workers_have_a_server_is_shown(bed, ctx):
    a, port = Named(bed, "a"), wait.free_port()
    late = f"127.0.0.1:{port}"
    settings = pool([a, late], slow_start="60s", fail_timeout="2s")
    settings["servers"].append({"address": "127.0.0.1:1", "weight": 0})
    gw = world(bed, settings)
    assert states(gw) == {a.address: "up", late: "up", "127.0.0.1:1": "drained"}

    def shown(words):
        asked(gw, ctx, 4)
        got = ctl(bed, "status", "--servers", admin_of(gw))
        line = next(x for x in got.stdout.splitlines() if x.startswith("  main") and late in x)
        return re.search(words, line) and got
    got = wait.until(lambda: shown(r"spared.*connections to it failed; spared by [12] of 2 workers"), 20, "it is spared")
    assert got.returncode == 1 and f'! server {late} of pool "main": connections to it failed' in got.stdout
    wait.until(lambda: shown(r" spared  .*spared by 2 of 2 workers"), 20, "by both")
    page = wait.until(lambda: (m := metrics(admin_of(gw))) and
                      m.get(f'sslgw_server_spared_workers{{pool="main",server="{late}"}}', 0) > 0 and m, 20, "the metric")
    assert page[f'sslgw_server_spared_workers{{pool="main",server="{a.address}"}}'] == 0
    Named(bed, "late", port)
    got = wait.until(lambda: shown(r" slow start .*less than its share by 2 of 2"), 20, "it came back")
    assert got.returncode == 0, got.stdout
    wait.until(lambda: metrics(admin_of(gw))[f'sslgw_server_slow_start_workers{{pool="main",server="{late}"}}'] == 2, 10, "the metric")
    # A worker's finding goes with it.
    for pid in gw.workers():
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: states(gw)[late] == "up", 10, "new workers know of nothing")


def test_requests_that_fail_are_told_from_connections(bed, ctx):
    a, bad = Named(bed, "a"), bed.backend(script=lambda c: c.request() and None)
    gw = world(bed, pool([a, bad], max_fails=1), workers=1)

    def shown():
        asked(gw, ctx, 4)
        return "requests to it failed; spared by 1 of 1 workers" in ctl(bed, "status", admin_of(gw)).stdout
    wait.until(shown, 20, "it is spared")


def test_a_server_stands_once_in_a_pool(bed):
    gw = bed.gateway(bed.settings(pools=[pool(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"])]), start=False)
    gw.write()
    got = gw.check()
    assert got.returncode == 1 and 'server "127.0.0.1:1" is given twice' in got.stderr


# ---- sticky clients

def cookie_of(got):
    found = re.fullmatch(r"SRV=([0-9a-f]{16}); Path=/; HttpOnly; Secure", got.get("Set-Cookie"))
    assert found, got.fields
    return found.group(1)


def test_a_cookie_keeps_a_client_at_its_server_while_that_is_well(bed, ctx):
    backs = [Named(bed, x) for x in "abc"]
    gw = world(bed, pool(backs, sticky_cookie="SRV"))
    whose = {}
    for _ in range(24):
        with client.Client(gw.port, ctx()) as c:
            got = c.get("/")
            whose[got.body.decode()] = cookie_of(got)
            for other in ("", "; x=y"):
                again = c.get("/", fields=[("Cookie", f"a=b; SRV={cookie_of(got)}{other}")])
                assert again.body == got.body and again.get("Set-Cookie") is None
    assert set(whose) == set("abc") and len(set(whose.values())) == 3
    assert not any(b.address.split(":")[1] in "".join(whose.values()) for b in backs)
    fields = [("Cookie", f"SRV={whose['a']}")]
    assert asked(gw, ctx, 8, fields) == {"a": 8}
    backs[0].back.stop()
    with client.Client(gw.port, ctx()) as c:
        got = c.get("/", fields=fields)
        assert got.body in (b"b", b"c") and cookie_of(got) == whose[got.body.decode()]


@pytest.mark.parametrize("value", ["0" * 16, "0" * 17, "", "127.0.0.1", "ffffffffffffffff", "A" * 16, '"', "%00"])
def test_a_forged_cookie_is_none(bed, ctx, value):
    backs = [Named(bed, x) for x in "ab"]
    gw = world(bed, pool(backs, sticky_cookie="SRV"), workers=1)
    with client.Client(gw.port, ctx()) as c:
        for name in "abab":
            got = c.get("/", fields=[("Cookie", f"SRV={value}")])
            assert got.status == 200 and cookie_of(got)
    assert {len(b.asked) for b in backs} == {2}


def test_a_drained_server_keeps_the_clients_that_it_has(bed, ctx):
    backs = [Named(bed, x) for x in "ab"]
    gw = world(bed, pool(backs, sticky_cookie="SRV"))
    whose = {}
    while len(whose) < 2:
        with client.Client(gw.port, ctx()) as c:
            got = c.get("/")
            whose[got.body.decode()] = cookie_of(got)
    drained = pool(backs, sticky_cookie="SRV")
    drained["servers"][0]["weight"] = 0
    gw.reload(bed.settings(pools=[drained], workers=2))
    assert asked(gw, ctx, 8) == {"b": 8}
    assert asked(gw, ctx, 4, [("Cookie", f"SRV={whose['a']}")]) == {"a": 4}


# ---- slow clients hold no server

def test_a_slow_small_body_holds_no_server(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(workers=1, pools=[pool([back])]))
    with client.Client(gw.port, ctx()) as c:
        c.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12000\r\n\r\n" + b"x" * 11999)
        wait.until(lambda: gw.counter("sslgw_requests_open") == 1, 5, "it has come")
        wait.holds(lambda: not back.connections, 0.3, "no connection")
        c.send(b"y")
        assert c.reader.answer().status == 200
        assert back.last().body == b"x" * 11999 + b"y"
        # More than the buffer goes as it comes.
        c.send(b"POST /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n" + b"z" * 30000)
        wait.until(lambda: len(back.connections[-1].raw) > 25000, 5, "the back-end has its begin")
        c.send(b"z" * 10000)
        assert c.reader.answer().status == 200
        assert back.last().body == b"z" * 40000


def test_bodies_that_are_kept_have_a_bound_in_all(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(workers=1, pools=[pool([back])], limits={"request_buffers": "64K"}))  # of 32K each
    clients = [client.Client(gw.port, ctx()) for _ in range(4)]
    try:
        for n, c in enumerate(clients):
            c.send(f"POST /{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n".encode() + b"ab")
            wait.until(lambda n=n: gw.counter("sslgw_requests_open") == n + 1, 5, "it has come")
        wait.until(lambda: len(back.connections) == 2 and all(c.raw.endswith(b"ab") for c in back.connections), 5,
                   "two are passed on as they come")
        assert gw.counter("sslgw_request_buffers_full_total") == 2
        for c in clients:
            c.send(b"cd")
            assert c.reader.answer().status == 200
        assert sorted((s.target, s.body) for s in back.seen) == [(f"/{n}", b"abcd") for n in range(4)]
        with client.Client(gw.port, ctx()) as c:
            assert c.get("/later", "POST", body=b"x").status == 200
        assert gw.counter("sslgw_request_buffers_full_total") == 2
    finally:
        for c in clients:
            c.close()


def test_a_route_may_stream_from_the_first_byte(bed, ctx):
    back = bed.backend()
    site = bed.site(routes=[{"path": "/", "pool": "main"}, {"path": "/events", "pool": "main", "stream": True}])
    gw = bed.gateway(bed.settings(workers=1, sites=[site], pools=[pool([back])]))
    with client.Client(gw.port, ctx()) as c:
        c.send(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        wait.until(lambda: back.connections and back.connections[0].raw.endswith(b"ab"), 5, "the first bytes are there")
        c.send(b"cd")
        assert c.reader.answer().status == 200


def test_on_a_streamed_route_the_server_says_whether_a_body_may_come(bed, ctx):
    """Expect goes on to it, and its 100 comes back; elsewhere the gateway says it, before a server is asked."""
    asked, may = [], threading.Event()

    def script(connection):
        while True:
            head = connection.reader.until(b"\r\n\r\n")
            if head is None:
                return
            head = head.lower() + b"\r\n"
            asked.append(head)
            if b"/no " in head:
                connection.send(backend.answer(b"no", status="401 Unauthorized"))
                return
            if b"\r\nexpect: 100-continue\r\n" in head:
                may.wait(10)
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.reader.exactly(3)
            connection.send(backend.answer(b"yes"))
    back = bed.backend(script=script)
    routes = [{"path": "/", "pool": "main"}, {"path": "/events", "pool": "main", "stream": True}]
    gw = bed.gateway(bed.settings(workers=1, sites=[bed.site(routes=routes)], pools=[pool([back])]))

    def ask(c, target):
        c.send(http1.request("POST", target, "localhost", [("Expect", "100-continue"), ("Content-Length", "3")]))
    with client.Client(gw.port, ctx()) as c:
        ask(c, "/events/yes")
        wait.until(lambda: asked, 5, "the server is asked before the body is there")
        assert b"\r\nexpect: 100-continue\r\n" in asked[0]
        may.set()
        assert c.reader.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        c.send(b"abc")
        assert c.reader.answer().body == b"yes"
        ask(c, "/kept")  # on the same connection
        assert c.reader.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue" and len(asked) == 1
        c.send(b"abc")
        assert c.reader.answer().body == b"yes" and b"expect" not in asked[1]
    with client.Client(gw.port, ctx()) as c:
        ask(c, "/events/no")
        got = c.reader.answer()  # without a 100, and the body never comes
        assert got.status == 401 and got.body == b"no" and got.get("Connection") == "close"
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/events/now", "localhost", [("Expect", "100-continue"), ("Content-Length", "3")]) + b"abc")
        interim = []
        assert c.reader.answer(interim=interim).body == b"yes"
        assert all(x.status == 100 for x in interim)


def test_a_hundred_slow_readers_hold_no_server_of_ten(bed, ctx):
    """A back-end of ten processes, as a prefork Apache is: each serves one connection at a time."""
    page, gate, most, now = b"p" * 60000, threading.Semaphore(10), [0], [0]
    lock = threading.Lock()

    def script(connection):
        with gate:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            while (seen := connection.request()) is not None:
                connection.send(backend.answer(page, fields=[("Connection", "close")]))
                break
            with lock:
                now[0] -= 1
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(workers=1, pools=[pool([back])]))
    slow = []
    try:
        for k in range(100):
            c = client.Client(gw.port, ctx(), rcvbuf=4096)
            c.send(http1.request("GET", f"/{k}"))  # and reads nothing
            slow.append(c)
        wait.until(lambda: len(back.seen) == 100 and now[0] == 0, 20, "all were answered by the back-end, and it is free")
        began = time.monotonic()
        with client.Client(gw.port, ctx()) as quick:
            assert quick.get("/quick").body == page
        assert time.monotonic() - began < 2
        assert most[0] <= 10
        for c in slow:
            got = c.reader.answer()
            assert got.status == 200 and got.body == page
    finally:
        for c in slow:
            c.close()


# ---- servers are killed and come back

class Mortal:
    """A back-end in a process of its own, so that it can be killed; it writes down the ids of the POSTs that it got."""

    def __init__(self, folder, number):
        self.port, self.file, self.pid = wait.free_port(), f"{folder}/posts.{number}", None
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.pid = os.fork()
        if self.pid:
            return
        try:
            self.serve()
        finally:
            os._exit(0)

    def serve(self):
        os.setsid()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(512)
        log = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

        def one(sock):
            reader = http1.Reader(sock.recv)
            try:
                while (got := reader.message()) is not None:
                    first = got[0].split(" ")
                    if first[0] == "POST":
                        os.write(log, first[1].encode() + b"\n")
                    sock.sendall(backend.answer(first[1].encode()))
            except (OSError, EOFError):
                pass
            sock.close()
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None

    def stop(self):
        if self.pid:
            self.kill()


def load(gw, ctx, number, over, rate, failed, done):
    """Requests at a rate on a kept connection: GET, PUT and POST with an id each."""
    c, k, due = None, 0, time.monotonic()
    while not over.is_set():
        method, target = ("GET", "POST", "GET", "PUT")[k % 4], f"/{number}-{k}"
        k += 1
        due += 1 / rate
        over.wait(max(0, due - time.monotonic()))
        try:
            if c is None:
                c = client.Client(gw.port, ctx())
            got = c.get(target, method, body=b"body" if method != "GET" else None)
            good = got.status == 200 and got.body == target.encode()
            what = got.status
        except Exception as error:  # any kind of it is a failed request
            good, what, c = False, repr(error), None
        if good:
            done[method] += 1
        elif method != "POST":
            failed.append((method, target, what))
    if c:
        c.close()


@pytest.mark.parametrize("seconds,rate,clients", [
    pytest.param(6, 20, 6, id="short"), pytest.param(60, 25, 12, id="long", marks=pytest.mark.long)])
def test_half_of_the_servers_die_and_come_back_under_load(bed, ctx, seconds, rate, clients):
    backs = [Mortal(bed.folder, n) for n in range(4)]
    gw = bed.gateway(bed.settings(workers=2, pools=[pool(backs, {"interval": "500ms", "rise": 1, "fall": 2})]))
    over, failed, done = threading.Event(), [], collections.Counter()
    threads = [threading.Thread(target=load, args=(gw, ctx, n, over, rate, failed, done)) for n in range(clients)]
    try:
        for t in threads:
            t.start()
        end, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            over.wait(1)
            for b in backs[turn % 2::2]:
                b.kill()
            over.wait(1)
            for b in backs[turn % 2::2]:
                b.start()
            turn += 1
        over.set()
        for t in threads:
            t.join(30)
    finally:
        over.set()
        for b in backs:
            b.stop()
    assert not failed, f"{len(failed)} failed, {failed[:5]}; served {dict(done)}"
    made = sum(done.values()) / seconds
    print(f"{made:.0f} requests a second while half of the servers died and came back: {dict(done)}, {len(failed)} failed")
    posts = collections.Counter()
    for b in backs:
        with open(b.file, encoding="ascii") as f:
            posts.update(f.read().split())
    assert made > 0.8 * rate * clients, f"{made:.0f} requests a second are not the load that was meant"
    assert len(posts) >= done["POST"] > 0.15 * made * seconds
    assert [p for p, n in posts.items() if n > 1] == []
