"""Policies compiled once, so that a decision costs microseconds however many entries there are.

Frozensets and dictionaries for names, a walk over a host's suffixes, bisection for address ranges, one automaton for patterns.
What is compared is canonical (``contract.canonical``); where that is stricter than the deployed clients, ADR 0002 says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_address import embedded, fold, format4, format6, number
from kaizen_security.contract.compiled_correlation import Correlation
from kaizen_security.contract.compiled_patterns import Automaton
from kaizen_security.contract.compiled_ranges import Ranges
from kaizen_security.contract.compiled_rules import (
    MAX_ENTRIES,
    Range,
    Rule,
    address,
    check,
    domain,
    entries,
    literal,
    name_of,
    pattern,
)
from kaizen_security.contract.compiled_syntax import Node
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Decision, Verdict

__all__ = ["Compiled", "Correlation", "compile_policies"]

_REMEMBERED = 4096
_SHORT = 512
_LOOPBACK = ((4, 0x7F00_0001), (6, 1))
_Owners = tuple[int, ...]


@dataclass(slots=True)
class _Hit:
    """One finding to be: which policy, which rule (in the order of the deployed clients), about what."""

    owner: int
    rule: int
    value: str
    entry: str


_RULES = (
    # kind, field, rule key, attack, what to do
    ("blacklisted publisher", "publisher", "publishers", ""),
    ("known-bad address", "target", "ips", "blocked-host"),
    ("malicious domain", "target", "domains", "blocked-host"),
    ("known-bad hash", "hash", "hashes", ""),
    ("malicious skill pattern", "tool", "skill_patterns", ""),
    ("publisher not on the allowlist", "publisher", "publishers", ""),
    ("tool not on the allowlist", "tool", "tools", ""),
)
_PUBLISHER, _ADDRESS, _DOMAIN, _HASH, _PATTERN, _ALLOW_PUBLISHER, _ALLOW_TOOL = range(7)


class _Tables:
    """What ``compile_policies`` fills and ``Compiled`` reads. Keys are canonical; owners are policies' places."""

    def __init__(self) -> None:
        self.publishers: dict[str, _Owners] = {}
        self.domains: dict[str, _Owners] = {}
        self.below: dict[str, _Owners] = {}
        self.ranges: list[tuple[Range, int]] = []
        self.hashes: dict[str, _Owners] = {}
        self.literals: dict[str, _Owners] = {}
        self.trees: list[Node] = []
        self.tree_owner: list[tuple[int, str]] = []
        self.allow_publishers: dict[str, _Owners] = {}
        self.allow_tools: dict[str, _Owners] = {}
        self.want_publisher: _Owners = ()
        self.want_tool: _Owners = ()
        self.count = 0
        self._shared: dict[_Owners, _Owners] = {}

    def add(self, table: dict[str, _Owners], key: str, owner: int) -> None:
        owners = table.get(key, ())
        if owner not in owners:
            owners = (*owners, owner)
            # One tuple for all entries of a policy: 100,000 entries share it.
            table[key] = self._shared.setdefault(owners, owners)


