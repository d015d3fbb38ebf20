"""Hostile peers of the session cache: each ends its own connection, and neither stops the service nor makes it grow."""
import os
import resource
import socket
import ssl

import pytest

from bed import cluster, wait
from bed.cache import Cache, Error, Resp, client_context, command

LONG = b"x" * 70000

# What is sent; what is answered before the close.
BAD = [
    (b"*-1\r\n", b"invalid multibulk length"),
    (b"*-9223372036854775808\r\n", b"invalid multibulk length"),
    (b"*65\r\n", b"invalid multibulk length"),
    (b"*2147483648\r\n", b"invalid multibulk length"),
    (b"*9223372036854775808\r\n", b"invalid multibulk length"),
    (b"*18446744073709551617\r\n", b"invalid multibulk length"),
    (b"*+1\r\n", b"invalid multibulk length"),
    (b"* 1\r\n", b"invalid multibulk length"),
    (b"*01\r\n", b"invalid multibulk length"),
    (b"*1x\r\n", b"invalid multibulk length"),
    (b"*\r\n", b"invalid multibulk length"),
    (b"*" + b"1" * 40, b"too big mbulk count string"),
    (b"*1\n$4\r\nPING\r\n", b"invalid multibulk length"),
    (b"*1\rx", b"expected CRLF"),
    (b"*1\r\n$-1\r\n", b"invalid bulk length"),
    (b"*1\r\n$-2147483648\r\n", b"invalid bulk length"),
    (b"*1\r\n$65537\r\n", b"invalid bulk length"),
    (b"*1\r\n$536870912\r\n", b"invalid bulk length"),
    (b"*1\r\n$4294967300\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$18446744073709551620\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$" + b"4" * 40, b"too big bulk count string"),
    (b"*1\r\n$4\r\nPINGxx", b"expected CRLF"),
    (b"*1\r\n$4\r\nPING\rx", b"expected CRLF"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", b"expected '$', got '*'"),
    (b"*1\r\n" * 10000, b"expected '$', got '*'"),
    (b"*1\r\n:4\r\n", b"expected '$', got ':'"),
    (b"*1\r\n\x00", b"expected '$', got '?'"),
    (b"*3\r\n$3\r\nSET\r\n$40000\r\n" + LONG[:40000] + b"\r\n$60000\r\n" + LONG[:60000] + b"\r\n", b"too big request"),
    (LONG, b"too big inline request"),
    (b"PING " + LONG, b"too big inline request"),
    (b"PING \"unbalanced\r\n", b"unbalanced quotes in request"),
    (b"PING \x1b[2J\r\n", b"control character in inline request"),
    (b"\x00\x01\x02\x03", b"control character in inline request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + LONG[:500], b"control character in inline request"),
    # A browser that is made to speak to the port gets nothing, and nothing of what follows runs.
    (b"POST / HTTP/1.1\r\nHost: cache\r\n\r\nSET http 1\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: cache\r\n\r\nSET http 1\r\n", None),
    (b"OPTIONS * HTTP/1.1\r\n\r\nSET http 1\r\n", None),
    (b"X y\r\nHost: cache\r\nSET http 1\r\n", "unknown"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nSET http 1\r\n", None),
]

# Whatever else Redis can do: unknown here.
DANGEROUS = ["CONFIG SET dir /tmp", "CONFIG GET *", "EVAL return(1) 0", "EVALSHA x 0", "SCRIPT LOAD x", "FUNCTION LOAD x",
             "DEBUG SLEEP 100", "DEBUG SEGFAULT", "MODULE LOAD /tmp/x.so", "SLAVEOF 127.0.0.1 1", "REPLICAOF 127.0.0.1 1",
             "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN NOSAVE", "KEYS *", "SCAN 0", "RANDOMKEY", "MONITOR", "SYNC",
             "PSYNC ? -1", "SUBSCRIBE x", "PSUBSCRIBE *", "MIGRATE 127.0.0.1 1 k 0 1", "RESTORE k 0 x", "DUMP k",
             "ACL LIST", "LATENCY DOCTOR", "SLOWLOG GET", "CLUSTER NODES", "FLUSHDB", "SWAPDB 0 1", "MOVE k 1", "RENAME k l",
             "APPEND k x", "SETRANGE k 536870911 x", "SETBIT k 4294967295 1", "INCR k", "LPUSH l x", "MULTI", "EXEC", "WAIT 1 0",
             "OBJECT ENCODING k", "MEMORY USAGE k", "BLPOP k 0", "XREAD BLOCK 0 STREAMS k 0"]


@pytest.fixture(scope="module")
def cache(shared):
    return Cache(shared).start()


def ids_of(case):
    return case[:24] if isinstance(case, bytes) else None


@pytest.mark.parametrize("data, answer", BAD, ids=ids_of)
def test_bad_bytes_end_their_connection_only(cache, data, answer):
    with Resp(cache.port) as other, Resp(cache.port) as r:
        assert other.ask("PING") == "PONG"
        try:
            r.send(data)
        except OSError:
            pass  # it has been refused before all was sent
        got = r.rest_until_end()
        if answer is None:
            assert got == b""
        elif answer == "unknown":
            assert got.startswith(b"-ERR unknown command 'X'") and got.count(b"\r\n") == 1
        else:
            assert got == b"-ERR Protocol error: " + answer + b"\r\n"
        assert other.ask("EXISTS", "http") == 0


@pytest.mark.parametrize("data, answer", [case for case in BAD if len(case[0]) < 1000], ids=ids_of)
def test_bad_bytes_one_by_one(cache, data, answer):
    """In as many pieces as bytes: the same verdict."""
    with Resp(cache.port) as r:
        r.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for i in range(len(data)):
                r.send(data[i:i + 1])
        except OSError:
            pass
        got = r.rest_until_end()
        if answer is None:
            assert got == b""
        elif answer == "unknown":
            assert got.startswith(b"-ERR unknown command 'X'")
        else:
            assert got in (b"-ERR Protocol error: " + answer + b"\r\n", b""), got


def test_what_is_good_before_the_bad_is_answered(cache):
    with Resp(cache.port) as r:
        r.send(command("SET", "before", "1") + command("GET", "before") + b"*1\r\n$-5\r\n" + command("SET", "after", "1"))
        assert r.rest_until_end() == b"+OK\r\n$1\r\n1\r\n-ERR Protocol error: invalid bulk length\r\n"
    with Resp(cache.port) as r:
        assert r.ask("EXISTS", "before", "after") == 1


def test_a_message_may_come_byte_by_byte(cache):
    with Resp(cache.port) as r:
        r.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in command("SET", "slow", "value") + b"GET slow\r\nget 'slow'\n\r\n*0\r\nping\r\n":
            r.send(bytes([byte]))
        assert [r.reply() for _ in range(4)] == ["OK", b"value", b"value", "PONG"]


@pytest.mark.parametrize("line", DANGEROUS)
def test_dangerous_commands_are_unknown(cache, line):
    with Resp(cache.port) as r:
        for words in (line.split(), line.lower().split()):
            got = r.ask(*words)
            assert isinstance(got, Error) and got.startswith(f"ERR unknown command '{words[0]}'"), got
        assert r.ask("PING") == "PONG"


def test_arguments_that_overflow_are_refused(cache):
    with Resp(cache.port) as r:
        assert r.ask("SET", "k", "v") == "OK"
        for number in ("9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" * 60000, "0x10", "1e3",
                       "1.5", " 1", "1 ", "+1", "01", "-0", "", b"1\x00"):
            for words in (["SET", "k", "v", "EX", number], ["SET", "k", "v", "PX", number], ["SETEX", "k", number, "v"],
                          ["PEXPIRE", "k", number], ["EXPIRE", "k", number], ["SELECT", number]):
                assert r.ask(*words) == "ERR value is not an integer or out of range", words
        for number in ("9223372036854775807", "9223372036854775", "-1", "0"):
            assert r.ask("SET", "k", "v", "EX", number) == "ERR invalid expire time in 'set' command"
        assert r.ask("PEXPIRE", "k", "9223372036854775807") == "ERR invalid expire time in 'pexpire' command"
        assert r.ask("TTL", "k") == -1
        assert r.ask("SET", "n" * 513, "v") == "ERR key or value too large"
        assert r.ask("SET", "n" * 512, "v" * 65536) == "OK" and r.ask("GET", "n" * 512) == b"v" * 65536
        assert r.ask("EXISTS", *["k"] * 63) == 63
        assert r.ask("NONSENSE" * 1000, *["y" * 1000] * 50).startswith("ERR unknown command 'NONSENSE")
        assert r.ask("GET", b"\r\n+OK\r\n\x00") is None
        assert "\x1b" not in r.ask(b"\x1b[31m\r\n", b"\x1b]0;x\x07")


def test_what_is_announced_takes_no_memory(bed):
    cache = Cache(bed, connections=4000).start()
    before = cache.rss_kib()
    peers = [Resp(cache.port) for _ in range(1000)]
    for r in peers:
        r.send(b"*64\r\n$65536\r\n")
    with Resp(cache.port) as r:
        assert r.ask("PING") == "PONG"
        wait.until(lambda: int(r.info()["connected_clients"]) == 1001, 10, "all are there")
        assert cache.rss_kib() - before < 8 * 1024, "of 64 MiB that were announced"
        wait.until(lambda: int(r.info()["connected_clients"]) == 1, 15, "who sends no more is closed")
    for r in peers:
        assert r.ended()
        r.socket.close()


def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 6000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(6000, hard), hard))


@pytest.mark.plain
def test_two_thousand_half_messages(bed):
    """They are served nothing, hold little, and are gone after 5 s; who speaks properly is served meanwhile."""
    descriptors()
    cache = Cache(bed, connections=3000).start()
    with Resp(cache.port) as good:
        assert good.ask("SET", "k", "v") == "OK"
        before = cache.rss_kib()
        peers = [Resp(cache.port) for _ in range(2000)]
        for r in peers:
            r.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000\r\n" + b"x" * 1000)
        wait.until(lambda: int(good.info()["connected_clients"]) == 2001, 10, "all are there")
        assert good.ask("GET", "k") == b"v"
        grown = cache.rss_kib() - before
        assert grown < 2000 * 12, f"{grown} KiB for 2,000 connections"
        wait.until(lambda: int(good.info()["connected_clients"]) == 1, 15, "half messages are closed")
        assert good.ask("GET", "k") == b"v"
        # Again, and again: what was freed is used anew.
        for _ in range(2):
            for r in peers:
                r.socket.close()
            peers = [Resp(cache.port) for _ in range(2000)]
            for r in peers:
                r.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000\r\n" + b"x" * 1000)
            wait.until(lambda: int(good.info()["connected_clients"]) == 2001, 10, "all are there")
        assert cache.rss_kib() - before < 2000 * 14
    for r in peers:
        r.socket.close()


def test_connections_have_a_bound(bed):
    cache = Cache(bed, connections=50).start()
    with Resp(cache.port) as good:
        assert good.ask("PING") == "PONG"
        peers = [Resp(cache.port) for _ in range(200)]
        wait.until(lambda: sum(r.ended() for r in peers) == 151, 10, "those above the bound are closed")
        assert good.ask("PING") == "PONG" and good.info()["connected_clients"] == "50"
        for r in peers:
            r.socket.close()
        wait.until(lambda: int(good.info()["connected_clients"]) == 1, 10, "they are forgotten")
    wait.until(lambda: Resp(cache.port).ask("PING") == "PONG", 5, "others have their places")


def test_strangers_fill_nothing(bed):
    """Before AUTH, a kilobyte is too much."""
    path = f"{bed.folder}/password"
    with open(path, "w", encoding="ascii") as f:
        f.write("a good password\n")
    cache = Cache(bed, connections=2000, password_file=path).start()
    before = cache.rss_kib()
    peers = []
    for _ in range(500):
        peers.append(r := Resp(cache.port))
        try:
            r.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000\r\n" + LONG[:50000])
        except OSError:
            pass
    for r in peers:
        assert r.rest_until_end() in (b"-ERR Protocol error: unauthenticated bulk length\r\n", b"")
        r.socket.close()
    assert cache.rss_kib() - before < 8 * 1024
    assert cache.info(password="a good password")["stored_keys"] == "0"


@pytest.mark.parametrize("flood", [b"\r\n", b"*0\r\n", b"PING\r\n", b"x\r\n", b"INFO\r\n"],
                         ids=["empty", "none", "ping", "unknown", "info"])
def test_answers_that_nobody_reads_are_few(bed, flood):
    """A sender that never reads is read no more, and is closed; what it is owed stays small."""
    cache = Cache(bed).start()
    with Resp(cache.port) as good:
        before = cache.rss_kib()
        r = Resp(cache.port, buffer=4096, seconds=1)
        data = flood * ((1 << 20) // len(flood))
        sent = 0
        try:
            while sent < 32 << 20:
                sent += r.socket.send(data)
        except (TimeoutError, OSError):
            pass
        assert good.ask("PING") == "PONG"
        assert cache.rss_kib() - before < 2 * 1024
        if flood not in (b"\r\n", b"*0\r\n"):  # these are owed nothing: all was read
            assert sent < 32 << 20
            wait.until(lambda: int(good.info()["connected_clients"]) == 1, 15, "who does not read is closed")
        r.socket.close()


def test_large_answers_that_nobody_reads(bed):
    cache = Cache(bed).start()
    with Resp(cache.port) as good:
        assert good.ask("SET", "big", "b" * 65536) == "OK"
        before = cache.rss_kib()
        peers = [Resp(cache.port, buffer=4096, seconds=1) for _ in range(20)]
        for r in peers:
            r.send(command("GET", "big") * 1000)  # 64 MiB each
        assert good.ask("GET", "big") == b"b" * 65536
        assert cache.rss_kib() - before < 20 * 512
        wait.until(lambda: int(good.info()["connected_clients"]) == 1, 15, "who does not read is closed")
        for r in peers:
            r.socket.close()


def test_tls_handshakes_that_stop_halfway(bed, shared):
    ids = cluster.Identities(shared.build, f"{bed.folder}/pki")
    cache = Cache(bed, identity=ids.issue("cs1", "cachesvc"), connections=1000).start()
    before = cache.rss_kib()
    peers = [Resp(cache.port) for _ in range(150)]
    hello = ssl.MemoryBIO()
    outgoing = ssl.MemoryBIO()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(hello, outgoing, server_hostname="x").do_handshake()
    except ssl.SSLWantReadError:
        pass
    first = outgoing.read()
    for i, r in enumerate(peers):
        r.send((b"", first[:7], first, os.urandom(600), b"GET / HTTP/1.0\r\n\r\n")[i % 5])
    with Resp(cache.port, context=client_context(ids.issue("gw1", "gateway"))) as good:
        assert good.ask("PING") == "PONG"
        wait.until(lambda: int(good.info()["connected_clients"]) == 1, 15, "half handshakes are closed")
    if "asan" not in os.path.basename(bed.build):  # which keeps what was freed
        assert cache.rss_kib() - before < 16 * 1024
    for r in peers:
        r.socket.close()
