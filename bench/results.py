"""results.py: bench/RESULTS.md and its charts, from the measurements that were kept."""
import os
import platform
import re
import subprocess
import tempfile

import growth
import measure
import rows
import second
import services

NOISY = 0.1  # of the front's core, in others' hands
COLOURS = {"sslgw": "#1b6ca8", "nginx": "#3a9d5d", "haproxy": "#d9822b", "hitch": "#8a8a8a", "floor": "#d3d3d3", "sslgw-cachesvc": "#1b6ca8", "redis-server": "#c0392b"}


def said(*command):
    """The first line of what it says, either way; "": it is not here."""
    try:
        got = subprocess.run(command, capture_output=True, text=True, check=False)
        return (got.stdout + got.stderr).strip().split("\n")[0].strip()
    except OSError:
        return ""


def machine(bench):
    """What the figures hold for."""
    model = re.search(r"^model name\s*: (.*)$", measure.read("/proc/cpuinfo"), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", measure.read("/proc/meminfo"), re.M).group(1)) / (1 << 20)
    versions = {"nginx": ("-v",), "haproxy": ("-v",), "hitch": ("--version",), "h2load": ("--version",)}
    found = {name: said(bench.program(name), *words) for name, words in versions.items() if bench.program(name)}
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(services.REDIS_PROGRAM, f"{folder}/redis-server")
        found["redis-server"] = said(bench.program("redis-server") or f"{folder}/redis-server", "--version")
    found["openssl"] = said("openssl", "version")
    top = os.path.dirname(measure.HERE)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": len(bench.cores), "memory": f"{memory:.0f} GiB",
            "kernel": platform.release(), "system": re.search(r'PRETTY_NAME="(.*)"', measure.read("/etc/os-release")).group(1),
            "versions": {k: v for k, v in found.items() if v}, "files": bench.files,
            "commit": said("git", "-C", top, "rev-parse", "--short", "HEAD") + (" and changes" if said("git", "-C", top, "status", "--porcelain", "src")
                                                                              else ""),
            "date": said("date", "-u", "+%Y-%m-%d")}


# ---- charts

def plot(path, script):
    """By gnuplot; what it says of the moment and of itself is left out."""
    got = subprocess.run(["gnuplot"], input=f'set terminal svg size 900,{script[0]} font "sans-serif,12" background "white"\n'
                         f'set output "{path}"\n' + script[1], text=True, capture_output=True, check=False)
    if got.returncode:
        raise RuntimeError(f"gnuplot: {got.stderr}")
    text = measure.read(path)
    measure.write(path, re.sub(r"[ \t]+$", "", text, flags=re.M))


def bars(path, results, reference, title):
    """Of ratios, with a line at 1.0; rows from above to below."""
    names = [n for n in rows.order(results) if n != reference]
    lines, each = [], 1.0 / (len(names) + 1)
    todo = list(results)
    for at, row in enumerate(reversed(todo)):
        for k, name in enumerate(names):
            r = measure.ratio(results[row].get(name, []), results[row].get(reference, []))
            if r:
                lines.append((name, at + each * (len(names) / 2 - k - 0.5), r, each * 0.45))
    data = "".join(f"${name} << EOD\n" + "".join(f"{r:.4f} {y:.4f} 0 {r:.4f} {y - h:.4f} {y + h:.4f}\n" for n, y, r, h in lines if n == name) + "EOD\n"
                   for name in names)
    tics = ", ".join(f'"{rows.ROWS[row][4]}" {at}' for at, row in enumerate(reversed(todo)))
    most = max(r for _, _, r, _ in lines)
    plot(path, (130 + 16 * len(todo) * len(names), data + f'''set title "{title}"
set style fill solid 0.9 noborder
set xrange [0:{max(1.2, most * 1.05):.2f}]
set yrange [-0.6:{len(todo) - 0.4}]
set ytics ({tics}) nomirror scale 0
set xtics nomirror
set border 3
set grid x lc rgb "#dddddd"
set key outside top center horizontal
set xlabel "CPU time, {reference} = 1 (less is better)"
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb "#000000" lw 1.5 front
plot ''' + ", ".join(f'${n} using 1:2:3:4:5:6 with boxxyerror lc rgb "{COLOURS.get(n, "#555555")}" title "{n}"' for n in names) + "\n"))


