"""naive_services.py: a session cache and a key service that do wrong what such services were broken by; see naive.py.

The cache makes room for what is announced, takes whatever line for a command and nods at those that it does not know.
The key service answers everybody on the network, signs whatever is asked, says what is wrong with a padding, reads past
the end of an item, opens files by the names that it is told, and lets one peer hold up the others."""
import glob
import os
import socket
import ssl
import struct
import threading

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from . import keyless as kl, proc
from .naive import Lines, each_connection, number


class Service:
    """Each connection in a thread of its own."""

    def __init__(self, bed, **settings):
        self.settings, self.pid, self.folder, self.listeners, self.lock = settings, os.getpid(), bed.folder, [], threading.Lock()
        self.open = 0
        bed.running.append(self)

    def listen(self, listener, context=None):
        self.listeners.append(listener)
        threading.Thread(target=each_connection, args=(listener, self.guarded, context), daemon=True).start()

    def guarded(self, sock, context):
        with self.lock:
            self.open += 1
        try:
            with (context.wrap_socket(sock, server_side=True) if context else sock) as s:
                self.talk(s)
        except (OSError, ValueError, IndexError, KeyError, RecursionError, struct.error):
            pass
        with self.lock:
            self.open -= 1

    def rss_kib(self):
        return proc.rss_kib(self.pid)

    def output(self):
        return ""

    def logs(self):
        return {}

    def stop(self):
        for s in self.listeners:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class Cache(Service):
    def __init__(self, bed, name="cache", identity=None, **settings):
        super().__init__(bed, **settings)
        self.kept = {}

    def start(self):
        self.listen(socket.create_server(("127.0.0.1", 0), backlog=4096))
        self.port = self.listeners[0].getsockname()[1]
        return self

    def words(self, lines):
        line = lines.line()
        if line[:1] == b"*":
            return [w for _ in range(number(line[1:])) for w in self.words(lines)]
        if line[:1] == b"$":
            room = bytearray(b"\xff" * number(line[1:]))
            room[:] = lines.exactly(len(room))
            lines.line()
            return [bytes(room)]
        return line.split() if line else [None]

    def talk(self, sock):
        lines = Lines(sock)
        while True:
            words = self.words(lines)
            if words == [None]:
                return
            if words:
                sock.sendall(self.command([w for w in words if w is not None]))

    def command(self, words):
        verb, rest = words[0].upper(), words[1:]
        if verb == b"PING":
            return b"+PONG\r\n"
        if verb == b"SET":
            self.kept[rest[0]] = rest[-1]
        if verb == b"GET" and rest:
            return b"$%d\r\n%s\r\n" % (len(self.kept.get(rest[0], b"")), self.kept.get(rest[0], b""))
        if verb == b"EXISTS":
            return b":%d\r\n" % sum(w in self.kept for w in rest)
        if verb == b"INFO":
            text = b"connected_clients:%d\r\nstored_keys:%d\r\n" % (self.open, len(self.kept))
            return b"$%d\r\n%s\r\n" % (len(text), text)
        return b"+OK\r\n"


class KeyService(Service):
    def __init__(self, bed, authority, keys, callers, name="keysvc", **settings):
        super().__init__(bed, **settings)
        self.identity = authority.issue(name, "keysvc")
        self.path = f"{bed.folder}/{name}.sock"
        self.keys, self.last, self.reading = {}, bytes(256), threading.Lock()
        for file in sorted(f for folder in keys for f in glob.glob(f"{folder}/*.key")):
            with open(file, "rb") as f:
                key = serialization.load_pem_private_key(f.read(), None)
            self.keys[kl.ski(key.public_key())] = key
            if isinstance(key, rsa.RSAPrivateKey):
                self.keys[kl.modulus_digest(key.public_key())] = key

    def start(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.identity["identity"], self.identity["identity_key"])
        context.load_verify_locations(self.identity["ca_file"])
        context.verify_mode = ssl.CERT_OPTIONAL
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.path)
        unix.listen(512)
        self.listen(socket.create_server(("127.0.0.1", 0), backlog=4096), context)
        self.listen(unix)
        self.port = self.listeners[0].getsockname()[1]
        return self

    def talk(self, sock):
        """One thread reads, another writes what piles up."""
        owed, there = [], threading.Semaphore(0)

        def write():
            while there.acquire() and owed:
                try:
                    sock.sendall(owed.pop(0))
                except OSError:
                    return
        threading.Thread(target=write, daemon=True).start()
        lines = Lines(sock)
        while True:
            head = lines.exactly(8)
            if len(head) < 8:
                return
            with self.reading:  # the one buffer
                body = lines.exactly(struct.unpack(">H", head[2:4])[0])
            owed.append(self.answer(struct.unpack(">I", head[4:])[0], self.items(body)))
            there.release()

    def items(self, body):
        items, at = {}, 0
        while at + 3 <= len(body):
            tag, n = struct.unpack(">BH", body[at:at + 3])
            items[tag] = (body + self.last)[at + 3:at + 3 + n]
            at += 3 + n
        self.last = body or self.last
        return items

    def answer(self, number_, items):
        opcode, payload = items.get(kl.TAG_OPCODE, b"\xf1")[0], items.get(kl.TAG_PAYLOAD, b"")
        if opcode == kl.PING:
            return kl.operation(number_, kl.PONG, payload)
        function = items.get(kl.TAG_FUNCTION, b"").decode("latin-1")
        key = self.keys.get(items.get(kl.TAG_SKI, items.get(kl.TAG_DIGEST)))
        try:
            if function == "sslgw/epoch-keys":
                with open(os.path.join(self.folder, payload.decode("latin-1").replace("\0", "")), "a+b") as f:
                    f.seek(0)
                    return kl.operation(number_, kl.ANSWER, f.read(60000))
            if function not in ("", "sslgw/tls-sign", "sslgw/tls-rsa-kx", "sslgw/chains") or opcode == 8:
                return kl.operation(number_, kl.ERROR, bytes([kl.E_OPCODE]))
            if key is None:
                return kl.operation(number_, kl.ERROR, bytes([kl.E_NO_KEY]))
            if opcode == 1 and not isinstance(key, rsa.RSAPrivateKey):
                return kl.operation(number_, kl.ERROR, bytes([kl.E_OPCODE]))
            return kl.operation(number_, kl.ANSWER, self.used(key, opcode, function, payload))
        except (ValueError, OSError, TypeError) as error:
            return kl.operation(number_, kl.ERROR, bytes([kl.E_CRYPTO]) + str(error).encode())

    def used(self, key, opcode, function, payload):
        if function == "sslgw/tls-rsa-kx":
            return key.decrypt(payload[4:], padding.PKCS1v15())
        if opcode == 1:
            n = key.private_numbers()
            if len(payload) != 256 or int.from_bytes(payload, "big") >= n.public_numbers.n:
                raise ValueError("no such block")
            return pow(int.from_bytes(payload, "big"), n.d, n.public_numbers.n).to_bytes(256, "big")
        data = payload[2:] if function else payload
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return key.sign(data, ec.ECDSA(hashes.SHA256())) if isinstance(key, ec.EllipticCurvePrivateKey) else key.sign(data)
