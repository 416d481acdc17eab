"""An MCP server of parcels, with the official SDK, for the gateway to stand before. It knows nothing of Kaizen."""

from __future__ import annotations

import sys

from mcp.server import MCPServer

server = MCPServer("parcels")


@server.tool()
def find_parcel(order: str) -> str:
    """Find the parcel of a customer's order."""
    return f"parcel of {order}: in the van"


if __name__ == "__main__":
    sys.exit(server.run())
