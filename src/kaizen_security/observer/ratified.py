"""Acts that a person called normal: what a baseline keeps of them, and how one is recognised when it comes again.

Kept are hashes (``habits.Habits.ratified``): of the act, whose last bit says that its values were learned, and that there is an act
of its tool, which tells cheaply what is none.
"""

from __future__ import annotations

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.question import signature
from kaizen_security.observer.rooms import Few


def marks(action: Action, act: str) -> tuple[int, int]:
    """What is kept of an action, perhaps not whole any more, of which a person called ``act`` (``question.signature``) normal."""
    return called_normal(act), _of_its_tool(action)


def is_ratified(action: Action, ratified: Few) -> bool:
    """Whether a person called this very act normal."""
    if not ratified:
        return False
    act = signature(action)
    return called_normal(act) in ratified or taken_up(act) in ratified


def comes_again(action: Action, ratified: Few, key: bytes) -> bool:
    """Whether a person called this very act normal of which the values were not learned yet.

    So it is where the person saw it in the console only, in the form that left the tenant (``key``: ``boundary_key``), and where
    its run was forgotten. Where that form leaves something out, two acts look the same, and neither counts as the one shown.
    """
    if not ratified or _of_its_tool(action) not in ratified:
        return False
    done = taken_up(signature(action))
    if done in ratified or not ratified.tells(done):
        return False  # of a full table nobody could tell that it was done, and it would be learned at every call
    seen = outward(action, key)
    return is_ratified(action, ratified) or ("facts_omitted" not in seen.metadata and is_ratified(seen, ratified))


def called_normal(act: str) -> int:
    """What is kept of an act whose values were not learned yet."""
    return fingerprint(act) & ~1


def taken_up(act: str) -> int:
    """What is kept of it instead once they were."""
    return fingerprint(act) | 1


def _of_its_tool(action: Action) -> int:
    return fingerprint(f"an act of {action.kind} {canonical.tool(action.tool)}")
