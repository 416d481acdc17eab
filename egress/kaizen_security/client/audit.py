"""Audit: what the agent's own process opens for writing, looks up, connects to and starts, as actions of source ``audit``.

From the interpreter's audit events (PEP 578), opt-in: without it no hook exists. A hook cannot be removed again; after ``stop`` it
does nothing. The cooperative rung: code in the process can go around it (a C extension, ``ctypes``), and native libraries do.

The hook is called in the middle of other people's code, also by finalizers while one of our locks is held. So it takes no lock and
does no input or output: it asks the compiled policy, and leaves the report to a thread.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from kaizen_security.client import own
from kaizen_security.client.clock import now
from kaizen_security.client.dial import place
from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import KaizenBlocked
from kaizen_security.contract.verdict import Decision, Mode, Verdict

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen
    from kaizen_security.client.judge import Judge

RATE = 200
"""Events a second that are reported; what is over is judged all the same, and counted."""
MAX_WAITING = 2000
PACE = 0.05
"""Seconds between two looks of our thread at what waits."""
LOOKED_UP = 5.0
"""Seconds for which a connection takes the name that its thread has looked up for the same port, and in which further datagrams of
a thread to one place are no news.
"""
OVER, BROKEN = "audit: over the rate", "audit errors"

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALLOWLISTS = frozenset({"tool not on the allowlist", "publisher not on the allowlist"})
_Seen: TypeAlias = "tuple[str, str, dict[str, Json]]"
_busy = threading.local()


class Audit:
    """One client's ear. ``lost`` counts by reason; ``drain`` reports what waits."""

    def __init__(self, kaizen: Kaizen, judge: Judge, upstream: str, data: str) -> None:
        self.lost: dict[str, int] = {}
        self._kaizen = weakref.ref(kaizen)
        self._judge = judge
        self._waiting: deque[tuple[Action, Verdict, float, str]] = deque()
        self._second = 0
        self._n = 0
        where = place(upstream) if upstream else None
        self._upstream = (where.host, where.port) if where else ("", 0)
        self._data = os.path.join(os.path.abspath(data), "") if data else ""
        self._stopped = False
        self._thread: threading.Thread | None = None
        _listen(self)

    def heard(self, kind: str, target: str, arguments: dict[str, Json]) -> None:
        """One event, in the thread that causes it. Raises KaizenBlocked when policy denies it and the mode is enforce."""
        if self._ours(kind, target):
            return
        kaizen = self._kaizen()
        if kaizen is None:
            return
        metadata: dict[str, Json] = {"source": "audit"}
        if arguments:
            metadata["arguments"] = arguments
        action = Action(kind=kind, target=target, metadata=metadata, id=kaizen.ids.new())
        rules = self._judge.rules
        verdict = rules.compiled.decide(action)
        if verdict.blocked and all(finding.kind in _ALLOWLISTS for finding in verdict.evidence):
            # An allowlist says which tools may be called; a connection is no tool, and was made by one that was judged.
            verdict = Verdict(
                decision=Decision.ALLOW, reason=reasons.NO_POLICY_MATCHED, policy_version=verdict.policy_version
            )
        self._keep(action, verdict, kaizen)
        if verdict.blocked and rules.mode is Mode.ENFORCE:
            raise KaizenBlocked(verdict)

    def _ours(self, kind: str, target: str) -> bool:
        if self._stopped or own.is_mine():
            return True
        if kind == "file":
            return bool(self._data) and os.path.abspath(target).startswith(self._data)
        host, port = self._upstream
        return bool(host) and target in (f"{host}:{port}", host) and kind in ("connect", "dns")

    def _keep(self, action: Action, verdict: Verdict, kaizen: Kaizen) -> None:
        second = int(monotonic())
        if second != self._second:
            self._second, self._n = second, 0
        self._n += 1
        if self._n > RATE or len(self._waiting) >= MAX_WAITING:
            self.lose(OVER)
            return
        self._waiting.append((action, verdict, now(), kaizen.current_run))

    def lose(self, reason: str) -> None:
        """Count one."""
        self.lost[reason] = self.lost.get(reason, 0) + 1

    def wake(self) -> None:
        """Start our thread. Again after a fork."""
        if self._stopped or (self._thread is not None and self._thread.is_alive()):
            return
        thread = own.thread(self._work, "kaizen-audit")
        if own.start(thread):
            self._thread = thread

    def _work(self) -> None:
        pause = threading.Event()
        while not self._stopped and self._kaizen() is not None:
            self.drain()
            pause.wait(PACE)

    def drain(self) -> None:
        """Report what waits."""
        while self._waiting:
            try:
                action, verdict, at, run_id = self._waiting.popleft()
            except IndexError:
                return  # another thread was first
            self._judge.report(action, verdict, at, run_id)
            kaizen = self._kaizen()
            if kaizen is not None and kaizen.on_verdict is not None:
                kaizen._show(verdict, action)

    def stop(self) -> None:
        """Hear no more, and report what waits."""
        self._stopped = True
        self.drain()

    def after_fork(self) -> None:
        """In the child: what waits is the parent's."""
        self._waiting.clear()
        self._thread = None
        self.lost = {}


