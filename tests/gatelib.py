# SPDX-License-Identifier: MIT
"""What the tests of the eBPF gate share: namespaces, cgroups, the gate, receivers, connections.

Everything happens in a network and a mount namespace of its own, with a bpffs of its own, and in cgroups
that are made here and taken away again.
"""
import errno
import itertools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import waiting

TOP = pathlib.Path(os.environ.get("TG_TOP", pathlib.Path(__file__).resolve().parent.parent))
BUILD = pathlib.Path(os.environ.get("TG_BUILD", TOP / "build"))
SOAK = os.environ.get("TG_SOAK") == "1"
GATE = BUILD / "bench" / "gate_alone"
HERE = f"tollgate-test-{os.getpid()}"


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def cgroup_root():
    for line in open("/proc/self/mounts"):
        fields = line.split()
        if fields[2] == "cgroup2":
            return pathlib.Path(fields[1])
    return None


def side_by_side(tests):
    """Each test in a process of its own, and so in namespaces of its own, all at once: for those that mostly wait."""
    waiting.clean_up_when_ended()
    children = []
    try:
        for test in tests:
            said = tempfile.TemporaryFile("w+", errors="replace")
            children.append((subprocess.Popen([sys.executable, sys.argv[0], test], stdout=said, stderr=subprocess.STDOUT), said))
        statuses = []
        for child, said in children:
            statuses.append(child.wait())
            said.seek(0)
            print(said.read(), end="", flush=True)
    finally:
        for child, _ in children:
            if child.poll() is None:
                child.terminate()
                child.wait()
    sys.exit(77 if set(statuses) == {77} else 1 if set(statuses) - {0, 77} else 0)


def enter(tests=()):
    """Moves this program into namespaces of its own; skips where that cannot be. The tests that are named go there
    side by side, each by a call of this program."""
    if os.environ.get("TG_GATE_INSIDE") == "1":
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
        os.mkdir("/mnt/bpf")
        subprocess.run(["mount", "-t", "bpf", "bpf", "/mnt/bpf"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "lo"], check=True)
        for i in range(1, 9):
            subprocess.run(["ip", "-6", "addr", "add", f"fd00::{i}/128", "dev", "lo", "nodad"], check=True)
        return
    if os.geteuid() != 0:
        skip("the eBPF gate needs root: CAP_BPF, CAP_NET_ADMIN and namespaces of its own")
    if cgroup_root() is None:
        skip("no cgroup v2 is mounted")
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        skip("no permission to make network and mount namespaces")
    if not GATE.exists():
        skip(f"{GATE} was not built")
    if tests and not sys.argv[1:]:
        side_by_side(tests)
    os.execvpe("unshare", ["unshare", "--net", "--mount", sys.executable] + sys.argv,
               dict(os.environ, TG_GATE_INSIDE="1"))


class Cgroup:
    all = []

    def __init__(self, name):
        self.base = cgroup_root() / HERE
        self.path = self.base / name
        self.path.mkdir(parents=True)
        Cgroup.all.append(self)

    def join(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def kill(self):
        """Ends what a test that failed half-way left running in it, as an MTA's daemons."""
        try:
            (self.path / "cgroup.kill").write_text("1")
        except OSError:  # before Linux 5.14
            for pid in (self.path / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)

    def remove(self):
        for tries in range(100):
            try:
                if tries == 20:
                    self.kill()
                self.path.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.05)
        try:
            self.base.rmdir()
        except OSError:
            pass