class Compiled:
    """Policies, ready to decide. Made by ``compile_policies``; safe to share between threads.

    ``version``     16 hex digits of the content: the same whatever the order of policies and entries
    ``correlates``  a correlation policy is on: ask ``correlation()`` for what remembers the sequence
    ``entries``     how many entries are in force
    """

    def __init__(self, policies: tuple[tuple[str, Policy], ...], tables: _Tables, version: str) -> None:
        self.version = version
        self.entries = tables.count
        self._names = tuple(policy.name or policy.mode for _, policy in policies)
        self._correlating = next((policy for _, policy in policies if policy.mode == "correlation"), None)
        self.correlates = self._correlating is not None
        self._tables = tables
        self._ranges = {family: Ranges(family, tables.ranges) for family in (4, 6)}
        tables.ranges = []
        self._exact = Automaton(tables.trees) if tables.trees else None
        self._folded = Automaton(tables.trees, fold=True) if tables.trees else None
        tables.trees = []
        self._targets = bool(tables.domains or tables.below or self._ranges[4] or self._ranges[6])
        self._known: dict[tuple[str, str, str, str], Verdict] = {}
        self._known_tools: dict[str, tuple[_Hit, ...]] = {}
        self.forgotten = 0
        """Remembered decisions dropped because there were too many."""
        self._allow = Verdict(decision=Decision.ALLOW, reason=reasons.NO_POLICY_MATCHED, policy_version=version)

    def decide(self, action: Action) -> Verdict:
        """Block with the findings, or allow because ``no policy matched``. Sequences are ``correlation()``'s. Never raises."""
        key = (action.tool, action.publisher, action.target, action.hash)
        verdict = self._known.get(key)
        if verdict is None:
            verdict = self._decide(action, key)
        return verdict if not action.id else replace(verdict, action_id=action.id)

    def findings(self, action: Action) -> tuple[Finding, ...]:
        """What the policies have against ``action``, in the order of the policies."""
        return self.decide(action).evidence if not action.id else self.decide(replace(action, id="")).evidence

    def correlation(self) -> Correlation:
        """A fresh memory for the sequence that the correlation policy forbids."""
        return Correlation(
            source=f"policy:{self._correlating.name or 'correlation'}" if self._correlating else "policy:correlation"
        )

    def _decide(self, action: Action, key: tuple[str, str, str, str]) -> Verdict:
        hits = self._hits(action)
        verdict = self._allow if not hits else self._block(hits)
        if len(action.target) <= _SHORT and len(action.tool) <= _SHORT and len(action.publisher) <= _SHORT:
            if len(self._known) >= _REMEMBERED:
                self.forgotten += len(self._known)
                self._known = {}
            self._known[key] = verdict
        return verdict

    def _block(self, hits: list[_Hit]) -> Verdict:
        hits.sort(key=lambda hit: (hit.owner, hit.rule))
        found = tuple(self._finding(hit) for hit in hits)
        reason = reasons.blocked_by_policy(finding.kind for finding in found)
        return Verdict(decision=Decision.BLOCK, reason=reason, evidence=found, policy_version=self.version)

    def _hits(self, action: Action) -> list[_Hit]:
        tables = self._tables
        hits: list[_Hit] = []
        if tables.publishers and action.publisher:
            self._named(hits, tables.publishers, _PUBLISHER, canonical.publisher(action.publisher))
        if self._targets and action.target:
            self._target(hits, action.target)
        if tables.hashes and action.hash:
            self._named(hits, tables.hashes, _HASH, canonical.digest(action.hash))
        if action.tool and (tables.literals or self._exact):
            hits += self._tool(action.tool)
        if tables.want_publisher:
            self._missing(hits, tables.allow_publishers, tables.want_publisher, _ALLOW_PUBLISHER, action.publisher)
        if tables.want_tool:
            self._missing(hits, tables.allow_tools, tables.want_tool, _ALLOW_TOOL, action.tool)
        return hits

    @staticmethod
    def _named(hits: list[_Hit], table: dict[str, _Owners], rule: int, value: str) -> None:
        hits += [_Hit(owner, rule, value, value) for owner in table.get(value, ())]

    @staticmethod
    def _missing(hits: list[_Hit], table: dict[str, _Owners], wanted: _Owners, rule: int, value: str) -> None:
        """Every allowlist has to list it; the deployed clients say ``none`` for what is not stated."""
        owners = table.get(canonical.permitted(value), ()) if value else ()
        if len(owners) != len(wanted):
            hits += [_Hit(owner, rule, value[:_SHORT] or "none", "") for owner in wanted if owner not in owners]

    def _target(self, hits: list[_Hit], text: str) -> None:
        found = canonical.target(text)
        seen: set[tuple[int, int]] = set()
        for name in (found.host, *found.also) if found.also else (found.host,):
            if not name:
                continue
            if name[-1] in _ADDRESS_ENDS or ":" in name or name.endswith("localhost"):
                self._address(hits, seen, name)
            if not found.is_address:
                self._domain(hits, seen, name)

    def _domain(self, hits: list[_Hit], seen: set[tuple[int, int]], name: str) -> None:
        domains, below = self._tables.domains, self._tables.below
        suffix, at = name, 0
        while True:
            owners = domains.get(suffix)
            if owners:
                self._add(hits, seen, owners, _DOMAIN, name, suffix)
            if at and below and (owners := below.get(suffix)):
                self._add(hits, seen, owners, _DOMAIN, name, "*." + suffix)
            at = name.find(".", at) + 1
            if not at:
                return
            suffix = name[at:]

    @staticmethod
    def _add(hits: list[_Hit], seen: set[tuple[int, int]], owners: _Owners, rule: int, value: str, entry: str) -> None:
        for owner in owners:
            if (owner, rule) not in seen:
                seen.add((owner, rule))
                hits.append(_Hit(owner, rule, value, entry))

    def _address(self, hits: list[_Hit], seen: set[tuple[int, int]], name: str) -> None:
        for family, value in _reached(name):
            for owner, length in self._ranges[family].find(value):
                self._add(hits, seen, (owner,), _ADDRESS, name, _range_text(family, value, length))

    def _tool(self, name: str) -> tuple[_Hit, ...]:
        known = self._known_tools.get(name)
        if known is None:
            known = self._match(name)
            if len(name) <= _SHORT:
                if len(self._known_tools) >= _REMEMBERED:
                    self.forgotten += len(self._known_tools)
                    self._known_tools = {}
                self._known_tools[name] = known
        return known

    def _match(self, name: str) -> tuple[_Hit, ...]:
        folded = canonical.tool(name)
        hits: list[_Hit] = []
        seen: set[tuple[int, int]] = set()
        self._add(hits, seen, self._tables.literals.get(folded, ()), _PATTERN, folded[:_SHORT], folded[:_SHORT])
        if self._exact is not None and self._folded is not None:
            for i in sorted({*self._exact.match(name), *self._folded.match(folded)}):
                owner, text = self._tables.tree_owner[i]
                self._add(hits, seen, (owner,), _PATTERN, folded[:_SHORT], text)
        return tuple(hits)

    def _finding(self, hit: _Hit) -> Finding:
        kind, field, rule, attack = _RULES[hit.rule]
        name = self._names[hit.owner]
        allow = hit.rule in (_ALLOW_PUBLISHER, _ALLOW_TOOL)
        stated = f"rule {rule} of policy {name}"
        return Finding(
            kind=kind,
            value=hit.value[:_SHORT],
            source=f"policy:{name}",
            detection="policy",
            field=field,
            expected=f"one that {stated} lists" if allow else f"none that {stated} lists ({hit.entry[:_SHORT]})",
            observed=hit.value[:_SHORT],
            advice=f"If this is wanted, {'add it to' if allow else 'take the entry out of'} {stated}.",
            attack=attack,
        )


