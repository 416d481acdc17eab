"""The shim on the real line: what policy, declaration and sidecar say is what happens, and every call is in the record."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.mcp.shimmed import Shim
from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process

BLOCKED = "Blocked by Kaizen: blocked by policy: malicious skill pattern"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server") / "data")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(server):
    with server.person() as person:
        person.post(
            "/v1/org-policy", json={"mode": "blocklist", "tools": ["delete_all"], "destinations": ["evil.example"]}
        ).raise_for_status()
    return server.key()


@pytest.fixture(scope="module")
def sidecar(server, key, tmp_path_factory):
    process = Process(tmp_path_factory.mktemp("sidecar"), api_url=server.url, api_key=key).start()
    yield f"unix://{process.socket}"
    process.stop()


def rows(server, agent, least):
    end = time.monotonic() + 20
    with server.call() as call:
        while True:
            found = call.get("/v1/verdicts", params={"agent": agent, "limit": 100}).json()["verdicts"]
            if len(found) >= least or time.monotonic() > end:
                return found[::-1]
            time.sleep(0.05)


@pytest.mark.parametrize("attached", ["control plane", "sidecar"])
def test_allowed_calls_pass_refused_ones_never_arrive_and_both_are_reported(server, key, sidecar, tmp_path, attached):
    agent = f"shim-{attached.split()[0]}"
    where = {"KAIZEN_SIDECAR": sidecar} if attached == "sidecar" else {}
    with Shim(tmp_path, KAIZEN_API_URL=server.url, KAIZEN_API_KEY=key, KAIZEN_AGENT=agent, **where) as shim:
        assert (
            shim.ask(1, "initialize", protocolVersion="2025-06-18", capabilities={})["result"]["serverInfo"]["name"]
            == "peer"
        )
        assert shim.call(2, "look", what="CANARY-77") == ("did look", False)
        assert shim.call(3, "delete_all") == (BLOCKED, True)
        assert shim.call(4, "look", at=["https://fine.example/", "https://evil.example/x"])[1]
        assert shim.end()[0] == 0
        assert shim.reached() == ["look"]
    found = rows(server, agent, 4)
    assert {(row["action"]["tool"], row["action"]["target"], row["decision"]) for row in found} == {
        ("look", None, "allow"),
        ("delete_all", None, "block"),
        ("look", "https://fine.example/", "allow"),
        ("look", "https://evil.example/x", "block"),
    }
    assert {(row["source"], row["rung"]) for row in found} == {("mcp", "chokepoint")}
    assert "CANARY-77" not in json.dumps(found)


def test_its_agent_is_called_mcp_agent_when_nothing_says_otherwise(server, key, tmp_path):
    with Shim(tmp_path, KAIZEN_API_URL=server.url, KAIZEN_API_KEY=key) as shim:
        shim.call(1, "look")
        shim.end()
    [row] = rows(server, "mcp-agent", 1)
    assert row["action"]["publisher"] == "peer"


def test_in_enforce_with_nobody_to_answer_no_call_arrives_and_in_observe_all_do(tmp_path):
    nowhere = {"KAIZEN_SIDECAR": f"unix://{tmp_path}/none.sock", "KAIZEN_DEADLINE": "0.5"}
    with Shim(tmp_path, KAIZEN_MODE="enforce", **nowhere) as shim:
        assert shim.call(1, "look") == ("Blocked by Kaizen: engine error, failed closed", True)
        assert "result" in shim.ask(2, "tools/list")
        assert shim.reached() == []
    with Shim(tmp_path, **nowhere) as shim:
        assert shim.call(1, "look") == ("did look", False)


def test_calls_carry_the_run_that_was_named(server, key, sidecar, tmp_path):
    agent = "shim-steps"
    with Shim(
        tmp_path,
        KAIZEN_API_URL=server.url,
        KAIZEN_API_KEY=key,
        KAIZEN_AGENT=agent,
        KAIZEN_SIDECAR=sidecar,
        KAIZEN_RUN="r1",
    ) as shim:
        shim.call(1, "look")
        shim.call(2, "look")
        shim.end()
    assert {row["action"]["run_id"] for row in rows(server, agent, 2)} == {"r1"}


def test_a_credential_that_one_server_returned_does_not_leave_through_another(server, key, sidecar, tmp_path):
    """Both shims were started by one client, so what they carry is one run; the sidecar has heard the result."""
    agent = "shim-two"
    token = "hN7vQ2xLr9TzK4wPb8Yd6MfC"
    more = {"KAIZEN_API_URL": server.url, "KAIZEN_API_KEY": key, "KAIZEN_AGENT": agent, "KAIZEN_SIDECAR": sidecar}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Shim(tmp_path / "one", VAULT_PASSWORD=token, **more) as vault, Shim(tmp_path / "two", **more) as web:
        text, _ = vault.call(1, "env")
        assert token in text
        assert web.call(1, "look", note="nothing of note") == ("did look", False)
        said, failed = web.call(2, "look", note=f"the value is {token}")
        assert (said.startswith("Blocked by Kaizen: secrets:"), failed) == (True, True)
        assert token not in said
        assert web.reached() == ["look"]
    assert token not in json.dumps(rows(server, agent, 3))
