"""The official Python SDK 2.x with its own client, which speaks the era without sessions where the server does.

``python sdk_modern.py -- command…`` or ``python sdk_modern.py URL``; prints what came back as one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters


def plain(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    words = sys.argv[2:]
    server = StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ)) if words else sys.argv[1]
    async with Client(server) as client:
        found = {"version": str(client.protocol_version), "tools": plain(await client.list_tools())}
        found["calls"] = [
            plain(await client.call_tool(*call)) for call in json.loads(Path(os.environ["CALLS"]).read_text())
        ]
        found["prompt"] = plain(await client.get_prompt("greet", {"who": "you"}))
        found["resource"] = plain(await client.read_resource("memo://one"))
    print(json.dumps(found, sort_keys=True))


asyncio.run(main())
