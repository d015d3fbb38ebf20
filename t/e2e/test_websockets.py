"""WebSocket through the gateway by npm's ws, at both ends: messages of every size, fragments, pings, close codes, a half-close,
and a thousand tunnels at once. Tunnels byte by byte: test_tunnels.py."""
import collections
import threading

import pytest

from bed import client, node as node_module, wait


class Server:
    """ws.js as a server, in a process of its own; .closed: how each connection ended there."""

    def __init__(self, node):
        self.process = node.start("ws.js", serve=True)
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"
        self.closed = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.closed.append(line.strip())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)

    def logs(self):
        return {"WebSocket server": "\n".join(self.closed[-20:])}


@pytest.fixture(scope="module")
def node(build):
    return node_module.Node(build)


@pytest.fixture(scope="module")
def farm(shared, node):
    shared.running.append(server := Server(node))
    return shared.gateway(shared.settings(server.address, workers=2)), server


@pytest.mark.parametrize("what", ["messages", "fragments", "pings", "closes", "half"])
def test_websocket(farm, node, pki, what):
    gw, server = farm
    server.closed.clear()
    node.run("ws.js", port=gw.port, ca=pki.ca.chain_file, what=what)
    if what == "closes":  # what the clients said arrived at the server
        wait.until(lambda: {"1000 ours", "3000 ours", "4999 ours"} <= set(server.closed), 5, "the clients' codes")
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0, 10, "no tunnel is left")


def test_a_thousand_tunnels_at_once(farm, node, pki, ctx):
    gw, server = farm
    server.closed.clear()
    clients = node.start("ws.js", port=gw.port, ca=pki.ca.chain_file, what="many", tunnels=1000, held=True)
    try:
        assert clients.stdout.readline() == "open 1000\n"
        assert clients.stdout.readline() == "held\n"  # each was answered three times, and its ping
        assert gw.counter("sslgw_requests_open") == 1000 == gw.counter("sslgw_upstream_connections_open")
        with client.Client(gw.port, ctx()) as c:  # and there is room for others: a plain request, which a WebSocket server refuses
            assert c.get("/").status == 426
        clients.stdin.write("go\n")
        clients.stdin.flush()
        assert clients.stdout.read() == "good\n" and clients.wait(30) == 0
    finally:
        clients.kill()
        clients.wait(10)
    wait.until(lambda: len(server.closed) == 1000, 10, "each close at the server")
    assert collections.Counter(server.closed) == collections.Counter(f"{4000 + n % 1000} {n}" for n in range(1000))
    wait.until(lambda: gw.counter("sslgw_requests_open") == 0 and gw.counter("sslgw_connections_open") == 0, 10, "no tunnel is left")
