"""The access log: its formats, where it goes, that it never blocks, and that nobody can forge it."""
import json
import os
import re
import socket
import threading

import pytest

from bed import backend, client, http1, wait


def lines(gw, n=1, want=lambda line: True):
    return wait.until(lambda: (got := [x for x in gw.access() if want(x)]) and len(got) >= n and got, 5, f"{n} lines")


def logged(bed, back, form, **more):
    return bed.gateway(bed.settings(back, **{"workers": 1, "access_log": {"file": f"{bed.folder}/gateway.access", "format": form}, **more}))


def test_json_has_all_that_is_known(bed, ctx):
    back = bed.backend()
    gw = logged(bed, back, "json")
    with client.Client(gw.port, ctx(version="1.3"), source="127.0.4.1") as c:
        c.get("/a?b=c", method="POST", body=b"x" * 1234, fields=[("Referer", "http://r/"), ("User-Agent", "me")])
        one = json.loads(lines(gw)[0])
        cipher, port = c.cipher, c.local_port
    took = one.pop("ms"), one.pop("ms_head")
    assert all(0 <= t < 5000 for t in took)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one.pop("time"))
    assert one.pop("request_id") == back.seen[-1].get("X-Request-ID")
    assert one == {"client": "127.0.4.1", "peer": "127.0.4.1", "peer_port": port, "port": gw.port, "method": "POST",
                   "target": "/a?b=c", "protocol": "HTTP/1.1", "host": "localhost", "status": 200, "bytes_in": 1234, "bytes_out": 2,
                   "referer": "http://r/", "user_agent": "me", "site": "localhost", "server": back.address, "tries": 1,
                   "ms_queued": 0, "tls_version": "TLSv1.3", "cipher": cipher, "resumed": "no", "sni": "localhost",
                   "client_verify": "NONE"}


def test_who_resumed_and_by_what(bed, ctx):
    gw = logged(bed, bed.backend(), "%{tls_version} %{resumed}")
    for version in ("1.2", "1.3"):
        context = ctx(version=version)
        _, _, session = client.get(gw.port, context)
        client.get(gw.port, context, session=session)
    assert lines(gw, 4) == ["TLSv1.2 no", "TLSv1.2 ticket", "TLSv1.3 no", "TLSv1.3 ticket"]


def test_a_certificates_subject(bed, ctx):
    me = bed.pki.client("someone")
    site = bed.site(client_certificate={"verify": "optional", "ca_file": bed.pki.client_ca.chain_file})
    gw = bed.gateway(bed.settings(bed.backend(), sites=[site], workers=1, access_log={"format": "%{client_verify} \"%{client_subject}\""}))
    client.get(gw.port, ctx(identity=me))
    client.get(gw.port, ctx())
    got = lines(gw, 2)
    assert got[0].startswith('SUCCESS "') and "someone" in got[0]
    assert got[1] == 'NONE "-"'


def test_a_text_with_variables(bed, ctx):
    back = bed.backend()
    gw = logged(bed, back, "100%% %%{status} %{status} [%{server}] %{tries}")
    client.get(gw.port, ctx())
    assert lines(gw)[0] == f"100%% %{{status}} 200 [{back.address}] 1"


@pytest.mark.parametrize("rest,status,reason", [(b"zz\r\n", 400, "chunk"), (b"5\r\nab", 408, "body_timeout"),
                                                (b"9000\r\n" + b"x" * 0x9000 + b"\r\nzz\r\n", 400, "chunk")])
def test_a_body_that_is_none_has_one_line_with_what_was_asked(bed, ctx, rest, status, reason):
    """Whether a server has its begin already, or not."""
    gw = logged(bed, bed.backend(), "%{method} %{target} %{status} %{reason} %{request_id}", timeouts={"body": "300ms"})
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/a", fields=[("Transfer-Encoding", "chunked")]) + rest)
        got = c.reader.answer()
        assert got.status == status and c.ended()
    client.get(gw.port, ctx(), "/b")
    first, second = lines(gw, 2)
    assert first.startswith(f"POST /a {status} {reason} ") and first.split(" ")[-1].encode() in got.body
    assert second.startswith("GET /b 200 - ")


def test_the_reason_of_each_end(bed, ctx):
    def script(connection):
        seen = connection.request()
        if seen.target == "/reset":
            connection.reset()
        elif seen.target == "/slow":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12")
            connection.recv(1)
        else:
            connection.send(b"HTTP/1.1 200\r\nbroken\r\n\r\n")
    gw = logged(bed, bed.backend(script=script), "%{target} %{status} %{reason}", timeouts={"head": "300ms"})
    client.get(gw.port, ctx(), "/reset", method="POST", body=b"1")
    client.get(gw.port, ctx(), "/broken", method="POST", body=b"1")
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/slow"))
        assert c.recv(1)
    with client.Client(gw.port, ctx()) as c:
        c.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        c.reader.answer("GET")
    with client.Client(gw.port, ctx()) as c:
        c.send(b"GET / HT")
        c.reader.answer("GET")
    got = sorted(lines(gw, 5))
    assert got[:2] == ["- 400 field_name", "- 408 head_timeout"]
    assert got[2].startswith("/broken 502 backend_") and got[3] == "/reset 502 backend_reset"
    assert re.fullmatch(r"/slow 200 (truncated|close|reset)", got[4])


