"""Where requests go and what becomes of them: one form of paths, routes, fields, rules for clients, answers of
our own."""
import re
import socket

import pytest

from bed import backend, client, http1, wait


def names(answer):
    return [n.lower() for n, _ in answer.fields]


def one(answer, name):
    got = [v for n, v in answer.fields if n.lower() == name.lower()]
    assert len(got) == 1, f"{name}: {got}"
    return got[0]


@pytest.fixture(scope="module")
def world(shared):
    """Site localhost with every kind of route; a.test keeps its own rules, b.test refuses, c.test passes."""
    asp, apache = shared.backend(), shared.backend()
    apache.answer = asp.answer = lambda seen: backend.answer(fields=[
        ("Location", f"http://{apache.address}/v2/there"), ("Content-Location", "/v2/here"),
        ("Set-Cookie", "id=1; Path=/v2; HttpOnly"), ("Server", "secret"), ("X-Frame-Options", "theirs"),
        ("Strict-Transport-Security", "max-age=1")]) if seen.target.startswith("/v2") else backend.answer()
    main = {"pool": "main"}
    routes = [
        {"path": "/", **main},
        {"path": "/asp/", "pool": "asp"},
        {"path": "=/asp/exact", **main},
        {"path": "/app/", **main, "strip_prefix": "/app/", "add_prefix": "/v2/", "rewrite": ["location", "cookies"],
         "add": {"X-Route": "app"}},
        {"path": "/strip", **main, "strip_prefix": "/strip"},
        {"path": "/old", "redirect": "https://new.example%{uri}"},
        {"path": "/older", "redirect": "/new/", "redirect_status": 303},
        {"path": "/maintenance", "respond": {"status": 503, "body": "<p>back soon", "type": "text/html"}},
        {"path": "/empty", "respond": {"status": 204}},
        {"path": "/.well-known/acme-challenge/", "pool": "asp", "plain": True},
        {"path": "/intern", **main, "require": {"networks": ["127.0.0.2/32"]}},
    ]
    two = [{"path": "/", **main}, {"path": "/asp/", "pool": "asp"}]
    settings = shared.settings(apache, sites=[
        shared.site("localhost", routes=routes, hsts="365d", hsts_subdomains=True,
                    add={"X-TLS": "%{tls_version} %{cipher}", "X-Who": "%{client_subject}", "X-Id": "%{request_id}",
                         "X-Where": "%{method} %{host} %{path} %{query} from %{peer} by %{sni}", "X-Route": "none"},
                    remove=["X-Unwanted"],
                    answer_add={"X-Frame-Options": "DENY", "X-Served-By": "%{server}", "X-Request": "%{request_id}"},
                    answer_remove=["Server"]),
        shared.site("b.test", routes=two, paths={k: "refuse" for k in (
            "encoded_slash", "backslash", "parameters", "double_slash")}),
        shared.site("c.test", routes=two, paths={k: "pass" for k in (
            "encoded_slash", "backslash", "parameters", "double_slash")}),
    ], listeners=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "mode": "redirect"}])
    settings["pools"].append({"name": "asp", "servers": [{"address": asp.address}]})
    return shared.gateway(settings), apache, asp


def ask(world, ctx, target, host="localhost", **more):
    """(answer, what the pools saw of it as [(name, request)])."""
    gw, apache, asp = world
    before = len(apache.seen), len(asp.seen)
    with client.Client(gw.port, ctx(), sni=host, source=more.pop("source", None)) as c:
        answer = c.get(target, **more)
    return answer, [("main", s) for s in apache.seen[before[0]:]] + [("asp", s) for s in asp.seen[before[1]:]]


