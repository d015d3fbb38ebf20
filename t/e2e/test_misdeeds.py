"""Servers that misbehave, in every way and at each point of an answer: each ends in time, the client gets a page of ours or sees
that it is cut, the access log has the reason, and the next client gets what is its own. The grammar of answers byte by byte:
t/hostile/*.resp; silence and slow clients: test_stopped_peers.py."""
import itertools
import re
import time

import pytest

from bed import backend, client, http1, wait

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 10\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CUT = "cut"  # the client has the head, and sees that the rest is missing


def settle(connection):
    """Lets what was sent arrive before what comes next: nothing comes from the gateway meanwhile."""
    connection.sock.settimeout(0.05)
    try:
        connection.sock.recv(1)
    except TimeoutError:
        pass


def stay(connection):
    """Until the gateway closes."""
    connection.sock.settimeout(10)
    while connection.sock.recv(65536):
        pass


def says(*parts):
    """Sends them and closes."""
    def deed(connection):
        for part in parts:
            connection.send(part)
            settle(connection)
    return deed


def resets(*parts):
    def deed(connection):
        says(*parts)(connection)
        connection.reset()
    return deed


def stays(*parts):
    def deed(connection):
        says(*parts)(connection)
        stay(connection)
    return deed


def endless(begin, block):
    def deed(connection):
        connection.send(begin)
        while True:
            connection.send(block)
    return deed


def drips(data, pause, begin=b""):
    """In single bytes; those to begin with at once."""
    def deed(connection):
        for at in range(len(begin)):
            connection.send(begin[at:at + 1])
        connection.sock.settimeout(pause)
        for at in range(len(data)):
            connection.send(data[at:at + 1])
            try:
                if connection.sock.recv(1) == b"":
                    return
            except TimeoutError:
                pass
    return deed


def head(*lines, body=b""):
    return says(OK + b"".join(x + b"\r\n" for x in lines) + b"\r\n" + body)


