# SPDX-License-Identifier: MIT
"""Makes the suite's report of the lines that its programs wrote.

report.py BUILD [--quick]: BUILD/bench/lines/* to BUILD/bench/report.md and report.json.
report.py --line FILE: one case, for the terminal.
"""
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

# What the figures are held against, on a machine of the kind that they were set for: two cores, 2.5 ns a
# compare-and-swap, 9.6 ns the floor. Where two of them stand, the first is a ratio.
TARGETS = {
    "hot": ("ratio", 1.15), "refused": ("ratio", 1.10), "hot_windows": ("ratio", 1.8),
    "three_levels": ("ratio", 1.6), "hot_vdso": ("ratio", 1.15), "keyed_uniform_1m": ("ratio", 13),
    "keyed_zipf_1m": ("ratio", 9), "batch16_uniform_1m": ("ratio", 4), "batch16_zipf_1m": ("ratio", 3),
    "two_distinct": ("ratio", -1.9), "two_same": ("ratio", -0.6), "one_producer": ("ns", 40),
    "postfix": ("per_second", -1_000_000),
    **{name: ("per_second", -500_000) for name in ("exim", "powermta", "kumomta", "haraka", "sendgrid", "json")},
    "restore_1m": ("seconds", 3), "snapshot_10k": ("loop_ms", 2),
    "react": ("p50_us", 100), "memory": ("bytes_per_flow", 384), "flow_1m": ("bytes_per_flow", 640),
}
MEANING = {
    "hot": "one flow, its rate", "hot_windows": "one flow, rate, hour and day",
    "hot_vdso": "one flow, the vDSO's clock", "refused": "one flow, refused",
    "three_levels": "rates of flow, source and destination",
    "keyed_uniform_1m": "by key among 1,000,000 flows", "keyed_zipf_1m": "the same, Zipf 0.99",
    "batch16_uniform_1m": "the same by key, 16 at once", "batch16_zipf_1m": "16 at once, Zipf 0.99",
    "two_distinct": "two processes, each its own flow", "two_same": "two processes, one flow",
    "one_producer": "a report, into another process's hands", "three_producers": "three processes reporting",
    "wake": "from a report to a sidecar that slept", "react": "from a deferral to a worker refused",
    "sidecar_event": "the sidecar's work for a deferral",
    "redis_sorted_set_1": "Redis, a sorted set, one at a time", "redis_sorted_set_50": "…, 50 deep",
    "redis_gcra_1": "Redis, GCRA in Lua, one at a time", "redis_gcra_50": "…, 50 deep",
    "door_1": "CL.THROTTLE at tollgated's door, one at a time", "door_50": "…, 50 deep",
    "postfix": "a line of Postfix's log, read and taken apart", "exim": "of Exim's", "powermta": "of PowerMTA's accounting",
    "kumomta": "of KumoMTA's", "haraka": "of Haraka's", "sendgrid": "an event of SendGrid's",
    "json": "a line of our own JSON", "jansson": "a line of KumoMTA's, by jansson alone",
    "restore_1m": "a store of 1,000,000 flows, until workers may attach", "snapshot_10k": "10,000 flows written down: what it keeps the loop",
    "mutex": "a bucket under a shared mutex",
    "python_module": "the Python module", "python_redis_sorted_set": "Redis, a sorted set: count, then add",
    "python_redis_multi": "Redis, a sorted set, in one MULTI",
}


def number(value, digits=1):
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def machine():
    cpu = "unknown"
    for line in open("/proc/cpuinfo"):
        if line.startswith(("model name", "Model")):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemTotal"))
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "memory_mib": memory // 1024,
            "compiler": f"gcc {gcc}", "load": os.getloadavg()[0],
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def verdict(case, figures):
    """The target of a case in words, and whether it is met."""
    if case not in TARGETS:
        return "", ""
    field, bound = TARGETS[case]
    value = figures.get(field)
    unit = {"ratio": "×", "ns": " ns", "p50_us": " µs", "bytes_per_flow": " B", "per_second": " a second", "seconds": " s", "loop_ms": " ms"}[field]
    if value is None:
        return "", ""
    if bound < 0:
        return f"≥ {-bound:,.10g}{unit}", "yes" if value >= -bound else "no"
    return f"≤ {bound:g}{unit}", "yes" if value <= bound else "no"


def terminal(path):
    for line in open(path):
        figures = json.loads(line)
        shown = [f"{figures[key]:,.1f} {unit}" for key, unit in
                 (("ns", "ns"), ("per_second", "a second"), ("p50_us", "µs p50"), ("p99_us", "µs p99"), ("mps", "M/s"),
                  ("seconds", "s"), ("loop_ms", "ms of the loop"),
                  ("bytes_per_flow", "bytes a flow"), ("most_in_a_window", "let through of 100")) if figures.get(key) is not None]
        if "share" in figures:
            shown.append(f"share {figures['share']:.3f}, simulated {figures['share_simulated']:.3f}  transactional p99 "
                         f"{figures['transactional_p99_s']:.2f} s, simulated {figures['transactional_p99_simulated_s']:.2f}")
        if figures.get("ratio") is not None:
            shown.append(f"ratio {figures['ratio']:.2f}")
        target, met = verdict(figures["case"], figures)
        print("  ".join(shown) + (f"  (target {target}: {met})" if target else ""), flush=True)


def rows(title, header, lines):
    yield f"\n## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"


