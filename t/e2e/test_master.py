"""The master and its family as an operator treats them: signals in every phase, processes that are ended,
stopped and removed from under it, reloads in the wrong moment, limits that are too low."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from bed import backend, client, http1, proc, wait


def stopped(pid):
    return proc.stat(pid)[0] == "T"


def zombies(gw):
    return [p for p in proc.everyone() if (s := proc.stat(p)) and s[1] == gw.pid and s[0] == "Z"]


def ask(port, context, timeout):
    with client.Client(port, context, timeout=timeout) as c:
        return c.get("/")


def serves(gw, ctx, n=4):
    """Connections to all workers' sockets: the kernel spreads them by their ports."""
    return all(client.get(gw.port, ctx())[0].status == 200 for _ in range(n))


def settled(gw, workers=2):
    return len(gw.workers()) == workers and not gw.draining()


def calm(gw, workers):
    """As many workers, and for a second the same ones: no reload is left."""
    last, since = None, time.monotonic()

    def still():
        nonlocal last, since
        now = gw.workers() if settled(gw, workers) else None
        if now is None or now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 1.5
    wait.until(still, 40, f"{workers} workers that stay", every=0.05)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Load:
    """Requests on new connections, one after the other, by some threads; what failed is kept."""

    def __init__(self, gw, ctx, threads=4):
        self.failures, self.count, self.over = [], 0, threading.Event()
        self.port, self.ctx = gw.port, ctx
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def run(self):
        while not self.over.is_set():
            try:
                got = ask(self.port, self.ctx(), 10)
                if got is None or got.status != 200:
                    self.failures.append(got)
            except OSError as error:
                self.failures.append(error)
            self.count += 1

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        for t in self.threads:
            t.join(20)
        if kind is None:
            assert not self.failures, f"{len(self.failures)} of {self.count}: {self.failures[:5]}"
            assert self.count > 10


# ---- signals

@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2], ids=lambda s: s.name)
def test_a_signal_at_any_moment_of_the_start_ends_nobody(bed, ctx, sign):
    gw = bed.gateway(bed.settings(bed.backend()), start=False, name=sign.name)
    over = threading.Event()

    def storm():
        while not over.is_set():
            if gw.process is not None and proc.title(gw.process.pid).startswith("sslgw: master"):
                gw.process.send_signal(sign)
            over.wait(0.002)
    t = threading.Thread(target=storm, daemon=True)
    t.start()
    try:
        gw.start()
    finally:
        over.set()
        t.join(5)
    assert serves(gw, ctx)
    wait.until(lambda: settled(gw), 15, "two workers")


def test_a_reload_asked_for_during_the_start_is_not_forgotten(bed, ctx):
    one, two = bed.backend(reply=backend.answer(b"one")), bed.backend(reply=backend.answer(b"two"))
    gw = bed.gateway(bed.settings(one), start=False)
    over = threading.Event()

    def meanwhile():
        wait.until(lambda: gw.process is not None and any("keysvc" in proc.title(p) for p in proc.children(gw.pid)), 10,
                   "the key process: the configuration has been read", every=0.001)
        gw.write(bed.settings(two))
        gw.process.send_signal(signal.SIGHUP)
        over.set()
    t = threading.Thread(target=meanwhile, daemon=True)
    t.start()
    gw.start()
    assert over.wait(10)
    wait.until(lambda: client.get(gw.port, ctx())[0].body == b"two", 10, "the second configuration")


@pytest.mark.parametrize("own, seen", [(None, "glibc.malloc.tcache_count=100"), ("glibc.malloc.perturb=1",) * 2])
def test_malloc_keeps_more_at_hand_unless_it_was_told_something_else(bed, own, seen):
    gw = bed.gateway(bed.settings(bed.backend()), start=False)
    gw.env = {"GLIBC_TUNABLES": own} if own else {}
    gw.start()
    assert gw.workers()
    for pid in gw.workers():
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert [v for v in f.read().split(b"\0") if v.startswith(b"GLIBC_")] == [b"GLIBC_TUNABLES=" + seen.encode()]


