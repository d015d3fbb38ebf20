"""Signals, reload, drain, and that nothing is lost or left behind."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from bed import backend, client, http1, proc, wait


def test_stop_by_each_signal(bed, ctx):
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        gw = bed.gateway(bed.settings(bed.backend()), name=sign.name)
        assert client.get(gw.port, ctx())[0].status == 200
        gw.stop(sign=sign)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gw.port), 2)
        assert os.listdir(f"{bed.folder}/run") == [], "the runtime folder is not empty"


def test_a_request_under_way_is_finished_before_the_end(bed, ctx):
    go = threading.Event()

    def script(connection):
        if connection.request():
            go.wait(20)
            connection.send(backend.answer(b"late"))
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request())
        wait.until(lambda: bed.running[0].seen, 5, "the request at the back-end")
        gw.process.send_signal(signal.SIGTERM)

        def refused():
            try:
                client.get(gw.port, ctx())
                return False
            except OSError:
                return True
        wait.until(refused, 5, "no new connection is taken")
        go.set()
        got = c.reader.answer()
        assert got.body == b"late" and got.get("Connection") == "close" and c.ended()
    assert gw.process.wait(10) == 0


def test_a_second_signal_stops_now(bed, ctx):
    def script(connection):
        connection.request()
        connection.recv(1)
    gw = bed.gateway(bed.settings(bed.backend(script=script)))
    with client.Client(gw.port, ctx()) as c:
        c.send(http1.request())
        wait.until(lambda: bed.running[0].seen, 5, "the request at the back-end")
        gw.process.send_signal(signal.SIGTERM)
        wait.until(lambda: gw.draining() or not gw.workers(), 5, "draining")
        assert gw.process.poll() is None, "did not wait for the request"
        gw.process.send_signal(signal.SIGTERM)
        assert gw.process.wait(5) == 0


@contextlib.contextmanager
def all_served(gw, ctx, least):
    """Clients that come and go, each with a full handshake, while the body runs: at least so many, and all get 200."""
    stop, failures, count = threading.Event(), [], [0]

    def load():
        while not stop.is_set():
            try:
                with client.Client(gw.port, ctx()) as c:
                    got = c.get()
                    if got is None or got.status != 200:
                        failures.append(got)
            except (OSError, AssertionError) as error:
                failures.append(error)
            count[0] += 1
    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        stop.set()
        for t in threads:
            t.join(20)
    assert not failures, f"{len(failures)} of {count[0]}: {failures[:5]}"
    assert count[0] > least


def test_reload_takes_new_settings_and_loses_no_request(bed, ctx):
    one, two = bed.backend(reply=backend.answer(b"one")), bed.backend(reply=backend.answer(b"two"))
    gw = bed.gateway(bed.settings(one))
    before = gw.workers()
    with all_served(gw, ctx, 50):
        for n in range(4):
            gw.reload(bed.settings(two if n % 2 == 0 else one))
        gw.reload(bed.settings(two))
    assert client.get(gw.port, ctx())[0].body == b"two"
    assert not set(before) & set(gw.workers())


def test_open_connections_outlive_a_reload_and_are_told_to_close(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/").get("Connection") is None
        gw.reload()
        got = c.get("/")
        assert got.status == 200 and got.get("Connection") == "close" and c.ended()
    wait.until(lambda: not gw.draining(), 10, "the old workers are gone")


def test_a_bad_configuration_on_reload_changes_nothing_and_says_why(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    workers = gw.workers()
    good = gw.settings
    for bad, says in (({**good, "wokers": 3}, "wokers"), ({**good, "sites": []}, "site"),
                      ({**good, "private_keys": ["/nowhere.key"]}, "/nowhere.key")):
        before = len(gw.output())
        gw.write(bad)
        os.kill(gw.pid, signal.SIGHUP)
        told = wait.until(lambda: says in gw.output()[before:] and gw.output()[before:], 10, "a message")
        assert f"{gw.config_file}:" in told, told
        assert client.get(gw.port, ctx())[0].status == 200
        assert gw.workers() == workers
    gw.write(good)
    gw.reload(good)
    assert client.get(gw.port, ctx())[0].status == 200


def test_reload_takes_a_renewed_certificate_and_key(bed, ctx, pki):
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(kinds=("ec",))]))
    with client.Client(gw.port, ctx()) as c:
        first = c.certificate()
    fresh = pki.issue(pki.ca, "localhost", kind="ec", names=("localhost",))
    settings = bed.settings(bed.running[0], sites=[bed.site(kinds=("ec",), certificates=[fresh.chain_file])])
    keys = gw.key_process()
    gw.reload(settings)
    with client.Client(gw.port, ctx()) as c:
        assert c.certificate() == fresh.der != first
    assert gw.key_process() == keys, "the key process reloads its keys in place"


def test_a_reload_after_a_refused_one_has_its_keys(bed, ctx, pki):
    """A key file that is half written is refused; once it is whole, it is taken, and so is what came with it."""
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(kinds=("ec",))]))
    fresh = pki.issue(pki.ca, "localhost", kind="ec", names=("localhost",))
    key = f"{bed.folder}/fresh.key"
    with open(fresh.key_file, encoding="ascii") as f:
        text = f.read()
    settings = bed.settings(bed.running[0], sites=[bed.site(kinds=("ec",), certificates=[fresh.chain_file])], private_keys=[key])
    with open(key, "w", encoding="ascii") as f:
        f.write(text[:len(text) // 2] + "-----END PRIVATE KEY-----\n")
    gw.write(settings)
    os.kill(gw.pid, signal.SIGHUP)
    wait.until(lambda: "the configuration is refused" in gw.output() or gw.counter("sslgw_reloads_refused_total") == 1, 10, "a refused reload")
    assert client.get(gw.port, ctx())[0].status == 200
    with open(key, "w", encoding="ascii") as f:
        f.write(text)
    gw.reload(settings)
    for _ in range(4):
        with client.Client(gw.port, ctx()) as c:
            assert c.certificate() == fresh.der and c.get().status == 200


def renewable(bed, pki):
    """A certificate and its key in files that renew() writes anew in their places: (renew, chain, key)."""
    chain, key = f"{bed.folder}/site.crt", f"{bed.folder}/site.key"
    pki.keys[chain] = key

    def renew():
        leaf = pki.issue(pki.ca, "localhost", kind="ec", names=("localhost",))
        for source, to in ((leaf.key_file, key), (leaf.chain_file, chain)):
            with open(source, "rb") as f, open(f"{to}.new", "wb") as out:
                out.write(f.read())
            os.chmod(f"{to}.new", 0o644)
            os.rename(f"{to}.new", to)
        return leaf
    return renew, chain, key


def test_a_renewed_key_fails_no_handshake(bed, ctx, pki):
    """The file of the key is written anew in its place; workers that are not replaced yet present the former certificate."""
    renew, chain, key = renewable(bed, pki)
    leaf = renew()
    settings = bed.settings(bed.backend(), sites=[bed.site(kinds=("ec",), certificates=[chain])], private_keys=[key], workers=4)
    gw = bed.gateway(settings)
    with all_served(gw, ctx, 50):
        for _ in range(3):
            leaf = renew()
            gw.reload()
    with client.Client(gw.port, ctx()) as c:
        assert c.certificate() == leaf.der


def test_a_reload_that_is_given_up_fails_no_handshake(bed, ctx, pki):
    """The file of the key holds another one already; the worker that is to take the new certificate is killed while it starts."""
    renew, chain, key = renewable(bed, pki)
    renew()
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(kinds=("ec",), certificates=[chain])], private_keys=[key]))
    end = time.monotonic() + 60

    def count(what):
        return gw.counter(f"sslgw_reloads{what}_total")

    def over():
        return count("") > done or count("_refused") > 0
    while count("_refused") == 0:
        assert time.monotonic() < end, "no reload was given up"
        known, done, killed = set(proc.children(gw.pid)), count(""), False
        renew()
        os.kill(gw.pid, signal.SIGHUP)
        while not over() and time.monotonic() < end:
            for pid in set(proc.children(gw.pid)) - known if not killed else ():
                if "worker" in proc.title(pid):
                    os.kill(pid, signal.SIGKILL)
                    killed = True
    for _ in range(10):
        with client.Client(gw.port, ctx()) as c:
            assert c.get().status == 200
    former = gw.key_process()
    os.kill(former, signal.SIGKILL)  # what is on disk now fits no certificate of a worker that was not replaced
    wait.until(lambda: "do not belong together" in gw.output(), 20, "it is said")
    gw.reload()
    for _ in range(10):
        with client.Client(gw.port, ctx()) as c:
            assert c.get().status == 200


def test_a_key_process_that_starts_again_serves_what_can_be_read(bed, ctx, pki):
    """One site's file was damaged meanwhile: the others go on, and it does once the file is whole again."""
    one, other = (pki.issue(pki.ca, name, kind="ec", names=(name,)) for name in ("localhost", "a.test"))
    key = f"{bed.folder}/other.key"
    with open(other.key_file, "rb") as f:
        text = f.read()
    with open(key, "wb") as f:
        f.write(text)
    gw = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(certificates=[one.chain_file]), bed.site("a.test", certificates=[other.chain_file])],
                                  private_keys=[one.key_file, key]))
    assert client.get(gw.port, ctx(), sni="a.test")[0].status == 200
    with open(key, "wb") as f:
        f.write(text[:60])
    former = gw.key_process()
    os.kill(former, signal.SIGKILL)
    wait.until(lambda: gw.key_process() not in (former, None), 10, "another key process")

    def served(name):
        return client.get(gw.port, ctx(), sni=name, host=name)[0].status == 200
    wait.until(lambda: served("localhost"), 10, "the site whose key is there is served")
    with open(key, "wb") as f:
        f.write(text)
    wait.until(lambda: served("a.test"), 30, "and the other, when its key is there again")


