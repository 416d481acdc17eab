"""A relay with a judge beside it: what went where, for lines in either direction."""

from __future__ import annotations

import itertools
import json

from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.mcp.frames import Limits
from kaizen_security.mcp.relay import Relay


def line(document) -> bytes:
    return json.dumps(document).encode()


def request(id_, method, **params):
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def call(id_, tool, **arguments):
    return request(id_, "tools/call", name=tool, arguments=arguments)


def result(id_, **fields):
    return {"jsonrpc": "2.0", "id": id_, "result": fields}


def text_result(id_, text):
    return result(id_, content=[{"type": "text", "text": text}])


class Talk:
    """One connection. ``denied``: tools that the judge blocks. ``judged``: every action that was asked about.

    ``ids``: numbers of actions; connections of one run share them, since no two actions of it have the same id.
    """

    def __init__(self, *, denied=(), ward=None, limits=None, run=lambda message: "run", server="files", ids=None):
        ids = itertools.count() if ids is None else ids
        self.relay = Relay(
            server=server,
            run=run,
            ids=lambda: f"a{next(ids)}",
            ward=ward,
            limits=limits or Limits(),
        )
        self.denied = frozenset(denied)
        self.judged = []
        self.now = 0.0

    def verdict(self, action):
        self.judged.append(action)
        if action.tool in self.denied or action.target in self.denied:
            return Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious skill pattern")
        return Verdict(decision=Decision.ALLOW, reason="no policy matched")

    def client(self, sent):
        """What reaches the server and what the client gets back, for a document or bytes of the client."""
        crossing = self.relay.from_client(sent if isinstance(sent, bytes) else line(sent), self.now)
        return self._moves(crossing)

    def server(self, sent):
        crossing = self.relay.from_server(sent if isinstance(sent, bytes) else line(sent), self.now)
        return self._moves(crossing)

    def _moves(self, crossing):
        self.moves = self.relay.settle(crossing, [self.verdict(action) for action in crossing.asks])
        return self.moves.to_server, self.moves.to_client


def finding(kind="x"):
    return Finding(kind=kind, value="v", detection="d")
