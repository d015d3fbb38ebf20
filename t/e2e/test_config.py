"""sslgw -t with wrong configurations: file, line, what, and how to mend it; exit status 1; within a second."""
import os
import re
import resource
import subprocess
import time

import pytest

from bed import pki as pki_module

GOOD = '''\
listeners = ( { address = "127.0.0.1:0"; } );
sites = (
  { names = [ "localhost" ];
    certificates = [ "@CERT@" ];
    routes = ( { path = "/"; pool = "main"; } ); } );
pools = ( { name = "main"; servers = ( { address = "127.0.0.1:8080"; } ); } );
private_keys = [ "@KEY@" ];
runtime_dir = "@DIR@/run";
state_dir = "@DIR@/state";
'''

# name: (what to replace, by what, the line that must be named, what the message must say)
WRONG = {
    "an unknown key": ("runtime_dir =", "runtime_dri =", 8, r"runtime_dri.*runtime_dir"),
    "an unknown key within": ('pool = "main"; }', 'poool = "main"; }', 5, r"poool.*pool"),
    "a key given twice": ('runtime_dir = "@DIR@/run";', 'runtime_dir = "@DIR@/run"; runtime_dir = "/x";', 8, r"runtime_dir|duplicate"),
    "a number for a string": ('path = "/"', "path = 7", 5, r"path.*string"),
    "a string for a list": ('names = [ "localhost" ]', "names = true", 3, r"names"),
    "a bare size": ('private_keys', 'session_cache = { max_memory = 512M; };\nprivate_keys', 7, r"512M.*\"512M\"|quot"),
    "a size without sense": ('private_keys', 'session_cache = { max_memory = "512Q"; };\nprivate_keys', 7, r"512Q"),
    "a time without unit": ('private_keys', 'timeouts = { idle = "75"; };\nprivate_keys', 7, r"idle.*75"),
    "a time out of range": ('private_keys', 'timeouts = { idle = "999999h"; };\nprivate_keys', 7, r"idle"),
    "a number out of range": ("listeners =", "workers = -3;\nlisteners =", 1, r"workers.*0 to"),
    "a number too long": ("listeners =", "workers = 4294967297;\nlisteners =", 1, r"4294967297"),
    "yes for true": ("listeners =", "workers = yes;\nlisteners =", 1, r"yes|true|number|integer"),
    "a missing semicolon": ('runtime_dir = "@DIR@/run";', 'runtime_dir = "@DIR@/run"\nfoo', (8, 9, 10), r"= is missing|;"),
    "a trailing comma": ('"127.0.0.1:8080"; } )', '"127.0.0.1:8080"; }, )', 6, r"comma"),
    "an open bracket": ('private_keys = [ "@KEY@" ];', 'private_keys = [ "@KEY@" ;', 7, r"syntax|\]"),
    "an open string": ('runtime_dir = "@DIR@/run";', 'runtime_dir = "@DIR@/run;', (8, 9, 10), r"syntax|string|quot|setting"),
    "a listener without address": ('{ address = "127.0.0.1:0"; }', "{ }", 1, r"address"),
    "a listener's address without port": ("127.0.0.1:0", "127.0.0.1", 1, r"127\.0\.0\.1"),
    "a port out of range": ("127.0.0.1:0", "127.0.0.1:70000", 1, r"70000"),
    "a listener twice": ('{ address = "127.0.0.1:0"; }', '{ address = "127.0.0.1:8443"; }, { address = "127.0.0.1:8443"; }', 1, r"8443"),
    "an unknown mode": ('"127.0.0.1:0";', '"127.0.0.1:0"; mode = "tsl";', 1, r"tsl.*tls"),
    "no listeners": ('listeners = ( { address = "127.0.0.1:0"; } );', "", 1, r"listener"),
    "no sites": (re.compile(r"sites = .*?\} \);\n", re.S), "", 1, r"site"),
    "a site without certificates": ('certificates = [ "@CERT@" ];', "", 3, r"certificates = \["),
    "a site without routes": ('routes = ( { path = "/"; pool = "main"; } );', "", 3, r"routes = \("),
    "a site without names": ('names = [ "localhost" ];', "", 3, r"names"),
    "a name that is none": ('"localhost"', '"local host"', 3, r"local host"),
    "a wildcard in the middle": ('"localhost"', '"a.*.test"', 3, r"a\.\*\.test"),
    "a name twice": ('"localhost"', '"localhost", "LOCALHOST"', 3, r"localhost"),
    "a certificate that is not there": ("@CERT@", "/nowhere/x.pem", 4, r"/nowhere/x\.pem"),
    "a certificate file that holds a key": ("@CERT@", "@BOTH@", 4, r"(?i)private key"),
    "a certificate file that holds none": ("@CERT@", "@EMPTY@", 4, r"certificate"),
    "a certificate whose key is missing": ("@KEY@", "@OTHERKEY@", 4, r"@OTHERKEY@|key"),
    "a key file that is not there": ("@KEY@", "/nowhere/x.key", 7, r"/nowhere/x\.key"),
    "a key file that is none": ("@KEY@", "@EMPTY@", 7, r"empty"),
    "a route to no pool": ('pool = "main"; }', 'pool = "mian"; }', 5, r"no pool \"mian\""),
    "a route without slash": ('path = "/"', 'path = "asp"', 5, r"asp"),
    "a route twice": ('{ path = "/"; pool = "main"; }', '{ path = "/"; pool = "main"; }, { path = "/"; pool = "main"; }', 5, r"/"),
    "a pool twice": ('pools = (', 'pools = ( { name = "main"; servers = ( { address = "127.0.0.1:1"; } ); },', 6, r"main"),
    "a pool without servers": ('servers = ( { address = "127.0.0.1:8080"; } );', "", 6, r"servers"),
    "a server without port": ("127.0.0.1:8080", "127.0.0.1", 6, r"port"),
    "an unknown profile": ("certificates =", 'tls_profile = "moderm"; certificates =', 4, r"moderm.*modern"),
    "versions that contradict": ("certificates =", 'min_version = "1.3"; max_version = "1.2"; certificates =', 4, r"version"),
    "an unknown cipher": ("certificates =", 'ciphers = "NO-SUCH-CIPHER"; certificates =', 4, r"NO-SUCH-CIPHER"),
    "an unknown rule for clients": ("certificates =", 'client_certificate = { verify = "requires"; }; certificates =', 4, r"requires.*require"),
    "a demand without a CA": ("certificates =", 'client_certificate = { verify = "require"; }; certificates =', 4, r"ca_file"),
    "a CA that is not there": ("certificates =", 'client_certificate = { verify = "require"; ca_file = "/nowhere/ca.pem"; }; certificates =',
                               4, r"/nowhere/ca\.pem"),
    "an unset variable": ('"@DIR@/run"', '"${SSLGW_NOT_SET}/run"', 8, r"SSLGW_NOT_SET"),
    "a user that is not there": ("listeners =", 'user = "nobody-by-this-name";\nlisteners =', 1, r"nobody-by-this-name"),
    "an unknown header profile": ("certificates =", 'headers = [ "mod_ss" ]; certificates =', 4, r"mod_ss.*mod_ssl"),
    "an include folder that is not there": ("listeners =", 'include_dir = "nowhere.d";\nlisteners =', 1, r"nowhere\.d"),
}