def _range_text(family: int, value: int, length: int) -> str:
    shift = (32 if family == 4 else 128) - length
    first = value >> shift << shift
    text = format4(first) if family == 4 else format6(first)
    return f"{text}/{length}" if shift else text


_ADDRESS_ENDS = frozenset("0123456789abcdef:")


def _reached(host: str) -> list[tuple[int, int]]:
    """Every address that dialling ``host`` may reach, as ``(family, value)``; empty for a name that has to be resolved."""
    if host == "localhost" or host.endswith(".localhost"):
        return list(_LOOPBACK)
    address = number(host)
    if address is None:
        return []
    reached = [address]
    family, value = address
    if value == 0:
        reached.append(_LOOPBACK[0 if family == 4 else 1])  # Linux connects the unspecified address to itself
    if family == 6:
        four = fold(value)
        reached += [(4, inner) for inner in ((four,) if four is not None else embedded(value))]
    return reached


def compile_policies(policies: Iterable[Policy]) -> Compiled:
    """Make ``policies`` fast. Those that are not enabled are left out. Raises Misconfigured naming policy and rule."""
    tables = _Tables()
    enabled: list[tuple[str, Policy]] = []
    content = []
    for i, policy in enumerate(policies):
        name = name_of(policy, i)
        check(policy, name)
        if policy.enabled:
            owner = len(enabled)
            enabled.append((name, policy))
            content.append([policy.mode, policy.name, _FILL[policy.mode](tables, policy, name, owner)])
            if tables.count > MAX_ENTRIES:
                raise Misconfigured(f"policy {name}: more than {MAX_ENTRIES} entries in all policies together")
    body = json.dumps(sorted(content), ensure_ascii=True, separators=(",", ":"))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    try:
        return Compiled(tuple(enabled), tables, version)
    except ValueError as err:
        names = ", ".join(dict.fromkeys(enabled[owner][0] for owner, _ in tables.tree_owner))
        raise Misconfigured(f"policy {names[:200]}: rule skill_patterns: {err}") from err


