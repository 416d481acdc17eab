"""One made-up question, for whoever wants to know whether a model answers: it is of nobody's agent, and nothing comes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.entities import Kind
from kaizen_security.observer.facts import Facts, Stood, Traced
from kaizen_security.observer.question import Question
from kaizen_security.reasoners.base import Attempt, Judge


def question() -> Question:
    """A letter names an account that nobody else named, and money is about to be sent there."""
    account = "PT50000201231234567890154"
    action = Action(
        tool="send_money",
        id="trial",
        run_id="trial",
        agent="trial",
        metadata={"source": "sdk", "arguments": {"recipient": account, "amount": "48.00"}},
    )
    finding = Finding(
        kind="value of untrusted origin",
        value=account,
        source="baseline",
        detection="provenance",
        field="arguments.recipient",
        attack="injection",
    )
    letter = Stood(tool="read_letter", path="body", free=True)
    facts = Facts(
        values=(
            Traced(path="recipient", kind=Kind.ACCOUNT, text=account, stood=letter),
            Traced(path="amount", kind=Kind.NUMBER, text="48", by_user=True, stood=letter),
        ),
        traced=True,
        effects=("paying",),
        reads=("read_letter",),
        asked=0.15,
        told=0.8,
        told_by="read_letter",
        probability=0.9,
        seen=400,
        declaration=Declaration(tools=("read_letter", "send_money"), purpose="Answers questions about bills."),
    )
    return Question(id="trial", action=action, floor=Verdict(evidence=(finding,)), expires_at=float("inf"), facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it, and how long it took in seconds."""

    attempt: Attempt
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether there was an answer of the one form."""
        return self.attempt.answer is not None

    def to_json(self) -> dict[str, Json]:
        """As a document."""
        found, said = self.attempt, self.attempt.answer
        answer: dict[str, Json] = {}
        if said is not None:
            answer = {"word": said.word.value, "confidence": said.confidence, "sentence": said.why}
        return {
            "answered": self.answered,
            "outcome": found.outcome.value,
            "answer": answer or None,
            "problem": found.problem or None,
            "input_tokens": found.input_tokens,
            "output_tokens": found.output_tokens,
            "seconds": round(self.seconds, 3),
        }


def trial(judge: Judge, deadline: float) -> Trial:
    """Ask the made-up question. Blocks for at most ``deadline`` seconds."""
    began = time.monotonic()
    attempt = judge.attempt(question(), deadline)
    return Trial(attempt=attempt, seconds=time.monotonic() - began)
