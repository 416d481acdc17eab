"""Decoding: every encoding and some within one another, bombs, and texts that are no encoding."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from urllib.parse import quote

import pytest

from kaizen_security.observer.decode import DEEPEST, MOST_DECODED, MOST_INFLATED, Budget, decoded, turned

TEXT = "the second bidder is Norvik, 14.2 million"


def b64(data):
    return base64.b64encode(data).decode()


WAYS = {
    "base64": b64(TEXT.encode()),
    "base64 without padding, for URLs": base64.urlsafe_b64encode(TEXT.encode()).decode().rstrip("="),
    "base64 in lines": "\n".join(b64(TEXT.encode())[at : at + 19] for at in range(0, 60, 19)),
    "base32": base64.b32encode(TEXT.encode()).decode(),
    "base32, small": base64.b32encode(TEXT.encode()).decode().rstrip("=").lower(),
    "hex": TEXT.encode().hex(),
    "hex, capitals": TEXT.encode().hex().upper(),
    "percent": quote(TEXT, safe=""),
    "percent of every byte": "".join(f"%{byte:02x}" for byte in TEXT.encode()),
    "escapes": "".join(f"\\u{ord(char):04x}" for char in TEXT),
    "character references": "".join(f"&#{ord(char)};" for char in TEXT),
    "gzip in base64": b64(gzip.compress(TEXT.encode())),
    "zlib in base64": b64(zlib.compress(TEXT.encode())),
    "zlib in hex": zlib.compress(TEXT.encode()).hex(),
    "base64 in base64": b64(b64(TEXT.encode()).encode()),
    "gzip in base64, percent": quote(b64(gzip.compress(TEXT.encode())), safe=""),
    "base64 in a sentence": f"see {b64(TEXT.encode())} for more",
    "base64 in JSON": f'{{"blob":"{b64(TEXT.encode())}","n":1}}',
}


def readings(text):
    return [one.text for one in decoded(text, Budget())]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_encoded_is_read_again(way):
    assert any(TEXT in text for text in readings(WAYS[way]))


def test_the_form_names_the_encodings_from_the_outermost():
    forms = {one.form for one in decoded(WAYS["gzip in base64, percent"], Budget())}
    assert "percent+base64+gzip" in forms


@pytest.mark.parametrize("skipped", [1, 2, 3])
def test_a_piece_from_the_middle_of_base64_is_read(skipped):
    assert any("bidder is Norvik" in text for text in readings(b64(TEXT.encode())[skipped:]))


def test_a_piece_from_the_middle_of_hex_is_read():
    assert any("bidder is Norvik" in text for text in readings(TEXT.encode().hex()[1:]))


def test_backwards_and_rot13_are_turned():
    assert {one.text for one in turned(TEXT[::-1])} >= {TEXT}
    assert "gur frpbaq" in {one.text[:10] for one in turned(TEXT)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "An ordinary sentence with internationalisation and misunderstandings in it.",
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "x" * 3000,
        "6b1f2d3c-4a5e-6b7c-8d9e-0f1a2b3c4d5e",
        "/srv/projects/annual-report/2026/final_version.txt",
    ],
)
def test_what_is_not_encoded_gives_nothing(text):
    assert readings(text) == []


def test_random_bytes_give_nothing():
    chance = random.Random(5)
    assert all(readings(b64(chance.randbytes(60))) == [] for _ in range(200))


def test_a_bomb_stays_small():
    bomb = b64(gzip.compress(b"a" * 50_000_000, 9))
    found = list(decoded(bomb, budget := Budget()))
    assert sum(len(one.text) for one in found) <= MOST_DECODED
    assert max(len(one.text) for one in found) <= MOST_INFLATED
    assert budget.left >= 0


def test_many_bombs_share_one_budget_and_say_that_something_was_cut():
    bomb = b64(gzip.compress(b"some words and some more " * 4000))
    budget = Budget()
    total = sum(len(one.text) for one in decoded(" ".join([bomb] * 16), budget))
    assert total <= MOST_DECODED
    assert budget.cut


def test_nesting_ends():
    text = TEXT
    for _ in range(DEEPEST + 2):
        text = b64(text.encode())
    assert not any(TEXT in one for one in readings(text))
