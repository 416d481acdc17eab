"""The proxy put together: listener, shared parts, counts, and the life of the process."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import answer, clock
from kaizen_security.egress.accounts import Accounts, is_private
from kaizen_security.egress.budgets import Budgets, Metered, Meters, metered
from kaizen_security.egress.dial import Means
from kaizen_security.egress.dns import Resolver
from kaizen_security.egress.door import Door, bound, inherited
from kaizen_security.egress.gate import Gate
from kaizen_security.egress.http1 import Destination
from kaizen_security.egress.loop import SWEEP, Loop, Regular
from kaizen_security.egress.names import Names
from kaizen_security.egress.nameserver import NameServer, nameserver
from kaizen_security.egress.opening import NOT_HERE, Opening
from kaizen_security.egress.policies import Policies
from kaizen_security.egress.redirected import Redirected, original
from kaizen_security.egress.report import Record, Reporter, Sink, Upstream
from kaizen_security.egress.rules import Refusal, Rules
from kaizen_security.egress.secured import secured, server_context
from kaizen_security.egress.session import Session
from kaizen_security.egress.settings import Config
from kaizen_security.egress.shares import Shares
from kaizen_security.egress.supply import ControlPlane, Source
from kaizen_security.egress.switch import KillSwitch, killed
from kaizen_security.egress.tunnel import Pipe
from kaizen_security.egress.witness import Witness

FIXED = tuple(
    "host port listen_fd transparent_host transparent_port dns_host dns_port dns_upstream dns_label_bytes api_url sidecar api_key "
    "agent mode policy_refresh data spool_bytes splice epoll kill_switch tls_cert tls_key tls_client_ca inspect".split()
)
"""Settings that a reload does not change."""
NOBODY = compile_declaration(Declaration(destinations=("nobody.invalid",)))
"""Permits no destination (RFC 2606); one without any would permit all."""

log = logging.getLogger(__name__)


class Proxy:
    """One listening proxy. ``start`` binds (or takes a socket that listens already); ``run`` serves until ``stop``.

    May run on any thread of a larger program. ``source`` and ``sink`` make what answers for rules and takes reports, by default the
    control plane or sidecar of ``config``; each is called on the threads that use what it makes. ``saw`` is shown every record
    twice, when the connection has begun and when it has ended (once when it was short), on a thread of its own: it may wait.
    ``opening`` makes what opens TLS where the settings ask for that; without it Misconfigured is raised then.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: Callable[[], Source] | None = None,
        sink: Callable[[], Sink] | None = None,
        saw: Callable[[Record], None] | None = None,
        opening: Callable[[Proxy], Opening] | None = None,
    ) -> None:
        if config.inspect is not None and opening is None:
            raise Misconfigured(NOT_HERE)
        self.config = config
        self.loop = Loop(epoll=config.epoll, failed=self._failed)
        self.counts: Counter[str] = Counter()
        self.sessions: set[Session] = set()
        self._shares = Shares()
        self.most = config.max_connections
        self.draining = False
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
        self.resolver = Resolver(self.loop)
        self._own: list[tuple[str, int]] = []
        self._build()
        self.switch = KillSwitch(config.switch)
        self.pipe = Pipe.make(splice=config.splice)
        spool = Spool(config.data / "spool", max_bytes=config.spool_bytes)
        self.reporter = Reporter(spool, sink or (lambda: Upstream(upstream, config.api_key)), saw=saw)
        self.seen = Witness(self.loop, self.policies, self.reporter, gate=lambda: self.gate, counts=self.counts)
        self._tls = server_context(config) if config.tls_cert else None
        self.opening = opening(self) if opening is not None and config.inspect is not None else None
        self.doors: list[Door] = []
        self._beside: list[tuple[str, int]] = []
        """Where else it listens."""
        self.nameserver: NameServer | None = None
        self.names = Names()
        self._parked: dict[str, list[Session]] = {}
        """By agent: who waits for its first rules."""

    def _build(self) -> None:
        """What a reload makes anew."""
        config = self.config
        only = compile_declaration(Declaration(destinations=config.destinations)) if config.destinations else NOBODY
        self.gate = Gate(
            rules=self.policies.of,
            allow=config.allow,
            allow_loopback=config.allow_loopback,
            only=only if config.deny_by_default else None,
        )
        for host, port in self._own:
            self.gate.own(host, port)
        self.accounts = Accounts(
            default=config.agent,
            own_key=config.api_key,
            credentials=config.credentials,
            sources=config.sources,
            required=config.require_credentials,
        )
        self.means = Means(
            loop=self.loop,
            resolver=self.resolver,
            gate=self.gate,
            hosts=config.hosts,
            timeout=config.connect_timeout,
        )
        self.budgets = Budgets(config.budgets)

    # --- what sessions ask --------------------------------------------------------------------------------------------------

    def permit(self, agent: str, where: Destination, *, known: bool = False) -> Refusal | Meters:
        """Whether that may be dialled, before anything is: the meters that its bytes run through, or why not.

        ``known``: policy and declaration have permitted it, and are what they were (``Origin.gate``).
        """
        if self.switch.stops(agent):
            return killed(where.name)
        refusal = None if known else self.gate.name(agent, where.host, where.port)
        return refusal or self.budgets.begin(agent, where, self.loop.now)

    def permits_query(self, agent: str, name: str) -> Refusal | None:
        """Whether that agent may ask for a name's addresses."""
        if self.switch.stops(agent):
            return killed(name)
        # An agent's first query is not kept until its rules come: a resolver's client would ask elsewhere.
        self.policies.settled(agent)
        return self.gate.query(agent, name)

    def enforces(self, agent: str) -> bool:
        """Whether what is only suspected is refused: its own mode, or the proxy's, is enforce."""
        rules = self.policies.of(agent)
        return self.config.mode == "enforce" or (isinstance(rules, Rules) and rules.declared is not None)

    def metered(self, meters: Meters) -> tuple[Metered | None, Metered | None]:
        """What counts the bytes up and down."""
        return (metered(meters, self._now, up=True), metered(meters, self._now, up=False)) if meters else (None, None)

    def _now(self) -> float:
        return self.loop.now

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

    def replace(self, session: Session, other: Session) -> None:
        """``other`` goes on with what ``session`` began."""
        self.loop.forget(session)
        self.sessions.discard(session)
        self.sessions.add(other)
        other.start()

    def gone(self, session: Session) -> None:
        """A session has closed."""
        self.loop.forget(session)
        if session in self.sessions:
            self.sessions.remove(session)
            self._shares.give(session.peer)
        if not self.draining:
            for door in self.doors:
                door.look()
        elif not self.sessions:
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
                "meters shared": self.budgets.shared,
            },
        }

    # --- listening ----------------------------------------------------------------------------------------------------------

    def start(self, listener: socket.socket | None = None) -> tuple[str, int]:
        """Bind and listen, or take ``listener`` (TCP, listening, perhaps of another network namespace): the address and port.

        Raises Misconfigured when that is not possible.
        """
        config = self.config
        if listener is None:
            listener = inherited(config.listen_fd) if config.listen_fd >= 0 else bound(config.host, config.port)
        self.doors = [Door(self.loop, listener, welcome=self._welcome, room=self._room, counts=self.counts)]
        host, port = listener.getsockname()[:2]
        self._start_beside()
        own = [(host, port), *self._beside]
        self._own += [(name, at) for where, at in own for name in (where, "127.0.0.1", "::1")]
        self._build()
        self.switch.look()
        self.loop.watch(Regular(SWEEP, self._look_round))
        for door in self.doors:
            door.open()
        return host, port

    def _start_beside(self) -> None:
        """The listeners beside the proxy's own, where they are wanted."""
        config = self.config
        if config.transparent_port >= 0:
            listener = bound(config.transparent_host, config.transparent_port)
            self._beside.append(listener.getsockname()[:2])
            log.info("redirected connections on %s port %d", config.transparent_host, self._beside[-1][1])
            self.doors.append(
                Door(self.loop, listener, welcome=self._welcome_redirected, room=self._room, counts=self.counts)
            )
        if config.dns_port >= 0:
            self.nameserver = nameserver(self, config)
            self._beside.append(self.nameserver.address)
            self.doors.append(self.nameserver.door)
            self.nameserver.open()
            log.info("queries on %s port %d", *self.nameserver.address)

    def _room(self) -> int:
        return max(0, min(self.most, self.config.max_connections) - len(self.sessions))

    def _refuses(self, sock: socket.SocketType, peer: str) -> bool:
        if self._shares.permit(peer, self._room()):
            return False
        self.counts["peers over their share"] += 1
        sock.close()
        return True

    def _enter(self, session: Session) -> None:
        self._shares.take(session.peer)
        self.sessions.add(session)

    def _welcome(self, sock: socket.SocketType, peer: str) -> None:
        if self._refuses(sock, peer):
            return
        try:
            session = Session(self, sock, peer) if self._tls is None else secured(self, self._tls, sock, peer)
        except OSError:
            self.counts["handshakes failed"] += 1  # it was reset before it could begin
            return
        self._enter(session)
        if not (self.config.credentials or self.config.api_key or self.config.tls_client_ca or is_private(peer)):
            self.counts["peers refused"] += 1
            self.loop.watch(session)
            session.finish(answer.failed(403, "this proxy serves private networks only"))
            return
        session.start()

    def _welcome_redirected(self, sock: socket.SocketType, peer: str) -> None:
        try:
            goes = original(sock)
        except OSError:
            self.counts["not redirected"] += 1
            sock.close()
            return
        if self._refuses(sock, peer):
            return
        session = Redirected(self, sock, peer, goes)
        self._enter(session)
        session.start()

    def _look_round(self) -> None:
        # What shut a door may have ended without a session: queries for names, somebody else's descriptors.
        for door in self.doors if not self.draining else ():
            door.look()
        if self.switch.look():
            for session in list(self.sessions):
                if session.agent and self.switch.stops(session.agent):
                    self.counts["killed"] += 1
                    session.close(reset=True, how="killed")

    def reload(self, config: Config) -> None:
        """Other settings from now on, for what begins from now on; what ``FIXED`` lists stays. From any thread."""
        self.loop.post(lambda: self._reload(config))

    def _reload(self, config: Config) -> None:
        same = {name: getattr(self.config, name) for name in FIXED}
        for name, value in same.items():
            if getattr(config, name) != value:
                log.warning("%s is read at the start only: it stays as it was", name)
        budgets, before = self.budgets, self.config.budgets
        self.config = replace(config, **same)
        self._build()
        if self.config.budgets == before:
            self.budgets = budgets  # what was used of them counts on
        self.policies.tune(fail_closed=self.config.closed, max_age=self.config.policy_max_age)
        self.counts["reloads"] += 1
        log.info("the settings were read anew")

    def _failed(self, fd: int, err: Exception) -> None:
        """A mistake of ours on one connection: close what belongs to it, keep serving."""
        self.counts["internal errors"] += 1
        log.error("closing a connection after an internal error", exc_info=err)
        for door in self.doors:
            door.broken(fd)
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

    def retire(self) -> None:
        """Another process listens now: leave the socket to it, and end once every connection has, or after ``restart_timeout``."""
        self.loop.post(lambda: self._drain(self.config.restart_timeout))

    def stop(self) -> None:
        """Stop listening, let open connections go on for ``drain_timeout``, then end ``run``. From any thread or signal handler."""
        self.loop.post(lambda: self._drain(self.config.drain_timeout))

    def _drain(self, timeout: float) -> None:
        if self.draining:
            self.loop.stop()
            return
        self.draining = True
        if self.nameserver is not None:
            self.nameserver.close()
            self.nameserver = None
        for door in self.doors:
            door.close()
        for session in list(self.sessions):
            if session.idle():
                session.close()
        if not self.sessions:
            self.loop.stop()
            return
        self.due = self.loop.now + timeout
        self.loop.watch(self)

    due = float("inf")

    def expire(self, now: float) -> None:
        """The time to drain is over."""
        self.loop.forget(self)
        self.loop.stop()

    def _shut(self) -> None:
        if self.nameserver is not None:
            self.nameserver.close()
        for session in list(self.sessions):
            session.close(reset=True)
        for door in self.doors:
            door.close()
        self.policies.stop()
        self.resolver.close()
        self.reporter.stop(3.0)
        if self.pipe is not None:
            self.pipe.close()
        self.loop.close()
