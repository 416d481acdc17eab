"""Running: one execution of an agent as a framework goes through it, with its sub-agents and what they brought back.

Every agent in it has an identity of its own, and so a lane of its own in the sidecar. What one of them read may steer another one
that it hands the work to, so whoever joins, or comes back, is told of the results that it has not heard yet; the user's request is
told to everyone, a parent's order never counts as one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import replace
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from kaizen_security.client.arguments import plain
from kaizen_security.client.clock import now
from kaizen_security.client.noting import RUN
from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Message, Request

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen

RUNNING: ContextVar[Running | None] = ContextVar("kaizen_running", default=None)
"""The run that the current context belongs to, where an adapter or ``AttachPoint.run`` began it."""
MAX_INSISTED = 1000
"""Tools and calls whose refusals are counted."""
MAX_TEXT = 64 << 10
"""Characters of a request or a message."""
ENDS_SAME, ENDS = 4, 8
"""Turns of one run in which the model was refused the very same call, or one tool, after which a run is ended that can be."""
MAX_RESULTS = 64
"""Results that are kept for agents that join later; older ones are forgotten."""


_ENDING: set[asyncio.Task[None]] = set()


def beside(work: Coroutine[None, None, None]) -> None:
    """Let what ends a run go on beside the host. A loop keeps no more than a weak hold of its tasks."""
    task = asyncio.get_running_loop().create_task(work)
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


class Conversations:
    """By what a framework keeps a conversation in (a thread, a context): the last run of it, as long as that is kept."""

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[object, Running] = WeakKeyDictionary()

    def begin(self, kaizen: Kaizen, key: object, request: str) -> Running:
        """The next run in ``key``, begun. What was said and read in the one before is known in it."""
        before = self._last.get(key) if _is_key(key) else None
        known = before is not None and before.kaizen is kaizen
        running = before.followed(request) if before is not None and known else Running(kaizen, request).begin()
        self.keep(key, running)
        return running

    def keep(self, key: object, running: Running) -> None:
        """``running`` goes on, or went, in ``key``; what cannot be a key is no conversation."""
        if _is_key(key):
            self._last[key] = running


def _is_key(key: object) -> bool:
    return hasattr(key, "__weakref__") and getattr(key, "__hash__", None) is not None


class Running:
    """A context manager, also for ``async with``, or ``begin`` and ``end`` for adapters whose framework calls them apart.

    ``id`` is the ``run_id`` of its actions. Inside of another run of the same client nothing new begins: it is joined.
    """

    def __init__(self, kaizen: Kaizen, request: str = "", run_id: str = "") -> None:
        current = kaizen.current_run
        self.joined = bool(current) and run_id in ("", current)
        self.id = run_id or current or kaizen.ids.new()
        self.refused: Counter[str] = Counter()
        self.turn = 0
        """Times that a model was asked; 0 where the adapter cannot tell."""
        self.ended: dict[tuple[str, ...], str] = {}
        """By the agents down to one that goes on asking for what it is refused: what is to be its last word."""
        self._asked: object = None
        self._insisted: dict[str, tuple[int, int]] = {}
        self.kaizen = self._kaizen = kaizen
        self._request = request[:MAX_TEXT]
        self._results: deque[tuple[int, str, Action, object, bool]] = deque(maxlen=MAX_RESULTS)
        self._numbers = count(1)
        self._heard: dict[str, int] = {}
        self._known: dict[str, Kaizen] = {}
        self.alone: Kaizen | None = None
        """The one agent in it, which has nothing to hear of others; None before the first and after the second one."""
        self._lock = Lock()
        self._tokens: tuple[Token[str], Token[Running | None]] | None = None
        self._ended = False

    def begin(self) -> Running:
        """Tell the request. Does not touch the context: actions are told their run by whoever calls this."""
        self._join(self._kaizen)
        return self

    def request(self, text: str) -> None:
        """The user asked something more in this run."""
        self._request = text[:MAX_TEXT]
        if text:
            for kaizen in list(self._known.values()):
                kaizen.note(Request(run_id=self.id, text=self._request, agent=kaizen.settings.agent, at=now()))

    def message(self, text: str, *, kaizen: Kaizen | None = None, to: str = "user") -> None:
        """Words of the agent ``kaizen`` (the run's own when None) to the user or to another agent."""
        who = kaizen or self._kaizen
        if text:
            who.note(Message(run_id=self.id, text=text[:MAX_TEXT], to=to, agent=who.settings.agent, at=now()))

    def read(self, content: object, *, action_id: str = "") -> None:
        """Something that the agent was given beside the request, not as the user's word: results of earlier runs, a file."""
        kaizen = self._kaizen
        action = Action(tool="", id=action_id or kaizen.ids.new(), run_id=self.id)
        document = plain(content)
        kaizen.note_result(action, document)
        self.brought(kaizen, action, document, failed=False)

    def end(self, *, completed: bool = True) -> None:
        """It is over, for every agent in it. The second time it does nothing."""
        if self._ended or self.joined:
            return
        self._ended = True
        for kaizen in list(self._known.values()):
            kaizen.note(End(run_id=self.id, completed=completed, agent=kaizen.settings.agent, at=now()))

    @contextmanager
    def within(self) -> Iterator[None]:
        """Make it the current run of this context for a while; for adapters that begin and end it apart."""
        tokens = RUN.set(self.id), RUNNING.set(self)
        try:
            yield
        finally:
            RUN.reset(tokens[0])
            RUNNING.reset(tokens[1])

    def followed(self, request: str) -> Running:
        """The next run of the same conversation, begun; this one ends. What was said and read before is known in it."""
        self.end()
        asked = f"{self._request}\n{request}" if self._request else request
        after = Running(self._kaizen, asked[-MAX_TEXT:])
        after.begin()
        for _, name, action, content, failed in list(self._results):
            after._results.append((next(after._numbers), name, action, content, failed))
            self._kaizen.note_result(replace(action, run_id=after.id), content, failed=failed)
        after._heard[self._kaizen.settings.agent] = after._results[-1][0] if after._results else 0
        return after

    def asked(self, turn: object = None) -> None:
        """A model was asked: once more, or, where ``turn`` says which time it is, unless that was told last."""
        if turn is None or turn != self._asked:
            self.turn += 1
            self._asked = turn

    def insists(self, tool: str, signature: str) -> bool:
        """Whether the model goes on asking for what it has just been refused once more: calls of one turn count once, since it had
        not heard then. Where nobody tells of turns, only the very same call counts: nobody makes that one several times in a turn.
        """
        counts = []
        with self._lock:
            for key in (tool, signature):
                last, turns = self._insisted.get(key, (-1, 0))
                counts.append(turns + (last != self.turn or not self.turn))
                self._insisted[key] = self.turn, counts[-1]
            while len(self._insisted) > MAX_INSISTED:
                del self._insisted[next(iter(self._insisted))]
        return (counts[0] >= ENDS and self.turn > 0) or counts[1] >= ENDS_SAME

    # --- several agents in one run

    def hear(self, kaizen: Kaizen) -> None:
        """Bring ``kaizen``, which is about to act, up to what the other agents of this run have read."""
        name = kaizen.settings.agent
        if name not in self._known:
            self._join(kaizen)
        if len(self._known) > 1 and self._results and self._heard.get(name, 0) < self._results[-1][0]:
            with self._lock:
                unheard = [one for one in self._results if one[0] > self._heard.get(name, 0)]
                self._heard[name] = self._results[-1][0]
            for _, whose, action, content, failed in unheard:
                if whose != name:
                    kaizen.note_result(replace(action, run_id=self.id), content, failed=failed)

    def brought(self, kaizen: Kaizen, action: Action, content: object, *, failed: bool) -> None:
        """Keep a result for the agents that have not heard it."""
        name = kaizen.settings.agent
        with self._lock:
            number = next(self._numbers)
            self._results.append((number, name, action, content, failed))
            # Its own, and it has heard all the others. One who is alone is asked for that when another one comes.
            if len(self._known) > 1 and self._heard.get(name, 0) == number - 1:
                self._heard[name] = number

    def _join(self, kaizen: Kaizen) -> None:
        name = kaizen.settings.agent
        self._known[name] = kaizen
        self.alone = kaizen if len(self._known) == 1 else None
        if self._request and not self.joined:
            kaizen.note(Request(run_id=self.id, text=self._request, agent=name, at=now()))

    # --- as a context

    def __enter__(self) -> Running:
        self._tokens = (RUN.set(self.id), RUNNING.set(self))
        return self.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._tokens is not None:
            RUN.reset(self._tokens[0])
            RUNNING.reset(self._tokens[1])
            self._tokens = None
        self.end(completed=kind is None)

    async def __aenter__(self) -> Running:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)
