"""What the deployed client and its MCP shim send, taken down by a server that only listens.

``python -m tests.e2e.deployed.recording`` writes the recorded part of ``spec/vectors/deployed.json`` anew; what stands there of
programs that are not in the published package (origin ``wire contract``) is kept as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.deployed.published import Program, confined, environment

VECTORS = Path(__file__).parents[3] / "spec/vectors/deployed.json"
KEY = "kz_live_" + "0" * 43
POLICIES = [{"mode": "blocklist", "rules": {"skill_patterns": ["^delete_all$"]}, "name": "org", "enabled": True}]
HEADERS = ("accept", "accept-encoding", "authorization", "connection", "content-type", "user-agent")
"""Those that may matter to a server; ``Host`` and ``Content-Length`` follow from the rest."""
DEADLINE = 20.0

CLIENT = """
client = attached("support")
client.declare(tools=["issue_refund"], destinations=["api.stripe.com"])
attached("bare").declare()
attached("", sync=False).inspect(tool="no-name")
attached("Unterstützung 支援", sync=False).inspect(tool="name-not-ascii")
slash = attached("team/refunds")
slash.declare(tools=["x"])
client.inspect(tool="plain", target="api.stripe.com:443", publisher="acme", hash="abc")
client.inspect()
client.inspect(tool="", target="")
client.inspect(kind="connect", target="[2001:db8::1]:443", metadata={"source": "egress"})
client.inspect(tool="delete_all", metadata={"arguments": {"n": 1.5, "deep": [{"é": None}]}, "sensitive": True})
@client.guard
def guarded(amount): return amount
guarded(12)
"""
INTEGRATIONS = """
import asyncio
from kaizen_security.integrations import llamaindex, openai_agents, pydantic_ai, semantic_kernel
client = attached("framework", sync=False)
class Thing:
    def __init__(self, **fields): self.__dict__.update(fields)
class Called(Thing):
    def call(self, **arguments): return "done"
llamaindex.guard_tool(client, Called(name="llamaindex", metadata=Thing(name="llamaindex"))).call(q="a")
def pydantic(q): return "done"
pydantic_ai.guard(client, pydantic)(q="a")
asyncio.run(openai_agents.KaizenHooks(client).on_tool_start(Thing(tool_arguments='{"q": "a"}'), None, Thing(name="openai")))
async def next_filter(context): return None
context = Thing(function=Thing(name="kernel", plugin_name="p"), arguments={"q": "a"})
asyncio.run(semantic_kernel.kaizen_filter(client)(context, next_filter))
"""
SHIM = [
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "look", "arguments": {"q": "a"}}},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "delete_all", "arguments": {}}},
]
SENT = {"client": 14, "integrations": 4, "mcp shim": 3}
"""How many requests each program makes."""


class Recorder(ThreadingHTTPServer):
    """Answers everything with success; ``requests`` is what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, object]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join(60)
        self.server_close()

    def wait(self, wanted: int) -> list[dict[str, object]]:
        """What came, as soon as there is so much."""
        end = time.monotonic() + DEADLINE
        while len(self.requests) < wanted and time.monotonic() < end:
            time.sleep(0.02)
        return list(self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        heads = {name.lower(): value for name, value in self.headers.items() if name.lower() in HEADERS}
        heads["user-agent"] = heads["user-agent"].split("/")[0]
        self.server.requests.append(
            {"method": self.command, "path": self.path, "headers": heads, "body": json.loads(body) if body else None}
        )
        answer = json.dumps({"policies": POLICIES} if self.command == "GET" else {"decision": "allow", "reason": "ok"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _answer

    def log_message(self, *args: object) -> None:
        """Nothing."""


def by_client(place: Path, recorder: Recorder, origin: str) -> None:
    """A program that uses the client."""
    with Program(
        place, (CLIENT if origin == "client" else INTEGRATIONS) + 'told("done")\nhold()', recorder.url, KEY
    ) as p:
        p.answer()
        recorder.wait(SENT[origin])


def by_shim(place: Path, recorder: Recorder, origin: str) -> None:
    """The shim in front of the tests' server."""
    with tempfile.TemporaryDirectory() as folder:
        server = [sys.executable, "-u", str(Path(__file__).with_name("mcp_server.py")), f"{folder}/calls"]
        process = subprocess.Popen(
            [str(place / "bin/kaizen-mcp"), "--", *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=confined(recorder.url, KEY, "desk"),
        )
        for message in SHIM:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            process.stdout.readline()
        recorder.wait(SENT[origin])
        process.communicate(timeout=20)


ORIGINS: dict[str, Callable[[Path, Recorder, str], None]] = {
    "client": by_client,
    "integrations": by_client,
    "mcp shim": by_shim,
}


def record(place: Path, origin: str) -> list[dict[str, object]]:
    """What a program sends, in an order that does not depend on its threads, each with the answer that it can use."""
    with Recorder() as recorder:
        ORIGINS[origin](place, recorder, origin)
        requests = recorder.wait(SENT[origin])
    requests.sort(key=lambda request: json.dumps(request, sort_keys=True))
    return [{"id": f"{origin}-{n}", "origin": origin, **request} for n, request in enumerate(requests, 1)]


def main() -> None:
    """Write the recorded part anew."""
    place = environment()
    vectors = json.loads(VECTORS.read_text())
    kept = [request for request in vectors["requests"] if request["origin"] not in ORIGINS]
    vectors["requests"] = [request for origin in ORIGINS for request in record(place, origin)] + kept
    lines = ",\n    ".join(json.dumps(request, ensure_ascii=False) for request in vectors["requests"])
    about = json.dumps(vectors["about"], ensure_ascii=False)
    VECTORS.write_text(f'{{\n  "about": {about},\n  "requests": [\n    {lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
