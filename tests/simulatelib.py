# SPDX-License-Identifier: MIT
"""What the tests of the simulator share: running it, and keeping score of what failed."""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(os.environ.get("TG_TOP", pathlib.Path(__file__).resolve().parent.parent))
BUILD = pathlib.Path(os.environ.get("TG_BUILD", TOP / "build"))
SOAK = os.environ.get("TG_SOAK") == "1"
SCENARIOS = sorted((TOP / "tests" / "scenarios").glob("*.yaml"))
POLICIES = ["tollgate", "none", "sliding-window", "cooldown", "backoff", "oracle"]
failures = []


def check(condition, text):
    if not condition:
        failures.append(text)
        print("FAIL:", text)


def simulate(*arguments, status=0):
    """Runs the command, which must end with that status; returns what it printed, or its errors."""
    command = [str(BUILD / "tollgate"), "simulate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOP)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if status == 0 else done.stderr


def lines(*arguments):
    return [json.loads(line) for line in simulate("--json", *arguments).splitlines()]


def verdict():
    print(f"{len(failures)} failures")
    return 1 if failures else 0
