#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python module beside what people build in Python: a limiter of sorted sets on Redis.

python [--json] [--quick] [CASE…]

Prints a line a case: python_module, python_redis_sorted_set (remove what is old, count, add if there is room: two
round trips, as it stands in many a blog) and python_redis_multi (all in one MULTI; who is refused counts, too).
Each decides "100 in a second" of one key: alone, which gives the decisions a second, and by eight processes that
ask as fast as they can, which gives the most that were let through in any second. Moments are the limiter's own:
the score in the set, the slot of the verdict. The client for Redis here is less than a hundred lines and faster
than those that one installs; so much the better for Redis. Exit status 77: Redis is not there.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import socket

BUILD = pathlib.Path(__file__).resolve().parent.parent
TOP = next(up for up in BUILD.parents if (up / "tests/sidecar.py").exists())
os.environ["TG_BUILD"] = str(BUILD)
sys.path[:0] = [str(TOP / "tests"), str(TOP / "shm/bindings/python")]
sys.dont_write_bytecode = True
import waiting  # noqa: E402
from sidecar import Sidecar  # noqa: E402

LIMIT, WINDOW_S, PROCESSES = 100, 1.0, 8
REDIS = "/usr/bin/redis-check-rdb"  # Debian's redis-tools holds the server under this name
CONFIG = f"limits: {{rate: {LIMIT}/s, strict: true, adapt: false, reserve: {{transactional: 0, engaged: 0}}}}\n"


class Redis:
    """A client that writes commands and reads what is answered."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def send(self, *commands):
        out = []
        for command in commands:
            out.append(b"*%d\r\n" % len(command))
            out += [b"$%d\r\n%s\r\n" % (len(word), word) for word in (str(word).encode() for word in command)]
        self.socket.sendall(b"".join(out))

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        raise RuntimeError(line.decode(errors="replace").strip() or "Redis has gone")


class SortedSet:
    def __init__(self, place):
        self.redis, self.count = Redis(place), 0

    def admit(self):
        """When it was let through, in seconds; None: not."""
        now = time.time()
        self.redis.send(("ZREMRANGEBYSCORE", "limit", 0, now - WINDOW_S), ("ZCARD", "limit"))
        self.redis.read()
        if self.redis.read() >= LIMIT:
            return None
        self.count += 1
        self.redis.send(("ZADD", "limit", now, f"{os.getpid()}-{self.count}"), ("EXPIRE", "limit", 60))
        self.redis.read(), self.redis.read()
        return now


class Multi(SortedSet):
    def admit(self):
        now = time.time()
        self.count += 1
        self.redis.send(("MULTI",), ("ZREMRANGEBYSCORE", "limit", 0, now - WINDOW_S), ("ZCARD", "limit"),
                        ("ZADD", "limit", now, f"{os.getpid()}-{self.count}"), ("EXPIRE", "limit", 60), ("EXEC",))
        answer = [self.redis.read() for _ in range(6)][-1]
        return now if answer[1] < LIMIT else None


class Module:
    def __init__(self, place):
        import tollgate
        self.gate = tollgate.Gate(str(place), absent="closed", library=str(BUILD / "libtollgate.so"))

    def admit(self):
        verdict = self.gate.admit("192.0.2.1", "gmail.com")
        return verdict.at_ns / 1e9 if verdict else None


def listens(path):
    try:
        Redis(path)
        return True
    except OSError:
        return False


@contextlib.contextmanager
def redis_server():
    """The path of its socket."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"tollgate-bench-{os.getpid()}-", dir="/dev/shm"))
    path, log = folder / "redis.sock", folder / "redis.log"
    child = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder,
                              "--loglevel", "warning", "--logfile", log], executable=REDIS)
    try:
        waiting.started(child, lambda: listens(path), "Redis", lambda: waiting.tail(log))
        yield path
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(folder)


@contextlib.contextmanager
def gate():
    """The path of its segment."""
    with Sidecar(CONFIG, "flows: 1000, workers: 32") as sidecar:
        yield sidecar.segment


def alone(limiter, rounds):
    for _ in range(rounds // 10):
        limiter.admit()
    begin = time.perf_counter()
    for _ in range(rounds):
        limiter.admit()
    return (time.perf_counter() - begin) / rounds


def together(kind, place, seconds):
    """The moments at which eight processes were let through."""
    ends = []
    for _ in range(PROCESSES):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            limiter, moments, end = kind(place), [], time.monotonic() + seconds
            while time.monotonic() < end:
                moment = limiter.admit()
                if moment is not None:
                    moments.append(moment)
            with os.fdopen(write, "w") as out:
                json.dump(moments, out)
            os._exit(0)
        os.close(write)
        ends.append((child, read))
    moments = []
    for child, read in ends:
        with os.fdopen(read) as answer:
            moments += json.load(answer)
        os.waitpid(child, 0)
    return sorted(moments)


def most_in_a_window(moments):
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= WINDOW_S:
            first += 1
        most = max(most, last + 1 - first)
    return most


def measure(name, kind, start, quick):
    with start() as place:
        each_s = alone(kind(place), 2000 if quick else 20000)
        time.sleep(WINDOW_S)  # what that has used is over
        moments = together(kind, place, 2 if quick else 10)
    return {"case": name, "ns": round(each_s * 1e9, 1), "per_second": round(1 / each_s), "limit": LIMIT,
            "most_in_a_window": most_in_a_window(moments), "let_through": len(moments)}


CASES = {"python_module": (Module, gate), "python_redis_sorted_set": (SortedSet, redis_server),
         "python_redis_multi": (Multi, redis_server)}


def main():
    parser = argparse.ArgumentParser(prog="python", usage="python [--json] [--quick] [CASE…]")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("cases", nargs="*", choices=[[], *CASES])
    args, status = parser.parse_args(), 0
    for name in args.cases or CASES:
        kind, start = CASES[name]
        if start is redis_server and not os.access(REDIS, os.X_OK):
            print(f"SKIP: {name}: package redis-tools is not installed", file=sys.stderr)
            status = 77
            continue
        figures = measure(name, kind, start, args.quick)
        print(json.dumps(figures) if args.json else
              f"{name:24} {figures['per_second']:>9,} decisions a second; by {PROCESSES} processes {figures['most_in_a_window']} "
              f"in the worst second, where {LIMIT} are allowed", flush=True)
    return status


sys.exit(main())
