"""The hostile corpus of t/hostile, sent to a gateway with a back-end that records every byte: nothing
ambiguous arrives there, and everything legitimate works."""
import os
import re
import ssl

import pytest

from bed import backend, client, corpus, http1, wait

REQUESTS, ANSWERS = corpus.cases("*.req"), corpus.cases("*.resp")
HEAD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~\x80-\xff]+ HTTP/1\.1\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\r\n\0]*\r\n)+\r\n")


@pytest.fixture(scope="module")
def world(shared):
    back = shared.backend(reply=lambda seen: backend.answer(b"" if seen.method == "HEAD" else b"ok"))
    gw = shared.gateway(shared.settings(back, limits={"head": "32K", "fields": 100}, timeouts={"head": "5s", "idle": "5s"}))
    return gw, back


@pytest.fixture(autouse=True)
def unharmed(request, ctx):
    workers = None
    if "world" in request.fixturenames:
        gw, _ = request.getfixturevalue("world")
        workers = gw.workers()
    yield
    if workers:
        assert gw.workers() == workers, "a worker was lost"


def strict(back, since):
    """Every head that arrived, checked against the grammar: no folds, no bare CR or LF, one framing."""
    for connection in back.connections[since:]:
        raw = bytes(connection.raw)
        while raw:
            head, mark, raw = raw.partition(b"\r\n\r\n")
            if not mark:
                assert b"\n" not in head.replace(b"\r\n", b"") and b"\r" not in head.replace(b"\r\n", b""), head
                return
            assert HEAD.fullmatch(head + mark), head
            names = [x.split(b":")[0].lower() for x in head.split(b"\r\n")[1:]]
            for name in (b"host", b"content-length", b"transfer-encoding"):
                assert names.count(name) <= 1, head
            assert not (b"content-length" in names and b"transfer-encoding" in names), head
            assert b"host" in names, head
            if b"content-length" in names or b"transfer-encoding" in names:
                return  # what follows is a body, which seen[] has checked


def sent(c, data, piecewise):
    try:
        if piecewise:
            for at in range(len(data)):
                c.send(data[at:at + 1])
        else:
            c.send(data)
    except OSError:
        pass  # refused before the end; the answer is there to be read


def bytes_at(back):
    return sum(len(x.raw) for x in back.connections)


def lacks_body(case):
    """A good head whose body the case does not send: nothing is answered until it comes."""
    if case.status or case.words.get("body") != "length":
        return False
    head, _, body = case.data.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
    return length is not None and int(length[1]) > len(body)


