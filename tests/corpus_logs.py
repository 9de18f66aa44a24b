#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The log parsers against the corpus: each sample gives exactly the outcomes that are expected of it.

Called with the build folder. Beside X.log stands X.log.expected.tsv: line, source, domain, MX host,
outcome, code, enhanced code, text, address quoted in the text, class. "-" is null; a line without a row
gives nothing. Prints hits and misses by format, and every miss. Skipped where there is no corpus (TG_LOGS
names another folder of the same form).
"""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
FORMATS = {"postfix": "postfix", "exim": "exim", "pmta": "powermta", "kumomta": "kumomta", "haraka": "haraka",
           "sendgrid": "sendgrid"}
COLUMNS = ("line", "source", "domain", "mx", "outcome", "code", "enhanced", "text")
# The corpus calls some classes by other names than tollgate does.
CLASSES = {"ip_reputation": {"reputation", "policy", "blocklist", "rate"}, "ip_rate_limit": {"rate", "volume-spike", "reputation"},
           "mailbox": {"recipient"}, "auth_policy": {"policy"}, "server_overload": {"infrastructure"},
           "permanent_user": {"unknown-user"}, "protocol_other": {"other", "content", "policy", "blocklist"}}


def expected(path):
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            cells = line.split("\t")
            rows[cells[0]] = cells
    return rows


def found(build, fmt, path):
    done = subprocess.run([str(build / "tollgate"), "parse", "--format", fmt, str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=True)
    events = {}
    for line in done.stdout.decode("utf-8").splitlines():
        event = json.loads(line)
        assert str(event["line"]) not in events, f"{path.name}:{event['line']} is told twice"
        events[str(event["line"])] = event
    return events, done.stderr.decode().strip().splitlines()[-1]


def differences(row, event):
    if row is None:
        return [f"an outcome where none is: {event['outcome']} {event['text']}"]
    if event is None:
        return [f"nothing where there is an outcome: {row[4]} {row[7][:100]}"]
    wrong = []
    for column, want in zip(COLUMNS, row):
        got = event[column]
        got = "-" if got is None else str(got)
        if got != want:
            wrong.append(f"{column}: {got!r}, meant {want!r}")
    return wrong


def class_agrees(row, event):
    return row[9] == (event["class"] or "-") or event["class"] in CLASSES.get(row[9], ())


def main():
    build = (TOP / (sys.argv[1] if len(sys.argv) > 1 else "build")).resolve()
    folder = pathlib.Path(os.environ.get("TG_LOGS", TOP.parent / "shared" / "corpus" / "logs"))
    if not folder.is_dir():
        print("SKIP: there are no samples of logs beside the tree (../shared/corpus/logs)")
        return 77
    hits, misses, classes = {}, {}, [0, 0]
    for tsv in sorted(folder.glob("*.expected.tsv")):
        path = folder / tsv.name.removesuffix(".expected.tsv")
        fmt = FORMATS[path.name.split("_")[0].split(".")[0]]
        rows = expected(tsv)
        events, counts = found(build, fmt, path)
        guessed, _ = found(build, "auto", path)
        wrong = 0
        if guessed != events:
            print(f"  {path.name}: --format auto tells another story")
            wrong += 1
        for line in sorted(rows.keys() | events.keys(), key=lambda n: [int(p) for p in n.split(".")]):
            row, event = rows.get(line), events.get(line)
            differs = differences(row, event)
            for text in differs:
                print(f"  {path.name}:{line}: {text}")
            wrong += bool(differs)
            if not differs:
                hits[fmt] = hits.get(fmt, 0) + 1
                agrees = class_agrees(row, event)
                classes[not agrees] += 1
                if not agrees:
                    print(f"  {path.name}:{line}: class {event['class']}, the corpus says {row[9]} (not counted)")
        misses[fmt] = misses.get(fmt, 0) + wrong
        print(f"{path.name}: {counts}")
    for fmt in sorted(misses):
        print(f"{fmt}: {hits.get(fmt, 0)} hits, {misses[fmt]} misses")
    print(f"classes: {classes[0]} agree, {classes[1]} do not")
    return 1 if any(misses.values()) else 0


sys.exit(main())
