"""Question and Answer: what rules cannot settle, and what a model or a person says to it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.observer.facts import NO_FACTS, Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``floor`` is what the deterministic part says, and stands when nobody answers by ``expires_at`` (Unix seconds).

    ``releasable``  whether a person may let the action through: false as soon as the floor blocks by policy
    ``mode``        of the agent when it was asked: what a model raises blocks in ENFORCE and flags in OBSERVE
    ``doubts``      what detections doubt, where that is no finding of the floor
    ``facts``       what a model gets to know (``observer.facts.gather``)
    """

    id: str
    action: Action
    floor: Verdict
    expires_at: float
    releasable: bool = False
    mode: Mode = Mode.ENFORCE
    doubts: tuple[Finding, ...] = ()
    facts: Facts = NO_FACTS


class Word(StrEnum):
    """What was answered. The first three are a model's, the others a person's."""

    BENIGN = "benign"
    SUSPICIOUS = "suspicious"
    MALICIOUS = "malicious"
    ALLOW_ONCE = "allow_once"
    ALLOW_RUN = "allow_run"
    LEARN = "learn"
    BLOCK = "block"


RELEASES = frozenset({Word.ALLOW_ONCE, Word.ALLOW_RUN, Word.LEARN})
"""Words of a person that let a held action through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``by`` is ``model`` or ``person``; ``confidence`` 0 to 1, for a model; ``why`` one sentence."""

    word: Word
    by: str
    why: str = ""
    confidence: float | None = None


def signature(action: Action) -> str:
    """SHA-256, hex, of what is done and with what: the very act that a person was shown, in whichever run.

    A wording that differs is another act: who approved one message has not approved every message to the same address. So is
    whatever else a client says of it, except who saw it.
    """
    found = canonical.target(action.target)
    done = [
        action.kind,
        canonical.tool(action.tool),
        action.publisher,
        f"{found.host}:{found.port}" if found.host and "/" not in action.target else action.target,
        action.hash,
        {name: value for name, value in action.metadata.items() if name != "source"},
    ]
    return hashlib.sha256(json.dumps(done, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()
