"""Rows on their way in: turned into columns in the caller's thread, written many to a statement in the writer's.

One statement for many rows is one call into SQLite, during which Python's lock is free, so the event loop keeps running.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import encode_finding
from kaizen_security.contract.depth import rung_of
from kaizen_security.contract.score import encode_score
from kaizen_security.contract.verdict import Verdict
from kaizen_security.store.base import Appended, NewVerdict, Origin, Status
from kaizen_security.store.codes import (
    DECISION_CODE,
    ORIGIN_CODE,
    SEVERITY_CODE,
    STATUS_CODE,
    RowIds,
    action_key,
    content_key,
    public_id,
)
from kaizen_security.store.exported import TOLD_ONCE

_COLUMNS = (
    "id organisation_id agent_id created_at origin source rung kind tool publisher target hash metadata more action_id run_id "
    "act_id action_key decision severity reason evidence confidence notes policy_version status"
).split()
_CHUNKS = (100, 25, 5, 1)
"""Rows a statement may have: few different ones, so that each stays prepared."""
_AT = {name: index - 3 for index, name in enumerate(_COLUMNS)}
"""Where each column stands in ``Prepared.columns``."""
_DEED = ("kind", "tool", "publisher", "target", "hash")
_OBSERVER = ORIGIN_CODE[Origin.OBSERVER]
_json = msgspec.json.Encoder().encode


def _statement(rows: int) -> str:
    one = "(" + ",".join("?" * len(_COLUMNS)) + ")"
    # Only the key that makes a row single may be met twice; any other conflict is an error, not a duplicate.
    return (
        f"INSERT INTO verdicts ({','.join(_COLUMNS)}) VALUES {','.join([one] * rows)} "  # noqa: S608 - constants only
        "ON CONFLICT (agent_id, action_key) WHERE action_key IS NOT NULL DO NOTHING"
    )


_INSERT = {rows: _statement(rows) for rows in _CHUNKS}
_TELL_AGAIN = f"""
INSERT OR IGNORE INTO joined_exports (export_id, verdict_number)
SELECT e.id, v.id FROM verdicts v JOIN exports e ON e.organisation_id = v.organisation_id
WHERE v.id = ? AND v.id > e.since AND v.id <= e.cursor
  AND e.kind NOT IN ({", ".join(f"'{kind}'" for kind in sorted(TOLD_ONCE))})
  AND (e.which = 'all' OR (
    v.severity > 0 AND v.status <> {STATUS_CODE[Status.FALSE_POSITIVE]} AND (e.which = 'flags' OR v.decision > 0)))
  AND NOT EXISTS (SELECT 1 FROM parked_exports p WHERE p.export_id = e.id AND p.verdict_number = v.id)
"""  # noqa: S608 - constants only
"""Destinations that were told of a row, and want it: what they have not come to yet, or refused, is told as it is by then."""


class Prepared(NamedTuple):
    """One row as columns from ``created_at`` on, whose agent's number and whose own are not known yet."""

    agent: str
    columns: tuple[Any, ...]
    hour: int
    rung: int
    counted: bool
    flagged: bool
    blocked: bool


