"""Live verdicts as server-sent events (HTML Living Standard, section 9.2): bounded, resumable, and ended with the session."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

import anyio

from kaizen_security.contract.shares import permits
from kaizen_security.server.acts import Act, listed
from kaizen_security.server.console.filters import Filters
from kaizen_security.server.console.lines import act_line
from kaizen_security.server.console.pages import newest_id, today
from kaizen_security.server.console.render import fragment
from kaizen_security.server.context import Context
from kaizen_security.server.live import Subscription
from kaizen_security.store.base import Store, User, VerdictQuery, VerdictRow

SETTLE: Final = 0.25
"""Seconds between a verdict and a look into the store, so that a burst is one look."""
IDLE: Final = 3.0
"""Seconds after which a stream looks by itself: rows of another process wake nobody here."""
BURST: Final = 25
"""Verdicts of one look; of more, the newest are sent, and the page is told that some were left out."""
CHECK: Final = 1.5
"""Seconds after which it is asked again whether the session still is: another process may have ended it."""
BEAT: Final = 15.0
"""Seconds between two signs of life that keep a proxy from closing the connection."""
LONGEST: Final = 900.0
"""Seconds of one stream. The browser then connects again and resumes with Last-Event-ID."""
PER_PERSON: Final = 8
AT_ONCE: Final = 200
"""In all; of these one organisation has its share at the most."""


class TooManyStreams(Exception):
    """This person, or the whole server, follows as many streams as it may."""


class Streams:
    """Counts the open streams, of each person, of each organisation and in all."""

    def __init__(self) -> None:
        self._people: Counter[int] = Counter()
        self._organisations: Counter[int] = Counter()

    def permit(self, user: User) -> None:
        """Raises TooManyStreams where there is no room for one more of ``user``."""
        free = AT_ONCE - self._people.total()
        if self._people[user.id] >= PER_PERSON or not permits(self._organisations[user.organisation], free):
            raise TooManyStreams(f"at most {PER_PERSON} live pages of one person, {AT_ONCE} in all")

    @contextmanager
    def entered(self, user: User) -> Iterator[None]:
        """One more of ``user`` while the block lasts. To be entered by the stream itself: one that never begins never ends."""
        self._people[user.id] += 1
        self._organisations[user.organisation] += 1
        try:
            yield
        finally:
            self._people -= Counter({user.id: 1})
            self._organisations -= Counter({user.organisation: 1})


class _Woken(Enum):
    """Why a stream goes on: there may be something new; nothing was said for a while; its session or the server ends."""

    ROWS = auto()
    NOTHING = auto()
    END = auto()


async def follow(
    context: Context,
    organisation: int,
    chosen: Filters,
    *,
    after: str,
    session: str,
    alive: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Events for every verdict newer than the row ``after`` that ``chosen`` lets through, oldest first.

    The broadcaster only wakes: what is sent comes from the store by the page's own query, so that nothing is missed.
    Ends after LONGEST seconds, when the server stops, and with the ``session`` (its hash): at once when it ends in this process,
    else within CHECK seconds, when ``alive`` (is it still valid) says no.
    """
    yield "retry: 2000\n\n"
    started = looked = beaten = checked = context.clock()
    woken = _Woken.ROWS
    with context.live.subscribe(organisation, session) as subscription:
        while (now := context.clock()) - started < LONGEST:
            if woken is _Woken.END or now - checked >= CHECK:
                checked = now
                if not await alive():
                    yield event("signed-out", "")
                    return
                if woken is _Woken.END:
                    return
            if woken is _Woken.ROWS or now - looked >= IDLE:
                looked = now
                query = chosen.query(now, limit=BURST + 1, after=after)
                found, head = await context.call(_look, context.store, organisation, query, now)
                if len(found) > BURST:
                    yield event("skipped", "")
                for row, act in reversed(found[:BURST]):
                    yield verdict_event(row, act, chosen, now)
                if head != after:
                    counts = await context.call(today, context.store, organisation, now)
                    yield event("today", fragment("today.html", today=counts))
                after = max(after, head, *(row.id for row, _ in found[:1]))
            if now - beaten >= BEAT:
                beaten = now
                # An id without data: the browser resumes from here and never asks for what was looked through already.
                yield f"id: {after}\n\n" if after else ": still here\n\n"
            woken = await _woken(subscription)


def _look(
    store: Store, organisation: int, query: VerdictQuery, now: float
) -> tuple[tuple[tuple[VerdictRow, Act], ...], str]:
    # The newest of all first: what is committed in between is then found by the query, or by the next look.
    head = newest_id(store, organisation)
    return tuple(zip(*listed(store, organisation, query, now), strict=True)), head


async def _woken(subscription: Subscription | None) -> _Woken:
    """Wait until there may be something new, or CHECK seconds."""
    if subscription is None:
        await anyio.sleep(CHECK)
        return _Woken.NOTHING
    try:
        if await subscription.next(within=CHECK) is None:
            return _Woken.END
    except TimeoutError:
        return _Woken.NOTHING
    await anyio.sleep(SETTLE)
    # One look sees everything that has come meanwhile.
    return _Woken.ROWS if subscription.drain() else _Woken.END


def verdict_event(row: VerdictRow, act: Act, chosen: Filters, now: float) -> str:
    """One act, of which ``row`` is new, as the line that the page puts on top in place of the act's old one."""
    query = chosen.address("")
    return event("verdict", fragment("row.html", line=act_line(act, now), query=query, opened=""), id_=row.id)


def event(name: str, data: str, *, id_: str = "") -> str:
    """One event. Line ends in ``data`` each begin a new ``data:`` line, so that nothing in it can forge a field."""
    head = f"id: {id_}\n" if id_ else ""
    body = "".join(f"data: {text}\n" for text in data.splitlines() or [""])
    return f"{head}event: {name}\n{body}\n"
