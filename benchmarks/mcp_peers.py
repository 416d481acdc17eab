"""The programs of ``benchmarks.mcp``: a server over both transports, and another maker's proxy (fastmcp, from PyPI)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ANSWERS = """
import json
big = {"content": [{"type": "text", "text": "x" * 10_000_000}]}
small = {"content": [{"type": "text", "text": "a result of an ordinary length, " * 8}]}
schema = {"type": "object", "properties": {name: {} for name in ("query", "limit", "url")}}
tools = {"tools": [{"name": name, "description": name, "inputSchema": schema} for name in ("look", "big")]}
opened = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}}
began = 0
def answer(message):
    global began
    method = message.get("method")
    began += method == "initialize"
    name = (message.get("params") or {}).get("name")
    results = {"initialize": opened, "tools/list": tools, "tools/call": big if name == "big" else small, "ping": {}}
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": results.get(method, {"began": began})}).encode()
"""
STDIO = (
    ANSWERS
    + """
import sys
out = sys.stdout.buffer
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message:
        out.write(answer(message) + b"\\n")
        out.flush()
"""
)
HTTP = (
    ANSWERS
    + """
import asyncio
class Peer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""
    def data_received(self, data):
        self.buffer += data
        while b"\\r\\n\\r\\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\\r\\n\\r\\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\\r\\n")[1:])
            size = int(fields.get(b"content-length", 0))
            if len(rest) < size:
                return
            self.buffer = rest[size:]
            self.reply(head.split(b" ", 1)[0], rest[:size])
    def reply(self, method, body):
        message = json.loads(body) if body else {}
        if method == b"POST" and "id" in message:
            data, session = answer(message), b"mcp-session-id: one\\r\\n" if message["method"] == "initialize" else b""
            head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\n" + session
        else:
            data, head = b"", b"HTTP/1.1 202 Accepted\\r\\n" if method == b"POST" else b"HTTP/1.1 405 No\\r\\n"
        self.transport.write(head + b"content-length: %d\\r\\n\\r\\n" % len(data) + data)
async def main():
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0)
    print("listening on http://127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
)
PROXY_STDIO = """
import sys
from fastmcp.server import create_proxy
server = {"command": sys.argv[1], "args": sys.argv[2:]}
create_proxy({"mcpServers": {"bench": server}}).run(transport="stdio", show_banner=False)
"""
PROXY_HTTP = """
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[1]).run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
"""


def fastmcp() -> tuple[str, str]:
    """The interpreter of an environment with fastmcp, kept between runs, and its version; empty and why not."""
    place = Path(tempfile.gettempdir()) / f"kaizen-bench-fastmcp-{os.getuid()}"
    python = place / "bin/python"
    try:
        if not (place / "whole").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "-q", "fastmcp"]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
            (place / "whole").touch()
        asks = [str(python), "-c", "from importlib.metadata import version; print(version('fastmcp'))"]
        return str(python), subprocess.run(asks, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as err:
        return "", f"cannot be had here: {type(err).__name__}"
