"""One of two key servers, or of two caches, is killed, stopped, started again or talks rubbish: nobody notices. All
key servers gone: full handshakes fail at once, resumptions go on, and all is well again without a restart."""
import signal
import ssl
import subprocess
import sys
import time
from statistics import median

import pytest

from bed import client, cluster, proc, strangers, wait
from bed.load import Load
from bed.stalls import Stalls

SETTLED = 2.0  # seconds after which all is as before the fault
FAULTS = ("kill", "stop", "restart", "rubbish", "silence", "slow")


@pytest.fixture(scope="module")
def farm(shared):
    backend = shared.backend()
    sites = [shared.site("localhost"), shared.site("stateful.localhost", resumption="stateful")]
    return cluster.Cluster(shared, backend.address, gateways=2, sites=sites, ways=True, balancer=False).start()


def spoil(part, way, fault):
    if fault == "kill":
        part.kill()
    elif fault == "stop":
        part.signal(signal.SIGSTOP)
    elif fault == "restart":
        part.restart()
    elif fault == "rubbish":
        way.rubbish = True
    elif fault == "silence":
        way.silent = True
    else:
        way.delay = 0.5


def mend(part, way):
    way.rubbish = way.silent = False
    way.delay = 0.0
    if part.alive():
        part.signal(signal.SIGCONT)
    else:
        part.start()


@pytest.fixture
def whole(farm):
    """All parts run and are known to, before and after a test; and no trouble is taken for a thief's."""
    yield farm
    for part, way in zip((*farm.keys, *farm.caches), (*farm.key_ways, *farm.cache_ways)):
        mend(part, way)
    assert not farm.total(farm.keys, "sslgw_keysvc_unclaimed_signatures_total")


def is_well(farm, ctx):
    """A full handshake and a resumption elsewhere succeed at each gateway."""
    def well():
        for gateway in farm.gateways:
            for options in ({"version": "1.3"}, {"version": "1.2", "tickets": False}):
                got, _, session = client.get(gateway.port, ctx(**options), sni="localhost")
                assert got.status == 200
                other = next(g for g in farm.gateways if g is not gateway)
                assert client.get(other.port, ctx(**options), sni="localhost", session=session)[1][2]
        return True
    wait.until(well, 10, "all is well", every=0.1)


def during(load, seconds):
    """(begin, end) of so long a time under the load."""
    begin = time.monotonic()
    wait.holds(load.runs, seconds, "the load runs", every=0.1)
    return begin, time.monotonic()


RATES = [pytest.param(30, 2, id="30 each a second"),
         pytest.param(150, 10, id="150 each a second", marks=[pytest.mark.long, pytest.mark.plain])]


def slow(load, start):
    """Those that took over 100 ms: how many, and when they began, in words."""
    at = sorted(h.when - start for h in load.all if h.took > 0.1)
    lost = sorted(h.when - start for h in load.all if h.came_back and h.good and not h.resumed)
    return (f"{len(at)} over 100 ms{f', from {at[0]:.2f} to {at[-1]:.2f} s' if at else ''}, "
            f"{len(lost)} did not resume{f', from {lost[0]:.2f} to {lost[-1]:.2f} s' if lost else ''}")


def one_fails(whole, build, pki, part, way, fault, rate, seconds):
    """(the load, after so much of it with such a fault; what came of it in words; is it as good as without the fault?;
    did the machine stand still?)."""
    gateways = [g.port for g in whole.gateways]
    with Stalls() as stalls, Load(build, gateways, pki.ca.chain_file, rate, 2 * seconds + SETTLED + 1.5) as load:
        before = during(load, seconds)
        begin = time.monotonic()
        spoil(part, way, fault)
        during(load, SETTLED - (time.monotonic() - begin))
        after = during(load, seconds)
        mend(part, way)
        during(load, 0.5)
    share, normal, then = load.resumed_share(), load.p99(*before, stalls), load.p99(*after, stalls)
    told = (f"{len(load.all)} handshakes, resumed {share:.3f}, p99 {normal * 1e3:.1f} ms before, {then * 1e3:.1f} ms after; "
            f"the fault came {begin - before[0]:.2f} s after the start; {slow(load, before[0])}; "
            f"stalls: {[(round(a - before[0], 2), round(b - before[0], 2)) for a, b in sorted(stalls.all)]}")
    print(told)
    return load, told, share >= 0.99 and then <= max(1.5 * normal, normal + 0.05), stalls.during(before[0], after[1])


