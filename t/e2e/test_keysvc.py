"""The key service by itself, over mutual TLS: what it signs, for whom, and what it refuses. A client that speaks the
protocol byte by byte, and libcryptography to check what comes."""
import hashlib
import os
import ssl
import struct
import subprocess

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils

from bed import gateway, keyless as kl, pki as pki_module, proc, wait
from bed.keyless import Client, KeyService

GATEWAY = ["tls-sign", "epoch-keys", "keys", "chains"]


@pytest.fixture(scope="module")
def authority(shared):
    return kl.Authority(f"{shared.folder}/ca")


@pytest.fixture(scope="module")
def site_keys(shared):
    """name -> Identity, in one folder with its chain beside the key."""
    folder = f"{shared.folder}/keys"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    out = {}
    for kind, name in (("rsa", "shop.example"), ("ec", "bank.example"), ("ec384", "post.example")):
        leaf = shared.pki.issue(shared.pki.ca, name, kind=kind, names=[name])
        pki_module.write(f"{folder}/{kind}.key", pki_module.key_pem(leaf.key), 0o600)
        pki_module.write(f"{folder}/{kind}.pem", pki_module.pem(leaf.cert))
        out[kind] = leaf
    key = ed25519.Ed25519PrivateKey.generate()
    pki_module.write(f"{folder}/ed.key", pki_module.key_pem(key), 0o600)
    out["ed"] = type("Key", (), {"key": key})
    out["folder"] = folder
    return out


def callers(**more):
    return [
        {"name": "gw1", "networks": ["127.0.0.1"], "keys": ["rsa.key", "ec.key", "post.example"], "groups": ["shop"],
         "allow": GATEWAY, **more},
        {"name": "gw2", "networks": ["127.0.0.0/8"], "keys": ["bank.example"], "groups": ["bank"], "allow": GATEWAY},
        {"name": "far", "networks": ["10.0.0.0/8"], "keys": ["*"], "groups": ["*"], "allow": GATEWAY},
        {"name": "foreign", "role": "none", "networks": ["127.0.0.0/8"], "keys": ["*.key"], "allow": ["digest-sign"]},
        {"name": "raw", "role": "none", "networks": ["127.0.0.0/8"], "keys": ["rsa.key", "ec.key"],
         "allow": ["digest-sign", "tls-rsa-kx"], "unsafe_raw_rsa": ["rsa.key"]},
        {"name": "slow", "networks": ["127.0.0.0/8"], "keys": ["ec.key"], "groups": ["shop"], "rate": "5/s"},
    ]


@pytest.fixture(scope="module")
def service(shared, authority, site_keys):
    s = KeyService(shared, authority, [site_keys["folder"]], callers(),
                   deny_file=pki_module.write(f"{shared.folder}/deny", b"# nobody\n"))
    return s.start()


@pytest.fixture(scope="module")
def ids(authority):
    return {n: authority.issue(n, r) for n, r in (
        ("gw1", "gateway"), ("gw2", "gateway"), ("far", "gateway"), ("slow", "gateway"), ("foreign", None),
        ("raw", None))}


def ski(site_keys, kind):
    return kl.ski(site_keys[kind].key.public_key())


def public(site_keys, kind):
    return site_keys[kind].key.public_key()


