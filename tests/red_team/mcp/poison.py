"""The corpus of poisoned servers: reads the cases, and takes them through the relay with its ward."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from kaizen_security.mcp.pins import Pins, judged, settle
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.warden import Warden
from tests.unit.mcp.relaying import Talk, call, request, result

HERE = Path(__file__).parent


def cases(name):
    return tomllib.loads((HERE / f"{name}.toml").read_text())["case"]


def prose():
    return (HERE / "prose.txt").read_text().splitlines()


@dataclass
class Server:
    """One server behind the ward, in one mode, beside other servers' pinned tools."""

    enforcing: bool = False
    others: list = field(default_factory=list)
    name: str = "tested"

    def __post_init__(self):
        self.shelf = Shelf("")
        if self.others:
            pins = Pins(server="elsewhere", calls_itself="elsewhere")
            self.shelf.change("elsewhere", lambda _: settle(pins, judged(pins, self.others, ()), 0.0))
        self.talk = Talk(ward=Warden(self.shelf, self.name, enforcing=lambda: self.enforcing, now=lambda: 1.0))
        self.id = 0

    def ask(self, method, reply, **params):
        """The result that the client gets when the server answers ``method`` with ``reply``."""
        self.id += 1
        assert self.talk.client(request(self.id, method, **params))[0]
        answer = {"jsonrpc": "2.0", "id": self.id, **(reply if "error" in reply else {"result": reply})}
        _, [line] = self.talk.server(answer)
        return json.loads(line), json.loads(line) == answer

    def lists(self, tools):
        """The names that the client gets to see."""
        answer, _ = self.ask("tools/list", {"tools": tools})
        return [tool["name"] for tool in answer["result"]["tools"]]

    def passes(self, tool):
        """Whether a call of it reaches the server."""
        self.id += 1
        return bool(self.talk.client(call(self.id, tool))[0])

    @property
    def flagged(self):
        """Whether anything was found in the last message."""
        return bool(self.talk.moves.reports)

    def says(self, case, text):
        """Whether the client gets a text of a server as it came."""
        match case.get("where", "result"):
            case "instructions":
                info = {"name": "tested", "version": "1"}
                reply = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info, "instructions": text}
                return self.ask("initialize", reply)[1]
            case "prompts":
                return self.ask("prompts/list", {"prompts": [{"name": "greet", "description": text}]})[1]
            case "resources":
                return self.ask(
                    "resources/list", {"resources": [{"uri": "x:y", "name": "handbook", "description": text}]}
                )[1]
            case "elicitation":
                schema = {"type": "object", "properties": {text: {"type": "string"}}}
                return self._asks("elicitation/create", message="Please answer.", requestedSchema=schema)
            case "sampling":
                content = {"type": "text", "text": text}
                return self._asks(
                    "sampling/createMessage", messages=[{"role": "user", "content": content}], maxTokens=9
                )
        if case.get("error"):
            return self.ask("tools/call", {"error": {"code": -32000, "message": text}}, name="look")[1]
        return self.ask("tools/call", {"content": [{"type": "text", "text": text}]}, name="look")[1]

    def _asks(self, method, **params):
        sent = request(f"s{self.id}", method, **params)
        _, to_client = self.talk.server(sent)
        return [json.loads(line) for line in to_client] == [sent]


__all__ = ["Server", "cases", "prose", "result"]
