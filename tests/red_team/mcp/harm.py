"""A case of a corpus played to its harm: what a wholly fooled agent does next, until what the attacker wants has happened.

``harm.json`` of a corpus has for each case the user's ``request``, what the agent ``declares``, what was honestly done ``before``,
and what follows: in ``attack`` what a fooled agent does (``harm`` marks what it would not have done otherwise), in ``twin`` what an
honest one does. Besides the events of ``played`` there are ``answer`` (the client's to a server's request) and ``say`` (words to
the user); a ``call`` may be made a number of ``times``. Servers that the case itself does not bring are in ``servers.json``.
"""

from __future__ import annotations

import json
from enum import Enum

from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.step import End, Message, Request
from tests.red_team.mcp.played import HERE, House, cases

SERVERS = json.loads((HERE / "servers.json").read_text())
TEXTS = {"tools", "listing", "result", "request", "notification"}
"""Events of a server; the others are the agent's."""


class Outcome(Enum):
    HELD = "held as a text"
    REFUSED = "refused at the call"
    THROUGH = "through"


class Stage(House):
    """The house in which a case is played to its end."""

    def __init__(self, declaration):
        super().__init__(declaration)
        self.asked = {}

    def hears(self, text):
        self.inspector.note(Request(run_id=self.run, text=text, agent="agent"))

    def begins(self, run):
        """A run an hour later than the one before, which has ended."""
        self.inspector.note(End(run_id=self.run, agent="agent"))
        self.run, self.began = run, self.began + 3600

    def _request(self, talk, event):
        passed = super()._request(talk, event)
        self.asked[event["server"]] = f"s{self.id}"
        return passed

    def _answer(self, talk, event):
        reached, _ = talk.client({"jsonrpc": "2.0", "id": self.asked[event["server"]], "result": event["result"]})
        return bool(reached)

    def _call(self, talk, event):
        for number in range(event.get("times", 1)):
            arguments = {key: _numbered(value, number) for key, value in event["arguments"].items()}
            if not super()._call(talk, {**event, "arguments": arguments}):
                return False
            if "answer" in event:
                text = _numbered(event["answer"], number)
                self._result(talk, {**event, "result": {"content": [{"type": "text", "text": text}]}})
        return True

    def passes(self, event):
        if event["event"] == "say":
            self.inspector.note(Message(run_id=self.run, text=event["text"], agent="agent"))
            return True
        return super().passes(event)


def _numbered(value, number):
    return value.replace("{n}", str(number)) if isinstance(value, str) else value


def scenes(corpus):
    """Each case with its continuation."""
    known = {case["id"]: case for case in cases(corpus)}
    return [(known[harm["id"]], harm) for harm in json.loads((HERE / corpus / "harm.json").read_text())]


def _declaration(said):
    return Declaration(tools=tuple(said["tools"]), destinations=tuple(said["destinations"]), purpose=said["purpose"])


def _played(case, harm, side, declared, past=0):
    """The events of one side in their order, each with whether it got through, after ``past`` runs of the honest side."""
    stage = Stage(_declaration(harm["declares"]) if declared else NOTHING_DECLARED)
    for number in range(past):
        for _ in _run(stage, case, harm, "twin"):
            pass
        stage.begins(f"run {number}")
    yield from ((event, passed, stage) for event, passed in _run(stage, case, harm, side))


def _run(stage, case, harm, side):
    stage.hears(harm.get("twin_request", harm["request"]) if side == "twin" else harm["request"])
    told = [*case[side]]
    met = 0
    while met < len(told) and told[met]["event"] in {"tools", "listing"}:
        met += 1
    rest = [*harm.get("before", ()), *told[met:], *harm[side]]
    own = {event["server"] for event in told if event["event"] == "tools"}
    for server in sorted({event["server"] for event in rest if "server" in event} - own):
        assert stage.passes({"event": "tools", "server": server, "tools": SERVERS[server]})
    for event in (*told[:met], *rest):
        yield event, stage.passes(event)


def returned(case):
    """Whether the poison is in what a server returns or asks, and not in what its tools are."""
    known = [[event for event in case[side] if event["event"] == "tools"] for side in ("attack", "twin")]
    return known[0] == known[1]


def outcome(case, harm, *, declared, past=0):
    """How far the attack gets, with an agent that has ``past`` honest runs behind it."""
    for event, passed, _ in _played(case, harm, "attack", declared, past):
        if not passed and (event.get("poison") or event.get("harm")):
            return Outcome.HELD if event["event"] in TEXTS else Outcome.REFUSED
    return Outcome.THROUGH


def twin(case, harm, *, declared, past=0):
    """What of the harmless side does not get through, and whether anything was flagged."""
    played = list(_played(case, harm, "twin", declared, past))
    return [event for event, passed, _ in played if not passed], played[-1][2].flagged
