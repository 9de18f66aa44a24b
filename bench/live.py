#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live: does the real thing do what the simulator says?

  live [--json] [--quick] [steady] [falls]

Six worker processes that sleep in tg_wait send real mail over SMTP on loopback, through a real tollgated with
its built-in configuration, to the receiver of the demo; the simulator runs the same scenario beside it. A
scenario is the one of that name in tests/scenarios, at twice its rate and for four minutes (--quick: one), in
real time: what the control does by the clock (probes, growth, holds) is not scaled, neither here nor there.
Prints for each the share (what was delivered of what the best possible sender would have delivered), deferrals
and the 99th percentile of the transactional delay, both ways, and the differences: the share's in points, the
delay's as a part of the simulator's. The scenarios run at the same time, each on its own address.
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

BUILD = pathlib.Path(__file__).resolve().parent.parent
os.environ["TG_BUILD"] = str(BUILD)
sys.path.insert(0, next(str(up / "tests") for up in BUILD.parents if (up / "tests/sidecar.py").exists()))
sys.dont_write_bytecode = True
from sidecar import Sidecar  # noqa: E402

TEXT = "451 4.7.650 The mail server [%s] has been temporarily rate limited due to IP reputation. (S775)"
RATE, FALLEN, BURST, CONNECTIONS, PER_CONNECTION = 120, 40, 30, 5, 50  # messages a minute, and the rest
PENALTY = "20 in 10m, hold 2h, repeat 2"
ADDRESSES = {"steady": "127.20.0.1", "falls": "127.20.0.2"}
WORKERS = 6
REPLY_MS, REPLIES = 50, 2  # of the receiver; to the envelope, which is pipelined, and to the end of data
NAME = "mx.example.test"  # no destination of the built-in configuration


def scenario_text(name, seconds):
    changes = f"    changes: [{{at: {seconds // 2}s, rate: {FALLEN}/min}}]\n" if name == "falls" else ""
    return f"""duration: {seconds}s
workers: {{model: sleep, count: {WORKERS}}}
sources: [{{address: {ADDRESSES[name]}, pool: shared}}]
traffic:
  - {{pool: shared, destination: example, class: bulk, messages: {seconds * 4}, start: 0s, arrival: burst}}
  - {{pool: shared, destination: example, class: transactional, messages: {seconds // 2}, arrival: uniform}}
receivers:
  - destination: example
    accept: {{rate: {RATE}/min, burst: {BURST}, connections: {CONNECTIONS}, per_connection: {PER_CONNECTION}}}
    over: "{TEXT}"
    latency: {REPLY_MS * REPLIES}ms
    penalty: {{when: 20 in 10m, hold: 2h, repeat: 2}}
{changes}"""


def simulated(file):
    done = subprocess.run([BUILD / "tollgate", "simulate", file, "--json", "--policy", "tollgate,oracle"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {line["policy"]: line for line in map(json.loads, done.stdout.splitlines())}


class Live:
    """Receiver, tollgated and sender of one scenario; ended in that order's reverse, whatever happens."""

    def __init__(self, name, seconds, folder):
        self.name, self.seconds, self.folder = name, seconds, folder
        self.sidecar = Sidecar()
        self.children = []

    def start(self, *command, **options):
        child = subprocess.Popen([str(word) for word in command], text=True, **options)
        self.children.append(child)
        return child

    def receiver(self):
        child = self.start(BUILD / "bench/receiver", "--rate", f"{RATE}/min", "--burst", BURST, "--connections", CONNECTIONS,
                           "--per-connection", PER_CONNECTION, "--penalty", PENALTY, "--latency", f"{REPLY_MS}ms", "--text",
                           f"rate={TEXT}", "--destination", NAME, "--listen", "127.0.0.1:0", "--json",
                           self.folder / "receiver.json", "--control", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        listen = child.stdout.readline().split()
        assert listen and listen[0] == "listen" and child.stdout.readline() == "ready\n", "the receiver did not start"
        return child, f"{listen[2]}:{listen[3]}"

    def change(self, receiver):
        receiver.stdin.write(f"set {NAME} rate={FALLEN}/min\n")
        receiver.stdin.flush()

    def run(self):
        receiver, where = self.receiver()
        segment = self.sidecar.start().segment
        timer = threading.Timer(self.seconds / 2, self.change, [receiver])
        sender = self.start(BUILD / "bench/sender", "--source", ADDRESSES[self.name], "--workers", WORKERS, "--route", f"{NAME}={where}",
                            "--bulk", self.seconds * 4, "--transactional", self.seconds // 2, "--seconds", self.seconds,
                            "--arrive", self.seconds, "--retry", "5m", "--retry-max", "60m", "--gate", segment,
                            "--json", self.folder / "sender.json")
        if self.name == "falls":
            timer.start()
        try:
            assert sender.wait() == 0, "the sender failed"
        finally:
            timer.cancel()
        return json.loads((self.folder / "sender.json").read_text())

    def end(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait()
        self.sidecar.__exit__()


def compare(name, seconds, results):
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-", dir="/dev/shm") as folder:
        folder = pathlib.Path(folder)
        file = folder / f"{name}.yaml"
        file.write_text(scenario_text(name, seconds))
        model = simulated(file)
        live = Live(name, seconds, folder)
        try:
            real = live.run()
        finally:
            live.end()
    said, best = model["tollgate"], model["oracle"]["delivered"]
    share, p99 = real["delivered"] / best, real["transactional_p99_s"]
    results[name] = {
        "case": f"live_{name}", "seconds": seconds,
        "share": round(share, 4), "share_simulated": round(said["delivered"] / best, 4),
        "share_difference": round(share - said["delivered"] / best, 4),
        "deferred": real["deferred"], "deferred_simulated": round(said["deferrals_per_1000"] * said["delivered"] / 1000),
        "transactional_p99_s": p99, "transactional_p99_simulated_s": said["transactional_p99_s"],
        "transactional_p99_difference": round(p99 / said["transactional_p99_s"] - 1, 4),
    }


def main():
    parser = argparse.ArgumentParser(usage="live [--json] [--quick] [steady] [falls]")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    parser.add_argument("scenarios", nargs="*", choices=[[], *ADDRESSES, *(f"live_{name}" for name in ADDRESSES)])
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seconds = args.seconds or (60 if args.quick else 240)
    names = [name.removeprefix("live_") for name in args.scenarios] or list(ADDRESSES)
    results = {}
    threads = [threading.Thread(target=compare, args=(name, seconds, results)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        if name not in results:
            continue
        line = results[name]
        print(json.dumps(line) if args.json else
              f"{name:7} share {line['share']:.3f} (simulated {line['share_simulated']:.3f}, {line['share_difference']:+.3f})  "
              f"transactional p99 {line['transactional_p99_s']:.2f} s (simulated {line['transactional_p99_simulated_s']:.2f}, "
              f"{line['transactional_p99_difference']:+.0%})  deferred {line['deferred']} (simulated {line['deferred_simulated']})")
    return len(results) != len(names)


sys.exit(main())
