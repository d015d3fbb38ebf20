"""keyless.py: a client of the Keyless protocol, byte by byte; a cluster's CA with identities of any role; and a
key service that is run by itself."""
import datetime
import hashlib
import os
import socket
import ssl
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import daemon, pki, wait

TAG_DIGEST, TAG_SNI, TAG_CLIENT_IP, TAG_SKI, TAG_OPCODE, TAG_PAYLOAD, TAG_FUNCTION, TAG_PAD = (
    0x01, 0x02, 0x03, 0x04, 0x11, 0x12, 0x13, 0x20)
PING, PONG, CUSTOM, ANSWER, ERROR = 0xF1, 0xF2, 0x24, 0xF0, 0xFF
E_CRYPTO, E_NO_KEY, E_VERSION, E_OPCODE, E_UNEXPECTED, E_FORMAT, E_INTERNAL, E_NO_CERTIFICATE = (
    1, 2, 4, 5, 6, 7, 8, 9)


# ---- identities

class Authority:
    """A CA of a cluster. issue(): the three options that name an identity in a configuration, and its key's hash."""

    def __init__(self, folder, name="cluster CA"):
        os.makedirs(folder, mode=0o755, exist_ok=True)
        self.folder = folder
        self.key = pki.new_key("ec")
        self.cert = self._sign(name, self.key.public_key(), None, ca=True)
        self.ca_file = pki.write(f"{folder}/{name.replace(' ', '-')}.pem", pki.pem(self.cert))

    def _sign(self, name, public, uris, ca=False, dns=None, days=30):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        first = pki.now() - datetime.timedelta(days=1)
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(subject if ca else self.cert.subject).public_key(public)
             .serial_number(x509.random_serial_number()).not_valid_before(first)
             .not_valid_after(first + datetime.timedelta(days=days))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        names = [x509.DNSName(d) for d in (dns or [])] + [x509.UniformResourceIdentifier(u) for u in (uris or [])]
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, name, role="gateway", uris=None, days=30):
        key = pki.new_key("ec")
        uris = uris if uris is not None else ([f"sslgw:{role}"] if role else [])
        cert = self._sign(name, key.public_key(), uris, dns=[name], days=days)
        stem = f"{self.folder}/{name}-{role}-{cert.serial_number % 10000}"
        return {"identity": pki.write(f"{stem}.pem", pki.pem(cert)),
                "identity_key": pki.write(f"{stem}.key", pki.key_pem(key), 0o600), "ca_file": self.ca_file,
                "spki": hashlib.sha256(spki(key.public_key())).hexdigest()}


def options(identity):
    """Those of a configuration."""
    return {k: identity[k] for k in ("identity", "identity_key", "ca_file")}


def spki(public):
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def ski(public):
    """SHA-1 of the contents of the subjectPublicKey BIT STRING."""
    return x509.SubjectKeyIdentifier.from_public_key(public).digest


def modulus_digest(public):
    return hashlib.sha256(f"{public.public_numbers().n:X}".encode()).digest()


# ---- messages

def item(tag, data):
    return struct.pack(">BH", tag, len(data)) + data


def message(number, *items, version=(1, 0)):
    body = b"".join(item(t, d) for t, d in items)
    return bytes(version) + struct.pack(">HI", len(body), number) + body


def padded(data):
    """Filled up as gokeyless does, to 1024 bytes."""
    pad = item(TAG_PAD, bytes(1024 - len(data) - 3))
    body = data[8:] + pad
    return data[:2] + struct.pack(">H", len(body)) + data[4:8] + body


def operation(number, opcode, payload=None, key=None, digest=None):
    items = [(TAG_OPCODE, bytes([opcode]))]
    items += [(TAG_SKI, key)] if key is not None else []
    items += [(TAG_DIGEST, digest)] if digest is not None else []
    items += [(TAG_PAYLOAD, payload)] if payload is not None else []
    return message(number, *items)


def custom(number, function, payload=b"", key=None):
    items = [(TAG_OPCODE, bytes([CUSTOM])), (TAG_FUNCTION, function.encode()), (TAG_PAYLOAD, payload)]
    return message(number, *items, *([(TAG_SKI, key)] if key is not None else []))


