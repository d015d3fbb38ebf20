"""The end-to-end tests: the built programs as a user runs them. Builds are named by the environment:
SSLGW_BUILD (plain; default ../../build), SSLGW_ASAN (sanitizers), SSLGW_FAULTS (counter-proofs)."""
import os
import shutil
import signal
import sys
import tempfile
import warnings

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
warnings.filterwarnings("ignore", category=DeprecationWarning)

from bed import client, naive, pki as pki_module  # noqa: E402
from bed.world import Bed  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption("--naive", action="store_true", help="of what bed/naive.py starts in place of the gateway and its services")


def pytest_configure(config):
    if config.getoption("--naive"):  # before a test takes them from their modules
        naive.put_in_place()
    # What a shell starts in the background ignores it, and so would all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