# What it does: (how, what the client gets, the reason in the log).
DEEDS = {
    # resets, and ends, at each point
    "reset after the request": (resets(), 502, "backend_reset"),
    "reset in the status line": (resets(OK[:7]), 502, "backend_reset"),
    "reset in a field": (resets(LENGTH[:25]), 502, "backend_reset"),
    "reset after the head": (resets(LENGTH), CUT, "backend_reset"),
    "reset in a body by length": (resets(LENGTH + b"half"), CUT, "backend_reset"),
    "reset in a chunk's size": (resets(CHUNKED + b"1"), CUT, "backend_reset"),
    "reset in a chunk": (resets(CHUNKED + b"9\r\nhalf"), CUT, "backend_reset"),
    "reset before the last chunk": (resets(CHUNKED + b"4\r\nhalf\r\n"), CUT, "backend_reset"),
    "reset in the trailers": (resets(CHUNKED + b"4\r\nhalf\r\n0\r\nX: y\r\n"), CUT, "backend_reset"),
    "reset in a body to the end": (resets(OK + b"\r\nhalf"), CUT, "backend_reset"),
    "reset after an interim answer": (resets(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 502, "backend_reset"),
    "end after the request": (says(), 502, "backend_close"),
    "end in the status line": (says(OK[:7]), 502, "backend_truncated"),
    "end in a field": (says(LENGTH[:25]), 502, "backend_truncated"),
    "end after the head": (says(LENGTH), CUT, "backend_truncated"),
    "end in a body by length": (says(LENGTH + b"half"), CUT, "backend_truncated"),
    "end in a chunk's size": (says(CHUNKED + b"1"), CUT, "backend_truncated"),
    "end in a chunk": (says(CHUNKED + b"9\r\nhalf"), CUT, "backend_truncated"),
    "end before the last chunk": (says(CHUNKED + b"4\r\nhalf\r\n"), CUT, "backend_truncated"),
    "end in the trailers": (says(CHUNKED + b"4\r\nhalf\r\n0\r\nX: y\r\n"), CUT, "backend_truncated"),
    "end after an interim answer": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 502, "backend_truncated"),

    # lengths
    "two lengths": (head(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"), 502, "backend_framing"),
    "a list of lengths": (head(b"Content-Length: 2, 2", body=b"ab"), 502, "backend_framing"),
    "a negative length": (head(b"Content-Length: -2", body=b"ab"), 502, "backend_framing"),
    "a length with a sign": (head(b"Content-Length: +2", body=b"ab"), 502, "backend_framing"),
    "a length in hex": (head(b"Content-Length: 0x2", body=b"ab"), 502, "backend_framing"),
    "an empty length": (head(b"Content-Length:", body=b"ab"), 502, "backend_framing"),
    "a length beyond all numbers": (head(b"Content-Length: 18446744073709551618", body=b"ab"), 502, "backend_framing"),
    "a length and chunks": (head(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"), 502, "backend_framing"),
    "an encoding around the chunks": (head(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 502, "backend_framing"),
    "chunks of HTTP/1.0": (says(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 502, "backend_framing"),
    "a chunk of no size": (says(CHUNKED + b"zz\r\n"), CUT, "backend_chunk"),
    "a chunk beyond all numbers": (says(CHUNKED + b"10000000000000000\r\n"), CUT, "backend_chunk"),
    "a chunk that is longer than it says": (says(CHUNKED + b"2\r\nabc\r\n0\r\n\r\n"), CUT, "backend_chunk"),
    "a chunk's line with a bare LF": (says(CHUNKED + b"2\nab\r\n0\r\n\r\n"), CUT, "backend_chunk"),

    # heads
    "no HTTP": (says(b"220 mail.example ESMTP\r\n"), 502, "backend_status"),
    "a page without a head": (says(b"<!doctype html><p>hello\r\n\r\n"), 502, "backend_status"),
    "another protocol's frames": (stays(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64"), 502, "backend_status"),
    "a TLS alert": (stays(b"\x15\3\3\0\2\2\x0a"), 502, "backend_status"),
    "HTTP/2.0": (says(b"HTTP/2.0 200 OK\r\n\r\n"), 502, "backend_status"),
    "a status of two digits": (says(b"HTTP/1.1 20 OK\r\n\r\n"), 502, "backend_status"),
    "a status of four digits": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), 502, "backend_status"),
    "a status of no digits": (says(b"HTTP/1.1 two OK\r\n\r\n"), 502, "backend_status"),
    "lines with bare LF": (says(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), 502, "backend_head"),
    "a folded field": (head(b"X: a", b" b", b"Content-Length: 0"), 502, "backend_head"),
    "a space in a name": (head(b"X y: a", b"Content-Length: 0"), 502, "backend_head"),
    "a space before the colon": (head(b"Content-Length : 0"), 502, "backend_head"),
    "a line without a colon": (head(b"nonsense", b"Content-Length: 0"), 502, "backend_head"),
    "a NUL in a value": (head(b"X: a\0b", b"Content-Length: 0"), 502, "backend_head"),
    "a CR in a value": (head(b"X: a\rSet-Cookie: b", b"Content-Length: 0"), 502, "backend_head"),
    "a switch that nobody asked for": (says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
                                       502, "backend_upgrade"),

    # without an end
    "an endless status line": (endless(b"HTTP/1.1 200 ", b"x" * 4000), 502, "backend_head_size"),
    "an endless field": (endless(OK + b"X: ", b"y" * 4000), 502, "backend_head_size"),
    "fields without an end": (endless(OK, b"X: y\r\n" * 100), 502, "backend_head_size"),
    "interim answers without an end": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), 502, "backend_interim"),
    "go-aheads without an end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10), 502, "backend_interim"),
    "an endless chunk extension": (endless(CHUNKED + b"1;", b"x" * 4000), CUT, "backend_chunk"),
    "trailers without an end": (endless(CHUNKED + b"0\r\n", b"X: y\r\n" * 100), CUT, "backend_chunk"),

    # too late
    "silence": (stays(), 504, "answer_timeout"),
    "silence in the head": (stays(LENGTH[:25]), 504, "answer_timeout"),
    "silence after an interim answer": (stays(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 504, "answer_timeout"),
    "silence in the body": (stays(LENGTH + b"half"), CUT, "answer_timeout"),
    "silence in a chunk": (stays(CHUNKED + b"9\r\nhalf"), CUT, "answer_timeout"),
    "a head that drips too slowly": (drips(LENGTH + b"0123456789", 0.1), 504, "answer_timeout"),
}


class Log:
    """The access log's lines as (target, status, reason)."""

    def __init__(self, gw):
        self.gw = gw

    def of(self, target):
        def found():
            return [x.split(" ") for x in self.gw.access() if x.startswith(target + " ")]
        return wait.until(found, 5, f"{target} in the log")[-1]


@pytest.fixture(scope="module")
def world(shared):
    def script(connection):
        while (line := connection.reader.until(b"\r\n\r\n")) is not None:
            method, target, _ = line.split(b"\r\n")[0].decode().split(" ")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", line)
            connection.target, connection.method = target, method
            if target.startswith("/good/"):
                connection.reader.exactly(int(length[1]) if length else 0)
                connection.send(backend.answer(target.encode()))
            elif connection.backend.deed(connection) is None:
                return
    back = shared.backend(script=script)
    pool = {"name": "main", "servers": [{"address": back.address}], "answer_timeout": "1s", "connect_timeout": "1s", "max_fails": 0}
    gw = shared.gateway(shared.settings(workers=1, pools=[pool], access_log={"format": "%{target} %{status} %{reason}"}))
    back.log, back.numbers = Log(gw), itertools.count()
    return gw, back


@pytest.fixture(autouse=True)
def others_get_their_own(world, ctx):
    """Whatever was done: the worker is the same, nothing is left open, and the next clients get their own answers."""
    gw, back = world
    workers = gw.workers()
    yield
    for _ in range(2):
        with client.Client(gw.port, ctx()) as c:
            for _ in range(2):
                target = f"/good/{next(back.numbers)}"
                got = c.get(target)
                assert got.status == 200 and got.body == target.encode()
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 5, "no request is open")
    assert gw.workers() == workers, "a worker was lost"
    assert not back.problems, back.problems


def outcome(c, method="GET"):
    try:
        got = c.reader.answer(method)
    except EOFError:
        return CUT, None
    assert got is not None, "closed without an answer"
    return got.status, got


@pytest.mark.parametrize("name", DEEDS)
def test_each_misdeed_ends_in_time_and_has_its_reason(world, ctx, name):
    gw, back = world
    back.deed, want, reason = DEEDS[name]
    target, began = f"/deed/{next(back.numbers)}", time.monotonic()
    with client.Client(gw.port, ctx(), timeout=8) as c:
        c.send(http1.request("POST", target, body=b""))  # which is not sent twice
        status, got = outcome(c)
        assert status == want, got
        if status == CUT:
            assert c.ended()
    assert time.monotonic() - began < 5
    line = back.log.of(target)
    assert line[1:] == ["200" if want == CUT else str(want), reason]


@pytest.mark.parametrize("name", ["end after the request", "reset after the request", "reset in the status line", "no HTTP"])
def test_a_get_is_asked_again_only_when_no_byte_of_an_answer_was_there(world, ctx, name):
    gw, back = world
    deed, _, reason = DEEDS[name]
    asked = []

    def once(connection):
        asked.append(connection.target)
        if len(asked) == 1:
            return deed(connection)
        connection.send(backend.answer(b"again"))
        return "again"
    back.deed = once
    target = f"/deed/{next(back.numbers)}"
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", target))
        status, got = outcome(c)
    if "after the request" in name:
        assert (status, got.body, len(asked)) == (200, b"again", 2) and back.log.of(target)[1:] == ["200", "-"]
    else:
        assert (status, len(asked)) == (502, 1) and back.log.of(target)[1:] == ["502", reason]


# ---- what is odd, but whole: it is passed on, and the connection is not used again

SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleaked"
ODD = {
    "surplus after a length": ("GET", says(backend.answer(b"whole") + SURPLUS), 200, b"whole", "backend_surplus"),
    "surplus after the last chunk": ("GET", stays(CHUNKED + b"5\r\nwhole\r\n0\r\n\r\n" + SURPLUS), 200, b"whole", "backend_surplus"),
    "more than its length": ("GET", stays(OK + b"Content-Length: 5\r\n\r\nwhole and more"), 200, b"whole", "backend_surplus"),
    "a body for HEAD": ("HEAD", stays(backend.answer(b"whole")), 200, b"", "backend_surplus"),
    "a body after 204": ("GET", stays(b"HTTP/1.1 204 No Content\r\n\r\nleaked"), 204, b"", "backend_surplus"),
    "a body after 304": ("GET", stays(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nleaked"), 304, b"", "backend_surplus"),
    "a reset behind a whole answer": ("GET", lambda c: (c.send(backend.answer(b"whole")), c.reset()), 200, b"whole", "-"),
    "an end behind a whole answer": ("GET", lambda c: c.send(backend.answer(b"whole")), 200, b"whole", "-"),
    "some interim answers": ("GET", says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" +
                                         backend.answer(b"whole")), 200, b"whole", "-"),
    "a slow body": ("GET", drips(b"0123456789", 0.02, LENGTH), 200, b"0123456789", "-"),
    "slow chunks": ("GET", drips(b"5\r\nwhole\r\n0\r\n\r\n", 0.02, CHUNKED), 200, b"whole", "-"),
    "HTTP/1.0 to its end": ("GET", says(b"HTTP/1.0 200 OK\r\n\r\nwh", b"ole"), 200, b"whole", "-"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_whole_is_passed_on_and_no_more(world, ctx, name):
    gw, back = world
    method, back.deed, want, body, reason = ODD[name]
    target, connections = f"/odd/{next(back.numbers)}", len(back.connections)
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request(method, target))
        status, got = outcome(c, method)
        assert (status, got.body) == (want, body)
        assert back.log.of(target)[1:] == [str(want), reason]
        assert c.get(f"/good/{next(back.numbers)}").status == 200  # the client's connection lives on
    assert len(back.connections) > connections, "the connection was used again"


def test_bytes_that_come_when_nothing_is_asked_end_the_connection(world, ctx):
    gw, back = world
    gone = []

    def deed(connection):
        connection.send(backend.answer(b"whole"))
        settle(connection)
        connection.send(SURPLUS)
        stay(connection)
        gone.append(connection)
    back.deed = deed
    with client.Client(gw.port, ctx()) as c:
        before = gw.counter("sslgw_ended_total_backend_surplus")
        assert c.get(f"/odd/{next(back.numbers)}").body == b"whole"
        wait.until(lambda: gone, 5, "the gateway drops it")
        assert gw.counter("sslgw_ended_total_backend_surplus") == before + 1


# ---- answers before the request is there

@pytest.mark.parametrize("fields", [[("Content-Length", "10000000")], [("Transfer-Encoding", "chunked")]], ids=["length", "chunked"])
@pytest.mark.parametrize("then", ["close", "stay", "reset", "keep"])
def test_an_answer_before_the_request_is_read_is_passed_on(world, ctx, fields, then):
    gw, back = world

    def deed(connection):
        more = [("Connection", "close")] if then != "keep" else []
        connection.send(backend.answer(b"too large", "413 Content Too Large", more))
        if then == "reset":
            connection.reset()
        elif then in ("stay", "keep"):
            stay(connection)
    back.deed = deed
    target = f"/early/{next(back.numbers)}"
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", target, fields=fields))
        try:  # more than is gathered before a server is asked
            c.send(b"x" * 40000 if "Length" in fields[0][0] else b"9c40\r\n" + b"x" * 40000 + b"\r\n")
        except OSError:
            pass
        status, got = outcome(c)
        assert (status, got.body) == (413, b"too large")
        assert c.ended(), "the rest of the body could be read as a request"
    assert back.log.of(target)[1:] == ["413", "early_answer"]


# ---- at the door

def door(shared, script, **more):
    back = shared.backend(script=script)
    pool = {"name": "main", "servers": [{"address": back.address}], "answer_timeout": "1s", "connect_timeout": "1s", "max_fails": 0}
    return shared.gateway(shared.settings(workers=1, pools=[pool], access_log={"format": "%{target} %{status} %{reason}"}, **more), name="door")


@pytest.mark.parametrize("name,script,reasons", [
    ("reset", lambda c: c.reset(), {"backend_reset", "connect"}),  # it may overtake the news of the connection
    ("end", lambda c: None, {"backend_close", "backend_reset"}),  # a reset where the request came too late to be read
    ("greeting", lambda c: (c.send(b"SSH-2.0-x\r\n"), stay(c)), {"backend_surplus", "backend_status"}),
])
def test_what_a_server_does_before_it_has_read_anything(bed, ctx, name, script, reasons):
    gw = door(bed, script)
    for n in range(3):
        with client.Client(gw.port, ctx()) as c:
            c.send(http1.request("POST", f"/{n}", body=b"x"))
            status, got = outcome(c)
            assert status == 502, got
        assert Log(gw).of(f"/{n}")[2] in reasons


def test_a_server_that_refuses_has_its_reason_too(bed, ctx):
    gw = bed.gateway(bed.settings(f"127.0.0.1:{wait.free_port()}", workers=1, access_log={"format": "%{target} %{status} %{reason}"}))
    assert client.get(gw.port, ctx(), "/refused", method="POST", body=b"x")[0].status == 502
    assert Log(gw).of("/refused")[1:] == ["502", "connect"]
