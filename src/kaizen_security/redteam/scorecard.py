"""The scorecard: what was caught, what was flagged in vain, and how sure that is. Every number is counted from verdicts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import array, obj, plain
from kaizen_security.contract.verdict import Verdict
from kaizen_security.redteam.scenario import Deed, Scenario, Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A deed and the verdict on it; ``learning``: it was part of the baseline."""

    deed: Deed
    verdict: Verdict
    learning: bool = False

    def caught(self, *, policies: bool) -> bool:
        """A finding of an expected detection is on this very action, and it is blocked where that is expected.

        ``policies``: the scenario's own policies were in force; else the bare expectation counts.
        """
        expected = self.deed.expected
        if expected is None:
            return False
        wanted = expected.detections if policies or not expected.bare else expected.bare
        if expected.block and policies and not self.verdict.blocked:
            return False
        return any(finding.detection in wanted for finding in self.verdict.evidence)

    @property
    def flagged(self) -> bool:
        """It carries findings, or was blocked."""
        return self.verdict.flagged or self.verdict.blocked


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario with what was said of it.

    ``attacks``   the attacking actions; ``benign`` the twin's (or the benign work's); ``baseline`` what was reported before
    ``deployed``  for each attacking action, whether the deployed runner would count it as caught
    ``foreign``   it was written for another agent than the one it was played on: which detection speaks depends on that agent, so
                  any finding on the attacking action counts
    """

    scenario: Scenario
    attacks: tuple[Judged, ...]
    benign: tuple[Judged, ...]
    baseline: tuple[Judged, ...] = ()
    policies: bool = True
    deployed: tuple[bool, ...] = ()
    foreign: bool = False

    def caught(self, judged: Judged) -> bool:
        """Whether one attacking action counts as caught."""
        return judged.flagged if self.foreign else judged.caught(policies=self.policies)

    @property
    def missed(self) -> tuple[Judged, ...]:
        """Attacking actions without the expected finding."""
        return tuple(judged for judged in self.attacks if not self.caught(judged))

    @property
    def flags(self) -> tuple[Judged, ...]:
        """Benign actions with findings, the baseline's too."""
        return tuple(judged for judged in (*self.benign, *self.baseline) if judged.flagged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An attacking action of the hard set that is known not to be caught; ``needs`` names detections that could."""

    scenario: str
    step: str
    needs: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """The list of known misses. It may only shrink: never more than ``ratchet`` entries.

    ``unheard``  what is missed, besides, where the steps of a run are not heard: origins of values are not known there
    """

    ratchet: int
    entries: tuple[Miss, ...]
    unheard: tuple[Miss, ...] = ()

    def where_nothing_is_heard(self) -> Misses:
        """The list for a target that hears no requests and results."""
        return Misses(ratchet=self.ratchet + len(self.unheard), entries=(*self.entries, *self.unheard))

    @property
    def keys(self) -> frozenset[tuple[str, str]]:
        """Scenario and step of each."""
        return frozenset((miss.scenario, miss.step) for miss in self.entries)


def read_misses(path: Path) -> Misses:
    """The list in a file; an absent file is an empty list. Raises Misconfigured naming file and field."""
    if not path.exists():
        return Misses(ratchet=0, entries=())
    try:
        return decode_misses(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, InvalidInput) as err:
        raise Misconfigured(f"{path}: {err}") from err


def decode_misses(doc: dict[str, Json]) -> Misses:
    """The list in a document. Raises InvalidInput."""
    ratchet = doc.get("ratchet")
    if isinstance(ratchet, bool) or not isinstance(ratchet, int) or ratchet < 0:
        raise InvalidInput("ratchet", "must be a whole number from 0")
    return Misses(ratchet=ratchet, entries=_entries(doc, "miss"), unheard=_entries(doc, "unheard"))


def _entries(doc: dict[str, Json], name: str) -> tuple[Miss, ...]:
    entries = []
    for i, item in enumerate(array(doc, name)):
        entry, path = obj(item, f"{name}[{i}]"), f"{name}[{i}]."
        scenario, reason = (plain(entry.get(key), path + key) for key in ("scenario", "reason"))
        needs = tuple(plain(name, path + "needs") for name in array(entry, "needs", path))
        if len(reason) < 20:
            raise InvalidInput(path + "reason", "must say why it is missed")
        steps = array(entry, "steps", path)
        entries += [Miss(scenario=scenario, step=plain(s, path + "steps"), needs=needs, reason=reason) for s in steps]
    return tuple(entries)


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a proportion, in [0, 1], at 95 % for the default ``z``; (0, 1) when nothing was counted.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not 0 <= hits <= n:
        raise ValueError("hits must be from 0 to n")
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z
    middle = p + zz / (2 * n)
    half = z * sqrt(p * (1 - p) / n + zz / (4 * n * n))
    scale = 1 + zz / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@dataclass(frozen=True, slots=True)
class Count:
    """So many of so many."""

    hits: int
    n: int

    @property
    def percent(self) -> str:
        """Whole percent, never rounded up to 100 nor down to 0."""
        if self.n == 0:
            return "-"
        whole = round(100 * self.hits / self.n)
        if self.hits < self.n:
            whole = min(whole, 99)
        return f"{max(whole, 1) if self.hits else 0}%"

    @property
    def interval(self) -> str:
        """The 95 % interval in percent, for people."""
        low, high = wilson(self.hits, self.n)
        return f"{100 * low:.1f}-{100 * high:.1f}%"

    def to_json(self) -> dict[str, Json]:
        """With its interval."""
        low, high = wilson(self.hits, self.n)
        return {"count": self.hits, "of": self.n, "interval": [round(low, 4), round(high, 4)]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The counts of one run of the corpus."""

    played: tuple[Played, ...]
    misses: Misses

    def of(self, shelf: Shelf) -> tuple[Played, ...]:
        """What was played of one shelf."""
        return tuple(played for played in self.played if played.scenario.shelf is shelf)

    def caught(self, shelf: Shelf) -> Count:
        """Attacking actions caught."""
        return _ratio(self.of(shelf))

    @property
    def false_flags(self) -> Count:
        """Flagged of all benign actions: twins and benign work of every shelf that was played."""
        benign = [judged for played in self.played for judged in played.benign]
        return Count(sum(judged.flagged for judged in benign), len(benign))

    @property
    def baseline_flags(self) -> Count:
        """Flagged of all actions that were reported as the agents' normal work."""
        baseline = [judged for played in self.played for judged in played.baseline]
        return Count(sum(judged.flagged for judged in baseline), len(baseline))

    @property
    def deployed(self) -> Count:
        """What the deployed runner would have counted."""
        said = [caught for played in self.played for caught in played.deployed]
        return Count(sum(said), len(said))

    @property
    def unlisted(self) -> tuple[tuple[str, str], ...]:
        """Scenario and step of every miss that is not on the list."""
        return tuple(key for key in self._missed if key not in self.misses.keys)

    def unlisted_of(self, shelf: Shelf) -> tuple[tuple[str, str], ...]:
        """The same of one shelf."""
        ids = {played.scenario.id for played in self.of(shelf)}
        return tuple(key for key in self.unlisted if key[0] in ids)

    @property
    def recovered(self) -> tuple[tuple[str, str], ...]:
        """Scenario and step of every listed miss that was played and is caught: it has to leave the list."""
        steps = {(p.scenario.id, judged.deed.name) for p in self.played for judged in p.attacks}
        return tuple(sorted((self.misses.keys & steps) - set(self._missed)))

    @property
    def _missed(self) -> tuple[tuple[str, str], ...]:
        return tuple((played.scenario.id, judged.deed.name) for played in self.played for judged in played.missed)

    @property
    def good(self) -> bool:
        """Nothing is missed but what is listed, and nothing benign is flagged."""
        return not self.unlisted and not self.false_flags.hits and not self.baseline_flags.hits


def _ratio(played: Sequence[Played]) -> Count:
    attacks = sum(len(one.attacks) for one in played)
    return Count(attacks - sum(len(one.missed) for one in played), attacks)
