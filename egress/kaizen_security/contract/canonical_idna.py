"""Names that are not ASCII: UTS #46 mapping and A-labels (RFC 5891, RFC 3492), non-transitional, as browsers do it.

Loaded only for such names. The mapping is data (``spec/tables/uts46.json``). Not checked: bidirectional rules, which change
nothing about where a name leads.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from kaizen_security.contract.tables import uts46

_TABLE = json.loads(uts46.load())
_STARTS: list[int] = list(accumulate(_TABLE["gaps"]))
_STATUS: str = _TABLE["status"]
_MAPPINGS: Iterator[str] = iter(_TABLE["to"])
_TO: list[str] = [next(_MAPPINGS) if flag == "1" else "" for flag in _TABLE["mapped"]]
_JOIN_FIRST: list[int] = [row[0] for row in _TABLE["joining"]]
_JOINING: list[tuple[int, str]] = [(row[1], row[2]) for row in _TABLE["joining"]]
del _TABLE, _MAPPINGS

_JOINERS = "\u200c\u200d"
_ROUNDS = 4


def mapped(text: str, *, transitional: bool = False) -> str:
    """``text`` after the mapping of UTS #46, in NFC. ``transitional`` also maps the four deviation characters (IDNA2003, which
    Python's own resolver still uses). Raises ValueError for a character that no name may hold.
    """
    for _ in range(_ROUNDS):
        once = unicodedata.normalize("NFC", "".join(_character(char, transitional) for char in text))
        if once == text:
            return text
        text = once
    return text


def _character(char: str, transitional: bool) -> str:
    at = bisect_right(_STARTS, ord(char)) - 1
    status = _STATUS[at]
    if status == "V" or (status == "D" and not transitional):
        return char
    if status == "X":
        raise ValueError(f"U+{ord(char):04X} may not stand in a host name")
    return _TO[at]


def ascii_name(text: str, *, transitional: bool = False) -> str:
    """The name with its labels as A-labels. Joiners that do not join anything are dropped. Raises ValueError."""
    return ".".join(_label(label, transitional) for label in mapped(text, transitional=transitional).split("."))


def _label(label: str, transitional: bool) -> str:
    if label.startswith("xn--"):
        _check(label)
        return label
    label = _without_idle_joiners(label)
    if label.isascii():
        return label
    if unicodedata.category(label[0])[0] == "M":
        raise ValueError("a label begins with a combining mark")
    if len(label) > 63:
        raise ValueError("a label is longer than 63")
    ace = "xn--" + label.encode("punycode").decode("ascii")
    _check(ace)
    return ace


def _check(label: str) -> None:
    """An A-label has to be the one spelling of a label that needs it."""
    name = decoded(label)
    if name.isascii():
        raise ValueError("an A-label spells a name that is plain ASCII")
    if mapped(name) != name or _without_idle_joiners(name) != name or unicodedata.category(name[0])[0] == "M":
        raise ValueError("an A-label spells a name that is not in canonical form")
    if label != "xn--" + name.encode("punycode").decode("ascii"):
        raise ValueError("an A-label is not the shortest spelling of its name")


def decoded(label: str) -> str:
    """What an A-label spells. Raises ValueError."""
    if len(label) > 63:
        raise ValueError("a label is longer than 63")
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, OverflowError, IndexError) as err:
        raise ValueError("an A-label that is not valid punycode") from err


def _without_idle_joiners(label: str) -> str:
    """ZWJ and ZWNJ stay where RFC 5892 appendix A lets them join something; elsewhere they are invisible and go."""
    if not any(joiner in label for joiner in _JOINERS):
        return label
    return "".join(char for i, char in enumerate(label) if char not in _JOINERS or _joins(label, i))


def _joins(label: str, at: int) -> bool:
    if at and unicodedata.combining(label[at - 1]) == 9:
        return True
    if label[at] == "\u200d":
        return False
    before = next((kind for kind in map(_joining, reversed(label[:at])) if kind != "T"), "")
    after = next((kind for kind in map(_joining, label[at + 1 :]) if kind != "T"), "")
    return before in ("L", "D") and after in ("R", "D")


def _joining(char: str) -> str:
    at = bisect_right(_JOIN_FIRST, ord(char)) - 1
    if at < 0:
        return ""
    last, kind = _JOINING[at]
    return kind if ord(char) <= last else ""
