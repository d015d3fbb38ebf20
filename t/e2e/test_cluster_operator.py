"""What an operator does to a running cluster with sslgwctl: looks at it, tests it, shuts a stolen identity out."""
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import time

import pytest

from bed import client, cluster, gateway, proc, wait


@pytest.fixture(scope="module")
def farm(shared):
    c = cluster.Cluster(shared, shared.backend().address, gateways=2, caches=1, balancer=False)
    deny = f"{c.ids.folder}/deny"
    open(deny, "a", encoding="ascii").close()
    for part in (*c.keys, *c.caches):
        part.settings["deny_file"] = deny
    return c.start()


@pytest.fixture(scope="module")
def ctl(build):
    def run(*words, status=0):
        got = subprocess.run([f"{build}/sslgwctl", *words], capture_output=True, text=True, timeout=60,
                             env=gateway.environment(), check=False)
        assert got.returncode == status, f"{words}: {got.returncode}\n{got.stdout}{got.stderr}"
        return got.stdout
    return run


def admins(farm):
    return [p.settings["admin"]["socket"] for p in (*farm.gateways, *farm.keys, *farm.caches)]


def of_all(farm):
    return [w for g in farm.gateways for w in ("--gateway", f"127.0.0.1:{g.port}")] + ["--sni", "localhost"]


def test_status_of_a_whole_cluster_and_of_one_with_a_loss(farm, ctl):
    def well():
        ctl("status", *admins(farm))
        return True
    wait.until(well, 10, "all are well", every=0.2)
    told = json.loads(ctl("status", "--json", *admins(farm)))
    assert len(told) == 5, told
    farm.keys[0].kill()

    def told_by_gateways():
        for g in farm.gateways:
            said = ctl("status", g.settings["admin"]["socket"], status=1)
            assert farm.keys[0].settings["listen"][0] in said, said
        return True
    wait.until(told_by_gateways, 10, "both gateways name the key server that is lost", every=0.2)
    said = ctl("status", *admins(farm), status=1)
    assert said.count("unreachable") == 1 and said.count("well  ") == 2, said
    farm.keys[0].start()
    wait.until(well, 15, "all are well again", every=0.2)


def test_selftest_passes_and_names_the_gateway_of_another_cluster(farm, bed, ctl, pki):
    assert "Any gateway resumes what any other has made." in ctl("selftest", *of_all(farm), "--ca", pki.ca.chain_file)
    odd = bed.gateway(bed.settings(bed.backend(), workers=1))
    said = ctl("selftest", *of_all(farm), "--gateway", f"127.0.0.1:{odd.port}", status=1)
    names = [f"127.0.0.1:{g.port}" for g in farm.gateways]
    assert any(f"127.0.0.1:{odd.port} and {n} do not resume each other's sessions" in said for n in names), said
    assert said.count("do not resume each other's") == 1, said


def as_gateway(part):
    """A TLS client with that gateway's identity."""
    mine = part.settings["key_service"]
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.load_verify_locations(mine["ca_file"])
    c.load_cert_chain(mine["identity"], mine["identity_key"])
    return c


def held_open(part, c):
    host, _, port = part.settings["listen"][0].rpartition(":")
    s = c.wrap_socket(socket.create_connection((host, int(port)), 5))
    s.settimeout(0.01)
    return s


def ended(s):
    try:
        return s.recv(100) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def connections(part, others):
    """How many connections of those processes end at that daemon."""
    port = int(part.settings["listen"][0].rpartition(":")[2])
    inodes = set()
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if int(fields[2].split(":")[1], 16) == port and fields[3] == "01":
                inodes.add(f"socket:[{fields[9]}]")
    return sum(len(inodes & set(proc.descriptors(p).values())) for p in others)


def test_a_denied_gateway_is_out_within_ten_seconds_and_the_other_serves(farm, ctl, ctx):
    bad, good = farm.gateways
    session = client.get(bad.port, ctx())[2]
    workers = bad.workers()
    services = (*farm.keys, *farm.caches)
    wait.until(lambda: all(connections(p, workers) for p in services), 5, "its connections to all services")
    thief = as_gateway(bad)
    stolen = [held_open(p, thief) for p in services]
    said = ctl("pki", "deny", farm.ids.folder, "gw1")
    assert "epoch new --now --revoke-old" in said, said
    began = time.monotonic()
    wait.until(lambda: all(ended(s) for s in stolen), 10, "the end of the thief's open connections")
    wait.until(lambda: not any(connections(p, workers) for p in services), 10 - (time.monotonic() - began),
               "the end of the gateway's own")
    for part in services:
        with pytest.raises(OSError):  # TLS 1.3: the refusal comes with the first byte that is read
            s = held_open(part, thief)
            s.settimeout(5)
            if s.recv(1) == b"":
                raise OSError("closed")
    with pytest.raises(OSError):
        client.get(bad.port, ctx())
    # The other one does all that it did, with sessions of before too.
    got, facts, _ = client.get(good.port, ctx(), session=session)
    assert got.status == 200 and facts[2]
    assert client.get(good.port, ctx())[0].status == 200
    # A new identity is let in again.
    ctl("pki", "issue", farm.ids.folder, "gw1", "--role", "gateway", "--force")
    bad.reload()
    wait.until(lambda: client.get(bad.port, ctx())[0].status == 200, 10, "full handshakes under a new identity")


@pytest.mark.root
def test_nobody_reads_a_key_servers_memory(bed, ctx):
    """Neither who runs the gateway's workers nor its own user, and no core file is left of it."""
    gw = bed.gateway(bed.settings(bed.backend()))
    key, worker = gw.key_process(), gw.workers()[0]
    users = {proc.status(p, "Uid").split()[0] for p in (key, worker)}
    assert len(users) == 2 and "0" not in users
    for user in users:
        for what in ("mem", "maps", "environ", "fd"):
            program = f"import os; os.{'listdir' if what == 'fd' else 'open'}('/proc/{key}/{what}'" + ("" if what == "fd" else ", 0") + ")"
            got = subprocess.run(["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "/usr/bin/python3", "-c", program],
                                 capture_output=True, text=True, timeout=20, check=False)
            assert "PermissionError" in got.stderr, f"{user}: {what}: {got.stdout}{got.stderr}"


@pytest.mark.root
@pytest.mark.plain
def test_a_key_server_that_crashes_leaves_no_core(bed):
    farm = cluster.Cluster(bed, "127.0.0.1:1", gateways=1, keys=1, caches=1, balancer=False)
    part = farm.keys[0].start()
    counter = subprocess.Popen(
        ["sleep", "600"], cwd=bed.folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    wait.until(lambda: "sleep" in proc.title(counter.pid), 5, "the counter-proof")
    dumped = []
    for pid in (counter.pid, part.pid):
        os.kill(pid, signal.SIGABRT)
        dumped.append(os.WCOREDUMP(os.waitpid(pid, 0)[1]))
    part.process.returncode = counter.returncode = -signal.SIGABRT
    assert not dumped[1], "a core file of a key server"
    if not dumped[0]:
        pytest.skip("nobody leaves core files here")
