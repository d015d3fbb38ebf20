"""hello.py: ClientHellos made by hand, for what no library sends: a changed second hello, odd records,
wrong lengths. Only plain records are read; that suffices to see a ServerHello, a retry or an alert."""
import os
import socket
import struct

ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE, UNRECOGNIZED_NAME = 47, 50, 10, 112
HANDSHAKE_FAILURE, PROTOCOL_VERSION, RECORD_OVERFLOW = 40, 70, 22
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
SIGNATURES = bytes.fromhex("000c040308040401050308050501")  # no library offers just these
X25519, P256, P384 = 0x001D, 0x0017, 0x0018


def u8(data):
    return bytes([len(data)]) + data


def u16(data):
    return struct.pack("!H", len(data)) + data


def extension(number, body):
    return struct.pack("!H", number) + u16(body)


def server_name(name):
    return extension(0, u16(b"\0" + u16(name.encode())))


def key_share(*pairs):
    return extension(51, u16(b"".join(struct.pack("!H", g) + u16(k) for g, k in pairs)))


def point(group):
    """A valid public key of a group, of a pair nobody needs."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, x25519
    if group == X25519:
        return x25519.X25519PrivateKey.generate().public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)
    curve = {P256: ec.SECP256R1(), P384: ec.SECP384R1()}[group]
    return ec.generate_private_key(curve).public_key().public_bytes(s.Encoding.X962, s.PublicFormat.UncompressedPoint)


def hello(name="localhost", *, random=None, session=b"", groups=(X25519, P256, P384), shares=None, tls13=True,
          suites=(0x1301, 0xC02B, 0xC02F), more=b"", compression=b"\0", alpn=None, names=None):
    """A ClientHello's handshake message."""
    shares = [(g, point(g)) for g in groups[:1]] if shares is None else shares
    ext = b"" if name is None else server_name(name)
    if names is not None:
        ext = names
    ext += extension(10, u16(b"".join(struct.pack("!H", g) for g in groups)))
    ext += extension(11, u8(b"\0"))
    ext += extension(13, SIGNATURES)
    ext += extension(23, b"")
    if alpn:
        ext += extension(16, u16(b"".join(u8(a) for a in alpn)))
    if tls13:
        ext += extension(43, u8(bytes.fromhex("0304") + bytes.fromhex("0303")))
        ext += extension(45, u8(b"\1"))
        ext += key_share(*shares)
    body = b"\3\3" + (random or os.urandom(32)) + u8(session)
    body += u16(b"".join(struct.pack("!H", s) for s in suites)) + u8(compression) + u16(ext + more)
    return b"\1" + struct.pack("!I", len(body))[1:] + body


def record(data, kind=22, version=b"\3\1"):
    return bytes([kind]) + version + u16(data)


def records(data, size, kind=22):
    return b"".join(record(data[i:i + size], kind) for i in range(0, len(data), size))


class Answer:
    def __init__(self, kind, body=b"", alert=None):
        self.kind, self.body, self.alert = kind, body, alert

    def __repr__(self):
        return f"{self.kind} {self.alert if self.alert is not None else self.body[:40]!r}"


class Raw:
    """A TCP connection to a TLS port."""

    def __init__(self, port, timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def exactly(self, n):
        while len(self.rest) < n:
            try:
                block = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not block:
                return None
            self.rest += block
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def answer(self):
        """server_hello, retry, alert, closed, or something else."""
        while True:
            head = self.exactly(5)
            if head is None:
                return Answer("closed")
            if head[0] not in (20, 21, 22, 23):
                return Answer("not TLS", head + self.rest)
            body = self.exactly(struct.unpack("!H", head[3:5])[0])
            if body is None:
                return Answer("closed")
            if head[0] == 20:
                continue
            if head[0] == 21 and len(body) == 2:
                return Answer("alert", body, body[1])
            if head[0] == 22 and body[0] == 2:
                return Answer("retry" if body[6:38] == RETRY_RANDOM else "server_hello", body)
            return Answer(f"record {head[0]}", body)

    def closed(self):
        """Everything up to the end of the connection; True when it did end."""
        try:
            while block := self.sock.recv(65536):
                self.rest += block
            return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def second_hello(port, first, second, *, tweak=None):
    """A hello that provokes a HelloRetryRequest (no share), then another with the share asked for."""
    random = os.urandom(32)
    session = os.urandom(32)
    with Raw(port) as c:
        c.send(record(hello(first, random=random, session=session, shares=[])))
        retry = c.answer()
        assert retry.kind == "retry", f"no HelloRetryRequest but {retry}"
        at = 38
        at += 1 + retry.body[at] + 3 + 2
        group = None
        while at < len(retry.body):
            number, size = struct.unpack("!HH", retry.body[at:at + 4])
            if number == 51:
                group = struct.unpack("!H", retry.body[at + 4:at + 6])[0]
            at += 4 + size
        more = tweak() if tweak else b""
        c.send(record(hello(second, random=random, session=session, shares=[(group, point(group))], more=more), version=b"\3\3"))
        return c.answer()
