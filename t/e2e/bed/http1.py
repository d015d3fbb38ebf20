"""http1.py: just enough HTTP/1.1 to make requests and read answers byte by byte, strictly."""


class Answer:
    def __init__(self, status, reason, version, fields, body, head):
        self.status, self.reason, self.version = status, reason, version
        self.fields, self.body, self.head = fields, body, head

    def get(self, name, default=None):
        """The one value of a field; a doubled one is an error of the test's subject."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else default

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.version} {self.status} {self.reason} {len(self.body)} bytes>"


def request(method="GET", target="/", host="localhost", fields=(), body=None, version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{n}: {v}" for n, v in (fields.items() if isinstance(fields, dict) else fields)]
    if body is not None and not any(x.lower().startswith(("content-length", "transfer-encoding")) for x in lines):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def split_head(head):
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = []
    for line in rest:
        if line:
            name, colon, text = line.partition(":")
            assert colon and name and name == name.strip(), f"bad field line {line!r}"
            fields.append((name, text.strip()))
    return first, fields


class Reader:
    """Reads messages off recv(n) -> bytes; keeps what comes after one for the next."""

    def __init__(self, recv):
        self.recv, self.rest = recv, b""

    def more(self):
        block = self.recv(65536)
        self.rest += block
        return bool(block)

    def until(self, mark):
        while mark not in self.rest:
            if not self.more():
                return None
        text, _, self.rest = self.rest.partition(mark)
        return text

    def exactly(self, n, sink=None):
        out = []
        while n:
            if not self.rest and not self.more():
                raise EOFError(f"ended {n} bytes early")
            block, self.rest = self.rest[:n], self.rest[n:]
            n -= len(block)
            if sink:
                sink(block)
            else:
                out.append(block)
        return b"".join(out)

    def chunked(self, sink=None):
        out = []
        while True:
            line = self.until(b"\r\n")
            if line is None:
                raise EOFError("ended in a chunk's size line")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while (line := self.until(b"\r\n")) != b"":
                    if line is None:
                        raise EOFError("ended in the trailers")
                return b"".join(out)
            out.append(self.exactly(size, sink))
            if self.exactly(2) != b"\r\n":
                raise ValueError("chunk without CRLF")

    def to_end(self, sink=None):
        out = []
        while self.rest or self.more():
            if sink:
                sink(self.rest)
            else:
                out.append(self.rest)
            self.rest = b""
        return b"".join(out)

    def answer(self, method="GET", sink=None, interim=None):
        """One final answer; interim ones are appended to INTERIM. None: ended before the first byte."""
        while True:
            head = self.until(b"\r\n\r\n")
            if head is None:
                if self.rest:
                    raise EOFError(f"ended within an answer's head: {self.rest[:200]!r}")
                return None
            first, fields = split_head(head)
            version, _, rest = first.partition(" ")
            status, _, reason = rest.partition(" ")
            got = Answer(int(status), reason, version, fields, b"", head)
            if 100 <= got.status < 200 and got.status != 101:
                if interim is not None:
                    interim.append(got)
                continue
            break
        if method == "HEAD" or got.status in (204, 304, 101):
            return got
        if (got.get("Transfer-Encoding") or "").lower() == "chunked":
            got.body = self.chunked(sink)
        elif got.get("Content-Length") is not None:
            got.body = self.exactly(int(got.get("Content-Length")), sink)
        else:
            got.body = self.to_end(sink)
        return got

    def message(self, sink=None):
        """One request: (first line, fields, body, head), or None at the end."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            return None
        first, fields = split_head(head)
        names = {n.lower(): v for n, v in fields}
        if names.get("transfer-encoding", "").lower() == "chunked":
            body = self.chunked(sink)
        elif "content-length" in names:
            body = self.exactly(int(names["content-length"]), sink)
        else:
            body = b""
        return first, fields, body, head
