"""No site's private key is in a gateway process: all their memory is searched for its parts. The same
search finds them in the key process, and in a worker that was built to cheat."""
import os
import signal

import pytest
from cryptography.hazmat.primitives import serialization

from bed import client, pki as pki_module, proc, wait

pytestmark = [pytest.mark.root, pytest.mark.plain]


def parts_of(identity):
    """Every form in which a part of a private key could lie in memory: name -> bytes. A number is
    looked for in both byte orders (little-endian is also how BIGNUM limbs lie) and by a slice from
    its middle, so that a half-overwritten copy is found too; PEM and DER by stretches of their own."""
    numbers = identity.key.private_numbers()
    if hasattr(numbers, "p"):
        values = {"p": numbers.p, "q": numbers.q, "d": numbers.d, "dmp1": numbers.dmp1, "dmq1": numbers.dmq1,
                  "iqmp": numbers.iqmp}
    else:
        values = {"scalar": numbers.private_value}
    needles = {}
    for name, number in values.items():
        size = (number.bit_length() + 7) // 8
        middle = slice(size // 2 - 12, size // 2 + 12) if size > 64 else slice(4, 28)
        needles[f"{name} big-endian"] = number.to_bytes(size, "big")[middle]
        needles[f"{name} limbs"] = number.to_bytes(size, "little")[middle]
    lines = pki_module.key_pem(identity.key).split(b"\n")
    needles["pem"] = lines[len(lines) // 2][:48]
    der = pki_module.key_der(identity.key, serialization.PrivateFormat.PKCS8)
    if "p" in values:
        at = der.find(numbers.p.to_bytes(128, "big"))
        needles["der"] = der[at:at + 24]
    return needles


def all_parts(*identities):
    return {f"{i.key.__class__.__name__} {k}": v for i in identities for k, v in parts_of(i).items()}


def traffic(gw, ctx):
    for c in (ctx(version="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256"),
              ctx(version="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"), ctx(version="1.3")):
        for n in range(20):
            assert client.get(gw.port, c, f"/{n}")[0].status == 200
    for algorithm in ("rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256"):
        assert client.s_client(gw.port, "-tls1_3", "-sigalgs", algorithm)[0] == 0


def search_gateway(gw, needles):
    """The master, the monitor, every worker: {title: what was found}."""
    found = {}
    for pid in [gw.pid, *gw.monitor(), *gw.workers(), *gw.draining(), gw.cache_process()]:
        parts, seen = proc.search_memory(pid, needles)
        assert seen > 100_000, f"could not read the memory of {proc.title(pid)}: {seen} bytes"
        if parts:
            found[proc.title(pid)] = parts
    return found


@pytest.fixture
def keys(pki):
    return [pki.leaf("localhost", kind="rsa"), pki.leaf("localhost", kind="ec")]


def test_key_parts_are_in_the_key_process_and_in_no_other(bed, ctx, keys):
    gw = bed.gateway(bed.settings(bed.backend()))
    needles = all_parts(*keys)
    traffic(gw, ctx)
    there, _ = proc.search_memory(gw.key_process(), needles)
    assert any("p limbs" in x for x in there) and any("scalar" in x for x in there), \
        f"the search does not find the keys where they are: {sorted(there)}"
    assert search_gateway(gw, needles) == {}

    # after a reload: new workers, the old ones draining or gone, the keys read again
    gw.reload()
    traffic(gw, ctx)
    assert search_gateway(gw, needles) == {}

    # after a worker's crash: its successor, and the master that saw it
    victim = gw.workers()[0]
    os.kill(victim, signal.SIGSEGV)
    wait.until(lambda: len(gw.workers()) == 2 and victim not in gw.workers(), 20, "the worker's successor")
    traffic(gw, ctx)
    assert search_gateway(gw, needles) == {}

    # after the key process's death: the master passes the key files once more
    victim = gw.key_process()
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: gw.key_process() != victim, 20, "the key process's successor")
    wait.until(lambda: client.get(gw.port, ctx(version="1.3"))[0].status == 200, 10, "a full handshake")
    assert search_gateway(gw, needles) == {}


def test_a_core_dump_or_debugger_of_another_user_cannot_reach_any_process(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend()))
    client.get(gw.port, ctx())
    for title, pids in gw.roles().items():
        # a process that is not dumpable belongs to root in /proc, whoever runs it
        assert os.stat(f"/proc/{pids[0]}/environ").st_uid == 0, f"{title} is dumpable"
    with open(f"/proc/{gw.key_process()}/limits", encoding="ascii") as f:
        core = next(x for x in f if x.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core


def test_the_search_finds_a_key_that_a_worker_loaded(bed, ctx, keys, faults_build):
    gw = bed.gateway(bed.settings(bed.backend()), build=faults_build,
                     env={"SSLGW_FAULT": "local-key", "SSLGW_FAULT_KEY": keys[0].key_file})
    needles = all_parts(keys[0])
    wait.until(lambda: client.get(gw.port, ctx(version="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256"))[0], 10, "a request")
    assert any("worker" in title for title in search_gateway(gw, needles))


def test_quick_form_keeps_its_self_signed_key_out_of_the_workers(bed, ctx, pki):
    """The pair is made in the key process; its private half cannot be known here, so look for any DER
    or PEM header of a private key in the workers."""
    back = bed.backend()
    gw = bed.gateway({}, argv=[f"{bed.build}/sslgw", "--listen", "127.0.0.1:0", "--backend", back.address], name="quick")
    assert client.get(gw.port, client.context(pki, verify=False))[0].status == 200
    needles = {"pem": b"-----BEGIN PRIVATE KEY-----\nMI", "pem ec": b"-----BEGIN EC PRIVATE KEY-----\nMH"}
    assert search_gateway(gw, needles) == {}
    assert "self-signed" in gw.output()
