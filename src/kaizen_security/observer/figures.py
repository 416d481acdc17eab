"""Figures: how much a text says, however it is written: ``9.800.000,00``, ``9 800 000``, ``9'800'000``, ``9.8e6``, ``EUR 9.8m``."""

from __future__ import annotations

import re

LONGEST = 32
"""Characters of the longest text that is a number."""
MOST = 1e18
"""What is more counts as this."""

_NUMBER = (
    r"\d{1,3}(?P<gap>[ ,.'_\u2019\u00a0\u202f])\d{3}(?:(?P=gap)\d{3})*(?P<part>[.,]\d{1,6})?|\d{1,24}(?:[.,]\d{1,6})?"
)
_FIGURE = re.compile(
    rf"(?:[^\W\d_]{{3}}|[^\w\s-]{{1,2}})?\s?(?P<number>{_NUMBER})(?:e\+?(?P<power>\d{{1,3}}))?\s?"
    r"(?P<times>k|m|mio|mn|bn|thousand|million|billion)?\.?\s?(?:[^\W\d_]{3}|[%€$£¥])?",
    re.IGNORECASE,
)
_TIMES = {"k": 3, "thousand": 3, "m": 6, "mio": 6, "mn": 6, "million": 6, "bn": 9, "billion": 9}


def figure(text: str) -> float | None:
    """The number that is all of ``text``, with its currency or per cent; None where it is none, or is negative."""
    found = _FIGURE.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    number, gap, part = found["number"], found["gap"], found["part"]
    if gap and part is None and number.count(gap) == 1 and gap == ".":
        gap = None  # 1.250 is a little more than one, as most programs write it
    elif gap and part and part[0] == gap:
        return None
    whole = number.removesuffix(part) if part else number
    if gap:
        whole = whole.replace(gap, "")
        number = whole + ("." + part[1:] if part else "")
    else:
        number = number.replace(",", ".")
    power = int(found["power"] or 0) + _TIMES.get((found["times"] or "").lower(), 0)
    return min(float(number) * 10.0 ** min(power, 300), MOST)
