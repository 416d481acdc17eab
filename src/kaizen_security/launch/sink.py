"""The listener of the coverage meter: what arrives here has left the agent. And a control plane that only collects reports."""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.launch.clock import new_id


def outward_address(family: socket.AddressFamily) -> str:
    """This machine's own address towards others, by asking the routing table; loopback where it has none. Sends nothing."""
    place, own = ("192.0.2.1", "127.0.0.1") if family == socket.AF_INET else ("2001:db8::1", "::1")
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((place, 9))
            return str(sock.getsockname()[0])
        except OSError:
            return own


class Sink:
    """Listens on sockets that ``tcp``, ``udp`` and ``unix`` open; ``arrived`` has the names of canaries that came."""

    def __init__(self) -> None:
        self.arrived: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="sink", daemon=True)

    def tcp(self, name: str, host: str, port: int = 0) -> int:
        """Listen for canary ``name``: the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return self._listen(name, socket.create_server((host, port), family=family))

    def udp(self, name: str, host: str, port: int = 0) -> int:
        """The same for datagrams."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        self._keep(sock, lambda: self._datagram(name, sock))
        return int(sock.getsockname()[1])

    def unix(self, name: str, path: Path) -> None:
        """The same for a unix socket, which everybody may use."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(0o777)
        sock.listen(8)
        self._keep(sock, lambda: self._accept(name, sock))

    def _listen(self, name: str, sock: socket.socket) -> int:
        self._keep(sock, lambda: self._accept(name, sock))
        return int(sock.getsockname()[1])

    def _keep(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sockets.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def _accept(self, name: str, listener: socket.socket) -> None:
        with suppress(OSError):
            sock, _ = listener.accept()
            self._keep(sock, lambda: self._read(name, sock))

    def _read(self, name: str, sock: socket.socket) -> None:
        """The first bytes of a connection: arrived. A connection without one is a proxy's that was refused in between."""
        with suppress(OSError):
            data = sock.recv(4096)
            if data:
                self.arrived.add(name)
                sock.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
        self._selector.unregister(sock)
        sock.close()

    def _datagram(self, name: str, sock: socket.socket) -> None:
        with suppress(OSError):
            _, peer = sock.recvfrom(4096)
            self.arrived.add(name)
            sock.sendto(b"x", peer)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def _work(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(0.1):
                key.data()

    def close(self) -> None:
        """Close every socket."""
        self._stopping = True
        self._thread.join(2.0)
        self._selector.close()
        for sock in self._sockets:
            sock.close()


class Collecting:
    """A control plane on loopback that gives one bundle and keeps what is reported. ``reports``: actions as JSON documents."""

    def __init__(self, bundle: Bundle) -> None:
        self.key = f"kz_live_{new_id()}"
        self.reports: list[dict[str, Json]] = []
        sealed = seal(bundle, signing_key(key_hash(self.key)))
        reports = self.reports

        class Answers(BaseHTTPRequestHandler):
            """Two endpoints."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """The bundle."""
                self._answer(sealed)

            def do_POST(self) -> None:
                """Reports, in batches."""
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reports.extend(report["action"] for report in document.get("reports", [document]))
                self._answer(b'{"rejected": []}')

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the base class's own name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="collecting", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
