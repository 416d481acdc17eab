"""The evidence drawer: everything that is known about one verdict, as values for the template. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kaizen_security.contract.action import Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Score
from kaizen_security.contract.suppression import can_accept, can_suppress
from kaizen_security.server.acts import Act
from kaizen_security.server.console.lines import Line, act_line, line, text_of
from kaizen_security.server.console.words import (
    ACCEPTED,
    ACCEPTED_MEANS,
    DECIDED_BY,
    ORIGIN_WORD,
    STATUS_MEANS,
    STATUS_WORD,
    Shown,
    TriageStep,
    triage_steps,
)
from kaizen_security.server.triage import action_of
from kaizen_security.store.base import Status, VerdictRow

MAX_FACTS: Final = 100
"""Facts of one action that are shown; what is left out is counted."""
_OWASP: Final = "https://genai.owasp.org/resource/owasp-top-10-for-agentic-applications-for-2026/"
_ATLAS: Final = "https://atlas.mitre.org/techniques/"

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One finding: ``facts`` in the order of reading, ``ids`` the attack class's ids in other taxonomies with their addresses."""

    kind: str
    detection: str
    facts: tuple[Fact, ...]
    attack: str
    ids: tuple[tuple[str, str], ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """A score for people: ``sum`` says it in one line, ``parts`` are name, contribution, weight times value, share in per cent."""

    sum: str
    parts: tuple[tuple[str, str, str, int], ...]
    explained: str
    came: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawer:
    """One verdict with its evidence and what stands beside it, oldest first; ``listed`` is its act's line in the list."""

    line: Line
    status_word: str
    status_means: str
    steps: tuple[TriageStep, ...]
    findings: tuple[FindingView, ...]
    score: ScoreView | None
    silence: str
    notes: tuple[str, ...]
    action: tuple[Fact, ...]
    known: tuple[Fact, ...]
    decided_by: str
    act: tuple[Line, ...]
    listed: Line
    joined: str
    joined_means: str
    timeline: tuple[Line, ...]
    timeline_of: str


def drawer(row: VerdictRow, beside: Sequence[VerdictRow], act: Act, now: float) -> Drawer:
    """The drawer of ``row``, one of ``act``; ``beside`` are the rows of the same action, deed or run, itself among them or not."""
    shown_line = line(row, now)
    others = sorted(
        {other.id: other for other in (*beside, row)}.values(), key=lambda other: (other.created_at, other.id)
    )
    acceptable = can_accept(action_of(row), row.evidence)
    accepted = acceptable and row.status is Status.FALSE_POSITIVE
    releasable = bool(row.evidence) and can_suppress(row.evidence)
    return Drawer(
        line=shown_line,
        status_word=ACCEPTED if accepted else STATUS_WORD[row.status],
        status_means=ACCEPTED_MEANS if accepted else STATUS_MEANS[row.status],
        steps=triage_steps(row.status, releasable=releasable, acceptable=acceptable),
        findings=tuple(finding_view(finding) for finding in row.evidence),
        score=None if row.score is None else _score(row.score),
        silence=_silence(shown_line.shown),
        notes=row.notes,
        action=action_facts(row.action),
        known=tuple((name, value) for name, value in _known(row) if value),
        decided_by=DECIDED_BY[row.origin],
        act=tuple(line(other, now) for other in reversed(act.rows)),
        listed=act_line(act, now),
        joined=act.joined.value,
        joined_means=act.joined.means,
        timeline=tuple(line(other, now) for other in others),
        timeline_of="Its run" if row.run_id else "The same action, as others saw it",
    )


def finding_view(finding: Finding) -> FindingView:
    """A finding as it is shown."""
    attack = ATTACKS.get(finding.attack)
    ids: list[tuple[str, str]] = []
    if attack is not None:
        ids = [(f"OWASP {id_}", _OWASP) for id_ in attack.owasp]
        ids += [(f"ATLAS {id_}", _ATLAS + id_) for id_ in attack.atlas]
    facts = (
        ("Field", finding.field),
        ("Expected", finding.expected),
        ("Seen", finding.observed),
        ("Value", finding.value),
        ("Says who", finding.source),
    )
    return FindingView(
        kind=finding.kind,
        detection=finding.detection,
        facts=tuple(fact for fact in facts if fact[1]),
        attack=attack.title if attack is not None else "",
        ids=tuple(ids),
        advice=finding.advice,
    )


def _score(score: Score) -> ScoreView:
    limit = (
        "the agent's threshold is not calibrated yet"
        if score.threshold is None
        else f"a call is flagged above {score.threshold:.2f}"
    )
    return ScoreView(
        sum=f"{score.value:.2f}; {limit}. Probability of serving somebody else: {score.probability:.0%}.",
        parts=tuple(
            (one.name, f"{one.points:+.2f}", f"{one.weight:.2f} x {one.value:.2f}", round(score.share(one) * 100))
            for one in score.parts
        ),
        explained=(
            f"The request speaks of {', '.join(score.wanted) or 'nothing of the kind'}, "
            f"the call is {', '.join(score.effects) or 'nothing of the kind'}. "
            f"The request explains {score.asked:.0%} of the call, one place in what was read {score.told:.0%}. "
            f"The sum begins at {score.bias:.2f}."
            if score.parts
            else ""
        ),
        came=tuple((one.field, f"{one.kind}: {one.words}") for one in score.came),
    )


def _silence(state: Shown) -> str:
    if state is Shown.BLOCK:
        return "The block came without a finding; its reason is all that was reported."
    return "No detection had anything to say about this action."


def _known(row: VerdictRow) -> Iterator[Fact]:
    yield "Source", row.source
    yield "Claimed or evaluated", ORIGIN_WORD[row.origin]
    yield "Confidence", "" if row.confidence is None else f"{row.confidence:.0%}"
    yield "Severity", row.severity.value
    yield "Policy version", row.policy_version
    yield "Run", row.run_id
    yield "Act", row.act_id
    yield "Action id", row.action_id
    yield "Verdict id", row.id


def action_facts(action: dict[str, Json]) -> tuple[Fact, ...]:
    """What is known of an action, a line each; bounded."""
    return _bounded(_action_facts(action))


_TYPED: Final = ("kind", "tool", "publisher", "target", "hash", "at")


def _action_facts(action: dict[str, Json]) -> Iterator[Fact]:
    for key in _TYPED:
        if said := text_of(action.get(key)):
            yield key, said
    for key in ("delegation", "seen_by"):
        names = action.get(key)
        if isinstance(names, list) and names:
            yield key, " → ".join(map(text_of, names))
    metadata = action.get("metadata")
    if not isinstance(metadata, dict):
        return
    for key, value in metadata.items():
        if key == "facts" and isinstance(value, list):
            yield from _typed(value)
        else:
            yield from _flat(value, key)


def _typed(facts: list[Json]) -> Iterator[Fact]:
    """What ``contract.boundary`` leaves of each argument, on a line of its own: ``text, length 23, hmac 9f2c…``."""
    for place, fact in enumerate(facts):
        if not isinstance(fact, dict) or not text_of(fact.get("field")):
            yield from _flat(fact, f"facts[{place}]")
            continue
        said = [text_of(fact.get("type")) or "value"]
        said += [f"{key} {_plain(value)}" for key, value in fact.items() if key not in ("field", "type")]
        yield text_of(fact["field"]), ", ".join(said)


def _flat(value: Json, path: str) -> Iterator[Fact]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _flat(below, f"{path}.{key}")
    elif isinstance(value, list):
        for place, below in enumerate(value):
            yield from _flat(below, f"{path}[{place}]")
    else:
        yield path, _plain(value)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _bounded(facts: Iterator[Fact]) -> tuple[Fact, ...]:
    kept: list[Fact] = []
    for count, fact in enumerate(facts):
        if count < MAX_FACTS:
            kept.append(fact)
        elif count == MAX_FACTS:
            kept.append(("…", "and more, which the JSON form of this page holds"))
            break
    return tuple(kept)
