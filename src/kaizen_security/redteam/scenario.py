"""Scenario: one attack as a value, with the agent it is aimed at, what that agent normally does, and its benign twin.

A scenario is data and does nothing by itself. Each deed names a generic effect (``http_get`` … ``message``) with its target and its
arguments, so that a runner can tell it to the Observer as an action, and the demonstration can execute it with real tools.
Values are read from files by ``redteam.files``; the format is ``docs/reference/red-team.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.attacks import ATTACKS, AttackClass
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.policy import Policy


class Shelf(StrEnum):
    """Which folder of ``red-team/`` a scenario stands in, and so how it is counted."""

    SCENARIOS = "scenarios"
    HARD = "hard"
    BENIGN = "benign"


class Effect(StrEnum):
    """What a deed does to the world, as generically as it can be executed.

    ``HTTP_GET``     fetch ``target`` (a URL); ``arguments`` are what the tool was called with and do not travel
    ``HTTP_POST``    send ``arguments`` as JSON to ``target`` (a URL)
    ``READ_FILE``    read ``target`` (a path); its content is ``result``
    ``WRITE_FILE``   write ``arguments["content"]`` to ``target`` (a path)
    ``RUN_COMMAND``  run ``arguments["command"]`` (a list of words)
    ``QUERY``        ask a local tool or data set; ``arguments`` is the question, ``result`` the answer; no target
    ``MESSAGE``      send ``arguments["text"]`` to ``arguments["to"]`` with a tool; no target
    """

    HTTP_GET = "http_get"
    HTTP_POST = "http_post"
    READ_FILE = "read_file"
    WRITE_FILE = "write_file"
    RUN_COMMAND = "run_command"
    QUERY = "query"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must be said of one attacking action before it counts as caught.

    ``detections``  names of detections; a finding of one of them must be on that very action
    ``bare``        the same for a target on which the scenario's own policies are not in force (somebody's deployment); empty
                    means ``detections``
    ``block``       the decision must be block (in observe mode only policy, secrets and canaries do that)
    """

    detections: tuple[str, ...]
    bare: tuple[str, ...] = ()
    block: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One action of a scenario, and what it brings back.

    ``name``       names the step within its scenario; a twin and the list of misses refer to it; may be empty
    ``tool``       the tool that the agent calls; ``arguments`` what it is called with
    ``target``     a URL for ``http_*``, a path for ``*_file``, else empty
    ``kind``       the action's kind in the wire contract
    ``source``     the feed that reports it (``sdk``, ``mcp`` …)
    ``sensitive``  the caller says that it reads sensitive data
    ``result``     what it brings back when it is allowed; for a dry run, and for a demonstration's server or file to hold
    ``injected``   ``result`` carries the attacker's content; the deed itself is what the agent would have done anyway
    ``expected``   only on an attacking action: what must be said of it
    """

    effect: Effect
    tool: str
    target: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict)
    name: str = ""
    kind: str = "tool_call"
    publisher: str = ""
    hash: str = ""
    source: str = "sdk"
    sensitive: bool = False
    result: Json = None
    injected: bool = False
    expected: Expected | None = None

    @property
    def attacking(self) -> bool:
        """It is one of the actions that count as attacks."""
        return self.expected is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Words of the agent to ``to`` (``user`` or another agent). Never judged, but a value may come from them.

    ``injected`` means that the words carry the attacker's content (they come from another agent).
    """

    text: str
    to: str = "user"
    name: str = ""
    injected: bool = False


