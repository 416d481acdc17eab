"""Calls and effects of one deed, joined: what network and kernel saw gets the ``act_id`` and the run of the call that explains it.

A call is what the agent told (its client, an integration, MCP); an effect is what ground truth saw. An effect belongs to a call
that was open at the time and names its host; two effects of one connection, the proxy's and the kernel's, are one act as well.
Nothing is guessed where the calls of two deeds would do. What was joined is for whoever reads the rows: each is judged as its
source saw it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field, replace

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.step import End, Result, Step
from kaizen_security.runtime.clock import Clock

LEAD = 0.5
"""Seconds by which an effect may be dated before its call: clocks of two processes, and calls that are told when they are over."""
LAG = 5.0
"""Seconds after a call's end in which its effect may still be seen."""
OPEN = 120.0
"""Seconds that a call without a result counts as open."""
SAME = 2.0
"""Seconds within which two sources tell of the same connection."""
MOST_AGENTS, MOST_CALLS = 256, 512

NO_CALL = "effect without call: nothing that the agent told explains this"
ELSEWHERE = "effect elsewhere: the call that was open told of another place"


@dataclass(slots=True, eq=False)
class _Call:
    id: str
    act_id: str
    run_id: str
    source: str
    host: str
    at: float
    ended: float = 0.0
    effects: int = 0

    def open_at(self, at: float) -> bool:
        return self.at - LEAD <= at <= (self.ended + LAG if self.ended else self.at + OPEN)


@dataclass(slots=True, eq=False)
class _Agent:
    calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=MOST_CALLS))
    effects: deque[tuple[float, str, Action]] = field(default_factory=lambda: deque(maxlen=MOST_CALLS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The action with what it was joined to, and a note where nothing explains it or what explains it told of another place."""

    action: Action
    note: str = ""


class Joiner:
    """Of all agents of a sidecar, bounded. ``counts``: joined, effect without call, effect elsewhere, call without effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def _agent(self, name: str) -> _Agent:
        found = self._agents.get(name)
        if found is None:
            found = self._agents[name] = _Agent()
            if len(self._agents) > MOST_AGENTS:
                self._agents.popitem(last=False)
        self._agents.move_to_end(name)
        return found

    def note(self, step: Step) -> None:
        """A step that is no effect: a call begins, or is over."""
        agent, now = self._agent(step.agent), self._clock()
        match step:
            case Action() if step.rung < Rung.EGRESS and step.id:
                if all(call.id != step.id for call in agent.calls):
                    host = _host(step)
                    act = step.act_id or step.id
                    agent.calls.append(_Call(step.id, act, step.run_id, step.source, host, step.at or now))
            case Result():
                for call in agent.calls:
                    if call.id == step.action_id and not call.ended:
                        self._over(call, step.at or now, agent)
            case End():
                for call in agent.calls:
                    if call.run_id == step.run_id and not call.ended:
                        self._over(call, step.at or now, agent)
            case _:
                return

    def _over(self, call: _Call, at: float, agent: _Agent) -> None:
        call.ended = max(call.at, at)
        if call.host and not call.effects and agent.effects:
            self.counts["call without effect"] += 1

    def see(self, action: Action) -> Joined:
        """An effect: with the act and the run of what explains it. What is no effect comes back as it is, noted as a call."""
        if action.rung < Rung.EGRESS:
            self.note(action)
            return Joined(action=action)
        agent, at, host = self._agent(action.agent), action.at or self._clock(), _host(action)
        known = self._same(agent, at, host, action)
        if known is not None:
            agent.effects.append((at, host, known))
            self.counts["one connection, seen twice"] += 1
            return Joined(action=_of(action, known.act_id, known.run_id, (known.source,)))
        open_ = [call for call in agent.calls if call.open_at(at)]
        matching = [call for call in open_ if call.host and (call.host == host or _below(host, call.host))]
        if len({call.act_id for call in matching}) == 1:
            matching[0].effects += 1
            action = _of(action, matching[0].act_id, matching[0].run_id, (matching[0].source,))
            agent.effects.append((at, host, action))
            self.counts["joined"] += 1
            return Joined(action=action)
        agent.effects.append((at, host, action))
        return Joined(action=action, note=self._unexplained(agent, open_, matching, host))

    def _unexplained(self, agent: _Agent, open_: list[_Call], matching: list[_Call], host: str) -> str:
        # An agent that tells nothing has no account to hold an effect against; of several calls to one host, one explains it.
        if not agent.calls or not host or matching:
            return ""
        if any(call.host for call in open_):
            self.counts["effect elsewhere"] += 1
            return ELSEWHERE
        if open_:
            return ""  # a tool whose call names no place may go anywhere: the declaration judges where
        self.counts["effect without call"] += 1
        return NO_CALL

    @staticmethod
    def _same(agent: _Agent, at: float, host: str, action: Action) -> Action | None:
        for when, where, other in reversed(agent.effects):
            if (
                abs(at - when) <= SAME
                and where == host
                and host
                and other.source != action.source
                and other.id != action.id
            ):
                return other
        return None


def _of(action: Action, act_id: str, run_id: str, sources: tuple[str, ...]) -> Action:
    others = tuple(one for one in (*sources, *action.seen_by) if one != action.source)
    return replace(
        action,
        act_id=act_id or action.act_id or action.id,
        run_id=run_id or action.run_id,
        seen_by=(*dict.fromkeys(others), action.source),
    )


def _host(action: Action) -> str:
    found = canonical.destination("connect" if action.rung >= Rung.EGRESS else action.kind, action.target)
    return found.host if found is not None else ""


def _below(host: str, other: str) -> bool:
    return host.endswith("." + other)
