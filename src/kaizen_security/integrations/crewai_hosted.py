"""Tools that OpenAI runs itself for CrewAI's own client of its responses (``LLM(…, api="responses", builtin_tools=[…])``).

CrewAI's hooks get no more of an answer than its words. The client counts what each answer cost, on every path: there it is seen
whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def install(heard: Callable[[list[Any]], None]) -> None:
    """Let ``heard`` have the items of each answer. Once; where CrewAI has no such client, or counts elsewhere, nothing is done."""
    try:
        from crewai.llms.providers.openai.completion import OpenAICompletion
    except ImportError:
        return  # without the openai package
    counted = getattr(OpenAICompletion, "_extract_responses_token_usage", None)
    if counted is None or hasattr(counted, "__kaizen_judged__"):
        return

    @functools.wraps(counted)
    def counting(self: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        items = getattr(response, "output", None)
        if isinstance(items, list):
            heard(items)
        return counted(self, response, *args, **kwargs)

    counting.__kaizen_judged__ = True  # type: ignore[attr-defined]
    OpenAICompletion._extract_responses_token_usage = counting
