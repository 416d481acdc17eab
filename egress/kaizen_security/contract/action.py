"""Action: one thing that an agent does, as some source saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TypeAlias

from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.depth import TOLD, Rung, rung_of

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""A JSON document that nobody has validated yet."""

KINDS = ("tool_call", "skill_load", "connect", "http", "file", "exec", "dns", "message")
"""The known kinds. ``kind`` is an open string: an unknown one is judged like any other, by what the agent normally does."""

ARGUMENTS = ("arguments", "input", "params", "query")
"""Where in an action's metadata clients put what a tool was called with."""

EGRESS_KINDS = frozenset({"connect", "http", "dns"})
"""Kinds that by themselves reach over the network."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action. Absent and empty are the same: text fields hold ``""`` for both.

    The six fields of the wire contract may be given by position, as deployed code does; ours are keywords only.

    ``target``      what it is done to: ``host``, ``host:port``, a URL, a path, an address
    ``metadata``    open; known keys: ``source`` (names the feed, and so the rung), ``arguments`` (or ``input``,
                    ``params``, ``query``: what the tool was called with), ``sensitive`` (true: it reads sensitive data),
                    ``named_by`` (values of the arguments that another server's definitions name, each with that server)
    ``id``          idempotency: the same id is the same action; empty until someone gives it one
    ``run_id``      the execution it belongs to; ``act_id`` joins claim, call and effect of the one deed
    ``at``          Unix seconds, 0.0 when not stated
    ``agent``       who acts, as told by the key or the channel; ``organisation`` whose agent it is
    ``delegation``  the chain of agents that handed the work down, first the one whom the user asked
    ``seen_by``     sources that saw the same act, deepest rung last
    """

    kind: str = "tool_call"
    tool: str = ""
    publisher: str = ""
    target: str = ""
    hash: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    _: KW_ONLY
    id: str = ""
    run_id: str = ""
    act_id: str = ""
    at: float = 0.0
    agent: str = "default"
    organisation: str = ""
    delegation: tuple[str, ...] = ()
    seen_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Deployed code gives None for what is absent, whatever the types say. By identity: metadata may be anything.
        absent: object = None
        if (
            self.tool is absent
            or self.target is absent
            or self.publisher is absent
            or self.hash is absent
            or self.metadata is absent
            or self.kind is absent
        ):
            self._fill()

    def _fill(self) -> None:
        for name, empty in (
            *((name, "") for name in ("tool", "target", "publisher", "hash")),
            ("kind", "tool_call"),
            ("metadata", {}),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, empty)

    @property
    def source(self) -> str:
        """Which feed saw it; ``sdk`` when nobody says."""
        source = self.metadata.get("source")
        return source if isinstance(source, str) and source else "sdk"

    @property
    def rung(self) -> Rung:
        """How hard that feed is to lie to."""
        return rung_of(self.source)

    @property
    def sensitive(self) -> bool:
        """Whether the caller says that it reads sensitive data."""
        return self.metadata.get("sensitive") is True


_made = builder(Action)


def altered(
    action: Action,
    *,
    id: str | None = None,  # noqa: A002  # the field's name
    run_id: str | None = None,
    act_id: str | None = None,
    metadata: Mapping[str, Json] | None = None,
    organisation: str | None = None,
    seen_by: tuple[str, ...] | None = None,
) -> Action:
    """The action with other values in these fields: ``dataclasses.replace`` in a fifth of its time, paid six times a verdict."""
    return _made(  # in the order of Action's fields
        action.kind,
        action.tool,
        action.publisher,
        action.target,
        action.hash,
        action.metadata if metadata is None else metadata,
        action.id if id is None else id,
        action.run_id if run_id is None else run_id,
        action.act_id if act_id is None else act_id,
        action.at,
        action.agent,
        action.organisation if organisation is None else organisation,
        action.delegation,
        action.seen_by if seen_by is None else seen_by,
    )


def told(action: Action) -> Action:
    """The action as the word of the agent itself: what it says that network or kernel saw, nobody saw."""
    claimed = action.rung >= Rung.EGRESS
    if not claimed and not action.seen_by:
        return action
    metadata = {**action.metadata, "source": action.source + TOLD} if claimed else action.metadata
    seen_by = tuple(name + TOLD if rung_of(name) >= Rung.EGRESS else name for name in action.seen_by)
    return replace(action, metadata=metadata, seen_by=seen_by)
