"""One level-triggered event loop on one thread: a table from file descriptor to the function that its connection is waiting in.

The state of a connection *is* the function in the table. ``epoll`` where there is one, ``selectors`` elsewhere.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, TypeAlias

READ = 1
"""Same bits as EPOLLIN and EPOLLOUT, so that nothing is translated on Linux."""
WRITE = 4

CHUNK = 65536
"""Bytes that one read asks for."""

Ready: TypeAlias = Callable[[int], None]
"""Called with the events of a descriptor. A hang-up or an error counts as READ and WRITE: the next system call tells which."""

SWEEP = 0.5
"""Seconds between looks at deadlines."""


class Timed(Protocol):
    """Something with a deadline."""

    due: float

    def expire(self, now: float) -> None:
        """``due`` (seconds of ``time.monotonic``) has passed: end, or set a new ``due``."""


class Regular:
    """Something to do every ``seconds``, to the next look at deadlines."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.due = 0.0
        self._seconds = seconds
        self._call = call

    def expire(self, now: float) -> None:
        """Do it, and wait again."""
        self.due = now + self._seconds
        self._call()


class Poller(Protocol):
    """What the loop needs of the kernel."""

    def register(self, fd: int, mask: int) -> None:
        """Start to watch ``fd``."""

    def modify(self, fd: int, mask: int) -> None:
        """Watch it for other events."""

    def unregister(self, fd: int) -> None:
        """Stop."""

    def poll(self, timeout: float) -> Iterable[tuple[int, int]]:
        """Pairs of descriptor and events; may be empty."""

    def close(self) -> None:
        """Give its own descriptor back."""


class Selector:
    """The fallback over ``selectors`` where the system has no epoll."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()

    @staticmethod
    def _events(mask: int) -> int:
        return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)

    def register(self, fd: int, mask: int) -> None:
        """Start to watch ``fd``."""
        self._inner.register(fd, self._events(mask))

    def modify(self, fd: int, mask: int) -> None:
        """Watch it for other events."""
        self._inner.modify(fd, self._events(mask))

    def unregister(self, fd: int) -> None:
        """Stop."""
        self._inner.unregister(fd)

    def poll(self, timeout: float) -> Iterable[tuple[int, int]]:
        """Pairs of descriptor and events."""
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in self._inner.select(timeout)
        ]

    def close(self) -> None:
        """Give its own descriptor back."""
        self._inner.close()


def poller(*, epoll: bool = True) -> Poller:
    """The best poller of this system."""
    if epoll and hasattr(select, "epoll"):
        return select.epoll()
    return Selector()


class Loop:
    """Runs until ``stop``. Everything but ``post`` and ``stop`` belongs to the loop's thread."""

    def __init__(self, *, epoll: bool = True, failed: Callable[[int, Exception], None] | None = None) -> None:
        self._poller = poller(epoll=epoll)
        self._forgets = not isinstance(self._poller, Selector)
        self.table: dict[int, Ready] = {}
        """By descriptor: who waits for it. A wire that only changes who waits writes here (``turn``)."""
        self._timed: set[Timed] = set()
        self._posted: deque[Callable[[], None]] = deque()
        self._failed = failed
        self._stopping = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.buffer = memoryview(bytearray(CHUNK))
        """What is read passes through here; nobody keeps it."""
        self.now = time.monotonic()
        self.add(self._wake_in.fileno(), READ, self._woken)

    # --- descriptors --------------------------------------------------------------------------------------------------------

    def add(self, fd: int, mask: int, ready: Ready) -> None:
        """Watch ``fd``; ``ready`` is called with its events."""
        self.table[fd] = ready
        self._poller.register(fd, mask)

    def turn(self, fd: int, ready: Ready) -> None:
        """Another function waits for ``fd`` from now on."""
        self.table[fd] = ready

    def change(self, fd: int, mask: int) -> None:
        """Watch ``fd`` for other events."""
        self._poller.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Watch ``fd`` no longer. Events of it that this round still holds are dropped."""
        if self.table.pop(fd, None) is not None:
            with suppress(OSError, KeyError, ValueError):
                self._poller.unregister(fd)

    def drop(self, fd: int) -> None:
        """The descriptor is about to be closed: epoll forgets it by itself, so that is one system call less."""
        if self.table.pop(fd, None) is not None and not self._forgets:
            with suppress(OSError, KeyError, ValueError):
                self._poller.unregister(fd)

    # --- time ---------------------------------------------------------------------------------------------------------------

    def watch(self, item: Timed) -> None:
        """Look at ``item.due`` twice a second."""
        self._timed.add(item)

    def forget(self, item: Timed) -> None:
        """No longer."""
        self._timed.discard(item)

    def _sweep(self) -> None:
        now = self.now
        for item in [item for item in self._timed if item.due <= now]:
            if item in self._timed:
                # What fails must not be asked again twice a second.
                item.due = now + 60.0
                self.guarded(-1, item.expire, now)

    # --- other threads ------------------------------------------------------------------------------------------------------

    def post(self, call: Callable[[], None]) -> None:
        """Have ``call`` run on the loop's thread. From any thread, and from a signal handler."""
        self._posted.append(call)
        # A full pipe of wake-ups wakes as well as one; a loop that has ended wakes no more (a resolver may be late).
        with suppress(OSError):
            self._wake_out.send(b"\0")

    def stop(self) -> None:
        """End ``run`` soon. From any thread, and from a signal handler."""
        self.post(self._stop)

    def _stop(self) -> None:
        self._stopping = True

    def _woken(self, events: int) -> None:
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)
        while self._posted:
            self.guarded(-1, self._posted.popleft())

    # --- running ------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until ``stop``."""
        table = self.table
        sweep_at = self.now + SWEEP
        while not self._stopping:
            ready = self._poller.poll(sweep_at - self.now)
            self.now = time.monotonic()
            for fd, events in ready:
                call = table.get(fd)
                if call is not None:
                    # One connection that meets a mistake of ours must not end the others.
                    try:
                        call(events if not events & ~5 else 5)
                    except Exception as err:  # noqa: BLE001 - see boundaries.toml
                        self._broken(fd, err)
            if self.now >= sweep_at:
                sweep_at = self.now + SWEEP
                self._sweep()

    def guarded(self, fd: int, call: Callable[..., None], *args: object) -> None:
        """Call for the connection of ``fd`` (-1: of none); if that meets a mistake of ours, ``failed`` is told."""
        try:
            call(*args)
        except Exception as err:  # noqa: BLE001 - see boundaries.toml
            self._broken(fd, err)

    def _broken(self, fd: int, err: Exception) -> None:
        if self._failed is None:
            raise err
        self.remove(fd)
        self._failed(fd, err)

    def close(self) -> None:
        """Give the descriptors back; after ``run``."""
        self.remove(self._wake_in.fileno())
        self._wake_in.close()
        self._wake_out.close()
        self._poller.close()
