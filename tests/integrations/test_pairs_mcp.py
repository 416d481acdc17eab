"""An attachment in the agent, and our shim before the MCP server of its tools: two rungs, one deed, on the real runners."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents")
pytest.importorskip("claude_agent_sdk")
pytest.importorskip("mcp")

from agents import Agent, Runner
from agents.mcp import MCPServerStdio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

from kaizen_security import Kaizen
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.verdict import Mode
from kaizen_security.integrations.claude_agent import options
from kaizen_security.integrations.openai_agents import KaizenHooks
from kaizen_security.testing.models import Call, Turn
from tests.e2e.mcp.shimmed import PEER
from tests.e2e.sidecar_process import Process, until
from tests.e2e.sidecar_upstream import OWN, Upstream
from tests.integrations.agent import asks
from tests.integrations.conftest import PYTHON
from tests.integrations.suite import BLOCKED, PROMPT
from tests.integrations.test_claude_agent import Scripted
from tests.integrations.test_openai_agents import OpenAIAgents

LOOK, DELETE = (Call(tool=name, arguments={"at": "b1"}, id=f"call_{name}") for name in ("look", "delete_all"))


class Pair:
    """A sidecar, the control plane that it tells, an agent of it, and the command of a shim before a server."""

    def __init__(self, place: Path, mode: str) -> None:
        self.log = place / "reached.jsonl"
        self.upstream = Upstream()
        self.upstream.template = Bundle(agent="", version=1, mode=Mode(mode))
        self.upstream.start()
        (place / "sidecar").mkdir()
        self.sidecar = Process(place / "sidecar", api_url=self.upstream.url, api_key=OWN, python=PYTHON).start()
        socket = f"unix://{self.sidecar.socket}"
        self.kaizen = Kaizen(agent="pair", sidecar=socket, data=place / "client", deadline=10.0)
        self.kaizen.declare(tools=["look", "mcp__peer__look", "ToolSearch"])
        own = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        self.environment = {
            **own,
            "KAIZEN_AGENT": "pair",
            "KAIZEN_SIDECAR": socket,
            "KAIZEN_DATA": str(place / "shim"),
        }
        self.arguments = ["-m", "kaizen_security.mcp", "--name", "peer", "--"]
        self.arguments += [sys.executable, "-u", str(PEER), str(self.log)]

    def reached(self) -> list[str]:
        """Names of the tools whose calls reached the server."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [one["params"]["name"] for one in map(json.loads, lines) if one.get("method") == "tools/call"]

    def told(self, *names: str) -> dict[str, list[Any]]:
        """By source, what the control plane was told of calls of that name, each row once, as it was told last."""
        assert self.kaizen.flush(30)
        found: dict[str, dict[str, Any]] = {}
        for report in list(self.upstream.reports):
            if report.action.tool in names:
                found.setdefault(report.action.source, {})[report.action.id] = report
        return {source: list(rows.values()) for source, rows in found.items()}

    def stop(self) -> None:
        self.kaizen.close()
        self.sidecar.stop()
        self.upstream.stop()


@pytest.fixture(params=["observe", "enforce"])
def pair(tmp_path: Path, request: Any) -> Iterator[Pair]:
    made = Pair(tmp_path, request.param)
    yield made
    made.stop()


def one_deed(pair: Pair, source: str, *names: str) -> None:
    """The call was told by the attachment and by the shim, once by each, and is one act of one run."""
    until(lambda: set(pair.told(*names)) >= {source, "mcp"}, "what both rungs tell")
    until(
        lambda: len({row.action.act_id for rows in pair.told(*names).values() for row in rows}) == 1,
        "that both are one act",
    )
    rows = pair.told(*names)
    assert {teller: len(those) for teller, those in rows.items()} == {source: 1, "mcp": 1}
    assert len({row.action.run_id for those in rows.values() for row in those}) == 1


def test_openai_agents_with_a_server_behind_the_shim(pair, models):
    async def main() -> str:
        params = {"command": sys.executable, "args": pair.arguments, "env": pair.environment}
        async with MCPServerStdio(params, name="peer", client_session_timeout_seconds=60) as server:
            agent = Agent(name="assistant", model=OpenAIAgents().model(models.url), mcp_servers=[server])
            result = await Runner.run(agent, PROMPT, hooks=KaizenHooks(pair.kaizen))
            return str(result.final_output)

    enforced = pair.upstream.template.mode is Mode.ENFORCE
    models.say(asks(LOOK, DELETE), "Done.")
    assert asyncio.run(main()) == "Done."
    assert pair.reached() == (["look"] if enforced else ["look", "delete_all"])
    assert (BLOCKED in str(models.heard[-1].document)) is enforced
    one_deed(pair, "openai-agents", "look")
    if enforced:
        # It never came as far as the shim.
        assert {teller: len(rows) for teller, rows in pair.told("delete_all").items()} == {"openai-agents": 1}
    else:
        one_deed(pair, "openai-agents", "delete_all")


def test_hooks_of_claude_code_with_a_server_behind_the_shim(pair, models, tmp_path):
    names = ["mcp__peer__look", "mcp__peer__delete_all"]
    calls = tuple(Call(tool=name, arguments={"at": "b1"}, id=f"toolu_{i}") for i, name in enumerate(names))
    script = Scripted(models)
    script.say(Turn(calls=calls), "Done.")
    (tmp_path / "home").mkdir()
    server = {"command": sys.executable, "args": pair.arguments, "env": pair.environment}
    given = ClaudeAgentOptions(
        mcp_servers={"peer": server},
        allowed_tools=names,
        cwd=str(tmp_path),
        setting_sources=[],
        env={
            "ANTHROPIC_BASE_URL": models.url,
            "ANTHROPIC_API_KEY": "none",
            "HOME": str(tmp_path / "home"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
        },
    )

    async def main() -> None:
        async with ClaudeSDKClient(options(pair.kaizen, given)) as client:
            await client.query(PROMPT)
            async for _ in client.receive_response():
                pass

    enforced = pair.upstream.template.mode is Mode.ENFORCE
    asyncio.run(asyncio.wait_for(main(), 120))
    assert sorted(pair.reached()) == (["look"] if enforced else ["delete_all", "look"])
    assert any(BLOCKED in one for one in script.results) is enforced
    one_deed(pair, "claude-agent", "look", "mcp__peer__look")
    if not enforced:
        one_deed(pair, "claude-agent", "delete_all", "mcp__peer__delete_all")
