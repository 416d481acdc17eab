"""Heads that are read at once are read as the ones that are taken apart."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.egress import http1, rewrite, usual

NAMES = (
    "Host",
    "hOsT",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Foo",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "Expect",
    "X-Host",
    "Hosts",
    "Trailer",
    "Accept",
)
VALUES = (
    "api.example",
    "API.example:80",
    "5",
    "7",
    " 5\t",
    "keep-alive",
    "Keep-Alive",
    "close",
    "chunked",
    "x",
    "",
    "*/*",
    "\xe9",
    "a\x00b",
)
TARGETS = (
    "http://api.example/",
    "HTTP://api.example:80/a?b=c",
    "http://api.example",
    "http://api.example?x",
    "http://u@api.example/",
    "http://api.example/#f",
    "http://api.example/@",
    "http://[::1]:8080/x",
    "http://0x7f.1/",
    "https://api.example/",
    "/healthz",
    "http://api.example:0/",
)
LINES = st.lists(
    st.builds("{}:{}{}".format, st.sampled_from(NAMES), st.sampled_from(["", " ", "\t "]), st.sampled_from(VALUES)),
    max_size=6,
)
HEADS = st.builds(
    lambda method, target, version, lines: "\r\n".join([f"{method} {target} {version}", *lines]).encode("latin-1"),
    st.sampled_from(["GET", "POST", "get", "M-SEARCH", "G@T"]),
    st.sampled_from(TARGETS),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0"]),
    LINES.map(lambda lines: ["Host: api.example", *lines]) | LINES,
)


def onward(head: http1.Request, where: http1.Destination) -> object:
    """What the origin is sent, and whatever else is decided by the head."""
    websocket = rewrite.wants_websocket(head)
    lines = rewrite.request(head, where, websocket=websocket, via=False)
    first, _, fields = lines.partition(b"\r\n")
    spelled = sorted(tuple(part.strip(b" \t") for part in line.partition(b":")) for line in fields.split(b"\r\n"))
    return (
        (first, spelled, websocket, where, head.minor, head.method, head.target),
        (http1.request_body(head), http1.keeps_alive(head), rewrite.other_host(head, where)),
        head.values(b"proxy-authorization"),
    )


@given(HEADS)
@example(b"GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\nContent-Length: api.example")
def test_a_usual_request_is_read_as_any_other(data):
    try:
        quick = usual.request(data)
    except http1.Bad as bad:
        with pytest.raises(http1.Bad, match=str(bad)):
            http1.destination(http1.request(data))
        return
    if quick is None:
        return
    head = http1.request(data)
    try:
        expected = onward(head, http1.destination(head))
    except http1.Bad as bad:
        with pytest.raises(http1.Bad, match=str(bad)):
            onward(*quick)
        return
    assert onward(*quick) == expected


@given(
    st.builds(
        lambda first, lines: "\r\n".join([first, *lines]).encode("latin-1"),
        st.sampled_from(
            ["HTTP/1.1 200 OK", "HTTP/1.0 404 Not Found", "HTTP/1.1 204 ", "HTTP/1.1 200", "HTTP/1.1 99 x"]
        ),
        LINES,
    )
)
def test_a_usual_answer_is_read_as_any_other(data):
    quick = usual.response(data)
    if quick is None:
        return
    head = http1.response(data)

    def told(answer: http1.Response) -> object:
        lines = rewrite.answer(answer, close=False).split(b"\r\n")
        spelled = [tuple(part.strip(b" \t") for part in line.partition(b":")) for line in lines]
        return answer.minor, answer.status, spelled, http1.response_body(answer, b"GET"), http1.keeps_alive(answer)

    try:
        expected = told(head)
    except http1.Bad:
        with pytest.raises(http1.Bad):
            told(quick)
        return
    assert told(quick) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive, x-secret",
        b"Upgrade: websocket",
        b"Host: other.example",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Proxy-Anything: 1",
    ],
)
def test_what_frames_or_routes_a_request_in_another_way_is_looked_at_closely(line):
    assert usual.request(b"GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\n" + line) is None


def test_the_shape_that_clients_send_is_usual():
    head, where = usual.request(
        b"GET http://api.example/a HTTP/1.1\r\nHost: api.example\r\nUser-Agent: curl/8\r\nAccept: */*\r\n"
        b"Proxy-Connection: Keep-Alive"
    ) or (None, None)
    assert head is not None
    assert where is not None
    assert head.lines == b"User-Agent: curl/8\r\nAccept: */*\r\n"
    assert where.name == "api.example:80"