@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", REQUESTS, ids=repr)
def test_request(world, ctx, case, piecewise):
    if piecewise and len(case.data) > 600:
        pytest.skip("long ones are sent whole only")
    gw, back = world
    seen, connections, arrived = len(back.seen), len(back.connections), bytes_at(back)
    method = case.data.lstrip(b"\r\n").split(b" ")[0].decode("latin-1")
    with client.Client(gw.port, ctx(), timeout=8) as c:
        sent(c, case.data, piecewise)
        if case.more or lacks_body(case):
            c.tcp.settimeout(0.15)
            with pytest.raises((TimeoutError, ssl.SSLWantReadError)):
                if "expect_100" in case.words:
                    head = c.reader.until(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 100 "), head
                got = c.recv(1)
                raise AssertionError(f"answered though it is not complete: {got!r}")
            assert all(not x.whole for x in back.seen[seen:]) if back.seen[seen:] and hasattr(back.seen[-1], "whole") \
                else len(back.seen) == seen, "an incomplete request was completed"
            return
        try:
            got = c.reader.answer(method)
        except TimeoutError:
            got = None
        if case.status:
            assert bytes_at(back) == arrived, f"it arrived: {bytes(back.connections[-1].raw[-400:])}"
        assert got is not None, "no answer"
        if case.status:
            assert got.status == case.status, f"{got} {got.body[:200]!r}"
            assert c.ended(), "the connection goes on after a refused request"
            return
        assert got.status == 200, f"{got} {got.body[:300]!r}"
        wait.until(lambda: len(back.seen) > seen, 2, "the request at the back-end")
        arrived = back.seen[seen]
        if "data" in case.words and case.words.get("body") != "none":
            assert len(arrived.body) >= int(case.words["data"]) or "Content-Length" in arrived.head.decode("latin-1")
        left = int(case.words.get("left") or 0)
        if "close" in case.words and not left:
            assert c.ended(), "the connection goes on"
        if "keep" in case.words and not left:
            assert c.get("/next").status == 200
    strict(back, connections)


@pytest.mark.parametrize("case", ANSWERS, ids=repr)
def test_answer(bed_of_answers, ctx, case):
    gw, back = bed_of_answers
    back.case = case
    fields = [("Connection", "upgrade"), ("Upgrade", case.protocol)] if case.protocol else []
    count = len(back.seen)
    with client.Client(gw.port, ctx(), timeout=8) as c:
        c.send(http1.request(case.method, "/", fields=fields, body=b"" if case.method == "POST" else None))
        try:
            got, whole = c.reader.answer(case.method), True
        except (EOFError, ValueError, OSError):
            got, whole = None, False
        assert len(back.seen) > count
        if case.ok:
            if case.protocol or "upgrade" in case.words:
                return  # what was asked for does not reach the back-end: see test_headers
            status = int(re.match(rb"(?:HTTP/1\.. 1\d\d.*?\r\n\r\n)*HTTP/1\.. (\d+)", case.data, re.S).group(1))
            assert whole and got is not None and (got.status == status or status < 200), got
            if status < 200:
                return  # the corpus ends there, and so does the back-end: a page of ours follows
            if case.words.get("body") == "none" or case.method == "HEAD":
                assert got.body == b""
            elif "data" in case.words:
                assert len(got.body) == int(case.words["data"]), got.body
        elif case.more:
            assert not whole or got is None or got.status == 502, "a truncated answer was passed as whole"
        else:
            assert not whole or got is None or got.status == 502, f"passed on: {got} {got.fields} {got.body[:100]!r}"


@pytest.fixture(scope="module")
def bed_of_answers(shared):
    def script(connection):
        while connection.request():
            connection.send(connection.backend.case.data)
            return
    back = shared.backend(script=script)
    return shared.gateway(shared.settings(back), name="answers"), back


def test_pipelined_requests_are_answered_in_order(world, ctx):
    gw, back = world
    back.answer = lambda seen: backend.answer(seen.target.encode())
    try:
        with client.Client(gw.port, ctx()) as c:
            c.send(b"".join(http1.request("GET", f"/{n}") for n in range(100)))
            assert [c.reader.answer().body for n in range(100)] == [f"/{n}".encode() for n in range(100)]
    finally:
        back.answer = backend.answer()


def test_a_flood_of_pipelined_requests_whose_answers_are_unread_is_bounded(bed, ctx):
    from bed import proc
    back = bed.backend(reply=backend.answer(b"x" * 10000))
    gw = bed.gateway(bed.settings(back, workers=1, timeouts={"write": "3s"}))
    before = proc.rss_kib(gw.worker(0))
    with client.Client(gw.port, ctx(), rcvbuf=16384, timeout=3) as c:
        try:
            for _ in range(400):
                c.send(http1.request() * 100)
        except OSError:
            pass
        # No more is asked of the back-end than what lies in the kernel's buffers: of 40,000.
        wait.holds(lambda: len(back.seen) < 1000, 1.5, "what is asked for who does not read is little")
        if "asan" not in os.path.basename(bed.build):  # which keeps what was freed
            assert proc.rss_kib(gw.worker(0)) - before < 4096


def test_a_refused_requests_body_is_not_read_as_the_next_request(world, ctx):
    gw, back = world
    count = len(back.seen)
    inner = http1.request("GET", "/smuggled")
    for head in (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nContent-Length: 0\r\n\r\n" % len(inner),
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % len(inner),
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense\r\nContent-Length: %d\r\n\r\n" % len(inner)):
        with client.Client(gw.port, ctx()) as c:
            c.send(head + inner)
            assert c.reader.answer().status >= 400
            try:
                assert c.ended()
            except OSError:
                pass
    assert not [s for s in back.seen[count:] if s.target == "/smuggled"]


def test_a_back_end_that_is_still_owed_a_body_is_not_used_again(bed, ctx):
    """Its client has gone in the middle: what comes next on that connection would be the rest of the body."""
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=1))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/owed", fields=[("Content-Length", "100000")]) + b"x" * 40000)
        wait.until(lambda: back.connections and len(back.connections[0].raw) > 30000, 5, "a part of the body at the back-end")
    for _ in range(3):
        assert client.get(gw.port, ctx(), "/next")[0].status == 200
    assert [s.target for s in back.seen] == ["/next"] * 3
    assert b"/next" not in bytes(back.connections[0].raw)


