"""What an agent declared and what policy denies, as the programs' tables: pure compiling here, one change at a time there.

Names are kept as keyed hashes, taken from their last character to their first, so that every suffix that a table may hold is met on
the way. Key and factor are random for each collector: nobody can choose a name that meets another's hash.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from kaizen_security.collectors.kernel.collector import Collector
from kaizen_security.collectors.kernel.shapes import ADDRESS_KEY, NAME_KEY, PERMIT, PORTS, RESOLVED, Agent, Name, mapped
from kaizen_security.contract import canonical
from kaizen_security.contract.compiled_rules import Range, Rule, address, domain, entries, parse_range
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy

REFUSED_BY_DEFAULT = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")
"""Link-local addresses and cloud metadata: denied unless they are declared."""
_NAT64 = int(IPv6Address("64:ff9b::"))


@dataclass(slots=True)
class Permit:
    """``flags`` of ``shapes.Name``; ``ports`` empty: any."""

    flags: Name = field(default_factory=lambda: Name(0))
    ports: frozenset[int] | None = None

    def merged(self, flags: Name, port: int) -> None:
        """One more entry of the same name. Several ports add up; none stated means any."""
        self.flags |= flags
        if flags & (Name.EXACT | Name.BELOW):
            stated = self.ports if self.ports is not None else frozenset({port})
            self.ports = frozenset() if port == 0 or stated == frozenset() else stated | {port}

    def pack(self, where: str) -> bytes:
        """As the tables hold it. Raises Misconfigured for more ports than fit."""
        ports = sorted(self.ports or ())
        if len(ports) > PORTS:
            raise Misconfigured(f"{where}: at most {PORTS} ports of one destination; declare it without a port")
        return PERMIT.pack(self.flags, *ports, *[0] * (PORTS - len(ports)))


@dataclass(slots=True)
class Rules:
    """What one agent may reach: addresses and names, declared and denied. ``limited``: what is not declared is refused.

    ``hashes`` are of programs that may not run; the kernel's tables do not hold them (see ``programs``).
    """

    declared: dict[Range, Permit] = field(default_factory=dict)
    denied: dict[Range, Permit] = field(default_factory=dict)
    names: dict[str, Permit] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    limited: bool = False

    def flags_of(self, name: str) -> tuple[Name, frozenset[int]]:
        """What the tables say of a name, as the programs find it out; and the ports of what was found last."""
        found, ports = Name(0), frozenset[int]()
        labels = name.split(".")
        for i in range(len(labels) - 1, -1, -1):
            permit = self.names.get(".".join(labels[i:]))
            if permit is None:
                continue
            meant = permit.flags & (Name.EXACT | Name.DENIED if i == 0 else Name.BELOW | Name.DENIED_BELOW)
            if meant & (Name.EXACT | Name.BELOW):
                ports = permit.ports or frozenset()
            found |= meant
        return found, ports

    def _name(self, name: str, flags: Name, port: int) -> None:
        self.names.setdefault(name, Permit()).merged(flags, port)

    def declare(self, stated: str, where: str) -> None:
        """One destination of a declaration: host, host:port, address, range, ``*.suffix`` or URL. What names no host says nothing.

        Raises Misconfigured.
        """
        text = stated.strip()
        if "/" in text and "://" not in text:
            try:
                span = parse_range(text)
            except ValueError as err:
                raise Misconfigured(f"{where} {err}") from err
            self.declared.setdefault(span, Permit()).merged(Name.EXACT, 0)
            return
        below = text.startswith("*.")
        target = canonical.target(text[2:] if below else text)
        if not target.host or not target.readable:
            return
        if target.is_address:
            self.declared.setdefault(parse_range(target.host), Permit()).merged(Name.EXACT, target.port)
        else:
            self._name(target.host, Name.BELOW if below else Name.EXACT, target.port)

    def deny(self, policy: Policy) -> None:
        """Hosts and addresses of one blocklist. Raises Misconfigured."""
        for key in ("ips", "ip"):
            rule = Rule(policy.name or policy.mode, key)
            for i, text in entries(policy, rule):
                self._deny(address(rule, i, text))
        hashes = Rule(policy.name or policy.mode, "hashes")
        self.hashes.update(canonical.digest(text) for _, text in entries(policy, hashes))
        rule = Rule(policy.name or policy.mode, "domains")
        for i, text in entries(policy, rule):
            name, below = domain(rule, i, text)
            self._name(name, Name.DENIED_BELOW if below else Name.DENIED | Name.DENIED_BELOW, 0)

    def _deny(self, span: Range) -> None:
        self.denied[span] = Permit(flags=Name.DENIED)
        if span.family == 4:
            # The same address by way of a translator (RFC 6052).
            self.denied[Range(6, _NAT64 | span.first, 96 + span.length)] = Permit(flags=Name.DENIED)

    def close_by_default(self) -> None:
        """Deny what no agent needs, unless it was declared by its address."""
        for text in REFUSED_BY_DEFAULT:
            span = parse_range(text)
            if not any(one.family == span.family and span.first <= one.first <= span.last for one in self.declared):
                self._deny(span)


def compile_rules(
    declaration: Declaration, policies: Iterable[Policy], *, also: Iterable[str] = (), limited: bool = False
) -> Rules:
    """The tables of one agent. ``also``: destinations that are permitted besides (the proxy, resolvers). Raises Misconfigured."""
    rules = Rules(limited=limited)
    for i, text in enumerate(declaration.destinations):
        rules.declare(text, f"declaration: destinations[{i}]")
    for text in also:
        rules.declare(text, text)
    for policy in policies:
        if policy.enabled and policy.mode == "blocklist":
            rules.deny(policy)
    rules.close_by_default()
    return rules


def hashed(name: str, keys: tuple[int, int]) -> int:
    """The hash of a name as ``bpf/names.h`` takes it."""
    seed, prime = keys
    value = seed
    for char in reversed(name.encode("ascii", "replace")):
        value = (value ^ char) * prime & 0xFFFFFFFFFFFFFFFF
    return value


class Table:
    """Puts an agent's rules in force, whole: entries of a new generation first, then the agent's flags, then the old ones go."""

    def __init__(self, collector: Collector, number: int) -> None:
        self._collector = collector
        self._number = number
        self._generation = 0
        self._held: list[tuple[str, bytes]] = []

    def put(self, rules: Rules, flags: Agent) -> None:
        """In force when this returns, and until then what was before. Raises Misconfigured when the tables are full."""
        generation = self._generation + 1
        placed: list[tuple[str, bytes]] = []
        try:
            for table, key, value in self._entries(rules, generation):
                self._collector.map(table).put(key, value)
                placed.append((table, key))
        except OSError as err:
            self._remove(placed)
            if err.errno in (errno.E2BIG, errno.ENOSPC, errno.ENOMEM):
                raise Misconfigured(
                    f"policy and declaration have more entries than the kernel's tables take: {err}"
                ) from err
            raise
        self._collector.serve(
            self._number, flags=flags | (Agent.DECLARED if rules.limited else Agent(0)), generation=generation
        )
        self._again(rules)
        self._remove(self._held)
        self._held, self._generation = placed, generation

    def _entries(self, rules: Rules, generation: int) -> Iterator[tuple[str, bytes, bytes]]:
        tables: Mapping[str, Mapping[Range, Permit]] = {"declared": rules.declared, "denied": rules.denied}
        for table, spans in tables.items():
            for span, permit in spans.items():
                bits, first = mapped(span.family, span.first, span.length)
                yield table, ADDRESS_KEY.pack(64 + bits, self._number, generation, first), permit.pack(table)
        keys = self._collector.hash_keys
        for name, permit in rules.names.items():
            yield "names", NAME_KEY.pack(hashed(name, keys), self._number, generation), permit.pack(name)

    def _again(self, rules: Rules) -> None:
        """Addresses that names had before: what the new rules say of those names."""
        resolved = self._collector.map("resolved")
        for key in list(resolved.keys(20)):
            value = resolved.get(key)
            if value is None or struct.unpack_from("=I", key)[0] != self._number:
                continue
            at, *_, length, name = RESOLVED.unpack_from(value)
            if length > 64:
                resolved.remove(key)
                continue
            flags, ports = rules.flags_of(name[:length].decode("ascii", "replace"))
            stated = sorted(ports)[:PORTS]
            resolved.put(
                key,
                RESOLVED.pack(at, flags, *stated, *[0] * (PORTS - len(stated)), length, name).ljust(len(value), b"\0"),
            )

    def _remove(self, held: Iterable[tuple[str, bytes]]) -> None:
        for table, key in held:
            self._collector.map(table).remove(key)