@pytest.mark.parametrize("target, pool, arrives", [
    ("/", "main", "/"), ("/asp/x?y=/../z", "asp", "/asp/x?y=/../z"), ("/asp", "main", "/asp"),
    ("/aspx", "main", "/aspx"), ("/%61sp/x", "asp", "/%61sp/x"), ("/asp/../x", "main", "/x"),
    ("/x/../asp/y", "asp", "/asp/y"), ("/x/%2e%2E/asp/./y", "asp", "/asp/y"), ("/asp/x/..", "asp", "/asp/"),
    ("/asp/exact", "main", "/asp/exact"), ("/asp/exact/", "asp", "/asp/exact/"), ("/asp/%65xact", "main", "/asp/%65xact"),
    ("/asp/exact?q", "main", "/asp/exact?q"), ("/asp/.../x", "asp", "/asp/.../x"), ("/%2561sp/", "main", "/%2561sp/"),
    ("/app/x", "main", "/v2/x"), ("/app/", "main", "/v2/"), ("/app/x/../y?q=1", "main", "/v2/y?q=1"),
    ("/%61pp/x%20y", "main", "/v2/x%20y"), ("/strip/x", "main", "/x"), ("/strip", "main", "/"), ("/strip?q", "main", "/?q"),
])
def test_the_same_path_is_matched_and_sent(world, ctx, target, pool, arrives):
    answer, seen = ask(world, ctx, target)
    assert answer.status == 200
    assert [(p, s.target) for p, s in seen] == [(pool, arrives)]


# Each lies on another route for some server behind: Apache, IIS, Tomcat, nginx.
DOUBTFUL = ["/x/..%2fasp/y", "/asp%2fx", "/asp/..%2fx", "/asp%5cx", "/x\\..\\asp\\y", "/x/..;/asp/y", "/asp;p=1/x",
            "//asp/x", "/x//../asp/y", "/asp/;/..%2fx", "/asp/x/..;a=b/../z"]
# Odd, but on the same route whoever reads it.
ODD = ["/x%2fy", "/x;jsessionid=1", "//x", "/x//y", "/asp/a%2Fb", "/asp/x;y=1?z", "/asp//x", "/x%5cy", "/asp/x%2f..%2fy"]


@pytest.mark.parametrize("target", DOUBTFUL)
def test_a_path_that_lies_elsewhere_for_some_server_is_refused(world, ctx, target):
    gw, _, _ = world
    answer, seen = ask(world, ctx, target)
    assert answer.status == 400 and not seen, seen
    wait.until(lambda: "a path that servers read in different ways" in gw.output(), 5, "the reason in the log")


@pytest.mark.parametrize("target", ["/app/b%2F..%2F..%2Fapp%2Fx", "/app/b%5c..%5C..\\app\\x", "/strip/b%2f..%2f..%2fstrip%2fx",
                                    "/app/b;/..;/..%2fapp/x"])
def test_what_leaves_the_prefix_that_a_route_adds_is_refused(world, ctx, target):
    """On the route whoever reads it; but behind the route's own prefix, what is left climbs out of it for some server."""
    answer, seen = ask(world, ctx, target)
    assert answer.status == 400 and not seen, seen


@pytest.mark.parametrize("target, arrives", [("/app/b%2F..%2Fx", "/v2/b%2F..%2Fx"), ("/app/x;y=1", "/v2/x;y=1")])
def test_what_stays_under_the_prefix_that_a_route_adds_passes(world, ctx, target, arrives):
    answer, seen = ask(world, ctx, target)
    assert answer.status == 200 and [s.target for _, s in seen] == [arrives]


@pytest.mark.parametrize("target", ODD)
def test_an_odd_path_passes_unchanged_where_all_agree_on_the_route(world, ctx, target):
    answer, seen = ask(world, ctx, target)
    assert answer.status == 200
    assert [(p, s.target) for p, s in seen] == [("asp" if target.startswith("/asp") else "main", target)]


@pytest.mark.parametrize("target", DOUBTFUL + ODD)
def test_a_site_may_refuse_or_pass_all_of_them(world, ctx, target):
    answer, seen = ask(world, ctx, target, host="b.test")
    assert answer.status == 400 and not seen, seen
    if target in DOUBTFUL and re.search(r"//\.\./|/\.\./", target):
        return
    answer, seen = ask(world, ctx, target, host="c.test")
    assert answer.status == 200 and [s.target for _, s in seen] == [target]


