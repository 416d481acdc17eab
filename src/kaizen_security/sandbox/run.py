"""The sandbox as a process: the judge with its trace receiver, and the egress proxy as its child."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

import uvicorn

from kaizen_security.client.dial import check_key_may_go
from kaizen_security.client.files import write_whole
from kaizen_security.collectors.files import Files
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.step import Step
from kaizen_security.contract.verdict import Verdict
from kaizen_security.egress.door import bound
from kaizen_security.net.loops import runner
from kaizen_security.observer.rules import Rules
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.clock import new_id, now
from kaizen_security.sandbox.app import Receiver
from kaizen_security.sandbox.confine import Fence, confine, places
from kaizen_security.sandbox.gaps import Gaps
from kaizen_security.sandbox.outgoing import closed
from kaizen_security.sandbox.settings import Settings
from kaizen_security.sidecar.run import Parts, Server, unix_socket
from kaizen_security.sidecar.settings import Settings as SidecarSettings
from kaizen_security.sidecar.shelf import read

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between two looks at what needed time."""
SAVE = 20.0
READY = "listening on http://"
PATIENCE = 30.0
"""Seconds until the proxy must listen."""


class _Parts(Parts):
    """A sidecar's parts; ``told`` hears of each bundle that was put in force, from whatever thread brought it."""

    def __init__(self, told: Callable[[str, Bundle], None], settings: SidecarSettings) -> None:
        self._told = told
        self.show: Callable[[Action, Verdict], None] = lambda action, verdict: None
        super().__init__(settings)

    def raised(self, action: Action, verdict: Verdict, ending: str) -> None:
        """A model raised a verdict: shown here too, since a sandbox may have no control plane."""
        super().raised(action, verdict, ending)
        self.show(action, verdict)

    def _on_bundle(self, agent: str, bundle: Bundle) -> None:
        super()._on_bundle(agent, bundle)
        self._told(agent, bundle)


class Sandbox:
    """The parts of one sandbox."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        check_key_may_go(settings.api_url, settings.api_key)
        try:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.token = settings.token or _token(settings.data / "token")
        except OSError as err:
            raise Misconfigured(f"the data directory {settings.data} cannot be used: {err.strerror}") from err
        self.socket = settings.data / "kaizen.sock"
        self.parts = _Parts(
            self._bundle,
            SidecarSettings(
                socket=self.socket,
                data=settings.data,
                port=-1,
                api_url=settings.api_url,
                api_key=settings.api_key,
                before=settings.mode,
                hold_seconds=0,
                model=settings.model,
                canaries=settings.canaries,
            ),
        )
        key = boundary_key(self.parts.shelf.boundary_secret)
        self.parts.uplink.outgoing = lambda action, verdict: closed(action, verdict, key)
        self.gaps = Gaps(
            settings.agent,
            settings.expectation,
            settings.data / "learned.json",
            now,
            report=self._say,
            rules=self._rules,
        )
        self.parts.show = self.gaps.show
        self._others = self.parts.sidecar.witness
        self.parts.sidecar.witness = self._hear
        self.parts.sidecar.joiner.background = lambda agent, host: self.gaps.ledger.rules.infrastructure(host)
        self.receiver = Receiver(settings.agent, self.parts.sidecar, self.gaps, self.token, self._health)
        self.files = Files(settings.watch) if settings.watch else None
        self.fence: Fence | None = None

    def _bundle(self, agent: str, bundle: Bundle) -> None:
        """A bundle is in force: where nothing was declared here, what the control plane says is declared."""
        if agent == self.settings.agent and not self.settings.declared:
            self.gaps.ledger.expect(replace(self.settings.expectation, declaration=bundle.declaration))

    def _hear(self, step: Step) -> None:
        """Whatever is told or seen: for what a sidecar makes of it, and for the gap."""
        self._others(step)
        self.gaps.note(step)

    def _say(self, action: Action, verdict: Verdict) -> None:
        """Report a gap as part of the act whose effect or call it is about, and as part of the run."""
        self.parts.inspector.heard(action, verdict)
        about = action.id.removeprefix("gap-").removeprefix("bytes-").removeprefix(f"{action.run_id}-")
        act, run = self.parts.sidecar.joiner.act_of(action.agent, about)
        self.parts.sidecar.emit(replace(action, act_id=act, run_id=run or action.run_id) if act else action, verdict)

    def _rules(self) -> Rules:
        return self.parts.agents.lane(AgentKey("", self.settings.agent)).observer.rules

    def look(self) -> None:
        """Note the files that were touched since the last time."""
        assert self.files is not None
        at = now()
        for path, changed in self.files.touched():
            metadata: dict[str, Json] = {"source": "sandbox", "method": "write" if changed else "read"}
            self.gaps.note(
                Action("file", target=path, metadata=metadata, id=new_id(), agent=self.settings.agent, at=at)
            )

    def _health(self) -> dict[str, Json]:
        return {
            "gaps": self.gaps.health(),
            "control_plane": self.parts.uplink.state if self.parts.uplink.enabled else "none",
            "confined": self.fence is not None,
            "files": "not watched" if self.files is None else dict(self.files.losses.items()),
            "refused": 0 if self.fence is None else self.fence.refused,
        }

    def egress(self) -> dict[str, Json]:
        """The proxy's settings."""
        settings = self.settings
        credentials = settings.egress.get("credentials")
        return {
            "host": settings.host,
            "port": settings.egress_port,
            "agent": settings.agent,
            "require_credentials": not settings.open_egress,
            "data": str(settings.data / "egress"),
            "mode": settings.mode.value,
            **settings.egress,
            "credentials": {**(credentials if isinstance(credentials, dict) else {}), settings.agent: self.token},
            "sidecar": f"unix://{self.socket}",
        }


