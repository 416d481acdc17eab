"""Laws: the words of a text are what one regular expression over all of it finds; the short way changes nothing."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.observer import copies, entities, personal

_ENTITY_WORD = re.compile(r"[^\W_]+(?:[._@:/+'&=?#%~-]+[^\W_]+)*")
_COPY_WORD = re.compile(r"\w+(?:[.@:/+'-]+\w+)*")

TEXTS = st.text(max_size=200) | st.lists(
    st.sampled_from(
        ["a@b.example", "plain", "x_y", "1,100.00", "it's", "-", "\u00a0", "\x1c", "\n", "²", "ǅ", "a\u0301", ",", "٣٤"]
    ),
    max_size=30,
).map(" ".join)


@given(TEXTS)
def test_plain_words(text: str) -> None:
    folded = entities.fold(text)
    every = [word for word in _ENTITY_WORD.findall(folded) if word.isalpha() and word not in entities._STOP]
    assert entities.plain_words(text) == [entities.stem(word) for word in every]


@given(TEXTS)
def test_words_of_copies(text: str) -> None:
    assert copies.words(text) == _COPY_WORD.findall(copies.plain(text))


@given(TEXTS)
def test_white_space_is_one(text: str) -> None:
    spaced = re.sub(r"\s+", " ", entities.fold(text)).strip(entities._EDGES)
    assert entities.canonical(text) == entities.canonical(spaced)


@given(
    st.lists(st.sampled_from([*"0123456789 -+()./AB", "+49 170 1234567", "4111 1111 1111 1111"]), max_size=60).map(
        "".join
    )
)
def test_no_number_is_passed_by(text: str) -> None:
    assert personal.numbers(text) == [*personal.card_numbers(text), *personal.ibans(text), *personal.telephones(text)]
