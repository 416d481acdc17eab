"""An egress proxy of the run's own, so that what leaves is this agent's by construction, and clients that know it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from urllib.parse import unquote, urlsplit

from kaizen_security.client.http import Connection
from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.contract.fields import parse
from kaizen_security.interception import trust

READY = "listening on http://"
PATIENCE = 30.0
"""Seconds until it must listen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAt:
    """Where an egress proxy listens, and the ``user:password`` that it asks for (as in a URL, percent-encoded), if any."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> ProxyAt:
        """``http://[USER:PASSWORD@]HOST:PORT``. Raises Misconfigured."""
        try:
            found = urlsplit(url)
            host, port = found.hostname, found.port
        except ValueError:
            host = port = None
        if not host or not port or found.scheme != "http" or found.path not in ("", "/"):
            raise Misconfigured("--proxy must be http://[USER:PASSWORD@]HOST:PORT")
        return cls(host=host, port=port, credentials=found.netloc.rpartition("@")[0])

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    def url(self, place: tuple[str, int] | None = None) -> str:
        """For clients; ``place`` where they reach it, if elsewhere."""
        host, port = place or self.place
        host = f"[{host}]" if ":" in host else host
        return f"http://{self.credentials}{'@' if self.credentials else ''}{host}:{port}"

    @property
    def header(self) -> str:
        """``Proxy-Authorization`` as a line of a head, empty without credentials (RFC 7617)."""
        if not self.credentials:
            return ""
        return f"Proxy-Authorization: Basic {b64encode(unquote(self.credentials).encode()).decode()}\r\n"


class OwnProxy:
    """``kaizen egress`` as a child process. ``place`` is where it listens."""

    def __init__(self, *, agent: str, mode: str, data: Path, environ: Mapping[str, str]) -> None:
        words = [sys.executable, "-m", "kaizen_security.cli", "egress", "--host", "127.0.0.1", "--port", "0"]
        words += ["--agent", agent, "--mode", mode, "--data", str(data)]
        self._process = subprocess.Popen(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._listen, name="proxy-words", daemon=True)
        self._said: deque[str] = deque(maxlen=20)
        self._pipes = DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._pipes.register(stream, EVENT_READ, bytearray())
        self.place = self._wait()

    def listen(self) -> None:
        """Read what it says from now on: nobody else would, and it would wait for ever with its pipe full."""
        self._thread.start()

    def _listen(self) -> None:
        while self._pipes.get_map():
            self._lines(None)

    def _lines(self, seconds: float | None) -> list[str]:
        """The lines that it said; waits for one for at most ``seconds``."""
        lines: list[str] = []
        for key, _ in self._pipes.select(seconds):
            said = os.read(key.fd, 1 << 16)
            if not said:
                self._pipes.unregister(key.fileobj)
            *whole, rest = (key.data + said).split(b"\n")
            key.data[:] = rest
            lines += [line.decode("utf-8", "replace").rstrip() for line in whole]
        self._said += lines
        return lines

    def _wait(self) -> tuple[str, int]:
        until = time.monotonic() + PATIENCE
        while self._pipes.get_map() and (left := until - time.monotonic()) > 0:
            for line in self._lines(left):
                if line.startswith(READY):
                    host, _, port = line.removeprefix(READY).strip().rpartition(":")
                    return host, int(port)
        self.stop()
        raise Misconfigured("the egress proxy did not start: " + (self._said[-1] if self._said else "it said nothing"))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def counts(self) -> dict[str, int]:
        """What it counted (connect, refused, …), empty when it does not answer."""
        connection = Connection(f"http://{self.place[0]}:{self.place[1]}")
        try:
            status, _, body = connection.request("GET", "/healthz", deadline=2.0)
            document = parse(body, limit=1 << 20) if status == 200 else {}
        except (KaizenError, OSError):
            return {}
        finally:
            connection.close()
        counts = document.get("counts") if isinstance(document, dict) else None
        return {name: n for name, n in counts.items() if isinstance(n, int) and n} if isinstance(counts, dict) else {}

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it; it delivers what it has to report first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(8)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        self._pipes.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def client_variables(proxy: str) -> dict[str, str]:
    """Variables that lead clients to ``proxy`` (a URL)."""
    found = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy)
    found |= dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1")
    found["NODE_USE_ENV_PROXY"] = "1"
    return found


def trusting(authority: Path, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that let clients trust ``authority`` besides what they trust in ``environ``; what that comes to is put into
    ``folder``. Raises Misconfigured.
    """
    bundle = folder / "authorities.pem"
    bundle.write_text(trust.bundle(authority, environ))
    # Those that only add get the bundle too: the authority's own file need not be one that the agent can read.
    return trust.variables(bundle, bundle)
