"""./dev: the two commands' second half, as a user sees it; and what it leaves behind: nothing."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from bed import client, proc, wait

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.plain


def run(build, *args, timeout=90):
    return subprocess.run([f"{TOP}/t/run", build, *args], capture_output=True, text=True, timeout=timeout, check=False)


def left_behind(build):
    """Files of a run, wherever it may have put them."""
    return [p for p in [f"{build}/run"] if os.path.exists(p)] + [f for f in os.listdir("/tmp") if f.startswith("sslgw-run.")]


def test_once_shows_one_request_and_leaves_nothing(build):
    got = run(build, "--once", "--port", "0")
    assert got.returncode == 0, got.stdout + got.stderr
    box = got.stdout
    assert box.count("┌") == 1 and re.search(r"private key: in process \d+ \(sslgw-keysvc\), in no worker", box)
    assert "GET /hello HTTP/1.1" in box and "X-SSL-PROTOCOL: TLSv1.3" in box and "curl --cacert" in box
    assert not left_behind(build)
    sessions = [int(p) for p in re.findall(r"process (\d+)\)", box)]
    assert len(sessions) == 2, box
    for session in sessions:  # the master's and Apache's, with all that they started
        assert not proc.in_session(session)


def test_a_backend_of_ones_own(build, bed):
    back = bed.backend()
    got = run(build, "--once", "--port", "0", "--backend", back.address)
    assert got.returncode == 0, got.stdout + got.stderr
    assert back.seen[0].target == "/hello" and "HTTP/1.1 200" in got.stdout


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_it_runs_until_it_is_ended_however_that_comes(build, bed, sign):
    out = open(f"{bed.folder}/out", "w+", encoding="utf-8")
    p = subprocess.Popen([f"{TOP}/t/run", build, "--port", "0"], stdout=out, stderr=out, start_new_session=True)

    def text():
        out.seek(0)
        return out.read()
    try:
        wait.until(lambda: p.poll() is not None or "until Ctrl-C" in text(), 60, "the box")
        assert p.poll() is None, text()
        port = int(re.search(r"https://localhost:(\d+)/", text()).group(1))
        master = int(re.search(r"\(master: process (\d+)\)", text()).group(1))
        apache = int(re.search(r"Apache started for this run: process (\d+)", text()).group(1))
        if sign == signal.SIGINT:
            os.killpg(p.pid, sign)  # as a terminal does
        else:
            os.kill(p.pid, sign)
        assert p.wait(20) == (0 if sign != signal.SIGKILL else -9), text()
        wait.until(lambda: not proc.alive(master) and not proc.alive(apache), 15, "both servers end")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
        if sign != signal.SIGKILL:
            assert not left_behind(build)
    finally:
        if p.poll() is None:
            p.kill()
        subprocess.run(["rm", "-rf", f"{build}/run"], check=False)
        out.close()


def test_misuse_is_told(build):
    for args in (("--port", "x"), ("--backend", "nowhere"), ("--nonsense",)):
        got = run(build, *args)
        assert got.returncode == 2 and "usage" in got.stderr
    got = subprocess.run([f"{TOP}/dev", "chekc"], capture_output=True, text=True, check=False)
    assert got.returncode == 2 and "chekc" in got.stderr and "check" in got.stderr


def test_a_port_in_use_is_told(build):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        got = run(build, "--once", "--port", str(s.getsockname()[1]))
    assert got.returncode == 1 and "in use" in got.stderr.lower(), got.stderr
    assert not left_behind(build)


def test_what_a_build_left_is_not_released(build, run_folder):
    """Objects in an archive of the sources would be taken for those of the build that is made from it."""
    folder = f"{run_folder}/released"
    subprocess.run(["make", "-C", build, "distdir", f"distdir={folder}"], check=True, capture_output=True)
    files = [f"{at}/{name}" for at, _, names in os.walk(folder) for name in names]
    assert f"{folder}/t/fuzz/replay.c" in files and f"{folder}/configure" in files
    for path in files:
        with open(path, "rb") as f:
            assert f.read(4) != b"\x7fELF", path
    assert not [p for p in files if p.endswith((".log", ".trs", ".pyc", ".dirstamp"))]


def stand_in(folder, name, script):
    """A program of that name which is found before the system's."""
    os.makedirs(f"{folder}/bin", exist_ok=True)
    with open(f"{folder}/bin/{name}", "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n{script}\n")
    os.chmod(f"{folder}/bin/{name}", 0o755)


@pytest.mark.parametrize("args, kinds", [(["setup"], "build run cluster check"), (["setup", "--all"], "build run cluster check bench extra")])
def test_setup_installs_what_is_missing_and_has_configure_look_again(run_folder, args, kinds):
    folder = f"{run_folder}/setup{len(args)}"
    os.makedirs(folder)
    for name in ("dev", "packages.txt"):
        shutil.copy(f"{TOP}/{name}", folder)
    stand_in(folder, "dpkg-query", "")  # nothing is installed
    stand_in(folder, "apt-get", f'echo "$*" >> {folder}/asked')
    stand_in(folder, "id", "echo 0")
    stand_in(folder, "git", "")
    options = f"{folder}/build-asan/.options"
    os.makedirs(os.path.dirname(options))
    open(options, "w", encoding="utf-8").close()
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    got = subprocess.run([f"{folder}/dev", *args], env=env, capture_output=True, text=True, check=False)
    assert got.returncode == 0, got.stderr
    with open(f"{folder}/packages.txt", encoding="utf-8") as f:
        rows = [line.split() for line in f if line.strip() and not line.startswith("#")]
    wanted = {row[0] for row in rows if set(row[1].split(",")) & set(kinds.split())} - {"npm"}
    with open(f"{folder}/asked", encoding="utf-8") as f:
        asked = [line for line in f if "install" in line.split()]
    assert len(asked) == 1 and wanted <= set(asked[0].split()), asked
    assert not os.path.exists(options)  # so that the next build is configured anew


def test_what_needs_the_libraries_of_tests_is_not_built_without_them():
    """In Makefile.am a variable that is first set inside of "if" is empty where the condition does not hold."""
    depth, inside, outside = 0, set(), ""
    with open(f"{TOP}/Makefile.am", encoding="utf-8") as f:
        for line in f:
            depth += line.startswith("if ") - line.startswith("endif")
            assigned = re.match(r"(T_\w+) *=", line)
            if depth and assigned:
                inside.add(assigned.group(1))
            elif not depth:
                outside += line
    assert "T_LIBS_BASE" in inside
    empty = inside & set(re.findall(r"\$\((\w+)\)", outside))
    assert not empty