def test_usr2_does_not_end_it(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    os.kill(gw.pid, signal.SIGUSR2)
    wait.until(lambda: "USR2" in gw.output(), 5, "a message")
    assert serves(gw, ctx)


def test_a_worker_told_to_end_finishes_its_request_and_is_replaced_at_once(bed, ctx):
    go = threading.Event()

    def script(connection):
        while (got := connection.request()):
            if "/slow" in str(got):
                go.wait(20)
            connection.send(backend.answer(b"late"))
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1))
    old = gw.worker(0)
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request("GET", "/slow"))
        wait.until(lambda: bed.running[0].seen, 5, "the request at the back-end")
        os.kill(old, signal.SIGTERM)
        wait.until(lambda: gw.workers() and gw.workers() != [old], 3, "another worker")
        assert ask(gw.port, ctx(), 3).status == 200
        assert proc.alive(old)
        go.set()
        assert c.reader.answer().body == b"late"
    wait.until(lambda: not proc.alive(old), 5, "its end")


# ---- processes that end or stop

def most_descriptors(pid, seconds):
    """The most that it had in so much time: while a process is replaced there is one less for a moment."""
    seen = []
    wait.holds(lambda: seen.append(len(proc.descriptors(pid))) is None, seconds, "looking")
    return max(seen)