def markdown(report):
    m = report["machine"]
    yield "# What a decision costs on this machine\n"
    yield (f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['memory_mib']:,} MiB, {m['compiler']}; "
           f"{m['when']}, load {m['load']:.1f}{', --quick' if report['quick'] else ''}. Run `make bench` to get these again. "
           "Medians of repeats that alternate with the floor.")
    decide, scale, ring, peers = (report.get(k, {}) for k in ("decide", "scale", "ring", "peers"))
    lines = []
    for case, f in decide.items():
        if case == "memory":
            continue
        target, met = verdict(case, f)
        lines.append([case, MEANING.get(case, ""), number(f["ns"], 2), number(f["floor_ns"], 2),
                      number(f.get("bare_ns"), 2), number(f["ratio"], 2), target, met, number(f["mps"], 1),
                      number(f["p999_ns"], 0)])
    yield from rows("Decisions", ["case", "", "ns", "floor ns", "bare ns", "ratio", "target", "met", "M/s", "p99.9 ns"], lines)
    if "memory" in decide:
        yield f"\nMemory: {number(decide['memory']['bytes_per_flow'])} bytes a configured flow, without what the sidecar keeps."
    yield from rows("By number of flows, one process", ["case", "ns", "bare ns", "M/s", "p99.9 ns"],
                    [[c, number(f["ns"], 1), number(f.get("bare_ns"), 1), number(f["mps"], 2), number(f["p999_ns"], 0)]
                     for c, f in scale.items() if c.startswith("flows")])
    counts = sorted({int(c.split("_")[1]) for c in scale if c.startswith("workers")})
    cell = lambda n, kind: scale.get(f"workers_{n}_{kind}")
    yield from rows("By number of workers, M decisions a second together (p99.9 of one, ns)",
                    ["workers", "each its own flow", "all one flow", "1,000 flows, Zipf"],
                    [[str(n)] + [f"{number(f['mps'], 1)} ({number(f['p999_ns'], 0)})" if (f := cell(n, kind)) else "–"
                                 for kind in ("distinct", "same", "zipf")] for n in counts])
    yield from rows("The way to the sidecar", ["case", "", "ns", "p50 µs", "p99 µs", "target", "met"],
                    [[c, MEANING.get(c, ""), number(f.get("ns")), number(f.get("p50_us")), number(f.get("p99_us")),
                      *verdict(c, f)] for c, f in ring.items()])
    if report.get("store"):
        yield from rows("What it costs to remember", ["case", "", "s", "ms of the loop", "target", "met"],
                        [[c, MEANING.get(c, ""), number(f.get("seconds"), 2), number(f.get("loop_ms"), 2), *verdict(c, f)]
                         for c, f in report["store"].items()])
    if report.get("ingest"):
        yield from rows("Logs, one core", ["case", "", "ns", "bytes", "a second", "target", "met"],
                        [[c, MEANING.get(c, ""), number(f["ns"]), number(f["bytes"], 0), number(f["per_second"], 0), *verdict(c, f)]
                         for c, f in report["ingest"].items()])
    if report.get("live"):
        yield from rows("The real thing beside the simulator: six workers, tollgated, SMTP on loopback",
                        ["scenario", "share", "simulated", "transactional p99 s", "simulated", "deferred", "simulated"],
                        [[c.removeprefix("live_"), *(number(f[key], digits) for key, digits in (
                            ("share", 3), ("share_simulated", 3), ("transactional_p99_s", 2),
                            ("transactional_p99_simulated_s", 2), ("deferred", 0), ("deferred_simulated", 0)))]
                         for c, f in report["live"].items()])
    hot = decide.get("hot", {}).get("mps")
    yield from rows("Peers, one client", ["peer", "", "ns", "a second", "tollgate is faster by"],
                    [[c, MEANING.get(c, ""), number(f["ns"]), number(f["per_second"], 0),
                      f"{hot * 1e6 / f['per_second']:,.0f} ×" if hot else "–"] for c, f in peers.items()])
    if report.get("python"):
        yield from rows("In Python: 100 a second, one process; then eight, and what the worst second let through",
                        ["case", "", "ns", "a second", "let through of 100"],
                        [[c, MEANING.get(c, ""), number(f["ns"], 0), number(f["per_second"], 0), str(f["most_in_a_window"])]
                         for c, f in report["python"].items()])
    yield ("\nA socket on this machine costs a wake-up of an idle processor, which flatters us against a peer asked "
           "one at a time: compare the pipelined figures, too.")


ORDER = {name: i for i, name in enumerate(MEANING)}


def place(case):
    """As the suite runs them: workers_2 before workers_16, flows_10k before flows_1m."""
    parts = case.split("_")
    units = {"k": 10 ** 3, "m": 10 ** 6}
    size = int(parts[1][:-1]) * units[parts[1][-1]] if parts[0] == "flows" else \
        int(parts[1]) if parts[0] == "workers" else 0
    return (ORDER.get(case, 1000), parts[0], "batch16" in case, size, case)


def main():
    if sys.argv[1] == "--line":
        terminal(sys.argv[2])
        return 0
    folder = pathlib.Path(sys.argv[1]) / "bench"
    report = {"machine": machine(), "quick": "--quick" in sys.argv}
    for path in sorted((folder / "lines").glob("*.*"), key=lambda p: place(p.name.split(".", 1)[1])):
        for line in path.read_text().splitlines():
            figures = json.loads(line)
            report.setdefault(path.name.split(".")[0], {})[figures.pop("case")] = figures
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.md").write_text("\n".join(markdown(report)) + "\n")
    return 0


sys.exit(main())
