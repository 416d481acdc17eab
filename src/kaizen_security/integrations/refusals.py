"""What a model that was refused gets to read: why, what is allowed instead, and when to stop asking."""

from __future__ import annotations

from collections.abc import Iterable

from kaizen_security.contract.errors import KaizenBlocked
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict

TERMINAL = 3
"""From this refusal of one tool in one run on, the model is told to stop."""
MAX_REASON = 600
MAX_EXPECTED = 300


def refusal(verdict: Verdict, tool: str, times: int) -> str:
    """The text for the ``times``-th refusal (from 1) of ``tool`` in this run. Begins with ``Blocked by Kaizen: REASON``.

    It repeats no value of the call: only the reason string and what would have been expected.
    """
    said = [_sentence(str(KaizenBlocked(verdict))[:MAX_REASON])]
    if verdict.pending is not None:
        said.append(
            "A person has been asked and has not answered yet. "
            "Do something else first; the same call may be made again later."
        )
    else:
        said.extend(f"Allowed instead: {_sentence(expected)}" for expected in _expected(verdict.evidence))
    if times >= TERMINAL:
        said.append(
            f"This is refusal {times} of {tool} in this run, and it is final: do not call {tool} again. "
            "Finish the task without it, and say what could not be done."
        )
    elif times == TERMINAL - 1:
        said.append("Calling it again in the same way will be refused again.")
    else:
        said.append("Go on with the rest of the task without this call, or ask the user.")
    return " ".join(said)


def _expected(evidence: Iterable[Finding]) -> list[str]:
    """At most two different ones, in order."""
    found: list[str] = []
    for finding in evidence:
        if finding.expected and finding.expected not in found:
            found.append(finding.expected)
    return [text[:MAX_EXPECTED] for text in found[:2]]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else text + "."