def test_each_process_killed_in_turn_is_replaced(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    assert serves(gw, ctx)
    fds = None
    for _ in range(3):
        for title in ("sslgw: worker 0", "sslgw: worker 1", "sslgw: monitor", "sslgw-keysvc", "sslgw-cachesvc"):
            old = wait.until(lambda: gw._of(title), 5, title)[0]
            os.kill(old, signal.SIGKILL)
            wait.until(lambda: gw._of(title) and gw._of(title) != [old], 5, f"another {title}")
            wait.until(lambda: serves(gw, ctx), 5, f"service after the end of {title}")
        assert zombies(gw) == []
        fds = fds or most_descriptors(gw.pid, 1)
        wait.until(lambda: len(proc.descriptors(gw.pid)) <= fds, 5, f"no more than {fds} descriptors")


def test_a_stopped_worker_is_replaced(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    old = gw.worker(1)
    os.kill(old, signal.SIGSTOP)
    began = time.monotonic()
    wait.until(lambda: not proc.alive(old), 9, "its end")
    assert time.monotonic() - began > 3
    wait.until(lambda: settled(gw) and serves(gw, ctx), 5, "service")
    assert "has not beaten" in gw.output()


def test_after_a_stop_of_the_whole_family_nobody_counts_as_late(bed, ctx):
    """Ctrl-Z and fg, or a machine that was paused."""
    gw = bed.gateway(bed.settings(bed.backend()))
    family = [gw.pid] + proc.children(gw.pid)
    before = gw.workers() + gw.monitor()
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 11
    wait.until(lambda: time.monotonic() > end, 15, "eleven seconds", every=0.2)
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    wait.until(lambda: serves(gw, ctx), 5, "service")
    wait.holds(lambda: gw.workers() + gw.monitor() == before, 2, "the same processes")


def test_a_stopped_monitor_is_replaced(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    old = gw.monitor()[0]
    os.kill(old, signal.SIGSTOP)
    wait.until(lambda: not proc.alive(old), 15, "its end", every=0.1)
    wait.until(lambda: gw.monitor(), 5, "another")
    assert serves(gw, ctx)


def test_when_the_master_is_killed_everybody_ends(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/").status == 200
        os.kill(gw.pid, signal.SIGKILL)
        gw.process.wait(5)
        wait.until(lambda: not [p for p in proc.in_session(gw.pid) if proc.alive(p)], 5, "the end of all")
    assert not gw.trouble()
    gw.killed = True


def test_a_reload_outlives_the_key_process_that_reads_for_it(bed, ctx):
    """Its end and the end of its channel come in one turn of the master's, or the one before the other."""
    gw = bed.gateway(bed.settings(bed.backend()))
    for paused in (False, True, False, True):
        done, old = gw.output().count("reload done"), gw.key_process()
        os.kill(old, signal.SIGSTOP)
        os.kill(gw.pid, signal.SIGHUP)
        wait.holds(lambda: gw.output().count("reload done") == done, 0.3, "a reload that waits for its keys")
        if paused:
            os.kill(gw.pid, signal.SIGSTOP)
        os.kill(old, signal.SIGKILL)
        if paused:
            wait.until(lambda: not proc.alive(old), 5, "its end")
            os.kill(gw.pid, signal.SIGCONT)
        wait.until(lambda: gw.output().count("reload done") > done and gw.key_process() != old and serves(gw, ctx), 15, "the reload")


def test_it_ends_in_time_with_a_stopped_process_of_each_kind(bed):
    gw = bed.gateway(bed.settings(bed.backend()))
    for pid in (gw.key_process(), gw.cache_process(), gw.monitor()[0]):
        os.kill(pid, signal.SIGSTOP)
    gw.stop(seconds=10)


def test_sockets_of_the_services_that_were_removed_are_made_again(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    assert serves(gw, ctx)
    folder = next(e.path for e in os.scandir(f"{bed.folder}/run") if e.is_dir())  # admin.sock lies beside it
    shutil.rmtree(folder)
    wait.until(lambda: sorted(os.listdir(folder)) == ["cache.sock", "key.sock"], 5, "the sockets")
    assert "somebody removed" in gw.output()
    wait.until(lambda: "embedded" in str(gw.roles()) and serves(gw, ctx), 5, "service")
    gw.reload()
    assert serves(gw, ctx)


def test_a_service_program_that_is_gone_is_named_and_used_when_it_is_back(bed, ctx):
    folder = f"{bed.folder}/programs"
    os.mkdir(folder, 0o755)
    for name in ("sslgw-keysvc", "sslgw-cachesvc"):
        shutil.copy(f"{bed.build}/{name}", folder)
    gw = bed.gateway(bed.settings(bed.backend(), services_dir=folder))
    _, _, session = client.get(gw.port, ctx())
    os.rename(f"{folder}/sslgw-keysvc", f"{folder}/away")
    os.kill(gw.key_process(), signal.SIGKILL)
    wait.until(lambda: "sslgw-keysvc is gone" in gw.output(), 5, "a message")
    assert client.get(gw.port, ctx(), session=session)[0].status == 200, "resumption goes on"
    os.rename(f"{folder}/away", f"{folder}/sslgw-keysvc")
    wait.until(lambda: serves(gw, ctx), 12, "service", every=0.2)


# ---- reload

def test_reloads_of_all_kinds_leave_no_descriptor_and_no_process(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    good = gw.settings

    def descriptors():
        wait.until(lambda: len(gw.roles()) == 5 and "sslgw" not in gw.roles(), 5, "five titles, no process that has none yet")
        return {t: len(proc.descriptors(p[0])) for t, p in gw.roles().items()} | {"master": len(proc.descriptors(gw.pid))}
    gw.reload()
    wait.until(lambda: settled(gw), 10, "the old ones are gone")
    before = wait.until(descriptors, 5, "a look at all")
    for bad in ({**good, "sites": []}, {**good, "private_keys": ["/nowhere.key"]}):
        told = len(gw.output())
        gw.write(bad)
        os.kill(gw.pid, signal.SIGHUP)
        wait.until(lambda: "reload refused" in gw.output()[told:], 10, "a refusal")
    for _ in range(4):
        gw.reload(good)
        wait.until(lambda: settled(gw), 10, "the old ones are gone")

    def nothing_is_left():
        more = {t: n for t, n in descriptors().items() if n > before.get(t, 0)}
        assert not more, more
        return True
    wait.until(nothing_is_left, 10, "nothing is left")  # what was only just used closes in a moment
    assert zombies(gw) == []


def test_workers_become_more_and_fewer_and_no_connection_is_lost(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=1))
    with Load(gw, ctx):
        for n in (4, 1, 3, 2):
            gw.write(bed.settings(back, workers=n))
            os.kill(gw.pid, signal.SIGHUP)
            wait.until(lambda: len(gw.workers()) == n, 20, f"{n} workers")
            wait.until(lambda: gw.output().count("reload done") and settled(gw, n), 20, f"{n} workers alone")
            for slot in range(n):
                gw.worker(slot)
    wait.holds(lambda: len(gw.workers()) == 2, 1, "two workers")


def test_a_refused_reload_with_more_workers_resets_nobody(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=1))
    with Load(gw, ctx):
        for _ in range(3):
            told = gw.output().count("reload refused")
            gw.write({**bed.settings(back, workers=8), "private_keys": ["/nowhere.key", *gw.settings["private_keys"]]})
            os.kill(gw.pid, signal.SIGHUP)
            wait.until(lambda: gw.output().count("reload refused") > told, 10, "a refusal")
            end = time.monotonic() + 1.1
            wait.until(lambda: time.monotonic() > end, 3, "the time between reloads")


def test_a_worker_killed_while_workers_become_fewer_does_not_come_back(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=4))
    surplus = [gw.worker(slot) for slot in (3, 2)]
    gw.write(bed.settings(back, workers=2))
    os.kill(gw.pid, signal.SIGHUP)
    for pid in surplus:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait.until(lambda: "reload done" in gw.output() and settled(gw), 15, "two workers")
    wait.holds(lambda: len(gw.workers()) == 2, 2, "two workers")
    assert serves(gw, ctx, 16)


def test_workers_killed_in_the_middle_of_reloads_are_replaced(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=3))
    for n in range(6):
        os.kill(gw.pid, signal.SIGHUP)
        now = wait.until(gw.workers, 5, "a worker")
        with contextlib.suppress(ProcessLookupError):
            os.kill(now[n % len(now)], signal.SIGKILL)
        wait.until(lambda: any(w for w in gw.workers()), 5, "a worker")
    calm(gw, 3)
    assert serves(gw, ctx, 16) and zombies(gw) == []


def test_refused_reloads_do_not_cut_what_drains(bed, ctx):
    """Two generations drain at most, and one that never served is none."""
    go = threading.Event()

    def script(connection):
        while connection.request():
            go.wait(30)
            connection.send(backend.answer(b"late"))
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1))
    good = gw.settings
    with client.Client(gw.port, ctx(), timeout=30) as c:
        c.send(http1.request())
        wait.until(lambda: bed.running[0].seen, 5, "the request at the back-end")
        gw.reload(good)
        for _ in range(2):
            # good for the master, not for a worker: it cannot open its log
            told = gw.output().count("reload refused")
            gw.write({**good, "access_log": {"file": f"{bed.folder}/nowhere/at/all"}})
            wait.until(lambda: (os.kill(gw.pid, signal.SIGHUP), gw.output().count("reload ") > told)[1], 10, "an end of it", every=1.2)
        gw.reload(good)
        go.set()
        assert c.reader.answer().body == b"late"


