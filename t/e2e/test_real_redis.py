"""Debian's Redis in place of the cache service, two of them: plain, with a password, by TLS with both."""
import pytest

from bed import client, conftext, pki as pki_module, redis_server, wait

PASSWORD = "correct-horse"
WAYS = {"plain": "redis://127.0.0.1:{}", "auth": "redis://127.0.0.1:{}", "tls and auth": "rediss://localhost:{}"}

pytestmark = pytest.mark.skipif(not redis_server.there(), reason="needs redis-tools")


@pytest.mark.parametrize("way", WAYS)
def test_a_gateway_keeps_its_sessions_in_it(bed, pki, ctx, way):
    password = PASSWORD if "auth" in way else None
    leaf = pki.leaf("localhost", kind="ec") if "tls" in way else None
    servers = [redis_server.Redis(bed, f"redis{n}", password, leaf) for n in range(2)]
    more = {"password_file": pki_module.write(f"{bed.folder}/password", PASSWORD.encode() + b"\n", 0o600)} if password else {}
    if leaf:
        more["ca_file"] = pki.ca.chain_file
    site = bed.site(resumption="stateful")
    g = bed.gateway(conftext.merged(bed.settings(bed.backend(), sites=[site]), {
        "session_cache": {"servers": [WAYS[way].format(s.port) for s in servers], **more}}))

    def resumes(**options):
        _, _, session = client.get(g.port, ctx(**options))
        return client.get(g.port, ctx(**options), session=session)[1][2]
    for options in ({"version": "1.3"}, {"version": "1.2", "tickets": False}):
        wait.until(lambda o=options: resumes(**o), 10, "sessions resume", every=0.1)
        assert sum(resumes(**options) for _ in range(40)) >= 38  # it has 100 ms to answer
    # Each session is kept twice, sealed, and with an end.
    sizes = [int(s.ask("DBSIZE")) for s in servers]
    assert min(sizes) > 80, sizes
    assert 0 < int(servers[0].ask("EVAL", "return redis.call('TTL', redis.call('RANDOMKEY'))", "0")) <= 86400
    # One is lost: what it held is at the other. Both: all is served in full.
    servers[0].stop()
    wait.until(resumes, 5, "the other has them all", every=0.1)
    assert sum(resumes() for _ in range(20)) >= 18
    servers[1].stop()
    for _ in range(5):
        assert client.get(g.port, ctx())[0].status == 200
    servers[0].start()
    wait.until(resumes, 5, "one that came back is used again", every=0.1)


def test_a_wrong_password_costs_resumption_only_and_is_said(bed, ctx):
    server = redis_server.Redis(bed, "redis", PASSWORD)
    wrong = pki_module.write(f"{bed.folder}/password", b"something else\n", 0o600)
    g = bed.gateway(conftext.merged(bed.settings(bed.backend(), sites=[bed.site(resumption="stateful")]), {
        "session_cache": {"servers": [f"redis://127.0.0.1:{server.port}"], "password_file": wrong}}))
    _, _, session = client.get(g.port, ctx())
    got, facts, _ = client.get(g.port, ctx(), session=session)
    assert got.status == 200 and not facts[2]
    wait.until(lambda: "WRONGPASS" in g.output() or "password" in g.output(), 5, "it is said")
    assert server.ask("DBSIZE") == "0"


def once(bed, servers):
    site = bed.site(resumption="stateful_once")
    return bed.gateway(conftext.merged(bed.settings(bed.backend(), sites=[site]), {
        "session_cache": {"servers": [f"redis://127.0.0.1:{s.port}" for s in servers]}}))


@pytest.mark.parametrize("options", [{"version": "1.2", "tickets": False}, {"version": "1.3"}], ids=["1.2 id", "1.3"])
def test_sessions_are_used_once_where_it_forgets_nothing(bed, ctx, options):
    servers = [redis_server.Redis(bed, f"redis{n}") for n in range(2)]
    g = once(bed, servers)

    def tried():
        _, _, session = client.get(g.port, ctx(**options))
        return [client.get(g.port, ctx(**options), session=session)[1][2] for _ in range(3)]
    wait.until(lambda: all(tried()[0] for _ in range(8)), 10, "sessions resume, whichever of the two workers", every=0.1)
    got = [tried() for _ in range(10)]
    assert max(map(sum, got)) == 1 and got.count([True, False, False]) >= 8, got  # it has 100 ms to answer
    assert 0 < int(servers[0].ask("EVAL", "return #redis.call('KEYS', 'claim:*')", "0"))
    # Started anew it has another run_id: what it had granted is not granted again, though the other has the session.
    kept = [client.get(g.port, ctx(**options))[2] for _ in range(10)]
    used = [s for s in kept if client.get(g.port, ctx(**options), session=s)[1][2]]
    assert len(used) >= 8
    servers[0].stop()
    servers[0].start()

    def whole():
        new = [client.get(g.port, ctx(**options))[2] for _ in range(8)]
        return all(client.get(g.port, ctx(**options), session=s)[1][2] for s in new)
    wait.until(whole, 10, "both are used again", every=0.1)
    assert not any(client.get(g.port, ctx(**options), session=s)[1][2] for s in used)


def test_where_a_claim_could_be_evicted_sessions_are_not_used_at_all_and_it_is_said(bed, ctx):
    server = redis_server.Redis(bed, "redis")
    assert server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru") == "OK"
    g = once(bed, [server])
    wait.until(lambda: "maxmemory-policy" in g.output(), 10, "it is said")
    for options in ({"version": "1.2", "tickets": False}, {"version": "1.3"}):
        _, _, session = client.get(g.port, ctx(**options))
        got, facts, _ = client.get(g.port, ctx(**options), session=session)
        assert got.status == 200 and not facts[2]
    assert server.ask("DBSIZE") == "0"
