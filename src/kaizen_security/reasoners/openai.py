"""OpenAI, and every server that speaks its chat completions or responses: vLLM, Ollama, LM Studio, llama.cpp, gateways.

Shapes: OpenAI's API reference, ``POST /chat/completions`` and ``POST /responses``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners import chat
from kaizen_security.reasoners.base import MOST_OUTPUT, Prompt, Reply
from kaizen_security.reasoners.speech import at, body, count, texts_of

BASE_URL = "https://api.openai.com/v1"
MOST_THOUGHT = 2048
"""Tokens that a model of OpenAI's own may use: those that reason count their thoughts as output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI:
    """``base_url`` up to and with the version; ``key`` may be empty for a server that wants none; ``responses``: that shape."""

    model: str
    base_url: str = BASE_URL
    key: str = field(default="", repr=False)
    responses: bool = False

    name = "openai"

    def exchange(self, said: Prompt) -> Exchange:
        """One completion or response."""
        headers = {"Content-Type": "application/json", "User-Agent": "kaizen"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        base = self.base_url.rstrip("/")
        if self.responses:
            asked: dict[str, Json] = {"model": self.model, "instructions": said.rules, "input": said.case}
            sent = body({**asked, "max_output_tokens": MOST_THOUGHT, "store": False})
            return Exchange(url=f"{base}/responses", body=sent, headers=headers)
        # OpenAI's own models take neither max_tokens nor, when they reason, a temperature; compatible servers know the old words.
        own = base == BASE_URL
        limits: dict[str, Json] = (
            {"max_completion_tokens": MOST_THOUGHT} if own else {"max_tokens": MOST_OUTPUT, "temperature": 0}
        )
        return Exchange(url=f"{base}/chat/completions", body=chat.question(self.model, said, limits), headers=headers)

    def reply(self, document: Json) -> Reply:
        """What it says. Raises InvalidInput."""
        if not self.responses:
            return chat.reply(document)
        output = at(document, "output")
        said = (
            [one for one in output if isinstance(one, dict) and one.get("type") == "message"]
            if isinstance(output, list)
            else []
        )
        if not said:
            raise InvalidInput("output", "holds no message")
        return Reply(
            text=texts_of(said[-1].get("content"), "output.content", "output_text"),
            input_tokens=count(document, "usage", "input_tokens"),
            output_tokens=count(document, "usage", "output_tokens"),
        )
