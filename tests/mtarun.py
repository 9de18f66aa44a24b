# SPDX-License-Identifier: MIT
"""One run of a real MTA from two addresses to a receiver with a hidden limit, and what is asked of each: every
message delivered exactly once, none bounced, hardly a deferral once the limit is known, one address held while
the other goes on. And the files that a page of sidecar/doc shows."""
import collections
import json
import os
import re
import subprocess
import time

import gatelib as g
import waiting

SOURCES, MX, DOMAIN = ["192.0.2.1", "192.0.2.2"], "192.0.2.7", "provider.test"
MESSAGES = 2000 if g.SOAK else 200
MESSAGES_ALONE = 2000 if g.SOAK else 80  # most of them are put off at once, and again
KNOWN_S = 20  # after so long the limit is known
ZONE = {DOMAIN: {"MX": [(10, "mx." + DOMAIN)]}, "mx." + DOMAIN: {"A": [MX]}, "sender.test": {"A": ["127.0.0.1"]}}
# A careful start; how much more the receiver takes has to be found.
LIMITS = f"""
destinations:
  - {{name: {DOMAIN}, domains: [{DOMAIN}], limits: {{rate: 3/s, burst: 2, ceiling: 20/s, connections: unlimited, connection_rate: unlimited, start: 3/s}}}}
"""


def files(page):
    """What a page shows, by path: a line that ends with `PATH`… and the block below it."""
    text = (g.TOP / "sidecar" / "doc" / page).read_text()
    return {path: body for path, body in re.findall(r"^`([^`\n]+)`[^\n]*:\n\n```\w*\n(.*?)^```", text, re.M | re.S)}


class Receiver:
    """bench/receiver, the demo's: for each address so many messages a minute, which it does not tell."""

    def __init__(self, folder, rate="240/min", burst=6):
        self.log, self.json = folder / "receiver.log", folder / "receiver.json"
        self.process = subprocess.Popen(
            [g.BUILD / "bench" / "receiver", "--rate", rate, "--burst", str(burst), "--family", "google", "--log", self.log,
             "--destination", DOMAIN, "--listen", f"{MX}:25", "--json", self.json], stdout=subprocess.PIPE, text=True)
        while (line := self.process.stdout.readline().strip()) != "ready":
            assert line, "the receiver did not start"
        self.began = time.monotonic()

    def events(self):
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def outcomes(receiver):
    """(when by the monotonic clock, source, taken or not) of each message that was tried."""
    tried = [e for e in receiver.events() if e["event"] == "delivered" or e["answer"] != "ok"]
    return [(e["t"], e["source"], e["event"] == "delivered") for e in tried]


def each_recipient_once(receiver):
    """The messages differ by their recipient: who got it, how often."""
    got = collections.Counter(e["to"] for e in receiver.events() if e["event"] == "delivered")
    twice = [to for to, times in got.items() if times != 1]
    g.check(len(got) == MESSAGES and not twice, f"each of {MESSAGES} messages arrived exactly once: {len(got)}, more often {twice[:5]}")


def judge(receiver, sidecar, words, left):
    """Waits until all are delivered and the MTA has none left: left() counts. In the middle the first address is held,
    and the other goes on."""
    taken = lambda: [o for o in outcomes(receiver) if o[2]]
    waiting.wait_for(lambda: len(taken()) >= MESSAGES // 4, "a quarter to be delivered", words)
    asked_at = time.monotonic()
    sidecar.tollgate("hold", SOURCES[0], DOMAIN, "--for", "5s", "--reason", "test")
    held_at = time.monotonic()
    waiting.wait_for(lambda: len(taken()) >= MESSAGES, f"all {MESSAGES} to be delivered", lambda: f"{len(taken())} were\n{words()}")
    waiting.wait_for(lambda: left() == 0, "the queue to be empty", words)
    each_recipient_once(receiver)
    all_ = outcomes(receiver)
    first, last, deferred = all_[0][0], all_[-1][0] - all_[0][0], [o for o in all_ if not o[2]]
    # What had been admitted before is on its way for a second.
    held = [o[1] for o in all_ if held_at + 1 < o[0] < asked_at + 4.9]
    g.check(len(held) >= 4 and set(held) == {SOURCES[1]}, f"one is held, the other goes on: {held}")
    late = [o for o in all_ if o[0] > first + KNOWN_S]
    share = sum(not o[2] for o in late) / max(1, len(late))
    g.check(len(taken()) == MESSAGES, f"{MESSAGES} in {last:.0f} s; {len(deferred)} deferrals in all")
    g.check(share < 0.02, f"{share:.1%} of {len(late)} attempts after {KNOWN_S} s were deferred")
    flows = {f["source"]: f["total"] for f in sidecar.json("flows", "--destination", DOMAIN)}
    heard = {k: sum(flows[s][k] for s in SOURCES) for k in ("delivered", "deferred", "bounced")}
    g.check(heard["delivered"] == MESSAGES and heard["bounced"] == 0 and all(flows[s]["delivered"] for s in SOURCES),
            f"both sent, none bounced, all heard: {heard}")
    g.check(heard["deferred"] == len(deferred), f"and each deferral: {heard['deferred']} of {len(deferred)}")


def judge_alone(receiver, words):
    """The same without: by as many attempts as there are messages, many more are deferred. (Sooner would count
    what the receiver takes at once, its bursts.)"""
    waiting.wait_for(lambda: len(outcomes(receiver)) >= MESSAGES_ALONE, f"{MESSAGES_ALONE} attempts", words)
    first = [o[2] for o in outcomes(receiver)[:MESSAGES_ALONE]]
    taken, deferred = first.count(True), first.count(False)
    g.check(deferred > 0.2 * taken, f"without it: {deferred} deferrals by {taken} delivered")
