"""Statements about what people called normal for an agent: it goes to every sidecar's baseline with the bundle."""

from __future__ import annotations

import json

from sqlalchemy import Connection, delete, insert, select

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import MAX_FOLDED, Fold
from kaizen_security.contract.codec import decode_action, encode_action
from kaizen_security.store import agents, schema

_T = schema.folds


def fold(connection: Connection, organisation: int, agent: str, action: Action) -> Fold:
    """Keep one; its number is the agent's new revision. The newest ``MAX_FOLDED`` are kept. Raises LimitReached."""
    number = agents.change(connection, organisation, agent, {}).revision
    found = agents.ensure(connection, organisation, agent)
    document = json.dumps(encode_action(action), ensure_ascii=False)
    connection.execute(insert(_T).values(agent_id=found, number=number, action=document))
    oldest = select(_T.c.number).where(_T.c.agent_id == found).order_by(_T.c.number.desc()).offset(MAX_FOLDED)
    connection.execute(delete(_T).where(_T.c.agent_id == found, _T.c.number.in_(oldest.scalar_subquery())))
    return Fold(number=number, action=action)


def folds(connection: Connection, organisation: int, agent: str) -> tuple[Fold, ...]:
    """Those of an agent, the oldest first."""
    found = agents.number(connection, organisation, agent)
    statement = select(_T).where(_T.c.agent_id == found).order_by(_T.c.number)
    return tuple(
        Fold(number=row.number, action=decode_action(json.loads(row.action), agent=agent))
        for row in connection.execute(statement)
    )
