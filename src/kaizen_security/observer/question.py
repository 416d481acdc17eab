"""Question and Answer: what rules cannot settle, and what a model or a person says to it.

The values and the way back (``Observer.conclude``) are here; nothing asks yet. No detection produces a Question today.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``floor`` is what the deterministic part says, and stands when nobody answers by ``expires_at`` (Unix seconds).

    ``releasable``  whether a person may let the action through: false as soon as the floor blocks by policy
    """

    id: str
    action: Action
    floor: Verdict
    expires_at: float
    releasable: bool = False


class Word(StrEnum):
    """What was answered."""

    BENIGN = "benign"
    SUSPICIOUS = "suspicious"
    MALICIOUS = "malicious"
    ALLOW_ONCE = "allow_once"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``by`` is ``model`` or ``person``; ``confidence`` 0 to 1, for a model; ``why`` one sentence."""

    word: Word
    by: str
    why: str = ""
    confidence: float | None = None
