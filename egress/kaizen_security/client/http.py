"""HTTP/1.1 to the sidecar and the control plane: one kept connection, one request at a time, over TCP, TLS or a Unix socket.

Written here because what the agent imports must be small and behave the same under every agent: proxies of the environment are
ignored (``HTTPS_PROXY`` points at our own egress proxy), redirects are not followed (a redirected report would become a GET), the
deadline holds for the whole exchange, and a forked child never writes into its parent's connection.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING

from kaizen_security.client import forks, wire
from kaizen_security.client.dial import dial_tcp, dial_unix, left, place
from kaizen_security.client.imports import settle
from kaizen_security.contract.errors import InvalidInput, Refused, Unreachable

if TYPE_CHECKING:
    import socket
    import ssl

    from kaizen_security.contract.action import Json

DEADLINE = 5.0
"""Seconds for a whole exchange, unless the caller says otherwise."""
_READ = 64 << 10
_IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")


class _Closed(Exception):
    """The other side closed before a byte of its answer. ``unsent``: it cannot have had the whole request."""

    def __init__(self, unsent: bool) -> None:
        super().__init__()
        self.unsent = unsent


class Connection:
    """A kept connection to ``url``. Safe for threads, which take turns; see ``Pool`` for several at a time.

    ``context`` replaces the default TLS context, which verifies (SSL_CERT_FILE and SSL_CERT_DIR are honoured); ``max_bytes`` bounds
    a reply's body.
    """

    def __init__(self, url: str, *, context: ssl.SSLContext | None = None, max_bytes: int = wire.MAX_REPLY) -> None:
        self.place = place(url)
        settle(self.place.scheme)
        self._context = context
        self._max_bytes = max_bytes
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._leaving = False
        """``close`` was called while an exchange had the socket."""
        _LIVE.add(self)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
        *,
        idempotent: bool | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One exchange: status, headers (names in lower case), body; whatever the status is. ``deadline``: seconds for everything.

        A kept connection that turns out to be closed is opened again, once, when that can do no harm: the request was not sent
        whole, or it is idempotent (by its method, unless ``idempotent`` says otherwise).
        Raises Unreachable (nobody there, too slow, no proper reply), InvalidInput (a path or header that cannot be sent).
        """
        prefix = "" if self.place.scheme == "unix" else self.place.path
        data = wire.request(method, prefix + path, self.place.authority, headers, body)
        again = method in _IDEMPOTENT if idempotent is None else idempotent
        at = monotonic() + deadline
        if not self._lock.acquire(timeout=max(deadline, 0.0)):
            raise Unreachable(f"{self.place} was busy with another request for {deadline} s")
        try:
            reply = self._exchange(data, again, at, method == "HEAD")
        except TimeoutError as err:
            raise Unreachable(f"no answer from {self.place} within {deadline} s") from err
        except wire.Malformed as err:
            raise Unreachable(f"{self.place} answered with something else than HTTP: {err}") from err
        except OSError as err:
            raise Unreachable(f"cannot reach {self.place}: {why(err)}") from err
        finally:
            if self._leaving:
                self._leaving = False
                self._drop()
            self._lock.release()
        return reply.status, reply.headers, reply.body

    def json(
        self,
        method: str,
        path: str,
        document: Json = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
        *,
        idempotent: bool | None = None,
    ) -> Json:
        """The same with JSON both ways; ``None`` sends no body, and an empty reply is ``None``.

        Raises Refused for every status but 2xx (a redirect too), and what ``request`` raises.
        """
        body, fields = None, {"Accept": "application/json", **(headers or {})}
        if document is not None:
            import json

            body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            fields["Content-Type"] = "application/json"
        status, _, answer = self.request(method, path, body, fields, deadline, idempotent=idempotent)
        return understood(status, answer, limit=self._max_bytes)

    def close(self) -> None:
        """Close the socket; the next request opens another. An exchange under way is not waited for: it closes it."""
        self._leaving = True
        if self._lock.acquire(timeout=0.01):
            try:
                self._leaving = False
                self._drop()
            finally:
                self._lock.release()

    def __del__(self) -> None:
        if getattr(self, "_socket", None) is not None:
            self._drop()

    def _exchange(self, data: bytes, again: bool, at: float, head_only: bool) -> wire.Reply:
        if self._kept():
            try:
                return self._once(data, at, head_only)
            except _Closed as gone:
                if not (gone.unsent or again):
                    raise ConnectionResetError(
                        "the kept connection was closed, and the request may have been acted on"
                    ) from gone
        self._socket = self._dial(at)
        try:
            return self._once(data, at, head_only)
        except _Closed as gone:
            raise ConnectionResetError("closed without an answer") from gone

    def _kept(self) -> bool:
        """Whether there is a connection that nobody has closed. A readable idle connection is closed, or out of step."""
        held = self._socket
        if held is None:
            return False
        try:
            held.settimeout(0.0)
            held.recv(1)
        except BlockingIOError:
            return True
        except OSError as err:
            # TLS says "nothing to read" with an error of its own (a session ticket may have arrived and been taken).
            if type(err).__name__ == "SSLWantReadError":
                return True
        self._drop()
        return False

    def _once(self, data: bytes, at: float, head_only: bool) -> wire.Reply:
        held = self._socket
        assert held is not None
        reply = wire.Reply(limit=self._max_bytes, head_only=head_only)
        whole = False
        try:
            unsent = self._send(held, data, at)
            while not reply.done:
                held.settimeout(left(at))
                try:
                    got = held.recv(_READ)
                except ConnectionError as err:
                    if reply.started:
                        raise
                    raise _Closed(unsent) from err
                if not got:
                    if not reply.started:
                        raise _Closed(unsent)
                    reply.end()
                    break
                reply.feed(got)
            whole = reply.reusable and not unsent
        finally:
            # Also after Ctrl-C in the middle: the rest of this reply must never be read as the answer to the next request.
            if not whole:
                self._drop()
        return reply

    def _send(self, held: socket.socket, data: bytes, at: float) -> bool:
        """Send everything; true when the other side stopped taking it, which may have answered why (413)."""
        held.settimeout(left(at))
        try:
            held.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            return True
        return False

    def _dial(self, at: float) -> socket.socket:
        if self.place.scheme == "unix":
            return dial_unix(self.place.path, at)
        raw = dial_tcp(self.place.host, self.place.port, at)
        if self.place.scheme != "https":
            return raw
        try:
            if self._context is None:
                import ssl

                self._context = ssl.create_default_context()
            raw.settimeout(left(at))
            return self._context.wrap_socket(raw, server_hostname=self.place.host)
        except OSError:
            raw.close()
            raise

    def _drop(self) -> None:
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _after_fork(self) -> None:
        """In the child: let go of the parent's socket (closing our copy leaves its connection open) and of a lock that was held."""
        self._lock = threading.Lock()
        self._drop()


