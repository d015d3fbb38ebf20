"""sslgwctl: the cluster's identities, a set of configurations that works, the test of resumption."""
import datetime
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

from bed import daemon, gateway, wait

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def ctl(build):
    def run(*words, status=0, **more):
        got = subprocess.run([f"{build}/sslgwctl", *map(str, words)], capture_output=True, text=True, timeout=60,
                             env=gateway.environment(), check=False, **more)
        assert got.returncode == status, f"{words}: {got.returncode}\n{got.stdout}{got.stderr}"
        return got
    return run


@pytest.fixture
def ca(ctl, tmp_path):
    ctl("pki", "init", tmp_path / "pki")
    return tmp_path / "pki"


def load(path):
    with open(path, "rb") as f:
        return x509.load_pem_x509_certificate(f.read())


def fits(prefix):
    with open(f"{prefix}.key", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    return key.public_key().public_numbers() == load(f"{prefix}.pem").public_key().public_numbers()


def make_older(folder, by):
    """As if all had been issued earlier: the list is what renewal goes by."""
    def earlier(found):
        at = datetime.datetime.strptime(found.group(0), "%Y-%m-%dT%H:%M:%SZ") - by
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = (folder / "issued").read_text()
    (folder / "issued").write_text(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", earlier, text))


# ---- the command line

def test_a_slip_of_the_hand_is_told_the_nearest_name(ctl):
    assert "did you mean pki?" in ctl("pik", status=2).stderr
    assert "did you mean renew?" in ctl("pki", "renwe", status=2).stderr
    assert "did you mean --role?" in ctl("pki", "issue", "x", "y", "--roll", "gateway", status=2).stderr
    assert "did you mean" not in ctl("frobnicate", status=2).stderr


@pytest.mark.parametrize("command", [[], ["pki"]])
def test_help_lists_each_command_and_each_has_its_own(ctl, command):
    names = re.findall(r"^  (\w+) ", ctl(*command, "--help").stdout, re.M)
    assert len(names) >= 3
    for name in names:
        assert "usage: sslgwctl" in ctl(*command, name, "--help").stdout


# ---- pki

def test_an_identity_says_who_it_is_and_only_its_owner_reads_the_key(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    cert, root = load(ca / "gw1.pem"), load(ca / "ca.pem")
    names = cert.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert names.get_values_for_type(x509.DNSName) == ["gw1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["sslgw:gateway"]
    assert cert.issuer == root.subject and fits(ca / "gw1")
    root.public_key().verify(cert.signature, cert.tbs_certificate_bytes,
                             ec.ECDSA(cert.signature_hash_algorithm))
    left = cert.not_valid_after - datetime.datetime.utcnow()
    assert 23 * HOUR < left <= 24 * HOUR
    assert load(ca / "ca.pem").not_valid_after - datetime.datetime.utcnow() > datetime.timedelta(days=3650)
    for key in ("gw1.key", "ca.key"):
        assert stat.S_IMODE(os.stat(ca / key).st_mode) == 0o600


def test_nothing_is_overwritten_without_force(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    before = {f: (ca / f).read_bytes() for f in ("ca.key", "ca.pem", "gw1.key", "gw1.pem", "issued")}
    assert "--force" in ctl("pki", "init", ca, status=1).stderr
    assert "--force" in ctl("pki", "issue", ca, "gw1", "--role", "gateway", status=1).stderr
    assert before == {f: (ca / f).read_bytes() for f in before}
    ctl("pki", "issue", ca, "gw1", "--role", "gateway", "--force")
    assert (ca / "gw1.key").read_bytes() != before["gw1.key"] and fits(ca / "gw1")


@pytest.mark.parametrize("words, says", [
    (["gw1"], "which --role?"), (["gw1", "--role", "gatway"], "gateway, keysvc, cachesvc or operator"),
    (["../gw1", "--role", "gateway"], "a-z"), (["ca", "--role", "gateway"], "taken"),
    (["gw1", "--role", "gateway", "--hours", "0"], "number of hours"), ([], "one machine")])
def test_a_wrong_issue_says_how_it_is_right(ctl, ca, words, says):
    assert says in ctl("pki", "issue", ca, *words, status=2).stderr
    assert not (ca / "gw1.key").exists()


def test_what_is_no_ca_is_told_how_to_become_one(ctl, tmp_path):
    assert "sslgwctl pki init" in ctl("pki", "issue", tmp_path, "gw1", "--role", "gateway", status=1).stderr
    assert "sslgwctl pki init" in ctl("pki", "list", tmp_path / "none", status=1).stderr


def test_a_ca_key_that_others_can_read_signs_nothing(ctl, ca):
    os.chmod(ca / "ca.key", 0o640)
    assert "chmod 600" in ctl("pki", "issue", ca, "gw1", "--role", "gateway", status=1).stderr


def test_renewal_comes_at_half_of_the_life_and_brings_a_new_key(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    first = load(ca / "gw1.pem")
    make_older(ca, 11 * HOUR)
    assert ctl("pki", "renew", ca).stdout == ""
    assert load(ca / "gw1.pem") == first
    make_older(ca, 2 * HOUR)
    assert "gw1: renewed" in ctl("pki", "renew", ca).stdout
    second = load(ca / "gw1.pem")
    assert second.serial_number != first.serial_number and fits(ca / "gw1")
    assert second.public_key().public_numbers() != first.public_key().public_numbers()
    assert 23 * HOUR < second.not_valid_after - datetime.datetime.utcnow() <= 24 * HOUR
    assert ctl("pki", "renew", ca).stdout == ""


def test_renewal_tells_the_daemon_and_runs_the_command_only_if_something_is_new(ctl, ca, tmp_path):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway", "--out", tmp_path / "elsewhere")
    ctl("pki", "issue", ca, "ks1", "--role", "keysvc")
    daemon_like = subprocess.Popen(
        [sys.executable, "-c", "import signal, sys\nhup = [signal.SIGHUP]\nsignal.pthread_sigmask(signal.SIG_BLOCK, hup)\n"
         "print('up', flush=True)\nsignal.sigwait(hup)\nsys.exit(7)"], stdout=subprocess.PIPE, text=True)
    assert daemon_like.stdout.readline() == "up\n"
    (tmp_path / "pid").write_text(f"{daemon_like.pid}\n")
    told = ["--exec", f"echo $SSLGW_RENEWED >> {tmp_path}/told", "--reload", tmp_path / "pid"]
    ctl("pki", "renew", ca, *told)
    assert not (tmp_path / "told").exists() and daemon_like.poll() is None
    assert ctl("pki", "renew", ca, "gw1", "--all", "--quiet", *told).stdout == ""
    assert (tmp_path / "told").read_text() == "gw1\n"
    assert daemon_like.wait(5) == 7
    assert fits(tmp_path / "elsewhere")
    assert "process" in ctl("pki", "renew", ca, "gw1", "--all", "--reload", tmp_path / "pid", status=1).stderr
    assert "ended with 3" in ctl("pki", "renew", ca, "gw1", "--all", "--exec", "exit 3", status=1).stderr


def test_renewal_keeps_the_rights_of_the_files(ctl, ca):
    ctl("pki", "issue", ca, "ks1", "--role", "keysvc")
    os.chmod(ca / "ks1.key", 0o640)
    if os.getuid() == 0:
        os.chown(ca / "ks1.key", 4242, 4243)
    before = os.stat(ca / "ks1.key")
    ctl("pki", "renew", ca, "--all")
    after = os.stat(ca / "ks1.key")
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_reader_sees_whole_files_while_they_are_renewed(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    seen, wrong, over = 0, [], threading.Event()

    def read():
        nonlocal seen
        while not over.is_set():
            try:
                load(ca / "gw1.pem")
                serialization.load_pem_private_key((ca / "gw1.key").read_bytes(), None)
                seen += 1
            except (OSError, ValueError) as error:
                wrong.append(error)
    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        ctl("pki", "renew", ca, "--all")
    over.set()
    reader.join()
    assert not wrong and seen > 10
    assert sorted(os.listdir(ca)) == ["ca.key", "ca.pem", "deny", "gw1.key", "gw1.pem", "issued"]


def test_what_an_interrupted_renewal_left_is_mended_by_the_next(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    old = (ca / "gw1.pem").read_bytes()
    ctl("pki", "renew", ca, "--all")
    (ca / "gw1.pem").write_bytes(old)
    assert "files do not fit" in ctl("pki", "list", ca).stdout
    ctl("pki", "renew", ca)
    assert fits(ca / "gw1") and re.search(r"gw1 +gateway +good", ctl("pki", "list", ca).stdout)


def spki(path):
    der = load(path).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def denied(path):
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_a_denial_covers_each_key_of_the_name_that_is_still_good(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    ctl("pki", "issue", ca, "gw2", "--role", "gateway")
    keys = [spki(ca / "gw1.pem")]
    ctl("pki", "renew", ca, "gw1", "--all")
    keys.append(spki(ca / "gw1.pem"))
    said = ctl("pki", "deny", ca, "gw1").stdout
    assert denied(ca / "deny") == keys
    assert "epoch new --now --revoke-old" in said and "groups" in said
    ctl("pki", "deny", ca, "gw1", ca / "gw1.pem", keys[0])
    assert denied(ca / "deny") == keys
    assert re.search(r"gw1 +gateway +denied", ctl("pki", "list", ca).stdout)
    assert re.search(r"gw2 +gateway +good", ctl("pki", "list", ca).stdout)


def test_a_denied_identity_is_not_renewed_but_issued_anew_on_purpose(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    ctl("pki", "deny", ca, "gw1")
    before = (ca / "gw1.pem").read_bytes()
    assert "denied" in ctl("pki", "renew", ca, "--all").stderr
    assert (ca / "gw1.pem").read_bytes() == before
    ctl("pki", "issue", ca, "gw1", "--role", "gateway", "--force")
    assert spki(ca / "gw1.pem") not in denied(ca / "deny")
    assert re.search(r"gw1 +gateway +good", ctl("pki", "list", ca).stdout)


def test_who_is_unknown_cannot_be_denied_or_renewed(ctl, ca):
    assert "pki list" in ctl("pki", "deny", ca, "nobody", status=1).stderr
    assert "pki list" in ctl("pki", "renew", ca, "nobody", status=1).stderr
    assert denied(ca / "deny") == []


def test_a_key_server_that_is_denied_costs_the_sites_keys(ctl, ca):
    ctl("pki", "issue", ca, "ks1", "--role", "keysvc")
    assert "revoked" in ctl("pki", "deny", ca, "ks1").stdout


def test_what_is_forgotten_is_renewed_no_more_but_can_be_denied(ctl, ca):
    ctl("pki", "issue", ca, "gw1", "--role", "gateway")
    key = spki(ca / "gw1.pem")
    ctl("pki", "forget", ca, "gw1")
    assert ctl("pki", "renew", ca, "--all").stdout == ""
    assert "gw1" not in ctl("pki", "list", ca).stdout
    ctl("pki", "deny", ca, "gw1")
    assert denied(ca / "deny") == [key]


# ---- init

class Set:
    """What init wrote for this machine, running."""

    def __init__(self, bed, ctl, dir_name="cluster", gateways=2, keys=2, caches=1, more=()):
        self.bed, self.dir = bed, f"{bed.folder}/{dir_name}"
        self.backend = bed.backend()
        ports = {}

        def part(role, name):
            ports[name] = wait.free_port()
            return [f"--{role}", f"{name}=127.0.0.1:{ports[name]}"]
        words = [w for n in range(gateways) for w in part("gateway", f"gw{n + 1}")]
        words += [w for n in range(keys) for w in part("keysvc", f"ks{n + 1}")]
        words += [w for n in range(caches) for w in part("cachesvc", f"cs{n + 1}")]
        leaf = bed.pki.leaf("www.example.com", kind="ec")
        self.said = ctl("init", "--dir", self.dir, *words, "--backend", self.backend.address, "--site", "www.example.com",
                        "--certificate", leaf.chain_file, "--key", leaf.key_file, "--here", *more).stdout
        os.chmod(self.dir, 0o711)
        self.ports, self.parts = ports, {}
        for role, program in (("keysvc", "sslgw-keysvc"), ("cachesvc", "sslgw-cachesvc"), ("gateway", "sslgw")):
            for name in sorted(ports):
                if os.path.exists(f"{self.dir}/{name}/{role}.conf"):
                    with open(f"{self.dir}/{name}/{role}.conf", encoding="utf-8") as f:
                        self.parts[name] = daemon.Daemon(bed.build, f"{self.dir}/{name}", program, role, f.read())

    def start(self):
        for part in self.parts.values():
            self.bed.running.append(part)
            part.start()
        return self

    def gateways(self):
        return [w for name in sorted(self.parts) if name.startswith("gw")
                for w in ("--gateway", f"127.0.0.1:{self.ports[name]}")]


def test_what_init_writes_is_good_for_each_program(bed, ctl):
    written = Set(bed, ctl)
    assert len(written.parts) == 5
    for part in written.parts.values():
        got = part.check()
        assert got.returncode == 0, got.stderr
        assert not re.search(r"warn|ignored", got.stderr)


def test_init_writes_over_nothing_and_keeps_the_ca_if_forced(bed, ctl):
    written = Set(bed, ctl)
    ca_before = load(f"{written.dir}/pki/ca.pem")
    words = ["init", "--dir", written.dir, "--gateway", "gw1=127.0.0.1:1", "--keysvc", "ks1=127.0.0.1:2", "--backend",
             "127.0.0.1:3", "--site", "a.example"]
    assert "--force" in ctl(*words, status=1).stderr
    ctl(*words, "--force")
    assert load(f"{written.dir}/pki/ca.pem") == ca_before


@pytest.mark.parametrize("words, says", [
    (["--keysvc", "ks1=10.0.1.1"], "no gateway"), (["--gateway", "gw1=10.0.0.1"], "no key server"),
    (["--gateway", "gw1"], "NAME=ADDRESS"), (["--gateway", "gw1=www.example.com"], "NAME=ADDRESS"),
    (["--gateway", "gw1=10.0.0.1", "--gateway", "gw1=10.0.0.2"], "twice"),
    (["--certificate", "x.pem"], "--site before it"), (["--backend", "10.0.9.1"], "HOST:PORT"),
    (["--gatewy", "gw1=10.0.0.1"], "did you mean --gateway?"),
    (["--gateway", "gw1=10.0.0.1", "--keysvc", "ks1=10.0.1.1", "--backend", "b:80"], "--site")])
def test_a_wrong_init_says_how_it_is_right_and_writes_nothing(ctl, tmp_path, words, says):
    assert says in ctl("init", "--dir", tmp_path / "new", *words, status=2).stderr
    assert not (tmp_path / "new").exists()


def test_a_key_of_no_certificate_is_refused(ctl, pki, tmp_path):
    one, other = pki.leaf("one.example", kind="ec"), pki.leaf("other.example", kind="ec")
    said = ctl("init", "--dir", tmp_path / "new", "--gateway", "gw1=127.0.0.1:1", "--keysvc", "ks1=127.0.0.1:2", "--backend",
               "127.0.0.1:3", "--site", "one.example", "--certificate", one.chain_file, "--key", other.key_file, status=1)
    assert "is the key of no --certificate" in said.stderr
    assert not (tmp_path / "new").exists()


# ---- selftest

def test_a_set_of_init_serves_and_passes_its_selftest(bed, ctl, pki):
    running = Set(bed, ctl).start()
    got = ctl("selftest", *running.gateways(), "--sni", "www.example.com", "--ca", pki.ca.chain_file)
    assert got.stdout.count("ok     ok") == 6 and "Any gateway resumes" in got.stdout
    for name in ("gw1", "gw2"):
        answer = subprocess.run(["curl", "-s", "--cacert", pki.ca.chain_file, "--resolve",
                                 f"www.example.com:{running.ports[name]}:127.0.0.1",
                                 f"https://www.example.com:{running.ports[name]}/"], capture_output=True, timeout=20, check=True)
        assert answer.stdout == b"ok"


def test_selftest_names_the_cache_where_only_ids_are_not_resumed(bed, ctl):
    running = Set(bed, ctl).start()
    running.parts["cs1"].kill()
    got = ctl("selftest", *running.gateways(), status=1)
    assert "session_cache" in got.stdout or "session cache" in got.stdout
    table = got.stdout.split("TLS 1.2 id")[0]
    assert "FULL" not in table


def test_selftest_names_the_gateway_of_another_secret(bed, ctl):
    one, other = Set(bed, ctl).start(), Set(bed, ctl, "other", gateways=1, keys=1, caches=0).start()
    odd = other.gateways()
    got = ctl("selftest", *one.gateways(), *odd, status=1)
    assert f"{odd[1]} and {one.gateways()[1]} do not resume each other's sessions" in got.stdout
    assert "key_service.servers" in got.stdout
    assert got.stdout.count("do not resume each other") == 1


def test_selftest_says_which_gateway_is_not_there(bed, ctl):
    running = Set(bed, ctl, gateways=1, keys=1, caches=0).start()
    gone = f"127.0.0.1:{wait.free_port()}"
    got = ctl("selftest", *running.gateways(), "--gateway", gone, status=1)
    assert f"{gone} makes no handshake.\n   no connection: Connection refused" in got.stdout


def test_selftest_tells_another_policy_for_client_certificates(bed, ctl, pki):
    running = Set(bed, ctl)
    conf = running.parts["gw2"].settings
    running.parts["gw2"].settings = conf.replace(
        "routes       =", f"client_certificate = {{ verify = \"optional\"; ca_file = \"{pki.client_ca.chain_file}\"; }};\n"
        "        routes       =")
    running.start()
    got = ctl("selftest", *running.gateways(), status=1)
    assert "client_certificate.verify differs" in got.stdout


def test_selftest_resumes_sessions_with_a_client_certificate(bed, ctl, pki):
    client = pki.client("ctl client")
    site = bed.site(client_certificate={"verify": "require", "ca_file": pki.client_ca.chain_file})
    gate = bed.gateway(bed.settings(bed.backend(), sites=[site]))
    where = ["--gateway", f"127.0.0.1:{gate.port}", "--sni", "localhost"]
    assert "resumes what any other" in ctl("selftest", *where, "--cert", client.chain_file, "--key", client.key_file).stdout
    assert "it wants a client's certificate (--cert)" in ctl("selftest", *where, status=1).stdout


def test_a_renewed_identity_is_taken_by_running_daemons(bed, ctl):
    running = Set(bed, ctl).start()
    ctl("pki", "renew", f"{running.dir}/pki", "--all")
    for part in running.parts.values():
        part.signal(signal.SIGHUP)
    # The peers' connections of before stay; new ones are made under the new identities.
    running.parts["ks1"].restart()
    wait.until(lambda: ctl("selftest", *running.gateways()), 20, "the test passes")
