"""sslgwctl epoch, as an operator uses it: against the key servers of a running cluster, against one whose clock leapt, and
against the key service that a gateway runs itself. What ends sessions and what does not is seen at the gateways."""
import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import time

import pytest

from bed import client, cluster, daemon, gateway, wait

HEARD_S = 40  # gateways ask every 30 s at the latest, and answers take their time on a busy machine


@pytest.fixture(scope="module")
def farm(shared):
    sites = [shared.site("localhost"), shared.site("ids.localhost", resumption="stateful")]
    return cluster.Cluster(shared, shared.backend().address, gateways=2, caches=1, sites=sites, balancer=False).start()


@pytest.fixture(scope="module")
def epoch(build):
    def run(*words, status=0):
        got = subprocess.run([f"{build}/sslgwctl", "epoch", *words], capture_output=True, text=True, timeout=30,
                             env=gateway.environment(), check=False)
        assert got.returncode == status, f"{words}: {got.returncode}\n{got.stdout}{got.stderr}"
        return got.stdout + got.stderr
    return run


def admin(part):
    return part.settings["admin"]["socket"]


def shown(epoch, part):
    return json.loads(epoch("show", "--json", admin(part)))


def ruling(epoch, part):
    return [g["id"] for g in shown(epoch, part)["generations"] if g["state"] == "rules"]


IDS = {f"1.2 id {n}": ("1.2", False, "ids.localhost") for n in range(4)}
KINDS = {"1.2 ticket": ("1.2", True, "localhost"), "1.3": ("1.3", True, "localhost"), **IDS}


class Visitors:
    """A session of each kind, some of those by id; each visit goes to the other gateway than the last."""

    def __init__(self, farm, ctx):
        self.ports, self.ctx, self.sessions, self.at = [g.port for g in farm.gateways], ctx, {}, 0
        assert not any(self.visit().values())

    def visit(self):
        """Which kinds were resumed."""
        self.at, resumed = 1 - self.at, {}
        for kind, (version, tickets, sni) in KINDS.items():
            got, facts, self.sessions[kind] = client.get(
                self.ports[self.at], self.ctx(version=version, tickets=tickets), sni=sni, session=self.sessions.get(kind))
            assert got.status == 200
            resumed[kind] = facts[2]
        return resumed

    def go_on(self):
        """At both gateways. A cache has 100 ms to answer, and may miss one session."""
        missed = [{kind for kind, resumed in self.visit().items() if not resumed} for _ in self.ports]
        return all(len(kinds) <= 1 and kinds <= set(IDS) for kinds in missed)


def agreed(farm, epoch):
    def same():
        one, other = (ruling(epoch, k) for k in farm.keys)
        return one if one and one == other else None
    return wait.until(same, 35, "both key servers are ruled by the same generation", every=0.2)


def test_show_says_how_secrets_stand_at_each(farm, epoch):
    rules = agreed(farm, epoch)
    for one, other in (farm.keys, farm.keys[::-1]):
        wait.until(lambda o=one: "has not answered" not in epoch("show", admin(o)), 35, "it has asked the other", every=0.5)
        said = epoch("show", admin(one))
        assert re.search(rf"{rules[0]}  made +rules ", said) or re.search(rf"{rules[0]}  orphan +rules ", said), said
        assert "clock: believed" in said and f"file: {one.folder}/state/epoch, written" in said
        assert re.search(rf"{other.settings['listen'][0]}  answered \d+ s ago, its clock \+?-?\d+ s\n", said), said
        assert not [line for line in said.split("\n") if re.search(r"[0-9a-f]{17}", line)], "no secret is shown"


def test_new_generations_are_known_to_all_and_end_no_session(farm, epoch, ctx):
    before = agreed(farm, epoch)
    visitors = Visitors(farm, ctx)
    assert visitors.go_on()
    said = epoch("new", admin(farm.keys[0]))
    made = re.match(r"generation ([0-9a-f]{16}): rules from .*, in ", said).group(1)
    wait.until(lambda: any(g["id"] == made and g["state"] == "ahead" for g in shown(epoch, farm.keys[1])["generations"]), 35,
               "the other server knows it", every=0.2)
    assert ruling(epoch, farm.keys[1]) == before
    assert visitors.go_on()
    said = epoch("new", "--now", admin(farm.keys[1]))
    now = re.match(r"generation ([0-9a-f]{16}): rules now; gateways use it from the next epoch on", said).group(1)
    wait.until(lambda: [ruling(epoch, k) for k in farm.keys] == [[now], [now]], 35, "it rules at both", every=0.2)
    assert visitors.go_on()


def test_after_a_theft_every_session_ends_at_every_gateway(farm, epoch, ctx):
    agreed(farm, epoch)
    visitors, kept = Visitors(farm, ctx), Visitors(farm, ctx)
    assert visitors.go_on()
    old = {g["id"] for g in shown(epoch, farm.keys[0])["generations"]}
    said = epoch("new", "--now", "--revoke-old", admin(farm.keys[0]))
    made = re.match(r"generation ([0-9a-f]{16}): rules now; \d+ older ones are void", said).group(1)
    began = time.monotonic()
    wait.until(lambda: all(g.output().count("ticket keys were revoked: their sessions end") == 1 for g in farm.gateways),
               HEARD_S, "both gateways have heard of it", every=0.2)
    assert time.monotonic() - began < HEARD_S
    # Those who came first fall back to a full handshake, and what they get then is good at both.
    assert not any(visitors.visit().values()), "at one gateway"
    assert visitors.go_on()
    assert not any(kept.visit().values()), "at the other gateway"
    assert kept.go_on()
    for part in farm.keys:
        wait.until(lambda p=part: ruling(epoch, p) == [made] and old <= {r["id"] for r in shown(epoch, p)["revoked"]}, 35,
                   "the old ones are revoked at both key servers", every=0.2)
    farm.keys[1].restart()
    assert ruling(epoch, farm.keys[1]) == [made], "it knows after a restart"
    assert kept.go_on()


