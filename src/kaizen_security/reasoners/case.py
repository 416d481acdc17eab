"""The case as a model gets it: a JSON document of a closed shape, in which nothing stands that an attacker could phrase.

Kept in words: what the owner wrote (the declaration), what we wrote (kinds of findings), names that look like names, hosts. Every
other value is its type, its length and a keyed hash, as at the tenant's boundary (``contract.boundary``).
"""

from __future__ import annotations

import json
import re

from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import outward
from kaizen_security.contract.boundary_target import hashed, outward_target
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.observer.entities import Kind
from kaizen_security.observer.facts import Done, Facts, Traced
from kaizen_security.observer.question import Question
from kaizen_security.reasoners.base import RULES, Prompt

MOST_NAMES = 40
"""Tools and destinations of a declaration that are shown; the others are counted."""
MOST_FINDINGS = 16
MOST_OF_DEED = 4
"""Findings of one deed of a run that are shown."""
MAX_PURPOSE = 400
MAX_CASE = 16 << 10
"""Bytes of a case: values are left out, and counted, until it fits."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}(?:[.:/][A-Za-z0-9_-]{1,31}){0,3}")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15}://[^/\s]*+)/?(\S*)")
_ROOT = re.compile(r"/(?:etc|home|root|usr|var|tmp|srv|opt|proc|dev|run)/")
"""Of a path on disk this much stays: it says whose file it is."""
_SHOWN = frozenset({Kind.EMAIL, Kind.HOST, Kind.URL, Kind.FILE})


def prompt(question: Question, key: bytes) -> Prompt:
    """What to ask a model. ``key`` keys the hashes (``contract.boundary.boundary_key``)."""
    document = case(question, key)
    said = json.dumps(document, separators=(",", ":"))
    for name in ("values", "deeds"):
        entries = document.get(name)
        while len(said) > MAX_CASE and isinstance(entries, list) and entries:
            entries.pop()
            omitted = document.get(f"{name}_omitted")
            document[f"{name}_omitted"] = 1 + (omitted if isinstance(omitted, int) else 0)
            said = json.dumps(document, separators=(",", ":"))
    return Prompt(rules=RULES, case=said)


def case(question: Question, key: bytes) -> dict[str, Json]:
    """The document. The same question under the same key gives the same."""
    action, facts = outward(question.action, key), question.facts
    document: dict[str, Json] = {
        "action": {
            "kind": _name(action.kind, key),
            "tool": _name(action.tool, key),
            "publisher": _name(action.publisher, key),
            "target": _place(question.action.target, key),
            "sensitive": action.sensitive,
            "seen_by": _name(action.source, key),
            "rung": action.rung.label,
        },
        "values": [_value(one, key, traced=facts.traced) for one in facts.values],
        "effects": list(facts.effects),
        "new": list(facts.new),
        "seen": facts.seen,
        "declaration": _declaration(facts.declaration, key),
        "findings": [_finding(one, key) for one in (*question.floor.evidence, *question.doubts)[:MOST_FINDINGS]],
    }
    if facts.done:
        document["run_is_over"] = True
        document["deeds"] = [_done(one, key) for one in facts.done]
        document["deeds_omitted"] = facts.undone
    if facts.omitted:
        document["values_omitted"] = facts.omitted
    if facts.traced:
        document["run"] = _run(facts, key)
    return document


def _run(facts: Facts, key: bytes) -> dict[str, Json]:
    known: dict[str, Json] = {
        "read_before": [_name(one, key) for one in facts.reads],
        "effects_asked": list(facts.wanted),
    }
    if facts.asked is not None and facts.told is not None:
        known["asked"] = round(facts.asked, 2)
        known["told"] = round(facts.told, 2)
        known["told_by"] = _name(facts.told_by, key)
    if facts.probability is not None:
        known["probability"] = round(facts.probability, 3)
    return known


def _done(one: Done, key: bytes) -> dict[str, Json]:
    document: dict[str, Json] = {
        "kind": _name(one.kind, key),
        "tool": _name(one.tool, key),
        "target": _place(one.target, key),
        "rung": one.rung.label,
    }
    for name, said in (("effects", one.effects), ("not_asked", one.unasked), ("new", one.new)):
        if said:
            document[name] = list(said)
    if one.strange:
        document["place_only_in_free_text"] = True
    if one.findings:
        document["findings"] = [_finding(found, key) for found in one.findings[:MOST_OF_DEED]]
    if one.blocked:
        document["blocked"] = True
    return document


def _value(one: Traced, key: bytes, *, traced: bool) -> dict[str, Json]:
    document: dict[str, Json] = {
        "field": _path(one.path, key),
        "type": one.kind.value,
        "length": len(one.text),
        "value": _place(one.text, key) if one.kind in _SHOWN else hashed(one.text, key),
        "used": one.used,
    }
    if one.inside:
        document["inside_text"] = True
    if traced:
        document["by_user"] = one.by_user
        document["found"] = "nowhere"
        if one.stood is not None:
            where = "free text" if one.stood.free else "a field"
            document["found"] = f"{where} of a result of {_name(one.stood.tool, key) or 'a tool'}"
            document["found_at"] = _path(one.stood.path, key)
    return document


def _declaration(declaration: Declaration, key: bytes) -> dict[str, Json]:
    document: dict[str, Json] = {}
    for name, entries in (("tools", declaration.tools), ("destinations", declaration.destinations)):
        if entries:
            kept: list[Json] = [
                _name(one, key) if name == "tools" else _place(one, key) for one in entries[:MOST_NAMES]
            ]
            document[name] = kept
            if len(entries) > MOST_NAMES:
                document[f"{name}_omitted"] = len(entries) - MOST_NAMES
    if declaration.data:
        document["data"] = [_name(one, key) for one in declaration.data[:MOST_NAMES]]
    if declaration.purpose:
        plain = "".join(char if char.isprintable() else " " for char in declaration.purpose)
        document["purpose"] = plain[:MAX_PURPOSE]
    return document


def _finding(finding: Finding, key: bytes) -> dict[str, Json]:
    # Expected and observed are sentences with values in them: the kind and the field say as much.
    return {
        "detection": _name(finding.detection, key),
        "kind": _words(finding.kind, key),
        "field": _path(finding.field, key),
        "attack": _name(finding.attack, key),
    }


def _name(said: str, key: bytes) -> str:
    """A tool's or a field's name as it is when it looks like one."""
    return said if not said or (len(said) <= 64 and _NAME.fullmatch(said)) else hashed(said, key)


def _words(said: str, key: bytes) -> str:
    # Kinds are our detections' words; those of other peoples' detections too, so bounded all the same.
    return said if re.fullmatch(r"[a-z][a-z -]{0,47}", said) else hashed(said, key)


def _place(said: str, key: bytes) -> str:
    # A host is the one text that stays whole: where something goes is what is to be judged. A path may be a sentence, word by word.
    kept = outward_target(said[:2048], key)
    if len(kept) > 160:
        return hashed(said, key)
    found = _URL.fullmatch(kept)
    if found is not None:
        return found[1] + (f"/{hashed(found[2], key)}" if found[2] else "")
    if not re.search(r"[/\\\s]", kept):
        return kept
    root = _ROOT.match(kept)
    return (root[0] if root is not None else "") + hashed(said, key)


def _path(path: str, key: bytes) -> str:
    parts = re.split(r"([.\[\]])", path[:512].removeprefix("."))
    kept = "".join(part if part in (".", "[", "]", "", "$") or part.isdigit() else _name(part, key) for part in parts)
    return kept if len(kept) <= 160 else hashed(path, key)
