"""A server built with the official Python SDK (1.x or 2.x): ``python sdk_server.py stdio|http PORT``."""

from __future__ import annotations

import sys

try:
    from mcp.server.fastmcp import FastMCP as Server
except ImportError:
    from mcp.server.mcpserver import MCPServer as Server

transport, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
try:
    server = Server("official", instructions="Adds and echoes.", port=port)
    options = {}
except TypeError:
    server = Server("official", instructions="Adds and echoes.")
    options = {"port": port}


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Gives the text back."""
    return text


@server.tool()
def delete_all() -> str:
    """Deletes everything."""
    return "gone"


@server.resource("memo://{name}")
def memo(name: str) -> str:
    """A memo."""
    return f"memo {name}"


@server.prompt()
def greet(who: str) -> str:
    """Greets."""
    return f"Hello {who}"


if transport == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", **options)
