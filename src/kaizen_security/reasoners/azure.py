"""Azure OpenAI: chat completions of a deployment, by its v1 API or by a dated version.

Shapes: Azure OpenAI in Azure AI Foundry, REST API reference. A key goes as ``api-key``; a token of Microsoft Entra ID, which
``entra`` acquires or whoever runs us renews in a file, goes as ``Authorization``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

from kaizen_security.contract.action import Json
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners import chat
from kaizen_security.reasoners.base import Prompt, Reply

MOST_THOUGHT = 2048
"""Tokens that a model may use, its thoughts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure:
    """``base_url``: ``https://NAME.openai.azure.com``. ``model`` is the deployment's name; ``version`` empty: the v1 API.

    ``entra``  the key is a token of Entra ID
    """

    model: str
    base_url: str
    key: str = field(repr=False)
    version: str = ""
    entra: bool = False

    name = "azure"

    def exchange(self, said: Prompt) -> Exchange:
        """One completion."""
        base = self.base_url.rstrip("/")
        path = "/openai/v1/chat/completions"
        if self.version:
            path = f"/openai/deployments/{quote(self.model, safe='')}/chat/completions?api-version={quote(self.version, safe='')}"
        headers = {"Content-Type": "application/json", "User-Agent": "kaizen"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.entra else {"api-key": self.key}
        sent = chat.question(self.model, said, {"max_completion_tokens": MOST_THOUGHT})
        return Exchange(url=base + path, body=sent, headers=headers)

    def reply(self, document: Json) -> Reply:
        """What it says. Raises InvalidInput."""
        return chat.reply(document)
