"""What an answer of a model does to a verdict: it may raise it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.baseline import destination
from kaizen_security.observer.question import Answer, Question, Word

RAISING = frozenset({Word.SUSPICIOUS, Word.MALICIOUS})
"""Words of a model that change anything."""
ABOUT = "reasoning"
"""What the findings of a reasoning check give as their detection."""


def raised(question: Question, answer: Answer) -> Verdict:
    """The floor, raised by a model's answer; the floor itself when the answer raises nothing.

    Whatever a model claims, its confidence is capped by the rung of who saw the action, and what blocks goes on blocking.
    """
    floor = question.floor
    if answer.word not in RAISING:
        return floor
    action, sure = question.action, min(answer.confidence or 0.0, question.action.rung.confidence)
    found = (*floor.evidence, *question.doubts)
    notes = tuple(note for note in floor.notes if note != reasons.HELD)  # it waits no longer
    tool, place = canonical.tool(action.tool), destination(action)
    finding = Finding(
        kind=f"judged {answer.word.value}",
        value=(place or tool or action.kind)[:512],
        source="reasoning",
        detection=ABOUT,
        field="target" if place else "tool" if tool else "kind",
        expected="an action that follows from the request, the declaration and what this agent normally does",
        observed=answer.why,
        advice="Look at the run. If it is right, call it a false positive, or fold the action into the baseline.",
        attack=next((one.attack for one in found if one.attack), ""),
    )
    return replace(
        floor,
        decision=Decision.BLOCK if question.mode is Mode.ENFORCE else floor.decision,
        reason=reasons.judged(answer.word.value, sure, answer.why, tool=tool, destination=place),
        evidence=(*found, finding),
        confidence=sure,
        notes=notes if floor.flagged else (*notes, reasons.DOUBTED),
        pending=None,
    )
