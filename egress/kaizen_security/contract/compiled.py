"""Policies compiled once, so that a decision costs microseconds however many entries there are.

Frozensets and dictionaries for names, a walk over a host's suffixes, bisection for address ranges, one automaton for patterns.
What is compared is canonical (``contract.canonical``); where that is stricter than the deployed clients, ADR 0002 says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_address import canonical_number, embedded, fold, format4, format6
from kaizen_security.contract.canonical_target import Target
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.compiled_correlation import Correlation
from kaizen_security.contract.compiled_patterns import Automaton
from kaizen_security.contract.compiled_ranges import Ranges
from kaizen_security.contract.compiled_rules import MAX_ENTRIES, check, name_of
from kaizen_security.contract.compiled_tables import FILL, Owners, Tables
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Decision, Verdict, restated

__all__ = ["Compiled", "Correlation", "compile_policies"]

_REMEMBERED = 4096
_SHORT = 512
_LOOPBACK = ((4, 0x7F00_0001), (6, 1))


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
_REASONS = tuple(reasons.blocked_by_policy([kind]) for kind, *_ in _RULES)
_PUBLISHER, _ADDRESS, _DOMAIN, _HASH, _PATTERN, _ALLOW_PUBLISHER, _ALLOW_TOOL = range(7)


class Compiled:
    """Policies, ready to decide. Made by ``compile_policies``; safe to share between threads.

    ``version``     16 hex digits of the content: the same whatever the order of policies and entries
    ``correlates``  a correlation policy is on: ask ``correlation()`` for what remembers the sequence
    ``entries``     how many entries are in force
    """

    def __init__(self, policies: tuple[tuple[str, Policy], ...], tables: Tables, version: str) -> None:
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
        self._any_range = bool(self._ranges[4] or self._ranges[6])
        self._any_tool = bool(tables.literals or self._exact)
        self._any_domain = bool(tables.domains or tables.below)
        self._any_target = self._any_range or self._any_domain
        self._any_wanted = bool(tables.want_publisher or tables.want_tool)
        self._any_other = bool(tables.publishers or tables.hashes) or self._any_wanted
        self._known: dict[tuple[str, str, str, str], Verdict] = {}
        self._known_tools: dict[str, tuple[_Hit, ...]] = {}
        self._words: dict[tuple[int, int], tuple[str, str, str, str, str, str]] = {}
        self.forgotten = 0
        """Remembered decisions dropped because there were too many."""
        self._allow = Verdict(decision=Decision.ALLOW, reason=reasons.NO_POLICY_MATCHED, policy_version=version)

    def decide(self, action: Action) -> Verdict:
        """Block with the findings, or allow because ``no policy matched``. Sequences are ``correlation()``'s. Never raises."""
        key = (action.tool, action.publisher, action.target, action.hash)
        verdict = self._known.get(key)
        if verdict is None:
            verdict = self._decide(key)
        return restated(verdict, action_id=action.id) if action.id else verdict

    def findings(self, action: Action) -> tuple[Finding, ...]:
        """What the policies have against ``action``, in the order of the policies."""
        key = (action.tool, action.publisher, action.target, action.hash)
        verdict = self._known.get(key)
        return (verdict if verdict is not None else self._decide(key)).evidence

    def correlation(self) -> Correlation:
        """A fresh memory for the sequence that the correlation policy forbids."""
        return Correlation(
            source=f"policy:{self._correlating.name or 'correlation'}" if self._correlating else "policy:correlation"
        )

    def _decide(self, key: tuple[str, str, str, str]) -> Verdict:
        tool, publisher, target, hash_ = key
        verdict = self.look(tool, publisher, target, hash_, canonical.target(target))
        if len(tool) + len(publisher) + len(target) + len(hash_) <= _SHORT:
            if len(self._known) >= _REMEMBERED:
                self.forgotten += len(self._known)
                self._known = {}
            self._known[key] = verdict
        return verdict

    def look(self, tool: str, publisher: str, target: str, hash_: str, place: Target) -> Verdict:
        """``decide`` for a caller that remembers itself, and that has read ``target`` as ``place``: nothing is kept here."""
        if (
            publisher
            or hash_
            or self._any_wanted
            or (target and self._any_target and self._touches(place))
            or (tool and self._any_tool and self._tool(tool))
        ):
            return self._found(tool, publisher, target, hash_, place)
        return self._allow

    def _touches(self, place: Target) -> bool:
        """Whether an entry may be about the place. Nearly always none is, and then nothing more is made."""
        name = place.host
        if place.also or name.endswith("localhost"):
            return True
        if place.is_address:
            address = canonical_number(name)
            if address is None or address[0] != 4 or not address[1]:
                return True
            return self._ranges[4].holds(address[1])
        domains, below = self._tables.domains, self._tables.below
        while name:
            if name in domains or (below and name in below):
                return True
            name = name.partition(".")[2]
        return False

    def _found(self, tool: str, publisher: str, target: str, hash_: str, place: Target) -> Verdict:
        hits: list[_Hit] = []
        if target and self._any_target:
            self._target(hits, place)
        if tool and self._any_tool:
            hits += self._tool(tool)
        if self._any_other:
            self._other(hits, tool, publisher, hash_)
        return self._block(hits) if hits else self._allow

    def _block(self, hits: list[_Hit]) -> Verdict:
        if len(hits) == 1:
            found: tuple[Finding, ...] = (self._finding(hits[0]),)
            reason = _REASONS[hits[0].rule]
        else:
            found = tuple(map(self._finding, sorted(hits, key=lambda hit: (hit.owner, hit.rule))))
            reason = reasons.blocked_by_policy(finding.kind for finding in found)
        return _verdict(Decision.BLOCK, reason, found, None, (), "", self.version, None, 0.0, None)

    def _other(self, hits: list[_Hit], tool: str, publisher: str, hash_: str) -> None:
        """What few actions state and few policies ask for: publishers, hashes, allowlists."""
        tables = self._tables
        if publisher and tables.publishers:
            self._named(hits, tables.publishers, _PUBLISHER, canonical.publisher(publisher))
        if hash_ and tables.hashes:
            self._named(hits, tables.hashes, _HASH, canonical.digest(hash_))
        if tables.want_publisher:
            self._missing(hits, tables.allow_publishers, tables.want_publisher, _ALLOW_PUBLISHER, publisher)
        if tables.want_tool:
            self._missing(hits, tables.allow_tools, tables.want_tool, _ALLOW_TOOL, tool)

    @staticmethod
    def _named(hits: list[_Hit], table: dict[str, Owners], rule: int, value: str) -> None:
        hits += [_Hit(owner, rule, value, value) for owner in table.get(value, ())]

    @staticmethod
    def _missing(hits: list[_Hit], table: dict[str, Owners], wanted: Owners, rule: int, value: str) -> None:
        """Every allowlist has to list it; the deployed clients say ``none`` for what is not stated."""
        owners = table.get(canonical.permitted(value), ()) if value else ()
        if len(owners) != len(wanted):
            # One finding for each allowlist: a publisher that is missing says enough.
            said = {hit.owner for hit in hits if hit.rule == _ALLOW_PUBLISHER}
            said.update(owners)
            hits += [_Hit(owner, rule, value[:_SHORT] or "none", "") for owner in wanted if owner not in said]

    def _target(self, hits: list[_Hit], found: Target) -> None:
        name = found.host
        if name:
            if self._any_range and (found.is_address or name.endswith("localhost")):
                self._address(hits, name)
            if self._any_domain and not found.is_address:
                self._domain(hits, name)
        for name in found.also:
            self._address(hits, name)
            self._domain(hits, name)

    def _domain(self, hits: list[_Hit], name: str) -> None:
        domains, below = self._tables.domains, self._tables.below
        suffix = name
        if not below:
            while suffix:
                if suffix in domains:
                    _add(hits, domains[suffix], _DOMAIN, name, suffix)
                suffix = suffix.partition(".")[2]
            return
        while suffix:
            if suffix in domains:
                _add(hits, domains[suffix], _DOMAIN, name, suffix)
            if below and suffix in below and suffix is not name:
                _add(hits, below[suffix], _DOMAIN, name, "*." + suffix)
            suffix = suffix.partition(".")[2]

    def _address(self, hits: list[_Hit], name: str) -> None:
        address = canonical_number(name)
        if address is not None:
            family, value = address
            for owner, length in self._ranges[family].find(value):
                _add(hits, (owner,), _ADDRESS, name, _range_text(family, value, length))
            if family == 4 and value:
                return
        for family, value in _beyond(name, address):
            for owner, length in self._ranges[family].find(value):
                _add(hits, (owner,), _ADDRESS, name, _range_text(family, value, length))

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
        _add(hits, self._tables.literals.get(folded, ()), _PATTERN, folded[:_SHORT], folded[:_SHORT])
        if self._exact is not None and self._folded is not None:
            for i in sorted({*self._exact.match(name), *self._folded.match(folded)}):
                owner, text = self._tables.tree_owner[i]
                _add(hits, (owner,), _PATTERN, folded[:_SHORT], text)
        return tuple(hits)

    def _finding(self, hit: _Hit) -> Finding:
        words = self._words.get((hit.owner, hit.rule))
        if words is None:  # at most seven for each policy
            words = self._words[hit.owner, hit.rule] = self._wording(hit)
        kind, field, source, attack, expected, advice = words
        value = hit.value[:_SHORT]
        expected = f"{expected} ({hit.entry[:_SHORT]})" if hit.entry else expected
        return _finding(kind, value, source, "policy", field, expected, value, advice, attack)

    def _wording(self, hit: _Hit) -> tuple[str, str, str, str, str, str]:
        kind, field, rule, attack = _RULES[hit.rule]
        name = self._names[hit.owner]
        stated = f"rule {rule} of policy {name}"
        if hit.rule in (_ALLOW_PUBLISHER, _ALLOW_TOOL):
            words = f"one that {stated} lists", f"If this is wanted, add it to {stated}."
        else:
            words = f"none that {stated} lists", f"If this is wanted, take the entry out of {stated}."
        return kind, field, f"policy:{name}", attack, *words