class Pool:
    """Connections for several threads at once; at most ``size`` are kept between requests."""

    def __init__(
        self, url: str, *, size: int = 4, context: ssl.SSLContext | None = None, max_bytes: int = wire.MAX_REPLY
    ) -> None:
        self.place = place(url)
        self._url, self._size, self._context, self._max_bytes = url, size, context, max_bytes
        self._idle: deque[Connection] = deque()

    def json(
        self,
        method: str,
        path: str,
        document: Json = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
        *,
        idempotent: bool | None = None,
    ) -> Json:
        """``Connection.json`` on a connection that is free, or a new one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._url, context=self._context, max_bytes=self._max_bytes)
        try:
            return connection.json(method, path, document, headers, deadline, idempotent=idempotent)
        finally:
            if len(self._idle) < self._size:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


def understood(status: int, body: bytes, *, limit: int = wire.MAX_REPLY) -> Json:
    """The document of a 2xx answer, ``None`` when it is empty. Raises Refused with the error document's message and field."""
    from kaizen_security.contract.fields import parse

    if 200 <= status < 300:
        if not body:
            return None
        try:
            return parse(body, limit=limit)
        except InvalidInput as err:
            raise Unreachable(f"the answer (status {status}) is not JSON") from err
    message, field = f"refused with status {status}", ""
    try:
        document = parse(body, limit=limit)
    except InvalidInput:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        said, about = error.get("message"), error.get("field")
        message = said[:500] if isinstance(said, str) and said else message
        field = about[:200] if isinstance(about, str) else ""
    raise Refused(message, status=status, field=field)


def why(err: OSError) -> str:
    """What an OSError says, in words that may be shown."""
    return getattr(err, "verify_message", "") or err.strerror or str(err) or type(err).__name__


_LIVE = forks.alive(Connection)
