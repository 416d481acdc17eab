"""Access tokens of a cloud: taken from it when they are needed, kept until shortly before they expire, never written or logged.

What a cloud wants to hear is its own file's to say (``entra``, ``google_tokens``), as a pure ``Flow``; this file does the waiting.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, Unreachable
from kaizen_security.contract.fields import obj, parse
from kaizen_security.net import outbound
from kaizen_security.net.outbound import Exchange

EARLY = 300.0
"""Seconds before its end from which a token is renewed; of a short-lived one at half its life."""
REST = 10.0
"""Seconds for which a cloud that gave none is not asked again."""
_TOKEN = re.compile(r"[!-~]{1,16384}")
MAX_LIFE = 86_400.0
_CODES = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope invalid_resource "
    "invalid_target temporarily_unavailable server_error access_denied".split()
)
"""Errors of OAuth 2.0 (RFC 6749 5.2, RFC 8693) that are repeated to people; whatever else a peer says is not."""


class NoToken(KaizenError):
    """There is no token: why, in our own words, and never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """``seconds`` that it lives, from when it was given."""

    value: str = field(repr=False)
    seconds: float


Steps = Generator[Exchange, Json, Token]
"""Yields what to send, is sent the document that came back, returns the token. Raises InvalidInput for another shape."""


class Flow(Protocol):
    """How a token is got. ``places``: the URLs that are asked."""

    @property
    def places(self) -> tuple[str, ...]: ...

    def steps(self, now: float) -> Steps:
        """One acquisition; ``now`` in Unix seconds. Raises Misconfigured for a file that cannot be used."""
        ...


class Tokens:
    """The token of a flow; safe for threads, one acquisition at a time.

    ``clock`` gives Unix seconds. ``send`` is ``net.outbound.send`` in production.
    """

    def __init__(
        self, flow: Flow, clock: Callable[[], float], send: Callable[..., outbound.Answer] = outbound.send
    ) -> None:
        self._flow = flow
        self._clock = clock
        self._send = send
        # The owner of this machine said where tokens come from: a link-local metadata server is meant.
        self._permitted = frozenset(f"{host}:{port}" for _, host, port, _ in map(outbound.split, flow.places))
        self._lock = threading.Lock()
        self._value = ""
        self._renew = self._ends = self._rests = 0.0
        self.acquired = 0

    def get(self, deadline: float) -> str:
        """The token. Blocks at most ``deadline`` seconds. Raises NoToken, Misconfigured.

        One that is about to expire is used on while a new one cannot be had.
        """
        if self._clock() < self._renew:
            return self._value
        if not self._lock.acquire(timeout=deadline):
            raise NoToken("no token in time")
        try:
            now = self._clock()
            if now < self._renew:
                return self._value
            if now < self._rests <= now + REST:
                return self._old(now, "none was given a moment ago")
            try:
                token = self._acquire(now, deadline)
            except (NoToken, Misconfigured) as err:
                self._rests = now + REST
                return self._old(now, str(err))
            self._value = token.value
            self._ends = now + token.seconds
            self._renew = self._ends - min(EARLY, token.seconds / 2)
            self.acquired += 1
            return self._value
        finally:
            self._lock.release()

    def _old(self, now: float, problem: str) -> str:
        if now < self._ends:
            return self._value
        raise NoToken(f"no access token: {problem}")

    def _acquire(self, now: float, deadline: float) -> Token:
        steps = self._flow.steps(now)
        try:
            exchange = next(steps)
            while True:
                exchange = steps.send(self._once(exchange, deadline))
        except StopIteration as done:
            token: Token = done.value
            return token
        except InvalidInput as err:
            raise NoToken(f"what came back cannot be used: {err}") from err

    def _once(self, exchange: Exchange, deadline: float) -> Json:
        host = outbound.split(exchange.url)[1]
        try:
            answer = self._send(exchange, permitted=self._permitted, deadline=deadline)
        except Unreachable as err:
            raise NoToken(str(err)) from err
        if answer.status != 200:
            raise NoToken(f"{host} answers {answer.status}{_code(answer.body)}")
        return parse(answer.body, limit=outbound.MAX_ANSWER)


def _code(body: bytes) -> str:
    try:
        document = parse(body, limit=outbound.MAX_ANSWER)
    except InvalidInput:
        return ""
    said = document.get("error") if isinstance(document, dict) else None
    return f" ({said})" if isinstance(said, str) and said in _CODES else ""


def form(url: str, fields: dict[str, str]) -> Exchange:
    """A token request (RFC 6749 4.4.2)."""
    return Exchange(
        url=url,
        body=urlencode(fields).encode(),
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "User-Agent": "kaizen",
        },
    )


def granted(document: Json, name: str = "access_token", seconds: float | None = None) -> Token:
    """The token of an answer (RFC 6749 5.1), whose lifetime some write as text. Raises InvalidInput."""
    doc = obj(document, "token")
    value = doc.get(name)
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise InvalidInput(name, "is no token")
    if seconds is None:
        said = doc.get("expires_in")
        if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) < 10:
            said = int(said)
        if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
            raise InvalidInput("expires_in", "is no number of seconds")
        seconds = float(said)
    return Token(value=value, seconds=min(seconds, MAX_LIFE))


def checked_url(url: str, what: str) -> str:
    """A URL to which a secret may be sent. Raises Misconfigured."""
    scheme, host, _, _ = outbound.split(url)
    if scheme == "https" or is_loopback(host):
        return url.rstrip("/")
    raise Misconfigured(f"{what} must begin with https://: a secret would go in the clear")


def is_loopback(host: str) -> bool:
    """Whether what goes there stays on this machine, as far as can be told without asking a resolver."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
