"""What Slack documents of its incoming webhooks, for a receiver on loopback: shapes, limits, errors, one message a second.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, https://docs.slack.dev/reference/block-kit/blocks,
https://docs.slack.dev/apis/web-api/rate-limits. Blocks are read by Slack's own library, whose models know most of the limits; what
they leave to the service (no empty texts, how many blocks and how long a field may be) is here.
"""

from __future__ import annotations

import json

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

MAX_BLOCKS = 50
MAX_TEXT = 4000
"""Characters of ``text`` that Slack recommends at most; it cuts at 40,000."""
MAX_FIELD = 2000


def amiss(document: object) -> str:
    """The error that Slack answers a payload with; ``""`` for one that it takes."""
    if not isinstance(document, dict) or not isinstance(document.get("blocks", []), list):
        return "invalid_payload"
    blocks = document.get("blocks", [])
    if not document.get("text") and not blocks:
        return "no_text"
    if len(document.get("text", "")) > MAX_TEXT:
        return "msg_too_long"
    return "" if len(blocks) <= MAX_BLOCKS and all(map(_is_right, blocks)) else "invalid_blocks"


def _is_right(block: dict) -> bool:
    try:
        read = Block.parse(block)
        if read is None or read.to_dict() != block:
            return False
    except SlackObjectFormationError:
        return False
    fields = block.get("fields", [])
    texts = [one["text"] for one in [*([block["text"]] if "text" in block else []), *fields]]
    return all(texts) and all(len(one["text"]) <= MAX_FIELD for one in fields)


class Incoming:
    """A ``Receiver``'s ``answer``. ``busy``: how many requests are still answered 429; ``closed``: the channel is archived."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.closed = False
        self.errors: list[str] = []

    def __call__(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        if self.busy:
            self.busy -= 1
            return 429, {"Retry-After": "1"}
        if self.closed:
            return 410, {}
        try:
            error = (
                amiss(json.loads(body)) if headers["Content-Type"].startswith("application/json") else "invalid_payload"
            )
        except ValueError:
            error = "invalid_payload"
        if error:
            self.errors.append(error)
        return (400 if error else 200), {}
