"""What the gateways do with cache servers beyond get and set: a copy that was lost is written back."""
import pytest

from bed import client, cluster, wait

ID = {"version": "1.2", "tickets": False}  # a session that may be resumed again and again


@pytest.fixture(scope="module")
def farm(shared):
    sites = [shared.site("localhost")]
    return cluster.Cluster(shared, shared.backend().address, gateways=2, keys=1, sites=sites, balancer=False).start()


@pytest.fixture
def whole(farm, ctx):
    """All parts run, and each gateway knows it, before a test."""
    for part in farm.caches:
        if not part.alive():
            part.start()

    def connected():
        return all(farm.total([g], 'sslgw_service_server_connected_workers{service="sessions"') == len(farm.caches)
                   and not farm.total([g], 'sslgw_service_server_spared_workers{service="sessions"') for g in farm.gateways)
    wait.until(connected, 10, "each gateway is connected to each cache server", every=0.1)
    return farm


def sessions(farm, ctx, n, options, sni="localhost"):
    return [client.get(farm.gateways[i % 2].port, ctx(**options), sni=sni)[2] for i in range(n)]


def resumed(farm, ctx, kept, options, gateway=0, sni="localhost"):
    return sum(client.get(farm.gateways[gateway].port, ctx(**options), sni=sni, session=s)[1][2] for s in kept)


def entries(farm, part):
    return farm.metrics(part)["sslgw_cachesvc_entries"]


def test_a_copy_that_was_lost_is_written_back_when_it_is_missed(whole, ctx):
    missed, others = sessions(whole, ctx, 20, ID), sessions(whole, ctx, 20, ID)
    first, second = whole.caches
    wait.until(lambda: entries(whole, first) == entries(whole, second) >= 40, 5, "each session is at both")
    first.restart()

    def used_again():
        return all(whole.total([g], 'sslgw_service_server_connected_workers{service="sessions"') == 2 for g in whole.gateways)
    wait.until(used_again, 10, "the one that was started anew is used", every=0.1)
    before = whole.total(whole.gateways, "sslgw_session_cache_repairs_total")
    assert resumed(whole, ctx, missed, ID) == 20
    repaired = whole.total(whole.gateways, "sslgw_session_cache_repairs_total") - before
    assert 0 < repaired < 20, f"of 20 sessions some rank the lost server first, and some do not: {repaired}"
    wait.until(lambda: entries(whole, first) == repaired, 5, "they lie there again")
    # Now these are all that it has: the rest is lost with the other server.
    second.kill()
    assert resumed(whole, ctx, missed, ID, gateway=1) == repaired
    # Counter-proof: what nobody looked up was not written back.
    assert resumed(whole, ctx, others, ID, gateway=1) == 0
