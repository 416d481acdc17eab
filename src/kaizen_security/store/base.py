"""What the control plane keeps, as values, and the protocol that every store speaks.

Every method blocks until it is done and may be called from any thread; a write has been committed when its method returns. Only
``append``, the busy one, gives a future, which is resolved after the commit and never before. Rows of one organisation are never
given to another: every method takes the organisation. Times are Unix seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Fold
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.score import Score
from kaizen_security.contract.verdict import Decision, Mode, Severity, Verdict

if TYPE_CHECKING:
    from kaizen_security.store.acts import Acts
    from kaizen_security.store.coverage import Coverages
    from kaizen_security.store.exported import Exports
    from kaizen_security.store.held import HeldActions
    from kaizen_security.store.models import Models
    from kaizen_security.store.profiles import Profiles

MAX_AGENTS = 10_000
"""Agents of one organisation: names come from whoever holds a key, so their number is bounded."""


class StoreFull(KaizenError):
    """The disk is full: nothing of the call was kept. The store works again as soon as there is space."""


class StoreUnavailable(KaizenError):
    """The store cannot be written or read now; nothing of the call was kept."""


class LimitReached(KaizenError):
    """The organisation has as many of them as it may have."""


class LastAdministrator(KaizenError):
    """Nobody would be left who may change anything."""


class NewerDatabase(Misconfigured):
    """The database was written by a newer program than this one."""


class Scope(StrEnum):
    """What an API key may do (ADR 0009).

    AGENT      report claims from any feed, declare, read: what deployed clients and proxies need
    SDK        the same for an agent's own code: it cannot say that something else saw what it did
    COLLECTOR  report what a feed saw, read; for proxies, which have nothing to declare
    OBSERVER   its reports are verdicts, for any agent that it may name
    """

    AGENT = "agent"
    SDK = "sdk"
    COLLECTOR = "collector"
    OBSERVER = "observer"


class Role(StrEnum):
    """What a person may do. VIEWER reads; ADMIN also changes."""

    ADMIN = "admin"
    VIEWER = "viewer"


class Status(StrEnum):
    """Where a person is with a verdict."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    FALSE_POSITIVE = "false_positive"