def _blocklist(tables: _Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
    said: dict[str, set[str]] = {
        "publishers": set(),
        "ips": set(),
        "domains": set(),
        "hashes": set(),
        "skill_patterns": set(),
    }
    for i, text in entries(policy, Rule(name, "publishers")):
        said["publishers"].add(
            _name(tables, tables.publishers, Rule(name, "publishers"), i, canonical.publisher(text), owner)
        )
    for key in ("ips", "ip"):
        rule = Rule(name, key)
        for i, text in entries(policy, rule):
            span = address(rule, i, text)
            entry = f"{span.family}:{span.first:x}/{span.length}"
            if entry not in said["ips"]:
                said["ips"].add(entry)
                tables.ranges.append((span, owner))
    rule = Rule(name, "domains")
    for i, text in entries(policy, rule):
        suffix, below = domain(rule, i, text)
        tables.add(tables.below if below else tables.domains, suffix, owner)
        said["domains"].add("*." + suffix if below else suffix)
    for i, text in entries(policy, Rule(name, "hashes")):
        said["hashes"].add(_name(tables, tables.hashes, Rule(name, "hashes"), i, canonical.digest(text), owner))
    said["skill_patterns"] = _patterns(tables, policy, Rule(name, "skill_patterns"), owner)
    tables.count += sum(map(len, said.values()))
    return [[key, *sorted(values)] for key, values in sorted(said.items()) if values]


def _name(tables: _Tables, table: dict[str, _Owners], rule: Rule, index: int, value: str, owner: int) -> str:
    if not value:
        rule.refuse(index, "holds only invisible characters, so it would match nothing")
    tables.add(table, value, owner)
    return value


def _patterns(tables: _Tables, policy: Policy, rule: Rule, owner: int) -> set[str]:
    said = set()
    for i, text in entries(policy, rule):
        if text in said:
            continue
        said.add(text)
        for tree in pattern(rule, i, text):
            plain = literal(tree)
            folded = canonical.tool(plain) if plain is not None else ""
            if folded:
                tables.add(tables.literals, folded, owner)
            else:
                tables.trees.append(tree)
                tables.tree_owner.append((owner, text))
    return said


def _allowlist(tables: _Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
    said = []
    for key, table in (("publishers", tables.allow_publishers), ("tools", tables.allow_tools)):
        rule = Rule(name, key)
        names = {canonical.permitted(text) for _, text in entries(policy, rule)}
        for one in names:
            tables.add(table, one, owner)
        if names:
            said.append([key, *sorted(names)])
            tables.count += len(names)
            if key == "publishers":
                tables.want_publisher = (*tables.want_publisher, owner)
            else:
                tables.want_tool = (*tables.want_tool, owner)
    return said


def _correlating(tables: _Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
    tables.count += 1
    return [["risky_sequence", "read_then_connect"]]


_FILL = {"blocklist": _blocklist, "allowlist": _allowlist, "correlation": _correlating}