class Gate:
    all = []

    def __init__(self, *args, ok=True, prefix=()):
        self.process = subprocess.Popen(list(prefix) + [str(GATE)] + [str(a) for a in args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        Gate.all.append(self)
        self.first = self.process.stdout.readline().strip()
        if ok and self.first != "ready":
            # Its other words stand above, where its standard error went.
            raise AssertionError(f"the gate did not start: {self.first or f'status {self.process.wait()}'}")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def do(self, line):
        answer = self.ask(line)
        assert answer == "ok", f"{line}: {answer}"

    def counts(self):
        return json.loads(self.ask("counts"))

    def count(self, source=None, destination=None):
        all_ = [c for c in self.counts() if (source is None or c["source"] == source)
                and (destination is None or c["destination"] == destination)]
        assert len(all_) == 1, f"{source} {destination}: {all_}"
        return all_[0]

    def counted(self, true, why, source=None, destination=None):
        """The count once true(count)."""
        def look():
            count = self.count(source, destination)
            return count if true(count) else None
        return waiting.wait_for(look, why, lambda: f"{self.counts()}")

    def closed(self, source=None, destination=None):
        """The count once nothing is open: a socket is open until both sides have closed."""
        return self.counted(lambda c: not (c["open"] or c["preadmitted_open"]), "all connections to close", source, destination)

    def status(self):
        return json.loads(self.ask("status"))

    def reports(self, true, why):
        """The status once true(status)."""
        def look():
            status = self.status()
            return status if true(status) else None
        return waiting.wait_for(look, why, lambda: f"{self.status()}")

    def slots(self, source=None, destination=None):
        """When each connection that has ended might leave, by the kernel's clock, in order."""
        return sorted((s for s in json.loads(self.ask("slots")) if (source is None or s["source"] == source)
                       and (destination is None or s["destination"] == destination)), key=lambda s: s["due_ns"])

    def end(self, how="quit"):
        if self.process.poll() is None:
            try:
                self.process.stdin.write(how + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass
            waiting.wait_for(lambda: self.process.poll() is not None, "the gate to end")
            if self.first == "ready" and self.process.returncode != 0:
                check(False, f"the gate ended with {self.process.returncode}")

    def kill(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


def clean():
    for gate in Gate.all:
        if gate.process.poll() is None:
            gate.kill()
    for cgroup in Cgroup.all:
        cgroup.remove()


class Receiver:
    """Accepts, notes when and from whom, and answers as it is told: "close" at once, "hold" open."""

    def __init__(self, address="127.0.0.1", port=0, what="close"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(1024)
        self.port = self.socket.getsockname()[1]
        self.what = what
        self.times = []
        self.held = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                peer, name = self.socket.accept()
            except OSError:
                return
            self.times.append((time.monotonic(), name[0]))
            if self.what == "close":
                peer.close()
            else:
                self.held.append(peer)

    def release(self):
        for peer in self.held:
            peer.close()
        self.held = []


def begin_in_cgroup(cgroup, work):
    """Runs work() in a forked child in the cgroup; its pid, and where its answer comes from."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            if cgroup is not None:
                cgroup.join()
            answer = json.dumps(work()).encode()
            while answer:
                answer = answer[os.write(write, answer):]
            code = 0
        except BaseException:  # the child must not go on with the parent's program
            os.write(write, traceback.format_exc().encode())
        os._exit(code)
    os.close(write)
    return pid, read


def end_in_cgroup(pid, read):
    data = b""
    while chunk := os.read(read, 65536):
        data += chunk
    os.close(read)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child failed: status {os.waitstatus_to_exitcode(status)}\n{data.decode()}"
    return json.loads(data)


def in_cgroup(cgroup, work):
    """Runs work() in a forked child in the cgroup; returns what it returned, through JSON."""
    return end_in_cgroup(*begin_in_cgroup(cgroup, work))


class Beside:
    """work() in a forked child in the cgroup, while the test goes on. Nobody waits for what a child that failed
    was to do: goes_on() fails with its words then.

    It is the test's own thread that forks: a child that another one forks meanwhile would hold the pipes of
    whatever program the test is starting, and the test would wait for their end for ever."""

    def __init__(self, cgroup, work):
        self.answer = self.error = None
        self.thread = threading.Thread(target=self.run, args=begin_in_cgroup(cgroup, work))
        self.thread.start()

    def run(self, pid, read):
        try:
            self.answer = end_in_cgroup(pid, read)
        except BaseException as error:  # told to whoever waits
            self.error = error

    def goes_on(self):
        if self.error:
            raise self.error
        return True

    def end(self):
        self.thread.join()
        self.goes_on()
        return self.answer


def connect(address, port, source=None, keep=None, before=None):
    """One connection: {"error": name or None, "took": seconds, "at": monotonic time}."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    if source:
        s.bind((source, 0))
    if before:
        before(s)
    start = time.monotonic()
    result = None
    try:
        s.connect((address, port))
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error))
    took = time.monotonic() - start
    if keep is not None and result is None:
        keep.append(s)
    else:
        s.close()
    return {"error": result, "took": took, "at": start + took}


def strangers():
    """Sources that nobody has connected from: none of them has used anything."""
    return (f"127.{i // 62500 + 100}.{i // 250 % 250}.{i % 250 + 1}" for i in itertools.count())


def rate(interval_s, burst):
    return f"rate={int(interval_s * 1e9)}/{burst}"


def excess(slots, interval_s, burst):
    """By how many ns the tightest window of slots is too short for what it holds. Never above 0, by not one ns:
    slots are the kernel's own, and no machine is too busy for them."""
    interval, worst, first = int(interval_s * 1e9), 0, None
    for i, slot in enumerate(slots):
        at = slot["due_ns"] - i * interval
        first = at if first is None else max(first, at)
        worst = max(worst, first - at + (1 - burst) * interval)
    return worst


def wasted(slots, interval_s, burst):
    """How many seconds a connection was held longer than the limit made it wait. Where allowance is lost, it is
    an interval."""
    interval, tat, worst = int(interval_s * 1e9), 0, 0
    for slot in slots:
        earliest = max(slot["due_ns"] - slot["wait_ns"], tat - (burst - 1) * interval)
        worst = max(worst, slot["due_ns"] - earliest)
        tat = max(tat, slot["due_ns"]) + interval
    return worst / 1e9


def early(times, slots):
    """How many came before a slot: none of the first n may come before the n-th, whichever is whose. times: of
    all that arrived, in seconds of the same clock."""
    return sum(time * 1e9 < slot["due_ns"] for time, slot in zip(sorted(times), slots))


def check(condition, text):
    print(f"  {'ok  ' if condition else 'FAIL'} {text}", flush=True)
    if not condition:
        check.failed += 1


check.failed = 0


def run(tests):
    """Runs each test function; prints its name as a sentence. Ended by SIGTERM, it cleans up first."""
    only = sys.argv[1:]
    waiting.clean_up_when_ended()
    try:
        for test in tests:
            if only and test.__name__ not in only:
                continue
            print(test.__name__.replace("_", " "), flush=True)
            before = list(Cgroup.all)
            try:
                test()
            except (AssertionError, LookupError, OSError, subprocess.SubprocessError, ValueError) as error:
                check(False, f"{type(error).__name__}: {error}")
            for gate in Gate.all:
                gate.end()
            for cgroup in Cgroup.all[len(before):]:
                cgroup.remove()
    finally:
        clean()
    print(f"{check.failed} checks failed" if check.failed else "all checks passed")
    return 1 if check.failed else 0
