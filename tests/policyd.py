# SPDX-License-Identifier: MIT
"""What Halon's plugin policyd-client does with what it is told, by its published source: policies and suspensions
by their ids, until their time is over. Not the real program; for tests that have to do without it."""
import time

from kumod import Subscriber

FIELDS = {"LOCALIP": "localip", "GROUPING": "grouping", "RECIPIENTDOMAIN": "recipientdomain"}


class Policyd:
    """One that listens. What Halon would refuse is an error here."""

    def __init__(self, port):
        self.socket = Subscriber(port, "/policyd")
        self.policies, self.suspensions = {}, {}
        if self.socket.status != 101:
            return
        first = self.socket.event()
        assert first == {"action": "VERSION", "version": 1}, first
        while self.take() != "SYNCED":
            pass

    def close(self):
        self.socket.close()

    def take(self, timeout=60):
        """Does what is said next. Returns what it was; None: nothing came in that time."""
        said = self.socket.event(timeout)
        if said is None:
            return None
        action = said["action"]
        if action != "SYNCED":
            assert ("policy" in said) != ("suspend" in said), said
            getattr(self, action.lower())(said)
        return action

    @staticmethod
    def end(of):
        assert isinstance(of["ttl"], (int, float)) and 0 < of["ttl"] <= 120, of
        return time.monotonic() + of["ttl"]

    def then(self, of):
        then = of["then"]
        assert set(then) <= {"concurrency", "rate", "stop", "cluster"}, then
        if "rate" in then:
            assert then["rate"]["count"] >= 1 and then["rate"]["interval"] > 0 and then["rate"]["algorithm"] == "TOKENBUCKET", then
        return then

    def create(self, said):
        if "policy" in said:
            of = said["policy"]
            assert of["id"] not in self.policies or self.policies[of["id"]]["end"] < time.monotonic(), f"{of['id']} is there"
            assert of["type"] == "DYNAMIC" and sorted(FIELDS[field] for field in of["fields"]) == sorted(of["if"]), of
            self.policies[of["id"]] = {"if": of["if"], "then": self.then(of), "end": self.end(of)}
        else:
            of = said["suspend"]
            assert of["id"] not in self.suspensions or self.suspensions[of["id"]]["end"] < time.monotonic(), f"{of['id']} is there"
            self.suspensions[of["id"]] = {"if": {key: of[key] for key in FIELDS.values() if key in of}, "end": self.end(of)}

    def update(self, said):
        of = said["policy"]
        assert self.policies[of["id"]]["end"] > time.monotonic(), f"{of['id']} has ended"
        self.policies[of["id"]].update(then=self.then(of), end=self.end(of))

    def delete(self, said):
        kept, of = (self.policies, said["policy"]) if "policy" in said else (self.suspensions, said["suspend"])
        kept.pop(of["id"])

    def of(self, kept, source, **rest):
        """Those for a local address that have not ended."""
        return [one for one in kept.values() if one["if"] == {"localip": source, **rest} and one["end"] > time.monotonic()]

    def until(self, true, why):
        """Listens until it is so."""
        for _ in range(2000):
            if true():
                return
            assert self.take() is not None, f"waited in vain for {why}"
        raise AssertionError(f"never came: {why}")
