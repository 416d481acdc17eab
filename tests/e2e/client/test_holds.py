"""A held call of a real client: it waits, goes on when somebody lets it, and is blocked when nobody does."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from kaizen_security import AsyncKaizen, Kaizen, KaizenBlocked
from kaizen_security.contract import reasons
from tests.e2e.sidecar_process import sidecars, until


@pytest.fixture
def start(tmp_path):
    with sidecars() as started:
        yield lambda *more: started(tmp_path / "data", more=("--before-bundle", "enforce", *more))


@pytest.fixture
def sidecar(start):
    one = start()
    assert one.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 202
    return one


@pytest.fixture
def client(sidecar, tmp_path):
    made = []

    def client(kind=Kaizen, **settings):
        settings = {"mode": "enforce", "hold_seconds": 120.0, "agent": "a", "sync": False} | settings
        one = kind(sidecar=f"unix://{sidecar.socket}", data=str(tmp_path / "client"), **settings)
        made.append(one)
        return one

    yield client
    for one in made:
        (one.sync if isinstance(one, AsyncKaizen) else one).close()


class Person:
    """Who has read the operator's secret."""

    def __init__(self, sidecar):
        self.sidecar = sidecar
        self.key = (sidecar.data / "operator.secret").read_text().strip()

    def waiting(self):
        return self.sidecar.ask("GET", "/v1/holds", key=self.key)[1]["holds"]

    def say(self, answer, hold=None):
        hold = hold or until(self.waiting, "a hold")[0]
        status, document = self.sidecar.ask("POST", f"/v1/holds/{hold['id']}", {"answer": answer}, key=self.key)
        assert status == 200, document
        return document


@pytest.fixture
def person(sidecar):
    return Person(sidecar)


def test_a_guarded_call_waits_and_runs_once_it_is_allowed(client, person):
    kaizen, done = client(), []

    @kaizen.guard
    def pay(to):
        done.append((to, time.monotonic()))
        return "paid"

    answers = threading.Thread(target=lambda: (person.say("allow_once"), done.append(("said", time.monotonic()))))
    answers.start()
    with kaizen.run("pay x"):
        assert pay("x") == "paid"
    answers.join()
    (_, said), (_, ran) = sorted(done, key=lambda entry: entry[0] != "said")
    assert ran - said < 60, "half of what it would have waited for"


def test_a_blocked_one_does_not_run_and_the_next_is_told_at_once(client, person):
    kaizen = client()
    answers = threading.Thread(target=person.say, args=("block",))
    answers.start()
    with pytest.raises(KaizenBlocked, match="undeclared") as refused:
        kaizen.enforce(tool="pay", arguments={"to": "x"})
    answers.join()
    assert refused.value.pending is None
    assert reasons.DENIED in refused.value.verdict.notes
    began = time.monotonic()
    with pytest.raises(KaizenBlocked):
        kaizen.enforce(tool="pay", arguments={"to": "x"})
    assert time.monotonic() - began < 60, "half of what it would have waited for"


def test_who_does_not_wait_that_long_is_blocked_with_a_hold_that_the_same_call_joins_later(client, person):
    kaizen = client(hold_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(KaizenBlocked) as refused:
        kaizen.enforce(tool="pay", arguments={"to": "x"})
    assert 0.4 < time.monotonic() - began < 60
    [hold] = person.waiting()
    assert refused.value.pending.id == hold["id"]
    person.say("allow_once")
    assert kaizen.inspect(tool="pay", arguments={"to": "x"}).allowed
    assert kaizen.inspect(tool="pay", arguments={"to": "x"}).pending is not None


def test_who_waits_not_at_all_is_blocked_at_once(client):
    verdict = client(hold_seconds=0).inspect(tool="pay", arguments={"to": "x"})
    assert (verdict.blocked, verdict.pending is not None) == (True, True)


def test_a_released_call_is_not_blocked_again_by_the_clients_own_declaration_and_mode(client, person):
    kaizen = client()
    kaizen.declare(tools=["search"])
    answers = threading.Thread(target=person.say, args=("allow_once",))
    answers.start()
    verdict = kaizen.inspect(tool="pay", arguments={"to": "x"})
    answers.join()
    assert verdict.allowed
    assert [one.detection for one in verdict.evidence] == ["declaration"]
    assert kaizen.lost == {}


def test_a_sidecar_that_is_killed_while_a_call_waits_and_comes_back_still_lets_it_be_answered(
    client, sidecar, person, start
):
    kaizen, verdicts = client(hold_seconds=60.0), []
    waits = threading.Thread(
        target=lambda: verdicts.append(kaizen.inspect(tool="pay", run_id="r", arguments={"to": "x"}))
    )
    waits.start()
    [hold] = until(person.waiting, "a hold")
    sidecar.process.kill()
    sidecar.process.wait()
    back = Person(start())
    assert [one["id"] for one in back.waiting()] == [hold["id"]]
    back.say("allow_once", hold)
    waits.join(30)
    assert verdicts[0].allowed


def test_a_sidecar_that_is_killed_and_stays_away_is_a_block(client, sidecar, person):
    kaizen, verdicts = client(hold_seconds=2.0), []
    waits = threading.Thread(target=lambda: verdicts.append(kaizen.inspect(tool="pay", arguments={"to": "x"})))
    waits.start()
    until(person.waiting, "a hold")
    sidecar.process.kill()
    waits.join(30)
    assert verdicts[0].blocked


def test_two_hundred_tasks_hold_at_once_while_the_loop_goes_on(client, person):
    async def main():
        kaizen = client(AsyncKaizen)

        @kaizen.guard
        async def pay(n):
            return n

        tasks = [asyncio.create_task(pay(n)) for n in range(200)]
        while len(await asyncio.to_thread(person.waiting)) < 200:
            assert not any(task.done() for task in tasks)
        began = time.monotonic()
        await asyncio.sleep(0)
        assert time.monotonic() - began < 60
        holds = await asyncio.to_thread(person.waiting)
        for hold in holds:
            n = hold["action"]["metadata"]["arguments"]["n"]
            await asyncio.to_thread(person.say, "allow_once" if n % 2 else "block", hold)
        return await asyncio.gather(*tasks, return_exceptions=True)

    ended = asyncio.run(main())
    assert [n for n, result in enumerate(ended) if result == n] == list(range(1, 200, 2))
    assert all(isinstance(result, KaizenBlocked) for result in ended[::2])


def test_a_task_that_is_cancelled_while_it_waits_leaves_nothing_behind(client, person):
    async def main():
        kaizen = client(AsyncKaizen)
        task = asyncio.create_task(kaizen.enforce(tool="pay", arguments={"to": "x"}))
        while not await asyncio.to_thread(person.waiting):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await kaizen.inspect(tool="search")).allowed

    asyncio.run(main())
    assert person.waiting() == []
