"""Playbook: a conversation with an agent's Observer, as a test reads it.

>>> from kaizen_security.contract.declaration import Declaration
>>> from kaizen_security.testing.playbook import Playbook, block, connect
>>> book = Playbook(agent="billing", declares=Declaration(destinations=("api.example",)))
>>> book = book >> connect("attacker.example:443") << block("undeclared-destination")

``>>`` lets the agent do something, ``<<`` says what the verdict on it has to be; a wrong verdict raises AssertionError with
the whole verdict. A Playbook is in enforce mode unless it is told otherwise, and time passes one second for each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import Effect, End, Message, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.detection import Detection
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector

START = 1_000_000_000.0
"""When a Playbook begins, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Expected:
    """``decision`` and the slugs (or names of detections) that the evidence has to hold; ``()`` with ``flagged`` false: none."""

    decision: Decision | None
    kinds: tuple[str, ...] = ()
    flagged: bool | None = None


def allow() -> Expected:
    """Allowed, and nothing found."""
    return Expected(Decision.ALLOW, flagged=False)


def flag(*kinds: str) -> Expected:
    """Allowed, with these findings."""
    return Expected(Decision.ALLOW, kinds, flagged=True)


def block(*kinds: str) -> Expected:
    """Blocked, with these findings."""
    return Expected(Decision.BLOCK, kinds)


def connect(target: str, *, source: str = "egress", run: str = "") -> Action:
    """A connection, as the egress proxy sees it."""
    return Action(kind="connect", target=target, run_id=run, metadata={"source": source})


def call(tool: str, target: str = "", *, run: str = "", source: str = "sdk", **arguments: Json) -> Action:
    """A tool call, as the agent itself reports it."""
    return Action(tool=tool, target=target, run_id=run, metadata={"source": source, "arguments": arguments})


def read(path: str, *, sensitive: bool = False, run: str = "") -> Action:
    """A file that is read."""
    return Action(kind="file", target=path, run_id=run, metadata={"source": "sdk", "sensitive": sensitive})


class Playbook:
    """``mode``, ``policies`` and ``declares`` are the agent's bundle; ``reported``: actions come after the fact, not before."""

    def __init__(
        self,
        *,
        agent: str = "agent",
        declares: Declaration = NOTHING_DECLARED,
        policies: Sequence[Policy] = (),
        mode: Mode = Mode.ENFORCE,
        paused: bool = False,
        reported: bool = False,
        detections: Sequence[Detection] = BUILTIN,
    ) -> None:
        self.agent = agent
        self.verdict: Verdict | None = None
        self._reported = reported
        self._last = Action()
        self._count = 0
        self.inspector = Inspector(Agents(detections=detections), clock=self._time, ids=self._id)
        bundle = Bundle(
            agent=agent, version=1, policies=tuple(policies), declaration=declares, mode=mode, paused=paused
        )
        self.inspector.configure(agent, bundle)

    def _time(self) -> float:
        return START + self._count

    def _id(self) -> str:
        return f"{self.agent}-{self._count}"

    def __rshift__(self, step: Step) -> Playbook:
        """The agent does something; a step that is no action is noted. An action without an id gets one."""
        self._count += 1
        if not isinstance(step, Action):
            self.inspector.note(replace(step, agent=self.agent))
            return self
        self._last = replace(step, agent=self.agent, id=step.id or self._id())
        judge = self.inspector.observe if self._reported else self.inspector.inspect
        self.verdict = judge(self._last)
        return self

    def __lshift__(self, expected: Expected) -> Playbook:
        """What the verdict on the last action has to be. Raises AssertionError."""
        verdict = self.verdict
        assert verdict is not None, "nothing was done yet"
        said = f"{verdict}"
        assert expected.decision in (None, verdict.decision), f"expected {expected.decision}, got {said}"
        assert expected.flagged in (None, verdict.flagged), f"expected flagged={expected.flagged}, got {said}"
        found = {slug(one.kind) for one in verdict.evidence} | {one.detection for one in verdict.evidence}
        assert set(map(slug, expected.kinds)) <= found, f"expected {expected.kinds}, got {said}"
        return self

    def done(self, content: Json = None, *, failed: bool = False) -> Playbook:
        """The last action brought this back."""
        return self >> Result(run_id=self._last.run_id, action_id=self._last.id, content=content, failed=failed)

    def asked(self, text: str, *, run: str) -> Playbook:
        """The user asks something."""
        return self >> Request(run_id=run, text=text)

    def says(self, text: str, *, run: str, to: str = "user") -> Playbook:
        """The agent says something."""
        return self >> Message(run_id=run, text=text, to=to)

    def happened(self, action: Action) -> Playbook:
        """Ground truth saw the effect of an act."""
        return self >> Effect(run_id=action.run_id, action=replace(action, agent=self.agent))

    def ends(self, run: str, *, completed: bool = True) -> Playbook:
        """The run is over."""
        return self >> End(run_id=run, completed=completed)

    def used_to(self, actions: Iterable[Action], *, times: int = 1) -> Playbook:
        """The agent has done this before: each action reported as done, ``times`` times. Whatever gets flagged is not learned."""
        actions = tuple(actions)
        for _ in range(times):
            for action in actions:
                self._count += 1
                self.inspector.observe(replace(action, agent=self.agent, id=self._id()))
        return self


def slug(kind: str) -> str:
    """A finding's kind as it is written in a test: ``undeclared-destination``."""
    return "-".join(kind.lower().split())
