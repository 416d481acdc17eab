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
from itertools import pairwise

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict

MAX_FACTS = 64
"""Facts of one action; what is beyond is counted in ``facts_omitted``."""
MAX_DEPTH = 8
MAX_SEGMENTS = 8
"""Segments of a path that are kept; the rest becomes one hash."""
MAX_VALUE = 512
"""Characters of a kept value of a finding."""

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
_TOKEN = re.compile(r"~[0-9a-f]{16}")
_WORD = re.compile(r"[A-Za-z]{0,16}[0-9]{0,4}|v[0-9]{1,4}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,32}|[A-Za-z]:")
_ENUM = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]{0,31}")
_ID = re.compile(r"[A-Za-z0-9._:+/=~-]{0,128}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://")
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?")
_LABELS = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?")
_IPV6 = re.compile(r"\[?[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]{1,15})?\]?")
_TOP_LEVEL = re.compile(r"[A-Za-z]{2,18}|xn--[A-Za-z0-9-]{2,59}")
_EMAIL = re.compile(r"[^\s@/?#]{1,128}@([\w.-]{1,253})")
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
    """A verdict as it may leave the tenant: findings name values that an action had, so these are treated like its target."""
    score = None if verdict.score is None else verdict.score.renamed(lambda name: _component(name, key))
    return replace(verdict, evidence=tuple(_finding(finding, key) for finding in verdict.evidence), score=score)


def _finding(finding: Finding, key: bytes) -> Finding:
    text = finding.field.startswith(("metadata", "arguments"))
    clean = _hashed if text else _value
    return replace(finding, value=clean(finding.value, key), observed=clean(finding.observed, key))


def _value(value: str, key: bytes) -> str:
    """A tool or a publisher as it is; what has the shape of a place as a target."""
    return outward_target(value, key) if "/" in value or "@" in value or "?" in value else _name(value, key)


def outward_value(value: str, key: bytes) -> str:
    """A value that was learned of an agent's tools and targets, as it may leave the tenant."""
    return _value(value, key)


def hashed(value: str, key: bytes) -> str:
    """``~`` and 16 hex digits: the first 64 bits of the HMAC-SHA256 (RFC 2104) of ``value``."""
    return "~" + hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")[:8].hex()


def _hashed(value: str, key: bytes) -> str:
    return value if not value or _TOKEN.fullmatch(value) else hashed(value, key)


def _name(value: str, key: bytes) -> str:
    return value if len(value) <= MAX_VALUE and value.isprintable() else hashed(value, key)


def _label(value: str, key: bytes) -> str:
    # A longer one is refused by whoever reads the report: then nobody would ever see what was done under such a name.
    return _name(value, key) if len(value) <= MAX_NAME else hashed(value, key)


def _id(value: str, key: bytes) -> str:
    return value if _ID.fullmatch(value) else hashed(value, key)


# --- targets ----------------------------------------------------------------------------------------------------------------


def outward_target(target: str, key: bytes) -> str:
    """Scheme, host and port as they are; of the path only what looks like words; nothing else as text.

    ``https://bob:pw@api.example/v1/orders/9f8e7d6c5b4a3f21?q=x#y`` becomes ``https://api.example/v1/orders/~4b1d…``; a text
    that is no place becomes one hash.
    """
    if not target:
        return ""
    scheme = _SCHEME.match(target)
    if scheme:
        rest = target[scheme.end() :]
        cut = min((at for at in map(rest.find, "/\\?#") if at >= 0), default=len(rest))
        authority = rest[:cut].rpartition("@")[2]
        if authority and _is_host(authority, bare=False):
            return f"{scheme[1]}://{authority}{_path(rest[cut:], key)}"
        return (
            f"{scheme[1]}://{_hashed(authority, key)}{_path(rest[cut:], key)}"
            if authority
            else scheme[1] + "://" + _path(rest[cut:], key)
        )
    return _placeless(target, key)


