"""The JSON twin of each page: the same rows, as documents of the API where the API has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from kaizen_security.contract.action import Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.fields import rfc3339
from kaizen_security.server.acts import Act
from kaizen_security.server.api import documents
from kaizen_security.server.api.documents import verdict_row
from kaizen_security.server.console.agents import AgentView
from kaizen_security.server.console.connect import Snippets
from kaizen_security.server.console.filters import Filters
from kaizen_security.store.base import Agent, VerdictRow


def page_document(acts: Sequence[Act], chosen: Filters, *, older: str) -> dict[str, Json]:
    """The acts of one page, and the verdict that leads each; ``next`` is the address of the older ones, null on the last page."""
    address = chosen.address(before=older, format="json") if older else None
    return {
        "verdicts": [verdict_row(act.lead) for act in acts],
        "acts": [documents.act(act) for act in acts],
        "next": address,
    }


def drawer_document(row: VerdictRow, beside: Sequence[VerdictRow], act: Act) -> dict[str, Json]:
    """One verdict, the attack classes that its findings name, the act that it is of, and the rows beside it, newest first."""
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
    others: list[Json] = [verdict_row(other) for other in beside if other.id != row.id]
    return {"verdict": verdict_row(row), "attacks": attacks, "act": documents.act(act), "beside": others}


def agent_document(view: AgentView, agent: Agent) -> dict[str, Json]:
    """One agent as in the API, with its last 24 hours and what its baseline does."""
    day: dict[str, Json] = {"actions": view.actions, "flagged": view.flagged, "blocked": view.blocked}
    return {**documents.agent(agent), "last_24_hours": day, "baseline": view.baseline_word}


def snippets_document(agent: str, texts: Snippets, *, seen: float) -> dict[str, Json]:
    """What to type, and whether the agent was seen (null: not yet)."""
    return {"agent": agent, "seen": rfc3339(seen) or None, "snippets": asdict(texts)}
