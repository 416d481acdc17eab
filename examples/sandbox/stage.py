"""What the rehearsals share: servers on loopback under the names of the story, and a real ``kaizen sandbox`` beside them."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from kaizen_security.integrations.sandbox import Sandbox

PATIENCE = 30.0


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append(f"{self.command} {self.headers.get('Host')}")  # type: ignore[attr-defined]
        self.send_response(200)
        body = b'{"status": "shipped"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def servers(*names: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """One real server for these names: the proxy's ``hosts`` map, and what it received."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    received: list[str] = []
    server.received = received  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {f"{name}:80": f"127.0.0.1:{server.server_port}" for name in names}, received
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def sandbox(agent: str, declaration: dict[str, object], hosts: dict[str, str]) -> Iterator[Sandbox]:
    """``kaizen sandbox`` as a process of its own, on free ports, until the context ends."""
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory() as folder:
        further = Path(folder) / "egress.json"
        further.write_text(json.dumps({"hosts": hosts, "allow_loopback": True}))
        words = ["--agent", agent, "--data", folder, "--declaration", json.dumps(declaration), "--trace-port", "0"]
        words += ["--egress-port", "0", "--egress-config", str(further)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAIZEN_", "KZ_"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "kaizen_security.cli", "sandbox", *words],
            env={**kept, "KZ_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            if len(said) < 6:
                raise SystemExit("the sandbox does not start")
            yield Sandbox(traces=said[2], egress=said[5], agent=agent, token=token)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def gaps(link: Sandbox, *, expected: int, within: float = PATIENCE) -> list[str]:
    """The reasons of what was found, once there are ``expected`` of them."""
    request = urllib.request.Request(link.traces + "/v1/gaps", headers={"Authorization": f"Bearer {link.token}"})
    ends = time.monotonic() + within
    while True:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.loads(answer.read())["gaps"]
        if len(found) >= expected or time.monotonic() > ends:
            return [one["verdict"]["reason"] for one in found]
        time.sleep(0.1)
