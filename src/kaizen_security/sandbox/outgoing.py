"""What leaves: a verdict in a closed schema, and nothing else. Every report of the sandbox passes here, or stays.

``contract.boundary`` turns what a run wrote into facts and keyed hashes. This module is stricter, for the mode in which nothing
of a run may leave: it builds each report anew out of closed fields. A sentence leaves only where its words are ours and its names
are tools and hosts; whatever else stands in a field becomes a keyed hash.
"""

from __future__ import annotations

import re
from dataclasses import replace

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import ARGUMENTS, Action, Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.boundary import HOSTS, NAMES, NUMBERS, SWITCHES, outward, outward_verdict
from kaizen_security.contract.boundary_target import hashed
from kaizen_security.contract.codec import Report
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.gap.words import ADVICE, DETECTION, FORM

METADATA = NUMBERS | SWITCHES | NAMES | HOSTS | {"facts", "facts_omitted"}
"""Keys of an action's metadata that leave; their values have passed ``contract.boundary``."""
FIELDS = frozenset((*ARGUMENTS, *"target_userinfo target_path target_query target_fragment".split()))
"""Where a fact stood, as far as that is said."""
OURS = frozenset({DETECTION, "declaration", "policy", "correlation", "novelty"})
"""Detections whose sentences name tools and destinations, and nothing of a run."""

SPOKEN = frozenset({DETECTION, "declaration"})
"""Detections whose ``expected`` and ``observed`` hold tools, hosts and numbers only."""

_KNOWN = frozenset(one.ABOUT.name for one in BUILTIN) | {DETECTION, "reasoning", "unprotected"}
_ADVICE = frozenset(one.ABOUT.advice for one in BUILTIN) | ADVICE
_GAP = re.compile(re.escape(FORM).replace(r"\{told\}", "(.+)").replace(r"\{seen\}", "(.+)"))
_HASH = re.compile(r"~[0-9a-f]{16}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]{0,63}")
_NAME = re.compile(r"[A-Za-z_][\w.:/-]{0,63}|")
_PLAIN = frozenset(
    {reasons.OK, reasons.NO_POLICY_MATCHED, reasons.CORRELATION, reasons.FAILED_CLOSED, reasons.OBSERVED_EGRESS}
)
_VOCABULARY = frozenset(
    "egress ebpf sandbox mcp sdk otel langchain openai-agents bedrock-trace bedrock-roc start end in out tcp udp quic http https "
    "GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT h2 http/1.1 h2+http/1.1 hello ech unreadable refused closed idle error".split()
)
_FIELD = re.compile(r"(tool|target|kind|publisher|hash|metadata|arguments|run)\b")
_NOTES = frozenset({reasons.NO_POLICY_YET, reasons.HELD, reasons.UNANSWERED, reasons.DENIED, reasons.DOUBTED})


def closed(action: Action, verdict: Verdict, key: bytes) -> Report:
    """The report of a verdict as it may leave. ``key``: ``boundary_key`` of the tenant's secret. Idempotent."""
    out = outward(action, key)
    place = _place(action, key)
    out = replace(
        out,
        kind=_name(out.kind, key),
        tool=_name(out.tool, key),
        publisher=_name(out.publisher, key),
        target=place,
        metadata={name: kept for name, value in out.metadata.items() if (kept := _kept(name, value)) is not None},
    )
    named = frozenset({out.tool, place, place.rpartition("://")[2], place.rpartition("://")[2].rpartition(":")[0]}) - {
        ""
    }
    return Report(action=out, verdict=_verdict(outward_verdict(verdict, key), named, key))


def _kept(name: str, value: Json) -> Json:
    """The value of a metadata key as it leaves; None: it does not."""
    if name == "facts":
        return _facts(value)
    if name in NAMES:
        return value if value in _VOCABULARY else None
    return value if name in METADATA else None


def _facts(value: Json) -> Json:
    """Facts without the names of fields, which a run may have chosen."""
    found: list[Json] = []
    for fact in value if isinstance(value, list) else []:
        if isinstance(fact, dict):
            where = re.split(r"[.\[]", str(fact.get("field")), maxsplit=1)[0]
            found.append({**fact, "field": where if where in FIELDS else "other"})
    return found


def _place(action: Action, key: bytes) -> str:
    """Scheme, host and port of a target; anything else is a hash."""
    said = action.target
    if not said or _HASH.fullmatch(said):
        return said
    found = canonical.destination(action.kind, said)
    if found is None or not found.host or not found.readable:
        return hashed(said, key)
    host = f"[{found.host}]" if ":" in found.host else found.host
    return (f"{found.scheme}://" if found.scheme else "") + host + (f":{found.port}" if found.port else "")


def _verdict(verdict: Verdict, named: frozenset[str], key: bytes) -> Verdict:
    return replace(
        verdict,
        score=None,
        pending=None,
        reason=_reason(verdict),
        evidence=tuple(_finding(one, named, key) for one in verdict.evidence),
        notes=tuple(note for note in verdict.notes if note in _NOTES),
        policy_version=verdict.policy_version if re.fullmatch(r"[\w.:-]{0,64}", verdict.policy_version) else "",
    )


def _reason(verdict: Verdict) -> str:
    """The sentence where it is one of ours that holds tools and hosts only, else detections and kinds."""
    said = verdict.reason
    if said in _PLAIN or said.startswith("blocked by policy: "):
        return said
    detections = {one.detection for one in verdict.evidence}
    if detections and detections <= OURS and (_GAP.fullmatch(said) or not verdict.confidence):
        return said
    parts = dict.fromkeys(f"{_known(one.detection)}: {_kind(one.kind)}" for one in verdict.evidence)
    if said.startswith(reasons.JUDGE):
        # The model's sentence stays: it may have been talked into saying anything.
        parts[f"{reasons.JUDGE} (confidence {verdict.confidence or 0:g})"] = None
    return ". ".join(parts) or reasons.NO_POLICY_MATCHED


def _finding(finding: Finding, named: frozenset[str], key: bytes) -> Finding:
    ours = finding.detection in SPOKEN and finding.value in named and not _HASH.fullmatch(finding.value)
    return Finding(
        _kind(finding.kind),
        finding.value if finding.value in named or _HASH.fullmatch(finding.value) else hashed(finding.value, key),
        _name(finding.source, key),
        detection=_known(finding.detection),
        field=match[1] if (match := _FIELD.match(finding.field)) else "",
        expected=finding.expected if ours else "",
        observed=finding.observed if ours else "",
        advice=finding.advice if finding.advice in _ADVICE else "",
        attack=finding.attack if finding.attack in ATTACKS else "",
    )


def _known(detection: str) -> str:
    return detection if detection in _KNOWN else "another detection"


def _kind(kind: str) -> str:
    return kind if _WORDS.fullmatch(kind) else "a finding"


def _name(said: str, key: bytes) -> str:
    return said if _NAME.fullmatch(said) else hashed(said, key)


def fields(document: Json, path: str = "") -> set[str]:
    """The paths of all fields in a document, for comparing with the schema that is published."""
    if isinstance(document, dict):
        return {found for name, below in document.items() for found in fields(below, f"{path}.{name}".lstrip("."))}
    if isinstance(document, list):
        return {found for below in document for found in fields(below, path + "[]")}
    return {path}
