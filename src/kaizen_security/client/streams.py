"""Streams: talks with the sidecar for event loops, over the same bytes as ``client.http`` (``client.wire``).

Over plain sockets, which belong to no loop: one that an earlier loop of the process left is used by the next. An exchange that is
cancelled takes its socket with it, so no answer is ever read as that of another question. TLS needs a loop's own transports; a talk
over ``https`` is carried in a thread.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import TypeVar

from kaizen_security.client import forks, wire
from kaizen_security.client.dial import KNOCK, NO_UNIX, Place, place
from kaizen_security.client.http import Pool, understood, why
from kaizen_security.client.talk import Exchange, Pause, Talk, Turn, Wanted, carried, not_taken
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured, Unreachable

T = TypeVar("T")

AT_ONCE = 16
"""Talks at a time in one event loop; a thousand parallel tasks must not make the sidecar late for each other."""
KEPT = 8
"""Sockets that are kept between questions."""
_READ = 64 << 10
_LOOK = 0.001
"""Seconds between two looks at a lock that a thread holds."""


class Streams:
    """``url``: the sidecar's. Safe for several event loops, one after the other or each in its own thread."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.place = place(url)
        self._headers = {"Accept": "application/json", **headers}
        self._pool = Pool(url)
        self._at_once: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._idle: deque[tuple[asyncio.AbstractEventLoop, socket.socket]] = deque()
        _LIVE.add(self)

    async def carry(self, talk: Talk[T]) -> T:
        """What the talk comes to. Raises what it raises; CancelledError when the task is cancelled, after it has cleaned up."""
        if self.place.scheme == "https":
            return await asyncio.to_thread(carried, talk, self._pool, self._headers)
        slot = _Slot(self._slots(asyncio.get_running_loop()))
        await slot.take()  # before the talk begins: its deadline is the sidecar's, not that of our own queue
        try:
            wanted = next(talk)
            while True:
                try:
                    answer = await self._in_turn(wanted, slot)
                except BaseException as err:  # noqa: BLE001  # handed to the talk, which cleans up and raises it again
                    wanted = talk.throw(err)
                else:
                    wanted = talk.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
        finally:
            slot.give()

    def _slots(self, loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
        found = self._at_once.get(loop)
        if found is None:
            found = self._at_once[loop] = asyncio.Semaphore(AT_ONCE)
        return found

    async def _in_turn(self, wanted: Wanted, slot: _Slot) -> Json:
        if not isinstance(wanted, Pause) and (isinstance(wanted, Turn) or wanted.method != "GET"):
            return await self._done(wanted)
        # Waiting for a person must not keep others from asking.
        slot.give()
        answer = await self._done(wanted)
        await slot.take()
        return answer

    async def _done(self, wanted: Wanted) -> Json:
        if isinstance(wanted, Pause):
            await asyncio.sleep(wanted.seconds)
            return None
        if isinstance(wanted, Turn):
            await _taken(wanted.lock, wanted)
            return None
        try:
            async with asyncio.timeout(max(wanted.within, 0.0)):
                reply = await self._exchange(wanted)
        except TimeoutError as err:
            raise Unreachable(f"no answer from {self.place} within {wanted.within:g} s") from err
        except wire.Malformed as err:
            raise Unreachable(f"{self.place} answered with something else than HTTP: {err}") from err
        except OSError as err:
            raise Unreachable(f"cannot reach {self.place}: {why(err)}") from err
        return understood(reply.status, reply.body)

    async def _exchange(self, wanted: Exchange) -> wire.Reply:
        prefix = "" if self.place.scheme == "unix" else self.place.path
        body, headers = None, self._headers
        if wanted.document is not None:
            body = json.dumps(wanted.document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
            headers = {**headers, "Content-Type": "application/json"}
        data = wire.request(wanted.method, prefix + wanted.path, self.place.authority, headers, body)
        loop = asyncio.get_running_loop()
        held = self._kept(loop)
        if held is not None:
            reply = await self._once(loop, held, data)
            if reply is not None:
                return reply
            if not wanted.idempotent:
                raise ConnectionResetError("the kept connection was closed, and the request may have been acted on")
        reply = await self._once(loop, await _dialled(loop, self.place), data)
        if reply is None:
            raise ConnectionResetError("closed without an answer")
        return reply

    async def _once(self, loop: asyncio.AbstractEventLoop, held: socket.socket, data: bytes) -> wire.Reply | None:
        """One exchange on the socket; None when the other side closed it before a byte of its answer."""
        reply = wire.Reply()
        whole = False
        try:
            try:
                await loop.sock_sendall(held, data)
                sent = True
            except OSError:
                sent = False  # it may have said why (413) before it stopped taking it
            while not reply.done:
                try:
                    got = await loop.sock_recv(held, _READ)
                except ConnectionError:
                    if reply.started:
                        raise
                    return None
                if got:
                    reply.feed(got)
                elif reply.started:
                    reply.end()
                else:
                    return None
            whole = sent and reply.reusable
        finally:
            if whole and len(self._idle) < KEPT:
                self._idle.append((loop, held))
            else:
                held.close()
        return reply

    def _kept(self, loop: asyncio.AbstractEventLoop) -> socket.socket | None:
        """A socket that nobody has closed. A readable idle one is closed, or out of step."""
        while self._idle:
            try:
                whose, held = self._idle.pop()
            except IndexError:
                return None  # another thread was quicker
            # A completion port, once it has had a socket, does not give it to another loop's.
            if whose is loop or sys.platform != "win32":
                try:
                    held.recv(1)
                except BlockingIOError:
                    return held
                except OSError:
                    pass
            held.close()
        return None

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[1].close()
        self._pool.close()

    def _after_fork(self) -> None:
        """In the child: the sockets are the parent's, and closing our copies leaves them to it."""
        self.close()


class _Slot:
    """A place among those who may talk at once; given back once, however often that is said."""

    __slots__ = ("_held", "_places")

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        """Wait for it."""
        await self._places.acquire()
        self._held = True

    def give(self) -> None:
        """Let the next one have it."""
        if self._held:
            self._held = False
            self._places.release()


async def _taken(lock: threading.Lock, turn: Turn) -> None:
    """Take a lock that threads use too, without holding up the loop. It is held for one exchange at the most."""
    until = asyncio.get_running_loop().time() + turn.within
    while not lock.acquire(blocking=False):
        if asyncio.get_running_loop().time() >= until:
            raise not_taken(turn)
        await asyncio.sleep(_LOOK)


async def _dialled(loop: asyncio.AbstractEventLoop, where: Place) -> socket.socket:
    """A connected socket. Raises OSError, Misconfigured where there are no Unix sockets."""
    if where.scheme == "unix":
        family = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise Misconfigured(NO_UNIX)
        while True:
            try:
                return await _connected(loop, family, where.path)
            except BlockingIOError:
                await asyncio.sleep(KNOCK)
    failure = OSError(f"the name {where.host} has no address")
    for family, _, _, _, address in await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM):
        try:
            return await _connected(loop, family, address)
        except OSError as err:
            failure = err
    raise failure


async def _connected(loop: asyncio.AbstractEventLoop, family: int, address: object) -> socket.socket:
    held = socket.socket(family, socket.SOCK_STREAM)
    connected = False
    try:
        held.setblocking(False)
        if family == getattr(socket, "AF_UNIX", None):
            # At once or not at all: a loop would take the error of a full queue for a connection that is under way.
            held.connect(address)  # type: ignore[arg-type]  # its shape is the family's own
        else:
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(held, address)  # type: ignore[arg-type]
        connected = True
    finally:
        if not connected:
            held.close()
    return held


_LIVE = forks.alive(Streams)
