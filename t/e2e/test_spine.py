"""The spine: one request through all rooms, by the clients that people use."""
import subprocess

import pytest

from bed import client, proc


@pytest.fixture(scope="module")
def world(shared):
    apache = shared.apache()
    return shared.gateway(shared.settings(apache)), apache


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_get_through_apache_by_python(world, ctx, version, kind):
    gw, _ = world
    if version == "1.2":
        c = ctx(version="1.2", ciphers=f"ECDHE-{kind}-AES128-GCM-SHA256")
    elif kind == "RSA":
        pytest.skip("Python cannot choose TLS 1.3 signature algorithms; s_client does below")
    else:
        c = ctx(version="1.3")
    got, facts, _ = client.get(gw.port, c, "/a/path?with=query")
    assert got.status == 200 and facts[0] == f"TLSv{version}"
    assert got.body.decode().split("\n")[0] == "GET /a/path?with=query HTTP/1.1"


@pytest.mark.parametrize("options", [
    ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha384"),
    ("-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"), ("-tls1_3", "-groups", "P-256"), ("-tls1_3", "-groups", "X25519"),
    ("-tls1_2", "-sigalgs", "RSA+SHA256"), ("-tls1_2", "-sigalgs", "RSA-PSS+SHA256"),
    ("-tls1_2", "-sigalgs", "RSA+SHA512"), ("-tls1_2", "-sigalgs", "ECDSA+SHA256"),
    ("-tls1_2", "-groups", "P-384"), ("-tls1_2", "-groups", "X25519"), ("-tls1_3", "-groups", "P-521:X25519")],
    ids=lambda o: " ".join(o))
def test_every_signature_and_group_by_s_client(world, pki, options):
    gw, _ = world
    status, text = client.s_client(gw.port, "-CAfile", pki.ca.chain_file, "-verify_return_error", *options)
    assert status == 0 and "Verify return code: 0 (ok)" in text, text


def test_get_by_curl(world, pki):
    gw, _ = world
    status, body, error = client.curl(f"https://localhost:{gw.port}/curl", "--cacert", pki.ca.chain_file,
                                      "--resolve", f"localhost:{gw.port}:127.0.0.1")
    assert status == 0 and body.startswith(b"GET /curl HTTP/1.1\n"), error


@pytest.mark.parametrize("priority", ["NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3"])
def test_get_by_gnutls(world, pki, priority):
    gw, _ = world
    got = subprocess.run(
        ["gnutls-cli", "--x509cafile", pki.ca.chain_file, "--priority", priority, "-p", str(gw.port), "localhost"],
        input=b"GET /gnutls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", capture_output=True, timeout=20,
        check=False)
    assert b"GET /gnutls HTTP/1.1" in got.stdout, got.stdout.decode() + got.stderr.decode()


def test_keep_alive_serves_many_requests_on_one_connection_and_one_upstream(world, ctx):
    gw, _ = world
    before = gw.counter("sslgw_upstream_connections_total")
    with client.Client(gw.port, ctx()) as c:
        for n in range(50):
            got = c.get(f"/{n}")
            assert got.status == 200 and got.body.startswith(f"GET /{n} ".encode())
    assert gw.counter("sslgw_upstream_connections_total") - before <= 3


def test_processes_have_their_roles_and_titles(world):
    gw, _ = world
    titles = gw.roles()
    assert {"sslgw: worker 0", "sslgw: worker 1", "sslgw: monitor", "sslgw-keysvc: embedded",
            "sslgw-cachesvc: embedded"} <= set(titles), titles
    assert proc.title(gw.pid) == "sslgw: master"


@pytest.mark.root
def test_roles_have_dropped_their_rights_and_differ(world):
    gw, _ = world
    uids = {}
    for title, pids in gw.roles().items():
        uids[title] = proc.status(pids[0], "Uid").split()
        assert len(set(uids[title])) == 1 and uids[title][0] != "0", f"{title} has uids {uids[title]}"
        assert proc.status(pids[0], "CapEff") == "0" * 16, title
        assert proc.status(pids[0], "CapPrm") == "0" * 16, title
    apart = {uids["sslgw: worker 0"][0], uids["sslgw-keysvc: embedded"][0], uids["sslgw-cachesvc: embedded"][0]}
    assert len(apart) == 3, uids


@pytest.mark.root
def test_no_listening_socket_or_key_file_is_open_where_it_should_not_be(world, pki):
    gw, _ = world
    for title, pids in gw.roles().items():
        for pid in pids:
            names = proc.descriptors(pid).values()
            assert not [n for n in names if n.startswith(pki.folder + "/keys")], title


def test_access_log_has_the_request(world, ctx):
    from bed import wait
    gw, _ = world
    client.get(gw.port, ctx(), "/logged?x=1", fields={"User-Agent": 'a "quoted" \\ agent', "Referer": "https://r.test/"})
    line = wait.until(lambda: [x for x in gw.access() if "/logged?x=1" in x], 5, "a line in the access log")[0]
    assert line.startswith("127.0.0.1 - - [") and '"GET /logged?x=1 HTTP/1.1" 200 ' in line
    assert line.endswith('"https://r.test/" "a \\"quoted\\" \\\\ agent"'), line
