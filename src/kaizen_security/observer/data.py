"""Classes of data in a text, each told by its own shape: what a declaration may speak of (``contract.declaration.DataClass``).

Pure, and linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kaizen_security.contract.declaration import DataClass
from kaizen_security.observer.credentials import Hit
from kaizen_security.observer.personal import LIST, card_numbers, ibans, international

MOST_PEOPLE = 64
"""Mail addresses and telephones of one text that are told apart."""

_MAIL = re.compile(r"[^\W_][\w.+-]{0,63}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_DIGITS = re.compile(r"\d[ -]?\d")


def classes(text: str, hits: Iterable[Hit]) -> Iterator[DataClass]:
    """The classes of data in ``text``, people's contacts left out; ``hits`` are the credentials that were found in it."""
    if any(True for _ in hits):
        yield DataClass.CREDENTIALS
    if _DIGITS.search(text):
        if card_numbers(text):
            yield DataClass.CARDS
        if ibans(text):
            yield DataClass.BANK_ACCOUNTS


def people(text: str) -> Iterator[str]:
    """The mail addresses and international telephone numbers in ``text``, in one spelling each, bounded."""
    if "@" in text:
        for number, match in enumerate(_MAIL.finditer(text)):
            if number >= MOST_PEOPLE:
                break
            yield match.group().casefold()
    if "+" in text:
        yield from international(text)[:MOST_PEOPLE]


def many(found: set[int]) -> bool:
    """Whether so many people's addresses or telephones are a list of people. One alone is on every letterhead."""
    return len(found) >= LIST
