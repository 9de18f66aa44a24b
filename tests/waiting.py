# SPDX-License-Identifier: MIT
"""Waiting for what happens, on a machine that may be busy: for the thing itself, not for a time. And what a
program that did not start had to say."""
import os
import signal
import subprocess
import sys
import time

# Looks, not seconds: where this process hardly gets a turn, others hardly get one, and it looks as much less often.
LOOKS = 6000
PAUSE_S = 0.01


def wait_for(true, why, words=lambda: "", looks=LOOKS):
    """Calls true() until it gives something, and returns that. Gives up with what it waited for, and with words()."""
    try:
        for _ in range(looks):
            found = true()
            if found:
                return found
            time.sleep(PAUSE_S)
    except SystemExit:  # the runner's limit
        print(f"ended while it waited for {why}\n{words()}", flush=True)
        raise
    raise AssertionError(f"waited in vain for {why}\n{words()}".rstrip())


def tail(path, size=3000):
    """The end of a log file, or that there is none."""
    try:
        with open(path, errors="replace") as file:
            return f"{path}:\n{file.read()[-size:]}"
    except OSError as error:
        return f"{path}: {error.strerror}"


def started(child, ready, name, words):
    """Waits until ready() is true of a program that was started; one that ends before fails with words()."""
    def look():
        ended = child.poll()  # first: what it said before it ended is then there to be read
        if ready():
            return True
        assert ended is None, f"{name} did not start: status {ended}\n{words()}".rstrip()
        return False
    wait_for(look, f"{name} to be ready", words)


def run(*command, **options):
    """A program that must succeed; what it printed. If it fails, both its outputs are told."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace", **options}
    done = subprocess.run([str(word) for word in command], **options)
    assert done.returncode == 0, f"{command[0]}: status {done.returncode}\n{done.stdout or ''}{done.stderr or ''}".rstrip()
    return done.stdout


def clean_up_when_ended():
    """SIGTERM leaves by the way of an exception, so that what was started and made is taken away again."""
    owner = os.getpid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143) if os.getpid() == owner else os._exit(143))
