"""Hosted: servers that speak over standard input and output, started by the gateway, one process for each session.

Seen from the gateway it is a server over Streamable HTTP with sessions (2025-03-26 to 2025-11-25): a request opens a stream that
ends with its reply, what the server sends by itself goes to a stream that is open, and ``DELETE`` ends the process. Without a
session only ``initialize`` is taken, so clients of the era without sessions fall back to it.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from kaizen_security.contract.errors import Unreachable
from kaizen_security.mcp import answers
from kaizen_security.mcp.frames import LIMITS, Id, Message, Shape, Unreadable, read, read_cut
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.lines import Line, Lines

MAX_SESSIONS = 64
"""Processes of one server; the one used longest ago makes room."""
MAX_KEPT, MAX_KEPT_BYTES = 256, 16 << 20
"""Messages that a server sent by itself and that nobody has taken yet, and their bytes, if they are several; what comes on top is
lost.
"""
AT_ONCE = 64 << 10
GRACE = 1.5
"""Seconds that a server gets to end after the end of its input."""

_Said = bytes | Large


class Returned:
    """An answer of a hosted server: a status, and events as they come where there are any."""

    def __init__(self, status: int, stream: _Stream | None = None, *, session: str = "", body: bytes = b"") -> None:
        self.status = status
        self.headers = {"content-type": "text/event-stream" if stream else "application/json"}
        if session:
            self.headers["mcp-session-id"] = session
        self._stream, self._body = stream, body

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        if self._body:
            yield self._body
        if self._stream is None:
            return
        while (said := await self._stream.take()) is not None:
            if isinstance(said, bytes):
                yield b"event: message\ndata: " + said + b"\n\n"
                continue
            yield b"event: message\ndata: "
            for chunk in said.chunks():
                yield chunk
            said.close()
            yield b"\n\n"

    def close(self) -> None:
        """Nobody listens any more."""
        if self._stream is not None:
            self._stream.close()


def _size(said: _Said | None) -> int:
    """Its bytes, in memory or, if it is large, on disk."""
    return 0 if said is None else said.size if isinstance(said, Large) else len(said)


class _Stream:
    """Where messages go: those that answer ``ids``, until there is none left; None in ``said`` is its end."""

    def __init__(self, session: _Session, ids: Iterable[Id]) -> None:
        self.said: asyncio.Queue[_Said | None] = asyncio.Queue()
        self.ids = set(ids)
        self._session = session
        self._waiting = 0

    def has_room(self, said: _Said) -> bool:
        """Whether a message that nobody asked for may wait here, with those that wait already."""
        room = not self._waiting or self._waiting + _size(said) <= MAX_KEPT_BYTES
        return room and self.said.qsize() < MAX_KEPT

    def put(self, said: _Said) -> None:
        """Let a message wait for who listens."""
        self._waiting += _size(said)
        self.said.put_nowait(said)

    async def take(self) -> _Said | None:
        """The next message, None at the end."""
        said = await self.said.get()
        self._waiting -= _size(said)
        return said

    def close(self) -> None:
        """Take it out of its session."""
        self._session.left(self)
        while not self.said.empty():
            said = self.said.get_nowait()
            if isinstance(said, Large):
                said.close()


class _Session:
    """One process of the server, and the streams that its client listens on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.streams: set[_Stream] = set()
        self._kept = _Stream(self, ())
        self._listening: _Stream | None = None
        self.reading = asyncio.create_task(self._read())

    def ask(self, ids: Iterable[Id]) -> _Stream:
        """A stream that ends with the replies to these requests."""
        stream = _Stream(self, ids)
        self.streams.add(stream)
        return stream

    def listen(self) -> _Stream:
        """The stream of what the server sends by itself; another one ends the one before."""
        if self._listening is not None:
            self._listening.said.put_nowait(None)
        self._listening, self._kept = self._kept, _Stream(self, ())
        return self._listening

    def left(self, stream: _Stream) -> None:
        """Nobody listens there any more: what the server sends by itself is kept for who listens next."""
        self.streams.discard(stream)
        if self._listening is stream:
            self._listening = None

    async def write(self, body: bytes) -> None:
        """Send it one message. Raises Unreachable."""
        assert self.process.stdin is not None
        try:
            # Over HTTP a message may stand on several lines; no text in it can hold a line end.
            self.process.stdin.write(body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
            await self.process.stdin.drain()
        except (OSError, RuntimeError) as err:
            raise Unreachable(f"the server has ended: {type(err).__name__}") from err

    async def _read(self) -> None:
        assert self.process.stdout is not None
        lines, large = Lines(LIMITS.frame), None
        try:
            while data := await self.process.stdout.read(AT_ONCE):
                for line in lines.feed(data):
                    if isinstance(line, Line):
                        self._route(line.data, line.data)
                        continue
                    large = large or Large(LIMITS)
                    large.feed(line.data)
                    if line.last:
                        self._route_large(large)
                        large = None
        finally:
            if large is not None:
                large.close()
            self._end()

    def _route(self, line: bytes, said: _Said) -> None:
        try:
            self._give(read(line).messages, said)
        except Unreadable:
            # The relay drops it too; it only has to be counted there.
            self._give((), said)

    def _route_large(self, large: Large) -> None:
        try:
            self._give(read_cut(large.skeleton()).messages, large)
        except Unreadable:
            large.close()

    def _give(self, messages: Sequence[Message], said: _Said) -> None:
        answered = {one.id for one in messages if one.shape is Shape.REPLY and one.id is not None}
        for stream in tuple(self.streams):
            if stream.ids & answered:
                stream.put(said)
                stream.ids -= answered
                if not stream.ids:
                    stream.said.put_nowait(None)
                    self.streams.discard(stream)
                return
        open_ = self._listening or next(iter(self.streams), None)
        place = open_ or self._kept
        if isinstance(said, Large) and (open_ is None or not place.has_room(said)):
            said.close()
        elif place.has_room(said):
            place.put(said)

    def _end(self) -> None:
        """The server has ended: whoever waits is told."""
        for stream in tuple(self.streams):
            for id_ in stream.ids:
                stream.put(answers.error(id_, answers.REFUSED, "Kaizen: the server has ended"))
            stream.said.put_nowait(None)
        self.streams.clear()
        if self._listening is not None:
            self._listening.said.put_nowait(None)

    async def close(self) -> None:
        """End the process: its input first, then by force."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), GRACE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self.reading


class Hosted:
    """One server. ``environment`` is all that its processes get."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def send(self, method: str, headers: Mapping[str, str], body: bytes | None) -> Returned:
        """What a server over HTTP would answer. Raises Unreachable."""
        name = headers.get("mcp-session-id", "")
        session = self._sessions.get(name)
        if name and (session is None or session.reading.done()):
            self._sessions.pop(name, None)
            return Returned(404)
        if session is not None:
            self._sessions.move_to_end(name)
        if method == "DELETE":
            if session is None:
                return Returned(400)
            del self._sessions[name]
            await session.close()
            return Returned(200)
        if method == "GET":
            return Returned(200, session.listen()) if session is not None else Returned(400)
        messages = read(body or b"", lined=False).messages
        if session is None:
            if [one.method for one in messages] != ["initialize"]:
                said = answers.error(
                    messages[0].id, -32000, "Bad Request: this server needs a session; initialize first"
                )
                return Returned(400, body=said)
            name, session = await self._begin()
        ids = [one.id for one in messages if one.shape is Shape.REQUEST and one.id is not None]
        stream = session.ask(ids) if ids else None
        try:
            await session.write(body or b"")
        except Unreachable:
            if stream is not None:
                stream.close()
            raise
        return Returned(200, stream, session=name) if stream else Returned(202)

    async def _begin(self) -> tuple[str, _Session]:
        while len(self._sessions) >= MAX_SESSIONS:
            await self._sessions.popitem(last=False)[1].close()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment,
            )
        except OSError as err:
            raise Unreachable(f"the server cannot be started: {err.strerror}") from err
        name = os.urandom(16).hex()
        self._sessions[name] = _Session(process)
        return name, self._sessions[name]

    async def close(self) -> None:
        """End every process."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))
        self._sessions.clear()
