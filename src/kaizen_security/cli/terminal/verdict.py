"""One verdict for people: its findings, what its score is made of, where the call's values came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaizen_security.cli.terminal.paint import DIM, GREEN, RED, YELLOW, painted, plain, shortened
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Score
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.weigh import TABLE, UNKNOWN, Blocks
from kaizen_security.runtime.counterfactual import part_of

_ALONE = {
    Blocks.ALWAYS: "blocks by itself, in every mode",
    Blocks.ENFORCE: "flags by itself; blocks in enforce mode",
    Blocks.NEVER: "flags by itself, never blocks",
}
_BY_SCORE = frozenset({"provenance", "alignment"})
_BAR = 12


def shown(verdict: Verdict, *, colour: bool) -> str:
    """A verdict with its findings, in lines."""
    word, paint = (
        ("BLOCK", RED) if verdict.blocked else ("ALLOW, flagged", YELLOW) if verdict.flagged else ("ALLOW", GREEN)
    )
    lines = [f"{painted(word, paint, colour)}  {plain(verdict.reason)}"]
    if verdict.confidence is not None:
        lines.append(f"confidence {verdict.confidence:.2f}")
    for finding in verdict.evidence:
        lines += _finding(finding, verdict.score, colour)
    lines += [painted(f"note: {plain(note)}", DIM, colour) for note in verdict.notes]
    if verdict.pending is not None:
        lines.append(f"waits for a person: hold {plain(verdict.pending.id)}")
    return "\n".join(lines)


def _finding(finding: Finding, score: Score | None, colour: bool) -> Iterable[str]:
    yield f"- {painted(plain(finding.kind), YELLOW, colour)}: {plain(finding.value)}"
    attack = ATTACKS.get(finding.attack)
    ids = f"{attack.title} ({' '.join((*attack.owasp, *attack.atlas))})" if attack else finding.attack
    for label, value in (
        ("says", ", ".join(dict.fromkeys(filter(None, (finding.detection, finding.source))))),
        ("counts", role(finding, score)),
        ("field", finding.field),
        ("expected", finding.expected),
        ("seen", finding.observed),
        ("what to do", finding.advice),
        ("attack", ids),
    ):
        if value:
            yield f"    {label + ':':<12}{plain(value)}"


def role(finding: Finding, score: Score | None) -> str:
    """What a finding contributes to the verdict."""
    part = part_of(finding)
    alone = _ALONE[TABLE.get(part, UNKNOWN).blocks]
    if part in _BY_SCORE and score is not None:
        return f"by its score of {score.value:.2f}; {alone}"
    return alone


def contributions(score: Score, *, colour: bool) -> Iterator[str]:
    """The score in its parts: name, weight times value, share of what speaks against the call."""
    limit = "not calibrated yet" if score.threshold is None else f"flagged above {score.threshold:.2f}"
    yield f"score {score.value:.2f} ({limit}), probability {score.probability:.2f} of serving somebody else"
    for part in score.parts:
        share = score.share(part)
        bar = painted("█" * max(1, round(share * _BAR)), YELLOW, colour)
        yield f"  {part.name:<18}{part.points:+6.2f} = {part.weight:5.2f} x {part.value:4.2f} {share:5.0%} {bar}"
    if score.parts:
        yield f"  {'base':<18}{score.bias:+6.2f}"
        wanted, effects = (", ".join(found) or "nothing of the kind" for found in (score.wanted, score.effects))
        yield f"the request speaks of {wanted}; the call is {effects}"
        yield f"the request explains {score.asked:.0%} of the call, one place in what was read {score.told:.0%}"


def origins(score: Score, *, width: int) -> Iterator[str]:
    """Where each value of the call came from."""
    for one in score.came:
        yield shortened(f"  {plain(one.field):<22} {one.kind:<12} {plain(one.words)}", width)
