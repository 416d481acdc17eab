"""The demonstration agent's tools. They are real: requests through the proxy, files, child processes, a database.

Nothing here knows of Kaizen; ``demo.agent`` puts the guard around them, as a customer would.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kaizen_security.contract.action import Json
from kaizen_security.demo.world import API, DOCS, MAIL

TIMEOUT = 20
"""Seconds that a request or a child process may take."""

MAX_READ = 1 << 20
"""Bytes of an answer that a tool keeps."""

PROGRAMS = ("wc", "sort", "grep", "head", "curl", "python")
"""What ``shell.run`` starts. ``python`` is the interpreter that the agent itself runs on."""


class ToolFailed(Exception):
    """The tool's own failure: the server said no, a file is missing, a program failed."""


@dataclass(slots=True)
class Bench:
    """What the tools work with.

    ``work``         the agent's working directory; no tool leaves it
    ``proxy``        URL of the egress proxy, with this agent's credentials
    ``authority``    the CA certificate that the agent trusts for its servers
    ``connections``  hosts that connections were opened to since it was last emptied, to be found again in what the proxy saw
    """

    work: Path
    proxy: str
    authority: Path
    connections: list[str] = field(default_factory=list)
    opener: urllib.request.OpenerDirector = field(init=False)
    database: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        context = ssl.create_default_context(cafile=str(self.authority))
        proxies = urllib.request.ProxyHandler({"http": self.proxy, "https": self.proxy})
        self.opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))
        self.database = sqlite3.connect(self.work / "agent.db")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS kept (shelf TEXT, id TEXT, content TEXT, PRIMARY KEY (shelf, id))"
        )

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def inside(self, path: Json) -> Path:
        """The path within the working directory. Raises ToolFailed when it would leave it."""
        whole = (self.work / str(path).lstrip("/")).resolve()
        if not whole.is_relative_to(self.work.resolve()):
            raise ToolFailed("that path is not in my working directory")
        return whole

    def request(self, method: str, url: str, document: Json = None) -> Json:
        """One HTTP request through the proxy, on a connection of its own; JSON is read, other content given as text."""
        self.connections.append(urlsplit(url).hostname or "")
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})  # noqa: S310
        try:
            with self.opener.open(request, timeout=TIMEOUT) as response:
                body: bytes = response.read(MAX_READ)
                plain = response.headers.get_content_type() == "text/plain"
        except urllib.error.HTTPError as err:
            with err:
                raise ToolFailed(f"the server answered {err.code}") from err
        except (OSError, ValueError) as err:
            raise ToolFailed(f"no answer: {err}") from err
        text = body.decode(errors="replace")
        if plain:
            return text
        try:
            read: Json = json.loads(text or "null")
        except ValueError:
            return text
        return read

    def run(self, command: Json) -> Json:
        """One real child process in the working directory. A non-zero status of ``grep`` (nothing found) is an answer."""
        words = [str(word) for word in command] if isinstance(command, list) else []
        if not words or words[0] not in PROGRAMS:
            raise ToolFailed(f"I can run only {', '.join(PROGRAMS)}")
        program = sys.executable if words[0] == "python" else shutil.which(words[0])
        if program is None:
            raise ToolFailed(f"{words[0]} is not installed here")
        self.connections += [
            urlsplit(word).hostname or "" for word in words[1:] if word.startswith(("http://", "https://"))
        ]
        try:
            done = subprocess.run(
                [program, *words[1:]],
                cwd=self.work,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired, ValueError) as err:
            raise ToolFailed(f"{words[0]} did not run: {err}") from err
        if done.returncode not in (0, 1) or (done.returncode == 1 and words[0] != "grep"):
            raise ToolFailed(f"{words[0]} ended with {done.returncode}: {done.stderr[-300:].decode(errors='replace')}")
        return done.stdout[:MAX_READ].decode(errors="replace")

    def environment(self) -> dict[str, str]:
        """What child processes get: the way out through the proxy, and nothing of the agent's own keys."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "http_proxy": self.proxy,
            "https_proxy": self.proxy,
            "SSL_CERT_FILE": str(self.authority),
            "CURL_CA_BUNDLE": str(self.authority),
        }

    def raw(self, host: str, port: int, data: bytes) -> str:
        """Bytes over a bare socket through the proxy, as malware in the process would. Gives the proxy's answer."""
        self.connections.append(host)
        proxy = urlsplit(self.proxy)
        try:
            with socket.create_connection((proxy.hostname or "127.0.0.1", proxy.port or 8080), timeout=TIMEOUT) as line:
                line.sendall(
                    f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{self._credentials()}\r\n".encode()
                )
                answer = line.recv(4096).split(b"\r\n", 1)[0]
                if b" 200 " in answer + b" ":
                    line.sendall(data)
                    line.shutdown(socket.SHUT_WR)
                    line.recv(4096)
        except OSError as err:
            raise ToolFailed(f"no answer: {err}") from err
        return answer.decode(errors="replace")

    def _credentials(self) -> str:
        # RFC 7617, as every HTTP client makes it of a proxy's URL.
        proxy = urlsplit(self.proxy)
        if not proxy.username:
            return ""
        pair = b64encode(f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()).decode()
        return f"Proxy-Authorization: Basic {pair}\r\n"


