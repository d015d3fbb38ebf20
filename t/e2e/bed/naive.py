"""naive.py: a proxy that does wrong what others were broken by, with the gateway's face, for the tests of the tests: a
check that it passes proves nothing. It forwards what an ordinary client and an ordinary server say.

It takes lines as they come and numbers as int() does, the last of two lengths and any coding that has "chunked" in it;
it asks a server before it knows the whole request, believes whoever speaks, keeps what it forwards on a connection for
the next client, has no limit and no deadline. `put_in_place` makes it, and the naive services, what the bed starts."""
import os
import select
import socket
import ssl
import struct
import threading

from . import client, gateway, hello, wait

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PATIENCE = 3  # seconds; what is to be seen here is that something does not come
OWN = (b"x-forwarded-proto", b"x-ssl-protocol", b"x-ssl-client-verify", b"x-ssl-client-s-dn", b"x-request-id", b"x-real-ip")


def number(text, base=10):
    try:
        return max(0, int(text, base))
    except ValueError:
        return 0


def each_connection(listener, serve, more):
    """serve(socket, more) of each, in a thread of its own, until the listener is closed."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(sock, more), daemon=True).start()


class Lines:
    """Reads a socket by lines and lengths; an end is an empty line."""

    def __init__(self, sock, rest=b""):
        self.sock, self.rest = sock, rest

    def more(self):
        block = self.sock.recv(65536)
        self.rest += block
        return bool(block)

    def line(self):
        while b"\n" not in self.rest:
            if not self.more():
                line, self.rest = self.rest, b""
                return line
        line, mark, self.rest = self.rest.partition(b"\n")
        return line + mark

    def exactly(self, n):
        while len(self.rest) < n and self.more():
            pass
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def head(self):
        """The first line, and the others with their ends; the first is empty at the end."""
        first, lines = self.line(), []
        while first and not first.strip():
            first = self.line()
        while first:
            line = self.line()
            if not line.strip():
                break
            lines.append(line)
        return first, lines

    def body(self, fields, to_end=False, into=None):
        """Without its chunks; as it comes INTO another."""
        out = b""
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            while True:
                line = self.line()
                part = self.exactly(number(line.split(b";")[0], 16))
                end, out = self.line(), out + part
                while not part and end.strip():
                    line, end = line + end, self.line()
                if into:
                    into(line + part + end)
                if not part:
                    return out
        left = number(fields.get(b"content-length", b"0"))
        while left and (self.rest or self.more()):
            part, self.rest = self.rest[:left], self.rest[left:]
            left, out = left - len(part), out if into else out + part
            if into:
                into(part)
        if left and into:
            raise EOFError
        while to_end and b"content-length" not in fields and (self.rest or self.more()):
            out, self.rest = out + self.rest, b""
        return out


class Outbox:
    """A socket that never blocks who writes: what a client does not read piles up here."""

    def __init__(self, sock):
        self.sock, self.owed = sock, bytearray()

    def sendall(self, data):
        self.owed += data
        self.sock.setblocking(False)
        try:
            while self.owed:
                del self.owed[:self.sock.send(bytes(self.owed[:16384]))]
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        self.sock.setblocking(True)

    def recv(self, n):
        while self.owed and not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            readable, writable, _ = select.select([self.sock], [self.sock], [])
            if writable:
                self.sendall(b"")
            if readable:
                break
        return self.sock.recv(n)


def named(lines):
    return {name.strip().lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)}


class Request:
    def __init__(self, first, lines):
        words = [*first.split(), b"/", b"HTTP/1.1"]
        self.first, self.method, self.target, self.lines, self.fields = first, words[0], words[1], lines, named(lines)


class Proxy:
    """What gateway.Gateway is to a test, as far as a test of a threat asks."""

    def __init__(self, build, folder, settings, env=None, name="gateway", argv=None):
        self.folder, self.settings, self.name = str(folder), settings, name
        self.access_file = f"{self.folder}/{name}.access"
        self.lock, self.open, self.requests_open = threading.Lock(), 0, 0
        self.listeners, self.idle, self.pid = [], {}, os.getpid()

    def start(self):
        self.contexts()
        for conf in self.settings["listeners"]:
            s = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.listeners.append(s)
            threading.Thread(target=each_connection, args=(s, self.serve, conf), daemon=True).start()
        return self

    # ---- its face
    @property
    def port(self):
        return self.port_of(0)

    def port_of(self, n):
        return self.listeners[n].getsockname()[1]

    def counter(self, name):
        return {"sslgw_connections_open": self.open, "sslgw_requests_open": self.requests_open}.get(name, 0)

    def workers(self):
        return [self.pid]

    def worker(self, _):
        return self.pid

    def access(self):
        try:
            with open(self.access_file, encoding="utf-8", errors="replace") as f:
                return f.read().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def output(self):
        return ""

    def logs(self):
        return {}

    def reload(self, settings=None):
        """What sessions were made with is kept, whatever has changed."""

    def stop(self):
        for s in self.listeners:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    # ---- TLS: settings of the first site, the certificate of the name as it is spelt, everybody may come
    def contexts(self):
        self.by_name, asks = {}, [s["client_certificate"] for s in self.settings["sites"] if "client_certificate" in s]
        for site in reversed(self.settings["sites"]):
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            for chain in site["certificates"]:
                folder, stem = os.path.split(chain)
                c.load_cert_chain(chain, f"{folder}/keys/{stem[:-4]}.key")
            c.set_alpn_protocols(["http/1.1"])
            c.options |= 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION
            for ask in asks:
                c.verify_mode = ssl.CERT_OPTIONAL
                c.load_verify_locations(ask["ca_file"])
            self.by_name.update(dict.fromkeys(site["names"], c))
            self.context = c

        def choose(sock, name, _):
            sock.context = self.by_name.get(name, self.context)
        self.context.sni_callback = choose

    def serve(self, sock, conf):
        with self.lock:
            self.open += 1
        try:
            peer = sock.getpeername()[0].encode()
            if conf.get("proxy_protocol"):
                peer = self.proxied(sock) or peer
            if conf.get("mode") is None and (first := sock.recv(65536, socket.MSG_PEEK))[:1] == b"\x16":
                if len(first) < 5 or len(first) < 5 + struct.unpack("!H", first[3:5])[0]:
                    sock.sendall(hello.record(b"\2\x32", 21))
                    sock.close()
                    return  # whoever gives up his hello is never counted out
                if hello.SIGNATURES in first:
                    self.by_hand(sock)
                else:
                    sock = self.context.wrap_socket(sock, server_side=True)
            self.talk(sock, peer, conf.get("mode"))
        except (OSError, ValueError, IndexError, struct.error):
            pass
        with self.lock:
            self.open -= 1
        sock.close()

    def by_hand(self, sock):
        """A ServerHello for whatever looks like a hello, in one piece; what comes after it is data."""
        while True:
            rest, message = sock.recv(1 << 20), b""
            while rest[:1] == b"\x16":
                n = struct.unpack("!H", rest[3:5])[0]
                message, rest = message + rest[5:5 + n], rest[5 + n:]
            session = message[39:39 + message[38]]
            more, random = b"", os.urandom(32)
            if hello.extension(51, b"\0\0") in message:
                more, random = hello.extension(51, b"\0\x1d"), hello.RETRY_RANDOM
            elif b"\0\x29" in message[60:]:
                more = hello.extension(41, b"\0\0")
            body = b"\3\3" + random + hello.u8(session) + b"\x13\1\0" + hello.u16(hello.extension(43, b"\3\4") + more)
            sock.sendall(hello.record(b"\2" + struct.pack("!I", len(body))[1:] + body, 22, b"\3\3"))
            if random != hello.RETRY_RANDOM:
                break
        back, reader = None, Lines(sock, rest)
        while (head := reader.exactly(5)):
            data = reader.exactly(struct.unpack("!H", head[3:5])[0])
            if head[:1] == b"\x17":
                back = back or self.server(self.settings["pools"][0])
                back.sock.sendall(data)

    def proxied(self, sock):
        """The address of a PROXY header, if something like one comes; from whomever."""
        start = sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)
        if start[:5] == b"PROXY":
            line = byte = sock.recv(1)
            while byte and byte != b"\n":
                line += (byte := sock.recv(1))
            return (line.split() + [b"", b"", b""])[2]
        if start == SIGNATURE:
            size = struct.unpack("!H", sock.recv(16, socket.MSG_WAITALL)[14:16])[0]
            data = sock.recv(size, socket.MSG_WAITALL) if size else b""
            return socket.inet_ntoa(data[:4]).encode() if len(data) >= 4 else None
        return None

    # ---- HTTP
    def talk(self, sock, peer, mode):
        sock = Outbox(sock)
        reader = Lines(sock)
        while True:
            batch = []  # all that has come, at once
            while not batch or b"\n" in reader.rest:
                first, lines = reader.head()
                if not first:
                    return
                if len(first.split()) < 2 or b"<" in first + b"".join(lines):
                    page = b"<h1>Bad request</h1>" + first + b"".join(lines)
                    sock.sendall(b"HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
                    return
                r = Request(first, lines)
                if mode == "redirect":
                    where = r.fields.get(b"host", b"") + r.target
                    sock.sendall(b"HTTP/1.1 308 Moved\r\nContent-Length: 0\r\nLocation: https://%s\r\n\r\n" % where)
                    continue
                with self.lock:
                    self.requests_open += 1
                batch.append((r, self.ask(r, reader, peer)))
                if b"upgrade" in r.fields:
                    break
            for request, server in batch:
                if b"upgrade" in request.fields:
                    return self.tunnel(sock, reader.rest, server)
                self.relay(sock, request, server, peer)
                with self.lock:
                    self.requests_open -= 1
                connection = request.fields.get(b"connection", b"").lower()
                if b"close" in connection or b"HTTP/1.0" in request.first and b"keep-alive" not in connection:
                    return None

    def server(self, pool):
        return Lines(socket.create_connection(tuple(pool["servers"][0]["address"].split(":"))))

    def ask(self, r, reader, peer):
        """Sends the request to the server of the longest route that its bytes begin with, or to the one that it names."""
        sock = reader.sock
        tls = sock.sock if isinstance(sock.sock, ssl.SSLSocket) else None
        host = r.fields.get(b"host", b"")
        if r.target.startswith(b"http://"):
            host = r.target[7:].partition(b"/")[0]
            at = host.decode("latin-1")
            server = Lines(socket.create_connection((at.partition(":")[0], int(at.partition(":")[2] or 80))))
        else:
            site = next((s for s in self.settings["sites"] if host.decode("latin-1") in s["names"]), self.settings["sites"][0])
            name = max((x for x in site["routes"] if r.target.startswith(x["path"].encode()) and "pool" in x),
                       key=lambda x: len(x["path"]), default={"pool": "main"})["pool"]
            idle = self.idle.setdefault(name, [])
            while idle and select.select([idle[-1].sock], [], [], 0)[0] and not idle[-1].sock.recv(1, socket.MSG_PEEK):
                idle.pop()
            server = idle.pop() if idle else self.server(next(p for p in self.settings["pools"] if p["name"] == name))
            server.of = name
        lines = [x for x in r.lines if x.partition(b":")[0].strip().lower() not in (*OWN, b"x-forwarded-for")]
        forwarded = b", ".join(x for x in (r.fields.get(b"x-forwarded-for"), peer) if x)
        lines += [b"X-Forwarded-For: " + forwarded + b"\r\n", b"X-Forwarded-Proto: https\r\n"]
        if tls:
            lines += [b"X-SSL-Protocol: " + tls.version().encode() + b"\r\n"]
            if tls.getpeercert():
                name = ",".join(f"{k}={v}" for part in tls.getpeercert()["subject"] for k, v in part)
                lines += [b"X-SSL-Client-Verify: SUCCESS\r\n", b"X-SSL-Client-S-DN: " + name.encode() + b"\r\n"]
        gone = [x.strip().lower() for x in r.fields.get(b"connection", b"").split(b",") if x.strip().lower() not in (b"upgrade", b"host")]
        lines = [x for x in lines if x.partition(b":")[0].strip().lower() not in gone]
        server.sock.sendall(r.first + b"".join(lines) + b"\r\n")
        if r.fields.get(b"expect"):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            reader.body(r.fields, into=server.sock.sendall)
        except EOFError:  # a pity for such a good connection
            self.idle[server.of].append(server)
            raise ConnectionError("the client is gone") from None
        return server

    def relay(self, sock, r, server, peer):
        """The answer, once it is there; framed anew."""
        while True:
            first, lines = server.head()
            status = number((first.split() + [b"", b"502"])[1])
            if not 100 <= status < 200:
                break
            sock.sendall(first + b"".join(lines) + b"\r\n")
            if status == 101:
                return self.tunnel(sock, b"", server)
        fields = named(lines)
        data = b"" if r.method == b"HEAD" or status in (204, 304) else server.body(fields, True)
        lines = [x for x in lines if x.partition(b":")[0].strip().lower() not in (b"content-length", b"transfer-encoding")]
        with self.lock, open(self.access_file, "ab") as f:
            f.write(b'%s - - [now] "%s" %d %d "%s" "%s"\n' % (peer, r.first.strip(), status, len(data), r.fields.get(b"referer", b"-"),
                                                          r.fields.get(b"user-agent", b"-")))
        length = b"Content-Length: %d\r\n" % len(data) if status not in (204, 304) else b""
        sock.sendall(b"HTTP/1.1 %d Answer\r\n" % status + b"".join(lines) + length + b"\r\n" + data)
        if hasattr(server, "of") and b"close" not in fields.get(b"connection", b""):
            self.idle[server.of].append(server)
        return None

    def tunnel(self, client_, rest, server):
        """Whatever it is from now on."""
        sock = client_.sock
        server.sock.sendall(rest)
        sock.sendall(server.rest)
        while True:
            ready = select.select([sock, server.sock], [], [])[0]
            for one, other in ((sock, server.sock), (server.sock, sock)):
                if one in ready:
                    if not (block := one.recv(65536)):
                        return
                    other.sendall(block)


def put_in_place():
    """From now on the bed starts what is naive, and waits no longer than what is naive needs."""
    from . import cache, keyless, naive_services
    gateway.Gateway, cache.Cache, keyless.KeyService = Proxy, naive_services.Cache, naive_services.KeyService
    patient = wait.until, client.Client.__init__, hello.Raw.__init__, cache.Resp.__init__, keyless.Client.__init__
    wait.until = lambda fact, seconds=10.0, *a, **k: patient[0](fact, min(seconds, PATIENCE), *a, **k)
    client.Client.__init__ = lambda self, *a, timeout=15, **k: patient[1](self, *a, timeout=min(timeout, PATIENCE), **k)
    hello.Raw.__init__ = lambda self, port, timeout=10: patient[2](self, port, min(timeout, PATIENCE))
    for at, one in ((3, cache.Resp), (4, keyless.Client)):
        one.__init__ = lambda self, *a, at=at, seconds=10, **k: patient[at](self, *a, seconds=min(seconds, PATIENCE), **k)
