#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the gate fares against models of receivers, beside other policies and the oracle.

Every scenario of tests/scenarios at its seed, and thirty at random; with TG_SOAK=1 five seeds and a
hundred. The bounds are the project's targets: see TARGETS.
"""
import pathlib
import statistics
import sys
import tempfile

import yaml

from simulatelib import SCENARIOS, SOAK, TOP, check, lines, verdict

SEEDS = [1, 2, 3, 4, 5] if SOAK else [1]
RANDOM = 100 if SOAK else 30
TARGETS = {
    "share_median": 0.97, "share_least": 0.85, "share_least_random": 0.75,
    "avoidable_median": 3, "avoidable_most": 10, "avoidable_most_random": 20,
    "blocked_random_of_100": 2, "p99_s": 60, "p99_from_per_minute": 5, "score_behind": 0.05,
}


def honest(name, seed, by):
    oracle = by["oracle"]
    check(oracle["avoidable_per_1000"] == 0 and oracle["blocked_ip_hours"] == 0, f"{name}/{seed}: the oracle exceeded a limit")
    check(oracle["share"] == 1, f"{name}/{seed}: the oracle is the measure")


def run_scenarios():
    runs = {}
    for line in lines("--seeds", ",".join(map(str, SEEDS)), *SCENARIOS):
        runs.setdefault((pathlib.Path(line["scenario"]).stem, line["seed"]), {})[line["policy"]] = line
    for (name, seed), by in runs.items():
        honest(name, seed, by)
    return [(name, seed, by) for (name, seed), by in runs.items()]


def median_and_bounds(what, gates, least, most):
    shares = [gate["share"] for _, gate in gates]
    avoidable = [gate["avoidable_per_1000"] for _, gate in gates]
    print(f"{what}: share median {statistics.median(shares):.3f}, least {min(shares):.3f}; "
          f"avoidable per 1,000 median {statistics.median(avoidable):.2f}, most {max(avoidable):.2f}")
    for name, gate in gates:
        check(gate["share"] >= least, f"{name}: share {gate['share']:.3f} < {least}")
        check(gate["avoidable_per_1000"] <= most, f"{name}: avoidable {gate['avoidable_per_1000']:.2f} > {most}")


def per_minute(rate):
    count, unit = str(rate).split("/")
    return float(count.replace(",", "")) * {"min": 1, "m": 1, "hr": 1 / 60, "h": 1 / 60, "s": 60}[unit]


def least_rate(path):
    """The lowest hidden limit of a scenario's file, a minute."""
    receivers = yaml.safe_load(path.read_text())["receivers"]
    return min(per_minute(step["rate"]) for receiver in receivers
               for step in [receiver["accept"]] + receiver.get("changes", []) if "rate" in step)


def punctual(name, path, by):
    late = by["tollgate"]["transactional_p99_s"]
    if by["oracle"]["transactional_p99_s"] <= TARGETS["p99_s"] and least_rate(path) >= TARGETS["p99_from_per_minute"]:
        check(late <= TARGETS["p99_s"], f"{name}: transactional p99 {late:.0f} s")


def best(runs):
    beaten = []
    for name, seed, by in runs:
        others = max(line["score"] for policy, line in by.items() if policy not in ("tollgate", "oracle"))
        if others > by["tollgate"]["score"]:
            beaten.append((name, seed, others - by["tollgate"]["score"]))
    check(len({name for name, _, _ in beaten}) <= 1, f"beaten in more than one scenario: {beaten}")
    check(all(behind <= TARGETS["score_behind"] for _, _, behind in beaten), f"beaten by more than {TARGETS['score_behind']}: {beaten}")


def scenarios():
    runs = run_scenarios()
    check(len(SCENARIOS) == 20, "twenty scenarios")
    gates = [(f"{name}/{seed}", by["tollgate"]) for name, seed, by in runs]
    median_and_bounds("scenarios", gates, TARGETS["share_least"], TARGETS["avoidable_most"])
    check(statistics.median(gate["share"] for _, gate in gates) >= TARGETS["share_median"], "share median")
    check(statistics.median(gate["avoidable_per_1000"] for _, gate in gates) <= TARGETS["avoidable_median"], "avoidable median")
    for name, seed, by in runs:
        check(by["tollgate"]["blocked_after_first_hour"] == 0, f"{name}/{seed}: blocked after the first hour")
        punctual(f"{name}/{seed}", TOP / "tests" / "scenarios" / f"{name}.yaml", by)
    best(runs)


def at_random(folder):
    found = {}
    for line in lines("--random", RANDOM, "--seed", 1, "--write", folder):
        found.setdefault(line["scenario"], {})[line["policy"]] = line
    gates = [(name, by["tollgate"]) for name, by in found.items()]
    median_and_bounds("random", gates, TARGETS["share_least_random"], TARGETS["avoidable_most_random"])
    blocked = [name for name, gate in gates if gate["blocked_after_first_hour"] > 0]
    check(len(blocked) <= TARGETS["blocked_random_of_100"] * RANDOM / 100 + 0.4, f"blocked after the first hour: {blocked}")
    for name, by in found.items():
        honest(name, name, by)
        punctual(name, folder / f"{name}.yaml", by)


def main():
    scenarios()
    with tempfile.TemporaryDirectory() as folder:
        at_random(pathlib.Path(folder))
    return verdict()


sys.exit(main())