def test_listeners_are_added_moved_and_taken_away(bed, ctx):
    back = bed.backend()
    one, two = wait.free_port(), wait.free_port()
    path = f"{bed.folder}/front.sock"

    def settings(*addresses):
        return bed.settings(back, listeners=[{"address": a} for a in addresses])
    gw = bed.gateway(settings(f"127.0.0.1:{one}"))
    gw.reload(settings(f"127.0.0.1:{one}", f"127.0.0.1:{two}", f"unix:{path}"))
    assert client.get(one, ctx())[0].status == client.get(two, ctx())[0].status == 200
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
    gw.reload(settings(f"127.0.0.1:{two}"))
    wait.until(lambda: settled(gw), 10, "the old ones are gone")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one), 2)
    assert not os.path.exists(path), "the socket's file stayed"
    gw.reload(settings(f"*:{two}"))
    assert client.get(two, ctx())[0].status == 200
    with socket.socket(socket.AF_INET6) as s:
        s.connect(("::1", two))
    gw.reload(settings(f"127.0.0.1:{two}"))
    wait.until(lambda: settled(gw), 10, "the old ones are gone")
    with socket.socket(socket.AF_INET6) as s, pytest.raises(ConnectionRefusedError):
        s.connect(("::1", two))


def test_a_port_in_use_on_reload_changes_nothing(bed, ctx):
    back = bed.backend()
    path = f"{bed.folder}/front.sock"
    gw = bed.gateway(bed.settings(back))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        gw.write(bed.settings(back, listeners=[{"address": "127.0.0.1:0"}, {"address": f"unix:{path}"},
                                               {"address": f"127.0.0.1:{taken}"}]))
        os.kill(gw.pid, signal.SIGHUP)
        wait.until(lambda: re.search(r"gateway.conf:\d+: .*cannot listen", gw.output()), 5, "a message")
        wait.until(lambda: "reload refused" in gw.output(), 5, "a refusal")
    assert serves(gw, ctx) and not os.path.exists(path)


