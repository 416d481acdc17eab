"""WebSocket frames that are looked at: whatever the cuts they go on as they came, and what is refused does not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaizen_security.interception.documents import Documents
from kaizen_security.interception.messages import Messages, Unframed
from kaizen_security.interception.scan import HOLD, WINDOW, Leak, Scanner
from kaizen_security.observer.canaries import from_json, row

KEY = bytes(32)
CANARY = "Zq7Lm4Xc8Vb1Nn5Jh3Gf6Dd0"
BAIT = from_json({"key": KEY.hex(), "canaries": [row(KEY, "bait", CANARY)]})
MASK = b"\x11\x22\x33\x44"


def frame(payload: bytes, *, opcode: int = 1, end: bool = True) -> bytes:
    size = len(payload)
    length = (
        bytes([0x80 | size])
        if size < 126
        else b"\xfe" + size.to_bytes(2, "big")
        if size < 1 << 16
        else b"\xff" + size.to_bytes(8, "big")
    )
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([(0x80 if end else 0) | opcode]) + length + MASK + masked


def stop(leaks: list[Leak]) -> None:
    raise ConnectionAbortedError(leaks[0].name)


def messages() -> Messages:
    return Messages(Scanner(BAIT, Documents()).start("a.example"), stop)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 20), max_size=10)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=70_000), max_size=4), CUTS)
def test_what_goes_on_is_what_came(payloads: list[bytes], cuts: list[int]):
    stream = b"".join(map(frame, payloads))
    one = messages()
    assert b"".join(map(one.take, cut(stream, cuts))) == stream
    assert not one._held
    assert len(one._window) <= HOLD


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2 * WINDOW), st.integers(0, 2 * WINDOW), CUTS)
def test_a_canary_does_not_go_on(before: int, after: int, cuts: list[int]):
    stream = frame(b"hello") + frame(b"w" * before + b" " + CANARY.encode() + b" " + b"w" * after)
    one = messages()
    sent = b""
    stopped = ""
    for part in cut(stream, cuts):
        try:
            sent += one.take(part)
        except ConnectionAbortedError as err:
            stopped = str(err)
            break
    assert stopped == "canary bait"
    head = frame(b"hello")
    rest = sent[len(head) :]
    assert sent[: len(head)] == head[: len(sent)]
    size = 2 + (0 if before + after + 26 < 126 else 2 if before + after + 26 < 1 << 16 else 8) + 4
    assert CANARY.encode()[:6] not in bytes(byte ^ MASK[at % 4] for at, byte in enumerate(rest[size:]))


def test_a_canary_that_is_cut_over_frames_is_found():
    one = messages()
    assert one.take(frame(f"so: {CANARY[:10]}".encode(), end=False))
    with pytest.raises(ConnectionAbortedError):
        one.take(frame(f"{CANARY[10:]}.".encode(), opcode=0))


def test_a_ping_without_words_goes_on_at_once():
    one = messages()
    assert one.take(frame(b"", opcode=9)) == frame(b"", opcode=9)


@pytest.mark.parametrize("stream", [b"\x81\x05hello", b"\xc1\x85" + MASK + b"hello"])
def test_what_is_not_masked_or_packed_is_no_frame(stream: bytes):
    with pytest.raises(Unframed):
        messages().take(stream)


def test_what_is_held_of_a_long_frame_does_not_grow():
    one = messages()
    one.take(b"\x82\xff" + (1 << 30).to_bytes(8, "big") + MASK)
    for _ in range(50):
        one.take(bytes(65536))
        assert len(one._held) <= HOLD + WINDOW
