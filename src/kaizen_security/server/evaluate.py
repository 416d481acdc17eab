"""What we ourselves think of an action that a client reports: the Observer's verdict, by what is in force for its agent.

Runs on the event loop's thread (microseconds); what has to come from the store is fetched beside it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import texts
from kaizen_security.contract.step import Result
from kaizen_security.contract.suppression import can_suppress, settled, signature
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.clock import Clock
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.server import bundles
from kaizen_security.store.base import Deleted, Store

log = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""How much of what was learned a killed server forgets, at most."""
AGENTS_IN_MEMORY = 2000


class StoreShelf:
    """``runtime.agents.Shelf`` over the store. What leaves memory waits until ``flush`` writes it, many agents in one commit."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[AgentKey, Json] = {}

    def load(self, key: AgentKey) -> Json:
        """The baseline's document, None when there is none."""
        if key in self._waiting:
            return self._waiting[key]
        state = self._store.baseline(int(key.organisation), key.agent)
        document: Json = None if state is None else json.loads(state)
        return document

    def save(self, key: AgentKey, baseline: Json) -> None:
        """Keep it for the next flush."""
        self._waiting[key] = baseline

    def bundle(self, key: AgentKey) -> Bundle | None:
        """What is in force for the agent."""
        return bundles.bundle(self._store, int(key.organisation), key.agent, self._clock())

    def forget(self, key: AgentKey) -> None:
        """What waits of it is not written any more."""
        self._waiting.pop(key, None)

    def flush(self) -> None:
        """Write what waits; what could not be written waits on. Raises StoreFull, StoreUnavailable."""
        waiting = dict(self._waiting)
        if not waiting:
            return
        self._store.save_baselines(
            [(int(key.organisation), key.agent, json.dumps(document).encode()) for key, document in waiting.items()],
            at=self._clock(),
        )
        for key, document in waiting.items():
            if self._waiting.get(key) is document:
                del self._waiting[key]


@dataclass(frozen=True, slots=True)
class _Organisation:
    suppressed: frozenset[tuple[str, str]]
    destinations: CompiledDeclaration | None


