"""The proxy put together: listener, shared parts, counts, and the life of the process."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import answer, clock
from kaizen_security.egress.accounts import Accounts, is_private
from kaizen_security.egress.config import Config
from kaizen_security.egress.dial import Means
from kaizen_security.egress.dns import Resolver
from kaizen_security.egress.gate import Gate
from kaizen_security.egress.hello import Hello
from kaizen_security.egress.loop import READ, Loop
from kaizen_security.egress.policies import Policies
from kaizen_security.egress.report import Record, Reporter, Sink, Upstream
from kaizen_security.egress.rules import Refusal, Rules
from kaizen_security.egress.session import Session
from kaizen_security.egress.supply import ControlPlane, Source
from kaizen_security.egress.tunnel import Pipe

BACKLOG = 1024
ACCEPTS = 32
"""Connections taken in one turn of the loop."""

log = logging.getLogger(__name__)


class Proxy:
    """One listening proxy. ``start`` binds (or takes a socket that listens already); ``run`` serves until ``stop``.

    May run on any thread of a larger program. ``source`` and ``sink`` make what answers for rules and takes reports, by default the
    control plane or sidecar of ``config``; each is called on the threads that use what it makes. ``saw`` is shown every record
    twice, when the connection has begun and when it has ended (once when it was short), on a thread of its own: it may wait.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: Callable[[], Source] | None = None,
        sink: Callable[[], Sink] | None = None,
        saw: Callable[[Record], None] | None = None,
    ) -> None:
        self.config = config
        self.loop = Loop(epoll=config.epoll, failed=self._failed)
        self.counts: Counter[str] = Counter()
        self.sessions: set[Session] = set()
        self.draining = False
        self._drained_by = 0.0
        self._ids = clock.Ids()
        self._behind = clock.now() - time.monotonic()
        upstream = config.sidecar or config.api_url
        self.policies = Policies(
            source
            or (lambda: ControlPlane(upstream, config.api_key, strict=config.mode == "enforce", clock=clock.now)),
            clock=time.monotonic,
            folder=config.data,
            fail_closed=config.closed,
            refresh=config.policy_refresh,
            max_age=config.policy_max_age,
            told=self._told,
        )
        self.gate = Gate(rules=self.policies.of, allow=config.allow, allow_loopback=config.allow_loopback)
        self.accounts = Accounts(
            default=config.agent,
            own_key=config.api_key,
            credentials=config.credentials,
            sources=config.sources,
            required=config.require_credentials,
        )
        self.resolver = Resolver(self.loop)
        self.means = Means(
            loop=self.loop, resolver=self.resolver, gate=self.gate, hosts=config.hosts, timeout=config.connect_timeout
        )
        self.pipe = Pipe.make(splice=config.splice)
        spool = Spool(config.data / "spool", max_bytes=config.spool_bytes)
        self.reporter = Reporter(spool, sink or (lambda: Upstream(upstream, config.api_key)), saw=saw)
        self.listener: socket.socket | None = None
        self._family = 0
        self._paused = False
        self._parked: dict[str, list[Session]] = {}
        """By agent: who waits for its first rules."""

    # --- what sessions ask --------------------------------------------------------------------------------------------------

    def record(self, agent: str, target: str, kind: str) -> Record:
        """A new record, not reported yet."""
        rules = self.policies.of(agent)
        return Record(
            id=self._ids.new(),
            agent=agent,
            target=target,
            at=self.loop.now + self._behind,
            kind=kind,
            policy_version=rules.compiled.version if isinstance(rules, Rules) else "",
        )

    def began(self, record: Record, address: str) -> None:
        """The address passed and is dialled: report."""
        record.extra["address"] = address
        self.counts[record.kind] += 1
        self.reporter.put(record)

    def ended(self, record: Record, how: str) -> None:
        """The connection is over (or never came about)."""
        record.duration = self.loop.now + self._behind - record.at
        record.ended = how
        self.reporter.end(record)

    def refused(self, record: Record, refusal: Refusal) -> None:
        """A refusal is its own action when the connection was reported as begun already."""
        self.counts["refused"] += 1
        if record.queued:
            self.ended(record, "refused")
            record = self._beside(record, record.target)
        record.refusal = refusal
        record.ended = "refused"
        self.reporter.put(record)

    def _beside(self, record: Record, target: str) -> Record:
        beside = self.record(record.agent, target, "connect")
        beside.act_id = record.id
        return beside

    def name_record(self, record: Record, sni: str) -> Record:
        """A record for the name that was asked for inside a connection to another."""
        port = record.target.rpartition(":")[2]
        beside = self._beside(record, f"{sni}:{port}")
        beside.extra = {"sni": sni, "address": record.extra.get("address"), "host": record.target}
        return beside

    def saw_hello(self, record: Record, hello: Hello) -> Refusal | None:
        """Note what a TLS hello says, and decide on its name."""
        extra = record.extra
        extra["tls"] = "ech" if hello.ech else "hello"
        if hello.alpn:
            extra["alpn"] = "+".join(hello.alpn)[:32]
        if not hello.sni:
            return None
        extra["sni"] = hello.sni
        host, _, port = record.target.rpartition(":")
        if hello.sni == host:
            return None
        extra["sni_differs"] = True
        return self.gate.hidden_name(host.strip("[]"), record.agent, hello.sni.rstrip("."), int(port))

    def knows(self, agent: str, session: Session) -> bool:
        """Whether the agent's rules may be asked; if not, ``session`` is resumed once they have come or cannot be had."""
        if self.policies.settled(agent):
            return True
        self._parked.setdefault(agent, []).append(session)
        return False

    def _told(self, agent: str) -> None:
        self.loop.post(lambda: self.settle(agent))

    def settle(self, agent: str) -> None:
        """Wait no longer for that agent's first rules."""
        self.policies.settle(agent)
        for session in self._parked.pop(agent, ()):
            session.resume()

    def gone(self, session: Session) -> None:
        """A session has closed."""
        self.loop.forget(session)
        self.sessions.discard(session)
        if self._paused:
            self._paused = False
            self._listen()
        if self.draining and not self.sessions:
            self.loop.stop()

    def health(self) -> dict[str, Json]:
        """What /healthz tells: counts only, no names."""
        return {
            "status": "draining" if self.draining else "ok",
            "connections": len(self.sessions),
            "mode": "fail closed" if self.config.closed else "fail open",
            "policy": {**self.policies.state()},
            "reports": self.reporter.counts(),
            "counts": {
                **self.counts,
                "names evicted": self.resolver.evicted,
                "names refused": self.resolver.refused,
                "decisions dropped": self.gate.dropped,
            },
        }

    # --- listening ----------------------------------------------------------------------------------------------------------

    def start(self, listener: socket.socket | None = None) -> tuple[str, int]:
        """Bind and listen, or take ``listener`` (TCP, listening, perhaps of another network namespace): the address and port.

        Raises Misconfigured when that is not possible.
        """
        listener = self._bound() if listener is None else listener
        listener.setblocking(False)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener = listener
        self._family = int(listener.family)
        host, port = listener.getsockname()[:2]
        for name in (host, "127.0.0.1", "::1"):
            self.gate.own(name, port)
        self._listen()
        return host, port

    def _bound(self) -> socket.socket:
        config = self.config
        try:
            if config.listen_fd >= 0:
                return inherited(config.listen_fd)
            family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
            return socket.create_server(
                (config.host, config.port), family=family, backlog=BACKLOG, dualstack_ipv6=config.host == "::"
            )
        except OSError as err:
            raise Misconfigured(f"cannot listen on {config.host} port {config.port}: {err.strerror or err}") from err

    def _listen(self) -> None:
        if self.listener is not None:
            self.loop.add(self.listener.fileno(), READ, self._accept)

    def _accept(self, events: int) -> None:
        assert self.listener is not None
        for _ in range(ACCEPTS):
            if len(self.sessions) >= self.config.max_connections:
                self._pause("connection limit")
                return
            try:
                # ``accept()`` would make a ``socket.socket`` around the same thing, for five times the price.
                fd, peer = self.listener._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as err:
                if err.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause("out of descriptors")
                return
            self._welcome(socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd), peer[0])

    def _pause(self, why: str) -> None:
        """Take nobody new until somebody leaves; those who wait, wait in the kernel's queue."""
        assert self.listener is not None
        self.counts[why] += 1
        if self.sessions:
            self._paused = True
            self.loop.remove(self.listener.fileno())

    def _welcome(self, sock: socket.SocketType, peer: str) -> None:
        sock.setblocking(False)
        session = Session(self, sock, peer)
        self.sessions.add(session)
        if not self.config.credentials and not self.config.api_key and not is_private(peer):
            self.counts["peers refused"] += 1
            self.loop.watch(session)
            session.finish(answer.failed(403, "this proxy serves private networks only"))
            return
        self.loop.guarded(session.wire.fd, session.start)

    def _failed(self, fd: int, err: Exception) -> None:
        """A mistake of ours on one connection: close what belongs to it, keep serving."""
        self.counts["internal errors"] += 1
        log.error("closing a connection after an internal error", exc_info=err)
        if self.listener is not None and fd == self.listener.fileno():
            self._listen()
        for session in list(self.sessions):
            if session.owns(fd):
                session.close(reset=True)

    # --- the process's life -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until ``stop``, then deliver what can be delivered."""
        self.reporter.start()
        config = self.config
        agents = (config.agent, *config.credentials, *(agent for _, agent in config.sources))
        self.policies.start(*dict.fromkeys(agents))
        try:
            self.loop.run()
        finally:
            self._shut()

    def stop(self) -> None:
        """Stop listening, let open connections go on for ``drain_timeout``, then end ``run``. From any thread or signal handler."""
        self.loop.post(self._drain)

    def _drain(self) -> None:
        if self.draining:
            self.loop.stop()
            return
        self.draining = True
        if self.listener is not None:
            self.loop.remove(self.listener.fileno())
            self.listener.close()
            self.listener = None
        for session in list(self.sessions):
            if session.idle():
                session.close()
        if not self.sessions:
            self.loop.stop()
            return
        self.due = self.loop.now + self.config.drain_timeout
        self.loop.watch(self)

    due = float("inf")

    def expire(self, now: float) -> None:
        """The time to drain is over."""
        self.loop.forget(self)
        self.loop.stop()

    def _shut(self) -> None:
        for session in list(self.sessions):
            session.close(reset=True)
        if self.listener is not None:
            self.listener.close()
        self.policies.stop()
        self.resolver.close()
        self.reporter.stop(3.0)
        if self.pipe is not None:
            self.pipe.close()
        self.loop.close()


def inherited(fd: int) -> socket.socket:
    """The listening TCP socket that a parent left open at ``fd``. Raises Misconfigured."""
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as err:
        raise Misconfigured(f"listen_fd: descriptor {fd} is no socket ({err.strerror})") from err
    if not listens or sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.detach()
        raise Misconfigured(f"listen_fd: descriptor {fd} is not a listening TCP socket")
    return sock


def serve(config: Config) -> int:
    """Run a proxy in this process until SIGTERM or SIGINT: exit status 0."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    proxy = Proxy(config)
    host, port = proxy.start()

    def ended(number: int, frame: FrameType | None) -> None:
        proxy.stop()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGINT, ended)
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{port}", flush=True)
    # Connections make and drop many small objects that form no lasting cycles; what was imported need not be looked at again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    proxy.run()
    return 0
