"""What is done beside the answering, and how little of it anybody waits for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action
from kaizen_security.observer.baseline import Baseline
from kaizen_security.runtime.agents import Agents, NoShelf
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar import saving, turns, uplink
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.saving import save
from kaizen_security.sidecar.settings import Settings
from kaizen_security.sidecar.turns import Turns


class Shelf(NoShelf):
    """Notes in which thread it is written, and waits there until it may go on."""

    def __init__(self):
        self.threads = {}
        self.may = threading.Event()

    def save(self, key, baseline):
        assert self.may.wait(10)
        self.threads[key.agent] = threading.get_ident()


def test_a_baseline_is_written_out_where_answers_are_given_and_only_the_disk_is_waited_for_elsewhere(monkeypatch):
    shelf, written, to_json = Shelf(), [], Baseline.to_json
    agents = Agents(shelf=shelf)
    inspector = Inspector(agents, clock=lambda: 1000.0)
    for name in "ab":
        inspector.observe(Action(tool="t", agent=name))

    def noted(self):
        written.append(threading.get_ident())
        return to_json(self)

    monkeypatch.setattr(Baseline, "to_json", noted)

    async def scene():
        saving = asyncio.create_task(save(agents, agents.changed()))
        while not written:
            await asyncio.sleep(0)
        inspector.observe(Action(tool="t", agent="a"))  # the disk hangs, and the agent is judged
        shelf.may.set()
        assert await saving == 2
        assert await save(agents, agents.changed()) == 1  # what came meanwhile is not forgotten

    asyncio.run(scene())
    here = threading.get_ident()
    assert set(written) == {here}
    assert set(shelf.threads) == {"a", "b"}
    assert here not in shelf.threads.values()


def test_a_list_gives_way_after_as_long_as_a_verdict_takes(monkeypatch):
    clock, others = [1000.0], []
    monkeypatch.setattr(turns, "monotonic", lambda: clock[0])

    async def other():
        while True:
            others.append(clock[0])
            await asyncio.sleep(0)

    async def scene():
        task = asyncio.create_task(other())
        mine = Turns()
        for _ in range(20):
            clock[0] += 0.0006
            await mine.pause()
        task.cancel()

    asyncio.run(scene())
    assert len(others) == 10


class Pause(threading.Event):
    """Notes how long somebody waits, and is over then."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def wait(self, timeout=None):
        self.seen.append(timeout)
        self.set()
        return True


class Looked(Spool):
    """Notes when it is read."""

    def read(self, n=50, max_bytes=1 << 20):
        self.seen.append("read")
        return super().read(n, max_bytes)


def test_who_sends_reports_lets_the_answer_go_first(tmp_path):
    parts = Parts(Settings(socket=tmp_path / "s", data=tmp_path / "data", port=-1, api_key="kz_live_" + "x" * 43))
    seen = []
    parts.uplink._stopping = Pause(seen)
    parts.uplink.spool = spool = Looked(tmp_path / "spool")
    spool.seen = seen
    parts.uplink._work.set()  # a verdict was reported just now
    parts.uplink._send_forever()
    spool.close()
    assert seen == ["read", uplink.WINDOW, "read"]


class Kept(NoShelf):
    """Keeps what it is given, in order."""

    def __init__(self):
        self.kept = {}
        self.order = []

    def load(self, key):
        return self.kept.get(key.agent)

    def save(self, key, baseline):
        self.kept[key.agent] = baseline
        self.order.append(key.agent)


def learned(inspector, name):
    return inspector.profile(name)["learned"]["tool"]


def test_who_asks_does_not_wait_for_the_disk_because_another_agent_has_to_leave_memory():
    shelf = Kept()
    inspector = Inspector(Agents(shelf=shelf, most=1, leaving=2), clock=lambda: 1000.0)
    for name in "abc":
        inspector.observe(Action(tool="t", agent=name))
    assert shelf.order == []
    assert learned(inspector, "a") == [{"value": "t", "count": 1}]  # back before it was written; c leaves instead
    inspector.observe(Action(tool="t", agent="d"))
    assert shelf.order == ["a"]  # b and c wait already: there is room for two
    for key, document in inspector.agents.left():
        shelf.save(key, document)
    assert shelf.order == ["a", "b", "c"]
    assert list(inspector.agents.left()) == []
    assert inspector.agents.save() == 1  # d


def test_what_an_agent_learns_while_its_last_state_is_written_is_not_forgotten():
    shelf = Kept()
    agents = Agents(shelf=shelf, most=1, leaving=2)
    inspector = Inspector(agents, clock=lambda: 1000.0)
    inspector.observe(Action(tool="t", agent="a"))
    inspector.observe(Action(tool="t", agent="b"))
    left = agents.left()
    key, document = next(left)  # a, on its way to the disk
    inspector.observe(Action(tool="t", agent="a"))
    inspector.observe(Action(tool="t", agent="b"))
    shelf.save(key, document)
    assert [key.agent for key, _ in left] == []
    agents.save()
    assert learned(inspector, "a") == [{"value": "t", "count": 2}]


def test_an_agent_that_learned_nothing_since_it_was_saved_leaves_without_a_word():
    shelf = Kept()
    agents = Agents(shelf=shelf, most=1)
    inspector = Inspector(agents, clock=lambda: 1000.0)
    inspector.observe(Action(tool="t", agent="a"))
    agents.save()
    inspector.observe(Action(tool="t", agent="b"))
    assert (shelf.order, agents.evicted) == (["a"], 1)


def test_those_that_leave_are_written_soon_and_the_others_in_their_time(monkeypatch):
    monkeypatch.setattr(saving, "SOON", 0.001)
    shelf = Kept()
    agents = Agents(shelf=shelf, most=1, leaving=2)
    inspector = Inspector(agents, clock=lambda: 1000.0)
    for name in "ab":
        inspector.observe(Action(tool="t", agent=name))

    async def scene():
        keeping = asyncio.create_task(saving.keep_saving(agents, 3600.0))
        while not shelf.order:
            await asyncio.sleep(0.001)
        keeping.cancel()

    asyncio.run(scene())
    assert shelf.order == ["a"]


class Full(Kept):
    """Takes nothing the first time."""

    def save(self, key, baseline):
        first = not self.order
        super().save(key, baseline)
        return not first


@pytest.mark.parametrize("aside", [False, True])
def test_what_a_disk_did_not_take_is_brought_again_though_nothing_more_was_learned(aside):
    agents = Agents(shelf=Full())
    Inspector(agents, clock=lambda: 1000.0).observe(Action(tool="t", agent="a"))

    def saved():
        return asyncio.run(save(agents, agents.changed())) if aside else agents.save()

    assert [saved() for _ in range(3)] == [1, 1, 0]
