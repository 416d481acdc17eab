"""The JSON twin of each page: the same rows, as documents of the API where the API has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from kaizen_security.contract.action import Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.codec import encode_declaration, encode_finding
from kaizen_security.contract.fields import rfc3339
from kaizen_security.server.console.agents import AgentView
from kaizen_security.server.console.connect import Snippets
from kaizen_security.server.console.filters import Filters
from kaizen_security.store.base import Agent, VerdictRow


def page_document(rows: Sequence[VerdictRow], chosen: Filters, *, older: str) -> dict[str, Json]:
    """The verdicts of one page; ``next`` is the address of the older ones, null on the last page."""
    address = chosen.address(before=older, format="json") if older else None
    return {"verdicts": [row_document(row) for row in rows], "next": address}


def row_document(row: VerdictRow) -> dict[str, Json]:
    """One row, with the keys of ``GET /v1/verdicts`` and ours."""
    return {
        "id": row.id,
        "created_at": rfc3339(row.created_at),
        "agent": row.agent,
        "source": row.source,
        "rung": int(row.rung),
        "action": row.action,
        "decision": row.decision.value,
        "reason": row.reason,
        "evidence": [encode_finding(finding) for finding in row.evidence],
        "confidence": row.confidence,
        "status": row.status.value,
        "severity": row.severity.value,
        "flagged": row.flagged,
        "notes": list(row.notes),
        "origin": row.origin.value,
        "run_id": row.run_id,
        "act_id": row.act_id,
        "policy_version": row.policy_version,
    }


def drawer_document(row: VerdictRow, beside: Sequence[VerdictRow]) -> dict[str, Json]:
    """One verdict, the attack classes that its findings name, and the rows beside it, newest first."""
    named = sorted({finding.attack for finding in row.evidence} & set(ATTACKS))
    attacks: list[Json] = [
        {
            "id": id_,
            "title": ATTACKS[id_].title,
            "owasp": list(ATTACKS[id_].owasp),
            "atlas": list(ATTACKS[id_].atlas),
        }
        for id_ in named
    ]
    others: list[Json] = [row_document(other) for other in beside if other.id != row.id]
    return {"verdict": row_document(row), "attacks": attacks, "beside": others}


def agent_document(view: AgentView, agent: Agent) -> dict[str, Json]:
    """One agent; counts are of the last 24 hours."""
    return {
        "name": agent.name,
        "last_seen": rfc3339(agent.last_seen) or None,
        "rung": view.rung or None,
        "mode": agent.mode.value,
        "paused": agent.paused,
        "declaration": encode_declaration(agent.declaration),
        "actions": view.actions,
        "flagged": view.flagged,
        "blocked": view.blocked,
    }


def snippets_document(agent: str, texts: Snippets, *, seen: float) -> dict[str, Json]:
    """What to type, and whether the agent was seen (null: not yet)."""
    return {"agent": agent, "seen": rfc3339(seen) or None, "snippets": asdict(texts)}
