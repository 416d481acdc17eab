"""A server built with the official Python SDK (1.x) that writes down how calls and sessions end: ``… PORT FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import uvicorn
from mcp.server.fastmcp import FastMCP

port, log = int(sys.argv[1]), Path(sys.argv[2])
server = FastMCP("ending", port=port)


def wrote(line):
    with log.open("a") as file:
        file.write(line + "\n")


@server.tool()
async def wait() -> str:
    """Waits until it is told not to."""
    wrote("waits")
    try:
        await anyio.sleep(60)
    except anyio.get_cancelled_exc_class():
        wrote("cancelled")
        raise
    return "waited"


@server.tool()
def look() -> str:
    """Looks."""
    return "looked"


inner = server.streamable_http_app()


async def app(scope, receive, send):
    if scope["type"] == "http":
        wrote(scope["method"])
    await inner(scope, receive, send)


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