def prepare(row: NewVerdict) -> Prepared:
    """Everything that can be done before the writer's turn."""
    action, verdict = row.action, row.verdict
    source = action.source
    rung = int(rung_of(source))
    columns = (
        row.created_at,
        ORIGIN_CODE[row.origin],
        source,
        rung,
        action.kind,
        action.tool,
        action.publisher,
        action.target,
        action.hash,
        _json(action.metadata).decode(),
        _more(action, verdict),
        action.id,
        action.run_id,
        action.act_id,
        action_key(row.origin, source, action.id) if action.id else None,
        *_said(verdict),
        STATUS_CODE[row.status],
    )
    return Prepared(
        action.agent,
        columns,
        int(row.created_at // 3600),
        rung,
        not row.further,
        verdict.flagged and not row.flagged_before,
        verdict.blocked,
    )


def _said(verdict: Verdict) -> tuple[Any, ...]:
    return (
        DECISION_CODE[verdict.decision],
        SEVERITY_CODE[verdict.severity],
        verdict.reason,
        _json([encode_finding(finding) for finding in verdict.evidence]).decode() if verdict.evidence else "",
        verdict.confidence,
        _json(verdict.notes).decode() if verdict.notes else "",
        verdict.policy_version,
    )


def _more(action: Action, verdict: Verdict) -> str:
    if not (action.at or action.delegation or action.seen_by or verdict.score):
        return ""
    more: dict[str, Any] = {}
    if action.at:
        more["at"] = action.at
    if action.delegation:
        more["delegation"] = action.delegation
    if action.seen_by:
        more["seen_by"] = action.seen_by
    if verdict.score is not None:
        more["score"] = encode_score(verdict.score)
    return _json(more).decode()


def _is_other(row: Prepared, decision: int, reason: str, metadata: str, *deed: str) -> bool:
    """Whether the row is of another deed than the one that is kept under its id, or says something worse of the same.

    What an observer reports again, because it knows the act now, has less metadata; whoever else reports again sends the same.
    """
    columns = row.columns
    if tuple(columns[_AT[name]] for name in _DEED) != deed:
        return True
    if columns[_AT["origin"]] != _OBSERVER and columns[_AT["metadata"]] != metadata:
        return True
    return (row.flagged or row.blocked) and (columns[_AT["decision"]], columns[_AT["reason"]]) != (decision, reason)


class Ingest:
    """Writes prepared rows; belongs to the writer's thread. Counters are gathered for the whole group and written by ``flush``."""

    def __init__(self, connection: sqlite3.Connection, ids: RowIds, ensure: Callable[[int, str], int]) -> None:
        self._connection = connection
        self._ids = ids
        self._ensure = ensure
        self._agents: dict[tuple[int, str], int] = {}
        self._hours: dict[tuple[int, int], list[int]] = {}
        self._seen: dict[int, tuple[float, float, int]] = {}

    def forget(self) -> None:
        """The transaction was undone: what it entered is not there."""
        self._agents.clear()
        self._hours.clear()
        self._seen.clear()

    def forget_agents(self) -> None:
        """One call was undone: agents that it entered are not there."""
        self._agents.clear()

    def append(self, organisation: int, rows: Sequence[Prepared], at: float) -> Appended:
        """Write rows. Raises LimitReached before anything is written."""
        numbers = [self._agent(organisation, row.agent) for row in rows]
        ids = list(self._ids.take(len(rows), at))
        start = 0
        missing: list[int] = []
        for size in _CHUNKS:
            while len(rows) - start >= size:
                missing += self._insert(organisation, rows, numbers, ids, range(start, start + size))
                start += size
        there: set[int] = set()
        for index in missing:
            older = self._older(numbers[index], rows[index])
            if older is None:
                older, is_new = self._other(organisation, numbers[index], ids[index], rows[index])
            else:
                is_new = False
            ids[index] = older
            if not is_new:
                there.add(index)
        duplicates = frozenset(there)
        self._count([(numbers[i], row) for i, row in enumerate(rows) if i not in duplicates])
        return Appended(ids=tuple(map(public_id, ids)), duplicates=duplicates)

    def _agent(self, organisation: int, name: str) -> int:
        found = self._agents.get((organisation, name))
        if found is None:
            found = self._agents[organisation, name] = self._ensure(organisation, name)
        return found

    def _insert(
        self, organisation: int, rows: Sequence[Prepared], numbers: list[int], ids: list[int], chunk: range
    ) -> list[int]:
        values: list[Any] = []
        for i in chunk:
            values += (ids[i], organisation, numbers[i])
            values += rows[i].columns
        written = self._connection.execute(_INSERT[len(chunk)], values).rowcount
        if written == len(chunk):
            return []
        there = self._connection.execute(
            f"SELECT id FROM verdicts WHERE id IN ({','.join('?' * len(chunk))})",  # noqa: S608 - question marks only
            [ids[i] for i in chunk],
        )
        kept = {number for (number,) in there}
        return [i for i in chunk if ids[i] not in kept]

    def _older(self, agent: int, row: Prepared) -> int | None:
        """The row that is there already, None when it is of another deed. An observer that reports it again has learned since which
        act it is of.
        """
        columns = row.columns
        number, act, *known = self._connection.execute(
            f"SELECT id, act_id, decision, reason, metadata, {', '.join(_DEED)} FROM verdicts "  # noqa: S608 - constants only
            "WHERE agent_id = ? AND action_key = ?",
            (agent, columns[_AT["action_key"]]),
        ).fetchone()
        if _is_other(row, *known):
            return None
        if columns[_AT["origin"]] == _OBSERVER and columns[_AT["act_id"]] not in ("", act):
            self._connection.execute(
                "UPDATE verdicts SET act_id = ?, run_id = ?, more = ? WHERE id = ?",
                (columns[_AT["act_id"]], columns[_AT["run_id"]], columns[_AT["more"]], number),
            )
            self._connection.execute(_TELL_AGAIN, (number,))
        return int(number)

    def _other(self, organisation: int, agent: int, id_: int, row: Prepared) -> tuple[int, bool]:
        """Write the row of another deed under an id that was used before; its number, and whether it is new.

        An agent chooses its ids: one that takes an id twice must not make what it did the second time disappear.
        """
        columns = list(row.columns)
        said = [columns[_AT[name]] for name in (*_DEED, "decision", "reason", "action_id")]
        if columns[_AT["origin"]] != _OBSERVER:
            said.append(columns[_AT["metadata"]])
        key = columns[_AT["action_key"]] = content_key(columns[_AT["action_key"]], *said)
        written = self._connection.execute(_INSERT[1], (id_, organisation, agent, *columns)).rowcount
        if written:
            return id_, True
        found = self._connection.execute(
            "SELECT id FROM verdicts WHERE agent_id = ? AND action_key = ?", (agent, key)
        ).fetchone()
        return int(found[0]), False

    def _count(self, new: Iterable[tuple[int, Prepared]]) -> None:
        # Most rows of a call are alike in what is counted of them; so each kind is counted once, by the times of its rows.
        alike: dict[tuple[int, int, int, bool, bool, bool], list[float]] = defaultdict(list)
        for agent, row in new:
            alike[agent, row.hour, row.rung, row.counted, row.flagged, row.blocked].append(row.columns[0])
        for (agent, hour, rung, counted, flagged, blocked), times in alike.items():
            counts = self._hours.setdefault((agent, hour), [0, 0, 0])
            counts[0] += counted * len(times)
            counts[1] += flagged * len(times)
            counts[2] += blocked * len(times)
            first, last, deepest = self._seen.get(agent, (times[0], times[0], 0))
            self._seen[agent] = (min(first, *times), max(last, *times), max(deepest, rung))

    def flush(self) -> None:
        """Write what was counted since the last time: once a group, not once a row."""
        self._connection.executemany(
            "INSERT INTO hours (agent_id, hour, actions, flagged, blocked, reviews) VALUES (?, ?, ?, ?, ?, 0) "
            "ON CONFLICT (agent_id, hour) DO UPDATE SET actions = actions + excluded.actions, "
            "flagged = flagged + excluded.flagged, blocked = blocked + excluded.blocked",
            [(*key, *counts) for key, counts in self._hours.items()],
        )
        totals: dict[int, list[int]] = {}
        for (agent, _), counts in self._hours.items():
            totals[agent] = [a + b for a, b in zip(counts, totals.get(agent, [0, 0, 0]), strict=True)]
        self._connection.executemany(
            "UPDATE agents SET first_seen = CASE WHEN first_seen > 0 THEN first_seen ELSE ? END, last_seen = max(last_seen, ?), "
            "rung = max(rung, ?), actions = actions + ?, flagged = flagged + ?, blocked = blocked + ? WHERE id = ?",
            [(*self._seen[agent], *counts, agent) for agent, counts in totals.items()],
        )
        self._hours.clear()
        self._seen.clear()
