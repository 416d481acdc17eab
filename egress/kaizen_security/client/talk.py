"""Talk: a conversation with the sidecar, without input or output. Threads and event loops carry the same one.

A generator yields what it wants and is sent what came of it: an ``Exchange`` gives the answer's document (or raises KaizenError),
a ``Turn`` and a ``Pause`` give nothing. Whoever carries it throws into it whatever ended the wait, a cancellation too, so that it
can clean up.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TypeAlias, TypeVar

from kaizen_security.client.http import Pool
from kaizen_security.client.sole import Sole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request with JSON both ways. ``within``: seconds for all of it."""

    method: str
    path: str
    document: Json = None
    within: float
    idempotent: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """The lock, within that many seconds; the talk releases it."""

    lock: Sole
    within: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing, for that many seconds."""

    seconds: float


Wanted: TypeAlias = "Exchange | Turn | Pause"
Talk: TypeAlias = "Generator[Wanted, Json, T]"


def carried(talk: Talk[T], pool: Pool, headers: Mapping[str, str]) -> T:
    """What the talk comes to, carried in the calling thread over ``pool``. Raises what the talk raises."""
    try:
        wanted = next(talk)
        while True:
            try:
                answer = _done(wanted, pool, headers)
            except BaseException as err:  # noqa: BLE001  # handed to the talk, which cleans up and raises it again
                wanted = talk.throw(err)
            else:
                wanted = talk.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


def _done(wanted: Wanted, pool: Pool, headers: Mapping[str, str]) -> Json:
    if isinstance(wanted, Pause):
        sleep(max(wanted.seconds, 0.0))
        return None
    if isinstance(wanted, Turn):
        if not wanted.lock.acquire(wanted.within):
            raise not_taken(wanted)
        return None
    return pool.json(wanted.method, wanted.path, wanted.document, headers, wanted.within, idempotent=wanted.idempotent)


def not_taken(turn: Turn) -> Unreachable:
    """The error of a turn that did not come in time."""
    return Unreachable(f"the sidecar took no steps for {turn.within:g} s")


def left(until: float) -> float:
    """Seconds until ``until`` on the monotonic clock, negative when it has passed."""
    return until - monotonic()
