"""The programme of a demonstration: who attaches, what is learned, what is met, in which order. Pure, and made from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kaizen_security.contract.action import Json
from kaizen_security.contract.canonical import target
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.demo.account import Attack
from kaizen_security.demo.injected import OUTSIDE, POLICY, Injected, runs
from kaizen_security.demo.jobs import Job, Play, Work
from kaizen_security.demo.tasks import DECLARATION, Task, benign
from kaizen_security.demo.world import INSIDE
from kaizen_security.redteam.scenario import Deed, Effect, Expected, Scenario, Session, Shelf
from kaizen_security.redteam.scorecard import Misses

DEMO_AGENT = "demo-agent"
"""The agent that learns from hundreds of tasks; the corpus brings agents of its own."""

LEARN, BETWEEN = 220, 30
"""Tasks that are learned from, and benign tasks between and after the attacks."""

OWN = "in its own work"
GROUPS = {Shelf.SCENARIOS: "red-team corpus", Shelf.HARD: "hard set", Shelf.BENIGN: ""}
"""Parts of the scorecard."""

_HTTP = (Effect.HTTP_GET, Effect.HTTP_POST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent that takes part: what it declares, and policies of its own beside the organisation's."""

    name: str
    declaration: Declaration
    policies: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job of the programme. ``pages`` are put on the servers first; ``attacks`` is what is malicious about it."""

    job: Job
    agent: str
    title: str
    attacks: tuple[Attack, ...] = ()
    pages: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """A whole demonstration.

    ``hosts``  every ``(host, port, scheme)`` that anything in it reaches for
    ``pages``  what the servers answer, by ``"METHOD URL without query"``
    ``policies``  the organisation's, in force on every rung
    ``outside``  hosts that nobody declared: what arrives there has left
    """

    seed: int
    members: tuple[Member, ...]
    learning: tuple[Entry, ...]
    meeting: tuple[Entry, ...]
    hosts: frozenset[tuple[str, int, str]]
    pages: Mapping[str, Json]
    policies: tuple[Policy, ...]
    outside: frozenset[str]

    @property
    def attacks(self) -> int:
        """Attacking actions in it."""
        return sum(len(entry.attacks) for entry in self.meeting)


FIXED = frozenset({"policy", "correlation", "declaration"})
"""Detections that need no past to go by."""


def programme(seed: int, scenarios: Iterable[Scenario], misses: Misses) -> Programme:
    """The programme for a seed. ``misses`` are the corpus's known ones."""
    excuses = {(miss.scenario, miss.step): miss.reason for miss in misses.where_nothing_is_heard().entries}
    chance = random.Random(f"{seed}/programme")  # noqa: S311  a seeded play, no secret
    corpus = tuple(scenarios)
    tasks = benign(seed, LEARN + BETWEEN)
    learning: list[list[Entry]] = [[_work(task)] for task in tasks[:LEARN]]
    meeting: list[list[Entry]] = [[_work(task)] for task in tasks[LEARN:]]
    meeting += [_met(run) for run in runs(seed)]
    for scenario in corpus:
        learning += _blocks(scenario)
        meeting.append([*_sessions(scenario, "attack", excuses), *_sessions(scenario, "twin", excuses)])
    chance.shuffle(learning)
    chance.shuffle(meeting)
    # Benign work has the last word: what was met must not have changed how the agent is judged.
    meeting.sort(key=lambda block: block[-1].job.job == f"task-{LEARN + BETWEEN - 1}")
    return Programme(
        seed=seed,
        members=(Member(name=DEMO_AGENT, declaration=DECLARATION), *_members(corpus)),
        learning=tuple(entry for block in learning for entry in block),
        meeting=tuple(entry for block in meeting for entry in block),
        hosts=frozenset(_hosts(corpus)),
        pages=dict(_pages(corpus)),
        policies=(POLICY, *_blocklists(corpus)),
        outside=_outside(corpus),
    )


def _work(task: Task) -> Entry:
    return Entry(job=Work(job=task.id, agent=DEMO_AGENT, task=task), agent=DEMO_AGENT, title=task.request)


def _met(run: Injected) -> list[Entry]:
    attack = Attack(
        key=run.id, title=run.title, attack=run.attack, detections=run.detections, silent=run.silent, group=OWN
    )
    attacked = Work(job=run.id, agent=DEMO_AGENT, task=run.task)
    twin = Work(job=f"{run.id}-twin", agent=DEMO_AGENT, task=run.task)
    return [
        Entry(job=attacked, agent=DEMO_AGENT, title=run.title, attacks=(attack,), pages={run.page: run.poison}),
        Entry(job=twin, agent=DEMO_AGENT, title=f"twin of: {run.title}", pages={run.page: run.clean}),
    ]


