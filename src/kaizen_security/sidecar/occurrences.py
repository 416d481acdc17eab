"""Equal calls of assistants that give their calls no ids, told apart: once the result of one has come, the next is another.

The hook command makes such a call's id of what is called (``integrations.coding.UNNAMED``), so that asking again for an answer
that a person still owes is the same call. Two equal calls that run at the same time are one: nobody could tell their results apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from kaizen_security.contract.action import Action, altered
from kaizen_security.contract.step import Result
from kaizen_security.integrations.coding import UNNAMED
from kaizen_security.runtime.clock import new_id

MOST, MOST_AGENTS = 16_384, 256
"""Calls that are remembered, and agents. When there are more calls, the agent with the most of them forgets the one that it asked
for longest ago, which is another when it is asked for again; so no agent makes another's waiting calls new. Of the agents the one
that asked longest ago makes room.
"""


class Occurrences:
    """Ids by agent and by the id that was stated. ``ids`` gives new ones."""

    def __init__(self, ids: Callable[[], str] = new_id, most: int = MOST, most_agents: int = MOST_AGENTS) -> None:
        self._ids = ids
        self._most = most
        self._most_agents = most_agents
        self._open: OrderedDict[str, OrderedDict[str, str]] = OrderedDict()
        self._count = 0

    def asked(self, action: Action) -> Action:
        """An action before it runs, with the id of this one call."""
        if not action.id.endswith(UNNAMED):
            return action
        calls = self._open.setdefault(action.agent, OrderedDict())
        self._open.move_to_end(action.agent)
        if action.id not in calls:
            calls[action.id] = f"{action.id[:192]}{self._ids()}"
            self._count += 1
        calls.move_to_end(action.id)
        found = calls[action.id]
        self._make_room()
        return altered(action, id=found)

    def _make_room(self) -> None:
        if len(self._open) > self._most_agents:
            _, gone = self._open.popitem(last=False)
            self._count -= len(gone)
        if self._count > self._most:
            max(self._open.values(), key=len).popitem(last=False)
            self._count -= 1

    def over(self, result: Result) -> Result:
        """A result, with the id of the call that it is of."""
        calls = self._open.get(result.agent)
        known = calls.pop(result.action_id, "") if calls is not None else ""
        if not known:
            return result
        self._count -= 1
        if not calls:
            del self._open[result.agent]
        return replace(result, action_id=known)
