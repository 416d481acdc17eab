"""Real peers on loopback for the egress proxy: a control plane, origins, raw clients, and the proxy as a process."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key

DEADLINE = 60.0
"""Seconds that anything may take on a machine that does twenty other things; nobody waits for them to pass."""


def until(true: Callable[[], object], what: str = "it", seconds: float = DEADLINE) -> object:
    """The first true answer of ``true()``; fails after ``seconds``."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < end:
        answer = true()
        if answer:
            return answer
        pause.wait(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class ControlPlane:
    """Speaks the wire contract's two endpoints that a proxy uses; ``hang()`` and ``stop()`` make it fail for real."""

    def __init__(self) -> None:
        self.policies: list[dict[str, object]] = []
        self.reports: list[dict[str, object]] = []
        self.keys: set[str | None] = set()
        self.agents_asked: set[str] = set()
        self.batches = True
        self.bundles: dict[str, Bundle] = {}
        """By agent; while there are none, this is a server that knows no bundles."""
        self.stopped = False
        self._pause = threading.Event()
        self._go = threading.Event()
        self._go.set()
        plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                plane._go.wait()
                where = urlsplit(self.path)
                plane.agents_asked.add(parse_qs(where.query)["agent"][0])
                plane.keys.add(self.headers["Authorization"])
                if where.path == "/v1/bundle" and plane.bundles:
                    self.bundle(parse_qs(where.query))
                    return
                self.answer(200 if where.path == "/v1/policy" else 404, {"policies": plane.policies})

            def bundle(self, asked: dict[str, list[str]]) -> None:
                known, key = self.headers["If-None-Match"], self.headers["Authorization"] or ""
                status, etag, data = plane.sealed(asked, known, key.removeprefix("Bearer "))
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("ETag", etag)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def do_POST(self) -> None:
                plane._go.wait()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/verdicts:batch" and plane.batches:
                    plane.reports += body["reports"]
                    self.answer(200, {"accepted": len(body["reports"]), "duplicates": 0, "rejected": []})
                elif self.path == "/v1/verdicts":
                    plane.reports.append(body)
                    self.answer(201, {"decision": "allow", "reason": "ok", "evidence": [], "confidence": None})
                else:
                    self.answer(404, {"error": {"code": "not_found", "message": "no such endpoint"}})

            def answer(self, status: int, document: dict[str, object]) -> None:
                data = json.dumps(document).encode()
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *said: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server.begin()

    def sealed(self, asked: dict[str, list[str]], known: str, key: str) -> tuple[int, str, bytes]:
        """The answer to ``GET /v1/bundle``, after waiting for a change as it was asked to: status, ETag, body."""
        agent = asked["agent"][0]
        end = time.monotonic() + float(asked.get("wait", ["0"])[0])
        while (held := self.bundles.get(agent)) and self.etag(held) == known:
            if time.monotonic() > end or self.stopped:
                return 304, known, b""
            self._pause.wait(0.02)
        if held is None:
            return 503, "", b"{}"
        return 200, self.etag(held), seal(held, signing_key(key_hash(key)))

    @staticmethod
    def etag(bundle: Bundle) -> str:
        """Names a bundle's content."""
        return f'"{hashlib.sha256(repr(bundle).encode()).hexdigest()[:16]}"'

    def actions(self, target: str) -> list[dict[str, object]]:
        """Reported actions on a target, oldest first."""
        return [report["action"] for report in list(self.reports) if report["action"]["target"] == target]  # type: ignore[index]

    def hang(self) -> None:
        """Take connections and requests, answer nothing."""
        self._go.clear()

    def go_on(self) -> None:
        """Answer again."""
        self._go.set()

    def stop(self) -> None:
        """Close the port."""
        self.stopped = True
        self._go.set()
        self._server.end()


class Server(ThreadingHTTPServer):
    """Over IPv4 or IPv6, with or without TLS; quiet about clients that leave."""

    daemon_threads = True
    request_queue_size = 128

    def process_request(self, request: object, client_address: object) -> None:
        self.connections.append(request)  # type: ignore[arg-type]
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def begin(self, context: ssl.SSLContext | None = None) -> None:
        self.connections: list[socket.socket] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Server6(Server):
    address_family = socket.AF_INET6


class OriginHandler(BaseHTTPRequestHandler):
    """Answers with what it was sent: method, path, fields, size and digest of the body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self._body()
        self.server.seen.append((self.command, self.path, self.headers.items(), self.client_address))  # type: ignore[attr-defined]
        if self.path.startswith("/bytes/"):
            self._send(bytes(int(self.path.rpartition("/")[2])))
            return
        if self.path == "/204":
            self.send_response(204)
            self.end_headers()
            return
        document = {
            "method": self.command,
            "path": self.path,
            "fields": {name.lower(): value for name, value in self.headers.items()},
            "size": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
            "connection": self.client_address[1],
        }
        data = json.dumps(document).encode()
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "X-Digest")
            self.end_headers()
            for at in range(0, len(data), 50):
                part = data[at : at + 50]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\nX-Digest: done\r\n\r\n")
            return
        if self.path == "/close":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = True
            return
        self._send(data)

    do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_GET

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *said: object) -> None:
        pass


class Origin:
    """A web server; ``tls`` a context for HTTPS."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, v6: bool = False) -> None:
        self.server: Server = Server6(("::1", 0), OriginHandler) if v6 else Server(("127.0.0.1", 0), OriginHandler)
        self.seen: list[tuple[str, str, list[tuple[str, str]], tuple[str, int]]] = []
        self.server.seen = self.seen  # type: ignore[attr-defined]
        self.port = self.server.server_address[1]
        self.server.begin(tls)

    def stop(self) -> None:
        self.server.end()


class Script:
    """A raw origin: ``act(connection)`` is run for each connection, on a thread of its own."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(DEADLINE)
            self._act(connection)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def read_head(connection: socket.socket) -> bytes:
    """One head, with its empty line; reads byte by byte so that nothing after it is taken."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return data
        data += byte
    return data


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


class Running:
    """The proxy as a process of its own."""

    def __init__(self, folder: Path, plane: str, *flags: str, prefix: tuple[str, ...] = (), **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "egress.json"
        file.write_text(json.dumps({"policy_refresh": 0.1, "api_url": plane, "api_key": "kz_test", **settings}))
        self.log = folder / "egress.log"
        command = [sys.executable, "-m", "kaizen_security.cli", "egress", "--port", "0", "--config", str(file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *command, "--data", str(folder / "data"), *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_clean_environment(),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.terminate()
        assert line.startswith("listening on "), self.log.read_text()
        self.url = line.split()[-1]
        where = urlsplit(self.url)
        self.host, self.port = where.hostname, where.port

    def connect(self) -> socket.socket:
        """A raw connection to it."""
        return socket.create_connection((self.host, self.port), timeout=DEADLINE)

    def tunnel(self, target: str, *fields: str) -> tuple[socket.socket, bytes]:
        """A connection after CONNECT, and the head of the answer."""
        connection = self.connect()
        lines = "".join(f"{field}\r\n" for field in fields)
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n".encode())
        return connection, read_head(connection)

    def raw(self, data: bytes) -> bytes:
        """Everything that is answered to ``data`` on one connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)

    def health(self) -> dict[str, object]:
        """GET /healthz."""
        answer = self.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return json.loads(answer.partition(b"\r\n\r\n")[2])  # type: ignore[no-any-return]

    def terminate(self) -> int:
        """SIGTERM, and wait for the end."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def _clean_environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_") and name != "PORT"}


def curl(proxy: Running, *words: str, timeout: float = DEADLINE) -> subprocess.CompletedProcess[bytes]:
    """curl through the proxy, never around it."""
    command = ["curl", "-q", "-sS", "-m", str(timeout), "--noproxy", "", "-x", proxy.url, *words]
    return subprocess.run(command, capture_output=True, timeout=timeout + 5)


@contextmanager
def running(
    folder: Path, plane: ControlPlane | str, *flags: str, prefix: tuple[str, ...] = (), **settings: object
) -> Iterator[Running]:
    """A proxy that is ready, with its policy; ended with SIGTERM, cleanly."""
    proxy = Running(folder, plane if isinstance(plane, str) else plane.url, *flags, prefix=prefix, **settings)
    try:
        if isinstance(plane, ControlPlane) and not prefix:
            until(lambda: proxy.health()["policy"]["with_policy"], "the first policy")  # type: ignore[index]
        yield proxy
    finally:
        status = proxy.terminate()
    assert status == 0, proxy.log.read_text()
    assert "Traceback" not in proxy.log.read_text(), proxy.log.read_text()
