"""Laws of the sieve: a text that holds a stem of a group may hold the group, whatever was read before."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaizen_security.mcp import orders
from kaizen_security.mcp.order_plain import plain
from kaizen_security.mcp.order_sieve import MOST_KEPT, Sieve
from kaizen_security.mcp.order_tongues import HEAVY_STEMS, heavy_in

GROUPS = (*(kind.stems for kind in orders._HEAVY_KINDS), *HEAVY_STEMS)
STEMS = sorted({stem for stems in GROUPS for stem in stems})
ONE = Sieve(GROUPS)
"""One for all examples: what it kept of one must not change what it says of another."""
PIECES = (
    st.sampled_from(STEMS) | st.text(max_size=6) | st.sampled_from(["a result", "orders", "7f3a", "it", "do", "not"])
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "\n", ". ", "\x1e", "\u00a0", "-"])), max_size=12).map(
    lambda parts: "".join(piece + gap for piece, gap in parts)
)


@given(TEXTS)
@example("\nai")
@example("do that ")
def test_a_stem_in_a_text_is_never_overlooked(text):
    found = ONE.may(text)
    for number, stems in enumerate(GROUPS):
        assert found >> number & 1 or not any(stem in text for stem in stems)


@settings(max_examples=200)
@given(TEXTS)
def test_the_heavy_kinds_of_a_text_are_those_that_every_stem_is_looked_for_for(text):
    read = plain(text)
    every = (*orders._HEAVY_KINDS, *heavy_in(read, spoken=True))
    found = [match.span() for kind in every for match in kind.finds(read)]
    may = orders._SIEVE.may(read)
    assert [match.span() for kind in orders._heavy(read, may) for match in kind.finds(read)] == found


def test_a_group_without_stems_or_with_one_of_blanks_may_stand_anywhere():
    assert Sieve([(), (" ",), ("key",)]).may("a b") == 0b011


def test_words_are_kept_and_numbers_are_not_and_no_flood_of_words_stays():
    sieve = Sieve([("key",)])
    for n in range(3):
        assert sieve.may(f"keyhole order 1182 {n}") == 1
    assert set(sieve._kept) == {"keyhole", "order"}
    letters = "abcdefghijklmnopqrstuvwxyz"
    for first in letters:
        for second in letters:
            assert sieve.may(" ".join(first + second + third for third in letters[:12])) == 0
    assert len(sieve._kept) <= MOST_KEPT
    assert sieve.may("keyhole") == 1
