"""The local judge: no network, no key, no model. A few rules over the same facts that a model would get, in words.

Deterministic, and it says that it is local. It can see no more than the Observer does, and knows no language: what it adds is that
it looks at one question in full, where the score has to hold one threshold for all. What that is worth is measured
(``docs/explanation/reasoning-check.md``), and where nobody chose it, it is off.
"""

from __future__ import annotations

from kaizen_security.observer.facts import Facts
from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.reasoners.base import MAX_WHY, Attempt, Outcome

SURE = 0.6
UNSURE = 0.5
LEAD = 0.2
"""By how much more of the call what was read has to explain than the request."""


class Local:
    """A ``Judge`` that leaves nothing to anybody."""

    name = "local"
    local = True

    def attempt(self, question: Question, deadline: float) -> Attempt:
        """The answer at once."""
        word, sure, why = judge(question.facts)
        answer = Answer(word=word, by="model", confidence=sure, why=f"local judge, no model: {why}"[:MAX_WHY])
        return Attempt(outcome=Outcome.ANSWERED, answer=answer)


def judge(facts: Facts) -> tuple[Word, float, str]:
    """Word, confidence and sentence."""
    if not facts.traced:
        return Word.BENIGN, UNSURE, "nothing is known of the run, so nothing speaks against the action."
    if facts.done:
        return _run(facts)
    stranger = next((one for one in facts.values if one.strange), None)
    lead = (facts.told or 0.0) - (facts.asked or 0.0)
    unasked = sorted(set(facts.effects) - set(facts.wanted))
    if stranger is not None and (facts.effects or lead > LEAD):
        return Word.MALICIOUS, SURE, f"the {stranger.kind} in its arguments stands only in free text that was read."
    if lead > LEAD and unasked:
        return (
            Word.SUSPICIOUS,
            UNSURE,
            f"one place in what was read explains {facts.told or 0:.0%} of it, the request {facts.asked or 0:.0%}, "
            f"and nobody asked for {unasked[0]}.",
        )
    return (
        Word.BENIGN,
        UNSURE,
        "every value that leads outwards was named by the user, used before, or found in a field.",
    )


def _run(facts: Facts) -> tuple[Word, float, str]:
    """Of a whole run: a deed that a reading led, or findings of more than one kind and an effect that nobody asked for."""
    passed = [one for one in facts.done if not one.blocked]
    led = next((one for one in passed if one.strange and one.unasked), None)
    if led is not None:
        return (
            Word.MALICIOUS,
            SURE,
            f"one of {len(facts.done)} deeds had an effect that nobody asked for, at a place that only free text holds.",
        )
    found = {(finding.detection, finding.kind) for one in passed for finding in one.findings}
    unasked = sorted({effect for one in passed for effect in one.unasked})
    if len(found) > 1 and unasked:
        return (
            Word.SUSPICIOUS,
            UNSURE,
            f"{len(found)} kinds of findings in one run, and nobody asked for {unasked[0]}.",
        )
    return Word.BENIGN, UNSURE, "no deed of the run went further than what was found of it already."
