"""sealed.py: records that no library sends, after a handshake that one has made: of no data, of padding alone, of any
type. The handshake is Python's; its key log gives what the records are sealed with (AES-GCM)."""
import hashlib
import hmac
import os
import socket
import ssl
import struct
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import client, http1

DATA, ALERT = 23, 21


def expand_label(secret, label, size):
    info = struct.pack("!H", size) + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return hmac.new(secret, info + b"\1", {32: hashlib.sha256, 48: hashlib.sha384}[len(secret)]).digest()[:size]


def prf(secret, seed, size):
    """TLS 1.2's, RFC 5246, section 5."""
    out, a = b"", seed
    while len(out) < size:
        a = hmac.new(secret, a, hashlib.sha256).digest()
        out += hmac.new(secret, a + seed, hashlib.sha256).digest()
    return out[:size]


class Sealed:
    """A connection; send() seals what is to go out, so the library may not send any more."""

    def __init__(self, port, version, pki=None, timeout=10):
        self.version = version
        ctx = client.context(pki, version=version, verify=pki is not None,
                             ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256" if version == "1.2" else None)
        log = tempfile.NamedTemporaryFile()
        ctx.keylog_filename = log.name
        self.out, self.into, self.first = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
        self.tls = ctx.wrap_bio(self.into, self.out, server_hostname="localhost")
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.reader = http1.Reader(self.recv)
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.fill()
        with log:
            said = {x.split()[0]: x.split()[1:] for x in log.read().decode().splitlines() if x[:1] != "#"}
        self.number = 0
        if version == "1.3":
            secret = bytes.fromhex(said["CLIENT_TRAFFIC_SECRET_0"][1])
            assert "AES" in self.tls.cipher()[0], self.tls.cipher()
            self.key, self.iv = AESGCM(expand_label(secret, b"key", self.tls.cipher()[2] // 8)), expand_label(secret, b"iv", 12)
        else:
            client_random, master = (bytes.fromhex(x) for x in said["CLIENT_RANDOM"])
            block = prf(master, b"key expansion" + self.first[11:43] + client_random, 40)
            self.key, self.iv, self.number = AESGCM(block[:16]), block[32:36], 1  # the Finished was number 0

    def flush(self):
        if self.out.pending:
            self.socket.sendall(self.out.read())

    def fill(self):
        block = self.socket.recv(65536)
        if len(self.first) < 100:
            self.first += block
        self.into.write(block) if block else self.into.write_eof()
        return bool(block)

    def record(self, data=b"", kind=DATA, padding=0):
        """The padding is for TLS 1.3."""
        number = struct.pack("!Q", self.number)
        self.number += 1
        if self.version == "1.3":
            inner = data + bytes([kind]) + bytes(padding)
            head = b"\x17\3\3" + struct.pack("!H", len(inner) + 16)
            nonce = bytes(a ^ b for a, b in zip(self.iv, bytes(4) + number))
            return head + self.key.encrypt(nonce, inner, head)
        explicit = os.urandom(4) + number[4:]
        sealed = explicit + self.key.encrypt(self.iv + explicit, data, number + bytes([kind]) + b"\3\3" + struct.pack("!H", len(data)))
        return bytes([kind]) + b"\3\3" + struct.pack("!H", len(sealed)) + sealed

    def send(self, *records):
        self.socket.sendall(b"".join(records))

    def recv(self, n):
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                if not self.fill():
                    return b""
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def ended(self):
        """It ends within the timeout, whatever comes before."""
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
