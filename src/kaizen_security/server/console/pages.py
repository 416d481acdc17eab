"""What each page shows, taken from the store. Blocking: the routes call these from a worker thread."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kaizen_security.contract.hold import HoldState
from kaizen_security.server.acts import Act, acts_of, listed
from kaizen_security.server.attached import points
from kaizen_security.server.console.agents import (
    HOURS,
    AgentView,
    DeclarationView,
    Learning,
    SettingStep,
    agent_view,
    declaration_view,
    learning,
    setting_steps,
)
from kaizen_security.server.console.evidence import Drawer, drawer
from kaizen_security.server.console.filters import PAGE, Filters
from kaizen_security.server.console.lines import Line, act_line
from kaizen_security.store.base import Agent, Hour, Store, VerdictQuery, VerdictRow

WINDOW: Final = 30_000
"""Rows that a page looks through for a text or a source; older ones are a link away."""
MAX_CHOICES: Final = 500
"""Agents that the filter offers, the ones seen last first; any other can be named in the address."""
MAX_AGENTS: Final = 500
"""Agents on the agents' page, the ones seen last first."""
MAX_LEARNING: Final = 50
"""Of these many agents, the ones seen last, the list also says how their baseline does; of others their own page does."""
LATEST: Final = 20
"""Verdicts on an agent's page, from which its baseline's state is read as well."""
BESIDE: Final = 40
"""Rows of the drawer's timeline."""
WAITING: Final = 100
"""Held actions that are counted beside the day's verdicts."""
NEAR: Final = 150
"""Rows of the same agent, each way, among which they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Counts of this day in UTC, and how many actions wait for a person now (counted up to WAITING)."""

    actions: int = 0
    flagged: int = 0
    blocked: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPage:
    """One page of verdicts, a line for each act. ``acts`` are what the lines were made of.

    ``older``      the id before which the next page begins, ``""`` on the last one
    ``newest``     the id of the newest row of all when the page was made: from there on it is followed live
    ``looked_to``  when not None: not everything was searched, only what is newer than that instant (Unix seconds)
    """

    acts: tuple[Act, ...]
    lines: tuple[Line, ...]
    older: str
    looked_to: float | None
    newest: str
    today: Today
    agents: tuple[str, ...]
    empty: bool


def verdict_page(store: Store, organisation: int, chosen: Filters, now: float) -> VerdictPage:
    """The verdicts that ``chosen`` lets through at ``now`` (Unix seconds), newest first."""
    newest = newest_id(store, organisation)
    found, older, looked_to = _found(store, organisation, chosen, now)
    acts = acts_of(store, organisation, found, now)
    agents = _latest(store.agents(organisation))
    names = tuple(agent.name for agent in agents[:MAX_CHOICES])
    if chosen.agent and chosen.agent not in names:
        names = (chosen.agent, *names)
    return VerdictPage(
        acts=acts,
        lines=tuple(act_line(act, now) for act in acts),
        older=older,
        looked_to=looked_to,
        newest=newest,
        today=today(store, organisation, now),
        agents=names,
        empty=not found and not chosen.any and not chosen.before,
    )


def newest_id(store: Store, organisation: int) -> str:
    """The id of the newest row of all, ``""`` when there is none."""
    head = store.verdicts(organisation, VerdictQuery(limit=1))
    return head[0].id if head else ""


def _found(
    store: Store, organisation: int, chosen: Filters, now: float
) -> tuple[tuple[VerdictRow, ...], str, float | None]:
    """A page's rows, where the next begins, and how far back a search went."""
    edge: tuple[VerdictRow, ...] = ()
    if chosen.searches:
        # No index knows these, so a page reads at most WINDOW rows. The last of them is the next page's beginning.
        reach = VerdictQuery(agent=chosen.agent, before=chosen.before, limit=2, offset=WINDOW - 1)
        edge = store.verdicts(organisation, reach)
    after = edge[1].id if len(edge) == 2 else ""
    # One more than is shown tells whether there is a next page, without counting.
    found = store.acts.latest(organisation, chosen.query(now, limit=PAGE + 1, after=after))
    if len(found) > PAGE:
        return found[:PAGE], found[PAGE - 1].id, None
    if after and edge[1].created_at >= chosen.query(now).since:
        return found, edge[0].id, edge[0].created_at
    return found, "", None


