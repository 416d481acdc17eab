"""What may leave the tenant: typed facts and keyed hashes in place of the text of a run.

Kept as they are: who acts (agent, organisation), what with (kind, tool, publisher, hash), where to (scheme, host, port), ids,
and a few listed metadata keys. Everything else that a run wrote (arguments, userinfo, query and fragment of a URL, path
segments that could be more than a word, command lines, unknown metadata) becomes a fact: where it stood, its type, its length,
and an HMAC-SHA256 cut to 64 bits under a key that stays in the tenant, so that equal values can still be recognised as equal.

What this does not do: a host is kept whole, so text that was encoded into DNS labels stays (that is what happened, and a
detection of its own); a path segment that looks like a short word is kept even if somebody's password is a short word.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import replace

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary_target import (
    EMAIL,
    SCHEME,
    TOKEN,
    harmless,
    hashed,
    hashed_once,
    is_host,
    outward_target,
)
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict

MAX_FACTS = 64
"""Facts of one action; what is beyond is counted in ``facts_omitted``."""
MAX_DEPTH = 8
MAX_VALUE = 512
"""Characters of a kept value of a finding."""
SHORTEST = 4
"""Characters of a value that is looked for in sentences: a shorter one would be found in words and figures that are not it."""

NUMBERS = frozenset(
    "status port bytes_in bytes_out bytes_up bytes_down duration duration_ms exit_status items pid ppid".split()
)
"""Metadata keys whose numbers leave."""
SWITCHES = frozenset(
    "sensitive blocked failed encrypted relayed truncated dry accepted host_differs sni_differs".split()
)
"""Metadata keys whose true or false leaves."""
NAMES = frozenset(
    "source method protocol transport direction alpn tls framework outcome mode phase ended inspected".split()
)
"""Metadata keys whose value leaves when it is one short word, as a member of an enumeration is."""
HOSTS = frozenset("sni host server address resolved".split())
"""Metadata keys whose value leaves when it is a host or an address."""

_TYPES = ("text", "url", "email", "host", "path", "number", "boolean", "null", "list", "object", "bytes")
_ENUM = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]{0,31}")
_ID = re.compile(r"[A-Za-z0-9._:+/=~-]{0,128}")
_FACT_PATH = re.compile(
    r"(?:[A-Za-z_][A-Za-z0-9_-]{0,31}|~[0-9a-f]{16})(?:\.(?:[A-Za-z_][A-Za-z0-9_-]{0,31}|~[0-9a-f]{16})|\[[0-9]{1,4}\])*"
)


def boundary_key(secret: bytes) -> bytes:
    """The key for ``outward``, from a secret of the tenant (at least 16 random bytes; never the API key, whose hash the server
    has).
    """
    return hmac.digest(secret, b"kaizen boundary v1", "sha256")


def outward(action: Action, key: bytes) -> Action:
    """``action`` as it may leave the tenant. Idempotent, also under another key. ``key``: ``boundary_key`` of the tenant's
    secret.
    """
    facts = _Facts(key)
    return replace(
        action,
        kind=_label(action.kind, key),
        tool=_label(action.tool, key),
        publisher=_label(action.publisher, key),
        target=outward_target(action.target, key),
        hash=_id(action.hash, key),
        id=_id(action.id, key),
        run_id=_id(action.run_id, key),
        act_id=_id(action.act_id, key),
        metadata=facts.of(action),
        seen_by=tuple(_label(name, key) for name in action.seen_by[:MAX_FACTS]),
        delegation=tuple(_label(name, key) for name in action.delegation[:MAX_FACTS]),
    )


def outward_verdict(verdict: Verdict, key: bytes) -> Verdict:
    """A verdict as it may leave the tenant: findings name values that an action had, so these are treated like its target, also
    where the reason, the notes and the finding's own sentences repeat them.
    """
    score = None if verdict.score is None else verdict.score.renamed(lambda name: _component(name, key))
    evidence, changed = [], dict[str, str]()
    for finding in verdict.evidence:
        value, observed = _cleaned(finding, key)
        evidence.append(replace(finding, value=value, observed=observed))
        pairs = ((finding.value, value), (finding.observed, observed))
        changed.update((raw, clean) for raw, clean in pairs if raw != clean and len(raw) >= SHORTEST)
    if not changed:
        return replace(verdict, evidence=tuple(evidence), score=score)
    told = _Retelling(changed)
    evidence = [replace(one, expected=told(one.expected), advice=told(one.advice)) for one in evidence]
    notes = tuple(map(told, verdict.notes))
    return replace(verdict, reason=told(verdict.reason), notes=notes, evidence=tuple(evidence), score=score)


def _cleaned(finding: Finding, key: bytes) -> tuple[str, str]:
    """Value and observed of a finding."""
    value, observed = finding.value, finding.observed
    if finding.field.startswith(("metadata", "arguments")):
        return hashed_once(value, key), hashed_once(observed, key)
    if finding.field != "target" or not observed:
        return _value(value, key), _value(observed, key)
    # What the target had is as hidden as it is in the target; what a list has (``*.evil.example``) is the owner's own word.
    shown = outward_target(observed, key)
    hidden = value in observed and value not in shown
    return outward_target(value, key) if hidden else _value(value, key), shown


class _Retelling:
    """A sentence with what was hidden in the findings hidden in it as well; the longest first, for one may hold another."""

    def __init__(self, changed: dict[str, str]) -> None:
        self._changed = changed
        longest = sorted(changed, key=lambda raw: (-len(raw), raw))
        self._pattern = re.compile("|".join(map(re.escape, longest)))

    def __call__(self, text: str) -> str:
        return self._pattern.sub(lambda found: self._changed[found[0]], text)


def _value(value: str, key: bytes) -> str:
    """A tool or a publisher as it is; what has the shape of a place as a target."""
    return outward_target(value, key) if "/" in value or "@" in value or "?" in value else _name(value, key)


def outward_learned(dimension: str, value: str, key: bytes) -> str:
    """A value that was learned of an agent, as it may leave the tenant: as an action that had it would show it."""
    if dimension == "destination":
        return "|".join(outward_target(name, key) for name in value.split("|"))
    if dimension == "source":
        return value if _kept("source", value) else hashed_once(value, key)
    return _value(value, key)


def _name(value: str, key: bytes) -> str:
    return value if len(value) <= MAX_VALUE and value.isprintable() else hashed(value, key)


def _label(value: str, key: bytes) -> str:
    # A longer one is refused by whoever reads the report: then nobody would ever see what was done under such a name.
    return _name(value, key) if len(value) <= MAX_NAME else hashed(value, key)


def _id(value: str, key: bytes) -> str:
    return value if _ID.fullmatch(value) else hashed(value, key)


# --- metadata ---------------------------------------------------------------------------------------------------------------


class _Facts:
    """Collects the facts of one action."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._facts: list[Json] = []
        self._omitted = 0

    def of(self, action: Action) -> dict[str, Json]:
        kept: dict[str, Json] = {}
        for name, value in action.metadata.items():
            if name == "facts":
                self._take_over(value)
            elif (
                name == "facts_omitted"
                and isinstance(value, int)
                and not isinstance(value, bool)
                and 0 < value < 1 << 50
            ):
                self._omitted += value
            elif _kept(name, value):
                kept[name] = value
            else:
                self._walk(value, _component(name, self._key), 0)
        for name, text in _hidden(action.target):
            self._add("target_" + name, "text", text)
        if self._facts:
            kept["facts"] = self._facts
        if self._omitted:
            kept["facts_omitted"] = self._omitted
        return kept

    def _take_over(self, value: Json) -> None:
        """Facts that are facts already stay; anything else under that name is text like any other."""
        if not isinstance(value, list):
            self._walk(value, "facts", 0)
            return
        for i, entry in enumerate(value):
            if not _is_fact(entry):
                self._walk(entry, f"facts[{min(i, 9999)}]", 1)
            elif len(self._facts) < MAX_FACTS:
                self._facts.append(entry)
            else:
                self._omitted += 1

    def _walk(self, value: Json, path: str, depth: int) -> None:
        if len(self._facts) >= MAX_FACTS:
            self._omitted += 1
        elif isinstance(value, dict) and value and depth < MAX_DEPTH:
            for i, (name, below) in enumerate(value.items()):
                if self._is_full(len(value) - i):
                    return
                self._walk(below, f"{path}.{_component(name, self._key)}", depth + 1)
        elif isinstance(value, list) and value and depth < MAX_DEPTH:
            for i, below in enumerate(value):
                if self._is_full(len(value) - i):
                    return
                self._walk(below, f"{path}[{min(i, 9999)}]", depth + 1)
        else:
            self._add(path, *_typed(value))

    def _is_full(self, left: int) -> bool:
        """Whether no fact more is taken; then the ``left`` values that remain are counted, and nobody looks at them."""
        full = len(self._facts) >= MAX_FACTS
        self._omitted += left if full else 0
        return full

    def _add(self, path: str, type_: str, text: str) -> None:
        if len(self._facts) >= MAX_FACTS:
            self._omitted += 1
            return
        digest = hashed(text, self._key)[1:]
        self._facts.append({"field": path, "type": type_, "length": len(text), "hmac": digest})


