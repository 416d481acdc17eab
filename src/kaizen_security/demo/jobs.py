"""What the stage and the demonstration agent say to each other: one JSON document a line, over the agent's standard streams.

The stage is the user who asks; the agent tells what it did. Its account decides nothing: what counts is what the line saw.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeAlias

from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.demo.tasks import Call, Task
from kaizen_security.redteam.scenario import Deed, Effect, Expected, Move, Say, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Attach under a name: declare what it is for, with policies of its own beside the organisation's.

    ``proxy`` is the egress proxy's URL, with credentials for that agent.
    """

    job: str
    agent: str
    proxy: str
    declaration: Declaration
    policies: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Do a task as the demonstration agent."""

    job: str
    agent: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Do a session of the corpus as the agent that it names."""

    job: str
    session: Session


Job: TypeAlias = Attach | Work | Play


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """The agent's account of one action.

    ``action``    its id, under which the line knows it; empty when the client was not asked
    ``outcome``   ``ran``, ``refused`` (by Kaizen, so that its body did not run), ``failed`` (by the tool itself)
    ``hijacked``  it was done because something that the agent read said so
    ``move``      which move of a corpus session it was, from 0; -1 in a task
    """

    action: str
    tool: str
    target: str
    outcome: str
    reason: str = ""
    hijacked: bool = False
    move: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The agent's account of one job. ``connections``: hosts that it opened connections to; times are Unix seconds."""

    job: str
    did: tuple[Did, ...]
    connections: tuple[str, ...]
    began: float
    ended: float


def ask(job: Job) -> str:
    """A job as a line; ``asked`` gives it back."""
    return json.dumps({"do": type(job).__name__, **asdict(job)})


def asked(line: str) -> Job:
    """The job in a line of ``ask``."""
    doc = json.loads(line)
    kind = doc.pop("do")
    if kind == "Attach":
        declared = doc.pop("declaration")
        tools, destinations = tuple(declared.pop("tools")), tuple(declared.pop("destinations"))
        declaration = Declaration(tools=tools, destinations=destinations, **declared)
        policies = tuple(Policy(**policy) for policy in doc.pop("policies"))
        return Attach(**doc, declaration=declaration, policies=policies)
    if kind == "Work":
        calls = tuple(Call(**call) for call in doc["task"].pop("calls"))
        return Work(job=doc["job"], agent=doc["agent"], task=Task(**doc["task"], calls=calls))
    session = doc["session"]
    moves = tuple(_move(json.dumps(move)) for move in session.pop("moves"))
    delegation = tuple(session.pop("delegation"))
    return Play(job=doc["job"], session=Session(**session, moves=moves, delegation=delegation))


def _move(line: str) -> Move:
    doc = json.loads(line)
    if "effect" not in doc:
        return Say(**doc)
    expected = doc.pop("expected")
    if expected is not None:
        detections, bare = tuple(expected.pop("detections")), tuple(expected.pop("bare"))
        expected = Expected(detections=detections, bare=bare, **expected)
    return Deed(effect=Effect(doc.pop("effect")), expected=expected, **doc)


def tell(done: Done) -> str:
    """An account as a line; ``told`` gives it back."""
    return json.dumps(asdict(done))


def told(line: str) -> Done:
    """The account in a line of ``tell``. Raises ValueError when it is none."""
    doc = json.loads(line)
    if not isinstance(doc, dict) or "job" not in doc:
        raise ValueError("not an account of a job")
    did, connections = doc.pop("did"), doc.pop("connections")
    return Done(**doc, did=tuple(Did(**entry) for entry in did), connections=tuple(connections))
