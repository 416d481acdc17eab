"""Pins over the life of several shims, and the command that tends them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.mcp.shimmed import Shim, bare

LOOK = {
    "name": "look",
    "description": "Looks.",
    "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}}},
}
MORE = {
    **LOOK,
    "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}, "diary": {"type": "string"}}},
}
HELD = "Blocked by Kaizen: tool_pins: changed tool (look)."


@pytest.fixture
def tools(tmp_path):
    return tmp_path / "tools.json"


@pytest.fixture
def shim(tmp_path, tools):
    def start(*listed, **environment):
        tools.write_text(json.dumps(listed))
        return Shim(tmp_path, "--tools", str(tools), options=("--name", "desk"), **environment)

    return start


def names(shim, id_):
    return [tool["name"] for tool in shim.ask(id_, "tools/list")["result"]["tools"]]


def kaizen(tmp_path, *words):
    done = subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", "mcp", *words],
        capture_output=True,
        text=True,
        env=bare(tmp_path),
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_tool_that_changed_between_two_days_is_held_until_it_is_accepted(tmp_path, shim, tools):
    with shim(LOOK) as first:
        assert names(first, 1) == ["look"]
        assert first.call(2, "look") == ("did look", False)
    assert kaizen(tmp_path, "pins")[0] == 0
    with shim(MORE) as later:
        # Also before the client lists the tools: it may remember them.
        assert names(later, 1) == []
        assert later.call(2, "look") == (HELD, True)
        status, said = kaizen(tmp_path, "pins", "diff", "desk")
        assert (status, said) == (1, "desk, look: changed tool\n  argument diary is new: string\n")
        assert kaizen(tmp_path, "pins", "accept", "desk", "look")[0] == 0
        assert later.call(3, "look") == ("did look", False)
        assert names(later, 4) == ["look"]
        assert later.reached() == ["look", "look"]
    with shim(LOOK) as back:
        assert names(back, 1) == []
        assert back.call(2, "look") == (HELD, True)


def test_what_is_held_stays_held_for_a_client_that_does_not_list_the_tools(tmp_path, shim):
    with shim(LOOK) as first:
        names(first, 1)
    with shim(MORE) as second:
        names(second, 1)
    with shim(MORE) as third:
        assert third.call(1, "look") == (HELD, True)


def test_locked_only_what_is_pinned_is_shown_and_called(tmp_path, shim):
    with shim(LOOK) as first:
        names(first, 1)
    extra = {**LOOK, "name": "extra", "description": "Another one altogether, which nobody has pinned."}
    with shim(LOOK, extra, KAIZEN_MCP_LOCKED="1") as locked:
        assert locked.call(1, "extra")[1]
        assert names(locked, 2) == ["look"]
        assert locked.call(3, "look") == ("did look", False)


def test_pins_that_cannot_be_read_stop_the_shim_and_say_where(tmp_path, shim):
    with shim(LOOK) as first:
        names(first, 1)
    [file] = (tmp_path / "data/mcp/pins").glob("*.json")
    file.write_text("{")
    with shim(LOOK) as second:
        assert second.process.wait(20) == 2
        assert f"the pins in {file} are damaged" in second.process.stderr.read().decode()


def test_the_command_tells_what_is_pinned_for_people_and_for_machines(tmp_path, shim):
    assert kaizen(tmp_path, "pins")[1].startswith("Nothing is pinned yet")
    with shim(LOOK) as first:
        names(first, 1)
    assert kaizen(tmp_path, "pins")[1].splitlines()[0] == "desk: 1 pinned, 0 held back"
    document = json.loads(kaizen(tmp_path, "pins", "--json")[1])
    assert document["servers"][0]["tools"]["look"]["definition"] == LOOK
    assert kaizen(tmp_path, "pins", "diff")[1] == "Nothing is held back.\n"
    assert kaizen(tmp_path, "pins", "accept", "desk")[0] == 2
    assert kaizen(tmp_path, "pins", "diff", "nobody")[0] == 2
    assert kaizen(tmp_path, "pins", "reset")[0] == 2
    assert kaizen(tmp_path, "pins", "reset", "desk") == (0, "Forgotten: desk. What it lists next is its first use.\n")
    assert kaizen(tmp_path, "pins", "reset", "desk")[0] == 2
