"""A control plane and sidecar for the client's tests: real HTTP over real sockets, in this process, with faults on demand."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.ports import free_port as free_port

Answer = tuple[int, dict[str, str], bytes]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Any

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        pass

    def _go(self) -> None:
        upstream: Upstream = self.server.upstream
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream.seen.append((self.command, self.path, dict(self.headers), body))
        status, headers, answer = upstream.answer(self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()
        if headers.get("Connection") == "close":
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _go


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass  # a client that goes away is what these tests are about


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass


class Upstream:
    """``reports``, ``steps``, ``asked``, ``manifests`` hold what arrived; ``faults`` answers before anything else does when set.

    ``verdict`` answers ``/v1/inspect``; ``bundle`` is the signed document with its ETag; ``policies`` is the unsigned list.
    """

    def __init__(self, *, unix: str = "", port: int = 0) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reports: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.steps: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.manifests: dict[str, dict[str, Any]] = {}
        self.policies: list[dict[str, Any]] = []
        self.bundle: tuple[bytes, str] | None = None
        self.verdict: dict[str, Any] = {
            "decision": "allow",
            "reason": "no policy matched",
            "evidence": [],
            "confidence": None,
        }
        self.faults: Callable[[str, str], Answer | None] | None = None
        self.delay = 0.0
        self.rejected: set[str] = set()
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._server: Any = _Unix(unix, _Handler) if unix else _Tcp(("127.0.0.1", port), _Handler)
        self._server.upstream = self
        self.port = 0 if unix else self._server.server_address[1]
        self.url = f"unix://{unix}" if unix else f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tools(self) -> list[str]:
        return [report["action"]["tool"] for report in list(self.reports)]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if self.delay:
            time.sleep(self.delay)
        if self.faults is not None:
            fault = self.faults(method, path)
            if fault is not None:
                return fault
        where = urlsplit(path)
        document = json.loads(body) if body else None
        if where.path == "/v1/bundle":
            return self._bundle(headers)
        if where.path == "/v1/policy":
            assert parse_qs(where.query)["agent"]
            return reply({"policies": self.policies})
        if where.path == "/v1/verdicts:batch":
            return self._batch(document["reports"])
        if where.path == "/v1/inspect":
            self.asked.append(document["action"])
            return reply({**self.verdict, "action_id": document["action"].get("id", "")})
        if where.path == "/v1/steps":
            self.steps += document["steps"]
            return reply({"noted": len(document["steps"])})
        if where.path.endswith("/manifest"):
            self.manifests[unquote(where.path.split("/")[3])] = document
            return reply({})
        return reply({"error": {"code": "not_found", "message": "no such place"}}, 404)

    def _bundle(self, headers: dict[str, str]) -> Answer:
        if self.bundle is None:
            return reply({"error": {"code": "not_found", "message": "no such place"}}, 404)
        data, etag = self.bundle
        if headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"ETag": etag, "Content-Type": "application/json"}, data

    def _batch(self, reports: list[dict[str, Any]]) -> Answer:
        with self._lock:
            self.batches.append(len(reports))
            rejected = []
            duplicates = 0
            for i, report in enumerate(reports):
                if report["action"]["tool"] in self.rejected:
                    rejected.append({"index": i, "field": "action.tool", "message": "no"})
                elif report["action"]["id"] in self._ids:
                    duplicates += 1
                else:
                    self._ids.add(report["action"]["id"])
                    self.reports.append(report)
        return reply({"accepted": len(reports) - len(rejected), "duplicates": duplicates, "rejected": rejected})


def reply(document: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for ``condition``; fails when it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
