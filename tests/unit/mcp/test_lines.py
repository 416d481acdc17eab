"""Frames out of a stream, also those that are too large to be read whole."""

from __future__ import annotations

import json

import pytest

from kaizen_security.mcp.frames import Limits, Unreadable
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.lines import Line, Lines, Piece


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_lines_come_out_whole_however_they_were_cut(step):
    data = b'{"a":1}\n\n  \r\n{"b":2}\r\nrest'
    lines = Lines(100)
    found = [one for at in range(0, len(data), step) for one in lines.feed(data[at : at + step])]
    assert found == [Line(b'{"a":1}'), Line(b'{"b":2}\r')]
    assert lines.rest == 4


@pytest.mark.parametrize("step", [1, 5, 64])
def test_what_is_too_long_comes_in_pieces_and_the_next_line_is_whole_again(step):
    data = b"x" * 40 + b"\nshort\n"
    lines = Lines(16)
    found = [one for at in range(0, len(data), step) for one in lines.feed(data[at : at + step])]
    *pieces, last = found
    assert last == Line(b"short")
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert b"".join(piece.data for piece in pieces) == b"x" * 40
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_stream_without_ends_of_lines_needs_no_more_memory_than_the_bound():
    lines = Lines(1 << 16)
    for _ in range(100):
        list(lines.feed(b"x" * 65_536))
        assert lines.rest <= 1 << 16


def large(data, step, limits=None):
    found = Large(limits or Limits())
    for at in range(0, len(data), step):
        found.feed(data[at : at + step])
    return found


REPLY = json.dumps(
    {"result": {"content": [{"text": 'a "quoted" \\ back{[ ' * 50}], "n": [[1], {}]}, "jsonrpc": "2.0", "id": "x\"y"}
)  # fmt: skip


@pytest.mark.parametrize("step", [1, 2, 3, 17, 5000])
def test_the_skeleton_of_a_large_reply_is_its_top_level(step):
    found = large(REPLY.encode(), step)
    assert json.loads(found.skeleton()) == {"result": None, "jsonrpc": "2.0", "id": 'x"y'}
    assert b"".join(found.chunks()) == REPLY.encode()
    found.close()


@pytest.mark.parametrize(
    "data",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{"a":"b"}',
        b'{"jsonrpc":"2.0","id":1,"result":"open',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":\r{"jsonrpc":"2.0"}}}',
        b'{"jsonrpc":"2.0","id":1,"result":"a\rb"}',
        b'[{"jsonrpc":"2.0","id":1,"result":{}}]',
        b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"jsonrpc":"2.0","id":1,"result":{}}}',
        b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 100_000 + b'"}',
    ],
)
def test_a_large_reply_that_is_not_understood_is_not_passed_on(data):
    found = large(data, 11)
    with pytest.raises(Unreadable):
        found.skeleton()
    found.close()


def test_a_large_reply_is_bounded_too():
    found = large(b'{"jsonrpc":"2.0","id":1,"result":{"t":"' + b"x" * 2000 + b'"}}', 100, Limits(large=1000))
    with pytest.raises(Unreadable, match="more than 1000 bytes"):
        found.skeleton()
    found.close()
