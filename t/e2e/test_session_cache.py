"""What the gateways do with cache servers beyond get and set: a copy that was lost is written back; a session of a site
with resumption = "stateful_once" is resumed once in the whole cluster, whatever becomes of a cache server. Look-ups and
claims have 100 ms: on a busy machine a few go without an answer, and cost a resumption. Nothing is ever resumed twice."""
import concurrent.futures
import threading
import time

import pytest

from bed import cache, client, cluster, wait

ONCE = "once.localhost"
WAYS = {"1.2 id": {"version": "1.2", "tickets": False}, "1.3": {"version": "1.3"}}
ID = {"version": "1.2", "tickets": False}  # a session that may be resumed again and again


@pytest.fixture(scope="module")
def farm(shared):
    sites = [shared.site("localhost"), shared.site(ONCE, resumption="stateful_once")]
    return cluster.Cluster(shared, shared.backend().address, gateways=2, keys=1, sites=sites, ways=True,
                           balancer=False).start()


def holds_claims(farm, ctx):
    """Both cache servers do, for each gateway: of so many sessions some are claimed at the one, some at the other."""
    return all(all(come_back(farm, ctx, sessions(farm, ctx, 12, WAYS["1.3"], ONCE), WAYS["1.3"], n)) for n in range(2))


@pytest.fixture
def whole(farm, ctx):
    """All parts run, and each gateway uses them, before a test."""
    for part in farm.caches:
        if not part.alive():
            part.start()
    wait.until(lambda: holds_claims(farm, ctx), 15, "each gateway uses each cache server", every=0.1)
    return farm


def sessions(farm, ctx, n, options, sni="localhost"):
    return [client.get(farm.gateways[i % 2].port, ctx(**options), sni=sni)[2] for i in range(n)]


def resumed(farm, ctx, kept, options, gateway=0, sni="localhost"):
    return sum(client.get(farm.gateways[gateway].port, ctx(**options), sni=sni, session=s)[1][2] for s in kept)


def entries(farm, part):
    return farm.metrics(part)["sslgw_cachesvc_entries"]


def test_a_copy_that_was_lost_is_written_back_when_it_is_missed(whole, ctx):
    first, second = whole.caches
    there = [entries(whole, part) for part in whole.caches]
    missed, others = sessions(whole, ctx, 20, ID), sessions(whole, ctx, 20, ID)
    wait.until(lambda: all(entries(whole, part) >= n + 38 for part, n in zip(whole.caches, there)), 5, "each session is at both")
    first.restart()
    wait.until(lambda: holds_claims(whole, ctx), 15, "it is used", every=0.1)
    there = entries(whole, first)
    before = whole.total(whole.gateways, "sslgw_session_cache_repairs_total")
    assert resumed(whole, ctx, missed, ID) >= 17
    repaired = whole.total(whole.gateways, "sslgw_session_cache_repairs_total") - before
    assert 0 < repaired < 20, f"of 20 sessions some rank the lost server first, and some do not: {repaired}"
    wait.until(lambda: entries(whole, first) >= there + repaired, 5, "they lie there again")
    # Now these are all that it has: the rest is lost with the other server.
    second.kill()
    assert repaired - 2 <= resumed(whole, ctx, missed, ID, gateway=1) <= repaired
    # Counter-proof: what nobody looked up was not written back.
    assert resumed(whole, ctx, others, ID, gateway=1) == 0


# ---- used once

def claims(farm):
    """(granted, refused, failed) so far."""
    return [farm.total(farm.gateways, f"sslgw_session_claims_{kind}total") for kind in ("", "refused_", "failed_")]


def come_back(farm, ctx, kept, options, gateway):
    """Which of these sessions are resumed."""
    return [client.get(farm.gateways[gateway].port, ctx(**options), sni=ONCE, session=s)[1][2] for s in kept]


def times(rounds):
    """How often each session was resumed, of what come_back() said each time."""
    return [sum(one) for one in zip(*rounds)]


@pytest.mark.parametrize("way", WAYS)
def test_a_session_resumes_once_and_never_twice(whole, ctx, way):
    kept = sessions(whole, ctx, 20, WAYS[way], ONCE)
    before = claims(whole)
    got = [come_back(whole, ctx, kept, WAYS[way], n) for n in (1, 0, 1)]
    assert max(times(got)) == 1 and sum(got[0]) >= 17, got
    granted, refused, failed = (now - was for now, was in zip(claims(whole), before))
    assert granted == sum(times(got)) and failed <= 4 and 56 <= granted + refused + failed <= 60, (granted, refused, failed)


def test_each_resumption_brings_the_next_session(whole, ctx):
    _, _, session = client.get(whole.gateways[0].port, ctx(version="1.3"), sni=ONCE)
    missed = 0
    for n in range(20):
        _, facts, session = client.get(whole.gateways[n % 2].port, ctx(version="1.3"), sni=ONCE, session=session)
        missed += not facts[2]
    assert missed <= 2


