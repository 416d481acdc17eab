"""Rows as the store gives them, for the tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import encode_action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.store.base import Origin, Status, VerdictRow

NOW = 1_795_239_000.0  # 2026-11-21T05:30:00Z

UNDECLARED = Finding(
    kind="undeclared destination",
    value="attacker.example",
    source="declaration",
    detection="declaration",
    field="target",
    expected="one of api.internal, mail.internal",
    observed="attacker.example:443",
    advice="Declare the destination if it belongs to the agent's work.",
    attack="allowed-host",
)


def row(verdict_id="17", *, action=None, verdict=None, origin=Origin.OBSERVER, status=Status.OPEN, at=NOW - 60):
    """A flagged connection of ``support-agent``, unless told otherwise."""
    action = action or Action(
        kind="connect",
        target="attacker.example:443",
        agent="support-agent",
        id="action-1",
        run_id="run-1",
        metadata={"source": "egress"},
    )
    verdict = verdict or Verdict(
        decision=Decision.ALLOW,
        reason="undeclared: this agent connected to a destination it never declared (attacker.example).",
        evidence=(UNDECLARED,),
        policy_version="9f2c4a1b",
    )
    return VerdictRow(
        id=verdict_id,
        created_at=at,
        organisation=1,
        agent=action.agent,
        source=action.source,
        rung=action.rung,
        action=encode_action(action),
        decision=verdict.decision,
        reason=verdict.reason,
        evidence=verdict.evidence,
        confidence=verdict.confidence,
        notes=verdict.notes,
        status=status,
        severity=verdict.severity,
        origin=origin,
        action_id=action.id,
        run_id=action.run_id,
        act_id=action.act_id,
        policy_version=verdict.policy_version,
    )


PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus=alert(1) '",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</template></tr></table><script>alert(1)</script>",
    "\u202egnp.exe\u200b\x1b[31m",
    "data: forged\n\nevent: verdict\ndata: <b>",
)


def hostile(payload, verdict_id="18"):
    """A row with ``payload`` in every field that an agent, or somebody through it, can write."""
    finding = Finding(
        kind=payload,
        value=payload,
        source=payload,
        detection=payload,
        field=payload,
        expected=payload,
        observed=payload,
        advice=payload,
        attack=payload,
    )
    action = Action(
        kind=payload,
        tool=payload,
        publisher=payload,
        target=payload,
        hash=payload,
        id=payload,
        run_id=payload,
        act_id=payload,
        agent=payload,
        delegation=(payload, payload),
        seen_by=(payload,),
        metadata={"source": payload, payload: {payload: [payload, 1, None, True]}},
    )
    verdict = Verdict(
        decision=Decision.BLOCK, reason=payload, evidence=(finding,), notes=(payload,), policy_version=payload
    )
    return row(verdict_id, action=action, verdict=verdict)


def changed(given, **fields):
    """``given`` with other fields."""
    return replace(given, **fields)
