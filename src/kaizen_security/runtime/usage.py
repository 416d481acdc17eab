"""What reasoning cost and brought: counters by UTC day, kept by whoever can keep them, so that a budget holds over restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from kaizen_security.contract.action import Json
from kaizen_security.reasoners.choice import Budget

DAY = 86_400
WEEK = 7
MILLION = 1_000_000

QUESTIONS = "questions"
CACHED = "cached"
CALLS = "calls"
INPUT = "input_tokens"
OUTPUT = "output_tokens"
MONEY = "money_millionths"
WORDS = ("benign", "suspicious", "malicious")
UNSURE = "unsure"
FAILURES = ("shapeless", "late", "busy", "failed", "refused")
SKIPPED = ("over_budget", "resting", "crowded", "uncounted", "dropped")

NAMES = (QUESTIONS, CACHED, CALLS, *WORDS, UNSURE, *FAILURES, *SKIPPED, INPUT, OUTPUT, MONEY)
"""Every counter. ``questions`` is what was to be asked; of it ``cached`` had an answer already, ``calls`` went out, and the SKIPPED
did not: over the day's budget, resting after failures, too many at once, not countable, no room in the queue. ``unsure`` are
answers below the threshold.
"""


class Ledger(Protocol):
    """Counters by day. Both block, may be called from any thread, and raise KaizenError when they cannot be written or read."""

    def add(self, day: int, counts: Mapping[str, int]) -> None:
        """Add to a day's counters; done when it returns."""
        ...

    def since(self, day: int) -> Mapping[int, Mapping[str, int]]:
        """The counters of ``day`` and of every later one."""
        ...


def day_of(at: float) -> int:
    """The number of the UTC day of ``at`` (Unix seconds)."""
    return int(at // DAY)


def total(days: Mapping[int, Mapping[str, int]]) -> dict[str, int]:
    """Several days together, every counter named."""
    summed: Counter[str] = Counter()
    for counts in days.values():
        summed.update(counts)
    return {name: summed[name] for name in NAMES}


def cost(budget: Budget, input_tokens: int, output_tokens: int) -> int:
    """In millionths of the unit that the prices are in."""
    return round(input_tokens * budget.input_price + output_tokens * budget.output_price)


def exhausted(budget: Budget, today: Mapping[str, int]) -> str:
    """Which part of the day's budget is used up, ``""`` while there is some of each."""
    if today.get(CALLS, 0) >= budget.calls:
        return "calls"
    if today.get(INPUT, 0) + today.get(OUTPUT, 0) >= budget.tokens:
        return "tokens"
    if (budget.input_price or budget.output_price) and today.get(MONEY, 0) >= budget.money * MILLION:
        return "money"
    return ""


def report(days: Mapping[int, Mapping[str, int]], today: int, budget: Budget) -> dict[str, Json]:
    """``GET /v1/judge/usage``: today, the last seven days, what is left of today's budget."""
    this_day = total({today: days.get(today, {})})
    week = total({day: counts for day, counts in days.items() if today - WEEK < day <= today})
    spent = this_day[INPUT] + this_day[OUTPUT]
    return {
        "today": _shown(this_day),
        "this_week": _shown(week),
        "left_today": {
            "calls": max(0, budget.calls - this_day[CALLS]),
            "tokens": max(0, budget.tokens - spent),
            "money": round(max(0.0, budget.money - this_day[MONEY] / MILLION), 6),
        },
        "exhausted": exhausted(budget, this_day) or None,
    }


def _shown(counts: Mapping[str, int]) -> dict[str, Json]:
    document: dict[str, Json] = {name: n for name, n in counts.items() if name != MONEY}
    document["money"] = round(counts[MONEY] / MILLION, 6)
    document["reviews"] = sum(counts[word] for word in WORDS) + counts[UNSURE]
    return document
