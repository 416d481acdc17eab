"""Whatever ends the lasting work of a sidecar before its time, it is started again, said once, and counted."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from dataclasses import replace

import pytest

from kaizen_security.contract.declaration import Declaration
from kaizen_security.runtime import clock as time
from kaizen_security.sidecar import lasting
from kaizen_security.sidecar.heartbeats import SILENCE
from kaizen_security.sidecar.lasting import FIRST_PAUSE, Lasting
from kaizen_security.sidecar.run import Parts, last
from kaizen_security.sidecar.settings import Settings
from tests.e2e.sidecar_process import until

TASKS = ("waking", "saving", "reporting", "looking", "settling", "tidying")
THREADS = ("uplink-reports", "uplink-bundles-0", "uplink-bundles-4", "holds-up", "holds-down")


class Sidecar:
    """The parts of a sidecar that has a key and no control plane, going on in the event loop of the test."""

    def __init__(self, tmp_path):
        self.ahead = 0.0
        settings = Settings(socket=tmp_path / "s", data=tmp_path / "d", api_url="http://127.0.0.1:1", api_key="kz_x")
        self.parts = Parts(settings, lambda: time.now() + self.ahead)
        self.settings = settings

    async def __aenter__(self):
        last(self.parts, self.settings)
        self.parts.uplink.start()
        self.parts.relay.start()
        await asyncio.sleep(0)
        return self.parts

    async def __aexit__(self, *_):
        self.parts.lasting.end()
        await asyncio.to_thread(self.parts.relay.stop)
        await asyncio.to_thread(self.parts.uplink.stop)


def running(name):
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def later(condition, what):
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(what)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_was_ended_goes_on(tmp_path, name):
    async def scene():
        async with Sidecar(tmp_path) as parts:
            (task,) = running(name)
            task.cancel()
            await later(lambda: running(name) not in ([], [task]), f"{name} goes on")
            assert parts.lasting.restarted == {name: 1}

    asyncio.run(scene())


def test_what_was_learned_is_saved_and_holds_expire_though_an_agent_cannot_be_woken(tmp_path):
    async def scene():
        sidecar, saved, expired = Sidecar(tmp_path), [], []
        sidecar.settings = replace(sidecar.settings, save_seconds=0.01)
        parts = sidecar.parts
        parts.inspector.wake = breaks
        parts.agents.changed = lambda: saved.append(1) or iter(())
        parts.holding.wake = lambda: expired.append(1)
        async with sidecar:
            await later(lambda: saved and len(expired) > 1, "it is saved, and holds expire")
            assert parts.lasting.restarted["waking"] > 0

    def breaks(now):
        raise KeyError("one agent")

    asyncio.run(scene())


def test_an_agent_that_is_pushed_out_meanwhile_can_still_declare(tmp_path):
    sidecar = Sidecar(tmp_path)
    sidecar.parts.uplink._most = 0
    assert sidecar.parts.uplink.manifest("a", Declaration(tools=("search",))) is False  # kept: nobody is there
    assert sidecar.parts.shelf.manifest("a")["tools"] == ["search"]


def test_silence_is_noticed_after_what_notices_it_was_ended(tmp_path):
    async def scene():
        sidecar = Sidecar(tmp_path)
        async with sidecar as parts:
            parts.heartbeats.beat("a", "p", ("sdk",), leaving=False)
            sidecar.ahead = SILENCE + 1
            running("settling")[0].cancel()
            await later(lambda: parts.heartbeats.shown()[0]["state"] == "dark", "it is dark")

    asyncio.run(scene())


def test_silence_is_noticed_while_a_look_at_the_files_hangs(tmp_path):
    async def scene():
        sidecar, hangs = Sidecar(tmp_path), asyncio.Event()
        sidecar.parts.assistants.look = hangs.wait
        async with sidecar as parts:
            parts.heartbeats.beat("a", "p", ("sdk",), leaving=False)
            sidecar.ahead = SILENCE + 1
            running("settling")[0].cancel()  # rather than wait for its next look
            await later(lambda: parts.heartbeats.shown()[0]["state"] == "dark", "it is dark")

    asyncio.run(scene())


@pytest.mark.parametrize("name", THREADS)
def test_a_thread_that_was_ended_goes_on(tmp_path, name, caplog):
    async def scene():
        async with Sidecar(tmp_path) as parts:
            (thread,) = [one for one in threading.enumerate() if one.name == name]
            kill = ctypes.pythonapi.PyThreadState_SetAsyncExc
            assert kill(ctypes.c_ulong(thread.ident), ctypes.py_object(ZeroDivisionError)) == 1

            def ended():
                # One that waits meets its end when it is woken.
                for event in (parts.relay._work, parts.relay._waiting, parts.uplink._work):
                    event.set()
                return parts.lasting.restarted[name]

            await later(ended, f"{name} is started again")
            assert thread.is_alive()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scene())
    assert [one.message for one in caplog.records if name in one.message] == [
        f"{name} has ended (ZeroDivisionError) and is started again"
    ]


def test_an_agent_whose_bundle_ended_a_thread_has_its_next_turn(tmp_path):
    sidecar, asked = Sidecar(tmp_path), []

    def breaks(connection):
        asked.append(connection)
        raise ZeroDivisionError

    async def scene():
        async with sidecar as parts:
            parts.uplink.watch("a")
            await asyncio.to_thread(until, lambda: len(asked) > 1, "it is asked for again")
            assert sum(parts.lasting.restarted.values()) > 0

    sidecar.parts.uplink.admit = breaks
    asyncio.run(scene())


def test_what_keeps_ending_is_said_once_counted_and_tried_ever_more_rarely(monkeypatch, caplog):
    pauses = []

    async def scene():
        kept = Lasting()
        monkeypatch.setattr(lasting.asyncio, "sleep", wait)
        kept.task("mine", breaks)
        await over.wait()
        kept.end()
        return kept

    async def breaks():
        raise KeyError("mine")

    async def wait(seconds):
        pauses.append(seconds)
        if len(pauses) == 9:
            over.set()
            await asyncio.Event().wait()

    over = asyncio.Event()
    with caplog.at_level(logging.ERROR):
        kept = asyncio.run(scene())
    assert pauses == [FIRST_PAUSE, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert kept.restarted == {"mine": 9}
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError


def test_a_thread_that_ends_when_it_is_told_to_is_not_started_again():
    kept, over, began = Lasting(), threading.Event(), []

    def work():
        began.append(1)
        over.wait()

    thread = kept.thread("mine", work)
    kept.ending()
    over.set()
    thread.join()
    assert (began, kept.restarted) == ([1], {})
