# SPDX-License-Identifier: MIT
"""For tests that run real programs: a tollgated in a folder of its own, the command line, and workers.

    with Sidecar("pools: ...") as sidecar:
        worker = sidecar.worker()
        worker.flow("192.0.2.1", "google")
        worker.ask("admit 2 1")
        sidecar.tollgate("status")

Nothing is left behind; every process is ended that was started here, and nothing else.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import waiting

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("TG_BUILD", TOP / "build"))
SANITIZE = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(BUILD.name, [])
waiting.clean_up_when_ended()


class Worker:
    """tests/worker.c: a process that attaches and does what it is told."""

    def __init__(self, program, segment):
        self.child = subprocess.Popen(program if isinstance(program, list) else [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=dict(os.environ, TOLLGATE_SEGMENT=str(segment)))
        answer = self.ask("attach")
        assert answer == "ok", f"the worker did not attach: {answer or f'status {self.child.wait()}'}"

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def flow(self, source, destination):
        answer = self.ask(f"flow {source} {destination}")
        assert answer == "flow", answer

    def verdict(self, command):
        """The reason, and the seconds to wait."""
        reason, wait = self.ask(command).split()
        return reason, int(wait) / 1e9

    def close(self):
        self.child.stdin.close()
        status = self.child.wait()
        self.child.stdout.close()
        assert status == 0, f"worker ended with {status}"

    def kill(self):
        self.child.kill()
        self.child.wait()


def tollgated(config, log, *options, prefix=(), state="/nonexistent", tell="", **more):
    """A tollgated that has yet to be ready; log is a file that is open, or a descriptor. tell: the socket on which it
    says that it is ready."""
    return subprocess.Popen([*prefix, BUILD / "tollgated", "-c", config, *options], stderr=log, stdin=subprocess.DEVNULL,
                            # The machine's own store is not for tests.
                            env=dict(os.environ, STATE_DIRECTORY=str(state), NOTIFY_SOCKET=str(tell)), **more)


class Sidecar:
    def __init__(self, config="", segment="flows: 1000, workers: 16", group=None, state=False, place="/dev/shm"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-test-", dir=place))
        os.chmod(self.folder, 0o755)
        self.segment = self.folder / "segment"
        self.file = self.folder / "tollgate.yaml"
        self.log = self.folder / "log"
        self.state = self.folder / "state"
        self.head = f"segment: {{path: {self.segment}, {segment}{f', group: {group}' if group else ''}}}\n"
        if state:
            self.head += f"state: {self.state}\n"
        self.write(config)
        self.workers = []
        self.child = None
        self.program = None

    def write(self, config):
        self.file.write_text(self.head + config)

    def begin_with_log(self, log, *options, **more):
        self.child = tollgated(self.file, log, *options, state=self.folder / "none", **more)

    def start(self, *options, **more):
        before = self.text().count(" ready: ")
        with open(self.log, "ab") as log:
            self.begin_with_log(log, *options, **more)
        waiting.started(self.child, lambda: self.text().count(" ready: ") > before, "tollgated", self.text)
        return self

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def says(self, words, count=None):
        """That it stands in the log, or so often. The log has a thread of its own: it is waited for."""
        waiting.wait_for(lambda: self.text().count(words) >= (count or 1), f"the log to say {words!r}", self.text)
        assert count in (None, self.text().count(words)), self.text()

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        status = self.child.wait()
        assert status == (0 if how == signal.SIGTERM else -how), f"status {status}:\n{self.text()}"
        self.child = None

    def worker(self):
        if self.program is None:
            self.program = self.folder / "worker"
            waiting.run("cc", "-std=gnu17", "-D_GNU_SOURCE", *SANITIZE, "-I", TOP, "-o", self.program,
                        TOP / "tests" / "worker.c", BUILD / "libtollgate.a", "-lpthread")
        self.workers.append(Worker(self.program, self.segment))
        return self.workers[-1]

    def run(self, *arguments, program=BUILD / "tollgate", **options):
        return subprocess.run([program, *arguments], capture_output=True, text=True,
                              env=dict(os.environ, TOLLGATE_SEGMENT=str(self.segment)), **options)

    def begin(self, *arguments):
        """A command that is still running; it ends by itself."""
        return subprocess.Popen([BUILD / "tollgate", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env=dict(os.environ, TOLLGATE_SEGMENT=str(self.segment)))

    def tollgate(self, *arguments):
        """What the command printed; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.returncode}: {done.stderr}"
        assert "Sanitizer" not in done.stderr, done.stderr
        return done.stdout

    def json(self, *arguments):
        return [json.loads(line) for line in self.tollgate(*arguments, "--json").splitlines()]

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for child in [worker.child for worker in self.workers] + ([self.child] if self.child else []):
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
