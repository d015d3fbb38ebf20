"""Files: what a route with `files` answers, and everything below, beside and above its folder that it must not."""
import hashlib
import os
import random
import re
import socket
import threading
import time

import pytest

from bed import client, http1, proc, wait

SECRET = b"not to be seen"


def tree(folder):
    """A folder of files, beside a file that nobody may get."""
    os.makedirs(f"{folder}/www/sub/deep", mode=0o755)
    for name, data in {
            "secret": SECRET, "www/index.html": b"<p>home", "www/a.txt": b"0123456789", "www/empty.css": b"",
            "www/sub/index.html": b"<p>sub", "www/sub/deep/x.js": b"x()", "www/.htaccess": SECRET, "www/a b.txt": b"blank",
            "www/noext": b"?", "www/\u00e4.txt": "\u00e4".encode(), "www/a%61.txt": b"percent"}.items():
        with open(f"{folder}/{name}", "wb") as f:
            f.write(data)
    for name in (".git", ".well-known"):
        os.mkdir(f"{folder}/www/{name}", 0o755)
        with open(f"{folder}/www/{name}/x", "wb") as f:
            f.write(SECRET if name == ".git" else b"known")
    os.mkdir(f"{folder}/www/bare", 0o755)
    os.mkdir(f"{folder}/outside", 0o755)
    with open(f"{folder}/outside/index.html", "wb") as f:
        f.write(SECRET)
    os.symlink("../secret", f"{folder}/www/link-out")
    os.symlink(f"{folder}/secret", f"{folder}/www/link-absolute")
    os.symlink("../outside", f"{folder}/www/link-folder")
    os.symlink("a.txt", f"{folder}/www/link-in")
    os.symlink("sub", f"{folder}/www/sub-link")
    os.symlink("loop", f"{folder}/www/loop")
    os.symlink("/proc/self/root/etc/passwd", f"{folder}/www/link-proc")
    os.mkfifo(f"{folder}/www/fifo", 0o644)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"{folder}/www/socket")
    sock.close()
    return f"{folder}/www"


def start(bed, routes, **more):
    return bed.gateway(bed.settings(workers=1, sites=[bed.site(routes=routes)], pools=[], **more))


class Served:
    def __init__(self, bed):
        self.bed, self.folder = bed, tree(bed.folder)
        self.gw = start(bed, [
            {"path": "/", "files": self.folder},
            {"path": "/links/", "files": self.folder, "files_symlinks": True, "files_cache": "public, max-age=60"},
            {"path": "/under", "files": f"{self.folder}/sub", "files_charset": "none"}])


@pytest.fixture(scope="module")
def served(shared):
    return Served(shared)


@pytest.fixture
def get(served, ctx):
    def ask(target, method="GET", fields=(), **more):
        with client.Client(served.gw.port, ctx()) as c:
            return c.get(target, method=method, fields=fields, **more)
    return ask


@pytest.mark.parametrize("target,kind,body", [
    ("/", "text/html; charset=utf-8", b"<p>home"),
    ("/index.html", "text/html; charset=utf-8", b"<p>home"),
    ("/?q=1", "text/html; charset=utf-8", b"<p>home"),
    ("/a.txt", "text/plain; charset=utf-8", b"0123456789"),
    ("//a.txt", "text/plain; charset=utf-8", b"0123456789"),
    ("/%61%2etxt", "text/plain; charset=utf-8", b"0123456789"),
    ("/a%20b.txt", "text/plain; charset=utf-8", b"blank"),
    ("/%C3%A4.txt", "text/plain; charset=utf-8", "\u00e4".encode()),
    ("/a%2561.txt", "text/plain; charset=utf-8", b"percent"),
    ("/empty.css", "text/css; charset=utf-8", b""),
    ("/noext", "application/octet-stream", b"?"),
    ("/sub/", "text/html; charset=utf-8", b"<p>sub"),
    ("/sub/deep/x.js", None, b"x()"),
    ("/.well-known/x", "application/octet-stream", b"known"),
    ("/under/", "text/html", b"<p>sub"),
    ("/under/deep/x.js", None, b"x()"),
    ("/links/a.txt", "text/plain; charset=utf-8", b"0123456789"),
    ("/links/link-in", "application/octet-stream", b"0123456789"),
    ("/links/sub-link/", "text/html; charset=utf-8", b"<p>sub"),
])
def test_a_file_is_served_with_its_type(get, target, kind, body):
    got = get(target)
    assert got.status == 200 and got.body == body, got.head
    assert kind is None or got.get("Content-Type") == kind
    assert got.get("X-Content-Type-Options") == "nosniff"
    assert got.get("Accept-Ranges") == "bytes"
    assert got.get("Cache-Control") == ("public, max-age=60" if target.startswith("/links/") else None)
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', got.get("ETag"))
    assert got.get("Last-Modified").endswith(" GMT") and got.get("Date").endswith(" GMT")


