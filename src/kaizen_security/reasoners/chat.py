"""The chat completions shape, which OpenAI, Azure and every compatible server speak."""

from __future__ import annotations

from kaizen_security.contract.action import Json
from kaizen_security.reasoners.base import Prompt, Reply
from kaizen_security.reasoners.speech import at, body, count, words


def question(model: str, said: Prompt, limits: dict[str, Json]) -> bytes:
    """The body of a request. ``limits``: how much may be answered, in the words that the server knows."""
    messages: list[Json] = [{"role": "system", "content": said.rules}, {"role": "user", "content": said.case}]
    return body({"model": model, "messages": messages, **limits})


def reply(document: Json) -> Reply:
    """What the first choice says. Raises InvalidInput."""
    return Reply(
        text=words(at(document, "choices", 0, "message", "content"), "choices.0.message.content"),
        input_tokens=count(document, "usage", "prompt_tokens"),
        output_tokens=count(document, "usage", "completion_tokens"),
    )