class Origin(StrEnum):
    """Whose word a row is: what a client CLAIMed, what an OBSERVER decided, what this SERVER found when it evaluated a claim."""

    CLAIM = "claim"
    OBSERVER = "observer"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """A tenant. ``revision`` grows with every change of its policies and agents.

    ``public_id`` names it to others, for good; two may have the same name, and numbers are only unique within one database.
    ``boundary_secret`` is what the hashes are keyed with that stand for its agents' values (``contract.boundary``).
    """

    id: int
    name: str
    created_at: float
    boundary_secret: bytes = field(repr=False)
    revision: int = 0
    public_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. ``password`` is the scrypt record of ``server.auth``, empty when there is none (links only)."""

    id: int
    organisation: int
    name: str
    role: Role
    password: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in; the token itself is not kept, only its SHA-256."""

    token_hash: str
    user: User
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key without the key: ``hash`` is ``contract.bundle.key_hash``, ``prefix`` its first characters, to tell it by.

    ``agent`` is the one agent that it speaks for, ``""`` for any. ``last_used_at`` (to the minute) and ``revoked_at`` are 0.0 when
    that has not happened.
    """

    id: str
    organisation: int
    name: str
    prefix: str
    hash: str
    scope: Scope
    agent: str
    created_at: float
    last_used_at: float = 0.0
    revoked_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent that was declared, set or seen.

    ``rung`` is the deepest that saw it (None: never seen); ``actions``, ``flagged`` and ``blocked`` count rows since ever;
    ``revision`` is the organisation's revision at its last change, ``epoch`` that at the last reset of its baseline.
    """

    name: str
    organisation: int
    declaration: Declaration = NOTHING_DECLARED
    mode: Mode = Mode.OBSERVE
    paused: bool = False
    judge_enabled: bool = True
    first_seen: float = 0.0
    last_seen: float = 0.0
    rung: Rung | None = None
    actions: int = 0
    flagged: int = 0
    blocked: int = 0
    revision: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was deleted with an agent: rows, suppressions, whether it had a baseline and declared anything.

    ``keys_left`` live API keys are bound to its name; they are not its data, and stay.
    """

    verdicts: int
    suppressions: int
    baseline: bool
    declaration: bool
    keys_left: int


class NewVerdict(NamedTuple):
    """A row to be kept. ``action`` must have gone through ``contract.boundary.outward``; its ``agent`` says whose it is.

    ``further``: about an action that has a row already, so it is not counted as another one of the agent's;
    ``flagged_before``: that row carries a flag, so this one is not counted as another flag.
    With an ``action.id`` the row is kept once for each agent, action id, origin and source.
    """

    action: Action
    verdict: Verdict
    origin: Origin
    created_at: float
    status: Status = Status.OPEN
    further: bool = False
    flagged_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A row as it is kept. ``action`` is the document of ``contract.codec.encode_action``; ``claimed``: a client's word only."""

    id: str
    created_at: float
    organisation: int
    agent: str
    source: str
    rung: Rung
    action: dict[str, Json]
    decision: Decision
    reason: str
    evidence: tuple[Finding, ...]
    confidence: float | None
    notes: tuple[str, ...]
    status: Status
    severity: Severity
    origin: Origin
    action_id: str
    run_id: str
    act_id: str
    policy_version: str
    score: Score | None = None

    @property
    def claimed(self) -> bool:
        """It is what a client says, not what we or an observer found."""
        return self.origin is Origin.CLAIM

    @property
    def flagged(self) -> bool:
        """It carries findings."""
        return bool(self.evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What became of an ``append``, in its order: each row's id (a duplicate's is the older row's), and which were duplicates."""

    ids: tuple[str, ...]
    duplicates: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictQuery:
    """Which rows, newest first. Empty means any.

    ``q``      text that reason, agent, tool or target contain, in any case
    ``since``  created at that instant or later; ``after`` only rows newer than the row of that id, ``before`` only older ones
    ``nearest``  of the rows newer than ``after``, the oldest instead of the newest (still given newest first)
    ``limit``  1 to 1,000
    ``run_id``, ``act_id``, ``action_id``  rows of that run, of that deed, of that action (the console's timeline)
    """

    agent: str = ""
    status: Status | None = None
    decision: Decision | None = None
    source: str = ""
    flagged: bool | None = None
    q: str = ""
    since: float = 0.0
    after: str = ""
    limit: int = 100
    offset: int = 0
    before: str = ""
    nearest: bool = False
    run_id: str = ""
    act_id: str = ""
    action_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A flag that a person called a false positive: that ``signature`` (``contract.suppression``) is not flagged again for it."""

    agent: str
    signature: str
    verdict_id: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Counts of one day in UTC (``YYYY-MM-DD``): rows, rows with findings, blocks, and statuses that people gave."""

    day: str
    actions: int
    flagged: int
    blocked: int
    reviews: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """Counts of one agent in the hour that began at ``at`` (a multiple of 3,600): rows, rows with findings, blocks."""

    agent: str
    at: float
    actions: int
    flagged: int
    blocked: int


class Store(Protocol):
    """Every method may raise StoreFull or StoreUnavailable; then nothing of the call was kept."""

    # organisations and people
    def organisations(self) -> tuple[Organisation, ...]: ...
    def organisation(self, organisation: int) -> Organisation | None: ...
    def create_organisation(self, name: str, *, boundary_secret: bytes, at: float) -> Organisation: ...
    def users(self, organisation: int) -> tuple[User, ...]: ...
    def user(self, name: str) -> User | None: ...
    def create_user(self, organisation: int, name: str, *, role: Role, password: str, at: float) -> User: ...
    def set_password(self, user: int, password: str) -> None: ...
    def set_role(self, organisation: int, name: str, role: Role) -> User | None: ...
    def delete_user(self, organisation: int, name: str) -> bool: ...
    def create_session(self, user: int, token_hash: str, *, at: float, expires_at: float) -> None: ...
    def session(self, token_hash: str, *, now: float) -> Session | None: ...
    def delete_session(self, token_hash: str) -> None: ...
    def create_link(self, user: int, token_hash: str, *, expires_at: float) -> None: ...
    def use_link(self, token_hash: str, *, now: float) -> User | None: ...

    # keys
    def keys(self, organisation: int) -> tuple[Key, ...]: ...
    def key_by_hash(self, hash_: str) -> Key | None: ...
    def create_key(self, key: Key, *, replace: bool = False) -> None: ...
    def revoke_key(self, organisation: int, key_id: str, *, at: float) -> bool: ...
    def key_used(self, key_id: str, *, at: float) -> None: ...

    # agents
    def agents(self, organisation: int) -> tuple[Agent, ...]: ...
    def agent(self, organisation: int, name: str) -> Agent | None: ...
    def declare(self, organisation: int, name: str, declaration: Declaration, *, at: float) -> Agent: ...
    def settings(
        self,
        organisation: int,
        name: str,
        *,
        at: float,
        mode: Mode | None = None,
        paused: bool | None = None,
        judge_enabled: bool | None = None,
    ) -> Agent: ...
    def reset(self, organisation: int, name: str, *, at: float) -> bool: ...
    def fold(self, organisation: int, name: str, action: Action) -> Fold: ...
    def folds(self, organisation: int, name: str) -> tuple[Fold, ...]: ...
    def delete_agent(self, organisation: int, name: str) -> Deleted | None: ...
    def baseline(self, organisation: int, name: str) -> bytes | None: ...
    def save_baselines(self, baselines: Sequence[tuple[int, str, bytes]], *, at: float) -> None: ...

    # policies
    def policies(self, organisation: int) -> tuple[Policy, ...]: ...
    def put_policy(self, organisation: int, policy: Policy, *, at: float) -> None: ...
    def delete_policy(self, organisation: int, name: str) -> bool: ...
    def org_policy(self, organisation: int) -> dict[str, Json]: ...
    def set_org_policy(self, organisation: int, document: dict[str, Json]) -> None: ...

    # verdicts
    def append(self, organisation: int, rows: Sequence[NewVerdict]) -> Future[Appended]: ...
    def verdicts(self, organisation: int, query: VerdictQuery) -> tuple[VerdictRow, ...]: ...
    def verdict(self, organisation: int, verdict_id: str) -> VerdictRow | None: ...
    def set_status(self, organisation: int, verdict_id: str, status: Status, *, at: float) -> VerdictRow | None: ...
    def suppressions(self, organisation: int) -> tuple[Suppression, ...]: ...
    def suppress(self, organisation: int, suppression: Suppression) -> None: ...
    def unsuppress(self, organisation: int, agent: str, signature: str) -> bool: ...
    def days(self, organisation: int, *, since: str) -> tuple[Day, ...]: ...
    def hours(self, organisation: int, *, since: float, agent: str = "") -> tuple[Hour, ...]: ...

    # exports, held actions, the reasoning model, what sidecars say
    @property
    def exports(self) -> Exports: ...
    @property
    def holds(self) -> HeldActions: ...
    @property
    def models(self) -> Models: ...
    @property
    def profiles(self) -> Profiles: ...
    @property
    def attached(self) -> Profiles: ...
    @property
    def acts(self) -> Acts: ...
    @property
    def coverage(self) -> Coverages: ...

    # itself
    def check_writable(self) -> None: ...
    def close(self) -> None: ...
