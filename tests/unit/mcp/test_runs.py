"""Which run a call belongs to."""

from __future__ import annotations

import os

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.mcp.frames import read
from kaizen_security.mcp.inbound import Arrival, Nothing
from kaizen_security.mcp.runs import AGAIN, FORGOTTEN, IDLE, META_ACT, META_RUN, Rolling, run_around, said, started_by
from tests.unit.mcp.relaying import Talk, call, line, request


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_shims_of_one_client_share_a_run_until_none_of_them_was_called_for_a_while(tmp_path, clock):
    one, two, other = (Rolling(str(tmp_path), base, clock=clock) for base in ("mcp-a", "mcp-a", "mcp-b"))
    assert (one(), two(), other()) == ("mcp-a", "mcp-a", "mcp-b")
    for _ in range(4):
        clock.now += IDLE * 0.7
        assert one() == "mcp-a"
    clock.now += 1
    assert two() == "mcp-a"
    clock.now += IDLE + AGAIN + 1
    assert (two(), one()) == ("mcp-a-1", "mcp-a-1")
    clock.now += 2 * IDLE
    assert (one(), two(), one()) == ("mcp-a-2", "mcp-a-2", "mcp-a-2")


def test_without_a_disk_a_shim_goes_by_its_own_calls(tmp_path, clock):
    (tmp_path / "file").write_text("")
    for folder in ("", str(tmp_path / "file")):
        rolling = Rolling(folder, "mcp-a", clock=clock)
        assert rolling() == "mcp-a"
        clock.now += IDLE + AGAIN + 1
        assert rolling() == "mcp-a-1"


def test_a_clock_that_goes_back_and_a_file_with_something_else_in_it_do_no_harm(tmp_path, clock):
    (tmp_path / "mcp-a").write_bytes(b"\xff nonsense")
    rolling = Rolling(str(tmp_path), "mcp-a", clock=clock)
    assert rolling().startswith("mcp-a")
    clock.now -= 500_000
    assert rolling().startswith("mcp-a")


def test_old_clients_are_forgotten(tmp_path, clock):
    rolling = Rolling(str(tmp_path), "mcp-a", clock=clock)
    rolling()
    (tmp_path / "mcp-old").write_text("3")
    os.utime(tmp_path / "mcp-old", (clock.now - FORGOTTEN - 1,) * 2)
    rolling.tidy()
    assert os.listdir(tmp_path) == ["mcp-a"]


@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", 7, None, ["r"], {"r": 1}])
def test_what_is_no_name_names_no_run(value):
    [message] = read(line({**call(1, "look"), "params": {"name": "look", "_meta": {META_RUN: value}}})).messages
    assert said(message, META_RUN) == ""


def test_a_call_says_which_deed_it_is():
    talk = Talk()
    document = call(1, "look")
    document["params"]["_meta"] = {META_ACT: "act-7"}
    assert talk.client(document)[0] == [line(document)]
    assert [action.act_id for action in talk.judged] == ["act-7"]


def test_a_command_that_a_client_runs_finds_the_run_of_the_clients_shims(tmp_path, clock):
    assert run_around(str(tmp_path), os.getpid(), clock) == ""
    run = Rolling(str(tmp_path), started_by(os.getppid()), clock=clock)
    assert run() == started_by(os.getppid())
    assert run_around("", os.getpid(), clock) == ""
    assert run_around(str(tmp_path), os.getpid(), clock) == run()
    clock.now += IDLE + AGAIN + 1
    assert run_around(str(tmp_path), os.getpid(), clock) == run()


def test_a_server_does_not_choose_the_run_that_its_questions_belong_to():
    talk = Talk(run=lambda message: said(message, META_RUN) or "the client's", ward=Asking())
    crossing = talk.relay.from_server(
        line(request("s1", "sampling/createMessage", messages=[], maxTokens=1, _meta={META_RUN: "another"})), 0.0
    )
    assert [action.run_id for action in crossing.asks] == ["the client's"]


class Asking(Nothing):
    """Has every request of the server judged."""

    def sent(self, message, server):
        return Arrival(asks=(Action(kind="message", tool=message.method, publisher=server),))
