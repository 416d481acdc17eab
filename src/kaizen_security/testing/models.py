"""A model server on loopback that says what a test tells it to, in the shapes of the providers.

It serves our own reasoners and whatever framework an agent is built with: real HTTP, real client libraries, no key, no network.

>>> from kaizen_security.testing.models import ModelServer, Turn
>>> with ModelServer() as server:
...     server.say("hello")
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self, TypeAlias

from kaizen_security.contract.action import Json
from kaizen_security.testing.dialects import Call, Ran, Raw, Turn
from kaizen_security.testing.endpoints import dialect_of, model_in
from kaizen_security.testing.signed import is_signed

__all__ = ["Call", "Heard", "Late", "Line", "ModelServer", "Ran", "Raw", "Turn"]

MAX_REQUEST = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A request as it came; header names in lower case.

    ``dialect``: ``chat``, ``responses``, ``messages``, ``converse``, ``gemini`` or ``agent`` (Bedrock's ``InvokeAgent``).
    """

    dialect: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @property
    def document(self) -> dict[str, Json]:
        """Its JSON object."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def model(self) -> str:
        """The model that was asked for: in the path, as with Bedrock and Google, or in the body."""
        said = model_in(self.path) or self.document.get("model")
        return said if isinstance(said, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """An answer that comes when ``until`` is set, at the latest when the server ends."""

    until: threading.Event
    then: Turn | Raw = field(default_factory=Turn)


Line: TypeAlias = Turn | Raw | Late
"""What the server may do with one request."""


class ModelServer:
    """``key``: who does not bring it is refused (as Bearer, ``x-api-key``, ``api-key`` or ``x-goog-api-key``); for AWS a pair of
    key id and secret.

    Lines that were said are used up in order; after them ``otherwise`` answers. A line may be a function of the request.
    """

    def __init__(self, *, key: str = "", aws: tuple[str, str] | None = None) -> None:
        self.otherwise: Line | Callable[[Heard], Line] = Turn(text="BENIGN 0.5: Nothing was scripted.")
        self.heard: list[Heard] = []
        self.refused = 0
        self._key = key
        self._aws = aws
        self._lines: deque[Line | Callable[[Heard], Line]] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"models": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its base URL without a path; OpenAI's clients want ``/v1`` behind it."""
        return f"http://127.0.0.1:{self.port}"

    def say(self, *lines: str | Line | Callable[[Heard], Line]) -> None:
        """What to answer next, one line for each request; a text is a turn that says it."""
        with self._lock:
            self._lines.extend(Turn(text=line) if isinstance(line, str) else line for line in lines)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    def _next(self, heard: Heard) -> Turn | Raw:
        with self._lock:
            self.heard.append(heard)
            line = self._lines.popleft() if self._lines else self.otherwise
        if callable(line):
            line = line(heard)
        if isinstance(line, Late):
            while not line.until.wait(0.02) and not self._closing.is_set():
                pass
            line = line.then
        return line

    def _is_known(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bool:
        if self._aws is not None:
            return is_signed(method, path, headers, body, key_id=self._aws[0], secret=self._aws[1])
        if not self._key:
            return True
        brought = (
            headers.get("authorization", "").removeprefix("Bearer "),
            headers.get("x-api-key"),
            headers.get("api-key"),
            headers.get("x-goog-api-key"),
        )
        return self._key in brought


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # agents that run in parallel all knock at once

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away; tests read their own output."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    models: ClassVar[ModelServer]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdigit() else 0
        body = self.rfile.read(min(size, MAX_REQUEST))
        headers = {name.lower(): value for name, value in self.headers.items()}
        dialect = dialect_of(self.path)
        if dialect is None:
            self._answer(404, b'{"error":{"message":"no such endpoint"}}')
            return
        if not self.models._is_known("POST", self.path, headers, body):
            self.models.refused += 1
            self._answer(401, b'{"error":{"message":"this key is not known"}}')
            return
        heard = Heard(dialect=dialect.name, path=self.path, headers=headers, body=body)
        line = self.models._next(heard)
        if isinstance(line, Raw):
            self._answer(line.status, line.body, line.headers)
        elif dialect.stream is not None and (dialect.always_streams or heard.document.get("stream") is True):
            self._answer(200, b"".join(dialect.stream(heard.model, line)), {"Content-Type": dialect.streams_as})
        else:
            self._answer(200, json.dumps(dialect.whole(heard.model, line)).encode())

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # Whoever asked went away, as one with a deadline does.
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Say nothing: tests read their own output."""


def _main() -> None:
    """``python -m kaizen_security.testing.models SENTENCE``: say it to everybody who asks, until it is killed."""
    with ModelServer() as server:
        server.otherwise = Turn(text=" ".join(sys.argv[1:]) or "BENIGN 0.5: Nothing was scripted.")
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
