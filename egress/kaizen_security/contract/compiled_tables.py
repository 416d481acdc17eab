"""Filling the tables that a compiled policy looks into: canonical keys, each with the places of the policies that list it."""

from __future__ import annotations

from kaizen_security.contract import canonical
from kaizen_security.contract.compiled_rules import Range, Rule, address, domain, entries, literal, pattern
from kaizen_security.contract.compiled_syntax import Node
from kaizen_security.contract.policy import Policy

Owners = tuple[int, ...]


class Tables:
    """What ``compile_policies`` fills and ``Compiled`` reads. Keys are canonical; owners are policies' places."""

    def __init__(self) -> None:
        self.publishers: dict[str, Owners] = {}
        self.domains: dict[str, Owners] = {}
        self.below: dict[str, Owners] = {}
        self.ranges: list[tuple[Range, int]] = []
        self.hashes: dict[str, Owners] = {}
        self.literals: dict[str, Owners] = {}
        self.trees: list[Node] = []
        self.tree_owner: list[tuple[int, str]] = []
        self.allow_publishers: dict[str, Owners] = {}
        self.allow_tools: dict[str, Owners] = {}
        self.want_publisher: Owners = ()
        self.want_tool: Owners = ()
        self.count = 0
        self._shared: dict[Owners, Owners] = {}

    def add(self, table: dict[str, Owners], key: str, owner: int) -> None:
        owners = table.get(key, ())
        if owner not in owners:
            owners = (*owners, owner)
            # One tuple for all entries of a policy: 100,000 entries share it.
            table[key] = self._shared.setdefault(owners, owners)


def _blocklist(tables: Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
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


def _name(tables: Tables, table: dict[str, Owners], rule: Rule, index: int, value: str, owner: int) -> str:
    if not value:
        rule.refuse(index, "holds only invisible characters, so it would match nothing")
    tables.add(table, value, owner)
    return value


def _patterns(tables: Tables, policy: Policy, rule: Rule, owner: int) -> set[str]:
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


def _allowlist(tables: Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
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


def _correlating(tables: Tables, policy: Policy, name: str, owner: int) -> list[list[str]]:
    tables.count += 1
    return [["risky_sequence", "read_then_connect"]]


FILL = {"blocklist": _blocklist, "allowlist": _allowlist, "correlation": _correlating}
