"""The answer of an origin as it arrives: its heads taken out one by one, its body checked. Pure; ``forward`` moves the bytes."""

from __future__ import annotations

from kaizen_security.egress import http1, usual
from kaizen_security.egress.body import Body, body

MAX_INTERIM = 20
"""1xx answers to one request."""


class Answering:
    """What answers one request. Plain fields, since a request asks for them several times:

    ``begun``  the final head has been taken: what comes now is its body
    ``done``   what was taken makes the answer whole
    ``keep``   the connection to the origin can take another request after it
    """

    __slots__ = ("_arrived", "_body", "_interim", "_request", "begun", "done", "keep")

    def __init__(self, request: http1.Request) -> None:
        self._request = request
        self._arrived = b""
        self._body: Body | None = None
        self._interim = 0
        self.begun = self.done = False
        self.keep = True

    def arrive(self, data: bytes) -> None:
        """Keep what came before the final head was taken."""
        self._arrived += data

    def rest(self) -> bytes:
        """What has arrived behind the last head that was taken, once."""
        data, self._arrived = self._arrived, b""
        return data

    def head(self) -> http1.Response | None:
        """The next head, None while it has not arrived. Raises Bad."""
        end = self._arrived.find(b"\r\n\r\n")
        if end < 0:
            if len(self._arrived) > http1.MAX_HEAD:
                raise http1.Bad("the head of the origin's answer is too long", status=502)
            return None
        said = self._arrived[:end]
        head = usual.response(said) or http1.response(said)
        self._arrived = self._arrived[end + 4 :]
        if head.status < 200 and head.status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise http1.Bad("the origin sends interim answers without end", status=502)
        return head

    def begin(self, head: http1.Response) -> bool:
        """Take the final head; False when only the end of the connection will end its body. Raises Bad."""
        framing = http1.response_body(head, self._request.method)
        if framing == http1.CHUNKED and self._request.minor == 0:
            raise http1.Bad("the origin answers an HTTP/1.0 request in chunks", status=502)
        self._body = body(framing)
        self.begun, self.done = True, self._body.done
        # An answer that travels as it came has no Connection field.
        stays = head.minor == 1 if head.lines is not None else http1.keeps_alive(head)
        if framing == http1.UNTIL_CLOSE or not stays or self._request.minor == 0:
            self.keep = False
        return framing != http1.UNTIL_CLOSE

    def take(self, data: bytes) -> bytes:
        """What of ``data`` belongs to the body. Raises Bad."""
        assert self._body is not None
        taken = self._body.take(data)
        self.done = self._body.done
        if taken < len(data):
            # Bytes after the end of an answer belong to nobody; the next request must not get them as its answer.
            self.keep = False
            return data[:taken]
        return data

    def end(self) -> bool:
        """The origin closed: whether the answer was whole."""
        self.keep = False
        self.done = self._body is not None and self._body.end()
        return self.done
