"""Text that is mostly nothing: whoever writes it must not be able to hold up whoever reads it."""

from __future__ import annotations

from time import process_time

import pytest

from kaizen_security.mcp.orders import signs


@pytest.mark.parametrize(
    "text", ["\n" * 3000, " " * 60_000 + "\n", "\n" + " " * 60_000 + "x", " \n" * 3000], ids=range(4)
)
def test_runs_of_blanks_and_empty_lines_are_read_in_linear_time(text):
    began = process_time()
    signs(["Reads a file." + text])
    assert process_time() - began < 2.0


@pytest.mark.parametrize("text", ["#" * 60_000, "tekoälyavustaj" * 600, "βοηθ" * 25_000], ids=range(3))
def test_runs_of_what_begins_an_order_are_read_in_linear_time(text):
    began = process_time()
    signs([text])
    assert process_time() - began < 2.0


@pytest.mark.parametrize(
    ("text", "pushed"),
    [
        ("a" + "\n" * 25 + "b", True),
        ("a" + " \t\n" * 25 + "\r\u00a0b", True),
        ("a" + " " * 120 + "b", True),
        ("a" + "\n" * 24 + "b", False),
        ("a" + "\n" * 90, False),
        ("a" + " " * 119 + "b", False),
        ("a" + " " * 200 + "\nb", False),
    ],
    ids=range(7),
)
def test_what_stands_behind_much_nothing_is_pushed_out_of_sight(text, pushed):
    assert ("text pushed out of sight" in {sign.kind for sign in signs([text])}) is pushed
