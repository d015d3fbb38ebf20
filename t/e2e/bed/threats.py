"""threats.py: the tables of SECURITY.md as data: which test stands for what. Read by t/checks/threats, which looks whether
each is there, and by test_threats.py, which sees those of the first table fail."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
NAME = re.compile(r"`([\w./-]+?)(?:::(\w+))?`(?: ([^\s,`(|][^,`(|]*?))?(?: \(([^)]*)\))?(?=,|$)")


class Named:
    """`file`, of t/e2e or a path, `function` (None: all of it), `word` of the cases' names, `note`: another counter-proof."""

    def __init__(self, line, threat, item, file, function, word, note):
        self.line, self.threat, self.item, self.function, self.word, self.note = line, threat, item, function, word, note
        name = file if "." in file or "/" in file else f"{file}.py"
        self.path = name if "/" in name else f"t/e2e/{name}"

    @property
    def e2e(self):
        return self.path.startswith("t/e2e/test_") and self.function is not None

    def __repr__(self):
        return f"{os.path.basename(self.path)}::{self.function}" + (f" {self.word}" if self.word else "")

    def problem(self):
        """What is wrong with it, or None."""
        path = os.path.join(TOP, self.path)
        if not os.path.exists(path):
            return f"{self.path} is not there"
        if self.function is None:
            return None
        with open(path, encoding="utf-8") as f:
            text = f.read()
        definition = rf"^def {self.function}\(" if path.endswith(".py") else rf"^static void {self.function}\("
        return None if re.search(definition, text, re.M) else f"{self.path} has no {self.function}"


def tables():
    """[(heads, [Named...], [lines that name nothing])...] of SECURITY.md."""
    out, threat = [], ""
    with open(os.path.join(TOP, "SECURITY.md"), encoding="utf-8") as f:
        lines = f.read().split("\n")
    for number, line in enumerate(lines, 1):
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not line.startswith("|") or set(cells[0]) == {"-"}:
            continue
        if lines[number].startswith("|---"):
            out.append((cells, [], []))
            continue
        heads, named, wrong = out[-1]
        threat = cells[0] or threat
        found = [Named(number, threat, cells[1], *m.groups()) for m in NAME.finditer(cells[-1])]
        named += found
        if len(cells) != len(heads) or not found or NAME.sub("", cells[-1]).strip(" ,"):
            wrong.append(number)
    return out
