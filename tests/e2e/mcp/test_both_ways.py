"""What goes from server to client and back while a call is under way, line by line: the same with the shim and without it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.mcp.shimmed import SHIM, Shim, bare

HERE = Path(__file__).parent
CAPABILITIES = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {}, "tasks": {"requests": {}}}
REPLIES = {
    "roots/list": {"roots": [{"uri": "file:///srv/project", "name": "project"}]},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "a poem"}, "model": "m"},
    "elicitation/create": {"action": "accept", "content": {"username": "ada", "email": "ada@example.org"}},
    "ping": {},
}
"""What this client answers a server."""


class Talk:
    """A session with a server, everything that it wrote kept as bytes."""

    def __init__(self, command, tmp_path):
        self.heard, self.asked = [], []
        self.process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=bare(tmp_path, HOME=str(tmp_path)),
        )
        info = {"name": "tests", "version": "1"}
        self.ask(0, "initialize", protocolVersion="2025-11-25", capabilities=CAPABILITIES, clientInfo=info)
        self.tell("notifications/initialized")

    def _send(self, document):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **document}).encode() + b"\n")
        self.process.stdin.flush()

    def tell(self, method, **params):
        self._send({"method": method, "params": params})

    def ask(self, id_, method, **params):
        """The reply; whatever the server asks meanwhile is answered."""
        self._send({"id": id_, "method": method, "params": params})
        return self.until(id_)

    def until(self, id_):
        while line := self.process.stdout.readline():
            self.heard.append(line)
            message = json.loads(line)
            if "method" in message and "id" in message:
                self.asked.append(message["method"])
                self._send({"id": message["id"], "result": REPLIES[message["method"]]})
            elif message.get("id") == id_:
                return message
        raise AssertionError("the server ended")

    def end(self):
        # Not by the end of its input: a server that still keeps a task stays for as long as that lives.
        self.process.stdin.close()
        self.process.terminate()
        self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(20)


def both(command, tmp_path, script):
    """What ``script`` came to, which is the same directly and through the shim, as is every line."""
    found = []
    for shim in ([], [*SHIM, "--name", "peer", "--"]):
        talk = Talk([*shim, *command], tmp_path)
        try:
            found.append((script(talk), talk.asked))
        finally:
            talk.end()
        found[-1] += (sorted(talk.heard),)
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def suites(place):
    """The server that the conformance suite is run against, over standard input and output."""
    shutil.copy(HERE / "conformance_server.mjs", place("node") / "conformance_server.mjs")
    return ["node", place("node") / "conformance_server.mjs", "stdio"]


def test_sampling_elicitation_progress_and_logging(suites, tmp_path):
    def script(talk):
        talk.ask(1, "tools/call", name="test_sampling", arguments={"prompt": "a poem"})
        talk.ask(2, "tools/call", name="test_elicitation", arguments={"message": "Who are you?"})
        talk.ask(3, "tools/call", name="test_tool_with_progress", arguments={}, _meta={"progressToken": "p"})
        talk.ask(4, "tools/call", name="test_tool_with_logging", arguments={})
        return talk.ask(
            5, "completion/complete", ref={"type": "ref/prompt", "name": "x"}, argument={"name": "a", "value": "p"}
        )

    last, asked, heard = both(suites, tmp_path, script)
    assert last["result"]["completion"]["values"] == ["paris", "park", "party"]
    assert asked == ["sampling/createMessage", "elicitation/create"]
    assert sum(b"notifications/progress" in line for line in heard) == 3
    assert sum(b"notifications/message" in line for line in heard) == 3


def test_roots(place, tmp_path):
    def script(talk):
        return talk.ask(1, "tools/call", name="get-roots-list", arguments={})

    last, asked, _ = both([place("node") / "node_modules/.bin/mcp-server-everything"], tmp_path, script)
    assert "roots/list" in asked
    assert "file:///srv/project" in json.dumps(last)


def test_a_cancellation_reaches_the_server_and_a_late_reply_goes_on_once(tmp_path):
    with Shim(tmp_path) as shim:
        assert shim.call(1, "look") == ("did look", False)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "big", "arguments": {"size": 10}}}
        shim.send(cancelled)
        shim.send([call, cancelled])
        # The server answers all the same, and some clients wait for that after they cancelled.
        assert shim.read()["id"] == 2
        assert shim.call(3, "look") == ("did look", False)
        assert shim.call(2, "look") == ("did look", False)
        _, err = shim.end()
    assert "reply that nobody asked for" not in err
    assert shim.log.read_text().count("notifications/cancelled") == 2


def test_tasks(place, tmp_path):
    """A call that becomes a task is asked for, until its result is there; ids and times are the server's own."""

    def script(talk):
        arguments = {"topic": "owls"}
        begun = talk.ask(1, "tools/call", name="simulate-research-query", arguments=arguments, task={"ttl": 60_000})
        task = begun["result"]["task"]["taskId"]
        states = [talk.ask(2, "tasks/get", taskId=task)["result"]["status"]]
        done = talk.ask(3, "tasks/result", taskId=task)["result"]
        states.append(talk.ask(4, "tasks/get", taskId=task)["result"]["status"])
        listed = [one["taskId"] for one in talk.ask(5, "tasks/list")["result"]["tasks"]]
        return states, [block["type"] for block in done["content"]], listed == [task]

    found = []
    for shim in ([], [*SHIM, "--name", "peer", "--"]):
        talk = Talk([*shim, place("node") / "node_modules/.bin/mcp-server-everything"], tmp_path)
        try:
            found.append(script(talk))
        finally:
            talk.end()
    assert found[0] == found[1]
    assert found[0] == (["working", "completed"], ["text"], True)
