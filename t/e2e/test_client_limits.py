"""What one client may take: connections, handshakes a second, time for a body; and what a slow head costs."""
import os
import signal
import ssl
import subprocess
import threading

import pytest

from bed import client, http1, wait


def test_connections_of_one_address(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, limits={"connections_per_client": 3}))
    held = [client.Client(gw.port, ctx(), source="127.0.5.1") for _ in range(3)]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.Client(gw.port, ctx(), source="127.0.5.1")
    # It is counted after its descriptor is closed.
    wait.until(lambda: gw.counter("sslgw_ended_total_client_limit") == 1, 5, "it is counted")
    with client.Client(gw.port, ctx(), source="127.0.5.2") as other:
        assert other.get("/").status == 200
    held.pop().close()

    def again():
        try:
            held.append(client.Client(gw.port, ctx(), source="127.0.5.1"))
            return True
        except (ssl.SSLError, ConnectionError):
            return False
    wait.until(again, 5, "room for another")
    assert all(c.get("/").status == 200 for c in held)
    for c in held:
        c.close()


def test_handshakes_a_second_of_one_address(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, limits={"handshakes_per_client": "2/s"}))
    refused = 0
    for _ in range(12):
        try:
            client.Client(gw.port, ctx(), source="127.0.5.3").close()
        except (ssl.SSLError, ConnectionError):
            refused += 1
    assert 1 <= refused <= 8
    wait.until(lambda: gw.counter("sslgw_ended_total_client_rate") == refused, 5, "all are counted")
    with client.Client(gw.port, ctx(), source="127.0.5.4") as other:
        assert other.get("/").status == 200


def test_behind_a_proxy_the_client_counts_not_the_proxy(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, limits={"connections_per_client": 1}, trusted_proxies=["127.0.0.1"],
                                  listeners=[{"address": "127.0.0.1:0", "proxy_protocol": True}]))

    def come(n):
        return client.Client(gw.port, ctx(), before=f"PROXY TCP4 203.0.113.{n} 198.51.100.1 1 443\r\n".encode())
    with come(1) as a, come(2) as b:
        assert a.get("/").status == b.get("/").status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            come(1)


def test_a_body_has_to_come_at_some_rate(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, timeouts={"body": "700ms"}, limits={"body_rate": "1K"}))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("POST", "/slow", fields=[("Content-Length", "100000")]))
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.05):
                try:
                    c.send(b"x")
                except OSError:
                    return
        t = threading.Thread(target=trickle)
        t.start()
        try:
            assert c.reader.answer("POST").status == 408
        finally:
            stop.set()
            t.join()
    wait.until(lambda: gw.counter("sslgw_ended_total_body_rate") == 1, 5, "it is counted")


def test_slow_and_stopped_clients_cost_no_back_end_connection(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=1))
    script = ("import socket, sys\n"
              "held = []\n"
              "for n in range(50):\n"
              f"    s = socket.create_connection(('127.0.0.1', {gw.port_of(1) if len(gw.urls) > 1 else gw.port}))\n"
              "    s.sendall(b'\\x16\\x03\\x01'); held.append(s)\n"
              "print('there', flush=True)\n"
              "sys.stdin.read()\n")
    with subprocess.Popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stopped:
        assert stopped.stdout.readline() == b"there\n"
        os.kill(stopped.pid, signal.SIGSTOP)
        slow = [client.Client(gw.port, ctx()) for _ in range(20)]
        for c in slow:
            c.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        try:
            wait.until(lambda: gw.counter("sslgw_connections_open") >= 70, 10, "all are there")
            assert len(back.connections) == 0 and gw.counter("sslgw_upstream_connections_open") == 0
            with client.Client(gw.port, ctx()) as c:
                assert c.get("/").status == 200
            assert len(back.connections) == 1
        finally:
            for c in slow:
                c.close()
            os.kill(stopped.pid, signal.SIGCONT)
            stopped.kill()


def test_pipelined_requests_wait_for_their_turn(bed, ctx):
    hold = threading.Event()

    def script(connection):
        while connection.request():
            hold.wait(10)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    back = bed.backend(script=script)
    gw = bed.gateway(bed.settings(back, workers=1))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/n") * 200)
        wait.until(lambda: back.seen, 5, "the first")
        wait.holds(lambda: len(back.seen) == 1, 0.3, "one at a time")
        hold.set()
        for _ in range(200):
            assert c.reader.answer("GET").status == 200
