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

MOST = 16_384
"""Calls that are remembered; the one that was asked for longest ago makes room, and is another when it is asked for again."""


class Occurrences:
    """Ids by agent and by the id that was stated. ``ids`` gives new ones."""

    def __init__(self, ids: Callable[[], str] = new_id, most: int = MOST) -> None:
        self._ids = ids
        self._most = most
        self._open: OrderedDict[tuple[str, str], str] = OrderedDict()

    def asked(self, action: Action) -> Action:
        """An action before it runs, with the id of this one call."""
        if not action.id.endswith(UNNAMED):
            return action
        key = action.agent, action.id
        if key not in self._open:
            self._open[key] = f"{action.id[:192]}{self._ids()}"
            if len(self._open) > self._most:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return altered(action, id=self._open[key])

    def over(self, result: Result) -> Result:
        """A result, with the id of the call that it is of."""
        known = self._open.pop((result.agent, result.action_id), "")
        return replace(result, action_id=known) if known else result
