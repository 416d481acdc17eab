"""HTTP/1.1 replies, whole and in pieces, proper and not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.client.wire import MAX_HEAD, Malformed, Reply, request
from kaizen_security.contract.errors import InvalidInput

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + PLAIN


@pytest.mark.parametrize("data", [PLAIN, CHUNKED, CONTINUED])
def test_a_reply_is_the_same_however_it_is_cut(data):
    for cut in range(len(data) + 1):
        reply = Reply()
        reply.feed(data[:cut])
        assert reply.done == (cut == len(data))
        reply.feed(data[cut:])
        assert (reply.status, reply.body, reply.done, reply.reusable) == (200, b"hello", True, True)


@pytest.mark.parametrize("data", [PLAIN, CHUNKED])
def test_a_reply_that_ends_early_is_refused(data):
    for cut in range(1, len(data)):
        reply = Reply()
        reply.feed(data[:cut])
        with pytest.raises(Malformed):
            reply.end()


def test_a_reply_without_a_length_ends_with_the_connection():
    reply = Reply()
    reply.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    reply.feed(b"lo")
    assert not reply.done
    reply.end()
    assert (reply.done, reply.body, reply.reusable) == (True, b"hello", False)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    ],
)
def test_what_is_no_proper_reply_is_refused(head):
    with pytest.raises(Malformed):
        Reply().feed(head)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101,
    ],
)
def test_a_body_over_its_bound_is_refused(data):
    with pytest.raises(Malformed, match="100 bytes"):
        Reply(limit=100).feed(data)


def test_a_connection_with_bytes_after_the_reply_is_not_used_again():
    reply = Reply()
    reply.feed(PLAIN + b"HTTP/1.1 200 OK\r\n")
    assert reply.done
    assert not reply.reusable


@given(st.binary(max_size=300))
def test_noise_is_refused_cleanly_or_understood(noise):
    reply = Reply()
    try:
        reply.feed(noise)
        reply.feed(b"\r\n\r\n")
        reply.end()
    except Malformed:
        return
    assert reply.done


@given(st.binary(max_size=40), st.integers(0, 200))
def test_noise_inside_a_reply_never_raises_anything_else(noise, at):
    data = CHUNKED[: at % len(CHUNKED)] + noise + CHUNKED[at % len(CHUNKED) :]
    try:
        reply = Reply()
        reply.feed(data)
        reply.end()
    except Malformed:
        pass


def test_a_request_says_its_length():
    assert request("POST", "/v1/x", "h", {"A": "b"}, b"hi") == (
        b"POST /v1/x HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert b"Content-Length: 0" in request("POST", "/", "h", None, None)
    assert b"Content-Length" not in request("GET", "/", "h", None, None)


@pytest.mark.parametrize("path", ["x", "/a b", "/a\r\nX: y", "/ä", "/\0"])
def test_a_path_that_could_end_its_line_is_refused(path):
    with pytest.raises(InvalidInput, match="path"):
        request("GET", path, "h", None, None)


@pytest.mark.parametrize("headers", [{"A b": "x"}, {"": "x"}, {"A": "x\r\nB: y"}, {"A": "\0"}, {"A": "ä"}])
def test_a_header_that_could_end_its_line_is_refused(headers):
    with pytest.raises(InvalidInput, match="headers"):
        request("GET", "/", "h", headers, None)