TRAVERSALS = [
    "/../secret", "/sub/../../secret", "/..", "/../",
    "/%2e%2e/secret", "/.%2e/secret", "/%2e./secret", "/%2E%2E/secret", "/%2e%2e%2fsecret", "/..%2fsecret",
    "/..%2Fsecret", "/sub%2findex.html", "/sub%2Fdeep%2fx.js", "/..%5csecret", "/..\\secret", "/%5c..%5csecret",
    "/sub\\index.html", "/%252e%252e/secret", "/..%252fsecret", "/%c0%ae%c0%ae/secret", "/%c0%af../secret",
    "/%e0%80%ae%e0%80%ae/secret", "/%uff0e%uff0e/secret", "/..;/secret", "/sub/..;x/../secret", "/;/../secret",
    "//../secret", "/.//../secret", "/a.txt%00", "/a.txt%00.html", "/%00", "/a.txt%0d%0aX:%20y", "/a.txt%0a", "/a.txt%",
    "/a.txt%2", "/a.txt%zz", "/a.txt/", "/a.txt/x", "/.htaccess", "/%2ehtaccess", "/.git/x", "/.git/",
    "/.git", "/sub/.git", "/...", "/....//secret", "/.well-known/../../secret", "/.well-known/.x", "/link-out",
    "/link-absolute", "/link-folder", "/link-folder/", "/link-folder/index.html", "/link-in", "/sub-link", "/sub-link/",
    "/sub-link/index.html", "/loop", "/loop/", "/link-proc", "/fifo", "/fifo/", "/socket", "/bare/", "/nothing",
    "/nothing/", "/sub/deep/", "/links/link-out", "/links/link-absolute", "/links/link-folder", "/links/link-folder/",
    "/links/link-folder/index.html", "/links/loop", "/links/link-proc", "/links/../secret", "/links/fifo",
    "/links%2f..%2fsecret", "/under%2findex.html", "/underx",
    "/proc/self/environ", "/dev/zero", "/etc/passwd", "//etc/passwd", "/" + "a" * 300, "/" + "a/" * 2100,
    "/x" * 4000, "/index.html?/../../secret#"[:-1], "/index.html;x",
]


@pytest.mark.parametrize("target", TRAVERSALS)
def test_what_is_not_served(get, target):
    got = get(target)
    if target.startswith("/index.html?"):
        assert got.status == 200 and got.body == b"<p>home"
        return
    assert got.status in (400, 404, 414), (target, got.head)
    assert SECRET not in got.body and b"root:" not in got.body
    assert got.get("Location") is None


@pytest.mark.parametrize("target, same", [
    ("/sub/..", "/"), ("/./a.txt", "/a.txt"), ("/sub/../a.txt", "/a.txt"), ("/sub/./index.html", "/sub/index.html"),
    ("/a.txt/..", "/"), ("/under/../a.txt", "/a.txt"), ("/under/%2e%2e/a.txt", "/a.txt")])
def test_dot_segments_are_resolved_before_a_file_is_looked_for(get, target, same):
    got, wanted = get(target), get(same)
    assert (got.status, got.body, got.get("ETag")) == (200, wanted.body, wanted.get("ETag"))


def test_only_get_and_head(get):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        got = get("/a.txt", method, body=b"x" if method in ("POST", "PUT", "PATCH") else None)
        assert got.status == 405 and got.get("Allow") == "GET, HEAD"
    assert get("/nothing", "POST", body=b"x").status == 405


def test_head_is_get_without_a_body(served, ctx):
    with client.Client(served.gw.port, ctx()) as c:
        for target in ("/a.txt", "/", "/empty.css", "/nothing", "/sub"):
            head, whole = c.get(target, method="HEAD"), c.get(target)
            assert head.status == whole.status and head.body == b""
            one, two = ([f for f in g.fields if f[0] != "Date"] for g in (head, whole))
            assert one == two
        # Range means nothing to HEAD (RFC 9110, section 14.2)
        assert c.get("/a.txt", method="HEAD", fields={"Range": "bytes=1-2"}).get("Content-Length") == "10"


