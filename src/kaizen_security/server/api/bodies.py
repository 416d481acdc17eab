"""What people and programs send, as types: each handler decodes its body into one of these (``server.operation``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import DataClass
from kaizen_security.contract.fields import MAX_LIST, MAX_NAME, MAX_TEXT
from kaizen_security.exports.destinations import MAX_HEADER, MAX_HEADERS, MAX_SECRET, MAX_URL
from kaizen_security.reasoners.choice import LONGEST, MAX_KEY
from kaizen_security.server import passwords, score
from kaizen_security.server.api.reported import Open
from kaizen_security.server.operation import Body

Name = Annotated[str, Meta(max_length=MAX_NAME)]
Processes = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Said = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Secret = Annotated[str, Meta(max_length=MAX_SECRET, extra_json_schema={"writeOnly": True})]
Trace = Annotated[str, Meta(max_length=score.MAX_TEXT)]
Headers = Annotated[
    dict[str, Annotated[str, Meta(min_length=1, max_length=MAX_HEADER)]],
    Meta(
        description="sent along; not those that frame the message, nor X-Kaizen-…",
        extra_json_schema={"maxProperties": MAX_HEADERS},
    ),
]
Provider = Literal["off", "local", "openai", "azure", "anthropic", "bedrock", "google", ""]
Which = Annotated[
    Literal["blocks", "flags", "all", ""],
    Meta(description="blocked; flagged or blocked (when not said); every row"),
]


class Declaration(Body):
    """What an agent is for. An empty list means "not declared in this dimension"."""

    tools: Annotated[list[Said], Meta(max_length=MAX_LIST)] | None = None
    destinations: (
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]], Meta(max_length=MAX_LIST)] | None
    ) = None
    purpose: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    data: (
        Annotated[
            list[Said],
            Meta(max_length=MAX_LIST, description="classes of data: " + ", ".join(DataClass)),
        ]
        | None
    ) = None


class SidecarProfile(Body):
    """What a sidecar has learned of an agent, in boundary form."""

    sidecar: Annotated[str, Meta(min_length=1, max_length=64)]
    profile: Open


class ReportedAttachPoint(Body):
    """The attach points of an agent for one feed; numbers are processes.

    ``silent`` are the seconds since the last sign of life: of those that are dark, if any are, else of those that are alive.
    """

    source: Said
    alive: Processes = 0
    dark: Processes = 0
    left: Processes = 0
    silent: Annotated[float, Meta(ge=0, le=1e9)] = 0.0

    def document(self) -> dict[str, Json]:
        """As it is kept: whole."""
        return {
            "source": self.source,
            "alive": self.alive,
            "dark": self.dark,
            "left": self.left,
            "silent": self.silent,
        }


class SidecarAttachPoints(Body):
    """Which attach points of an agent a sidecar hears of."""

    sidecar: Annotated[str, Meta(min_length=1, max_length=64)]
    points: Annotated[list[ReportedAttachPoint], Meta(max_length=64)]


class MeasuredCanary(Body):
    """What became of one harmless message through one way out."""

    seen: bool
    stopped: bool
    tried: bool = True


class MeasuredRung(Body):
    """One rung in one mode: canaries by their ways out; ``why`` says why there are none."""

    rung: Literal["kernel", "namespace", "proxy"]
    mode: Literal["observe", "enforce"]
    canaries: Annotated[dict[Annotated[str, Meta(max_length=64)], MeasuredCanary], Meta(max_length=64)]
    why: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    good: Annotated[int, Meta(ge=0)] = 0
    tried: Annotated[int, Meta(ge=0)] = 0

    def document(self) -> dict[str, Json]:
        """As it is kept: whole."""
        canaries: dict[str, Json] = {
            name: {"seen": one.seen, "stopped": one.stopped, "tried": one.tried} for name, one in self.canaries.items()
        }
        return {
            "rung": self.rung,
            "mode": self.mode,
            "why": self.why,
            "good": self.good,
            "tried": self.tried,
            "canaries": canaries,
        }


class MeasuredCoverage(Body):
    """What ``kaizen doctor --coverage --report AGENT`` measured on a machine."""

    machine: Annotated[str, Meta(min_length=1, max_length=64)]
    rungs: Annotated[list[MeasuredRung], Meta(min_length=1, max_length=16)]


class AgentSettings(Body):
    """How an agent is treated; what is not stated stays. Paused: record, do not flag."""

    mode: Literal["observe", "enforce", ""] | None = None
    paused: bool | None = None
    judge_enabled: bool | None = None


class Triage(Body):
    """Where one is with a verdict."""

    status: Literal["open", "acknowledged", "resolved", "false_positive"]


class HoldReply(Body):
    """This one call; each such call of its run; normal for the agent from now on; no."""

    answer: Literal["allow_once", "allow_run", "learn", "block"]


class Relay(Body):
    """How held actions stand at a sidecar; one that cannot be taken never loses the others."""

    sidecar: Annotated[str, Meta(min_length=1, max_length=64)]
    holds: Annotated[
        list[Any], Meta(max_length=500, extra_json_schema={"items": {"$ref": "#/components/schemas/HeldAction"}})
    ]


class OrgPolicy(Body):
    """The organisation's policy over tools and destinations."""

    mode: Literal["off", "blocklist", "allowlist", ""] | None = None
    tools: Annotated[list[Said], Meta(max_length=MAX_LIST)] | None = None
    destinations: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=512)]],
            Meta(max_length=MAX_LIST, description="host names (`*.` may stand in front), addresses, ranges"),
        ]
        | None
    ) = None
    correlation: (
        Annotated[bool, Meta(description="also block a connect after a sensitive read of the same run")] | None
    ) = None


