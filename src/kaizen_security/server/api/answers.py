"""What the API answers, as types. They are its description: every answer in the end-to-end tests is held against them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kaizen_security.server.api.reported import Action, Finding, Open, Pending

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Id = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Rung = Literal["cooperative", "chokepoint", "ground truth (egress)", "ground truth (kernel)"]
Decision = Literal["allow", "block"]
Role = Literal["admin", "viewer"]
HoldAnswer = Literal["allow_once", "allow_run", "learn", "block"]


class Shown(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The base of every answer: it has these fields and no others."""


class ErrorText(Shown):
    """`code` for programs, `message` for people, and the offending field."""

    code: str
    message: str
    field: str | UnsetType = UNSET


class Error(Shown):
    """Every error."""

    error: ErrorText


class Status(Shown):
    """How the server is."""

    status: Literal["ok", "ready"]


class Caller(Shown):
    """Whose key or session it is."""

    organisation: Annotated[str, Meta(description="its name, which another may have too")]
    organisation_id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="names it for good")]
    scope: Literal["agent", "sdk", "collector", "observer", "user"]
    agent: Annotated[str, Meta(description="the one agent that the key may speak for")] | None
    user: str | None
    role: Role | None


class Verdict(Shown):
    """A verdict (schema/verdict.json)."""

    decision: Decision
    reason: str
    evidence: list[Finding]
    confidence: Annotated[float, Meta(ge=0, le=1)] | None
    flagged: bool
    notes: list[str] | UnsetType = UNSET
    action_id: str | UnsetType = UNSET
    policy_version: str | UnsetType = UNSET
    pending: Pending | UnsetType = UNSET
    at: Instant | UnsetType = UNSET
    score: Open | UnsetType = UNSET


class Judged(Verdict, kw_only=True):
    """Our verdict on a reported action, and the id of its row."""

    id: Id


class Refusal(Shown):
    """A report that could not be taken, by its place."""

    index: Count
    field: str
    message: str


class Taken(Shown):
    """What became of a batch."""

    accepted: Count
    duplicates: Count
    rejected: list[Refusal]
    ids: Annotated[list[Id], Meta(description="of the reports that were taken, in order")]


class Row(Shown):
    """A row of the list of verdicts."""

    id: Id
    created_at: Instant
    agent: str
    source: str
    rung: Rung
    rung_number: Annotated[int, Meta(ge=1, le=4)]
    action: Action
    decision: Decision
    reason: str
    evidence: list[Finding]
    confidence: Annotated[float, Meta(ge=0, le=1)] | None
    status: Literal["open", "acknowledged", "resolved", "false_positive"]
    severity: Literal["info", "low", "medium", "high"]
    flagged: bool
    claimed: Annotated[bool, Meta(description="a client's word only")]
    origin: Literal["claim", "observer", "server"]
    policy_version: str
    action_id: str | UnsetType = UNSET
    run_id: str | UnsetType = UNSET
    act_id: str | UnsetType = UNSET
    notes: list[str] | UnsetType = UNSET
    score: Annotated[Open, Meta(description="as in schema/verdict.json")] | UnsetType = UNSET


class Rows(Shown):
    """Newest first."""

    verdicts: list[Row]


class Act(Shown):
    """One act: what told of the deed and what saw it. ``verdict`` is the row that says the most, ``rows`` all, newest first."""

    act_id: str
    run_id: str
    agent: str
    joined: Literal[
        "call and effect", "call", "effect", "effect without call", "effect elsewhere", "call without effect"
    ]
    decision: Decision
    flagged: bool
    rung: Rung
    rung_number: Annotated[int, Meta(ge=1, le=4)]
    verdict: Row
    rows: Annotated[list[Row], Meta(description="at most 40")]


class Acts(Shown):
    """Newest first."""

    acts: list[Act]
    next: Annotated[str | None, Meta(description="the `before` of the next page; null on the last")]


class Declared(Shown):
    """What an agent declares."""

    tools: list[str]
    destinations: list[str]
    purpose: str
    data: list[str]


class Agent(Shown):
    """An agent with its declaration, its settings and its counts."""

    agent: str
    declaration: Declared
    mode: Literal["observe", "enforce"]
    paused: bool
    judge_enabled: bool
    first_seen: Instant | None
    last_seen: Instant | None
    rung: Rung | None
    rung_number: int | None
    actions: Count
    flagged: Count
    blocked: Count


