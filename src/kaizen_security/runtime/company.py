"""What the agents of one session of a coding assistant have in common: what its user asked, and what each of them has read.

The hook command is a process for each event, which cannot carry this from one agent to another as adapters do
(``integrations.runs``). Without it a sub-agent would know no request and no reading but its own, and the agent that started it
nothing of what the sub-agent has read.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result, Step
from kaizen_security.integrations.coding import ASSISTANTS

SOURCES = frozenset(ASSISTANTS)
MOST = 64
"""Sessions that are remembered; the one that was heard longest ago makes room."""
MOST_ASKED = 256
"""Runs whose requests are kept until it is known whether they are sessions."""
MOST_RESULTS = 64
MAX_RESULTS = 1 << 20
"""Characters of a session's results that are kept for agents that join it; the oldest go first."""
MAX_TEXT = 65_536


Key = tuple[str, str, str]
"""Organisation, agent, run."""


@dataclass(slots=True)
class _Session:
    """``main``: the agent that its user talks to. ``members``: all that act in it. ``read``: results with their length."""

    main: str
    members: set[str] = field(default_factory=set)
    asked: deque[Request] = field(default_factory=lambda: deque(maxlen=MOST_RESULTS))
    read: deque[tuple[int, Result]] = field(default_factory=lambda: deque(maxlen=MOST_RESULTS))

    def keep(self, result: Result) -> None:
        self.read.append((len(json.dumps(result.content)), result))
        while sum(size for size, _ in self.read) > MAX_RESULTS:
            self.read.popleft()


class Company:
    """For several threads."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Key, _Session] = OrderedDict()  # by the main agent
        self._of: dict[Key, _Session] = {}  # by each
        self._asked: OrderedDict[Key, deque[Request]] = OrderedDict()
        self._lock = threading.Lock()

    def joins(self, action: Action) -> tuple[Request | Result | End, ...]:
        """What the agent that is about to act has to hear first: nothing, unless it is new in a session that others began."""
        if action.source not in SOURCES or not action.run_id:
            return ()
        main = action.delegation[0] if action.delegation else action.agent
        with self._lock:
            session = self._session(action.organisation, main, action.run_id)
            if action.agent in session.members:
                return ()
            session.members.add(action.agent)
            self._of[action.organisation, action.agent, action.run_id] = session
            known: list[Request | Result] = [*session.asked, *(result for _, result in session.read)]
        return tuple(replace(one, agent=action.agent) for one in known)

    def heard(self, step: Step, organisation: str = "") -> tuple[Request | Result | End, ...]:
        """The same step for every other agent of the session; that it is over is the main agent's to say."""
        if not isinstance(step, Request | Result | End) or not step.run_id:
            return ()
        key = organisation, step.agent, step.run_id
        with self._lock:
            session = self._of.get(key)
            if session is None:
                self._wait(key, step)
                return ()
            others = session.members - {step.agent}
            if isinstance(step, Request):
                session.asked.append(_cut(step))
            elif isinstance(step, Result):
                session.keep(step)
            elif step.agent == session.main:
                self._forget(key)
            else:
                others = set()
        return tuple(replace(step, agent=name) for name in sorted(others))

    def _session(self, organisation: str, main: str, run: str) -> _Session:
        key = organisation, main, run
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self._of[key] = _Session(main, {main})
            session.asked.extend(self._asked.pop(key, ()))
            if len(self._sessions) > MOST:
                self._forget(next(iter(self._sessions)))
        self._sessions.move_to_end(key)
        return session

    def _forget(self, key: Key) -> None:
        for name in self._sessions.pop(key).members:
            self._of.pop((key[0], name, key[2]), None)

    def _wait(self, key: Key, step: Step) -> None:
        if isinstance(step, Request):
            self._asked.setdefault(key, deque(maxlen=MOST_RESULTS)).append(_cut(step))
            self._asked.move_to_end(key)
            if len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)


def _cut(request: Request) -> Request:
    return replace(request, text=request.text[:MAX_TEXT])
