# SPDX-License-Identifier: MIT
"""The table that the demo ends in, and whether it shows what it should.

demo.py [--json] FOLDER: the folder holds what sender and receiver wrote in each of three runs. Ends with 1
if the gate did not do better than both others.
"""
import json
import pathlib
import sys

RUNS = {"none": "no gate", "fixed": "10 a minute", "tollgate": "tollgate"}


def result(folder, name):
    sender = json.loads((folder / f"{name}.sender").read_text())
    receiver = json.loads((folder / f"{name}.receiver").read_text())
    flows = [flow for destination in receiver["destinations"] for flow in destination["sources"]]
    blocked = [flow["blocked_s"] for flow in flows]
    return {
        "messages": sender["messages"],
        "delivered": sender["delivered"],
        "deferred": sender["deferred"] + sender["unreachable"],
        "blocked_s": sum(blocked) / max(len(blocked), 1),
        "blocked_longest_s": max(blocked, default=0.0),
        "blocks": receiver["penalties"],
        "transactional_p50_s": sender["transactional_p50_s"],
        "transactional_p99_s": sender["transactional_p99_s"],
        "decisions": sender["decisions"],
        "seconds": sender["seconds"],
        "received": receiver["delivered"],
        "bounced": sender["bounced"],
    }


ROWS = [
    ("messages", "messages", "{:,}", "messages to send: the same in each run"),
    ("delivered", "delivered", "{:,}", "accepted by the receivers; the rest is still queued at the end"),
    ("deferred", "deferred", "{:,}", "4xx replies, and connections that failed: each message has to be tried again"),
    ("blocks", "blocks", "{:,}", "how often a provider blocked an IP for exceeding its limit"),
    ("blocked_s", "blocked, mean", "{:.1f} s", "how long a pair of IP and provider was blocked, on average; nothing gets through then"),
    ("blocked_longest_s", "blocked, longest", "{:.1f} s", "the longest that any pair was blocked"),
    ("transactional_p50_s", "login mail, p50", "{:.2f} s", "half of the transactional messages were delivered within this time"),
    ("transactional_p99_s", "login mail, p99", "{:.2f} s", "99 of 100 were; one that is still queued counts with its age"),
    ("decisions", "decisions", "{:,}", "how often a sender asked the gate"),
]


def table(runs):
    print("\n" + " " * 18 + "".join(f"{label:>14}" for label in RUNS.values()))
    for key, name, form, _ in ROWS:
        print(f"{name:18}" + "".join(f"{form.format(runs[run][key]):>14}" for run in RUNS))
    print()
    for _, name, _, meaning in ROWS:
        print(f"  {name:18}{meaning}")


def ending(runs):
    none, fixed, gated = (runs[run] for run in RUNS)
    share = 100 * fixed["delivered"] / max(gated["delivered"], 1)
    print(f"""
Without a gate the fleet was deferred {none['deferred']:,} times and blocked {none['blocks']:,} times.
Ten a minute is far below the limit of 75 a minute. It delivered {share:.0f} % of what tollgate delivered, and was
still deferred {fixed['deferred']:,} times, because ten messages in one burst are more than a provider accepts at once.
Nobody tells tollgate the limit. It found the limit from the replies.

What to do next:
  a program of your own        README.md, "A worker"
  an MTA that stays as it is   README.md, "Quick starts"; man ebpf/tollgate-ebpf.7
  limits that you suspect      build/tollgate simulate tests/scenarios/steady.yaml""")


def judge(runs):
    """What the gate promises, as sentences that are false."""
    none, fixed, gated = (runs[run] for run in RUNS)
    for run in runs.values():
        if run["delivered"] != run["received"]:
            yield f"the fleet counts {run['delivered']} delivered, the receiver {run['received']}"
        if run["bounced"]:
            yield f"{run['bounced']} messages bounced"
    for name, other in (("no gate", none), ("10 a minute", fixed)):
        if gated["delivered"] <= other["delivered"]:
            yield f"the gate delivered no more than {name}"
        if gated["transactional_p99_s"] >= other["transactional_p99_s"]:
            yield f"transactional mail was not faster than with {name}"
    if gated["deferred"] * 5 > none["deferred"]:
        yield "deferrals are not far fewer with the gate"
    if gated["blocks"]:
        yield "an IP was blocked with the gate"
    if not gated["decisions"]:
        yield "no decision was taken"


def main():
    as_json = sys.argv[1] == "--json"
    folder = pathlib.Path(sys.argv[-1])
    runs = {run: result(folder, run) for run in RUNS}
    if as_json:
        print(json.dumps(runs))
        return 0
    table(runs)
    wrong = list(judge(runs))
    for sentence in wrong:
        print(f"FAILED: {sentence}")
    if not wrong:
        ending(runs)
    return 1 if wrong else 0


sys.exit(main())
