"""Rows of one act: what told of a deed and what saw it, found by what joins them, and listed as the one deed that it is.

A row is of the act that it says (``act_id``), or else of its own action's. Rows that were joined to another's act stand in a small
index of their own (``verdicts_joined``); the row whose action gave the act its name is found by that name, as a second report of it
would be. So nothing is paid for the rows, nearly all, that are joined to nothing. A second index of the same rows
(``verdicts_telling``) has them by act and run, the most telling last: reading one act costs ``MOST`` rows, however many it has.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, FromClause, case, exists, literal_column, select

from kaizen_security.contract.verdict import Decision
from kaizen_security.store import agents, schema
from kaizen_security.store.base import Origin, VerdictQuery, VerdictRow
from kaizen_security.store.codes import SEVERITY_CODE, action_key
from kaizen_security.store.rows import MAX_LIMIT, let_through, selected, value_of, verdicts

MOST = 40
"""Rows of one act that are given: the worst, the best seen, the newest. Whoever reports says what is one act, so there may be any
number of them, and harmless ones that follow must not be all that is shown of one that was blocked.
"""
_AT_ONCE = 10_000
"""Values of one statement; SQLite takes 32,766."""
TELLERS = ("", "sdk", "integration", "audit", "trace", "bedrock-trace", "mcp", "egress", "sandbox", "ebpf")
"""Sources whose rows may have given an act its name."""
Act = tuple[VerdictRow, ...]
"""The rows of one act, newest first; never empty."""

Read = Callable[[Callable[[Connection], Any]], Any]
_V = schema.verdicts


class Acts(Protocol):
    """As of ``store.base.Store``."""

    def latest(self, organisation: int, query: VerdictQuery) -> Act: ...
    def of(self, organisation: int, rows: Sequence[VerdictRow]) -> tuple[Act, ...]: ...


class SqlActs:
    """``Acts``. ``read`` runs a function on a connection."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def latest(self, organisation: int, query: VerdictQuery) -> tuple[VerdictRow, ...]:
        """Of each act that the query lets a row of through, the newest such row; newest first."""
        found: tuple[VerdictRow, ...] = self._read(lambda connection: latest(connection, organisation, query))
        return found

    def of(self, organisation: int, rows: Sequence[VerdictRow]) -> tuple[Act, ...]:
        """The act of each of ``rows``, which is one of it."""
        found: tuple[Act, ...] = self._read(lambda connection: members(connection, organisation, rows))
        return found


def act_of(row: VerdictRow) -> tuple[str, str, str]:
    """What rows of one act have in common: agent, run and name. Call ids are anew in each run with some frameworks."""
    return row.agent, row.run_id, row.act_id or row.action_id or row.id


def latest(connection: Connection, organisation: int, query: VerdictQuery) -> tuple[VerdictRow, ...]:
    """See ``SqlActs.latest``."""
    wanted, found = min(query.limit, MAX_LIMIT), list[VerdictRow]()
    while len(found) < wanted:
        rows = verdicts(connection, organisation, query, _is_the_newest_joined(query))
        led = _led(connection, organisation, query, rows)
        found += [row for row in rows if row.id not in led]
        if len(rows) < wanted or query.nearest:
            break
        query = replace(query, before=rows[-1].id, offset=0)
    return tuple(found[:wanted])


def _is_the_newest_joined(query: VerdictQuery) -> ColumnElement[bool]:
    """No newer row that was joined to the same act is let through."""
    other = _V.alias("other")
    name = case((_V.c.act_id != "", _V.c.act_id), else_=_V.c.action_id)
    return ~exists(
        select(other.c.id).where(
            other.c.agent_id == _V.c.agent_id,
            other.c.act_id == name,
            *_joined(other),
            other.c.run_id == _V.c.run_id,
            other.c.id > _V.c.id,
            *let_through(query, other),
        )
    )


def _joined(table: FromClause) -> tuple[ColumnElement[bool], ...]:
    """As the indexes of joined rows say it: with a value in the place of the literal, SQLite would not know it again."""
    return table.c.act_id != table.c.action_id, table.c.act_id != literal_column("''")


def _led(connection: Connection, organisation: int, query: VerdictQuery, rows: Sequence[VerdictRow]) -> set[str]:
    """Ids of those whose act has a newer row that gave it its name, and is let through too."""
    numbers = _named(connection, _numbers(connection, organisation, rows), rows)
    leading: dict[tuple[str, str, str], str] = {}
    for row in _rows(connection, organisation, numbers, *let_through(query)):
        leading[act_of(row)] = max(leading.get(act_of(row), ""), row.id)
    return {row.id for row in rows if leading.get(act_of(row), "") > row.id}


def members(connection: Connection, organisation: int, rows: Sequence[VerdictRow]) -> tuple[Act, ...]:
    """See ``SqlActs.of``."""
    agents = _numbers(connection, organisation, rows)
    acts = {act_of(row): {row.id: row} for row in rows}
    numbers = _named(connection, agents, rows)
    for agent, run, name in acts:
        of_act = (_V.c.agent_id == agents[agent], _V.c.act_id == name, _V.c.run_id == run)
        joined = select(_V.c.id).where(*of_act, *_joined(_V))
        telling = (_V.c.decision.desc(), _V.c.severity.desc(), _V.c.rung.desc(), _V.c.id.desc())
        numbers += connection.scalars(joined.order_by(*telling).limit(MOST))
    for row in _rows(connection, organisation, numbers):
        if act_of(row) in acts:
            acts[act_of(row)][row.id] = row
    shown = {name: _most_telling(act.values()) for name, act in acts.items()}
    return tuple(shown[act_of(row)] for row in rows)


def _most_telling(act: Iterable[VerdictRow]) -> Act:
    rows = heapq.nlargest(MOST, act, key=_telling)
    return tuple(sorted(rows, key=lambda row: row.id, reverse=True))


def _telling(row: VerdictRow) -> tuple[bool, int, int, str]:
    return row.decision is Decision.BLOCK, SEVERITY_CODE[row.severity], row.rung, row.id


def _rows(
    connection: Connection, organisation: int, numbers: Sequence[int], *conditions: ColumnElement[bool]
) -> Iterator[VerdictRow]:
    for at in range(0, len(numbers), _AT_ONCE):
        statement = selected(organisation).where(_V.c.id.in_(numbers[at : at + _AT_ONCE]), *conditions)
        yield from map(value_of, connection.execute(statement))


def _named(connection: Connection, agents: Mapping[str, int], rows: Iterable[VerdictRow]) -> list[int]:
    """Numbers of the rows whose actions gave the acts of ``rows`` their names, whichever source told them."""
    keys: dict[int, set[int]] = {}
    for row in rows:
        agent, _, name = act_of(row)
        keys.setdefault(agents[agent], set()).update(
            action_key(origin, source, name) for origin in Origin for source in {*TELLERS, row.source}
        )
    numbers: list[int] = []
    for number, names in keys.items():
        for at in range(0, len(names), _AT_ONCE):
            of = sorted(names)[at : at + _AT_ONCE]
            numbers += connection.scalars(select(_V.c.id).where(_V.c.agent_id == number, _V.c.action_key.in_(of)))
    return numbers


def _numbers(connection: Connection, organisation: int, rows: Iterable[VerdictRow]) -> dict[str, int]:
    return {name: agents.number(connection, organisation, name) or 0 for name in {row.agent for row in rows}}