@pytest.mark.parametrize("target", ["/..", "/x/../../asp/y", "/%2e%2e/x", "/..%2fx", "/x%00", "/%zz", "/x/%2E%2E%5C..%5Cy",
                                    "/asp/;/..%2f..%5cx"])
@pytest.mark.parametrize("host", ["localhost", "c.test"])
def test_what_climbs_or_is_malformed_is_refused_everywhere(world, ctx, target, host):
    answer, seen = ask(world, ctx, target, host=host)
    assert answer.status == 400 and not seen


def test_redirects_and_fixed_answers(world, ctx):
    for method, status in (("GET", 301), ("HEAD", 301), ("POST", 308)):
        answer, seen = ask(world, ctx, "/old/a?b=c", method=method)
        assert (answer.status, one(answer, "Location"), seen) == (status, "https://new.example/old/a?b=c", [])
    answer, _ = ask(world, ctx, "/older/x", method="POST")
    assert (answer.status, one(answer, "Location")) == (303, "/new/")
    answer, seen = ask(world, ctx, "/maintenance/x")
    assert (answer.status, answer.body, one(answer, "Content-Type"), seen) == (503, b"<p>back soon", "text/html", [])
    answer, _ = ask(world, ctx, "/maintenance", method="HEAD")
    assert (answer.status, answer.body, one(answer, "Content-Length")) == (503, b"", "12")
    answer, _ = ask(world, ctx, "/empty")
    assert (answer.status, answer.body) == (204, b"")


def plain(port, target, host="localhost", method="GET", fields=()):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(http1.request(method, target, host, fields))
        return http1.Reader(s.recv).answer(method)


def test_a_plain_route_is_served_where_all_else_is_redirected(world):
    gw, _, asp = world
    port = gw.port_of(1)
    before = len(asp.seen)
    answer = plain(port, "/.well-known/acme-challenge/token")
    assert answer.status == 200 and asp.seen[-1].target == "/.well-known/acme-challenge/token"
    assert len(asp.seen) == before + 1 and asp.seen[-1].get("X-Forwarded-Proto") == "http"
    assert "strict-transport-security" not in names(answer)
    for target in ("/", "/asp/x", "/.well-known/acme-challenge/../x", "/.well-known/acme-challenge",
                   "/x/../asp/y"):
        answer = plain(port, target)
        assert answer.status == 301 and one(answer, "Location").startswith("https://localhost"), target
    assert len(asp.seen) == before + 1


def test_fields_are_added_from_facts_and_cannot_be_forged(world, ctx):
    forged = [(n, "forged") for n in ("X-TLS", "x_tls", "X.Tls", "X-Who", "X-Route", "X_Route", "X-Unwanted", "x_unwanted")]
    for more in ([], [("Connection", "X-TLS, X-Route, x-id")]):
        answer, [(_, seen)] = ask(world, ctx, "/p?q", fields=forged + more + [("X-Kept", "kept")])
        assert answer.status == 200
        assert b"forged" not in seen.head and seen.get("X-Kept") == "kept"
        assert re.fullmatch(r"TLSv1\.3 TLS_\w+", seen.get("X-TLS"))
        assert seen.get("X-Who") is None and seen.get("X-Route") == "none"
        assert seen.get("X-Where") == "GET localhost /p q from 127.0.0.1 by localhost"
        assert seen.get("X-Id") == seen.get("X-Request-ID") == one(answer, "X-Request")
    _, [(_, seen)] = ask(world, ctx, "/app/x")
    assert seen.get("X-Route") == "app"


def test_the_log_has_the_target_as_it_was_asked_for(world, ctx):
    gw, _, _ = world
    for target in ("/app/logged?q=1", "/app/../logged/2", "/logged/3"):
        ask(world, ctx, target)
        wait.until(lambda: any(f'"GET {target} HTTP/1.1" 200' in line for line in gw.access()), 5, f"{target} in the log")


