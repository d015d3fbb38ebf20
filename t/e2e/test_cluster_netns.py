"""doc/cluster.md, as a person follows it: three machines that are network namespaces with addresses of their own."""
import os
import re
import subprocess

import pytest

from bed import gateway

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACES = [f"sslgw-{n}" for n in ("net", "m1", "m2", "m3")]
pytestmark = [pytest.mark.root]


def commands():
    """The page's lines that begin with a root's prompt, in order, with the lines that go on."""
    with open(f"{TOP}/doc/cluster.md", encoding="utf-8") as f:
        page = f.read().split("## On real machines")[0]
    found = re.findall(r"^    # ((?:.*\\\n)*.*)$", page, re.M)
    assert len(found) > 15
    return found


def clean():
    for place in PLACES:
        pids = subprocess.run(["ip", "netns", "pids", place], capture_output=True, text=True, check=False).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                pass
        subprocess.run(["ip", "netns", "del", place], capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path):
    got = subprocess.run(["ip", "netns", "add", "sslgw-probe"], capture_output=True, check=False)
    if got.returncode:
        pytest.skip("no network namespaces here")
    subprocess.run(["ip", "netns", "del", "sslgw-probe"], check=True)
    there = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    if any(re.search(rf"^{p}\b", there, re.M) for p in PLACES):
        pytest.skip("the page's namespaces are there already: somebody follows it now")
    yield tmp_path
    clean()


def test_the_page_about_clusters_works_word_for_word(build, folder):
    os.chmod(folder, 0o711)
    for above in folder.parents:
        if str(above).startswith("/tmp/pytest"):
            os.chmod(above, 0o711)
    with open(folder / "page.sh", "w", encoding="utf-8") as f:
        f.write("set -e\n" + "".join(f"echo '@@ {n}'\n{c}\n" for n, c in enumerate(commands())))
    with open(folder / "out", "w+", encoding="utf-8") as out:
        got = subprocess.run(["bash", "page.sh"], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=240,
                             env=gateway.environment({"PATH": f"{build}:/usr/sbin:/usr/bin:/sbin:/bin"}), check=False)
        out.seek(0)
        said = out.read()
    logs = "".join(f"== {p}\n{p.read_text(errors='replace')[-1500:]}" for p in sorted(folder.glob("cluster/*/*.log")))
    assert got.returncode == 0, said + logs
    assert said.count("hello from the server behind") == 3, said + logs
    looked = re.findall(r"^(cluster/m\d/run/\w+\.sock) +(sslgw\S*) .* well ", said, re.M)
    assert len({at for at, _ in looked}) == 8 and {p for _, p in looked} == {"sslgw", "sslgw-keysvc", "sslgw-cachesvc"}, said
    assert said.count("Any gateway resumes what any other has made.") == 2
    assert said.count("ok     ok     ok") == 9
    assert len(re.findall(r": renewed", said)) == 8
    assert "denied:" in said
    assert not gateway.TROUBLE.search(logs)