class Answer:
    def __init__(self, number, body):
        self.number, self.length, self.items = number, len(body) + 8, {}
        while body:
            tag, n = struct.unpack(">BH", body[:3])
            assert tag not in self.items, f"tag {tag:#x} twice"
            assert len(body) >= 3 + n, "an item past the end"
            self.items[tag], body = body[3:3 + n], body[3 + n:]
        self.opcode = self.items[TAG_OPCODE][0]
        self.payload = self.items.get(TAG_PAYLOAD, b"")

    @property
    def error(self):
        """0: none."""
        return self.payload[0] if self.opcode == ERROR else 0


def certificate_verify(length=32, context=b"TLS 1.3, server CertificateVerify"):
    return b" " * 64 + context + b"\0" + os.urandom(length)


def key_exchange(sentinel=True, group=0x1D, point=None):
    random = os.urandom(56) + (b"DOWNGRD\x01" if sentinel else b"\xff" * 8)
    point = point if point is not None else os.urandom(32)
    return random + b"\x03" + struct.pack(">HB", group, len(point)) + point


def tls_sign(number, key, scheme, data):
    return custom(number, "sslgw/tls-sign", struct.pack(">H", scheme) + data, key)


# ---- connections

def context(identity, versions=None, ciphers=None, ca_file=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.load_verify_locations(ca_file or identity["ca_file"])
    if "identity" in identity:
        c.load_cert_chain(identity["identity"], identity["identity_key"])
    if versions:
        c.minimum_version = c.maximum_version = versions
    if ciphers:
        c.set_ciphers(ciphers)
    return c


class Client:
    def __init__(self, port=None, identity=None, path=None, seconds=10, source=None, **how):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.settimeout(seconds)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(path or ("127.0.0.1", port))
        if identity:
            self.socket = context(identity, **how).wrap_socket(self.socket)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))

    def read(self, n):
        while len(self.rest) < n:
            got = self.socket.recv(65536)
            if not got:
                raise EOFError(f"closed; {self.rest[:80]!r} was left")
            self.rest += got
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def answer(self):
        head = self.read(8)
        assert head[:2] == b"\x01\x00", f"version {head[:2]!r}"
        length, number = struct.unpack(">HI", head[2:])
        return Answer(number, self.read(length))

    def answers(self, n):
        return {a.number: a for a in (self.answer() for _ in range(n))}

    def ask(self, question):
        self.send(question)
        answer = self.answer()
        assert answer.number == struct.unpack(">I", question[4:8])[0]
        return answer

    def ping(self, text=b"hi"):
        return self.ask(operation(7, PING, text)).payload == text

    def closed(self, seconds=10):
        """It ends, with nothing more said; how is of no matter."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True
        except socket.timeout:
            return False


class KeyService(daemon.Daemon):
    """On a port of its own and on a Unix socket; `keys` are files."""

    def __init__(self, bed, authority, keys, callers, name="keysvc", **settings):
        self.identity = authority.issue(name, "keysvc")
        self.path = f"{bed.folder}/{name}.sock"
        super().__init__(bed.build, bed.folder, "sslgw-keysvc", name,
                         {"listen": ["127.0.0.1:0", f"unix:{self.path}"], **options(self.identity), "keys": keys,
                          "callers": callers, **settings})
        bed.running.append(self)

    @property
    def port(self):
        return int(next(a for a in self.addresses() if a.startswith("127.")).rpartition(":")[2])

    def reload(self, settings=None, good=True):
        at = self.output().count("reload:")
        self.write(settings)
        self.signal(1)
        wait.until(lambda: self.output().count("reload:") > at, 10, "what the reload came to")
        assert ("are in force" in self.output().split("reload:")[-1]) == good, self.output()

    def counts(self):
        """What it has counted, by USR1."""
        at = self.output().count("counts:")
        self.signal(10)
        wait.until(lambda: self.output().count("counts:") > at, 10, "the counts")
        line = self.output().split("counts:")[-1].split("\n")[0]
        return {k: int(v) for k, v in (x.split("=") for x in line.split())}