def test_answers_are_put_into_the_clients_terms(world, ctx):
    gw, apache, _ = world
    answer, _ = ask(world, ctx, "/app/x")
    assert one(answer, "Location") == "https://localhost/app/there"
    assert one(answer, "Content-Location") == "/app/here"
    assert one(answer, "Set-Cookie") == "id=1; Path=/app/; HttpOnly"
    assert one(answer, "X-Frame-Options") == "DENY" and "server" not in names(answer)
    assert one(answer, "X-Served-By") == apache.address
    assert one(answer, "Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
    answer, _ = ask(world, ctx, "/v2/x")  # a route that does not ask for it
    assert one(answer, "Location") == f"http://{apache.address}/v2/there"
    for target in ("/old", "/maintenance", "/x/..%2fasp/y"):
        answer, _ = ask(world, ctx, target)
        assert one(answer, "X-Frame-Options") == "DENY" and "x-served-by" not in names(answer)
        assert one(answer, "Strict-Transport-Security").startswith("max-age=31536000")


def test_a_rule_for_networks(world, ctx):
    gw, _, _ = world
    answer, seen = ask(world, ctx, "/intern/x")
    assert answer.status == 403 and not seen
    wait.until(lambda: "the client may not ask for this" in gw.output(), 5, "the reason in the log")
    answer, seen = ask(world, ctx, "/intern/x", source="127.0.0.2")
    assert answer.status == 200 and len(seen) == 1
    for target in ("//intern/x", "/%69ntern/x", "/x/../intern", "/intern;x", "/x/..%2fintern"):
        answer, seen = ask(world, ctx, target)
        assert answer.status in (400, 403) and not seen, target


def test_rules_for_client_certificates(bed, ctx, pki):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, sites=[bed.site(
        "localhost", client_certificate={"verify": "optional", "ca_file": pki.client_ca.chain_file},
        routes=[{"path": "/", "pool": "main"},
                {"path": "/alice", "pool": "main", "require": {"subject": ["*CN=alice*"]}},
                {"path": "/staff", "pool": "main", "require": {"subject": ["*CN=*"], "issuer": ["*"]}},
                {"path": "/named", "pool": "main", "require": {"san": ["DNS:*.staff.test"]}}])]))
    nobody, alice, bob = None, pki.client("alice"), pki.client("bob")
    named = pki.issue(pki.client_sub, "carol", names=("carol.staff.test",), client=True)
    allowed = {"/": [nobody, alice, bob, named], "/alice": [alice], "/staff": [alice, bob, named], "/named": [named]}
    for version in ("1.2", "1.3"):
        for target, who in allowed.items():
            for identity in (nobody, alice, bob, named):
                c, session = ctx(version=version, identity=identity), None
                for _ in range(2):  # in full, then resumed
                    got, _, session = client.get(gw.port, c, target=target, session=session)
                    assert got.status == (200 if identity in who else 403), (target, identity)


def test_header_profiles_tell_what_their_readers_expect(bed, ctx, pki):
    import base64
    import urllib.parse
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    back = bed.backend()
    gw = bed.gateway(bed.settings(back, sites=[bed.site(
        "localhost", headers=["rfc7239", "rfc9440", "iis", "xfcc", "via"],
        client_certificate={"verify": "optional", "ca_file": pki.client_ca.chain_file})]))
    client.get(gw.port, ctx())
    seen = back.seen[-1]
    assert seen.get("Forwarded") == 'for=127.0.0.1;host="localhost";proto=https'
    assert seen.get("Via") == "1.1 sslgw"
    assert seen.get("Front-End-Https") == "on" and re.fullmatch(r"\d+\|\d+\|\|", seen.get("X-ARR-SSL"))
    for name in ("Client-Cert", "X-ARR-ClientCert", "X-Forwarded-Client-Cert", "X-Forwarded-For", "X-SSL-Protocol"):
        assert seen.get(name) is None
    alice = pki.client("alice")
    client.get(gw.port, ctx(identity=alice))
    seen = back.seen[-1]
    der = x509.load_pem_x509_certificate(open(alice.chain_file, "rb").read()).public_bytes(Encoding.DER)
    text = base64.b64encode(der).decode()
    assert seen.get("Client-Cert") == f":{text}:"
    assert seen.get("X-ARR-ClientCert") == seen.get("MS-ASPNETCORE-CLIENTCERT") == text
    cert = re.match(r'Hash=[0-9a-f]{64};Cert="([^"]*)";Subject="([^"]*)"', seen.get("X-Forwarded-Client-Cert"))
    assert x509.load_pem_x509_certificate(urllib.parse.unquote_to_bytes(cert[1])).public_bytes(Encoding.DER) == der
    assert "alice" in cert[2]