def lines(path, title, unit, costs):
    """The cost over the number, a line a front, its slope in the key."""
    costs = {front: points for front, points in costs.items() if points}
    data = "".join(f"$d{i} << EOD\n" + "".join(f"{n} {c:.4f}\n" for n, c in points) + "EOD\n" for i, points in enumerate(costs.values()))
    numbers = [n for points in costs.values() for n, _ in points]
    most = max(c for points in costs.values() for _, c in points)
    titles = [f"{front}, {growth.slope_text(points)} for ten times as many" if growth.slope_text(points) else
              f"{front}, ×{points[-1][1] / points[0][1]:.2f} from first to last" for front, points in costs.items()]
    plot(path, (360, data + f'''set title "{title}"
set logscale x 10
set xrange [{min(numbers) * 0.8}:{max(numbers) * 1.25}]
set yrange [0:{most * 1.15:.3f}]
set border 3
set xtics nomirror
set ytics nomirror
set grid lc rgb "#dddddd"
set key inside bottom right
set xlabel "{unit}"
set ylabel "CPU µs"
plot ''' + ", ".join(f'$d{i} with linespoints pt 7 ps 0.6 lw 2 lc rgb "{COLOURS.get(front, "#555555")}" title "{titles[i]}"'
                     for i, front in enumerate(costs)) + "\n"))


# ---- the text

