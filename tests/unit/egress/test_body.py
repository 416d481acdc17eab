"""Bodies are passed on as they came, and end exactly where they end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.egress.body import Chunked, Length, UntilClose
from kaizen_security.egress.http1 import Bad

CHUNKS = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Digest: abc\r\n\r\n"


def test_a_length_takes_no_more_than_its_own():
    body = Length(5)
    assert (body.take(b"abc"), body.done, body.end()) == (3, False, False)
    assert (body.take(b"defgh"), body.done, body.end()) == (2, True, True)


def test_until_close_takes_all_and_ends_with_the_stream():
    body = UntilClose()
    assert (body.take(b"abc"), body.done) == (3, False)
    assert (body.end(), body.done) == (True, True)


@given(st.lists(st.integers(1, 9), max_size=80))
def test_chunks_are_taken_the_same_however_they_arrive(cuts):
    body, data, taken = Chunked(), CHUNKS + b"GET next", 0
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        n = body.take(piece)
        taken += n
        assert body.done or n == len(piece)
        if body.done:
            break
    assert body.done
    assert taken == len(CHUNKS)


def test_chunks_that_are_cut_are_not_whole():
    body = Chunked()
    body.take(CHUNKS[:-2])
    assert not body.end()


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n",
        b"-5\r\n",
        b"+5\r\n",
        b"0x5\r\n",
        b"5 5\r\n",
        b"g\r\n",
        b"\r\n",
        b"fffffffffffffffff\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;a=\nb\r\nhello\r\n",
        b"5;a=\rb\r\nhello\r\n",
        b"5;" + b"a" * 5000,
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: evil\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n"
        + b"X: "
        + b"a" * 4000
        + b"\r\n"
        + b"Y: "
        + b"a" * 4000
        + b"\r\n"
        + (b"Z: " + b"a" * 4000 + b"\r\n") * 3,
    ],
)
def test_a_chunk_that_two_readers_could_read_differently_is_refused(data):
    with pytest.raises(Bad):
        Chunked().take(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_chunks_or_refused(data):
    body = Chunked()
    try:
        taken = body.take(data)
    except Bad:
        return
    assert taken == len(data) or body.done
