"""The tests of the tests: each end-to-end test that SECURITY.md names for a class of attack is run against a proxy, a cache
and a key service that do all of it wrong (bed/naive.py), and fails there, by what it looks for; ordinary use works there."""
import concurrent.futures
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from bed import corpus, threats

HERE = os.path.dirname(os.path.abspath(__file__))
CASES_MAX = 2  # of one test with many cases; whole ones, not byte by byte
# What a naive proxy has to do right, or its failures prove nothing.
ORDINARY = ["test_hostile_http.py::test_pipelined_requests_are_answered_in_order", "test_hostile_http.py::test_request ordinary",
            "test_bodies.py::test_every_size_both_ways", "test_sites.py::test_each_site_shows_its_own_chain",
            "test_proxy_protocol.py::test_header_and_hello_in_any_pieces"]
# A failure of these kinds says that the test saw something; any other, that it did not come to it.
# (There is no status and no body where no answer came.)
SEEN = re.compile(r"AssertionError|assert |Failed: DID NOT RAISE|EOFError|TimeoutError|Connection\w*Error|BrokenPipeError|ssl\.\w+"
                  r"|AttributeError: 'NoneType' object has no attribute '(status|body)'")
NOT_COUNTED = re.compile(r'counter\("sslgw_(?!connections_open|requests_open)')  # the naive count nothing else
TEARDOWN = "test_handshakes_abandoned_at_every_byte_leave_nothing"  # what it looks for is looked for after each test

TESTS = [t for t in threats.tables()[0][1] if t.e2e and not t.note]


def refused():
    """Names of the corpus's cases that must not pass, as they stand in the tests' names."""
    return {repr(c) for c in corpus.cases("*.re*") if not c.ok and not c.more}


class Outcome:
    def __init__(self, case):
        self.file, self.name = case.get("classname").split(".")[-1] + ".py", case.get("name")
        self.function = self.name.partition("[")[0]
        bad = case.find("failure")
        if bad is None and self.function == TEARDOWN:
            bad = case.find("error")
        self.skipped, self.error = case.find("skipped") is not None, case.find("error")
        self.why = "" if bad is None else bad.get("message")
        self.text = "" if bad is None else f"{self.why}\n{bad.text}"
        self.passed = bad is None and not self.skipped and (self.error is None or "on teardown" in self.error.get("message", ""))

    @property
    def saw_it(self):
        last = [x for x in self.text.split("\n") if x.startswith("    ")][-1:]
        return bool(SEEN.match(self.why.removeprefix("failed on teardown with \""))) and not NOT_COUNTED.search("".join(last))


def pytest_run(build, *words):
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", f"{HERE}/pytest.ini", "--naive", *words],
                          cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace",
                          timeout=300, env={**os.environ, "SSLGW_BUILD": build, "PYTHONDONTWRITEBYTECODE": "1"}, check=False).stdout


def chosen(build):
    """{file: {test: [the names of some of its cases]}}, and all names in their order."""
    files = {os.path.basename(t.path) for t in TESTS} | {x.partition("::")[0] for x in ORDINARY}
    said = pytest_run(build, "--collect-only", *sorted(files))
    names = [x for x in said.split("\n") if "::" in x]
    assert names, said
    bad, out = refused(), {}
    for test in [*map(repr, TESTS), *ORDINARY]:
        name, _, word = test.partition(" ")
        cases = [n for n in names if re.search(rf"(^|/){re.escape(name)}(\[|$)", n) and word in n.partition("[")[2] and not n.endswith("-bytes]")]
        if "::test_request " in test or "::test_answer " in test:
            cases = [n for n in cases if any(b in n for b in bad) != (test in ORDINARY)]
        assert cases, f"no case of {test}"
        out.setdefault(name.partition("::")[0], {})[test] = cases[::max(1, len(cases) // CASES_MAX)][:CASES_MAX]
    return out, names


def run(build, file, cases, folder, order):
    report = f"{folder}/{file}.xml"
    names = sorted({n for some in cases.values() for n in some}, key=order.index)
    said = pytest_run(build, "--tb=short", f"--junitxml={report}", *names)
    assert os.path.exists(report), said
    by_name = {}
    for case in map(Outcome, xml.etree.ElementTree.parse(report).iter("testcase")):
        if not by_name.get(case.name) or case.text:  # one that fails and then also in its teardown stands there twice
            by_name[case.name] = case
    return {test: [by_name.get(n.partition("::")[2]) for n in some] for test, some in cases.items()}


@pytest.fixture(scope="module")
def at_naive(build, tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("naive"), {}
    files, order = chosen(build)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda file: run(build, file, files[file], folder, order), files):
            out.update(got)
    return out


@pytest.mark.parametrize("test", ORDINARY)
def test_ordinary_use_of_what_is_naive_works(at_naive, test):
    assert all(o and o.passed for o in at_naive[test]), [(o.name, o.text[-800:]) for o in at_naive[test] if o]


@pytest.mark.parametrize("test", dict.fromkeys(repr(t) for t in TESTS))
def test_a_threat_is_seen_where_it_is_real(at_naive, test):
    outcomes = at_naive[test]
    assert any(o and o.saw_it for o in outcomes), [(o.name, "passed" if o.passed else o.text[-1500:]) if o else "not run" for o in outcomes]


def test_every_class_has_its_tests():
    heads, named, _ = threats.tables()[0]
    assert heads == ["class", "item", "what is done", "tests"]
    assert {t.threat for t in named if t.e2e} == {
        "request framing", "upgrades and tunnels", "headers and routing", "back-end answers", "TLS", "client certificates",
        "PROXY protocol", "RESP", "Keyless"}
