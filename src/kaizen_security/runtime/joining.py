"""Claims, calls and effects of one deed, joined: all that was told and seen of it gets one ``act_id`` and one run.

A call is what the agent told (its client, an integration, its trace, MCP); an effect is what ground truth saw. Told twice by two
sources, a call is one deed; seen twice, by proxy and kernel, a connection is one. An effect belongs to a call that was open at the
time and names its host, or else to the only one that ran just then. Nothing is guessed where two deeds would do. What was joined
is for whoever reads the rows: each is judged as its source saw it.

An effect is often reported before the call that explains it, or before that call is over. It is not held back for that: what is
known later comes from ``note`` and ``see`` as rows to be reported ``again``, under their own ids and with the act. A row that was
never taken is not: what is kept of it here has no arguments, and would stand for good in the place of the whole one.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json, altered
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.step import End, Result, Step
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.clock import Clock

LEAD = 0.5
"""Seconds by which an effect may be dated before its call: clocks of two processes, and calls that are told when they are over."""
LAG = 5.0
"""Seconds after a call's end in which an effect at the host that it names may still be seen."""
OPEN = 120.0
"""Seconds that a call without a result counts as open."""
SAME = 2.0
"""Seconds within which two sources tell of the same connection, or of the same call."""
TIGHT = 0.002
"""Seconds before a call from which an effect is of that call although it names no host: the clocks of one machine's programs. After
its end there are none: what an agent does next, asking its model say, follows within milliseconds.
"""
CLEARLY = 4.0
"""Of several calls that may be the one that was told, the nearest is, if the next is so many times further away."""
MOST_AGENTS, MOST_CALLS = 256, 256
MOST_NAMESAKES, MOST_LOOSE = 32, 64
"""Calls of one tool, and effects without a call, that are looked through: a busy agent must not make its own verdicts slow."""
LONGEST = 256
"""Characters of a value of metadata that is kept to report an action again."""

_LAST = re.compile(r"[_./:-]")
"""Where a name of a tool may begin within a longer one."""
NO_CALL = "effect without call: nothing that the agent told explains this"
ELSEWHERE = "effect elsewhere: the call that was open told of another place"


@dataclass(slots=True, eq=False)
class _Deed:
    """One act. ``told``: who told of it; ``named``: whoever did the deed named it, not we by the first that we heard of it."""

    act_id: str
    run_id: str
    named: bool
    told: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Call:
    """``said``: a digest of its arguments, None when it has none, or too many to compare."""

    action: Action
    verdict: Verdict | None
    deed: _Deed
    host: str
    said: int | None
    at: float
    ended: float = 0.0
    effects: int = 0

    def open_at(self, at: float) -> bool:
        return self.at - LEAD <= at <= (self.ended + LAG if self.ended else self.at + OPEN)

    def ran_at(self, at: float) -> bool:
        """Whether it is known to have been under way just then."""
        return bool(self.ended) and self.at - TIGHT <= at <= self.ended

    def names(self, host: str) -> bool:
        return bool(self.host) and (self.host == host or host.endswith("." + self.host))


@dataclass(slots=True, eq=False)
class _Effect:
    """``deed`` None: nothing explains it yet; ``verdict`` is kept to report it again."""

    action: Action
    verdict: Verdict | None
    host: str
    at: float
    deed: _Deed | None = None