def test_a_server_by_a_name_that_is_new_has_its_address_with_the_first_worker(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=4))
    with all_served(gw, ctx, 10):
        gw.reload(bed.settings(f"localhost:{back.address.rpartition(':')[2]}", workers=4))


def test_a_storm_of_reloads_is_coalesced(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    most = 0
    for _ in range(40):
        os.kill(gw.pid, signal.SIGHUP)
        most = max(most, len(gw.workers()) + len(gw.draining()))
        assert client.get(gw.port, ctx())[0].status == 200
    wait.until(lambda: len(gw.workers()) == 2 and not gw.draining(), 30, "two workers and none draining")
    assert most <= 8, f"{most} workers at a time"


def test_logs_are_reopened(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    client.get(gw.port, ctx(), "/first")
    wait.until(lambda: any("/first" in x for x in gw.access()), 5, "the first line")
    os.rename(gw.access_file, gw.access_file + ".1")
    os.kill(gw.pid, signal.SIGUSR1)
    wait.until(lambda: os.path.exists(gw.access_file), 5, "the file is made anew")
    if os.getuid() == 0:  # nobody else may look
        wait.until(lambda: all(gw.access_file in proc.descriptors(p).values() for p in gw.workers()), 5, "each worker has it")
    client.get(gw.port, ctx(), "/second")
    wait.until(lambda: any("/second" in x for x in gw.access()), 5, "the second line")
    with open(gw.access_file + ".1", encoding="utf-8") as f:
        assert "/second" not in f.read()


def test_a_log_that_cannot_be_written_blocks_nobody(bed, ctx):
    """A pipe that nobody reads: lines are dropped, requests are served."""
    path = f"{bed.folder}/pipe"
    os.mkfifo(path, 0o666)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    gw = bed.gateway(bed.settings(bed.backend(), access_log={"file": path}))
    with client.Client(gw.port, ctx()) as c:
        for n in range(3000):
            assert c.get(f"/{n}" + "x" * 200).status == 200
    os.close(reader)


def test_systemd_is_told(bed):
    path = f"{bed.folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        os.chmod(path, 0o777)
        s.settimeout(15)
        gw = bed.gateway(bed.settings(bed.backend()), env={"NOTIFY_SOCKET": path})
        told = []

        def heard(word):
            def look():
                s.setblocking(False)
                try:
                    told.append(s.recv(4096).decode())
                except BlockingIOError:
                    pass
                return any(word in t for t in told)
            return wait.until(look, 10, f"{word} (heard {told})")
        heard("READY=1")
        told.clear()
        gw.reload()
        heard("RELOADING=1")
        heard("READY=1")
        gw.process.send_signal(signal.SIGTERM)
        heard("STOPPING=1")


def test_daemon_form_with_a_pid_file(bed, ctx):
    port = wait.free_port()
    pid_file = f"{bed.folder}/sslgw.pid"
    g = bed.gateway(bed.settings(bed.backend(), listeners=[{"address": f"127.0.0.1:{port}"}], pid_file=pid_file), start=False)
    g.write()
    got = subprocess.run([f"{bed.build}/sslgw", "-d", "-c", g.config_file], timeout=20, check=False)
    assert got.returncode == 0
    with open(pid_file, encoding="ascii") as f:
        pid = int(f.read())
    try:
        assert wait.until(lambda: client.get(port, ctx())[0].status == 200, 5, "an answer")
        again = subprocess.run([f"{bed.build}/sslgw", "-d", "-c", g.config_file], timeout=20, check=False, capture_output=True)
        assert again.returncode == 3
    finally:
        os.kill(pid, signal.SIGTERM)
        wait.until(lambda: not proc.alive(pid), 15, "its end")
    assert not os.path.exists(pid_file)


def test_two_gateways_on_one_machine_do_not_disturb_each_other(bed, ctx):
    back = bed.backend()
    one = bed.gateway(bed.settings(back), name="one")
    two = bed.gateway({**bed.settings(back), "runtime_dir": f"{bed.folder}/run2", "state_dir": f"{bed.folder}/state2"}, start=False, name="two")
    for folder, mode in (("run2", 0o711), ("state2", 0o700)):
        os.mkdir(f"{bed.folder}/{folder}", mode)
    two.start()
    two.stop()
    assert client.get(one.port, ctx())[0].status == 200


@pytest.mark.root
@pytest.mark.plain
def test_processes_do_not_grow_with_connections_that_are_gone(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), workers=1))
    c13, c12 = ctx(version="1.3"), ctx(version="1.2", tickets=False)

    def round_of(n):
        for _ in range(n):
            client.get(gw.port, c13)
            client.get(gw.port, c12)
    round_of(150)
    before = {t: proc.rss_kib(p[0]) for t, p in gw.roles().items()}
    fds = {t: len(proc.descriptors(p[0])) for t, p in gw.roles().items()}
    round_of(300)
    after = {t: proc.rss_kib(p[0]) for t, p in gw.roles().items()}
    for title, kib in after.items():
        # the cache process stores a session for each id handshake: 300 of about 200 bytes
        assert kib - before[title] < 512, f"{title}: {before[title]} to {kib} KiB"
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 10, "no connection is left")
    for title, p in gw.roles().items():
        assert len(proc.descriptors(p[0])) <= fds[title] + 2, title