_verdict = builder(Verdict)
_finding = builder(Finding)


def _add(hits: list[_Hit], owners: Owners, rule: int, value: str, entry: str) -> None:
    """One finding for each policy and rule, the first that is found, as the deployed clients do."""
    if not hits and len(owners) == 1:
        hits.append(_Hit(owners[0], rule, value, entry))
        return
    for owner in owners:
        if not any(hit.owner == owner and hit.rule == rule for hit in hits):
            hits.append(_Hit(owner, rule, value, entry))


def _range_text(family: int, value: int, length: int) -> str:
    shift = (32 if family == 4 else 128) - length
    first = value >> shift << shift
    text = format4(first) if family == 4 else format6(first)
    return f"{text}/{length}" if shift else text


def _beyond(host: str, address: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    """Further addresses that dialling ``host`` may reach, as ``(family, value)``; none for a name that has to be resolved."""
    if address is None:
        return _LOOPBACK if host == "localhost" or host.endswith(".localhost") else ()
    family, value = address
    if value == 0:
        return (_LOOPBACK[0 if family == 4 else 1],)  # Linux connects the unspecified address to itself
    four = fold(value)
    return tuple((4, inner) for inner in ((four,) if four is not None else embedded(value)))


def compile_policies(policies: Iterable[Policy]) -> Compiled:
    """Make ``policies`` fast. Those that are not enabled are left out. Raises Misconfigured naming policy and rule."""
    tables = Tables()
    enabled: list[tuple[str, Policy]] = []
    content = []
    for i, policy in enumerate(policies):
        name = name_of(policy, i)
        check(policy, name)
        if policy.enabled:
            owner = len(enabled)
            enabled.append((name, policy))
            content.append([policy.mode, policy.name, FILL[policy.mode](tables, policy, name, owner)])
            if tables.count > MAX_ENTRIES:
                raise Misconfigured(f"policy {name}: more than {MAX_ENTRIES} entries in all policies together")
    body = json.dumps(sorted(content), ensure_ascii=True, separators=(",", ":"))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    try:
        return Compiled(tuple(enabled), tables, version)
    except ValueError as err:
        names = ", ".join(dict.fromkeys(enabled[owner][0] for owner, _ in tables.tree_owner))
        raise Misconfigured(f"policy {names[:200]}: rule skill_patterns: {err}") from err
