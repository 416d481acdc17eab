"""A client built with the official Python SDK (1.x or 2.x), run in the SDK's own environment: asks a server everything it has.

``python sdk_client.py -- command…`` or ``python sdk_client.py URL``; prints what came back as one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def plain(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def asked(session, calls):
    """Everything that the server lists, and the results of ``calls``."""
    found = {"initialize": plain(await session.initialize())}
    capabilities = found["initialize"]["capabilities"]
    for name, ask in (
        ("tools", session.list_tools),
        ("prompts", session.list_prompts),
        ("resources", session.list_resources),
    ):
        if name in capabilities:
            found[name] = plain(await ask())
    found["ping"] = plain(await session.send_ping())
    for tool, arguments in calls:
        found.setdefault("calls", []).append(plain(await session.call_tool(tool, arguments)))
    return found


async def over_stdio(command, calls):
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        return await asked(session, calls)


async def over_http(url, calls, key):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        from mcp.client.streamable_http import streamablehttp_client as connect

        connection = connect(url, headers=headers)
    except ImportError:
        import httpx2 as httpx
        from mcp.client.streamable_http import streamable_http_client

        connection = streamable_http_client(url, http_client=httpx.AsyncClient(headers=headers, timeout=60))
    async with connection as streams, ClientSession(streams[0], streams[1]) as session:
        return await asked(session, calls)


def main():
    calls = json.loads(Path(os.environ["CALLS"]).read_text())
    if sys.argv[1] == "--":
        found = asyncio.run(over_stdio(sys.argv[2:], calls))
    else:
        found = asyncio.run(over_http(sys.argv[1], calls, os.environ.get("KEY", "")))
    print(json.dumps(found, sort_keys=True))


main()
