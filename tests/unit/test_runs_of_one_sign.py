"""Texts of one sign many times: whoever writes them must not be able to hold up whoever reads them."""

from __future__ import annotations

import random
import re
from time import process_time

from kaizen_security.collectors.kernel import actions
from kaizen_security.egress import plain
from kaizen_security.observer import conduct

HEADER = re.compile(r"(?i)((?:proxy-)?authorization:|cookie:|x-[a-z-]*(?:key|token|secret):).+")
PARTY = re.compile(r"[^@\s,;<>\"']+@[^@\s,;<>\"']+\.[^@\s,;<>\"']+")
LINE = re.compile(rb"[A-Z]{3,7} +[^\n]*HTTP/1\.[0-9]+[ \t]*\r?")
"""As they were first, each in time by the square of a text's length."""


def test_they_are_read_in_linear_time():
    began = process_time()
    assert actions.redacted(("x-" * 20_000 + " a:b",)) == ("x-" * 20_000 + " a:b",)
    assert plain.asked(b"GET" + b" " * 65_000 + b"\n") == ""
    assert not conduct._PARTY.findall("a" * 60_000)
    assert process_time() - began < 1.0


def test_they_are_read_as_before():
    chance = random.Random(1)
    headers = (
        "x-",
        "X-",
        "key",
        "token",
        "secret",
        ":",
        "-",
        "a",
        "x",
        "proxy-",
        "authorization",
        "cookie",
        " ",
        "\n",
        "\u212a",
    )
    lines = (b"GET", b" ", b"  ", b"HTTP/1.", b"1", b"HTTP/1.1", b"\r", b"\t", b"\n", b"/")
    for _ in range(10_000):
        text = "".join(chance.choices(headers, k=chance.randrange(1, 12)))
        assert actions._HEADER.sub(r"\1 [redacted]", text) == HEADER.sub(r"\1 [redacted]", text)
        text = "".join(chance.choices("ab@@.., ", k=chance.randrange(1, 12)))
        assert conduct._PARTY.findall(text) == PARTY.findall(text)
        line = b"GET " * chance.randrange(2) + b"".join(chance.choices(lines, k=chance.randrange(1, 9)))
        assert bool(plain._LINE.fullmatch(line)) is bool(LINE.fullmatch(line))
