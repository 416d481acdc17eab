"""Dial: from a host and a port to a connected socket, deciding on each address just before it is dialled.

What was decided on is what is dialled: the address comes from one answer and is not asked for again.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from kaizen_security.egress.dns import Address, Answer, Resolver, literal
from kaizen_security.egress.gate import Gate
from kaizen_security.egress.loop import WRITE, Loop
from kaizen_security.egress.rules import Refusal, Rules
from kaizen_security.egress.wire import Wire

ATTEMPT = 2.0
"""Seconds for an address while there is another one to try."""


_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
_STREAM = socket.SOCK_STREAM | _NONBLOCK
"""A socket that is born non-blocking saves a system call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nobody was reached: ``status`` 502 or 504, ``ended`` in one word for the report, ``problem`` in words for the client."""

    status: int
    ended: str
    problem: str


NO_ADDRESS = Failed(status=502, ended="no-address", problem="the name has no address")


@dataclass(slots=True)
class Reached:
    """A connected socket and the address it is connected to."""

    wire: Wire
    address: str


class Origin:
    """A connection to an origin, kept for the client's next request to the same one.

    ``gate`` and ``rules``: by which name and address of the last request were decided on.
    """

    __slots__ = ("address", "gate", "key", "rules", "wire")

    def __init__(self, wire: Wire, key: tuple[str, str, int], address: str) -> None:
        self.wire = wire
        self.key = key
        self.address = address
        self.gate: Gate | None = None
        self.rules: Rules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What dialling needs: the loop, the resolver, the gate, the owner's ``hosts`` map, and seconds for all attempts together."""

    loop: Loop
    resolver: Resolver
    gate: Gate
    hosts: Mapping[tuple[str, int], tuple[str, int]]
    timeout: float


class Dial:
    """One dialling. ``done`` is called once, ``begun`` when a first address passed and is about to be dialled."""

    __slots__ = (
        "_address",
        "_agent",
        "_begun",
        "_done",
        "_end",
        "_last",
        "_left",
        "_mapped",
        "_means",
        "_port",
        "_sock",
        "_where",
        "due",
    )

    def __init__(
        self, means: Means, agent: str, done: Callable[[Reached | Failed | Refusal], None], begun: Callable[[str], None]
    ) -> None:
        self._means = means
        self._agent = agent
        self._port = 0
        self._mapped = False
        self._left: list[Address] = []
        self._sock: socket.SocketType | None = None
        self._where: tuple[object, ...] = ()
        self._address = ""
        self._done: Callable[[Reached | Failed | Refusal], None] | None = done
        self._begun: Callable[[str], None] | None = begun
        self._last: Failed | Refusal = NO_ADDRESS
        self._end = self.due = means.loop.now + means.timeout

    def start(self, host: str, port: int) -> None:
        """``host`` is canonical."""
        self._means.loop.watch(self)
        hosts = self._means.hosts
        given = hosts.get((host, port)) or hosts.get((host, 0))
        if given is not None:
            self._mapped = True
            host, port = given[0], given[1] or port
        self._port = port
        if ":" in host or host.rpartition(".")[2].isdigit():
            self._resolved((literal(host),))
        else:
            self._means.resolver.resolve(host, self._resolved)

    def _resolved(self, answer: Answer) -> None:
        if self._done is None:
            return
        if isinstance(answer, str):
            self._finish(Failed(status=502, ended="dns-failed", problem=answer))
            return
        self._left = list(answer)
        self._next()

    def _next(self) -> None:
        while self._left:
            address = self._left.pop(0)
            refusal = self._means.gate.address(self._agent, address.text, self._port, mapped=self._mapped)
            if refusal is not None:
                self._last = refusal
            elif self._connect(address):
                return
        self._finish(self._last)

    def _connect(self, address: Address) -> bool:
        """True when it is under way (or already done)."""
        self._address = address.text
        if self._begun is not None:
            begun, self._begun = self._begun, None
            begun(address.text)
        loop = self._means.loop
        self._where = (
            (address.text, self._port)
            if address.family == socket.AF_INET
            else (address.text, self._port, 0, address.scope)
        )
        try:
            self._sock = sock = socket.SocketType(address.family, _STREAM, socket.IPPROTO_TCP)
            if not _NONBLOCK:
                sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            problem = sock.connect_ex(self._where)
            if problem == errno.EINPROGRESS:
                # What is near has answered by now: asking once more is cheaper than to be told.
                problem = sock.connect_ex(self._where)
        except OSError as err:
            problem = err.errno or errno.EIO
        if problem in (0, errno.EISCONN):
            self._sock = None
            self._finish(Reached(wire=Wire(loop, sock), address=self._address))
            return True
        if problem not in (errno.EALREADY, errno.EINPROGRESS):
            self._unreachable(problem)
            return False
        self.due = min(self._end, loop.now + ATTEMPT) if self._left else self._end
        loop.add(sock.fileno(), WRITE, self._ready)
        return True

    def _ready(self, events: int) -> None:
        assert self._sock is not None
        # Asking again tells apart "connected", "failed" and an event meant for an earlier socket of that number.
        problem = self._sock.connect_ex(self._where)
        if problem in (errno.EALREADY, errno.EINPROGRESS):
            return
        if problem not in (0, errno.EISCONN):
            self._drop()
            self._unreachable(problem)
            self._next()
            return
        sock, self._sock = self._sock, None
        wire = Wire(self._means.loop, sock)
        wire.mask = WRITE
        self._finish(Reached(wire=wire, address=self._address))

    def _unreachable(self, problem: int) -> None:
        self._last = Failed(
            status=504 if problem == errno.ETIMEDOUT else 502,
            ended="origin-refused" if problem == errno.ECONNREFUSED else "unreachable",
            problem=f"no connection to the address the name resolves to ({os.strerror(problem)})",
        )
        self._drop()

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._means.loop.remove(sock.fileno())
            with suppress(OSError):
                sock.close()

    @property
    def fd(self) -> int:
        """The descriptor under way, -1 when there is none."""
        return -1 if self._sock is None else self._sock.fileno()

    def expire(self, now: float) -> None:
        """This attempt, or all of them, took too long."""
        self._drop()
        self._last = Failed(status=504, ended="connect-timeout", problem="the destination does not answer")
        if now < self._end and self._left:
            self._next()
        else:
            self._finish(self._last)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._done = None
        self._drop()
        self._means.loop.forget(self)

    def _finish(self, result: Reached | Failed | Refusal) -> None:
        done, self._done = self._done, None
        self._means.loop.forget(self)
        if done is None:
            if isinstance(result, Reached):
                result.wire.close()
            return
        done(result)