def test_words_that_make_no_sense_change_nothing(farm, epoch):
    before = shown(epoch, farm.keys[0])["generations"]
    assert "--revoke-old needs --now" in epoch("new", "--revoke-old", admin(farm.keys[0]), status=2)
    assert "usage" in epoch("new", "--soon", admin(farm.keys[0]), status=2).lower()
    assert "commands are taken by a Unix socket only" in epoch("new", farm.keys[0].settings["admin"]["address"], status=3)
    assert "is not there" in epoch("show", f"{farm.folder}/none.sock", status=3)
    assert "the clock is believed already" in epoch("accept-clock", admin(farm.keys[0]))
    assert shown(epoch, farm.keys[0])["generations"] == before


def test_a_clock_that_leapt_is_held_until_it_is_accepted(bed, epoch):
    """The file says that it was written in the future: the clock went back since."""
    file, sock = f"{bed.folder}/epoch", f"{bed.folder}/admin.sock"
    server = daemon.Daemon(bed.build, bed.folder, "sslgw-keysvc", "keysvc", {
        "listen": [f"unix:{bed.folder}/key.sock"], "keys": [bed.pki.leaf("localhost", kind="ec").key_file],
        "cluster_secret_file": file, "admin": {"socket": sock}})
    bed.running.append(server)
    server.start()
    rules = json.loads(epoch("show", "--json", sock))["generations"]
    server.stop()
    with open(file, "r+b") as f:
        data = f.read()[:-32]
        data = data[:12] + struct.pack(">Q", int(time.time()) + 3 * 3600) + data[20:]
        f.seek(0)
        f.write(data + hashlib.sha256(data).digest())
    server.start()
    assert "clock: HELD" in epoch("show", sock)
    assert "the clock is not believed, so nothing is made" in epoch("new", sock, status=1)
    assert "TROUBLED" in subprocess.run([f"{bed.build}/sslgwctl", "status", sock], capture_output=True, text=True, timeout=20,
                                        check=False).stdout
    assert "ticket keys move on from here" in epoch("accept-clock", sock)
    after = json.loads(epoch("show", "--json", sock))
    assert not after["held"] and [g["id"] for g in after["generations"]] == [g["id"] for g in rules]
    assert epoch("new", sock).startswith("generation ")


def test_the_key_service_of_a_gateway_is_told_by_a_socket_of_root(bed, epoch, ctx):
    g = bed.gateway(bed.settings(bed.backend()))
    sock = f"{bed.folder}/run/key-admin.sock"
    there = os.stat(sock)
    assert stat.S_IMODE(there.st_mode) == 0o600 and there.st_uid == os.getuid()
    assert re.search(r"  (made|orphan) +rules ", epoch("show", sock))

    def resumed(session=None):
        _, facts, session = client.get(g.port, ctx(version="1.3"), session=session)
        return facts[2], session
    first = resumed()[1]
    again, second = resumed(first)
    assert again
    # A key process that takes its place is told by the same socket.
    os.kill(g.key_process(), 9)
    wait.until(lambda: "generations" in epoch("show", sock), 10, "the new key process answers", every=0.1)
    os.unlink(sock)
    wait.until(lambda: "generations" in epoch("show", sock), 10, "a socket that was removed is made again", every=0.1)
    assert resumed(second)[0]
    made = re.match(r"generation ([0-9a-f]{16}): rules now", epoch("new", "--now", "--revoke-old", sock)).group(1)
    assert made in epoch("show", sock)
    wait.until(lambda: g.output().count("ticket keys were revoked: their sessions end") == len(g.workers()), HEARD_S,
               "the workers have heard of it", every=0.2)
    assert not resumed(second)[0]
    # Of commands there is nothing else here: those are for the gateway.
    for word in ("reload", "drain", "reopen"):
        got = subprocess.run([f"{bed.build}/sslgwctl", word, sock], capture_output=True, text=True, timeout=20, check=False)
        assert got.returncode == 1 and "embedded in a gateway" in got.stdout, got.stdout + got.stderr
    assert resumed()[1]
    g.stop()
    assert not os.path.exists(sock)


@pytest.mark.root
def test_nobody_but_root_reaches_that_socket(bed):
    g = bed.gateway(bed.settings(bed.backend()))
    users = {os.stat(f"/proc/{p}").st_uid for p in g.workers()}
    assert users and 0 not in users
    program = f"import socket; socket.socket(socket.AF_UNIX).connect('{bed.folder}/run/key-admin.sock')"
    for user in users:
        got = subprocess.run(["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "/usr/bin/python3", "-c",
                              program], capture_output=True, text=True, timeout=20, check=False)
        assert "PermissionError" in got.stderr, got.stderr
