"""Held actions at the control plane: sidecars say what waits, people answer, the answers go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.fields import rfc3339
from kaizen_security.contract.hold import Hold, HoldAnswer
from kaizen_security.server.context import Context
from kaizen_security.server.http import ApiError, not_found
from kaizen_security.store.base import User
from kaizen_security.store.held import Settled

LONGEST = 86_400.0
"""Seconds that a hold may wait from when it is relayed, whatever its sidecar says."""


async def relayed(context: Context, organisation: int, sidecar: str, holds: Sequence[Hold]) -> None:
    """Keep how holds stand at their sidecar, in boundary form, whatever it sent. Raises LimitReached, StoreFull."""
    key = await context.boundary_key(organisation)
    now = context.clock()
    cut = [
        replace(
            hold,
            action=outward(hold.action, key),
            verdict=outward_verdict(hold.verdict, key),
            expires_at=min(hold.expires_at, now + LONGEST),
        )
        for hold in holds
    ]
    await context.call(context.store.holds.put, organisation, sidecar, cut, now=now)
    context.holds.happened(organisation)


async def answers(context: Context, organisation: int, sidecar: str, wait: float) -> list[Json]:
    """What people answered that the sidecar has not heard yet; waits up to ``wait`` seconds for the first."""
    until = context.clock() + wait
    while True:
        turn = context.holds.turn(organisation)
        found = await context.call(context.store.holds.unheard, organisation, sidecar)
        left = until - context.clock()
        if found or left <= 0 or context.holds.closed:
            return [_answered(hold) for hold in found]
        await context.holds.wait(organisation, turn, min(left, wait))


def _answered(hold: Hold) -> Json:
    assert hold.answer is not None
    return {
        "id": hold.id,
        "answer": hold.answer.value,
        "by": hold.answered_by,
        "at": rfc3339(hold.answered_at),
    }


async def found(context: Context, organisation: int, hold_id: str, *, wait: float = 0.0, agent: str = "") -> Hold:
    """A hold, after it was settled or ``wait`` seconds have passed. Raises ApiError (404)."""
    until = context.clock() + wait
    while True:
        turn = context.holds.turn(organisation)
        hold = await context.call(context.store.holds.one, organisation, hold_id, now=context.clock())
        if hold is None or agent not in ("", hold.agent):
            raise not_found("there is no hold of that id")
        left = min(until, hold.expires_at) - context.clock()
        if not hold.waiting or left <= 0 or context.holds.closed:
            return hold
        await context.holds.wait(organisation, turn, left)


async def answered(context: Context, user: User, hold_id: str, said: HoldAnswer) -> Hold:
    """``user``, an administrator, answers; ``learn`` also widens the declaration. Raises ApiError (404, 409, 422)."""
    organisation = user.organisation
    known = await context.call(context.store.holds.one, organisation, hold_id, now=context.clock())
    if known is not None and said is HoldAnswer.ALLOW_RUN and not known.action.run_id:
        raise ApiError(422, "invalid", "this action belongs to no run: allow it once, or learn it", field="answer")
    try:
        hold = await context.call(
            context.store.holds.answer, organisation, hold_id, said, by=user.name, at=context.clock()
        )
    except Settled as err:
        raise ApiError(409, "conflict", str(err)) from err
    if hold is None:
        raise not_found("there is no hold of that id")
    context.metrics.hold_seconds.observe(max(0.0, hold.answered_at - hold.created_at))
    context.holds.happened(organisation)
    if said is HoldAnswer.LEARN:
        await _learn(context, organisation, hold)
    return hold


async def _learn(context: Context, organisation: int, hold: Hold) -> None:
    """Widen the declaration, if that was the reason; the sidecar takes away the doubt by itself."""
    if not any(finding.detection == "declaration" for finding in hold.verdict.evidence):
        return
    await context.widen(organisation, hold.agent, hold.action, hold.verdict.evidence)
