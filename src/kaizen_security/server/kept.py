"""``contract.boundary.outward`` for many actions that are alike: what they have in common is worked out once."""

from __future__ import annotations

import re
from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.verdict import Verdict

_made = builder(Action)

REMEMBERED = 8192
_LONGEST = 512
# Three ids that the boundary leaves as they are, and that never look like anything else: others go the long way.
_PLAIN_IDS = re.compile(r"[A-Za-z0-9._:-]{0,128}(?:,[A-Za-z0-9._:-]{0,128}){2}")
_SCALAR = (str, int, float, bool, type(None))


class Outward:
    """``outward`` and ``outward_verdict`` under one organisation's key, with a bounded memory.

    A row is its organisation's by where it is kept, so an action that is kept names none.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[object, ...], tuple[Action, bool]] = {}
        self.forgotten = 0

    def verdict(self, verdict: Verdict) -> Verdict:
        """``outward_verdict``; one without findings and score names no values."""
        named = verdict.evidence or verdict.score is not None
        return outward_verdict(verdict, self._key) if named else verdict

    def action(self, action: Action) -> Action:
        """``outward``."""
        common = _common(action)
        if common is None or not _PLAIN_IDS.fullmatch(f"{action.id},{action.run_id},{action.act_id}"):
            return outward(replace(action, organisation=""), self._key)
        found = self._known.get(common)
        if found is None:
            made = outward(action, self._key)
            found = made, made == action
            if len(self._known) >= REMEMBERED:
                self.forgotten += len(self._known)
                self._known = {}
            self._known[common] = found
        known, as_it_was = found
        if as_it_was and not action.organisation:
            return action
        return _made(  # in the order of Action's fields
            known.kind,
            known.tool,
            known.publisher,
            known.target,
            known.hash,
            known.metadata,
            action.id,
            action.run_id,
            action.act_id,
            action.at,
            action.agent,
            "",
            (),
            (),
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
