"""Between a question and a model: cache, budget, breaker, deadline, and every call counted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.reasoners.base import Attempt, Outcome
from kaizen_security.reasoners.choice import Budget
from kaizen_security.reasoners.speech import refusal
from kaizen_security.runtime import usage
from kaizen_security.runtime.reasoning import FAILURES, FRESH, REMEMBERED, REST, Reasoning, Shares, shape_of
from kaizen_security.runtime.usage import report, total
from kaizen_security.store.base import StoreFull
from kaizen_security.testing.judging import a_question

KEY = b"k" * 32
NOW = 1_000_000_000.0


class MemoryLedger:
    """Counts for as long as the process lives."""

    def __init__(self) -> None:
        self._days: dict[int, Counter[str]] = {}

    def add(self, day: int, counts: Mapping[str, int]) -> None:
        self._days.setdefault(day, Counter()).update(counts)

    def since(self, day: int) -> Mapping[int, Mapping[str, int]]:
        return {one: dict(counts) for one, counts in self._days.items() if one >= day}


def says(word: Word = Word.MALICIOUS, confidence: float = 0.9) -> Attempt:
    answer = Answer(word=word, by="model", why="It leaves.", confidence=confidence)
    return Attempt(outcome=Outcome.ANSWERED, answer=answer, input_tokens=100, output_tokens=10)


class Scripted:
    """A judge that does what it is told; what it was asked is in ``asked``."""

    name = "scripted"
    local = False

    def __init__(self, *lines: Attempt | Exception | Callable[[], Attempt], otherwise: Attempt | None = None) -> None:
        self.asked: list[Question] = []
        self.otherwise = otherwise or says()
        self._lines = list(lines)

    def attempt(self, question: Question, deadline: float) -> Attempt:
        self.asked.append(question)
        line = self._lines.pop(0) if self._lines else self.otherwise
        if isinstance(line, Exception):
            raise line
        return line() if callable(line) else line


class Setting:
    def __init__(self, judge: Scripted, **options) -> None:
        self.at = NOW
        self.ledger = options.pop("ledger", MemoryLedger())
        self.reasoning = Reasoning(judge, ledger=self.ledger, clock=lambda: self.at, key=KEY, **options)

    def ask(self, *questions: Question, deadline: float = 5.0) -> list[Answer | None]:
        async def together() -> list[Answer | None]:
            return list(await asyncio.gather(*(self.reasoning.answer(one, deadline) for one in questions)))

        return asyncio.run(together())

    def counts(self) -> dict[str, int]:
        return {name: n for name, n in total(self.ledger.since(0)).items() if n}


@pytest.fixture
def setting():
    made: list[Setting] = []

    def make(judge: Scripted, **options) -> Setting:
        made.append(Setting(judge, **options))
        return made[-1]

    yield make
    for one in made:
        one.reasoning.close()


def other(number: int) -> Question:
    """A question of another shape each."""
    return replace(a_question(), action=Action(tool=f"tool_{number}", metadata={"source": "sdk"}))


def test_an_answer_is_counted_with_what_it_cost(setting):
    one = setting(Scripted(), budget=Budget(input_price=2.0, output_price=10.0))
    (answer,) = one.ask(a_question())
    assert answer is not None
    assert (answer.word, answer.why) == (Word.MALICIOUS, "It leaves.")
    assert one.counts() == {
        "questions": 1,
        "calls": 1,
        "malicious": 1,
        "input_tokens": 100,
        "output_tokens": 10,
        "money_millionths": 300,
    }


def test_a_question_of_the_same_shape_is_not_asked_again_until_the_answer_is_old(setting):
    judge = Scripted()
    one = setting(judge)
    assert one.ask(a_question("first"))[0] == one.ask(a_question("second"))[0]
    assert len(judge.asked) == 1
    one.at += FRESH + 1
    one.ask(a_question())
    assert len(judge.asked) == 2
    assert one.counts()["cached"] == 1


def test_two_of_one_shape_at_the_same_time_are_one_call(setting):
    go = threading.Event()

    def slowly() -> Attempt:
        assert go.wait(60)
        return says()

    judge = Scripted(slowly)
    one = setting(judge)

    async def both() -> list[Answer | None]:
        first = asyncio.create_task(one.reasoning.answer(a_question("a"), 5.0))
        second = asyncio.create_task(one.reasoning.answer(a_question("b"), 5.0))
        while not judge.asked:
            await asyncio.sleep(0)
        go.set()
        return [await first, await second]

    first, second = asyncio.run(both())
    assert first is second is not None
    assert len(judge.asked) == 1


def test_a_system_that_starts_no_thread_costs_no_slot(setting, monkeypatch):
    one = setting(Scripted(), at_once=1)

    def refuses(thread):
        raise RuntimeError("can't start new thread")

    one.ask(other(0))  # the thread that counts is there
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuses)
        assert one.ask(other(1)) == [None]
    assert one.ask(other(2))[0] is not None


def test_what_was_no_answer_is_asked_again(setting):
    judge = Scripted(Attempt(outcome=Outcome.SHAPELESS, problem="no form"))
    one = setting(judge)
    assert one.ask(a_question()) == [None]
    assert one.ask(a_question())[0] is not None
    assert (one.counts()["shapeless"], one.counts()["calls"]) == (1, 2)


def test_the_shape_tells_places_tools_and_modes_apart_and_not_the_values():
    question = a_question("first")
    assert shape_of(question, KEY) == shape_of(a_question("second"), KEY)
    moved = replace(question, action=replace(question.action, target="https://elsewhere.example/"))
    asked = replace(question, facts=replace(question.facts, told=0.1))
    assert len({shape_of(one, KEY) for one in (question, moved, asked, other(1), other(2))}) == 5


@pytest.mark.parametrize(
    ("budget", "part"),
    [
        (Budget(calls=2), "calls"),
        (Budget(tokens=220), "tokens"),
        (Budget(money=0.0004, input_price=2.0), "money"),
    ],
)
def test_a_budget_holds_for_the_day_and_is_whole_again_the_next(setting, budget, part):
    judge = Scripted()
    one = setting(judge, budget=budget)
    answers = [one.ask(other(n))[0] for n in range(4)]
    assert [answer is not None for answer in answers] == [True, True, False, False]
    today = usage.day_of(one.at)
    assert report(one.ledger.since(today), today, budget)["exhausted"] == part
    assert one.counts()["over_budget"] == 2
    one.at += usage.DAY
    assert one.ask(other(9))[0] is not None


def test_an_agent_has_its_share_of_the_day_and_no_more(setting):
    judge = Scripted()
    one = setting(judge, budget=Budget(calls=100, agent_calls=2))
    questions = [other(number) for number in range(5)]
    for question in questions[:3]:
        one.ask(question)
    assert one.counts()["over_budget"] == 1
    (answer,) = one.ask(replace(questions[3], action=replace(questions[3].action, agent="another")))
    assert answer is not None
    one.at += usage.DAY
    (answer,) = one.ask(questions[4])
    assert answer is not None


def test_names_that_nobody_knows_are_no_way_around_a_share(setting):
    shares = Shares(3, lambda: NOW)
    for number in range(REMEMBERED + 3):
        shares.take(Action(agent=f"a{number}"))
    assert shares.spent(Action(agent="never seen"))
    assert not shares.spent(Action(agent="a7"))


def test_a_budget_holds_over_a_restart(setting):
    first = setting(Scripted(), budget=Budget(calls=1))
    first.ask(other(1))
    second = setting(Scripted(), budget=Budget(calls=1), ledger=first.ledger)
    assert second.ask(other(2)) == [None]


def test_a_call_is_counted_before_it_is_made(setting):
    ledger = MemoryLedger()

    def look() -> Attempt:
        assert total(ledger.since(0))["calls"] == 1
        return says()

    assert setting(Scripted(look), ledger=ledger).ask(a_question())[0] is not None


class FullDisk(MemoryLedger):
    def add(self, day, counts):
        raise StoreFull("no space")


def test_what_cannot_be_counted_is_not_asked(setting):
    judge = Scripted()
    one = setting(judge, ledger=FullDisk())
    assert one.ask(*(other(n) for n in range(10))) == [None] * 10
    assert judge.asked == []
    assert "cannot be written" in one.reasoning.problem


def test_after_failures_the_model_rests_and_one_question_tries_it_again(setting):
    broken = Attempt(outcome=Outcome.FAILED, problem="the provider failed (status 500)")
    judge = Scripted(*[broken] * (FAILURES + 1))
    one = setting(judge)
    for n in range(FAILURES + 3):
        assert one.ask(other(n)) == [None]
    assert len(judge.asked) == FAILURES
    assert (one.reasoning.state().resting, one.counts()["resting"]) == (True, 3)
    assert one.reasoning.state().problem == broken.problem
    one.at += REST + 1
    assert one.ask(other(20)) == [None]
    one.at += REST + 1
    assert one.ask(other(21)) == [None]
    assert len(judge.asked) == FAILURES + 1, "the second rest is twice as long"
    one.at += REST
    assert one.ask(other(22))[0] is not None
    assert one.ask(other(23))[0] is not None
    assert one.reasoning.state().resting is False


def test_answers_without_form_do_not_make_it_rest(setting):
    judge = Scripted(otherwise=Attempt(outcome=Outcome.SHAPELESS, problem="no form"))
    one = setting(judge)
    for n in range(FAILURES * 2):
        one.ask(other(n))
    assert len(judge.asked) == FAILURES * 2


@pytest.mark.parametrize(("status", "rests"), [(400, False), (413, False), (422, False), (401, True), (404, True)])
def test_one_question_that_the_provider_refuses_does_not_make_it_rest_for_the_others(setting, status, rests):
    # Filters answer 400 to the name of a host: who chooses that name could else switch the check off for every agent.
    one = setting(Scripted(*[refusal(status)] * FAILURES))
    for n in range(FAILURES):
        assert one.ask(other(n)) == [None]
    assert one.counts()["refused"] == FAILURES
    assert one.reasoning.state().resting is rests
    assert (one.ask(other(FAILURES)) == [None]) is rests


def test_whoever_is_cancelled_while_it_is_tried_again_does_not_stop_it_for_good(setting):
    broken = Attempt(outcome=Outcome.FAILED, problem="down")
    hanging, go = threading.Event(), threading.Event()

    def hang() -> Attempt:
        hanging.set()
        assert go.wait(60)
        return says()

    judge = Scripted(*[broken] * FAILURES, hang)
    one = setting(judge)
    for n in range(FAILURES):
        one.ask(other(n))
    one.at += REST + 1

    async def cancelled() -> None:
        task = asyncio.create_task(one.reasoning.answer(other(20), 5.0))
        await asyncio.to_thread(hanging.wait, 5.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go.set()

    asyncio.run(cancelled())
    assert one.ask(other(21))[0] is not None


def test_a_judge_that_outstays_its_deadline_is_late_and_keeps_its_place(setting):
    go = threading.Event()

    def hang() -> Attempt:
        assert go.wait(10.0)
        return says()

    one = setting(Scripted(hang), at_once=1)

    async def asked() -> list[Answer | None]:
        late = await one.reasoning.answer(other(1), 0.1)
        crowded = await one.reasoning.answer(other(2), 5.0)
        go.set()
        return [late, crowded]

    assert asyncio.run(asked()) == [None, None]
    assert (one.counts()["late"], one.counts()["crowded"]) == (1, 1)


def test_a_judge_that_breaks_is_no_answer_and_its_message_stays_where_it_is(setting, caplog):
    one = setting(Scripted(RuntimeError("sk-secret-key")))
    assert one.ask(a_question()) == [None]
    assert one.counts()["failed"] == 1
    assert "sk-secret-key" not in one.reasoning.problem + caplog.text


def test_what_raises_and_is_not_sure_enough_is_no_answer_and_not_paid_for_twice(setting):
    judge = Scripted(says(confidence=0.4), says(Word.BENIGN, confidence=0.1))
    one = setting(judge, threshold=0.5)
    assert one.ask(other(1)) == [None]
    assert one.ask(other(1)) == [None]
    assert one.ask(other(2))[0] is not None
    assert (one.counts()["unsure"], one.counts()["benign"], len(judge.asked)) == (1, 1, 2)


def test_the_local_judge_has_no_budget(setting):
    judge = Scripted()
    judge.local = True
    one = setting(judge, budget=Budget(calls=0))
    assert one.ask(a_question())[0] is not None


def test_once_closed_it_has_no_answer(setting):
    one = setting(Scripted())
    one.reasoning._closed = True
    assert one.ask(a_question()) == [None]


def test_a_report_tells_the_day_and_the_week(setting):
    one = setting(Scripted(), budget=Budget(calls=5, input_price=1.0))
    for n in range(3):
        one.ask(other(n))
        one.at += 3 * usage.DAY
    today = usage.day_of(one.at - 3 * usage.DAY)
    document = report(one.ledger.since(0), today, one.reasoning.budget)
    assert (document["today"]["calls"], document["this_week"]["calls"]) == (1, 3)
    assert document["left_today"]["calls"] == 4
    assert document["this_week"]["money"] == 0.0003
    assert (document["today"]["reviews"], document["exhausted"]) == (1, None)
