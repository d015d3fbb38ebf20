"""foreign.py: a Keyless server that is not ours: signs digests, knows keys by SKI or by the modulus' digest, pads its
answers to 1024 bytes, gives them out of order, and errs as told. TLS 1.2 with what gokeyless has."""
import hashlib
import socket
import ssl
import struct
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

DIGEST, SKI, OPCODE, PAYLOAD, PAD = 0x01, 0x04, 0x11, 0x12, 0x20
ANSWER, PING, PONG, ERROR = 0xF0, 0xF1, 0xF2, 0xFF
CRYPTO, NO_KEY, BAD_OPCODE, FORMAT, INTERNAL = 1, 2, 5, 7, 8
SHA2 = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
OPERATIONS = {first + n: (how, SHA2[n]) for first, how in ((0x05, "pkcs1"), (0x15, "ecdsa"), (0x35, "pss")) for n in range(3)}
HELD_MAX, HELD_S = 4, 0.02


def item(tag, data):
    return struct.pack(">BH", tag, len(data)) + data


class ForeignServer:
    def __init__(self, authority, keys, name="keys.example", by="ski", pads=True, reverses=False):
        identity = authority.issue(name, None)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(identity["identity"], identity["identity_key"])
        self.context.load_verify_locations(authority.ca_file)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384")
        self.keys = {self.name_of(k.public_key(), by): k for k in keys}
        self.by, self.pads, self.reverses = by, pads, reverses
        self.errors = {}  # opcode, or None for any: the error that it answers
        self.spoils = False
        self.asked, self.tags, self.reordered, self.answered = [], set(), 0, 0
        self.tried = set()  # (serial number of the caller's certificate, name of the key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port, self.over, self.open = self.listener.getsockname()[1], False, []
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def name_of(public, by):
        if by == "ski":
            return x509.SubjectKeyIdentifier.from_public_key(public).digest
        if not isinstance(public, rsa.RSAPublicKey):
            return None
        return hashlib.sha256(f"{public.public_numbers().n:X}".encode()).digest()

    def accept(self):
        while not self.over:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            self.open.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            s.settimeout(5)
            s = self.context.wrap_socket(s, server_side=True)
            self.open.append(s)
            caller = s.getpeercert()["serialNumber"]
            rest, held = b"", []
            while not self.over:
                s.settimeout(HELD_S if held else 30)
                try:
                    data = s.recv(65536)
                    if not data:
                        return
                except socket.timeout:
                    data = b""
                rest += data
                while len(rest) >= 8 and len(rest) >= 8 + struct.unpack(">H", rest[2:4])[0]:
                    end = 8 + struct.unpack(">H", rest[2:4])[0]
                    held.append(self.answer(rest[:end], caller))
                    rest = rest[end:]
                if not self.reverses or not data or len(held) >= HELD_MAX:
                    self.reordered += len(held) > 1 and self.reverses
                    s.sendall(b"".join(reversed(held) if self.reverses else held))
                    held = []
        except OSError:
            pass

    def answer(self, message, caller):
        major, minor, _, number = struct.unpack(">BBHI", message[:8])
        body, items = message[8:], {}
        while body:
            tag, n = struct.unpack(">BH", body[:3])
            items[tag], body = body[3:3 + n], body[3 + n:]
        opcode, payload = self.result(items, caller) if (major, minor) == (1, 0) else (ERROR, bytes([4]))
        out = item(OPCODE, bytes([opcode])) + item(PAYLOAD, payload)
        if self.pads and 8 + len(out) + 3 <= 1024:
            out += item(PAD, bytes(1024 - 8 - len(out) - 3))
        return struct.pack(">BBHI", 1, 0, len(out), number) + out

    def result(self, items, caller):
        opcode, payload = items[OPCODE][0], items.get(PAYLOAD, b"")
        if opcode == PING:
            return PONG, payload
        self.asked.append(opcode)
        self.tags |= set(items)
        error = self.errors.get(opcode, self.errors.get(None, 0))
        name = items.get(SKI if self.by == "ski" else DIGEST)
        self.tried.add((caller, name))
        key = self.keys.get(name)
        if not error and key is None:
            error = NO_KEY
        if not error and opcode != 0x18 and opcode not in OPERATIONS:
            error = BAD_OPCODE
        if error:
            return ERROR, bytes([error])
        try:
            signature = self.sign(key, opcode, payload)
        except (TypeError, ValueError, AttributeError):
            return ERROR, bytes([CRYPTO])
        self.answered += 1
        return ANSWER, bytes([signature[0], signature[1] ^ 1]) + signature[2:] if self.spoils else signature

    @staticmethod
    def sign(key, opcode, payload):
        if opcode == 0x18:
            if not isinstance(key, ed25519.Ed25519PrivateKey):
                raise TypeError
            return key.sign(payload)
        how, sha = OPERATIONS[opcode]
        if len(payload) != sha.digest_size:
            raise ValueError
        digest = utils.Prehashed(sha)
        if how == "ecdsa":
            return key.sign(payload, ec.ECDSA(digest))
        if how == "pss":
            return key.sign(payload, padding.PSS(padding.MGF1(sha), sha.digest_size), digest)
        return key.sign(payload, padding.PKCS1v15(), digest)

    def stop(self):
        self.over = True
        for s in (self.listener, *self.open):
            try:
                s.close()
            except OSError:
                pass

    def logs(self):
        return {}
