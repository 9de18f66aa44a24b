# SPDX-License-Identifier: MIT
"""May this message go now, and if not, when? libtollgate for Python, by ctypes.

    gate = tollgate.Gate(absent="open")             # once a process; forked and threaded workers may share it
    if gate.wait("acme-news", "gmail.com", tollgate.BULK, timeout=60):
        response = provider.send(message)           # the call of the provider's API

and in the web framework that receives the provider's events (SendGrid's, already verified and parsed):

    gate.events(json.loads(request.body))

A source is an address, the name of a source that a pool lists, or a pool: then the one of its sources is taken
that can send soonest. What happens where no tollgated has ever run, or this process may not attach, is said by
`absent`: "open" lets everything pass, "closed" nothing. Either is logged once, and once more when it is over.

Deciding takes about a microsecond and holds the interpreter's lock; waiting sleeps outside of it. Coroutines
call `wait_async`. The library is the system's libtollgate.so.0, or the file that $TOLLGATE_LIBRARY names.
"""
from __future__ import annotations

import asyncio
import collections
import ctypes
import errno
import logging
import os
import random
import threading
import time
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional

TRANSACTIONAL, ENGAGED, BULK = range(3)
ADMITTED, RETIRED, NEVER = "admitted", "retired", "never"
ABSENT = "absent"  # no gate is there; open or closed is what the caller chose

_MESSAGE = 0  # TG_STAGE_MESSAGE
_SOURCE, _DESTINATION, _FLOW, _VERDICT = 1, 2, 3, 4  # enum tg_struct
_ATTACH_AGAIN_S = 1.0
_SLICE_NS = 500_000_000  # the longest sleep in the library: so a signal is seen soon
_AGAIN_S = 0.25  # a coroutine's longest sleep: nothing wakes it when limits change
_EVENTS_KNOWN = 100_000
_FLOWS_KNOWN = 100_000

_log = logging.getLogger("tollgate")


class Error(OSError):
    """What the library refused, with its sentence for it."""


class Verdict(NamedTuple):
    """True where the message may go now."""

    reason: str
    wait: float  # seconds from now; infinite where it never can
    at_ns: int  # of the library's clock; give it to report()
    flow: Any

    def __bool__(self) -> bool:
        return self.reason == ADMITTED

    @property
    def source(self) -> Optional[str]:
        """The address or the name of the source: of a pool, the one that was chosen. None where no tollgated is."""
        return self.flow.source if self.flow else None


class _Handle:
    """Memory for one struct of the library, which alone knows what is in it."""

    def __init__(self, size: int) -> None:
        self.buffer = ctypes.create_string_buffer(size)
        self.source: Optional[str] = None  # of a flow's


