"""The filters of the verdict page: from the address to a query, and back to an address. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.contract.verdict import Decision
from kaizen_security.store.base import Status, VerdictQuery

PAGE: Final = 50
"""Lines of one page."""
SPANS: Final = {"15m": 900.0, "1h": 3_600.0, "24h": 86_400.0, "7d": 604_800.0}
"""Seconds back from now that ``since`` may name."""
SOURCES: Final = ("sdk", "integration", "mcp", "egress", "ebpf")
MAX_Q: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A list to choose one from: ``options`` are (value, word)."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]
    chosen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the address says, checked; ``""`` means any. ``before`` is the id of the last line of the page before."""

    agent: str = ""
    decision: str = ""
    status: str = ""
    source: str = ""
    since: str = ""
    q: str = ""
    flagged: bool = False
    before: str = ""

    @property
    def any(self) -> bool:
        """Something is left out."""
        return bool(self.pairs())

    @property
    def searches(self) -> bool:
        """It asks for something that no index knows."""
        return bool(self.q or self.source)

    def pairs(self) -> dict[str, str]:
        """The parts that say something, without the place in the list."""
        named = {name: getattr(self, name) for name in ("q", "agent", "decision", "status", "source", "since")}
        named["flagged"] = "1" if self.flagged else ""
        return {name: value for name, value in named.items() if value}

    def address(self, path: str = "/verdicts", **more: str) -> str:
        """``path`` with these filters, ``more`` added."""
        pairs = self.pairs() | more
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def query(self, now: float, *, limit: int = PAGE, after: str = "") -> VerdictQuery:
        """The store's query; ``now`` in Unix seconds."""
        return VerdictQuery(
            agent=self.agent,
            decision=Decision(self.decision) if self.decision else None,
            status=Status(self.status) if self.status else None,
            source=self.source,
            flagged=True if self.flagged else None,
            since=_since(self.since, now),
            q=self.q,
            before=self.before,
            after=after,
            limit=limit,
        )

    def choices(self) -> tuple[Choice, ...]:
        """The closed choices of the form."""
        sources = SOURCES if self.source in ("", *SOURCES) else (*SOURCES, self.source)
        return (
            Choice(
                name="decision",
                label="Decision",
                options=(("", "Every decision"), ("block", "Blocked"), ("allow", "Allowed or flagged")),
                chosen=self.decision,
            ),
            Choice(
                name="source",
                label="Source",
                options=(("", "Every source"), *((source, source[:40]) for source in sources)),
                chosen=self.source,
            ),
            Choice(
                name="since",
                label="Since",
                options=(
                    ("", "Any time"),
                    ("15m", "Last 15 minutes"),
                    ("1h", "Last hour"),
                    ("24h", "Last 24 hours"),
                    ("7d", "Last 7 days"),
                    *(((self.since, f"Since {self.since[:25]}"),) if self.since and self.since not in SPANS else ()),
                ),
                chosen=self.since,
            ),
            Choice(
                name="status",
                label="Status",
                options=(
                    ("", "Every status"),
                    ("open", "Open"),
                    ("acknowledged", "Acknowledged"),
                    ("resolved", "Resolved"),
                    ("false_positive", "False positive"),
                ),
                chosen=self.status,
            ),
        )


def filters(said: Mapping[str, str]) -> Filters:
    """The filters in an address's query. Raises InvalidInput naming the part that cannot be used."""
    since = plain(said.get("since", ""), "since", limit=64)
    _since(since, 0.0)
    return Filters(
        agent=plain(said.get("agent", ""), "agent", limit=MAX_NAME),
        decision=_one_of(said, "decision", tuple(Decision)),
        status=_one_of(said, "status", tuple(Status)),
        source=plain(said.get("source", ""), "source", limit=MAX_NAME),
        since=since,
        q=plain(said.get("q", ""), "q", limit=MAX_Q).strip(),
        flagged=_one_of(said, "flagged", ("1", "true", "0", "false")) in ("1", "true"),
        before=plain(said.get("before", ""), "before", limit=64),
    )


def _one_of(said: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = said.get(name, "")
    if value and value not in known:
        raise InvalidInput(name, f"must be one of {', '.join(known)}")
    return value


def _since(said: str, now: float) -> float:
    if not said:
        return 0.0
    if said in SPANS:
        return now - SPANS[said]
    try:
        when = datetime.fromisoformat(said)
        if when.tzinfo is None:
            raise ValueError("no offset")
        return when.timestamp()
    except (ValueError, OverflowError) as err:
        raise InvalidInput("since", f"must be one of {', '.join(SPANS)} or an RFC 3339 instant") from err
