"""Bytes both ways between two connected sockets, until both have said that they are done.

Reads of 64 KB until a direction turns bulk, then ``splice`` through one pipe that all tunnels of the process share: it is empty
whenever a function here returns, because what the receiver did not take is read back out of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from kaizen_security.egress.budgets import Budget, Metered, OverBudget
from kaizen_security.egress.loop import READ, WRITE, Loop
from kaizen_security.egress.wire import CHUNK, Wire

PIPE = 1 << 20
"""Bytes of the shared pipe, if the system grants them."""
ROUNDS = 4
"""Pipes full that one direction may move before the other connections get their turn."""
_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)


class Pipe:
    """The shared pipe; ``Pipe.make()`` is None where the system cannot splice, and then everything is copied."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.size = 65536
        with suppress(OSError, AttributeError):
            self.size = fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, PIPE)
        self.broken = False

    @classmethod
    def make(cls, *, splice: bool = True) -> Pipe | None:
        """A pipe, or None without ``os.splice`` (other systems) or when it is not wanted."""
        return cls() if splice and hasattr(os, "splice") else None

    def move(self, source: int, sink: int) -> tuple[int, bytes]:
        """Move up to a pipe full from ``source`` to ``sink``: how many bytes came (0: end), and those that ``sink`` did not take.

        Raises BlockingIOError when nothing has arrived, OSError when an end is broken (the pipe is empty then, too).
        """
        try:
            came = os.splice(source, self.into, self.size, flags=_FLAGS)
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise
            # This kernel has the call and will not do it for sockets (sandboxes). Copy from now on.
            self.broken = True
            raise BlockingIOError from err
        left = came
        try:
            while left:
                left -= os.splice(self.out, sink, left, flags=_FLAGS)
        except BlockingIOError:
            pass
        except OSError as err:
            if err.errno != errno.EINVAL:
                self._drain(left)
                raise
            self.broken = True
        return came, self._drain(left)

    def _drain(self, left: int) -> bytes:
        parts = []
        while left:
            part = os.read(self.out, left)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.out)
        os.close(self.into)


class Flow:
    """One direction of a tunnel."""

    __slots__ = ("bulk", "bytes", "ended", "finished", "metered", "other", "sink", "source")

    def __init__(self, source: Wire, sink: Wire, metered: Metered | None) -> None:
        self.metered = metered
        self.other: Flow | None = None
        self.source = source
        self.sink = sink
        self.bytes = 0
        self.bulk = False
        self.ended = False
        """The source has said FIN."""
        self.finished = False
        """And the sink has been told."""

    def push(self, data: bytes) -> None:
        """Send ``data`` on. Raises OSError, OverBudget."""
        self.bytes += len(data)
        if self.metered is not None:
            self.metered(len(data))
        self.sink.send(data)

    def pump(self, pipe: Pipe | None) -> bool:
        """Move what has arrived: whether anything else can happen next than before. Raises OSError, OverBudget."""
        if self.ended or self.sink.out:
            return True
        if self.bulk and pipe is not None and not pipe.broken:
            self._splice(pipe)
            return True
        data = self.source.recv()
        if data is None:
            return False
        if not data:
            self._end()
            return True
        self.bytes += len(data)
        if self.metered is not None:
            self.metered(len(data))
        self.bulk = len(data) == CHUNK
        return not self.sink.send(data)

    def _splice(self, pipe: Pipe) -> None:
        for _ in range(ROUNDS):
            try:
                came, left = pipe.move(self.source.fd, self.sink.fd)
            except BlockingIOError:
                return
            if not came:
                self._end()
                return
            self.bytes += came
            if left:
                self.sink.send(left)
            if self.metered is not None:
                self.metered(came)
            if left:
                return
            if came < CHUNK // 8:
                self.bulk = False
                return

    def _end(self) -> None:
        self.ended = True
        self.settle()

    def settle(self) -> None:
        """Pass the FIN on once everything before it has been sent."""
        if self.ended and not self.finished and not self.sink.out:
            self.finished = True
            if self.other is None or not self.other.finished:
                # Otherwise both are done, and closing tells the sink.
                self.sink.finish()


