"""Apart: clients that keep the tools of several servers apart, and what a ward makes of a name that two servers have."""

from __future__ import annotations

import json

import pytest

from kaizen_security.mcp.pins import Pins, judged, settle
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.warden import Warden
from kaizen_security.mcp.whose import CLIENT_KEY, KEEP_APART, keep_apart
from tests.unit.mcp.relaying import Talk, request

SEND = {"name": "send", "description": "Sends a letter.", "inputSchema": {"type": "object", "properties": {"to": {}}}}
FAX = {**SEND, "description": "Sends a fax."}
GET = {**SEND, "name": "receive", "description": "Whatever came in since yesterday."}
OPENED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "fax", "version": "1"}}


class Beside:
    """A server's ward beside another server that has a tool ``send``."""

    def __init__(self, said=""):
        shelf = Shelf("")
        mail = Pins(server="mail", calls_itself="mail")
        shelf.change("mail", lambda _: settle(mail, judged(mail, [SEND], ()), 0.0))
        ward = Warden(shelf, "fax", enforcing=lambda: True, now=lambda: 1.0, apart=keep_apart(said))
        self.talk, self.id = Talk(ward=ward), 0

    def ask(self, method, result, **params):
        self.id += 1
        self.talk.client(request(self.id, method, **params))
        _, [line] = self.talk.server({"jsonrpc": "2.0", "id": self.id, "result": result})
        return json.loads(line)["result"]

    def opened_by(self, client):
        self.ask("initialize", OPENED, clientInfo={"name": client, "version": "1"})
        return self

    def lists(self, *tools, more="", **params):
        result = {"tools": list(tools), **({"nextCursor": more} if more else {})}
        return [tool["name"] for tool in self.ask("tools/list", result, **params)["tools"]]


@pytest.mark.parametrize("client", sorted(KEEP_APART))
def test_a_known_client_gets_both_tools_of_one_name(client):
    assert Beside().opened_by(client).lists(FAX) == ["send"]


def test_another_client_does_not():
    assert Beside().opened_by("mixer").lists(FAX) == []
    assert Beside().lists(FAX) == []


def test_what_the_owner_says_of_the_clients_holds():
    assert Beside("1").opened_by("mixer").lists(FAX) == ["send"]
    assert Beside("0").opened_by("claude-code").lists(FAX) == []


def test_all_clients_before_one_ward_must():
    server = Beside().opened_by("claude-code").opened_by("mixer").opened_by("claude-code")
    assert server.lists(FAX) == []


def test_a_client_without_sessions_says_its_name_with_each_request():
    meta = {CLIENT_KEY: {"name": "claude-code", "version": "1"}}
    assert Beside().lists(FAX, _meta=meta) == ["send"]


def test_a_namesake_that_comes_later_is_held_also_where_it_is_on_a_further_page():
    server = Beside().opened_by("claude-code")
    assert server.lists(GET) == ["receive"]
    assert server.lists(GET, FAX) == ["receive"]
    assert server.lists(FAX, cursor="2") == []


def test_all_pages_of_the_first_list_are_the_first_list():
    server = Beside().opened_by("claude-code")
    assert server.lists(GET, more="2") == ["receive"]
    assert server.lists(FAX, cursor="2") == ["send"]


PLOT = {
    "name": "plot",
    "description": "Draws a line.",
    "inputSchema": {"type": "object", "properties": {"x": {}, "X": {}, "y": {"properties": {"Y": {}}}}},
}


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ({"x": 1, "X": 2}, True),
        ({"x": 1, "y": 2}, True),
        ({"y": 1, "Y": 2}, False),
        ({"x": 1, "X": 2, "y": 3, "Y": 4}, False),
    ],
)
def test_arguments_that_differ_only_in_case_pass_where_the_pinned_tool_has_both(arguments, passes):
    beside = Beside()
    asked = request(9, "tools/call", name="plot", arguments=arguments)
    before, _ = beside.talk.client(asked)
    assert bool(before) == (arguments.keys() == {"x", "y"})
    assert beside.lists(PLOT) == ["plot"]
    to_server, to_client = beside.talk.client({**asked, "id": 10})
    assert bool(to_server) == passes
    assert passes or "differs from another only in case" in to_client[0].decode()


def test_arguments_of_a_prompt_that_differ_only_in_case_go_nowhere():
    to_server, _ = Beside().talk.client(request(1, "prompts/get", name="greet", arguments={"a": "1", "A": "2"}))
    assert to_server == []
