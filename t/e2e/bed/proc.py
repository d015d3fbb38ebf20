"""proc.py: what /proc says about the processes of a gateway."""
import os
import re

SHADOW = 64 << 30  # bytes; a mapping as large as that is a sanitizer's account of the memory, and its pages hold none of ours


def stat(pid):
    """(state, parent, session) or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[3])


def alive(pid):
    s = stat(pid)
    return s is not None and s[0] not in "ZX"


def everyone():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def children(pid):
    return [p for p in everyone() if (s := stat(p)) and s[1] == pid and s[0] not in "ZX"]


def in_session(session):
    return [p for p in everyone() if (s := stat(p)) and s[2] == session and s[0] not in "ZX"]


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().split(b"\0")[0].decode(errors="replace").strip()
    except OSError:
        return ""


def status(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return re.search(rf"^{key}:\s*(.*)$", f.read(), re.M).group(1)


def rss_kib(pid):
    """Memory of its own that is in RAM, KiB: without files and without what is shared."""
    return int(status(pid, "RssAnon").split()[0])


def peak_kib(pid):
    return int(status(pid, "VmHWM").split()[0])


def descriptors(pid):
    out = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            out[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return out


def regions(pid):
    """(start, end, name) of each readable mapping."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as f:
        for line in f:
            span, rights, _, _, _, *name = line.split(None, 5)
            start, end = (int(x, 16) for x in span.split("-"))
            if rights.startswith("r"):
                yield start, end, name[0].strip() if name else ""


def search_memory(pid, needles):
    """{needle's name: [address, ...]} over all readable memory. Also how many bytes were looked at."""
    found, seen = {}, 0
    overlap = max(len(n) for n in needles.values())
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for start, end, name in regions(pid):
            if name in ("[vvar]", "[vsyscall]", "[vvar_vclock]") or end - start > SHADOW:
                continue
            at, tail = start, b""
            while at < end:
                try:
                    mem.seek(at)
                    block = mem.read(min(8 << 20, end - at))
                except OSError:
                    break
                if not block:
                    break
                seen += len(block)
                text = tail + block
                for what, needle in needles.items():
                    place = text.find(needle)
                    if place >= 0:
                        found.setdefault(what, []).append(hex(at - len(tail) + place))
                tail = text[-overlap:]
                at += len(block)
    return found, seen
