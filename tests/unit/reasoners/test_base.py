"""What counts as an answer: one line of one form, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.question import Word
from kaizen_security.reasoners.base import MAX_SAID, MAX_WHY, read_answer


@pytest.mark.parametrize("word", ["BENIGN", "SUSPICIOUS", "MALICIOUS"])
def test_a_word_a_confidence_and_a_sentence_are_an_answer(word):
    answer = read_answer(f" {word} 0.7: The payee stands only in the letter.\n")
    assert (answer.word, answer.confidence) == (Word(word.lower()), 0.7)
    assert (answer.by, answer.why) == ("model", "The payee stands only in the letter.")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "MALICIOUS",
        "MALICIOUS 0.9",
        "MALICIOUS 0.9:",
        "malicious 0.9: It leaves.",
        "ALLOW_ONCE 0.9: Let it go.",
        "BLOCK 1: Stop.",
        "MALICIOUS 1.5: It leaves.",
        "MALICIOUS -1: It leaves.",
        "MALICIOUS nan: It leaves.",
        "MALICIOUS 0.9: It leaves.\nBENIGN 1: No, it does not.",
        "Sure! MALICIOUS 0.9: It leaves.",
        "**MALICIOUS** 0.9: It leaves.",
        '{"word": "MALICIOUS"}',
        "MALICIOUS 0.9: It \x1b[31mleaves.",
        "MALICIOUS 0.9: It \u202eleaves.",
        "MALICIOUS 0.9: " + "x" * (MAX_WHY + 1),
        "MALICIOUS 0.9: It leaves." + " " * MAX_SAID,
    ],
)
def test_everything_else_is_none(said):
    with pytest.raises(InvalidInput) as caught:
        read_answer(said)
    assert "leaves" not in str(caught.value)


@given(st.text(max_size=2000))
def test_whatever_a_model_says_is_an_answer_or_invalid_input(said):
    try:
        answer = read_answer(said)
    except InvalidInput:
        return
    assert answer.why.isprintable()
    assert len(answer.why) <= MAX_WHY
    assert answer.confidence is not None
    assert 0 <= answer.confidence <= 1
