"""Tools that Google runs itself for an agent of ADK, as its events tell of them: see ``elsewhere_google``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from kaizen_security.integrations.elsewhere import Ran, each, of
from kaizen_security.integrations.elsewhere_google import ran_at_google

MOST = 1024
"""Answers that are under way and of which it is known already what they rest on."""


class Answers:
    """What was heard of answers that are not whole yet."""

    def __init__(self) -> None:
        self._grounding: OrderedDict[tuple[str, str], object] = OrderedDict()

    def ran(self, event: Any, agent: Any) -> Iterator[Ran]:
        """What ran at Google on the way to this event of ``agent``; of an answer in parts once it is whole.

        Older versions of ADK say only in a part of it what the whole rests on.
        """
        key = str(event.invocation_id), str(event.author)
        if getattr(event, "partial", False):
            if event.grounding_metadata is not None:
                self._grounding[key] = event.grounding_metadata
                if len(self._grounding) > MOST:
                    self._grounding.popitem(last=False)
            return iter(())
        # What ADK notes of its own has no parts, and may come between.
        return ran_in_event(event, agent, self._grounding.pop(key, None) if _parts(event) else None)


def ran_in_event(event: Any, agent: Any, grounding: object = None) -> Iterator[Ran]:
    """The same of an event that is whole."""
    return ran_at_google(_parts(event), of(event, "grounding_metadata") or grounding, programs=_at_google(agent))


def brought_before(events: Iterable[Any], root: Any) -> Iterator[tuple[str, object]]:
    """What tools brought in earlier runs of a session, here or at Google, with the ids of their calls."""
    for event in events:
        for part in _parts(event):
            brought: Any = of(part, "function_response")
            if brought is not None:
                yield str(brought.id or ""), brought.response
        if event.author != "user":
            for ran in ran_in_event(event, root.find_agent(event.author)):
                if ran.content is not None:
                    yield ran.id, ran.content


def _parts(event: Any) -> list[object]:
    return each(getattr(event, "content", None), "parts")


def _at_google(agent: Any) -> bool:
    """Whether programs that this agent's model writes run at Google: with no executor of the host's own."""
    executor = getattr(agent, "code_executor", None)
    return executor is None or type(executor).__name__ == "BuiltInCodeExecutor"
