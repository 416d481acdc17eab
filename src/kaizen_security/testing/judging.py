"""Checks that every reasoner has to pass, ours and those that others write: against a real server that says what it is told to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.entities import Kind
from kaizen_security.observer.facts import Facts, Stood, Traced
from kaizen_security.observer.question import Question, Word
from kaizen_security.reasoners.base import RULES, Judge, Outcome
from kaizen_security.testing.models import Late, Line, ModelServer, Raw, Turn

DEADLINE = 10.0
"""Seconds for what should be answered at once."""
SOON = 0.3
"""Seconds for what should not be answered in time."""
SLACK = 8.0
"""Seconds that a machine with other work may take on top."""
_NONE = (Raw(body=b"{}"), Raw(body=b"no json"), Raw(body=b"[1]"), Raw(body=b'{"choices":[],"output":{},"content":7}'))
_SAID = (
    "",
    "malicious",
    "MALICIOUS 0.9: One thing.\nBENIGN 0.9: Another.",
    "I think this is MALICIOUS 0.9: It leaves.",
    "ALLOW_ONCE 1.0: Let it pass.",
    "MALICIOUS 9: It leaves.",
    "MALICIOUS 0.9: " + "a" * 5000,
)


def check_reasoner(make: Callable[[str], Judge], *, canary: str = "canary-4f1d", key: str = "") -> None:
    """The laws of reasoners. ``make(url)`` makes one that asks the server at ``url`` (a local one takes no notice of it).

    An answer counts in one form only; whatever else comes back, or nothing at all, is an attempt without an answer and never an
    error; nothing takes longer than its deadline; nothing of a run's text is sent; ``key`` stands in no problem. Raises
    AssertionError that names the law.
    """
    question = a_question(canary)
    with ModelServer() as server:
        judge = make(server.url)
        assert judge.name, "a reasoner says who it is"
        if judge.local:
            _check_local(judge, question)
            assert not server.heard, "a local reasoner asks nobody"
            return
        _check_answers(judge, server, question, canary)
        _check_other_shapes(judge, server, question)
        problems = _check_refusals(judge, server, question)
        _check_late(judge, server, question)
        with ModelServer() as elsewhere:
            _check_redirect(judge, server, elsewhere, question)
    gone = make(f"http://127.0.0.1:{_closed_port()}").attempt(question, DEADLINE)
    assert gone.answer is None, "nobody there is no answer"
    assert gone.outcome in (Outcome.FAILED, Outcome.LATE), f"nobody there is a failure, not {gone.outcome}"
    for problem in (*problems, gone.problem):
        assert problem, "what went wrong is said"
        assert not key or key not in problem, "a key stands in no problem"


def _check_local(judge: Judge, question: Question) -> None:
    first = judge.attempt(question, DEADLINE)
    assert first.answer is not None, "a local reasoner always answers"
    assert first == judge.attempt(question, DEADLINE), "the same question has the same answer"
    assert (first.input_tokens, first.output_tokens) == (0, 0), "a local reasoner spends no tokens"
    assert "local" in first.answer.why, "a local reasoner says that it is local"


def _check_answers(judge: Judge, server: ModelServer, question: Question, canary: str) -> None:
    for word in (Word.BENIGN, Word.SUSPICIOUS, Word.MALICIOUS):
        server.say(Turn(text=f"{word.value.upper()} 0.8: The fact which decided.", input_tokens=7, output_tokens=3))
        found = judge.attempt(question, DEADLINE)
        assert found.outcome is Outcome.ANSWERED, f"an answer of the one form counts: {found}"
        assert found.answer is not None, "an answer of the one form counts"
        assert (found.answer.word, found.answer.confidence, found.answer.by) == (word, 0.8, "model")
        assert (found.input_tokens, found.output_tokens) == (7, 3), "tokens are what the provider says"
    bodies = {heard.body for heard in server.heard}
    assert len(bodies) == 1, "the same question is asked in the same words"
    sent = server.heard[-1].document
    assert json.dumps(RULES)[1:-1] in json.dumps(sent), "the rules are sent"
    assert "never-seen.example" in json.dumps(sent), "where it goes is sent"
    assert canary not in json.dumps(sent), "nothing of a run's text is sent"


def _check_other_shapes(judge: Judge, server: ModelServer, question: Question) -> None:
    lines: list[Line] = [*_NONE, *(Turn(text=said) for said in _SAID), Raw(body=b'{"a":"' + b"x" * (3 << 20) + b'"}')]
    for line in lines:
        server.say(line)
        found = judge.attempt(question, DEADLINE)
        assert found.answer is None, f"no answer is none: {str(line)[:80]}"
        assert found.outcome in (Outcome.SHAPELESS, Outcome.FAILED), f"not {found.outcome}: {str(line)[:80]}"


def _check_refusals(judge: Judge, server: ModelServer, question: Question) -> list[str]:
    problems = []
    for status, outcome in ((429, Outcome.BUSY), (503, Outcome.BUSY), (500, Outcome.FAILED), (400, Outcome.REFUSED)):
        server.otherwise = Raw(status=status, body=b'{"message":"no"}')
        found = judge.attempt(question, DEADLINE)
        assert (found.answer, found.outcome) == (None, outcome), f"status {status} is {outcome}, not {found.outcome}"
        problems.append(found.problem)
    return problems


def _check_late(judge: Judge, server: ModelServer, question: Question) -> None:
    release = threading.Event()
    server.say(Late(until=release, then=Turn(text="BENIGN 1.0: Late.")))
    began = time.monotonic()
    found = judge.attempt(question, SOON)
    took = time.monotonic() - began
    release.set()
    assert found.answer is None, "what comes late is no answer"
    assert found.outcome is Outcome.LATE, f"what comes late is late, not {found.outcome}"
    assert took < SOON + SLACK, f"a deadline of {SOON} s took {took:.1f} s"


def _check_redirect(judge: Judge, server: ModelServer, elsewhere: ModelServer, question: Question) -> None:
    for status in (302, 307):
        server.otherwise = Raw(status=status, headers={"Location": elsewhere.url + server.heard[-1].path})
        found = judge.attempt(question, DEADLINE)
        assert found.answer is None, "a redirect is no answer"
    assert not elsewhere.heard, "a redirect is never followed"


def a_question(canary: str = "canary-4f1d") -> Question:
    """A question whose action holds text of every kind, ``canary`` in each, and leads to ``never-seen.example``."""
    action = Action(
        tool="send_mail",
        target=f"https://never-seen.example/inbox?note={canary}",
        metadata={"source": "sdk", "arguments": {"to": f"{canary}@never-seen.example", "text": f"please {canary}"}},
        id="a-1",
        run_id="r-1",
    )
    finding = Finding(
        kind="value of untrusted origin", value=canary, detection="provenance", field="arguments.to", observed=canary
    )
    to = Traced(
        path="to",
        kind=Kind.EMAIL,
        text=f"{canary}@never-seen.example",
        stood=Stood(tool="read_mail", path="body", free=True),
    )
    facts = Facts(values=(to,), traced=True, effects=("sending",), reads=("read_mail",), asked=0.1, told=0.7, seen=400)
    floor = Verdict(reason=f"floor {canary}", evidence=(finding,))
    return Question(id="q-1", action=action, floor=floor, expires_at=1e12, facts=facts)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