def _component(name: str, key: bytes) -> str:
    """A name within a document, if it looks like one."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", name) and harmless(name.replace("_", "-").strip("-") or "a")
    return name if plain or TOKEN.fullmatch(name) else hashed(name, key)


def _kept(name: str, value: Json) -> bool:
    if name in SWITCHES:
        return isinstance(value, bool)
    if name in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    if name in NAMES:
        return isinstance(value, str) and bool(_ENUM.fullmatch(value)) and all(map(harmless, re.split(r"[/+]", value)))
    return name in HOSTS and isinstance(value, str) and is_host(value, bare=True)


def _is_fact(entry: Json) -> bool:
    """Exactly what ``_Facts._add`` writes, so that nobody carries text out under the name of a fact."""
    if not isinstance(entry, dict) or set(entry) != {"field", "type", "length", "hmac"}:
        return False
    path, length, digest = entry["field"], entry["length"], entry["hmac"]
    return (
        isinstance(path, str)
        and len(path) <= MAX_VALUE
        and bool(_FACT_PATH.fullmatch(path))
        and all(
            TOKEN.fullmatch(part) or harmless(part.replace("_", "-").strip("-") or "a") for part in _components(path)
        )
        and entry["type"] in _TYPES
        and isinstance(length, int)
        and not isinstance(length, bool)
        and 0 <= length < 1 << 40
        and isinstance(digest, str)
        and bool(re.fullmatch(r"[0-9a-f]{16}", digest))
    )


def _components(path: str) -> list[str]:
    return [part for part in re.split(r"[.\[\]]+", path) if part and not part.isdigit()]


def _typed(value: Json) -> tuple[str, str]:
    """The type of a leaf, and its text for length and hash."""
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", str(value)
        case int() | float():
            return "number", repr(value)
        case str():
            return _text_type(value), value
        case list():
            return "list", repr(value)
        case dict():
            return "object", repr(value)


def _text_type(text: str) -> str:
    if len(text) > 2048 or not text:
        return "text"
    if SCHEME.match(text):
        return "url"
    if EMAIL.fullmatch(text):
        return "email"
    if is_host(text, bare=True):
        return "host"
    return "path" if text[0] in "/~." and " " not in text and "/" in text else "text"


def _hidden(target: str) -> Iterator[tuple[str, str]]:
    """The parts of a URL that ``outward_target`` leaves out."""
    scheme = SCHEME.match(target)
    rest = target[scheme.end() :] if scheme else target
    if not scheme and "/" not in rest:
        return
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    userinfo = re.split(r"[/\\]", rest, maxsplit=1)[0].rpartition("@")[0] if scheme else ""
    yield from (
        (name, text) for name, text in (("userinfo", userinfo), ("query", query), ("fragment", fragment)) if text
    )
