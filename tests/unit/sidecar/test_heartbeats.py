"""Heartbeats of attach points: alive, left, or dark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from kaizen_security import Kaizen
from kaizen_security.integrations.base import attach_point
from kaizen_security.sidecar import heartbeats
from kaizen_security.sidecar.heartbeats import FORGOTTEN, MOST, MOST_OF_ONE, SILENCE, Heartbeats
from tests.e2e.sidecar_process import Process, until


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched():
    """Heartbeats, their clock, and what they reported."""
    clock, told = Clock(), []

    def report(action, verdict):
        told.append((action, verdict))
        return True

    return Heartbeats(clock, lambda: f"id{len(told)}", report, None, None), clock, told


def test_they_can_be_shown_while_signs_of_life_come_in(watched):
    """The control plane is told of them by another thread than the one that hears them."""
    beats, _, _ = watched
    beats.beat("a", "p", ("langchain",), leaving=False)

    def coming(frame, event, arg):
        if frame.f_code.co_filename == heartbeats.__file__ and frame.f_code.co_name in ("shown", "<listcomp>"):
            frame.f_trace_opcodes = True
            if event == "opcode" and len(beats._points) < 40:
                beats.beat("a", f"p{len(beats._points)}", ("langchain",), leaving=False)
        return coming

    before = sys.gettrace()
    sys.settrace(coming)
    try:
        shown = beats.shown()
    finally:
        sys.settrace(before)
    assert "p" in {one["process"] for one in shown}


def test_one_that_falls_silent_is_reported_once(watched):
    beats, clock, told = watched
    beats.beat("a", "p", ("langchain",), leaving=False)
    clock.now += SILENCE - 1
    assert beats.settle() == 0
    clock.now += 2
    assert (beats.settle(), beats.settle()) == (1, 0)
    action, verdict = told[0]
    assert (action.agent, action.kind, verdict.flagged, verdict.allowed) == ("a", "attach_point", True, True)
    assert verdict.evidence[0].kind == "dark agent"
    assert verdict.reason.startswith("dark agent: the attach point langchain has been silent for 96 seconds")
    assert beats.shown()[0]["state"] == "dark"


def test_one_that_says_goodbye_is_not_dark_and_one_that_comes_back_is_alive(watched):
    beats, clock, _ = watched
    beats.beat("a", "p", ("langchain",), leaving=True)
    beats.beat("a", "q", ("langchain",), leaving=False)
    clock.now += SILENCE + 1
    assert beats.settle() == 1
    beats.beat("a", "q", ("langchain",), leaving=False)
    assert {one["process"]: one["state"] for one in beats.shown()} == {"p": "left", "q": "alive"}
    clock.now += FORGOTTEN + 1
    beats.settle()
    assert beats.shown() == []


def test_nobody_is_dark_for_the_time_that_the_machine_slept(watched):
    beats, clock, _ = watched
    beats.beat("a", "p", ("langchain",), leaving=False)
    clock.now += 8 * 3600
    beats.woke()
    assert beats.settle() == 0
    clock.now += SILENCE + 1
    assert beats.settle() == 1


def test_what_is_remembered_is_bounded_and_counted(watched):
    beats, _, _ = watched
    for i in range(MOST + 3):
        beats.beat(f"a{i}", "1", ("langchain",), leaving=False)
    assert (len(beats.shown()), beats.refused) == (MOST, 3)


def test_no_agent_pushes_out_its_own_silent_point_with_made_up_ones(watched):
    beats, _, _ = watched
    beats.beat("a", "real", ("langchain",), leaving=False)
    for i in range(MOST + 3):
        beats.beat("a", str(i), ("made-up",), leaving=False)
    assert "real" in {point["process"] for point in beats.shown()}
    assert (len(beats.shown()), beats.refused) == (MOST_OF_ONE, MOST + 4 - MOST_OF_ONE)


def test_processes_that_have_ended_make_room_for_those_that_come(watched):
    beats, _, _ = watched
    for i in range(MOST_OF_ONE + 3):
        beats.beat("a", str(i), ("langchain",), leaving=True)
    beats.beat("a", "new", ("langchain",), leaving=False)
    assert beats.refused == 0
    assert "new" in {point["process"] for point in beats.shown()}


def test_no_made_up_agents_push_out_a_point_that_is_about_to_fall_silent(watched):
    beats, clock, told = watched
    beats.beat("a", "real", ("langchain",), leaving=False)
    for i in range(MOST // MOST_OF_ONE + 1):
        for process in range(MOST_OF_ONE):
            beats.beat(f"made up {i}", str(process), ("langchain",), leaving=False)
    assert (len(beats.shown()), beats.refused) == (MOST, MOST_OF_ONE + 1)
    clock.now += SILENCE + 1
    beats.settle()
    assert "a" in {action.agent for action, _ in told}
    beats.beat("b", "new", ("langchain",), leaving=False)
    assert "b" in {point["agent"] for point in beats.shown()}, "what is dark has been reported, and makes room"


def test_what_is_forgotten_is_counted_for_no_agent_any_more(watched):
    beats, clock, _ = watched
    for i in range(MOST_OF_ONE):
        beats.beat("a", str(i), ("langchain",), leaving=False)
    clock.now += FORGOTTEN + 1
    beats.settle()
    for i in range(MOST_OF_ONE):
        beats.beat("a", f"later {i}", ("langchain",), leaving=False)
    assert (len(beats.shown()), beats.refused, beats._of) == (MOST_OF_ONE, 0, {"a": MOST_OF_ONE})


@pytest.fixture
def sidecar(tmp_path):
    one = Process(tmp_path, more=("--hold-seconds", "0")).start()
    yield one
    one.stop()


def test_points_that_there_is_no_room_for_are_told(sidecar):
    for first in range(0, MOST_OF_ONE + 64, 64):
        listed = [{"source": f"s{i}"} for i in range(first, first + 64)]
        said = {"agent": "a", "process": "p", "points": listed}
        assert sidecar.ask("POST", "/v1/heartbeats", said)[0] == 200
    assert sidecar.ask("GET", "/healthz")[1]["losses"]["attach_points_refused"] == 64


def points(sidecar):
    return {(one["agent"], one["source"]): one["state"] for one in sidecar.ask("GET", "/v1/heartbeats")[1]["points"]}


def test_an_attach_point_is_heard_and_its_process_says_goodbye(sidecar, tmp_path):
    kaizen = Kaizen(agent="here", sidecar=f"unix://{sidecar.socket}", data=tmp_path / "c")
    attach_point(kaizen, "langchain")
    attach_point(kaizen, "crewai")
    until(lambda: points(sidecar) == {("here", "langchain"): "alive", ("here", "crewai"): "alive"}, "both are heard")
    kaizen.close()
    assert points(sidecar) == {("here", "langchain"): "left", ("here", "crewai"): "left"}


def test_a_process_that_ends_says_goodbye_and_one_that_is_killed_does_not(sidecar, tmp_path):
    code = f"""
