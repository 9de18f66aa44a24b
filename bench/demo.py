# SPDX-License-Identifier: MIT
"""The table that the demo ends in, and whether it shows what it should.

demo.py [--json] FOLDER: the folder holds what sender and receiver wrote, without and with the gate. Ends
with 1 if the gate did not do better.
"""
import json
import pathlib
import sys


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


def table(without, gated):
    rows = [
        ("messages", "{messages:,}"),
        ("delivered", "{delivered:,}"),
        ("deferred", "{deferred:,}"),
        ("blocks by a provider", "{blocks:,}"),
        ("time an IP spent blocked, mean of all pairs", "{blocked_s:.1f} s"),
        ("… longest", "{blocked_longest_s:.1f} s"),
        ("transactional delay p50", "{transactional_p50_s:.2f} s"),
        ("transactional delay p99", "{transactional_p99_s:.2f} s"),
        ("decisions taken", "{decisions:,}"),
    ]
    print(f"\n{'':46}{'without':>12}{'with gate':>12}")
    for name, form in rows:
        print(f"{name:46}{form.format(**without):>12}{form.format(**gated):>12}")
    print()


def judge(without, gated):
    """What the gate promises, as sentences that are false."""
    for run in (without, gated):
        if run["delivered"] != run["received"]:
            yield f"the fleet counts {run['delivered']} delivered, the receiver {run['received']}"
        if run["bounced"]:
            yield f"{run['bounced']} messages bounced"
    if gated["delivered"] < without["delivered"]:
        yield "fewer messages were delivered with the gate"
    if gated["deferred"] * 5 > without["deferred"]:
        yield "deferrals are not far fewer with the gate"
    if gated["blocks"]:
        yield "an IP was blocked with the gate"
    if gated["transactional_p99_s"] >= without["transactional_p99_s"]:
        yield "transactional mail was not faster with the gate"
    if not gated["decisions"]:
        yield "no decision was taken"


def main():
    as_json = sys.argv[1] == "--json"
    folder = pathlib.Path(sys.argv[-1])
    without, gated = result(folder, "without"), result(folder, "with")
    if as_json:
        print(json.dumps({"without": without, "with": gated}))
        return 0
    table(without, gated)
    wrong = list(judge(without, gated))
    for sentence in wrong:
        print(f"FAILED: {sentence}")
    return 1 if wrong else 0


sys.exit(main())
