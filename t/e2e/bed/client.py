"""client.py: TLS clients: Python's own (sessions, certificates, versions), openssl s_client, gnutls-cli."""
import fcntl
import socket
import ssl
import struct
import subprocess

from . import http1

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = {"1.2": V12, "1.3": V13}


def context(pki, *, version=None, low=None, high=None, ciphers=None, group=None, alpn=("http/1.1",), identity=None,
            tickets=True, verify=True, ca=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        ctx.load_verify_locations((ca or pki.ca).chain_file)
    else:
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.minimum_version = VERSIONS[version or low or "1.2"]
    ctx.maximum_version = VERSIONS[version or high or "1.3"]
    if ciphers:
        ctx.set_ciphers(ciphers)
    if group:
        ctx.set_ecdh_curve(group)
    if alpn:
        ctx.set_alpn_protocols(list(alpn))
    if identity:
        ctx.load_cert_chain(identity.chain_file, identity.key_file)
    if not tickets:
        ctx.options |= ssl.OP_NO_TICKET
    return ctx


class Client:
    """One connection; verified unless its context says otherwise."""

    def __init__(self, port, ctx, sni="localhost", session=None, timeout=15, rcvbuf=None, handshake=True, source=None, before=b""):
        self.sni = sni
        self.tcp = socket.socket()
        if rcvbuf:
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.tcp.settimeout(timeout)
        if source:
            self.tcp.bind((source, 0))
        self.tcp.connect(("127.0.0.1", port))
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.tcp.getsockname()[1]
        if before:
            self.tcp.sendall(before)
        try:
            self.tls = ctx.wrap_socket(self.tcp, server_hostname=sni, session=session, do_handshake_on_connect=handshake)
        except BaseException:
            self.tcp.close()
            raise
        self.tcp = self.tls  # wrapping took the descriptor
        self.reader = http1.Reader(self.recv)

    def recv(self, n):
        try:
            return self.tls.recv(n)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def send(self, data):
        self.tls.sendall(data)

    def get(self, target="/", method="GET", fields=(), body=None, host=None, sink=None, interim=None, **more):
        self.send(http1.request(method, target, host or self.sni or "localhost", fields, body, **more))
        return self.reader.answer(method, sink, interim)

    @property
    def version(self):
        return self.tls.version()

    @property
    def cipher(self):
        return self.tls.cipher()[0]

    @property
    def resumed(self):
        return self.tls.session_reused

    @property
    def session(self):
        """With TLS 1.3 only true after something was read: tickets come after the handshake."""
        return self.tls.session

    def certificate(self):
        return self.tls.getpeercert(binary_form=True)

    def ended(self):
        """The other side has closed: nothing more comes."""
        return self.recv(1) == b""

    def close(self):
        try:
            self.tls.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def unsent(sock):
    """Bytes that the other side's kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock, 0x5411, b"\0" * 4))[0]  # SIOCOUTQ


def get(port, ctx, target="/", sni="localhost", session=None, **more):
    """One request on one connection: (answer, connection, now closed, session)."""
    with Client(port, ctx, sni, session) as c:
        got = c.get(target, **more)
        session = c.session
        c.facts = (c.version, c.cipher, c.resumed)
        try:
            c.tls.unwrap()
        except (OSError, ValueError):
            pass
        return got, c.facts, session


def resumes(visit, tries=3):
    """visit() makes a session, comes back with it and says whether it was resumed. Where sessions lie in a cache, that has
    100 ms to answer, which a busy machine may take: then it is made again."""
    return any(visit() for _ in range(tries))


def s_client(port, *options, text=b"", sni="localhost", timeout=20, env=None):
    """openssl s_client: (exit status, everything that it printed)."""
    got = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *(["-servername", sni] if sni else ["-noservername"]),
         "-ign_eof" if text else "-no_ign_eof", *options],
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False, env=env)
    return got.returncode, got.stdout.decode(errors="replace")


def curl(url, *options, timeout=30):
    got = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(timeout), *options, url],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout + 5, check=False)
    return got.returncode, got.stdout, got.stderr.decode(errors="replace")
