"""backend.py: back-ends under the test's control: one that records and answers by script, and Apache."""
import os
import pwd
import signal
import socket
import subprocess
import threading

from . import http1, wait

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = "/usr/lib/apache2/modules"


def answer(body=b"ok", status="200 OK", fields=()):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *[f"{n}: {v}" for n, v in fields]]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


class Seen:
    """A request as it arrived."""

    def __init__(self, first, fields, body, head, connection):
        self.first, self.fields, self.body, self.head, self.connection = first, fields, body, head, connection
        self.method, self.target, self.version = first.split(" ")

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else default

    def names(self):
        return [n.lower() for n, _ in self.fields]


class Connection:
    """One connection to the back-end, as its script sees it. `raw` is every byte that came."""

    def __init__(self, backend, sock, number):
        self.backend, self.sock, self.number, self.raw = backend, sock, number, bytearray()
        self.sent = 0
        self.reader = http1.Reader(self.recv)

    def recv(self, n):
        try:
            block = self.sock.recv(n)
        except OSError:
            return b""
        if len(self.raw) < 1 << 20:
            self.raw += block
        return block

    def send(self, data):
        view = memoryview(data)
        while view:
            n = self.sock.send(view[:262144])
            self.sent += n
            view = view[n:]

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def request(self, sink=None):
        got = self.reader.message(sink)
        if got is None:
            return None
        seen = Seen(*got, self)
        with self.backend.lock:
            self.backend.seen.append(seen)
        return seen


def by_answers(connection):
    """The usual script: each request gets backend.answer, bytes or a function of the request."""
    while (seen := connection.request()) is not None:
        reply = connection.backend.answer
        if callable(reply):
            reply = reply(seen)
        if reply is None:
            return
        connection.send(reply)
        if b"connection: close" in reply[:reply.find(b"\r\n\r\n")].lower():
            return


class Backend:
    """Listens on loopback; each connection runs SCRIPT(connection) in a thread of its own."""

    def __init__(self, script=by_answers, reply=None, port=0, rcvbuf=None):
        self.script, self.answer = script, reply if reply is not None else answer()
        self.lock, self.seen, self.connections = threading.Lock(), [], []
        self.problems = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.script(connection)
        except (OSError, EOFError):
            pass
        except Exception as error:  # shown by the test that owns the back-end
            self.problems.append(error)
        finally:
            connection.close()

    def last(self, seconds=5):
        return wait.until(lambda: self.seen, seconds, "a request at the back-end")[-1]

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    def logs(self):
        return {"back-end": "\n".join([*(f"problem: {p!r}" for p in self.problems),
                                       *(f"{s.connection.number}: {s.first}" for s in self.seen[-20:])])}


class FolderServer:
    """A real server in a process of its own, with files and logs in a folder. Each has a NAME, its LOGS (the access log is
    the last), and the signal that ENDS it."""

    NAME, LOGS, ENDS = "", (), signal.SIGTERM
    folder = process = log = None

    def said(self):
        """The lines of its access log."""
        with open(f"{self.folder}/{self.LOGS[-1]}", encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()

    def file(self, name, data):
        with open(f"{self.folder}/files/{name}", "wb") as f:
            f.write(data)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.ENDS)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)
        self.log.close()

    def logs(self):
        out = ""
        for name in self.LOGS:
            try:
                with open(f"{self.folder}/{name}", encoding="utf-8", errors="replace") as f:
                    out += f.read()[-3000:]
            except OSError:
                pass
        return {self.NAME: out}


class Apache(FolderServer):
    """Debian's Apache on loopback with t/apache/httpd.conf.in; its CGI prints the request. prefork: ten processes."""

    NAME, LOGS = "Apache", ("apache-start.log", "apache-error.log", "apache-access.log")

    def __init__(self, folder, prefork=False):
        self.folder, self.defines = str(folder), ["-DPREFORK"] if prefork else []
        os.makedirs(f"{self.folder}/files", exist_ok=True)
        source = os.path.join(HERE, "..", "..", "apache")
        with open(f"{source}/request.cgi", "rb") as f:
            script = f.read()
        with open(f"{self.folder}/request.cgi", "wb") as f:
            f.write(script)
        os.chmod(f"{self.folder}/request.cgi", 0o755)
        with open(f"{source}/httpd.conf.in", encoding="ascii") as f:
            self.template = f.read()
        for _ in range(20):
            if self.start():
                return
        raise AssertionError("Apache did not start: " + self.logs()["Apache"])

    def start(self):
        user = ""
        if os.getuid() == 0:
            user = "User www-data\nGroup www-data"
            os.chown(self.folder, pwd.getpwnam("www-data").pw_uid, -1)
        self.port = wait.free_port()
        self.address = f"127.0.0.1:{self.port}"
        text = self.template
        for mark, word in (("DIR", self.folder), ("PORT", str(self.port)), ("MODULES", MODULES), ("USER", user)):
            text = text.replace(f"@{mark}@", word)
        with open(f"{self.folder}/httpd.conf", "w", encoding="ascii") as f:
            f.write(text)
        self.log = open(f"{self.folder}/apache-start.log", "wb")
        self.process = subprocess.Popen(
            ["/usr/sbin/apache2", "-f", f"{self.folder}/httpd.conf", "-DFOREGROUND", *self.defines],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True)

        def settled():
            if self.process.poll() is not None:
                return True
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        wait.until(settled, 15, "Apache answers or ends")
        return self.process.poll() is None