def _blocks(scenario: Scenario) -> list[list[Entry]]:
    """The baseline, in blocks whose order does not matter: sessions of one scenario stay in theirs."""
    # Declared tools and hosts need no second round; what goes by the agent's past does.
    learned = any({*deed.expected.detections} - FIXED for deed in scenario.attacks if deed.expected is not None)
    times = scenario.times if learned else 1
    return [
        [_play(f"{scenario.id}-baseline-{round_}-{number}", session, scenario.title)]
        for round_ in range(times)
        for number, session in enumerate(scenario.baseline)
    ]


def _sessions(scenario: Scenario, part: str, excuses: Mapping[tuple[str, str], str]) -> Iterator[Entry]:
    sessions = scenario.sessions if part == "attack" else scenario.twin
    for number, session in enumerate(sessions):
        attacks = tuple(_attacks(scenario, session, excuses)) if part == "attack" else ()
        title = scenario.title if part == "attack" else f"twin of: {scenario.title}"
        yield _play(f"{scenario.id}-{part}-{number}", session, title, attacks)


def _play(job: str, session: Session, title: str, attacks: tuple[Attack, ...] = ()) -> Entry:
    return Entry(job=Play(job=job, session=session), agent=session.agent, title=title, attacks=attacks)


def _attacks(scenario: Scenario, session: Session, excuses: Mapping[tuple[str, str], str]) -> Iterator[Attack]:
    for number, move in enumerate(session.moves):
        if not isinstance(move, Deed) or move.expected is None:
            continue
        key = f"{scenario.id}/{move.name}" if move.name else scenario.id
        yield Attack(
            key=key,
            title=scenario.title,
            attack=scenario.attack,
            detections=_expected(scenario, move.expected),
            block=move.expected.block,
            move=number,
            excuse=excuses.get((scenario.id, move.name), ""),
            group=GROUPS[scenario.shelf],
        )


def _expected(scenario: Scenario, expected: Expected) -> tuple[str, ...]:
    # A correlation needs its first half to have happened. Here that half was refused already, and its body did not run; what is
    # left of the second half is judged by itself, as where the policy is not in force.
    if any(policy.mode == "correlation" for policy in scenario.policies):
        return (*expected.detections, *expected.bare)
    return expected.detections


def _members(corpus: tuple[Scenario, ...]) -> Iterator[Member]:
    for scenario in corpus:
        # A blocklist is the organisation's and holds on every rung; a correlation is about what one client sees.
        own = tuple(policy for policy in scenario.policies if policy.mode != "blocklist")
        for agent in scenario.agents:
            yield Member(name=agent, declaration=scenario.declaration, policies=own)


def _blocklists(corpus: tuple[Scenario, ...]) -> Iterator[Policy]:
    """Put in force for everyone, so that the proxy knows them too."""
    for scenario in corpus:
        yield from (policy for policy in scenario.policies if policy.mode == "blocklist")


def _hosts(corpus: tuple[Scenario, ...]) -> Iterator[tuple[str, int, str]]:
    for host in (*INSIDE, *OUTSIDE):
        yield (host, 80, "http")
        yield (host, 443, "https")
    for scenario in corpus:
        for deed in scenario.deeds():
            if deed.effect in _HTTP:
                where = target(deed.target)
                scheme = "http" if where.scheme == "http" else "https"
                yield (where.host, where.port or (80 if scheme == "http" else 443), scheme)


def _pages(corpus: tuple[Scenario, ...]) -> Iterator[tuple[str, Json]]:
    for scenario in corpus:
        for deed in scenario.deeds():
            if deed.effect in _HTTP and deed.result is not None:
                method = "GET" if deed.effect is Effect.HTTP_GET else "POST"
                yield f"{method} {deed.target.partition('?')[0].partition('#')[0]}", deed.result


def _outside(corpus: tuple[Scenario, ...]) -> frozenset[str]:
    """Hosts that belong to nobody's declaration: what arrives there has left."""
    declared = [compile_declaration(scenario.declaration) for scenario in corpus if scenario.declaration.destinations]
    reached = {host for host, _, _ in _hosts(corpus)} - set(INSIDE)
    return frozenset(host for host in reached if not any(one.destination(host) for one in declared))
