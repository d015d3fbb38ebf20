"""The end-to-end tests: the built programs as a user runs them. Builds are named by the environment:
SSLGW_BUILD (plain; default ../../build), SSLGW_ASAN (sanitizers), SSLGW_FAULTS (counter-proofs)."""
import itertools
import os
import shutil
import sys
import tempfile
import warnings

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
warnings.filterwarnings("ignore", category=DeprecationWarning)

from bed import backend, client, conftext, gateway, pki as pki_module  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with --all")
    config.addinivalue_line("markers", "root: reads other users' processes")
    config.addinivalue_line("markers", "plain: figures of memory or time that a sanitizer's build cannot show")


def pytest_collection_modifyitems(config, items):
    asan = "asan" in os.path.basename(build_folder())
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason="long: only with --all"))
        if item.get_closest_marker("root") and os.getuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if item.get_closest_marker("plain") and asan:
            item.add_marker(pytest.mark.skip(reason="only on the plain build"))


def build_folder():
    return os.path.abspath(os.environ.get("SSLGW_BUILD", os.path.join(TOP, "build")))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for holder in [f for f in getattr(item, "funcargs", {}).values() if isinstance(f, Bed)]:
            for name, text in holder.logs().items():
                report.sections.append((f"log of {name}", text))


@pytest.fixture(scope="session")
def build():
    folder = build_folder()
    if not os.access(f"{folder}/sslgw", os.X_OK):
        pytest.exit(f"no {folder}/sslgw: build it, or name the build in SSLGW_BUILD", 3)
    return folder


def other_build(variable):
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no build")
    return os.path.abspath(folder)


@pytest.fixture(scope="session")
def asan_build():
    return other_build("SSLGW_ASAN")


@pytest.fixture(scope="session")
def faults_build():
    return other_build("SSLGW_FAULTS")


@pytest.fixture(scope="session")
def run_folder():
    """Reachable by users without rights, with a short path (Unix sockets)."""
    folder = tempfile.mkdtemp(prefix="sslgw-e2e.", dir="/tmp")
    os.chmod(folder, 0o711)
    yield folder
    if not os.environ.get("SSLGW_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pki(run_folder):
    return pki_module.Pki(f"{run_folder}/pki")


class Bed:
    """What one test (or one module) has running. Everything stops, in reverse order, with it."""

    numbers = itertools.count(1)

    def __init__(self, build, run_folder, pki):
        self.build, self.pki = build, pki
        self.folder = f"{run_folder}/{next(self.numbers)}"
        os.mkdir(self.folder, 0o711)
        self.running = []

    def backend(self, *a, **k):
        self.running.append(b := backend.Backend(*a, **k))
        return b

    def apache(self):
        folder = f"{self.folder}/apache{len(self.running)}"
        os.mkdir(folder, 0o711)
        self.running.append(a := backend.Apache(folder))
        return a

    def site(self, *names, kinds=("rsa", "ec"), pool="main", **more):
        names = names or ("localhost",)
        leaves = [self.pki.leaf(*names, kind=k) for k in kinds]
        return conftext.merged({"names": list(names), "certificates": [x.chain_file for x in leaves],
                                "routes": [{"path": "/", "pool": pool}]}, more)

    def settings(self, *backends, sites=None, **more):
        """The usual configuration: one TLS listener, site localhost with both kinds of key, one pool."""
        pools = [{"name": "main", "servers": [{"address": b if isinstance(b, str) else b.address} for b in backends]}]
        sites = sites or [self.site()]
        keys = dict.fromkeys(self.pki.keys[c] for s in sites for c in s["certificates"])
        return conftext.merged({
            "workers": 2,
            "listeners": [{"address": "127.0.0.1:0"}],
            "sites": sites,
            "pools": pools,
            "private_keys": list(keys),
            "access_log": {"file": f"{self.folder}/gateway.access", "format": "combined"},
            "runtime_dir": f"{self.folder}/run",
            "state_dir": f"{self.folder}/state",
        }, more)

    def gateway(self, settings, start=True, build=None, env=None, name="gateway", argv=None):
        for folder, mode in (("run", 0o711), ("state", 0o700)):
            os.makedirs(f"{self.folder}/{folder}", mode=mode, exist_ok=True)
        g = gateway.Gateway(build or self.build, self.folder, settings, env, name, argv)
        g.access_file = f"{self.folder}/gateway.access"
        self.running.append(g)
        return g.start() if start else g

    def logs(self):
        out = {}
        for thing in self.running:
            try:
                out.update(thing.logs())
            except OSError as error:
                out[repr(thing)] = repr(error)
        return out

    def stop(self):
        problems = []
        for thing in reversed(self.running):
            try:
                thing.stop()
            except AssertionError as error:
                problems.append(str(error))
        self.running.clear()
        assert not problems, "\n".join(problems)


@pytest.fixture
def bed(build, run_folder, pki):
    b = Bed(build, run_folder, pki)
    yield b
    b.stop()


@pytest.fixture(scope="module")
def shared(build, run_folder, pki):
    """The same for all tests of a file, where they do not disturb each other."""
    b = Bed(build, run_folder, pki)
    yield b
    b.stop()


@pytest.fixture(scope="session")
def ctx(pki):
    """A client's context that trusts the run's CA; options make others."""
    made = {}

    def make(**options):
        at = tuple(sorted(options.items(), key=lambda kv: kv[0]))
        if at not in made:
            made[at] = client.context(pki, **options)
        return made[at]
    return make
