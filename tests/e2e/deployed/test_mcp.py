"""The deployed MCP shim on our control plane: what is allowed passes, what is blocked is refused, both are reported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.deployed.published import confined

SERVER = Path(__file__).with_name("mcp_server.py")
BLOCKED = "Blocked by Kaizen: blocked by policy: malicious skill pattern"


class Shim:
    """``kaizen-mcp -- python mcp_server.py``, spoken to as an MCP client does."""

    def __init__(self, place, url, key, agent, log):
        words = [str(place / "bin/kaizen-mcp"), "--", sys.executable, "-u", str(SERVER), str(log)]
        self.log = log
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=confined(url, key, agent)
        )

    def _send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def tell(self, method, **params):
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, id_, method, **params):
        self._send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
        answer = json.loads(self.process.stdout.readline())
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", id_)
        return answer["result"]

    def call(self, id_, tool, **arguments):
        result = self.ask(id_, "tools/call", name=tool, arguments=arguments)
        return result["content"][0]["text"], result.get("isError", False)

    def reached(self):
        """Names of the tools whose calls reached the server."""
        messages = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [message["params"]["name"] for message in messages if message["method"] == "tools/call"]

    def end(self):
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def shim(place, server, key, tmp_path):
    started = []

    def start(agent, url=server.url, key=key):
        started.append(Shim(place, url, key, agent, tmp_path / "calls.jsonl"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_allowed_calls_pass_and_blocked_ones_are_refused_and_both_are_reported(shim, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all"])
    running = shim("shim")
    assert running.ask(1, "initialize", protocolVersion="2025-06-18", capabilities={})["serverInfo"]["name"] == "tests"
    running.tell("notifications/initialized")
    assert [tool["name"] for tool in running.ask("two", "tools/list")["tools"]] == ["look", "delete_all"]
    assert running.call(3, "look", what="CANARY-77") == ("did look", False)
    assert running.call("four", "delete_all") == (BLOCKED, True)
    assert running.call(5, "look") == ("did look", False)
    found = rows("shim", 3)
    assert running.end() == 0
    assert running.reached() == ["look", "look"]
    assert Counter((row["action"]["tool"], row["decision"], row["source"], row["rung"]) for row in found) == {
        ("look", "allow", "mcp", "chokepoint"): 2,
        ("delete_all", "block", "mcp", "chokepoint"): 1,
    }
    assert "CANARY-77" not in json.dumps(found)


def test_a_tool_that_was_not_declared_is_found_by_our_server(shim, rows, server):
    with server.call() as call:
        call.post("/v1/agents/shim-declared/manifest", json={"tools": ["look"], "destinations": []}).raise_for_status()
    running = shim("shim-declared")
    assert running.call(1, "delete_all") == ("did delete_all", False)
    claim, ours = rows("shim-declared", 2)
    assert running.end() == 0
    assert (claim["reason"], ours["reason"]) == (
        "no policy matched",
        "undeclared: this agent used a tool it never declared (delete_all).",
    )
    assert {row["rung"] for row in (claim, ours)} == {"chokepoint"}


def test_without_a_name_it_is_the_agent_of_the_wire_contract(shim, rows):
    running = shim("")
    assert running.call(1, "look") == ("did look", False)
    [row] = rows("mcp-agent", 1)
    assert running.end() == 0
    assert row["action"]["tool"] == "look"


def test_with_our_server_down_calls_pass(shim):
    running = shim("shim", url="http://127.0.0.1:9")
    assert running.call(1, "delete_all") == ("did delete_all", False)
    assert running.end() == 0
