"""Destinations as an administrator states them: checked, sealed for the disk, and opened again for delivery."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import obj, text
from kaizen_security.exports.base import Destination, Exporter
from kaizen_security.exports.otlp import Otlp
from kaizen_security.exports.slack import Slack, is_slack
from kaizen_security.exports.vault import Vault
from kaizen_security.exports.webhook import Webhook
from kaizen_security.net import outbound

EXPORTERS: dict[str, Exporter] = {"webhook": Webhook(), "slack": Slack(), "otlp": Otlp()}
"""Every kind of destination that there is."""
TOGETHER = {"otlp": 100}
"""Notices that one delivery of a kind tells; the others tell one at a time."""
MAX_URL = 2048
MAX_SECRET = 4096
MAX_HEADERS = 10
MAX_HEADER = 2048
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# What frames the message, and what we say ourselves, is not the administrator's.
_OURS = frozenset(
    "connection content-encoding content-length content-type expect host keep-alive te trailer transfer-encoding upgrade "
    "user-agent".split()
)


def read_destination(document: Mapping[str, Json], *, number: str) -> Destination:
    """A destination out of ``{"url", "kind"?, "secret"?, "headers"?, "service"?}``. Raises InvalidInput naming the field.

    ``kind`` is ``slack`` for Slack's incoming webhooks, whatever is said; else ``webhook`` unless it is said.
    """
    url = text(document, "url", limit=MAX_URL)
    try:
        scheme, _, _, _ = outbound.split(url)
    except Misconfigured as err:
        raise InvalidInput("url", f"cannot be used: {err}") from err
    if not url.isascii():
        raise InvalidInput("url", "must be ASCII; write its host in its xn-- form")
    kind = text(document, "kind", limit=16) or "webhook"
    if kind not in EXPORTERS:
        raise InvalidInput("kind", f"must be one of {', '.join(EXPORTERS)}")
    if is_slack(url):
        kind = "slack"
    made = Destination(
        id=number,
        kind=kind,
        url=url,
        secret=read_secret(document),
        headers=read_headers(document),
        options={"service": text(document, "service", limit=256)} if kind == "otlp" else {},
    )
    if kind == "slack":
        if scheme != "https":
            raise InvalidInput("url", "must begin with https://: whoever knows it can write to the channel")
        if made.secret or made.headers:
            raise InvalidInput("secret" if made.secret else "headers", "are not for Slack, whose secret is the URL")
    return made


def read_secret(document: Mapping[str, Json]) -> str:
    """What signs a webhook, or is OTLP's ``Authorization``. Raises InvalidInput."""
    secret = text(document, "secret", limit=MAX_SECRET)
    if secret and not _VALUE.fullmatch(secret):
        raise InvalidInput("secret", "must be printable ASCII without space at its ends")
    return secret


def read_headers(document: Mapping[str, Json]) -> dict[str, str]:
    """Headers to send along. Raises InvalidInput."""
    said = document.get("headers")
    found = obj({} if said is None else said, "headers")
    if len(found) > MAX_HEADERS:
        raise InvalidInput("headers", f"has {len(found)} entries, at most {MAX_HEADERS} are taken")
    headers: dict[str, str] = {}
    for name, value in found.items():
        if not _HEADER.fullmatch(name):
            raise InvalidInput("headers", "has a name that is none (RFC 9110)")
        if name.lower() in _OURS or name.lower().startswith("x-kaizen-"):
            raise InvalidInput(f"headers.{name}", "is set by Kaizen itself")
        if name.lower() in {one.lower() for one in headers}:
            raise InvalidInput(f"headers.{name}", "is there twice")
        if not isinstance(value, str) or len(value) > MAX_HEADER or not _VALUE.fullmatch(value):
            raise InvalidInput(f"headers.{name}", f"must be printable ASCII, 1 to {MAX_HEADER} characters")
        headers[name] = value
    return headers


def shown(destination: Destination) -> dict[str, Json]:
    """What may be shown: of the URL no more than where it leads, since a path or a query may be a secret; of headers the names."""
    scheme, host, port, path = outbound.split(destination.url)
    usual = {"http": 80, "https": 443}[scheme]
    place = f"[{host}]" if ":" in host else host
    if port != usual:
        place += f":{port}"
    names: list[Json] = [*sorted(destination.headers)]
    document: dict[str, Json] = {
        "place": f"{scheme}://{place}/" + ("" if path == "/" else "…"),
        "has_secret": bool(destination.secret),
        "headers": names,
    }
    if destination.kind == "otlp":
        document["service"] = destination.options.get("service") or "kaizen"
    return document


def seal(destination: Destination, vault: Vault, *, organisation: int) -> bytes:
    """All of it for the disk. Raises Misconfigured."""
    document = {
        "url": destination.url,
        "secret": destination.secret,
        "headers": dict(destination.headers),
        "options": dict(destination.options),
    }
    return vault.seal(json.dumps(document).encode(), place=_place(organisation, destination.id))


def unseal(sealed: bytes, vault: Vault, *, organisation: int, number: str, kind: str) -> Destination:
    """What was sealed. Raises Misconfigured when the key is not here."""
    document = json.loads(vault.open(sealed, place=_place(organisation, number)))
    return Destination(
        id=number,
        kind=kind,
        url=document["url"],
        secret=document["secret"],
        headers=document["headers"],
        options=document["options"],
    )


def _place(organisation: int, number: str) -> str:
    return f"kaizen export {organisation} {number}"
