"""Many connections at once: what an idle one costs while others work, and what becomes of those that do not fit."""
import collections
import socket
import threading

import pytest

from bed import backend, client, http1, proc, wait
from bed.idlers import Idlers

IDLE_KIB = 24  # a worker's memory for each idle connection, at most


@pytest.mark.plain
@pytest.mark.parametrize("idle,active", [pytest.param(1000, 40, id="1,000 and 40"),
                                         pytest.param(10000, 200, id="10,000 and 200", marks=pytest.mark.long)])
def test_idle_connections_cost_little_and_the_active_ones_notice_nothing(bed, pki, idle, active):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, workers=2, timeouts={"idle": "600s"}))
    workers = gw.workers()

    def memory():
        return sum(proc.rss_kib(pid) for pid in workers)
    with Idlers(gw.port, pki, active, active=True) as busy:
        assert busy.there == active
        wait.until(lambda: busy.say()[0] > active, 20, "they ask", every=0.5)
        before = memory()
        with Idlers(gw.port, pki, idle) as them:
            assert them.there == idle
            wait.until(lambda: gw.counter("sslgw_connections_open") == idle + active, 10, "all are there")
            each = (memory() - before) / idle
            served, errors = busy.say()
            assert served > active and not errors, errors[:5]
            again, errors = them.say()
            assert again == idle and not errors, errors[:5]
            print(f"{idle} idle connections beside {active} active ones: {each:.1f} KiB each in the workers; "
                  f"the active ones made {served} requests meanwhile")
            assert each < IDLE_KIB, f"{each:.1f} KiB for each idle connection"
        served, errors = busy.say()
        assert not errors, errors[:5]
        wait.until(lambda: gw.counter("sslgw_connections_open") == active, 20, "the idle ones have gone")
    assert gw.workers() == workers


# ---- 256 descriptors a process, and 400 clients

@pytest.fixture
def small(bed):
    hold = threading.Event()

    def script(connection):
        while (seen := connection.request()) is not None:
            if seen.target == "/held":
                hold.wait(30)
            connection.send(backend.answer())
    gw = bed.gateway(bed.settings(bed.backend(script=script), workers=1, timeouts={"idle": "60s"}), start=False)
    gw.write()
    gw.argv = ["prlimit", "--nofile=256:256", f"{bed.build}/sslgw", "-c", gw.config_file]
    gw.start()
    gw.hold, gw.before = hold, (gw.workers(), gw.key_process(), gw.cache_process())
    yield gw
    hold.set()


def serves_as_before(gw, ctx):
    """Nobody was lost, nothing is left, and new ones are served: with full handshakes too."""
    wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 20, "no connection is left")
    for _ in range(20):
        assert client.get(gw.port, ctx())[0].status == 200
    assert (gw.workers(), gw.key_process(), gw.cache_process()) == gw.before
    assert gw.counter("sslgw_requests_open") == 0


def test_clients_that_keep_their_connections_make_room_for_the_next(small, ctx):
    held = []
    try:
        for n in range(400):
            held.append(client.Client(small.port, ctx()))
            assert held[-1].get(f"/{n}").status == 200, n
        assert 50 < small.counter("sslgw_connections_open") < 256
        assert held[-1].get("/").status == 200 and held[0].ended()  # the one that was idle for longest
    finally:
        for c in held:
            c.close()
    serves_as_before(small, ctx)


def test_clients_that_say_nothing_wait_outside(small, ctx):
    held = []
    try:
        for _ in range(400):
            held.append(s := socket.socket())
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", small.port))
        wait.until(lambda: small.counter("sslgw_connections_open") > 50, 5, "they come")
        wait.holds(lambda: small.counter("sslgw_connections_open") < 256 and proc.alive(small.before[0][0]), 0.5, "no more than fit")
    finally:
        for s in held:
            s.close()
    serves_as_before(small, ctx)


def test_requests_that_wait_for_a_server_do_not_end_the_process(small, ctx):
    outcomes, lock = collections.Counter(), threading.Lock()

    def one():
        try:
            with client.Client(small.port, ctx(), timeout=20) as c:
                got = c.get("/held")
                how = got.status if got else "closed"
        except (OSError, EOFError):
            how = "refused"
        with lock:
            outcomes[how] += 1
    threads = [threading.Thread(target=one, daemon=True) for _ in range(400)]
    for t in threads:
        t.start()
    wait.until(lambda: small.counter("sslgw_requests_open") > 50, 20, "many wait")
    wait.holds(lambda: small.counter("sslgw_connections_open") < 256, 1, "no more than fit")
    small.hold.set()
    for t in threads:
        t.join(40)
    assert sum(outcomes.values()) == 400 and outcomes[200] > 50, outcomes
    assert set(outcomes) <= {200, 502, 503, "refused", "closed"}, outcomes
    print(f"400 clients where 256 descriptors are: {dict(outcomes)}")
    serves_as_before(small, ctx)