import os, sys, time
from kaizen_security import Kaizen
from kaizen_security.integrations.base import attach_point
kaizen = Kaizen(agent=sys.argv[1], sidecar="unix://{sidecar.socket}", data={str(tmp_path / "c")!r})
attach_point(kaizen, "langchain")
print("there", flush=True)
sys.stdin.read()
"""

    def started(name):
        made = subprocess.Popen([sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert made.stdout.readline() == b"there\n"
        until(lambda: points(sidecar).get((name, "langchain")) == "alive", "it is heard")
        return made

    ends, killed = started("ends"), started("killed")
    ends.communicate()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert points(sidecar) == {("ends", "langchain"): "left", ("killed", "langchain"): "alive"}


def test_a_forked_child_is_a_process_of_its_own(sidecar, tmp_path):
    kaizen = Kaizen(agent="forks", sidecar=f"unix://{sidecar.socket}", data=tmp_path / "c")
    attach_point(kaizen, "langchain")
    until(lambda: len(sidecar.ask("GET", "/v1/heartbeats")[1]["points"]) == 1, "the parent is heard")
    child = os.fork()
    if child == 0:
        kaizen.inspect(tool="x")
        kaizen.close()
        os._exit(0)
    os.waitpid(child, 0)
    states = sorted(one["state"] for one in sidecar.ask("GET", "/v1/heartbeats")[1]["points"])
    assert states == ["alive", "left"]
    kaizen.close()


@pytest.mark.parametrize(
    "document",
    [
        {"agent": "a"},
        {"agent": "a", "process": "p", "points": [{}]},
        {"agent": "a", "process": "p", "points": [{"source": 7}]},
        {"agent": "a", "process": "p" * 300, "points": []},
        {"agent": "a", "process": "p", "points": [{"source": "s"}] * 65},
        {"agent": "a", "process": "p", "points": [], "leaving": "no"},
    ],
)
def test_what_is_no_heartbeat_is_refused_by_its_field(sidecar, document):
    status, answered = sidecar.ask("POST", "/v1/heartbeats", document)
    assert status in (400, 413, 422), answered
    assert answered["error"]["field"]


def test_who_is_attached_is_told_on_the_socket_only(sidecar):
    assert sidecar.ask("GET", "/v1/heartbeats", loopback=True)[0] in (401, 403)


def test_the_names_stand_in_the_page():
    from pathlib import Path

    page = (Path(__file__).resolve().parents[3] / "docs/reference/integrations.md").read_text()
    assert f"{heartbeats.SILENCE:.0f} seconds" in page
