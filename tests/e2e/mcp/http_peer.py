"""An MCP server over Streamable HTTP for tests, in this process: says what reached it, and answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SESSION = "the-session-of-the-server"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        peer = self.server.peer
        peer.reached.append((dict(self.headers), body))
        document = json.loads(body)
        if isinstance(document, dict) and "method" in document and document["method"] in peer.answers:
            status, kind, data = peer.answers[document["method"]]
            return self._answer(status, data, Content_Type=kind)
        asked = [
            one for one in (document if isinstance(document, list) else [document]) if "id" in one and "method" in one
        ]
        if not asked:
            return self._answer(202, b"")
        replies = [{"jsonrpc": "2.0", "id": one["id"], "result": _result(one)} for one in asked]
        more = {"Mcp_Session_Id": SESSION} if asked[0]["method"] == "initialize" else {}
        data = json.dumps(replies if isinstance(document, list) else replies[0]).encode()
        return self._answer(200, data, Content_Type="application/json", **more)

    def do_GET(self):
        self.server.peer.reached.append((dict(self.headers), b"GET"))
        self._answer(200, self.server.peer.events, Content_Type="text/event-stream")

    def do_DELETE(self):
        self.server.peer.reached.append((dict(self.headers), b"DELETE"))
        self.server.peer.before_ended()
        self._answer(200, b"")


def _result(message):
    if message["method"] == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "peer", "version": "1"},
        }
    if message["method"] == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("look", "delete_all")]}
    return (
        {"content": [{"type": "text", "text": f"did {message['params'].get('name')}"}]} if "params" in message else {}
    )


class HttpPeer:
    """``reached``: headers and body of each request. ``answers``: by method, status, content type and body.

    ``events``: what GET gives. ``before_ended``: done before a DELETE is answered.
    """

    def __init__(self):
        self.reached, self.answers, self.events = [], {}, b""
        self.before_ended = lambda: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.peer = self
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/mcp"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def tools(self):
        """Names of the tools whose calls reached it."""
        documents = [json.loads(body) for _, body in self.reached if body[:1] in (b"{", b"[")]
        messages = [one for found in documents for one in (found if isinstance(found, list) else [found])]
        return [one["params"]["name"] for one in messages if one.get("method") == "tools/call"]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
