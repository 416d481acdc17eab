"""Account numbers that are written in groups, as people write them, in the one spelling that a form takes."""

from __future__ import annotations

import re

from kaizen_security.observer.personal import mod97

LONGEST = 48
"""Characters of the longest account number with its gaps."""
LEAST = 12
"""Digits from which groups of digits alone are an account's."""

_STARTS = re.compile(r"[0-9](?:(?<=[a-z]{2}\d\d)[ .-][a-z0-9]| \d{1,6}[ .-]\d)")
"""Stands in every grouped number, and in few texts."""
_IBAN = re.compile(r"(?<![^\W_])[a-z]{2}\d{2}(?:[ .-][a-z0-9]{1,6}){2,9}(?![^\W_])")
_DIGITS = re.compile(r"(?<![\w.+-])\d{2,6}(?:[ .-]\d{1,6}){2,8}(?![\w-])")
_ROW = re.compile(r"\d{4}[.-]\d\d?[.-]\d\d?|\d\d?[.-]\d\d?[.-]\d{4}|\d\d?\.\d\d(?:\.\d\d)?|\d{1,6}\.\d{1,6}")
"""A date, a time, a number with decimals: where all that blanks part is such, it is a row of them."""
_INTEGERS = re.compile(r"[1-9]\d*(?: [1-9]\d*)+")
_GAPS = str.maketrans("", "", " .-")


def packed(value: str) -> str:
    """``value`` (folded) without its gaps where all of it is an account number in groups; else as it is."""
    if value.isalnum() or len(value) > LONGEST or not _STARTS.search(value):
        return value
    found = value.translate(_GAPS)
    if _IBAN.fullmatch(value):
        return found if mod97(found) else value
    return found if len(found) >= LEAST and " " in value and _DIGITS.fullmatch(value) and not _is_row(value) else value


def in_groups(text: str) -> list[str]:
    """The account numbers that stand in groups in a folded text, without their gaps."""
    if not _STARTS.search(text):
        return []
    found = [number for match in _IBAN.finditer(text) if (number := _longest(match.group()))]
    found += [
        number
        for groups in _DIGITS.findall(text)
        if " " in groups and len(number := groups.translate(_GAPS)) >= LEAST and not _is_row(groups)
    ]
    return found


def integers(text: str) -> set[str]:
    """Those of ``in_groups`` that may as well be a row of plain integers, such as ``1200 800 640 480``: blanks part them, and none
    begins with a zero.
    """
    if not _STARTS.search(text):
        return set()
    return {groups.translate(_GAPS) for groups in _DIGITS.findall(text) if _INTEGERS.fullmatch(groups)}


def _is_row(groups: str) -> bool:
    # Of a long row the last one may be cut.
    *pieces, last = groups.split(" ")
    return all(map(_ROW.fullmatch, pieces)) and (last.isdigit() or _ROW.fullmatch(last) is not None)


def _longest(groups: str) -> str:
    # What follows a number is taken for further groups of it: the check digits say where it ends.
    ends = [place for place, char in enumerate(groups) if char in " .-"]
    for end in (len(groups), *reversed(ends)):
        number = groups[:end].translate(_GAPS)
        if len(number) >= 15 and mod97(number):
            return number
    return ""
