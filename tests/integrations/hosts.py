"""Host safety on each framework's own runner: what happens to the program around the agent, and to the sidecar beside it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.integrations.agent import World, asks, read, wipe
from tests.unit.client.upstream import Upstream, reply

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "Please look at bill b1."
BLOCKED = "Blocked by Kaizen: "
LONG = bool(os.environ.get("KAIZEN_LONG"))
"""The long form of these tests (``make integrations-long``)."""
AT_ONCE = 1000 if LONG else 100
"""Calls that one turn of the model asks for."""
BOUND = 60.0
"""Seconds that a process may take, on a busy machine."""


def bill_read(bill: str) -> str:
    """Read a bill.

    Args:
        bill: The bill's id.
    """
    return "Please pay 42.00."


class Sick:
    """A sidecar that is there and does not do its work."""

    def __init__(self, place: Path, how: str) -> None:
        self.upstream = Upstream(unix=str(place))
        self._over = threading.Event()
        self.upstream.faults = {
            "slow": lambda method, path: self._over.wait(BOUND) and reply({}),
            "broken": lambda method, path: reply({"error": {"code": "internal", "message": "no"}}, 500),
            "wrong": lambda method, path: (200, {"Content-Type": "application/json"}, b'{"decision": "maybe"}'),
            "nonsense": lambda method, path: (200, {"Content-Type": "text/html"}, b"<html>"),
        }[how]

    def stop(self) -> None:
        self._over.set()
        self.upstream.stop()


class Hosts:
    """The tests; ``Suite`` has them as well."""

    driver: ClassVar[Any]

    @pytest.mark.parametrize("how", ["slow", "broken", "wrong", "nonsense"] if LONG else ["wrong"])
    @pytest.mark.parametrize("mode", ["observe", "enforce"])
    def test_a_sidecar_that_does_not_do_its_work_ends_no_run(self, how, mode, models, attach, tmp_path):
        world = World()
        sick = Sick(tmp_path / "sick.sock", how)
        try:
            url = f"unix://{tmp_path}/sick.sock"
            kaizen = attach(mode, sidecar=url, declare=False, deadline=0.3, sync=False)
            models.say(asks(read()), "Done.")
            agent = self.driver.build(models.url, world.tools(), kaizen)
            assert "Done." in self.driver.run(agent, self.driver.paths[0], PROMPT)
            assert world.names == ([] if mode == "enforce" else ["bill_read"])
            (said,) = self.driver.results(json.loads(models.heard[-1].body))
            assert (BLOCKED in said) == (mode == "enforce")
            assert kaizen.lost.keys() <= {"steps: sidecar unreachable"}
            kaizen.close(0.1)
        finally:
            sick.stop()

    @pytest.mark.shows("parallel")
    def test_many_calls_at_once_are_judged_each(self, models, attach):
        if not getattr(self.driver, "parallel", True):
            pytest.skip("this framework makes one call after the other")
        world = World()
        kaizen = attach(deadline=BOUND)
        calls = [(wipe if i % 10 == 0 else read)(f"b{i}", id=f"call_{i}") for i in range(AT_ONCE)]
        models.say(asks(*calls), "Done.")
        paths = self.driver.paths
        path = "async" if "async" in paths else paths[0]
        agent = self.driver.build(models.url, world.tools(coroutine=path != "sync"), kaizen)
        assert "Done." in self.driver.run(agent, path, PROMPT)
        assert len(world.ran) == AT_ONCE * 9 // 10
        assert set(world.names) == {"bill_read"}
        assert [BLOCKED in one for one in self.driver.results(json.loads(models.heard[-1].body))] == [
            i % 10 == 0 for i in range(AT_ONCE)
        ]
        assert kaizen.flush(BOUND)
        assert kaizen.lost == {}

    @pytest.mark.skipif(not LONG, reason="imports the framework once more (make integrations-long)")
    @pytest.mark.parametrize(("how", "mode"), [("ends", "observe"), ("ends", "enforce"), ("forks", "enforce")])
    def test_a_process_that_just_ends_or_forks_has_told_everything(
        self, how, mode, models, attach, sidecars, tmp_path, request
    ):
        if how == "forks" and not hasattr(os, "fork"):
            pytest.skip("this system has no fork")
        runs = 2 if how == "forks" else 1
        models.say(*[asks(read()), "Done."] * runs)
        name = f"{abs(hash(request.node.nodeid)):x}"
        sidecar = sidecars(mode)
        assert sidecar.ask("POST", f"/v1/agents/{name}/manifest", {"tools": ["bill_read"]})[0] == 202
        command = [sys.executable, "-m", "tests.integrations.alone", type(self).__module__, type(self.driver).__name__]
        command += [how, name, str(sidecar.socket), str(tmp_path / "data"), models.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * BOUND, env=_environment())
        assert done.returncode == 0, done.stderr
        assert "kaizen_security" not in done.stderr, done.stderr
        assert _seen(sidecar, name, runs) == runs

    def test_what_can_be_pickled_or_copied_can_be_so_with_kaizen_and_a_copy_is_judged(self, models, attach):
        bare = self.driver.build(models.url, [bill_read], None)
        ours = self.driver.build(models.url, [bill_read], attach(declare=False))
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            if _works(way, bare):
                assert _works(way, ours), way
        path = self.driver.paths[0]
        models.say(asks(read()), "Done.")
        if not _works(lambda agent: self.driver.run(copy.deepcopy(agent), path, PROMPT), bare):
            pytest.skip("this framework's agents cannot be copied, or a copy does not run")
        kaizen = attach(declare=False)
        kaizen.declare(tools=["other"])
        copied = copy.deepcopy(self.driver.build(models.url, [bill_read], kaizen))
        models.say(asks(read()), "Done.")
        assert "Done." in self.driver.run(copied, path, PROMPT)
        assert BLOCKED in self.driver.results(json.loads(models.heard[-1].body))[0]


def _works(way: Any, value: Any) -> bool:
    try:
        way(value)
    except Exception:  # noqa: BLE001  # whatever the framework's own objects say
        return False
    return True


def _seen(sidecar: Any, agent: str, wanted: int) -> int:
    """Unflagged actions of the agent that the sidecar has learned from, once there are that many."""
    until = time.monotonic() + BOUND
    seen = 0
    while time.monotonic() < until:
        status, found = sidecar.ask("GET", f"/v1/agents/{agent}/profile")
        seen = found["profile"]["seen"] if status == 200 else 0
        if seen >= wanted:
            break
        time.sleep(0.05)
    return seen


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
