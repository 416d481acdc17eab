"""Claude Agent SDK: `pip install claude-agent-sdk`, then `python examples/integrations/claude_agent.py`."""

import asyncio
import tempfile
from typing import Any

from bills import Bills
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, create_sdk_mcp_server, tool

from kaizen_security.integrations.claude_agent import options

DESK = "mcp__desk__"


def desk(bills: Bills) -> Any:
    """The tools, as an MCP server in this process."""

    @tool("bill_read", "Read a bill.", {"bill": str})
    async def bill_read(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": bills.bill_read(**given)}]}

    @tool("transfer_make", "Transfer money to an account.", {"iban": str, "amount": float})
    async def transfer_make(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": bills.transfer_make(**given)}]}

    return create_sdk_mcp_server("desk", tools=[bill_read, transfer_make])


def settings(bills: Bills, home: str) -> ClaudeAgentOptions:
    """Claude Code with these tools alone, and Kaizen's hooks."""
    environment = {"ANTHROPIC_BASE_URL": bills.url, "ANTHROPIC_API_KEY": "none", "HOME": home}  # a real one: {}
    given = ClaudeAgentOptions(
        mcp_servers={"desk": desk(bills)},
        allowed_tools=[DESK + "bill_read", DESK + "transfer_make"],
        setting_sources=[],
        cwd=home,
        env={**environment, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
    )
    return options(bills.kaizen, given)


async def ask(client: ClaudeSDKClient, request: str) -> None:
    await client.query(request)
    async for _ in client.receive_response():
        pass


with Bills("bills-claude", prefix=DESK) as bills, tempfile.TemporaryDirectory() as home, asyncio.Runner() as loop:
    client = ClaudeSDKClient(settings(bills, home))
    loop.run(client.connect())
    status = bills.play(lambda request: loop.run(ask(client, request)))
    loop.run(client.disconnect())
raise SystemExit(status)
