"""Apache and nginx behind the gateway: what is asked properly is answered without a word in the log, of the hostile corpus only
what is no riddle arrives, and a prefork Apache is free while slow clients read."""
import os
import re
import time

import pytest

from bed import client, corpus, http1, wait

PAGE = os.urandom(60000)
LARGE = os.urandom(5 << 20)
OFFENDED = (400, 405, 408, 413, 414, 417, 431, 501, 502, 504, 505)
REASONS = {"format": "%{target} %{status} %{reason}"}


@pytest.fixture(scope="module", params=["apache", "nginx"])
def world(request, shared):
    server = getattr(shared, request.param)()
    server.file("page", PAGE)
    server.file("large", LARGE)
    gw = shared.gateway(shared.settings(server, access_log=REASONS, timeouts={"head": "5s", "idle": "5s"}), name=request.param)
    gw.access_at = 0
    yield gw, server
    gw.stop()


@pytest.fixture
def fresh(world):
    world[0].access_at = len(world[0].access())
    return world


def logged(gw, n):
    """The next N lines: (target, status, reason)."""
    return wait.until(lambda: len(gw.access()) >= gw.access_at + n and [x.split(" ") for x in gw.access()[gw.access_at:]], 5, f"{n} lines")


def test_what_is_asked_properly_is_answered_without_a_word(fresh, ctx):
    gw, _ = fresh
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/files/page").body == PAGE
        got = c.get("/files/large")
        assert got.body == LARGE
        assert c.get("/files/large", fields=[("If-None-Match", got.get("ETag"))]).status == 304
        part = c.get("/files/large", fields=[("Range", "bytes=1000-1999")])
        assert part.status == 206 and part.body == LARGE[1000:2000]
        assert c.get("/files/large", fields=[("Range", "bytes=99999999-")]).status == 416
        assert c.get("/files/large", method="HEAD").get("Content-Length") == str(len(LARGE))
        assert c.get("/files/none").status == 404
        for size in (0, 1, 20000, 300000):  # less, and more, than is gathered before a server is asked
            assert c.get("/post", method="POST", body=b"x" * size).body.startswith(b"POST /post ")
            c.send(http1.request("POST", "/chunked", fields=[("Transfer-Encoding", "chunked")]) +
                   (b"%x\r\n" % size + b"x" * size + b"\r\n" if size else b"") + b"0\r\n\r\n")
            assert c.reader.answer().status == 200
        c.send(b"".join(http1.request("GET", f"/pipelined/{n}") for n in range(20)))
        for n in range(20):
            assert c.reader.answer().body.startswith(f"GET /pipelined/{n} ".encode())
    lines = logged(gw, 35)
    assert len(lines) == 35 and {reason for _, _, reason in lines} == {"-"}, lines
    assert gw.counter("sslgw_upstream_connections_total") <= 8  # kept, all the while


def test_of_the_hostile_corpus_only_what_is_no_riddle_arrives(fresh, ctx):
    """Each case, and behind it on the same connection a request that may only arrive where the case passes."""
    gw, server = fresh
    passed, offended = 0, []
    for n, case in enumerate(corpus.cases("*.req")):
        head = case.data.partition(b"\r\n\r\n")[0]
        if case.more or re.search(rb"(?i)expect: *100|content-length: *[0-9]{5}", head) or case.words.get("left") not in (None, "0"):
            continue  # not complete, or followed by something of its own
        behind = f"/behind-{n}-"
        count = len(server.said())
        with client.Client(gw.port, ctx(), timeout=8) as c:
            try:
                c.send(case.data + (http1.request("GET", behind) if case.status else b""))
            except OSError:
                pass  # refused before the end
            if case.status:
                got = c.reader.answer(head.split(b" ")[0].decode("latin-1"))
                assert got is not None and got.status == case.status, f"{case}: {got}"
                try:
                    assert c.ended(), case
                except OSError:
                    pass
                continue
            passed += 1
            length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
            missing = int(length[1]) - len(case.data.partition(b"\r\n\r\n")[2]) if length else 0
            c.send(b"x" * max(0, missing))
            got = c.reader.answer(head.lstrip().split(b" ")[0].decode("latin-1"))
            own = case.file == "limits.req" or b"OPTIONS " in case.data  # limits of theirs; nginx knows no "*"
            if got is None or got.status in OFFENDED and not own:
                offended.append((case, got))
            wait.until(lambda count=count: len(server.said()) > count, 5, f"{case} in the server's log")
    assert passed > 60 and not offended, offended
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/first") + http1.request("GET", "/end"))  # behind a good one it does arrive
        assert c.reader.answer().status == c.reader.answer().status == 200
    said = wait.until(lambda: any("/end" in x for x in server.said()) and server.said(), 5, "the last line")
    assert not [x for x in said if "/behind-" in x], "what stood behind a refused request arrived"