@pytest.fixture(scope="module")
def words(shared, pki):
    leaf = pki.leaf("localhost", kind="rsa")
    folder = f"{shared.folder}/words"
    os.mkdir(folder)
    with open(leaf.chain_file, "rb") as a, open(leaf.key_file, "rb") as b:
        pki_module.write(f"{folder}/both.pem", a.read() + b.read(), 0o600)
    pki_module.write(f"{folder}/empty", b"")
    return {"CERT": leaf.chain_file, "KEY": leaf.key_file, "DIR": shared.folder, "BOTH": f"{folder}/both.pem",
            "EMPTY": f"{folder}/empty", "OTHERKEY": pki.leaf("other.test", kind="ec").key_file}


def filled(text, words):
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def cpu_s():
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check(build, path, *more):
    """(exit status, what it says, (seconds of CPU, seconds))"""
    began, used = time.monotonic(), cpu_s()
    got = subprocess.run([f"{build}/sslgw", "-t", "-c", path, *more], capture_output=True, text=True, errors="replace",
                         timeout=20, check=False)
    return got.returncode, got.stdout + got.stderr, (cpu_s() - used, time.monotonic() - began)


def test_a_good_one_passes(build, tmp_path, words):
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(GOOD, words).encode())
    status, text, _ = check(build, path)
    assert status == 0, text


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_told_with_file_line_and_mend(build, tmp_path, words, name):
    old, new, line, says = WRONG[name]
    text = old.sub(new, GOOD) if isinstance(old, re.Pattern) else GOOD.replace(old, new, 1)
    assert text != GOOD
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(text, words).encode())
    status, told, (cpu, seconds) = check(build, path)
    assert status == 1, f"exit status {status}: {told}"
    lines = line if isinstance(line, tuple) else (line,)
    assert any(f"{path}:{n}:" in told for n in lines), f"not at line {line}: {told}"
    assert re.search(filled(says, words), told), told
    assert len(told.strip().split("\n")) <= 6, f"more than a few lines: {told}"
    if not os.environ.get("SSLGW_SLOW"):
        # What it takes by itself; and it waits for nobody, though others may have the CPU meanwhile.
        assert cpu < (1 if "asan" not in build else 5) and seconds < 10, f"took {cpu:.2f} s of CPU, {seconds:.2f} s"


