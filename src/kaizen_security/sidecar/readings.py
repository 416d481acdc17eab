"""What agents have read and must be careful with, as fingerprints, for a proxy that looks into what they send.

The proxy knows connections and no runs; this sidecar knows runs. So it tells the proxy keyed hashes of every three words in a row
of results that are sensitive: marked so, or read from a file for credentials. Nothing is kept of an agent before a proxy has asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Action
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.contract.step import Result, Step
from kaizen_security.interception.documents import fingerprints
from kaizen_security.observer.marks import opens_credentials
from kaizen_security.observer.outline import LONGEST, leaves
from kaizen_security.sidecar.http import Problem, answer, changes
from kaizen_security.sidecar.identity import Identity, tells

MOST_AGENTS = 64
MOST_CALLS = 256
MOST_ROWS = 8192
"""Fingerprints kept of one agent; the oldest go, and are counted."""


@dataclass(slots=True)
class _Read:
    """One agent's. ``calls``: tools by the ids of sensitive calls whose results are still to come."""

    calls: OrderedDict[str, str] = field(default_factory=OrderedDict)
    rows: OrderedDict[bytes, str] = field(default_factory=OrderedDict)
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Readings:
    """Of one sidecar. ``key`` makes the fingerprints: fresh in each process, told to proxies alone."""

    def __init__(
        self,
        key: bytes,
        who: Callable[[Request], Awaitable[Identity | None]],
        agent: Callable[[Identity | None, str], str],
    ) -> None:
        self._key = key
        self._who = who
        self._agent = agent
        self._agents: OrderedDict[str, _Read] = OrderedDict()
        self.evicted = 0

    def see(self, step: Step) -> None:
        """Take a step in; for agents that no proxy has asked for, nothing."""
        read = self._agents.get(step.agent)
        if read is None:
            return
        if isinstance(step, Action):
            if step.id and (step.sensitive or opens_credentials(step)):
                read.calls[step.id] = step.tool or step.kind
                if len(read.calls) > MOST_CALLS:
                    read.calls.popitem(last=False)
        elif isinstance(step, Result):
            tool = read.calls.pop(step.action_id, "")
            if tool:
                self._keep(read, tool, step)

    def _keep(self, read: _Read, tool: str, result: Result) -> None:
        for leaf in leaves(result.content):
            for mark in fingerprints(self._key, leaf.text[:LONGEST]):
                read.rows[mark] = tool
        while len(read.rows) > MOST_ROWS:
            read.rows.popitem(last=False)
            self.evicted += 1
        read.version += 1
        read.changed.set()
        read.changed = asyncio.Event()

    # --- what proxies ask ---------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """``GET /v1/readings?agent=&version=&wait=``."""
        return [Route("/v1/readings", self.tell, methods=["GET"])]

    def release(self) -> None:
        """The process ends: whoever waits for something new is told that there is nothing."""
        for read in self._agents.values():
            read.changed.set()

    async def tell(self, request: Request) -> Response:
        """The fingerprints of an agent's sensitive readings, as in a file of documents; 304 while ``version`` is the last."""
        identity = await self._who(request)
        if tells(identity):
            raise Problem(403, "forbidden", "an agent's own key does not say what the agent has read")
        said = plain(request.query_params.get("agent", ""), "agent", limit=MAX_NAME)
        read = self._of(self._agent(identity, said) or "default")
        known = request.query_params.get("version")
        if known == self._version(read) and not (await changes(read.changed, request) and known != self._version(read)):
            return Response(status_code=304)
        tools: dict[str, list[str]] = {}
        for mark, tool in read.rows.items():
            tools.setdefault(tool[:128], []).append(mark.hex())
        documents = [{"name": tool, "rows": rows} for tool, rows in tools.items()]
        return answer({"version": self._version(read), "key": self._key.hex(), "documents": documents})

    def _version(self, read: _Read) -> str:
        # Another process has another key, so its fingerprints are others.
        return f"{self._key[:4].hex()}-{read.version}"

    def _of(self, agent: str) -> _Read:
        read = self._agents.get(agent)
        if read is None:
            read = self._agents[agent] = _Read()
            if len(self._agents) > MOST_AGENTS:
                self._agents.popitem(last=False)
        return read