class NewPolicy(Body):
    """A policy (schema/policy.json says which rules a mode has)."""

    mode: Literal["blocklist", "allowlist", "correlation"]
    rules: Open
    name: Said
    enabled: bool | None = None


class NewKey(Body):
    """An API key that is to be made."""

    name: Said
    scope: Literal["agent", "sdk", "collector", "observer", ""] | None = None
    agent: Annotated[str, Meta(max_length=MAX_NAME, description="the one agent that it may speak for")] | None = None


class Credentials(Body):
    """Name and password of a person."""

    user: Name | None = None
    password: Annotated[str, Meta(max_length=passwords.MAX_PASSWORD, extra_json_schema={"writeOnly": True})] | None = (
        None
    )


class NewPerson(Body):
    """Somebody who is to sign in."""

    name: Said
    role: Literal["viewer", "admin", ""] | None = None


class NewRole(Body):
    """What somebody may do from now on."""

    role: Literal["viewer", "admin"]


class Account(Body):
    """A declaration, an agent's own account, and what the network saw."""

    agent: Name | None = None
    declaration: Annotated[Trace, Meta(description="JSON or prose")] | None = None
    trace: Trace | None = None
    egress: Trace | None = None
    feed: Literal["egress", "content", ""] | None = None
    mode: Literal["score", ""] | None = None


class NewExport(Body):
    """A destination of verdicts."""

    url: Annotated[
        str,
        Meta(min_length=1, max_length=MAX_URL, description="http or https; a Slack incoming webhook is recognised"),
    ]
    kind: Literal["webhook", "slack", "otlp", ""] | None = None
    name: Name | None = None
    verdicts: Which | None = None
    secret: Annotated[Secret, Meta(description="signs a webhook; the Authorization of OTLP")] | None = None
    headers: Headers | None = None
    service: Annotated[Name, Meta(description="service.name of OTLP")] | None = None


class ExportChange(Body):
    """What is to change of a destination; what is not stated stays."""

    name: Name | None = None
    verdicts: Which | None = None
    enabled: bool | None = None
    secret: Secret | None = None
    headers: Headers | None = None
    url: Annotated[str, Meta(max_length=0, description="cannot be changed")] | None = None


class NewBudget(Body):
    """Of one day in UTC; prices are of a million tokens, and money is in their currency."""

    calls_per_agent_per_day: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    calls_per_day: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    tokens_per_day: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    money_per_day: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    input_price: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    output_price: Annotated[float, Meta(ge=0, le=1e6)] | None = None


class NewModel(Body):
    """Which model is asked. What is not stated stays, as long as the provider is the same."""

    provider: Provider | None = None
    model: Name | None = None
    base_url: (
        Annotated[str, Meta(max_length=MAX_URL, description="http or https; the provider's own when empty")] | None
    ) = None
    api_key: (
        Annotated[
            str,
            Meta(max_length=MAX_KEY, description='`""` takes it away', extra_json_schema={"writeOnly": True}),
        ]
        | None
    ) = None
    region: Annotated[str, Meta(max_length=64, description="of Amazon Bedrock")] | None = None
    api: Literal["chat", "responses", ""] | None = None
    api_version: Annotated[str, Meta(max_length=64, description="of Azure; empty is the v1 API")] | None = None
    entra: Annotated[bool, Meta(description="the key is a token of Microsoft Entra ID")] | None = None
    budget: NewBudget | None = None
    confidence_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    deadline_seconds: Annotated[float, Meta(ge=0.1, le=LONGEST)] | None = None