# ---- a server of ten processes, each of which serves one connection at a time

def busy(apache):
    """How many of its processes write an answer, or wait for more of a request; not the one that tells."""
    status, text, _ = client.curl(f"http://{apache.address}/files/scoreboard?auto", "--max-time", "5")
    assert status == 0, "no process is free to tell"
    board = re.search(r"Scoreboard: (\S+)", text.decode()).group(1)
    return sum(board.count(x) for x in "RW") - 1


def slow_readers(gw, ctx, target, n=100):
    out = []
    for _ in range(n):
        out.append(client.Client(gw.port, ctx(), rcvbuf=4096, timeout=30))
        out[-1].send(http1.request("GET", target))  # and reads nothing
    return out


def test_a_hundred_slow_readers_hold_no_process_of_a_prefork_apache(bed, ctx):
    apache = bed.apache(prefork=True)
    apache.file("page", PAGE)
    gw = bed.gateway(bed.settings(apache, workers=1))
    slow = slow_readers(gw, ctx, "/files/page")
    try:
        wait.until(lambda: sum("/files/page" in x for x in apache.said()) == 100, 20, "Apache has answered all")
        wait.until(lambda: busy(apache) == 0, 5, "its processes are free")
        began = time.monotonic()
        with client.Client(gw.port, ctx()) as quick:
            for _ in range(20):
                assert quick.get("/files/page").body == PAGE
        assert time.monotonic() - began < 2
        assert gw.counter("sslgw_connections_open") >= 100  # those that have read nothing are all there
        for c in slow:
            got = c.reader.answer()
            assert got.status == 200 and got.body == PAGE
    finally:
        for c in slow:
            c.close()


def test_large_pages_hold_no_process_where_the_buffer_is_larger(bed, ctx):
    apache = bed.apache(prefork=True)
    apache.file("large", LARGE)
    gw = bed.gateway(bed.settings(apache, workers=1, limits={"response_buffer": "6M"}))
    slow = slow_readers(gw, ctx, "/files/large", 12)
    try:
        wait.until(lambda: sum("/files/large" in x for x in apache.said()) == 12, 20, "Apache has answered all")
        wait.until(lambda: busy(apache) == 0, 5, "its processes are free")
        for c in slow:
            got = c.reader.answer()
            assert got.status == 200 and got.body == LARGE
    finally:
        for c in slow:
            c.close()


@pytest.mark.parametrize("limits", [{}, {"response_buffer": "6M", "response_buffers": "2M"}], ids=["for each", "for all"])
def test_what_does_not_fit_holds_them(bed, ctx, limits):
    """Counter-proof: pages that are larger than what is kept for a slow client, or for all, keep all ten processes."""
    apache = bed.apache(prefork=True)
    apache.file("large", LARGE)
    gw = bed.gateway(bed.settings(apache, workers=1, limits=limits))
    slow = slow_readers(gw, ctx, "/files/large", 12)
    try:
        wait.until(lambda: gw.counter("sslgw_requests_open") == 12, 5, "all have asked")

        def stuck():
            try:
                return busy(apache) >= 9
            except AssertionError:
                return True  # not even one process to tell
        wait.until(stuck, 10, "all processes are held")
        with client.Client(gw.port, ctx()) as quick:
            quick.tcp.settimeout(1)
            with pytest.raises(OSError):
                quick.get("/files/large")
    finally:
        for c in slow:
            c.close()