@pytest.mark.parametrize("way", WAYS)
def test_of_those_who_come_with_it_at_the_same_time_one_resumes(whole, ctx, way):
    """Four at once, at two gateways."""
    racers, rounds = 4, 25
    kept = sessions(whole, ctx, rounds, WAYS[way], ONCE)
    gate = threading.Barrier(racers)

    def race(n):
        out = []
        for session in kept:
            gate.wait(20)
            out.append(client.get(whole.gateways[n % 2].port, ctx(**WAYS[way]), sni=ONCE, session=session)[1][2])
        return out
    with concurrent.futures.ThreadPoolExecutor(racers) as pool:
        won = [sum(one) for one in zip(*pool.map(race, range(racers)))]
    assert max(won) == 1, won
    # A claim has what is left of 100 ms; where nobody got his answer in time, nobody resumes.
    assert sum(won) > 0.8 * rounds, won


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_cache_server_takes_its_claims_along_and_nothing_resumes_twice(whole, ctx, way):
    kept = sessions(whole, ctx, 30, WAYS[way], ONCE)
    used, fresh = kept[:10], kept[10:]
    got = [come_back(whole, ctx, used, WAYS[way], 0)]
    assert sum(got[0]) >= 8, got
    first = whole.caches[0]
    first.kill()
    got.append(come_back(whole, ctx, used, WAYS[way], 1))
    assert max(times(got)) == 1, got
    new = come_back(whole, ctx, fresh, WAYS[way], 1)
    assert 0 < sum(new) < 20, "some are claimed at the one that is left, and some at the one that is gone"
    first.start()
    wait.until(lambda: holds_claims(whole, ctx), 10, "it is used again", every=0.1)
    # The other has a copy of each, and the one that would know that they were used has forgotten it.
    before = claims(whole), whole.total(whole.gateways, "sslgw_sessions_delivered_total")
    late = [come_back(whole, ctx, kept, WAYS[way], n) for n in (0, 1)]
    assert max(times([times(got) + new, *late])) == 1, (got, new, late)
    granted, refused, failed = (now - was for now, was in zip(claims(whole), before[0]))
    assert whole.total(whole.gateways, "sslgw_sessions_delivered_total") - before[1] >= 54, "they are there"
    # What is granted now had missed its time before.
    assert granted == sum(times(late)) <= 3 and refused > 0 and failed > 0 and refused + failed >= 54, (granted, refused, failed)


@pytest.mark.parametrize("trouble", ["silent", "slow", "rubbish"])
def test_a_cache_server_that_does_not_answer_well_costs_the_resumption_and_nothing_is_granted_twice(whole, ctx, trouble):
    options, way = WAYS["1.3"], whole.cache_ways[0]
    kept = sessions(whole, ctx, 20, options, ONCE)
    way.silent, way.delay, way.rubbish = trouble == "silent", 0.5 * (trouble == "slow"), trouble == "rubbish"
    try:
        began = time.monotonic()
        first = come_back(whole, ctx, kept, options, 1)
        took = time.monotonic() - began
    finally:
        way.silent, way.delay, way.rubbish = False, 0.0, False
    assert 0 < sum(first) < 20, "what the other server ranks first for is resumed"
    assert took < 20 * 0.5, f"{took:.1f} s for 20 handshakes"
    wait.until(lambda: holds_claims(whole, ctx), 15, "it is used again", every=0.1)
    # What did not get its answer may have been claimed all the same, or not.
    got = [first, come_back(whole, ctx, kept, options, 0), come_back(whole, ctx, kept, options, 1)]
    assert max(times(got)) == 1 and sum(got[2]) <= 2, got


def test_after_a_flush_of_one_cache_server_nothing_resumes_twice(whole, ctx):
    """It goes on running, so no connection is lost by itself."""
    options = WAYS["1.2 id"]
    kept = sessions(whole, ctx, 20, options, ONCE)
    got = [come_back(whole, ctx, kept, options, 0)]
    assert sum(got[0]) >= 17, got
    operator = whole.ids.issue("op", "operator")
    port = whole.caches[0].settings["listen"][0].rpartition(":")[2]
    with cache.Resp(int(port), context=cache.client_context(operator)) as r:
        assert r.ask("DBSIZE") > 0 and r.ask("FLUSHALL") == "OK"
    before = whole.total(whole.gateways, "sslgw_sessions_delivered_total")
    # At once, while connections are being made anew, and afterwards.
    got.append(come_back(whole, ctx, kept, options, 1))
    wait.until(lambda: holds_claims(whole, ctx), 10, "both servers hold claims again", every=0.1)
    got += [come_back(whole, ctx, kept, options, n) for n in (0, 1)]
    assert max(times(got)) == 1, got
    assert whole.total(whole.gateways, "sslgw_sessions_delivered_total") - before >= 54, "they are there"