def test_a_folder_without_its_slash_is_redirected_to_no_other_host(get):
    for target, where in (("/sub", "/sub/"), ("/sub?a=b&c=//x", "/sub/?a=b&c=//x"), ("//sub", "/sub/"),
                          ("///sub//deep", "/sub//deep/"), ("/sub/deep", "/sub/deep/"), ("/under", "/under/"),
                          ("/%73ub", "/%73ub/"), ("/links/sub-link", "/links/sub-link/"), ("/bare", "/bare/")):
        got = get(target)
        assert got.status == 301 and got.get("Location") == where, got.head


def test_conditions(get, served):
    first = get("/a.txt")
    tag, when = first.get("ETag"), first.get("Last-Modified")
    old = "Sun, 06 Nov 1994 08:49:37 GMT"
    for fields, status in [
            ({"If-None-Match": tag}, 304), ({"If-None-Match": f'"x", W/{tag}'}, 304), ({"If-None-Match": "*"}, 304),
            ({"If-None-Match": '"x"'}, 200), ({"If-Modified-Since": when}, 304), ({"If-Modified-Since": old}, 200),
            ({"If-None-Match": '"x"', "If-Modified-Since": when}, 200), ({"If-Match": tag}, 200),
            ({"If-Match": '"x"'}, 412), ({"If-Unmodified-Since": old}, 412), ({"If-Unmodified-Since": when}, 200)]:
        for method in ("GET", "HEAD"):
            got = get("/a.txt", method, fields)
            assert got.status == status, (fields, got.head)
            if status == 304:
                assert got.get("ETag") == tag and got.get("Content-Length") is None and got.get("Content-Type") is None
    with open(f"{served.folder}/changing.txt", "wb") as f:
        f.write(b"one")
    tag = get("/changing.txt").get("ETag")
    with open(f"{served.folder}/changing.txt", "wb") as f:
        f.write(b"two")
    os.utime(f"{served.folder}/changing.txt", (10**9, 10**9))  # both may have been written in one tick of the clock
    assert get("/changing.txt", fields={"If-None-Match": tag}).body == b"two"


def test_a_file_of_the_future_keeps_its_tag(get, served):
    """Its time is said to be now, which goes on; it is the same file."""
    with open(f"{served.folder}/future.txt", "wb") as f:
        f.write(b"future")
    ahead = time.time() + 1000
    os.utime(f"{served.folder}/future.txt", (ahead, ahead))
    first = get("/future.txt")
    later = wait.until(lambda: (got := get("/future.txt")).get("Date") != first.get("Date") and got, 5, "another second")
    assert later.get("ETag") == first.get("ETag") and later.get("Last-Modified") != first.get("Last-Modified")
    assert get("/future.txt", fields={"If-None-Match": first.get("ETag")}).status == 304


def test_ranges(get, served):
    first = get("/a.txt")
    tag, when = first.get("ETag"), first.get("Last-Modified")
    for field, part, where in [("bytes=0-0", b"0", "0-0"), ("bytes=3-5", b"345", "3-5"), ("bytes=7-", b"789", "7-9"),
                               ("bytes=-2", b"89", "8-9"), ("bytes=-99", b"0123456789", "0-9"),
                               ("bytes=5-99999999999999999999", b"56789", "5-9")]:
        got = get("/a.txt", fields={"Range": field})
        assert (got.status, got.body, got.get("Content-Range")) == (206, part, f"bytes {where}/10"), got.head
        assert got.get("ETag") == tag and got.get("Content-Type") == "text/plain; charset=utf-8"
    for field in ("bytes=10-", "bytes=-0", "bytes=99-100", "bytes=10-,20-"):
        got = get("/a.txt", fields={"Range": field})
        assert (got.status, got.get("Content-Range")) == (416, "bytes */10"), got.head
    for field in ("bytes=0-1,3-4", "bytes=5-1", "lines=1-2", "bytes=x", "bytes=" + ",".join(["0-"] * 1000)):
        got = get("/a.txt", fields={"Range": field})
        assert (got.status, got.body) == (200, b"0123456789"), got.head
    os.utime(f"{served.folder}/sub/deep/x.js", (10**9, 10**9))
    old = get("/sub/deep/x.js")
    for condition, status in ((old.get("ETag"), 206), (old.get("Last-Modified"), 206), ('"x"', 200), (when, 200),
                              ("W/" + old.get("ETag"), 200)):
        assert get("/sub/deep/x.js", fields={"Range": "bytes=1-1", "If-Range": condition}).status == status
    assert get("/empty.css", fields={"Range": "bytes=0-"}).status == 200
    assert get("/a.txt", fields={"Range": "bytes=0-0", "If-None-Match": tag}).status == 304


