"""Anthropic's Messages API (``POST /v1/messages``, version 2023-06-01)."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaizen_security.contract.action import Json
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners.base import MOST_OUTPUT, Prompt, Reply
from kaizen_security.reasoners.speech import at, body, count, texts_of

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anthropic:
    """``base_url`` without the version's path."""

    model: str
    key: str = field(repr=False)
    base_url: str = BASE_URL

    name = "anthropic"

    def exchange(self, said: Prompt) -> Exchange:
        """One message."""
        messages: list[Json] = [{"role": "user", "content": said.case}]
        return Exchange(
            url=f"{self.base_url.rstrip('/')}/v1/messages",
            body=body({"model": self.model, "max_tokens": MOST_OUTPUT, "system": said.rules, "messages": messages}),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "kaizen",
                "x-api-key": self.key,
                "anthropic-version": VERSION,
            },
        )

    def reply(self, document: Json) -> Reply:
        """What its text parts say. Raises InvalidInput."""
        return Reply(
            text=texts_of(at(document, "content"), "content", "text"),
            input_tokens=count(document, "usage", "input_tokens"),
            output_tokens=count(document, "usage", "output_tokens"),
        )
