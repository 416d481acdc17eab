"""Retained: what is kept of actions and of the verdicts on them, in whatever form it was kept, as one value.

Rows of ``GET /v1/verdicts`` (alone or the whole answer), reports as clients and sidecars send them, and bodies of the webhook. They
hold boundary fields and typed facts, no text of a run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from zlib import crc32

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import decode_action, decode_verdict
from kaizen_security.contract.fields import MAX_NAME, array, instant, obj, text
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict

MAX_ROWS = 10_000
"""Rows of one answer."""
WINDOW = 1024
"""Actions that wait for further rows about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """An action as it was kept, and what was said of it then.

    ``row``       id of the (first) row, ``""`` when the form has none
    ``at``        Unix seconds, 0.0 when not stated
    ``complete``  the findings are known; false where only decision and reason were kept
    """

    action: Action
    verdict: Verdict
    row: str = ""
    at: float = 0.0
    complete: bool = True


def is_retained(document: Json) -> bool:
    """Whether it holds rows for ``retained``: decisions that were made."""
    return isinstance(document, dict) and (
        "verdicts" in document
        or ("action" in document and ("decision" in document or isinstance(document.get("verdict"), dict)))
        or ("event" in document and "data" in document)
    )


def rows_of(document: Json) -> Iterator[dict[str, Json]]:
    """The rows of one document, oldest first, unread. Raises InvalidInput naming the field."""
    doc = obj(document, "line")
    if "verdicts" not in doc:
        yield doc
        return
    rows = array(doc, "verdicts", limit=MAX_ROWS)
    # The API gives the newest first; sequences need them as they happened.
    for place in range(len(rows) - 1, -1, -1):
        yield obj(rows[place], f"verdicts[{place}]")


def agent_of(doc: Mapping[str, Json]) -> str:
    """Whose line or row it is, as far as can be seen without reading it; ``""`` when it names nobody."""
    for holder in (doc, doc.get("data"), doc.get("action")):
        said = holder.get("agent") if isinstance(holder, Mapping) else None
        if isinstance(said, str) and said:
            return said
    return ""


@dataclass(frozen=True, slots=True)
class Share:
    """The agents of the ``turn``-th of ``of`` parts. Only whose a line is decides, so all of an agent is in one share."""

    turn: int = 0
    of: int = 1

    def has(self, doc: Mapping[str, Json]) -> bool:
        """Whether a line belongs to it."""
        return self.of == 1 or crc32(agent_of(doc).encode("utf-8", "surrogatepass")) % self.of == self.turn


EVERYBODY = Share()


def retained(doc: dict[str, Json]) -> Retained:
    """What a row, a report or the body of a webhook holds. Raises InvalidInput naming the field."""
    return _event(doc) if "event" in doc else _row(doc)


def _row(doc: dict[str, Json]) -> Retained:
    said = doc.get("verdict")
    verdict = decode_verdict(said if isinstance(said, dict) else doc, field="verdict")
    action = decode_action(doc.get("action"), agent=text(doc, "agent", limit=MAX_NAME))
    if "created_at" not in doc:
        return kept(action, verdict, at=action.at or verdict.at)
    at = instant(doc, "created_at")
    return kept(action, verdict, row=text(doc, "id", limit=MAX_NAME), at=at or action.at or verdict.at)


def kept(action: Action, verdict: Verdict, *, row: str = "", at: float = 0.0) -> Retained:
    """An action and its verdict as both were kept."""
    complete = bool(verdict.evidence) or not _caused(verdict) or verdict.reason == reasons.FAILED_CLOSED
    return Retained(action=action, verdict=verdict, row=row, at=at, complete=complete)


def _event(doc: dict[str, Json]) -> Retained:
    event = text(doc, "event", limit=MAX_NAME)
    data = obj(doc.get("data"), "data")
    decision = Decision.BLOCK if event.endswith(".block") else Decision.ALLOW
    action = decode_action(data.get("action"), agent=text(data, "agent", "data.", limit=MAX_NAME), field="data.action")
    verdict = Verdict(decision, text(data, "reason", "data."))
    return Retained(action=action, verdict=verdict, row=text(data, "id", "data.", limit=MAX_NAME), complete=False)


def _caused(verdict: Verdict) -> bool:
    """Whether something must have led to the verdict."""
    return verdict.blocked or verdict.reason.startswith(("undeclared: ", "behavioral anomaly: "))


_CAUSES = (
    ("blocked by policy: ", "policy"),
    ("policy: ", "policy"),
    (reasons.CORRELATION, "correlation"),
    ("undeclared: ", "declaration"),
    ("behavioral anomaly: ", "novelty"),
    ("reasoning judge (", "reasoning"),
    ("Trace-vs-egress gap: ", "gap"),
    (reasons.FAILED_CLOSED, "observer"),
)


def cause(verdict: Verdict) -> tuple[Finding, ...]:
    """The findings; where none were kept, one for what the reason tells of its cause, ``unknown`` where it tells nothing."""
    if verdict.evidence or not _caused(verdict):
        return verdict.evidence
    name = next((name for form, name in _CAUSES if verdict.reason.startswith(form)), "unknown")
    return (Finding(verdict.reason, "", name, detection=name),)


# --- several rows about one action --------------------------------------------------------------------------------------------


class Joining:
    """Brings the rows of one action together: a client's claim, an observer's verdict, the server's own, what came afterwards.

    Blocked if any of them blocks. Rows of one action with more than ``window`` other actions between them stay apart.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._waiting: OrderedDict[tuple[str, str], Retained] = OrderedDict()

    def add(self, row: Retained) -> Retained | None:
        """Take a row; gives the action that has waited longest once too many wait."""
        if not row.action.id:
            return row
        key = (row.action.agent, reasons.about(row.action.id))
        earlier = self._waiting.get(key)
        if earlier is not None:
            self._waiting[key] = _both(earlier, row)
            return None
        self._waiting[key] = row
        return self._waiting.popitem(last=False)[1] if len(self._waiting) > self._window else None

    def rest(self) -> Iterator[Retained]:
        """Those that still wait."""
        while self._waiting:
            yield self._waiting.popitem(last=False)[1]


def _both(one: Retained, other: Retained) -> Retained:
    first, second = one.verdict, other.verdict
    louder = second if (second.blocked, second.flagged) > (first.blocked, first.flagged) else first
    return replace(
        one,
        # What the deeper source kept of it says more.
        action=other.action if other.action.rung > one.action.rung else one.action,
        verdict=replace(
            louder,
            evidence=tuple(dict.fromkeys((*first.evidence, *second.evidence))),
            notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
        ),
        complete=one.complete and other.complete,
    )
