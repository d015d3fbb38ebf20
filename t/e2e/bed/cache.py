"""cache.py: a cache service by itself, a client that speaks RESP byte by byte, and Apaches that share sessions."""
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess

from . import daemon, proc, wait

MODULES = "/usr/lib/apache2/modules"


class Cache(daemon.Daemon):
    """Started on a port of its own, without TLS and AUTH but where the settings say otherwise."""

    def __init__(self, bed, name="cache", identity=None, **settings):
        self.port = wait.free_port()
        super().__init__(bed.build, bed.folder, "sslgw-cachesvc", name,
                         {"listen": [f"127.0.0.1:{self.port}"], "max_memory": "16M", **(identity or {}), **settings})
        bed.running.append(self)

    def rss_kib(self):
        return proc.rss_kib(self.pid)

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def info(self, **how):
        with Resp(self.port, **how) as r:
            return r.info()


class Error(str):
    """An error reply."""


class Resp:
    """A connection. Replies: str (simple), Error, int, bytes, None, list."""

    def __init__(self, port=None, path=None, context=None, password=None, seconds=10, buffer=None):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(path or ("127.0.0.1", port))
        if context:
            self.socket = context.wrap_socket(self.socket)
        self.rest = b""
        if password:
            assert self.ask("AUTH", password) == "OK"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        while len(self.rest) < n:
            got = self.socket.recv(65536)
            if not got:
                raise EOFError(f"closed; {self.rest[:200]!r} was left")
            self.rest += got
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def line(self):
        out = b""
        while not out.endswith(b"\r\n"):
            out += self.read(1)
        return out[:-2]

    def reply(self):
        line = self.line()
        mark, text = line[:1], line[1:].decode()
        if mark == b"+":
            return text
        if mark == b"-":
            return Error(text)
        if mark == b":":
            return int(text)
        if mark == b"$":
            return None if text == "-1" else self.read(int(text) + 2)[:-2]
        if mark == b"*":
            return None if text == "-1" else [self.reply() for _ in range(int(text))]
        raise AssertionError(f"no reply: {line!r}")

    def ask(self, *words):
        self.send(command(*words))
        return self.reply()

    def info(self):
        return dict(x.split(":", 1) for x in self.ask("INFO").decode().split("\r\n") if ":" in x)

    def rest_until_end(self):
        """All that comes until it closes."""
        out, self.rest = self.rest, b""
        try:
            while got := self.socket.recv(65536):
                out += got
        except ConnectionResetError:
            pass
        return out

    def ended(self):
        """It has been closed, whatever came before."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True


def command(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def client_context(identity):
    """A client with that identity (the three options of cluster.Identities.issue)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(identity["ca_file"])
    context.load_cert_chain(identity["identity"], identity["identity_key"])
    return context


def tool_words(identity):
    """The same for redis-cli and redis-benchmark."""
    return ["--tls", "--cacert", identity["ca_file"], "--cert", identity["identity"], "--key", identity["identity_key"]]


class Apache:
    """Debian's Apache with mod_ssl, whose sessions lie in a cache; no tickets, so nowhere else."""

    def __init__(self, bed, cache_port, leaf, name):
        self.folder = f"{bed.folder}/{name}"
        os.makedirs(f"{self.folder}/files", mode=0o711)
        with open(f"{self.folder}/files/index.html", "w", encoding="ascii") as f:
            f.write("hello\n")
        user = ""
        if os.getuid() == 0:
            user = "User www-data\nGroup www-data\n"
            os.chown(self.folder, pwd.getpwnam("www-data").pw_uid, -1)
        self.port = wait.free_port()
        modules = "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n"
                          for m in ("mpm_event", "authz_core", "ssl", "socache_redis"))
        # The name and port go into what sessions are bound to: the same for all machines of a site.
        with open(f"{self.folder}/httpd.conf", "w", encoding="ascii") as f:
            f.write(f"""ServerRoot "{self.folder}"
PidFile "{self.folder}/apache.pid"
DefaultRuntimeDir "{self.folder}"
Mutex file:{self.folder} default
ServerName localhost:443
Listen 127.0.0.1:{self.port}
{user}{modules}StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
ErrorLog "{self.folder}/error.log"
DocumentRoot "{self.folder}/files"
<Directory "{self.folder}">
	Require all granted
</Directory>
SSLEngine on
SSLCertificateFile "{leaf.chain_file}"
SSLCertificateKeyFile "{leaf.key_file}"
SSLSessionTickets off
SSLSessionCache redis:127.0.0.1:{cache_port}
SSLSessionCacheTimeout 300
""")
        self.log = open(f"{self.folder}/start.log", "wb")
        self.process = subprocess.Popen(["/usr/sbin/apache2", "-f", f"{self.folder}/httpd.conf", "-DFOREGROUND"],
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        bed.running.append(self)

        def answers():
            assert self.process.poll() is None, f"Apache ended: {self.logs()}"
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        wait.until(answers, 15, "Apache answers")

    def get(self, context, session=None):
        """One request over a connection of its own: was its session resumed, and the session it leaves."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as s:
                s.sendall(b"GET /index.html HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = b""
                while got := s.recv(65536):
                    answer += got
                assert answer.endswith(b"hello\n"), answer
                return s.session_reused, s.session

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)
        self.log.close()

    def logs(self):
        out = ""
        for name in ("start.log", "error.log"):
            if os.path.exists(f"{self.folder}/{name}"):
                with open(f"{self.folder}/{name}", encoding="utf-8", errors="replace") as f:
                    out += f.read()[-3000:]
        return {os.path.basename(self.folder): out}


def requests_per_second(text):
    """{"GET": 12345.0} of redis-benchmark -q."""
    return {m[1]: float(m[2]) for m in re.finditer(r"(\w+): ([0-9.]+) requests per second", text)}
