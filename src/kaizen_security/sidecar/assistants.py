"""Attach points of coding assistants, whose hook command is a process for each event and beats by itself for nobody.

The sidecar speaks for it: a session is heard of by its prompts, calls and results until it ends, and the files that
``kaizen attach`` entered the hook into are looked at. An assistant that works on without its hook falls dark
(``sidecar.heartbeats``): the hook is gone from its settings, or its session's transcript is written while the hook says nothing.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaizen_security.contract.action import Action
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.step import Step
from kaizen_security.integrations.coding import ASSISTANTS
from kaizen_security.runtime.aside import aside
from kaizen_security.setup.entered import Entered, amiss, noted
from kaizen_security.sidecar.heartbeats import Heartbeats, Session

EVERY = 30.0
"""Seconds between two looks."""
UNTOLD = 900.0
"""Seconds after the hook was last heard from which on a transcript that is written says that the assistant works unseen. The
longest that one works without its hook being asked is one command (ten minutes in Claude Code) or one answer of its model.
"""
QUIET = 3600.0
"""Seconds without a word or a written line after which a session is taken for over: its assistant may have been killed."""
FORGOTTEN = 86_400.0
MOST = 256
"""Sessions that are remembered; the one that was heard longest ago makes room."""


@dataclass(slots=True)
class _Session:
    """``heard`` in Unix seconds; ``ended``: that it is over has been said."""

    agent: str
    id: str
    source: str
    heard: float
    transcript: str = ""
    over: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look found: when transcripts were last written (Unix seconds), and what is amiss with each hook that is ours (empty:
    nothing).
    """

    written: dict[str, float]
    entered: tuple[tuple[Entered, str], ...]


class Assistants:
    """``folder``: where ``kaizen attach`` notes what it entered (None: nowhere); ``socket``: ours, which our notes name."""

    def __init__(
        self, heartbeats: Heartbeats, clock: Callable[[], float], folder: Path | None = None, socket: Path | None = None
    ) -> None:
        self._heartbeats = heartbeats
        self._clock = clock
        self._folder = "" if folder is None else str(folder)
        self._socket = "" if socket is None else os.path.realpath(socket)
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()
        self._entered: set[tuple[str, str, str]] = set()

    def heard(self, step: Step) -> None:
        """A step of a run: if that is a session, its hook is there."""
        acts = step if isinstance(step, Action) else None
        agent = acts.delegation[0] if acts is not None and acts.delegation else step.agent
        session = self._sessions.get((agent, step.run_id))
        if session is not None:
            session.heard, session.over = self._clock(), False
        elif acts is not None and acts.source in ASSISTANTS and acts.run_id:
            self.told(Session(agent=agent, id=acts.run_id, source=acts.source, transcript="", over=False))

    def told(self, said: Session) -> None:
        """What the hook says of a session itself: at each prompt, and at the end."""
        session = self._sessions.setdefault((said.agent, said.id), _Session(said.agent, said.id, said.source, 0.0))
        session.heard, session.over = self._clock(), said.over
        session.transcript = said.transcript or session.transcript
        self._sessions.move_to_end((said.agent, said.id))
        self._say(session)
        while len(self._sessions) > MOST:
            _, gone = self._sessions.popitem(last=False)
            gone.over = True  # nobody speaks for it any more, which must not look like silence
            self._say(gone)

    async def look(self) -> None:
        """Look at transcripts and settings, beside the event loop, and speak for what is in order."""
        transcripts = tuple({one.transcript for one in self._sessions.values() if one.transcript})
        # A thread of its own: whoever speaks to us names the files, and one on a file system that hangs must not keep the process.
        self.judge(await aside(lambda: looked(transcripts, self._folder, self._socket), name="assistants"))

    def judge(self, seen: Seen) -> None:
        """Speak for what is in order, and say of the rest what is amiss."""
        now = self._clock()
        for key, session in list(self._sessions.items()):
            written = seen.written.get(session.transcript, 0.0)
            if now - max(session.heard, written) > FORGOTTEN:
                del self._sessions[key]
            elif written - session.heard > UNTOLD:
                why = "its session goes on, as its transcript shows, and its hook has said nothing"
                self._heartbeats.doubt(session.agent, session.id, session.source, why)
            else:
                session.over = session.over or now - max(session.heard, written) > QUIET
                self._say(session)
        self._settings(seen.entered)

    def _say(self, session: _Session) -> None:
        if session.over and session.ended:
            return  # a goodbye is said once
        session.ended = session.over
        self._heartbeats.beat(session.agent, session.id, (session.source,), leaving=session.over)

    def _settings(self, entered: tuple[tuple[Entered, str], ...]) -> None:
        there = set[tuple[str, str, str]]()
        for one, why in entered:
            key = agent, process, source = one.agent[:MAX_NAME], one.path[-MAX_NAME:], f"{one.assistant} settings"
            there.add(key)
            if why:
                self._heartbeats.doubt(agent, process, source, why)
            else:
                self._heartbeats.beat(agent, process, (source,), leaving=False)
        for agent, process, source in self._entered - there:
            self._heartbeats.beat(agent, process, (source,), leaving=True)  # undone, or entered as another agent's
        self._entered = there


def looked(transcripts: tuple[str, ...], folder: str, socket: str) -> Seen:
    """Look at the files, of the notes those that name our ``socket``. Blocks."""
    written = dict[str, float]()
    for path in transcripts:
        try:
            written[path] = os.stat(path).st_mtime
        except (OSError, ValueError):
            continue  # not written yet, or another machine's: nothing is said of it
    ours = [one for one in noted(folder) if os.path.realpath(one.socket) == socket] if folder else []
    return Seen(written=written, entered=tuple((one, amiss(one)) for one in ours))