class ReportedProfile(Shown):
    """What a sidecar said that it has learned of an agent, in boundary form."""

    sidecar: str
    at: Instant
    profile: Open


class Profile(Agent, kw_only=True):
    """An agent, what the baseline of the control plane holds, and what its sidecars say that theirs hold, the latest first."""

    profile: Open
    sidecars: list[ReportedProfile]


class AttachPoint(Shown):
    """The attach points of an agent for one feed at one sidecar; numbers are processes.

    ``dark``: silent without a goodbye; ``unheard``: alive when its sidecar was heard last, which has fallen silent since.
    """

    source: str
    sidecar: str
    state: Literal["alive", "dark", "left", "unheard"]
    alive: Count
    dark: Count
    left: Count
    heard: Instant
    told: Instant


class AttachPoints(Shown):
    """Those of an agent, the silent ones first."""

    agent: str
    points: list[AttachPoint]


class RungCoverage(Shown):
    """One rung in one mode: of the canaries that were tried, how many were seen (in enforce mode: seen or stopped), and each."""

    rung: Literal["kernel", "namespace", "proxy"]
    mode: Literal["observe", "enforce"]
    why: str
    good: Count
    tried: Count
    canaries: Open


class Coverage(Shown):
    """What was measured of an agent's ways out, on which machine and when."""

    agent: str
    machine: str
    at: Instant
    rungs: list[RungCoverage]


class Kept(Shown):
    """It is kept."""

    agent: str
    kept: Literal[True]


class Agents(Shown):
    """Last seen first."""

    profiles: list[Agent]


class Learned(Shown):
    """The verdict that was folded in, and the agent as it is now."""

    verdict: Row
    agent: Agent


class Forgotten(Shown):
    """What an agent normally does is forgotten."""

    agent: str
    reset: Literal[True]


class DeletedCounts(Shown):
    """What was deleted."""

    verdicts: Count
    suppressions: Count
    baseline: bool
    declaration: bool


class DeletedAgent(Shown):
    """What was deleted with an agent; keys that are bound to its name stay, and are counted."""

    agent: str
    deleted: DeletedCounts
    keys_left: Count


class Policy(Shown):
    """A policy in force."""

    mode: Literal["blocklist", "allowlist", "correlation"]
    rules: Open
    name: str
    enabled: bool


class Policies(Shown):
    """By name."""

    policies: list[Policy]


class OrgPolicyInForce(Shown):
    """The organisation's policy as it is in force."""

    mode: Literal["off", "blocklist", "allowlist"]
    tools: list[str]
    destinations: list[str]
    correlation: bool


class SignedBundle(Shown):
    """A bundle and the HMAC-SHA256 of its text."""

    bundle: Annotated[str, Meta(description="the JSON of schema/bundle.json as text")]
    signature: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Deleted(Shown):
    """It is gone."""

    deleted: Literal[True]


class Hold(Shown):
    """A held action in boundary form, as everything that leaves a sidecar (schema/hold.json)."""

    id: str
    agent: str
    state: Literal["waiting", "released", "blocked", "expired"]
    created_at: str
    expires_at: str
    calls: Annotated[int, Meta(ge=1)]
    action: Action
    verdict: Verdict
    answer: HoldAnswer | None
    answered_by: str | None
    answered_at: str | None
    notes: list[str]


class Holds(Shown):
    """Newest first."""

    holds: list[Hold]


class Relayed(Shown):
    """How many holds were kept, and why the others were not."""

    kept: Count
    rejected: list[Refusal]


class Reply(Shown):
    """What a person answered."""

    id: str
    answer: HoldAnswer
    by: str
    at: Instant


class Replies(Shown):
    """The same answer comes again until the sidecar has relayed that the hold is settled."""

    answers: list[Reply]


class Scored(Shown):
    """The verdict of a score."""

    decision: Decision
    reason: str
    confidence: Annotated[float, Meta(ge=0, le=1)] | None


class Day(Shown):
    """Counts of a day in UTC."""

    day: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    actions: Count
    anomalies: Count
    blocked: Count
    reviews: Count


class Days(Shown):
    """Oldest first, today last."""

    days: list[Day]
