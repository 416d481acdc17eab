"""What a request of OpenAI's chat completions says of tools, for frameworks that speak it."""

from __future__ import annotations

from typing import Any


def results(body: dict[str, Any]) -> list[str]:
    """The results of tools, in the order in which the model asked for them: frameworks tell them as they come."""
    found = {one["tool_call_id"]: one["content"] for one in body["messages"] if one["role"] == "tool"}
    asked = [call["id"] for one in body["messages"] for call in one.get("tool_calls") or ()]
    return [found[id_] for id_ in dict.fromkeys(asked) if id_ in found]
