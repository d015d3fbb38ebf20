"""Each gateway tells the key servers how many signatures it has asked for; what goes beyond is an alarm. With a gateway that
is honest whatever becomes of its workers, and with callers that have more signed than they say."""
import json
import os
import re
import struct
import subprocess

import pytest

from bed import client, cluster, gateway, keyless as kl, wait

CLAIMED_S = 15  # a gateway claims every 10 s


@pytest.fixture(scope="module")
def farm(shared):
    c = cluster.Cluster(shared, shared.backend().address, gateways=1, keys=1, caches=1, balancer=False, workers=2)
    return c.start()


def asked_and_claimed(farm):
    address = farm.keys[0].settings["listen"][0]
    rows = farm.gateways[0].counters()
    return rows.get(f"kept asked {address}", 0), rows.get(f"kept claimed {address}", 0)


def all_claimed(farm):
    asked, claimed = asked_and_claimed(farm)
    return asked > 0 and asked == claimed


def problems(farm):
    return farm.status(farm.keys[0])["problems"]


def signed(number, instance, count):
    return kl.custom(number, "sslgw/signed", struct.pack(">QQ", instance, count))


class Caller:
    """One with a gateway's identity that asks and claims as it likes."""

    def __init__(self, farm, name, pki):
        stolen = [g.settings["key_service"] for g in farm.gateways if g.name == name]
        self.ids = stolen[0] if stolen else farm.ids.issue(name, "gateway")
        self.port = int(farm.keys[0].settings["listen"][0].rpartition(":")[2])
        self.ski = kl.ski(pki.leaf("localhost", kind="ec").key.public_key())
        self.instance = int.from_bytes(os.urandom(8), "big") | 1

    def sign(self, n):
        with kl.Client(self.port, self.ids) as c:
            for i in range(n):
                assert c.ask(kl.tls_sign(i + 1, self.ski, 0x0403, kl.certificate_verify())).opcode == kl.ANSWER

    def claim(self, count, instance=None):
        with kl.Client(self.port, self.ids) as c:
            return c.ask(signed(1, instance or self.instance, count))


def test_what_is_no_claim_is_refused(farm, pki):
    caller = Caller(farm, "gw7", pki)
    with kl.Client(caller.port, caller.ids) as c:
        for payload in (b"", bytes(15), bytes(16), bytes(17), struct.pack(">QQ", 1, 1) + b"x"):
            assert c.ask(kl.custom(1, "sslgw/signed", payload)).error == kl.E_FORMAT
        answer = c.ask(signed(2, 1, 0))
        assert answer.opcode == kl.ANSWER and answer.payload == b""


def test_all_that_a_gateway_asked_is_claimed_whatever_becomes_of_its_workers(farm, ctx):
    g = farm.gateways[0]
    for _ in range(10):
        assert client.get(g.port, ctx())[0].status == 200
    asked = asked_and_claimed(farm)[0]
    assert asked >= 10, "each full handshake asks for a signature"
    wait.until(lambda: all_claimed(farm), CLAIMED_S, "all is claimed")
    for _ in range(10):
        assert client.get(g.port, ctx())[0].status == 200
    for pid in g.workers():
        os.kill(pid, 9)
    wait.until(lambda: len(g.workers()) == 2 and client.get(g.port, ctx())[0].status == 200, 15, "others serve", every=0.1)
    assert asked_and_claimed(farm)[0] >= asked + 11, "the count outlives the workers"
    wait.until(lambda: all_claimed(farm), CLAIMED_S, "their last is claimed by others")
    g.reload()
    assert client.get(g.port, ctx())[0].status == 200
    wait.until(lambda: all_claimed(farm), CLAIMED_S, "after a reload, too")
    assert farm.metrics(farm.keys[0])["sslgw_keysvc_unclaimed_signatures_total"] == 0
    assert not problems(farm)


def test_more_signed_than_claimed_is_an_alarm(farm, ctx, pki, build):
    """Four at a time, since the service gives a gateway four claims, ten seconds apart: a thief with the identity of a gateway that runs; one
    that claims less than it has asked; one that claims it all; and one that claims nothing."""
    key, g = farm.keys[0], farm.gateways[0]
    thief, liar, honest = Caller(farm, "gw1", pki), Caller(farm, "gw8", pki), Caller(farm, "gw9", pki)
    silent = Caller(farm, "gw10", pki)
    for caller in (liar, honest):
        assert caller.claim(0).opcode == kl.ANSWER
    thief.sign(5)
    liar.sign(12)
    honest.sign(12)

    def told():
        silent.sign(1)
        assert client.get(g.port, ctx())[0].status == 200  # the gateway has something to claim
        liar.claim(9)
        honest.claim(12)
        said = " ".join(problems(farm))
        return all(re.search(p, said) for p in (
            r'ALARM: as "gw1" 5 signatures were asked', r'ALARM: as "gw8" 3 signatures were', r'ALARM: as "gw10" \d+ ')) and said
    said = wait.until(told, 75, "the three alarms", every=2)
    assert '"gw9"' not in said
    assert "sslgwctl pki deny gw1" in said
    assert re.search(r'ALARM: as "gw1" 5 signatures were asked for that no gateway of this name claims', key.output())
    assert farm.metrics(key)["sslgw_keysvc_unclaimed_signatures_total"] >= 5 + 3
    got = subprocess.run([f"{build}/sslgwctl", "status", key.settings["admin"]["socket"]], capture_output=True, text=True,
                         timeout=20, env=gateway.environment(), check=False)
    assert got.returncode == 1 and 'ALARM: as "gw1" 5 signatures' in got.stdout and "TROUBLED" in got.stdout, got.stdout
    told_json = json.loads(subprocess.run([f"{build}/sslgwctl", "status", "--json", key.settings["admin"]["socket"]],
                                          capture_output=True, text=True, timeout=20, env=gateway.environment(),
                                          check=False).stdout)
    assert told_json[0]["counts"]["unclaimed"] >= 8 and told_json[0]["counts"]["claims"] > 0
    key.signal(1)
    wait.until(lambda: not problems(farm), 10, "a reload ends the alarm")


def test_two_gateways_with_one_identity_are_an_alarm(farm, pki):
    one = Caller(farm, "gw6", pki)
    for instance in (11, 12, 12):
        one.claim(5, instance)
    assert "gw6" not in " ".join(problems(farm)), "it was started again"
    one.claim(6, 11)
    assert 'ALARM: two gateways use the identity "gw6"' in " ".join(problems(farm))