class Tunnel:
    """Two wires, two flows. ``done(how)`` is called once, after both wires are closed.

    ``peek`` is shown the client's first bytes before they go on: it answers what to do with them (see ``hello.Peek``).
    ``metered`` is told of the bytes up and down, where a budget limits them.
    """

    __slots__ = ("active", "client", "done", "down", "due", "idle", "loop", "origin", "over", "peek", "pipe", "up")

    def __init__(
        self,
        loop: Loop,
        client: Wire,
        origin: Wire,
        *,
        pipe: Pipe | None,
        idle: float,
        done: Callable[[str], None],
        peek: Callable[[bytes], bytes | None] | None = None,
        metered: tuple[Metered | None, Metered | None] = (None, None),
    ) -> None:
        self.loop = loop
        self.client = client
        self.origin = origin
        self.up = Flow(client, origin, metered[0])
        self.down = Flow(origin, client, metered[1])
        self.up.other, self.down.other = self.down, self.up
        self.pipe = pipe
        self.idle = idle
        self.due = loop.now + idle
        self.active = loop.now
        self.done: Callable[[str], None] | None = done
        self.peek = peek
        self.over: Budget | None = None
        """The budget that ended it."""

    def start(self, up: bytes = b"", down: bytes = b"") -> None:
        """Begin; ``up`` and ``down`` were already read from client and origin."""
        self.loop.watch(self)
        try:
            if down:
                self.down.push(down)
            if up:
                self._first(up)
        except OSError:
            self.end("reset", reset=True)
            return
        except OverBudget as err:
            self.over = err.budget
            self.end("over-budget", reset=True)
            return
        if self.done is not None:
            self._rest(begin=True)

    def _client_ready(self, events: int) -> None:
        self.active = self.loop.now
        try:
            if events & WRITE and self.client.out:
                self.client.flush()
                self.down.settle()
            changed = events != READ
            if events & READ:
                if self.peek is None:
                    changed |= self.up.pump(self.pipe)
                else:
                    changed |= self._peek_more()
        except OSError:
            self.end("reset", reset=True)
            return
        except OverBudget as err:
            self.over = err.budget
            self.end("over-budget", reset=True)
            return
        if changed and self.done is not None:
            self._rest()

    def _origin_ready(self, events: int) -> None:
        self.active = self.loop.now
        try:
            if events & WRITE and self.origin.out:
                self.origin.flush()
                self.up.settle()
            changed = events != READ
            if events & READ:
                changed |= self.down.pump(self.pipe)
        except OSError:
            self.end("reset", reset=True)
            return
        except OverBudget as err:
            self.over = err.budget
            self.end("over-budget", reset=True)
            return
        if changed and self.done is not None:
            self._rest()

    def _peek_more(self) -> bool:
        """As ``Flow.pump`` for the client's first bytes."""
        data = self.client.recv()
        if data is None:
            return False
        if data:
            self._first(data)
            return bool(self.origin.out)
        assert self.peek is not None
        held = self.peek(b"")
        self.peek = None
        if held:
            self.up.push(held)
        self.up._end()
        return True

    def _first(self, data: bytes) -> None:
        """The client's first bytes: pass on what ``peek`` lets go; it keeps the rest until it has seen enough."""
        if self.peek is None:
            self.up.push(data)
            return
        released = self.peek(data)
        if released is not None:
            self.peek = None
            if released:
                self.up.push(released)

    def _rest(self, *, begin: bool = False) -> None:
        """Wait for what can happen next; end when nothing can."""
        up, down = self.up, self.down
        if up.finished and down.finished:
            self.end("closed")
            return
        client, origin = self.client, self.origin
        mask = (0 if up.ended or origin.out else READ) | (WRITE if client.out else 0)
        if begin or mask != client.mask:
            client.wait(mask, self._client_ready)
        mask = (0 if down.ended or client.out else READ) | (WRITE if origin.out else 0)
        if begin or mask != origin.mask:
            origin.wait(mask, self._origin_ready)

    def expire(self, now: float) -> None:
        """Idle for too long, or (``peek`` still waiting) a hello that never ends."""
        if self.active + self.idle > now:
            self.due = self.active + self.idle
            return
        self.end("idle", reset=True)

    def detach(self) -> tuple[Wire, Wire] | None:
        """Let go of both wires, unread and unwatched, for somebody else to go on with; None once the origin has been heard."""
        if self.done is None or self.down.bytes or self.client.out or self.origin.out:
            return None
        self.done = self.peek = None
        self.loop.forget(self)
        self.client.wait(0, self._client_ready)
        self.origin.wait(0, self._origin_ready)
        self.up.other = self.down.other = None
        return self.client, self.origin

    def end(self, how: str, *, reset: bool = False) -> None:
        """Close both ends; once."""
        done, self.done = self.done, None
        if done is None:
            return
        self.loop.forget(self)
        self.client.close(reset=reset)
        self.origin.close(reset=reset)
        self.peek = None
        # No cycle is left for the collector to find.
        self.up.other = self.down.other = None
        done(how)