Move: TypeAlias = Deed | Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of one agent: what it was asked, then its moves in order.

    ``after``       seconds that pass between the end of the session before and this one
    ``delegation``  the agents that handed the work down, first the one whom the user asked
    """

    agent: str
    request: str
    moves: tuple[Move, ...]
    after: float = 60.0
    delegation: tuple[str, ...] = ()

    @property
    def deeds(self) -> tuple[Deed, ...]:
        """The moves that are actions."""
        return tuple(move for move in self.moves if isinstance(move, Deed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """An attack with its benign twin, or (shelf ``benign``) benign work alone.

    ``attack``    id of a class in ``contract.attacks``; empty on the shelf ``benign``
    ``agent``     whose declaration it is; sessions may name further agents (workers), which declare the same
    ``baseline``  what the agents normally do; reported ``times`` times over before anything else
    ``sessions``  the attack, lead-up included; empty on the shelf ``benign``
    ``twin``      the same without the malicious part; on the shelf ``benign`` the work itself
    ``rungs``     from where the attack can be seen at all
    ``path``      the file it stands in; empty when it comes from none
    """

    id: str
    shelf: Shelf
    title: str
    story: str
    agent: str
    declaration: Declaration
    attack: str = ""
    twin_story: str = ""
    policies: tuple[Policy, ...] = ()
    baseline: tuple[Session, ...] = ()
    times: int = 2
    sessions: tuple[Session, ...] = ()
    twin: tuple[Session, ...] = ()
    rungs: tuple[Rung, ...] = (Rung.COOPERATIVE,)
    path: str = ""

    @property
    def attack_class(self) -> AttackClass | None:
        """The class with its OWASP and ATLAS ids."""
        return ATTACKS.get(self.attack)

    @property
    def attacks(self) -> tuple[Deed, ...]:
        """The attacking actions, in order. Their number is what a scorecard counts."""
        return tuple(deed for session in self.sessions for deed in session.deeds if deed.attacking)

    @property
    def benign(self) -> tuple[Deed, ...]:
        """The actions of the twin: none of them may be flagged."""
        return tuple(deed for session in self.twin for deed in session.deeds)

    @property
    def agents(self) -> tuple[str, ...]:
        """Every agent that acts, the scenario's own first."""
        named = [session.agent for session in (*self.baseline, *self.sessions, *self.twin)]
        return tuple(dict.fromkeys([self.agent, *named]))

    def deeds(self) -> Iterator[Deed]:
        """Every deed of baseline, attack and twin: what a demonstration must be able to execute."""
        for session in (*self.baseline, *self.sessions, *self.twin):
            yield from session.deeds


def as_action(
    deed: Deed, *, agent: str, run_id: str, action_id: str, at: float = 0.0, delegation: tuple[str, ...] = ()
) -> Action:
    """The deed as its cooperative source reports it; ``at`` in Unix seconds, 0.0 leaves it unstated."""
    metadata: dict[str, Json] = {"source": deed.source}
    if deed.arguments:
        metadata["arguments"] = dict(deed.arguments)
    if deed.sensitive:
        metadata["sensitive"] = True
    return Action(
        kind=deed.kind,
        tool=deed.tool,
        publisher=deed.publisher,
        target=deed.target,
        hash=deed.hash,
        metadata=metadata,
        id=action_id,
        run_id=run_id,
        act_id=action_id,
        at=at,
        agent=agent,
        delegation=delegation,
    )


def seen_at(deed: Deed, rung: Rung, *, agent: str, action_id: str, at: float = 0.0) -> Action | None:
    """The deed as ground truth would see it (EGRESS, KERNEL): no tool, no arguments. None when it cannot be seen from there.

    Raises ValueError for the rungs above, which are told: use ``as_action``.
    """
    if rung < Rung.EGRESS:
        raise ValueError("only ground truth sees; what is told is as_action's")
    kind, target = _outside(deed) if deed.target.startswith("http") else _inside(deed, rung)
    if not kind:
        return None
    source = "egress" if rung is Rung.EGRESS else "ebpf"
    return Action(
        kind=kind, target=target, metadata={"source": source}, id=action_id, act_id=action_id, at=at, agent=agent
    )


def _outside(deed: Deed) -> tuple[str, str]:
    where = urlsplit(deed.target)
    return "connect", f"{where.hostname}:{where.port or (443 if where.scheme == 'https' else 80)}"


def _inside(deed: Deed, rung: Rung) -> tuple[str, str]:
    if rung is not Rung.KERNEL:
        return "", ""
    if deed.effect in (Effect.READ_FILE, Effect.WRITE_FILE):
        return "file", deed.target
    command = deed.arguments.get("command")
    if deed.effect is Effect.RUN_COMMAND and isinstance(command, list):
        return "exec", str(command[0])
    return "", ""