class _Agent:
    """What is remembered of one agent. ``loose``: effects that nothing explains yet."""

    def __init__(self) -> None:
        self.calls: OrderedDict[str, _Call] = OrderedDict()
        self.namesakes: OrderedDict[str, deque[_Call]] = OrderedDict()
        self.effects: deque[_Effect] = deque(maxlen=MOST_CALLS)
        self.loose: deque[_Effect] = deque(maxlen=MOST_LOOSE)
        self._teller: str | None = None
        self._tellers_are_several = False

    def tells(self, call: _Call) -> None:
        self.calls[call.action.id] = call
        if len(self.calls) > MOST_CALLS:
            self.calls.popitem(last=False)
        self.named(call.action.tool).append(call)

    def is_told_twice(self, teller: str) -> bool:
        """Whether anybody else than this teller has ever told of its calls. Mostly nobody has, and nothing need be compared."""
        self._tellers_are_several |= self._teller not in (None, teller)
        self._teller = teller
        return self._tellers_are_several

    def named(self, tool: str) -> deque[_Call]:
        """The last calls of tools whose names end alike."""
        last = _LAST.split(tool[-64:])[-1]
        found = self.namesakes.get(last)
        if found is None:
            found = self.namesakes[last] = deque(maxlen=MOST_NAMESAKES)
            if len(self.namesakes) > MOST_CALLS:
                self.namesakes.popitem(last=False)
        return found

    def open_at(self, at: float) -> list[_Call]:
        return [call for call in self.calls.values() if call.open_at(at)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The action with what it was joined to, and a note where nothing explains it or what explains it told of another place."""

    action: Action
    note: str = ""


class Joiner:
    """Of all agents of a sidecar, bounded. ``counts``: joined, effect without call, effect elsewhere, call without effect, and what
    was told or seen twice. ``send(action, verdict)`` takes rows, and those again that were sent before their act was known; False
    when it refused one. ``background(agent, host)`` says where an agent goes without a call: its model, telemetry.
    """

    def __init__(self, clock: Clock, send: Callable[[Action, Verdict], object] = lambda action, verdict: True) -> None:
        self._clock = clock
        self._send = send
        self.background: Callable[[str, str], bool] = lambda agent, host: False
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

    # --- what the agent told ------------------------------------------------------------------------------------------------

    def note(self, step: Step) -> None:
        """A step that is no action: a call may be over."""
        agent = self._agent(step.agent)
        match step:
            case Result():
                call = agent.calls.get(step.action_id)
                over = [call] if call is not None else []
            case End():
                over = [call for call in agent.calls.values() if call.action.run_id == step.run_id]
            case _:
                return
        for call in over:
            if call.ended:
                continue
            call.ended = max(call.at, step.at or self._clock())
            self._look_back(agent, call)
            if call.host and not call.effects and agent.effects:
                self.counts["call without effect"] += 1

    def see(self, action: Action, verdict: Verdict | None = None, *, teller: str = "") -> Joined:
        """A call or an effect, judged: as one of its deed. ``verdict`` is what it is reported again with; ``teller`` whose account
        it is of, where one source tells by two ways (its hooks, and its trace).
        """
        agent, at = self._agent(action.agent), action.at or self._clock()
        if action.rung >= Rung.EGRESS:
            return self._seen(agent, action, verdict, at)
        if not action.id:
            return Joined(action=action)
        known = agent.calls.get(action.id)
        if known is None:
            said = _digest(action.metadata.get("arguments"))
            deed = self._deed(agent, action, said, teller or action.source, at)
            known = _Call(_lean(action), verdict, deed, _host(action), said, at)
            agent.tells(known)
        known.verdict = known.verdict or verdict
        return Joined(action=_of(action, known.deed))

    def report(self, action: Action, verdict: Verdict) -> bool:
        """Send the row of what was just seen. False: it was refused, so it is not sent again until it is seen again."""
        kept = bool(self._send(action, verdict))
        if not kept:
            agent = self._agent(action.agent)
            known: list[_Call | _Effect] = [*agent.calls.values(), *agent.effects]
            for one in known:
                if one.action.id == action.id:
                    one.verdict = None
        return kept

    def _deed(self, agent: _Agent, action: Action, said: int | None, teller: str, at: float) -> _Deed:
        twin = None
        if agent.is_told_twice(teller):
            twin = _twin(agent.named(action.tool), action.tool, said, teller, at)
        if twin is None:
            deed = _Deed(action.act_id or action.id, action.run_id, bool(action.act_id))
        else:
            deed = twin.deed
            self.counts["one call, told twice"] += 1
            if action.act_id and not deed.named:
                deed.act_id, deed.run_id, deed.named = action.act_id, action.run_id, True
                known: list[_Call | _Effect] = [*agent.calls.values(), *agent.effects]
                for one in known:
                    if one.deed is deed:
                        self._tell_again(one, deed)
        deed.told.add(teller)
        return deed

    def _tell_again(self, one: _Call | _Effect, deed: _Deed, source: str = "") -> None:
        if one.verdict is not None:
            self._send(_of(one.action, deed, source), one.verdict)

    def _look_back(self, agent: _Agent, call: _Call) -> None:
        """Effects that came before it was known which call they are of."""
        for effect in tuple(agent.loose):
            if call.ran_at(effect.at) or (call.names(effect.host) and call.open_at(effect.at)):
                found, _ = self._explaining(agent, effect)
                if found is not None:
                    agent.loose.remove(effect)
                    self._explain(effect, found)
                    self._tell_again(effect, found.deed, found.action.source)

    # --- what was seen ------------------------------------------------------------------------------------------------------

    def _seen(self, agent: _Agent, action: Action, verdict: Verdict | None, at: float) -> Joined:
        effect = _Effect(_lean(action), verdict, _host(action), at)
        other = _same(agent, effect)
        if other is not None:
            self.counts["one connection, seen twice"] += 1
            deed = other.deed or _Deed(other.action.act_id or other.action.id, other.action.run_id, False)
            effect.deed = other.deed
            agent.effects.append(effect)
            if effect.deed is None:
                agent.loose.append(effect)
            return Joined(action=_of(action, deed, other.action.source))
        found, note = self._explaining(agent, effect)
        agent.effects.append(effect)
        if note:
            self.counts[note.partition(":")[0]] += 1
        if found is None:
            agent.loose.append(effect)
            return Joined(action=action, note=note)
        self._explain(effect, found)
        return Joined(action=_of(action, found.deed, found.action.source), note=note)

    def _explain(self, effect: _Effect, call: _Call) -> None:
        effect.deed = call.deed
        call.effects += call.names(effect.host)
        self.counts["joined"] += 1

    def _explaining(self, agent: _Agent, effect: _Effect) -> tuple[_Call | None, str]:
        """The call that the effect is of, where only one deed would do; and what is to be noted of it."""
        host, at = effect.host, effect.at
        open_ = agent.open_at(at)
        named = [call for call in open_ if call.names(host)]
        found = _only(named) or _only([call for call in named if call.ran_at(at)])
        if found is not None or named:
            return found, ""
        if self.background(effect.action.agent, host):
            return None, ""
        running = [call for call in open_ if call.ran_at(at) or (not call.ended and call.at - TIGHT <= at)]
        found = _only(running)
        if any(call.host for call in open_):
            return found if found is not None and found.ended else None, ELSEWHERE if host else ""
        # One that is not known to be over yet may have been over by then: it is looked at again when it is.
        return (
            (found, "")
            if found is not None and found.ended
            else (None, "" if open_ else self._without_call(agent, host))
        )

    @staticmethod
    def _without_call(agent: _Agent, host: str) -> str:
        # An agent that tells nothing has no account to hold an effect against.
        return NO_CALL if agent.calls and host else ""

    def act_of(self, agent: str, id_: str) -> tuple[str, str]:
        """Act and run of the effect or call with that id; ``("", "")`` when there is none, or nothing explains it yet."""
        known = self._agent(agent)
        seen = (effect.deed for effect in reversed(known.effects) if effect.action.id == id_)
        found = next((deed for deed in seen if deed is not None), None)
        if found is None and id_ in known.calls:
            found = known.calls[id_].deed
        return (found.act_id, found.run_id) if found is not None else ("", "")


def _only(calls: list[_Call]) -> _Call | None:
    """The last of them when they are of one deed."""
    return calls[-1] if len({call.deed.act_id for call in calls}) == 1 else None


def _twin(namesakes: Iterable[_Call], tool: str, said: int | None, teller: str, at: float) -> _Call | None:
    """The call that somebody else told of, which this one tells of as well."""
    near = [
        call
        for call in namesakes
        if teller not in call.deed.told  # first: it is nearly always one of these
        and call.at - SAME <= at <= (call.ended or call.at + SAME) + SAME
        and _same_tool(call.action.tool, tool)
    ]
    alike = [call for call in near if said is not None and call.said == said] or near
    alike.sort(key=lambda call: abs(call.at - at))
    if len({call.deed.act_id for call in alike}) > 1 and abs(alike[1].at - at) < CLEARLY * abs(alike[0].at - at):
        return None
    return alike[0] if alike else None


def _digest(arguments: Json) -> int | None:
    if not isinstance(arguments, dict) or len(arguments) > MOST_NAMESAKES:
        return None
    return hash(frozenset((name, _short(value)) for name, value in arguments.items()))


def _short(value: Json) -> object:
    if isinstance(value, dict | list):
        return len(value)
    return value[:LONGEST] if isinstance(value, str) else value


def _lean(action: Action) -> Action:
    """What is needed to report it again: a joiner of many agents must not hold what they read and wrote."""
    kept = {
        name: value
        for name, value in action.metadata.items()
        if not isinstance(value, dict | list) and not (isinstance(value, str) and len(value) > LONGEST)
    }
    return altered(action, metadata=kept)


def _same_tool(one: str, other: str) -> bool:
    """Whether it is the same name, perhaps with a server's before it (``mcp__notes__find``, ``find``)."""
    long, short = (one, other) if len(one) >= len(other) else (other, one)
    return (
        bool(short)
        and (one == other or long.endswith(short))
        and (len(long) == len(short) or long[-len(short) - 1] in "_.:/-")
    )


def _same(agent: _Agent, effect: _Effect) -> _Effect | None:
    """The effect of another source that is the same connection."""
    for other in reversed(agent.effects):
        if (
            effect.host
            and other.host == effect.host
            and abs(effect.at - other.at) <= SAME
            and other.action.source != effect.action.source
            and other.action.id != effect.action.id
        ):
            return other
    return None


def _of(action: Action, deed: _Deed, source: str = "") -> Action:
    """The action as one of the deed; ``source`` has told of it too."""
    others = tuple(one for one in (source, *action.seen_by) if one and one != action.source)
    return altered(
        action,
        act_id=deed.act_id or action.act_id or action.id,
        run_id=deed.run_id or action.run_id,
        seen_by=(*dict.fromkeys(others), action.source) if others else action.seen_by,
    )


def _host(action: Action) -> str:
    found = canonical.destination("connect" if action.rung >= Rung.EGRESS else action.kind, action.target)
    return found.host if found is not None else ""
