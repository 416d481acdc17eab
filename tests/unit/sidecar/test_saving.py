"""What is done beside the answering, and how little of it anybody waits for."""

from __future__ import annotations

import asyncio
import threading

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action
from kaizen_security.observer.baseline import Baseline
from kaizen_security.runtime.agents import Agents, NoShelf
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar import turns, uplink
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
        saving = asyncio.create_task(save(agents))
        while not written:
            await asyncio.sleep(0)
        inspector.observe(Action(tool="t", agent="a"))  # the disk hangs, and the agent is judged
        shelf.may.set()
        assert await saving == 2
        assert await save(agents) == 1  # what came meanwhile is not forgotten

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
