"""An agent as the console shows it: its rung in words, its day as a sparkline, its declaration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Mode
from kaizen_security.server.attached import Point
from kaizen_security.server.console.lines import agent_href
from kaizen_security.server.console.words import MODE_MEANS, MODE_WORD, RUNG_MEANS, RUNG_SHORT, ago
from kaizen_security.store.base import Agent, Hour, Origin, VerdictRow

HOURS: Final = 24
NOVELTY: Final = "novelty"
ABSTAINS: Final = f"{NOVELTY} abstains"
"""How the notes of a baseline that does not know yet begin (``detections.novelty``)."""
MAX_SHOWN: Final = 200
"""Entries of one list of a declaration that are shown."""
MAX_LEARNED: Final = 30
"""Values of one list of a baseline that are shown."""
LEARNED_WORD: Final = {"kind": "Kinds of action", "tool": "Tools", "source": "Seen by", "destination": "Destinations"}
_HEIGHT: Final = 28.0
_STEP: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One hour of a sparkline, in the units of its view box (120 by 30); ``mark`` is ``flag`` or ``block`` when there were some."""

    x: float
    y: float
    height: float
    mark: str
    mark_y: float
    mark_height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """``spoken`` says in words what the bars show."""

    bars: tuple[Bar, ...]
    spoken: str
    actions: int
    flagged: int
    blocked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent in a list or on its page; counts are of the last 24 hours."""

    name: str
    href: str
    settings_href: str
    declaration_href: str
    reset_href: str
    delete_href: str
    seen_short: str
    seen_long: str
    rung: int
    rung_label: str
    rung_short: str
    rung_means: str
    mode: Mode
    mode_word: str
    mode_means: str
    paused: bool
    judged: bool
    declared_word: str
    baseline_word: str
    baseline_means: str
    hours: Sparkline
    actions: int
    flagged: int
    blocked: int
    silent: tuple[str, ...] = ()
    """Feeds whose attach points have fallen silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationView:
    """``lists`` are (heading, entries); ``more`` counts the entries that are not shown."""

    purpose: str
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedView:
    """A baseline from ``seen`` actions; ``lists`` are (heading, (value, how often), how many more there are)."""

    seen: int
    lists: tuple[tuple[str, tuple[tuple[str, int], ...], int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingStep:
    """One button: it posts ``name=value`` to the agent's settings."""

    name: str
    value: str
    word: str


def sparkline(hours: Iterable[Hour], now: float) -> Sparkline:
    """The last 24 hours up to ``now`` (Unix seconds), oldest first. Hours outside are left out; absent hours are empty."""
    first = int(now // 3600) - HOURS + 1
    places: list[list[int]] = [[0, 0, 0] for _ in range(HOURS)]
    for hour in hours:
        place = int(hour.at // 3600) - first
        if 0 <= place < HOURS:
            for column, count in enumerate((hour.actions, hour.flagged, hour.blocked)):
                places[place][column] += count
    highest = max(1, *(place[0] for place in places))
    actions, flagged, blocked = (sum(place[column] for place in places) for column in range(3))
    return Sparkline(
        bars=tuple(_bar(place, counts, highest) for place, counts in enumerate(places) if counts[0]),
        spoken=f"Last 24 hours: {actions} actions, {flagged} flagged, {blocked} blocked",
        actions=actions,
        flagged=flagged,
        blocked=blocked,
    )


def _bar(place: int, counts: Sequence[int], highest: int) -> Bar:
    height = max(2.0, round(_HEIGHT * counts[0] / highest, 1))
    mark = "block" if counts[2] else "flag" if counts[1] else ""
    # Never too small to see: one block among a thousand actions is what one looks for.
    marked = min(height, max(4.0, round(_HEIGHT * max(counts[1], counts[2]) / highest, 1))) if mark else 0.0
    return Bar(
        x=place * _STEP + 0.5,
        y=round(29.0 - height, 1),
        height=height,
        mark=mark,
        mark_y=round(29.0 - marked, 1),
        mark_height=marked,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What the latest verdicts tell of a baseline, which the Observer beside the agent holds.

    ``why`` is its latest abstention; ``spoke``: novelty found something, which only a baseline that has learned enough does.
    """

    looked_at: int = 0
    abstained: int = 0
    why: str = ""
    spoke: bool = False

    @property
    def word(self) -> str:
        """For a list."""
        if not self.looked_at:
            return "Nothing yet"
        if self.abstained:
            return "Learning"
        return "Ready" if self.spoke else "All known"

    @property
    def means(self) -> str:
        """A sentence."""
        if not self.looked_at:
            return "No verdict of the Observer has come yet, so nothing is known of its baseline."
        if self.abstained:
            return f"Its baseline is learning. In {self.abstained} of its last {self.looked_at} verdicts: {self.why}"
        if self.spoke:
            return "Its baseline is ready: it has found something new and said so."
        return f"All that it did in its last {self.looked_at} verdicts was known or declared, so its baseline had nothing to say."


def learning(rows: Sequence[VerdictRow]) -> Learning:
    """What rows of one agent, newest first, tell. A client's claims tell nothing: clients hold no baseline."""
    judged = [row for row in rows if row.origin is not Origin.CLAIM]
    notes = [[note for note in row.notes if note.startswith(ABSTAINS)] for row in judged]
    said = [found[0] for found in notes if found]
    return Learning(
        looked_at=len(judged),
        abstained=len(said),
        why=said[0] if said else "",
        spoke=any(finding.detection == NOVELTY for row in judged for finding in row.evidence),
    )


def agent_view(
    agent: Agent, hours: Iterable[Hour], now: float, learned: Learning | None, attached: Iterable[Point] = ()
) -> AgentView:
    """``agent`` at ``now`` (Unix seconds); ``learned`` is None where nobody looked."""
    spark = sparkline(hours, now)
    rung = agent.rung
    return AgentView(
        name=agent.name,
        href=agent_href(agent.name),
        settings_href=agent_href(agent.name, "/agent/settings"),
        declaration_href=agent_href(agent.name, "/agent/declaration"),
        reset_href=agent_href(agent.name, "/agent/reset"),
        delete_href=agent_href(agent.name, "/agent/delete"),
        seen_short=f"seen {ago(agent.last_seen, now)}" if agent.last_seen else "not seen yet",
        seen_long=f"Last seen {ago(agent.last_seen, now)}." if agent.last_seen else "",
        rung=int(rung or 0),
        rung_label=rung.label if rung else "none",
        rung_short=RUNG_SHORT[rung] if rung else "declared, but no action has come",
        rung_means=RUNG_MEANS[rung] if rung else "It was declared or set up, but no action has come yet.",
        mode=agent.mode,
        mode_word="Paused" if agent.paused else MODE_WORD[agent.mode],
        mode_means=MODE_MEANS[agent.mode],
        paused=agent.paused,
        judged=agent.judge_enabled,
        declared_word=_declared(agent.declaration),
        baseline_word=learned.word if learned else "On its page",
        baseline_means=learned.means if learned else "",
        hours=spark,
        actions=spark.actions,
        flagged=spark.flagged,
        blocked=spark.blocked,
        silent=tuple(sorted({point.source for point in attached if point.silent})),
    )


PLURAL = {"kind of data": "kinds of data"}


def _declared(declaration: Declaration) -> str:
    parts = [
        f"{len(entries)} {word if len(entries) == 1 else PLURAL.get(word, word + 's')}"
        for entries, word in (
            (declaration.tools, "tool"),
            (declaration.destinations, "destination"),
            (declaration.data, "kind of data"),
        )
        if entries
    ]
    return ", ".join(parts) or "Not declared"


def declaration_view(declaration: Declaration) -> DeclarationView:
    """A declaration with its lists bounded."""
    lists = (("Tools", declaration.tools), ("Destinations", declaration.destinations), ("Data", declaration.data))
    return DeclarationView(
        purpose=declaration.purpose,
        lists=tuple((name, entries[:MAX_SHOWN]) for name, entries in lists),
        more=sum(max(0, len(entries) - MAX_SHOWN) for _, entries in lists),
    )


def learned_view(profile: Mapping[str, Json]) -> LearnedView:
    """The profile of ``runtime.inspector``, its lists bounded, what was done most first."""
    seen, learned = profile.get("seen"), profile.get("learned")
    lists = []
    for name, rows in learned.items() if isinstance(learned, dict) else ():
        counted = sorted(filter(None, map(_counted, rows if isinstance(rows, list) else ())), key=lambda one: -one[1])
        if counted:
            heading = LEARNED_WORD.get(name, name)
            lists.append((heading, tuple(counted[:MAX_LEARNED]), max(0, len(counted) - MAX_LEARNED)))
    return LearnedView(seen=seen if isinstance(seen, int) else 0, lists=tuple(lists))


def _counted(row: Json) -> tuple[str, int] | None:
    if not isinstance(row, dict):
        return None
    value, count = row.get("value"), row.get("count")
    return (value, int(count)) if isinstance(value, str) and isinstance(count, int | float) else None


def setting_steps(agent: Agent) -> tuple[SettingStep, ...]:
    """What a person may change of an agent here."""
    if agent.mode is Mode.OBSERVE:
        mode = SettingStep(name="mode", value=Mode.ENFORCE.value, word="Switch to enforce")
    else:
        mode = SettingStep(name="mode", value=Mode.OBSERVE.value, word="Switch to observe")
    if agent.paused:
        pause = SettingStep(name="paused", value="false", word="Go on flagging")
    else:
        pause = SettingStep(name="paused", value="true", word="Pause flagging")
    if agent.judge_enabled:
        return (mode, pause, SettingStep(name="judge_enabled", value="false", word="Ask no model about it"))
    return (mode, pause, SettingStep(name="judge_enabled", value="true", word="Ask the model about it"))