def tried(g, ctx, options):
    """A session, three times."""
    _, _, session = client.get(g.port, ctx(**options))
    return [client.get(g.port, ctx(**options), session=session)[1][2] for _ in range(3)]


def test_without_claims_a_session_does_resume_twice(bed, ctx, faults_build):
    """Counter-proof of all of the above."""
    g = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(resumption="stateful_once")]), build=faults_build,
                    env={"SSLGW_FAULT": "no-claim"})
    for options in WAYS.values():
        # A worker that has not asked the cache yet what run it is in keeps nothing.
        wait.until(lambda o=options: sum(tried(g, ctx, o)) > 1, 10, "a session is resumed again", every=0.1)


def test_on_one_machine_it_needs_no_settings(bed, ctx):
    g = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(resumption="stateful_once")]))
    for options in WAYS.values():
        # A worker that has not asked the cache yet what run it is in keeps nothing. So many meet both workers.
        wait.until(lambda o=options: all(tried(g, ctx, o)[0] for _ in range(8)), 10, "sessions are used", every=0.1)
        got = [tried(g, ctx, options) for _ in range(10)]
        assert max(map(sum, got)) == 1 and got.count([True, False, False]) >= 8, got


# ---- how many are stored for the clients of a network

def limited(bed, **more):
    """One a second, and 60 at once."""
    return bed.gateway(bed.settings(bed.backend(), sites=[bed.site(resumption="stateful")], workers=1,
                                    session_cache={"stores_per_client": "60/min"}, **more))


def stored(g):
    """(sent to the cache, whether or not it was answered in time; not sent)"""
    return (g.counter("sslgw_session_cache_stores_total") + g.counter("sslgw_session_cache_errors_total"),
            g.counter("sslgw_session_cache_stores_limited_total"))


def handshakes(g, ctx, n, **how):
    for _ in range(n):
        with client.Client(g.port, ctx(**ID), **how) as c:
            assert c.get("/").status == 200 and not c.resumed
            last = c.session
    return last


def resumes(g, ctx, session, **how):
    with client.Client(g.port, ctx(**ID), session=session, **how) as c:
        return c.resumed


def test_a_network_stores_its_share_and_others_are_not_touched(bed, ctx):
    g = limited(bed)
    began = time.monotonic()
    handshakes(g, ctx, 100)
    done, refused = stored(g)
    assert done + refused == 100 and 60 <= done <= 61 + (time.monotonic() - began), (done, refused)
    # Another address of it makes no difference, another network does.
    before = stored(g)[1]
    handshakes(g, ctx, 20, source="127.0.0.99")
    assert stored(g)[1] > before

    def visit():
        refused = stored(g)[1]
        other = handshakes(g, ctx, 1, source="127.1.2.3")
        assert stored(g)[1] == refused
        return resumes(g, ctx, other) and resumes(g, ctx, other, source="127.1.2.3")
    assert client.resumes(visit)
    wait.until(lambda: g.output().count("stores_per_client") == 1, 5, "it is said, once")
    assert "127.0.0.0/24" in g.output()


def test_where_all_come_by_a_balancer_it_does_not_count(bed, ctx):
    g = limited(bed, trusted_proxies=["127.0.0.1"])
    handshakes(g, ctx, 80)
    assert stored(g) == (80, 0)
    assert client.resumes(lambda: resumes(g, ctx, handshakes(g, ctx, 1)))


def test_a_balancer_that_says_who_they_are_is_believed(bed, ctx):
    g = limited(bed, trusted_proxies=["127.0.0.1"], listeners=[{"address": "127.0.0.1:0", "proxy_protocol": True}])
    headers = [f"PROXY TCP4 {source} 192.0.2.200 1000 443\r\n".encode() for source in ("198.51.100.7", "203.0.113.7")]
    handshakes(g, ctx, 80, before=headers[0])
    done, refused = stored(g)
    assert refused > 0 and done + refused == 80

    def visit():
        refused = stored(g)[1]
        other = handshakes(g, ctx, 1, before=headers[1])
        assert stored(g)[1] == refused
        return resumes(g, ctx, other, before=headers[0])
    assert client.resumes(visit)
    assert "198.51.100.0/24" in g.output()


@pytest.mark.parametrize("cache", [{}, {"stores_per_client": "0"}], ids=["not said", "0"])
def test_by_itself_there_is_no_limit(bed, ctx, cache):
    g = bed.gateway(bed.settings(bed.backend(), sites=[bed.site(resumption="stateful")], workers=1, session_cache=cache))
    handshakes(g, ctx, 80)
    assert stored(g) == (80, 0)
