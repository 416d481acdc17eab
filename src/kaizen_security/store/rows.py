"""Statements that read verdict rows, and what people and counters say of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import decode_finding, encode_action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.score import decode_score
from kaizen_security.contract.verdict import Decision
from kaizen_security.store import agents, schema
from kaizen_security.store.base import Day, Hour, Status, Suppression, VerdictQuery, VerdictRow
from kaizen_security.store.codes import (
    DECISION_CODE,
    DECISIONS,
    ORIGINS,
    SEVERITIES,
    STATUS_CODE,
    STATUSES,
    number_at,
    public_id,
    row_number,
)

MAX_LIMIT = 1000
_V = schema.verdicts
_A = schema.agents
_H = schema.hours


def value_of(row: Row[Any]) -> VerdictRow:
    """A row of ``selected`` as the store's value."""
    more: dict[str, Any] = json.loads(row.more) if row.more else {}
    action = Action(
        kind=row.kind,
        tool=row.tool,
        publisher=row.publisher,
        target=row.target,
        hash=row.hash,
        metadata=json.loads(row._mapping[_V.c.metadata]),
        id=row.action_id,
        run_id=row.run_id,
        act_id=row.act_id,
        at=more.get("at", 0.0),
        agent=row.name,
        delegation=tuple(more.get("delegation", ())),
        seen_by=tuple(more.get("seen_by", ())),
    )
    evidence: list[Json] = json.loads(row.evidence) if row.evidence else []
    return VerdictRow(
        id=public_id(row.id),
        created_at=row.created_at,
        organisation=row.organisation_id,
        agent=row.name,
        source=row.source,
        rung=Rung(row.rung),
        action=encode_action(action),
        decision=DECISIONS[row.decision],
        reason=row.reason,
        evidence=tuple(decode_finding(finding) for finding in evidence),
        confidence=row.confidence,
        notes=tuple(json.loads(row.notes)) if row.notes else (),
        status=STATUSES[row.status],
        severity=SEVERITIES[row.severity],
        origin=ORIGINS[row.origin],
        action_id=row.action_id,
        run_id=row.run_id,
        act_id=row.act_id,
        policy_version=row.policy_version,
        score=decode_score(more["score"], "score") if "score" in more else None,
    )


def selected(organisation: int) -> Select[Any]:
    """Rows of an organisation with their agents' names, of which ``value_of`` makes values."""
    return (
        select(_V, _A.c.name)
        .select_from(_V.join(_A, _A.c.id == _V.c.agent_id))
        .where(_V.c.organisation_id == organisation)
    )


def verdicts(
    connection: Connection, organisation: int, query: VerdictQuery, *further: ColumnElement[bool]
) -> tuple[VerdictRow, ...]:
    """The rows that a query asks for, and that the ``further`` conditions let through; newest first."""
    conditions = [*let_through(query), *_ranges(query), *further]
    if query.agent:
        found = agents.number(connection, organisation, query.agent)
        if found is None:
            return ()
        conditions.append(_V.c.agent_id == found)
    statement = (
        selected(organisation)
        .where(*conditions)
        .order_by(_V.c.id.asc() if query.nearest else _V.c.id.desc())
        .limit(min(query.limit, MAX_LIMIT))
        .offset(query.offset)
    )
    rows = tuple(value_of(row) for row in connection.execute(statement))
    return rows[::-1] if query.nearest else rows


def let_through(query: VerdictQuery, table: FromClause = _V) -> list[ColumnElement[bool]]:
    """What a query asks of a row itself, wherever it stands. ``table``: another name of the rows', of the same agent's."""
    c, conditions = table.c, list[ColumnElement[bool]]()
    if query.status is not None:
        conditions.append(c.status == STATUS_CODE[query.status])
        if query.status is not Status.OPEN:
            conditions.append(c.status > 0)
    if query.decision is not None:
        conditions.append(c.decision == DECISION_CODE[query.decision])
        if query.decision is Decision.BLOCK:
            # A block is never of severity 0, and saying so lets the partial index answer.
            conditions.append(c.severity > 0)
    if query.flagged is not None:
        conditions.append(c.evidence != "" if query.flagged else c.evidence == "")
        if query.flagged:
            conditions.append(c.severity > 0)
    for column, value in (
        (c.source, query.source),
        (c.run_id, query.run_id),
        (c.act_id, query.act_id),
        (c.action_id, query.action_id),
    ):
        if value:
            conditions.append(column == value)
    if query.q:
        texts = (c.reason, c.tool, c.target, _A.c.name)
        conditions.append(or_(*(column.icontains(query.q, autoescape=True) for column in texts)))
    return conditions


