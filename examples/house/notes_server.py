"""An MCP server of notes, with the official SDK. It knows nothing of Kaizen."""

from __future__ import annotations

import sys

from mcp.server import MCPServer

server = MCPServer("notes")


@server.tool()
def find_note(about: str) -> str:
    """Find a note about a customer's order."""
    return f"note about {about}: leave it at the door"


if __name__ == "__main__":
    sys.exit(server.run())
