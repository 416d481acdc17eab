"""The table of the actions that wait for a person: one entry for each act, however often it is tried.

A state machine, and pure: times and ids are given, and nothing waits (``holds`` is the shell around it).

::

    ask -> WAITING -- allow_once, allow_run, learn --> RELEASED     redeemed by the calls that it was given for
                   -- block (a person, a model) ------> BLOCKED      the same act is answered at once, for a while
                   -- time ---------------------------> EXPIRED      the same
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import NamedTuple

from kaizen_security.contract import reasons
from kaizen_security.contract.action import ARGUMENTS, Action
from kaizen_security.contract.codec import encode_action
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState
from kaizen_security.observer.question import Answer, Question, Word, signature
from kaizen_security.runtime.agents import AgentKey

MOST = 4096
"""Actions that may wait at once, of all agents."""
MOST_OF_AN_AGENT = 1024
JOINED = 1024
"""Ids of calls that one hold tells apart, so that a call which asks again is not counted again."""
SETTLED = 4096
"""Settled holds that are remembered; the oldest go first."""
SHOWN_BYTES = 64 << 10
"""Bytes of one action's arguments that are kept to be shown."""
KEPT_BYTES = 32 << 20
"""Bytes of the arguments of all of them."""
QUIET = 600.0
"""Seconds for which the act that a person blocked is not asked about again."""
QUIET_EXPIRED = 60.0
"""The same for one that nobody answered: somebody may be there by then."""
REDEEMABLE = 60.0
"""Seconds for which a release waits at least for the call that it was given for, which may have to come again."""
RUN_GRANT = 3600.0
"""Seconds after which a release for a run is over even if the run is not."""
TIRED = 3
"""Questions about one tool in one run that came to nothing, after which no further one is asked."""


class NoSuchHold(KaizenError):
    """There is no hold of that id, or not any more."""


class AlreadySettled(KaizenError):
    """Somebody else answered before, or it has expired."""


class NoRun(KaizenError):
    """A release for the run of an action that belongs to none."""


class Kept(NamedTuple):
    """What a file has to know: the hold, the signature of its act, and which call used up its release."""

    hold: Hold
    act: str
    redeemed: str


class Ruling(NamedTuple):
    """What holds say of a question: ``answer`` settles it, ``pending`` waits for one, else ``note`` says why it stays blocked."""

    pending: Hold | None = None
    answer: Answer | None = None
    note: str = ""


@dataclass(slots=True)
class _Entry:
    """``ids`` are the calls that it stands for, ``redeemed`` the one that used up a release; ``size`` bytes are kept to be shown.

    ``restored``  it comes from before a restart: what its run had read is forgotten, so it stands by itself
    """

    key: AgentKey
    act: str
    hold: Hold
    ids: OrderedDict[str, None]
    size: int = 0
    word: Answer | None = None
    redeemed: str = ""
    until: float = 0.0
    restored: bool = False


_SAID = {
    ("person", Word.ALLOW_ONCE): HoldAnswer.ALLOW_ONCE,
    ("person", Word.ALLOW_RUN): HoldAnswer.ALLOW_RUN,
    ("person", Word.LEARN): HoldAnswer.LEARN,
    ("person", Word.BLOCK): HoldAnswer.BLOCK,
    ("model", Word.SUSPICIOUS): HoldAnswer.BLOCK,
    ("model", Word.MALICIOUS): HoldAnswer.BLOCK,
}
"""What settles a hold, by who says it: a model may only block."""