def _placeless(target: str, key: bytes) -> str:
    """A target without a scheme: host, host:port, an address of a person, a path, a command line, or any other text."""
    if _is_host(target, bare=True):
        return target
    person = _EMAIL.fullmatch(target)
    if person:
        return f"{_hashed(target.rpartition('@')[0], key)}@{person[1]}"
    first, space, rest = target.partition(" ")
    if space:
        return f"{_path(first, key)} {_hashed(rest, key)}" if _is_path(first) else hashed(target, key)
    return _path(target, key) if "/" in target or "\\" in target or _is_path(target) else _hashed(target, key)


def _is_host(text: str, *, bare: bool) -> bool:
    """A host or an address, perhaps with a port. ``bare``: nothing but the text's own shape says so, so it has to look like
    one.
    """
    if _IPV6.fullmatch(text) and text.count(":") >= 2:
        return True
    host, port = text, ""
    if text.startswith("["):
        host, _, after = text.partition("]")
        return bool(_IPV6.fullmatch(host + "]")) and bool(re.fullmatch(r"(:[0-9]{1,5})?", after))
    match = _PORT.fullmatch(text)
    if match:
        host, port = match[1], match[2] or ""
    if len(host) > 253 or not _LABELS.fullmatch(host):
        return False
    if not bare or port:
        return True
    last = host.rstrip(".").rpartition(".")[2]
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", host):
        return True
    return "." in host and bool(_TOP_LEVEL.fullmatch(last)) and all(len(label) <= 40 for label in host.split("."))


def _is_path(text: str) -> bool:
    return all(not segment or _harmless(segment) for segment in re.split(r"[/\\]", text))


def _path(path: str, key: bytes) -> str:
    """A path with its harmless segments; each other one hashed; query and fragment gone."""
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    parts = re.split(r"([/\\])", path)
    kept, segments = [], 0
    for i, part in enumerate(parts):
        if i % 2 or not part:
            kept.append(part)
            continue
        segments += 1
        if segments > MAX_SEGMENTS:
            kept.append(_hashed("".join(parts[i:]), key))
            break
        kept.append(part if _harmless(part) else _hashed(part, key))
    return "".join(kept)


def _harmless(segment: str) -> bool:
    """Short, made of at most four plain words and short numbers, or a hash of ours."""
    if _TOKEN.fullmatch(segment):
        return True
    if not _SEGMENT.fullmatch(segment) or len(segment) > 32:
        return False
    words = re.split(r"[._:-]", segment)
    return len(words) <= 5 and all(_WORD.fullmatch(word) for word in words) and not _mixed(words)


def _mixed(words: list[str]) -> bool:
    """Capitals scattered through small letters, as in encoded data; ``ReadMe`` and ``README`` are words."""
    return any(len(word) >= 8 and sum(a.islower() and b.isupper() for a, b in pairwise(word)) > 1 for word in words)


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
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", name) and _harmless(name.replace("_", "-").strip("-") or "a")
    return name if plain or _TOKEN.fullmatch(name) else hashed(name, key)


def _kept(name: str, value: Json) -> bool:
    if name in SWITCHES:
        return isinstance(value, bool)
    if name in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    if name in NAMES:
        return isinstance(value, str) and bool(_ENUM.fullmatch(value)) and all(map(_harmless, re.split(r"[/+]", value)))
    return name in HOSTS and isinstance(value, str) and _is_host(value, bare=True)


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
            _TOKEN.fullmatch(part) or _harmless(part.replace("_", "-").strip("-") or "a") for part in _components(path)
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
    if _SCHEME.match(text):
        return "url"
    if _EMAIL.fullmatch(text):
        return "email"
    if _is_host(text, bare=True):
        return "host"
    return "path" if text[0] in "/~." and " " not in text and "/" in text else "text"


def _hidden(target: str) -> Iterator[tuple[str, str]]:
    """The parts of a URL that ``outward_target`` leaves out."""
    scheme = _SCHEME.match(target)
    rest = target[scheme.end() :] if scheme else target
    if not scheme and "/" not in rest:
        return
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    userinfo = re.split(r"[/\\]", rest, maxsplit=1)[0].rpartition("@")[0] if scheme else ""
    yield from (
        (name, text) for name, text in (("userinfo", userinfo), ("query", query), ("fragment", fragment)) if text
    )
