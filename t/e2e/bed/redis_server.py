"""redis_server.py: Debian's Redis itself. Its tools' package holds the server under another name (the program looks at the
name that it was started by), so nothing has to be installed that would start a service."""
import os
import shutil
import subprocess

from . import wait

PROGRAM = "/usr/bin/redis-check-rdb"
SERVER = "redis-server"


def there():
    return os.access(PROGRAM, os.X_OK) or shutil.which(SERVER) is not None


class Redis:
    """One server. password: AUTH is demanded; leaf: TLS only, with that certificate. Used as a cache, nothing on disk."""

    def __init__(self, bed, name, password=None, leaf=None):
        self.folder = f"{bed.folder}/{name}"
        os.mkdir(self.folder, 0o711)
        self.name, self.password, self.leaf = name, password, leaf
        self.ca = bed.pki.ca.chain_file
        self.log_file = f"{self.folder}/redis.log"
        self.program = f"{self.folder}/{SERVER}"
        os.symlink(shutil.which(SERVER) or PROGRAM, self.program)
        bed.running.append(self)
        self.port = wait.free_port()
        self.start()

    def start(self):
        at = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", self.leaf.chain_file, "--tls-key-file",
              self.leaf.key_file, "--tls-ca-cert-file", self.ca, "--tls-auth-clients", "no"] if self.leaf else \
            ["--port", str(self.port)]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, *at, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder,
                 *(["--requirepass", self.password] if self.password else [])],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        wait.until(lambda: self.process.poll() is not None or self.ask("PING") == "PONG", 10, f"{self.name} answers")
        assert self.process.poll() is None, self.logs()

    def ask(self, *words):
        """By redis-cli: what it prints, without its last line's end."""
        more = [*(["-a", self.password, "--no-auth-warning"] if self.password else []),
                *(["--tls", "--cacert", self.ca, "--sni", "localhost"] if self.leaf else [])]
        got = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *more, *words], capture_output=True,
                             text=True, timeout=10, check=False)
        return got.stdout.rstrip("\n")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)

    def logs(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return {self.name: f.read()[-3000:]}
