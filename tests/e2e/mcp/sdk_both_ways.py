"""A client built with the official Python SDK (1.x) that a server may ask back: ``sdk_both_ways.py -- command…`` or ``… URL``.

Prints what it was asked, was told and got, of everything that the server has.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

FOUND = {"asked": [], "logged": [], "progressed": [], "calls": {}}
CALLS = {
    "test_sampling": {"prompt": "a poem"},
    "test_elicitation": {"message": "Who are you?"},
    "test_tool_with_progress": {},
    "test_tool_with_logging": {},
    "test_reconnection": {},
    "get-roots-list": {},
}


async def sampled(context, params):
    FOUND["asked"].append("sampling/createMessage")
    return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(type="text", text="a poem"))


async def elicited(context, params):
    FOUND["asked"].append("elicitation/create")
    return types.ElicitResult(action="accept", content={"username": "ada", "email": "ada@example.org"})


async def rooted(context):
    FOUND["asked"].append("roots/list")
    return types.ListRootsResult(roots=[types.Root(uri="file:///srv/project", name="project")])


async def logged(params):
    FOUND["logged"].append(params.data)


async def progressed(progress, total, message):
    FOUND["progressed"].append(progress)


def said(result):
    return [getattr(block, "text", block.type) for block in result.content]


async def script(read, write):
    callbacks = {"sampling_callback": sampled, "elicitation_callback": elicited, "list_roots_callback": rooted}
    async with ClientSession(read, write, logging_callback=logged, **callbacks) as session:
        await session.initialize()
        tools = await listed(session)
        for name, arguments in CALLS.items():
            if name in tools:
                FOUND["calls"][name] = said(await session.call_tool(name, arguments, progress_callback=progressed))
        if "test_sampling" in tools:
            ref = types.PromptReference(type="ref/prompt", name="test_simple_prompt")
            FOUND["completion"] = (await session.complete(ref, {"name": "a", "value": "p"})).completion.values
        if "simulate-research-query" in tools:
            await task(session)


async def listed(session):
    """Names of the tools; a server may add some once it has heard what this client can do."""
    for _ in range(600):
        tools = {tool.name for tool in (await session.list_tools()).tools}
        if tools & {"test_sampling", "get-roots-list"}:
            break
        await asyncio.sleep(0.05)
    return tools


async def task(session):
    begun = await session.experimental.call_tool_as_task("simulate-research-query", {"topic": "owls"}, ttl=60_000)
    id_ = begun.task.taskId
    FOUND["task"] = sorted({one.status async for one in session.experimental.poll_task(id_)} - {"working"})
    FOUND["task_result"] = said(await session.experimental.get_task_result(id_, types.CallToolResult))[:1]


async def main():
    if sys.argv[1] == "--":
        parameters = StdioServerParameters(command=sys.argv[2], args=sys.argv[3:], env=dict(os.environ))
        async with stdio_client(parameters) as (read, write):
            await script(read, write)
    else:
        async with streamablehttp_client(sys.argv[1]) as (read, write, _):
            await script(read, write)


asyncio.run(main())
print(json.dumps(FOUND, sort_keys=True))
