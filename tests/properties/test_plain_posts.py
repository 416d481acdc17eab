"""What the sidecar understands without a parser, the parser understands in the same way."""

from __future__ import annotations

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.sidecar.connections import plain_post

BODY = b"\r\n\r\nxy"
LINES = st.sampled_from(
    [
        *(
            b"Host: x",
            b"Accept:",
            b"Accept",
            b"Authorization: Bearer kz ",
            b"User-Agent: a/1 (b)",
            b"Connection: keep-alive",
        ),
        *(b"Content-Length: 6", b"content-length:  06 ", b"Content-Length:\t6", b"Content-Length: 5", b"Host : x"),
    ]
)
PIECES = st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"\x7f", b"\xa0"])


class Read:
    """What the parser says."""

    def __init__(self, data: bytes) -> None:
        self.body, self.fields, self.whole = b"", list[tuple[bytes, bytes]](), 0
        httptools.HttpRequestParser(self).feed_data(data)

    def on_header(self, name, value):
        self.fields.append((name.lower(), value))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.whole += 1


@given(st.lists(LINES, max_size=5), st.integers(min_value=26, max_value=140), PIECES, st.booleans())
@example([b"User-Agent: a", b"Content-Length: 6"], 39, b"\r", False)
@example([b"Accept", b"Content-Length: 6"], 26, b"", False)
def test_what_is_understood_without_a_parser_the_parser_understands_in_the_same_way(lines, at, piece, instead):
    data = b"\r\n".join([b"POST /v1/inspect HTTP/1.1", *lines, b"", BODY])
    data = data[:at] + piece + data[at + instead :]
    found = plain_post(data)
    if found is None:
        return
    read = Read(data)
    said = dict(read.fields).get(b"authorization", b"").decode().strip()
    assert (read.body, said, read.whole, len(dict(read.fields))) == (found[1], found[2], 1, len(read.fields))
