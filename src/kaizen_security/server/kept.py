"""``contract.boundary.outward`` for many actions that are alike: what they have in common is worked out once."""

from __future__ import annotations

import re
from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.verdict import Verdict

REMEMBERED = 8192
_LONGEST = 512
# Ids that the boundary leaves as they are, and never looks like anything else: others go the long way.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{0,128}")
_SCALAR = (str, int, float, bool, type(None))


class Outward:
    """``outward`` and ``outward_verdict`` under one organisation's key, with a bounded memory.

    A row is its organisation's by where it is kept, so an action that is kept names none.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[object, ...], Action] = {}
        self.forgotten = 0

    def verdict(self, verdict: Verdict) -> Verdict:
        """``outward_verdict``; one without findings and score names no values."""
        named = verdict.evidence or verdict.score is not None
        return outward_verdict(verdict, self._key) if named else verdict

    def action(self, action: Action) -> Action:
        """``outward``."""
        plain = _PLAIN_ID.fullmatch
        common = _common(action)
        if common is None or not (plain(action.id) and plain(action.run_id) and plain(action.act_id)):
            return outward(replace(action, organisation=""), self._key)
        known = self._known.get(common)
        if known is None:
            known = outward(action, self._key)
            if len(self._known) >= REMEMBERED:
                self.forgotten += len(self._known)
                self._known = {}
            self._known[common] = known
        return Action(
            kind=known.kind,
            tool=known.tool,
            publisher=known.publisher,
            target=known.target,
            hash=known.hash,
            metadata=known.metadata,
            id=action.id,
            run_id=action.run_id,
            act_id=action.act_id,
            at=action.at,
            agent=action.agent,
        )


def _common(action: Action) -> tuple[object, ...] | None:
    """What an action shares with others that are kept alike; None when it is too long, or too odd, to be remembered."""
    if action.delegation or action.seen_by or len(action.target) > _LONGEST:
        return None
    parts: list[object] = [action.kind, action.tool, action.publisher, action.target, action.hash]
    for name, value in action.metadata.items():
        kind = type(value)
        if kind not in _SCALAR or (kind is str and len(value) > _LONGEST):  # type: ignore[arg-type]
            return None
        # With its type: 1, 1.0 and True are equal, and are not the same fact.
        parts += (name, kind, value)
    return tuple(parts)