def test_no_bytes_of_a_client_choose_the_back_end(bed, ctx):
    """Another server of ours, that no route leads to: no spelling of its address does, either."""
    back, inner = bed.backend(), bed.backend(reply=backend.answer(b"secret"))
    gw = bed.gateway(bed.settings(pools=[{"name": "main", "sticky_cookie": "server", "servers": [{"address": back.address}]}]))
    at = inner.address
    for data in (f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n", f"GET http://{at}/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: {at}\r\n\r\n", f"GET //{at}/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 f"GET @{at}/ HTTP/1.1\r\nHost: localhost\r\n\r\n", f"GET /@{at}/ HTTP/1.1\r\nHost: localhost@{at}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: {at}\r\nX-Original-URL: http://{at}/\r\n"
                 f"Forwarded: host={at}\r\nCookie: server={at}\r\n\r\n"):
        with client.Client(gw.port, ctx()) as c:
            c.send(data.encode())
            got = c.reader.answer()
            assert got.body != b"secret", data
    assert not inner.connections


@pytest.mark.parametrize("size, status", [(8192, 200), (12000, 200), (40000, 431), (400000, 431)])
def test_heads_have_a_limit(world, ctx, size, status):
    gw, _ = world
    with client.Client(gw.port, ctx()) as c:
        sent(c, http1.request(fields=[(f"X-{n}", "v" * 1000) for n in range(size // 1000)]), False)
        assert c.reader.answer().status == status


def test_a_body_limit_is_kept(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), limits={"body": "1K"}))
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/", method="POST", body=b"x" * 1024).status == 200
        got = c.get("/", method="POST", body=b"x" * 1025)
        assert got.status == 413
    with client.Client(gw.port, ctx()) as c:
        sent(c, http1.request("POST", "/", fields=[("Transfer-Encoding", "chunked")]) + b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n", False)
        assert c.reader.answer().status == 413


def test_upgrades_and_connect_open_no_tunnel(world, ctx):
    gw, back = world
    with client.Client(gw.port, ctx()) as c:
        got = c.get("/", fields=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")])
        assert got.status == 200
        assert "upgrade" not in back.seen[-1].names() and "http2-settings" not in back.seen[-1].names()
        c.send(b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\nSSH-2.0\r\n")
        assert c.reader.answer().status in (400, 405, 501) and c.ended()


def test_error_pages_reflect_nothing(world, ctx):
    gw, _ = world
    for data in (b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: a<b\r\n\r\n", b"<script> / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\nX<script>: y\r\n\r\n"):
        with client.Client(gw.port, ctx()) as c:
            c.send(data)
            got = c.reader.answer()
            assert got.status >= 400 and b"<script" not in got.body + got.head
