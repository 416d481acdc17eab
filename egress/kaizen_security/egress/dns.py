"""Names to addresses off the loop's thread: a few resolver threads in front of the system's resolver, and a short cache."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from kaizen_security.egress.loop import Loop

THREADS = 8
MAX_CACHED = 4096
MAX_WAITING = 1024
"""Names that may be under way at once; more are refused at once, so that a flood of names cannot fill memory."""
TTL = 30.0
"""Seconds that an answer is used: ``getaddrinfo`` does not tell the record's own."""
FAILED_TTL = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that can be dialled: ``text`` as the system writes it, AF_INET or AF_INET6, ``scope`` of a link-local one."""

    family: int
    text: str
    scope: int = 0


Answer: TypeAlias = "tuple[Address, ...] | str"
"""Addresses in the order to try, or why there are none."""


def lookup(host: str) -> Answer:
    """Ask the system's resolver; blocks."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as err:
        return f"the name does not resolve ({getattr(err, 'strerror', None) or type(err).__name__})"
    seen: dict[Address, None] = {}
    for family, _, _, _, where in found:
        if family == socket.AF_INET:
            seen[Address(family=family, text=str(where[0]))] = None
        elif family == socket.AF_INET6:
            seen[Address(family=family, text=str(where[0]).partition("%")[0], scope=int(where[-1]))] = None
    return interleaved(tuple(seen)) or "the name has no address"


def interleaved(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """The resolver's order, but families by turns (RFC 8305 section 4): a broken one costs one attempt."""
    if not addresses:
        return ()
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    mixed = []
    for i in range(max(len(first), len(other))):
        mixed += first[i : i + 1] + other[i : i + 1]
    return tuple(mixed)


def literal(text: str) -> Address:
    """The address of a host that is one, in canonical form."""
    return Address(family=socket.AF_INET6 if ":" in text else socket.AF_INET, text=text)


class Resolver:
    """Answers on the loop's thread. ``ask`` is what the threads call, ``lookup`` by default."""

    def __init__(self, loop: Loop, *, ask: Callable[[str], Answer] = lookup, threads: int = THREADS) -> None:
        self._loop = loop
        self._ask = ask
        self._cache: dict[str, tuple[float, Answer]] = {}
        self._waiting: dict[str, list[Callable[[Answer], None]]] = {}
        self._names: SimpleQueue[str | None] = SimpleQueue()
        self._threads = threads
        self._started = 0
        self.evicted = 0
        self.refused = 0

    def resolve(self, host: str, done: Callable[[Answer], None]) -> None:
        """Call ``done`` with the answer: at once from the cache, else when a thread has it."""
        held = self._cache.get(host)
        if held is not None and held[0] > self._loop.now:
            done(held[1])
            return
        waiting = self._waiting.get(host)
        if waiting is not None:
            waiting.append(done)
            return
        if len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            done("too many names are being resolved")
            return
        self._waiting[host] = [done]
        if self._started < self._threads:
            self._started += 1
            threading.Thread(target=self._work, name=f"resolver-{self._started}", daemon=True).start()
        self._names.put(host)

    def _work(self) -> None:
        while (host := self._names.get()) is not None:
            answer = self._ask(host)
            self._loop.post(lambda host=host, answer=answer: self._answered(host, answer))  # type: ignore[misc]

    def _answered(self, host: str, answer: Answer) -> None:
        if len(self._cache) >= MAX_CACHED:
            # The oldest goes: dicts keep the order of insertion.
            del self._cache[next(iter(self._cache))]
            self.evicted += 1
        self._cache.pop(host, None)
        self._cache[host] = (self._loop.now + (FAILED_TTL if isinstance(answer, str) else TTL), answer)
        for done in self._waiting.pop(host, ()):
            done(answer)

    def close(self) -> None:
        """End the threads once they are idle. One that waits for the system's resolver is a daemon and holds nobody up."""
        for _ in range(self._started):
            self._names.put(None)
