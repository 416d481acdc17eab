"""Step: one thing in a run. Actions are Steps too; the others are what the Observer needs to judge them.

Steps other than actions and effects carry text of the run. They go to a sidecar that the owner declared in-tenant, or nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kaizen_security.contract.action import Action, Json, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked. ``at`` is in Unix seconds everywhere."""

    run_id: str
    text: str
    agent: str = "default"
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the action ``action_id`` brought back; ``failed`` when it raised or was refused by its tool."""

    run_id: str
    action_id: str
    content: Json = None
    failed: bool = False
    agent: str = "default"
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Words of the agent, to ``to`` (``user`` or another agent's name)."""

    run_id: str
    text: str
    to: str = "user"
    agent: str = "default"
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the agent says that it did or will do; never evidence of anything but the claim."""

    run_id: str
    action: Action
    agent: str = "default"
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a ground-truth source saw happen."""

    run_id: str
    action: Action
    agent: str = "default"
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The run is over; ``completed`` is false when it was cut off."""

    run_id: str
    completed: bool = True
    agent: str = "default"
    at: float = 0.0


Step: TypeAlias = Request | Action | Result | Message | Claim | Effect | End


def told_step(step: Step) -> Step:
    """A step as the word of the agent itself (``contract.action.told``): an effect that it states is a claim."""
    if isinstance(step, Action):
        return told(step)
    if isinstance(step, Effect):
        return Claim(run_id=step.run_id, action=told(step.action), agent=step.agent, at=step.at)
    return step
