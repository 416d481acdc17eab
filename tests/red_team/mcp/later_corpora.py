"""The second and the third corpus of poisoned servers: read from their files, hidden writing spelt out, taken through the relay."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from tests.red_team.mcp.poison import Server
from tests.unit.mcp.relaying import request

HERE = Path(__file__).parent
CORPORA = ("second", "third")
"""Each a folder of the same files."""
HIDDEN = re.compile(r"<<(tags|bits|selectors): ?(.*?)>>")
WRITTEN = {
    "tags": lambda text: "".join(chr(0xE0000 + ord(sign)) for sign in text),
    "bits": lambda text: "".join("\u200b\u200c"[int(bit)] for sign in text for bit in f"{ord(sign):08b}"),
    "selectors": lambda text: "".join(
        chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in text.encode()
    ),
}


def spelt(value):
    """The value with its marks of hidden writing replaced by that writing."""
    if isinstance(value, str):
        return HIDDEN.sub(lambda found: WRITTEN[found[1]](found[2]), value)
    if isinstance(value, list):
        return [spelt(one) for one in value]
    return {spelt(key): spelt(below) for key, below in value.items()} if isinstance(value, dict) else value


def cases(corpus, name):
    return [spelt(case) for case in tomllib.loads((HERE / corpus / f"{name}.toml").read_text())["case"]]


def prose():
    return [line for corpus in CORPORA for line in (HERE / corpus / "benign.txt").read_text().splitlines()]


class LaterServer(Server):
    """The same, in more places of the protocol."""

    def says(self, case, text):
        def carried(content, **more):
            return self.ask("tools/call", {"content": content, **more}, name="look")[1]

        match case.get("where", "result"):
            case "structured":
                return carried([], structuredContent={"notes": [{"text": text}]})
            case "embedded":
                return carried(
                    [{"type": "resource", "resource": {"uri": "x:y", "mimeType": "text/plain", "text": text}}]
                )
            case "link":
                return carried([{"type": "resource_link", "uri": "file:///x", "name": "x", "description": text}])
            case "read":
                return self.ask("resources/read", {"contents": [{"uri": "x:y", "text": text}]}, uri="x:y")[1]
            case "prompt":
                said = {"role": "user", "content": {"type": "text", "text": text}}
                return self.ask("prompts/get", {"messages": [said]}, name="greet")[1]
            case "log":
                return self._tells("notifications/message", level="warning", data={"said": text})
            case "progress":
                return self._tells("notifications/progress", progressToken=1, progress=0.5, message=text)
        return super().says(case, text)

    def _tells(self, method, **params):
        sent = request(None, method, **params)
        del sent["id"]
        _, to_client = self.talk.server(sent)
        return [json.loads(line) for line in to_client] == [sent]
