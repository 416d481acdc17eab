"""An agent of the sandbox's corpus, a process of its own: tells its account on standard output and does its deeds for real.

Run as a file, with the standard library only, so that hundreds of them start quickly. Reads its plan as one JSON document from
standard input; each line that it writes is a step of the wire contract.

Deeds: ``get URL`` · ``post URL BYTES`` · ``session URL TIMES BYTES`` (requests on one connection) · ``open HOST:PORT BYTES`` (a
tunnel, no TLS) · ``keep HOST:PORT`` (a tunnel that stays open) · ``use BYTES`` (through it) · ``ask NAME [TYPE]`` (a DNS query) ·
``read PATH`` · ``write PATH BYTES`` · ``rename PATH PATH`` · ``link PATH PATH`` (the second is a symbolic link to the first) ·
``pause SECONDS`` · ``child DEED…`` (in a child process) · ``bypass DEED…`` (in a child with a clean environment, past the proxy) ·
``together DEED DEED…`` (at the same time)

A step with ``parallel`` holds calls that are told before any of them is done, done at the same time, and end in turned order.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 10.0
RAW = b"\0"
"""How bytes begin that are no TLS, so that none take them for it."""
TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "HTTPS": 65}
"""Of DNS queries (RFC 1035, 3596, 9460)."""


class Agent:
    """``plan``: run_id, agent, request, steps, late, and where things are: proxy, credentials, authority, resolver, root."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.user = str(plan["agent"])
        self.kept: socket.socket | None = None
        self.deeds: dict[str, Callable[..., None]] = {
            "get": self.get,
            "post": self.post,
            "open": self.open,
            "keep": self.keep,
            "use": self.use,
            "session": self.session,
            "ask": self.ask,
            "read": self.read,
            "write": self.write,
            "rename": self.rename,
            "link": self.link,
            "pause": time.sleep,
            "together": self.together,
            "child": self.child,
            "bypass": self.bypass,
        }

    # --- the account --------------------------------------------------------------------------------------------------------

    def tell(self, step: str, **said: Any) -> None:
        """One step of the account."""
        at = time.time()  # noqa: TID251 - an agent has a clock of its own
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f"{at % 1:.6f}"[1:] + "Z"
        line = {"step": step, "run_id": self.plan["run_id"], "agent": self.plan["agent"], "at": stamp, **said}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def run(self) -> None:
        """The whole run."""
        self.tell("request", text=self.plan["request"])
        for number, step in enumerate(self.plan["steps"]):
            if "parallel" in step:
                self.parallel(f"c{number}", step["parallel"])
            else:
                self.step(f"c{number}", step)
        self.tell("end")
        late = self.plan.get("late")
        if late:
            # Another user of the proxy, so that whoever looks at the reports can give them the time that is meant.
            self.user = f"{self.plan['agent']}~late"
            self.act(late["deeds"])
        if self.kept is not None:
            self.kept.close()

    def step(self, id_: str, step: dict[str, Any]) -> None:
        """A call with what is behind it, or words with what is behind them."""
        if "tool" not in step:
            self.tell("message", text=step["says"])
            self.act(step.get("deeds", []))
            return
        self.begin(id_, step)
        self.act(step.get("deeds", []))
        self.end(id_, step)

    def begin(self, id_: str, step: dict[str, Any]) -> None:
        """Tell of a call."""
        metadata = {"source": "bedrock-trace", "arguments": step.get("arguments", {})}
        action = {"kind": "tool_call", "tool": step["tool"], "target": step.get("target"), "metadata": metadata}
        self.tell("action", id=id_, **action)

    def end(self, id_: str, step: dict[str, Any]) -> None:
        """Tell of its result."""
        self.tell("result", action_id=id_, content=step.get("result"), failed=bool(step.get("failed")))

    def parallel(self, id_: str, steps: list[dict[str, Any]]) -> None:
        """Calls at the same time."""
        for number, step in enumerate(steps):
            self.begin(f"{id_}-{number}", step)
        self.together(*([["act", step.get("deeds", [])] for step in steps]))
        for number, step in reversed(list(enumerate(steps))):
            self.end(f"{id_}-{number}", step)

    def together(self, *deeds: list[Any]) -> None:
        """Deeds in threads of their own."""
        threads = [threading.Thread(target=self.act, args=(deed[1] if deed[0] == "act" else [deed],)) for deed in deeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def act(self, deeds: list[list[Any]]) -> None:
        """Do it. That the other side refuses or is away changes nothing of what was tried."""
        for name, *rest in deeds:
            try:
                self.deeds[name](*rest)
            except (OSError, http.client.HTTPException) as err:
                print(f"{self.plan['agent']}: {name}: {err}", file=sys.stderr)

    # --- the deeds ----------------------------------------------------------------------------------------------------------

    def get(self, url: str) -> None:
        """A request without a body."""
        self.request("GET", url, b"")

    def post(self, url: str, size: int) -> None:
        """A request with ``size`` bytes that do not compress."""
        self.request("POST", url, os.urandom(size))

    def request(self, method: str, url: str, body: bytes) -> None:
        """Through the proxy, TLS checked against the corpus's own authority."""
        parts = urlsplit(url)
        headers = {"Host": parts.netloc, "Connection": "close", "User-Agent": "lying-agent"}
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(self.plan["proxy"][0], self.plan["proxy"][1], timeout=PATIENCE)
            headers["Proxy-Authorization"] = self.credentials()
            connection.request(method, url, body or None, headers)
            connection.getresponse().read()
            connection.close()
            return
        host = parts.hostname or ""
        context = ssl.create_default_context(cafile=self.plan["authority"])
        with (
            self.tunnel(f"{bracketed(host)}:{parts.port or 443}") as bare,
            context.wrap_socket(bare, server_hostname=host) as wire,
        ):
            path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            size = f"Content-Length: {len(body)}\r\n" if body else ""
            wire.sendall(f"{method} {path} HTTP/1.1\r\n{head}{size}\r\n".encode() + body)
            while wire.recv(65536):
                pass

    def session(self, url: str, times: int, size: int) -> None:
        """Requests one after the other on one connection, which is then closed."""
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=self.plan["authority"])
        host = parts.hostname or ""
        head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: keep-alive\r\n"
        with (
            self.tunnel(f"{host}:{parts.port or 443}") as bare,
            context.wrap_socket(bare, server_hostname=host) as wire,
        ):
            for number in range(times):
                last = "X-Last: 1\r\n" if number == times - 1 else ""
                wire.sendall(f"{head}{last}Content-Length: {size}\r\n\r\n".encode() + os.urandom(size))
                answer = b""
                while not answer.endswith(b"ok") and (piece := wire.recv(65536)):
                    answer += piece

    def tunnel(self, target: str) -> socket.socket:
        """CONNECT."""
        wire = socket.create_connection(tuple(self.plan["proxy"]), timeout=PATIENCE)
        wire.sendall(
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {self.credentials()}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = wire.recv(4096)
            if not piece:
                raise OSError("the proxy hung up")
            answer += piece
        if b" 200 " not in answer.split(b"\r\n")[0] + b" ":
            wire.close()
            raise OSError(answer.split(b"\r\n")[0].decode())
        return wire

    def credentials(self) -> str:
        """Proxy-Authorization, Basic."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.plan['key']}".encode()).decode()

    def open(self, target: str, size: int) -> None:
        """A tunnel with ``size`` bytes in it."""
        with self.tunnel(target) as wire:
            wire.sendall((RAW + os.urandom(size))[:size])
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(65536):
                pass

    def keep(self, target: str) -> None:
        """A tunnel that is used by the calls to come."""
        self.kept = self.tunnel(target)

    def use(self, size: int) -> None:
        """Send through the tunnel that is kept."""
        assert self.kept is not None
        self.kept.sendall((RAW + os.urandom(size))[:size])

    def ask(self, name: str, type_: str = "A") -> None:
        """One DNS query (RFC 1035), past the library, which has a cache and search domains."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
        query = os.urandom(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + bytes([0, 0, TYPES[type_], 0, 1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(PATIENCE)
            wire.connect(tuple(self.plan["resolver"]))
            wire.send(self.user.encode() + b"\0" + query if self.plan.get("named") else query)
            wire.recv(512)

    def place(self, path: str) -> Path:
        """A path below the corpus's own root."""
        return Path(str(self.plan["root"]) + path)

    def read(self, path: str) -> None:
        """Read a file."""
        self.place(path).read_bytes()

    def write(self, path: str, size: int) -> None:
        """Write a file."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_bytes(os.urandom(size))

    def rename(self, path: str, to: str) -> None:
        """Rename a file."""
        self.place(to).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).rename(self.place(to))

    def link(self, path: str, to: str) -> None:
        """Make ``to`` a symbolic link to ``path``."""
        self.place(to).symlink_to(self.place(path))

    def child(self, *deed: Any) -> None:
        """The deed in a child process."""
        self.spawn(None, deed)

    def bypass(self, *deed: Any) -> None:
        """The deed in a child that knows of no proxy."""
        self.spawn({}, deed, bare=True)

    def spawn(self, environ: dict[str, str] | None, deed: tuple[Any, ...], *, bare: bool = False) -> None:
        """Start a child and wait for it."""
        plan = {**self.plan, "agent": self.plan["agent"], "only": [list(deed)], "user": self.user, "bare": bare}
        subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps(plan).encode(),
            env=environ,
            timeout=2 * PATIENCE,
            check=False,
        )


def bracketed(host: str) -> str:
    """As it stands before a port (RFC 3986)."""
    return f"[{host}]" if ":" in host else host


class Bare(Agent):
    """One that knows of no proxy."""

    def tunnel(self, target: str) -> socket.socket:
        """A connection of its own."""
        host, _, port = target.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)


def main() -> None:
    """Read the plan, live it."""
    plan = json.loads(sys.stdin.read())
    agent = Bare(plan) if plan.get("bare") else Agent(plan)
    if "only" in plan:
        agent.user = plan["user"]
        agent.act(plan["only"])
    else:
        agent.run()


if __name__ == "__main__":
    main()