@pytest.mark.parametrize("rate, seconds", RATES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("service", ["keys", "caches"])
def test_one_of_two_servers_fails_and_nobody_notices(whole, build, pki, ctx, service, fault, rate, seconds):
    """So many full and as many resumed handshakes, each with a request: none fails, those who come back resume, and
    soon it takes no longer than before. Where the machine stood still meanwhile, it is looked at again."""
    part, way = (whole.keys[0], whole.key_ways[0]) if service == "keys" else (whole.caches[0], whole.cache_ways[0])
    for _ in range(3):
        is_well(whole, ctx)
        load, told, good, stalled = one_fails(whole, build, pki, part, way, fault, rate, seconds)
        assert not load.failed, f"{len(load.failed)} of {len(load.all)} failed: {load.errors}"
        assert max(h.took for h in load.all) < 3
        if good or not stalled:
            break
    assert good, told


def full_handshake(port, ctx):
    """(True, seconds), or what failed it and after how long."""
    began = time.monotonic()
    try:
        got, _, _ = client.get(port, ctx, sni="localhost")
        assert got.status == 200
        return True, time.monotonic() - began
    except (ssl.SSLError, OSError) as e:
        return e, time.monotonic() - began


def test_without_key_servers_full_handshakes_fail_at_once_and_resumptions_go_on(whole, ctx):
    is_well(whole, ctx)
    sessions = [client.get(g.port, ctx(version="1.3"), sni="localhost")[2] for g in whole.gateways]
    connections = [client.Client(g.port, ctx(version="1.3")) for g in whole.gateways]
    for part in whole.keys:
        part.kill()

    def all_fail_fast():
        for g in whole.gateways:
            result, took = full_handshake(g.port, ctx(version="1.3"))
            if result is True or took > 0.1:
                return False
        return True
    wait.until(all_fail_fast, 15, "the breakers are open", every=0.05)
    for g in whole.gateways:
        each = []
        for _ in range(11):
            result, took = full_handshake(g.port, ctx(version="1.3"))
            assert isinstance(result, ssl.SSLError) and "ALERT" in str(result).upper(), repr(result)
            each.append(took)
        assert median(each) < 0.1, each
    for g, session in zip(whole.gateways, reversed(sessions)):
        got, facts, _ = client.get(g.port, ctx(version="1.3"), sni="localhost", session=session)
        assert got.status == 200 and facts[2]
    for c in connections:
        assert all(c.get("/").status == 200 for _ in range(20))
        c.close()
    for part in whole.keys:
        part.start()
    wait.until(lambda: all(full_handshake(g.port, ctx(version="1.3"))[0] is True for g in whole.gateways), 10,
               "full handshakes again", every=0.05)


def test_without_caches_handshakes_are_full(whole, ctx):
    is_well(whole, ctx)
    _, _, session = client.get(whole.gateways[0].port, ctx(version="1.3"), sni="stateful.localhost")
    for part in whole.caches:
        part.kill()
    for g in whole.gateways:
        each = []
        for _ in range(5):
            began = time.monotonic()
            got, facts, _ = client.get(g.port, ctx(version="1.3"), sni="stateful.localhost", session=session)
            assert got.status == 200 and not facts[2]
            each.append(time.monotonic() - began)
        assert median(each) < 0.5, each
    for part in whole.caches:
        part.start()

    def resumes():
        _, _, kept = client.get(whole.gateways[0].port, ctx(version="1.3"), sni="stateful.localhost")
        return client.get(whole.gateways[1].port, ctx(version="1.3"), sni="stateful.localhost", session=kept)[1][2]
    wait.until(resumes, 5, "sessions are kept again", every=0.1)


@pytest.mark.plain
def test_a_crowd_of_strangers_at_all_services_disturbs_no_handshake(whole, build, pki, ctx):
    is_well(whole, ctx)
    services = (*whole.keys, *whole.caches)
    before = {p.name: proc.rss_kib(p.pid) for p in services}
    with Load(build, [g.port for g in whole.gateways], pki.ca.chain_file, 30, 6) as load:
        during(load, 1)
        ports = [p.settings["listen"][0].rpartition(":")[2] for p in services]
        with subprocess.Popen([sys.executable, strangers.__file__, "500", *ports], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout.readline() == "there\n"
            during(load, 1)
            for part in services:
                assert proc.rss_kib(part.pid) < before[part.name] + 32 * 1024, f"{part.name} has grown"
            crowd.stdin.close()
        during(load, 1)
    assert not load.failed, f"{len(load.failed)} of {len(load.all)} failed: {load.errors}"
    is_well(whole, ctx)  # and all resume


def test_a_reload_takes_other_servers_and_a_renewed_identity(whole, build, pki, ctx):
    is_well(whole, ctx)
    gateway = whole.gateways[0]
    former = dict(gateway.settings)
    with Load(build, [g.port for g in whole.gateways], pki.ca.chain_file, 30, 6) as load:
        whole.ids.run("issue", whole.ids.folder, "gw1", "--role", "gateway", "--force")
        gateway.write({**former, "key_service": {**former["key_service"], "servers": former["key_service"]["servers"][1:]}})
        gateway.process.send_signal(signal.SIGHUP)
        wait.until(lambda: "reload done" in gateway.output(), 20, "the reload")
        whole.keys[0].kill()
        during(load, 1.5)
    assert not load.failed, f"{len(load.failed)} of {len(load.all)} failed: {load.errors}"
    mend(whole.keys[0], whole.key_ways[0])
    gateway.write(former)
    gateway.process.send_signal(signal.SIGHUP)
    wait.until(lambda: gateway.output().count("reload done") == 2, 20, "the reload back")
    is_well(whole, ctx)
