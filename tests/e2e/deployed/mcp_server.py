"""A tiny MCP server on standard input and output; what reaches it is written into the file that it is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("look", "delete_all")]


def answer(message):
    """The result of one request."""
    if message["method"] == "initialize":
        return {
            "protocolVersion": message["params"].get("protocolVersion", ""),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "tests", "version": "1"},
        }
    if message["method"] == "tools/list":
        return {"tools": TOOLS}
    return {"content": [{"type": "text", "text": f"did {message['params']['name']}"}]}


def main():
    """Serve until the input ends."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        for line in sys.stdin:
            log.write(line)
            log.flush()
            message = json.loads(line)
            if "id" in message:
                print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}), flush=True)


if __name__ == "__main__":
    main()
