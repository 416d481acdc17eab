"""What a client is attached to: the sidecar or the control plane, with reporter, policy and declaration over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kaizen_security.client.clock import Ids, now
from kaizen_security.client.config import Settings, tenant_secret
from kaizen_security.client.dial import check_key_may_go, check_reachable
from kaizen_security.client.http import Connection
from kaizen_security.client.link import Link
from kaizen_security.client.manifest import Manifest
from kaizen_security.client.renewal import Renewal
from kaizen_security.client.report import Reporter
from kaizen_security.client.spool import Spool
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.bundle import Bundle, key_hash

if TYPE_CHECKING:
    from kaizen_security.client.streams import Streams


class Attachment:
    """One upstream: the sidecar if there is one, else the control plane if there is a key, else none (``upstream`` is empty)."""

    def __init__(self, settings: Settings, ids: Ids) -> None:
        self.settings = settings
        self.upstream = settings.sidecar or (settings.base_url if settings.api_key else "")
        check_key_may_go(self.upstream, settings.api_key)
        if self.upstream:
            check_reachable(self.upstream)
        self.headers = {"User-Agent": "kaizen-python"}
        if settings.api_key:
            self.headers["Authorization"] = f"Bearer {settings.api_key}"
        self.link: Link | None = None
        self.reporter: Reporter | None = None
        self._streams: Streams | None = None
        self.manifest = Manifest(self.upstream, agent=settings.agent, headers=self.headers)
        self.key = b""
        if not self.upstream:
            return
        self.key = boundary_key(tenant_secret(settings))
        if settings.sidecar:
            inside = settings.in_tenant or settings.sidecar.startswith("unix://")
            self.link = Link(
                settings.sidecar, agent=settings.agent, headers=self.headers, in_tenant=inside, key=self.key
            )
        if settings.report:
            self.reporter = self._reporter(ids)

    @property
    def streams(self) -> Streams | None:
        """What carries talks with the sidecar for event loops; None when there is no sidecar."""
        if self._streams is None and self.link is not None:
            from kaizen_security.client.streams import Streams

            self._streams = Streams(self.link.url, self.link.headers)
        return self._streams

    def close(self) -> None:
        """Let go of the sidecar; steps that it never took are counted."""
        if self._streams is not None:
            self._streams.close()
        if self.link is not None:
            self.link.close()

    @property
    def folder(self) -> str:
        """A directory for each upstream and key, so that nothing kept for one organisation reaches another; empty: no disk."""
        if not self.settings.data:
            return ""
        return os.path.join(self.settings.data, "client", key_hash(f"{self.upstream}\n{self.settings.api_key}")[:16])

    def _reporter(self, ids: Ids) -> Reporter:
        folder = self.folder
        spool = Spool(os.path.join(folder, "spool") if folder else None, max_bytes=self.settings.spool_bytes)
        return Reporter(
            Connection(self.upstream),
            spool,
            agent=self.settings.agent,
            headers=self.headers,
            key=self.key,
            ids=ids,
        )

    def renewal(self, apply: Callable[[Bundle, str], None], missing: Callable[[str], None]) -> Renewal | None:
        """What keeps the organisation's policy up to date; None when nobody has one or the caller wants none."""
        if not self.upstream or not self.settings.sync:
            return None
        folder = self.folder
        return Renewal(
            self.upstream,
            agent=self.settings.agent,
            api_key=self.settings.api_key,
            headers=self.headers,
            cache=os.path.join(folder, f"bundle-{key_hash(self.settings.agent)[:16]}.json") if folder else "",
            apply=apply,
            missing=missing,
            clock=now,
        )

    def lost(self) -> Iterator[tuple[str, int]]:
        """What every part lost, by reason."""
        if self.manifest.refused:
            yield "declaration refused by the server", self.manifest.refused
        if self.reporter is not None:
            yield from list(self.reporter.lost.items())
            yield from list(self.reporter.spool.lost.items())
        if self.link is not None:
            yield from list(self.link.lost.items())
