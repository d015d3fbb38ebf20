#!/usr/bin/python3
"""Prints crypto.h: fixed vectors for t/unit, computed here by other means than src/crypto.

Run: /usr/bin/python3 t/vectors/crypto.py > t/vectors/crypto.h
"""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def expand(prk, info, length):
    """RFC 5869, 2.3, with SHA-256."""
    out, block, i = b"", b"", 0
    while len(out) < length:
        i += 1
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:length]


def emit(name, data):
    """One static array of bytes."""
    print("static const uint8_t %s[%d] = {" % (name, len(data)))
    for i in range(0, len(data), 12):
        print("\t" + " ".join("0x%02x," % b for b in data[i:i + 12]))
    print("};")


def item(data):
    """A u16 length and the bytes."""
    return struct.pack(">H", len(data)) + data


def main():
    """All vectors, in the order in which one follows from the other."""
    print("/* crypto.h: made by crypto.py beside it; do not edit. */\n/* clang-format off */")
    gen_id = bytes.fromhex("a1b2c3d4e5f60718")
    secret = bytes(range(32))
    emit("vec_generation_id", gen_id)
    emit("vec_secret", secret)

    # The secret belongs to epoch 487654; 27 epochs on it has been ratcheted 27 times.
    epoch = 487654
    s = secret
    for _ in range(27):
        s = expand(s, b"sslgw ratchet", 32)
    emit("vec_secret_27", s)
    e_27 = expand(s, b"sslgw epoch" + gen_id + struct.pack(">Q", epoch + 27), 32)
    emit("vec_group_key_27", expand(e_27, b"sslgw group" + b"shop", 32))
    e_0 = expand(secret, b"sslgw epoch" + gen_id + struct.pack(">Q", epoch), 32)
    group = expand(e_0, b"sslgw group" + b"shop", 32)
    emit("vec_epoch_key", e_0)
    emit("vec_group_key", group)

    # A gateways' own secret, of ticket_secret_file.
    own = expand(secret, b"sslgw ticket epoch" + struct.pack(">Q", epoch), 32)
    emit("vec_own_id", expand(secret, b"sslgw ticket id", 8))
    emit("vec_own_group_key", expand(own, b"sslgw group" + b"shop", 32))

    ca = hashlib.sha256(b"").digest()
    scope = hashlib.sha256(item(b"shop.example.com") + item(b"\x02") + item(b"\x03") + item(ca) +
                           item(b"\x01")).digest()
    emit("vec_scope", scope)
    k = expand(group, b"sslgw scope" + scope, 32)
    for version in (0x0303, 0x0304):
        v = struct.pack(">H", version)
        emit("vec_ticket_%04x" % version, expand(k, b"sslgw ticket" + v, 64))
        emit("vec_seal_%04x" % version, expand(k, b"sslgw seal" + v, 64))
        emit("vec_name_%04x" % version, expand(k, b"sslgw name" + v, 10))

    seal = expand(k, b"sslgw seal" + b"\x03\x04", 64)
    session_id = bytes(range(100, 132))
    mac = hmac.new(seal, b"\x03\x04" + session_id, hashlib.sha512).digest()
    emit("vec_entry_name", mac[:32])
    emit("vec_entry_key", mac[32:])
    nonce = bytes(range(200, 212))
    plain = struct.pack(">QQQ", 1800000000, 1799990000, 0x1122334455667788)
    plain += item(b"session DER") + item(b"intermediates DER")
    sealed = AESGCM(mac[32:]).encrypt(nonce, plain, mac[:32] + scope)
    emit("vec_sealed", b"\x01" + nonce + sealed)
    # One byte more than the two lengths say; and none of a session at all.
    sealed = AESGCM(mac[32:]).encrypt(nonce, plain + b"\x00", mac[:32] + scope)
    emit("vec_sealed_surplus", b"\x01" + nonce + sealed)
    plain = plain[:24] + item(b"") + item(b"intermediates DER")
    sealed = AESGCM(mac[32:]).encrypt(nonce, plain, mac[:32] + scope)
    emit("vec_sealed_empty", b"\x01" + nonce + sealed)


main()
