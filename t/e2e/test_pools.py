"""Pools: which server gets a request, how many it gets at once, and who waits."""
import collections
import os
import socket
import threading

import pytest

from bed import backend, client, http1, wait


def named(bed, name, hold=None):
    """A back-end that answers with its name, when HOLD (an event's wait, a semaphore's acquire) returns."""
    def script(connection):
        while connection.request():
            if hold is not None:
                hold(timeout=20)
            connection.send(backend.answer(name.encode()))
    return bed.backend(script=script)


def servers(*backs, **more):
    return [{"address": b.address if hasattr(b, "address") else b, **{k: v[n] for k, v in more.items()}} for n, b in enumerate(backs)]


def pool(name="main", **more):
    return {"name": name, **more}


def asked(gw, ctx, n, source=None):
    seen = collections.Counter()
    with client.Client(gw.port, ctx(), source=source) as c:
        for k in range(n):
            got = c.get(f"/{k}")
            assert got.status == 200
            seen[got.body.decode()] += 1
    return seen


def test_by_weight(bed, ctx):
    a, b, c = (named(bed, x) for x in "abc")
    gw = bed.gateway(bed.settings(workers=1, pools=[pool(servers=servers(a, b, c, weight=[5, 2, 0]))]))
    assert asked(gw, ctx, 70) == {"a": 50, "b": 20}


def test_a_client_keeps_its_server(bed, ctx):
    backs = [named(bed, x) for x in "abcdef"]
    gw = bed.gateway(bed.settings(workers=2, pools=[pool(balance="client_hash", servers=servers(*backs))]))
    whose = {}
    for n in range(2, 30):
        source = f"127.0.3.{n}"
        seen = asked(gw, ctx, 3, source) + asked(gw, ctx, 2, source)
        assert len(seen) == 1, f"{source} was sent to {dict(seen)}"
        whose[source] = next(iter(seen))
    assert len(set(whose.values())) > 2


def test_the_least_busy_gets_the_next(bed, ctx):
    hold = threading.Event()
    slow, fast = named(bed, "slow", hold.wait), named(bed, "fast")
    gw = bed.gateway(bed.settings(workers=1, pools=[pool(balance="least_connections", servers=servers(slow, fast))]))
    stuck = [client.Client(gw.port, ctx()) for _ in range(2)]
    try:
        for n, c in enumerate(stuck):
            c.send(http1.request("GET", f"/{n}"))
        wait.until(lambda: len(slow.seen) == 1 and len(fast.seen) == 1 and gw.counter("sslgw_requests_open") == 1, 5,
                   "one is stuck at the slow server, the other was answered")
        assert asked(gw, ctx, 20) == {"fast": 20}
    finally:
        hold.set()
        for c in stuck:
            c.close()


def test_a_backup_serves_only_when_the_others_fail(bed, ctx):
    a, spare = named(bed, "a"), named(bed, "spare")
    gw = bed.gateway(bed.settings(workers=1, pools=[pool(servers=servers(a, spare, backup=[False, True]))]))
    assert asked(gw, ctx, 10) == {"a": 10}
    a.stop()
    assert asked(gw, ctx, 10)["spare"] == 10


def test_unix_sockets_are_servers_too(bed, ctx):
    path = f"{bed.folder}/back.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(8)

    def serve():
        s, _ = listener.accept()
        s.recv(65536)
        s.sendall(backend.answer(b"by a path"))
        s.recv(1)
    threading.Thread(target=serve, daemon=True).start()
    gw = bed.gateway(bed.settings(workers=1, pools=[pool(servers=servers(f"unix:{path}"))]))
    assert asked(gw, ctx, 1) == {"by a path": 1}
    listener.close()


def test_no_more_than_max_connections_and_the_rest_waits_its_turn(bed, ctx):
    turns = threading.Semaphore(0)
    back = named(bed, "a", turns.acquire)
    gw = bed.gateway(bed.settings(workers=1, pools=[
        pool(servers=servers(back), max_connections=3, queue=4, queue_timeout="20s")]))
    clients = [client.Client(gw.port, ctx()) for _ in range(9)]
    try:
        for n, c in enumerate(clients[:7]):
            method, body = ("POST", b"x" * 40000) if n in (4, 5) else ("GET", None)
            c.send(http1.request(method, f"/{n}", body=body))
            wait.until(lambda n=n: gw.counter("sslgw_requests_open") == n + 1, 5, "it has come")
            wait.until(lambda n=n: len(back.seen) == min(n + 1, 3), 5, "three are there")
        for c in clients[7:]:  # the line is full
            assert c.get("/late").status == 503
        assert len(back.seen) == 3
        for n in range(7):  # one answer, one more that is let through
            turns.release()
            wait.until(lambda n=n: len(back.seen) == min(n + 4, 7), 5, "the next is there")
        for n, c in enumerate(clients[:7]):
            got = c.reader.answer()
            assert got.status == 200, n
        assert [s.target for s in back.seen] == [f"/{n}" for n in range(7)]
        assert len(back.connections) <= 3
    finally:
        turns.release(9)
        for c in clients:
            c.close()


def test_who_waits_too_long_gets_503_and_who_leaves_is_forgotten(bed, ctx):
    hold = threading.Event()
    back = named(bed, "a", hold.wait)
    gw = bed.gateway(bed.settings(workers=1, pools=[
        pool(servers=servers(back), max_connections=1, queue=10, queue_timeout="2s")]))
    first, gone, waits = (client.Client(gw.port, ctx()) for _ in range(3))
    try:
        first.send(http1.request("GET", "/first"))
        wait.until(lambda: back.seen, 5, "the first is there")
        gone.send(http1.request("GET", "/gone"))
        wait.until(lambda: gw.counter("sslgw_requests_open") == 2, 5, "the second waits")
        gone.close()
        got = waits.get("/waits")
        assert got.status == 503 and got.get("Retry-After")
        hold.set()
        assert first.reader.answer().status == 200
        assert waits.get("/again").status == 200
        assert [s.target for s in back.seen] == ["/first", "/again"]
        assert gw.counter("sslgw_ended_total_queue_timeout") == 1
    finally:
        hold.set()
        for c in (first, waits):
            c.close()


@pytest.mark.parametrize("fields,words", [
    ({"balance": "magic"}, ["balance", "round_robin"]), ({"max_connections": -1}, ["max_connections"]),
    ({"queue_timeout": "0s"}, ["queue_timeout"]), ({"servers": [{"address": "127.0.0.1:1", "weight": 300}]}, ["weight", "256"]),
    ({"servers": [{"address": "127.0.0.1:1", "backup": "yes"}]}, ["backup"])])
def test_wrong_options_are_told(bed, fields, words):
    gw = bed.gateway(bed.settings(pools=[{"name": "main", "servers": [{"address": "127.0.0.1:1"}], **fields}]), start=False)
    gw.write()
    got = gw.check()
    assert got.returncode == 1 and all(w in got.stderr for w in words), got.stderr