class Evaluator:
    """Verdicts of the control plane. ``changed`` must be called after every change of policies, agents or suppressions."""

    def __init__(self, store: Store, clock: Clock, executor: Executor) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._shelf = StoreShelf(store, clock)
        self.inspector = Inspector(
            Agents(shelf=self._shelf, most=AGENTS_IN_MEMORY, replica="control-plane"), clock=clock
        )
        self._loaded: set[AgentKey] = set()
        self._organisations: dict[int, _Organisation] = {}
        self._changing: dict[int, threading.Lock] = {}
        self._saving = threading.Lock()

    async def prepare(self, organisation: int, agent: str) -> None:
        """Fetch what judging this agent needs. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        if organisation not in self._organisations:
            await loop.run_in_executor(self._executor, self._meet, organisation)
        key = AgentKey(str(organisation), agent)
        if key not in self._loaded:
            await loop.run_in_executor(self._executor, self.inspector.agents.lane, key)
            if len(self._loaded) >= AGENTS_IN_MEMORY:
                self._loaded.clear()
            self._loaded.add(key)

    def _meet(self, organisation: int) -> None:
        with self._lock_of(organisation):
            if organisation not in self._organisations:
                self._organisations[organisation] = self._facts(organisation)

    def _lock_of(self, organisation: int) -> threading.Lock:
        """Held from reading what is in force until it has been put in place: what was read before a change must not undo it."""
        return self._changing.setdefault(organisation, threading.Lock())

    def _facts(self, organisation: int) -> _Organisation:
        document = self._store.org_policy(organisation)
        destinations = texts(document, "destinations", limit=512) if document.get("mode") == "allowlist" else ()
        return _Organisation(
            frozenset((entry.agent, entry.signature) for entry in self._store.suppressions(organisation)),
            compile_declaration(Declaration(destinations=destinations)) if destinations else None,
        )

    def observe(self, organisation: int, action: Action, *, refused: bool = False) -> Verdict:
        """Our verdict on a reported action, for which ``prepare`` was awaited. Learns from it when nothing is wrong with it.

        ``refused``: the client blocked it, so it was never done, and is no work of the agent's to learn from.
        """
        if action.organisation != str(organisation):
            action = replace(action, organisation=str(organisation))
        if refused:
            verdict = self.inspector.inspect(action)
            undone = Result(
                run_id=action.run_id, action_id=verdict.action_id, failed=True, agent=action.agent, at=action.at
            )
            self.inspector.note(undone, organisation=action.organisation)
        else:
            verdict = self.inspector.observe(action)
        facts = self._organisations.get(organisation)
        if facts is None:
            return verdict
        if facts.destinations is not None and verdict.allowed:
            verdict = _beyond_allowlist(action, verdict, facts.destinations)
        return verdict

    def settle(self, organisation: int, action: Action, verdict: Verdict) -> Verdict:
        """The verdict, without its flag when a person called exactly this a false positive. Both as they are kept."""
        return settled(verdict) if self.is_suppressed(organisation, action, verdict) else verdict

    def is_suppressed(self, organisation: int, action: Action, verdict: Verdict) -> bool:
        """Whether a person called exactly this a false positive."""
        facts = self._organisations.get(organisation)
        if facts is None or not facts.suppressed or not verdict.evidence or not can_suppress(verdict.evidence):
            return False
        return (action.agent, signature(action, verdict.evidence)) in facts.suppressed

    def changed(self, organisation: int, agent: str = "") -> None:
        """Put what is in force now into every lane that it is about. Blocks on the store: for ``Context.call``."""
        with self._lock_of(organisation):
            self._organisations[organisation] = self._facts(organisation)
            for key, _ in self.inspector.agents:
                if key.organisation == str(organisation) and agent in ("", key.agent):
                    made = bundles.bundle(self._store, organisation, key.agent, self._clock())
                    self.inspector.configure(key.agent, made, organisation=key.organisation)

    def save(self) -> None:
        """Write what was learned since the last time. Blocks on the store. Raises StoreFull, StoreUnavailable."""
        with self._saving:
            self.inspector.agents.save()
            self._shelf.flush()

    def forget(self, organisation: int, agent: str) -> None:
        """What the agent normally does is forgotten in the store: forget it in memory too."""
        self._shelf.forget(AgentKey(str(organisation), agent))
        self.inspector.agents.forget(AgentKey(str(organisation), agent))

    def delete(self, organisation: int, agent: str) -> Deleted | None:
        """Delete all that is kept of an agent, in memory and in the store; None when there is none. Blocks on the store."""
        # Not while baselines are saved: a save that began before would bring this one back.
        with self._saving:
            self.forget(organisation, agent)
            found = self._store.delete_agent(organisation, agent)
            # Again, for a report that arrived meanwhile was judged by what the store still had.
            self.forget(organisation, agent)
        return found

    async def save_last(self) -> None:
        """Save when the server stops."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.save)
        except KaizenError as err:
            log.warning("what was learned since the last save is lost: %s", err)

    async def keep_saving(self) -> None:
        """Save every few seconds, for as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            try:
                await loop.run_in_executor(self._executor, self.save)
            except Exception as err:  # noqa: BLE001 - a listed boundary
                # Whatever one save stumbled over, the next one is tried: what was learned waits in memory.
                log.warning("baselines were not saved (they are kept in memory and tried again): %s", err)


def _beyond_allowlist(action: Action, verdict: Verdict, allowed: CompiledDeclaration) -> Verdict:
    beyond = allowed.undeclared(action)
    if not beyond:
        return verdict
    finding = replace(
        beyond[0],
        kind="destination not on the allowlist",
        source=f"policy:{bundles.NAME}",
        detection="policy",
        expected="a destination of the organisation's allowlist",
        advice="Add it to the organisation's allowlist, or find out why the agent went there.",
    )
    return replace(
        verdict,
        decision=Decision.BLOCK,
        reason=f"policy: this destination is not on the organisation's allowlist ({finding.value})",
        evidence=(finding, *verdict.evidence),
    )
