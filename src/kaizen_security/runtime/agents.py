"""The agents that one process watches: an Observer and a lane each. Bounded; who had to go is counted, and kept by the shelf."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.verdict import Mode
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.canaries import NO_CANARIES, Canaries
from kaizen_security.observer.detection import Detection
from kaizen_security.observer.observer import LIMITS, Observer
from kaizen_security.observer.rules import RulesMaker, no_rules
from kaizen_security.observer.run import Limits
from kaizen_security.runtime.roles import NOTHING, Roles


class AgentKey(NamedTuple):
    """Whose agent, and which. Agents of two organisations may have the same name."""

    organisation: str
    agent: str


class Shelf(Protocol):
    """Where an agent's state goes when it has to leave memory, and comes back from."""

    def load(self, key: AgentKey) -> Json:
        """The baseline's document, None when there is none."""
        ...

    def save(self, key: AgentKey, baseline: Json) -> bool | None:
        """Keep the baseline's document. False: it could not be kept, and is brought again."""
        ...

    def bundle(self, key: AgentKey) -> Bundle | None:
        """The last good bundle of the agent."""
        ...


class NoShelf:
    """Keeps nothing: an agent that leaves memory starts anew."""

    def load(self, key: AgentKey) -> Json:
        """Nothing."""
        return None

    def save(self, key: AgentKey, baseline: Json) -> None:
        """Nowhere."""

    def bundle(self, key: AgentKey) -> Bundle | None:
        """None."""
        return None


class Lane:
    """One agent's Observer, its lock and its time. The lock is held for microseconds, never across a wait.

    ``now``      the latest time of a step; ``touched`` what the clock said then
    ``known``    what its role's group was last told of it
    ``dirty``    the baseline may have changed since it was saved
    """

    __slots__ = ("dirty", "known", "lock", "now", "observer", "touched")

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.lock = threading.Lock()
        self.now = 0.0
        self.touched = 0.0
        self.dirty = False
        self.known = NOTHING


class Agents:
    """Lanes by agent, the latest used last.

    ``most``     agents held in memory at once
    ``leaving``  baselines of agents that had to go which may wait for the next save; more are put on the shelf at once, which holds
                 up whoever asked
    ``before``   the mode that holds until an agent's first bundle arrives; in ENFORCE everything blocks until then
    ``learning`` false: baselines stay as they are
    ``boundary`` the tenant's key (``contract.boundary``), under which suppressed flags have their signatures
    ``canaries`` values that are bait
    ``replica``  who adds to the baselines; two live processes that share baselines need different names
    """

    def __init__(
        self,
        *,
        detections: Sequence[Detection] = BUILTIN,
        shelf: Shelf | None = None,
        most: int = 256,
        leaving: int = 0,
        before: Mode = Mode.OBSERVE,
        replica: str = "local",
        limits: Limits = LIMITS,
        learning: bool = True,
        boundary: bytes = b"",
        canaries: Canaries = NO_CANARIES,
    ) -> None:
        self.detections = tuple(detections)
        self.shelf: Shelf = shelf or NoShelf()
        self.most = most
        self._room = leaving
        self._leaving: dict[AgentKey, Json] = {}
        self.replica = replica
        self.limits = limits
        self.learning = learning
        self.evicted = 0
        self.roles = Roles()
        self.canaries = canaries
        self.rules = RulesMaker(boundary)
        self._before = no_rules(before)
        self._lanes: OrderedDict[AgentKey, Lane] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[tuple[AgentKey, Lane]]:
        with self._lock:
            return iter(list(self._lanes.items()))

    def lane(self, key: AgentKey) -> Lane:
        """The agent's lane, made (or taken from the shelf) when it is not in memory. Raises InvalidInput on a broken baseline."""
        with self._lock:
            lane = self._lanes.get(key)
            if lane is not None:
                self._lanes.move_to_end(key)
                return lane
            lane = self._lanes[key] = self._made(key, self._leaving.pop(key, None))
            if len(self._lanes) > self.most:
                self._leave(*self._lanes.popitem(last=False))
            return lane

    def _leave(self, gone: AgentKey, lane: Lane) -> None:
        self.evicted += 1
        with lane.lock:
            if not lane.dirty:
                return
            lane.dirty = False
            document = lane.observer.baseline.to_json()
        if len(self._leaving) < self._room:
            self._leaving[gone] = document
        else:
            self.shelf.save(gone, document)

    def _made(self, key: AgentKey, back: Json) -> Lane:
        kept = self.shelf.load(key) if back is None else back
        bundle = self.shelf.bundle(key)
        observer = Observer(
            detections=self.detections,
            baseline=Baseline(replica=self.replica) if kept is None else Baseline.from_json(kept, replica=self.replica),
            rules=self._before if bundle is None else self.rules.make(bundle),
            limits=self.limits,
            organisation=key.organisation,
            learning=self.learning,
            canaries=self.canaries,
        )
        lane = Lane(observer)
        lane.dirty = back is not None
        if bundle is not None:
            # It may have come in the moment before the process ended, and the baseline not been saved since.
            lane.dirty |= observer.catch_up(bundle.epoch, bundle.folded)
        return lane

    def forget(self, key: AgentKey) -> None:
        """Drop an agent from memory without keeping what it learned: the next use takes it from the shelf again."""
        with self._lock:
            self._lanes.pop(key, None)
            self._leaving.pop(key, None)

    def changed(self) -> Iterator[tuple[AgentKey, Json]]:
        """The baselines that changed since the last time, each written out when it is asked for; whoever asks has to keep it before
        asking for the next.
        """
        yield from self.left()
        for key, lane in self:
            with lane.lock:
                if not lane.dirty:
                    continue
                lane.dirty = False
                document = lane.observer.baseline.to_json()
            yield key, document

    def left(self) -> Iterator[tuple[AgentKey, Json]]:
        """Those of agents that had to go. One that comes back meanwhile begins with what is here."""
        with self._lock:
            leaving = list(self._leaving.items())
        for key, document in leaving:
            yield key, document
            with self._lock:
                if self._leaving.get(key) is document:
                    del self._leaving[key]

    def save(self) -> int:
        """Put the baselines that changed since the last time on the shelf; how many those were."""
        saved = 0
        for key, document in self.changed():
            if self.shelf.save(key, document) is False:
                self.again(key)
            saved += 1
        return saved

    def again(self, key: AgentKey) -> None:
        """What was saved of this agent was not kept: it is among the next ones that changed, if it is still in memory."""
        with self._lock:
            lane = self._lanes.get(key)
        if lane is not None:
            with lane.lock:
                lane.dirty = True