def others(results):
    """The share of the front's core that others used, over all measurements: median and worst."""
    seen = sorted(g["others"] for part in ("off", "on") for got in results.get(part, {}).values() for m in got.values() for g in m
                  if g and "others" in g)
    return (seen[len(seen) // 2], seen[-1]) if seen else None


def earlier(results):
    """What was measured of another commit than the last part was."""
    last, by_commit = results["machine"]["commit"], {}
    for what, commit in results.get("commits", {}).items():
        if commit != last:
            by_commit.setdefault(commit, []).append(what)
    return "".join(f" Of commit {commit}: {', '.join(what)}." for commit, what in by_commit.items())


def head(results):
    m = results["machine"]
    out = ["# What was measured", "",
           "Written by `./dev bench --all`; do not edit. How the measurements are made stands in `bench/bench`; "
           "`./dev bench --list` shows the rows.", "",
           f"{m['date']}, commit {m['commit']}. {m['system']}, Linux {m['kernel']}, {m['cores']} cores of {m['cpu']}, {m['memory']}; "
           f"RLIMIT_NOFILE {m['files']:,}. " + "; ".join(f"{k}: {v}" for k, v in m["versions"].items()) + "." + earlier(results)]
    noise = others(results)
    if noise:
        out.append(f"Beside the bench, others used {noise[0]:.0%} of the front's core (median over the rows' measurements; at worst {noise[1]:.0%}); "
                   f"load average {results.get('load', ['?', '?'])[0]} before, {results.get('load', ['?', '?'])[1]} after. "
                   "With others on the machine its caches are shared too: read the ratios, which compare measurements of one round." +
                   (" **That is not a quiet machine:** rows in which two processes of sslgw take part (handshakes, sessions in the cache) pay for each "
                    "switch between them and others, and the ratios of the rounds lie far apart. Measure again where nothing else runs."
                    if noise[0] > NOISY else ""))
    return out + ["", "**How to read it.** The unit is CPU time of the whole front (all its processes, kernel included) for each operation. A cell is "
                  f"the ratio to {results['reference']} within a round, the median of the rounds; 1.00 is {results['reference']}, less is better, and its own "
                  "figure stands in brackets. Latencies are as seen by the generator, at a fixed rate, from the moment an operation was due. `floor` is no product "
                  "(`bench/floor.c`): the least that this work costs with this OpenSSL and this kernel, nothing checked, bounded or timed. The last columns are "
                  f"what the project allows itself, and whether that is met: by the ratio to nginx, or by lying within {rows.NEAR - 1:.0%} of the floor in the "
                  f"same rounds ({rows.NEAR_WITH_SECOND - 1:.0%} where a second process takes part, the key's or the cache's; latencies by the ratio alone), since what "
                  "the floor is to nginx differs from machine to machine. What a rate or a latency is in figures depends on the machine; ratios move less, but they move."]


def rounds(got: dict) -> str:
    n = sorted({len(m) for row in got.values() for m in row.values()})
    return str(n[0]) if n[0] == n[-1] else f"{n[0]} to {n[-1]}"


def section_rows(results, folder):
    out = []
    for part, title in (("off", "Without access log"), ("on", "With access log")):
        got = results.get(part)
        if not got:
            continue
        got = {k: got[k] for k in rows.ROWS if k in got}  # in whichever order they were measured
        timed = {k: v for k, v in got.items() if rows.ROWS[k][2] != "latency"}
        late = {k: v for k, v in got.items() if rows.ROWS[k][2] == "latency"}
        out += ["", f"## {title}", ""]
        if timed:
            bars(f"{folder}/ratios-log-{part}.svg", timed, results["reference"], f"CPU time of the front for each operation, access log {part}")
            out += [*rows.table(timed, results["reference"]), "", f"Medians of {rounds(timed)} rounds.", "", f"![ratios](charts/ratios-log-{part}.svg)"]
        noise = others(results)
        if late and noise and noise[0] > NOISY:
            out += ["", "The rows of latency are left out: with others on the front's core they would show the others' time slices."]
        elif late:
            out += ["", f"Latency at a fixed rate; median of the ratios of {rounds(late)} interleaved rounds:", "", *rows.table(late, results["reference"])]
    return out


def section_growth(results, folder):
    if "growth" not in results:
        return []
    out = ["", "## How it grows", "", "CPU µs of the whole front for each operation; ten times as many make it ×1.00 where it is flat (least "
           "squares over the logarithms). The peers show what the machine's caches do to anyone's state.", ""]
    for name, got in results["growth"].items():
        costs = growth.medians(got)
        unit = "entries" if name == "cache" else growth.SERIES[name][1]
        title = services.CACHE_GROWTH if name == "cache" else growth.SERIES[name][0]
        lines(f"{folder}/growth-{name}.svg", title, unit, costs)
        out += [*growth.table({name: got}), f"![{title}](charts/growth-{name}.svg)", ""]
        if name == "connections":
            missing = [n for n in got["points"] if 2 * n + 500 > got["files"]]
            if missing:
                out += [f"{', '.join(f'{n:,}' for n in missing)}: RLIMIT_NOFILE ({got['files']:,}) does not allow a connection to a client and one to a "
                        "server for each.", ""]
        starts = got.get("starts", {}).get("sslgw", {})
        if name.startswith("sites") and starts:
            out += ["Start and memory of sslgw, one worker: " + "; ".join(
                f"{int(n):,} sites {seconds:.1f} s, {kib / 1024:,.0f} MiB" for n, (seconds, kib) in starts.items()) + ".", ""]
    return out[:-1]


def section_services(results):
    out = []
    if "keys" in results:
        out += ["", "## The key service", "", "CPU time of a signature with all that is around it (the protocol, TLS, the check of what is signed), one thread, beside "
                "`openssl speed`, which only signs.", "", *services.keys_table(results["keys"])]
    if "caches" in results:
        out += ["", "## The cache service", "", f"CPU time of the server for each command of redis-benchmark, {services.CLIENTS} connections without TLS.", "",
                *services.caches_table(results["caches"])]
    if "stored" in results:
        out += ["", f"Memory of a stored session with its name (16 bytes) and its end, all of the process's, in a full cache of {services.STORED_MEMORY >> 20} MiB:", "", *services.stored_table(results["stored"])]
    return out


def write(results, path):
    """The text, and charts/ beside it."""
    folder = f"{os.path.dirname(os.path.abspath(path))}/charts"
    os.makedirs(folder, exist_ok=True)
    out = head(results) + section_rows(results, folder) + section_growth(results, folder) + section_services(results)
    if "second" in results:
        out += ["", "## Second opinions", "", "The fronts once more, with h2load instead of the project's own generator (redis-benchmark above is one already). "
                "A handshake is followed by one GET here, and a hundred connections come at once.", "",
                *second.table(results["second"], results["reference"])]
    measure.write(path, "\n".join(out) + "\n")
