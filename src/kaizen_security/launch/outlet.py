"""What was seen, reported to the sidecar or the control plane: durable, in batches, every loss counted by reason."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from kaizen_security.client.config import Settings, tenant_secret
from kaizen_security.client.delivery import Backoff
from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key, outward, outward_verdict
from kaizen_security.contract.codec import Report, encode_report
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.verdict import Verdict
from kaizen_security.egress.report import Upstream

BATCH = 100
PAUSE = 0.2
"""Seconds between two looks at what is to be sent."""
LONGEST = 30.0


class Outlet:
    """``report`` keeps a report on disk and returns; a thread delivers. ``key``: the boundary's, None where the other side is the
    owner's own sidecar and may see paths and arguments.
    """

    def __init__(self, url: str, api_key: str, folder: Path, *, key: bytes | None) -> None:
        self._upstream = Upstream(url, api_key)
        self._spool = Spool(folder)
        self._key = key
        self._stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        """reported, delivered, and what was lost under ``lost: <reason>``."""
        self.trouble = ""
        self._thread = threading.Thread(target=self._work, name="outlet", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def report(self, action: Action, verdict: Verdict) -> None:
        """Keep one report."""
        if self._key is not None:
            action, verdict = outward(action, self._key), outward_verdict(verdict, self._key)
        record = json.dumps(encode_report(Report(action=action, verdict=verdict)), separators=(",", ":")).encode()
        if self._spool.append(record, urgent=bool(verdict.evidence) or verdict.decision.value == "block"):
            self.counts["reported"] += 1

    def _work(self) -> None:
        pauses = Backoff(PAUSE, LONGEST)
        while True:
            stopping = self._stopping.is_set()
            batch = self._spool.read(BATCH)
            if not batch.records:
                if stopping:
                    return
                self._stopping.wait(PAUSE)
                continue
            try:
                for reason, number in self._upstream.deliver(list(batch.records)).items():
                    self.counts[f"lost: {reason}"] += number
            except (KaizenError, OSError) as err:
                self.trouble = str(err)
                if stopping:
                    return
                self._stopping.wait(pauses.next())
                continue
            self.trouble = ""
            pauses.reset()
            self._spool.done(batch.position)
            self.counts["delivered"] += len(batch.records)

    def stop(self, seconds: float) -> None:
        """Deliver for at most ``seconds``; what is left is delivered by whoever next opens the folder."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        for reason, number in self._spool.lost.items():
            self.counts[f"lost: {reason}"] += number
        self._spool.close()


def upstream_of(settings: Settings) -> str:
    """Where a run reports to and asks for its policy: the sidecar or the control plane; empty where nobody would know us."""
    return (settings.sidecar or settings.base_url) if settings.api_key or settings.sidecar else ""


def outlet_of(settings: Settings, folder: Path) -> Outlet | None:
    """What reports to ``upstream_of``, its spool in ``folder``; None where that is nobody."""
    url = upstream_of(settings)
    if not url:
        return None
    in_tenant = settings.in_tenant or url.startswith("unix://")
    key = None if in_tenant else boundary_key(tenant_secret(settings))
    return Outlet(url, settings.api_key, folder, key=key)