def _ranges(query: VerdictQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.since:
        conditions.append(_V.c.created_at >= query.since)
        # Rows are walked newest first by number: without this, a quiet agent's whole history would be read for an empty answer.
        conditions.append(_V.c.id >= number_at(query.since))
    if query.after:
        conditions.append(_V.c.id > row_number(query.after))
    if query.before:
        conditions.append(_V.c.id < row_number(query.before))
    return conditions


def oldest_first(
    connection: Connection, organisation: int, conditions: Sequence[ColumnElement[bool]], limit: int
) -> tuple[VerdictRow, ...]:
    """Rows in the order in which they were committed."""
    statement = selected(organisation).where(*conditions).order_by(_V.c.id).limit(limit)
    return tuple(value_of(row) for row in connection.execute(statement))


def verdict(connection: Connection, organisation: int, verdict_id: str) -> VerdictRow | None:
    """One row."""
    row = connection.execute(selected(organisation).where(_V.c.id == row_number(verdict_id))).first()
    return None if row is None else value_of(row)


def set_status(
    connection: Connection, organisation: int, verdict_id: str, status: Status, at: float
) -> VerdictRow | None:
    """Note what a person says of a row, and that they said so; None when there is no such row."""
    number = row_number(verdict_id)
    row = connection.execute(
        select(_V.c.agent_id, _V.c.status).where(_V.c.organisation_id == organisation, _V.c.id == number)
    ).first()
    if row is None:
        return None
    if row.status != STATUS_CODE[status]:
        connection.execute(update(_V).where(_V.c.id == number).values(status=STATUS_CODE[status]))
        _count_review(connection, row.agent_id, int(at // 3600))
    return verdict(connection, organisation, verdict_id)


def _count_review(connection: Connection, agent_id: int, hour: int) -> None:
    here = and_(_H.c.agent_id == agent_id, _H.c.hour == hour)
    if not connection.execute(update(_H).where(here).values(reviews=_H.c.reviews + 1)).rowcount:
        connection.execute(insert(_H).values(agent_id=agent_id, hour=hour, actions=0, flagged=0, blocked=0, reviews=1))


def suppressions(connection: Connection, organisation: int) -> tuple[Suppression, ...]:
    """What people of an organisation called false positives."""
    table = schema.suppressions
    statement = (
        select(table, _A.c.name)
        .select_from(table.join(_A, _A.c.id == table.c.agent_id))
        .where(_A.c.organisation_id == organisation)
        .order_by(table.c.created_at.desc(), table.c.signature)
    )
    return tuple(
        Suppression(agent=row.name, signature=row.signature, verdict_id=row.verdict_id, created_at=row.created_at)
        for row in connection.execute(statement)
    )


def suppress(connection: Connection, organisation: int, suppression: Suppression) -> None:
    """Keep one; the same again changes nothing. Raises LimitReached."""
    unsuppress(connection, organisation, suppression.agent, suppression.signature)
    connection.execute(
        insert(schema.suppressions).values(
            agent_id=agents.ensure(connection, organisation, suppression.agent),
            signature=suppression.signature,
            verdict_id=suppression.verdict_id,
            created_at=suppression.created_at,
        )
    )
    # A bundle of before must not be taken for the newest one.
    agents.change(connection, organisation, suppression.agent, {})


def unsuppress(connection: Connection, organisation: int, agent: str, signature: str) -> bool:
    """Whether there was one to take back."""
    found = agents.number(connection, organisation, agent)
    table = schema.suppressions
    if found is None:
        return False
    done = connection.execute(delete(table).where(table.c.agent_id == found, table.c.signature == signature))
    if done.rowcount:
        agents.change(connection, organisation, agent, {})
    return done.rowcount > 0


def hours(connection: Connection, organisation: int, since: float, agent: str) -> tuple[Hour, ...]:
    """Counts by agent and hour, oldest first."""
    statement = (
        select(_H, _A.c.name)
        .select_from(_H.join(_A, _A.c.id == _H.c.agent_id))
        .where(_A.c.organisation_id == organisation, _H.c.hour >= int(since // 3600))
        .order_by(_H.c.hour, _A.c.name)
    )
    if agent:
        statement = statement.where(_A.c.name == agent)
    return tuple(
        Hour(agent=row.name, at=row.hour * 3600.0, actions=row.actions, flagged=row.flagged, blocked=row.blocked)
        for row in connection.execute(statement)
    )


def days(connection: Connection, organisation: int, since: str) -> tuple[Day, ...]:
    """Counts by day in UTC, oldest first, of days that have some."""
    first = int(datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp() // 3600)
    statement = (
        select(_H.c.hour, *(func.sum(column) for column in (_H.c.actions, _H.c.flagged, _H.c.blocked, _H.c.reviews)))
        .select_from(_H.join(_A, _A.c.id == _H.c.agent_id))
        .where(_A.c.organisation_id == organisation, _H.c.hour >= first)
        .group_by(_H.c.hour)
    )
    sums: dict[str, list[int]] = {}
    for hour, *counts in connection.execute(statement):
        day = datetime.fromtimestamp(hour * 3600, UTC).date().isoformat()
        sums[day] = [int(a) + b for a, b in zip(counts, sums.get(day, [0, 0, 0, 0]), strict=True)]
    return tuple(
        Day(day=day, actions=actions, flagged=flagged, blocked=blocked, reviews=reviews)
        for day, (actions, flagged, blocked, reviews) in sorted(sums.items())
    )