def _declare(library: Any) -> Any:
    pointer, u32, u64, text = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_char_p
    for name, result, arguments in (
        ("tg_attach", ctypes.c_int, [pointer, pointer]),
        ("tg_detach", None, [pointer]),
        ("tg_renew", ctypes.c_int, [pointer]),
        ("tg_error_text", text, [ctypes.c_int, text, text, ctypes.c_size_t]),
        ("tg_generation", u64, [pointer]),
        ("tg_source", ctypes.c_int, [pointer, text, pointer]),
        ("tg_source_text", ctypes.c_int, [pointer, text, ctypes.c_size_t]),
        ("tg_destination", ctypes.c_int, [pointer, text, pointer]),
        ("tg_flow", ctypes.c_int, [pointer, pointer, pointer, pointer]),
        ("tg_pick", ctypes.c_int, [pointer, text, pointer, u32, pointer, pointer]),
        ("tg_wait_into", u32, [pointer, pointer, u32, u32, u64, pointer, pointer]),
        ("tg_report_line", ctypes.c_int, [pointer, pointer, text, ctypes.c_size_t, u32, u32, u32, u64]),
        ("tg_reason_name", text, [u32]),
        ("tg_struct_size", ctypes.c_size_t, [u32]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("segment", ctypes.c_char_p), ("owner", ctypes.c_int64),
                ("clock", ctypes.c_uint32), ("flags", ctypes.c_uint32)]


class Gate:
    """One attachment. Any thread; a forked child may go on with its parent's."""

    def __init__(self, segment: Optional[str] = None, *, absent: str, library: Optional[str] = None) -> None:
        if absent not in ("open", "closed"):
            raise ValueError("absent is 'open' or 'closed'")
        name = library or os.environ.get("TOLLGATE_LIBRARY") or "libtollgate.so.0"
        self._quick = _declare(ctypes.PyDLL(name))  # keeps the interpreter's lock
        self._slow = _declare(ctypes.CDLL(name))  # gives it up: for what sleeps
        self._segment = segment.encode() if segment else None
        self._open = absent == "open"
        self._tg: Optional[int] = None
        self._told = False
        self._try_at = 0.0
        self._users, self._changing = 0, False
        self._idle = threading.Condition(threading.RLock())
        self._seen: "collections.OrderedDict[str, None]" = collections.OrderedDict()
        self._forget()
        os.register_at_fork(after_in_child=self._forked)
        self._attach()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the calls of other threads, and detaches. Every later call finds no gate."""
        with self._alone():
            if self._tg:
                self._quick.tg_detach(self._tg)
            self._tg, self._try_at = None, float("inf")

    # ---- asking ------------------------------------------------------------------------------------------

    def admit(self, source_or_pool: str, recipient_domain: str, cls: int = BULK, n: int = 1) -> Verdict:
        """May n messages go now? Never sleeps."""
        return self._ask(source_or_pool, recipient_domain, cls, n, 0)

    def wait(self, source_or_pool: str, recipient_domain: str, cls: int = BULK, n: int = 1,
             timeout: Optional[float] = None) -> Verdict:
        """Sleeps until n messages may go, or for timeout seconds (None: as long as it takes). True: send now."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE_NS if end is None else max(0, min(_SLICE_NS, int((end - time.monotonic()) * 1e9)))
            verdict = self._ask(source_or_pool, recipient_domain, cls, n, left)
            if verdict or verdict.reason == NEVER or (end is not None and time.monotonic() >= end):
                return verdict
            if verdict.reason in (RETIRED, ABSENT):
                time.sleep(min(0.05, left / 1e9))

    async def wait_async(self, source_or_pool: str, recipient_domain: str, cls: int = BULK, n: int = 1,
                         timeout: Optional[float] = None) -> Verdict:
        """As wait, without blocking the event loop."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            verdict = self._ask(source_or_pool, recipient_domain, cls, n, 0)
            left = float("inf") if end is None else end - time.monotonic()
            if verdict or verdict.reason == NEVER or left <= 0:
                return verdict
            # Not all at the same instant, and never past the end.
            pause = min(max(verdict.wait, 0.001), _AGAIN_S * (0.5 + random.random() / 2))
            await asyncio.sleep(min(pause, left))

    # ---- reporting ---------------------------------------------------------------------------------------

    def report(self, source: str, recipient_domain: str, reply: Optional[str], cls: int = BULK, n: int = 1,
               verdict: Optional[Verdict] = None) -> None:
        """What the receiver answered ("451 4.7.650 …"); None: no reply came. verdict: of its wait, where known."""
        with self._use() as tg:
            if tg:
                flow = verdict.flow if verdict and verdict.flow else self._flow(tg, source, recipient_domain, cls)
                line = None if reply is None else reply.encode(errors="replace")
                self._check(self._quick.tg_report_line(tg, flow.buffer, line, len(line or b""), cls, _MESSAGE, n,
                                                       verdict.at_ns if verdict else 0))

    def events(self, events: Iterable[Mapping[str, Any]],
               source_of: Callable[[Mapping[str, Any]], Optional[str]] = lambda event: event.get("ip"),
               class_of: Callable[[Mapping[str, Any]], int] = lambda event: BULK) -> int:
        """Takes SendGrid's event list: deliveries, deferrals and bounces, each once (sg_event_id). source_of says
        which source an event is of, where that is a name and not the address that it carries. How many were
        reported; what is no outcome, has no reply code or no source is left out."""
        taken = 0
        for event in events:
            reply = _outcome(event)
            source, (name, _, domain) = source_of(event), str(event.get("email", "")).rpartition("@")
            if reply is None or not source or not name or not domain or not self._first_time(event.get("sg_event_id")):
                continue
            try:
                self.report(source, domain, reply, class_of(event))
                taken += 1
            except Error as error:
                _log.debug("an event of %s to %s: %s", source, domain, error)
        return taken

    def _first_time(self, name: Any) -> bool:
        if name is None:
            return True
        with self._idle:
            if name in self._seen:
                return False
            self._seen[name] = None
            if len(self._seen) > _EVENTS_KNOWN:
                self._seen.popitem(last=False)
        return True

    # ---- the attachment ----------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._flows: dict[tuple[str, str], tuple[Optional[_Handle], Optional[_Handle]]] = {}
        self._generation = -1

    def _forked(self) -> None:
        self._idle = threading.Condition(threading.RLock())
        self._users, self._changing = 0, False

    def _attach(self) -> None:
        options = _Options(ctypes.sizeof(_Options), self._segment, -1, 0, 0)
        found = ctypes.c_void_p()
        self._try_at = time.monotonic() + _ATTACH_AGAIN_S
        failed = self._quick.tg_attach(ctypes.byref(options), ctypes.byref(found))
        if failed and not self._told:
            _log.warning("%s; until then %s", self._text(failed), "everything passes" if self._open else "nothing passes")
        elif not failed and self._told:
            _log.warning("attached: the gate decides again")
        self._told = failed != 0
        self._tg = found.value if not failed else None

    def _use(self) -> "_Use":
        return _Use(self)

    def _alone(self) -> "_Alone":
        return _Alone(self)

    def _text(self, error: int) -> str:
        buffer = ctypes.create_string_buffer(512)
        return self._quick.tg_error_text(error, self._segment, buffer, len(buffer)).decode(errors="replace")

    def _check(self, error: int) -> None:
        if error:
            raise Error(-error, self._text(error))

    def _new(self, which: int) -> _Handle:
        return _Handle(self._quick.tg_struct_size(which))

    def _flow(self, tg: int, source_or_pool: str, domain: str, cls: int) -> _Handle:
        """The flow's handle, kept; of a pool its destination is, and the source is picked each time."""
        generation = self._quick.tg_generation(tg)
        if generation != self._generation or len(self._flows) >= _FLOWS_KNOWN:
            self._forget()
            self._generation = generation
        flow, destination = self._flows.get((source_or_pool, domain), (None, None))
        if flow:
            return flow
        picked = self._new(_SOURCE)
        if destination is None:
            destination = self._new(_DESTINATION)
            self._check(self._quick.tg_destination(tg, domain.encode(), destination.buffer))
            error = self._quick.tg_source(tg, source_or_pool.encode(), picked.buffer)
            if error == 0:
                flow = self._claim(tg, picked, destination)
                self._flows[source_or_pool, domain] = (flow, destination)
                return flow
            if error not in (-errno.EINVAL, -errno.ENOENT):
                self._check(error)
        at_ns = ctypes.c_uint64()
        error = self._quick.tg_pick(tg, source_or_pool.encode(), destination.buffer, cls, picked.buffer,
                                    ctypes.byref(at_ns))
        if error == -errno.ENOENT:
            raise Error(errno.ENOENT, f"{source_or_pool}: neither an address nor a source or pool of the configuration")
        self._check(error)
        self._flows[source_or_pool, domain] = (None, destination)
        return self._claim(tg, picked, destination)

    def _claim(self, tg: int, source: _Handle, destination: _Handle) -> _Handle:
        flow = self._new(_FLOW)
        name = ctypes.create_string_buffer(64)
        self._quick.tg_source_text(source.buffer, name, len(name))
        flow.source = name.value.decode()
        error = self._quick.tg_flow(tg, source.buffer, destination.buffer, flow.buffer)
        if error != -errno.ENOSPC:  # then every verdict says so
            self._check(error)
        return flow

    def _ask(self, source_or_pool: str, domain: str, cls: int, n: int, wait_ns: int) -> Verdict:
        if cls not in (TRANSACTIONAL, ENGAGED, BULK):
            raise ValueError("no such class of traffic")
        with self._use() as tg:
            if not tg:
                return Verdict(ADMITTED if self._open else ABSENT, 0.0 if self._open else _ATTACH_AGAIN_S, 0, None)
            flow = self._flow(tg, source_or_pool, domain, cls)
            # struct tg_verdict begins with at_ns, 64 bits.
            verdict, left = self._new(_VERDICT), ctypes.c_uint64()
            library = self._slow if wait_ns else self._quick
            reason = library.tg_wait_into(tg, flow.buffer, cls, n, wait_ns, verdict.buffer, ctypes.byref(left))
            at_ns = int.from_bytes(verdict.buffer.raw[:8], "little" if _LITTLE else "big")
        name = self._quick.tg_reason_name(reason).decode()
        if name == RETIRED:
            self._renew()
        wait = float("inf") if left.value == 2 ** 64 - 1 else left.value / 1e9
        return Verdict(name, 0.01 if name == RETIRED else wait, at_ns, flow)

    def _renew(self) -> None:
        with self._alone():
            if self._tg and self._quick.tg_renew(self._tg) == 0:
                self._forget()


_LITTLE = bytes(ctypes.c_uint16(1))[0] == 1


class _Use:
    """A call is under way: the attachment does not change meanwhile."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def __enter__(self) -> Optional[int]:
        gate = self.gate
        with gate._idle:
            while gate._changing:
                gate._idle.wait()
            if not gate._tg and time.monotonic() >= gate._try_at:
                gate._attach()
            gate._users += 1
            return gate._tg

    def __exit__(self, *_: Any) -> None:
        with self.gate._idle:
            self.gate._users -= 1
            self.gate._idle.notify_all()


class _Alone:
    """No other call is under way, and none begins."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def __enter__(self) -> None:
        gate = self.gate
        with gate._idle:
            while gate._changing:
                gate._idle.wait()
            gate._changing = True
            while gate._users:
                gate._idle.wait()

    def __exit__(self, *_: Any) -> None:
        with self.gate._idle:
            self.gate._changing = False
            self.gate._idle.notify_all()


def _outcome(event: Mapping[str, Any]) -> Optional[str]:
    """The receiver's reply in an event, with a code in front; None: it is no outcome."""
    kind = event.get("event")
    text = str(event.get("response") or event.get("reason") or "")
    if kind not in ("delivered", "deferred", "bounce"):
        return None
    if text[:3].isdigit() and text[:1] in "245":
        return text
    return f"250 {text}".rstrip() if kind == "delivered" else None
