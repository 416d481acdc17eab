"""Destinations of exports as API and console use them: made, changed, shown, tested, deleted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Unreachable
from kaizen_security.contract.fields import MAX_NAME, boolean, rfc3339, text
from kaizen_security.exports import destinations
from kaizen_security.exports.base import Destination
from kaizen_security.exports.vault import Vault
from kaizen_security.net import outbound
from kaizen_security.runtime.clock import Clock, new_id
from kaizen_security.runtime.outbox import Outbox, Outcome
from kaizen_security.server.http import too_many
from kaizen_security.server.settings import Settings
from kaizen_security.store.base import Store
from kaizen_security.store.exported import Export, Lag, Which

T = TypeVar("T")

_TESTS = 4
"""Test deliveries, and looks at where an address leads, at a time: each may take a deadline."""
_TESTS_OF_ONE = _TESTS // 2
"""Those of one organisation, so that its slow receivers keep nobody else waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A destination and how far behind it is."""

    export: Export
    lag: Lag


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Of all exports, by kind: what came of deliveries, rows that wait, age of the oldest in seconds, rows put aside."""

    outcomes: dict[tuple[str, str], int]
    pending: dict[str, int]
    lag: dict[str, float]
    parked: dict[str, int]


class ServerExports:
    """Every method that a request needs; all wait beside the event loop. ``outbox`` is None when the server has no vault."""

    def __init__(self, store: Store, clock: Clock, executor: Executor, settings: Settings) -> None:
        self._store = store.exports
        self._clock = clock
        self._executor = executor
        self._settings = settings
        self._calls = ThreadPoolExecutor(_TESTS, thread_name_prefix="export-test")
        self._calling: Counter[int] = Counter()
        self._lock = threading.Lock()
        self.outbox: Outbox | None = None
        if settings.vault is not None:
            self.outbox = Outbox(store.exports, settings.vault, clock=clock, permitted=settings.permitted)

    async def start(self) -> None:
        """Begin to deliver."""
        await self._renew()

    async def close(self) -> None:
        """Stop delivering; what was not told waits in the store."""
        if self.outbox is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.outbox.close)
        self._calls.shutdown(wait=False, cancel_futures=True)

    def wake(self, organisation: int) -> None:
        """Rows were committed."""
        if self.outbox is not None:
            self.outbox.wake(organisation)

    async def listing(self, organisation: int) -> list[Shown]:
        """An organisation's destinations, oldest first."""

        def look() -> list[Shown]:
            found = self._store.of(organisation)
            return [Shown(export=one, lag=self._store.lag(one)) for one in found]

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)

    async def one(self, organisation: int, export_id: str) -> Shown | None:
        """One destination."""

        def look() -> Shown | None:
            found = self._store.one(organisation, export_id)
            return None if found is None else Shown(export=found, lag=self._store.lag(found))

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)

    async def create(self, organisation: int, document: Mapping[str, Json]) -> Shown:
        """Make one as ``POST /v1/exports`` describes it. Raises InvalidInput, Misconfigured, LimitReached."""
        vault = self._vault()
        made = destinations.read_destination(document, number=new_id())
        await self._outward(organisation, made)
        seen = destinations.shown(made)
        name = text(document, "name", limit=MAX_NAME).strip() or str(seen["place"])[:MAX_NAME]
        which = read_which(document) or Which.FLAGS

        def keep() -> Export:
            return self._store.create(
                Export(
                    id=made.id,
                    organisation=organisation,
                    name=name,
                    kind=made.kind,
                    which=which,
                    sealed=destinations.seal(made, vault, organisation=organisation),
                    shown=seen,
                    created_at=self._clock(),
                )
            )

        kept = await asyncio.get_running_loop().run_in_executor(self._executor, keep)
        await self._renew()
        return Shown(export=kept, lag=Lag(pending=0, oldest_at=0.0))

    async def change(self, organisation: int, export_id: str, document: Mapping[str, Json]) -> Shown | None:
        """Change name, verdicts, enabled, secret or headers; what is absent stays. None when there is none.

        The URL cannot be changed: secrets that were given for one receiver would go to another. Raises InvalidInput, Misconfigured.
        """
        if document.get("url"):
            raise InvalidInput("url", "cannot be changed, or its secrets would go elsewhere; make another destination")
        found = await self.one(organisation, export_id)
        if found is None:
            return None
        export = found.export
        sealed, seen = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._resealed, export, document
        )
        enabled = None if document.get("enabled") is None else boolean(document, "enabled")
        name = text(document, "name", limit=MAX_NAME).strip() or None
        which = read_which(document)

        def keep() -> None:
            self._store.change(
                organisation, export_id, name=name, which=which, enabled=enabled, sealed=sealed, shown=seen
            )

        await asyncio.get_running_loop().run_in_executor(self._executor, keep)
        await self._renew()
        return await self.one(organisation, export_id)

    def _resealed(self, export: Export, document: Mapping[str, Json]) -> tuple[bytes | None, dict[str, Json] | None]:
        if document.get("secret") is None and document.get("headers") is None:
            return None, None
        vault = self._vault()
        before = destinations.unseal(
            export.sealed, vault, organisation=export.organisation, number=export.id, kind=export.kind
        )
        if before.kind == "slack":
            raise InvalidInput("secret", "is not for Slack, whose secret is the URL")
        after = before
        if document.get("secret") is not None:
            after = replace(after, secret=destinations.read_secret(document))
        if document.get("headers") is not None:
            after = replace(after, headers=destinations.read_headers(document))
        return destinations.seal(after, vault, organisation=export.organisation), destinations.shown(after)

    async def delete(self, organisation: int, export_id: str) -> bool:
        """Whether there was one."""
        done = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._store.delete, organisation, export_id
        )
        await self._renew()
        return done

    async def test(self, organisation: int, export_id: str) -> Outcome | None:
        """Send a test now; None when there is no such export. Raises Misconfigured."""
        self._vault()
        found = await self.one(organisation, export_id)
        if found is None or self.outbox is None:
            return None
        outbox, export = self.outbox, found.export
        return await self._call(organisation, lambda: outbox.test(export))

    async def retry(self, organisation: int, export_id: str) -> int:
        """Offer what was put aside again; how many rows that is."""
        number = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._store.unpark, organisation, export_id
        )
        await self._renew()
        return number

    async def health(self) -> Health:
        """How delivery goes, of all organisations together."""

        def look() -> Health:
            pending: Counter[str] = Counter()
            parked: Counter[str] = Counter()
            lag: dict[str, float] = {}
            now = self._clock()
            for one in self._store.every():
                found = self._store.lag(one)
                pending[one.kind] += found.pending
                parked[one.kind] += one.parked
                age = max(0.0, now - found.oldest_at) if found.pending else 0.0
                lag[one.kind] = max(lag.get(one.kind, 0.0), age)
            outcomes = {} if self.outbox is None else dict(self.outbox.outcomes)
            return Health(outcomes=outcomes, pending=dict(pending), lag=lag, parked=dict(parked))

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)

    def _vault(self) -> Vault:
        if self._settings.vault is None:
            raise Misconfigured("this server was started without a key for secrets, so it has no exports")
        return self._settings.vault

    async def _call(self, organisation: int, call: Callable[[], T]) -> T:
        # Counted until the thread is free, however long the caller waits.
        with self._lock:
            if self._calling[organisation] >= _TESTS_OF_ONE:
                raise too_many("this organisation makes or tests as many destinations as it may at a time", 1.0)
            self._calling[organisation] += 1

        def over(done: Future[T]) -> None:
            with self._lock:
                self._calling[organisation] -= 1

        under_way = self._calls.submit(call)
        under_way.add_done_callback(over)
        return await asyncio.wrap_future(under_way)

    async def _outward(self, organisation: int, made: Destination) -> None:
        # Refused here already where it points inwards; looked at again for every delivery, since names change.
        def look() -> None:
            try:
                outbound.check(made.url, permitted=self._settings.permitted)
            except Unreachable:
                return
            except Misconfigured as err:
                raise InvalidInput("url", f"cannot be used: {err} (kaizen server --permit-export)") from err

        await self._call(organisation, look)

    async def _renew(self) -> None:
        if self.outbox is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.outbox.changed)


def read_which(document: Mapping[str, Json]) -> Which | None:
    """``verdicts`` of a destination. Raises InvalidInput."""
    said = text(document, "verdicts", limit=16)
    if said not in ("", *Which):
        raise InvalidInput("verdicts", f"must be one of {', '.join(Which)}")
    return Which(said) if said else None


def document(found: Shown) -> dict[str, Json]:
    """A destination of ``GET /v1/exports``; its secrets are not in it."""
    export, lag = found.export, found.lag
    return {
        "id": export.id,
        "name": export.name,
        "kind": export.kind,
        "verdicts": export.which.value,
        **export.shown,
        "enabled": export.enabled,
        "created_at": rfc3339(export.created_at),
        "delivered": export.delivered,
        "last_delivered_at": rfc3339(export.delivered_at) or None,
        "pending": lag.pending,
        "oldest_pending_at": rfc3339(lag.oldest_at) or None,
        "failures": export.failures,
        "attempts": export.attempts,
        "next_attempt_at": rfc3339(export.next_at) or None,
        "problem": export.problem or None,
        "parked": export.parked,
    }
