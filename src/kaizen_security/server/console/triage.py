"""What a person does with a verdict, by the functions of the API, so that both ways do the same."""

from __future__ import annotations

from kaizen_security.server.context import Context
from kaizen_security.server.http import not_found
from kaizen_security.store.base import Status, User, VerdictRow


async def set_status(context: Context, user: User, row: VerdictRow, status: Status) -> VerdictRow:
    """``row`` with its new status. Raises ApiError (404) when it has gone meanwhile."""
    changed = await context.call(context.store.set_status, user.organisation, row.id, status, at=context.clock())
    if changed is None:
        raise not_found("there is no verdict of that id")
    return changed


async def learn(context: Context, user: User, row: VerdictRow) -> VerdictRow:
    """Fold ``row`` into what its agent is for."""
    raise not_found("learning is not there yet")
