"""daemon.py: a service as an operator runs it: one program, one config file, one process."""
import os
import re
import signal
import subprocess

from . import conftext, gateway, wait


class Daemon:
    """start() returns when the ready line is there; stop() asserts a clean end."""

    def __init__(self, build, folder, program, name, settings):
        self.program, self.name, self.settings = f"{build}/{program}", name, settings
        self.folder = str(folder)
        self.config_file = f"{self.folder}/{name}.conf"
        self.log_file = f"{self.folder}/{name}.log"
        self.process, self.log_at = None, 0

    def write(self, settings=None):
        if settings is not None:
            self.settings = settings
        with open(self.config_file, "w", encoding="utf-8") as f:
            f.write(self.settings if isinstance(self.settings, str) else conftext.text(self.settings))

    def check(self, *more):
        self.write()
        return subprocess.run([self.program, "-t", "-c", self.config_file, *more], capture_output=True, text=True,
                              timeout=20, env=gateway.environment())

    def start(self, seconds=30):
        self.write()
        with open(self.log_file, "ab") as log:
            self.log_at = log.tell()
            self.process = subprocess.Popen([self.program, "-c", self.config_file], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True, cwd=self.folder,
                                            env=gateway.environment())
        wait.until(lambda: self.process.poll() is not None or "ready:" in self.output(), seconds,
                   f"{self.name}: the ready line or an end")
        assert self.process.poll() is None, f"{self.name} ended with {self.process.poll()}:\n{self.output()}"
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def output(self):
        with open(self.log_file, "rb") as f:
            f.seek(self.log_at)
            return f.read().decode(errors="replace")

    def addresses(self):
        """Those of the ready line."""
        return re.search(r"ready: *(.*)", self.output()).group(1).split()

    def signal(self, sign):
        os.kill(self.pid, sign)

    def kill(self):
        if self.alive():
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        if self.process is not None:
            self.process.wait(5)

    def restart(self):
        self.kill()
        return self.start()

    def stop(self, seconds=15):
        if not self.alive():
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name}: still there {seconds} s after SIGTERM") from None
        assert self.process.returncode == 0, f"{self.name}: exit status {self.process.returncode}"
        for line in self.output().split("\n"):
            assert not gateway.TROUBLE.search(line) or gateway.HARMLESS.search(line), f"{self.name}: {line}"

    def logs(self):
        return {self.name: self.output()[-8000:]}