# --- events, as actions: kind, target, arguments


def _open(args: tuple[object, ...]) -> _Seen | None:
    path, mode, flags = args[0], args[1], args[2]
    writes = isinstance(flags, int) and flags & _WRITES
    if not writes and not (isinstance(mode, str) and set(mode) & set("wax+")):
        return None
    name = _path(path)
    # The interpreter's own compiled files, and the place where output is thrown away.
    return None if not name or name == os.devnull or "__pycache__" in name else ("file", name, {})


def _lookup(args: tuple[object, ...]) -> _Seen | None:
    host, port = args[0], args[1] if len(args) > 1 else 0
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name:
        return None
    if isinstance(port, str):
        port = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    _busy.looked_up = (name, port, monotonic())
    return None if _address(name) else ("dns", name, {})


def _connect(args: tuple[object, ...]) -> _Seen | None:
    address = args[1]
    if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
        return None  # a Unix socket: on this machine
    host, port = address[0], address[1]
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name, looked_up_port, at = getattr(_busy, "looked_up", ("", 0, 0.0))
    if name and name != host and looked_up_port == port and _address(host) and monotonic() - at < LOOKED_UP:
        return "connect", f"{name}:{port}", {"address": shown}
    return "connect", shown, {}


def _send(args: tuple[object, ...]) -> _Seen | None:
    """A datagram to a place: what a thread goes on sending there was heard with the first."""
    address, at = getattr(_busy, "sent_to", (None, 0.0))
    return None if address == args[1] and monotonic() - at < LOOKED_UP else _connect(args)


def _start(args: tuple[object, ...]) -> _Seen | None:
    words = args[1] if len(args) > 1 else None
    argv: list[Json] = [_path(word) for word in words[:100]] if isinstance(words, list | tuple) else []
    program = _path(args[0]) or (str(argv[0]) if argv else words if isinstance(words, str) else "")
    return ("exec", program[:4096], {"argv": argv}) if program else None


_ACTIONS: dict[str, Callable[[tuple[object, ...]], _Seen | None]] = {
    "open": _open,
    "socket.getaddrinfo": _lookup,
    "socket.gethostbyname": _lookup,
    "socket.gethostbyaddr": _lookup,
    "socket.connect": _connect,
    "socket.sendto": _send,
    "socket.sendmsg": _send,
    "subprocess.Popen": _start,
    "os.exec": _start,
    "os.posix_spawn": _start,
    "os.system": _start,
}
"""The audit events that are actions (the Python library's table of audit events)."""


def _path(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")[:4096]
    if isinstance(value, os.PathLike):
        # Only what the library's own paths say: a foreign ``__fspath__`` is the host's code.
        return str(value)[:4096] if type(value).__module__.startswith("pathlib") else ""
    return value[:4096] if isinstance(value, str) else ""


def _address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


# --- the hook: one for the process, from the first client that wants it to the end

_listeners: tuple[weakref.ref[Audit], ...] = ()
_installed = False


def _listen(audit: Audit) -> None:
    global _listeners, _installed  # noqa: PLW0603  # a process has one hook
    _listeners = (*(ref for ref in _listeners if ref() is not None), weakref.ref(audit))
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[object, ...]) -> None:
    translate = _ACTIONS.get(event)
    if translate is None or not _listeners or getattr(_busy, "inside", False):
        return
    _busy.inside = True
    try:
        _report(translate, args)
    finally:
        _busy.inside = False


def _report(translate: Callable[[tuple[object, ...]], _Seen | None], args: tuple[object, ...]) -> None:
    seen = None
    for ref in _listeners:
        audit = ref()
        if audit is None:
            continue
        try:
            seen = translate(args)
            if seen is not None:
                audit.heard(*seen)
        except KaizenBlocked:
            raise
        except Exception:  # noqa: BLE001  # a listed boundary
            # We stand in the middle of the host's own call: our mistake is counted, and the call goes on.
            audit.lose(BROKEN)
    if translate is _send and seen is not None:
        # Nobody has denied it. What was not looked at makes it no younger: a denial that comes meanwhile has to take hold.
        _busy.sent_to = args[1], monotonic()
