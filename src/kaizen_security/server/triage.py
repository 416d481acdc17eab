"""What a person says of a verdict: that it is dealt with, that it was none, that it is normal for this agent."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import decode_action
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.suppression import acceptance, can_accept, signature, why_kept
from kaizen_security.server.context import Context
from kaizen_security.store.base import Agent, Status, Suppression, VerdictRow


async def set_status(context: Context, organisation: int, verdict_id: str, status: Status) -> VerdictRow | None:
    """Note a status; None when there is no such row.

    ``false_positive`` also suppresses that exact signature for that agent, and any other status takes that back; of a tool that is
    held back because it changed, it accepts the definition as it is now, and shims and gateways let it in with the next bundle.
    Raises InvalidInput when it may not be suppressed: what a policy denies is changed in the policy.
    """
    row = await context.call(context.store.verdict, organisation, verdict_id)
    if row is None:
        return None
    if row.evidence:
        await _suppress(context, organisation, row, status)
    return await context.call(context.store.set_status, organisation, verdict_id, status, at=context.clock())


async def _suppress(context: Context, organisation: int, row: VerdictRow, status: Status) -> None:
    action = action_of(row)
    accepts = can_accept(action, row.evidence)
    name = acceptance(action) if accepts else signature(action, row.evidence)
    if status is Status.FALSE_POSITIVE:
        if not accepts and (why := why_kept(row.evidence)):
            raise InvalidInput("status", f"cannot be false_positive: {why}")
        entry = Suppression(agent=row.agent, signature=name, verdict_id=row.id, created_at=context.clock())
        await context.call(context.store.suppress, organisation, entry)
    elif not await context.call(context.store.unsuppress, organisation, row.agent, name):
        return
    await context.changed(organisation, row.agent)


def action_of(row: VerdictRow) -> Action:
    """The action of a row, as far as it was kept."""
    return decode_action(dict(row.action), agent=row.agent)


async def learn(context: Context, organisation: int, row: VerdictRow) -> Agent:
    """A person says that this is normal: fold it into the agent's baseline, and into its declaration where it declares anything.

    Raises InvalidInput for what may not be called a false positive either: nothing of what denies it would change.
    """
    if why := why_kept(row.evidence):
        raise InvalidInput("", f"cannot be learned: {why}")
    action = action_of(row)
    await context.call(context.store.fold, organisation, row.agent, action)
    # In force here and, with the bundle, at the agent's sidecars.
    found = await context.widen(organisation, row.agent, action, row.evidence)
    await context.call(context.evaluator.save)
    return found
