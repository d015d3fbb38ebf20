"""gateway.py: a gateway as an operator runs it: a config file, a process family, signals, an exit."""
import os
import re
import signal
import struct
import subprocess

from . import conftext, proc, wait

TROUBLE = re.compile(
    r"AddressSanitizer|LeakSanitizer: detected|runtime error:|ThreadSanitizer|Assertion .* failed|stack smashing|"
    r"buffer overflow detected|double free|corrupted|malloc\(\)")
# LeakSanitizer cannot attach to a process that is not dumpable; such a process says so and goes on.
HARMLESS = re.compile(r"LeakSanitizer has encountered a fatal error|LeakSanitizer does not work under ptrace|HINT:")


def environment(more=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "NOTIFY_", "SSLGW_FAULT", "JOURNAL"))}
    env["ASAN_OPTIONS"] = "exitcode=99:detect_leaks=1:malloc_context_size=30:" + env.get("ASAN_OPTIONS", "")
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
    env.update(more or {})
    return env


class Gateway:
    """start() returns when the ready line is there; stop() asserts a clean end and that nobody is left."""

    def __init__(self, build, folder, settings, env=None, name="gateway", argv=None):
        self.build, self.folder, self.settings, self.name = build, str(folder), settings, name
        self.env, self.argv = env, argv
        self.config_file = f"{self.folder}/{name}.conf"
        self.log_file = f"{self.folder}/{name}.log"
        self.access_file = f"{self.folder}/{name}.access"
        self.process, self.urls, self.log_at = None, [], 0
        self.known = set()
        self.killed = False

    # ---- its configuration
    def write(self, settings=None):
        if settings is not None:
            self.settings = settings
        with open(self.config_file, "w", encoding="utf-8") as f:
            f.write(self.settings if isinstance(self.settings, str) else conftext.text(self.settings))

    def check(self, *more):
        return subprocess.run([f"{self.build}/sslgw", "-t", "-c", self.config_file, *more],
                              capture_output=True, text=True, timeout=20, env=environment(self.env))

    # ---- its life
    def start(self, seconds=30):
        if self.argv is None:
            self.write()
        self.killed = False
        self.log = open(self.log_file, "ab")
        self.log_at = self.log.tell()
        self.process = subprocess.Popen(
            self.argv or [f"{self.build}/sslgw", "-c", self.config_file], stdout=self.log, stderr=self.log,
            stdin=subprocess.DEVNULL, start_new_session=True, env=environment(self.env), cwd=self.folder)

        def settled():
            return self.process.poll() is not None or re.search(r"ready: \S+://.*\n", self.output())
        wait.until(settled, seconds, "the ready line or an end", every=0.02)
        assert self.process.poll() is None, f"ended with {self.process.poll()} before it was ready:\n{self.output()}"
        line = re.search(r"ready: (.*)", self.output()).group(1)
        self.urls = re.findall(r"(\w+)://(\S+?):(\d+)", line)
        assert self.urls, f"no address in the ready line: {line}"
        self.remember()
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.urls[0][2])

    def port_of(self, number):
        return int(self.urls[number][2])

    def output(self):
        with open(self.log_file, "rb") as f:
            f.seek(self.log_at)
            return f.read().decode(errors="replace")

    def access(self):
        try:
            with open(self.access_file, encoding="utf-8", errors="replace") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def logs(self):
        return {self.name: self.output()[-12000:], f"{self.name} access": "\n".join(self.access()[-20:])}

    # ---- its processes
    def remember(self):
        self.known |= set(proc.in_session(self.pid))
        return self.known

    def roles(self):
        """{title: [pid...]} of the master's children."""
        out = {}
        for pid in proc.children(self.pid):
            out.setdefault(proc.title(pid), []).append(pid)
        self.remember()
        return out

    def _of(self, prefix):
        return sorted(p for t, pids in self.roles().items() if t.startswith(prefix) and "draining" not in t for p in pids)

    def workers(self):
        return self._of("sslgw: worker")

    def draining(self):
        return sorted(p for t, pids in self.roles().items() if "draining" in t for p in pids)

    def worker(self, slot):
        return wait.until(lambda: self._of(f"sslgw: worker {slot}"), 10, f"worker {slot}")[0]

    def monitor(self):
        return self._of("sslgw: monitor")

    def key_process(self):
        pids = wait.until(lambda: self._of("sslgw-keysvc"), 10, "a key process")
        assert len(pids) == 1, pids
        return pids[0]

    def cache_process(self):
        pids = wait.until(lambda: self._of("sslgw-cachesvc"), 10, "a cache process")
        assert len(pids) == 1, pids
        return pids[0]

    def owner(self, client_port):
        """The worker that holds the connection from this local port of ours."""
        inodes = set()
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if int(fields[2].split(":")[1], 16) == client_port and int(fields[1].split(":")[1], 16) in \
                        [int(u[2]) for u in self.urls]:
                    inodes.add(f"socket:[{fields[9]}]")
        for pid in proc.children(self.pid):
            if inodes & set(proc.descriptors(pid).values()):
                return pid
        raise AssertionError(f"nobody holds the connection from port {client_port}")

    # ---- the counters that its processes share: a memfd of fixed layout (src/base/counters.h)
    def counters(self):
        fd = next(n for n, name in proc.descriptors(self.pid).items() if "memfd:counters" in name)
        rows, cells, name_max = 1024, 136, 64
        with open(f"/proc/{self.pid}/fd/{fd}", "rb") as f:
            table = f.read()
        out, start = {}, rows * (16 + name_max)
        start = (start + 63) // 64 * 64
        for row in range(rows):
            at = row * (16 + name_max)
            if not struct.unpack_from("Q", table, at)[0]:
                continue
            name = table[at + 16:at + 16 + name_max].split(b"\0")[0].decode(errors="replace")
            out[name] = sum(struct.unpack_from("Q", table, start + (c * rows + row) * 8)[0] for c in range(cells)) % (1 << 64)
        return out

    def counter(self, name):
        return self.counters().get(name, 0)

    # ---- what an operator does to it
    def reload(self, settings=None, seconds=20):
        """SIGHUP, and wait until a whole new set of workers serves."""
        before = set(self.workers())
        if settings is not None:
            self.write(settings)
        os.kill(self.pid, signal.SIGHUP)

        def replaced():
            now = set(self.workers())
            return len(now) == len(before) and not now & before
        wait.until(replaced, seconds, "new workers after SIGHUP")
        self.remember()

    def stop(self, seconds=15, status=0, sign=signal.SIGTERM):
        if self.process is None or self.killed:
            return
        if self.process.poll() is None:
            self.remember()
            self.process.send_signal(sign)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"still there {seconds} s after a signal") from None
        self.log.close()
        left = [p for p in proc.in_session(self.pid) if proc.alive(p)]
        try:
            wait.until(lambda: not [p for p in proc.in_session(self.pid) if proc.alive(p)], 5, "no process is left")
        except AssertionError:
            titles = {p: proc.title(p) for p in left}
            self.kill()
            raise AssertionError(f"processes outlive the master: {titles}") from None
        trouble = self.trouble()
        self.killed = True
        assert self.process.returncode == status, f"exit status {self.process.returncode}, not {status}"
        assert not trouble, "trouble in the log:\n" + trouble

    def trouble(self):
        lines = self.output().split("\n")
        for at, line in enumerate(lines):
            if TROUBLE.search(line) and not HARMLESS.search(line):
                return "\n".join(lines[at:at + 60])
        return ""

    def kill(self):
        for pid in proc.in_session(self.pid):
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self.killed = True
