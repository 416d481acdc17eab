"""An agent's way to its sandbox: what its processes need to go out through it, and how its account is told.

Needs the standard library only, so it runs in whatever box the agent runs in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from kaizen_security.client.dial import check_key_may_go, place
from kaizen_security.client.http import Connection
from kaizen_security.contract.errors import Misconfigured

DEADLINE = 5.0
"""Seconds that telling may take; an agent must not hang on its own account."""
_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_TRACES = "/v1/traces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """``traces`` is the receiver's address (port 8081), ``egress`` the proxy's (8080), as the agent's box reaches them.

    ``token`` is the sandbox's own; ``agent`` the name that it was started for. Raises Misconfigured for an address that is none,
    and where the token would go in the clear beyond this machine, unless ``private`` says that the network between is the owner's.
    """

    traces: str = "http://127.0.0.1:8081"
    egress: str = "http://127.0.0.1:8080"
    agent: str = "agent"
    token: str = field(default="", repr=False)
    private: bool = False

    def __post_init__(self) -> None:
        place(self.traces)
        place(self.egress)
        if not self.agent or ":" in self.agent:
            raise Misconfigured("agent must say something, without a colon: it is the user of the proxy's credentials")
        if not self.private:
            check_key_may_go(self.traces, self.token)
            check_key_may_go(self.egress, self.token)

    def proxy(self) -> str:
        """The proxy's address with its credentials."""
        parts = urlsplit(self.egress)
        if not self.token:
            return self.egress
        return f"{parts.scheme}://{quote(self.agent, safe='')}:{quote(self.token, safe='')}@{parts.netloc}"

    def environment(self, *, direct: tuple[str, ...] = ()) -> dict[str, str]:
        """Variables for the agent's processes: proxy, and where OpenTelemetry sends GenAI spans.

        ``direct``: hosts that are reached past the proxy. Whoever ignores these variables is not seen; where that matters, give
        the box no other way out.
        """
        found = dict.fromkeys(_PROXY, self.proxy())
        beside = ",".join(("127.0.0.1", "localhost", "::1", urlsplit(self.traces).hostname or "", *direct))
        found |= {"NO_PROXY": beside, "no_proxy": beside}
        found["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = self.traces.rstrip("/") + _TRACES
        found["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/json"
        if self.token:
            found["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] = f"Authorization=Bearer%20{quote(self.token, safe='')}"
        return found

    def report(self, document: object) -> None:
        """Report a run: one of the shapes that ``POST /v1/traces`` takes, times as datetimes or text.

        Raises Unreachable, Refused. An event stream's items are reported one by one, as they come.
        """
        body = json.dumps(document, default=_plain).encode()
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = Connection(self.traces)
        try:
            connection.json("POST", _TRACES, json.loads(body), headers, DEADLINE)
        finally:
            connection.close()


def attach(environ: Any = os.environ) -> Sandbox:  # noqa: TID251 - an entry point of the agent's own process
    """In an agent's process whose box states ``KZ_SANDBOX_URL`` and its like: clients made from now on go out through the sandbox.

    Raises Misconfigured.
    """
    link = from_environment(environ)
    environ.update(link.environment())
    return link


def from_environment(environ: Mapping[str, str]) -> Sandbox:
    """``KZ_SANDBOX_URL``, ``KZ_EGRESS_URL``, ``KZ_AGENT``, ``KZ_TOKEN``, ``KZ_PRIVATE_NETWORK=1``. Raises Misconfigured."""
    url = environ.get("KZ_SANDBOX_URL", "")
    if not url:
        raise Misconfigured(
            "KZ_SANDBOX_URL must say where the sandbox's trace receiver is, as in http://127.0.0.1:8081"
        )
    return Sandbox(
        traces=url,
        egress=environ.get("KZ_EGRESS_URL") or "http://127.0.0.1:8080",
        agent=environ.get("KZ_AGENT") or "agent",
        token=environ.get("KZ_TOKEN", ""),
        private=environ.get("KZ_PRIVATE_NETWORK") == "1",
    )


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