def test_requests_of_one_connection_are_answered_in_turn(served, ctx):
    with client.Client(served.gw.port, ctx()) as c:
        targets = ["/a.txt", "/nothing", "/sub", "/", "/empty.css", "/sub/"] * 5
        c.send(b"".join(http1.request("GET", t) for t in targets))
        assert [c.reader.answer().status for _ in targets] == [200, 404, 301, 200, 200, 200] * 5


def test_a_body_that_nobody_reads(served, ctx):
    with client.Client(served.gw.port, ctx()) as c:
        for method, status in (("GET", 200), ("POST", 405), ("GET", 200)):
            assert c.get("/a.txt", method=method, body=b"x" * 1000).status == status
        # One that asks first is answered without it.
        c.send(http1.request("POST", "/a.txt", fields={"Content-Length": "1000", "Expect": "100-continue"}))
        interim = []
        assert c.reader.answer("POST", interim=interim).status == 405 and not interim


def test_curl_goes_on_where_it_was(served, pki, tmp_path):
    data = os.urandom(3 << 20)
    with open(f"{served.folder}/big.bin", "wb") as f:
        f.write(data)
    with open(tmp_path / "part", "wb") as f:
        f.write(data[:1 << 20])
    url = f"https://localhost:{served.gw.port}"
    status, _, error = client.curl(f"{url}/big.bin", "--cacert", pki.ca.chain_file, "-C", "-", "-o", str(tmp_path / "part"))
    assert status == 0, error
    with open(tmp_path / "part", "rb") as f:
        assert hashlib.sha256(f.read()).digest() == hashlib.sha256(data).digest()
    status, out, error = client.curl(f"{url}/sub", "--cacert", pki.ca.chain_file, "-L")
    assert (status, out) == (0, b"<p>sub"), error


@pytest.mark.plain
def test_a_long_file_comes_whole_and_costs_no_memory(served, ctx):
    rng = random.Random(7)
    digest = hashlib.sha256()
    with open(f"{served.folder}/64M", "wb") as f:
        for _ in range(64):
            block = rng.randbytes(1 << 20)
            digest.update(block)
            f.write(block)
    with open(f"{served.folder}/1G", "wb") as f:
        f.truncate(1 << 30)
    worker = served.gw.worker(0)
    before, got, n = proc.rss_kib(worker), hashlib.sha256(), 0

    def count(block):
        nonlocal n
        n += len(block)
    with client.Client(served.gw.port, ctx(), timeout=60) as c:
        assert c.get("/64M", sink=got.update).status == 200
        assert got.digest() == digest.digest()
        assert c.get("/1G", sink=count).status == 200
        assert n == 1 << 30
    assert proc.rss_kib(worker) - before < 4096
    os.unlink(f"{served.folder}/1G")


def test_a_slow_reader_holds_up_nobody(served, ctx, build):
    with open(f"{served.folder}/slow", "wb") as f:
        f.truncate(256 << 20)
    worker = served.gw.worker(0)
    before = proc.rss_kib(worker)
    slow = [client.Client(served.gw.port, ctx(), rcvbuf=4096) for _ in range(40)]
    try:
        for c in slow:
            c.send(http1.request("GET", "/slow"))
        with client.Client(served.gw.port, ctx()) as c:
            for _ in range(50):
                at = time.monotonic()
                assert c.get("/a.txt").body == b"0123456789"
                assert time.monotonic() - at < 2
        if "asan" not in os.path.basename(build):  # which keeps what was freed
            assert proc.rss_kib(worker) - before < 40 * 512
        files = [x for x in proc.descriptors(worker).values() if x.endswith("/slow")]
        assert len(files) == 40
    finally:
        for c in slow:
            c.close()
    wait.until(lambda: not [x for x in proc.descriptors(worker).values() if x.endswith("/slow")], 10, "files are closed")
    os.unlink(f"{served.folder}/slow")


