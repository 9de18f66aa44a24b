#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The classifier against the corpus: how often it names the class, and decides on the cap.

Called with the build folder. `tollgate classify` reads every reply of the corpus with its destination;
either class column is right, `volume-spike` counts as `rate`, which is what the corpus calls it, and rows whose cap decision is `unsure` are
left out of that count. Every miss is printed. Fails below the targets; skipped where there is no corpus
(TG_CORPUS names another file of the same columns).
"""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
TARGETS = {"accuracy": 0.97, "precision": 0.99, "recall": 0.97}


def rows(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            provider, code, enhanced, text, klass, also, cap = line.split("\t")[:7]
            yield provider, text, klass, also, cap


def classify(build, corpus):
    lines = "".join(f"{'-' if r[0] == 'other' else r[0]}\t{r[1]}\n" for r in corpus)
    done = subprocess.run([str(build / "tollgate"), "classify"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def share(part, whole):
    return part / whole if whole else 1.0


def main():
    build = (TOP / (sys.argv[1] if len(sys.argv) > 1 else "build")).resolve()
    path = pathlib.Path(os.environ.get("TG_CORPUS", TOP.parent / "shared" / "corpus" / "replies.tsv"))
    if not path.exists():
        print("SKIP: there is no corpus beside the tree (../shared/corpus/replies.tsv)")
        return 77
    corpus = list(rows(path))
    found = classify(build, corpus)
    if len(found) != len(corpus):
        print(f"{len(corpus)} replies, {len(found)} answers")
        return 1
    right = both = said = meant = 0
    for (provider, text, klass, also, cap), got in zip(corpus, found):
        name = "rate" if got["class"] == "volume-spike" else got["class"]
        hit = name in (klass, also)
        right += hit
        decided = cap in ("yes", "no")
        said += decided and got["lowers_cap"]
        meant += cap == "yes"
        both += cap == "yes" and got["lowers_cap"]
        if not hit or (decided and got["lowers_cap"] != (cap == "yes")):
            print(f"  {provider}: {got['class']} by {got['rule']}, lowers the cap: {'yes' if got['lowers_cap'] else 'no'};"
                  f" meant {klass}|{also}, {cap}\n      {text[:200]}")
    result = {"accuracy": share(right, len(corpus)), "precision": share(both, said), "recall": share(both, meant)}
    print(f"{len(corpus)} replies: class right {100 * result['accuracy']:.1f} %; lowers the cap:"
          f" precision {100 * result['precision']:.1f} %, recall {100 * result['recall']:.1f} %")
    missed = [name for name, target in TARGETS.items() if result[name] < target]
    for name in missed:
        print(f"{name} is below {100 * TARGETS[name]:.0f} %")
    return 1 if missed else 0


sys.exit(main())