def today(store: Store, organisation: int, now: float) -> Today:
    """The counts of the day of ``now``, which are kept as rows come in and not counted here."""
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    waiting = len(store.holds.of(organisation, now=now, state=HoldState.WAITING, limit=WAITING))
    for counted in store.days(organisation, since=day):
        if counted.day == day:
            return Today(actions=counted.actions, flagged=counted.flagged, blocked=counted.blocked, waiting=waiting)
    return Today(waiting=waiting)


def drawer_of(store: Store, organisation: int, row: VerdictRow, now: float) -> Drawer:
    """The drawer of ``row`` with the rows beside it."""
    [act] = acts_of(store, organisation, (row,), now)
    return drawer(row, beside(store, organisation, row), act, now)


def beside(store: Store, organisation: int, row: VerdictRow) -> tuple[VerdictRow, ...]:
    """Rows of the same run, deed or action as ``row``, newest first, itself among them, at most BESIDE.

    Looked for among the agent's NEAR rows before it and after it, since what belongs together was done together: an index over runs
    would cost every verdict that is kept. Rows of other agents never belong here, whatever run they claim.
    """
    older = store.verdicts(organisation, VerdictQuery(agent=row.agent, before=row.id, limit=NEAR))
    newer = store.verdicts(organisation, VerdictQuery(agent=row.agent, after=row.id, limit=NEAR, nearest=True))
    half = BESIDE // 2
    return (
        *[other for other in newer if _together(row, other)][-half:],
        row,
        *[other for other in older if _together(row, other)][:half],
    )


def _together(row: VerdictRow, other: VerdictRow) -> bool:
    same = ((row.run_id, other.run_id), (row.act_id, other.act_id), (row.action_id, other.action_id))
    return any(ours and ours == theirs for ours, theirs in same)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPage:
    """One agent, its declaration, what can be changed, and its latest verdicts."""

    agent: AgentView
    declaration: DeclarationView
    steps: tuple[SettingStep, ...]
    rows: tuple[VerdictRow, ...]
    lines: tuple[Line, ...]


def agents_page(store: Store, organisation: int, now: float) -> tuple[tuple[AgentView, Agent], ...]:
    """Every agent (at most MAX_AGENTS, the ones seen last first); of MAX_LEARNING also which attach points are silent."""
    hours = _hours(store, organisation, now)
    return tuple(
        (
            agent_view(
                agent,
                hours.get(agent.name, ()),
                now,
                _learning(store, organisation, agent, place),
                points(store.attached.of(organisation, agent.name), now) if place < MAX_LEARNING else (),
            ),
            agent,
        )
        for place, agent in enumerate(_latest(store.agents(organisation))[:MAX_AGENTS])
    )


def agent_page(store: Store, organisation: int, agent: Agent, now: float) -> AgentPage:
    """The page of ``agent``."""
    hours = _hours(store, organisation, now, agent.name)
    query = VerdictQuery(agent=agent.name, limit=LATEST)
    found = store.verdicts(organisation, query)
    _, acts = listed(store, organisation, query, now)
    return AgentPage(
        agent=agent_view(agent, hours.get(agent.name, ()), now, learning(found)),
        declaration=declaration_view(agent.declaration),
        steps=setting_steps(agent),
        rows=found,
        lines=tuple(act_line(act, now) for act in acts),
    )


def _learning(store: Store, organisation: int, agent: Agent, place: int) -> Learning | None:
    if place >= MAX_LEARNING:
        return None
    return learning(store.verdicts(organisation, VerdictQuery(agent=agent.name, limit=LATEST)))


def _hours(store: Store, organisation: int, now: float, agent: str = "") -> dict[str, list[Hour]]:
    by_agent: defaultdict[str, list[Hour]] = defaultdict(list)
    since = (now // 3600 - HOURS + 1) * 3600
    for hour in store.hours(organisation, since=since, agent=agent):
        by_agent[hour.agent].append(hour)
    return by_agent


def _latest(agents: tuple[Agent, ...]) -> list[Agent]:
    return sorted(agents, key=lambda agent: (-agent.last_seen, agent.name))