def test_many_at_once(served, ctx):
    data = os.urandom(300_000)
    with open(f"{served.folder}/many.bin", "wb") as f:
        f.write(data)
    problems = []

    def work():
        try:
            with client.Client(served.gw.port, ctx()) as c:
                for _ in range(10):
                    if c.get("/many.bin").body != data:
                        problems.append("another body")
        except (OSError, AssertionError, EOFError) as error:
            problems.append(error)
    threads = [threading.Thread(target=work) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems
    worker = served.gw.worker(0)
    wait.until(lambda: not [x for x in proc.descriptors(worker).values() if x.endswith("many.bin")], 5, "files are closed")


def begin(served, ctx, name, size):
    """A client that has read the head of a file's answer only."""
    with open(f"{served.folder}/{name}", "wb") as f:
        f.write(b"o" * size)
    c = client.Client(served.gw.port, ctx(), rcvbuf=4096)
    c.send(http1.request("GET", f"/{name}"))
    head = c.reader.until(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    return c


def test_a_file_that_is_replaced_is_sent_to_its_end(served, ctx):
    size = 32 << 20
    with begin(served, ctx, "replaced", size) as c:
        with open(f"{served.folder}/new", "wb") as f:
            f.write(b"n" * 100)
        os.rename(f"{served.folder}/new", f"{served.folder}/replaced")
        assert hashlib.sha256(c.reader.exactly(size)).digest() == hashlib.sha256(b"o" * size).digest()
        assert c.get("/replaced").body == b"n" * 100


def test_a_file_that_shrinks_ends_the_connection(served, ctx):
    size = 32 << 20
    with begin(served, ctx, "shrinks", size) as c:
        os.truncate(f"{served.folder}/shrinks", 1000)
        with pytest.raises(EOFError):
            c.reader.exactly(size)
    wait.until(lambda: "the file shrank while it was sent" in served.gw.output(), 5, "its reason in the log")
    wait.until(lambda: served.gw.counter("sslgw_ended_total_file_shrank") == 1, 5, "its count")


def test_a_file_that_grows_is_sent_as_it_was(served, ctx):
    size = 16 << 20
    with begin(served, ctx, "grows", size) as c:
        with open(f"{served.folder}/grows", "ab") as f:
            f.write(b"more")
        assert c.reader.exactly(size) == b"o" * size
        assert c.get("/a.txt").status == 200


@pytest.mark.root
def test_a_file_that_the_workers_may_not_read(bed, ctx):
    folder = tree(bed.folder)
    os.chmod(f"{folder}/a.txt", 0o600)
    os.chmod(f"{folder}/sub", 0o700)
    gw = start(bed, [{"path": "/", "files": folder}], user="nobody")
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/").status == 200
        for target in ("/a.txt", "/sub/"):
            got = c.get(target)
            assert got.status == 403 and SECRET not in got.body
    wait.until(lambda: "may not read the file" in gw.output(), 5, "the reason in the log")


def test_a_folder_that_is_replaced_is_seen(bed, ctx):
    for name in ("one", "two"):
        os.makedirs(f"{bed.folder}/{name}", mode=0o755)
        with open(f"{bed.folder}/{name}/x", "w", encoding="ascii") as f:
            f.write(name)
    os.symlink("one", f"{bed.folder}/current")
    gw = start(bed, [{"path": "/", "files": f"{bed.folder}/current"}])
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/x").body == b"one"
        os.symlink("two", f"{bed.folder}/next")
        os.rename(f"{bed.folder}/next", f"{bed.folder}/current")
        wait.until(lambda: c.get("/x").body == b"two", 5, "the new folder's file")


def test_a_folder_that_is_missing_is_told_by_the_check(bed):
    os.mkdir(f"{bed.folder}/www")
    with open(f"{bed.folder}/file", "wb"):
        pass
    for folder, status, says in ((f"{bed.folder}/www", 0, "is good"), (f"{bed.folder}/nowhere", None, "make the folder"),
                                 (f"{bed.folder}/file", None, "is no folder")):
        gw = bed.gateway(bed.settings(sites=[bed.site(routes=[{"path": "/", "files": folder}])], pools=[]), start=False)
        gw.write()
        got = gw.check()
        assert says in got.stderr, got.stderr
        assert (got.returncode == 0) == (status == 0)


def test_files_beside_a_pool(bed, ctx):
    back = bed.backend()
    folder = tree(bed.folder)
    gw = bed.gateway(bed.settings(back, sites=[bed.site(routes=[
        {"path": "/static/", "files": folder}, {"path": "/", "pool": "main"}])]))
    with client.Client(gw.port, ctx()) as c:
        assert c.get("/static/a.txt").body == b"0123456789"
        assert c.get("/a.txt").body == b"ok"
        assert c.get("/static/sub").get("Location") == "/static/sub/"
        assert c.get("/static").body == b"ok"