# ---- what the gateway itself answers to requests that it does not take

REFUSALS = {
    "400 bare line feed": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400, "a line does not end with CRLF"),
    "400 no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Host missing"),
    "413": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n", 413, "request body too large"),
    "414": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "request line too long"),
    "417": (b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: more\r\nContent-Length: 1\r\n\r\n", 417, "unknown expectation"),
    "421": (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 421, "Host belongs to a site with other client rules"),
    "431 fields": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431, "too many fields"),
    "431 bytes": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"a: " + b"b" * 8000 + b"\r\n") * 6 + b"\r\n", 431,
                  "head too large"),
    "501": (b"QUERY / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "unknown method"),
    "501 coding": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501,
                   "unsupported Transfer-Encoding"),
    "505": (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505, "unsupported HTTP version"),
    "408": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", 408, "request head took too long"),
    "408 body": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab", 408, "request body took too long"),
}


@pytest.fixture(scope="module")
def strict(shared, pki):
    back = shared.backend()
    gw = shared.gateway(shared.settings(back, sites=[
        shared.site("localhost"),
        shared.site("a.test", client_certificate={"verify": "optional", "ca_file": pki.client_ca.chain_file}),
    ], limits={"body": "64K"}, timeouts={"head": "700ms", "body": "700ms"}), name="strict")
    return gw, back


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_has_a_page_with_an_id_a_logged_reason_and_an_end(strict, ctx, case):
    request, status, reason = REFUSALS[case]
    gw, back = strict
    before = len(back.seen)
    with client.Client(gw.port, ctx()) as c:
        c.send(request)
        answer = c.reader.answer("GET")
        assert answer.status == status
        assert one(answer, "Connection") == "close"
        assert re.search(rb"<h1>%d .*Request <code>[0-9a-f]{32}</code>" % status, answer.body, re.S)
        assert one(answer, "Content-Type").startswith("text/html")
        assert c.recv(1) == b"", "the connection stays open"
    assert len(back.seen) == before
    wait.until(lambda: re.search(rf"{status}: .*{reason}|{reason}", gw.output()), 5, f"{reason} in the log")


def test_routes_of_a_site_without_case_hold_whatever_the_case(bed, ctx):
    import os
    back, folder = bed.backend(), f"{bed.folder}/caseless"
    os.makedirs(folder, mode=0o755)
    os.chmod(folder, 0o755)
    with open(f"{folder}/A.html", "w", encoding="ascii") as f:
        f.write("file")
    routes = [{"path": "/", "pool": "main"}, {"path": "/Intern/", "respond": {"status": 403}}, {"path": "/files/", "files": folder},
              {"path": "/app/", "pool": "main", "strip_prefix": "/app/", "add_prefix": "/x/"}, {"path": "=/one", "respond": {"status": 410}}]
    gw = bed.gateway(bed.settings(back, sites=[bed.site("localhost", routes=routes, ignore_case=True), bed.site("a.test", routes=routes)]))

    def status(name, target):
        return client.get(gw.port, ctx(), sni=name, host=name, target=target)[0].status
    for target in ("/Intern/", "/intern/x", "/INTERN/x", "/%49ntern/", "/x/../iNTERN/y"):
        assert status("localhost", target) == 403, target
    assert status("a.test", "/intern/x") == 200 and status("a.test", "/Intern/x") == 403
    assert status("localhost", "/ONE") == 410 and status("a.test", "/ONE") == 200
    assert status("localhost", "/FILES/A.html") == 200 and status("localhost", "/files/a.html") == 404
    assert status("localhost", "/APP/Y") == 200 and back.seen[-1].target == "/x/Y"
    assert status("localhost", "/interna") == 200


