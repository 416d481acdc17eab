"""Differences: what changed between two definitions of a tool, in sentences for the person who has to accept them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kaizen_security.contract.action import Json
from kaizen_security.mcp.definitions import settled
from kaizen_security.mcp.hidden import visible

MOST = 50
"""Sentences; how many more there are is said in the last one."""


def differences(before: Json, after: Json) -> list[str]:
    """One sentence a change, with the place where it is; nothing that is invisible stays so."""
    found = list(_walk(settled(before), settled(after), ""))
    return found if len(found) <= MOST else [*found[:MOST], f"and {len(found) - MOST} more changes"]


def _walk(before: Json, after: Json, place: str) -> Iterator[str]:
    if _spelled(before) == _spelled(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            where = f"{place}.{visible(key)}" if place else visible(key)
            if key not in after:
                yield f"{_named(where)} is gone (was {_short(before[key])})"
            elif key not in before:
                yield f"{_named(where)} is new: {_short(after[key])}"
            else:
                yield from _walk(before[key], after[key], where)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, place)
    else:
        yield f"{_named(place)} changed from {_short(before)} to {_short(after)}"


def _lists(before: list[Json], after: list[Json], place: str) -> Iterator[str]:
    had, has = (frozenset(map(_spelled, values)) for values in (before, after))
    gone = [value for value in before if _spelled(value) not in has]
    new = [value for value in after if _spelled(value) not in had]
    if gone:
        yield f"{_named(place)} no longer has {', '.join(map(_short, gone))}"
    if new:
        yield f"{_named(place)} now has {', '.join(map(_short, new))}"
    if not gone and not new:
        yield f"{_named(place)} stands in another order, or repeats itself"


def _spelled(value: Json) -> str:
    # Python calls True, 1 and 1.0 equal, and 0.0 and -0.0; a digest does not.
    return json.dumps(value, sort_keys=True)


def _named(place: str) -> str:
    """``inputSchema.properties.path`` is what its users call the argument ``path``."""
    argument = place.removeprefix("inputSchema.properties.")
    if argument != place:
        name, _, rest = argument.partition(".")
        return f"argument {name}" + (f": {rest}" if rest else "")
    return place or "the definition"


def _short(value: Json) -> str:
    match value:
        case str():
            return f'"{visible(value)}"'
        case dict():
            kind = visible(said) if isinstance(said := value.get("type"), str) else ""
            said = value.get("description")
            about = f', "{visible(said)}"' if isinstance(said, str) else ""
            return f"{kind or 'object'}{about}" if kind or about else f"object with {', '.join(map(visible, value))}"
        case list():
            return f"[{', '.join(_short(one) for one in value[:8])}{', …' if len(value) > 8 else ''}]"
        case _:
            return str(value).lower() if isinstance(value, bool) else str(value)
