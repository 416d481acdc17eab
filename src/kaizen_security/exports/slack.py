"""Slack: an incoming webhook gets a message of blocks (Slack Block Kit).

What an agent controls is escaped as Slack asks (``&``, ``<``, ``>``) and set as plain text, so that it can make neither
links nor mentions, and Slack fetches nothing that it names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.fields import rfc3339
from kaizen_security.exports.base import Destination, Notice
from kaizen_security.net.outbound import Exchange

MAX_FIELD = 300
"""Characters of one value in a message: with them all of Slack's own limits are kept (150 of a header, 3,000 of a section, 2,000 of
a field, 4,000 of ``text``).
"""


def is_slack(url: str) -> bool:
    """Whether a webhook's address is one of Slack's incoming webhooks."""
    parts = urlsplit(url)
    return parts.hostname in ("hooks.slack.com", "hooks.slack-gov.com") and parts.path.startswith("/services/")


def message(notice: Notice) -> dict[str, Json]:
    """One Slack message; ``text`` is what notifications show."""
    word = notice.word
    facts = {
        "Agent": notice.agent,
        "Action": " → ".join(part for part in (notice.action.kind, notice.action.tool, notice.action.target) if part),
        "Rung": notice.action.rung.label,
        "At": rfc3339(notice.at),
    }
    fields: list[Json] = [
        {"type": "plain_text", "text": f"{name}: {_short(value)}", "emoji": False} for name, value in facts.items()
    ]
    # Slack takes no empty text.
    reason = _short(notice.verdict.reason) or "no reason was given"
    return {
        "text": _escaped(f"{word} by Kaizen: {_short(notice.agent)}: {reason}"),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": f"{word} by Kaizen", "emoji": False}},
            {"type": "section", "text": {"type": "plain_text", "text": reason, "emoji": False}},
            {"type": "section", "fields": fields},
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


class Slack:
    """Slack's incoming webhooks."""

    def exchanges(self, notices: Sequence[Notice], destination: Destination) -> list[Exchange]:
        """One message a notice. Raises Misconfigured when the address is not an incoming webhook over https."""
        if not destination.url.startswith("https://"):
            raise Misconfigured(
                "a Slack webhook's URL must begin with https://: whoever knows it can write to the channel"
            )
        return [
            Exchange(
                url=destination.url,
                body=json.dumps(message(notice)).encode(),
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": "kaizen",
                    "X-Kaizen-Delivery": notice.id,
                },
            )
            for notice in notices
        ]


def _short(value: str) -> str:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in value)
    return shown if len(shown) <= MAX_FIELD else shown[: MAX_FIELD - 1] + "…"


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
