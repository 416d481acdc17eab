"""The trial of a policy before it is saved: what it would have changed of the latest actions. Bounded in rows and in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_action
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.counterfactual import Alternative, Change, Compared, FactsJudge
from kaizen_security.runtime.difference import Difference, Group
from kaizen_security.runtime.retained import Joining, Retained, kept
from kaizen_security.server.console.lines import Line, line, verdict_href
from kaizen_security.store.base import Store, VerdictQuery, VerdictRow

MAX_ROWS: Final = 20_000
"""Latest rows that a policy is tried on."""
SECONDS: Final = 2.0
"""After which no further rows are read; those that were are judged, which takes about as long again."""
PAGE: Final = 1000
SHOWN: Final = 20
"""Groups of one kind of change, and newest of the actions that would be blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """Actions that would change alike; ``href`` leads to the first of them."""

    count: int
    agent: str
    deed: str
    destination: str
    before: str
    after: str
    missing: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """One kind of change: how many actions, the largest groups, and how many further groups there are."""

    word: str
    count: int
    groups: tuple[GroupView, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``lines`` are the newest that would be blocked; ``partial`` says which bound cut it short; ``document`` is all of it."""

    looked_at: int
    blocks: int
    changes: tuple[ChangeView, ...]
    lines: tuple[Line, ...]
    missing: str
    partial: str
    document: dict[str, Json]


def trial(store: Store, organisation: int, then: Alternative, at: float) -> Trial:
    """Judge the latest actions of an organisation under ``then``. Blocks on the store. Raises Misconfigured."""
    judge = FactsJudge(then)
    rows, partial = _latest(store, organisation)
    joining, difference = Joining(), Difference()
    blocked: list[str] = []
    for one in _compared(judge, joining, rows):
        difference.add(one)
        if one.change is Change.NEWLY_BLOCKED:
            blocked.append(one.row)
    newest = dict.fromkeys(reversed(blocked[-SHOWN:]))
    found = {row.id: row for row in rows if row.id in newest}
    return Trial(
        looked_at=difference.actions,
        blocks=len(blocked),
        changes=tuple(_changes(difference)),
        lines=tuple(line(found[id_], at) for id_ in newest),
        missing=", ".join(f"{name} ({n:,})" for name, n in difference.missing.most_common(5)),
        partial=partial,
        document={**difference.to_json(1000), "partial": partial or None},
    )


def _latest(store: Store, organisation: int) -> tuple[list[VerdictRow], str]:
    """The latest rows, oldest first, and why there are no more of them if there are."""
    began = perf_counter()
    found: list[VerdictRow] = []
    while len(found) < MAX_ROWS:
        page = store.verdicts(organisation, VerdictQuery(limit=PAGE, before=found[-1].id if found else ""))
        found += page
        if len(page) < PAGE:
            return found[::-1], ""
        if perf_counter() - began > SECONDS and len(found) < MAX_ROWS:
            return found[::-1], f"more rows than could be read in {SECONDS:g} seconds"
    return found[::-1], f"more than {MAX_ROWS:,} rows"


def _compared(judge: FactsJudge, joining: Joining, rows: list[VerdictRow]) -> Iterator[Compared]:
    for row in rows:
        ready = joining.add(_kept(row))
        if ready is not None:
            yield judge.judge(ready)
    for ready in joining.rest():
        yield judge.judge(ready)


def _kept(row: VerdictRow) -> Retained:
    action = decode_action(dict(row.action), agent=row.agent)
    verdict = Verdict(row.decision, row.reason, row.evidence, notes=row.notes, policy_version=row.policy_version)
    return kept(action, verdict, row=row.id, at=row.created_at)


def _changes(difference: Difference) -> Iterator[ChangeView]:
    for change in Change:
        count = difference.counts[change]
        if change is Change.SAME or not count:
            continue
        groups = list(difference.groups(change))
        yield ChangeView(
            word=change.value,
            count=count,
            groups=tuple(_group(one) for one in groups[:SHOWN]),
            more=max(0, len(groups) - SHOWN),
        )


def _group(group: Group) -> GroupView:
    one = group.example
    return GroupView(
        count=group.count,
        agent=group.agent,
        deed=group.tool or one.action.kind,
        destination=group.destination,
        before=one.before.reason,
        after=one.after.reason if not one.missing else "",
        missing=", ".join(one.missing),
        href=verdict_href(one.row),
    )
