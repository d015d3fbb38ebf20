"""The Debian packages: they build, hold what they should, and what they hold runs."""
import os
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = [pytest.mark.long, pytest.mark.plain,
              pytest.mark.skipif(not shutil.which("dh"), reason="needs ./dev setup --all (debhelper)")]


def test_four_packages_build_and_run(run_folder):
    folder = f"{run_folder}/package"
    subprocess.run(["git", "clone", "-q", TOP, f"{folder}/sslgw"], check=True)
    got = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=f"{folder}/sslgw", capture_output=True, text=True,
                         errors="replace", env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck"}, check=False)
    assert got.returncode == 0, got.stdout[-3000:] + got.stderr[-3000:]
    held = {}
    for name in ("sslgw", "sslgw-keysvc", "sslgw-cachesvc"):
        deb = next(f"{folder}/{f}" for f in os.listdir(folder) if f.startswith(f"{name}_") and f.endswith(".deb"))
        subprocess.run(["dpkg-deb", "-x", deb, f"{folder}/root"], check=True)
        held[name] = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
        assert f"./usr/sbin/{name}\n" in held[name] and f"{name}.8.gz" in held[name] and f"{name}.service" in held[name]
        version = subprocess.run([f"{folder}/root/usr/sbin/{name}", "-V"], capture_output=True, text=True, check=True).stdout
        assert "0.1.0" in version
    deb = next(f"{folder}/{f}" for f in os.listdir(folder) if f.startswith("sslgwctl_") and f.endswith(".deb"))
    subprocess.run(["dpkg-deb", "-x", deb, f"{folder}/root"], check=True)
    tool = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
    ctl = next(line.split()[-1] for line in tool.splitlines() if line.endswith("bin/sslgwctl"))
    assert "sslgwctl.8.gz" in tool and "systemd/system" not in tool
    assert "usage: sslgwctl" in subprocess.run([f"{folder}/root/{ctl}", "--help"], capture_output=True, text=True, check=True).stdout
    pki = f"{folder}/pki"
    subprocess.run([f"{folder}/root/{ctl}", "pki", "init", pki], check=True, capture_output=True)
    assert os.path.exists(f"{pki}/ca.pem")
    assert "./etc/sslgw/gateway.conf" in held["sslgw"] and "gateway.conf.5.gz" in held["sslgw"]
