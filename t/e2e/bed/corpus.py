"""corpus.py: t/hostile/*.req and *.resp as data; the format is told in t/hostile/README."""
import glob
import os
import re

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "hostile")
ESCAPE = re.compile(rb"\\(r|n|t|\\|x[0-9a-fA-F]{2})")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


class Case:
    def __init__(self, file, name, line):
        self.file, self.name, self.line = file, name, line
        self.data, self.status, self.reason, self.more, self.method, self.protocol = b"", None, None, False, "GET", None
        self.words = {}

    @property
    def ok(self):
        return self.status is None and not self.more

    def __repr__(self):
        return f"{self.file}:{self.line} {self.name}"


def unescaped(line):
    return ESCAPE.sub(lambda m: PLAIN.get(m.group(1)) or bytes([int(m.group(1)[1:], 16)]), line)


def cases(pattern):
    out = []
    for path in sorted(glob.glob(os.path.join(HERE, pattern))):
        with open(path, "rb") as f:
            for number, line in enumerate(f.read().split(b"\n"), 1):
                if line.startswith(b"# case: "):
                    out.append(Case(os.path.basename(path), line[8:].decode(), number))
                elif line.startswith(b"# expect: "):
                    first, *words = line[10:].decode("latin-1").split(" ")
                    if first == "more":
                        out[-1].more = True
                    elif first == "ok":
                        out[-1].words = {w.partition("=")[0]: w.partition("=")[2] for w in words}
                    else:
                        out[-1].status, out[-1].reason = int(first), words[0]
                elif line.startswith(b"# to: "):
                    out[-1].method, _, out[-1].protocol = line[6:].decode().partition(" ")
                elif line and not line.startswith(b"#"):
                    if line.startswith(b"*"):
                        count, _, text = line[1:].partition(b" ")
                        out[-1].data += unescaped(text) * int(count)
                    else:
                        out[-1].data += unescaped(line)
    return out
