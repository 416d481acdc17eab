"""What stands in a policy's rules, checked and in canonical form, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Json
from kaizen_security.contract.canonical_address import fold, number
from kaizen_security.contract.compiled_syntax import Assertion, Choice, Node, Sequence, literal, parse
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import MODES, Policy

RULES = {
    "blocklist": ("publishers", "ips", "ip", "domains", "hashes", "skill_patterns"),
    "allowlist": ("publishers", "tools"),
    "correlation": ("risky_sequence",),
}
MAX_ENTRIES = 1_000_000
"""Entries of all policies together."""


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of one family (4 or 6) that share the first ``length`` bits with ``first``."""

    family: int
    first: int
    length: int

    @property
    def last(self) -> int:
        """The last address."""
        return self.first | (1 << (32 if self.family == 4 else 128) - self.length) - 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule key of one policy: errors name it."""

    policy: str
    key: str

    def refuse(self, index: int, problem: str) -> NoReturn:
        """Raise Misconfigured for entry ``index``."""
        raise Misconfigured(f"policy {self.policy}: rule {self.key}[{index}] {problem}")


def name_of(policy: Policy, index: int) -> str:
    """How errors name a policy: its name, or its place and mode."""
    return repr(policy.name) if policy.name else f"number {index + 1} ({policy.mode or 'no mode'})"


def check(policy: Policy, name: str) -> None:
    """The shape of a policy. Raises Misconfigured naming policy and rule."""
    if policy.mode not in MODES:
        raise Misconfigured(f"policy {name}: mode must be one of {', '.join(MODES)}")
    if not policy.enabled:
        return
    if not isinstance(policy.rules, Mapping):
        raise Misconfigured(f"policy {name}: rules must be an object")
    known = RULES[policy.mode]
    for key, value in policy.rules.items():
        if key not in known:
            raise Misconfigured(
                f"policy {name}: rule {str(key)[:64]} does nothing in a {policy.mode}; known are {', '.join(known)}"
            )
        if policy.mode != "correlation" and not isinstance(value, list | tuple | type(None)):
            raise Misconfigured(f"policy {name}: rule {key} must be a list")
    if policy.mode == "allowlist" and not any(policy.rules.get(key) for key in known):
        raise Misconfigured(
            f"policy {name}: an allowlist must list at least one of publishers and tools, or nothing could ever run"
        )
    if policy.mode == "correlation" and policy.rules.get("risky_sequence") != "read_then_connect":
        raise Misconfigured(f"policy {name}: rule risky_sequence must be read_then_connect")


def entries(policy: Policy, rule: Rule) -> Iterator[tuple[int, str]]:
    """The entries of one rule with their places; each is text and says something. Raises Misconfigured."""
    values: Json = policy.rules.get(rule.key)
    if not isinstance(values, list | tuple):
        return
    for i, value in enumerate(values):
        if not isinstance(value, str):
            rule.refuse(i, "must be text")
        if not value.strip():
            rule.refuse(i, "is empty, so it would match nothing")
        yield i, value


def domain(rule: Rule, index: int, text: str) -> tuple[str, bool]:
    """The canonical domain, and whether only names below it are meant (``*.example.com``, ``.example.com``). Raises
    Misconfigured.
    """
    name = text.strip()
    below = name.startswith(("*.", "."))
    name = name[2:] if name.startswith("*.") else name.removeprefix(".")
    if any(sign in name for sign in "/@?#") or "*" in name:
        rule.refuse(index, "must be a host name, without scheme, port or path (*. may stand in front)")
    try:
        name = canonical.host(name)
    except ValueError as err:
        rule.refuse(index, f"is no host name: {err}")
    if number(name) is not None:
        rule.refuse(index, "is an address; list it under ips")
    return name, below


def address(rule: Rule, index: int, text: str) -> Range:
    """An address or a CIDR range; bits of the host part are cut off, as deployed clients do. Raises Misconfigured."""
    try:
        return parse_range(text)
    except ValueError as err:
        rule.refuse(index, str(err))


def parse_range(text: str) -> Range:
    """``1.2.3.4``, ``1.2.3.0/24``, ``2001:db8::/32``, an address in any spelling. A range of IPv4-mapped or NAT64 addresses is
    one of IPv4.

    Raises ValueError.
    """
    stated, slash, bits = text.strip().partition("/")
    found = number(stated.strip("[]").partition("%")[0])
    if found is None:
        try:
            found = number(canonical.host(stated))
        except ValueError:
            found = None
    if found is None:
        raise ValueError("is neither an address nor a range such as 192.0.2.0/24")
    family, value = found
    width = 32 if family == 4 else 128
    if slash and not (bits.isascii() and bits.isdecimal() and len(bits) <= 3 and int(bits) <= width):
        raise ValueError(f"has a prefix that is not a number from 0 to {width}")
    length = int(bits) if slash else width
    four = fold(value) if family == 6 and length >= 96 else None
    if four is not None:
        family, value, length, width = 4, four, length - 96, 32
    return Range(family, value >> width - length << width - length, length)


def pattern(rule: Rule, index: int, text: str) -> list[Node]:
    """The pattern, one tree for each of its outermost alternatives. Raises Misconfigured."""
    try:
        tree = parse(text)
    except ValueError as err:
        rule.refuse(index, f"is no pattern that is taken: {err}")
    trees = [_bare(option) for option in (tree.options if isinstance(tree, Choice) else (tree,))]
    if any(literal(option) == "" for option in trees):
        rule.refuse(index, "matches the empty name, and no tool has one")
    return trees


def _bare(tree: Node) -> Node:
    """Without ``^`` in front and ``$`` behind, which say nothing where the whole name has to match."""
    parts = list(tree.parts) if isinstance(tree, Sequence) else [tree]
    while parts and parts[0] == Assertion("^"):
        del parts[0]
    while parts and parts[-1] == Assertion("$"):
        del parts[-1]
    return Sequence(tuple(parts))


__all__ = [
    "RULES",
    "MAX_ENTRIES",
    "Range",
    "Rule",
    "address",
    "check",
    "domain",
    "entries",
    "literal",
    "name_of",
    "parse_range",
    "pattern",
]