def test_all_errors_of_a_file_at_once(build, tmp_path, words):
    text = GOOD.replace('pool = "main"; }', 'pool = "mian"; }').replace("runtime_dir", "runtime_dri") \
        .replace("127.0.0.1:8080", "127.0.0.1:80800").replace('"localhost"', '"local host"')
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(text, words).encode())
    status, told, _ = check(build, path)
    assert status == 1
    for line in (3, 5, 6, 8):
        assert f"{path}:{line}:" in told, told


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{" * 100000, b"a = " + b"(" * 5000, b"\xff\xfe", b"x = \"" + b"y" * 2_000_000],
                         ids=["empty", "NULs", "braces", "deep", "not UTF-8", "long"])
def test_rubbish_is_told_too(build, tmp_path, content):
    path = pki_module.write(f"{tmp_path}/gateway.conf", content)
    status, told, _ = check(build, path)
    assert status == 1 and path in told, told[:500]


def test_a_file_that_is_not_there_or_a_folder(build, tmp_path):
    for path in (f"{tmp_path}/none.conf", str(tmp_path)):
        status, told, _ = check(build, path)
        assert status == 1 and path in told


def test_an_error_in_an_included_file_names_that_file(build, tmp_path, words):
    os.mkdir(f"{tmp_path}/pools.d")
    text = GOOD.replace("listeners =", 'include_dir = "pools.d";\nlisteners =')
    main = pki_module.write(f"{tmp_path}/gateway.conf", filled(text, words).encode())
    part = pki_module.write(f"{tmp_path}/pools.d/10.conf", b"# a comment\n\nwokers = 2;\n")
    status, told, _ = check(build, main)
    assert status == 1 and f"{part}:3:" in told and "workers" in told, told
    pki_module.write(part, b"workers = 2;\n")
    assert check(build, main)[0] == 0


def test_variables_come_from_the_environment(build, tmp_path, words):
    text = GOOD.replace("@CERT@", "${CERT_FILE}")
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(text, words).encode())
    got = subprocess.run([f"{build}/sslgw", "-t", "-c", path], env={**os.environ, "CERT_FILE": words["CERT"]}, check=False)
    assert got.returncode == 0


def test_the_effective_configuration_is_one_that_passes(build, tmp_path, words):
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(GOOD, words).encode())
    got = subprocess.run([f"{build}/sslgw", "-T", "-c", path], capture_output=True, check=False, timeout=20)
    assert got.returncode == 0 and b"session_lifetime" in got.stdout
    again = pki_module.write(f"{tmp_path}/effective.conf", got.stdout)
    status, told, _ = check(build, again)
    assert status == 0, told
    second = subprocess.run([f"{build}/sslgw", "-T", "-c", again], capture_output=True, check=False, timeout=20)
    assert second.stdout == got.stdout


def test_a_wrong_certificate_order_or_mixed_pair_is_told(build, tmp_path, pki, words):
    a, b = pki.leaf("localhost", kind="rsa"), pki.leaf("other.test", kind="rsa")
    text = GOOD.replace('[ "@KEY@" ]', f'[ "{b.key_file}" ]')
    path = pki_module.write(f"{tmp_path}/gateway.conf", filled(text, words).encode())
    status, told, _ = check(build, path)
    assert status == 1 and a.chain_file in told, told
