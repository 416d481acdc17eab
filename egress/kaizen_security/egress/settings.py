"""Every setting of the proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from kaizen_security.client.config import BASE_URL
from kaizen_security.egress.budgets import Budget
from kaizen_security.egress.opening import Inspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting; the names are those of the configuration file. Times are seconds.

    ``host``, ``port``      where the proxy listens; port 0: any free one
    ``listen_fd``           descriptor of a listening TCP socket that the parent left open, in place of both
    ``transparent_host``, ``transparent_port``   where redirected connections arrive; -1: nowhere
    ``dns_host``, ``dns_port``   where the DNS sidecar takes queries; -1: nowhere. ``dns_upstream``: the resolver that it asks, by
                            default the first of /etc/resolv.conf; ``dns_label_bytes``: see ``labels.Labels``, 0: no limit
    ``api_url``             the control plane; ``sidecar`` (``unix:///…`` or a URL), when given, is talked to instead
    ``api_key``, ``agent``  the proxy's key; the agent that connections without proxy credentials belong to
    ``mode``                ``observe``: without a policy, pass. ``enforce``: without a fresh policy, refuse
    ``fail_closed``         overrides what ``mode`` says about that
    ``hosts``               names that resolve to given addresses: ``{"api.internal:443": "127.0.0.1:9443"}``
    ``allow``               networks exempt from the built-in refusals (loopback, link-local, cloud metadata)
    ``allow_loopback``      the whole of 127.0.0.0/8 and ::1
    ``deny_by_default``     refuse what neither ``destinations`` nor the agent's own declaration names
    ``budgets``             see ``budgets.Budget``
    ``kill_switch``         a file: while it is there, nothing passes; relative to ``data``
    ``credentials``         ``{agent: key}`` or ``{agent: "sha256:<hex>"}``: proxy credentials besides ``api_key``
    ``sources``             whose these are, by the peer's network: ``{"10.1.2.0/24": agent}``; the longest prefix counts
    ``require_credentials`` also of private and loopback peers; of public peers they are always required
    ``tls_cert``, ``tls_key``   clients speak TLS to the proxy; ``tls_client_ca``: they show a certificate of it, whose common name
                            is the agent
    ``inspect``             open TLS and look into what is sent, see ``opening.Inspect``; None: no
    ``via``                 add a Via field to plain requests
    ``header_timeout``      for a request's head; ``connect_timeout`` for name and connection; ``idle_timeout`` without a byte;
                            ``keepalive_timeout`` between requests
    ``drain_timeout``       how long open connections may go on after SIGTERM
    ``restart_timeout``     how long they may go on in the old process after SIGUSR2
    ``max_connections``     clients at once
    ``policy_refresh``      between two fetches; ``policy_max_age``: older is not fresh
    ``data``                folder for the spool and the last policy; ``spool_bytes``: the spool's bound
    ``splice``, ``epoll``   off: copy, ``selectors`` (for systems where they misbehave)
    """

    host: str = "127.0.0.1"
    port: int = 8080
    listen_fd: int = -1
    transparent_host: str = "127.0.0.1"
    transparent_port: int = -1
    dns_host: str = "127.0.0.1"
    dns_port: int = -1
    dns_upstream: str = ""
    dns_label_bytes: int = 4096
    api_url: str = BASE_URL
    sidecar: str = ""
    api_key: str = ""
    agent: str = "egress-agent"
    mode: str = "observe"
    fail_closed: bool | None = None
    hosts: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_loopback: bool = False
    deny_by_default: bool = False
    destinations: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    kill_switch: Path = Path("kill-switch")
    credentials: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()
    require_credentials: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    inspect: Inspect | None = None
    via: bool = False
    header_timeout: float = 30.0
    connect_timeout: float = 15.0
    idle_timeout: float = 900.0
    keepalive_timeout: float = 75.0
    drain_timeout: float = 5.0
    restart_timeout: float = 3600.0
    max_connections: int = 10_000
    policy_refresh: float = 15.0
    policy_max_age: float = 300.0
    data: Path = Path("kaizen-egress")
    spool_bytes: int = 64 << 20
    splice: bool = True
    epoll: bool = True

    @property
    def switch(self) -> Path:
        """Where the kill switch is looked for."""
        return self.data / self.kill_switch

    @property
    def closed(self) -> bool:
        """Whether the proxy refuses when it has no fresh policy."""
        return self.mode == "enforce" if self.fail_closed is None else self.fail_closed
