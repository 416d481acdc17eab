"""Rows as tests make them."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.store.base import NewVerdict, Origin
from kaizen_security.store.sqlite import SqliteStore

NOW = 1_790_000_000.0
UNDECLARED = Finding(kind="undeclared tool", value="wire_money", source="declaration", detection="declaration")
DENIED = Finding(kind="malicious domain", value="attacker.example", source="policy:hosts", detection="policy")


def organisation(store: SqliteStore, name: str = "acme") -> int:
    return store.create_organisation(name, boundary_secret=b"s" * 32, at=NOW).id


def row(
    id_: str = "",
    *,
    agent: str = "billing",
    tool: str = "issue_refund",
    target: str = "api.stripe.com:443",
    source: str = "sdk",
    decision: Decision = Decision.ALLOW,
    evidence: tuple[Finding, ...] = (),
    origin: Origin = Origin.CLAIM,
    at: float = NOW,
    run_id: str = "",
    reason: str = "ok",
    further: bool = False,
) -> NewVerdict:
    action = Action(tool=tool, target=target, id=id_, agent=agent, run_id=run_id, metadata={"source": source})
    verdict = Verdict(decision=decision, reason=reason, evidence=evidence, policy_version="v1")
    return NewVerdict(action=action, verdict=verdict, origin=origin, created_at=at, further=further)
