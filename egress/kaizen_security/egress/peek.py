"""What a tunnel's first bytes ask for is read before they go on: a TLS name, or the host of a plain request."""

from __future__ import annotations

from kaizen_security.egress.hello import Hello, Reader
from kaizen_security.egress.http1 import Bad
from kaizen_security.egress.plain import asked


class Peek:
    """Holds the first bytes of a tunnel back until it is known which name they ask for.

    What begins neither like TLS nor like a request is let go at once.
    """

    __slots__ = ("_held", "_reader", "hello", "host", "speaks", "unreadable")

    def __init__(self) -> None:
        self._held = b""
        self._reader = Reader()
        self.hello: Hello | None = None
        self.host = ""
        """That a plain request asks for; empty: none, or it is no request."""
        self.speaks = ""
        """``tls``, ``http``; empty: neither, or it is not known yet."""
        self.unreadable = False
        """It began like one of them and then was none, or was longer than what is held back."""

    def see(self, data: bytes) -> bytes | None:
        """The bytes to let go, or None to wait for more. No ``data`` means that the client has ended: everything is let go."""
        held = self._held = self._held + data if self._held else data
        try:
            self.hello = self._reader.take(held)
        except ValueError:
            return self._no_hello(held, ended=not data)
        self.speaks = "tls" if self.hello is not None else ""
        return None if self.hello is None and data else held

    def _no_hello(self, held: bytes, *, ended: bool) -> bytes | None:
        if held[:1] == b"\x16":
            self.speaks, self.unreadable = "tls", True
            return held
        try:
            host = asked(held)
        except Bad:
            self.speaks, self.unreadable = "http", True
            return held
        if host is None and not ended:
            return None
        self.host, self.speaks = host or "", "http" if host else ""
        return held
