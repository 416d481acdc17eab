"""``kaizen-mcp -- server command…``: the shim in front of a server that is spoken to over standard input and output.

Starts the server, passes on what is allowed, and lives exactly as long as it: the client's end of input ends the server's, signals
go to it, its exit status is ours, its error output is untouched. One thread a direction; a slow reader slows its writer and nobody
else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from kaizen_security.mcp.frames import LIMITS
from kaizen_security.mcp.lines import Line, Lines

if TYPE_CHECKING:
    from kaizen_security.mcp.desk import Desk
    from kaizen_security.mcp.large import Large

AT_ONCE = 64 << 10
GRACE = 1.5
"""Seconds that the server gets to end after a signal was passed on to it; clients wait 2 s before they kill."""
DRAIN = 1.0
"""Seconds that the output of a server that has ended is still read (a child of it may hold it open)."""


class Out:
    """A pipe that several threads write whole lines to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self.open = True

    def lines(self, lines: Iterable[bytes]) -> None:
        """Write each with its line feed. After the reader has gone, nothing."""
        if data := b"\n".join((*lines, b"")):
            self.pieces((data,))

    def pieces(self, pieces: Iterable[bytes]) -> None:
        """Write one line that comes in pieces, its line feed included."""
        with self._lock:
            for piece in pieces:
                if self.open:
                    self._write(piece)

    def _write(self, piece: bytes) -> None:
        try:
            written = os.write(self._fd, piece)
            if written == len(piece):
                return
            view = memoryview(piece)[written:]
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self.open = False

    def close(self) -> None:
        """No more from us."""
        with self._lock:
            if self.open:
                self.open = False
            os.close(self._fd)


class Shim:
    """One server process between our standard input and output. ``desk`` decides what crosses."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._over = os.pipe()
        self._signal = 0
        self._started = self._running = False
        # Before the server is there: one that we leave behind without a signal may never end.
        self._hear_signals()
        self.process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment), bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._started = True
        if self._signal:
            self._give_up()
        self._from_server = self.process.stdout.fileno()
        self._to_server = Out(os.dup(self.process.stdin.fileno()))
        self.process.stdin.close()
        self._to_client = Out(os.dup(1))

    def _hear_signals(self) -> None:
        # The kernel may give a signal to another thread than this one, whose read it then does not interrupt.
        if sys.platform != "win32":
            os.set_blocking(self._over[1], False)
        signal.set_wakeup_fd(self._over[1], warn_on_full_buffer=False)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            signal.signal(getattr(signal, name), self._pass_on)

    def run(self, desk: Desk) -> int:
        """Carry until one side has ended; the server's exit status (128 and the signal's number when one ended it)."""
        self._running = True
        down = threading.Thread(target=self._carry, args=(self._down, desk), name="kaizen-mcp-down", daemon=True)
        for thread in (
            down,
            threading.Thread(target=self._carry, args=(self._up, desk), name="kaizen-mcp-up", daemon=True),
            threading.Thread(target=self._ended, name="kaizen-mcp-end", daemon=True),
        ):
            thread.start()
        # Not an Event: its lock is not this thread's twice, and a signal handler that sets it may find the thread about to wait.
        os.read(self._over[0], 1)
        try:
            status = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        down.join(DRAIN)
        return 128 - status if status < 0 else status

    def _carry(self, direction: Callable[[Desk], None], desk: Desk) -> None:
        done = False
        try:
            direction(desk)
            done = True
        finally:
            if not done:
                # A mistake of ours: a connection that is carried in one direction only is worse than none.
                self.process.kill()

    def _ended(self) -> None:
        self.process.wait()
        os.write(self._over[1], b".")

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        # Whoever ends us will not wait long: what does not end by its own then is ended.
        self._signal = number
        if self._running:
            self.process.send_signal(number)
            os.write(self._over[1], b".")
        elif self._started:
            self._give_up()

    def _give_up(self) -> None:
        """Ended before anything was carried: by its input's end alone the server might stay."""
        self.process.kill()
        raise SystemExit(128 + self._signal)

    # --- the client's lines

    def _up(self, desk: Desk) -> None:
        lines = Lines(LIMITS.request)
        large: Large | None = None
        while data := _read(0):
            for line in lines.feed(data):
                if isinstance(line, Line):
                    moves = desk.client(line.data)
                    if moves.to_server:
                        self._to_server.lines(moves.to_server)
                    if moves.to_client:
                        self._to_client.lines(moves.to_client)
                    continue
                large = large or _large()
                large.feed(line.data)
                if line.last:
                    self._to_client.lines(filter(None, (desk.too_large(large),)))
                    large.close()
                    large = None
        self._to_server.close()

    # --- the server's lines

    def _down(self, desk: Desk) -> None:
        lines = Lines(LIMITS.frame)
        large: Large | None = None
        while data := _read(self._from_server):
            for line in lines.feed(data):
                if isinstance(line, Line):
                    moves = desk.server(line.data)
                    if moves.to_client:
                        self._to_client.lines(moves.to_client)
                    if moves.to_server:
                        self._to_server.lines(moves.to_server)
                    continue
                large = large or _large()
                large.feed(line.data)
                if line.last:
                    self._pass_large(desk, large)
                    large = None

    def _pass_large(self, desk: Desk, large: Large) -> None:
        whole, instead = desk.large(large)
        if whole:
            self._to_client.pieces(_closed(large.chunks()))
        elif instead:
            self._to_client.lines((instead,))
        large.close()


def _closed(chunks: Iterable[bytes]) -> Iterable[bytes]:
    yield from chunks
    yield b"\n"


def _large() -> Large:
    from kaizen_security.mcp.large import Large

    return Large(LIMITS)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, AT_ONCE)
    except OSError:
        return b""
