#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests: the Criterion programs, the stress programs, and the e2e scripts.

A program's exit status says how it went: 0 passed, 77 skipped, all else failed. A Criterion program
counts each of its tests. A line that starts with "SKIP:" is a part that could not run here, with its
reason; it is counted and printed. As many programs run at once as there are processors and two, since
many wait for most of their time. One that says TEST-LONG at its top is begun first, so that none is left
over at the end beside an idle processor. One that says TEST-CALM measures seconds and computes little:
it runs beside two others of its kind when those are done. One that says TEST-ALONE, or whose name holds
"alone", runs by itself.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import waiting

TOP = pathlib.Path(__file__).resolve().parent.parent
SYNTHESIS = re.compile(r"Tested:\s*(\d+)\s*\|\s*Passing:\s*(\d+)\s*\|\s*Failing:\s*(\d+)\s*\|\s*Crashing:\s*(\d+)")
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
running = set()


class Result:
    def __init__(self, name, passed, failed, skips, seconds, output):
        self.name, self.passed, self.failed, self.skips = name, passed, failed, skips
        self.seconds, self.output = seconds, output


def programs(build, patterns, stress_only):
    found = sorted(build.glob("tests/test_*")) if not stress_only else []
    found += sorted(build.glob("tests/stress_*"))
    found = [p for p in found if os.access(p, os.X_OK) and p.suffix == ""]
    # Only what still has a source: a renamed test leaves its old program behind.
    found = [p for p in found if (TOP / "tests" / (p.name + ".c")).exists()]
    if not stress_only:
        found += sorted(p for p in (TOP / "tests").glob("e2e_*") if os.access(p, os.X_OK))
    return [p for p in found if not patterns or any(fnmatch.fnmatch(p.name, g) for g in patterns)]


def says(path, word):
    return word in path.read_bytes()[:4096]


def alone(path):
    return "alone" in path.name or says(path, b"TEST-ALONE")


def end(child):
    """Ends a program and its group, when it has cleaned up after itself."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        waiting.wait_for(lambda: child.poll() is not None, "the program to end")
    except (ProcessLookupError, AssertionError):
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return child.wait()


def run(path, build, soak, timeout):
    env = dict(os.environ, TG_BUILD=str(build), TG_TOP=str(TOP), **{k: os.environ.get(k, v) for k, v in SANITIZERS.items()})
    if soak:
        env["TG_SOAK"] = "1"
    command = [str(path)] + (["-j1", "--color=never"] if path.name.startswith("test_") else [])
    start = time.monotonic()
    log = build / "tests" / "log" / (path.name + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        child = subprocess.Popen(command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        running.add(child)
        try:
            status = child.wait(timeout)
            late = ""
        except subprocess.TimeoutExpired:
            status, late = end(child), f"\nended after {timeout} s\n"
        running.discard(child)
    output = log.read_text(errors="replace") + late
    skips = [line.split("SKIP:", 1)[1].strip() for line in output.splitlines() if "SKIP:" in line]
    found = SYNTHESIS.findall(output)
    if status == 77:
        passed, failed, skips = 0, 0, skips or ["no reason given"]
    elif found and path.name.startswith("test_"):
        tested, passing, failing, crashing = map(int, found[-1])
        passed, failed = passing, max(failing + crashing, 1 if status else 0)
        if tested == 0 and not skips:
            failed = 1
            output += "\nno test was run\n"
    else:
        passed, failed = (1, 0) if status == 0 else (0, 1)
    return Result(path.name, passed, failed, skips, time.monotonic() - start, output)


def report(result):
    word = "FAIL" if result.failed else "skip" if result.skips and not result.passed else "ok"
    print(f"  {word:5s} {result.name:34s} {result.passed:4d} passed {result.seconds:7.1f} s", flush=True)
    for reason in result.skips:
        print(f"        skipped: {reason}")
    if result.failed:
        print(result.output[-6000:], flush=True)


def fuzz(paths):
    seconds = os.environ.get("FUZZ_SECONDS", "30")
    bad = 0
    for path in paths:
        name = pathlib.Path(path).name
        corpus = TOP / "build" / "fuzz" / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = TOP / "tests" / "corpus" / name
        command = [path, f"-max_total_time={seconds}", "-print_final_stats=1", "-rss_limit_mb=4096",
                   f"-artifact_prefix={TOP}/build/fuzz/{name}-", str(corpus)] + ([str(seeds)] if seeds.is_dir() else [])
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, errors="replace")
        units = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
        print(f"  {'ok' if done.returncode == 0 else 'FAIL':5s} {name}: {units.group(1) if units else '?'} inputs in {seconds} s")
        if done.returncode:
            bad += 1
            print(done.stderr[-4000:])
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 2)
    parser.add_argument("--fuzz", nargs="*")
    parser.add_argument("patterns", nargs="*")
    args = parser.parse_args()
    if args.fuzz is not None:
        return fuzz(args.fuzz)
    build = (TOP / args.build).resolve()
    timeout = 5400 if args.soak else 900
    todo = programs(build, args.patterns, build.name == "tsan")
    if not todo:
        print("no test matches")
        return 1
    apart = [p for p in todo if alone(p)]
    calm = [p for p in todo if says(p, b"TEST-CALM") and p not in apart]
    together = sorted((p for p in todo if p not in apart + calm), key=lambda p: not says(p, b"TEST-LONG"))
    results = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for paths, jobs in (together, args.jobs), (calm, min(args.jobs, 3)), (apart, 1):
            pool = concurrent.futures.ThreadPoolExecutor(jobs)
            for done in concurrent.futures.as_completed([pool.submit(run, p, build, args.soak, timeout) for p in paths]):
                results.append(done.result())
                report(results[-1])
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(running):
            end(child)
        print("interrupted")
        return 130
    passed, failed = sum(r.passed for r in results), sum(r.failed for r in results)
    skipped = sum(len(r.skips) for r in results)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


sys.exit(main())
