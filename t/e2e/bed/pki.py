"""pki.py: the certificates of one run: a server CA, leaves of both kinds for any names, a client CA
with an intermediate, client certificates that are good, expired and revoked, and CRLs."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def new_key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "rsa4096":
        return rsa.generate_private_key(public_exponent=65537, key_size=4096)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def key_pem(key, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def key_der(key, form):
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def write(path, data, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data)
    return path


class Identity:
    """A certificate with its key, the chain's files, and how to make more below it."""

    def __init__(self, cert, key, above, folder, stem):
        self.cert, self.key, self.above = cert, key, above
        self.chain_file = write(f"{folder}/{stem}.pem", pem(cert) + b"".join(pem(a.cert) for a in above))
        self.cert_file = write(f"{folder}/{stem}.leaf.pem", pem(cert))
        os.makedirs(f"{folder}/keys", mode=0o700, exist_ok=True)
        self.key_file = write(f"{folder}/keys/{stem}.key", key_pem(key), 0o600)

    @property
    def der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)


class Pki:
    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.serial = 0x1000
        self.leaves, self.keys = {}, {}
        self.ca = self.issue(None, "server CA", ca=True)
        self.client_ca = self.issue(None, "client CA", ca=True)
        self.other_ca = self.issue(None, "other CA", ca=True)
        self.client_sub = self.issue(self.client_ca, "client intermediate", ca=True)

    def issue(self, issuer, name, *, kind="ec", names=(), ca=False, client=False, start=-DAY, days=30, subject=None):
        key = new_key(kind)
        self.serial += 1
        subject = subject or x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sslgw test"),
            x509.NameAttribute(NameOID.COMMON_NAME, name)])
        first = now() + start
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.cert.subject if issuer else subject)
             .public_key(key.public_key()).serial_number(self.serial)
             .not_valid_before(first).not_valid_after(first + days * DAY)
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
             .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
             .add_extension(x509.KeyUsage(digital_signature=not ca, key_encipherment=not ca and kind == "rsa",
                                          key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                                          data_encipherment=False, key_agreement=False, encipher_only=False,
                                          decipher_only=False), critical=True))
        if issuer:
            b = b.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False)
        if names:
            san = [x509.IPAddress(ipaddress.ip_address(n)) if n.replace(".", "").isdigit() else x509.DNSName(n)
                   for n in names]
            b = b.add_extension(x509.SubjectAlternativeName(san), critical=False)
        if not ca:
            use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            b = b.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        cert = b.sign(issuer.key if issuer else key, hashes.SHA256())
        above = [] if issuer is None or not issuer.above and issuer.cert.issuer == issuer.cert.subject \
            else [issuer, *issuer.above]
        stem = f"{name.replace(' ', '-').replace('*', 'any')}-{kind}-{self.serial}"
        identity = Identity(cert, key, above, self.folder, stem)
        self.keys[identity.chain_file] = identity.key_file
        return identity

    def leaf(self, *names, kind="rsa", **more):
        """A server's leaf; the same for the same names within a run."""
        at = (names, kind, tuple(sorted(more.items())))
        if at not in self.leaves:
            self.leaves[at] = self.issue(self.ca, names[0], kind=kind, names=names, **more)
        return self.leaves[at]

    def client(self, name="alice", issuer=None, **more):
        return self.issue(issuer or self.client_sub, name, client=True, **more)

    def crl(self, issuer, revoked=(), stem=None, start=-DAY, days=30):
        first = now() + start
        b = x509.CertificateRevocationListBuilder().issuer_name(issuer.cert.subject) \
            .last_update(first).next_update(first + days * DAY)
        for identity in revoked:
            b = b.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(identity.cert.serial_number)
                .revocation_date(now() - datetime.timedelta(hours=1)).build())
        return b.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def crl_file(self, name, *revoked):
        """One file with the CRLs of the client CA and its intermediate."""
        data = self.crl(self.client_ca) + self.crl(self.client_sub, revoked)
        return write(f"{self.folder}/{name}.crl", data)
