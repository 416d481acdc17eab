"""What the API answers to people: who they are, keys, exports, the model. Types of the description, as in ``answers``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from kaizen_security.server.api.answers import Amount, Count, Id, Instant, Role, Shown


class Session(Shown):
    """A session's token, to be sent as the bearer."""

    token: str
    expires_at: Instant


class SignedOut(Shown):
    """The session is ended."""

    signed_out: Literal[True]


class Key(Shown):
    """An API key without the key."""

    id: str
    name: str
    prefix: str
    scope: Literal["agent", "sdk", "collector", "observer"]
    agent: str | None
    created_at: Instant
    last_used_at: Instant | None
    revoked_at: Instant | None


class MadeKey(Key):
    """A new API key, with the key."""

    key: Annotated[str, Meta(pattern="^kz_live_[A-Za-z0-9_-]{43}$")]


class Keys(Shown):
    """Newest first, with those that were revoked."""

    keys: list[Key]


class Revoked(Shown):
    """The key is ended."""

    id: str
    revoked: Literal[True]


class Person(Shown):
    """Somebody who may sign in."""

    name: str
    role: Role
    created_at: Instant


class Welcome(Person):
    """Somebody with a new password."""

    password: str


class People(Shown):
    """Everybody, without passwords."""

    users: list[Person]


class Removed(Shown):
    """Somebody may sign in no more."""

    name: str
    removed: Literal[True]


class ModelState(Shown):
    """How the model stands."""

    provider: Literal["off", "local", "openai", "azure", "anthropic", "bedrock", "google"]
    local: Annotated[bool, Meta(description="nothing leaves the server")]
    resting: Annotated[bool, Meta(description="after failures in a row, it is not asked for a while")]
    problem: Annotated[str, Meta(description="of the last question")] | None
    dropped: Annotated[int, Meta(ge=0, description="questions that found no room since the start")] | UnsetType = UNSET


class Budget(Shown):
    """Of one day in UTC; prices are of a million tokens, and money is in their currency."""

    calls_per_day: Count
    calls_per_agent_per_day: Count
    tokens_per_day: Count
    money_per_day: Amount
    input_price: Amount
    output_price: Amount


class Model(Shown):
    """The choice of a model, without its key."""

    provider: Literal["off", "local", "openai", "azure", "anthropic", "bedrock", "google"]
    model: str
    base_url: str
    place: Annotated[str, Meta(description="where questions go")]
    has_key: bool
    region: str
    api: Literal["chat", "responses"]
    api_version: str
    entra: bool
    budget: Budget
    confidence_threshold: Annotated[float, Meta(ge=0, le=1)]
    deadline_seconds: float
    state: ModelState


class ModelAnswer(Shown):
    """What a model said."""

    word: Literal["benign", "suspicious", "malicious"]
    confidence: Annotated[float, Meta(ge=0, le=1)]
    sentence: Annotated[str, Meta(max_length=240)]


class ModelTried(Shown):
    """What came of a made-up question."""

    answered: bool
    outcome: Literal["answered", "shapeless", "late", "busy", "failed", "refused"]
    answer: ModelAnswer | None
    problem: str | None
    input_tokens: Count
    output_tokens: Count
    seconds: Amount


class JudgeCounts(Shown):
    """What asking has cost, and why nobody was asked or gave an answer (the reasoning check's own words)."""

    questions: Count
    reviews: Count
    cached: Count
    calls: Count
    benign: Count
    suspicious: Count
    malicious: Count
    unsure: Count
    shapeless: Count
    late: Count
    busy: Count
    failed: Count
    refused: Count
    over_budget: Count
    resting: Count
    crowded: Count
    uncounted: Count
    dropped: Count
    input_tokens: Count
    output_tokens: Count
    money: Amount


class Left(Shown):
    """What is left of a day's budget."""

    calls: Count
    tokens: Count
    money: Amount


class JudgeUsage(Shown):
    """What asking the model has cost, today (UTC) and in the last seven days."""

    today: JudgeCounts
    this_week: JudgeCounts
    left_today: Left
    exhausted: Literal["calls", "tokens", "money"] | None
    state: ModelState


class Export(Shown, kw_only=True):
    """A destination of verdicts, without its secrets."""

    id: str
    name: str
    kind: Literal["webhook", "slack", "otlp"]
    verdicts: Literal["blocks", "flags", "all"]
    place: Annotated[str, Meta(description="where it leads, without path and query, which may be secrets")]
    has_secret: bool
    headers: Annotated[list[str], Meta(description="their names")]
    service: str | UnsetType = UNSET
    enabled: Annotated[bool, Meta(description="when not, rows wait")]
    created_at: Instant
    delivered: Count
    last_delivered_at: Instant | None
    pending: Annotated[int, Meta(ge=0, le=10_000, description="rows that wait, counted up to 10,000")]
    oldest_pending_at: Instant | None
    failures: Annotated[int, Meta(ge=0, description="attempts that failed since ever")]
    attempts: Annotated[int, Meta(ge=0, description="that failed of the row that is next")]
    next_attempt_at: Instant | None
    problem: Annotated[str, Meta(description="of the last attempt")] | None
    parked: Annotated[int, Meta(ge=0, description="rows that the receiver refused for good")]


class Parked(Shown):
    """A row that the receiver refused for good."""

    verdict: Id
    reason: str
    at: Instant
    again: Annotated[bool, Meta(description="it is to be offered again")]


class ExportWithParked(Export, kw_only=True):
    """A destination, with what its receiver refused for good."""

    parked_verdicts: list[Parked]


class Exports(Shown):
    """Oldest first."""

    exports: list[Export]


class Tested(Shown):
    """What the receiver answered."""

    delivered: bool
    status: int | None
    message: str


class Retried(Shown):
    """How many rows are offered again."""

    id: str
    retried: Count


class DeletedExport(Shown):
    """Nothing is sent there any more."""

    id: str
    deleted: Literal[True]
