"""A receiver of exports on loopback: a real HTTP server that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading
import time


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self.server.owner.answer(self.path, dict(self.headers), body)
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), body, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass


class Receiver:
    """``seen`` holds (path, headers, body, status answered); ``answer`` may be replaced by a test. ``down()`` and ``up()``."""

    def __init__(self, tls=None):
        self.seen = []
        self.lock = threading.Lock()
        self.answer = lambda path, headers, body: (200, {})
        self._tls = tls
        self._server = None
        self.port = 0
        self.up()

    def up(self):
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self.port = self._server.server_address[1]
        self._server.seen, self._server.lock = self.seen, self.lock
        self._server.owner = self
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def down(self):
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.down()

    def taken(self):
        """What was answered with success, in order."""
        with self.lock:
            return [entry for entry in self.seen if entry[3] == 200]

    def deliveries(self):
        return [headers["X-Kaizen-Delivery"] for _, headers, _, _ in self.taken()]

    def documents(self):
        return [json.loads(body) for _, _, body, _ in self.taken()]


def until(condition, seconds=20.0):
    """Poll ``condition`` until it holds; its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found
