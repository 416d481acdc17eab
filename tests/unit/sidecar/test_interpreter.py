"""How the sidecar's interpreter is set, and when it looks for garbage: never while an agent waits."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref

import pytest

from kaizen_security.sidecar.interpreter import PATIENCE, YOUNG, Tidying

ASKED = """
import gc, sys
from kaizen_security.sidecar import run
from kaizen_security.sidecar.interpreter import answer_first
before = sys.getswitchinterval()
run.answer_first()
assert run.answer_first is answer_first
assert sys.getswitchinterval() <= 0.001 < before, sys.getswitchinterval()
assert gc.get_freeze_count() > 1000
"""
ANSWERED = """
import gc, json, sys
from pathlib import Path
from kaizen_security.contract.verdict import Mode
from kaizen_security.sidecar.at_once import INSPECT, STEPS, AtOnce
from kaizen_security.sidecar.interpreter import answer_first
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings

place = Path(sys.argv[1])
parts = Parts(Settings(socket=place / "s", data=place / "data", port=-1, before=Mode.ENFORCE))
at_once, looks = AtOnce(parts.sidecar), []

def asked(path, document):
    assert at_once.answer(path, json.dumps({"agent": "a", **document}).encode(), "", stranger=False)

answer_first()
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]))
for n in range(70):
    run = {"run_id": str(n)}
    asked(STEPS, {"steps": [{"step": "request", "text": f"orders of week {n}", **run}]})
    for k in range(5):
        id_ = f"{n}-{k}"
        asked(INSPECT, {"action": {"tool": "search", "id": id_, "metadata": {"arguments": {"q": id_}}, **run}})
        asked(STEPS, {"steps": [{"step": "result", "action_id": id_, "content": "42 orders, 3 of them open", **run}]})
assert gc.get_count()[0] > 10_000, gc.get_count()
assert not looks, looks
"""


def test_the_thread_that_answers_does_not_wait_long_for_another_ones_turn():
    subprocess.run([sys.executable, "-c", ASKED], check=True)


def test_nobody_looks_for_garbage_while_an_answer_is_made_however_many_objects_are_added(tmp_path):
    subprocess.run([sys.executable, "-c", ANSWERED, str(tmp_path)], check=True)


class Ring:
    """What only a look for garbage takes away."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def left_alone():
    """The interpreter as ``answer_first`` leaves it, and afterwards as it was."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def lost():
    return weakref.ref(Ring())


def test_after_an_answer_what_was_added_is_looked_through_once_and_then_left_alone(left_alone):
    async def scene():
        tidying = Tidying()
        ring, kept = lost(), [[] for _ in range(YOUNG)]
        tidying.answered()
        assert ring() is not None  # not yet: first the answer gets to whoever waits for it
        while ring() is not None:
            await asyncio.sleep(0)
        assert gc.get_freeze_count() > len(kept)
        few = lost()
        tidying.answered()
        await asyncio.sleep(0.01)
        assert few() is not None  # among so few nobody looks

    asyncio.run(scene())


def test_where_nobody_asks_it_is_looked_too(left_alone, monkeypatch):
    monkeypatch.setattr("kaizen_security.sidecar.interpreter.EVERY", 0.001)

    async def scene():
        keeping = asyncio.create_task(Tidying().keep())
        ring, _kept = lost(), [[] for _ in range(YOUNG)]
        while ring() is not None:
            await asyncio.sleep(0.001)
        keeping.cancel()

    asyncio.run(scene())


def test_everything_is_looked_through_when_the_process_has_doubled_and_nobody_has_asked_for_a_while(
    left_alone, monkeypatch
):
    clock = [1000.0]
    monkeypatch.setattr("kaizen_security.sidecar.interpreter.monotonic", lambda: clock[0])
    memory = [100.0]

    async def scene():
        tidying = Tidying(lambda: memory[0])
        keeping = asyncio.create_task(tidying.keep())
        await asyncio.sleep(0)
        ring = lost()
        gc.freeze()  # it has lived through a look, and became garbage later
        memory[0] = 199.0
        assert not tidying.whole()
        memory[0] = 200.0
        tidying.answered()
        assert not tidying.whole()
        clock[0] += 2.0
        assert tidying.whole()
        assert ring() is None
        assert not tidying.whole()  # until it has doubled again
        memory[0] = 400.0
        for _ in range(int(PATIENCE)):
            tidying.answered()  # there is no quiet moment
            assert not tidying.whole()
            clock[0] += 1.0
        tidying.answered()
        assert tidying.whole()
        keeping.cancel()

    asyncio.run(scene())


def test_where_the_interpreter_looks_by_itself_nothing_is_done():
    async def scene():
        tidying = Tidying(lambda: 1.0)
        tidying._looked_at = 0.1
        frozen = gc.get_freeze_count()
        _kept = [[] for _ in range(YOUNG)]
        tidying.answered()
        await asyncio.sleep(0.01)
        assert not tidying.whole()
        assert gc.get_freeze_count() == frozen

    asyncio.run(scene())
