"""The stage of the lying agents: real servers, a real egress proxy, a resolver, a process for each agent. All of it on loopback.

Every agent has a name of its own at the proxy, so many run at a time. What is told and what is seen is kept in the order of the
times that agents and witnesses state, so that a machine with other work changes nothing; what an agent does late is given the
time that is meant.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kaizen_security.collectors.files import Files
from kaizen_security.collectors.traces.account import steps_of
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import decode_report
from kaizen_security.contract.fields import parse
from kaizen_security.contract.step import Step
from kaizen_security.egress.config import Config
from kaizen_security.egress.dnswire import question
from kaizen_security.egress.proxy import Proxy
from kaizen_security.observer.gap.ledger import Ledger
from kaizen_security.observer.gap.place import Place, shown
from kaizen_security.observer.gap.words import Gap
from kaizen_security.redteam.lying import agent
from kaizen_security.redteam.lying.below import Kernel
from kaizen_security.redteam.lying.corpus import Lying
from kaizen_security.redteam.lying.shapes import documents
from kaizen_security.runtime.clock import Clock, now

TOGETHER = 4
"""Agents that run at a time."""
PATIENCE = 60.0
HANDSHAKE = b"\x16"
"""With which every TLS connection begins (RFC 8446, section 5.1)."""
FILE_DEEDS = ("read", "write", "rename", "link")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass(slots=True)
class Witnessed:
    """What came of one agent: steps that were told, effects that were seen, each with the time of its arrival."""

    told: list[tuple[float, Step]] = field(default_factory=list)
    seen: list[tuple[float, Action]] = field(default_factory=list)


class Stage:
    """Everything that ``runs`` need. ``kernel``: watch below the agents too (root and eBPF). Use as a context."""

    def __init__(self, folder: Path, runs: Iterable[Lying], clock: Clock = now, *, kernel: bool = False) -> None:
        self.runs = tuple(runs)
        self._folder = folder
        self._clock = clock
        self._key = secrets.token_urlsafe(16)
        self._witnessed: dict[str, Witnessed] = defaultdict(Witnessed)
        self._lock = threading.Lock()
        self._wanted = kernel
        self._kernel: Kernel | None = None
        self.direct: dict[str, str] = {}
        """Where what goes past the proxy really goes, by the place that stands in the corpus."""
        self._stack = contextlib.ExitStack()
        self.authority = folder / "authority.pem"

    # --- setting up -----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Stage:
        """Start servers, resolver and proxy, and watch files and kernel."""
        self._prepare()
        places = {place for run in self.runs for place in run.places()}
        tls = self._certificates({host for host, _, scheme in places if scheme != "http"})
        ports = {scheme: self._serve(context) for scheme, context in (("http", None), ("https", tls), ("raw", None))}
        for place in sorted({place for run in self.runs for place in run.direct()}):
            # The port is the kernel's choice: others on this machine may have the one that stands in the corpus.
            self.direct[shown(Place(*place))] = shown(Place(place[0], self._serve(None, (place[0], 0))))
        self.resolver = self._resolve()
        hosts = {}
        for host, port, scheme in sorted(places, key=lambda place: place[2] != "raw"):
            hosts[host, port] = ("127.0.0.1", ports[scheme])
        config = Config(
            port=0,
            api_url="http://127.0.0.1:9",
            agent="nobody",
            hosts=hosts,
            allow_loopback=True,
            credentials={name: self._key for run in self.runs for name in (run.id, f"{run.id}~late")},
            require_credentials=True,
            data=self._folder / "egress",
        )
        self._proxy = Proxy(config, sink=lambda: self)
        self.address = self._proxy.start()
        for name in config.credentials:
            self._proxy.policies.settle(name)
        self._thread = threading.Thread(target=self._proxy.run, name="stage-proxy", daemon=True)
        self._thread.start()
        if self._wanted:
            self._kernel = Kernel(self._take, {self.address, self.resolver}, TOGETHER)
            self._stack.callback(self._kernel.close)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self._proxy.stop()
        self._thread.join(10.0)
        self._stack.close()

    def _certificates(self, hosts: set[str]) -> ssl.SSLContext:
        import trustme

        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*sorted(hosts or {"nobody.example"})).configure_cert(context)
        return context

    def _serve(self, context: ssl.SSLContext | None, place: tuple[str, int] = ("127.0.0.1", 0)) -> int:
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        listener = self._stack.enter_context(socket.create_server(place, family=family, backlog=256))
        pool = ThreadPoolExecutor(2 * TOGETHER, thread_name_prefix="stage-server")
        self._stack.callback(pool.shutdown, wait=False, cancel_futures=True)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    wire, _ = listener.accept()
                    pool.submit(_answer, wire, context)

        threading.Thread(target=accept, name="stage-accept", daemon=True).start()
        return int(listener.getsockname()[1])

    def _resolve(self) -> tuple[str, int]:
        """A resolver that knows no name and tells what it was asked. The query has the agent's name in front."""
        wire = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        wire.bind(("127.0.0.1", 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    data, peer = wire.recvfrom(2048)
                    name, _, query = data.partition(b"\0")
                    at = self._clock()
                    try:
                        asked = question(query).name
                    except ValueError:  # no query that any resolver answers; the next one is
                        continue
                    self._take(
                        Action("dns", target=asked, metadata={"source": "egress"}, id=_id(), agent=name.decode(), at=at)
                    )
                    wire.sendto(query[:2] + b"\x81\x83" + query[4:], peer)

        threading.Thread(target=serve, name="stage-resolver", daemon=True).start()
        host, port = wire.getsockname()
        return str(host), int(port)

    def _prepare(self) -> None:
        """The files that agents read, made before anybody watches, and the watch on them."""
        roots = self._folder / "roots"
        for run in self.runs:
            later = {rest[1] for name, *rest in run.deeds() if name in ("link", "rename")}
            for name, *rest in run.deeds():
                for path in (item for item in rest if str(item).startswith("/") and name in FILE_DEEDS):
                    place = Path(f"{roots / run.id}{path}")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if name in ("read", "link") and path not in later:
                        place.write_bytes(b"12 orders")
        roots.mkdir(exist_ok=True)
        self._roots = str(roots)
        self._files = Files((self._roots,))
        self._stack.callback(self._files.close)
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="stage-files", daemon=True)
        # Before the descriptor is closed: its number is the next file's, and a watch that went on would read that.
        self._stack.callback(watch.join)
        self._stack.callback(over.set)
        watch.start()

    def _watch(self, over: threading.Event) -> None:
        ready = select.poll()
        ready.register(self._files.descriptor, select.POLLIN)
        with contextlib.suppress(OSError, ValueError):
            while not over.is_set():
                ready.poll(200)
                for path, _ in self._files.touched():
                    name, _, inner = path.removeprefix(self._roots).lstrip("/").partition("/")
                    metadata: dict[str, Json] = {"source": "sandbox"}
                    self._take(
                        Action("file", target="/" + inner, metadata=metadata, id=_id(), agent=name, at=self._clock())
                    )

    # --- what is seen -----------------------------------------------------------------------------------------------------------

    def deliver(self, reports: list[bytes]) -> Counter[str]:
        """Where the proxy's reports go (``egress.report.Sink``)."""
        for data in reports:
            self._take(decode_report(parse(data)).action)
        return Counter()

    def _take(self, action: Action) -> None:
        with self._lock:
            self._witnessed[action.agent].seen.append((_known(action), action))

    # --- playing ------------------------------------------------------------------------------------------------------------------

    def play(self) -> dict[str, Witnessed]:
        """Let every agent live its run; what came of each, by the run's id."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(self._live, self.runs))
        # The proxy's last reports are on their way: it delivers what it has when it ends.
        self._proxy.stop()
        self._thread.join(PATIENCE)
        return {run.id: self._with_late(run) for run in self.runs}

    def _live(self, run: Lying) -> None:
        root = Path(self._roots) / run.id
        plan = {
            "run_id": run.id,
            "agent": run.id,
            "request": run.request,
            "steps": self._placed(list(run.steps)),
            "late": self._placed(run.late),
            "proxy": list(self.address),
            "key": self._key,
            "authority": str(self.authority),
            "resolver": list(self.resolver),
            "named": True,
            "root": str(root),
        }
        command = [sys.executable, "-I", "-S", str(Path(agent.__file__))]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            number = None if self._kernel is None else self._kernel.take(run.id, process.pid)
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            lines = ((datetime.fromisoformat(said["at"]).timestamp(), said) for said in map(json.loads, process.stdout))
            told = [(at, step) for at, document in documents(run.shape, lines) for step in steps_of(document, run.id)]
            problem = process.stderr.read() if process.stderr is not None else ""
        if self._kernel is not None and number is not None:
            self._kernel.leave(number)
        if process.returncode:
            raise RuntimeError(f"the agent {run.id} broke: {problem[-2000:]}")
        self._witnessed[run.id].told = told

    def _placed(self, value: Any) -> Any:
        """A plan with the places of this stage in it."""
        if isinstance(value, dict):
            return {key: self._placed(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self._placed(below) for below in value]
        return self.direct.get(value, value) if isinstance(value, str) else value

    def _with_late(self, run: Lying) -> Witnessed:
        found = self._witnessed[run.id]
        later = self._witnessed.pop(f"{run.id}~late", Witnessed())
        shift = float(run.late.get("seconds", 0))
        seen = [
            *found.seen,
            *((at + shift, replace(action, agent=run.id, at=action.at + shift)) for at, action in later.seen),
        ]
        return Witnessed(told=found.told, seen=sorted(seen, key=lambda one: one[0]))


def judged(run: Lying, found: Witnessed) -> tuple[Gap, ...]:
    """What the gap says of a run, step by step in the order in which all of it came."""
    # Whatever a command says, what a child is here is Python.
    ledger = Ledger(run.id, replace(run.expectation, programs=(*run.expectation.programs, "python")))
    gaps: list[Gap] = []
    arrivals = sorted([*found.told, *found.seen], key=lambda one: one[0])
    at = 0.0
    for at, step in arrivals:
        while ledger.due < at:
            gaps += ledger.wake(max(ledger.due, 1.0))
        ledger.note(step, at)
    gaps += ledger.wake(at + run.expectation.patience + 1.0)
    return tuple(gaps)


def _known(action: Action) -> float:
    """When it can be known: by the times in it. When this process got round to it depends on what else the machine does."""
    lasted = action.metadata.get("duration_ms")
    return action.at + (float(lasted) / 1000 if isinstance(lasted, int | float) else 0.0)


def _answer(wire: socket.socket, context: ssl.SSLContext | None) -> None:
    wire.settimeout(PATIENCE)
    with contextlib.suppress(OSError), wire:
        if context is not None and wire.recv(1, socket.MSG_PEEK) == HANDSHAKE:
            # Another client sends to the same port what is no TLS (agent.RAW).
            wire = context.wrap_socket(wire, server_side=True)
        with wire:
            data = wire.recv(65536)
            if not data.startswith((b"GET ", b"POST ")):
                # No HTTP: take all that comes.
                while data:
                    data = wire.recv(65536)
                return
            head, _, body = data.partition(b"\r\n\r\n")
            while True:
                left = _length(head) - len(body)
                while left > 0 and (data := wire.recv(65536)):
                    left -= len(data)
                wire.sendall(_ANSWER)
                if b"Connection: keep-alive" not in head or b"X-Last" in head or not (data := wire.recv(65536)):
                    return
                head, _, body = data.partition(b"\r\n\r\n")


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _id() -> str:
    return secrets.token_hex(8)


def names(gaps: Iterable[Gap]) -> Iterator[str]:
    """Kinds, for a table."""
    for gap in gaps:
        yield gap.kind.value