def test_a_refused_head_has_no_body(strict, ctx):
    gw, _ = strict
    for request in (b"HEAD / HTTP/1.1\r\n\r\n", b"\r\nHEAD /../x HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    b"HEAD /" + b"a" * 20000, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n"):
        with client.Client(gw.port, ctx()) as c:
            c.send(request)
            head = c.reader.until(b"\r\n\r\n")
            assert re.match(rb"HTTP/1.1 4\d\d ", head) and re.search(rb"\r\nContent-Length: [1-9]", head)
            assert c.reader.rest + c.recv(65536) == b"", request[:40]


def test_an_empty_line_behind_a_body_is_no_request(bed, ctx):
    """It is waited for as long as for any request, and the connection can be taken for others meanwhile."""
    gw = bed.gateway(bed.settings(bed.backend(), workers=1, timeouts={"head": "300ms", "idle": "1500ms"}))
    with client.Client(gw.port, ctx()) as c:
        c.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab\r\n")
        assert c.reader.answer("POST").status == 200
        with pytest.raises(TimeoutError):
            c.tcp.settimeout(0.7)
            c.recv(1)
        c.tcp.settimeout(10)
        assert c.get().status == 200
        assert c.recv(1) == b"", "no answer to what was not asked"


def test_an_options_that_may_go_no_further_is_answered_here(bed, ctx):
    back = bed.backend()
    gw = bed.gateway(bed.settings(back))
    with client.Client(gw.port, ctx()) as c:
        got = c.get(method="OPTIONS", fields=[("Max-Forwards", "0")])
        assert (got.status, got.body, one(got, "Content-Length")) == (200, b"", "0") and "OPTIONS" in one(got, "Allow")
        assert not back.seen
        assert c.get("*", method="OPTIONS", fields=[("Max-Forwards", "3")]).status == 200
        assert back.seen[-1].get("Max-Forwards") == "2"
        assert c.get(fields=[("Max-Forwards", "0")]).status == 200
        assert back.seen[-1].get("Max-Forwards") == "0"


def test_files_are_found_by_the_resolved_path(bed, ctx, pki):
    import os
    back = bed.backend()
    folder = f"{bed.folder}/pages"
    os.makedirs(f"{folder}/sub", mode=0o755)
    os.chmod(folder, 0o755)
    for name in ("a.html", "sub/index.html"):
        with open(f"{folder}/{name}", "w", encoding="ascii") as f:
            f.write(name)
    os.chmod(f"{folder}/sub", 0o755)
    gw = bed.gateway(bed.settings(back, sites=[bed.site("localhost", routes=[
        {"path": "/", "pool": "main"}, {"path": "/pages/", "files": folder, "answer_add": {"X-Kind": "file"}}])]))
    for target, status, body in (("/pages/a.html", 200, b"a.html"), ("/x/../pages/./sub/../a.html", 200, b"a.html"),
                                 ("/pages/sub/", 200, b"sub/index.html"), ("/pages//a.html", 200, b"a.html"),
                                 ("/pages/x%2f..%2fa.html", 404, None), ("/pages/..%2fa.html", 400, None)):
        got, _, _ = client.get(gw.port, ctx(), target=target)
        assert got.status == status and (body is None or got.body == body), target
        assert one(got, "X-Kind") == "file" or status == 400
    got, _, _ = client.get(gw.port, ctx(), target="/x/../pages/sub?q=1")
    assert (got.status, one(got, "Location")) == (301, "/pages/sub/?q=1")
    assert not back.seen
