"""Questions that nobody waits for: in order, bounded, and one bad question does not end the others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.runtime.reviews import Reviews
from kaizen_security.testing.judging import a_question

QUESTION = a_question()
MALICIOUS = Answer(word=Word.MALICIOUS, by="model", why="It leaves.", confidence=0.9)


def run(answers: list[Answer | None | Exception], *, room: int = 10) -> tuple[list[tuple[Answer, object]], Reviews]:
    told: list[tuple[Answer, object]] = []

    async def ask(question: Question) -> Answer | None:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def tell(question: Question, answer: Answer, verdict: object) -> None:
        told.append((answer, verdict))

    async def main() -> Reviews:
        reviews = Reviews(ask, tell, clock=lambda: 7.0, room=room, workers=1)
        reviews.put(QUESTION)
        reviews.start()
        for _ in range(len(answers)):
            reviews.put(QUESTION)
        await asyncio.sleep(0)
        await reviews.settled()
        await reviews.close()
        return reviews

    return told, asyncio.run(main())


def test_what_is_raised_is_told_as_a_verdict_and_the_rest_without_one():
    benign = Answer(word=Word.BENIGN, by="model", confidence=0.9)
    told, reviews = run([MALICIOUS, None, benign])
    (first, verdict), second = told
    assert (first, second) == (MALICIOUS, (benign, None))
    assert (verdict.at, verdict.confidence) == (7.0, 0.6)
    assert reviews.dropped == 1, "what was put before the start"


def test_one_that_breaks_does_not_end_the_others(caplog):
    told, reviews = run([RuntimeError("sk-secret"), MALICIOUS])
    assert (len(told), reviews.failures) == (1, 1)
    assert "sk-secret" not in caplog.text


def test_what_finds_no_room_is_dropped_and_counted():
    told, reviews = run([MALICIOUS] * 5, room=4)
    assert len(told) == 2
    assert reviews.dropped == 1 + 3
    assert len(told) == 2
    assert reviews.dropped == 1 + 3


def test_one_agent_that_asks_about_everything_leaves_half_of_the_room_to_the_others():
    asked = []

    async def ask(question: Question) -> Answer | None:
        asked.append(question.action.agent)
        return None

    async def tell(question: Question, answer: Answer, verdict: object) -> None:
        raise AssertionError("nobody answers")

    def of(agent: str) -> Question:
        return replace(QUESTION, action=replace(QUESTION.action, agent=agent))

    async def main() -> Reviews:
        reviews = Reviews(ask, tell, clock=lambda: 7.0, room=10, workers=1)
        reviews.start()
        for _ in range(2):
            for agent in ("loud",) * 50 + ("quiet",) + ("third",) * 50:
                reviews.put(of(agent))
            await asyncio.sleep(0)
            await reviews.settled()
        await reviews.close()
        return reviews

    reviews = asyncio.run(main())
    assert asked == [*["loud"] * 5, "quiet", *["third"] * 4] * 2
    assert reviews.dropped == 2 * (45 + 46)
