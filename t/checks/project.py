"""project.py: what the checks share: which files belong to the project, and how a finding is told."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*patterns):
    """Files that git knows or would take, by git's glob patterns."""
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=TOP, check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted({f for f in out if f and os.path.isfile(os.path.join(TOP, f))})


def chosen(*patterns):
    """The same, or only those of them that the command line names (as the pre-commit hook does)."""
    named = [os.path.relpath(os.path.abspath(a), TOP) for a in sys.argv[1:] if not a.startswith("-")]
    all_files = files(*patterns)
    return [f for f in all_files if f in set(named)] if named else all_files


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def includes(path):
    """(line, '"' or '<', name) of each include of a C file."""
    text = read(path)
    return [(text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2)) for m in INCLUDE.finditer(text)]


class Findings:
    def __init__(self, name):
        self.name, self.lines, self.seen = name, [], 0

    def add(self, path, line, what):
        self.lines.append(f"{path}:{line}: {what}" if line else f"{path}: {what}")

    def finish(self):
        for line in self.lines:
            print(line)
        if not self.lines:
            print(f"{self.name}: {self.seen} looked at, nothing found")
        sys.exit(1 if self.lines else 0)
