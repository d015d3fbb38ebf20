"""A cluster behind a dumb balancer: any client resumes at any gateway, whatever was restarted between."""
import glob
import itertools
import os
import re
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from bed import client, cluster, proc, wait
from conftest import TOP

CLIENTS = 300
KINDS = {  # name: (context, host, what it is resumed by)
    "1.2 id": ({"version": "1.2", "tickets": False}, "localhost"),
    "1.2 ticket": ({"version": "1.2"}, "localhost"),
    "1.3 ticket": ({"version": "1.3"}, "localhost"),
    "1.3 stateful": ({"version": "1.3"}, "stateful.localhost"),
}


@pytest.fixture(scope="module")
def farm(shared):
    backend = shared.backend()
    sites = [shared.site("localhost"), shared.site("stateful.localhost", resumption="stateful")]
    return cluster.Cluster(shared, backend.address, sites=sites).start()


def again(ctx, host, ports, sessions, between=lambda n: None):
    """Each session is taken to the next port: how many resumed."""
    resumed = 0
    for n, session in enumerate(sessions):
        between(n)
        got, facts, _ = client.get(next(ports), ctx, sni=host, session=session)
        assert got.status == 200
        resumed += facts[2]
    return resumed


def first(ctx, host, ports, n):
    out = []
    for _ in range(n):
        got, facts, session = client.get(next(ports), ctx, sni=host)
        assert got.status == 200 and not facts[2] and session is not None
        out.append(session)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_through_a_dumb_balancer_all_resume(farm, ctx, kind):
    options, host = KINDS[kind]
    ports = itertools.repeat(farm.balancer.port)
    hits = farm.total(farm.gateways, "sslgw_sessions_delivered_total")
    sessions = first(ctx(**options), host, ports, CLIENTS)
    resumed = again(ctx(**options), host, ports, sessions)
    assert resumed >= 0.99 * CLIENTS
    by_lookup = 0 if kind.endswith(" ticket") else resumed  # what the gateways count is what clients saw
    wait.until(lambda: farm.total(farm.gateways, "sslgw_sessions_delivered_total") - hits == by_lookup, 5,
               "each look-up that delivered a session is counted, and no other")


@pytest.mark.parametrize("kind", KINDS)
def test_with_rotation_and_no_balancer_all_resume(farm, ctx, kind):
    options, host = KINDS[kind]
    ports = farm.ports()
    sessions = first(ctx(**options), host, ports, CLIENTS)
    next(ports)  # each comes back elsewhere
    assert again(ctx(**options), host, ports, sessions) >= 0.99 * CLIENTS


@pytest.mark.parametrize("n", [12, pytest.param(CLIENTS, marks=[pytest.mark.long, pytest.mark.plain])])
@pytest.mark.parametrize("kind", KINDS)
def test_with_a_gateway_restarted_between_each_two_handshakes_all_resume(farm, ctx, kind, n):
    options, host = KINDS[kind]
    ports = farm.ports()
    sessions = first(ctx(**options), host, ports, n)
    next(ports)

    def restart(at):
        gateway = farm.gateways[(at + 1) % len(farm.gateways)]
        gateway.stop()
        gateway.start()
    assert again(ctx(**options), host, ports, sessions, restart) >= n - 1 - n // 100  # of few, too, a cache may miss one


def needles(bed, sites):
    out = {}
    for file in dict.fromkeys(bed.pki.keys[c] for s in sites for c in s["certificates"]):
        with open(file, "rb") as f:
            numbers = serialization.load_pem_private_key(f.read(), None).private_numbers()
        for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp", "private_value"):
            value = getattr(numbers, name, None)
            if value:
                size = (value.bit_length() + 7) // 8
                out[f"{file} {name} big"] = value.to_bytes(size, "big")
                out[f"{file} {name} little"] = value.to_bytes(size, "little")
    return out


