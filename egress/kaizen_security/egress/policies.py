"""The policy of each agent that uses the proxy, fetched in the background and compiled once.

What was fetched is kept on disk, so that a proxy that starts while the control plane is down still blocks what was blocked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract import reasons
from kaizen_security.contract.bundle import MAX_BUNDLE, decode_policy
from kaizen_security.contract.compiled import Compiled, compile_policies
from kaizen_security.contract.errors import KaizenError, Refused
from kaizen_security.contract.fields import array, obj, parse
from kaizen_security.egress.gate import Refusal

MAX_AGENTS = 1000
DEADLINE = 5.0

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where policies come from."""

    def fetch(self, agent: str) -> bytes:
        """The document of ``GET /v1/policy?agent=``. Raises KaizenError, OSError."""


class ControlPlane:
    """``GET /v1/policy`` on a kept connection."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = Connection(url)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def fetch(self, agent: str) -> bytes:
        """See Source."""
        path = f"/v1/policy?agent={quote(agent, safe='')}"
        status, _, body = self._connection.request("GET", path, headers=self._headers, deadline=DEADLINE)
        if status != 200:
            raise Refused(f"the control plane answers {status} to {path}", status=status)
        return body


def compiled_from(document: bytes) -> Compiled:
    """The compiled policy in an answer of ``GET /v1/policy``. Raises KaizenError."""
    doc = obj(parse(document, limit=MAX_BUNDLE), "document")
    entries = array(doc, "policies", limit=100_000)
    return compile_policies(
        tuple(
            policy
            for policy in (decode_policy(entry, field=f"policies[{i}]") for i, entry in enumerate(entries))
            if policy.enabled
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A compiled policy, its document's digest, and when it was last confirmed (``time.monotonic``; None: only read from disk)."""

    compiled: Compiled
    digest: bytes
    confirmed: float | None


class Policies:
    """``of(agent)`` is asked by the loop and never waits."""

    def __init__(
        self,
        source: Callable[[], Source],
        *,
        clock: Callable[[], float],
        folder: Path | None,
        fail_closed: bool,
        refresh: float,
        max_age: float,
    ) -> None:
        self._source = source
        self._clock = clock
        self._folder = folder
        self._fail_closed = fail_closed
        self._refresh = refresh
        self._max_age = max_age
        self._held: dict[str, Held] = {}
        self._agents: dict[str, None] = {}
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="egress-policy", daemon=True)

    def start(self, *agents: str) -> None:
        """Read what is on disk for these agents and begin to fetch."""
        for agent in agents:
            self._agents[agent] = None
            self._load(agent)
        self._thread.start()

    def of(self, agent: str) -> Compiled | Refusal | None:
        """The policy in force; None when there is none and the proxy fails open; a Refusal when it fails closed."""
        held = self._held.get(agent)
        if held is None and agent not in self._agents and len(self._agents) < MAX_AGENTS:
            self._agents[agent] = None
            self._wanted.set()
        if self._fail_closed and not self._fresh(held):
            return UNPROTECTED
        return held.compiled if held is not None else None

    def _fresh(self, held: Held | None) -> bool:
        return held is not None and held.confirmed is not None and self._clock() - held.confirmed <= self._max_age

    def state(self) -> dict[str, str | int]:
        """For /healthz: how many agents have a policy, and what is wrong."""
        return {"agents": len(self._agents), "with_policy": len(self._held), "trouble": self.trouble}

    def _run(self) -> None:
        source = self._source()
        while not self._stopping.is_set():
            self._wanted.clear()
            for agent in list(self._agents):
                if self._stopping.is_set():
                    return
                self._fetch(source, agent)
            # While nothing is known, ask again soon: the control plane may be starting beside us.
            self._wanted.wait(self._refresh if not self.trouble else min(1.0, self._refresh))

    def _fetch(self, source: Source, agent: str) -> None:
        try:
            document = source.fetch(agent)
            digest = hashlib.sha256(document).digest()
            held = self._held.get(agent)
            compiled = held.compiled if held is not None and held.digest == digest else compiled_from(document)
        except (KaizenError, OSError) as err:
            if not self.trouble:
                log.warning("no fresh policy: %s", err)
            self.trouble = str(err)
            return
        self._held[agent] = Held(compiled=compiled, digest=digest, confirmed=self._clock())
        if held is None or held.digest != digest:
            log.info("policy %s is in force for %s", compiled.version, agent)
            self._save(agent, document)
        self.trouble = ""

    def _file(self, agent: str) -> Path | None:
        name = hashlib.sha256(agent.encode()).hexdigest()[:32]
        return self._folder / f"policy-{name}.json" if self._folder is not None else None

    def _save(self, agent: str, document: bytes) -> None:
        path = self._file(agent)
        if path is None:
            return
        beside = path.with_suffix(".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(json.dumps({"agent": agent}).encode() + b"\n" + document)
            beside.replace(path)
        except OSError as err:
            log.warning("the policy could not be kept on disk: %s", err.strerror)

    def _load(self, agent: str) -> None:
        path = self._file(agent)
        if path is None:
            return
        try:
            _, _, document = path.read_bytes().partition(b"\n")
            compiled = compiled_from(document)
        except FileNotFoundError:
            return
        except (KaizenError, OSError) as err:
            log.warning("the policy kept on disk cannot be used: %s", err)
            return
        self._held[agent] = Held(compiled=compiled, digest=hashlib.sha256(document).digest(), confirmed=None)

    def stop(self) -> None:
        """End the thread soon; it is a daemon."""
        self._stopping.set()
        self._wanted.set()


UNPROTECTED = Refusal(
    code="no-policy",
    reason=reasons.FAILED_CLOSED,
    advice="The proxy fails closed and has no fresh policy: check that the control plane is up and KAIZEN_API_KEY is right.",
)
