"""Google's Gemini: ``generateContent`` of the Gemini API with a key, and of Vertex AI with a token of Google's.

Shapes: Gemini API reference, "Generating content"; Vertex AI API, ``publishers.models.generateContent``. Vertex is asked where the
base URL ends with ``/publishers/google``; its key is an access token (``google_tokens``, or a file that whoever runs us renews).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from kaizen_security.contract.action import Json
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners.base import Prompt, Reply
from kaizen_security.reasoners.speech import at, body, count, texts_of

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
VERTEX = "/publishers/google"
MOST_THOUGHT = 2048
"""Tokens that a model may use: those that reason count their thoughts as output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Google:
    """``base_url`` up to and without ``/models``."""

    model: str
    key: str = field(repr=False)
    base_url: str = BASE_URL

    name = "google"

    def exchange(self, said: Prompt) -> Exchange:
        """One answer, its thoughts left out."""
        base = self.base_url.rstrip("/")
        headers = {"Content-Type": "application/json", "User-Agent": "kaizen"}
        headers |= {"Authorization": f"Bearer {self.key}"} if base.endswith(VERTEX) else {"x-goog-api-key": self.key}
        turns: list[Json] = [{"role": "user", "parts": [{"text": said.case}]}]
        asked: dict[str, Json] = {
            "systemInstruction": {"parts": [{"text": said.rules}]},
            "contents": turns,
            "generationConfig": {"maxOutputTokens": MOST_THOUGHT, "temperature": 0},
        }
        return Exchange(
            url=f"{base}/models/{quote(self.model, safe='')}:generateContent", body=body(asked), headers=headers
        )

    def reply(self, document: Json) -> Reply:
        """What its parts say, thoughts aside. Raises InvalidInput."""
        parts = at(document, "candidates", 0, "content", "parts")
        spoken = (
            [one for one in parts if not (isinstance(one, dict) and one.get("thought") is True)]
            if isinstance(parts, list)
            else parts
        )
        return Reply(
            text=texts_of(spoken, "candidates.content.parts", None),
            input_tokens=count(document, "usageMetadata", "promptTokenCount"),
            output_tokens=count(document, "usageMetadata", "candidatesTokenCount")
            + count(document, "usageMetadata", "thoughtsTokenCount"),
        )