def test_a_reload_waits_for_a_key_process_that_is_being_started_again(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    for _ in range(5):
        before = gw.workers()
        os.kill(gw.key_process(), signal.SIGKILL)
        os.kill(gw.pid, signal.SIGHUP)
        wait.until(lambda: not set(gw.workers()) & set(before) and settled(gw), 15, "new workers")
    assert "reload refused" not in gw.output()
    assert serves(gw, ctx)


def test_a_neighbour_of_a_former_plan_serves_a_socket_in_its_new_mode(bed, ctx):
    """The order of the listeners changes while a slot's worker is down."""
    back = bed.backend()
    tls, plain = wait.free_port(), wait.free_port()
    listeners = [{"address": f"127.0.0.1:{tls}"}, {"address": f"127.0.0.1:{plain}", "mode": "redirect"}]
    gw = bed.gateway(bed.settings(back, listeners=listeners, workers=2))
    for n in range(4):
        listeners.reverse()
        gw.write(bed.settings(back, listeners=listeners, workers=1 if n % 2 == 0 else 2))
        os.kill(gw.pid, signal.SIGHUP)
        wait.until(lambda: gw.output().count("reload done") == n + 1, 15, "the reload")
        for _ in range(12):
            assert client.get(tls, ctx())[0].status == 200
            with socket.create_connection(("127.0.0.1", plain), 5) as s:
                s.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert re.match(rb"HTTP/1.1 30[18] ", s.recv(4096))


def test_the_quick_form_survives_the_end_of_its_key_process(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(None, name="quick", start=False, env={"XDG_RUNTIME_DIR": bed.folder}, argv=[
        f"{bed.build}/sslgw", "--listen", "127.0.0.1:0", "--backend", back.address])
    gw.start()
    loose = ctx(verify=False)
    assert client.get(gw.port, loose)[0].status == 200
    with client.Client(gw.port, loose) as c:
        first = c.certificate()
    workers = len(gw.workers())
    os.kill(gw.key_process(), signal.SIGKILL)

    def renewed():
        with client.Client(gw.port, loose) as c:
            return c.get("/").status == 200 and c.certificate() != first
    wait.until(renewed, 15, "service with another certificate", every=0.1)
    calm(gw, workers)
    assert all(client.get(gw.port, loose)[0].status == 200 for _ in range(8))


# ---- limits, rights, side effects

def test_checking_has_no_side_effects(bed):
    port = wait.free_port()
    g = bed.gateway(bed.settings(bed.backend(), listeners=[{"address": f"127.0.0.1:{port}"}], pid_file=f"{bed.folder}/pid"), start=False)
    g.write()

    def tree():
        return sorted((p, os.lstat(p).st_mtime_ns, os.lstat(p).st_uid) for r, d, f in os.walk(bed.folder) for p in
                      [os.path.join(r, x) for x in d + f] if not p.endswith("/run"))
    os.rmdir(f"{bed.folder}/state")
    before = tree()
    with socket.socket() as s:  # a port in use is no matter of the check
        s.bind(("127.0.0.1", port))
        s.listen()
        for word in ("-t", "-T"):
            assert subprocess.run([f"{bed.build}/sslgw", word, "-c", g.config_file], timeout=20, check=False,
                                  capture_output=True).returncode == 0
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.accept()
    assert tree() == before
    assert os.listdir(f"{bed.folder}/run") == []


@pytest.mark.plain
@pytest.mark.parametrize("limit, status", [(40, 3), (63, 3), (64, None), (256, None)])
def test_few_descriptors(bed, ctx, limit, status):
    g = bed.gateway(bed.settings(bed.backend()), start=False, name=f"few{limit}")
    g.write()
    g.argv = ["prlimit", f"--nofile={limit}:{limit}", f"{bed.build}/sslgw", "-c", g.config_file]
    if status is not None:
        got = subprocess.run(g.argv, timeout=20, check=False, capture_output=True, text=True)
        assert got.returncode == status and "descriptors" in got.stderr, got.stderr
        return
    g.start()
    assert f"{limit} descriptors" in g.output()
    assert serves(g, ctx, 8)
    g.reload()
    assert serves(g, ctx, 8)


@pytest.mark.root
def test_without_root(bed, ctx):
    folder = f"{bed.folder}/nobody"
    os.mkdir(folder, 0o755)
    keys = []
    settings = bed.settings(bed.backend())
    for n, key in enumerate(settings["private_keys"]):
        shutil.copy(key, f"{folder}/{n}.key")
        os.chmod(f"{folder}/{n}.key", 0o444)
        keys.append(f"{folder}/{n}.key")
    for name in ("run", "state"):
        os.mkdir(f"{folder}/{name}", 0o700)
        os.chown(f"{folder}/{name}", 65534, 65534)
    settings.update({"private_keys": keys, "runtime_dir": f"{folder}/run", "state_dir": f"{folder}/state", "access_log": None})
    del settings["access_log"]
    gw = bed.gateway(settings, start=False)
    gw.write()
    gw.argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{bed.build}/sslgw", "-c", gw.config_file]
    gw.start()
    assert serves(gw, ctx)
    assert all(proc.status(p, "Uid").split() == ["65534"] * 4 for p in [gw.pid] + proc.children(gw.pid))
    os.kill(gw.key_process(), signal.SIGKILL)
    wait.until(lambda: serves(gw, ctx), 5, "service")
    gw.reload()
    assert serves(gw, ctx)


@pytest.mark.root
def test_a_state_folder_with_other_files_keeps_its_owner(bed, ctx):
    folder = f"{bed.folder}/shared"
    os.mkdir(folder, 0o755)
    with open(f"{folder}/other", "w", encoding="ascii") as f:
        f.write("not ours\n")
    gw = bed.gateway(bed.settings(bed.backend(), state_dir=folder))
    assert os.stat(folder).st_uid == 0 and os.listdir(folder) == ["other"]
    assert "state_dir" in gw.output()
    assert serves(gw, ctx)


@pytest.mark.root
@pytest.mark.plain
def test_nobody_works_when_there_is_nothing_to_do(bed, ctx):
    def script(connection):
        connection.request()
        connection.recv(1)
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    with client.Client(gw.port, ctx()) as idle, client.Client(gw.port, ctx()) as waiting, client.Client(gw.port, ctx()) as half, \
            socket.create_connection(("127.0.0.1", gw.port)) as silent:
        waiting.send(http1.request())
        half.send(http1.request())
        wait.until(lambda: len(bed.running[0].seen) >= 2, 5, "the requests at the back-end")
        half.tcp.shutdown(socket.SHUT_WR)
        silent.send(b"\x16\x03\x01")
        family = [gw.pid] + proc.children(gw.pid)
        before = {p: cpu_ticks(p) for p in family}
        end = time.monotonic() + 3
        wait.until(lambda: time.monotonic() > end, 5, "three seconds", every=0.1)
        used = {proc.title(p): cpu_ticks(p) - before[p] for p in family}
        assert max(used.values()) <= 6, f"in 3 s (ticks of 10 ms): {used}"
        assert idle is not None
    wait.until(lambda: gw.counter("sslgw_handshakes_open") == 0, 15, "no handshake is left")
