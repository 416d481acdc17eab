"""The fourth and the fifth corpus: each case a conversation with one or several servers, taken through relays, pins
and an Observer in enforce.

An event is what one side does: ``tools`` (a server introduces itself and lists its tools), ``call``, ``read``, ``prompt``,
``result`` (the answer to the last of these), ``listing``, ``request`` and ``notification`` of a server. ``poison`` marks those
that carry the attack: it is stopped when one of them does not get through as it came.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.step import Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.warden import Warden
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from tests.unit.mcp.relaying import Talk, call, request

HERE = Path(__file__).parent
FILES = ("definitions", "spoken", "changes")


def cases(corpus):
    return [case for name in FILES for case in json.loads((HERE / corpus / f"{name}.json").read_text())]


class Judged(Talk):
    """A connection whose calls an Observer judges, with what came back noted."""

    def __init__(self, inspector, **more):
        super().__init__(**more)
        self.inspector = inspector
        self.flagged = False

    def verdict(self, action):
        found = self.inspector.inspect(replace(action, agent="agent"))
        self.flagged |= found.flagged
        return found

    def _moves(self, crossing):
        super()._moves(crossing)
        for came in self.moves.came:
            self.inspector.note(
                Result(
                    run_id=came.action.run_id,
                    action_id=came.action.id,
                    content=came.content,
                    failed=came.failed,
                    agent="agent",
                )
            )
        self.flagged |= bool(self.moves.reports)
        return self.moves.to_server, self.moves.to_client


class House:
    """An agent with its servers, all in one run."""

    def __init__(self, declaration=NOTHING_DECLARED):
        self.run, self.began = "run", 1_000_000_000.0
        self.inspector = Inspector(Agents(), clock=lambda: self.began + self.id)
        bundle = Bundle(agent="agent", version=1, mode=Mode.ENFORCE, declaration=declaration)
        self.inspector.configure("agent", bundle)
        self.actions = itertools.count()
        self.shelf = Shelf("")
        self.talks = {}
        self.waiting = {}
        self.id = 0

    def talk(self, server):
        if server not in self.talks:
            ward = Warden(self.shelf, server, enforcing=lambda: True, now=lambda: 1.0)
            self.talks[server] = Judged(
                self.inspector, ward=ward, server=server, ids=self.actions, run=lambda _: self.run
            )
        return self.talks[server]

    @property
    def flagged(self):
        return any(talk.flagged for talk in self.talks.values())

    def passes(self, event):
        """Whether all of an event gets to the other side as it was."""
        return getattr(self, f"_{event['event']}")(self.talk(event["server"]), event)

    def _sends(self, talk, event, sent):
        reached, _ = talk.client(sent)
        self.waiting[event["server"]] = sent["id"] if reached else None
        return bool(reached)

    def _next(self):
        self.id += 1
        return self.id

    def _call(self, talk, event):
        return self._sends(talk, event, call(self._next(), event["tool"], **event["arguments"]))

    def _read(self, talk, event):
        return self._sends(talk, event, request(self._next(), "resources/read", uri=event["uri"]))

    def _prompt(self, talk, event):
        asked = request(self._next(), "prompts/get", name=event["name"], arguments=event["arguments"])
        return self._sends(talk, event, asked)

    def _answers(self, talk, id_, **body):
        answer = {"jsonrpc": "2.0", "id": id_, **body}
        _, [line] = talk.server(answer)
        return json.loads(line) == answer

    def _result(self, talk, event):
        id_ = self.waiting.pop(event["server"])
        return id_ is None or self._answers(talk, id_, **{k: event[k] for k in ("result", "error") if k in event})

    def _asked(self, talk, method, result):
        id_ = self._next()
        assert talk.client(request(id_, method))[0]
        return self._answers(talk, id_, result=result)

    def _listing(self, talk, event):
        return self._asked(talk, event["method"], event["result"])

    def _tools(self, talk, event):
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": event["server"]}}
        if "instructions" in event:
            about["instructions"] = event["instructions"]
        introduced = self._asked(talk, "initialize", about)
        return self._asked(talk, "tools/list", {"tools": event["tools"]}) and introduced

    def _request(self, talk, event):
        sent = request(f"s{self._next()}", event["method"], **event["params"])
        return self._carried(talk, sent)

    def _notification(self, talk, event):
        return self._carried(talk, {"jsonrpc": "2.0", "method": event["method"], "params": event["params"]})

    def _carried(self, talk, sent):
        _, to_client = talk.server(sent)
        return [json.loads(line) for line in to_client] == [sent]


def stopped(events):
    """Whether an event that carries the attack is stopped. What leads up to it is not."""
    house = House()
    return any(not house.passes(event) and event.get("poison") for event in events)


def hindered(events):
    """The events of a harmless conversation that do not get through, and whether anything was flagged."""
    house = House()
    return [event for event in events if not house.passes(event)], house.flagged
