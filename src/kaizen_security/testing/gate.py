"""The gate: figures that were stored, with their intervals, against those of today, and the verdicts that changed in between.

Detection fails it by falling below its stored interval, a rate of false flags by rising above its own. Better figures never fail
it, and neither does what moves within the interval; each run whose verdict changed is named all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import array, obj
from kaizen_security.testing.driven import Driven

FORMAT = 1
CAUGHT = frozenset({"attacks caught"})
"""Rates that must not fall; every other one must not rise."""
GATED = CAUGHT | {
    "harmless runs flagged",
    "harmless runs that succeed, flagged",
    "harmless calls flagged",
    "ignored injections flagged",
    "authorised goals flagged",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A figure beyond its stored bound."""

    where: str
    share: float
    bound: float
    fell: bool

    def __str__(self) -> str:
        how, than = ("fell", "below") if self.fell else ("rose", "above")
        return f"{self.where}: {how} to {self.share:.1%}, {than} the stored interval's {self.bound:.1%}"


@dataclass(frozen=True, slots=True)
class Changed:
    """A run whose verdict is another one now."""

    where: str
    agent: str
    kind: str
    id: str
    flagged: bool

    def __str__(self) -> str:
        now = "flagged now, was not" if self.flagged else "not flagged any more"
        return f"{self.where}: {self.agent} {self.kind} {self.id}: {now}"


def to_store(told: Mapping[str, Any], sets: Mapping[str, Sequence[Driven]]) -> dict[str, Any]:
    """What is kept of a measurement: its command and data, its figures, and which runs were flagged, as hashes of their names."""
    kept: dict[str, Any] = {"format": FORMAT, **{key: told[key] for key in ("kaizen", "command", "data")}, "sets": {}}
    for name, found in sets.items():
        figures = {
            agent: {what: rate for what, rate in rates.items() if what in GATED}
            for agent, rates in told["sets"][name].items()
            if agent not in ("missed by kind", "false flags by kind")
        }
        flagged = sorted(_name(one) for one in found if one.flagged)
        kept["sets"][name] = {"figures": figures, "flagged": flagged}
    return kept


def check_data(kept: Json, measured: Mapping[str, str]) -> None:
    """Raises Misconfigured when the figures were stored on other data, or by a program that stored something else."""
    try:
        doc = obj(kept, "gate")
        same = doc.get("format") == FORMAT
        data = obj(doc.get("data"), "gate.data")
        obj(doc.get("sets"), "gate.sets")
    except InvalidInput as err:
        raise Misconfigured(f"the gate's file does not hold stored figures: {err}") from err
    if not same:
        raise Misconfigured(f"the gate's file has another format than {FORMAT}: store the figures again")
    if data != measured:
        names = ", ".join(sorted({*data, *measured}))
        raise Misconfigured(
            f"the figures were stored on other data ({names}): store them again, or give the same files"
        )


def failures(kept: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Failure]:
    """Every figure beyond its stored bound. A set, an agent or a rate that is not measured any more fails too."""
    for name, held in kept["sets"].items():
        for agent, rates in held["figures"].items():
            now = told["sets"].get(name, {}).get(agent, {})
            for what, was in rates.items():
                where = f"{name}, {agent}, {what}"
                low, high = bounds(was)
                fell = what in CAUGHT
                share = now[what]["share"] if what in now else (0.0 if fell else 1.0)
                # Stored figures are rounded to four digits.
                if share < low - 5e-5 if fell else share > high + 5e-5:
                    yield Failure(where, share, low if fell else high, fell)


def bounds(rate: Mapping[str, float]) -> tuple[float, float]:
    """The stored interval; where the bootstrap saw no spread (none of them, or all), Wilson's (1927) at 95 %."""
    low, high = rate["low"], rate["high"]
    if low < high or not rate["of"]:
        return low, high
    n, p, z = rate["of"], rate["share"], 1.96
    middle, spread = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return min(low, max(0.0, (middle - spread) / scale)), max(high, min(1.0, (middle + spread) / scale))


def changed(kept: Mapping[str, Any], sets: Mapping[str, Sequence[Driven]]) -> Iterator[Changed]:
    """Every run whose verdict is another one than when the figures were stored."""
    for name, found in sets.items():
        held = kept["sets"].get(name)
        if held is None:
            continue
        was = {one for one in array(held, "flagged", limit=10_000_000) if isinstance(one, str)}
        for one in found:
            now = one.flagged
            if now != (_name(one) in was):
                yield Changed(name, one.agent, one.kind, one.id, now)


def _name(one: Driven) -> str:

    return hashlib.sha256(f"{one.agent}|{one.kind}|{one.id}".encode()).hexdigest()[:12]