def verify(key, signature, data, scheme):
    hash_ = {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}[scheme & 0xFF if scheme >> 8 == 8 else scheme >> 8]
    if scheme >> 8 == 8:
        key.verify(signature, data, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
    elif scheme & 0xFF == 1:
        key.verify(signature, data, padding.PKCS1v15(), hash_)
    else:
        key.verify(signature, data, ec.ECDSA(hash_))


# ---- sslgw's functions

@pytest.mark.parametrize("kind,scheme,version", [
    ("rsa", 0x0804, 3), ("rsa", 0x0805, 3), ("rsa", 0x0806, 3), ("ec", 0x0403, 3), ("ec384", 0x0503, 3),
    ("rsa", 0x0401, 2), ("rsa", 0x0501, 2), ("rsa", 0x0601, 2), ("rsa", 0x0804, 2), ("ec", 0x0403, 2), ("ec384", 0x0403, 2)])
def test_handshakes_are_signed(service, ids, site_keys, kind, scheme, version):
    data = kl.certificate_verify() if version == 3 else kl.key_exchange()
    with Client(service.port, ids["gw1"]) as c:
        answer = c.ask(kl.tls_sign(1, ski(site_keys, kind), scheme, data))
    assert answer.opcode == kl.ANSWER
    # hash of 0804..0806 by its last byte
    verify(public(site_keys, kind), answer.payload, data, scheme)
    with pytest.raises(InvalidSignature):
        verify(public(site_keys, kind), answer.payload, data + b"x", scheme)


def test_a_stolen_identity_gets_nothing_but_handshakes(service, ids, site_keys):
    """A valid question with one part changed: a certificate's request, a token, a client's CertificateVerify, a bare
    digest, another key, a scheme of another key, a message with any one byte of its frame changed."""
    good = kl.certificate_verify()
    ec_key = ski(site_keys, "ec")
    csr = x509.CertificateSigningRequestBuilder().subject_name(site_keys["ec"].cert.subject).sign(
        site_keys["ec"].key, hashes.SHA256()).tbs_certrequest_bytes
    tbs = site_keys["ec"].cert.tbs_certificate_bytes
    token = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb290In0"
    wrong = [csr, tbs, token, os.urandom(32), os.urandom(130), b"", good[:-1], good + b"x",
             kl.certificate_verify(context=b"TLS 1.3, client CertificateVerify"),
             b" " * 64 + b"Exported Authenticator\0" + os.urandom(32),
             kl.key_exchange(sentinel=False), kl.key_exchange(group=0x1E), kl.key_exchange(point=os.urandom(31)),
             kl.key_exchange(group=0x17, point=b"\x04" + os.urandom(64)), kl.key_exchange() + b"\0"]
    for at in range(98):
        changed = bytearray(good)
        changed[at] ^= 1
        wrong.append(bytes(changed))
    with Client(service.port, ids["gw1"]) as c:
        assert c.ask(kl.tls_sign(1, ec_key, 0x0403, good)).error == 0
        c.send(*(kl.tls_sign(n, ec_key, 0x0403, w) for n, w in enumerate(wrong)))
        errors = {n: a.error for n, a in c.answers(len(wrong)).items()}
        assert set(errors.values()) == {kl.E_OPCODE}, errors
        for scheme in (0x0203, 0x0401, 0x0503, 0x0603, 0x0804, 0x0807, 0xFE03, 0):
            assert c.ask(kl.tls_sign(2, ec_key, scheme, good)).error == kl.E_OPCODE
        digest = hashlib.sha256(csr).digest()
        for opcode in [*range(0x02, 0x08), *range(0x12, 0x19), 0x35, 0x36, 0x37, 0x08, 0x23]:
            assert c.ask(kl.operation(3, opcode, digest, ec_key)).error == kl.E_OPCODE
        assert c.ask(kl.operation(3, 0x01, b"\x02" * 256, ski(site_keys, "rsa"))).error == kl.E_OPCODE
        assert c.ask(kl.custom(4, "sslgw/tls-rsa-kx", b"\3\3\0\0" + b"\x02" * 256, ski(site_keys, "rsa"))).error == kl.E_OPCODE
        assert c.ask(kl.custom(5, "sslgw/generations")).error == kl.E_OPCODE
        assert c.ask(kl.tls_sign(6, ski(site_keys, "ed"), 0x0807, good)).error == kl.E_NO_KEY  # there, but not for it
        assert c.ask(kl.custom(7, "sslgw/epoch-keys", b"bank")).error == kl.E_OPCODE
        assert c.ask(kl.custom(8, "sslgw/chains", key=ski(site_keys, "ed"))).error == kl.E_NO_KEY
        assert c.ping()
    with Client(service.port, ids["gw2"]) as c:
        assert c.ask(kl.tls_sign(1, ec_key, 0x0403, good)).error == 0
        assert c.ask(kl.tls_sign(1, ski(site_keys, "rsa"), 0x0804, good)).error == kl.E_NO_KEY
        assert c.ask(kl.custom(7, "sslgw/epoch-keys", b"shop")).error == kl.E_OPCODE


def test_keys_and_chains_are_those_of_the_caller(service, ids, site_keys):
    with Client(service.port, ids["gw1"]) as c:
        got = c.ask(kl.custom(1, "sslgw/keys")).payload
        assert struct.unpack(">I", got[:4])[0] == 3 and len(got) == 4 + 3 * 54
        listed = {got[4 + 54 * i:][:20]: got[4 + 54 * i:][20:54] for i in range(3)}
        assert set(listed) == {ski(site_keys, k) for k in ("rsa", "ec", "ec384")}
        assert listed[ski(site_keys, "rsa")] == hashlib.sha256(kl.spki(public(site_keys, "rsa"))).digest() + b"\x01\x00"
        chain = c.ask(kl.custom(2, "sslgw/chains", key=ski(site_keys, "ec"))).payload
        assert chain == len(site_keys["ec"].der).to_bytes(3, "big") + site_keys["ec"].der
    with Client(service.port, ids["gw2"]) as c:
        got = c.ask(kl.custom(1, "sslgw/keys")).payload
        assert struct.unpack(">I", got[:4])[0] == 1 and got[4:24] == ski(site_keys, "ec")


def test_a_key_without_a_chain_is_told_apart(service, authority, site_keys):
    with Client(path=service.path) as c:  # the tests' own user, with all keys
        assert c.ask(kl.custom(2, "sslgw/chains", key=ski(site_keys, "ed"))).error == kl.E_NO_CERTIFICATE
        assert c.ask(kl.custom(2, "sslgw/chains", key=b"\x01" * 20)).error == kl.E_NO_KEY
        assert c.ask(kl.custom(2, "sslgw/chains")).error == kl.E_INTERNAL


def test_epoch_keys_are_those_of_the_caller_s_groups(service, ids):
    with Client(service.port, ids["gw1"]) as a, Client(service.port, ids["gw2"]) as b:
        shop, bank = (c.ask(kl.custom(1, "sslgw/epoch-keys", g)) for c, g in ((a, b"shop"), (b, b"bank")))
        assert shop.opcode == bank.opcode == kl.ANSWER and shop.payload != bank.payload
        for wrong in (b"", b"sho", b"shop\0", b"*", b"x" * 300):
            assert a.ask(kl.custom(1, "sslgw/epoch-keys", wrong)).error in (kl.E_OPCODE, kl.E_FORMAT)


def test_no_name_is_used_as_a_path(bed, authority, site_keys):
    """Functions, groups, keys by name of a file: none leads out of what is in force, nothing is opened or made."""
    s = KeyService(bed, authority, [site_keys["folder"]], callers(groups=["shop", "*"]), name="paths").start()
    gw1 = authority.issue("gw1")
    before = sorted(os.listdir(bed.folder))
    names = [b"../keys/ed.key", b"/etc/passwd", b"shop/../bank", b"..", b"/", b"shop\0/../x", b"%2e%2e/x",
             f"{site_keys['folder']}/ed.key".encode()]
    with Client(s.port, gw1) as c:
        for name in names:
            answer = c.ask(kl.custom(1, "sslgw/epoch-keys", name))
            assert answer.error or len(answer.payload) < 4096  # a group's own keys at most: a name is only hashed
            assert b"PRIVATE KEY" not in answer.payload and b"root:" not in answer.payload
            assert c.ask(kl.custom(2, "sslgw/" + name.decode())).error == kl.E_OPCODE
            assert c.ask(kl.operation(3, 0x15, os.urandom(32), name[:20].ljust(20, b"\0"))).error in (kl.E_NO_KEY, kl.E_OPCODE)
            assert c.ask(kl.custom(4, "sslgw/chains", key=name[:20].ljust(20, b"\0"))).error == kl.E_NO_KEY
        assert c.ping()
    assert sorted(os.listdir(bed.folder)) == before


def test_secrets_go_between_key_services_alone(service, authority):
    other = authority.issue("ks2", "keysvc")
    with Client(service.port, other) as c:
        assert c.ask(kl.custom(1, "sslgw/generations")).opcode == kl.ANSWER
        for function in ("sslgw/keys", "sslgw/epoch-keys", "sslgw/tls-sign"):
            assert c.ask(kl.custom(1, function, b"shop", b"\x01" * 20)).error == kl.E_OPCODE


# ---- the protocol's own operations

DIGESTS = [("rsa", 0x02, None, 36), ("rsa", 0x03, hashes.SHA1(), 20), ("rsa", 0x04, hashes.SHA224(), 28),
           ("rsa", 0x05, hashes.SHA256(), 32), ("rsa", 0x06, hashes.SHA384(), 48), ("rsa", 0x07, hashes.SHA512(), 64),
           ("ec", 0x12, None, 36), ("ec", 0x13, hashes.SHA1(), 20), ("ec", 0x14, hashes.SHA224(), 28),
           ("ec", 0x15, hashes.SHA256(), 32), ("ec384", 0x16, hashes.SHA384(), 48), ("ec", 0x17, hashes.SHA512(), 64),
           ("rsa", 0x35, hashes.SHA256(), 32), ("rsa", 0x36, hashes.SHA384(), 48), ("rsa", 0x37, hashes.SHA512(), 64)]


@pytest.mark.parametrize("kind,opcode,hash_,length", DIGESTS)
def test_digests_are_signed_for_those_who_may(service, ids, site_keys, kind, opcode, hash_, length):
    digest, key = os.urandom(length), public(site_keys, kind)
    with Client(service.port, ids["foreign"]) as c:
        answer = c.ask(kl.operation(1, opcode, digest, ski(site_keys, kind)))
        assert answer.opcode == kl.ANSWER
        assert c.ask(kl.operation(1, opcode, digest + b"x", ski(site_keys, kind))).error == kl.E_CRYPTO
        other = "ec" if kind == "rsa" else "rsa"
        assert c.ask(kl.operation(1, opcode, digest, ski(site_keys, other))).error == kl.E_CRYPTO
    if hash_ is None:
        if kind == "rsa":  # no DigestInfo: the bare 36 bytes
            n = key.public_numbers()
            block = pow(int.from_bytes(answer.payload, "big"), n.e, n.n).to_bytes(256, "big")
            assert block == b"\0\x01" + b"\xff" * (256 - 39) + b"\0" + digest
        return
    if kind != "rsa":
        key.verify(answer.payload, digest, ec.ECDSA(utils.Prehashed(hash_)))
    elif opcode < 0x08:
        key.verify(answer.payload, digest, padding.PKCS1v15(), utils.Prehashed(hash_))
    else:
        key.verify(answer.payload, digest, padding.PSS(padding.MGF1(hash_), length), utils.Prehashed(hash_))


def test_ed25519_signs_the_message(service, ids, site_keys):
    with Client(service.port, ids["foreign"]) as c:
        for text in (b"", b"a message", os.urandom(60000)):
            answer = c.ask(kl.operation(1, 0x18, text, ski(site_keys, "ed")))
            public(site_keys, "ed").verify(answer.payload, text)


def test_raw_rsa_is_only_for_key_and_caller_that_are_named(service, ids, site_keys):
    key = public(site_keys, "rsa")
    secret = os.urandom(20)
    block = key.encrypt(secret, padding.PKCS1v15())
    with Client(service.port, ids["raw"]) as c:
        answer = c.ask(kl.operation(1, 0x01, block, ski(site_keys, "rsa")))
        assert len(answer.payload) == 256 and answer.payload[:2] == b"\0\x02" and answer.payload.endswith(b"\0" + secret)
        assert c.ask(kl.operation(1, 0x01, block, digest=kl.modulus_digest(key))).payload == answer.payload
        assert c.ask(kl.operation(1, 0x01, block[:-1], ski(site_keys, "rsa"))).error == kl.E_CRYPTO
        assert c.ask(kl.operation(1, 0x01, b"\xff" * 256, ski(site_keys, "rsa"))).error == kl.E_CRYPTO
        assert c.ask(kl.operation(1, 0x01, block, ski(site_keys, "ec"))).error == kl.E_OPCODE
        assert c.ask(kl.operation(1, 0x08, block, ski(site_keys, "rsa"))).error == kl.E_OPCODE
        premaster = b"\3\3" + os.urandom(46)
        answer = c.ask(kl.custom(2, "sslgw/tls-rsa-kx", b"\3\3\0\0" + key.encrypt(premaster, padding.PKCS1v15()),
                                 ski(site_keys, "rsa")))
        assert answer.payload == premaster
        bad = c.ask(kl.custom(2, "sslgw/tls-rsa-kx", b"\3\3\0\0" + block, ski(site_keys, "rsa")))
        assert bad.opcode == kl.ANSWER and len(bad.payload) == 48
    with Client(service.port, ids["foreign"]) as c:  # may sign any digest, but not this
        assert c.ask(kl.operation(1, 0x01, block, ski(site_keys, "rsa"))).error == kl.E_OPCODE


def test_keys_are_named_by_ski_or_modulus(service, ids, site_keys):
    digest = os.urandom(32)
    with Client(service.port, ids["foreign"]) as c:
        by_modulus = kl.modulus_digest(public(site_keys, "rsa"))
        assert c.ask(kl.operation(1, 0x05, digest, digest=by_modulus)).opcode == kl.ANSWER
        assert c.ask(kl.operation(1, 0x05, digest, digest=os.urandom(32))).error == kl.E_NO_KEY
        assert c.ask(kl.operation(1, 0x05, digest, digest=by_modulus[:-1])).error == kl.E_NO_KEY
        assert c.ask(kl.operation(1, 0x05, digest, os.urandom(20))).error == kl.E_NO_KEY
        assert c.ask(kl.operation(1, 0x05, digest, bytes(20))).error == kl.E_INTERNAL
        assert c.ask(kl.operation(1, 0x05, digest)).error == kl.E_INTERNAL


def test_every_error_of_the_protocol(service, ids, site_keys):
    with Client(service.port, ids["foreign"]) as c:
        assert c.ask(kl.operation(1, kl.PING, b"x" * 60000)).payload == b"x" * 60000
        for opcode in (kl.ANSWER, kl.ERROR, kl.PONG):
            assert c.ask(kl.operation(1, opcode, b"")).error == kl.E_UNEXPECTED
        for opcode in (0x21, 0x22):
            assert c.ask(kl.operation(1, opcode, b"")).error == kl.E_INTERNAL
        for opcode in (0, 0x08, 0x11, 0x19, 0x23, 0x25, 0x34, 0x38, 0x80, 0xF3):
            assert c.ask(kl.operation(1, opcode, b"", ski(site_keys, "rsa"))).error == kl.E_OPCODE
        for function in ("", "sslgw/tls-sigm", "sslgw/tls-sign\0", "x" * 1000):
            assert c.ask(kl.custom(1, function)).error == kl.E_OPCODE
        unknown = kl.message(9, (kl.TAG_OPCODE, bytes([kl.PING])), (0x7F, b"new"), (kl.TAG_PAYLOAD, b"p"))
        assert c.ask(unknown).payload == b"p"


@pytest.mark.parametrize("items,error", [
    ([(0x11, b"\xf1"), (0x11, b"\xf1")], kl.E_FORMAT), ([(0x11, b"\xf1\xf1")], kl.E_FORMAT), ([], kl.E_FORMAT),
    ([(0x12, b"no opcode")], kl.E_FORMAT), ([(0x11, b"\xf1"), (0x03, b"\x7f\0\0")], kl.E_FORMAT),
    ([(0x11, b"\xf1"), (0x05, b"\x7f\0\0\0\0")], kl.E_FORMAT), ([(0x11, b"\xf1"), (0x17, b"")], kl.E_FORMAT),
    ([(0x11, b"\xf1"), (0x04, b"x" * 19)], kl.E_FORMAT)])
def test_format_errors_are_answered_then_the_connection_ends(service, ids, items, error):
    with Client(service.port, ids["gw1"]) as c:
        c.send(kl.message(4711, *items))
        answer = c.answer()
        assert (answer.number, answer.error) == (4711, error)
        assert c.closed()


def test_items_past_the_end_and_other_versions_end_the_connection(service, ids):
    for data, error in ((b"\1\0\0\6\0\0\0\5\x11\0\1\xf1\x12\0", kl.E_FORMAT), (b"\1\0\0\7\0\0\0\5\x11\0\1\xf1\x12\0\1", kl.E_FORMAT),
                        (b"\2\0\0\4\0\0\0\5\x11\0\1\xf1", kl.E_VERSION), (b"GET / HTTP/1.1\r\n\r\n", kl.E_VERSION)):
        with Client(service.port, ids["gw1"]) as c:
            c.send(data)
            assert c.answer().error == error
            assert c.closed()


def test_padding_is_answered_with_padding(service, ids, site_keys):
    with Client(service.port, ids["gw1"]) as c:
        question = kl.tls_sign(1, ski(site_keys, "ec"), 0x0403, kl.certificate_verify())
        assert c.ask(kl.padded(question)).length == 1024
        assert c.ask(question).length < 100
        assert c.ask(kl.padded(kl.operation(2, kl.PING, b"hi"))).length == 1024
        assert c.ask(kl.padded(kl.operation(2, 0x99))).length == 1024
        assert kl.padded(kl.operation(1, kl.PING, b"hi")) == bytes.fromhex(
            "010003f800000001" "110001f1" "1200026869" "2003ec") + bytes(1004)


def test_many_questions_at_once_are_all_answered_each_by_its_number(service, ids, site_keys):
    key = public(site_keys, "ec")
    data = [kl.certificate_verify() for _ in range(300)]
    with Client(service.port, ids["gw1"]) as c:
        for at in range(0, 300, 50):
            c.send(*(kl.tls_sign(n, ski(site_keys, "ec"), 0x0403, data[n]) for n in range(at, at + 50)))
            c.send(kl.operation(100000 + at, kl.PING, b"p"))
            got = c.answers(51)
            for n in range(at, at + 50):
                key.verify(got[n].payload, data[n], ec.ECDSA(hashes.SHA256()))


def test_tls12_and_gokeyless_ciphers_work(service, ids):
    for how in ({"versions": ssl.TLSVersion.TLSv1_3}, {"versions": ssl.TLSVersion.TLSv1_2},
                {"versions": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}):
        with Client(service.port, ids["gw1"], **how) as c:
            assert c.ping()


# ---- who may ask

def refused(port, identity, **how):
    """The connection gives no answer: it ends in the handshake or right after it."""
    try:
        with Client(port, identity, **how) as c:
            c.send(kl.operation(1, kl.PING, b"hi"))
            return c.closed()
    except (ssl.SSLError, ConnectionError):
        return True


def test_strangers_get_nothing_and_the_service_goes_on(service, authority, ids, shared):
    other = kl.Authority(f"{shared.folder}/other-ca", "other CA")
    stranger = {**other.issue("gw1"), "ca_file": authority.ca_file}
    for who in (stranger, {"ca_file": authority.ca_file}, authority.issue("gw1", "cachesvc"),
                authority.issue("gw1", "gateway", uris=["sslgw:gateway", "sslgw:keysvc"]),
                authority.issue("gw1", "gateway", uris=["sslgw:nonsense"]), authority.issue("gw1", "gateway", days=0.5),
                authority.issue("gw9"), authority.issue("gw1", "operator"), authority.issue("gw1", None),
                authority.issue("foreign", "gateway"), ids["far"]):
        assert refused(service.port, who), who
    with Client(service.port, ids["gw1"]) as c:
        assert c.ping()


def test_an_identity_is_of_no_use_on_another_network(service, ids):
    with Client(service.port, ids["gw1"], source="127.0.0.1") as c:
        assert c.ping()
    assert refused(service.port, ids["gw1"], source="127.0.0.2")
    with Client(service.port, ids["gw2"], source="127.0.0.2") as c:  # its network is wider
        assert c.ping()


def test_the_rate_is_the_caller_s_over_all_its_connections(service, ids, site_keys):
    questions = [kl.tls_sign(n, ski(site_keys, "ec"), 0x0403, kl.certificate_verify()) for n in range(20)]
    errors = []
    for at in range(0, 20, 5):
        with Client(service.port, ids["slow"]) as c:
            c.send(*questions[at:at + 5])
            errors += [a.error for a in c.answers(5).values()]
            assert c.ping() and c.ask(kl.custom(1, "sslgw/epoch-keys", b"shop")).opcode == kl.ANSWER
    assert 5 <= errors.count(0) <= 14 and set(errors) == {0, kl.E_INTERNAL}, errors
    with Client(service.port, ids["gw1"]) as c:  # others are as before
        assert c.ask(kl.tls_sign(1, ski(site_keys, "ec"), 0x0403, kl.certificate_verify())).error == 0

    def once_more():
        with Client(service.port, ids["slow"]) as c:
            return c.ask(questions[0]).error == 0
    wait.until(once_more, 5, "the rate's next signature")


def test_a_denied_identity_is_cut_off_within_ten_seconds(bed, authority, site_keys):
    deny = pki_module.write(f"{bed.folder}/deny", b"# nobody\n")
    s = KeyService(bed, authority, [site_keys["folder"]], callers(), deny_file=deny).start()
    bad, good = authority.issue("gw1"), authority.issue("gw1")  # the same name, renewed
    with Client(s.port, bad) as b, Client(s.port, good) as g:
        assert b.ping() and g.ping()
        pki_module.write(deny, b"not a hash\n")
        wait.holds(lambda: b.ping() and g.ping(), 3, "a damaged list changes nothing")
        pki_module.write(deny, f"# stolen\n{bad['spki']}\n".encode())
        assert b.closed(10)
        assert refused(s.port, bad)
        assert g.ping()
    with Client(s.port, good) as g:
        assert g.ping()


# ---- reload

def test_reload_is_whole_or_nothing(bed, authority, site_keys):
    folder = f"{bed.folder}/keys"
    os.mkdir(folder, 0o700)
    for kind in ("rsa", "ec"):
        pki_module.write(f"{folder}/{kind}.key", pki_module.key_pem(site_keys[kind].key), 0o600)
    one = [{"name": "gw1", "networks": ["127.0.0.1"], "keys": ["*"], "groups": ["shop"]}]
    s = KeyService(bed, authority, [folder], one)
    s.start()
    gw1, gw2 = authority.issue("gw1"), authority.issue("gw2")
    question = kl.tls_sign(1, ski(site_keys, "ec"), 0x0403, kl.certificate_verify())
    with Client(s.port, gw1) as c:
        assert c.ask(question).error == 0
        # a key that is damaged: callers stay, too
        pki_module.write(f"{folder}/bad.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600)
        two = [{**one[0], "name": "gw2"}]
        s.reload({**s.settings, "callers": two}, good=False)
        assert c.ask(question).error == 0 and refused(s.port, gw2)
        os.unlink(f"{folder}/bad.key")
        # an identity that is damaged: keys stay, too
        os.unlink(f"{folder}/ec.key")
        kept = open(s.identity["identity_key"], "rb").read()
        pki_module.write(s.identity["identity_key"], b"nothing", 0o600)
        s.reload(good=False)
        assert c.ask(question).error == 0 and refused(s.port, gw2)
        pki_module.write(s.identity["identity_key"], kept, 0o600)
        # other paths
        s.reload({**s.settings, "ca_file": gw1["identity"]}, good=False)
        assert "restart" in s.output()
        # good: who is no caller any more is cut off
        s.reload({**s.settings, **kl.options(s.identity)})
        assert c.closed()
    with Client(s.port, gw2) as c:
        assert c.ask(question).error == kl.E_NO_KEY
    # a renewed identity is shown to new connections
    fresh = authority.issue("keysvc", "keysvc")
    for name in ("identity", "identity_key"):
        os.replace(fresh[name], s.identity[name])
    s.reload()
    with Client(s.port, gw2) as c:
        shown = x509.load_der_x509_certificate(c.socket.getpeercert(True))
        assert hashlib.sha256(kl.spki(shown.public_key())).hexdigest() == fresh["spki"]


def test_term_answers_what_is_asked_then_ends(bed, authority, site_keys):
    s = KeyService(bed, authority, [site_keys["folder"]], callers()).start()
    with Client(s.port, authority.issue("gw1")) as c:
        assert c.ping()
        c.send(*(kl.tls_sign(n, ski(site_keys, "rsa"), 0x0804, kl.certificate_verify()) for n in range(20)))
        assert c.answer().error == 0
        s.signal(15)
        assert all(a.error == 0 for a in c.answers(19).values())
        assert c.closed()
    assert s.process.wait(10) == 0
    assert not os.path.exists(s.path)


# ---- hostile peers

def test_hostile_peers_neither_stop_nor_grow_it(service, ids, site_keys):
    question = kl.tls_sign(1, ski(site_keys, "ec"), 0x0403, kl.certificate_verify())
    before = proc.rss_kib(service.pid)
    plain = []
    for data in (b"", b"\x16", b"\x16\x03\x01\xff\xff", os.urandom(3000), b"GET / HTTP/1.0\r\n\r\n",
                 b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\x03" * 20, question):
        c = Client(service.port)
        c.send(data)
        plain.append(c)
    halves = []
    for n in range(100):
        c = Client(service.port, ids["gw1"])
        c.send(b"\1\0\xff\xff" + struct.pack(">I", n) + (question[8:40] if n % 2 else b""))
        halves.append(c)
    with Client(service.port, ids["gw1"]) as c:
        assert c.ask(question).error == 0
    if "asan" not in service.program:  # which keeps what was freed
        assert proc.rss_kib(service.pid) < before + 16384, "a length that is announced takes memory"
    for c in (*plain, *halves):
        c.socket.close()
    with Client(service.port, ids["gw1"]) as c:
        assert c.ask(question).error == 0


def test_a_peer_that_never_reads_is_held_back_then_closed(service, ids):
    before = proc.rss_kib(service.pid)
    c = Client(service.port, ids["gw1"])
    c.socket.setblocking(False)
    ping = kl.operation(1, kl.PING, b"x" * 60000)
    sent = 0

    def flood():
        nonlocal sent
        try:
            while True:
                sent += c.socket.send(ping)
        except (ssl.SSLWantWriteError, BlockingIOError):
            return False
        except (OSError, ssl.SSLError):
            return True
    wait.until(flood, 20, "the close of a connection whose answers are not read", every=0.05)
    assert sent < 64 << 20
    if "asan" not in service.program:
        assert proc.rss_kib(service.pid) < before + 16384
    with Client(service.port, ids["gw2"]) as other:
        assert other.ping()


def test_a_caller_that_leaves_leaves_no_work(service, ids, site_keys):
    data = [kl.tls_sign(n, ski(site_keys, "rsa"), 0x0804, kl.certificate_verify()) for n in range(100)]
    for _ in range(5):
        c = Client(service.port, ids["gw1"])
        c.send(*data)
        c.socket.close()
    with Client(service.port, ids["gw1"]) as c:
        wait.until(lambda: c.ask(kl.tls_sign(1, ski(site_keys, "ec"), 0x0403, kl.certificate_verify())).error == 0, 10,
                   "a signature after others left")


def test_two_thousand_silent_connections_leave_room_for_callers(service, ids):
    """Connections are bounded, and of those half may be in their handshake; a caller gets in all the same."""
    import socket as sockets
    held, most = [], 0
    for _ in range(2000):
        s = sockets.socket()
        s.settimeout(5)
        s.connect(("127.0.0.1", service.port))
        held.append(s)

    def served():
        nonlocal most
        with Client(service.port, ids["gw1"], seconds=30) as c:
            most = max(most, len(proc.descriptors(service.pid)))
            return c.ping()
    wait.until(served, 30, "a caller in the crowd")
    assert 100 < most < 1024 + 64
    for s in held:
        s.close()
    wait.until(served, 20, "a caller after the crowd")
    wait.until(lambda: len(proc.descriptors(service.pid)) < 100, 20, "the crowd's end")


# ---- the process

def test_the_process_gives_nothing_away(service):
    with open(f"/proc/{service.pid}/limits", encoding="ascii") as f:
        limits = f.read()
    assert next(x for x in limits.split("\n") if x.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    assert proc.status(service.pid, "NoNewPrivs") == "1"
    assert os.stat(f"/proc/{service.pid}/environ").st_uid == 0, "it is dumpable"


@pytest.mark.plain
@pytest.mark.root
def test_its_memory_is_locked(service):
    """Where it may be; else it is said, with what to do."""
    locked = int(proc.status(service.pid, "VmLck").split()[0])
    assert locked > 1000 or "memory cannot be locked" in service.output() and "LimitMEMLOCK" in service.output()


def run(build, folder, settings, *argv):
    from bed import conftext
    path = f"{folder}/x.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write(settings if isinstance(settings, str) else conftext.text(settings))
    return subprocess.run([f"{build}/sslgw-keysvc", "-c", path, *argv], capture_output=True, text=True, timeout=30,
                          env=gateway.environment())


@pytest.mark.parametrize("change,part", [
    ({"identity": None}, "identity ="), ({"identity_key": None}, "identity_key ="), ({"ca_file": None}, "ca_file ="),
    ({"callers": None}, "nobody may ask"), ({"identity": "/nowhere.pem"}, "/nowhere.pem"), ({"keys": ["/nowhere"]}, "/nowhere"),
    ({"listen": ["2407"]}, "2407"), ({"listen": ["shop.example:2407"]}, "shop.example"), ({"keyz": ["x"]}, "keys"),
    ({"deny_file": "/nowhere.deny"}, "/nowhere.deny"), ({"peers": ["ks2"]}, "ks2"),
    ({"callers": [{"name": "gw", "keys": ["*"], "groups": ["g"], "networks": ["10.0.0.1/8"]}]}, "10.0.0.1/8"),
    ({"callers": [{"name": "gw", "groups": ["g"]}]}, "no keys")])
def test_wrong_configurations_are_told_with_the_fix(build, bed, authority, site_keys, change, part):
    settings = {"listen": ["127.0.0.1:0"], **kl.options(authority.issue("ks1", "keysvc")), "keys": [site_keys["folder"]],
                "callers": callers()}
    good = run(build, bed.folder, settings, "-t")
    assert good.returncode == 0 and "good, 4 keys" in good.stdout, good.stderr
    got = run(build, bed.folder, {k: v for k, v in {**settings, **change}.items() if v is not None}, "-t")
    assert got.returncode == 1 and part in got.stderr, got.stderr


def test_what_is_wide_is_warned_about(build, bed, authority, site_keys):
    settings = {"listen": ["127.0.0.1:0"], **kl.options(authority.issue("ks1", "keysvc")), "keys": [site_keys["folder"]],
                "callers": [{"name": "a", "keys": ["*"], "groups": ["*"], "allow": ["tls-sign", "digest-sign", "epoch-keys"],
                             "unsafe_raw_rsa": ["rsa.key"]},
                            {"name": "b", "keys": ["nothing.key"], "groups": ["g"], "networks": ["127.0.0.1"]}]}
    got = run(build, bed.folder, settings, "-t")
    assert got.returncode == 0
    for part in ("every key", "every group", "anywhere", "tls-sign and digest-sign", "raw RSA", '"b": its keys fit none'):
        assert part in got.stderr, got.stderr


def test_exit_statuses(build, bed, service, authority, site_keys):
    assert run(build, bed.folder, "", "--nonsense").returncode == 2
    assert run(build, bed.folder, "", "word").returncode == 2
    assert run(build, bed.folder, "keys = \"x\"").returncode == 1
    settings = {"listen": [f"127.0.0.1:{service.port}"], **kl.options(authority.issue("ks1", "keysvc")),
                "keys": [site_keys["folder"]], "callers": callers()}
    got = run(build, bed.folder, settings)
    assert got.returncode == 3 and f"127.0.0.1:{service.port}" in got.stderr, got.stderr
