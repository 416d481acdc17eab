"""Webhook: one signed JSON document a notice.

``X-Kaizen-Signature: sha256=<hex>`` is HMAC-SHA256 (RFC 2104) of the raw body under the destination's secret. The receiver
compares it in constant time, over the bytes as they came. ``X-Kaizen-Delivery`` names the delivery: the same may come twice, and
means the same. What is told again because its act is known now (``verdict.joined``) is a delivery of its own about the same ``id``.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import encode_action, encode_verdict
from kaizen_security.contract.fields import rfc3339
from kaizen_security.exports.base import Destination, Notice
from kaizen_security.net.outbound import Exchange


def document(notice: Notice) -> dict[str, Json]:
    """The body: ``event`` and ``data`` of the wire contract, and in ``data`` what is ours beyond it."""
    verdict = encode_verdict(notice.verdict)
    return {
        "event": notice.kind.value,
        "data": {
            "agent": notice.agent,
            "reason": notice.verdict.reason,
            "action": encode_action(notice.action),
            "id": notice.id,
            "at": rfc3339(notice.at),
            "decision": verdict["decision"],
            "evidence": verdict["evidence"],
            "severity": notice.verdict.severity.value,
            "rung": int(notice.action.rung),
            **({"notes": list(notice.verdict.notes)} if notice.verdict.notes else {}),
        },
    }


def signature(body: bytes, secret: str) -> str:
    """The value of ``X-Kaizen-Signature``."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


class Webhook:
    """Any receiver of the documented shape."""

    def exchanges(self, notices: Sequence[Notice], destination: Destination) -> list[Exchange]:
        """One exchange a notice, so that a receiver can refuse one without losing the others."""
        return [self._exchange(notice, destination) for notice in notices]

    def _exchange(self, notice: Notice, destination: Destination) -> Exchange:
        body = json.dumps(document(notice), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            **destination.headers,
            "Content-Type": "application/json",
            "User-Agent": "kaizen",
            "X-Kaizen-Delivery": notice.delivery,
        }
        if destination.secret:
            headers["X-Kaizen-Signature"] = signature(body, destination.secret)
        return Exchange(url=destination.url, body=body, headers=headers)
