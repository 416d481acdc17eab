"""The store's values as documents of the API."""

from __future__ import annotations

from collections.abc import Sequence

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import encode_declaration, encode_finding
from kaizen_security.contract.fields import rfc3339
from kaizen_security.contract.score import encode_score
from kaizen_security.server import attached
from kaizen_security.server.acts import Act
from kaizen_security.store.base import Agent, Deleted, Key, User, VerdictRow
from kaizen_security.store.coverage import Measured
from kaizen_security.store.profiles import Profile


def verdict_row(row: VerdictRow) -> dict[str, Json]:
    """A row of ``GET /v1/verdicts``."""
    document: dict[str, Json] = {
        "id": row.id,
        "created_at": rfc3339(row.created_at),
        "agent": row.agent,
        "source": row.source,
        "rung": row.rung.label,
        "rung_number": int(row.rung),
        "action": row.action,
        "decision": row.decision.value,
        "reason": row.reason,
        "evidence": [encode_finding(finding) for finding in row.evidence],
        "confidence": row.confidence,
        "status": row.status.value,
        "severity": row.severity.value,
        "flagged": row.flagged,
        "claimed": row.claimed,
        "origin": row.origin.value,
        "policy_version": row.policy_version,
    }
    ids = {"action_id": row.action_id, "run_id": row.run_id, "act_id": row.act_id}
    document |= {name: value for name, value in ids.items() if value}
    if row.notes:
        document["notes"] = list(row.notes)
    if row.score is not None:
        document["score"] = encode_score(row.score)
    return document


def act(found: Act) -> dict[str, Json]:
    """A row of ``GET /v1/acts``."""
    return {
        "act_id": found.lead.act_id or found.lead.action_id,
        "run_id": found.lead.run_id,
        "agent": found.lead.agent,
        "joined": found.joined.value,
        "decision": found.lead.decision.value,
        "flagged": any(row.flagged for row in found.rows),
        "rung": found.deepest.rung.label,
        "rung_number": int(found.deepest.rung),
        "verdict": verdict_row(found.lead),
        "rows": [verdict_row(row) for row in found.rows],
    }


def agent(found: Agent) -> dict[str, Json]:
    """An agent with its declaration and settings."""
    return {
        "agent": found.name,
        "declaration": encode_declaration(found.declaration),
        "mode": found.mode.value,
        "paused": found.paused,
        "judge_enabled": found.judge_enabled,
        "first_seen": rfc3339(found.first_seen) or None,
        "last_seen": rfc3339(found.last_seen) or None,
        "rung": None if found.rung is None else found.rung.label,
        "rung_number": None if found.rung is None else int(found.rung),
        "actions": found.actions,
        "flagged": found.flagged,
        "blocked": found.blocked,
    }


def reported_profile(found: Profile) -> dict[str, Json]:
    """What a sidecar said that it has learned of an agent."""
    return {"sidecar": found.sidecar, "at": rfc3339(found.at), "profile": dict(found.document)}


def coverage(name: str, found: Measured) -> dict[str, Json]:
    """What was measured of an agent's ways out."""
    rungs: list[Json] = [dict(one) for one in found.rungs]
    return {"agent": name, "machine": found.machine, "at": rfc3339(found.at), "rungs": rungs}


def attach_points(name: str, said: Sequence[Profile], now: float) -> dict[str, Json]:
    """Which attach points of an agent are there at ``now`` (Unix seconds)."""
    found: list[Json] = [
        {
            "source": one.source,
            "sidecar": one.sidecar,
            "state": one.state.value,
            "alive": one.alive,
            "dark": one.dark,
            "left": one.left,
            "heard": rfc3339(one.heard),
            "told": rfc3339(one.told),
        }
        for one in attached.points(said, now)
    ]
    return {"agent": name, "points": found}


def deleted(name: str, gone: Deleted) -> dict[str, Json]:
    """What was deleted with an agent."""
    return {
        "agent": name,
        "deleted": {
            "verdicts": gone.verdicts,
            "suppressions": gone.suppressions,
            "baseline": gone.baseline,
            "declaration": gone.declaration,
        },
        "keys_left": gone.keys_left,
    }


def key(found: Key) -> dict[str, Json]:
    """An API key without the key."""
    return {
        "id": found.id,
        "name": found.name,
        "prefix": found.prefix,
        "scope": found.scope.value,
        "agent": found.agent or None,
        "created_at": rfc3339(found.created_at),
        "last_used_at": rfc3339(found.last_used_at) or None,
        "revoked_at": rfc3339(found.revoked_at) or None,
    }


def person(found: User) -> dict[str, Json]:
    """Somebody who may sign in."""
    return {"name": found.name, "role": found.role.value, "created_at": rfc3339(found.created_at)}
