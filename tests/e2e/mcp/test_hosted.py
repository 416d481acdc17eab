"""Servers over standard input and output that the gateway starts: a process for each session, and what becomes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.mcp import official
from tests.e2e.mcp.shimmed import PEER, peak
from tests.e2e.mcp.talking import heard
from tests.e2e.mcp.test_gateway import Gateway, request
from tests.e2e.sidecar_process import until

HERE = Path(__file__).parent


@pytest.fixture
def gateway(tmp_path):
    """A gateway that starts ``peer.py``, which writes down what reaches it."""
    settings = tmp_path / "gateway.toml"
    command = [sys.executable, "-u", str(PEER), str(tmp_path / "reached.jsonl")]
    settings.write_text(
        f'[servers.desk]\ncommand = {json.dumps(command)}\nenv = {{ GIVEN = "env:SECRET_OF_IT" }}\n'
        '[servers.none]\ncommand = ["/nowhere/to/be/found"]\n'
    )
    running = Gateway(
        tmp_path, "--config", str(settings), SECRET_OF_IT="s-4711", KAIZEN_API_KEY="kz_canary", KAIZEN_REPORT="0"
    )
    yield running
    assert "Traceback" not in running.end()


def opened(gateway):
    """A session that was initialised."""
    answer = gateway.post(request(0, "initialize", protocolVersion="2025-06-18", capabilities={}))
    assert answer.status_code == 200
    return answer.headers["mcp-session-id"]


def replies(answer):
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def call(gateway, session, tool, id_=1, **arguments):
    answer = gateway.post(request(id_, "tools/call", name=tool, arguments=arguments), mcp_session_id=session)
    return answer.status_code, replies(answer)


def text_of(reply):
    return reply["result"]["content"][0]["text"]


def processes(tmp_path):
    """Servers that run."""
    found = subprocess.run(["pgrep", "-f", str(tmp_path / "reached.jsonl")], capture_output=True, text=True)
    return found.stdout.split()


def test_each_session_is_a_process_of_its_own_that_ends_with_it(gateway, tmp_path):
    one, two = opened(gateway), opened(gateway)
    assert one != two
    assert len(processes(tmp_path)) == 2
    assert text_of(call(gateway, one, "look")[1][0]) == "did look"
    assert gateway.call.delete("/desk/mcp", headers={"mcp-session-id": one}).status_code == 200
    until(lambda: len(processes(tmp_path)) == 1, "its process has ended")
    assert call(gateway, one, "look")[0] == 404
    assert text_of(call(gateway, two, "look")[1][0]) == "did look"
    assert gateway.post(request(1, "tools/list"), mcp_session_id="0" * 32).status_code == 404


def test_the_processes_end_with_the_gateway(gateway, tmp_path):
    opened(gateway)
    gateway.end()
    until(lambda: processes(tmp_path) == [], "none is left")


def test_it_gets_its_variables_and_not_our_keys(gateway):
    environment = json.loads(text_of(call(gateway, opened(gateway), "env")[1][0]))
    assert environment["GIVEN"] == "s-4711"
    assert "KAIZEN_API_KEY" not in environment


def test_a_server_that_dies_is_told_and_its_session_is_over_so_that_the_client_begins_another(gateway):
    session = opened(gateway)
    status, [reply] = call(gateway, session, "die", id_="x")
    assert (status, reply["id"]) == (200, "x")
    assert "error" in reply
    until(lambda: call(gateway, session, "look")[0] == 404, "the session is over")
    assert text_of(call(gateway, opened(gateway), "look")[1][0]) == "did look"


def test_a_server_that_cannot_be_started_is_an_error_of_the_request(gateway):
    answer = gateway.post(request(3, "initialize"), server="none")
    assert (answer.status_code, answer.json()["id"]) == (502, 3)
    assert "nowhere" not in answer.text


def test_without_a_session_only_initialize_is_taken(gateway, tmp_path):
    answer = gateway.post(request(1, "tools/call", name="look"))
    assert answer.status_code == 400
    assert processes(tmp_path) == []


def test_results_of_ten_megabytes_pass_whole_in_flat_memory(gateway):
    session = opened(gateway)
    call(gateway, session, "big", size=2_000_000)
    before = peak(gateway.process.pid)
    for _ in range(3):
        assert text_of(call(gateway, session, "big", size=10_000_000)[1][0]) == "x" * 10_000_000
    assert peak(gateway.process.pid) - before < 8_000  # KB; a result is 10,000


@pytest.mark.parametrize("era", ["auto", "legacy"])
def test_clients_of_either_era_find_a_way_to_talk_to_it(place, tmp_path, era):
    project = place("newer-node")
    for script in ("sdk2_client.mjs", "sdk2_server.mjs"):
        shutil.copy(HERE / script, project / script)
    node = str(official.runtime(project))
    settings = tmp_path / "gateway.toml"
    settings.write_text(f"[servers.peer]\ncommand = {json.dumps([node, str(project / 'sdk2_server.mjs'), 'stdio'])}\n")
    running = Gateway(tmp_path, "--config", str(settings))
    try:
        calls = [["add", {"a": 1, "b": 2}], ["greet_slowly", {}]]
        found = heard([node, project / "sdk2_client.mjs", era, running.url("peer")], tmp_path, calls)
    finally:
        assert "Traceback" not in running.end()
    assert [one["content"][0]["text"] for one in found["calls"]] == ["3", "Hello Ada"]
