"""What an agent wrote cannot become markup, cannot hide, and cannot move what stands beside it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from kaizen_security.server.console.visible import cut, visible, visible_text


def test_markup_in_a_text_is_shown_and_not_obeyed():
    assert visible("<img src=x onerror=alert(1)>") == Markup("<bdi>&lt;img src=x onerror=alert(1)&gt;</bdi>")


@pytest.mark.parametrize(
    ("char", "name"),
    [
        ("\u202e", "U+202E"),  # right-to-left override
        ("\u2066", "U+2066"),  # isolate
        ("\u200b", "U+200B"),  # zero-width space
        ("\x1b", "U+001B"),  # escape
        ("\n", "U+000A"),
        ("\u2028", "U+2028"),
        ("\ufeff", "U+FEFF"),
        ("\u00ad", "U+00AD"),  # soft hyphen
        ("\u3164", "U+3164"),  # Hangul filler: a letter that shows nothing
        ("\u3000", "U+3000"),  # a wide blank
        ("\U000e0041", "U+E0041"),  # tag characters: text that nobody sees
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_code_point(char, name):
    assert visible(f"a{char}b") == Markup(f'<bdi>a<span class="odd">{name}</span>b</bdi>')
    assert visible_text(f"a{char}b") == f"a[{name}]b"


def test_letters_of_every_script_stay_as_they_are():
    for text in ("naïve café", "Příliš žluťoučký", "поддержка", "サポート", "عميل", "סוכן", "support 🙂"):
        assert visible(text) == Markup(f"<bdi>{text}</bdi>")


def test_a_pile_of_combining_marks_does_not_cover_the_row_above():
    piled = "a" + "\u0301" * 40
    assert visible_text(piled).count("\u0301") == 2


def test_a_long_value_keeps_both_of_its_ends():
    shown = cut("https://" + "a" * 5000 + ".attacker.example", 60)
    assert len(shown) == 60
    assert shown.startswith("https://aaa")
    assert shown.endswith(".attacker.example")


@given(st.text(max_size=300), st.integers(min_value=1, max_value=400))
def test_nothing_that_is_shown_hides_or_is_longer_than_its_bound(text, limit):
    shown = visible_text(text, limit)
    assert len(cut(text, limit)) <= limit
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in shown)


@given(st.text(max_size=300))
def test_the_only_markup_is_ours(text):
    shown = str(visible(text, 400)).removeprefix("<bdi>").removesuffix("</bdi>")
    for piece in ('<span class="odd">', "</span>"):
        shown = shown.replace(piece, "")
    assert "<" not in shown
    assert ">" not in shown
    assert '"' not in shown
