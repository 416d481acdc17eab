"""What the agents of one session of a coding assistant have in common: what its user asked, and what each of them has read.

The hook command is a process for each event, which cannot carry this from one agent to another as adapters do
(``integrations.runs``). Without it a sub-agent would know no request and no reading but its own, and the agent that started it
nothing of what the sub-agent has read.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result, Step
from kaizen_security.integrations.coding import ASSISTANTS

SOURCES = frozenset(ASSISTANTS)
MOST = 64
"""Sessions that are remembered; the one that was heard longest ago makes room."""
MOST_MEMBERS = 32
"""Agents of a session: what one of them reads is noted for each. The one that acted longest ago makes room, never the main one, and
joins again when it acts again.
"""
MOST_ASKED, MAX_WAITING = 256, 4 << 20
"""Runs whose requests are kept until it is known whether they are sessions, and characters of all these; the oldest run goes first.
"""
MOST_STEPS = 64
MAX_ASKED, MAX_RESULTS = 1 << 18, 1 << 20
"""Characters of a session's requests, and of its results, that are kept for agents that join it; the oldest go first."""
MAX_TEXT = 65_536


Key = tuple[str, str, str]
"""Organisation, agent, run."""
S = TypeVar("S", Request, Result)


class _Latest(Generic[S]):
    """The latest steps, at most MOST_STEPS with ``room`` characters; ``size``: how many they have."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: deque[tuple[int, S]] = deque()
        self.size = 0

    def keep(self, step: S, size: int) -> None:
        self._kept.append((size, step))
        self.size += size
        while len(self._kept) > MOST_STEPS or self.size > self._room:
            self.size -= self._kept.popleft()[0]

    def __iter__(self) -> Iterator[S]:
        return (step for _, step in self._kept)


@dataclass(slots=True)
class _Session:
    """``main``: the agent that its user talks to. ``members``: all that act in it, who acted last at the end."""

    main: str
    members: OrderedDict[str, None]
    asked: _Latest[Request] = field(default_factory=lambda: _Latest(MAX_ASKED))
    read: _Latest[Result] = field(default_factory=lambda: _Latest(MAX_RESULTS))


class Company:
    """For several threads."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Key, _Session] = OrderedDict()  # by the main agent
        self._of: dict[Key, _Session] = {}  # by each
        self._asked: OrderedDict[Key, _Latest[Request]] = OrderedDict()
        self._waiting = 0  # characters in ``_asked``
        self._lock = threading.Lock()

    def joins(self, action: Action) -> tuple[Request | Result | End, ...]:
        """What the agent that is about to act has to hear first: nothing, unless it is new in a session that others began."""
        if action.source not in SOURCES or not action.run_id:
            return ()
        main = action.delegation[0] if action.delegation else action.agent
        with self._lock:
            session = self._session(action.organisation, main, action.run_id)
            where, is_known = (action.organisation, action.run_id), action.agent in session.members
            session.members[action.agent] = None
            session.members.move_to_end(action.agent)
            if is_known:
                return ()
            self._of[action.organisation, action.agent, action.run_id] = session
            if len(session.members) > MOST_MEMBERS:
                self._leave(session, next(name for name in session.members if name != session.main), where)
            known: list[Request | Result] = [*session.asked, *session.read]
        return tuple(replace(one, agent=action.agent) for one in known)

    def heard(self, step: Step, organisation: str = "") -> tuple[Request | Result | End, ...]:
        """The same step for every other agent of the session.

        What was asked, and that it is over, is the main agent's to say: whoever says that it was called by that one is believed to
        have read something, never to have been told something by the user.
        """
        if not isinstance(step, Request | Result | End) or not step.run_id:
            return ()
        key = organisation, step.agent, step.run_id
        with self._lock:
            session = self._of.get(key)
            if session is None:
                self._wait(key, step)
                return ()
            others = set(session.members) - {step.agent}
            if isinstance(step, Result):
                session.read.keep(step, len(json.dumps(step.content)))
            elif step.agent != session.main:
                return ()
            elif isinstance(step, Request):
                asked = _cut(step)
                session.asked.keep(asked, len(asked.text))
            else:
                self._forget(key)
        return tuple(replace(step, agent=name) for name in sorted(others))

    def _session(self, organisation: str, main: str, run: str) -> _Session:
        key = organisation, main, run
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._of[key] = _Session(main, OrderedDict({main: None}))
            waiting = self._asked.pop(key, None)
            if waiting is not None:
                self._waiting -= waiting.size
                session.asked = waiting
            if len(self._sessions) > MOST:
                self._forget(next(iter(self._sessions)))
        self._sessions.move_to_end(key)
        return session

    def _forget(self, key: Key) -> None:
        session = self._sessions.pop(key)
        for name in list(session.members):
            self._leave(session, name, (key[0], key[2]))

    def _leave(self, session: _Session, name: str, where: tuple[str, str]) -> None:
        session.members.pop(name, None)
        key = where[0], name, where[1]
        if (
            self._of.get(key) is session
        ):  # it may be in another one meanwhile, which somebody else began in the same run
            del self._of[key]

    def _wait(self, key: Key, step: Step) -> None:
        if not isinstance(step, Request):
            return
        asked, kept = _cut(step), self._asked.setdefault(key, _Latest(MAX_ASKED))
        self._waiting -= kept.size
        kept.keep(asked, len(asked.text))
        self._waiting += kept.size
        self._asked.move_to_end(key)
        while len(self._asked) > MOST_ASKED or self._waiting > MAX_WAITING:
            self._waiting -= self._asked.popitem(last=False)[1].size


def _cut(request: Request) -> Request:
    return replace(request, text=request.text[:MAX_TEXT])
