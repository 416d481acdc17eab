"""A report while it waits in memory for its thread: as it was when it was made, and of no concern to the garbage collector."""

from __future__ import annotations

import marshal
from operator import attrgetter
from typing import TypeAlias

from kaizen_security.client.arguments import plain
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict

Parts: TypeAlias = "tuple[Action, dict[str, Json], Verdict, str, float, str]"
"""Action, its metadata made plain, verdict, the id if it has none, when (Unix seconds), the run."""
Entry: TypeAlias = "bytes | Parts"
"""Packed, or as it came where it cannot be."""
MAX_PACKED = 64 << 10
"""Bytes; what is larger is cut by ``plain`` at once."""
_ACTION = ("kind", "tool", "publisher", "target", "hash", "id", "run_id", "act_id", "at", "delegation", "seen_by")
_FINDING = ("kind", "value", "source", "detection", "field", "expected", "observed", "advice", "attack")
_did, _found = attrgetter(*_ACTION), attrgetter(*_FINDING)


def packed(action: Action, verdict: Verdict, id_: str, at: float, run_id: str) -> Entry:
    """A report as one string of bytes. The agent may go on to change the lists in it.

    Objects would do as well, were there no garbage collector: with thousands of them waiting it looks again and again through
    all that the agent itself holds, which stopped its threads for 15 to 50 ms (``benchmarks/stalls.py``).
    """
    metadata = action.metadata
    if not (verdict.notes or verdict.pending or verdict.score):
        said = (
            verdict.decision is Decision.BLOCK,
            verdict.reason,
            tuple(map(_found, verdict.evidence)),
            verdict.confidence,
            verdict.action_id,
            verdict.policy_version,
        )
        stated = metadata if type(metadata) is dict else dict(metadata)
        try:
            # Version 2 looks for no repeated strings, which would take twice the time.
            made = marshal.dumps((_did(action), stated, said, id_, at, run_id), 2)
            if len(made) <= MAX_PACKED:
                return made
        except ValueError:
            pass  # an object of the agent's own is in it
    return action, _object(plain(dict(metadata))), verdict, id_, at, run_id


def unpacked(entry: Entry) -> Parts:
    """What was packed."""
    if not isinstance(entry, bytes):
        return entry
    did, metadata, said, id_, at, run_id = marshal.loads(entry)  # noqa: S302  # our own bytes, from this very process
    block, reason, findings, confidence, action_id, version = said
    verdict = Verdict(
        decision=Decision.BLOCK if block else Decision.ALLOW,
        reason=reason,
        evidence=tuple(Finding(**dict(zip(_FINDING, finding, strict=True))) for finding in findings),
        confidence=confidence,
        action_id=action_id,
        policy_version=version,
    )
    return Action(**dict(zip(_ACTION, did, strict=True))), _object(plain(metadata)), verdict, id_, at, run_id


def _object(document: Json) -> dict[str, Json]:
    return document if isinstance(document, dict) else {}