class HoldTable:
    """Every hold of one process.

    ``counts``   since the start: placed, joined, released, blocked, expired, not asked
    ``changed``  ids of the holds that changed since somebody took them out of it
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.changed: dict[str, None] = {}
        self._vain: Counter[tuple[AgentKey, str, str]] = Counter()
        self._all: OrderedDict[str, _Entry] = OrderedDict()
        self._acts: dict[tuple[AgentKey, str], _Entry] = {}
        self._waiting: Counter[AgentKey] = Counter()
        self._bytes = 0
        self._restored = 0

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, key: AgentKey, question: Question, now: float, hold_id: str, seconds: float) -> Ruling:
        """Where the question stands; a new hold, of id ``hold_id`` and for ``seconds``, when there is none for this act."""
        action, act = question.action, signature(question.action)
        entry = self._acts.get((key, act))
        if entry is not None:
            found = self._known(entry, action, now)
            if found is not None:
                return found
        refused = self._refused(key, action)
        if refused:
            self.counts["not asked"] += 1
            return Ruling(note=refused)
        return Ruling(pending=self._place(key, act, question, now, hold_id, seconds))

    def _known(self, entry: _Entry, action: Action, now: float) -> Ruling | None:
        """What an entry of the same act says; None when it says nothing any more."""
        hold = entry.hold
        if hold.waiting and now < hold.expires_at:
            if action.id not in entry.ids:
                self._join(entry, action.id)
            return Ruling(pending=entry.hold)
        if hold.waiting:
            self._expire(entry, now)
        if now >= entry.until:
            return None
        if entry.hold.state is not HoldState.RELEASED:
            return Ruling(answer=entry.word, note="" if entry.word is not None else reasons.UNANSWERED)
        if hold.answer is HoldAnswer.ALLOW_RUN and action.run_id != hold.action.run_id:
            return None
        if hold.answer is HoldAnswer.ALLOW_ONCE:
            if entry.redeemed not in ("", action.id):
                return None
            if entry.redeemed != action.id:
                entry.redeemed = action.id
                self.changed[hold.id] = None
        return Ruling(answer=entry.word)

    def _join(self, entry: _Entry, action_id: str) -> None:
        entry.ids[action_id] = None
        if len(entry.ids) > JOINED:
            entry.ids.popitem(last=False)
        entry.hold = replace(entry.hold, calls=entry.hold.calls + 1)
        self.counts["joined"] += 1
        self.changed[entry.hold.id] = None

    def _refused(self, key: AgentKey, action: Action) -> str:
        if self._waiting.total() >= MOST or self._waiting[key] >= MOST_OF_AN_AGENT:
            # What waits is never pushed out: a flood of questions must not hide one, nor let one through.
            return "not asked: too many actions wait for a person already"
        if self._vain[key, action.run_id, action.tool] >= TIRED:
            return f"not asked: {TIRED} questions about this tool in this run came to nothing"
        return ""

    def _place(self, key: AgentKey, act: str, question: Question, now: float, hold_id: str, seconds: float) -> Hold:
        action, size = self._shown(question.action)
        notes = () if action is question.action else ("its arguments are too long to be shown",)
        hold = Hold(
            id=hold_id,
            action=action,
            verdict=question.floor,
            created_at=now,
            expires_at=now + seconds,
            notes=notes,
        )
        entry = _Entry(key, act, hold, OrderedDict({action.id: None}), size=size)
        self._all[hold_id] = self._acts[key, act] = entry
        self._waiting[key] += 1
        self._bytes += size
        self.counts["placed"] += 1
        self.changed[hold_id] = None
        return hold

    def _shown(self, action: Action) -> tuple[Action, int]:
        size = len(json.dumps(encode_action(action), default=str))
        if size <= SHOWN_BYTES and self._bytes + size <= KEPT_BYTES:
            return action, size
        kept = {name: value for name, value in action.metadata.items() if name not in ARGUMENTS}
        cut = replace(action, metadata=kept)
        if len(json.dumps(encode_action(cut), default=str)) > SHOWN_BYTES:
            cut = replace(cut, metadata={})
        return cut, 0

    def standing(self, key: AgentKey, action: Action) -> Hold | None:
        """The hold from before a restart that this action of the same run falls under, whatever is said of it now."""
        if not self._restored:
            return None
        entry = self._acts.get((key, signature(action)))
        if entry is None or not entry.restored or entry.hold.action.run_id != action.run_id:
            return None
        return None if entry.hold.state is HoldState.RELEASED else entry.hold

    # --- answering ----------------------------------------------------------------------------------------------------

    def answer(self, hold_id: str, word: Answer, by: str, now: float) -> tuple[Hold, str]:
        """Settle a hold; with it the signature of its act. ``word`` is a person's, or a model's that raises.

        Raises NoSuchHold, AlreadySettled, NoRun.
        """
        entry = self._all.get(hold_id)
        if entry is None:
            raise NoSuchHold("there is no hold of that id, or not any more")
        if entry.hold.waiting and now >= entry.hold.expires_at:
            self._expire(entry, now)
        if not entry.hold.waiting:
            raise AlreadySettled(f"it is settled already: {entry.hold.state.value}")
        said = _SAID[word.by, word.word]
        if said is HoldAnswer.ALLOW_RUN and not entry.hold.action.run_id:
            raise NoRun("this action belongs to no run: allow it once, or learn it")
        released = said is not HoldAnswer.BLOCK
        until = max(entry.hold.expires_at, now + REDEEMABLE)
        entry.until = now + RUN_GRANT if said is HoldAnswer.ALLOW_RUN else until if released else now + QUIET
        self._settle(
            entry,
            replace(
                entry.hold,
                state=HoldState.RELEASED if released else HoldState.BLOCKED,
                answer=said,
                answered_by=by[:MAX_NAME],
                answered_at=now,
                notes=(*entry.hold.notes, word.why) if word.by == "model" and word.why else entry.hold.notes,
            ),
            word,
        )
        return entry.hold, entry.act

    def note(self, hold_id: str, said: str) -> Hold | None:
        """What the one who is asked should know; None when nobody is asked any more."""
        entry = self._all.get(hold_id)
        if entry is None or not entry.hold.waiting:
            return None
        entry.hold = replace(entry.hold, notes=(*entry.hold.notes, said))
        self.changed[hold_id] = None
        return entry.hold

    def _expire(self, entry: _Entry, now: float, why: str = "") -> None:
        entry.until = now + QUIET_EXPIRED
        notes = (*entry.hold.notes, why) if why else entry.hold.notes
        self._settle(entry, replace(entry.hold, state=HoldState.EXPIRED, notes=notes), None)

    def withdraw(self, key: AgentKey, action: Action, now: float) -> None:
        """Rules that came since settle the act without a person."""
        entry = self._acts.get((key, signature(action)))
        if entry is not None and entry.hold.waiting and not entry.restored:
            self._expire(entry, now, "not asked any more: the rules have changed")
            entry.until = now

    def abandon(self, key: AgentKey, action_id: str, now: float) -> None:
        """The call will not be made any more: a question about it alone is nobody's."""
        for entry in [entry for entry in self._all.values() if entry.hold.waiting and entry.key == key]:
            if action_id in entry.ids:
                del entry.ids[action_id]
                if not entry.ids:
                    self._expire(entry, now, "not asked any more: the call was given up")
                    entry.until = now
                return

    def _settle(self, entry: _Entry, hold: Hold, word: Answer | None) -> None:
        entry.hold, entry.word = hold, word
        self.counts[hold.state.value] += 1
        self.changed[hold.id] = None
        if hold.state is not HoldState.RELEASED and hold.action.run_id:
            self._vain[entry.key, hold.action.run_id, hold.action.tool] += 1
        self._waiting[entry.key] -= 1
        if self._waiting[entry.key] <= 0:
            del self._waiting[entry.key]
        self._bytes -= entry.size
        entry.size = 0
        self._all.move_to_end(hold.id)
        while len(self._all) - self._waiting.total() > SETTLED:
            self._forget(next(one for one in self._all.values() if not one.hold.waiting))

    def _forget(self, entry: _Entry) -> None:
        del self._all[entry.hold.id]
        self._restored -= entry.restored
        if self._acts.get((entry.key, entry.act)) is entry:
            del self._acts[entry.key, entry.act]
        vain = entry.key, entry.hold.action.run_id, entry.hold.action.tool
        if entry.hold.state is not HoldState.RELEASED and vain in self._vain:
            self._vain[vain] -= 1
            if self._vain[vain] <= 0:
                del self._vain[vain]

    # --- time, runs, agents -------------------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Block what nobody answered in time."""
        if not self.waiting:
            return
        for entry in [entry for entry in self._all.values() if entry.hold.waiting and now >= entry.hold.expires_at]:
            self._expire(entry, now)

    def end(self, key: AgentKey, run_id: str, now: float) -> None:
        """The run is over, and what was released for it too. A question that no other call shares is withdrawn."""
        for entry in list(self._acts.values()):
            if entry.key != key or entry.hold.action.run_id != run_id:
                continue
            if entry.hold.answer is HoldAnswer.ALLOW_RUN:
                entry.until = 0.0
            elif entry.hold.waiting and entry.hold.calls == 1:
                self._expire(entry, now, "not asked any more: its run is over")
                entry.until = now

    def get(self, hold_id: str) -> Hold | None:
        """The hold of that id."""
        entry = self._all.get(hold_id)
        return None if entry is None else entry.hold

    def kept(self, hold_id: str) -> Kept | None:
        """What a file has to know of the hold; None when there is none of that id any more."""
        entry = self._all.get(hold_id)
        return None if entry is None else Kept(entry.hold, entry.act, entry.redeemed)

    def listing(self, state: HoldState | None = None, agent: str = "", limit: int = 100) -> tuple[Hold, ...]:
        """Holds, those that wait first, and of each kind the newest first."""
        found = [
            entry.hold
            for entry in self._all.values()
            if state in (None, entry.hold.state) and agent in ("", entry.hold.agent)
        ]
        return tuple(sorted(found, key=lambda hold: (not hold.waiting, -hold.created_at))[:limit])

    @property
    def waiting(self) -> int:
        """Holds that wait."""
        return self._waiting.total()

    def restore(self, key: AgentKey, act: str, hold: Hold, redeemed: str, now: float) -> None:
        """Put back a hold from before a restart. One that waited waits on; one whose time is over is blocked."""
        entry = _Entry(key, act, hold, OrderedDict({hold.action.id: None}), redeemed=redeemed, restored=True)
        self._all[hold.id] = self._acts[key, act] = entry
        self._restored += 1
        if hold.waiting:
            self._waiting[key] += 1
            if now >= hold.expires_at:
                self._expire(entry, now)
            return
        if hold.answer is not None:
            entry.word = Answer(word=Word(hold.answer.value), by="person")
        entry.until = _until(hold)


def _until(hold: Hold) -> float:
    """How long a settled hold goes on saying what was answered."""
    match hold.answer:
        case HoldAnswer.ALLOW_RUN:
            return hold.answered_at + RUN_GRANT
        case HoldAnswer.BLOCK:
            return hold.answered_at + QUIET
        case None:
            return hold.expires_at + QUIET_EXPIRED
        case _:
            return max(hold.expires_at, hold.answered_at + REDEEMABLE)
