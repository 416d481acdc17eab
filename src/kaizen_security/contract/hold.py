"""Hold: an action that waits for a person's word. On the wire the decision stays ``block`` until the word has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import decode_action, decode_verdict, encode_action, encode_verdict
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, instant, obj, rfc3339, text, texts
from kaizen_security.contract.verdict import Verdict


class HoldState(StrEnum):
    """WAITING for an answer; RELEASED or BLOCKED by one; EXPIRED without one, which means blocked."""

    WAITING = "waiting"
    RELEASED = "released"
    BLOCKED = "blocked"
    EXPIRED = "expired"


class HoldAnswer(StrEnum):
    """What a person may answer: this one call; each such call of this run; that it is normal for the agent; no."""

    ALLOW_ONCE = "allow_once"
    ALLOW_RUN = "allow_run"
    LEARN = "learn"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """``verdict`` is what stands if nobody answers. Times in Unix seconds, 0.0 for not yet.

    ``action``       the first call that was held; ``calls`` how many the same were, itself included
    ``answer``       None while it waits, and when it expired
    ``answered_by``  a person's name, or what else it was that answered (``model``)
    ``notes``        what the one who is asked should know: a model's opinion, that arguments are not shown
    """

    id: str
    action: Action
    verdict: Verdict
    created_at: float
    expires_at: float
    state: HoldState = HoldState.WAITING
    answer: HoldAnswer | None = None
    answered_by: str = ""
    answered_at: float = 0.0
    calls: int = 1
    notes: tuple[str, ...] = ()

    @property
    def agent(self) -> str:
        """Whose action it is."""
        return self.action.agent

    @property
    def waiting(self) -> bool:
        """Nobody has answered, and there is time left."""
        return self.state is HoldState.WAITING


def encode_hold(hold: Hold) -> dict[str, Json]:
    """``decode_hold`` gives it back."""
    return {
        "id": hold.id,
        "agent": hold.agent,
        "state": hold.state.value,
        "created_at": rfc3339(hold.created_at),
        "expires_at": rfc3339(hold.expires_at),
        "calls": hold.calls,
        "action": encode_action(hold.action),
        "verdict": encode_verdict(hold.verdict),
        "answer": None if hold.answer is None else hold.answer.value,
        "answered_by": hold.answered_by or None,
        "answered_at": rfc3339(hold.answered_at) or None,
        "notes": list(hold.notes),
    }


def decode_hold(document: Json, *, field: str = "hold") -> Hold:
    """A hold. Raises InvalidInput naming the field."""
    doc = obj(document, field)
    path = field + "."
    hold_id = text(doc, "id", path, limit=MAX_NAME)
    if not hold_id:
        raise InvalidInput(path + "id", "is missing")
    calls = doc.get("calls", 1)
    if isinstance(calls, bool) or not isinstance(calls, int) or not 1 <= calls < 2**31:
        raise InvalidInput(path + "calls", "must be a whole number from 1")
    said = text(doc, "answer", path, limit=16)
    return Hold(
        id=hold_id,
        action=decode_action(doc.get("action"), agent=text(doc, "agent", path, limit=MAX_NAME), field=path + "action"),
        verdict=decode_verdict(doc.get("verdict"), field=path + "verdict"),
        created_at=instant(doc, "created_at", path),
        expires_at=instant(doc, "expires_at", path),
        state=decode_state(text(doc, "state", path, limit=16), path + "state"),
        answer=decode_answer(said, path + "answer") if said else None,
        answered_by=text(doc, "answered_by", path, limit=MAX_NAME),
        answered_at=instant(doc, "answered_at", path),
        calls=calls,
        notes=texts(doc, "notes", path),
    )


def decode_state(said: str, field: str = "state") -> HoldState:
    """A state; none said is WAITING. Raises InvalidInput."""
    if said not in ("", *HoldState):
        raise InvalidInput(field, f"must be one of {', '.join(HoldState)}")
    return HoldState(said or "waiting")


def decode_answer(said: str, field: str = "answer") -> HoldAnswer:
    """An answer. Raises InvalidInput."""
    if said not in tuple(HoldAnswer):
        raise InvalidInput(field, f"must be one of {', '.join(HoldAnswer)}")
    return HoldAnswer(said)