@pytest.mark.plain  # a sanitizer's shadow is terabytes
@pytest.mark.root
def test_no_private_key_is_in_a_gateway_or_a_cache_server(farm, shared, ctx):
    first(ctx(), "localhost", itertools.repeat(farm.balancer.port), 20)
    what = needles(shared, farm.sites)
    for part in (*farm.gateways, *farm.caches):
        for pid in proc.in_session(part.pid):
            found, seen = proc.search_memory(pid, what)
            assert not found and seen > 1 << 20, f"{part.name}: {found}"
    for part in farm.keys:
        assert proc.search_memory(part.pid, what)[0], "the search does not find what is there"


@pytest.mark.plain  # a sanitizer's shadow is terabytes
@pytest.mark.root
def test_the_caches_hold_no_session_secret(farm, pki, shared, tmp_path):
    """The master secret of a TLS 1.2 session by id, as s_client prints it, is in no cache server's memory."""
    file = tmp_path / "session"
    status, text = client.s_client(farm.balancer.port, "-tls1_2", "-no_ticket", "-CAfile", pki.ca.chain_file, "-sess_out", str(file))
    assert status == 0
    got = subprocess.run(["openssl", "sess_id", "-in", str(file), "-text", "-noout"], capture_output=True, text=True, check=True)
    secret = next(line.split(":")[1].strip() for line in got.stdout.splitlines() if "Master-Key" in line)
    session_id = next(line.split(":")[1].strip() for line in got.stdout.splitlines() if line.strip().startswith("Session-ID:"))
    what = {"secret": bytes.fromhex(secret), "id": bytes.fromhex(session_id)}
    for part in farm.caches:
        assert not proc.search_memory(part.pid, what)[0], part.name


@pytest.mark.root
def test_nothing_secret_lies_on_a_gateways_disk_but_its_identity(farm, ctx):
    """After tickets were made and taken: its folders hold configuration and logs, and its processes have no other file
    open for writing."""
    for gateway in farm.gateways:
        assert client.get(gateway.port, ctx())[0].status == 200
        held = {f"{at}/{f}" for at, _, files in os.walk(gateway.folder) for f in files}
        regular = {f for f in held if os.path.isfile(f)}
        assert regular == {gateway.config_file, gateway.log_file, gateway.access_file}, regular
        for pid in proc.in_session(gateway.pid):
            for fd, name in proc.descriptors(pid).items():
                if os.path.isfile(name) and not name.startswith(("/dev/", "/proc/", "/usr/", "/etc/")):
                    assert name in regular, f"{proc.title(pid)} has {name} open ({fd})"


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def test_dev_cluster_shows_it(build):
    env = {k: v for k, v in os.environ.items() if k != "SSLGW_BUILD"}
    with subprocess.Popen([sys.executable, f"{TOP}/t/cluster", build, "--once", "--clients", "4"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=env) as show:
        said = show.communicate(timeout=180)[0]
    assert show.returncode == 0, said[-6000:]
    lines = said.splitlines()
    row = re.compile(r" +\d+  gw[123] +(resumed, \d\.\d \w+|full, \d\.\d )( made at gw[123])? +(ks[12])?( ks[12])? +\d+$")
    table = [row.match(x) for x in lines if re.match(r" +\d+  ", x)]
    assert all(table) and len(table) == 4 * 2 + 3 * 8 * 2 + 4, said  # a line for each visit
    assert sum(m.group(1).startswith("resumed") for m in table) > 30 and any(m.group(2) for m in table)
    assert {m.group(3) for m in table if m.group(1).startswith("full")} == {"ks1", "ks2"}
    for kind in KINDS:
        assert any(f"resumed, {kind}" in x for x in lines), kind
    for what in ("kill -9: a gateway", "kill -9: a cache server", "kill -9: a key server"):
        assert what in said
    closing = {m.group(1): int(m.group(2)) for m in re.finditer(r"^(\S.*?) {2,}(\d+)", said.split("-" * 78)[1], re.M)}
    assert closing["clients"] == 16 and closing["their handshakes"] == len(table) and closing["failed"] == 0
    # Nothing stays: no folder, no process whose configuration lay there.
    assert not glob.glob(f"/tmp/sslgw-cluster.{show.pid}.*")
    assert not [p for p in proc.everyone() if f"sslgw-cluster.{show.pid}." in command_line(p)]
