"""What may be dialled: policy on the name, on the address and on the TLS name, and addresses that nobody should reach.

The order: policy on the name, the declaration on the name (for agents that are enforced), then for each address the built-in
refusals and policy on it. The built-in ones hold in both modes. An address is not looked for in the declaration unless it is what
the agent asked for: agents declare names, and where a name leads is not theirs to know.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.canonical_address import embedded
from kaizen_security.contract.declared import CompiledDeclaration
from kaizen_security.contract.finding import Finding
from kaizen_security.egress.http1 import authority
from kaizen_security.egress.rules import Refusal, Rules

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
    """Answers for names and addresses, remembered until the rules change.

    ``rules(agent)`` gives what is in force, or a Refusal when there is nothing that may be trusted (fail closed), or None.
    ``only``: deny by default. What neither it nor the agent's own declaration permits is not dialled, whatever the mode.
    """

    def __init__(
        self,
        *,
        rules: Callable[[str], Rules | Refusal | None],
        allow: Iterable[IPv4Network | IPv6Network] = (),
        allow_loopback: bool = False,
        only: CompiledDeclaration | None = None,
    ) -> None:
        self._rules = rules
        self._allow = tuple(allow)
        self._allow_loopback = allow_loopback
        self._only = only
        self._own: set[tuple[str, int]] = set()
        self._everywhere: set[int] = set()
        self._names: dict[tuple[str, str, int], tuple[Rules, Refusal | None]] = {}
        self._dialled: dict[tuple[str, str, int], tuple[Rules, Refusal | None]] = {}
        self._addresses: dict[str, Refusal | None] = {}
        self.dropped = 0

    def own(self, host: str, port: int) -> None:
        """The proxy listens here: never dialled, or a request could go round for ever, or come back as another agent's."""
        self._own.add((host, port))
        if ip_address(host).is_unspecified:
            self._everywhere.add(port)

    def name(self, agent: str, host: str, port: int) -> Refusal | None:
        """Whether ``agent`` may ask for that name or address; ``host`` is canonical."""
        rules = self._rules(agent)
        if not isinstance(rules, Rules):
            return rules or self._by_default(None, authority(host, port))
        key = (agent, host, port)
        known = self._names.get(key)
        if known is not None and known[0] is rules:
            return known[1]
        target = authority(host, port)
        refusal = rules.denied(target) or rules.undeclared(target) or self._by_default(rules, target)
        self._remember(self._names, key, (rules, refusal))
        return refusal

    def query(self, agent: str, name: str) -> Refusal | None:
        """Whether ``agent`` may ask a resolver for that name."""
        rules = self._rules(agent)
        if not isinstance(rules, Rules):
            return rules or self._by_default(None, name)
        return rules.denied(name) or rules.undeclared(name) or self._by_default(rules, name)

    def standing(self, agent: str) -> Rules | None:
        """What this gate decides on this agent by: while that is the same, and not None, so is what was decided."""
        rules = self._rules(agent)
        return rules if isinstance(rules, Rules) else None

    def _by_default(self, rules: Rules | None, target: str) -> Refusal | None:
        if self._only is None or self._only.destination(target) or (rules is not None and rules.declares(target)):
            return None
        return not_permitted(target)

    def hidden_name(self, record_host: str, agent: str, host: str, port: int) -> Refusal | None:
        """Whether a tunnel to ``record_host`` may carry that TLS name.

        Inside a tunnel to an address only policy decides on it: it is the address that was declared, and that is where it goes.
        """
        decide = self._denied if is_address(record_host) else self.name
        return decide(agent, host, port)

    def unreadable_name(self, record_host: str, agent: str, port: int, speaks: str) -> Refusal | None:
        """Whether a tunnel to ``record_host`` may carry ``tls`` or ``http`` whose name cannot be read.

        Not where that name would have to be declared.
        """
        rules = self._rules(agent)
        if isinstance(rules, Refusal):
            return rules
        held = self._only is not None or (rules is not None and rules.declared is not None)
        if not held or is_address(record_host):
            return None
        advice = "Use an ordinary client: which host is asked for has to be read, and cannot be."
        kind = "unreadable TLS name" if speaks == "tls" else "unreadable request"
        return _built_in(kind, authority(record_host, port), advice)

    def _denied(self, agent: str, host: str, port: int) -> Refusal | None:
        rules = self._rules(agent)
        if not isinstance(rules, Rules):
            return rules
        key = (agent, host, port)
        known = self._dialled.get(key)
        if known is not None and known[0] is rules:
            return known[1]
        refusal = rules.denied(authority(host, port))
        self._remember(self._dialled, key, (rules, refusal))
        return refusal

    def _remember(
        self,
        known: dict[tuple[str, str, int], tuple[Rules, Refusal | None]],
        key: tuple[str, str, int],
        answer: tuple[Rules, Refusal | None],
    ) -> None:
        if len(known) >= MAX_REMEMBERED:
            self.dropped += len(known)
            known.clear()
        known[key] = answer

    def address(self, agent: str, address: str, port: int, *, mapped: bool = False) -> Refusal | None:
        """Whether that very address may be dialled. ``mapped``: the owner's ``hosts`` map named it, so loopback is meant."""
        try:
            host = canonical.host(address)
        except ValueError:
            return _built_in("unusable address", address[:512], "The name resolves to something that is no address.")
        if (host, port) in self._own or (port in self._everywhere and _is_of_this_machine(host)):
            return _built_in("the proxy itself", authority(host, port), "Send the request to its real destination.")
        if not mapped:
            refusal = self._special(host)
            if refusal is not None:
                return refusal
        return self._denied(agent, host, port)

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
        if _in(address, NOWHERE):
            return _built_in("unusable address", host, "This address names no single other machine.")
        # One that a network may carry to another address (6to4, Teredo, a NAT64 of its own) is refused as that one is.
        inner = (*embedded(int(address)), *_split(int(address))) if isinstance(address, IPv6Address) else ()
        found = (self._reserved(one, host) for one in (address, *map(IPv4Address, inner)))
        return next((refusal for refusal in found if refusal is not None), None)

    def _reserved(self, address: IPv4Address | IPv6Address, host: str) -> Refusal | None:
        if _in(address, METADATA):
            advice = "Cloud metadata hands out credentials. If the agent needs it, list the address under `allow`."
            return _built_in("cloud metadata address", host, advice)
        if _in(address, LINK_LOCAL):
            return _built_in("link-local address", host, "If the agent needs it, list the address under `allow`.")
        if _in(address, LOOPBACK) and not self._allow_loopback:
            advice = "Name the service in the proxy's `hosts` map, or set `allow_loopback`."
            return _built_in("loopback address", host, advice)
        return None


