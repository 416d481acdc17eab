"""A client built with the official Python SDK (1.x) that cancels a call and ends its session: ``sdk_ending.py LOG URL``.

Prints what became of the call, and what a call after it came to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamablehttp_client

log, url = Path(sys.argv[1]), sys.argv[2]
found = {}


async def called(session):
    try:
        found["waited"] = (await session.call_tool("wait")).content[0].text
    except McpError as err:
        found["refused"] = err.error.message


async def until(line):
    while line not in log.read_text().split():
        await anyio.sleep(0.02)


async def main():
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(called, session)
            await until("waits")
            # The SDK numbers its requests from 0: initialize, then the call.
            gone = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=1))
            await session.send_notification(types.ClientNotification(gone))
            await until("cancelled")
            # What becomes of the call is heard, if anything is.
            tasks.cancel_scope.deadline = anyio.current_time() + 10
        found["after"] = (await session.call_tool("look")).content[0].text


anyio.run(main)
print(json.dumps(found, sort_keys=True))
