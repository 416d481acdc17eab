"""Child processes that live and die with us: started, watched, named when they die, and stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kaizen_security.contract.errors import KaizenError

READY = "listening on "
"""A long-running command prints a line that starts with this when it can be used."""

GRACE = 2.0
"""Seconds that all children together get to end after SIGTERM, before SIGKILL."""

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""


class Died(KaizenError):
    """A child process ended by itself. ``name`` says which, the text also how, and its last words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start one child.

    ``name``   what people call it (``control plane``)
    ``words``  program and arguments
    ``env``    its whole environment
    ``log``    file that its standard output and standard error are appended to (with ``talks``: standard error only)
    ``talks``  we talk with it over its standard input and output
    """

    name: str
    words: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path | None = None
    talks: bool = False


@dataclass(slots=True)
class Child:
    """One running child, and from where in its log this life of it began."""

    command: Command
    process: subprocess.Popen[str]
    log_from: int
    restarts: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.command.name

    def alive(self) -> bool:
        """Whether it is still running. Does not reap it, so that its number, and its group's, stay ours until ``bury``."""
        if self.process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def signal(self, number: signal.Signals) -> None:
        """Signal it and everything that it started."""
        # Reaped, its number may be another's already.
        if self.process.returncode is None:
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                return

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        until = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def bury(self) -> int:
        """Kill what is left of it and its group, reap it, and give its status as ``Popen`` does."""
        self.signal(signal.SIGKILL)
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            _close(stream)
        return status

    def said(self) -> str:
        """What it wrote to its log in this life, at most the last 64 KB."""
        try:
            with self.command.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self.log_from, end - 65536))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def obituary(self, lines: int = 8) -> str:
        """How it ended and its last log lines, for people. Buries it if it has ended."""
        status = None if self.alive() else self.bury()
        said = "".join(char if char.isprintable() or char == "\n" else " " for char in self.said())
        last = [line for line in said.splitlines() if line.strip()][-lines:]
        tail = "".join(f"\n    {line[:300]}" for line in last)
        return f"{self.name} {ending(status)}; " + (
            f"its last lines ({self.command.log}):{tail}" if last else f"it said nothing ({self.command.log})"
        )


def ending(status: int | None) -> str:
    """A status of ``Popen`` in words."""
    if status is None:
        return "is running"
    if status < 0:
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"
    return f"ended with status {status}"


class Household:
    """The children of this process.

    Start them from the main thread: the kernel's parent-death signal follows the thread that forked. Each child has a process
    group of its own, so that Ctrl-C in a terminal reaches only us and we end them in order.
    """

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def start(self, command: Command) -> Child:
        """Start one child. Raises Died when the program cannot be started at all."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            log_from = log.tell()
            pipe = subprocess.PIPE if command.talks else None
            try:
                process = subprocess.Popen(
                    list(command.words),
                    env=dict(command.env),
                    cwd=command.cwd,
                    stdin=pipe if command.talks else subprocess.DEVNULL,
                    stdout=pipe if command.talks else log,
                    stderr=log,
                    text=True,
                    bufsize=1,
                    process_group=0,
                    preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509  one prctl, prepared before the fork
                )
            except OSError as err:
                raise Died(command.name, f"{command.name} cannot be started: {err}") from err
        child = Child(command=command, process=process, log_from=log_from)
        self._children[command.name] = child
        return child

    def ready(self, child: Child, *, deadline: float = 30.0, pulse: Callable[[], None] = lambda: None) -> str:
        """Wait for its ``listening on …`` line and give what follows those words.

        ``deadline`` in seconds. Raises Died when it ends first, or is not ready in time.
        """
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            for line in child.said().splitlines():
                head, found, address = line.partition(READY)
                if found and len(head) < 40:
                    return address.strip()
            if not child.alive():
                raise Died(child.name, child.obituary())
            pulse()
            time.sleep(0.03)
        raise Died(child.name, f"{child.name} was not ready within {deadline:.0f} s. {child.obituary()}")

    def dead(self) -> Child | None:
        """A child that has ended by itself, if there is one."""
        return next((child for child in self._children.values() if not child.alive()), None)

    def check(self) -> None:
        """Raise Died when a child has ended by itself."""
        gone = self.dead()
        if gone is not None:
            raise Died(gone.name, gone.obituary())

    def restart(self, child: Child, *, most: int = 3, within: float = 60.0) -> Child:
        """Start a dead child again. Raises Died when that was done ``most`` times ``within`` the last seconds already."""
        now = time.monotonic()
        recent = [at for at in child.restarts if now - at < within]
        if len(recent) >= most:
            raise Died(
                child.name, f"{child.obituary()}\nIt was restarted {most} times within {within:.0f} s; giving up."
            )
        again = self.start(child.command)
        again.restarts = [*recent, now]
        return again

    def release(self, name: str) -> None:
        """End one child on purpose; it is no longer watched."""
        child = self._children.pop(name, None)
        if child is not None:
            child.signal(signal.SIGTERM)
            child.wait(GRACE)
            child.bury()

    def stop(self, order: Sequence[str] = (), grace: float = GRACE) -> None:
        """End all: SIGTERM in ``order`` (names; the rest after them), each stage waiting for the one before, SIGKILL at the end.

        Takes at most ``grace`` seconds and a moment for the kernel.
        """
        left = list(self._children.values())
        self._children.clear()
        left.sort(key=lambda child: order.index(child.name) if child.name in order else len(order))
        until = time.monotonic() + grace
        try:
            for i, child in enumerate(left):
                # Everyone further down the line still needs time to take what this one hands over.
                share = max(0.0, until - time.monotonic()) / (len(left) - i)
                child.signal(signal.SIGTERM)
                child.wait(share)
        finally:
            # Also when a second Ctrl-C cuts the waiting short.
            for child in left:
                child.bury()


def _close(stream: IO[str] | None) -> None:
    if stream is not None:
        try:
            stream.close()
        except OSError:
            return  # what it had not read yet is of no use to anyone now


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """What a fresh child runs before its program: ask the kernel for SIGTERM when we die. Nothing where there is no prctl."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            # We died between the fork and the prctl.
            os._exit(1)

    return ask
