"""From findings to a verdict: order and weights, all of them, in this one file.

Policy denies whatever the mode; the rest flags, and in enforce mode blocks where the table says so. What was learned never stands
on the side of letting something through: no row of the table looks at a baseline to remove a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.declared import UNDECLARED_DATA
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Score
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.baseline import destination
from kaizen_security.observer.detection import About, Abstention, Doubt, Said, Status
from kaizen_security.observer.rules import Rules

TOLERANCE = 0.01
"""Novelty speaks while a harmless new value is expected at most once in 100 observations: the stated false-positive budget."""


class Blocks(Enum):
    """When a stable detection's finding blocks."""

    ALWAYS = "always"
    ENFORCE = "in enforce mode"
    NEVER = "never"


class Asks(Enum):
    """What a stable detection asks a person about, in enforce mode. What a person may release is this, and nothing else."""

    NEVER = "never"
    DOUBTS = "what it doubts; what it finds blocks"
    ALL = "what it doubts and what it finds"


@dataclass(frozen=True, slots=True)
class Weight:
    """``rank``: whose reason comes first, 1 before 2."""

    rank: int
    blocks: Blocks
    asks: Asks = Asks.NEVER


TABLE = {
    "policy": Weight(1, Blocks.ALWAYS),
    "correlation": Weight(2, Blocks.ALWAYS),
    "secrets": Weight(3, Blocks.ALWAYS),
    "tool_pins": Weight(4, Blocks.ALWAYS),
    "gap": Weight(4, Blocks.ENFORCE),
    "taint": Weight(4, Blocks.ENFORCE),
    "provenance": Weight(5, Blocks.ENFORCE, Asks.DOUBTS),
    "diverted": Weight(5, Blocks.ENFORCE, Asks.ALL),
    "memory": Weight(5, Blocks.ENFORCE, Asks.ALL),
    "declaration": Weight(6, Blocks.ENFORCE, Asks.ALL),
    "reasoning": Weight(7, Blocks.ENFORCE),
    "novelty": Weight(7, Blocks.NEVER),
    "tenant": Weight(7, Blocks.NEVER),
    "alignment": Weight(8, Blocks.ENFORCE, Asks.DOUBTS),
    "unasked": Weight(8, Blocks.ENFORCE, Asks.ALL),
    "sequence": Weight(9, Blocks.NEVER),
    "volume": Weight(10, Blocks.NEVER),
    "drift": Weight(11, Blocks.NEVER),
    "peer": Weight(12, Blocks.NEVER),
    "order": Weight(13, Blocks.NEVER),
}
"""The order of the detections; ``reasoning`` is what a model raised (``observer.raising``). A gap is found after the fact, by
``observer.gap``, so its verdict stands alone: its row says whether it blocks, and that no person is asked and no model."""


def blocks(detection: str, mode: Mode) -> bool:
    """Whether that detection's finding, once it is certain, blocks in that mode."""
    return _holds(TABLE.get(detection, UNKNOWN).blocks, mode)


def _holds(when: Blocks, mode: Mode) -> bool:
    return when is Blocks.ALWAYS or (when is Blocks.ENFORCE and mode is Mode.ENFORCE)


_OWN_WORDS = frozenset({"policy", "correlation", "declaration", "novelty"})
"""Detections whose reason has a form of its own; the others say ``detection: kind (value).``"""

UNKNOWN = Weight(15, Blocks.NEVER)
"""A detection without a row may flag."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one detection said of the action."""

    about: About
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Weighed:
    """The verdict, and whether the action may ever be learned from (a paused agent's flags still forbid it).

    ``counted``  names of the candidate detections that said something, once for each finding
    ``asks``     the verdict blocks only because of what a person may release
    ``doubts``   what stable detections doubt, where that is no finding (in observe mode)
    ``spoils``   nothing else of its run may be learned either
    """

    verdict: Verdict
    clean: bool
    counted: tuple[str, ...] = ()
    asks: bool = False
    doubts: tuple[Finding, ...] = ()
    spoils: bool = True

    @property
    def unsettled(self) -> bool:
        """Whether no rule settles it, nor has a person: let through though something was found or doubted, or held."""
        if self.verdict.blocked:
            return self.verdict.pending is not None
        return bool(self.verdict.evidence or self.doubts) and not self.asks


_weighed = builder(Weighed)
_said = builder(Verdict)


class Entry(NamedTuple):
    """A finding that counts, and whether its detection merely doubts."""

    weight: Weight
    about: About
    finding: Finding
    doubt: bool = False


