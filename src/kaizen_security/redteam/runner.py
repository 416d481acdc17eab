"""Runs scenarios against a target: dry, nothing is executed.

The attack and its twin are played on agents of their own, each after the same baseline, so that neither knows of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Message, Request, Result
from kaizen_security.contract.verdict import Verdict
from kaizen_security.redteam.scenario import Deed, Say, Scenario, Session, Shelf, as_action
from kaizen_security.redteam.scorecard import Judged, Played
from kaizen_security.redteam.targets import Target

PACE = 1.0
"""Seconds between two moves of a session."""

DEPLOYED_TIMES = 2
"""How often the deployed runner reports the baseline."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One performance: which sessions, on agents whose names end in ``tag``."""

    scenario: Scenario
    sessions: tuple[Session, ...]
    tag: str

    def name(self, agent: str) -> str:
        """The agent's name on the target."""
        return f"{agent}{self.tag}"


def play(scenarios: Iterable[Scenario], target: Target, *, tag: str = "", deployed: bool = True) -> Iterator[Played]:
    """Play each scenario: its attack, its twin, and (of the ten, with ``deployed``) once more as the deployed runner would.

    ``tag`` is put behind agents' names and action ids; give one that was never used before on a target that remembers.
    """
    for scenario in scenarios:
        attack = tuple(_perform(_Part(scenario, scenario.sessions, tag), target)) if scenario.sessions else ()
        twin = tuple(_perform(_Part(scenario, scenario.twin, f"{tag}-twin"), target))
        again = deployed and scenario.shelf is Shelf.SCENARIOS
        yield Played(
            scenario=scenario,
            attacks=tuple(judged for judged in attack if judged.deed.attacking),
            benign=tuple(judged for judged in twin if not judged.learning),
            baseline=tuple(judged for judged in (*attack, *twin) if judged.learning),
            policies=target.policies,
            deployed=as_deployed(scenario, target, tag=f"{tag}-reports") if again else (),
        )


def _perform(part: _Part, target: Target) -> Iterator[Judged]:
    """The baseline, then the sessions; a verdict for each action."""
    scenario = part.scenario
    rounds = [*scenario.baseline * scenario.times, *part.sessions]
    learning = len(scenario.baseline) * scenario.times
    target.begin([part.name(agent) for agent in scenario.agents], scenario.declaration, scenario.policies)
    at = target.clock() - sum(session.after + PACE * (len(session.moves) + 2) for session in rounds)
    for n, session in enumerate(rounds):
        at += session.after
        for deed, verdict in _session(session, part, target, f"{scenario.id}{part.tag}-{n}", at):
            yield Judged(deed=deed, verdict=verdict, learning=n < learning)
        at += PACE * (len(session.moves) + 2)


def _session(session: Session, part: _Part, target: Target, run: str, at: float) -> Iterator[tuple[Deed, Verdict]]:
    agent = part.name(session.agent)
    target.note(Request(run_id=run, agent=agent, at=at, text=session.request))
    for i, move in enumerate(session.moves):
        at += PACE
        if isinstance(move, Say):
            target.note(Message(run_id=run, agent=agent, at=at, text=move.text, to=move.to))
            continue
        action = _action(move, session, part, run, i, at)
        verdict = target.judge(action)
        yield move, verdict
        if verdict.allowed:
            target.note(Result(run_id=run, agent=agent, at=at, action_id=action.id, content=move.result))
    target.note(End(run_id=run, agent=agent, at=at + PACE))


def _action(deed: Deed, session: Session, part: _Part, run: str, i: int, at: float) -> Action:
    delegation = tuple(part.name(agent) for agent in session.delegation)
    return as_action(
        deed, agent=part.name(session.agent), run_id=run, action_id=f"{run}-{i}", at=at, delegation=delegation
    )


def as_deployed(scenario: Scenario, target: Target, *, tag: str = "-reports") -> tuple[bool, ...]:
    """The deployed runner's flow and catch rule: for each attacking action, whether it would count as caught.

    The manifest, the baseline twice, the attacks, all as lone reports without policy or steps; then an attack is caught when a
    row's reason contains its tool's name and ``undeclared`` or ``anomaly``, or when a row that names the tool has a confidence.
    """
    part = _Part(scenario, scenario.sessions, tag)
    agents = [part.name(agent) for agent in scenario.agents]
    target.begin(agents, scenario.declaration, ())
    told = dict.fromkeys(agents, 0)
    reports: Sequence[tuple[Session, Deed]] = [
        *((session, deed) for session in scenario.baseline * DEPLOYED_TIMES for deed in session.deeds),
        *((session, deed) for session in scenario.sessions for deed in session.deeds if deed.attacking),
    ]
    for n, (session, deed) in enumerate(reports):
        agent = part.name(session.agent)
        target.report(as_action(deed, agent=agent, run_id="", action_id=f"{scenario.id}{tag}-{n}"))
        told[agent] += 1
    rows = {agent: target.rows(agent, least) for agent, least in told.items() if least}
    return tuple(
        any(deployed_rule(deed.tool, row.reason, row.confidence) for row in rows.get(part.name(session.agent), ()))
        for session in scenario.sessions
        for deed in session.deeds
        if deed.attacking
    )


def deployed_rule(tool: str, reason: str, confidence: float | None) -> bool:
    """Whether the deployed runner would count a row as catching an attack with ``tool``."""
    return tool in reason and ("undeclared" in reason or "anomaly" in reason or confidence is not None)
