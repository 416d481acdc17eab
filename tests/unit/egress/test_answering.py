"""The answer of an origin, taken out of bytes that come as they like."""

from __future__ import annotations

import pytest

from kaizen_security.egress import http1
from kaizen_security.egress.answering import MAX_INTERIM, Answering

INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"


def asked(method="GET", minor=1):
    return Answering(http1.request(f"{method} http://api.example/ HTTP/1.{minor}\r\nHost: api.example".encode()))


def begun(first, method="GET", minor=1):
    answering = asked(method, minor)
    answering.arrive(first)
    head = answering.head()
    return answering, head, answering.begin(head)


def test_a_head_that_comes_byte_by_byte_is_one_head():
    answering = asked()
    for i, byte in enumerate(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"):
        assert answering.head() is None, i
        answering.arrive(bytes([byte]))
    assert answering.head().status == 200
    assert not answering.begun


def test_interim_heads_come_one_by_one_and_not_without_end():
    answering = asked()
    answering.arrive(INTERIM * (MAX_INTERIM + 1))
    for _ in range(MAX_INTERIM):
        assert answering.head().status == 103
    with pytest.raises(http1.Bad, match="interim answers without end"):
        answering.head()


def test_a_head_without_end_is_refused():
    answering = asked()
    answering.arrive(b"HTTP/1.1 200 OK\r\nA: " + b"a" * http1.MAX_HEAD)
    with pytest.raises(http1.Bad, match="too long"):
        answering.head()


def test_what_follows_an_answer_is_dropped_and_the_connection_takes_no_other_request():
    answering, _, bounded = begun(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
    assert bounded
    assert answering.keep
    assert answering.take(answering.rest()) == b"ok"
    assert answering.done
    assert not answering.keep
    assert answering.rest() == b""


@pytest.mark.parametrize(
    ("first", "minor", "bounded"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 1, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", 1, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", 1, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0, True),
    ],
)
def test_a_connection_that_is_to_close_takes_no_other_request(first, minor, bounded):
    answering, _, said = begun(first, minor=minor)
    assert said is bounded
    assert not answering.keep


def test_the_end_of_the_connection_completes_only_what_has_no_length():
    cut, _, _ = begun(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    cut.take(b"o")
    assert not cut.end()
    whole, _, _ = begun(b"HTTP/1.1 200 OK\r\n\r\n")
    whole.take(b"o")
    assert whole.end()
    assert whole.done
    assert not whole.keep


def test_an_answer_to_head_has_no_body_and_one_in_chunks_needs_http_1_1():
    answering, _, _ = begun(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", method="HEAD")
    assert answering.done
    with pytest.raises(http1.Bad, match="in chunks"):
        begun(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", minor=0)
