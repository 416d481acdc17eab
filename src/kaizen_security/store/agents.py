"""Statements about agents, their declarations, settings and baselines, and about policies."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_declaration, encode_declaration
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.store import schema
from kaizen_security.store.base import MAX_AGENTS, Agent, LimitReached

_T = schema.agents


def _agent(row: Row[Any]) -> Agent:
    return Agent(
        name=row.name,
        organisation=row.organisation_id,
        declaration=decode_declaration(json.loads(row.declaration)),
        mode=Mode(row.mode),
        paused=row.paused,
        judge_enabled=row.judge_enabled,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        rung=Rung(row.rung) if row.rung else None,
        actions=row.actions,
        flagged=row.flagged,
        blocked=row.blocked,
        revision=row.revision,
        epoch=row.epoch,
    )


def agents(connection: Connection, organisation: int) -> tuple[Agent, ...]:
    """An organisation's agents, last seen first."""
    statement = select(_T).where(_T.c.organisation_id == organisation).order_by(_T.c.last_seen.desc(), _T.c.name)
    return tuple(_agent(row) for row in connection.execute(statement))


def agent(connection: Connection, organisation: int, name: str) -> Agent | None:
    """The agent of that name."""
    row = connection.execute(select(_T).where(_T.c.organisation_id == organisation, _T.c.name == name)).first()
    return None if row is None else _agent(row)


def number(connection: Connection, organisation: int, name: str) -> int | None:
    """The number of an agent that is known."""
    found: int | None = connection.execute(
        select(_T.c.id).where(_T.c.organisation_id == organisation, _T.c.name == name)
    ).scalar()
    return found


def ensure(connection: Connection, organisation: int, name: str) -> int:
    """The agent's number; one that is not known is entered. Raises LimitReached."""
    found = number(connection, organisation, name)
    if found is not None:
        return found
    count = connection.execute(select(func.count()).where(_T.c.organisation_id == organisation)).scalar_one()
    if count >= MAX_AGENTS:
        raise LimitReached(f"the organisation has {MAX_AGENTS} agents, as many as it may have")
    made = connection.execute(
        insert(_T).values(
            organisation_id=organisation,
            name=name,
            declaration=json.dumps(encode_declaration(NOTHING_DECLARED)),
            mode=Mode.OBSERVE.value,
            paused=False,
            judge_enabled=True,
            first_seen=0.0,
            last_seen=0.0,
            rung=0,
            actions=0,
            flagged=0,
            blocked=0,
            revision=_next_revision(connection, organisation),
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def _next_revision(connection: Connection, organisation: int) -> int:
    table = schema.organisations
    connection.execute(update(table).where(table.c.id == organisation).values(revision=table.c.revision + 1))
    return int(connection.execute(select(table.c.revision).where(table.c.id == organisation)).scalar_one())


def change(connection: Connection, organisation: int, name: str, values: dict[str, Any]) -> Agent:
    """Change columns of an agent, known or new, under a new revision. Raises LimitReached."""
    found = ensure(connection, organisation, name)
    revision = _next_revision(connection, organisation)
    connection.execute(update(_T).where(_T.c.id == found).values(**values, revision=revision))
    return _agent(connection.execute(select(_T).where(_T.c.id == found)).one())


def declare(connection: Connection, organisation: int, name: str, declaration: Declaration) -> Agent:
    """Replace what an agent declares. Raises LimitReached."""
    text = json.dumps(encode_declaration(declaration), ensure_ascii=False)
    return change(connection, organisation, name, {"declaration": text})


def reset(connection: Connection, organisation: int, name: str) -> bool:
    """Forget what an agent normally does and which flags were called false; its rows and declaration stay.

    A new epoch begins, so that its sidecars forget it too.
    """
    found = number(connection, organisation, name)
    if found is None:
        return False
    connection.execute(delete(schema.baselines).where(schema.baselines.c.agent_id == found))
    connection.execute(delete(schema.suppressions).where(schema.suppressions.c.agent_id == found))
    connection.execute(delete(schema.folds).where(schema.folds.c.agent_id == found))
    connection.execute(delete(schema.profiles).where(schema.profiles.c.agent_id == found))
    revision = change(connection, organisation, name, {}).revision
    connection.execute(update(_T).where(_T.c.id == found).values(epoch=revision))
    return True


def baseline(connection: Connection, organisation: int, name: str) -> bytes | None:
    """What was saved of an agent's baseline."""
    statement = (
        select(schema.baselines.c.state)
        .join(_T, _T.c.id == schema.baselines.c.agent_id)
        .where(_T.c.organisation_id == organisation, _T.c.name == name)
    )
    state: bytes | None = connection.execute(statement).scalar()
    return state


def save_baseline(connection: Connection, organisation: int, name: str, state: bytes, at: float) -> None:
    """Keep an agent's baseline in place of the older one. Raises LimitReached."""
    found = ensure(connection, organisation, name)
    table = schema.baselines
    done = connection.execute(update(table).where(table.c.agent_id == found).values(state=state, updated_at=at))
    if not done.rowcount:
        connection.execute(insert(table).values(agent_id=found, state=state, updated_at=at))


# --- policies ---------------------------------------------------------------------------------------------------------------


def policies(connection: Connection, organisation: int) -> tuple[Policy, ...]:
    """An organisation's own policies, by name."""
    table = schema.policies
    statement = select(table).where(table.c.organisation_id == organisation).order_by(table.c.name)
    return tuple(
        Policy(mode=row.mode, rules=json.loads(row.rules), name=row.name, enabled=row.enabled)
        for row in connection.execute(statement)
    )


def put_policy(connection: Connection, organisation: int, policy: Policy, at: float) -> None:
    """Keep a policy in place of the one of its name."""
    table = schema.policies
    delete_policy(connection, organisation, policy.name)
    connection.execute(
        insert(table).values(
            organisation_id=organisation,
            name=policy.name,
            mode=policy.mode,
            rules=json.dumps(dict(policy.rules), ensure_ascii=False),
            enabled=policy.enabled,
            created_at=at,
        )
    )
    _next_revision(connection, organisation)


def delete_policy(connection: Connection, organisation: int, name: str) -> bool:
    """Whether there was one."""
    table = schema.policies
    done = connection.execute(delete(table).where(table.c.organisation_id == organisation, table.c.name == name))
    if done.rowcount:
        _next_revision(connection, organisation)
    return done.rowcount > 0


def org_policy(connection: Connection, organisation: int) -> dict[str, Json]:
    """The organisation's policy over tools and destinations; empty: off."""
    table = schema.organisations
    said = connection.execute(select(table.c.org_policy).where(table.c.id == organisation)).scalar()
    document: dict[str, Json] = json.loads(said) if said else {}
    return document


def set_org_policy(connection: Connection, organisation: int, document: dict[str, Json]) -> None:
    """Replace it."""
    table = schema.organisations
    said = json.dumps(document, ensure_ascii=False)
    connection.execute(update(table).where(table.c.id == organisation).values(org_policy=said))
    _next_revision(connection, organisation)
