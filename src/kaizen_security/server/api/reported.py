"""What clients report, as types: ``server.quick`` decodes batches into them; ``contract.codec`` takes the same and names faults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from kaizen_security.contract.fields import MAX_LIST, MAX_NAME, MAX_TEXT
from kaizen_security.server.operation import Body

Name = Annotated[str, Meta(max_length=MAX_NAME)]
Words = Annotated[str, Meta(max_length=MAX_TEXT)]
Names = Annotated[list[Name], Meta(max_length=MAX_LIST)]
Texts = Annotated[list[Words], Meta(max_length=MAX_LIST)]
Instant = Annotated[str, Meta(max_length=64, description="RFC 3339, with its offset")]
Open = dict[str, Any]


class Finding(Body):
    """One entry of `evidence`."""

    kind: Words | None = None
    value: Words | None = None
    source: Words | None = None
    detection: Words | None = None
    field: Words | None = None
    expected: Words | None = None
    observed: Words | None = None
    advice: Words | None = None
    attack: Words | None = None


class Action(Body):
    """What an agent did, or is about to do (schema/action.json)."""

    kind: Name | None = None
    tool: Name | None = None
    publisher: Name | None = None
    target: Words | None = None
    hash: Name | None = None
    metadata: Annotated[Open, Meta(description="`source` names the feed, and so the rung")] | None = None
    id: Name | None = None
    run_id: Name | None = None
    act_id: Name | None = None
    at: Instant | None = None
    agent: Name | None = None
    organisation: Annotated[Name, Meta(description="not looked at: the key says whose it is")] | None = None
    delegation: Names | None = None
    seen_by: Names | None = None


class Pending(Body):
    """The question that an action waits for."""

    id: Name
    expires_at: Instant


class ReportedVerdict(Body):
    """A verdict (schema/verdict.json). `flagged` and `blocked` follow from the rest and are not read."""

    decision: Literal["allow", "block"]
    reason: Words | None = None
    evidence: Annotated[list[Finding], Meta(max_length=MAX_LIST)] | None = None
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    notes: Texts | None = None
    action_id: Name | None = None
    policy_version: Name | None = None
    pending: Pending | None = None
    at: Instant | None = None
    score: (
        Annotated[
            Open,
            Meta(description="what the score of a call's values is made of", extra_json_schema={"required": ["value"]}),
        ]
        | None
    ) = None


class Report(Body):
    """Any of the four shapes of the wire contract."""

    action: Action
    agent: Name | None = None
    verdict: ReportedVerdict | None = None


class Batch(Body):
    """Many reports; one that cannot be taken never loses the others."""

    reports: Annotated[list[Report], Meta(extra_json_schema={"maxItems": 5000})]


class HeldAction(Body):
    """A held action as a sidecar says it (schema/hold.json)."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    agent: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    created_at: Instant
    expires_at: Instant
    action: Action
    verdict: ReportedVerdict
    state: Literal["waiting", "released", "blocked", "expired", ""] | None = None
    calls: Annotated[int, Meta(ge=1, lt=2**31)] = 1
    answer: Literal["allow_once", "allow_run", "learn", "block", ""] | None = None
    answered_by: Name | None = None
    answered_at: Instant | None = None
    notes: Texts | None = None
