"""TLS over a wire of the loop: OpenSSL works on memory, the wire beneath it moves the bytes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from kaizen_security.egress.loop import CHUNK, Ready
from kaizen_security.egress.wire import Wire


class TlsOver(Wire):
    """A wire in TLS, over another one. ``first``: bytes of the peer that were read already.

    ``ragged``: the peer's stream ended without saying so in TLS (RFC 8446 section 6.1), as if it had been cut.
    ``quiet``: do not say so to the peer either. ``sieve``: what is read goes through it, and it gives what may be passed on.
    ``came``, ``went``: bytes of the wire beneath.
    """

    __slots__ = ("_ended", "_incoming", "_outgoing", "came", "inner", "quiet", "ragged", "sieve", "ssl", "went")

    def __init__(
        self, inner: Wire, context: ssl.SSLContext, *, server: bool, host: str | None = None, first: bytes = b""
    ) -> None:
        self.inner = inner
        self.loop = inner.loop
        self.sock = inner.sock
        self.fd = inner.fd
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server, server_hostname=host)
        self._incoming.write(first)
        self.ragged = False
        self.quiet = False
        self.sieve: Callable[[bytes], bytes] | None = None
        self._ended = False
        self.came = len(first)
        self.went = 0

    @property
    def mask(self) -> int:
        """See Wire."""
        return self.inner.mask

    @mask.setter
    def mask(self, mask: int) -> None:
        self.inner.mask = mask

    @property
    def out(self) -> bytes | memoryview:
        """See Wire: what the kernel did not take, encrypted."""
        return self.inner.out

    @out.setter
    def out(self, data: bytes | memoryview) -> None:
        self.inner.out = data

    def wait(self, mask: int, ready: Ready) -> None:
        """See Wire."""
        self.inner.wait(mask, ready)

    def shake(self) -> bool:
        """Go on with the handshake: True when it is done. Raises OSError (ssl.SSLError among them); the peer is told why."""
        while True:
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._pass_on()
            except OSError:
                self._pass_on()
                raise
            else:
                self._pass_on()
                return True
            data = self.inner.recv()
            if data is None:
                return False
            if not data:
                raise ssl.SSLEOFError("the peer left in the middle of the handshake")
            self.came += len(data)
            self._incoming.write(data)

    def recv(self) -> bytes | None:
        """See Wire. Nothing that has been decrypted stays behind: the poller knows of the wire beneath only."""
        data = self.inner.recv()
        if data:
            self.came += len(data)
            self._incoming.write(data)
        elif data == b"":
            self.ragged = not self._ended
            return b""
        plain = self._decrypted()
        return (self.sieve(plain) or None) if plain and self.sieve is not None else plain

    def _decrypted(self) -> bytes | None:
        parts: list[bytes] = []
        while True:
            try:
                part = self.ssl.read(CHUNK)
            except ssl.SSLWantReadError:
                self._pass_on()
                return b"".join(parts) or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                part = b""
            if not part:
                break
            parts.append(part)
        self._ended = True
        if not parts:
            return b""
        # The peer has ended, and the poller cannot know: have the wire beneath say it at the next read.
        with suppress(OSError):
            socket.SocketType.shutdown(self.sock, socket.SHUT_RD)
        return b"".join(parts)

    def pending(self) -> bytes | None:
        """What came with the end of the handshake; None when nothing has."""
        return self._decrypted()

    def send(self, data: bytes | memoryview) -> bool:
        """See Wire."""
        view = memoryview(data)
        while view:
            view = view[self.ssl.write(view) :]
        return self._pass_on()

    def _pass_on(self) -> bool:
        if not self._outgoing.pending:
            return not self.inner.out
        data = self._outgoing.read()
        self.went += len(data)
        return self.inner.send(data)

    def flush(self) -> bool:
        """See Wire."""
        return self.inner.flush()

    def finish(self) -> None:
        """See Wire: the end is said in TLS first, so that it cannot be taken for a cut."""
        self._say_end()
        self.inner.finish()

    def close(self, *, reset: bool = False) -> None:
        """See Wire."""
        if not reset and not self.inner.out:
            self._say_end()
        self.inner.close(reset=reset)

    def _say_end(self) -> None:
        if self.quiet:
            return
        self.quiet = True
        # It writes the alert, and complains that the peer has not answered it yet (or that there was no handshake).
        with suppress(OSError, ValueError):
            self.ssl.unwrap()
        with suppress(OSError):
            self._pass_on()
