"""What may be dialled: policy on the name, on the address and on the TLS name, and addresses that nobody should reach.

The order: policy on the name, then for each address the built-in refusals and policy on it. The built-in ones hold in both modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import Compiled
from kaizen_security.contract.finding import Finding
from kaizen_security.egress.http1 import authority

MAX_REMEMBERED = 16384
"""Decisions kept; when full, all are dropped (and counted) rather than the useful ones searched for."""

METADATA = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",  # AWS, Azure, Google Cloud, Oracle, DigitalOcean
        "169.254.170.2/32",  # ECS task credentials
        "169.254.170.23/32",  # EKS pod identity
        "fd00:ec2::254/128",
        "fd00:ec2::23/128",
        "fd20:ce::254/128",  # Google Cloud over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "192.0.0.192/32",  # Oracle Cloud
        "168.63.129.16/32",  # Azure's wire server
    )
)
LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
NOWHERE = tuple(ip_network(text) for text in ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32"))
"""``connect`` to 0.0.0.0 or :: reaches this very machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is not dialled. ``code`` is for machines, ``reason`` a form of the contract, ``advice`` says what to do."""

    code: str
    reason: str
    advice: str
    evidence: tuple[Finding, ...] = ()
    policy_version: str = ""


def policy_refusal(compiled: Compiled, target: str) -> Refusal | None:
    """What a policy says of a connection to ``target``."""
    action = Action(kind="connect", target=target, metadata={"source": "egress"})
    # Lists of tools and publishers say nothing about a connection, which has neither.
    findings = tuple(finding for finding in compiled.findings(action) if finding.kind in _ABOUT_DESTINATIONS)
    if not findings:
        return None
    return Refusal(
        code="policy",
        reason=reasons.blocked_by_policy(finding.kind for finding in findings),
        advice=findings[0].advice or "Use a permitted destination, or ask who owns the policy to change it.",
        evidence=findings,
        policy_version=compiled.version,
    )


_ABOUT_DESTINATIONS = frozenset(("malicious domain", "known-bad address"))


def _built_in(kind: str, value: str, advice: str) -> Refusal:
    finding = Finding(
        kind=kind,
        value=value,
        source="egress",
        detection="egress-address",
        field="target",
        observed=value,
        advice=advice,
    )
    return Refusal(
        code=kind.replace(" ", "-"), reason=reasons.blocked_by_policy([kind]), advice=advice, evidence=(finding,)
    )


class Gate:
    """Answers for names and addresses, remembered until the policy changes.

    ``policy(agent)`` gives the compiled policy, or a Refusal when there is none that may be trusted (fail closed), or None.
    """

    def __init__(
        self,
        *,
        policy: Callable[[str], Compiled | Refusal | None],
        allow: Iterable[IPv4Network | IPv6Network] = (),
        allow_loopback: bool = False,
    ) -> None:
        self._policy = policy
        self._allow = tuple(allow)
        self._allow_loopback = allow_loopback
        self._own: set[tuple[str, int]] = set()
        self._known: dict[tuple[str, str], tuple[Compiled, Refusal | None]] = {}
        self._addresses: dict[str, Refusal | None] = {}
        self.dropped = 0

    def own(self, host: str, port: int) -> None:
        """The proxy listens here: never dialled, or a request could go round for ever."""
        self._own.add((host, port))

    def name(self, agent: str, host: str, port: int) -> Refusal | None:
        """Whether ``agent`` may connect to that name or address; ``host`` is canonical."""
        compiled = self._policy(agent)
        if compiled is None or isinstance(compiled, Refusal):
            return compiled
        target = authority(host, port)
        known = self._known.get((agent, target))
        if known is not None and known[0] is compiled:
            return known[1]
        refusal = policy_refusal(compiled, target)
        if len(self._known) >= MAX_REMEMBERED:
            self.dropped += len(self._known)
            self._known.clear()
        self._known[agent, target] = (compiled, refusal)
        return refusal

    def address(self, agent: str, address: str, port: int, *, mapped: bool = False) -> Refusal | None:
        """Whether that very address may be dialled. ``mapped``: the owner's ``hosts`` map named it, so loopback is meant."""
        try:
            host = canonical.host(address)
        except ValueError:
            return _built_in("unusable address", address[:512], "The name resolves to something that is no address.")
        if (host, port) in self._own:
            return _built_in("the proxy itself", authority(host, port), "Send the request to its real destination.")
        if not mapped:
            refusal = self._special(host)
            if refusal is not None:
                return refusal
        return self.name(agent, host, port)

    def _special(self, host: str) -> Refusal | None:
        if host not in self._addresses:
            if len(self._addresses) >= MAX_REMEMBERED:
                self.dropped += len(self._addresses)
                self._addresses.clear()
            self._addresses[host] = self._look(host)
        return self._addresses[host]

    def _look(self, host: str) -> Refusal | None:
        try:
            address = ip_address(host)
        except ValueError:
            return _built_in("unusable address", host, "The name resolves to something that is no address.")
        if any(address in network for network in self._allow):
            return None
        if _in(address, METADATA):
            advice = "Cloud metadata hands out credentials. If the agent needs it, list the address under `allow`."
            return _built_in("cloud metadata address", host, advice)
        if _in(address, LINK_LOCAL):
            return _built_in("link-local address", host, "If the agent needs it, list the address under `allow`.")
        if _in(address, NOWHERE):
            return _built_in("unusable address", host, "This address names no single other machine.")
        if _in(address, LOOPBACK) and not self._allow_loopback:
            advice = "Name the service in the proxy's `hosts` map, or set `allow_loopback`."
            return _built_in("loopback address", host, advice)
        return None


def _in(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
