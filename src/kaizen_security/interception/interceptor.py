"""What opens tunnels: which, with which certificates, and what is remembered of clients that do not let themselves be opened."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from kaizen_security.contract import reasons
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.egress import http1
from kaizen_security.egress.hello import Hello
from kaizen_security.egress.opening import Inspect
from kaizen_security.egress.proxy import Proxy
from kaizen_security.egress.report import Record
from kaizen_security.egress.rules import Refusal
from kaizen_security.egress.session import Session
from kaizen_security.egress.wire import Wire
from kaizen_security.interception.authority import Authority
from kaizen_security.interception.exchange import Inspected
from kaizen_security.interception.opened import Opened
from kaizen_security.interception.scan import Scanner

MOST_HOSTS = 512
"""Hosts whose certificates are kept; the one that was not asked for longest makes room."""
FRESH = timedelta(hours=12)
"""How long a certificate is used."""
MOST_PINNED = 1024
PINNED_FOR = 3600.0
"""Seconds that a client that does not take our certificates is remembered by its agent and host."""


class Interceptor:
    """See ``egress.opening.Opening``. ``clock``: now, as certificates count it."""

    def __init__(
        self,
        proxy: Proxy,
        settings: Inspect,
        *,
        authority: Authority,
        scanner: Scanner,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.scanner = scanner
        self.counts = proxy.counts
        self.upstream = upstream(settings)
        self._loop = proxy.loop
        self._authority = authority
        self._clock = clock
        self._contexts: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()
        self._pinned: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._wanted = _places(settings.hosts)
        self._spared = _places(settings.bypass)

    # --- which --------------------------------------------------------------------------------------------------------------

    def closed(self, record: Record, hello: Hello | None) -> str:
        """See Opening: ``bypassed``, ``not-tls``, ``http2-only`` or ``pinned``."""
        # The TLS name is the client's to choose, so it gets nobody out of being opened.
        target = record.target
        if not self._wanted(target) or self._spared(target):
            return "bypassed"
        if hello is None:
            return "not-tls"
        if hello.alpn and "http/1.1" not in hello.alpn and "http/1.0" not in hello.alpn:
            return "http2-only" if "h2" in hello.alpn else "not-http"
        since = self._pinned.get((record.agent, target))
        if since is not None and self.settings.pinned == "bypass" and self._loop.now - since < PINNED_FOR:
            return "pinned"
        return ""

    def refuses(self, record: Record, why: str) -> Refusal | None:
        """See Opening: what the owner exempted passes, the rest by ``unreadable``."""
        if self.settings.unreadable == "pass" or why in ("bypassed", "pinned"):
            return None
        advice = (
            "Have the owner of the proxy name the destination under `bypass`, or send it in a form that can be read."
        )
        finding = Finding(
            kind="not inspectable",
            value=why,
            source="egress",
            detection="egress-payload",
            field="target",
            observed=f"{record.target}: {why}",
            expected="HTTP/1.1 whose bodies can be read",
            advice=advice,
        )
        return Refusal(
            code="not-inspectable", reason=reasons.blocked_by_policy([finding.kind]), advice=advice, evidence=(finding,)
        )

    def pinned(self, record: Record, name: str, said: str) -> Finding:
        """Remember a client that does not take our certificates: the finding about it."""
        self.counts["pinned"] += 1
        key = (record.agent, record.target)
        self._pinned[key] = self._loop.now
        self._pinned.move_to_end(key)
        while len(self._pinned) > MOST_PINNED:
            self._pinned.popitem(last=False)
            self.counts["pinned evicted"] += 1
        return Finding(
            kind="client does not trust",
            value=name[:512],
            source="egress",
            detection="egress-payload",
            field="target",
            observed=f"the handshake ended: {said.lower().replace('_', ' ')}"[:512],
            expected="a client that trusts the authority of this proxy",
            advice="Add the authority to what this client trusts; if it pins its certificates, name the host under `bypass`.",
        )

    # --- with what ----------------------------------------------------------------------------------------------------------

    def opened(self, session: Session, client: Wire, origin: Wire, hello: Hello, first: bytes) -> Session:
        """See Opening."""
        self.counts["opened"] += 1
        return Opened(self, session, client, origin, hello, first)

    def exchange(self, opened: Opened, head: http1.Request, destination: http1.Destination, agent: str) -> Inspected:
        """One request of an opened tunnel."""
        return Inspected(opened, head, destination, agent)

    def context(self, name: str) -> ssl.SSLContext:
        """What is shown to a client that asks for ``name``."""
        now = self._clock()
        known = self._contexts.get(name)
        if known is not None and now < known[0]:
            self._contexts.move_to_end(name)
            return known[1]
        context = server_context(self._authority, name, now)
        self._contexts[name] = (now + FRESH, context)
        self._contexts.move_to_end(name)
        self.counts["certificates"] += 1
        while len(self._contexts) > MOST_HOSTS:
            self._contexts.popitem(last=False)
            self.counts["certificates evicted"] += 1
        return context


def upstream(settings: Inspect) -> ssl.SSLContext:
    """How origins are checked: by the system's authorities and those that the owner adds, never less. Raises Misconfigured."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in settings.extra_ca:
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as err:
            raise Misconfigured(f"inspect.extra_ca: {path}: {err.strerror or err}") from err
    return context


def server_context(authority: Authority, name: str, now: datetime) -> ssl.SSLContext:
    """A context that shows a fresh certificate for ``name``. HTTP/1.1 is all it speaks: HTTP/2 is agreed down to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1", "http/1.0"])
    pem = authority.mint(name, now) + authority.private_pem
    # The library reads certificates from files only: from one that is nowhere but in memory, where there is such a thing.
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _places(said: tuple[str, ...]) -> Callable[[str], bool]:
    if "*" in said:
        return lambda target: True
    if not said:
        return lambda target: False
    compiled: CompiledDeclaration = compile_declaration(Declaration(destinations=said))
    return compiled.destination
