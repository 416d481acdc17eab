"""Where the rules of an agent come from: a signed bundle, or the list of the wire contract where there are no bundles.

Once a signed bundle was seen for an agent, no list is taken for it any more: whoever stands between must not be able to take the
signature away. An older bundle than the newest one seen is a rollback, and refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.bundle import MAX_BUNDLE, key_hash, signing_key, unseal
from kaizen_security.contract.errors import InvalidInput, Refused
from kaizen_security.egress.rules import Rules, of_bundle, of_list

DEADLINE = 5.0
_NO_BUNDLES = (404, 405, 501)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Rules, the document that they came in, and what to remember of it: its version, its ETag, whether it was signed."""

    rules: Rules
    document: bytes
    version: int = 0
    etag: str = ""
    signed: bool = False


class Source(Protocol):
    """What ``Policies`` asks."""

    def fetch(self, agent: str, held: Fetched | None, wait: int) -> Fetched | None:
        """What is in force for ``agent``; None: ``held`` still is. May take ``wait`` seconds to say that nothing has changed.

        Raises KaizenError, OSError.
        """

    def read(self, agent: str, document: bytes, *, signed: bool) -> Fetched:
        """What an earlier process kept on disk; its expiry is not looked at. Raises KaizenError."""

    def mark(self, agent: str, document: bytes) -> str:
        """What only we can say of a list that came without a signature and is kept on disk."""


class ControlPlane:
    """Control plane or sidecar on a kept connection. ``strict`` as in ``of_bundle``; ``clock`` gives Unix seconds."""

    def __init__(self, url: str, key: str, *, strict: bool, clock: Callable[[], float]) -> None:
        self._connection = Connection(url, max_bytes=MAX_BUNDLE)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._signing = signing_key(key_hash(key))
        # Over a Unix socket without a key the channel says who is there, and the sidecar seals with the empty key.
        self._bundles = bool(key) or url.startswith("unix://")
        self._strict = strict
        self._clock = clock

    def fetch(self, agent: str, held: Fetched | None, wait: int) -> Fetched | None:
        """See Source."""
        etag = held.etag if held is not None else ""
        signed = held is not None and held.signed
        if self._bundles:
            path = f"/v1/bundle?agent={quote(agent, safe='')}" + (f"&wait={wait}" if wait and etag else "")
            status, headers, body = self._get(path, etag if signed else "", DEADLINE + wait)
            if status == 304 and signed:
                return None
            if status not in _NO_BUNDLES or signed:
                newest = held.version if held is not None and signed else 0
                return self._bundle(agent, _good(status, body, path), newest, headers.get("etag", ""), self._clock())
        path = f"/v1/policy?agent={quote(agent, safe='')}"
        status, _, body = self._get(path, "", DEADLINE)
        document = _good(status, body, path)
        if held is not None and held.document == document:
            return None
        return self.read(agent, document, signed=False)

    def read(self, agent: str, document: bytes, *, signed: bool) -> Fetched:
        """See Source."""
        if signed:
            return self._bundle(agent, document, 0, "", -1.0)
        return Fetched(rules=of_list(document), document=document)

    def mark(self, agent: str, document: bytes) -> str:
        """See Source."""
        said = b"kaizen egress list v1\n" + agent.encode("utf-8", "surrogatepass") + b"\n" + document
        return hmac.digest(self._signing, said, "sha256").hex()

    def _bundle(self, agent: str, document: bytes, newest: int, etag: str, now: float) -> Fetched:
        # 0.0 means that it has no expiry (a sidecar without a control plane), so this is decided here.
        bundle = unseal(document, self._signing, agent=agent, now=-1.0, newest=newest)
        if 0.0 < bundle.expires_at <= now:
            raise InvalidInput("bundle.expires_at", "has passed")
        usable = len(etag) <= 256 and etag.isascii() and etag.isprintable()
        return Fetched(
            rules=of_bundle(bundle, strict=self._strict),
            document=document,
            version=bundle.version,
            etag=etag if usable else "",
            signed=True,
        )

    def _get(self, path: str, etag: str, deadline: float) -> tuple[int, dict[str, str], bytes]:
        headers = {**self._headers, "If-None-Match": etag} if etag else self._headers
        return self._connection.request("GET", path, headers=headers, deadline=deadline)


def _good(status: int, body: bytes, path: str) -> bytes:
    if status != 200:
        raise Refused(f"the control plane answers {status} to {path.partition('?')[0]}", status=status)
    return body