Arguments = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as the agent has it.

    ``kind``       the action's kind in the wire contract
    ``target``     what a call with these arguments acts on: a URL, a path, or nothing
    ``body``       does it, for real
    ``sensitive``  it reads data that must not leave
    """

    kind: str
    body: Callable[[Bench, Arguments], Json]
    target: Callable[[Arguments], str] = lambda arguments: ""
    sensitive: bool = False


def _get(url: Callable[[Arguments], str]) -> Tool:
    return Tool(kind="http", target=url, body=lambda bench, arguments: bench.request("GET", url(arguments)))


def _post(url: Callable[[Arguments], str]) -> Tool:
    return Tool(
        kind="http", target=url, body=lambda bench, arguments: bench.request("POST", url(arguments), dict(arguments))
    )


def _q(arguments: Arguments, name: str) -> str:
    return quote(str(arguments.get(name, "")), safe="")


def _document(arguments: Arguments) -> str:
    # Documents may link elsewhere; the tool follows what it is given. That is what an injection can use.
    path = str(arguments.get("path", ""))
    return path if path.startswith(("http://", "https://")) else DOCS + quote(path)


def _write(bench: Bench, arguments: Arguments) -> Json:
    path = bench.inside(arguments.get("path"))
    path.parent.mkdir(parents=True, exist_ok=True)
    content = arguments.get("text")
    return path.write_text(content if isinstance(content, str) else json.dumps(content))


def _read(bench: Bench, arguments: Arguments) -> Json:
    try:
        return bench.inside(arguments.get("path")).read_text()[:MAX_READ]
    except OSError as err:
        raise ToolFailed(f"cannot be read: {err.strerror}") from err


def _save(bench: Bench, arguments: Arguments) -> Json:
    row = (str(arguments.get("shelf")), str(arguments.get("id")), json.dumps(arguments.get("content")))
    with bench.database:
        bench.database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
    return {"saved": row[1]}


def _query(bench: Bench, arguments: Arguments) -> Json:
    rows = bench.database.execute(
        "SELECT id FROM kept WHERE shelf = ? ORDER BY id LIMIT 50", (str(arguments.get("shelf")),)
    )
    return [id_ for (id_,) in rows]


def _url_in(arguments: Arguments) -> str:
    """What an honest ``shell.run`` reports as its target: the URL among the words, if there is one."""
    command = arguments.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    return next((word for word in words[1:] if word.startswith(("http://", "https://"))), "")


TOOLS: dict[str, Tool] = {
    "orders.lookup": _get(lambda arguments: f"{API}/orders/{_q(arguments, 'order')}"),
    "orders.list": _get(lambda arguments: f"{API}/orders?customer={_q(arguments, 'customer')}"),
    "customers.lookup": _get(lambda arguments: f"{API}/customers/{_q(arguments, 'customer')}"),
    "tickets.list": _get(lambda arguments: f"{API}/tickets?state={_q(arguments, 'state')}"),
    "tickets.read": _get(lambda arguments: f"{API}/tickets/{_q(arguments, 'ticket')}"),
    "tickets.reply": _post(lambda arguments: f"{API}/tickets/{_q(arguments, 'ticket')}"),
    "refunds.issue": _post(lambda arguments: f"{API}/refunds"),
    "kb.read": _get(lambda arguments: f"{API}/kb/{_q(arguments, 'article')}"),
    "documents.read": _get(_document),
    "mail.inbox": _get(lambda arguments: f"{MAIL}/inbox"),
    "mail.read": _get(lambda arguments: f"{MAIL}/inbox/{_q(arguments, 'mail')}"),
    "mail.send": _post(lambda arguments: f"{MAIL}/outbox"),
    "files.write": Tool(kind="file", target=lambda arguments: str(arguments.get("path", "")), body=_write),
    "files.read": Tool(kind="file", target=lambda arguments: str(arguments.get("path", "")), body=_read),
    "database.save": Tool(kind="tool_call", body=_save),
    "database.query": Tool(kind="tool_call", body=_query),
    "shell.run": Tool(kind="exec", target=_url_in, body=lambda bench, arguments: bench.run(arguments.get("command"))),
    # The agent's framework brings this one along; nobody declared it, and no honest task uses it.
    "payments.transfer": _post(lambda arguments: f"{API}/refunds"),
}
"""Every tool that the agent has, by the name that it declares and reports."""