class Proxy:
    """The egress proxy as a child that dies with us. ``place``: where it listens."""

    def __init__(self, settings: dict[str, Json], data: Path, environ: Mapping[str, str]) -> None:
        file = data / "egress.json"
        write_whole(file, json.dumps(settings).encode())
        file.chmod(0o600)
        words = [sys.executable, "-m", "kaizen_security.cli", "egress", "--config", str(file)]
        self.process = subprocess.Popen(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread of ours is running yet
        )
        self._ready: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._listen, name="egress-words", daemon=True).start()
        try:
            self.place = self._ready.get(timeout=PATIENCE)
        except Empty:
            self.place = ""
        if not self.place:
            self.stop()
            raise Misconfigured("the egress proxy does not start; its output says why")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(READY):
                self._ready.put(line.removeprefix("listening on ").strip())
        self._ready.put("")

    def stop(self) -> None:
        """End it in order, within a few seconds."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10.0)
            return
        self.process.kill()
        self.process.wait()


def _die_with_parent() -> None:
    """Linux: the kernel ends the child when its parent dies, however that happens (prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _token(path: Path) -> str:
    kept = read(path)
    if kept is not None and len(kept.strip()) >= 20:
        return kept.decode("ascii", "replace").strip()
    made = secrets.token_urlsafe(32)
    write_whole(path, made.encode())
    path.chmod(0o600)
    return made


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT: 0. 1 when the proxy dies: an agent whose traffic nobody sees must not go on unseen.

    Raises Misconfigured.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sandbox = Sandbox(settings)
    local = unix_socket(sandbox.socket)
    try:
        traces = _listener(settings.host, settings.trace_port)
        proxy = Proxy(sandbox.egress(), settings.data, settings.environ)
        try:
            with runner() as loops:
                return loops.run(_serve(sandbox, proxy, local, traces))
        finally:
            proxy.stop()
    finally:
        local.close()
        with contextlib.suppress(FileNotFoundError):
            sandbox.socket.unlink()


def _listener(host: str, port: int) -> socket.socket:
    made = bound(host, port)
    made.setblocking(False)
    return made


async def _serve(sandbox: Sandbox, proxy: Proxy, local: socket.socket, traces: socket.socket) -> int:
    parts, settings = sandbox.parts, sandbox.settings
    servers = [
        Server(
            uvicorn.Config(app, lifespan="off", access_log=False, log_level="warning", timeout_graceful_shutdown=2),
            parts.release,
        )
        for app in (parts.app(), sandbox.receiver.app())
    ]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    parts.uplink.start()
    if settings.declared:
        # Where a control plane is, it is told; where none is, this is what is in force.
        await asyncio.to_thread(parts.uplink.manifest, settings.agent, settings.expectation.permitted)
    parts.reasoning.start()
    if sandbox.files is not None:
        loop.add_reader(sandbox.files.descriptor, sandbox.look)
    if settings.confined:
        api_url = settings.api_url if settings.api_key else ""
        sandbox.fence = await asyncio.to_thread(confine, places(api_url, settings.model))
    serving = [
        asyncio.create_task(server.serve(sockets=[wire])) for server, wire in zip(servers, (local, traces), strict=True)
    ]
    while not all(server.started for server in servers):
        await asyncio.sleep(0.01)
    gc.freeze()
    host, port = traces.getsockname()[:2]
    print(f"traces on http://{f'[{host}]' if ':' in host else host}:{port} egress on {proxy.place}", flush=True)
    status = await _watch(sandbox, proxy, stopping)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)
    sandbox.gaps.wake()
    sandbox.gaps.save()
    await parts.reasoning.close()
    parts.agents.save()
    await asyncio.to_thread(parts.uplink.stop)
    return status


async def _watch(sandbox: Sandbox, proxy: Proxy, stopping: asyncio.Event) -> int:
    """Settle, save, and look whether the proxy lives, until we are asked to end."""
    loop = asyncio.get_running_loop()
    saved = loop.time()
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await stopping.wait()
        if stopping.is_set():
            return 0
        if proxy.process.poll() is not None:
            log.error("the egress proxy has ended with status %s: the sandbox ends too", proxy.process.returncode)
            return 1
        sandbox.gaps.wake()
        sandbox.parts.inspector.wake(now())
        if loop.time() - saved >= SAVE:
            saved = loop.time()
            await loop.run_in_executor(None, sandbox.parts.agents.save)
            sandbox.gaps.save()
