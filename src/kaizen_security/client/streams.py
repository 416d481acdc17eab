"""Streams: talks with the sidecar for event loops, over the same bytes as ``client.http`` (``client.wire``).

Over plain sockets, which belong to no loop: one that an earlier loop of the process left is used by the next. An exchange that is
cancelled takes its socket with it, so no answer is ever read as that of another question. TLS needs a loop's own transports; a talk
over ``https`` is carried in a thread.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import weakref
from collections import deque
from collections.abc import Mapping
from json import JSONEncoder
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
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Streams:
    """``url``: the sidecar's. Safe for several event loops, one after the other or each in its own thread."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.place = place(url)
        self._headers = {"Accept": "application/json", **headers}
        self._pool = Pool(url)
        self._at_once: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Places] = weakref.WeakKeyDictionary()
        self._idle: deque[tuple[asyncio.AbstractEventLoop, socket.socket]] = deque()
        _LIVE.add(self)

    async def carry(self, talk: Talk[T]) -> T:
        """What the talk comes to. Raises what it raises; CancelledError when the task is cancelled, after it has cleaned up."""
        if self.place.scheme == "https":
            return await asyncio.to_thread(carried, talk, self._pool, self._headers)
        loop = asyncio.get_running_loop()
        slot = _Slot(self._places(loop))
        if not slot.is_taken():
            await slot.wait()  # before the talk begins: its deadline is the sidecar's, not that of our own queue
        try:
            wanted = next(talk)
            while True:
                try:
                    if isinstance(wanted, Exchange) and wanted.method != "GET":
                        answer = await self._exchange(loop, wanted)
                    else:
                        answer = await self._beside(loop, wanted, slot)
                except BaseException as err:  # noqa: BLE001  # handed to the talk, which cleans up and raises it again
                    wanted = talk.throw(err)
                else:
                    wanted = talk.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
        finally:
            slot.give()

    def _places(self, loop: asyncio.AbstractEventLoop) -> _Places:
        found = self._at_once.get(loop)
        if found is None:
            found = self._at_once[loop] = _Places()
        return found

    async def _beside(self, loop: asyncio.AbstractEventLoop, wanted: Wanted, slot: _Slot) -> Json:
        if isinstance(wanted, Turn):
            if not wanted.lock.acquire() and not await wanted.lock.wait(wanted.within):
                raise not_taken(wanted)
            return None
        # Waiting for a person must not keep others from asking.
        slot.give()
        answer = None
        if isinstance(wanted, Pause):
            await asyncio.sleep(wanted.seconds)
        else:
            answer = await self._exchange(loop, wanted)
        if not slot.is_taken():
            await slot.wait()
        return answer

    async def _exchange(self, loop: asyncio.AbstractEventLoop, wanted: Exchange) -> Json:
        data = self._written(wanted)
        until = loop.time() + max(wanted.within, 0.0)
        try:
            held = self._kept(loop)
            reply = None if held is None else await _once(self._idle, loop, held, data, until)
            if reply is None:
                if held is not None and not wanted.idempotent:
                    raise ConnectionResetError("the kept connection was closed, and the request may have been acted on")
                async with asyncio.timeout_at(until):
                    held = await _dialled(loop, self.place)
                reply = await _once(self._idle, loop, held, data, until)
            if reply is None:
                raise ConnectionResetError("closed without an answer")
        except TimeoutError as err:
            raise Unreachable(f"no answer from {self.place} within {wanted.within:g} s") from err
        except wire.Malformed as err:
            raise Unreachable(f"{self.place} answered with something else than HTTP: {err}") from err
        except OSError as err:
            raise Unreachable(f"cannot reach {self.place}: {why(err)}") from err
        return understood(reply.status, reply.body)

    def _written(self, wanted: Exchange) -> bytes:
        prefix = "" if self.place.scheme == "unix" else self.place.path
        body, headers = None, self._headers
        if wanted.document is not None:
            body = _encode(wanted.document).encode("utf-8", "replace")
            headers = {**headers, "Content-Type": "application/json"}
        return wire.request(wanted.method, prefix + wanted.path, self.place.authority, headers, body)

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


class _Places:
    """So many talks at a time in one loop; who finds none free waits, the first first.

    Not ``asyncio.Semaphore``: that, like ``asyncio.timeout`` and ``sock_recv`` around an exchange, leaves objects behind at every
    question, and it is then, while an agent waits, that the host's interpreter looks for garbage.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self) -> None:
        self._free = AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_taken(self) -> bool:
        """Whether one was free, and is taken now."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until one is handed on."""
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give()  # cancelled just after it was handed on
            raise

    def give(self) -> None:
        """Hand it on, or let it be free."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return
        self._free += 1


class _Slot:
    """A place among those who may talk at once; given back once, however often that is said."""

    __slots__ = ("_held", "_places")

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._held = False

    def is_taken(self) -> bool:
        """Take it, where that needs no waiting."""
        self._held = self._held or self._places.is_taken()
        return self._held

    async def wait(self) -> None:
        """Wait for it."""
        await self._places.wait(asyncio.get_running_loop())
        self._held = True

    def give(self) -> None:
        """Let the next one have it."""
        if self._held:
            self._held = False
            self._places.give()


async def _once(
    idle: deque[tuple[asyncio.AbstractEventLoop, socket.socket]],
    loop: asyncio.AbstractEventLoop,
    held: socket.socket,
    data: bytes,
    until: float,
) -> wire.Reply | None:
    """One exchange on the socket, which is ``idle`` again after it; None when the other side closed it before a byte of its answer.

    Raises TimeoutError when the loop's clock reaches ``until``.
    """
    reply = wire.Reply()
    whole = False
    try:
        sent = await _sent(loop, held, data, until)
        while not reply.done:
            if reply.started and loop.time() >= until:
                raise TimeoutError  # of an answer that drips, something is always there
            try:
                got = await _heard(loop, held, until)
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
        if whole and len(idle) < KEPT:
            idle.append((loop, held))
        else:
            held.close()
    return reply


async def _sent(loop: asyncio.AbstractEventLoop, held: socket.socket, data: bytes, until: float) -> bool:
    """Send everything; false when the other side stopped taking it, which may have said why (413) before. Raises TimeoutError."""
    try:
        try:
            done = held.send(data)
        except BlockingIOError:
            done = 0
        if done < len(data):
            async with asyncio.timeout_at(until):
                await loop.sock_sendall(held, data[done:])
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


async def _heard(loop: asyncio.AbstractEventLoop, held: socket.socket, until: float) -> bytes:
    """What arrives next, nothing at the end. Raises TimeoutError, OSError."""
    while True:
        heard: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(held, _wake, heard)
        except NotImplementedError:  # a completion port (Windows) has no readers
            async with asyncio.timeout_at(until):
                return await loop.sock_recv(held, _READ)
        timer = loop.call_at(until, _wake, heard)
        try:
            await heard
        finally:
            timer.cancel()
            loop.remove_reader(held)
        try:
            return held.recv(_READ)
        except BlockingIOError:
            if loop.time() >= until:
                raise TimeoutError from None


def _wake(heard: asyncio.Future[None]) -> None:
    if not heard.done():
        heard.set_result(None)


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
