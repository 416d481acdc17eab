"""A control plane for the sidecar's tests: real HTTP on loopback, the wire contract's shapes, everything it was sent in memory."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.contract.codec import decode_declaration, decode_report
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.verdict import Verdict

OWN = "kz_live_" + "s" * 43
AGENT = "kz_live_" + "a" * 43
BOUND = "kz_live_" + "b" * 43
FOREIGN = "kz_live_" + "f" * 43


class Upstream:
    """Starts and stops on one port; what it holds outlives a stop, as a database would."""

    def __init__(self):
        self.keys = {
            OWN: {"organisation": "org", "scope": "observer", "agent": None},
            AGENT: {"organisation": "org", "scope": "agent", "agent": None},
            BOUND: {"organisation": "org", "scope": "agent", "agent": "bound"},
            FOREIGN: {"organisation": "another", "scope": "agent", "agent": None},
        }
        self.bundles = {}
        self.polling = 0
        self.template = Bundle(agent="", version=1)
        self.reports = []
        self.raw = []
        self.requests = 0
        self.reject = None
        self.changed = threading.Condition()
        self.port = 0
        self._server = None

    def bundle(self, agent):
        made = self.bundles.get(agent, self.template)
        return replace(made, agent=agent, issued_at=time.time(), expires_at=time.time() + 3600)

    def set(self, agent, **changes):
        """Change an agent's bundle; its version grows."""
        with self.changed:
            now = self.bundles.get(agent, self.template)
            self.bundles[agent] = replace(now, version=now.version + 1, **changes)
            self.changed.notify_all()

    def start(self):
        upstream = self

        class Handler(_Handler):
            up = upstream

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self):
        with self.changed:
            server, self._server = self._server, None
            self.changed.notify_all()
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    @property
    def up(self):
        return self._server is not None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    up: Upstream

    def log_message(self, *args):
        pass

    def _answer(self, status, document=None, body=None, **headers):
        data = body if body is not None else json.dumps(document).encode() if document is not None else b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        try:
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True  # the sidecar has ended while it waited

    def _begin(self):
        self.up.requests += 1
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if not self.up.up:
            self.close_connection = True
            self.connection.close()
            return None
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        who = self.up.keys.get(key)
        if who is None:
            self._answer(401, {"error": {"code": "unauthorized", "message": "unknown key"}})
            return None
        self.key = key
        return who

    def do_GET(self):
        who = self._begin()
        if who is None:
            return
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/whoami":
            self._answer(200, who)
        elif parts.path == "/v1/bundle":
            self._bundle(asked["agent"], float(asked.get("wait", 0)))
        else:
            self._answer(404, {"error": {"code": "not_found", "message": "no"}})

    def _bundle(self, agent, wait):
        until = time.monotonic() + wait
        with self.up.changed:
            while True:
                made = self.up.bundle(agent)
                tag = f'"{made.version}"'
                if self.headers.get("If-None-Match") != tag:
                    break
                left = until - time.monotonic()
                if left <= 0 or not self.up.up:
                    self._answer(304, ETag=tag)
                    return
                self.up.polling += 1
                self.up.changed.wait(left)
                self.up.polling -= 1
        self._answer(200, body=seal(made, signing_key(key_hash(self.key))), ETag=tag)

    def do_POST(self):
        if self._begin() is None:
            return
        document = json.loads(self.body)
        path = unquote(urlsplit(self.path).path)
        if path == "/v1/verdicts:batch":
            self._batch(document["reports"])
        elif path.endswith("/manifest"):
            agent = path.removeprefix("/v1/agents/").removesuffix("/manifest")
            self.up.set(agent, declaration=decode_declaration(document))
            self._answer(200, {})
        else:
            # Told at once: a sidecar that ends waits for the answer to what it reports, as long as it may.
            self._answer(404, {"error": {"code": "not_found", "message": "no"}})

    def _batch(self, reports):
        rejected = []
        with self.up.changed:
            for i, item in enumerate(reports):
                try:
                    report = decode_report(item)
                    if self.up.reject and self.up.reject(report):
                        raise InvalidInput("action.tool", "is not wanted")
                except InvalidInput as err:
                    rejected.append({"index": i, "field": err.field, "message": str(err)})
                    continue
                assert isinstance(report.verdict, Verdict)
                self.up.reports.append(report)
            self.up.raw.append(self.body)
            self.up.changed.notify_all()
        done = len(reports) - len(rejected)
        self._answer(200, {"accepted": done, "duplicates": 0, "rejected": rejected})
