"""Scenarios on an agent of one's own, where it is deployed: nothing is done, and nothing of it is learned.

The agent's own declaration, baseline, mode and policies are in force; none of them is changed. Each action is asked about and then
told to have failed, or reported as refused where a target only takes reports, so the agent does not come to be known for it. What
stays are verdicts, and all of them carry a ``run_id`` that begins with ``redteam-``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import Misconfigured, Refused
from kaizen_security.contract.fields import obj
from kaizen_security.contract.step import End, Message, Request
from kaizen_security.contract.verdict import Verdict
from kaizen_security.redteam.runner import PACE
from kaizen_security.redteam.scenario import Deed, Say, Scenario, Session, Shelf, as_action
from kaizen_security.redteam.scorecard import Judged, Played
from kaizen_security.redteam.targets import ControlPlane, Sidecar

Deployment = Sidecar | ControlPlane
RUN = "redteam-"
"""What the run ids of every red-team run on an own agent begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a deployment knows of an agent.

    ``tools``, ``destinations``  how many it declared
    ``seen``                     actions that were learned from
    ``mode``                     ``observe`` or ``enforce``; empty where it is not told
    ``paused``                   nothing is flagged while it is
    ``learned``                  every value of the baseline, with its dimension
    """

    tools: int
    destinations: int
    seen: int
    mode: str
    paused: bool
    learned: frozenset[tuple[str, str]]

    def __str__(self) -> str:
        said = f"{self.tools} tools and {self.destinations} destinations declared, {self.seen} actions learned"
        said += f", mode {self.mode}" if self.mode else ""
        return said + (", PAUSED: nothing is flagged" if self.paused else "")


def known(target: Deployment, agent: str) -> Known:
    """What is known of the agent. Raises Misconfigured when it never declared nor did anything there (a wrong name?)."""
    try:
        document = obj(target.profile(agent), "profile")
    except Refused as err:
        if err.status == 404:
            raise Misconfigured(f"--agent: {target.name} does not know an agent {agent!r}") from err
        raise
    declaration, profile = obj(document.get("declaration"), "declaration"), obj(document.get("profile"), "profile")
    found = Known(
        tools=_length(declaration.get("tools")),
        destinations=_length(declaration.get("destinations")),
        seen=profile["seen"] if isinstance(profile.get("seen"), int) else 0,  # type: ignore[arg-type]
        mode=str(document.get("mode") or ""),
        paused=document.get("paused") is True,
        learned=frozenset(_values(profile.get("learned"))),
    )
    if not (found.tools or found.destinations or found.seen):
        raise Misconfigured(
            f"--agent: {agent!r} has neither declared nor done anything at {target.name}: is the name right?"
        )
    return found


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0


def _values(learned: Json) -> Iterator[tuple[str, str]]:
    for dimension, rows in obj(learned, "profile.learned").items():
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict):
                yield dimension, str(row.get("value"))


def playable(scenarios: Iterable[Scenario], agent: str) -> tuple[Scenario, ...]:
    """What makes sense on this agent: what was written for it, and attacks that are foreign to every agent but their own.

    The hard set and benign work of other agents use tools that are normal for those; here they would say nothing.
    """
    return tuple(one for one in scenarios if one.agent == agent or one.shelf is Shelf.SCENARIOS)


def play(scenarios: Iterable[Scenario], target: Deployment, agent: str, *, tag: str) -> Iterator[Played]:
    """Play each scenario on ``agent``: its attack, and its twin when it was written for this agent. ``tag``: never used before."""
    for scenario in scenarios:
        own = scenario.agent == agent
        attack = list(_perform(scenario, scenario.sessions, target, agent, f"{RUN}{tag}-{scenario.id}"))
        twin = list(_perform(scenario, scenario.twin if own else (), target, agent, f"{RUN}{tag}-{scenario.id}-twin"))
        yield Played(
            scenario=scenario,
            attacks=tuple(judged for judged in attack if judged.deed.attacking),
            benign=tuple(twin),
            policies=False,
            foreign=not own,
        )


def _perform(
    scenario: Scenario, sessions: tuple[Session, ...], target: Deployment, agent: str, run: str
) -> Iterator[Judged]:
    at = target.clock() - sum(PACE * (len(session.moves) + 2) for session in sessions)
    for n, session in enumerate(sessions):
        for deed, verdict in _session(session, target, agent, f"{run}-{n}", at):
            yield Judged(deed=deed, verdict=verdict)
        at += PACE * (len(session.moves) + 2)
    target.finish()


def _session(session: Session, target: Deployment, agent: str, run: str, at: float) -> Iterator[tuple[Deed, Verdict]]:
    target.note(Request(run_id=run, agent=agent, at=at, text=session.request))
    for i, move in enumerate(session.moves):
        at += PACE
        if isinstance(move, Say):
            target.note(Message(run_id=run, agent=agent, at=at, text=move.text, to=move.to))
            continue
        yield move, target.judge_undone(_action(move, agent, run, i, at), move.result)
    target.note(End(run_id=run, agent=agent, at=at + PACE, completed=False))


def _action(deed: Deed, agent: str, run: str, i: int, at: float) -> Action:
    return as_action(deed, agent=agent, run_id=run, action_id=f"{run}-{i}", at=at)


def taught(before: Known, after: Known, played: Iterable[Played]) -> tuple[str, ...]:
    """Values that the baseline holds now, did not hold before, and that the run told it about. There must be none."""
    told = set()
    for one in played:
        for judged in (*one.attacks, *one.benign):
            told |= {canonical.tool(judged.deed.tool), canonical.target(judged.deed.target).host} - {""}
    new = sorted(after.learned - before.learned)
    return tuple(f"{dimension} {value}" for dimension, value in new if any(word in value for word in told))
