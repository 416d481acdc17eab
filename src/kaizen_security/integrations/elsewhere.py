"""Tools that a model's provider runs itself: its search, its interpreter, MCP servers that it calls.

They have run before anybody here hears of them, so they are told afterwards, with what they brought, and nothing is prevented.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kaizen_security.integrations.base import Allowed, AttachPoint, Call
from kaizen_security.integrations.runs import RUNNING, Running

PROGRAMS = frozenset({"bash_code_execution", "code_execution", "code_interpreter", "program", "shell"})
"""Tools that run what the model wrote: kind ``exec``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One call that a provider made itself, or, where ``tool`` is empty, only what something of it brought.

    ``id``         the provider's own id of the call
    ``publisher``  the provider, or the MCP server that it called
    ``content``    what it brought; None where the provider does not say, or not yet
    ``asked``      id of the request by which the provider asked whether it may run, where it did
    """

    tool: str = ""
    arguments: object = None
    id: str = ""
    publisher: str = ""
    content: object = None
    failed: bool = False
    asked: str = ""


def tell(point: AttachPoint, agents: tuple[str, ...], run: Running | None, ran: Iterable[Ran]) -> None:
    """Report each call as an action and its result. ``run`` None: that of the current context."""
    run = run or RUNNING.get()
    for one in ran:
        if not one.tool:
            if run is not None and one.content is not None:
                run.read(one.content, action_id=one.id)
            continue
        call = Call(
            tool=one.tool,
            arguments=one.arguments,
            id=one.id,
            agents=agents,
            run=run,
            kind="exec" if one.tool in PROGRAMS else "tool_call",
            publisher=one.publisher,
        )
        # Whatever the verdict on it is: it was run, and the model has read what it brought.
        action = point.told(call).action
        point.after(Allowed(action=action, kaizen=point.agent(agents), run=run), one.content, failed=one.failed)


def of(item: object, name: str) -> object:
    """A field of an item, whether that is a mapping or an object of a provider's SDK; None where it has none."""
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def word(item: object, name: str) -> str:
    """The same as text; empty for anything else."""
    found = of(item, name)
    return found if isinstance(found, str) else ""


def each(item: object, name: str) -> list[object]:
    """The same as a list; empty for anything else."""
    found = of(item, name)
    return list(found) if isinstance(found, list | tuple) else []


def some(item: object, *names: str) -> dict[str, object]:
    """Those of its fields that it has."""
    return {name: value for name in names if (value := of(item, name)) is not None}


def unwrapped(text: object) -> object:
    """A document that is given as JSON text; anything else as it is."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