def not_permitted(target: str) -> Refusal:
    """What is said of a destination that nothing permits where everything else is denied."""
    advice = "Declare the destination for this agent, or have the owner of the proxy add it to its `destinations`."
    finding = Finding(
        kind="destination not permitted",
        value=target,
        source="egress",
        detection="egress-default-deny",
        field="target",
        observed=target,
        expected="a declared destination, or one of the proxy's `destinations`",
        advice=advice,
        attack="undeclared",
    )
    reason = reasons.blocked_by_policy([finding.kind])
    return Refusal(code="not-permitted", reason=reason, advice=advice, evidence=(finding,))


@lru_cache(maxsize=4096)
def is_address(host: str) -> bool:
    """Whether a canonical host is an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _split(value: int) -> tuple[int, ...]:
    """The IPv4 addresses that an IPv6 address of ``64:ff9b:1::/48`` leads to where a network cuts shorter prefixes than /96 out of
    it: /48, /56, /64 (RFC 8215; RFC 6052 section 2.2, where bits 64 to 71 stand between).
    """
    if value >> 80 != 0x0064_FF9B_0001:
        return ()
    behind = value >> 24 & 0xFFFF_FFFF
    return (value >> 64 & 0xFFFF) << 16 | behind >> 16, (value >> 64 & 0xFF) << 24 | behind >> 8, behind


def _is_of_this_machine(host: str) -> bool:
    """Whether the address is one of this machine's: only those can be bound to."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _in(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
