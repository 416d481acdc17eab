"""The servers of the demonstration, one process: the company's own, the ones that scenarios visit, and the attacker's.

``python -m kaizen_security.demo.services --config FILE`` listens on two loopback ports, one for HTTP and one for HTTPS,
answers by the Host header, and counts what every host receives. The agent reaches it only through the egress proxy, under names
such as ``api.internal``, by the proxy's ``hosts`` map. Every server is real; the world behind them is made from a seed.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import ssl
import sys
import threading
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kaizen_security.contract.action import Json
from kaizen_security.demo.world import World

CONTROL = "127.0.0.1"
"""Host of the two requests that the stage makes: what was counted, what to put where. The agent cannot make them: it comes through
the proxy, which dials loopback only for the names in its ``hosts`` map."""

MAX_BODY = 4 << 20
"""Bytes of a request that are kept; more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a services process serves.

    ``hosts``  every name that gets a certificate
    ``pages``  ``"METHOD URL without query"`` to the body that answers it, before the world is asked
    ``http``, ``https``  ports on loopback
    ``authority``  the file to which the certificate of its CA is written
    """

    seed: int
    hosts: tuple[str, ...]
    http: int
    https: int
    authority: str
    pages: dict[str, Json] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """``read`` gives it back."""
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Config:
        """The configuration in a file that ``write`` made."""
        doc = json.loads(path.read_text())
        return Config(**{**doc, "hosts": tuple(doc["hosts"])})


class Backend:
    """What the servers know and what they counted. Thread-safe."""

    def __init__(self, config: Config) -> None:
        self.world = World(config.seed)
        self._pages = dict(config.pages)
        self._lock = threading.Lock()
        self._received: dict[str, dict[str, int]] = {}
        self._refunds: list[Json] = []

    def received(self, host: str, size: int) -> None:
        """Count a request of ``size`` bytes (line, headers and body) for a host."""
        with self._lock:
            entry = self._received.setdefault(host, {"requests": 0, "bytes": 0})
            entry["requests"] += 1
            entry["bytes"] += size

    def counts(self) -> dict[str, dict[str, int]]:
        """By host: requests and bytes received."""
        with self._lock:
            return {host: dict(entry) for host, entry in self._received.items()}

    def place(self, pages: dict[str, Json]) -> None:
        """Put pages in place of what is there; null takes one away."""
        with self._lock:
            for name, content in pages.items():
                if content is None:
                    self._pages.pop(name, None)
                else:
                    self._pages[name] = content

    def answer(self, method: str, host: str, target: str, body: bytes, scheme: str) -> tuple[int, Json]:
        """Status and document (a text is served as text) for one request."""
        parts = urlsplit(target)
        with self._lock:
            for name in (f"{method} {scheme}://{host}{parts.path}", f"* {scheme}://{host}{parts.path}"):
                if name in self._pages:
                    return 200, self._pages[name]
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if host == "api.internal":
            return self._api(method, parts.path, query, body)
        if host == "mail.internal":
            return self._mail(method, parts.path)
        if host == "docs.internal":
            text = self.world.documents.get(parts.path)
            return (404, {"error": "no such document"}) if text is None else (200, text)
        # Anybody else's server takes what it gets, as an attacker's would.
        return 200, {"ok": True}

    def _api(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Json]:
        _, _, rest = path.partition("/")
        shelf, _, id_ = rest.partition("/")
        if method == "POST":
            return self._post(shelf, id_, body)
        known = {
            "orders": self.world.orders,
            "tickets": self.world.tickets,
            "customers": self.world.customers,
            "kb": self.world.articles,
        }.get(shelf)
        if known is None:
            return 404, {"error": f"no such thing: {shelf[:40]}"}
        if id_:
            return (200, dict(known[id_])) if id_ in known else (404, {"error": "not found"})
        found = [dict(entry) for entry in known.values() if all(str(entry.get(k)) == v for k, v in query.items())]
        return 200, list[Json](found[:50])

    def _post(self, shelf: str, id_: str, body: bytes) -> tuple[int, Json]:
        if shelf not in ("refunds", "tickets", "notes"):
            return 404, {"error": "nothing can be posted there"}
        try:
            document = json.loads(body or b"{}")
        except ValueError:
            return 400, {"error": "not JSON"}
        with self._lock:
            self._refunds.append(document)
            return 201, {"id": f"{shelf}-{len(self._refunds)}", "about": id_, "state": "accepted"}

    def _mail(self, method: str, path: str) -> tuple[int, Json]:
        if method == "POST":
            return 202, {"state": "queued"}
        _, _, id_ = path.removeprefix("/inbox").partition("/")
        if id_:
            mail = self.world.mails.get(id_)
            return (404, {"error": "no such mail"}) if mail is None else (200, dict(mail))
        return 200, [
            {"id": mail["id"], "from": mail["from"], "subject": mail["subject"]} for mail in self.world.mails.values()
        ]


class Handler(BaseHTTPRequestHandler):
    """One request of the demonstration's servers."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer."""
        self._serve()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _serve(self) -> None:
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host") or ""
        host = host.lower()
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = MAX_BODY + 1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            self._reply(413, {"error": "too large"})
            return
        body = self.rfile.read(length) if length else b""
        backend = self.server.backend
        if host == CONTROL:
            if self.command == "POST":
                backend.place(json.loads(body))
            self._reply(200, {name: {**entry} for name, entry in backend.counts().items()})
            return
        backend.received(host, len(self.requestline) + 2 + len(bytes(self.headers)) + len(body))
        status, document = backend.answer(self.command, host, self.path, body, self.server.scheme)
        self._reply(status, document)

    def _reply(self, status: int, document: Json) -> None:
        text = isinstance(document, str)
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet: what is asked of these servers is shown on the terminal as verdicts."""


class Server(ThreadingHTTPServer):
    """An HTTP server on loopback, with TLS where a context is given."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, backend: Backend, port: int, context: ssl.SSLContext | None = None) -> None:
        self.backend = backend
        self.scheme = "https" if context else "http"
        self._context = context
        super().__init__(("127.0.0.1", port), Handler)

    def finish_request(self, request: object, client_address: object) -> None:
        """In the connection's own thread: the handshake of one slow client must not keep the others waiting."""
        assert isinstance(request, socket.socket)
        request.settimeout(20)
        if self._context is None:
            Handler(request, client_address, self)
            return
        with self._context.wrap_socket(request, server_side=True) as secured:
            Handler(secured, client_address, self)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was cut or spoke nonsense is one line, not a stack of them."""
        print(f"connection ended: {sys.exception()!r}"[:200], file=sys.stderr, flush=True)


def certificates(hosts: tuple[str, ...], authority: Path) -> ssl.SSLContext:
    """A server context with a certificate for all hosts, from a fresh CA whose own goes to ``authority``."""
    import trustme  # of the extra ``demo``: ``kaizen up`` alone does without

    ca = trustme.CA(organization_name="Kaizen demonstration")
    ca.cert_pem.write_to_path(str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*hosts).configure_cert(context)
    return context


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="The servers of the demonstration.")
    parser.add_argument("--config", required=True, type=Path)
    config = Config.read(parser.parse_args(argv).config)
    backend = Backend(config)
    plain = Server(backend, config.http)
    secure = Server(backend, config.https, certificates(config.hosts, Path(config.authority)))
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    print(f"listening on 127.0.0.1:{plain.server_port} (HTTP) and 127.0.0.1:{secure.server_port} (HTTPS)", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    # Before any thread is started, so that all of them leave these to sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main())
