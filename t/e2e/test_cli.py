"""The command line: usage, exit statuses, help, the quick form."""
import re
import socket
import subprocess

import pytest

from bed import client, gateway, wait

PROGRAMS = ["sslgw", "sslgw-keysvc", "sslgw-cachesvc"]


def run(build, program, *args, timeout=20):
    got = subprocess.run([f"{build}/{program}", *args], capture_output=True, text=True, timeout=timeout, check=False,
                         stdin=subprocess.DEVNULL, env=gateway.environment())
    return got.returncode, got.stdout, got.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_a_terminal(build, program):
    status, out, err = run(build, program, "--help")
    lines = out.rstrip("\n").split("\n")
    assert status == 0 and not err and len(lines) <= 24 and max(map(len, lines)) <= 80, out
    for option in ("-c", "-t", "-T", "-V", "--help-config"):
        assert option in out


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_names_the_libraries(build, program):
    status, out, _ = run(build, program, "-V")
    assert status == 0 and re.search(r"sslgw\S* \d+\.\d+", out) and "OpenSSL 3" in out and "libevent" in out, out


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_config_lists_options(build, program):
    status, out, _ = run(build, program, "--help-config")
    assert status == 0 and len(out.split("\n")) > 5


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("args", [("--nonsense",), ("-Z",), ("extra",), ("-c",)], ids=" ".join)
def test_misuse_is_status_2_and_says_what(build, program, args):
    status, out, err = run(build, program, *args)
    assert status == 2 and err and not out, (status, out, err)


def test_a_near_miss_is_suggested(build):
    status, _, err = run(build, "sslgw", "--listne", "127.0.0.1:0")
    assert status == 2 and "--listen" in err, err


def test_the_quick_form_needs_both_ends(build):
    for args in (("--listen", "127.0.0.1:0"), ("--backend", "127.0.0.1:1"), ("--cert", "x"),
                 ("--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", "--cert", "/nowhere")):
        status, _, err = run(build, "sslgw", *args)
        assert status in (1, 2) and err, args


def test_a_port_in_use_is_status_3_and_names_file_and_line(bed):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        port = s.getsockname()[1]
        g = bed.gateway(bed.settings(bed.backend(), listeners=[{"address": f"127.0.0.1:{port}"}]), start=False)
        g.write()
        got = subprocess.run([f"{bed.build}/sslgw", "-c", g.config_file], capture_output=True, text=True, timeout=20,
                             env=gateway.environment(), check=False)
        assert got.returncode == 3, got.stderr
        assert re.search(rf"{re.escape(g.config_file)}:\d+:", got.stderr) and str(port) in got.stderr, got.stderr


def test_the_quick_form_with_a_certificate(bed, ctx, pki):
    leaf = pki.leaf("localhost", kind="ec")
    back = bed.backend()
    gw = bed.gateway({}, argv=[f"{bed.build}/sslgw", "--listen", "127.0.0.1:0", "--backend", back.address,
                               "--cert", leaf.chain_file, "--key", leaf.key_file])
    assert client.get(gw.port, ctx())[0].status == 200


def test_the_quick_form_makes_a_certificate_and_says_so(bed, pki):
    back = bed.backend()
    gw = bed.gateway({}, argv=[f"{bed.build}/sslgw", "--listen", "127.0.0.1:0", "--backend", back.address])
    assert client.get(gw.port, client.context(pki, verify=False))[0].status == 200
    assert "self-signed" in gw.output()
    assert back.seen


def test_the_ready_line_names_every_address(bed, ctx):
    gw = bed.gateway(bed.settings(bed.backend(), listeners=[
        {"address": "127.0.0.1:0"}, {"address": "127.0.0.2:0"}, {"address": "[::1]:0"}]))
    lines = [x for x in gw.output().split("\n") if "ready: " in x]
    assert len(lines) == 1 and len(gw.urls) == 3, lines
    assert client.get(gw.port, ctx())[0].status == 200


def test_it_starts_with_few_descriptors_and_refuses_with_too_few(bed):
    g = bed.gateway(bed.settings(bed.backend(), workers=1), start=False)
    g.write()
    for limit, starts in ((256, True), (40, False)):
        argv = ["bash", "-c", f"ulimit -n {limit}; exec {bed.build}/sslgw -c {g.config_file}"]
        one = gateway.Gateway(bed.build, bed.folder, g.settings, argv=argv, name=f"limit{limit}")
        if starts:
            one.start()
            one.stop()
        else:
            got = subprocess.run(argv, capture_output=True, text=True, timeout=20, env=gateway.environment(), check=False)
            assert got.returncode in (1, 3) and "descriptors" in got.stderr, got.stderr


def test_the_sample_configuration_is_one_that_parses(build, tmp_path):
    import os
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "etc")
    status, out, err = run(build, "sslgw", "-t", "-c", f"{top}/gateway.conf")
    # its certificates are not on this machine; nothing else may be wrong with it
    for line in (out + err).strip().split("\n"):
        assert status == 0 or re.search(r"\.pem|\.key|private|user", line), line
