"""Plain requests inside a tunnel: the host that their head asks for, however it comes in; what is no request goes on at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.egress.http1 import MAX_HEAD, Bad
from kaizen_security.egress.peek import Peek
from kaizen_security.egress.plain import asked

GET = b"GET / HTTP/1.1\r\nHost: Evil.example:80\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (GET, "evil.example"),
        (b"\r\n\n" + GET, "evil.example"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "evil.example"),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", "evil.example"),
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"OPTIONS sip:evil.example SIP/2.0\r\n", ""),
        (b"PUT key\r\n", ""),
        (b"SSH-2.0-x\r\n", ""),
        (b"\0\1", ""),
        (b"", None),
        (b"GE", None),
        (GET[:-1], None),
    ],
)
def test_who_is_asked(data: bytes, host: str | None):
    assert asked(data) == host


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: evil.example\n\n",
        b"GET  / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.example\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + b"X: y\r\n" * (MAX_HEAD // 6),
    ],
    ids=["bare LF", "two spaces", "two hosts", "no host", "a head without an end"],
)
def test_what_may_be_read_in_several_ways_is_unreadable(data: bytes):
    with pytest.raises(Bad):
        asked(data)


@given(st.binary(max_size=40).map(lambda noise: GET[: len(noise) // 2] + noise))
def test_any_bytes_are_a_host_or_nothing_or_unreadable(data: bytes):
    peek = Peek()
    let_go = peek.see(data)
    assert let_go in (None, data)
    assert peek.see(b"") == data or let_go == data


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_a_request_is_held_back_until_its_head_is_whole(piece: int):
    peek = Peek()
    let_go = [peek.see(GET[at : at + piece]) for at in range(0, len(GET), piece)]
    assert let_go == [None] * (len(let_go) - 1) + [GET]
    assert (peek.host, peek.speaks, peek.unreadable) == ("evil.example", "http", False)