def test_the_time_in_line(bed, ctx):
    hold = threading.Event()

    def script(connection):
        while connection.request():
            hold.wait(10)
            connection.send(backend.answer())
    back = bed.backend(script=script)
    gw = logged(bed, back, "%{target} %{ms_queued}",
                pools=[{"name": "main", "max_connections": 1, "servers": [{"address": back.address}]}])
    with client.Client(gw.port, ctx()) as a, client.Client(gw.port, ctx()) as b:
        a.send(http1.request("GET", "/first"))
        wait.until(lambda: back.seen, 5, "the first at the back-end")
        b.send(http1.request("GET", "/second"))
        wait.until(lambda: gw.counter("sslgw_requests_open") == 2, 5, "the second has come")
        wait.holds(lambda: len(back.seen) == 1, 0.3, "the second waits in line")
        hold.set()
        assert a.reader.answer("GET").status == b.reader.answer("GET").status == 200
    got = dict(x.split() for x in lines(gw, 2))
    assert int(got["/first"]) < 100 <= int(got["/second"]) < 5000


# Control characters never come this far: the request is refused.
EVIL = ['"', "\\", '" 200 5 "', "\xff\xfe", "\xc3\xa9", "\xe2\x80\xae", "\xed\xa0\x80", "\xc0\xaf", "\xf0\x9f\x98\x80",
        "\t", "%{status}", "\x9b31m", "a" * 5000, "\xff" * 5000, "%s%n"]


@pytest.mark.parametrize("form", ["combined", "json", '%{client} "%{user_agent}" "%{referer}" "%{target}"'])
def test_nothing_can_be_forged(bed, ctx, form):
    gw = logged(bed, bed.backend(), form)
    with client.Client(gw.port, ctx()) as c:
        for text in EVIL:
            assert c.get("/x", fields=[("User-Agent", text), ("Referer", text)]).status == 200
    wait.until(lambda: len(gw.access()) >= len(EVIL), 5, "all lines")
    with open(gw.access_file, "rb") as f:
        raw = f.read()
    assert raw.count(b"\n") == len(EVIL)
    assert not set(raw) - set(range(0x20, 0x7f)) - {0x0a}
    for line, text in zip(raw.decode().splitlines(), EVIL):
        if form == "json":
            said = json.loads(line).get("user_agent", "")
            expected = text.strip("\t").encode("latin-1").decode("utf-8", errors="replace")
            assert said == expected or (len(text) > 1000 and said and set(said) <= set(expected)), (said, expected)
        else:
            assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) in (4, 6), line
            assert len(line) < 10000


def test_connections_without_a_request(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, access_log={"format": "%{client} %{status} %{reason}", "connections": True}))
    socket.create_connection(("127.0.0.1", gw.port), 5, ("127.0.4.9", 0)).close()
    with client.Client(gw.port, ctx(), source="127.0.4.8"):
        pass
    client.get(gw.port, ctx())
    got = lines(gw, 3)
    assert any(re.fullmatch(r"127\.0\.4\.9 - \w+", x) for x in got)
    assert any(re.fullmatch(r"127\.0\.4\.8 - \w+", x) for x in got)
    assert "127.0.0.1 200 -" in got and len(got) == 3


# ---- where it goes

def test_to_stderr(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, access_log={"file": "stderr", "format": "line of %{target}"}))
    client.get(gw.port, ctx(), "/err")
    wait.until(lambda: "line of /err" in gw.output(), 5, "the line")


class Syslog:
    def __init__(self, path, rcvbuf=None):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o666)
        self.sock.settimeout(5)

    def line(self):
        return self.sock.recv(65536)

    def close(self):
        self.sock.close()
        os.unlink(self.path)


def test_to_syslog(bed, ctx):
    log = Syslog(f"{bed.folder}/log.sock")
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, access_log={"file": f"syslog:{log.path}", "format": "%{method} %{target}"}))
    with client.Client(gw.port, ctx()) as c:
        c.get("/one")
        assert re.fullmatch(rb"<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d sslgw\[\d+\]: GET /one", log.line())
        # One that nobody reads drops lines, counts them, and holds nobody up.
        for n in range(1500):
            assert c.get(f"/{n}").status == 200
        wait.until(lambda: gw.counter("sslgw_access_log_dropped_total") > 0, 5, "dropped lines are counted")
        log.close()
        assert c.get("/nobody").status == 200
        log = Syslog(log.path)
        wait.until(lambda: c.get("/again").status == 200 and ready(log), 5, "the new socket is found")
    log.close()


def ready(log):
    log.sock.setblocking(False)
    try:
        return b"/again" in log.sock.recv(65536)
    except BlockingIOError:
        return False


@pytest.mark.parametrize("log, word", [
    ({"format": "%{colour}"}, "there is no %{colour}"), ({"format": "%{status"}, "without its }"),
    ({"format": "yaml"}, "combined, json"), ({"file": "syslog:log"}, "syslog:/dev/log")])
def test_the_configuration_is_checked(bed, log, word):
    gw = bed.gateway(bed.settings(bed.backend(), access_log=log), start=False)
    gw.write()
    got = gw.check()
    assert got.returncode != 0 and word in got.stderr, got
