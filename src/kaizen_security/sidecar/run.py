"""The sidecar as a process: sockets, threads, saving, a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_bytes
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette

from kaizen_security.client.descriptors import make_room
from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action, altered
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.step import Step
from kaizen_security.contract.verdict import Verdict
from kaizen_security.net.loops import runner
from kaizen_security.observer.run import Limits
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.clock import Clock, now
from kaizen_security.runtime.holds import Holds
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar import health
from kaizen_security.sidecar.app import Sidecar
from kaizen_security.sidecar.assistants import EVERY, Assistants
from kaizen_security.sidecar.at_once import AtOnce
from kaizen_security.sidecar.attached import Attached
from kaizen_security.sidecar.connections import LOOPBACK_CONNECTIONS, Protocol
from kaizen_security.sidecar.heartbeats import Heartbeats
from kaizen_security.sidecar.holding import Holding
from kaizen_security.sidecar.identity import Identities
from kaizen_security.sidecar.interpreter import Tidying, answer_first
from kaizen_security.sidecar.lasting import Lasting
from kaizen_security.sidecar.profiles import SECONDS, Profiles
from kaizen_security.sidecar.readings import Readings
from kaizen_security.sidecar.reasoning import SidecarReasoning
from kaizen_security.sidecar.relay import Relay
from kaizen_security.sidecar.saving import LEAVING, keep_saving
from kaizen_security.sidecar.settings import Settings
from kaizen_security.sidecar.shelf import DiskShelf
from kaizen_security.sidecar.uplink import Uplink

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that wait to be taken in: as many tasks of an agent may begin at once. The system's own bound may be lower."""
WAKING = 30.0
"""Seconds that a pause of five took, after which the machine was asleep meanwhile."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _shelf(settings: Settings) -> DiskShelf:
    try:
        return DiskShelf(settings.data, settings.api_key, alone=settings.before)
    except OSError as err:
        raise Misconfigured(f"the data directory {settings.data} cannot be used: {err.strerror}") from err


def _agents(settings: Settings, shelf: DiskShelf, boundary: bytes) -> Agents:
    return Agents(
        shelf=shelf,
        most=settings.most_agents,
        leaving=LEAVING,
        before=settings.before,
        replica=shelf.replica,
        limits=Limits(hold=settings.hold_seconds),
        boundary=boundary,
        canaries=settings.canaries,
    )


class Parts:
    """The parts of one sidecar, put together."""

    def __init__(self, settings: Settings, clock: Clock = now) -> None:
        self.lasting = Lasting()
        self.tidying = Tidying()
        self.shelf = _shelf(settings)
        boundary = boundary_key(self.shelf.boundary_secret)
        self.agents = _agents(settings, self.shelf, boundary)
        holds = Holds(clock=clock)
        self.inspector = Inspector(self.agents, clock=clock, holds=holds)
        self.uplink = Uplink(
            api_url=settings.api_url,
            api_key=settings.api_key,
            shelf=self.shelf,
            spool=Spool(settings.data / "spool", max_bytes=settings.spool_bytes),
            clock=clock,
            on_bundle=self._on_bundle,
            lasting=self.lasting,
            most_agents=settings.most_agents,
        )
        identities = Identities(self.uplink.whoami, settings.data / "identities.json", clock, settings.api_key)
        self.holding = Holding(self.inspector, holds, self.shelf, boundary)
        self.relay = Relay(
            api_url=settings.api_url,
            api_key=settings.api_key,
            sidecar=self.shelf.replica,
            boundary=boundary,
            holding=self.holding,
            lasting=self.lasting,
            admit=self.uplink.admit,
        )
        self.profiles = Profiles(
            api_url=settings.api_url,
            api_key=settings.api_key,
            sidecar=self.shelf.replica,
            boundary=boundary,
            inspector=self.inspector,
            admit=self.uplink.admit,
        )
        self.sidecar = Sidecar(self.inspector, self.uplink, identities, self.holding)
        self.heartbeats = Heartbeats(
            clock, lambda: uuid4().hex, self.sidecar.emit, self.sidecar.who, self.sidecar.agent
        )
        self.attached = Attached(
            api_url=settings.api_url,
            api_key=settings.api_key,
            sidecar=self.shelf.replica,
            heartbeats=self.heartbeats,
            clock=clock,
            admit=self.uplink.admit,
        )
        self.readings = Readings(token_bytes(32), self.sidecar.who, self.sidecar.agent)
        self.assistants = Assistants(self.heartbeats, clock, settings.entered, settings.socket)
        self.heartbeats.session = self.assistants.told
        self.sidecar.witness = self.witness
        self.reasoning = SidecarReasoning(settings.model, self.inspector, self.shelf, clock, report=self.raised)

    def report(self) -> None:
        """Tell the control plane what was learned, and who is attached."""
        self.profiles.report()
        self.attached.report()

    def witness(self, step: Step) -> None:
        """A step that was taken in, or an action that was let through."""
        self.readings.see(step)
        self.assistants.heard(step)

    def raised(self, action: Action, verdict: Verdict, ending: str) -> None:
        """A model raised a verdict: on its way to the control plane, as a row whose id has that ending."""
        act_id, _ = self.sidecar.joiner.act_of(action.agent, action.id)
        self.sidecar.emit(altered(action, act_id=action.act_id or act_id), verdict, ending)

    def release(self) -> None:
        """The process ends: nobody waits any longer for a bundle, a reading or a person."""
        self.sidecar.in_force.release()
        self.readings.release()
        self.holding.release()

    def app(self) -> Starlette:
        """The ASGI application."""
        sidecar, beats = self.sidecar, self.heartbeats
        return sidecar.app(
            [
                *self.reasoning.routes(sidecar.who),
                *beats.routes(),
                *self.readings.routes(),
                *health.routes(
                    self.inspector,
                    self.uplink,
                    self.holding,
                    self.reasoning,
                    lambda: {"spool_refused": sidecar.spool_refused, "attach_points_refused": beats.refused},
                    sidecar.joiner.counts,
                    self.lasting.restarted,
                ),
            ]
        )

    def _on_bundle(self, agent: str, bundle: Bundle) -> None:
        self.sidecar.in_force.put(agent, bundle)


class Server(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again after a clean end, and the process would look killed.

    ``release`` ends the long polls. They would be waited for, then be cancelled, each with a traceback in the log.
    """

    def __init__(self, config: uvicorn.Config, release: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._release = release

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of who waits, then end."""
        self._release()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; then save, send what can be sent in two seconds, and end with 0. Raises Misconfigured."""
    if settings.host not in LOOPBACK:
        raise Misconfigured(f"host {settings.host}: the sidecar listens on loopback only")
    parts = Parts(settings)
    if settings.group and settings.data.resolve() in settings.socket.resolve().parents:
        raise Misconfigured(
            "a socket that is opened to a group must not be in the data directory: choose a place with --socket"
        )
    sockets = [unix_socket(settings.socket, settings.group)]
    try:
        if settings.port >= 0:
            sockets.append(loopback_socket(settings.host, settings.port))
        with runner() as loops:
            loops.run(_serve(settings, parts, sockets))
    finally:
        for one in sockets:
            one.close()
        with contextlib.suppress(FileNotFoundError):
            settings.socket.unlink()
    return 0


async def _serve(settings: Settings, parts: Parts, sockets: list[socket.socket]) -> None:
    # A quarter of what there is for loopback, however little that is: the agents' socket has the rest.
    Protocol.loopback = max(1, make_room(4 * LOOPBACK_CONNECTIONS) // 4)
    config = uvicorn.Config(
        parts.app(),
        http=type("Answering", (Protocol,), {"at_once": AtOnce(parts.sidecar), "answered": parts.tidying.answered}),
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
        backlog=BACKLOG,
    )
    server = Server(config, parts.release)
    loop = parts.sidecar.in_force.loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    parts.uplink.start()
    parts.relay.start()
    parts.reasoning.start()
    last(parts, settings)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    answer_first()
    if server.started:
        where = [f"unix://{settings.socket}"]
        for one in sockets[1:]:
            host, port = one.getsockname()[:2]
            where.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        print("listening on " + " ".join(where), flush=True)
    await serving
    parts.lasting.end()
    await parts.reasoning.close()
    parts.agents.save()
    await asyncio.to_thread(parts.relay.stop)
    await asyncio.to_thread(parts.uplink.stop)
    # Last, since a control plane that hangs takes its time, and whoever stops us may lose patience: it is a picture, no record.
    await asyncio.to_thread(parts.report)


def last(parts: Parts, settings: Settings) -> None:
    """Begin, in the event loop, what goes on until the sidecar ends: nothing of it waits for another, and each is kept going."""
    for name, work in (
        ("waking", lambda: _keep_waking(parts)),
        ("saving", lambda: keep_saving(parts.agents, settings.save_seconds)),
        ("reporting", lambda: _keep_reporting(parts)),
        ("looking", lambda: _keep_looking(parts)),
        ("settling", lambda: _keep_settling(parts)),
        ("tidying", parts.tidying.keep),
    ):
        parts.lasting.task(name, work)


async def _keep_looking(parts: Parts) -> None:
    # Beside the settling: a file system that hangs must not keep silence from being noticed.
    while True:
        await parts.assistants.look()
        await asyncio.sleep(EVERY)


async def _keep_settling(parts: Parts) -> None:
    slept = now()
    while True:
        if now() - slept > WAKING:
            parts.heartbeats.woke()
        parts.heartbeats.settle()
        slept = now()
        await asyncio.sleep(5.0)


async def _keep_waking(parts: Parts) -> None:
    while True:
        await asyncio.sleep(1.0)
        parts.holding.wake()
        parts.inspector.wake(now())


async def _keep_reporting(parts: Parts) -> None:
    # Beside the saving: a control plane that hangs must not hold that up.
    while True:
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(parts.report)


def unix_socket(path: Path, group: str = "") -> socket.socket:
    """A listening Unix socket of mode 0600, or 0660 for a ``group``. Takes the place of one that nobody listens on any more.

    Raises Misconfigured when somebody listens there, or when the path cannot be used.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear(path)
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        if group:
            _open_to(group, path, *([path.parent] if made_folder else []))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as err:
        made.close()
        raise Misconfigured(f"the socket {path} cannot be used: {err.strerror or err}") from err
    except Misconfigured:
        made.close()
        raise
    return made


def _open_to(name: str, path: Path, *folders: Path) -> None:
    """Let the users of a group open the socket. Raises Misconfigured, OSError."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise Misconfigured("--socket-group needs a system that says who connects (SO_PEERCRED, which Linux has)")
    import grp  # which Windows does not have

    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError as err:
        raise Misconfigured(f"there is no group {name}") from err
    for one, mode in ((path, 0o660), *((folder, 0o750) for folder in folders)):
        os.chown(one, -1, number)
        one.chmod(mode)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Misconfigured(f"the socket {path} cannot be used: something else is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise Misconfigured(f"the socket {path} is in use: another sidecar listens on it")


def loopback_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket on loopback. Raises Misconfigured, naming the port, when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as err:
        made.close()
        if err.errno == errno.EADDRINUSE:
            raise Misconfigured(f"port {port} on {host} is taken: choose another with --port") from err
        raise Misconfigured(f"cannot listen on {host}:{port}: {err.strerror}") from err
    return made
