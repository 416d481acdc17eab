"""Heads: what is understood, and every smuggling shape that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.egress import http1

GET = b"GET http://api.example/a?b=1 HTTP/1.1\r\nHost: api.example\r\nAccept: */*"


def head_of(*lines: bytes) -> http1.Request:
    return http1.request(b"\r\n".join((b"POST http://api.example/ HTTP/1.1", b"Host: api.example", *lines)))


def test_a_request_is_read():
    head = http1.request(GET)
    assert (head.method, head.minor, head.values(b"accept")) == (b"GET", 1, [b"*/*"])
    assert http1.destination(head) == http1.Destination("api.example", 80, "api.example:80", b"/a?b=1")
    assert http1.request_body(head) == http1.NONE


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://a/ HTTP/1.1\nHost: a",
        b"GET http://a/ HTTP/1.1\r\nHost: a\nX: b",
        b"GET http://a/ HTTP/1.1\r\nHost: a\rX: b",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n folded",
        b"GET http://a/ HTTP/1.1\r\nHost : a",
        b"GET http://a/ HTTP/1.1\r\n: a",
        b"GET http://a/ HTTP/1.1\r\nHost a",
        b"GET http://a/ HTTP/1.1\r\nX: a\x00b",
        b"GET http://a/ HTTP/1.1\r\nX: a\x7fb",
        b"GET  http://a/ HTTP/1.1\r\nHost: a",
        b"GET http://a/ HTTP/2.0\r\nHost: a",
        b"GET http://a/ HTTP/1.2\r\nHost: a",
        b"GET http://a/ http/1.1\r\nHost: a",
        b"G\x00T http://a/ HTTP/1.1",
        b"GET http://a/\xc3\xa4 HTTP/1.1",
        b"GET http://a/ HTTP/1.1 ",
        b" GET http://a/ HTTP/1.1",
        b"GET http://a/",
        b"",
    ],
)
def test_a_head_that_two_readers_could_read_differently_is_refused(head):
    with pytest.raises(http1.Bad):
        http1.request(head)


def test_a_head_with_too_many_fields_is_refused():
    with pytest.raises(http1.Bad) as caught:
        head_of(*[b"X: 1"] * 300)
    assert caught.value.status == 431


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -5"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5_0"],
        [b"Content-Length: "],
        [b"Content-Length: 99999999999999999999"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked;q=1"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding: \x0bchunked".replace(b"\x0b", b"")[:-1]],
    ],
)
def test_a_body_whose_length_two_readers_could_tell_differently_is_refused(lines):
    with pytest.raises(http1.Bad):
        http1.request_body(head_of(*lines))


def test_a_transfer_encoding_in_http_1_0_is_refused():
    head = http1.request(b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked")
    with pytest.raises(http1.Bad):
        http1.request_body(head)


def test_the_same_content_length_twice_is_one():
    assert http1.request_body(head_of(b"Content-Length: 5", b"content-length:5")) == 5


def test_chunked_is_read_in_any_case():
    assert http1.request_body(head_of(b"transfer-ENCODING:\tChunked ")) == http1.CHUNKED


@pytest.mark.parametrize(
    ("target", "host", "port", "path"),
    [
        (b"http://api.example", "api.example", 80, b"/"),
        (b"HTTP://API.Example.:8080/x", "api.example", 8080, b"/x"),
        (b"http://api.example?q", "api.example", 80, b"/?q"),
        (b"http://api.example:/", "api.example", 80, b"/"),
        (b"http://[::1]/", "::1", 80, b"/"),
        (b"http://[::ffff:127.0.0.1]:81/", "127.0.0.1", 81, b"/"),
        (b"http://0x7f.1/", "127.0.0.1", 80, b"/"),
        (b"http://2130706433/", "127.0.0.1", 80, b"/"),
    ],
)
def test_the_destination_of_a_plain_request_is_canonical(target, host, port, path):
    head = http1.request(b"GET " + target + b" HTTP/1.1")
    assert http1.destination(head) == http1.Destination(host, port, http1.authority(host, port), path)


@pytest.mark.parametrize(
    "target",
    [
        b"/path",
        b"*",
        b"https://api.example/",
        b"ftp://api.example/",
        b"http://user:password@api.example/",
        b"http://good.example@evil.example/",
        b"http://api.example/#fragment",
        b"http://api.example:0/",
        b"http://api.example:65536/",
        b"http://api.example:99999999/",
        b"http://api.example:8a/",
        b"http:///path",
        b"http://[::1",
        b"http://[::1]x/",
        b"http://a b/",
        b"http://%00/",
    ],
)
def test_a_target_that_is_disguised_or_not_ours_is_refused(target):
    with pytest.raises(http1.Bad):
        http1.destination(http1.request(b"GET " + target + b" HTTP/1.1"))


@pytest.mark.parametrize(
    "target", [b"api.example", b"api.example:", b":443", b"http://api.example:443", b"a:b:c", b"u@a:443"]
)
def test_connect_needs_a_host_and_a_port(target):
    with pytest.raises(http1.Bad):
        http1.destination(http1.request(b"CONNECT " + target + b" HTTP/1.1"))


def test_connect_to_an_ipv6_address():
    where = http1.destination(http1.request(b"CONNECT [2001:DB8::1]:443 HTTP/1.1"))
    assert where.name == "[2001:db8::1]:443"


def test_options_of_the_whole_server_keeps_its_star():
    assert http1.destination(http1.request(b"OPTIONS http://a.example HTTP/1.1")).path == b"*"


def test_hop_by_hop_fields_do_not_travel_on():
    head = head_of(
        b"Connection: close, X-Secret",
        b"X-Secret: 1",
        b"Proxy-Authorization: Basic eA==",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"X-Kept: 2",
    )
    assert [name for _, name, _ in http1.end_to_end(head.fields)] == [b"Host", b"X-Kept"]


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"Transfer-Encoding", b"Cookie", b"Authorization"])
def test_connection_cannot_remove_what_frames_routes_or_authenticates(name):
    with pytest.raises(http1.Bad):
        http1.end_to_end(head_of(b"Connection: " + name).fields)


@pytest.mark.parametrize(
    ("head", "method", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3", b"GET", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3", b"HEAD", http1.NONE),
        (b"HTTP/1.1 204 No Content", b"GET", http1.NONE),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 300", b"GET", http1.NONE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"GET", http1.CHUNKED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", b"GET", http1.CHUNKED),
        (b"HTTP/1.1 200", b"GET", http1.UNTIL_CLOSE),
        (b"HTTP/1.0 200 OK", b"GET", http1.UNTIL_CLOSE),
    ],
)
def test_the_length_of_an_answer(head, method, framing):
    assert http1.response_body(http1.response(head), method) == framing


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
        b"HTTP/1.1 200 OK\r\nContent-Length : 3",
        b"HTTP/1.1 200 OK\r\n X: 3",
        b"ICY 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
    ],
)
def test_an_answer_whose_length_is_unclear_is_a_bad_gateway(head):
    with pytest.raises(http1.Bad) as caught:
        http1.response_body(http1.response(head), b"GET")
    assert caught.value.status == 502


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET http://a/ HTTP/1.1\r\nHost: a", True),
        (b"GET http://a/ HTTP/1.1\r\nConnection: Close", False),
        (b"GET http://a/ HTTP/1.1\r\nProxy-Connection: close", False),
        (b"GET http://a/ HTTP/1.0", False),
        (b"GET http://a/ HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_who_keeps_the_connection(head, kept):
    assert http1.keeps_alive(http1.request(head)) is kept


@given(st.binary(max_size=400))
def test_any_bytes_are_understood_or_refused(data):
    try:
        head = http1.request(data)
        http1.destination(head)
        http1.request_body(head)
    except http1.Bad:
        return
    assert b"\n" not in http1.joined(head.fields).replace(b"\r\n", b"")


_PIECES = st.sampled_from(
    [b"GET", b"CONNECT", b" ", b"\t", b"http://", b"a.example", b"[::1]", b":443", b"/", b"@", b"#", b" HTTP/1.1", b"\r\n", b"\n",
     b"\r", b"Host", b":", b"Content-Length", b"Transfer-Encoding", b"chunked", b"5", b",", b"Connection", b"close",
     b"\x00", b"\xff"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=30).map(b"".join))
def test_any_mixture_of_the_grammar_is_understood_or_refused_and_never_both_ways_framed(data):
    try:
        head = http1.request(data)
        framing = http1.request_body(head)
        http1.destination(head)
        http1.end_to_end(head.fields)
    except http1.Bad:
        return
    assert not (framing == http1.CHUNKED and head.values(b"content-length"))


def test_a_long_hostile_head_is_read_in_linear_time():
    # Would take minutes if any pattern tried its pieces again and again.
    with pytest.raises(http1.Bad):
        http1.request(b"GET http://a/ HTTP/1.1\r\n" + b"a" * 60_000 + b" :x")
    http1.request(b"GET http://a/ HTTP/1.1\r\nX: " + b" \t" * 30_000)