def weigh(
    action: Action,
    heard: Sequence[Heard],
    rules: Rules,
    now: float,
    *,
    ratified: bool = False,
    asking: bool = True,
    score: Score | None = None,
) -> Weighed:
    """The verdict over everything that was said. ``now`` in Unix seconds.

    ``ratified``  a person called this act normal, so doubts about it are none
    ``asking``    somebody is there to be asked; else doubts pass, and what is certain blocks at once
    ``score``     of the action, which the verdict carries and nothing here looks at
    """
    notes = [one.why for hear in heard for one in hear.said if isinstance(one, Abstention)]
    doubting = rules.mode is Mode.ENFORCE and not rules.paused and not ratified and asking
    loud: list[Entry] = []
    doubts: list[Finding] = []
    counted: list[str] = []
    for hear in sorted(heard, key=lambda hear: _weight(hear.about).rank) if len(heard) > 1 else heard:
        said = [one for one in _entries(hear) if doubting or not one.doubt]
        if hear.about.status is Status.CANDIDATE:
            counted += [hear.about.name] * len(said)
            continue
        loud += said
        doubts += () if doubting or rules.paused or ratified else [one.finding for one in _entries(hear) if one.doubt]
    clean = not loud
    if rules.paused:
        quiet = [entry for entry in loud if not _blocks(entry, Mode.OBSERVE)]
        loud = [entry for entry in loud if _blocks(entry, Mode.OBSERVE)]
        notes.append("paused: recorded, not flagged" + (f" ({len(quiet)} findings)" if quiet else ""))
    blocking = [entry for entry in loud if _blocks(entry, rules.mode)]
    asks = asking and bool(blocking) and rules.received and all(map(_asks, blocking))
    verdict = _verdict(action, loud, rules, notes, now, score)
    settled = rules.suppressed.settle(action, verdict)
    if settled is not verdict:
        # Called a false positive: no flag, and its run is none the worse. To be learned it takes more (``fold``).
        return Weighed(settled, False, tuple(counted), spoils=False)
    return _weighed(verdict, clean, tuple(counted), asks, tuple(doubts), True)


def _entries(hear: Heard) -> Iterator[Entry]:
    weight = _weight(hear.about)
    for one in hear.said:
        if isinstance(one, Finding):
            yield Entry(weight, hear.about, one)
        elif isinstance(one, Doubt) and weight.asks is not Asks.NEVER and hear.about.status is Status.STABLE:
            yield Entry(weight, hear.about, one.finding, doubt=True)


def _weight(about: About) -> Weight:
    return TABLE.get(about.name, UNKNOWN)


def _blocks(entry: Entry, mode: Mode) -> bool:
    return entry.about.status is Status.STABLE and _holds(entry.weight.blocks, mode)


def _asks(entry: Entry) -> bool:
    return entry.weight.asks is Asks.ALL or (entry.weight.asks is Asks.DOUBTS and entry.doubt)


def _verdict(
    action: Action, loud: list[Entry], rules: Rules, notes: list[str], now: float, score: Score | None
) -> Verdict:
    blocked = any(_blocks(entry, rules.mode) for entry in loud)
    reason = reason_of(action, tuple(entry.finding for entry in loud))
    if not rules.received:
        notes.append(reasons.NO_POLICY_YET)
        if rules.mode is Mode.ENFORCE:
            blocked, reason = True, reasons.FAILED_CLOSED
    return _said(
        decision=Decision.BLOCK if blocked else Decision.ALLOW,
        reason=reason,
        evidence=tuple(entry.finding for entry in loud),
        confidence=None,
        notes=tuple(notes),
        action_id=action.id,
        policy_version=rules.version,
        pending=None,
        at=now,
        score=score,
    )


def reason_of(action: Action, findings: tuple[Finding, ...]) -> str:
    """The reason string: a policy's alone, since that is what a client says by itself; else all that was found, in order."""
    policy = [finding.kind for finding in findings if finding.detection == "policy"]
    if policy:
        return reasons.blocked_by_policy(policy)
    if any(finding.detection == "correlation" for finding in findings):
        return reasons.CORRELATION
    if not findings:
        return reasons.NO_POLICY_MATCHED
    said = [
        *_about(findings, "declaration", "undeclared"),
        *_about(findings, "novelty", "anomaly"),
        *(f"{one.detection}: {one.kind} ({one.value})." for one in findings if one.detection not in _OWN_WORDS),
    ]
    return " ".join([*said, *_both(action, findings)])


def _about(findings: tuple[Finding, ...], detection: str, form: str) -> list[str]:
    parts = {one.field: one.value for one in findings if one.detection == detection and one.kind != UNDECLARED_DATA}
    data = dict.fromkeys(one.value for one in findings if one.kind == UNDECLARED_DATA)
    if not parts and not (data and form == "undeclared"):
        return []
    tool, target = parts.get("tool", ""), parts.get("target", "")
    if form == "undeclared":
        return [reasons.undeclared(tool=tool, destination=target, data=", ".join(data))]
    return [reasons.anomaly(kind=parts.get("kind", ""), tool=tool, destination=target)]


def _both(action: Action, findings: tuple[Finding, ...]) -> list[str]:
    # The wire contract: a flag on an action that has both names both. The one that is in order is named for what it is.
    fields = {one.field for one in findings if one.kind != UNDECLARED_DATA}
    where = destination(action)
    said = []
    if action.tool and "tool" not in fields and where:
        said.append(f"Tool: {canonical.tool(action.tool)}.")
    if where and "target" not in fields and action.tool:
        said.append(f"Destination: {where}.")
    return said
