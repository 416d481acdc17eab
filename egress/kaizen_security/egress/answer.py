"""What the proxy itself answers: refusals that a program can read, errors that say whose they are."""

from __future__ import annotations

import json
from http import HTTPStatus

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import encode_finding
from kaizen_security.egress.rules import Refusal

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

TLS_ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"
"""A fatal TLS alert (RFC 8446 section 6): the client sees a refusal, not a broken line."""


def _answer(status: int, document: dict[str, Json], *fields: str) -> bytes:
    body = json.dumps(document, ensure_ascii=True).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def refused(refusal: Refusal, target: str) -> bytes:
    """403: policy or a built-in rule forbids it. ``error.rules`` name what did, ``what_to_do`` the way on."""
    error: dict[str, Json] = {
        "code": refusal.code,
        "message": f"Blocked by Kaizen: {refusal.reason}",
        "rules": [encode_finding(finding) for finding in refusal.evidence],
        "what_to_do": refusal.advice,
    }
    document: dict[str, Json] = {
        "decision": "block",
        "reason": refusal.reason,
        "target": target,
        "policy_version": refusal.policy_version,
        "error": error,
    }
    return _answer(403, document, "X-Kaizen-Decision: block", "Proxy-Status: kaizen-egress; error=http_request_denied")


def failed(status: int, problem: str) -> bytes:
    """The proxy could not do it: a bad request, an origin that is not there, a limit."""
    document: dict[str, Json] = {"error": {"code": HTTPStatus(status).name.lower(), "message": problem}}
    return _answer(status, document, "X-Kaizen-Decision: none")


def credentials_needed(problem: str, *, possible: bool) -> bytes:
    """407, or 403 where no credentials would do."""
    if not possible:
        return failed(403, problem)
    document: dict[str, Json] = {"error": {"code": "proxy_authentication_required", "message": problem}}
    return _answer(407, document, 'Proxy-Authenticate: Basic realm="kaizen-egress", charset="UTF-8"')


def health(document: dict[str, Json]) -> bytes:
    """GET /healthz."""
    return _answer(200, document)
